//! Bodies in chunks (RFC 9112, section 7.1): taken out of them, and put into them.
//!
//! Strict where readers have disagreed: a size is digits and nothing else, CRLF and nothing else ends a line, and what is
//! not data is bounded and dropped. It holds no bytes: data is told as a place in the caller's buffer.

use bytes::{BufMut, BytesMut};

/// Takes a body out of its chunks, however they are cut.
///
/// After [`Piece::End`] it must not be asked again; after an error the connection has to be closed.
#[derive(Debug, Clone, Default)]
pub struct ChunkedDecoder {
    at: At,
    /// Bytes of extensions and trailers so far.
    dropped: usize,
}

/// Where in the framing the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    /// Before a chunk's first digit.
    #[default]
    Start,
    /// Behind so many digits, which say `size`.
    Size { digits: u8, size: u64 },
    /// Behind the semicolon.
    Extension { size: u64 },
    /// Behind the CR of a size's line.
    SizeLf { size: u64 },
    /// In a chunk; so much of it is left, not 0.
    Data { left: u64 },
    /// Behind a chunk's data.
    DataCr,
    /// Behind the CR after that.
    DataLf,
    /// At the beginning of a line behind the last chunk: a trailer, or the end.
    TrailerStart,
    /// In a trailer's name, of which there is something.
    TrailerName,
    /// Behind its colon.
    TrailerValue,
    /// Behind its CR.
    TrailerLf,
    /// Behind the CR of the blank line.
    LastLf,
    /// Behind all of it.
    End,
}

impl ChunkedDecoder {
    /// What the front of `buffer` is. The caller takes what is told off the front before it asks again, so that each byte
    /// is looked at once.
    ///
    /// # Errors
    /// The framing is malformed, see [`ChunkedError`], at the byte that makes it so: the verdict does not depend on how
    /// the bytes were cut.
    pub fn decode(&mut self, buffer: &[u8]) -> Result<Piece, ChunkedError> {
        debug_assert!(self.at != At::End, "the body has ended");
        for (index, &byte) in buffer.iter().enumerate() {
            if let At::Data { left } = self.at {
                let there = buffer.len() - index;
                let len = usize::try_from(left).map_or(there, |left| left.min(there));
                let left = left - len as u64;
                self.at = if left == 0 { At::DataCr } else { At::Data { left } };
                return Ok(Piece::Data { skip: index, len });
            }
            self.at = self.after(byte)?;
            if self.at == At::End {
                return Ok(Piece::End { used: index + 1 });
            }
        }
        Ok(Piece::More)
    }

    /// Where the framing stands behind `byte`.
    fn after(&mut self, byte: u8) -> Result<At, ChunkedError> {
        match (self.at, byte) {
            (At::Start, _) => match digit(byte) {
                Some(size) => Ok(At::Size { digits: 1, size }),
                None => Err(ChunkedError::Size),
            },
            (At::Size { size, .. }, b'\r') => Ok(At::SizeLf { size }),
            (At::Size { size, .. }, b';') => self.drop_byte(At::Extension { size }),
            (At::Size { digits, size }, _) => match digit(byte) {
                Some(digit) if digits < DIGITS_MAX => {
                    Ok(At::Size { digits: digits + 1, size: (size << 4) | digit })
                }
                _ => Err(ChunkedError::Size),
            },
            (At::Extension { size }, b'\r') => Ok(At::SizeLf { size }),
            (At::Extension { .. }, _) if is_text(byte) => self.drop_byte(self.at),
            (At::Extension { .. }, _) => Err(ChunkedError::Extension),
            (At::SizeLf { size: 0 }, b'\n') => Ok(At::TrailerStart),
            (At::SizeLf { size }, b'\n') => Ok(At::Data { left: size }),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataCr, _) => Err(ChunkedError::DataEnd),
            (At::DataLf, b'\n') => Ok(At::Start),
            (At::TrailerStart, b'\r') => Ok(At::LastLf),
            (At::TrailerName, b':') => self.drop_byte(At::TrailerValue),
            (At::TrailerStart | At::TrailerName, _) if is_token(byte) => self.drop_byte(At::TrailerName),
            (At::TrailerStart | At::TrailerName, _) => Err(ChunkedError::Trailer),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerValue, _) if is_text(byte) => self.drop_byte(self.at),
            (At::TrailerValue, _) => Err(ChunkedError::Trailer),
            (At::TrailerLf, b'\n') => Ok(At::TrailerStart),
            (At::LastLf, b'\n') => Ok(At::End),
            (At::SizeLf { .. } | At::DataLf | At::TrailerLf | At::LastLf, _) => Err(ChunkedError::LineEnd),
            (At::Data { .. } | At::End, _) => unreachable!("neither is framing"),
        }
    }

    /// Counts a byte of what is dropped.
    fn drop_byte(&mut self, next: At) -> Result<At, ChunkedError> {
        self.dropped += 1;
        if self.dropped > DROPPED_MAX { Err(ChunkedError::TooMuchDropped) } else { Ok(next) }
    }
}

/// The front of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// `skip` bytes of framing, and then `len` of data, at least one.
    Data {
        /// Bytes to be dropped.
        skip: usize,
        /// Bytes to be kept.
        len: usize,
    },
    /// The whole buffer was framing, and more has to come.
    More,
    /// The body ends behind so many bytes, all of them framing.
    End {
        /// Bytes to be dropped.
        used: usize,
    },
}

/// What a peer did to have its chunks refused. The connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkedError {
    /// A chunk's size is not 1 to 16 hexadecimal digits with a CR or a semicolon right behind them.
    #[error("the size of a chunk is malformed")]
    Size,
    /// An extension has a line feed or a control character in it.
    #[error("the extension of a chunk is malformed")]
    Extension,
    /// A CR has no line feed behind it.
    #[error("a line between chunks does not end in CRLF")]
    LineEnd,
    /// A chunk's data is longer than its size, or has no line end behind it.
    #[error("a chunk does not end where its size says")]
    DataEnd,
    /// A line behind the last chunk is no field.
    #[error("a trailer is malformed")]
    Trailer,
    /// Extensions and trailers are longer than [`DROPPED_MAX`] together.
    #[error("the extensions and trailers of the chunks are too large")]
    TooMuchDropped,
}

/// Appends the line before a chunk of `len` bytes, which is not 0. Behind the data comes [`CHUNK_END`].
pub fn encode_chunk_size(out: &mut BytesMut, len: usize) {
    debug_assert!(len > 0, "that would be the last chunk");
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.put_u8(b"0123456789abcdef"[len >> (4 * digit) & 15]);
    }
    out.put_slice(CHUNK_END);
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// What a field's value and an extension may have in them; an extension's grammar is narrower, but nobody reads it.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// What a field's name may have in it (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk, and no trailers.
pub const CHUNKS_END: &[u8] = b"0\r\n\r\n";

/// Most bytes of the line before a chunk's data, as [`encode_chunk_size`] writes it.
pub const CHUNK_SIZE_LEN_MAX: usize = usize::BITS as usize / 4 + CHUNK_END.len();

/// Most bytes of extensions and trailers in a body, without line ends.
pub const DROPPED_MAX: usize = 16 * 1024;

/// Most digits of a chunk's size: no more fit into its number, leading zeros included.
const DIGITS_MAX: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a body of these pieces is, and how many bytes lie behind it. `None` if it does not end.
    fn decode<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<(Vec<u8>, usize)>, ChunkedError> {
        let mut decoder = ChunkedDecoder::default();
        let (mut buffer, mut body, mut ended) = (BytesMut::new(), Vec::new(), false);
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while !ended && !buffer.is_empty() {
                match decoder.decode(&buffer)? {
                    Piece::Data { skip, len } => {
                        assert!(len > 0, "no data");
                        let _ = buffer.split_to(skip);
                        body.extend_from_slice(&buffer.split_to(len));
                    }
                    Piece::More => buffer.clear(),
                    Piece::End { used } => {
                        let _ = buffer.split_to(used);
                        ended = true;
                    }
                }
            }
        }
        Ok(ended.then_some((body, buffer.len())))
    }

    fn body(bytes: &str) -> Result<Option<(String, usize)>, ChunkedError> {
        let decoded = decode([bytes.as_bytes()])?;
        Ok(decoded.map(|(body, behind)| (String::from_utf8(body).expect("text"), behind)))
    }

    fn whole(text: &str) -> Result<Option<(String, usize)>, ChunkedError> {
        Ok(Some((text.to_owned(), 0)))
    }

    #[test]
    fn a_body_is_what_its_chunks_hold_and_ends_behind_the_last() {
        assert_eq!(body("0\r\n\r\n"), whole(""));
        assert_eq!(body("5\r\nhello\r\n0\r\n\r\n"), whole("hello"));
        assert_eq!(
            body("5\r\nhello\r\n1\r\n \r\nA\r\nworld0\r\n\r\n\r\n00\r\n\r\n"),
            whole("hello world0\r\n\r\n")
        );
        assert_eq!(body("000000000000000a\r\n0123456789\r\n0000000000000000\r\n\r\n"), whole("0123456789"));
        assert_eq!(body("0\r\n\r\nGET / HTTP/1.1\r\n"), Ok(Some((String::new(), 16))));
    }

    #[test]
    fn what_is_not_data_is_dropped() {
        assert_eq!(body("1;a\r\nx\r\n1;a=b;c=\"; d\"\t\r\ny\r\n0;\r\n\r\n"), whole("xy"));
        assert_eq!(body("0\r\nX-Trailer: a\r\nContent-Length: 5\r\ny:\r\n\r\n"), whole(""));
        assert_eq!(body("0;e\r\nx:\u{e9}\t \r\n\r\n"), whole(""));
    }

    #[test]
    fn every_prefix_of_a_body_asks_for_more() {
        let bytes = "5;x=y\r\nhello\r\n0\r\nx: y\r\n\r\n";
        for end in 0..bytes.len() {
            assert_eq!(body(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(body(bytes), whole("hello"));
    }

    #[test]
    fn data_is_told_where_it_lies() {
        let mut decoder = ChunkedDecoder::default();
        assert_eq!(decoder.decode(b"5\r\nhel"), Ok(Piece::Data { skip: 3, len: 3 }));
        assert_eq!(decoder.decode(b"lo\r\n2"), Ok(Piece::Data { skip: 0, len: 2 }));
        assert_eq!(decoder.decode(b"\r\n2"), Ok(Piece::More));
        assert_eq!(decoder.decode(b"\r\nxy\r\n0\r\n\r\nz"), Ok(Piece::Data { skip: 2, len: 2 }));
        assert_eq!(decoder.decode(b"\r\n0\r\n\r\nz"), Ok(Piece::End { used: 7 }));
        let mut decoder = ChunkedDecoder::default();
        assert_eq!(decoder.decode(b"ffffffffffffffff\r\nabc"), Ok(Piece::Data { skip: 18, len: 3 }));
        assert_eq!(decoder.decode(b"def"), Ok(Piece::Data { skip: 0, len: 3 }));
    }

    #[test]
    fn what_readers_have_disagreed_about_is_refused() {
        for (bytes, error) in [
            // Sizes.
            ("\r\n", ChunkedError::Size),
            ("g\r\n", ChunkedError::Size),
            ("0x1\r\n", ChunkedError::Size),
            ("-1\r\n", ChunkedError::Size),
            ("+1\r\n", ChunkedError::Size),
            (" 1\r\n", ChunkedError::Size),
            ("1 \r\n", ChunkedError::Size),
            ("1\t\r\n", ChunkedError::Size),
            ("1 ;x\r\n", ChunkedError::Size),
            ("1_0\r\n", ChunkedError::Size),
            ("1,1\r\n", ChunkedError::Size),
            (";x\r\n", ChunkedError::Size),
            ("\u{664}\r\n", ChunkedError::Size),
            ("00000000000000001\r\n", ChunkedError::Size),
            ("10000000000000000\r\n", ChunkedError::Size),
            ("1\0\r\n", ChunkedError::Size),
            // Line ends.
            ("1\nx", ChunkedError::Size),
            ("1\rx", ChunkedError::LineEnd),
            ("1\r\r\n", ChunkedError::LineEnd),
            ("1;x\nx", ChunkedError::Extension),
            ("1;x\rx", ChunkedError::LineEnd),
            ("1;\"\n\"", ChunkedError::Extension),
            ("1;\"\r\n\"x", ChunkedError::DataEnd),
            ("1;a\0", ChunkedError::Extension),
            ("1;a\u{7f}", ChunkedError::Extension),
            ("1\r\nx\n", ChunkedError::DataEnd),
            ("1\r\nx0\r\n", ChunkedError::DataEnd),
            ("1\r\nxy\r\n", ChunkedError::DataEnd),
            ("1\r\nx\rx", ChunkedError::LineEnd),
            ("1\r\nx\r\n\r\n", ChunkedError::Size),
            ("0\n", ChunkedError::Size),
            ("0\r\n\n", ChunkedError::Trailer),
            ("0\r\n\r\r", ChunkedError::LineEnd),
            // Trailers.
            ("0\r\n: x\r\n", ChunkedError::Trailer),
            ("0\r\nx\r\n", ChunkedError::Trailer),
            ("0\r\nx : y\r\n", ChunkedError::Trailer),
            ("0\r\n x: y\r\n", ChunkedError::Trailer),
            ("0\r\nx: y\r\n z\r\n", ChunkedError::Trailer),
            ("0\r\nx: y\n", ChunkedError::Trailer),
            ("0\r\nx: y\rz", ChunkedError::LineEnd),
            ("0\r\nx: \0\r\n", ChunkedError::Trailer),
            ("0\r\nGET / HTTP/1.1\r\n", ChunkedError::Trailer),
        ] {
            assert_eq!(body(bytes), Err(error), "{bytes:?}");
            // At the byte that makes it so: not before, and not after.
            let refused_at = (0..=bytes.len()).find(|&end| decode([&bytes.as_bytes()[..end]]).is_err());
            let refused_at = refused_at.expect("refused");
            assert_eq!(decode(bytes.as_bytes()[..refused_at].chunks(1)), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_dropped_is_bounded_over_the_whole_body() {
        let extensions = |len: usize| format!("1;{}\r\nx\r\n", "e".repeat(len - 1));
        let trailers = |len: usize| format!("0\r\nt:{}\r\n\r\n", "t".repeat(len - 2));
        let half = DROPPED_MAX / 2;
        assert_eq!(body(&(extensions(half) + &trailers(half))), whole("x"));
        for bytes in [
            extensions(half) + &trailers(half + 1),
            extensions(half) + &extensions(half + 1),
            format!("0\r\n{}", "t".repeat(DROPPED_MAX + 1)),
            "1;\r\nx\r\n".repeat(DROPPED_MAX + 1),
        ] {
            assert_eq!(body(&bytes), Err(ChunkedError::TooMuchDropped));
        }
    }

    #[test]
    fn a_size_is_written_in_as_few_digits_as_it_has() {
        for (len, line) in [
            (1, "1\r\n"),
            (10, "a\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (0xabcdef, "abcdef\r\n"),
            (usize::MAX, "ffffffffffffffff\r\n"),
        ] {
            let mut out = BytesMut::new();
            encode_chunk_size(&mut out, len);
            assert_eq!(out, line);
            assert!(out.len() <= CHUNK_SIZE_LEN_MAX);
        }
    }

    /// Something like chunks: pieces of them, most of them right.
    fn nearly_chunks() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "1\r\nx\r\n",
            "3\r\nabc\r\n",
            "a;e=f\r\n0123456789\r\n",
            "0\r\n\r\n",
            "0\r\nt: u\r\n",
            "0\r\n",
            "\r\n",
            "\n",
            "\r",
            "0",
            "f",
            ";",
            "x",
            " ",
        ]);
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn any_split_gives_the_same_body(bytes in nearly_chunks(), at in prop::collection::vec(0..100_usize, 2)) {
            let whole = decode([&bytes[..]]);
            prop_assert_eq!(&decode(bytes.chunks(1)), &whole);
            let (first, second) = (at[0].min(at[1]).min(bytes.len()), at[0].max(at[1]).min(bytes.len()));
            prop_assert_eq!(&decode([&bytes[..first], &bytes[first..second], &bytes[second..]]), &whole);
        }

        #[test]
        fn what_is_put_into_chunks_comes_out(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5)) {
            let mut out = BytesMut::new();
            for piece in &pieces {
                encode_chunk_size(&mut out, piece.len());
                out.put_slice(piece);
                out.put_slice(CHUNK_END);
            }
            out.put_slice(CHUNKS_END);
            prop_assert_eq!(decode([&out[..]]), Ok(Some((pieces.concat(), 0))));
        }
    }
}

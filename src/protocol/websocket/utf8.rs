//! UTF-8 that comes in pieces: each is judged when it comes, down to a code point cut in its middle.
//!
//! Keeps at most three bytes of the past, and never waits for more where what is there cannot become
//! UTF-8 any more.
//!
//! Sees only what `mask` did not find to be ASCII. On mixed text simdutf8 was not behind the standard
//! library at any length from 5 B to 64 KiB, so no threshold is ours: below 64 bytes it hands on to the
//! library itself. ns std / simdutf8, EPYC, the best of 1500 batches: 20 B 27 / 25, 64 B 62 / 20,
//! 130 B 156 / 47, 1 KiB 1240 / 182, 64 KiB 76600 / 11200.

use std::str::from_utf8;

/// Whether `bytes` are UTF-8, whole.
#[inline]
#[must_use]
pub fn is_valid(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Between two pieces: the bytes of a code point that the next piece has to finish.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pending {
    bytes: [u8; 3],
    len: u8,
}

impl Pending {
    /// Takes the next piece of a text.
    ///
    /// # Errors
    /// The piece holds a byte after which the text, whatever may follow, is not UTF-8.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), NotUtf8> {
        let piece = self.finish(piece)?;
        let (whole, cut) = piece.split_at(piece.len() - cut_len(piece));
        if !is_valid(whole) {
            return Err(NotUtf8);
        }
        if !cut.is_empty() {
            self.keep(cut)?;
        }
        Ok(())
    }

    /// Whether the text may end here.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Finishes the code point begun with bytes of `piece`, and gives what is left of it.
    fn finish<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], NotUtf8> {
        let held = usize::from(self.len);
        if held == 0 || piece.is_empty() {
            return Ok(piece);
        }
        let take = piece.len().min(width(self.bytes[0]) - held);
        let (head, rest) = piece.split_at(take);
        let mut code_point = [0; 4];
        code_point[..held].copy_from_slice(&self.bytes[..held]);
        code_point[held..held + take].copy_from_slice(head);
        let code_point = &code_point[..held + take];
        if from_utf8(code_point).is_ok() {
            self.len = 0;
        } else {
            self.keep(code_point)?;
        }
        Ok(rest)
    }

    /// Keeps the beginning of a code point, if it is one.
    fn keep(&mut self, cut: &[u8]) -> Result<(), NotUtf8> {
        // No `error_len`: nothing is wrong with it but that it ends.
        match from_utf8(cut) {
            Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => {
                self.bytes[..cut.len()].copy_from_slice(cut);
                self.len = cut.len() as u8;
                Ok(())
            }
            _ => Err(NotUtf8),
        }
    }
}

/// A text cannot be UTF-8 any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUtf8;

/// How many bytes at the end of `piece` belong to a code point that is cut there: 0 to 3.
fn cut_len(piece: &[u8]) -> usize {
    for (behind, &byte) in piece.iter().rev().take(3).enumerate() {
        match byte {
            0x00..=0x7F => return 0,
            0x80..=0xBF => {}
            _ if width(byte) > behind + 1 => return behind + 1,
            _ => return 0,
        }
    }
    0
}

/// Bytes of the code point that `lead` begins; for a byte that begins none, whatever is most.
fn width(lead: u8) -> usize {
    match lead {
        0x00..=0x7F => 1,
        0x80..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where the bytes stop being the beginning of any UTF-8 text, fed one by one.
    fn refused_at(bytes: &[u8]) -> Option<usize> {
        let mut pending = Pending::default();
        bytes.iter().position(|byte| pending.push(&[*byte]).is_err())
    }

    /// The same by the standard library's own account.
    fn invalid_at(bytes: &[u8]) -> Option<usize> {
        (0..bytes.len()).find(|&at| from_utf8(&bytes[..=at]).is_err_and(|error| error.error_len().is_some()))
    }

    #[test]
    fn an_invalid_byte_is_refused_at_the_byte() {
        let cases: [(&[u8], usize); 15] = [
            (b"\x80", 0),
            (b"a\xBF", 1),
            (b"\xC0\x80", 0),
            (b"\xC1\xBF", 0),
            (b"\xC3a", 1),
            (b"\xE0\x80\x80", 1),
            (b"\xE2\x82a", 2),
            (b"\xED\xA0\x80", 1),
            (b"\xF0\x80\x80\x80", 1),
            (b"\xF0\x9F\x98a", 3),
            (b"\xF4\x90\x80\x80", 1),
            (b"\xF5\x80", 0),
            (b"\xF8\x88", 0),
            (b"\xFE", 0),
            (b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80edited", 12),
        ];
        for (bytes, at) in cases {
            assert_eq!(refused_at(bytes), Some(at), "{bytes:x?}");
            assert_eq!(invalid_at(bytes), Some(at), "{bytes:x?}");
        }
    }

    #[test]
    fn every_beginning_of_a_code_point_is_taken_or_refused_as_the_standard_library_does() {
        for lead in 0x80..=u8::MAX {
            for second in 0..=u8::MAX {
                for third in [0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF] {
                    for fourth in [0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF] {
                        let bytes = [lead, second, third, fourth];
                        assert_eq!(refused_at(&bytes), invalid_at(&bytes), "{bytes:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_code_point_may_be_cut_anywhere() {
        let text = "a\u{E9}\u{20AC}\u{1F600}\u{10FFFF}\u{800}\u{FFFF}z".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut pending = Pending::default();
                for piece in [&text[..first], &text[first..second], b"", &text[second..]] {
                    assert_eq!(pending.push(piece), Ok(()), "{first} {second}");
                }
                assert!(pending.is_empty());
            }
        }
    }

    #[test]
    fn a_text_that_ends_inside_a_code_point_is_not_finished() {
        let text = "\u{1F600}".as_bytes();
        for end in 1..4 {
            let mut pending = Pending::default();
            assert_eq!(pending.push(&text[..end]), Ok(()));
            assert!(!pending.is_empty());
        }
    }

    proptest! {
        #[test]
        fn pieces_are_judged_as_the_whole(
            mut bytes in "[a-z\u{e9}\u{20ac}\u{1f600}]{0,90}".prop_map(String::into_bytes),
            fault in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        ) {
            if let (Some((at, byte)), false) = (fault, bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());

            let mut pending = Pending::default();
            let mut from = 0;
            for to in cuts {
                let refused = pending.push(&bytes[from..to]).is_err();
                prop_assert_eq!(refused, invalid_at(&bytes[..to]).is_some());
                if refused {
                    return Ok(());
                }
                from = to;
            }
            prop_assert_eq!(pending.is_empty(), from_utf8(&bytes).is_ok());
        }
    }
}

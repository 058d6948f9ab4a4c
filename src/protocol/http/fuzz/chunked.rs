//! Fuzz body: bodies in chunks, however they are cut.

use super::super::chunked::{
    CHUNK_END, CHUNKS_END, ChunkedDecoder, ChunkedError, DROPPED_MAX, Piece, encode_chunk_size,
};
use crate::protocol::fuzz::cuts;
use bytes::{BufMut, BytesMut};

/// A body in chunks and what comes behind it: taken apart alike in every cut, and as a second reader does.
pub fn chunked(input: &[u8]) {
    let mut verdicts = cuts(input).map(|pieces| decode(&pieces));
    let whole = verdicts.next().expect("the whole is the first way");
    if let Ok(Some((body, used))) = &whole {
        let (again, end) = read_again(&input[..*used]).expect("a second reader agrees");
        assert_eq!((&again, end), (body, *used));
        check_put_back(body);
    }
    for verdict in verdicts {
        assert_eq!(verdict, whole, "another cut, another verdict");
    }
}

/// The body, and how many bytes it took. `None` if it does not end.
fn decode(pieces: &[&[u8]]) -> Result<Option<(Vec<u8>, usize)>, ChunkedError> {
    let mut decoder = ChunkedDecoder::default();
    let (mut body, mut taken) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let skip = match decoder.decode(rest)? {
                Piece::Data { skip, len } => {
                    assert!(len > 0, "no data");
                    body.extend_from_slice(&rest[skip..skip + len]);
                    skip + len
                }
                Piece::More => rest.len(),
                Piece::End { used } => return Ok(Some((body, taken + used))),
            };
            taken += skip;
            rest = &rest[skip..];
        }
    }
    Ok(None)
}

/// Reads what was accepted once more, line by line.
fn read_again(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at, mut dropped) = (Vec::new(), 0, 0);
    loop {
        let line = line_at(bytes, at)?;
        let size = line.split(|&byte| byte == b';').next()?;
        assert!((1..=16).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit), "{line:?}");
        dropped += line.len() - size.len();
        at += line.len() + CHUNK_END.len();
        let size = usize::from_str_radix(str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        assert_eq!(bytes.get(at..at + 2), Some(CHUNK_END));
        at += CHUNK_END.len();
    }
    loop {
        let line = line_at(bytes, at)?;
        at += line.len() + CHUNK_END.len();
        if line.is_empty() {
            break;
        }
        dropped += line.len();
        let colon = line.iter().position(|&byte| byte == b':').expect("a trailer's colon");
        assert!(colon > 0 && !line[..colon].contains(&b' '), "{line:?}");
    }
    assert!(dropped <= DROPPED_MAX);
    Some((body, at))
}

/// The line at `at`, without its end; it has neither CR nor LF in it.
fn line_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let line = &rest[..rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?];
    rest[line.len()..].starts_with(CHUNK_END).then_some(line)
}

/// Put into chunks anew, the body comes out of them.
fn check_put_back(body: &[u8]) {
    let mut out = BytesMut::new();
    for chunk in body.chunks(CHUNK_LEN) {
        encode_chunk_size(&mut out, chunk.len());
        out.put_slice(chunk);
        out.put_slice(CHUNK_END);
    }
    out.put_slice(CHUNKS_END);
    assert_eq!(decode(&[&out]), Ok(Some((body.to_vec(), out.len()))));
}

/// More than one digit long, and less than most bodies.
const CHUNK_LEN: usize = 17;

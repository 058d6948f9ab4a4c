//! Fuzz body: heads of answers however they are cut, and what a client is then sent.

use super::super::answer::{ANSWER_HEAD_MAX, AnswerBody, AnswerDecoder, AnswerError, AnswerHead, Asked};
use super::super::forward::{AnswerFraming, Answering, encode_answer, encode_interim, encode_tunnel};
use super::super::{After, FIELDS_MAX, HttpDate};
use crate::protocol::{Decoded, fuzz::cuts};
use bytes::BytesMut;
use http::{StatusCode, Version, header};

/// What was asked for, in one byte, and a stream of answers, the first of whose heads is judged alike in every cut.
pub fn answer(input: &[u8]) {
    let Some((&asked, stream)) = input.split_first() else { return };
    let asked = match asked {
        b'h' => Asked::Head,
        b'u' => Asked::Upgrade,
        _ => Asked::Plain,
    };
    let mut verdicts = cuts(stream).map(|pieces| Verdict::of(&pieces, asked));
    let whole = verdicts.next().expect("the whole is the first way");
    match &whole {
        Verdict::Complete(head, used) => {
            check_answer(&head.0, &stream[..*used], asked);
            check_passed_on(&head.0, asked);
        }
        Verdict::Refused(_) => {}
        Verdict::Incomplete => assert!(stream.len() < ANSWER_HEAD_MAX, "a limit was passed over"),
    }
    for verdict in verdicts {
        assert_eq!(verdict, whole, "another cut, another verdict");
    }
}

/// What came of a stream's first head.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Complete(Whole, usize),
    Refused(AnswerError),
    Incomplete,
}

/// A head that can be compared.
#[derive(Debug)]
struct Whole(AnswerHead);

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        (a.status, a.version, &a.headers, a.body, a.keep_alive)
            == (b.status, b.version, &b.headers, b.body, b.keep_alive)
    }
}

impl Eq for Whole {}

impl Verdict {
    /// Of a decoder that sees the pieces one after the other.
    fn of(pieces: &[&[u8]], asked: Asked) -> Self {
        let mut decoder = AnswerDecoder::default();
        let mut buffer = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            match decoder.decode(&buffer, asked) {
                Ok(Decoded::Complete { item, used }) => return Self::Complete(Whole(item), used),
                Ok(Decoded::Incomplete { needed }) => assert!(needed > buffer.len()),
                Err(error) => return Self::Refused(error),
            }
        }
        Self::Incomplete
    }
}

/// What an answer that was taken must be, read from its bytes once more and otherwise.
fn check_answer(head: &AnswerHead, bytes: &[u8], asked: Asked) {
    assert!(bytes.len() <= ANSWER_HEAD_MAX && head.headers.len() <= FIELDS_MAX);
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.strip_suffix("\r\n\r\n").expect("its end").split("\r\n");
    let start = format!("{:?} {}", head.version, head.status.as_u16());
    assert!(lines.next().is_some_and(|line| line == start || line.starts_with(&format!("{start} "))));
    assert!((100..=599).contains(&head.status.as_u16()));
    // Each line is one field: nothing was folded, dropped or made up.
    assert_eq!(lines.clone().count(), head.headers.len());
    for line in lines {
        let (name, _) = line.split_once(':').expect("a field");
        assert!(head.headers.contains_key(name), "{name}");
    }
    let lengths = head.headers.get_all(header::CONTENT_LENGTH).iter().count();
    let codings: Vec<_> = head.headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    assert!(lengths + codings.len() <= 1, "two framings");
    let bodiless = matches!(head.status.as_u16(), 100..=199 | 204 | 304) || asked == Asked::Head;
    match head.body {
        AnswerBody::None => assert!(bodiless),
        AnswerBody::Length(len) => assert!(!bodiless && head.length() == Some(len)),
        AnswerBody::Chunked => assert!(!bodiless && head.version == Version::HTTP_11 && codings.len() == 1),
        AnswerBody::UntilClose => assert!(!bodiless && !head.keep_alive && lengths + codings.len() == 0),
    }
    assert!(head.status != StatusCode::SWITCHING_PROTOCOLS || asked == Asked::Upgrade);
}

/// A client reads what it is sent as the same answer, framed as was said, and nothing in it is of one hop.
fn check_passed_on(head: &AnswerHead, asked: Asked) {
    // Ours come on top, and no head is to have more.
    if head.headers.len() > FIELDS_MAX - OURS_MAX {
        return;
    }
    let mut out = BytesMut::new();
    let framing = AnswerFraming::of(head.body, Version::HTTP_11);
    if head.is_interim() {
        encode_interim(&mut out, head);
    } else if head.status == StatusCode::SWITCHING_PROTOCOLS {
        encode_tunnel(&mut out, head, "a-0-1");
    } else {
        let date = HttpDate::from_unix_s(0);
        let by = Answering { request_id: "a-0-1", framing, after: After::KeepAlive, date };
        encode_answer(&mut out, head, &by);
    }
    let read = AnswerDecoder::default().decode(&out, asked);
    let Ok(Decoded::Complete { item, used }) = read else { panic!("{read:?}: {out:?}") };
    assert_eq!((item.status, used), (head.status, out.len()));
    assert_eq!(AnswerFraming::of(item.body, Version::HTTP_11), framing);
    for name in ["keep-alive", "proxy-connection", "te", "trailer", "proxy-authenticate"] {
        assert!(!item.headers.contains_key(name), "{name}");
    }
    if !item.status.is_informational() {
        assert!(item.keep_alive && !item.headers.contains_key(header::CONNECTION));
        assert!(item.headers.contains_key(header::DATE));
        assert_eq!(item.headers.get_all("x-request-id").iter().collect::<Vec<_>>(), ["a-0-1"]);
    }
}

/// Fields that are said anew, of an answer.
const OURS_MAX: usize = 5;

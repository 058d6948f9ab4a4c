//! Fuzz bodies: request heads however they are cut and what becomes of them, the handshake that a head may ask for,
//! answers, chunks and paths.
//!
//! Take any bytes, and panic where a promise of this floor is broken.

mod answer;
mod chunked;
mod forward;
mod path;

pub use answer::answer;
pub use chunked::chunked;
pub use path::path;

use super::head::{Body, Head, HeadDecoder, HeadError};
use super::{After, FIELDS_MAX, HttpDate, Response, encode_response, handshake, has_token};
use crate::protocol::{Decoded, fuzz::cuts};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use http::{Version, header};

/// A stream of requests, the first of whose heads is judged alike in every cut.
pub fn head(input: &[u8]) {
    let mut verdicts = cuts(input).map(|pieces| Verdict::of(&pieces));
    let whole = verdicts.next().expect("the whole is the first way");
    match &whole {
        Verdict::Complete(head, used) => {
            check_head(head, &input[..*used]);
            if let Some(response) = forward::check_handed_on(&head.0) {
                check_response(&response);
            }
            let next = HeadDecoder::default().decode(&input[..*used], HEAD_MAX);
            assert!(matches!(next, Ok(Decoded::Complete { used: again, .. }) if again == *used));
        }
        Verdict::Refused(error) => check_response(&error.response()),
        Verdict::Incomplete => assert!(input.len() < HEAD_MAX, "a limit was passed over"),
    }
    for verdict in verdicts {
        assert_eq!(verdict, whole, "another cut, another verdict");
    }
}

/// The fields of a request for a WebSocket: if it is granted, by the letter of RFC 6455, section 4.2.1.
pub fn handshake(fields: &[u8]) {
    let bytes = [b"GET /ws HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n\r\n"].concat();
    let Ok(Decoded::Complete { item: head, .. }) = HeadDecoder::default().decode(&bytes, HEAD_MAX) else {
        return;
    };
    match handshake::check(&head) {
        Ok(granted) => {
            check_asked(&head);
            let mut out = BytesMut::new();
            granted.speaking("vestibule", &head).encode_switching(&mut out, &[]);
            let mut fields = [httparse::EMPTY_HEADER; 8];
            let mut response = httparse::Response::new(&mut fields);
            assert_eq!(response.parse(&out), Ok(httparse::Status::Complete(out.len())));
            assert_eq!(response.code, Some(101));
            let accept = response.headers.iter().find(|field| field.name == "Sec-WebSocket-Accept");
            let digest = STANDARD.decode(accept.expect("it is there").value).expect("base64");
            assert_eq!(digest.len(), 20);
            let agreed = response.headers.iter().any(|field| field.name == "Sec-WebSocket-Protocol");
            let offered = has_token(&head.headers, &header::SEC_WEBSOCKET_PROTOCOL, "vestibule");
            assert!(offered || !agreed, "agreed to what was not offered");
        }
        Err(refused) => check_response(&refused.response()),
    }
}

/// What came of a stream's first head.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Complete(Whole, usize),
    Refused(HeadError),
    Incomplete,
}

/// A head that can be compared.
#[derive(Debug)]
struct Whole(Head);

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        (&a.method, a.version, &a.path, &a.query, &a.headers, a.body, a.keep_alive)
            == (&b.method, b.version, &b.path, &b.query, &b.headers, b.body, b.keep_alive)
    }
}

impl Eq for Whole {}

impl Verdict {
    /// Of a decoder that sees the pieces one after the other.
    fn of(pieces: &[&[u8]]) -> Self {
        let mut decoder = HeadDecoder::default();
        let mut buffer = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            match decoder.decode(&buffer, HEAD_MAX) {
                Ok(Decoded::Complete { item, used }) => return Self::Complete(Whole(item), used),
                Ok(Decoded::Incomplete { needed }) => assert!(needed > buffer.len()),
                Err(error) => return Self::Refused(error),
            }
        }
        Self::Incomplete
    }
}

/// What a head that was taken must be, read from its bytes once more and otherwise.
fn check_head(head: &Whole, bytes: &[u8]) {
    let Whole(head) = head;
    assert!(bytes.len() <= HEAD_MAX && head.headers.len() <= FIELDS_MAX);
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.strip_suffix("\r\n\r\n").expect("its end").split("\r\n");
    let target = match &head.query {
        Some(query) => format!("{}?{query}", head.path),
        None => head.path.clone(),
    };
    assert_eq!(lines.next(), Some(&*format!("{} {target} {:?}", head.method, head.version)));
    assert!(head.path.starts_with('/') && !target.contains(|c: char| !c.is_ascii_graphic() || c == '#'));
    // Each line is one field: nothing was folded, dropped or made up.
    assert_eq!(lines.clone().count(), head.headers.len());
    for line in lines {
        let (name, _) = line.split_once(':').expect("a field");
        assert!(head.headers.contains_key(name), "{name}");
    }
    for (name, value) in &head.headers {
        let value = value.as_bytes();
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{name}");
        assert_eq!(value.trim_ascii(), value, "{name}");
    }
    assert_eq!(head.headers.get_all(header::HOST).iter().count(), 1);
    let lengths = head.headers.get_all(header::CONTENT_LENGTH).iter().count();
    let codings = head.headers.get_all(header::TRANSFER_ENCODING).iter().count();
    match head.body {
        Body::None => assert_eq!((lengths, codings), (0, 0)),
        Body::Length(_) => assert_eq!((lengths, codings), (1, 0)),
        Body::Chunked => assert!(lengths == 0 && codings > 0),
    }
    assert!(
        head.version == Version::HTTP_11
            || head.version == Version::HTTP_10 && !head.keep_alive && codings == 0
    );
}

/// The fields that a handshake must have.
fn check_asked(head: &Head) {
    let says = |name, word: &str| {
        let values = head.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let lists: Vec<String> = values.map(|value| value.to_ascii_lowercase()).collect();
        lists.iter().flat_map(|list| list.split(',')).any(|element| element.trim() == word)
    };
    assert!(says(header::UPGRADE, "websocket") && says(header::CONNECTION, "upgrade"));
    assert_eq!(head.headers.get_all(header::SEC_WEBSOCKET_VERSION).iter().collect::<Vec<_>>(), ["13"]);
    let keys: Vec<_> = head.headers.get_all(header::SEC_WEBSOCKET_KEY).iter().collect();
    let [key] = keys[..] else { panic!("{} keys", keys.len()) };
    assert!(key.len() == 24 && key.as_bytes().ends_with(b"=="));
    assert!(!matches!(head.body, Body::Chunked | Body::Length(1..)));
}

/// A refusal can be read by a client, and says what it is in JSON.
fn check_response(response: &Response) {
    let mut out = BytesMut::new();
    encode_response(&mut out, response, After::Close, false, HttpDate::from_unix_s(0));
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut read = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(used)) = read.parse(&out) else { panic!("{out:?}") };
    assert_eq!(read.code, Some(response.status.as_u16()));
    let body: serde_json::Value = serde_json::from_slice(&out[used..]).expect("JSON");
    assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string());
}

/// Small, so that inputs reach it.
const HEAD_MAX: usize = 1024;

//! The server's side of the WebSocket handshake (RFC 6455, section 4.2).
//!
//! Says whether a head asks for a WebSocket in due form, and writes the 101. It must not judge who asks: origin
//! and identity are for others.

use super::answer::AnswerHead;
use super::fields::{elements, has_token, only};
use super::head::{Body, Head};
use super::response::{Response, put_field};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};
use http::{HeaderValue, Method, StatusCode, Version, header};
use sha1::{Digest, Sha1};

/// A handshake in due form, ready to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    accept: [u8; ACCEPT_LEN],
    subprotocol: Option<&'static str>,
}

impl Handshake {
    /// The same, agreeing to `subprotocol` if the request offers it; letters count as they are (RFC 6455, section
    /// 11.3.4). What else is offered is never named in the answer.
    #[must_use]
    pub fn speaking(self, subprotocol: &'static str, head: &Head) -> Self {
        let offered = elements(&head.headers, &header::SEC_WEBSOCKET_PROTOCOL)
            .any(|offered| offered == subprotocol.as_bytes());
        Self { subprotocol: offered.then_some(subprotocol), ..self }
    }

    /// Appends the head of the response that makes a WebSocket of the connection, with these fields besides its
    /// own.
    ///
    /// No extension is agreed to, and no subprotocol but that of [`Handshake::speaking`].
    pub fn encode_switching(&self, out: &mut BytesMut, fields: &[(&str, &str)]) {
        out.reserve(SWITCHING.len() + ACCEPT_LEN + 4);
        out.put_slice(SWITCHING);
        out.put_slice(&self.accept);
        out.put_slice(b"\r\n");
        let subprotocol = self.subprotocol.map(|subprotocol| ("Sec-WebSocket-Protocol", subprotocol));
        for (name, value) in subprotocol.iter().chain(fields) {
            put_field(out, name.as_bytes(), value.as_bytes());
        }
        out.put_slice(b"\r\n");
    }

    /// Whether a server that was asked for this WebSocket grants it in due form: its answer, a 101, names the
    /// upgrade, and proves that the key was read (RFC 6455, section 4.1, of the client).
    pub fn is_accepted_by(&self, answer: &AnswerHead) -> bool {
        let headers = &answer.headers;
        answer.status == StatusCode::SWITCHING_PROTOCOLS
            && only(headers, &header::UPGRADE)
                .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
            && has_token(headers, &header::CONNECTION, "upgrade")
            && only(headers, &header::SEC_WEBSOCKET_ACCEPT)
                .is_some_and(|accept| accept.as_bytes() == self.accept)
    }
}

/// Judges the head of a request for a WebSocket.
///
/// Bytes that came after the head are the first frames; they stay with the caller.
///
/// # Errors
/// The first thing that is missing or wrong, see [`Refused`].
pub fn check(head: &Head) -> Result<Handshake, Refused> {
    if head.version != Version::HTTP_11 {
        return Err(Refused::Http);
    }
    if head.method != Method::GET {
        return Err(Refused::Method);
    }
    if !has_token(&head.headers, &header::UPGRADE, "websocket") {
        return Err(Refused::Upgrade);
    }
    if !has_token(&head.headers, &header::CONNECTION, "upgrade") {
        return Err(Refused::Connection);
    }
    if !matches!(head.body, Body::None | Body::Length(0)) {
        return Err(Refused::Body);
    }
    if only(&head.headers, &header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refused::Version);
    }
    let key = only(&head.headers, &header::SEC_WEBSOCKET_KEY).ok_or(Refused::Key)?.as_bytes();
    // The engine takes padding and unused bits in their one canonical form only. One spare byte, so that a key
    // of 17 bytes fits and is seen.
    let mut nonce = [0; NONCE_LEN + 2];
    match STANDARD.decode_slice(key, &mut nonce) {
        Ok(NONCE_LEN) => Ok(Handshake { accept: accept_of(key), subprotocol: None }),
        _ => Err(Refused::Key),
    }
}

/// Why a request does not become a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The request is not HTTP/1.1, which has no upgrades (RFC 6455, section 4.1).
    #[error("a WebSocket needs HTTP/1.1")]
    Http,
    /// The method is not GET.
    #[error("a WebSocket is asked for with GET")]
    Method,
    /// Upgrade does not offer `websocket`: a plain request for what only a WebSocket can have.
    #[error("this path speaks WebSocket only")]
    Upgrade,
    /// Connection does not name `upgrade`.
    #[error("Connection has to name upgrade")]
    Connection,
    /// The request has a body, which would be mistaken for frames.
    #[error("a request for a WebSocket has no body")]
    Body,
    /// Sec-WebSocket-Version is not 13, missing, or there twice.
    #[error("only version 13 of WebSocket is spoken here")]
    Version,
    /// Sec-WebSocket-Key is not 16 bytes in base64, missing, or there twice.
    #[error("Sec-WebSocket-Key has to be 16 bytes in base64")]
    Key,
}

impl Refused {
    /// The status of the response that is due.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Http => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Upgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Connection | Self::Body | Self::Key => StatusCode::BAD_REQUEST,
        }
    }

    /// The response that is due, with the fields that its status demands (RFC 9110, sections 15.5.6 and 15.5.22;
    /// RFC 6455, section 4.4).
    pub fn response(self) -> Response {
        let response = Response::json_error(self.status(), "bad_handshake", &self.to_string());
        match self {
            Self::Method => response.with(header::ALLOW, HeaderValue::from_static("GET")),
            Self::Upgrade | Self::Version => response
                .with(header::UPGRADE, HeaderValue::from_static("websocket"))
                .with(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            Self::Http | Self::Connection | Self::Body | Self::Key => response,
        }
    }
}

/// What proves to the client that its key was read (RFC 6455, section 4.2.2, item 5.4).
fn accept_of(key: &[u8]) -> [u8; ACCEPT_LEN] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; ACCEPT_LEN];
    let written = STANDARD.encode_slice(digest, &mut accept).expect("20 bytes make 28 digits");
    assert_eq!(written, ACCEPT_LEN);
    accept
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";

/// Bytes of a decoded Sec-WebSocket-Key.
const NONCE_LEN: usize = 16;

/// Base64 digits of a SHA-1 digest.
const ACCEPT_LEN: usize = 28;

#[cfg(test)]
mod tests {
    use super::super::head::HeadDecoder;
    use super::*;
    use crate::protocol::Decoded;

    /// The request of RFC 6455, section 1.2, with `fields` in place of its WebSocket fields.
    fn verdict(request_line: &str, fields: &[&str]) -> Result<Handshake, Refused> {
        check(&head(request_line, fields))
    }

    fn head(request_line: &str, fields: &[&str]) -> Head {
        let head = format!("{request_line}\r\nHost: server.example.com\r\n{}\r\n\r\n", fields.join("\r\n"));
        match HeadDecoder::default().decode(head.as_bytes(), 16_384) {
            Ok(Decoded::Complete { item, .. }) => item,
            other => panic!("{other:?}"),
        }
    }

    const UPGRADE: &str = "Upgrade: websocket";
    const CONNECTION: &str = "Connection: Upgrade";
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    const VERSION: &str = "Sec-WebSocket-Version: 13";

    #[test]
    fn the_example_of_the_rfc_gets_the_answer_of_the_rfc() {
        let handshake = verdict(
            "GET /chat HTTP/1.1",
            &[
                UPGRADE,
                CONNECTION,
                KEY,
                "Origin: http://example.com",
                "Sec-WebSocket-Protocol: chat, superchat",
                VERSION,
            ],
        );
        let mut out = BytesMut::new();
        handshake.expect("in due form").encode_switching(&mut out, &[("X-Request-Id", "a-0-1")]);
        assert_eq!(
            &out[..],
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Request-Id: a-0-1\r\n\r\n"
        );
    }

    #[test]
    fn http_1_0_has_no_websockets() {
        let fields = [UPGRADE, CONNECTION, KEY, VERSION];
        assert!(verdict("GET /chat HTTP/1.1", &fields).is_ok());
        assert_eq!(verdict("GET /chat HTTP/1.0", &fields), Err(Refused::Http));
        assert_eq!(Refused::Http.status(), 505);
    }

    #[test]
    fn a_subprotocol_is_agreed_to_if_it_is_offered_and_nothing_else_is_named() {
        let cases: [(&[&str], bool); 8] = [
            (&[], false),
            (&["Sec-WebSocket-Protocol: ours"], true),
            (&["Sec-WebSocket-Protocol: bearer.a.b.c, ours"], true),
            (&["Sec-WebSocket-Protocol: bearer.a.b.c", "Sec-WebSocket-Protocol: ,ours ,other"], true),
            (&["Sec-WebSocket-Protocol: bearer.a.b.c"], false),
            (&["Sec-WebSocket-Protocol: Ours"], false),
            (&["Sec-WebSocket-Protocol: ours2, our s"], false),
            (&["Sec-WebSocket-Protocol: \"ours\""], false),
        ];
        for (offers, agreed) in cases {
            let fields = [&[UPGRADE, CONNECTION, KEY, VERSION], offers].concat();
            let head = head("GET / HTTP/1.1", &fields);
            let mut out = BytesMut::new();
            check(&head).expect("in due form").speaking("ours", &head).encode_switching(&mut out, &[]);
            let expected = if agreed { "\r\nSec-WebSocket-Protocol: ours\r\n\r\n" } else { "+xOo=\r\n\r\n" };
            assert!(out.ends_with(expected.as_bytes()), "{offers:?}: {out:?}");
        }
    }

    #[test]
    fn lists_and_letters_of_any_case_are_read_by_token() {
        for (upgrade, connection) in [
            ("upgrade: WebSocket", "connection: keep-alive, upgrade"),
            ("Upgrade: h2c, WEBSOCKET", "Connection: keep-alive\r\nConnection: UPGRADE"),
            ("Upgrade: foo\r\nUpgrade:websocket ", "Connection: ,upgrade ,"),
        ] {
            assert!(
                verdict("GET / HTTP/1.1", &[upgrade, connection, KEY, VERSION, "Content-Length: 0"]).is_ok()
            );
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_named() {
        let get = "GET /ws HTTP/1.1";
        let cases: &[(&str, &[&str], Refused)] = &[
            ("POST /ws HTTP/1.1", &[UPGRADE, CONNECTION, KEY, VERSION], Refused::Method),
            ("get /ws HTTP/1.1", &[UPGRADE, CONNECTION, KEY, VERSION], Refused::Method),
            (get, &[CONNECTION, KEY, VERSION], Refused::Upgrade),
            (get, &["Upgrade: h2c", CONNECTION, KEY, VERSION], Refused::Upgrade),
            (get, &["Upgrade: websocket2", CONNECTION, KEY, VERSION], Refused::Upgrade),
            (get, &[UPGRADE, KEY, VERSION], Refused::Connection),
            (get, &[UPGRADE, "Connection: keep-alive", KEY, VERSION], Refused::Connection),
            (get, &[UPGRADE, "Connection: not-upgrade", KEY, VERSION], Refused::Connection),
            (get, &[UPGRADE, "Connection: upgrade close", KEY, VERSION], Refused::Connection),
            (get, &[UPGRADE, CONNECTION, KEY], Refused::Version),
            (get, &[UPGRADE, CONNECTION, KEY, "Sec-WebSocket-Version: 8"], Refused::Version),
            (get, &[UPGRADE, CONNECTION, KEY, "Sec-WebSocket-Version: 013"], Refused::Version),
            (get, &[UPGRADE, CONNECTION, KEY, "Sec-WebSocket-Version: 13, 8"], Refused::Version),
            (get, &[UPGRADE, CONNECTION, KEY, VERSION, VERSION], Refused::Version),
            (get, &[UPGRADE, CONNECTION, VERSION], Refused::Key),
            (get, &[UPGRADE, CONNECTION, VERSION, KEY, KEY], Refused::Key),
            (get, &[UPGRADE, CONNECTION, VERSION, KEY, "Content-Length: 1"], Refused::Body),
            (get, &[UPGRADE, CONNECTION, VERSION, KEY, "Transfer-Encoding: chunked"], Refused::Body),
        ];
        for (request_line, fields, refused) in cases {
            assert_eq!(verdict(request_line, fields), Err(*refused), "{request_line} {fields:?}");
        }
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_canonical_base64() {
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",           // no padding
            "dGhlIHNhbXBsZSBub25jZQ=",          // half of it
            "dGhlIHNhbXBsZSBub25jZR==",         // bits that say nothing
            "dGhlIHNhbXBsZSBub25j",             // 15 bytes
            "dGhlIHNhbXBsZSBub25jZTE=",         // 17 bytes
            "dGhlIHNhbXBsZSBub25jZTEy",         // 18 bytes
            "dGhlIHNhbXBsZSBub25jZTEyMzQ1Njc4", // 24 bytes
            "dGhlIHNhbXBsZSBub25jZ-==",         // another alphabet
            "dGhlIHNhbXBs ZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==,",
        ] {
            let key = format!("Sec-WebSocket-Key: {key}");
            assert_eq!(
                verdict("GET / HTTP/1.1", &[UPGRADE, CONNECTION, VERSION, &key]),
                Err(Refused::Key),
                "{key}"
            );
        }
    }

    #[test]
    fn refusals_carry_what_their_status_demands() {
        let fields = |refused: Refused| {
            let headers = refused.response().headers;
            headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
                .collect::<Vec<_>>()
        };
        assert_eq!(Refused::Version.status(), 426);
        assert_eq!(fields(Refused::Version), ["upgrade: websocket", "sec-websocket-version: 13"]);
        assert_eq!(Refused::Upgrade.status(), 426);
        assert_eq!(Refused::Method.status(), 405);
        assert_eq!(fields(Refused::Method), ["allow: GET"]);
        assert_eq!(Refused::Key.status(), 400);
        assert_eq!(
            Refused::Connection.response().body,
            r#"{"error":{"code":"bad_handshake","message":"Connection has to name upgrade"}}"#
        );
    }
}

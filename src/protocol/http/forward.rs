//! Heads handed on, from a client to a server and back: which fields pass, and what is said anew.
//!
//! Only what was parsed is ever written, and each message is framed anew. It must not decide where a request goes, nor
//! touch a body.

use super::answer::{AnswerBody, AnswerHead, NOMINATIONS_MAX};
use super::date::HttpDate;
use super::fields::{elements, has_token, only};
use super::handshake;
use super::head::{Body, Head};
use super::response::{After, Response, put_field, put_status};
use crate::protocol::decimal::Decimal;
use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use std::fmt::Write;
use std::net::IpAddr;

/// Whether a request may be handed on at all.
///
/// # Errors
/// Why not, see [`NotForwarded`].
pub fn check_forward(head: &Head) -> Result<(), NotForwarded> {
    // In any case of letters: who reads methods loosely is not to find one here.
    let method = head.method.as_str();
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err(NotForwarded::Connect);
    }
    if method.eq_ignore_ascii_case("TRACE") {
        return Err(NotForwarded::Trace);
    }
    if head.headers.keys().any(|name| name.as_str().as_bytes().contains(&b'_')) {
        return Err(NotForwarded::Underscore);
    }
    for (count, name) in elements(&head.headers, &header::CONNECTION).enumerate() {
        if count >= NOMINATIONS_MAX || !(name.is_empty() || HeaderName::from_bytes(name).is_ok()) {
            return Err(NotForwarded::Connection);
        }
        if is_kept(name) {
            return Err(NotForwarded::Nominated);
        }
    }
    let bodiless = matches!(head.body, Body::None | Body::Length(0));
    if !bodiless && has_token(&head.headers, &header::UPGRADE, "websocket") {
        return Err(NotForwarded::UpgradeBody);
    }
    Ok(())
}

/// Whether a request asks for a WebSocket in due form. Any other upgrade is not handed on: the request goes without.
pub fn is_websocket_upgrade(head: &Head) -> bool {
    handshake::check(head).is_ok()
}

/// What is said of a request to the server, besides what the client said.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding<'a> {
    /// Whom the connection is from.
    pub peer: IpAddr,
    /// Whether that is a proxy whose word counts.
    pub trusted: bool,
    /// The request's id, of ours.
    pub request_id: &'a str,
    /// Whether a WebSocket is asked for, see [`is_websocket_upgrade`].
    pub upgrade: bool,
    /// How the body goes out.
    pub body: Body,
}

/// Appends the head of the request to the server. `path` is in normal form; the query goes as it came.
///
/// The request is one that [`check_forward`] let pass.
pub fn encode_forward(out: &mut BytesMut, head: &Head, path: &str, by: &Forwarding<'_>) {
    let query = head.query.as_deref();
    out.reserve(len_of(&head.headers) + path.len() + query.map_or(0, str::len) + SAID_ANEW_LEN_USUAL);
    out.put_slice(head.method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(path.as_bytes());
    if let Some(query) = query {
        out.put_u8(b'?');
        out.put_slice(query.as_bytes());
    }
    out.put_slice(b" HTTP/1.1\r\n");
    let nominations = Nominations::of(&head.headers);
    for (name, value) in &head.headers {
        let name = name.as_str();
        let stays = is_of_one_hop(name) || is_ours(name, by.trusted) || nominations.name(name);
        if !stays {
            put_field(out, name.as_bytes(), value.as_bytes());
        }
    }
    put_whence(out, &head.headers, by);
    put_field(out, b"X-Request-Id", by.request_id.as_bytes());
    put_via(out, head.version);
    let has_body = !matches!(by.body, Body::None | Body::Length(0));
    // Without a body there is nothing to wait with, and HTTP/1.0 does not wait (RFC 9110, section 10.1.1).
    if has_body && head.version == Version::HTTP_11 && head.headers.contains_key(header::EXPECT) {
        put_field(out, b"Expect", b"100-continue");
    }
    match by.body {
        Body::None => {}
        Body::Length(len) => put_length(out, len),
        Body::Chunked => put_field(out, b"Transfer-Encoding", b"chunked"),
    }
    if by.upgrade {
        out.put_slice(UPGRADE);
    }
    out.put_slice(b"\r\n");
}

/// What is said of an answer to the client, besides what the server said.
#[derive(Debug, Clone, Copy)]
pub struct Answering<'a> {
    /// The request's id, of ours.
    pub request_id: &'a str,
    /// How the body goes out.
    pub framing: AnswerFraming,
    /// What becomes of the client's connection.
    pub after: After,
    /// For an answer that bears no Date.
    pub date: HttpDate,
}

/// How an answer's body goes to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerFraming {
    /// There is none (HEAD, 204, 304); a Content-Length that HEAD or 304 bore is kept.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection ends, for a client that knows no chunks.
    UntilClose,
}

impl AnswerFraming {
    /// For a body that came in `body`, to a client of `version`.
    pub fn of(body: AnswerBody, version: Version) -> Self {
        match body {
            AnswerBody::None => Self::None,
            AnswerBody::Length(len) => Self::Length(len),
            AnswerBody::Chunked | AnswerBody::UntilClose if version == Version::HTTP_11 => Self::Chunked,
            AnswerBody::Chunked | AnswerBody::UntilClose => Self::UntilClose,
        }
    }
}

/// Appends the head of a final answer to the client.
pub fn encode_answer(out: &mut BytesMut, answer: &AnswerHead, by: &Answering<'_>) {
    debug_assert!(!answer.status.is_informational(), "{} is no final answer", answer.status);
    debug_assert!(
        by.framing != AnswerFraming::UntilClose || by.after == After::Close,
        "an end without a close"
    );
    let dated = put_answer(out, answer);
    if !dated {
        put_field(out, b"Date", by.date.as_bytes());
    }
    put_field(out, b"X-Request-Id", by.request_id.as_bytes());
    match by.framing {
        AnswerFraming::None if answer.status == StatusCode::NO_CONTENT => {}
        AnswerFraming::None => {
            if let Some(len) = answer.length() {
                put_length(out, len);
            }
        }
        AnswerFraming::Length(len) => put_length(out, len),
        AnswerFraming::Chunked => put_field(out, b"Transfer-Encoding", b"chunked"),
        AnswerFraming::UntilClose => {}
    }
    if by.after == After::Close {
        put_field(out, b"Connection", b"close");
    }
    out.put_slice(b"\r\n");
}

/// Appends the head of an interim answer (1xx but 101), which only a client of HTTP/1.1 may be sent.
pub fn encode_interim(out: &mut BytesMut, answer: &AnswerHead) {
    debug_assert!(answer.is_interim(), "{} is no interim answer", answer.status);
    put_answer(out, answer);
    out.put_slice(b"\r\n");
}

/// Appends the head of a server's 101, behind which the connection is a tunnel. Whether it is one that may be believed
/// says [`Handshake::is_accepted_by`](super::Handshake::is_accepted_by).
pub fn encode_tunnel(out: &mut BytesMut, answer: &AnswerHead, request_id: &str) {
    debug_assert!(answer.status == StatusCode::SWITCHING_PROTOCOLS, "{} opens no tunnel", answer.status);
    put_answer(out, answer);
    put_field(out, b"X-Request-Id", request_id.as_bytes());
    out.put_slice(UPGRADE);
    out.put_slice(b"\r\n");
}

/// Appends what passes of an answer's head, and Via. Tells whether a Date was among it.
fn put_answer(out: &mut BytesMut, answer: &AnswerHead) -> bool {
    out.reserve(len_of(&answer.headers) + SAID_ANEW_LEN_USUAL);
    put_status(out, answer.status);
    let nominations = Nominations::of(&answer.headers);
    let mut dated = false;
    for (name, value) in &answer.headers {
        let text = name.as_str();
        let stays = is_of_one_hop(text) || text == "x-request-id" || nominations.name(text);
        if !stays {
            dated |= name == header::DATE;
            put_field(out, text.as_bytes(), value.as_bytes());
        }
    }
    put_via(out, answer.version);
    dated
}

/// The fields that say whence a request came. What the client says of that counts only if it is a proxy that is trusted,
/// and only where it says one thing.
fn put_whence(out: &mut BytesMut, headers: &HeaderMap, by: &Forwarding<'_>) {
    out.put_slice(b"X-Forwarded-For: ");
    if by.trusted {
        for hops in headers.get_all(X_FORWARDED_FOR).iter().filter(|hops| !hops.is_empty()) {
            out.put_slice(hops.as_bytes());
            out.put_slice(b", ");
        }
    }
    put_address(out, by.peer.to_canonical());
    out.put_slice(b"\r\n");
    let told = |name| if by.trusted { only(headers, &name).filter(|value| !value.is_empty()) } else { None };
    let proto = told(X_FORWARDED_PROTO).map_or(&b"http"[..], HeaderValue::as_bytes);
    put_field(out, b"X-Forwarded-Proto", proto);
    if let Some(host) = told(X_FORWARDED_HOST).or_else(|| headers.get(header::HOST)) {
        put_field(out, b"X-Forwarded-Host", host.as_bytes());
    }
}

fn put_address(out: &mut BytesMut, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (index, byte) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.put_u8(b'.');
                }
                out.put_slice(Decimal::of(u64::from(byte)).as_bytes());
            }
        }
        // Its short form is not worth writing twice.
        IpAddr::V6(address) => write!(out, "{address}").expect("a buffer that grows"),
    }
}

/// Names us, and the version in which the message came (RFC 9110, section 7.6.3).
fn put_via(out: &mut BytesMut, version: Version) {
    let via: &[u8] =
        if version == Version::HTTP_10 { b"Via: 1.0 vestibule\r\n" } else { b"Via: 1.1 vestibule\r\n" };
    out.put_slice(via);
}

fn put_length(out: &mut BytesMut, len: u64) {
    put_field(out, b"Content-Length", Decimal::of(len).as_bytes());
}

/// Bytes of all fields, written one a line.
fn len_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + b": \r\n".len()).sum()
}

/// The fields that Connection names, so that they go no further (RFC 9110, section 7.6.1).
struct Nominations<'a> {
    /// `None` if it names nothing that would go on otherwise.
    headers: Option<&'a HeaderMap>,
}

impl<'a> Nominations<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let is_usual = |name: &[u8]| USUAL.iter().any(|usual| name.eq_ignore_ascii_case(usual));
        let usual = elements(headers, &header::CONNECTION).all(is_usual);
        Self { headers: (!usual).then_some(headers) }
    }

    /// Whether the field `name` is named. There are [`NOMINATIONS_MAX`] names at most.
    fn name(&self, name: &str) -> bool {
        let Some(headers) = self.headers else { return false };
        elements(headers, &header::CONNECTION).any(|named| named.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Whether a field is of one hop alone, or says how the message is framed, which is said anew.
fn is_of_one_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-length"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a field of a request is said anew by us, or says what only a proxy may say that is trusted. `Proxy` becomes
/// the variable HTTP_PROXY where programs are run as CGI says, and no client has a use for it.
fn is_ours(name: &str, trusted: bool) -> bool {
    match name {
        "expect" | "forwarded" | "proxy" | "x-request-id" => true,
        "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" => true,
        "x-real-ip" => !trusted,
        _ => !trusted && name.starts_with("x-forwarded-"),
    }
}

/// Whether a client may not have a field dropped by naming it in Connection: what is judged by here or by the server,
/// and what a proxy before us may have said.
fn is_kept(name: &[u8]) -> bool {
    let begins =
        |with: &str| name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes()))
        || begins("x-forwarded-")
        || begins("sec-websocket-")
}

const KEPT: [&str; 11] = [
    "authorization",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "origin",
    "transfer-encoding",
    "via",
    "x-real-ip",
    "x-request-id",
];

/// What Connection names that is no field, or does not go on in any case.
const USUAL: [&[u8]; 4] = [b"keep-alive", b"close", b"upgrade", b""];

const UPGRADE: &[u8] = b"Connection: Upgrade\r\nUpgrade: websocket\r\n";

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Enough for a first line and for what is said anew.
const SAID_ANEW_LEN_USUAL: usize = 320;

/// Why a request is not handed on. The connection is closed after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotForwarded {
    /// CONNECT, which would make a tunnel of the connection to anywhere.
    #[error("CONNECT is not spoken here")]
    Connect,
    /// TRACE, which shows to scripts what is kept from them.
    #[error("TRACE is not allowed here")]
    Trace,
    /// A field's name has an underscore, which is a hyphen for some.
    #[error("a header field has an underscore in its name")]
    Underscore,
    /// Connection is not a list of names, [`NOMINATIONS_MAX`] at most.
    #[error("Connection is not a short list of names")]
    Connection,
    /// Connection names a field that is not to be dropped.
    #[error("Connection names a field that is not of one hop")]
    Nominated,
    /// A request for a WebSocket has a body, which would be mistaken for frames.
    #[error("a request for a WebSocket has no body")]
    UpgradeBody,
}

impl NotForwarded {
    /// The status of the response that is due.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Connect => StatusCode::NOT_IMPLEMENTED,
            Self::Trace => StatusCode::METHOD_NOT_ALLOWED,
            Self::Underscore | Self::Connection | Self::Nominated | Self::UpgradeBody => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    /// The short code of the response's JSON body.
    pub fn code(self) -> &'static str {
        match self {
            Self::Connect | Self::Trace => "method",
            Self::Underscore => "underscore",
            Self::Connection | Self::Nominated => "bad_connection",
            Self::UpgradeBody => "bad_handshake",
        }
    }

    /// The response that is due, with the field that 405 demands.
    pub fn response(self) -> Response {
        let response = Response::json_error(self.status(), self.code(), &self.to_string());
        match self {
            Self::Trace => response.with(header::ALLOW, HeaderValue::from_static(ALLOWED)),
            _ => response,
        }
    }
}

/// Methods that may go on; others may too.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

#[cfg(test)]
mod tests;

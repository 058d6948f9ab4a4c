//! Responses: a status, a few fields and a short body, as bytes.
//!
//! Every response says how long its body is, so that a connection can be used again; but for a stream's, whose body
//! others append, and after which it is closed. It must not decide what to answer, nor close anything.

use super::date::HttpDate;
use crate::protocol::decimal::Decimal;
use crate::protocol::json;
use crate::protocol::sse::Framing;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode, header};

/// A response with its whole body.
#[derive(Debug, Clone)]
pub struct Response {
    /// A final status: not 1xx.
    pub status: StatusCode,
    /// Fields besides Date, Content-Type, Content-Length and Connection, which are written for it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What the body is, if it is anything.
    pub content_type: Option<HeaderValue>,
    /// The body; not sent with a status that has none (204, 304).
    pub body: Bytes,
}

impl Response {
    /// A response without a body.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), content_type: None, body: Bytes::new() }
    }

    /// A response with a body of `content_type`.
    pub fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let content_type = Some(HeaderValue::from_static(content_type));
        Self { status, headers: Vec::new(), content_type, body: body.into() }
    }

    /// A response that is a page.
    pub fn html(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::with_body(status, "text/html; charset=utf-8", body)
    }

    /// A response in plain text.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::with_body(status, "text/plain; charset=utf-8", body)
    }

    /// A response in JSON, which `body` already is.
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::with_body(status, "application/json", body)
    }

    /// A refusal: `{"error":{"code":…,"message":…}}`.
    pub fn json_error(status: StatusCode, code: &str, message: &str) -> Self {
        let mut body = BytesMut::with_capacity(40 + code.len() + message.len());
        body.put_slice(b"{\"error\":{\"code\":\"");
        json::escape(&mut body, code);
        body.put_slice(b"\",\"message\":\"");
        json::escape(&mut body, message);
        body.put_slice(b"\"}}");
        Self::json(status, body)
    }

    /// The same with one more field.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What becomes of the connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next request may come.
    KeepAlive,
    /// It is closed.
    Close,
}

/// Appends a whole response (RFC 9112, section 4).
///
/// `head_only` leaves out the body, not its length: the answer to HEAD; of a body that is empty nothing is said, for
/// there it stands for a stream. An Upgrade field among the headers is named in Connection, as RFC 9110, section
/// 7.8 demands of whoever sends one.
pub fn encode_response(
    out: &mut BytesMut,
    response: &Response,
    after: After,
    head_only: bool,
    date: HttpDate,
) {
    debug_assert!(!response.status.is_informational(), "{} is no final response", response.status);
    let has_body = !matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    out.reserve(HEAD_LEN_USUAL + response.body.len());
    put_status(out, response.status);
    put_field(out, b"Date", date.as_bytes());
    if let Some(content_type) = response.content_type.as_ref().filter(|_| has_body) {
        put_field(out, b"Content-Type", content_type.as_bytes());
    }
    if has_body && !(head_only && response.body.is_empty()) {
        put_field(out, b"Content-Length", Decimal::of(response.body.len() as u64).as_bytes());
    }
    put_fields(out, response);
    let upgrade = response.headers.iter().any(|(name, _)| name == header::UPGRADE);
    match (after, upgrade) {
        (After::Close, true) => put_field(out, b"Connection", b"close, upgrade"),
        (After::Close, false) => put_field(out, b"Connection", b"close"),
        (After::KeepAlive, true) => put_field(out, b"Connection", b"upgrade"),
        (After::KeepAlive, false) => {}
    }
    out.put_slice(b"\r\n");
    if has_body && !head_only {
        out.put_slice(&response.body);
    }
}

/// Appends the head of a response whose body is a stream, framed so: its blocks follow, and the connection ends with
/// it. What body the response has is not looked at.
pub fn encode_stream_head(out: &mut BytesMut, response: &Response, framing: Framing, date: HttpDate) {
    out.reserve(HEAD_LEN_USUAL);
    put_status(out, response.status);
    put_field(out, b"Date", date.as_bytes());
    if let Some(content_type) = &response.content_type {
        put_field(out, b"Content-Type", content_type.as_bytes());
    }
    if framing == Framing::Chunked {
        put_field(out, b"Transfer-Encoding", b"chunked");
    }
    put_fields(out, response);
    put_field(out, b"Connection", b"close");
    out.put_slice(b"\r\n");
}

pub(super) fn put_status(out: &mut BytesMut, status: StatusCode) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    // The reason may be empty, the space before it may not be missing.
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
}

fn put_fields(out: &mut BytesMut, response: &Response) {
    for (name, value) in &response.headers {
        put_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
}

pub(super) fn put_field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Enough for the head of a refusal.
const HEAD_LEN_USUAL: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(response: &Response, after: After, head_only: bool) -> String {
        let mut out = BytesMut::new();
        encode_response(&mut out, response, after, head_only, HttpDate::from_unix_s(784_111_777));
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn a_refusal_is_short_json_and_says_that_the_connection_closes() {
        let response = Response::json_error(StatusCode::NOT_FOUND, "not_found", "nothing is at \"/x\"");
        assert_eq!(
            encoded(&response, After::Close, false),
            "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n\
             Content-Length: 63\r\nConnection: close\r\n\r\n\
             {\"error\":{\"code\":\"not_found\",\"message\":\"nothing is at \\\"/x\\\"\"}}"
        );
    }

    #[test]
    fn the_answer_to_head_has_the_length_and_not_the_body() {
        let response = Response::html(StatusCode::OK, "<p>hello</p>");
        assert_eq!(
            encoded(&response, After::KeepAlive, true),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html; charset=utf-8\r\n\
             Content-Length: 12\r\n\r\n"
        );
    }

    #[test]
    fn an_empty_body_has_the_length_zero_and_no_content_has_none() {
        assert!(
            encoded(&Response::new(StatusCode::OK), After::KeepAlive, false)
                .ends_with("Content-Length: 0\r\n\r\n")
        );
        let none = Response::text(StatusCode::NO_CONTENT, "ignored");
        assert_eq!(
            encoded(&none, After::KeepAlive, false),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
        );
    }

    #[test]
    fn an_upgrade_field_is_named_in_connection() {
        let response = Response::new(StatusCode::UPGRADE_REQUIRED)
            .with(header::UPGRADE, HeaderValue::from_static("websocket"));
        assert!(
            encoded(&response, After::Close, false)
                .ends_with("upgrade: websocket\r\nConnection: close, upgrade\r\n\r\n")
        );
        assert!(
            encoded(&response, After::KeepAlive, false)
                .ends_with("upgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        );
    }

    #[test]
    fn a_streams_head_has_no_length_and_closes() {
        let response = Response::with_body(StatusCode::OK, "text/event-stream", "")
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let head = |framing| {
            let mut out = BytesMut::new();
            encode_stream_head(&mut out, &response, framing, HttpDate::from_unix_s(784_111_777));
            String::from_utf8(out.to_vec()).expect("text")
        };
        assert_eq!(
            head(Framing::Chunked),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\ncache-control: no-store\r\nConnection: close\r\n\r\n"
        );
        assert!(!head(Framing::Bare).contains("Transfer-Encoding"));
        assert_eq!(
            encoded(&response, After::KeepAlive, true),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/event-stream\r\n\
             cache-control: no-store\r\n\r\n"
        );
    }

    #[test]
    fn a_status_without_a_name_keeps_its_space() {
        let status = StatusCode::from_u16(599).expect("a status");
        assert!(encoded(&Response::new(status), After::Close, false).starts_with("HTTP/1.1 599 \r\n"));
    }
}

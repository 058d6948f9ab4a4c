//! Heads handed on, from the client to a server and back: which fields pass, and what is said anew.
//!
//! Only what was parsed is ever written. It must not decide where a request goes, nor touch a body.

use super::answer::{AnswerBody, AnswerHead};
use super::date::HttpDate;
use super::head::{Body, Head};
use super::response::{After, Response};
use bytes::BytesMut;
use http::{StatusCode, Version};
use std::net::IpAddr;

/// Whether a request may be handed on at all.
///
/// # Errors
/// Why not, see [`NotForwarded`].
pub fn check_forward(head: &Head) -> Result<(), NotForwarded> {
    let _ = head;
    unimplemented!()
}

/// Whether a request asks for a WebSocket in due form. Any other upgrade is not handed on.
pub fn is_websocket_upgrade(head: &Head) -> bool {
    super::handshake::check(head).is_ok()
}

/// Why a request is not handed on. The connection is closed after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotForwarded {
    /// A field's name has an underscore, which is a hyphen for some.
    #[error("a header field has an underscore in its name")]
    Underscore,
}

impl NotForwarded {
    /// The status of the response that is due.
    pub fn status(self) -> StatusCode {
        unimplemented!()
    }

    /// The short code of the response's JSON body.
    pub fn code(self) -> &'static str {
        unimplemented!()
    }

    /// The response that is due; the connection is to be closed after it.
    pub fn response(self) -> Response {
        unimplemented!()
    }
}

/// What is said of a request to the server, besides what the client said.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding<'a> {
    /// Who the connection is from.
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
pub fn encode_forward(out: &mut BytesMut, head: &Head, path: &str, by: &Forwarding<'_>) {
    let _ = (out, head, path, by);
    unimplemented!()
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

/// Appends the head of the answer to the client.
pub fn encode_answer(out: &mut BytesMut, answer: &AnswerHead, by: &Answering<'_>) {
    let _ = (out, answer, by);
    unimplemented!()
}

/// Appends the head of an interim answer (1xx but 101), which only a client of HTTP/1.1 may be sent.
pub fn encode_interim(out: &mut BytesMut, answer: &AnswerHead) {
    let _ = (out, answer);
    unimplemented!()
}

/// Appends the head of a server's 101, which makes a tunnel of the connection. The caller has asked
/// [`Handshake::is_accepted_by`](super::Handshake::is_accepted_by).
pub fn encode_tunnel(out: &mut BytesMut, answer: &AnswerHead, request_id: &str) {
    let _ = (out, answer, request_id);
    unimplemented!()
}

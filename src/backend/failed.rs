//! What can go wrong with a backend, and what its client is told of it.

use std::io;

use http::StatusCode;

use crate::protocol::http::{AnswerError, ChunkedError};

/// There is no answer of the backend's, or no whole one.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Its name has no address.
    #[error("the server's name is not resolved")]
    NoAddress,
    /// It takes no connection.
    #[error("no connection to the server: {0}")]
    Unreachable(io::Error),
    /// No connection came about in `connect_timeout`.
    #[error("no connection to the server in time")]
    ConnectTimeout,
    /// No answer began in `answer_timeout`.
    #[error("the server did not answer in time")]
    AnswerTimeout,
    /// A body stood still for `idle_timeout`.
    #[error("the server's answer stood still")]
    Idle,
    /// The connection ended before the answer did.
    #[error("the server closed the connection before its answer was whole")]
    Closed,
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Broken(io::Error),
    /// The head of its answer is malformed.
    #[error("the server's answer is malformed: {0}")]
    Head(AnswerError),
    /// The chunks of its answer are malformed.
    #[error("the server's answer is malformed: {0}")]
    Chunks(ChunkedError),
    /// What came is not one answer in HTTP/1.1 that everybody reads alike.
    #[error("the server's answer is malformed: {0}")]
    Malformed(&'static str),
}

impl Failed {
    /// What a client is answered that has not been answered yet.
    pub fn status(&self) -> StatusCode {
        match self {
            Failed::ConnectTimeout | Failed::AnswerTimeout | Failed::Idle => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// The short code of that answer's body.
    pub fn code(&self) -> &'static str {
        if self.status() == StatusCode::GATEWAY_TIMEOUT { "backend_timeout" } else { "bad_gateway" }
    }
}

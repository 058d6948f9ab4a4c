//! What a caller is told who asks for what cannot be had.
//!
//! One shape for all: a status, a code for programs, a message for people, and where in a body it is. Never repeats a
//! key, and never a payload.

use std::borrow::Cow;

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::protocol::http::Response;
use crate::shard::NoAnswer;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) error: Error,
    allow: Option<&'static str>,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Error {
    pub(super) code: &'static str,
    message: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<usize>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a Error,
}

impl Refused {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Refused {
        let error = Error { code, message: message.into(), line: None, column: None, item: None };
        Refused { status, error, allow: None }
    }

    /// The request asks for something that makes no sense.
    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Refused {
        Refused::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// The body is not the JSON that it has to be; where that was seen, counted from 1.
    pub(super) fn bad_json(message: String, line: usize, column: usize) -> Refused {
        let mut refused = Refused::new(StatusCode::BAD_REQUEST, "bad_json", message);
        (refused.error.line, refused.error.column) = (Some(line), Some(column.max(1)));
        refused
    }

    pub(super) fn busy(message: impl Into<Cow<'static, str>>) -> Refused {
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }

    /// Some workers have done it, for so many of a user's connections, and one has not.
    pub(super) fn partly_done(count: usize, no_answer: NoAnswer) -> Refused {
        Refused::busy(format!("done for {count} of the user's connections; {}", why(no_answer)))
    }

    pub(super) fn unauthorized() -> Refused {
        let message = "the API takes Authorization: Bearer KEY, with a key of admin.keys or admin.keys_file";
        Refused::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn not_found() -> Refused {
        Refused::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
    }

    pub(super) fn no_connection() -> Refused {
        Refused::new(StatusCode::NOT_FOUND, "no_connection", "there is no such connection")
    }

    pub(super) fn method(allow: &'static str) -> Refused {
        let message = format!("{allow} is what this path knows");
        Refused { allow: Some(allow), ..Refused::new(StatusCode::METHOD_NOT_ALLOWED, "method", message) }
    }

    /// It is about this item of an array, counted from 0.
    pub(super) fn at_item(mut self, item: usize) -> Refused {
        self.error.item = Some(item);
        self
    }

    pub(super) fn response(&self) -> Response {
        let response = super::json(self.status, &Body { error: &self.error });
        if self.status == StatusCode::UNAUTHORIZED {
            return response.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        match self.allow {
            Some(allow) => response.with(header::ALLOW, HeaderValue::from_static(allow)),
            None => response,
        }
    }
}

impl From<NoAnswer> for Refused {
    fn from(no_answer: NoAnswer) -> Refused {
        Refused::busy(why(no_answer))
    }
}

fn why(no_answer: NoAnswer) -> &'static str {
    match no_answer {
        NoAnswer::Busy => "a worker has as much to answer as it may: try again",
        NoAnswer::Late => "a worker did not answer in time: what was asked for may yet happen",
    }
}

//! One request and its answer on a connection to a server.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};

use super::Failed;
use crate::net::{Stream, Writer};

/// A request, as it goes out.
pub struct Outgoing {
    /// Tells how the answer is framed (HEAD) and whether the request may be sent twice.
    pub method: Method,
    /// The head, and what of the body goes with it.
    pub first: Bytes,
    /// Whether nothing follows `first`.
    pub whole: bool,
    /// It asks for a WebSocket: 101 is an answer then.
    pub upgrade: bool,
}

/// A request under way. Dropped before [`Exchange::finish`], its connection is closed.
pub struct Exchange {
    /// The way to the server.
    pub up: Up,
    /// The way back.
    pub down: Down,
}

/// The way to the server.
pub struct Up {}

/// The way back.
pub struct Down {}

/// The head of an answer.
#[derive(Debug, Clone)]
pub struct AnswerHead {
    /// Its status.
    pub status: StatusCode,
    /// 1.1 or 1.0.
    pub version: Version,
    /// Its fields, as sent; those of one hop too.
    pub headers: HeaderMap,
    /// How long the body is, where that was said; 0 where there is none.
    pub len: Option<u64>,
}

impl Up {
    /// Sends more of the body, framed by the caller. Must be awaited to its end; [`Down::stop`] frees whoever is stuck.
    pub async fn send(&mut self, _bytes: Vec<Bytes>) -> Result<(), Failed> {
        unimplemented!()
    }

    /// The request is sent to its end.
    pub fn end(&mut self) {
        unimplemented!()
    }
}

impl Down {
    /// The next head: an interim one (1xx, but 101) too. May be dropped.
    pub async fn head(&mut self) -> Result<AnswerHead, Failed> {
        unimplemented!()
    }

    /// What came next of the body, without its framing; none at its end. May be dropped.
    pub async fn body(&mut self) -> Result<Option<Bytes>, Failed> {
        unimplemented!()
    }

    /// What of the body is there already; none if one has to wait for it, or it is at its end.
    pub fn body_here(&mut self) -> Option<Bytes> {
        unimplemented!()
    }

    /// Whether the body is at its end.
    pub fn is_ended(&self) -> bool {
        unimplemented!()
    }

    /// Ends the connection in both directions, whoever waits or writes there.
    pub fn stop(&self) {
        unimplemented!()
    }
}

impl Exchange {
    /// Ends the exchange: the connection goes back to the pool if request and answer are whole, the server keeps it
    /// open, and nothing came behind the answer.
    pub fn finish(self) {
        unimplemented!()
    }

    /// After 101: the bare connection, and what came behind the head.
    pub fn into_tunnel(self) -> (Stream, Writer, Bytes) {
        unimplemented!()
    }
}

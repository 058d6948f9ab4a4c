//! What the application is told: JSON, one event a call.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::HookEvent;

/// One event.
pub struct Event<'a> {
    /// Whom it is about.
    pub subject: Subject<'a>,
    /// The how manyeth event of this connection: with `subject.request` it is this event's name.
    pub number: u32,
    /// What happened, or is to happen.
    pub happening: Happening<'a>,
}

/// Whom an event is about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The request that the connection came by, unique for ever: every event of a connection bears it.
    pub request: &'a str,
    /// The connection's name in the API, once it has one.
    pub connection: Option<&'a str>,
    /// Who it is, once that is known.
    pub user: Option<&'a str>,
    /// "websocket" or "sse".
    pub transport: &'static str,
    /// The state that the application gave it, a JSON value.
    pub state: Option<&'a str>,
}

/// What happened, or is to happen.
pub enum Happening<'a> {
    /// Somebody wants to connect.
    Connect {
        /// The client's address.
        address: IpAddr,
        /// Path of the request.
        path: &'a str,
        /// Its query, as sent.
        query: Option<&'a str>,
        /// Fields of `hooks.headers`, in order; names in lower case.
        headers: Vec<(&'a str, &'a str)>,
        /// Subprotocols that are offered.
        subprotocols: Vec<&'a str>,
        /// With `auth.mode = "hook"`: the token that the request bears, not judged.
        token: Option<&'a str>,
        /// With `auth.mode = "jwt"`: all claims of the token, a JSON object.
        claims: Option<&'a str>,
    },
    /// Somebody wants to join a room whose rule says "hook".
    Join {
        /// The room.
        room: &'a str,
    },
    /// A client sent an event.
    Message {
        /// Its name.
        event: &'a str,
        /// A JSON value.
        payload: &'a str,
    },
    /// A client left a room of its own will.
    Leave {
        /// The room.
        room: &'a str,
    },
    /// The connection is gone.
    Disconnect {
        /// The rooms that it was in at the end.
        rooms: &'a [Arc<str>],
    },
}

impl Happening<'_> {
    /// Of which kind it is.
    pub fn kind(&self) -> HookEvent {
        match self {
            Happening::Connect { .. } => HookEvent::Connect,
            Happening::Join { .. } => HookEvent::Join,
            Happening::Message { .. } => HookEvent::Message,
            Happening::Leave { .. } => HookEvent::Leave,
            Happening::Disconnect { .. } => HookEvent::Disconnect,
        }
    }
}

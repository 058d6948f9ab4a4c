//! What a stream of Server-Sent Events needs besides a connection's state: its framing, and its place in each room
//! that it asked for, of which the token is made with which it goes on.
//!
//! Knows no socket. A stream of one room over HTTP/1.1 is told in bytes that all such streams share, ids included;
//! one of several rooms shares all but the ids, which are its own.

use bytes::BytesMut;
use smallvec::SmallVec;

use super::Hub;
use super::connection::Connection;
use super::message::{ConnectionKey, POSITION_BYTES_MAX, Position, RoomKey, Since};
use crate::protocol::Format;
use crate::protocol::sse::{self, Framing, Goodbye};
use crate::protocol::websocket::CloseCode;

/// How a connection is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// The native protocol over WebSocket.
    Native,
    /// Server-Sent Events.
    Stream {
        /// How its body is delimited.
        framing: Framing,
        /// From where on it wants what was published, for each room that it is going to join.
        since: Vec<Option<Since>>,
    },
}

impl Wire {
    pub(super) fn open(self) -> (Format, Option<Box<Stream>>) {
        match self {
            Wire::Native => (Format::Native, None),
            Wire::Stream { framing, since } => {
                let shared = since.len() == 1 && framing == Framing::Chunked;
                let places = since.into_iter().map(|since| Place { room: None, since }).collect();
                let stream = Stream { framing, copied_bytes: 0, places };
                (if shared { Format::Stream } else { Format::Part }, Some(Box::new(stream)))
            }
        }
    }
}

/// A stream's state.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) framing: Framing,
    /// Bytes of its rooms' chunks that were copied for it, in a batch that is not written yet.
    pub(super) copied_bytes: usize,
    /// In the order of the request.
    places: SmallVec<[Place; 1]>,
}

/// Where it goes on in a room. Until it is a member there that is what it came with: who is cut off before has
/// forgotten nothing.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// None before it has joined.
    room: Option<RoomKey>,
    since: Option<Since>,
}

impl Stream {
    /// Whether it has joined all its rooms.
    pub(super) fn is_complete(&self) -> bool {
        self.places.iter().all(|place| place.room.is_some())
    }

    /// It joins the next of its rooms.
    pub(super) fn join_next(&mut self, room: RoomKey) {
        if let Some(place) = self.places.iter_mut().find(|place| place.room.is_none()) {
            place.room = Some(room);
        }
    }

    /// It is sent all of a room before this place.
    pub(super) fn set(&mut self, room: RoomKey, position: Position) {
        if let Some(place) = self.places.iter_mut().find(|place| place.room == Some(room)) {
            place.since = Some(Since::After(position));
        }
    }

    /// What stands around a publication that is its own, at most, in bytes.
    pub(super) fn own_bytes_max(&self) -> usize {
        self.places.len() * (POSITION_BYTES_MAX + 1) + FRAME_BYTES_MAX
    }

    /// With what it goes on from here ([`Since::of_token`]).
    pub(super) fn token(&self) -> String {
        let mut token = String::new();
        for (index, place) in self.places.iter().enumerate() {
            if index > 0 {
                token.push(',');
            }
            match place.since {
                Some(Since::After(position)) => token.push_str(&position.text()),
                Some(Since::Earliest) => token.push_str(Since::EARLIEST),
                Some(Since::Lost) => token.push_str(Since::LOST),
                None => (),
            }
        }
        token
    }
}

impl Connection {
    /// Bytes that were copied for it and are not written yet.
    pub(super) fn copied_bytes(&self) -> usize {
        self.stream.as_ref().map_or(0, |stream| stream.copied_bytes)
    }

    pub(super) fn take_copied_bytes(&mut self) -> usize {
        self.stream.as_mut().map_or(0, |stream| std::mem::take(&mut stream.copied_bytes))
    }

    pub(super) fn set_place(&mut self, room: RoomKey, position: Position) {
        if let Some(stream) = &mut self.stream {
            stream.set(room, position);
        }
    }
}

impl Hub {
    /// Tells a stream where it stands in a room: by an id alone, or by the word that publications are missing.
    pub(super) fn tell_stream(
        &mut self,
        key: ConnectionKey,
        room: RoomKey,
        position: Position,
        recovered: Option<bool>,
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(stream) = &mut connection.stream else { return };
        stream.set(room, position);
        let (framing, token) = (stream.framing, stream.token());
        let name = self.rooms[room].name.clone();
        self.reply(key, |out| match recovered {
            Some(false) => sse::encode_gap(out, framing, &name, &position.text(), Some(&token)),
            _ => sse::encode_id(out, framing, &token),
        });
    }
}

/// The last event of a stream, and its end.
pub(super) fn encode_goodbye(out: &mut BytesMut, framing: Framing, code: CloseCode, reason: &str) {
    let code_on_wire = code.to_wire();
    let hint = reason.strip_prefix("retry=").filter(|_| code == CloseCode::GOING_AWAY);
    let goodbye = Goodbye {
        code: code_on_wire,
        reason,
        retry_ms: hint.and_then(|ms| ms.parse().ok()),
        stop: code == CloseCode::UNAUTHORIZED || code == CloseCode::FORBIDDEN,
    };
    sse::encode_goodbye(out, framing, goodbye);
}

/// Around a publication besides the token: the size of its chunk, the name of the field, and line ends.
const FRAME_BYTES_MAX: usize = 32;

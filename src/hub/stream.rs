//! What a stream of Server-Sent Events needs besides a connection's state: its framing, and its place in each room
//! that it asked for, of which the token is made with which it goes on.
//!
//! Knows no socket. A stream of one room over HTTP/1.1 is told in bytes that all such streams share, ids included;
//! one of several rooms shares all but the ids, which are its own.

use bytes::BytesMut;
use smallvec::SmallVec;

use super::Hub;
use super::connection::Connection;
use super::message::{ConnectionKey, Position, RoomKey, Since};
use crate::protocol::Format;
use crate::protocol::sse::{self, Framing, Goodbye};
use crate::protocol::websocket::CloseCode;

/// How a connection is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// The native protocol over WebSocket.
    Native,
    /// Server-Sent Events.
    Stream {
        /// How its body is delimited.
        framing: Framing,
        /// How many rooms it asks for.
        rooms: usize,
    },
}

impl Wire {
    pub(super) fn open(self) -> (Format, Option<Box<Stream>>) {
        match self {
            Wire::Native => (Format::Native, None),
            Wire::Stream { framing, rooms } => {
                let shared = rooms == 1 && framing == Framing::Chunked;
                let stream = Stream { framing, rooms, places: SmallVec::new() };
                (if shared { Format::Stream } else { Format::Part }, Some(Box::new(stream)))
            }
        }
    }
}

/// A stream's state.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) framing: Framing,
    rooms: usize,
    /// In the order of the request.
    places: SmallVec<[Place; 1]>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    room: RoomKey,
    at: Option<Position>,
}

impl Stream {
    /// Whether it has asked for all its rooms.
    pub(super) fn is_complete(&self) -> bool {
        self.places.len() >= self.rooms
    }

    /// It asks for the next room; until it is a member there it has the place that it came with.
    pub(super) fn ask(&mut self, room: RoomKey, since: Option<Since>) {
        let at = match since {
            Some(Since::After(position)) => Some(position),
            _ => None,
        };
        self.places.push(Place { room, at });
    }

    /// It is sent all of a room before this place.
    pub(super) fn set(&mut self, room: RoomKey, position: Position) {
        if let Some(place) = self.places.iter_mut().find(|place| place.room == room) {
            place.at = Some(position);
        }
    }

    /// With what it goes on from here ([`Since::of_token`]).
    pub(super) fn token(&self) -> String {
        let mut token = String::new();
        for (index, place) in self.places.iter().enumerate() {
            if index > 0 {
                token.push(',');
            }
            if let Some(position) = place.at {
                token.push_str(&position.text());
            }
        }
        // What it has not asked for yet has no place.
        token.extend(std::iter::repeat_n(',', self.rooms.saturating_sub(self.places.len().max(1))));
        token
    }
}

impl Connection {
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
    let goodbye = Goodbye {
        code: code_on_wire,
        reason,
        retry_ms: reason.strip_prefix("retry=").and_then(|ms| ms.parse().ok()),
        stop: code == CloseCode::UNAUTHORIZED || code == CloseCode::FORBIDDEN,
    };
    sse::encode_goodbye(out, framing, goodbye);
}

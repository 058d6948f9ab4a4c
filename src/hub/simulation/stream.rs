//! A member that listens to a stream of Server-Sent Events: bytes to what a member of the native protocol is told.
//!
//! Reads as an `EventSource` does, and keeps the last id, of which it tells its place in each room. It is handed
//! whole writes, which end where a block ends.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::hub::{Position, Since, Wire};
use crate::protocol::sse::Framing;

/// A stream as its client sees it.
pub(super) struct Listening {
    framing: Framing,
    /// In the order in which they were asked for.
    rooms: Vec<String>,
    /// What it came with.
    since: Vec<Option<Since>>,
    token: String,
    /// It was told when to come back, or its last chunk has come.
    ended: bool,
    /// Blocks of an id alone: rooms that have answered.
    answered: usize,
    heard: HashSet<String>,
}

impl Listening {
    pub(super) fn new(framing: Framing, rooms: Vec<String>, since: Vec<Option<Since>>) -> Listening {
        Listening {
            framing,
            rooms,
            since,
            token: String::new(),
            ended: false,
            answered: 0,
            heard: HashSet::new(),
        }
    }

    pub(super) fn wire(&self) -> Wire {
        Wire::Stream { framing: self.framing, since: self.since.clone() }
    }

    /// What a write tells, in the words of the native protocol.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Value> {
        let body = match self.framing {
            Framing::Bare => bytes.to_vec(),
            Framing::Chunked => self.join_chunks(bytes),
        };
        let text = String::from_utf8(body).expect("text");
        assert!(text.is_empty() || text.ends_with("\n\n"), "a block is cut: {text:?}");
        let told: Vec<Value> =
            text.split_terminator("\n\n").filter_map(|block| self.read_block(block)).collect();
        let gone = self.ended && !told.iter().any(|value| value["type"] == "close");
        told.into_iter().chain(gone.then(|| json!({ "type": "close", "code": 1001 }))).collect()
    }

    fn join_chunks(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        while !bytes.is_empty() {
            let line = bytes.windows(2).position(|two| two == b"\r\n").expect("the line of a chunk's size");
            let digits = std::str::from_utf8(&bytes[..line]).expect("digits");
            let size = usize::from_str_radix(digits, 16).expect("a size");
            let data = &bytes[line + 2..];
            assert_eq!(&data[size..size + 2], b"\r\n", "the end of a chunk");
            body.extend_from_slice(&data[..size]);
            bytes = &data[size + 2..];
            if size == 0 {
                assert!(bytes.is_empty(), "bytes behind the last chunk");
                self.ended = true;
            }
        }
        body
    }

    fn read_block(&mut self, block: &str) -> Option<Value> {
        let (mut event, mut data, mut room) = ("message", None, None);
        for line in block.split('\n') {
            match line.split_once(": ") {
                Some(("event", name)) => event = name,
                Some(("data", payload)) => data = Some(payload),
                Some(("room", name)) => room = Some(name),
                Some(("id", token)) => self.token = token.to_owned(),
                // Where nothing else delimits the stream, its end is the connection's, which is not seen here.
                Some(("retry", ms)) => self.ended |= ms.parse::<u64>().is_ok(),
                other => panic!("{other:?} is no line of a stream"),
            }
        }
        self.answered += usize::from(data.is_none() && block.starts_with("id"));
        let payload: Value = serde_json::from_str(data?).expect("JSON");
        let room = room.or(payload["room"].as_str()).unwrap_or(&self.rooms[0]).to_owned();
        self.heard.insert(room.clone());
        Some(match event {
            "message" => json!({ "type": "message", "room": room, "payload": payload }),
            "gap" => json!({ "type": "gap", "room": payload["room"], "position": payload["position"] }),
            "close" => json!({ "type": "close", "code": payload["code"] }),
            other => panic!("what is a {other:?}?"),
        })
    }

    /// Each room with the place that the last id names for it.
    pub(super) fn places(&self) -> Vec<(String, Option<Position>)> {
        let since = match self.token.as_str() {
            "" => self.since.clone(),
            token => Since::of_token(token, self.rooms.len()),
        };
        let at = |since| match since {
            Some(Since::After(position)) => Some(position),
            Some(Since::Earliest | Since::Lost) => panic!("{} is no token", self.token),
            None => None,
        };
        self.rooms.iter().cloned().zip(since.into_iter().map(at)).collect()
    }

    /// Whether it is known from what has come that it is a member of a room, not only that it asks for it.
    pub(super) fn is_answered(&self, room: &str) -> bool {
        self.answered == self.rooms.len() || self.heard.contains(room)
    }

    /// The place that it has in a room.
    pub(super) fn place(&self, room: &str) -> Option<Position> {
        self.places().into_iter().find(|(name, _)| name == room).and_then(|(_, at)| at)
    }
}

//! One member: it reads what it is sent, frame by frame, and holds each against the ledger.
//!
//! It believes the wire alone. That a room's publications come only between a join's ack and a leave's,
//! in one order, once, and whole unless it is told of a gap, is checked here and nowhere else. Who comes back
//! takes along what it had seen of its rooms: told that it is sent all it missed, it goes on from there.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::Value;

use super::ledger::Ledger;
use super::stream::Listening;
use super::world::Command;
use crate::hub::{ConnectionKey, Hub, Position, Since};

/// A connection as its peer sees it.
pub(super) struct Client {
    pub(super) shard: usize,
    pub(super) key: ConnectionKey,
    pub(super) user: String,
    /// It does not read.
    pub(super) stalled: bool,
    /// What has to be tried again, and before anything else.
    pub(super) blocked: Option<Command>,
    /// Raised before its goodbye, with what every room's home had accepted then.
    pub(super) fence: Option<(u64, HashMap<String, usize>)>,
    pub(super) gone: bool,
    pub(super) delivered: u64,
    /// Rooms in which it went on from where it had been, and in which it could not.
    pub(super) recovered: u64,
    pub(super) unrecovered: u64,
    /// Its goodbye came, and behind its fence.
    pub(super) fenced: bool,
    /// Rooms that a stream has yet to ask for, the next one last.
    pub(super) to_ask: Vec<(String, Option<View>)>,
    /// What it reads by, if it is a stream.
    pub(super) listening: Option<Listening>,
    flight: Vec<Bytes>,
    writing: bool,
    views: HashMap<String, View>,
    asked: HashMap<u64, Asked>,
    closed: bool,
}

/// What a client waits to have acknowledged.
pub(super) enum Asked {
    /// With what it had seen of the room, if it came back.
    Join(String, Option<View>),
    /// With what the room's home had accepted, if it is on the same shard: that much must come first.
    Leave(String, usize),
    Publish,
}

/// What a client has seen of a room that it has joined.
#[derive(Clone)]
pub(super) struct View {
    /// All that stands in the order from here on has to come.
    next: usize,
    /// Something has come: nothing from before it may.
    begun: bool,
    /// It was told that publications are missing, and nothing since.
    gap: bool,
    /// Where it stands, in a room with history.
    position: Option<Position>,
}

impl View {
    /// With what it asks for what it missed.
    pub(super) fn since(&self) -> Option<Since> {
        self.position.map(Since::After)
    }
}

impl Client {
    pub(super) fn new(shard: usize, key: ConnectionKey, user: String) -> Client {
        Client {
            shard,
            key,
            user,
            stalled: false,
            blocked: None,
            fence: None,
            gone: false,
            delivered: 0,
            recovered: 0,
            unrecovered: 0,
            fenced: false,
            to_ask: Vec::new(),
            listening: None,
            flight: Vec::new(),
            writing: false,
            views: HashMap::new(),
            asked: HashMap::new(),
            closed: false,
        }
    }

    /// Remembers a request that took effect, or will.
    pub(super) fn ask(&mut self, id: u64, asked: Asked) {
        self.asked.insert(id, asked);
    }

    /// How many of its requests it has not seen acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        self.asked.len()
    }

    /// A stream that goes on from what it had seen of its rooms.
    pub(super) fn listen(&mut self, listening: Listening, views: HashMap<String, View>) {
        (self.listening, self.views) = (Some(listening), views);
    }

    /// What it has seen, for when it comes back.
    pub(super) fn take_views(&mut self) -> HashMap<String, View> {
        let mut views = std::mem::take(&mut self.views);
        if let Some(listening) = &self.listening {
            for (room, view) in &mut views {
                view.position = listening.place(room);
            }
        }
        views
    }

    /// Whether it may still ask for something.
    pub(super) fn is_staying(&self) -> bool {
        self.fence.is_none() && !self.closed
    }

    /// Whether it has been told to go.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether nothing is on its way from it or to it.
    pub(super) fn is_at_rest(&self) -> bool {
        self.gone || !self.writing && self.blocked.is_none()
    }

    /// The hub has listed it: a write begins.
    pub(super) fn start_write(&mut self, hub: &mut Hub) {
        self.flight.clear();
        self.writing = hub.batch(self.key, &mut self.flight);
    }

    /// The write in flight ends, if there is one. Who is behind again is listed.
    pub(super) fn complete_write(&mut self, hub: &mut Hub, ledger: &Ledger) {
        if !self.writing {
            return;
        }
        let bytes = self.flight.concat();
        self.writing = false;
        hub.on_written(self.key);
        self.read(&bytes, ledger);
    }

    /// Reads what was written in one batch: whole frames only, and nothing behind a close.
    fn read(&mut self, bytes: &[u8], ledger: &Ledger) {
        if self.listening.is_some() {
            return self.read_stream(bytes, ledger);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            assert!(!self.closed, "bytes behind a close frame");
            let (opcode, payload, behind) = split_frame(rest);
            rest = behind;
            if opcode == CLOSE {
                self.on_goodbye(u16::from_be_bytes([payload[0], payload[1]]), ledger);
                continue;
            }
            let value: Value = serde_json::from_slice(payload).expect("frames are whole");
            self.on_told(&value, ledger);
        }
    }

    /// A stream is a member of a room once it has a place there.
    fn read_stream(&mut self, bytes: &[u8], ledger: &Ledger) {
        let Some(listening) = &mut self.listening else { return };
        let told = listening.read(bytes);
        for (room, at) in listening.places() {
            assert!(at.is_some() || !self.views.contains_key(&room), "the place in {room} is forgotten");
            if at.is_some() && !self.views.contains_key(&room) {
                let view = View { next: ledger.accepted(&room), begun: false, gap: false, position: at };
                self.views.insert(room, view);
            }
        }
        told.iter().for_each(|value| self.on_told(value, ledger));
    }

    fn on_told(&mut self, value: &Value, ledger: &Ledger) {
        match value["type"].as_str() {
            Some("ack") => self.on_ack(value, ledger),
            Some("error") => self.on_refusal(value),
            Some("gap") => {
                // What a stream missed is lost, and what comes then need not be behind what it saw.
                let next = ledger.accepted(room_of(value));
                let streaming = self.listening.is_some();
                let view = self.view(value);
                view.gap = true;
                view.position = position_of(value);
                if streaming {
                    (view.next, view.begun) = (next, false);
                }
            }
            Some("message") => self.on_publication(value, ledger),
            Some("close") => self.on_goodbye(value["code"].as_u64().expect("a code") as u16, ledger),
            other => panic!("what is a {other:?}?"),
        }
    }

    fn view(&mut self, value: &Value) -> &mut View {
        let view = self.views.get_mut(room_of(value));
        view.expect("only members are told of a room")
    }

    fn on_ack(&mut self, value: &Value, ledger: &Ledger) {
        let id = value["id"].as_u64().expect("the id as sent");
        match self.asked.remove(&id).expect("every request is acknowledged once") {
            Asked::Join(room, before) => {
                let position = position_of(value);
                let view = match value["recovered"].as_bool() {
                    Some(true) => {
                        self.recovered += 1;
                        let view = before.expect("only who was there before can go on");
                        assert_eq!(view.position, position, "it goes on from where it was");
                        view
                    }
                    told => {
                        self.unrecovered += u64::from(told.is_some());
                        View { next: ledger.accepted(&room), begun: false, gap: false, position }
                    }
                };
                self.views.entry(room).or_insert(view);
            }
            Asked::Leave(room, until) => {
                if let Some(view) = self.views.remove(&room) {
                    self.check_view(&view, &room, until, ledger);
                }
            }
            Asked::Publish => (),
        }
    }

    /// The one refusal there is here: of a join, to whoever is not in the room already.
    fn on_refusal(&mut self, value: &Value) {
        assert_eq!(value["code"], "too_many_rooms");
        match self.asked.remove(&value["id"].as_u64().expect("the id as sent")) {
            Some(Asked::Join(room, _)) => {
                assert!(!self.views.contains_key(&room), "a member of {room} was refused it");
            }
            _ => panic!("only a join opens a room"),
        }
    }

    fn on_publication(&mut self, value: &Value, ledger: &Ledger) {
        self.delivered += 1;
        let room = room_of(value);
        let id = value["payload"][0].as_u64().expect("an id");
        let index = ledger.index_of(room, id).expect("what is delivered was accepted");
        assert!(!ledger.is_excluded(self, id), "an excluded member got {id}");
        let view = self.views.get(room).expect("only members get a room's publications");
        assert!(!view.begun || index >= view.next, "{id} came twice or out of order");
        self.check_view(view, room, index, ledger);
        *self.view(value) = View { next: index + 1, begun: true, gap: false, position: position_of(value) };
    }

    /// All up to `until` has come, or the client knows that something is missing.
    fn check_view(&self, view: &View, room: &str, until: usize, ledger: &Ledger) {
        if !view.gap {
            ledger.check_none_missed(self, room, view.next, until);
        }
    }

    /// Whoever is told goodbye behind a fence has all that was accepted when the fence was raised.
    fn on_goodbye(&mut self, code: u16, ledger: &Ledger) {
        self.closed = true;
        match (code, self.fence.take()) {
            (1001, Some((_, accepted))) => {
                self.fenced = true;
                let answered = |room: &&String| {
                    self.listening.as_ref().is_none_or(|listening| listening.is_answered(room))
                };
                for (room, view) in self.views.iter().filter(|(room, _)| answered(room)) {
                    let until = accepted.get(room).copied().unwrap_or(0);
                    self.check_view(view, room, until, ledger);
                }
            }
            (4008, _) => (),
            // A stream whose room has no place.
            (1013, _) if self.listening.is_some() => (),
            (code, _) => panic!("closed with {code}"),
        }
    }

    /// At the end: all its requests were acknowledged, and all its rooms have told it everything.
    pub(super) fn check_rest(&self, ledger: &Ledger) {
        assert!(self.asked.is_empty(), "a request was never acknowledged");
        for (room, view) in &self.views {
            self.check_view(view, room, ledger.accepted(room), ledger);
        }
    }
}

fn position_of(value: &Value) -> Option<Position> {
    value["position"].as_str().map(|text| Position::parse(text).expect("a position"))
}

fn room_of(value: &Value) -> &str {
    value["room"].as_str().expect("a room's name")
}

/// The front frame of a server, which masks nothing: opcode, payload, and what is behind it.
fn split_frame(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (head, len) = match bytes[1] {
        126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        len => (2, usize::from(len)),
    };
    (bytes[0] & 15, &bytes[head..head + len], &bytes[head + len..])
}

const CLOSE: u8 = 8;

//! What the hub keeps of a connection: where it is a member, and its outbox.
//!
//! The outbox holds what is for this connection alone (acks, pongs, errors, a goodbye). Knows no
//! socket; who asks for a batch must say when it has been written.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::message::RoomKey;
use super::stream::{Stream, Wire};
use super::users::Links;
use crate::protocol::Format;

/// A connection's state in the hub.
pub(super) struct Connection {
    pub(super) user: Arc<str>,
    pub(super) format: Format,
    /// What a stream needs besides.
    pub(super) stream: Option<Box<Stream>>,
    pub(super) links: Links,
    /// Most are in one room, which takes no heap.
    pub(super) memberships: SmallVec<[Membership; 1]>,
    pub(super) outbox: Outbox,
    /// Bytes of its rooms' chunks from its cursors on, a write in flight included.
    pub(super) room_bytes: usize,
    /// Bytes of the batch in flight that no cursor stands for.
    pub(super) flight_bytes: usize,
    pub(super) activity: Activity,
    /// Somebody asks, when it is gone, in which rooms it was.
    pub(super) is_watched: bool,
    /// It is (being) told goodbye: it belongs to no room and takes no more commands.
    pub(super) leaving: bool,
}

/// Whether somebody is about to ask for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// Has all it is to have.
    Idle,
    /// Stands in the list of those to be written to.
    Listed,
    /// A batch is in flight.
    Writing,
    /// Stands in the list again: a batch was written and did not bring it to the head. Its lag counts as if
    /// that were still in flight, or who gets a little each turn could stay behind without end.
    Behind,
}

/// A connection's place in one room: either a member there, or waiting for the home's answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Membership {
    pub(super) room: RoomKey,
    /// Its index among the room's members; none while it waits.
    pub(super) index: Option<u32>,
}

impl Connection {
    pub(super) fn new(user: Arc<str>, wire: Wire) -> Connection {
        let (format, stream) = wire.open();
        Connection {
            user,
            format,
            stream,
            links: Links::default(),
            memberships: SmallVec::new(),
            outbox: Outbox::default(),
            room_bytes: 0,
            flight_bytes: 0,
            activity: Activity::Idle,
            is_watched: false,
            leaving: false,
        }
    }

    /// All that it has not been sent, in bytes: what `limits.lag` bounds.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.room_bytes + self.outbox.len() + self.flight_bytes
    }

    pub(super) fn membership(&mut self, room: RoomKey) -> Option<&mut Membership> {
        self.memberships.iter_mut().find(|membership| membership.room == room)
    }
}

/// Bytes for one connection alone, in the order in which they were put in.
#[derive(Default)]
pub(super) struct Outbox {
    sealed: VecDeque<Bytes>,
    open: BytesMut,
    len: usize,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends what `encode` writes.
    pub(super) fn encode(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let before = self.open.len();
        encode(&mut self.open);
        self.len += self.open.len() - before;
    }

    /// Appends a slice of a chunk, shared.
    pub(super) fn push(&mut self, slice: Bytes) {
        self.seal();
        self.len += slice.len();
        self.sealed.push_back(slice);
    }

    /// Moves it all behind `slices`, and returns how many bytes that were.
    pub(super) fn drain(&mut self, slices: &mut Vec<Bytes>) -> usize {
        if self.len == 0 {
            return 0;
        }
        self.seal();
        slices.extend(self.sealed.drain(..));
        // An idle connection keeps no buffer.
        self.sealed = VecDeque::new();
        std::mem::take(&mut self.len)
    }

    pub(super) fn clear(&mut self) {
        *self = Outbox::default();
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.sealed.push_back(std::mem::take(&mut self.open).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_keeps_the_order_of_what_is_encoded_and_what_is_shared() {
        let mut outbox = Outbox::default();
        outbox.encode(|out| out.extend_from_slice(b"ab"));
        outbox.encode(|out| out.extend_from_slice(b"c"));
        outbox.push(Bytes::from_static(b"de"));
        outbox.encode(|out| out.extend_from_slice(b"f"));
        let mut slices = Vec::new();
        assert_eq!(outbox.len(), 6);
        assert_eq!(outbox.drain(&mut slices), 6);
        assert_eq!(slices.concat(), b"abcdef");
        assert_eq!((outbox.len(), outbox.drain(&mut slices)), (0, 0));
    }
}

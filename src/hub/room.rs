//! Joining and leaving: a room at a shard, its members, and those that wait for the home's answer.
//!
//! A room exists here while somebody is a member or waits. Its home hears of it when the first comes
//! and when the last has gone, and in between only of those who were away and want what they missed: that is
//! `recovery`.

use std::sync::Arc;

use super::connection::Membership;
use super::log::{Cursor, Log};
use super::message::{ConnectionKey, Position, RoomKey, ShardId, Since};
use super::recovery::Standing;
use super::{Hub, INTERESTS_MAX, JOINS_UNANSWERED_MAX, Refusal, Step, Unsent};
use crate::protocol::native::RequestId;

/// A room that has local members.
pub(super) struct Room {
    pub(super) name: Arc<str>,
    pub(super) home: ShardId,
    /// The home has answered: publications arrive, and whoever joins is a member at once.
    pub(super) live: bool,
    /// It stands in the list of rooms to be sealed.
    pub(super) dirty: bool,
    pub(super) log: Log,
    pub(super) members: Vec<Member>,
    pub(super) waiting: Vec<Waiting>,
    /// Where what was appended so far ends; none before the home has answered.
    pub(super) position: Option<Position>,
    /// It has a history.
    pub(super) kept: bool,
    /// The offset from which the home was asked for the history, until it answers.
    pub(super) recalled: Option<u64>,
}

/// A member: a position in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) connection: ConnectionKey,
    /// What it has been sent.
    pub(super) cursor: Cursor,
    /// What it will have been sent when the write in flight is done.
    pub(super) taken: Cursor,
}

/// Somebody who is to be a member once the home has answered.
pub(super) struct Waiting {
    pub(super) connection: ConnectionKey,
    pub(super) request: Option<RequestId>,
    pub(super) since: Option<Since>,
    pub(super) on_behalf: bool,
}

/// How somebody joins.
#[derive(Debug, Clone, Copy, Default)]
pub struct Join<'a> {
    /// The request to acknowledge.
    pub request: Option<&'a RequestId>,
    /// The place that it had: it is sent what was published since, or told that this is not held any more. Of a
    /// stream it is what it was born with.
    pub since: Option<Since>,
    /// Not its client asked for it: that is told nothing, whatever comes of it.
    pub on_behalf: bool,
}

impl Hub {
    /// Makes a connection a member of a room, and acknowledges it when a request is given: at once, or
    /// when the home has answered. From then on it is sent every publication but those that exclude it.
    ///
    /// Whether it may is for the caller to know. To join where one is already is acknowledged too. What a stream
    /// joins first is what it asked for, in that order; it joins nothing else.
    pub fn join(&mut self, key: ConnectionKey, name: &str, join: Join<'_>) -> Result<Step, Refusal> {
        let known = self.rooms_by_name.get(name).copied();
        let Some(connection) = self.connections.get_mut(key).filter(|connection| !connection.leaving) else {
            return Ok(Step::Done);
        };
        let membership = known.and_then(|room| connection.membership(room).copied());
        if membership.is_none() && connection.memberships.len() >= self.limits.rooms_per_connection {
            return Err(Refusal::TooManyRooms);
        }
        if membership.is_none() && connection.stream.as_ref().is_some_and(|stream| stream.is_complete()) {
            return Err(Refusal::FixedRooms);
        }
        if membership.is_some_and(|membership| membership.index.is_some()) {
            self.acknowledge_if(key, join.request);
            return Ok(Step::Done);
        }
        let home = self.home_of(name);
        let here = home == self.options.shard;
        let live = here || known.is_some_and(|room| self.rooms[room].live);
        // With a place to go on from the home may have to be asked for what was missed.
        if (!live || !here && join.since.is_some()) && !self.may_join(home) {
            self.counts.waited += 1;
            return Ok(Step::Wait(home));
        }
        if here && !self.may_open(name) {
            self.counts.rooms_refused += 1;
            return Err(Refusal::NodeFull);
        }
        let room = known.unwrap_or_else(|| self.open_room(name, home));
        if membership.is_none() {
            let connection = &mut self.connections[key];
            connection.memberships.push(Membership { room, index: None });
            if let Some(stream) = &mut connection.stream {
                stream.join_next(room);
            }
            self.census.members += 1;
        }
        self.peers[home.index()].joins_unanswered += u32::from(!here);
        let Join { request, since, on_behalf } = join;
        let waiting = Waiting { connection: key, request: request.cloned(), since, on_behalf };
        self.rooms[room].waiting.push(waiting);
        if live {
            self.admit_waiting(room);
        }
        Ok(Step::Done)
    }

    /// Takes a connection out of a room. It is sent what was published there so far, then the ack.
    pub fn leave(
        &mut self,
        key: ConnectionKey,
        name: &str,
        request: Option<&RequestId>,
    ) -> Result<(), Refusal> {
        let known = self.rooms_by_name.get(name).copied();
        let connection = self.connections.get_mut(key).filter(|connection| !connection.leaving);
        let (Some(connection), Some(room)) = (connection, known) else {
            return Err(Refusal::NotJoined);
        };
        let at = connection.memberships.iter().position(|membership| membership.room == room);
        let membership = connection.memberships.swap_remove(at.ok_or(Refusal::NotJoined)?);
        self.detach(key, membership, Unsent::Sent);
        self.acknowledge_if(key, request);
        Ok(())
    }

    /// The home has answered: who waited for nothing else is a member.
    pub(super) fn on_joined(&mut self, room: RoomKey, position: Position, kept: bool) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        // Where it says how the room is kept by now, the position is that of what was appended already.
        entry.live = true;
        entry.position = Some(position);
        entry.kept = kept;
        self.admit_waiting(room);
    }

    /// The home has no place for the room: who waited is told so.
    pub(super) fn on_room_refused(&mut self, room: RoomKey) {
        let Some(entry) = self.rooms.remove(room) else { return };
        self.rooms_by_name.remove(&entry.name);
        self.peers[entry.home.index()].joins_answered(entry.waiting.len());
        for Waiting { connection: key, request, on_behalf, .. } in entry.waiting {
            if let Some(connection) = self.connections.get_mut(key) {
                // Who asked twice waits twice, with one membership.
                let before = connection.memberships.len();
                connection.memberships.retain(|membership| membership.room != room);
                self.census.members -= before - connection.memberships.len();
            }
            if !on_behalf {
                self.refuse_room(key, request.as_ref());
            }
        }
    }

    /// Whether one more join may wait for that home's answer.
    pub(super) fn may_join(&self, home: ShardId) -> bool {
        let peer = &self.peers[home.index()];
        peer.joins_unanswered < JOINS_UNANSWERED_MAX && peer.interests.len() < INTERESTS_MAX
    }

    pub(super) fn leave_all(&mut self, key: ConnectionKey, unsent: Unsent) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.is_watched && !connection.leaving {
            let rooms = self.rooms_of(key).into_boxed_slice();
            self.last_rooms.insert(key, rooms);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        for membership in std::mem::take(&mut connection.memberships) {
            self.detach(key, membership, unsent);
        }
    }

    fn open_room(&mut self, name: &str, home: ShardId) -> RoomKey {
        let name: Arc<str> = name.into();
        let room = self.rooms.insert(Room {
            name: name.clone(),
            home,
            live: home == self.options.shard,
            dirty: false,
            log: Log::default(),
            members: Vec::new(),
            waiting: Vec::new(),
            position: None,
            kept: false,
            recalled: None,
        });
        self.rooms_by_name.insert(name.clone(), room);
        if home == self.options.shard {
            let home = self.home_entry(&name);
            let home = &mut self.homes[home];
            home.local = Some(room);
            let entry = &mut self.rooms[room];
            (entry.position, entry.kept) = (Some(home.head()), home.keep.is_any());
        } else {
            self.peers[home.index()].interests.want(&name, room);
        }
        room
    }

    /// Puts a waiting or new membership's cursor behind all that was appended so far. The cursor is set
    /// before the ack leaves: whoever has seen the ack must also see the next publication, whichever
    /// shard it enters by.
    pub(super) fn attach(&mut self, room: RoomKey, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let format = connection.format;
        let entry = &mut self.rooms[room];
        let Some(membership) = connection.membership(room).filter(|membership| membership.index.is_none())
        else {
            return;
        };
        membership.index = Some(entry.members.len() as u32);
        // The others are owed what the new member must not get: it is sealed before its cursor.
        self.seal(room);
        let entry = &mut self.rooms[room];
        let cursor = entry.log.attach(format);
        entry.members.push(Member { connection: key, cursor, taken: cursor });
    }

    fn detach(&mut self, key: ConnectionKey, membership: Membership, unsent: Unsent) {
        self.census.members -= 1;
        let room = membership.room;
        if let Some(index) = membership.index {
            self.detach_member(key, room, index as usize, unsent);
        }
        // Who asked twice may be a member and wait.
        self.detach_waiting(key, room);
        let entry = &self.rooms[room];
        if entry.members.is_empty() && entry.waiting.is_empty() {
            self.close_room(room);
        }
    }

    fn detach_member(&mut self, key: ConnectionKey, room: RoomKey, index: usize, unsent: Unsent) {
        if unsent == Unsent::Sent {
            self.seal(room);
        }
        let entry = &mut self.rooms[room];
        let member = entry.members.swap_remove(index);
        debug_assert!(member.connection == key, "a membership names its member");
        if let Some(moved) = entry.members.get(index)
            && let Some(membership) = self.connections[moved.connection].membership(room)
        {
            membership.index = Some(index as u32);
        }
        self.settle(key, room, member, unsent);
        let before = self.rooms[room].log.held_bytes();
        let format = self.connections[key].format;
        let log = &mut self.rooms[room].log;
        log.detach(member.cursor, format);
        self.census.log_bytes -= before - log.held_bytes();
    }

    /// Who leaves while it waits is acknowledged as a member that left again: nothing was published in
    /// between.
    fn detach_waiting(&mut self, key: ConnectionKey, room: RoomKey) {
        let entry = &mut self.rooms[room];
        let (gone, stay) =
            std::mem::take(&mut entry.waiting).into_iter().partition(|one| one.connection == key);
        entry.waiting = stay;
        let gone: Vec<Waiting> = gone;
        if entry.home != self.options.shard {
            self.peers[entry.home.index()].joins_answered(gone.len());
        }
        for Waiting { request, .. } in gone {
            self.acknowledge_if(key, request.as_ref());
        }
    }

    fn close_room(&mut self, room: RoomKey) {
        let Some(entry) = self.rooms.remove(room) else { return };
        self.census.log_bytes -= entry.log.held_bytes();
        self.rooms_by_name.remove(&entry.name);
        if entry.home != self.options.shard {
            self.peers[entry.home.index()].interests.unwant(&entry.name);
        } else if let Some(&home) = self.homes_by_name.get(&entry.name) {
            self.homes[home].local = None;
            self.close_home_if_unwanted(home);
        }
    }

    pub(super) fn acknowledge_if(&mut self, key: ConnectionKey, request: Option<&RequestId>) {
        if let Some(request) = request {
            self.acknowledge(key, request, Standing::default());
        }
    }
}

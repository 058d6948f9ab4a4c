//! From a room's log to its members: appending, sealing at the end of a turn, and each member's batch.

use bytes::Bytes;
use smallvec::SmallVec;

use super::chunk::Reader;
use super::connection::{Activity, Connection};
use super::message::{ConnectionKey, Position, RoomKey};
use super::publication::{Exclude, Publication};
use super::room::{Member, Room};
use super::{BATCH_SLICES_MAX, Hub, Unsent, encode_goodbye};
use crate::protocol::websocket::CloseCode;

impl Hub {
    /// The one door by which a publication enters a room here, whoever published it.
    pub(super) fn append(&mut self, room: RoomKey, publication: &Publication, position: Position) {
        if !self.rooms.contains_key(room) {
            return;
        }
        let skip = self.resolve(room, &publication.exclude);
        self.counts.appended += 1;
        let encoded = self.write_log(room, |entry| {
            entry.position = Some(position);
            entry.log.append(&entry.name, publication, (position, entry.kept), &skip)
        });
        self.counts.encoded += encoded;
    }

    /// The door for the word that publications are missing.
    pub(super) fn append_gap(&mut self, room: RoomKey, position: Position) {
        if self.rooms.contains_key(room) {
            self.counts.gaps += 1;
            self.write_log(room, |entry| {
                entry.position = Some(position);
                entry.log.append_gap(&entry.name, position);
            });
        }
    }

    fn write_log<R>(&mut self, room: RoomKey, write: impl FnOnce(&mut Room) -> R) -> R {
        let entry = &mut self.rooms[room];
        let before = entry.log.held_bytes();
        let result = write(entry);
        self.census.log_bytes += entry.log.held_bytes() - before;
        if !entry.dirty {
            entry.dirty = true;
            self.dirty_rooms.push(room);
        }
        result
    }

    /// The local members that an exclusion names.
    fn resolve(&self, room: RoomKey, exclude: &Exclude) -> SmallVec<[ConnectionKey; 2]> {
        let is_in = |key: ConnectionKey, room: RoomKey| {
            let memberships = self.connections.get(key).map(|connection| &connection.memberships);
            memberships.is_some_and(|all| all.iter().any(|one| one.room == room && one.index.is_some()))
        };
        let here = exclude.connections.iter().filter(|connection| connection.shard == self.options.shard);
        let mut skip: SmallVec<[ConnectionKey; 2]> =
            here.map(|connection| connection.key).filter(|&key| is_in(key, room)).collect();
        self.members_of_users(room, &exclude.users, |key| skip.push(key));
        for &other in exclude.rooms.iter().filter_map(|name| self.rooms_by_name.get(&**name)) {
            // Who is in both: of the smaller room, those who are in the other.
            let (few, many) = match self.rooms[other].members.len() < self.rooms[room].members.len() {
                true => (other, room),
                false => (room, other),
            };
            let few = self.rooms[few].members.iter().map(|member| member.connection);
            skip.extend(few.filter(|&key| is_in(key, many)));
        }
        skip.sort_unstable();
        skip.dedup();
        skip
    }

    /// Seals what the rooms got in this turn, and lists the members that are behind now.
    pub fn end_turn(&mut self) {
        while let Some(room) = self.dirty_rooms.pop() {
            if self.rooms.contains_key(room) {
                self.seal(room);
                self.rooms[room].dirty = false;
            }
        }
        self.close_too_slow();
    }

    /// Seals a room's open chunk: all its members are behind by it.
    pub(super) fn seal(&mut self, room: RoomKey) {
        let entry = &mut self.rooms[room];
        let before = entry.log.held_bytes();
        let Some(sizes) = entry.log.seal() else { return };
        self.census.log_bytes -= before - entry.log.held_bytes();
        for member in &entry.members {
            let connection = &mut self.connections[member.connection];
            connection.room_bytes += sizes[connection.format as usize];
            match connection.activity {
                Activity::Idle => {
                    connection.activity = Activity::Listed;
                    self.writable.push_back(member.connection);
                }
                Activity::Writing | Activity::Behind if connection.unsent_bytes() > self.limits.lag_bytes => {
                    self.too_slow.push_back(member.connection);
                }
                Activity::Listed | Activity::Writing | Activity::Behind => (),
            }
        }
    }

    /// Lists a connection as one to be written to.
    pub(super) fn list(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        match connection.activity {
            Activity::Idle => {
                connection.activity = Activity::Listed;
                self.writable.push_back(key);
            }
            Activity::Writing | Activity::Behind if connection.unsent_bytes() > self.limits.lag_bytes => {
                self.too_slow.push_back(key)
            }
            Activity::Listed | Activity::Writing | Activity::Behind => (),
        }
    }

    /// The next connection that is behind and has no write in flight.
    pub fn poll_writable(&mut self) -> Option<ConnectionKey> {
        self.writable.pop_front()
    }

    /// How many [`Hub::poll_writable`] has yet to name.
    pub fn writable_count(&self) -> usize {
        self.writable.len()
    }

    /// Appends to `slices` what a connection lacks: its outbox, then its rooms' chunks. False if it
    /// lacks nothing; else a write is in flight until [`Hub::on_written`].
    pub fn batch(&mut self, key: ConnectionKey, slices: &mut Vec<Bytes>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        let before = slices.len();
        connection.flight_bytes = connection.outbox.drain(slices);
        let format = connection.format;
        let mut passed = false;
        for membership in &connection.memberships {
            let Some(index) = membership.index else { continue };
            let entry = &mut self.rooms[membership.room];
            let member = &mut entry.members[index as usize];
            let reader = Reader::new(key, format, connection.stream.as_deref_mut(), membership.room);
            member.taken = entry.log.gather(member.cursor, reader, slices, before + BATCH_SLICES_MAX);
            passed |= member.taken != member.cursor;
        }
        self.census.outbox_bytes += connection.copied_bytes();
        connection.activity = Activity::Writing;
        if slices.len() > before {
            return true;
        }
        // All it lacked was its own: the cursors move on without a write.
        if passed {
            let caught_up = self.on_written(key);
            debug_assert!(caught_up, "nothing was to be sent up to the head");
        } else {
            connection.activity = Activity::Idle;
        }
        false
    }

    /// The batch in flight has been written, all of it. True if that was all; else the connection is
    /// listed again.
    pub fn on_written(&mut self, key: ConnectionKey) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return true };
        self.census.outbox_bytes -=
            std::mem::take(&mut connection.flight_bytes) + connection.take_copied_bytes();
        for membership in &connection.memberships {
            let Some(index) = membership.index else { continue };
            let entry = &mut self.rooms[membership.room];
            let member = &mut entry.members[index as usize];
            let from = std::mem::replace(&mut member.cursor, member.taken);
            let before = entry.log.held_bytes();
            connection.room_bytes -= entry.log.advance(from, member.taken, connection.format);
            self.census.log_bytes -= before - entry.log.held_bytes();
        }
        let caught_up = connection.unsent_bytes() == 0;
        connection.activity = if caught_up { Activity::Idle } else { Activity::Behind };
        if !caught_up {
            self.writable.push_back(key);
        }
        caught_up
    }

    /// A member leaves: what it has not been sent is dropped, or moves into its outbox. What is in
    /// flight is accounted to the connection, since no cursor stands for it any more.
    pub(super) fn settle(&mut self, key: ConnectionKey, room: RoomKey, member: Member, unsent: Unsent) {
        let connection = &mut self.connections[key];
        let log = &self.rooms[room].log;
        let in_flight = log.distance(member.cursor, member.taken, connection.format);
        connection.room_bytes -= log.distance(member.cursor, log.head(), connection.format);
        connection.flight_bytes += in_flight;
        self.census.outbox_bytes += in_flight;
        if unsent == Unsent::Dropped {
            return;
        }
        let mut slices = Vec::new();
        let reader = Reader::of(key, room, connection);
        log.gather(member.taken, reader, &mut slices, usize::MAX);
        let before = connection.outbox.len();
        for slice in slices {
            connection.outbox.push(slice);
        }
        self.census.outbox_bytes += connection.outbox.len() - before;
        if connection.outbox.len() > before {
            self.list(key);
        }
    }

    /// A connection that the hub has told goodbye of its own accord, and with which code: it exceeded the lag, or is a
    /// stream whose room has no place. It is out of its rooms, and is told when it has read what is in flight. The
    /// caller bounds how long that may take.
    pub fn poll_dismissed(&mut self) -> Option<(ConnectionKey, CloseCode)> {
        self.dismissed.pop_front()
    }

    fn close_too_slow(&mut self) {
        while let Some(key) = self.too_slow.pop_front() {
            // Since it was noted its write may have ended, and with it the lag.
            let is_behind = |connection: &Connection| {
                matches!(connection.activity, Activity::Writing | Activity::Behind)
                    && connection.unsent_bytes() > self.limits.lag_bytes
                    && !connection.leaving
            };
            if self.connections.get(key).is_some_and(is_behind) {
                self.drop_for_lag(key);
                self.dismissed.push_back((key, CloseCode::TOO_SLOW));
            }
        }
    }

    fn drop_for_lag(&mut self, key: ConnectionKey) {
        if self.connections.get(key).is_none_or(|connection| connection.leaving) {
            return;
        }
        self.counts.too_slow += 1;
        self.leave_all(key, Unsent::Dropped);
        let connection = &mut self.connections[key];
        self.census.outbox_bytes -= connection.outbox.len();
        connection.outbox.clear();
        let framing = connection.stream.as_ref().map(|stream| stream.framing);
        connection.outbox.encode(|out| encode_goodbye(out, framing, CloseCode::TOO_SLOW, "too slow"));
        connection.leaving = true;
        self.census.outbox_bytes += connection.outbox.len();
    }

    /// Closes those furthest behind until at least `excess` bytes are theirs, and returns them: the
    /// process holds too much. Their writes do not get to end. Who is on the way out goes first: when many
    /// of a room are given up at once, what is in flight to each counts in full, though they share it, and
    /// none who stays is to pay for that.
    pub fn relieve(&mut self, excess: usize) -> Vec<ConnectionKey> {
        let behind = |(key, connection): (ConnectionKey, &Connection)| {
            (connection.leaving, connection.unsent_bytes(), key)
        };
        let mut all: Vec<_> =
            self.connections.iter().map(behind).filter(|(_, bytes, _)| *bytes > 0).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        let mut freed = 0;
        let mut closed = Vec::new();
        for (_, bytes, key) in all {
            if freed >= excess {
                break;
            }
            freed += bytes;
            self.drop_for_lag(key);
            closed.push(key);
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hub::{Join, Limits, Options, ShardId, Step, Wire};

    const LAG_BYTES: usize = 256 << 10;

    /// A hub alone, and a connection in so many rooms, `0` and on.
    fn member_of(rooms: usize) -> (Hub, ConnectionKey) {
        let options = Options { shard: ShardId(0), shards: 1, name_seed: 1, epoch_seed: 2 };
        let limits =
            Limits { lag_bytes: LAG_BYTES, rooms_per_connection: rooms, history_bytes: 0, connections: 2 };
        let mut hub = Hub::new(options, limits);
        let key = hub.connect("user".into(), Wire::Native);
        for room in 0..rooms {
            assert_eq!(hub.join(key, &room.to_string(), Join::default()), Ok(Step::Done));
        }
        (hub, key)
    }

    /// A publication of 1 KiB in each room, in a turn of their own.
    fn turn(hub: &mut Hub, key: ConnectionKey, rooms: usize) {
        let payload = format!("\"{}\"", "x".repeat(1000)).into_bytes().into();
        let publication = Arc::new(Publication { payload, ..Publication::default() });
        for room in 0..rooms {
            assert_eq!(hub.publish(key, &room.to_string(), &publication, None), Step::Done);
        }
        hub.end_turn();
    }

    #[test]
    fn who_is_behind_after_a_write_is_named_again_once() {
        let (mut hub, key) = member_of(100);
        turn(&mut hub, key, 100);
        let mut slices = Vec::new();
        assert_eq!((hub.poll_writable(), hub.poll_writable()), (Some(key), None));
        assert!(hub.batch(key, &mut slices));
        assert_eq!(slices.len(), BATCH_SLICES_MAX);
        assert!(hub.reply(key, |out| out.extend_from_slice(b"pong")), "a write is in flight");
        assert_eq!(hub.poll_writable(), None);
        assert!(!hub.on_written(key));
        assert!(hub.reply(key, |out| out.extend_from_slice(b"pong")));
        assert_eq!((hub.poll_writable(), hub.poll_writable()), (Some(key), None));
        assert!(hub.batch(key, &mut slices), "it comes behind what is there");
        assert_eq!(slices.len(), 100 + 1);
        assert!(hub.on_written(key), "that was all");
        assert_eq!((hub.poll_writable(), hub.buffered_bytes()), (None, 0));
    }

    #[test]
    fn who_gets_a_little_each_turn_and_falls_behind_is_too_slow_at_the_lag() {
        let (mut hub, key) = member_of(200);
        for _ in 0..20 {
            turn(&mut hub, key, 200);
            if let Some(dismissed) = hub.poll_dismissed() {
                assert_eq!(dismissed, (key, CloseCode::TOO_SLOW));
                return;
            }
            assert!(hub.buffered_bytes() <= 3 * LAG_BYTES, "{} bytes are held", hub.buffered_bytes());
            let mut slices = Vec::new();
            let named = hub.poll_writable().expect("it is behind");
            assert!(hub.batch(named, &mut slices));
            hub.on_written(named);
        }
        panic!("it is not seen to be slow");
    }

    #[test]
    fn one_turn_may_bring_who_has_everything_more_than_the_lag() {
        let (mut hub, key) = member_of(300);
        turn(&mut hub, key, 300);
        assert_eq!(hub.poll_dismissed(), None);
        turn(&mut hub, key, 1);
        assert_eq!(hub.poll_dismissed(), None, "nobody has asked for a batch yet");
    }
}

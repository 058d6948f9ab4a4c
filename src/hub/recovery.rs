//! Coming back: what a member has missed, from the home's history into its outbox.
//!
//! Whoever joins with a place that it had is a member once it is known whether everything since is held: at once
//! where nothing was published or no history is kept, else when the home has answered. One read a room is under way
//! at a time, for all who wait; what it brings is encoded once a format. Whatever cannot be sent is told.

use std::collections::HashSet;

use super::chunk::{Chunk, Open, Reader};
use super::home::held_since;
use super::message::{ConnectionKey, Past, Position, RoomKey, Since};
use super::publication::{Exclude, Publication};
use super::room::{Room, Waiting};
use super::{Hub, NODE_FULL};
use crate::protocol::Format;
use crate::protocol::native::{self, ErrorCode, RequestId};
use crate::protocol::websocket::CloseCode;

/// What an acknowledgement tells of a place.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// Where the member stands now, or the place behind what it published.
    pub(super) position: Option<Position>,
    /// Whether everything since the place that it gave follows.
    pub(super) recovered: Option<bool>,
}

impl Standing {
    pub(super) fn published(position: Option<Position>) -> Standing {
        Standing { position, recovered: None }
    }
}

/// What is known of a joining member without the history.
enum Verdict {
    /// It stands at the room's position; whether that is all since its place.
    Here(Option<bool>),
    /// It may have missed something that is held.
    Ask,
}

impl Room {
    fn judge(&self, since: Option<Since>, here: Position) -> Verdict {
        match since {
            None => Verdict::Here(None),
            Some(Since::After(position)) if self.kept && position == here => Verdict::Here(Some(true)),
            Some(Since::Earliest) if self.kept => Verdict::Ask,
            // Without a history a place is one that was told some time ago: only if the home too has nothing behind
            // it has nothing been missed, nor will be sent again.
            Some(Since::After(position)) if position.epoch == here.epoch => Verdict::Ask,
            Some(_) => Verdict::Here(Some(false)),
        }
    }
}

impl Hub {
    /// Makes members of those who wait in a room whose home has answered, as far as nothing has to be read for them.
    pub(super) fn admit_waiting(&mut self, room: RoomKey) {
        let entry = &mut self.rooms[room];
        let Some(here) = entry.position else { return };
        let mut asking = Vec::new();
        for waiting in std::mem::take(&mut entry.waiting) {
            match self.rooms[room].judge(waiting.since, here) {
                Verdict::Here(recovered) => {
                    self.stop_waiting(room);
                    self.admit(room, &waiting, here, recovered);
                }
                Verdict::Ask => asking.push(waiting),
            }
        }
        self.rooms[room].waiting = asking;
        self.ask_home(room);
    }

    /// Reads the history for those who still wait: at once if the home is here.
    fn ask_home(&mut self, room: RoomKey) {
        let entry = &mut self.rooms[room];
        let offset_of = |waiting: &Waiting| match waiting.since {
            Some(Since::After(position)) => position.offset,
            _ => 0,
        };
        let Some(from) = entry.waiting.iter().map(offset_of).min() else { return };
        if entry.home != self.options.shard {
            // Who asks for more than the read under way brings waits for the next.
            if entry.recalled.is_none() {
                entry.recalled = Some(from);
                self.peers[entry.home.index()].recalls.push_back((room, from));
            }
            return;
        }
        let now_ms = self.now_ms;
        if let Some(&home) = self.homes_by_name.get(&entry.name) {
            let past = self.homes[home].past(from, now_ms, self.limits.lag_bytes as u64);
            self.replay(room, past, from);
        }
    }

    /// The home has answered what was published while some were away.
    pub(super) fn on_recalled(&mut self, room: RoomKey, past: Past) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        debug_assert!(entry.position == Some(past.position), "what was pushed before has been appended");
        let asked = entry.recalled.take().unwrap_or(0);
        self.replay(room, past, asked);
        self.ask_home(room);
    }

    /// Makes members of those who wait and whom a read from `asked` on answers.
    fn replay(&mut self, room: RoomKey, past: Past, asked: u64) {
        let answered = |waiting: &Waiting| match waiting.since {
            Some(Since::After(position)) => position.offset >= asked,
            _ => asked == 0,
        };
        let (served, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.rooms[room].waiting).into_iter().partition(answered);
        self.rooms[room].waiting = others;
        let replay = self.encode_replay(room, &past, &served);
        for waiting in served {
            self.stop_waiting(room);
            self.recover(room, &waiting, &past, &replay);
        }
    }

    /// What was missed, encoded for everybody who waits for it; whom a publication excludes passes over it.
    fn encode_replay(&self, room: RoomKey, past: &Past, served: &[Waiting]) -> Chunk {
        let name = &self.rooms[room].name;
        let mut formats = [false; Format::COUNT];
        for connection in served.iter().filter_map(|waiting| self.connections.get(waiting.connection)) {
            formats[connection.format as usize] = true;
        }
        let keys: HashSet<ConnectionKey> = served.iter().map(|waiting| waiting.connection).collect();
        let mut open = Open::default();
        for (offset, publication) in (past.first() + 1..).zip(&past.publications) {
            open.append(formats, name, publication, (Position { offset, ..past.position }, true));
            open.skip_last(&self.excluded_of(&keys, publication));
        }
        open.seal()
    }

    /// Of these connections, those that a publication excludes.
    fn excluded_of(&self, keys: &HashSet<ConnectionKey>, publication: &Publication) -> Vec<ConnectionKey> {
        let exclude = &publication.exclude;
        let here = exclude.connections.iter().filter(|connection| connection.shard == self.options.shard);
        let mut skip: Vec<_> =
            here.map(|connection| connection.key).filter(|key| keys.contains(key)).collect();
        if !exclude.users.is_empty() || !exclude.rooms.is_empty() {
            skip.extend(keys.iter().copied().filter(|&key| self.is_excluded_by_name(key, exclude)));
            skip.sort_unstable();
            skip.dedup();
        }
        skip
    }

    fn is_excluded_by_name(&self, key: ConnectionKey, exclude: &Exclude) -> bool {
        let Some(connection) = self.connections.get(key) else { return true };
        let is_member = |name: &str| {
            let room = self.rooms_by_name.get(name);
            room.is_some_and(|room| {
                connection.memberships.iter().any(|one| one.room == *room && one.index.is_some())
            })
        };
        exclude.users.iter().any(|user| **user == *connection.user)
            || exclude.rooms.iter().any(|name| is_member(name))
    }

    /// A member again, with all it missed behind the answer, or told that this is lost.
    fn recover(&mut self, room: RoomKey, waiting: &Waiting, past: &Past, replay: &Chunk) {
        let Some(connection) = self.connections.get_mut(waiting.connection) else { return };
        if connection.membership(room).is_none_or(|membership| membership.index.is_some()) {
            // Who asked twice has all that it asked for.
            return self.acknowledge_if(waiting.connection, waiting.request.as_ref());
        }
        let first = past.first();
        let kept = self.rooms[room].kept;
        let held = waiting.since.and_then(|since| held_since(since, past.position, first));
        let held = held.filter(|&from| kept || from == past.position.offset);
        let most = (self.limits.lag_bytes / 2).saturating_sub(connection.unsent_bytes());
        let held = match waiting.since {
            // Of all that is held, what can be sent.
            Some(Since::Earliest) => {
                let stream = connection.stream.as_ref().filter(|_| connection.format == Format::Part);
                let own_each = stream.map_or(0, |stream| stream.own_bytes_max());
                held.map(|from| from.max(first + replay.fits(connection.format, own_each, most)))
            }
            _ => held,
        };
        let mut slices = Vec::new();
        let begin = held.map(|from| Position { offset: from, ..past.position });
        if let Some(begin) = begin {
            // The places of a stream go on from there.
            connection.set_place(room, begin);
            let mut reader = Reader::of(waiting.connection, room, connection);
            replay.gather_from((begin.offset - first) as u32, &mut reader, &mut slices);
        }
        let bytes: usize = slices.iter().map(bytes::Bytes::len).sum();
        // What is little of much must not keep all of it.
        if bytes > 0 && bytes < replay.size() / PINNED_SHARE {
            slices = vec![slices.concat().into()];
        }
        match begin.filter(|_| bytes <= most) {
            Some(begin) => {
                self.admit(room, waiting, begin, Some(true));
                let Some(connection) = self.connections.get_mut(waiting.connection) else { return };
                slices.into_iter().for_each(|slice| connection.outbox.push(slice));
                connection.set_place(room, past.position);
                self.census.outbox_bytes += bytes;
                self.list(waiting.connection);
            }
            None => self.admit(room, waiting, past.position, Some(false)),
        }
    }

    /// A member, and told where it stands.
    fn admit(&mut self, room: RoomKey, waiting: &Waiting, position: Position, recovered: Option<bool>) {
        let key = waiting.connection;
        match recovered {
            Some(true) => self.counts.recovered += 1,
            Some(false) => self.counts.unrecovered += 1,
            None => (),
        }
        self.attach(room, key);
        if self.connections.get(key).is_some_and(|connection| connection.stream.is_some()) {
            return self.tell_stream(key, room, position, recovered);
        }
        let told = self.rooms[room].kept || recovered.is_some();
        if let Some(request) = &waiting.request {
            self.acknowledge(key, request, Standing { position: told.then_some(position), recovered });
        }
    }

    fn stop_waiting(&mut self, room: RoomKey) {
        let home = self.rooms[room].home;
        if home != self.options.shard {
            self.peers[home.index()].joins_answered(1);
        }
    }

    /// The home has no place for a room: a request is refused, a stream ends.
    pub(super) fn refuse_room(&mut self, key: ConnectionKey, request: Option<&RequestId>) {
        if self.connections.get(key).is_some_and(|connection| connection.stream.is_some()) {
            self.say_goodbye(key, CloseCode::TRY_AGAIN_LATER, NODE_FULL);
            return self.dismissed.push_back((key, CloseCode::TRY_AGAIN_LATER));
        }
        let (code, message) = (ErrorCode::TooManyRooms, NODE_FULL);
        self.reply(key, |out| native::encode_error(out, request, code, message));
    }
}

/// A replay that is less than such a part of what was encoded for all is copied.
const PINNED_SHARE: usize = 4;

#[cfg(test)]
mod tests;

//! Looking at who is here: rooms, users, connections and members, page by page.
//!
//! A page is the smallest names behind a given one, so a whole list is as many looks as it has pages, and each of them
//! looks at everything: what is asked seldom must not cost what is done often an index. The keys are noted at once, what
//! stands behind them is looked at a few thousand at a time, for a shard has more to do. Whoever is there from the note
//! to the last look is found, once. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use slotmap::{Key, KeyData};

use super::Hub;
use super::home::HomeKey;
use super::message::{ConnectionId, ConnectionKey, RoomKey, ShardId};
use super::users::Tag;
use crate::protocol::Format;

/// A page of names under way, of rooms or of users: `limit` of them at most, behind `after`.
pub struct NameScan {
    keys: NameKeys,
    at: usize,
    after: Option<Box<str>>,
    limit: usize,
    /// The smallest so far, each with its number: a user's connections here.
    found: BTreeMap<Arc<str>, usize>,
}

enum NameKeys {
    Homes(Vec<HomeKey>),
    Users(Vec<Tag>),
}

/// A page of connections under way.
pub struct ConnectionScan {
    keys: Vec<ConnectionKey>,
    at: usize,
    whose: Whose,
    after: Option<u64>,
    limit: usize,
    found: BTreeMap<u64, ConnectionKey>,
}

/// Whose connections are looked for.
#[derive(Debug, Clone)]
pub enum Whose {
    /// Everybody's.
    All,
    /// This user's.
    User(Box<str>),
    /// Those of this room's members.
    Room(Box<str>),
}

/// A connection as it is told.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its user.
    pub user: Arc<str>,
    /// What it is spoken to in.
    pub format: Format,
    /// The rooms it is a member of, as many as were asked for.
    pub rooms: Vec<Arc<str>>,
}

/// What a connection is to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Nothing.
    Stranger,
    /// Its join waits for the home's answer.
    Waiting,
    /// A member.
    Member,
}

impl Hub {
    /// Begins to look for rooms whose home is here.
    pub fn scan_rooms(&self, after: Option<Box<str>>, limit: usize) -> NameScan {
        NameScan::new(NameKeys::Homes(self.homes.keys().collect()), after, limit)
    }

    /// Begins to look for users who have connections here.
    pub fn scan_users(&self, after: Option<Box<str>>, limit: usize) -> NameScan {
        NameScan::new(NameKeys::Users(self.users.tags()), after, limit)
    }

    /// Begins to look for connections here. Of a user with few, only those are looked at.
    pub fn scan_connections(
        &self,
        whose: Whose,
        after: Option<ConnectionId>,
        limit: usize,
    ) -> ConnectionScan {
        let here = self.options.shard;
        let keys = match &whose {
            _ if after.is_some_and(|after| after.shard > here) => Vec::new(),
            Whose::Room(room) => {
                let members = self.rooms_by_name.get(&**room).map(|&room| &self.rooms[room].members);
                members.into_iter().flatten().map(|member| member.connection).collect()
            }
            // The list of a user leads from one place in memory to another: many are found faster one after the other.
            Whose::User(user) if self.users.count(&self.connections, user) <= LISTED_MAX => {
                self.users.connections_of(&self.connections, user).collect()
            }
            Whose::All | Whose::User(_) => self.connections.keys().collect(),
        };
        let after = after.filter(|after| after.shard == here).map(|after| order_of(after.key));
        ConnectionScan { keys, at: 0, whose, after, limit, found: BTreeMap::new() }
    }

    /// A connection, and the first `rooms_max` of its rooms; none if it has gone.
    pub fn see(&self, key: ConnectionKey, rooms_max: usize) -> Option<Seen> {
        let connection = self.connections.get(key)?;
        let joined = connection.memberships.iter().filter(|membership| membership.index.is_some());
        let rooms = joined.take(rooms_max).map(|membership| self.rooms[membership.room].name.clone());
        Some(Seen { user: connection.user.clone(), format: connection.format, rooms: rooms.collect() })
    }

    /// From now on it is remembered in which rooms a connection was when it was told goodbye, until it is gone.
    pub fn watch(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.is_watched = true;
        }
    }

    /// The rooms of a connection, 100 at most; of one that is watched and was told goodbye, those
    /// that it was in.
    pub fn rooms_of(&self, key: ConnectionKey) -> Vec<Arc<str>> {
        match self.last_rooms.get(&key) {
            Some(rooms) => rooms.to_vec(),
            None => self.see(key, ROOMS_REMEMBERED_MAX).map(|seen| seen.rooms).unwrap_or_default(),
        }
    }

    /// What a connection is to a room.
    pub fn relation(&self, key: ConnectionKey, room: &str) -> Relation {
        let Some(&room) = self.rooms_by_name.get(room) else { return Relation::Stranger };
        self.relation_to(key, room)
    }

    /// Whether a connection is nothing to a room, and in as many others as it may be.
    pub fn is_out_of_rooms(&self, key: ConnectionKey, room: &str) -> bool {
        let rooms = self.connections.get(key).map_or(0, |connection| connection.memberships.len());
        rooms >= self.limits.rooms_per_connection && self.relation(key, room) == Relation::Stranger
    }

    fn relation_to(&self, key: ConnectionKey, room: RoomKey) -> Relation {
        let memberships = self.connections.get(key).map(|connection| &*connection.memberships);
        match memberships.unwrap_or_default().iter().find(|membership| membership.room == room) {
            None => Relation::Stranger,
            Some(membership) if membership.index.is_none() => Relation::Waiting,
            Some(_) => Relation::Member,
        }
    }

    pub(super) fn is_member(&self, key: ConnectionKey, room: RoomKey) -> bool {
        self.relation_to(key, room) == Relation::Member
    }

    /// How many members a room has here.
    pub fn members(&self, room: &str) -> usize {
        self.rooms_by_name.get(room).map_or(0, |&room| self.rooms[room].members.len())
    }

    /// Whether a connection is in the rooms that it asked for when it began, and in no other.
    pub fn has_fixed_rooms(&self, key: ConnectionKey) -> bool {
        self.connections.get(key).is_some_and(|connection| connection.stream.is_some())
    }

    /// Whether a connection is here.
    pub fn is_here(&self, key: ConnectionKey) -> bool {
        self.connections.contains_key(key)
    }
}

impl NameScan {
    fn new(keys: NameKeys, after: Option<Box<str>>, limit: usize) -> NameScan {
        NameScan { keys, at: 0, after, limit, found: BTreeMap::new() }
    }

    /// Looks at the next `count` of what was noted; true while there is more.
    pub fn look(&mut self, hub: &Hub, count: usize) -> bool {
        let end = self.at.saturating_add(count);
        let (after, limit, found) = (self.after.as_deref(), self.limit, &mut self.found);
        let mut offer = |name: &Arc<str>, number: usize| {
            if after.is_none_or(|after| **name > *after) {
                keep_smallest(found, limit, name, || (name.clone(), number));
            }
        };
        let noted = match &self.keys {
            NameKeys::Homes(keys) => {
                let next = keys.iter().take(end).skip(self.at);
                next.filter_map(|&key| hub.homes.get(key)).for_each(|home| offer(&home.name, 0));
                keys.len()
            }
            NameKeys::Users(tags) => {
                let next = tags.iter().take(end).skip(self.at);
                next.flat_map(|&tag| hub.users.with_tag(tag))
                    .for_each(|(first, count)| offer(&hub.connections[first].user, count));
                tags.len()
            }
        };
        self.at = end.min(noted);
        self.at < noted
    }

    /// The page, in the order of names.
    pub fn into_page(self) -> Vec<(Arc<str>, usize)> {
        self.found.into_iter().collect()
    }
}

impl ConnectionScan {
    /// Looks at the next `count` of what was noted; true while there is more.
    pub fn look(&mut self, hub: &Hub, count: usize) -> bool {
        let end = self.at.saturating_add(count).min(self.keys.len());
        let room = match &self.whose {
            Whose::Room(room) => hub.rooms_by_name.get(&**room).copied(),
            Whose::All | Whose::User(_) => None,
        };
        let is_sought = |key: ConnectionKey| match &self.whose {
            Whose::All => hub.is_here(key),
            Whose::User(user) => {
                hub.connections.get(key).is_some_and(|connection| *connection.user == **user)
            }
            Whose::Room(_) => room.is_some_and(|room| hub.is_member(key, room)),
        };
        for &key in &self.keys[self.at..end] {
            let order = order_of(key);
            if self.after.is_none_or(|after| order > after) && is_sought(key) {
                keep_smallest(&mut self.found, self.limit, &order, || (order, key));
            }
        }
        self.at = end;
        self.at < self.keys.len()
    }

    /// The page, in the order of the connections' names.
    pub fn into_page(self) -> Vec<ConnectionKey> {
        self.found.into_values().collect()
    }
}

/// Puts an entry in unless `limit` smaller ones are there; the largest makes room.
fn keep_smallest<K: Ord, V>(
    found: &mut BTreeMap<K, V>,
    limit: usize,
    key: &K,
    entry: impl FnOnce() -> (K, V),
) {
    if found.len() < limit || found.last_key_value().is_some_and(|(last, _)| key < last) {
        let (key, value) = entry();
        found.insert(key, value);
        if found.len() > limit {
            found.pop_last();
        }
    }
}

impl ConnectionId {
    /// The connection of a name, as it is displayed; whether there is such a one is another matter.
    pub fn parse(name: &str) -> Option<ConnectionId> {
        let digits = name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if name.len() != NAME_LEN || !digits {
            return None;
        }
        let (shard, key) = name.split_at(NAME_LEN - 16);
        let shard = ShardId(u16::from_str_radix(shard, 16).ok()?);
        let key = KeyData::from_ffi(u64::from_str_radix(key, 16).ok()?).into();
        // A key has numbers that no name is made of: they must not become another name of a connection.
        Some(ConnectionId { shard, key }).filter(|parsed| parsed.to_string() == name)
    }
}

/// Where a connection stands in the order of names.
fn order_of(key: ConnectionKey) -> u64 {
    key.data().as_ffi()
}

/// Rooms that are named of a connection that is gone.
const ROOMS_REMEMBERED_MAX: usize = 100;
/// Hexadecimal digits of a connection's name.
const NAME_LEN: usize = 20;
/// Connections of one user that are noted by its list.
const LISTED_MAX: usize = 4096;

#[cfg(test)]
mod tests;

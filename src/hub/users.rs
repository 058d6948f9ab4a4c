//! Who has which connections here: from a user's name to the connections, without a look at anybody else's.
//!
//! One entry a user, and behind it a list that runs through the connections themselves: a user of a hundred thousand
//! costs each of them what one with a single connection costs. Knows no room, and keeps nobody alive.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use slotmap::SlotMap;

use super::Hub;
use super::connection::Connection;
use super::message::{ConnectionKey, RoomKey};

/// The users with connections here.
pub(super) struct Users {
    /// It grows as they come: reserved for all that may, it would be spread over pages that each hold a few.
    table: HashTable<User>,
    hash: FixedState,
}

/// A user's entry. It stays, with its tag, for as long as the user has any connection.
#[derive(Debug, Clone, Copy)]
struct User {
    first: ConnectionKey,
    connections: u32,
    tag: Tag,
}

/// A hash of a user's name. Few share one, and whoever looks by it looks at all who do.
pub(super) type Tag = u32;

/// A connection's neighbours among those of its user.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Links {
    next: Option<ConnectionKey>,
    previous: Option<ConnectionKey>,
}

type Connections = SlotMap<ConnectionKey, Connection>;

impl Users {
    pub(super) fn new(hash: FixedState) -> Users {
        Users { table: HashTable::new(), hash }
    }

    /// A connection has come.
    pub(super) fn enter(&mut self, connections: &mut Connections, key: ConnectionKey) {
        let name = &connections[key].user;
        let tag = self.tag_of(name);
        let is_user = |user: &User| user.tag == tag && connections[user.first].user == *name;
        let Some(user) = self.table.find_mut(spread(tag), is_user) else {
            let user = User { first: key, connections: 1, tag };
            self.table.insert_unique(spread(tag), user, |user| spread(user.tag));
            return;
        };
        let next = std::mem::replace(&mut user.first, key);
        user.connections += 1;
        connections[next].links.previous = Some(key);
        connections[key].links.next = Some(next);
    }

    /// A connection is about to go.
    pub(super) fn leave(&mut self, connections: &mut Connections, key: ConnectionKey) {
        let (name, links) = (&connections[key].user, connections[key].links);
        let tag = self.tag_of(name);
        let is_user = |user: &User| user.tag == tag && connections[user.first].user == *name;
        let entry = self.table.find_entry(spread(tag), is_user);
        let Ok(mut entry) = entry else { unreachable!("who has a connection has an entry") };
        let user = entry.get_mut();
        user.connections -= 1;
        match (links.previous, links.next) {
            (None, None) => drop(entry.remove()),
            (None, Some(next)) => user.first = next,
            (Some(_), _) => (),
        }
        if let Some(previous) = links.previous {
            connections[previous].links.next = links.next;
        }
        if let Some(next) = links.next {
            connections[next].links.previous = links.previous;
        }
    }

    /// How many connections a user has.
    pub(super) fn count(&self, connections: &Connections, name: &str) -> usize {
        self.find(connections, name).map_or(0, |user| user.connections as usize)
    }

    /// A user's connections, the latest first.
    pub(super) fn connections_of<'a>(
        &self,
        connections: &'a Connections,
        name: &str,
    ) -> impl Iterator<Item = ConnectionKey> + use<'a> {
        let first = self.find(connections, name).map(|user| user.first);
        std::iter::successors(first, |&key| connections[key].links.next)
    }

    /// The tags of all users, some perhaps twice.
    pub(super) fn tags(&self) -> Vec<Tag> {
        self.table.iter().map(|user| user.tag).collect()
    }

    /// Those with this tag: a connection of each, for its name, and how many it has.
    pub(super) fn with_tag(&self, tag: Tag) -> impl Iterator<Item = (ConnectionKey, usize)> {
        let users = self.table.iter_hash(spread(tag)).filter(move |user| user.tag == tag);
        users.map(|user| (user.first, user.connections as usize))
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn find(&self, connections: &Connections, name: &str) -> Option<&User> {
        let tag = self.tag_of(name);
        let is_user = |user: &User| user.tag == tag && *connections[user.first].user == *name;
        self.table.find(spread(tag), is_user)
    }

    fn tag_of(&self, name: &str) -> Tag {
        self.hash.hash_one(name) as Tag
    }
}

impl Hub {
    /// The members of a room here that are these users': by whichever is the shorter way, the user's connections or the
    /// room's members.
    pub(super) fn members_of_users(
        &self,
        room: RoomKey,
        users: &[Box<str>],
        mut take: impl FnMut(ConnectionKey),
    ) {
        for user in users {
            let members = &self.rooms[room].members;
            if self.users.count(&self.connections, user) <= members.len() {
                let connections = self.users.connections_of(&self.connections, user);
                connections.filter(|&key| self.is_member(key, room)).for_each(&mut take);
            } else {
                let members = members.iter().map(|member| member.connection);
                members.filter(|&key| *self.connections[key].user == **user).for_each(&mut take);
            }
        }
    }
}

/// The hash that the table goes by, of the tag alone: a table that grows looks at no connection.
fn spread(tag: Tag) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::hub::{Hub, Join, Limits, Options, ShardId, Step, Wire};

    fn hub() -> Hub {
        let options = Options { shard: ShardId(0), shards: 1, name_seed: 1, epoch_seed: 2 };
        Hub::new(
            options,
            Limits { lag_bytes: 1 << 20, history_bytes: 1 << 20, rooms_per_connection: 1, connections: 2 },
        )
    }

    fn of(hub: &Hub, name: &str) -> Vec<ConnectionKey> {
        hub.users.connections_of(&hub.connections, name).collect()
    }

    #[test]
    fn a_hundred_thousand_of_one_user_come_and_go_in_any_order() {
        // With a walk through the list at each step this would take hours.
        const COUNT: usize = 100_000;
        let mut hub = hub();
        let keys: Vec<_> = (0..COUNT).map(|_| hub.connect("anonymous".into(), Wire::Native)).collect();
        assert_eq!(
            (hub.users.count(&hub.connections, "anonymous"), of(&hub, "anonymous").len()),
            (COUNT, COUNT)
        );
        for start in 0..7 {
            for key in keys.iter().skip(start).step_by(7) {
                hub.disconnect(*key);
            }
        }
        assert!(hub.users.is_empty() && of(&hub, "anonymous").is_empty());
    }

    #[test]
    fn a_users_members_are_found_the_shorter_way_and_the_longer() {
        let mut hub = hub();
        let many: Vec<_> = (0..5).map(|_| hub.connect("many".into(), Wire::Native)).collect();
        let one = hub.connect("one".into(), Wire::Native);
        for key in [many[1], many[3], one] {
            assert_eq!(hub.join(key, "r", Join::default()), Ok(Step::Done));
        }
        let room = hub.rooms_by_name["r"];
        let named = |users: &[&str]| {
            let users: Vec<Box<str>> = users.iter().map(|user| (*user).into()).collect();
            let mut found = BTreeSet::new();
            hub.members_of_users(room, &users, |key| assert!(found.insert(key)));
            found
        };
        assert_eq!(named(&["many"]), BTreeSet::from([many[1], many[3]]), "five connections, three members");
        assert_eq!(named(&["one", "nobody"]), BTreeSet::from([one]));
    }

    proptest! {
        #[test]
        fn a_user_has_the_connections_that_came_and_did_not_go(
            steps in prop::collection::vec((0..6_usize, any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            let mut hub = hub();
            let mut model: BTreeMap<String, BTreeSet<ConnectionKey>> = BTreeMap::new();
            for (user, comes, which) in steps {
                let name = format!("u{user}");
                let held = model.entry(name.clone()).or_default();
                if comes || held.is_empty() {
                    held.insert(hub.connect(name.as_str().into(), Wire::Native));
                } else {
                    let key = *held.iter().nth(which.index(held.len())).expect("an index below the length");
                    held.remove(&key);
                    hub.disconnect(key);
                }
                for (name, held) in &model {
                    let listed = of(&hub, name);
                    prop_assert_eq!(listed.len(), hub.users.count(&hub.connections, name));
                    prop_assert_eq!(&listed.into_iter().collect::<BTreeSet<_>>(), held);
                }
            }
            let tags: BTreeSet<Tag> = hub.users.tags().into_iter().collect();
            let told: usize = tags.iter().flat_map(|tag| hub.users.with_tag(*tag)).map(|(_, count)| count).sum();
            prop_assert_eq!(told, hub.census().connections);
        }
    }
}

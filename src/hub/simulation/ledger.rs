//! What was accepted, in each home's order, and who was not to have it: the truth that members check
//! against. It is written when a home takes a publication, and knows nothing of how it is delivered.

use std::collections::{HashMap, HashSet};

use super::client::Client;
use crate::hub::{ConnectionKey, Message};

/// The truth of one simulation.
#[derive(Default)]
pub(super) struct Ledger {
    order: HashMap<String, Vec<u64>>,
    excluded: HashMap<u64, Excluded>,
}

/// Who must not get a publication, and whether its exclusion of a room's members makes it optional.
#[derive(Default)]
pub(super) struct Excluded {
    pub(super) connections: HashSet<ConnectionKey>,
    pub(super) connection_shard: usize,
    pub(super) user: Option<String>,
    pub(super) optional: bool,
}

impl Ledger {
    /// A publication is about to be made.
    pub(super) fn exclude(&mut self, id: u64, excluded: Excluded) {
        self.excluded.insert(id, excluded);
    }

    /// A room's home has accepted a publication.
    pub(super) fn accept(&mut self, room: &str, id: u64) {
        self.order.entry(room.to_owned()).or_default().push(id);
    }

    /// A home takes a message: if that is a publication, it is accepted now.
    pub(super) fn on_message(&mut self, message: &Message) {
        if let Message::Publish { room, publication, .. } = message {
            let value: serde_json::Value =
                serde_json::from_slice(&publication.payload).expect("what the simulation published");
            self.accept(room, value[0].as_u64().expect("an id first"));
        }
    }

    /// How many publications the room's home has accepted.
    pub(super) fn accepted(&self, room: &str) -> usize {
        self.order.get(room).map_or(0, Vec::len)
    }

    /// The same of every room.
    pub(super) fn accepted_by_room(&self) -> HashMap<String, usize> {
        self.order.iter().map(|(room, order)| (room.clone(), order.len())).collect()
    }

    /// Where a publication stands in its room's order.
    pub(super) fn index_of(&self, room: &str, id: u64) -> Option<usize> {
        self.order.get(room)?.iter().position(|&one| one == id)
    }

    /// Between these two places in the order nothing may stand that was for `client`.
    pub(super) fn check_none_missed(&self, client: &Client, room: &str, from: usize, until: usize) {
        let order = self.order.get(room).map_or(&[][..], |order| order);
        for &id in order.iter().take(until).skip(from) {
            let excused = self.is_excluded(client, id) || self.excluded[&id].optional;
            assert!(excused, "{} on shard {} missed {id} in {room}", client.user, client.shard);
        }
    }

    /// Whether a publication must not reach `client`.
    pub(super) fn is_excluded(&self, client: &Client, id: u64) -> bool {
        let excluded = &self.excluded[&id];
        excluded.connections.contains(&client.key) && excluded.connection_shard == client.shard
            || excluded.user.as_ref() == Some(&client.user)
    }
}

//! What may never be exceeded, and the end: everything comes to rest, everybody goes, nothing is left.
//!
//! Looks into the hubs for what they hold, never for what a member should have been sent.

use std::collections::VecDeque;

use super::world::World;
use crate::hub::home::Home;
use crate::hub::{CREDIT_BYTES, Census};

impl World {
    pub(super) fn check_bounds(&self) {
        for client in self.clients.iter().filter(|client| !client.gone) {
            let connection = &self.hubs[client.shard].connections[client.key];
            // What one turn brings may come on top of the lag before that is noticed; what one brought to an idle
            // connection may be in flight and more than the lag.
            let turn_bytes = self.paces[client.shard].most as usize * FRAME_BYTES_MAX;
            // A replay is at most half of the lag, and comes before that.
            let most = self.lag_bytes
                + self.lag_bytes / 2
                + 2 * turn_bytes
                + client.unacknowledged() * ACK_BYTES_MAX;
            assert!(connection.leaving || connection.unsent_bytes() <= most, "a connection holds too much");
        }
        let homes: usize = self.hubs.iter().map(|hub| hub.census().homes).sum();
        assert!(homes <= self.rooms_max, "{homes} rooms of {}", self.rooms_max);
        for (from, lanes) in self.lanes.iter().enumerate() {
            assert!(lanes[from].is_empty(), "a shard needs no lane to itself");
        }
    }

    /// Behind a push: of too much history nothing is left but what some shard has yet to be pushed.
    pub(super) fn check_history(&self, shard: usize) {
        let hub = &self.hubs[shard];
        let too_much = hub.census().history_bytes > self.history_bytes;
        assert!(!too_much || !hub.homes.values().any(Home::has_history), "a history was not dropped");
    }

    /// Everybody reads, every shard takes turns, until nothing moves; then everybody goes.
    pub(in crate::hub) fn come_to_rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            for shard in 0..self.hubs.len() {
                self.turn(shard);
            }
            for client in 0..self.clients.len() {
                if !self.clients[client].gone {
                    self.complete_write(client);
                }
            }
            if self.is_at_rest() {
                return self.check_rest();
            }
        }
        panic!("it does not come to rest");
    }

    fn is_at_rest(&self) -> bool {
        self.lanes.iter().flatten().all(VecDeque::is_empty)
            && self.hubs.iter().all(|hub| !hub.owes() && hub.writable_count() == 0)
            && self.clients.iter().all(|client| client.is_at_rest())
    }

    fn check_rest(&mut self) {
        for client in 0..self.clients.len() {
            if !self.clients[client].gone {
                self.clients[client].check_rest(&self.ledger);
                self.remove(client);
            }
        }
        for _ in 0..ROUNDS_TO_FORGET {
            if self.is_at_rest() {
                break;
            }
            for shard in 0..self.hubs.len() {
                self.turn(shard);
            }
        }
        for shard in 0..self.hubs.len() {
            // Beyond the longest time that a history is kept.
            self.hubs[shard].pass_time(u64::MAX / 2);
        }
        for hub in &self.hubs {
            assert_eq!(hub.census(), Census::default(), "something is left over");
            assert!(hub.receipts.is_empty() && hub.users.is_empty());
            for peer in &hub.peers {
                assert!(!peer.owes() && peer.joins_unanswered == 0);
                assert_eq!(peer.credit.bytes, CREDIT_BYTES / self.hubs.len() as u64, "credit was lost");
            }
        }
    }
}

/// Bytes of the frame in which a publication of the simulation, or a gap, is told.
const FRAME_BYTES_MAX: usize = 500;
/// Bytes of the frame in which a request is acknowledged.
const ACK_BYTES_MAX: usize = 50;
/// Rounds within which everything has to be delivered.
const ROUNDS_MAX: usize = 4000;
/// Rounds within which shards and homes have told each other that everybody has gone.
const ROUNDS_TO_FORGET: usize = 100;

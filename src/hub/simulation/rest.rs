//! What may never be exceeded, and the end: everything comes to rest, everybody goes, nothing is left.
//!
//! Looks into the hubs for what they hold, never for what a member should have been sent.

use std::collections::VecDeque;

use super::world::World;
use crate::hub::{CREDIT_BYTES, Census};

impl World {
    pub(super) fn check_bounds(&self) {
        for hub in &self.hubs {
            for connection in hub.connections.values().filter(|connection| !connection.leaving) {
                // One turn's worth may come on top before it is noticed.
                let most = self.lag_bytes + TURN_BYTES_MAX;
                assert!(connection.unsent_bytes() < most, "a connection holds too much");
            }
        }
        for (from, lanes) in self.lanes.iter().enumerate() {
            assert!(lanes[from].is_empty(), "a shard needs no lane to itself");
        }
    }

    /// Everybody reads, every shard takes turns, until nothing moves; then everybody goes.
    pub(super) fn come_to_rest(&mut self) {
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
            for shard in 0..self.hubs.len() {
                self.turn(shard);
            }
        }
        for hub in &self.hubs {
            assert_eq!(hub.census(), Census::default(), "something is left over");
            assert!(hub.receipts.is_empty());
            for peer in &hub.peers {
                assert!(!peer.owes() && peer.joins_unanswered == 0);
                assert_eq!(peer.credit.bytes, CREDIT_BYTES / self.hubs.len() as u64, "credit was lost");
            }
        }
    }
}

/// What one turn may bring a connection that is already behind: it is noticed when the turn ends.
const TURN_BYTES_MAX: usize = 4 << 10;
/// Rounds within which everything has to be delivered.
const ROUNDS_MAX: usize = 4000;
/// Rounds within which shards and homes have told each other that everybody has gone.
const ROUNDS_TO_FORGET: usize = 100;

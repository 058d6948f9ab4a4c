//! Counts that all shards share: who holds how many connections, who sends how fast, and how much is
//! held for members.
//!
//! Plain atomics, no lock: whoever reads them sees numbers that were true a moment ago, and every
//! decision taken on them must be one that may be a few off.

mod addresses;
mod rates;
mod table;

pub use addresses::{AddressKey, Addresses, Seat, TooMany};
pub use rates::{Empty, Pace, Rate, Rates};

use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// What the shards of a node know of one another.
#[derive(Debug)]
pub struct Quota {
    shards: Vec<Load>,
    /// Connections by address.
    pub addresses: Addresses,
    /// Messages by user.
    pub users: Rates,
    /// Messages by address.
    pub senders: Rates,
    stopping: AtomicBool,
    /// Shards that accept nobody any more.
    closed: AtomicUsize,
}

/// One shard's load, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load {
    connections: AtomicUsize,
    buffered_bytes: AtomicUsize,
    rooms: AtomicUsize,
}

impl Quota {
    /// For so many shards and connections; `seed` is secret.
    pub fn new(shards: usize, connections: usize, seed: u64) -> Quota {
        let keys = connections.min(KEYS_MAX);
        Quota {
            shards: (0..shards).map(|_| Load::default()).collect(),
            addresses: Addresses::new(keys, seed),
            users: Rates::new(keys, seed.rotate_left(21)),
            senders: Rates::new(keys, seed.rotate_left(42)),
            stopping: AtomicBool::new(false),
            closed: AtomicUsize::new(0),
        }
    }

    /// Takes a place for a socket just accepted at shard `here`, at the shard with the fewest, and names
    /// that shard: `here` where there is a tie, since moving costs. `None` when `connections_max` are
    /// placed already. Every place is given back by [`Quota::leave`].
    pub fn place(&self, here: usize, connections_max: usize) -> Option<usize> {
        let held = |shard: usize| self.shards[shard].connections.load(Relaxed);
        if self.connections() >= connections_max {
            return None;
        }
        let least = (0..self.shards.len()).min_by_key(|&shard| (held(shard), shard != here)).unwrap_or(here);
        self.shards[least].connections.fetch_add(1, Relaxed);
        Some(least)
    }

    /// Takes a place at a shard whatever the limit.
    pub fn enter(&self, shard: usize) {
        self.shards[shard].connections.fetch_add(1, Relaxed);
    }

    /// Gives a place back.
    pub fn leave(&self, shard: usize) {
        self.shards[shard].connections.fetch_sub(1, Relaxed);
    }

    /// A place taken at one shard counts for another.
    pub fn move_place(&self, from: usize, to: usize) {
        self.enter(to);
        self.leave(from);
    }

    /// Sockets placed, over all shards.
    pub fn connections(&self) -> usize {
        self.shards.iter().map(|load| load.connections.load(Relaxed)).sum()
    }

    /// Says what a shard holds for its members, and returns how much of it has to go, in bytes: nothing
    /// while all shards together hold at most `bytes_max`, else what this one holds beyond an even share,
    /// at most the excess. A shard within its share does not pay for the others' slow members.
    pub fn set_buffered(&self, shard: usize, bytes: usize, bytes_max: usize) -> usize {
        self.shards[shard].buffered_bytes.store(bytes, Relaxed);
        let held: usize = self.shards.iter().map(|load| load.buffered_bytes.load(Relaxed)).sum();
        held.saturating_sub(bytes_max).min(bytes.saturating_sub(bytes_max / self.shards.len()))
    }

    /// Says how many rooms have their home at a shard, and returns how many it may have: what the others
    /// leave of `rooms_max`. Shards that open rooms in the same turn may go beyond it by those.
    pub fn set_rooms(&self, shard: usize, rooms: usize, rooms_max: usize) -> usize {
        self.shards[shard].rooms.store(rooms, Relaxed);
        let all: usize = self.shards.iter().map(|load| load.rooms.load(Relaxed)).sum();
        rooms_max.saturating_sub(all - rooms.min(all))
    }

    /// From now on nobody new is let in.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// A shard lets nobody in any more but operators: said once, when the last it let in has its place.
    pub fn close(&self) {
        self.closed.fetch_add(1, Release);
    }

    /// Whether a shard holds no place but those of `staying` operators, and no other will be taken there, for
    /// no shard lets anybody in any more.
    pub fn is_deserted(&self, shard: usize, staying: usize) -> bool {
        self.closed.load(Acquire) == self.shards.len()
            && self.shards[shard].connections.load(Relaxed) == staying
    }

    /// Whether the node is on its way out.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }
}

/// Addresses and users that are told apart at a time: tables of 4 MiB each.
const KEYS_MAX: usize = 1 << 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_connects_spread_evenly_however_they_are_accepted() {
        for accepted_by_first in [0, 1, 500, 1000] {
            let quota = Quota::new(2, 1000, 1);
            let mut placed = [0, 0];
            for number in 0..1000 {
                let here = usize::from(number >= accepted_by_first);
                placed[quota.place(here, 1000).unwrap()] += 1;
            }
            assert_eq!(placed, [500, 500]);
            assert_eq!(quota.place(0, 1000), None);
        }
    }

    #[test]
    fn after_departures_the_emptier_shard_fills_up_first() {
        let quota = Quota::new(2, 1000, 1);
        for _ in 0..10 {
            quota.place(0, 100);
        }
        for _ in 0..5 {
            quota.leave(1);
        }
        assert!((0..5).all(|_| quota.place(0, 100) == Some(1)));
        assert_eq!(quota.place(1, 100), Some(1));
    }

    #[test]
    fn only_shards_beyond_an_even_share_have_to_free_what_is_too_much() {
        let quota = Quota::new(2, 1000, 1);
        assert_eq!(quota.set_buffered(0, 90, 100), 0, "together they hold no more than they may");
        assert_eq!(quota.set_buffered(1, 30, 100), 0, "this one is within its share");
        assert_eq!(quota.set_buffered(0, 90, 100), 20);
        assert_eq!(quota.set_buffered(1, 80, 100), 30, "not below its share");
        assert_eq!(quota.set_buffered(0, 10, 100), 0);
        assert_eq!(quota.set_buffered(1, 95, 100), 5);
    }

    #[test]
    fn a_shard_is_deserted_when_nobody_can_come_any_more() {
        let quota = Quota::new(2, 1000, 1);
        quota.close();
        assert!(!quota.is_deserted(0, 0), "the other shard may still place somebody here");
        assert_eq!(quota.place(1, 10), Some(1));
        quota.close();
        assert!(quota.is_deserted(0, 0) && !quota.is_deserted(1, 0));
        quota.leave(1);
        assert!(quota.is_deserted(1, 0));
    }

    #[test]
    fn a_shard_may_have_the_rooms_that_the_others_leave() {
        let quota = Quota::new(2, 1000, 1);
        assert_eq!(quota.set_rooms(0, 30, 100), 100);
        assert_eq!(quota.set_rooms(1, 60, 100), 70);
        assert_eq!(quota.set_rooms(0, 30, 100), 40);
        assert_eq!(quota.set_rooms(0, 30, 10), 0);
    }
}

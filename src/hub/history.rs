//! What homes keep when everybody has it: how long, how much, and what goes first.
//!
//! A room's history lies in its home's log. Here is when it goes: what is too old, in small portions as time passes;
//! what expires soonest, when all histories together are too much; and rooms that nobody wants any more, whose
//! entry stays for a while so that who comes back finds the epoch that it knew. Time is an argument.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use super::home::HomeKey;
use super::message::{Position, Since};
use super::{Hub, Publication};

/// How much of a room is kept at its home.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Publications at most; 0 is no history.
    pub publications: u32,
    /// Milliseconds after which a publication is dropped, and the entry of a room without members.
    pub ttl_ms: u64,
}

impl Keep {
    /// No history.
    pub const NONE: Keep = Keep { publications: 0, ttl_ms: 0 };

    pub(super) fn is_any(self) -> bool {
        self.publications > 0
    }
}

/// What a room's rule says is kept of it, by the room's name.
pub type Keeper = Box<dyn Fn(&str) -> Keep>;

/// The homes that something has to be dropped from.
#[derive(Default)]
pub(super) struct Shelf {
    /// Homes that hold something, once each, by a time before which nothing there is too old.
    expiring: BinaryHeap<Reverse<(u64, HomeKey)>>,
    /// Homes that nobody wants, by the time at which they close.
    lingering: BTreeSet<(u64, HomeKey)>,
    /// Homes made by rules that do not hold any more.
    outdated: Vec<HomeKey>,
}

/// A room's history, read for the application.
#[derive(Debug)]
pub struct Read {
    /// Where the room stands; `None` if nobody has used it yet.
    pub position: Option<Position>,
    /// Whether everything since the place asked for is held, if one was.
    pub recovered: Option<bool>,
    /// The oldest of what was asked for, each with the place behind it.
    pub publications: Vec<(Position, Arc<Publication>)>,
}

impl Hub {
    /// Other rules hold from now on. What they keep of the rooms that are there is looked up anew as time passes, so
    /// many rooms at a time.
    pub fn set_keeper(&mut self, keeper: Keeper) {
        self.keeper = keeper;
        self.shelf.outdated = self.homes.keys().collect();
    }

    fn look_up_keeps(&mut self) {
        for _ in 0..LOOKED_UP_A_CALL {
            let Some(key) = self.shelf.outdated.pop() else { return };
            let Some(home) = self.homes.get(key) else { continue };
            let keep = (self.keeper)(&home.name);
            if keep != home.keep {
                self.change_keep(key, keep);
            }
        }
    }

    fn change_keep(&mut self, key: HomeKey, keep: Keep) {
        self.unlinger(key);
        let home = &mut self.homes[key];
        self.census.history_bytes -= if home.keep.is_any() { home.held_bytes() } else { 0 };
        self.census.history_bytes += if keep.is_any() { home.held_bytes() } else { 0 };
        home.set_keep(keep);
        if let Some(room) = home.local {
            self.rooms[room].kept = keep.is_any();
        }
        self.with_home(key, |home, mut freed| home.release(|origin, credit| freed.give(origin, credit)));
        self.queue_home(key);
        self.shelve(key);
        self.close_home_if_unwanted(key);
    }

    /// It is so late now, in milliseconds since whenever: drops some of what is too old. To be called a few times a
    /// second; what is late by then goes at a later call, and is not handed out any more.
    pub fn pass_time(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.look_up_keeps();
        let mut budget = EXPIRED_A_CALL;
        while budget > 0 {
            budget -= 1;
            let Some(&Reverse((due_ms, key))) = self.shelf.expiring.peek() else { break };
            if due_ms > self.now_ms {
                break;
            }
            self.shelf.expiring.pop();
            if self.homes.contains_key(key) {
                self.homes[key].shelved = false;
                self.with_home(key, |home, _| home.expire(now_ms, &mut budget));
                self.shelve(key);
            }
        }
        for _ in 0..EXPIRED_A_CALL {
            match self.shelf.lingering.first() {
                Some(&(due_ms, _)) if due_ms <= self.now_ms => _ = self.close_lingering(),
                _ => break,
            }
        }
    }

    /// Enters a home that holds something for the time at which that is too old.
    pub(super) fn shelve(&mut self, key: HomeKey) {
        if self.shelf.expiring.len() > 2 * self.homes.len() + STALE_MAX {
            let homes = &self.homes;
            self.shelf.expiring.retain(|Reverse((_, key))| homes.contains_key(*key));
        }
        let Some(home) = self.homes.get_mut(key) else { return };
        if !home.shelved
            && let Some(due_ms) = home.due_ms()
        {
            home.shelved = true;
            // What is late, and some shard has yet to be pushed, is looked at again a little later.
            let due_ms = if due_ms <= self.now_ms { self.now_ms + LATE_MS } else { due_ms };
            self.shelf.expiring.push(Reverse((due_ms, key)));
        }
    }

    /// All histories together hold too much: what expires soonest goes, at most so much a call. What some shard has yet
    /// to be pushed stays.
    pub(super) fn evict(&mut self) {
        let mut staying = Vec::new();
        let evicted_max = self.counts.history_evicted + EVICTED_A_CALL;
        while self.counts.history_evicted < evicted_max
            && self.census.history_bytes > self.limits.history_bytes
            && let Some(Reverse((due_ms, key))) = self.shelf.expiring.pop()
        {
            let Some(home) = self.homes.get_mut(key) else { continue };
            home.shelved = false;
            // The time it was entered for may lie before that of what is the oldest now.
            if home.due_ms().is_some_and(|now_due_ms| now_due_ms > due_ms) {
                self.shelve(key);
            } else if self.with_home(key, |home, _| home.evict()) {
                self.counts.history_evicted += 1;
                self.shelve(key);
            } else {
                staying.push(key);
            }
        }
        staying.into_iter().for_each(|key| self.shelve(key));
    }

    /// Nobody wants the room any more: with history it stays for a while.
    pub(super) fn linger(&mut self, key: HomeKey) {
        // It may be said twice that nobody wants it.
        self.unlinger(key);
        self.homes[key].touched_ms = self.now_ms;
        self.shelf.lingering.insert((self.homes[key].closes_ms(), key));
    }

    /// Somebody wants the room, or its time is about to change.
    pub(super) fn unlinger(&mut self, key: HomeKey) {
        self.shelf.lingering.remove(&(self.homes[key].closes_ms(), key));
    }

    /// Closes the room that would close soonest of those that nobody wants. False if there is none.
    pub(super) fn close_lingering(&mut self) -> bool {
        let Some((_, key)) = self.shelf.lingering.pop_first() else { return false };
        self.remove_home(key);
        true
    }

    /// What is held of a room whose home is here, from `since` on, the oldest `limit`; `None` if its rule keeps
    /// nothing.
    pub fn history(&self, room: &str, since: Option<Since>, limit: usize) -> Option<Read> {
        let now_ms = self.now_ms;
        let Some(key) = self.homes_by_name.get(room).copied() else {
            let none = Read { position: None, recovered: since.map(|_| false), publications: Vec::new() };
            return (self.keeper)(room).is_any().then_some(none);
        };
        if !self.homes[key].keep.is_any() {
            return None;
        }
        let home = &self.homes[key];
        let from = home.held_since(since.unwrap_or(Since::Earliest), now_ms);
        let publications = home.held_from(from.unwrap_or(0), now_ms).take(limit);
        Some(Read {
            position: Some(home.head()),
            recovered: since.map(|_| from.is_some()),
            publications: publications
                .map(|(position, publication)| (position, publication.clone()))
                .collect(),
        })
    }

    /// Where a room with history stands whose home is here.
    pub fn position_of(&self, room: &str) -> Option<Position> {
        let home = &self.homes[*self.homes_by_name.get(room)?];
        home.keep.is_any().then(|| home.head())
    }
}

/// Publications and homes that one call of [`Hub::pass_time`] drops or looks at.
const EXPIRED_A_CALL: usize = 4096;
/// Homes whose rule is looked up anew in one such call.
const LOOKED_UP_A_CALL: usize = 4096;
/// Publications that are evicted at once: more are left for the next turn.
const EVICTED_A_CALL: u64 = 4096;
/// Milliseconds until what could not be dropped is looked at again.
const LATE_MS: u64 = 1000;
/// Homes that are gone may stand in the heap, as many as there are homes and so many more.
const STALE_MAX: usize = 64;

#[cfg(test)]
mod tests;

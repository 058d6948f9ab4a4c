//! The homes of this shard, and what goes over the lanes to and from other shards.
//!
//! Nothing here waits: what a full lane does not take stays owed, in lists with a bound, and is pushed
//! in a later turn.

use std::sync::Arc;

use super::history::Keep;
use super::home::{Home, HomeKey, Pushed};
use super::message::{Credit, Lanes, Message, Position, RoomKey, ShardId};
use super::publication::Publication;
use super::recovery::Standing;
use super::{Hub, Peer};

impl Hub {
    /// What another shard said.
    pub fn on_message(&mut self, from: ShardId, message: Message) {
        match message {
            Message::Wanted { room, key } => self.on_wanted(from, &room, key),
            Message::Unwanted { room } => self.on_unwanted(from, &room),
            Message::Publish { room, publication, receipt } => {
                let position = self.accept(from, &room, &publication);
                self.peers[from.index()].accepted.extend(receipt.map(|receipt| (receipt, position)));
            }
            Message::Fence(number) => self.peers[from.index()].fence_owed = Some(number),
            Message::Joined { key, position, kept } => self.on_joined(key, position, kept),
            Message::Recall { room, key, from: offset } => self.on_recall(from, &room, key, offset),
            Message::Recalled { key, past } => self.on_recalled(key, *past),
            Message::RoomRefused { key } => self.on_room_refused(key),
            Message::Deliver { key, publication, position } => self.append(key, &publication, position),
            Message::Gap { key, position } => self.append_gap(key, position),
            Message::Accepted { receipt, position } => {
                if let Some((connection, request)) = self.receipts.remove(receipt) {
                    self.acknowledge(connection, &request, Standing::published(position));
                }
            }
            Message::Credit(credit) => self.peers[from.index()].return_credit(credit),
            Message::FencePassed(number) => self.peers[from.index()].fence.passed = number,
        }
    }

    /// A home puts a publication in order: into the local log at once, to other shards when pushed. Returns the
    /// place behind it, if the room has a history.
    pub(super) fn accept(
        &mut self,
        origin: ShardId,
        room: &str,
        publication: &Arc<Publication>,
    ) -> Option<Position> {
        self.counts.accepted += 1;
        let Some(key) = self.homes_by_name.get(room).copied().or_else(|| self.open_for_history(room)) else {
            // Nobody in the node is a member, and nothing is kept.
            self.free(origin, Credit::of(publication));
            return None;
        };
        let now_ms = self.now_ms;
        let (kept, wanted) = (self.homes[key].keep.is_any(), self.homes[key].is_wanted());
        if !wanted {
            self.unlinger(key);
        }
        let (position, local, pushed) = self.with_home(key, |home, mut freed| {
            let pushed = home.accept(publication, origin, now_ms);
            if !pushed {
                freed.give(origin, Credit::of(publication));
                home.release(|_, _| unreachable!("with nobody to push to, nothing holds credit"));
            }
            (home.head(), home.local, pushed)
        });
        if pushed {
            self.queue_home(key);
        }
        if kept {
            if !wanted {
                self.linger(key);
            }
            self.shelve(key);
            self.evict();
        }
        if let Some(room) = local {
            self.append(room, publication, position);
        }
        kept.then_some(position)
    }

    /// The entry of a room without members whose rule keeps what is published there, if there is a place for it.
    fn open_for_history(&mut self, room: &str) -> Option<HomeKey> {
        let keep = (self.keeper)(room);
        if !keep.is_any() {
            return None;
        }
        if !self.may_open(room) {
            self.counts.rooms_refused += 1;
            return None;
        }
        let key = self.open_home(room.into(), keep);
        self.linger(key);
        Some(key)
    }

    /// Lists a home with every shard that it has something for.
    pub(super) fn queue_home(&mut self, key: HomeKey) {
        for shard in self.homes[key].queue() {
            self.peers[shard.index()].homes.push_back(key);
        }
    }

    /// Changes a home, and accounts for what it holds then.
    pub(super) fn with_home<R>(&mut self, key: HomeKey, change: impl FnOnce(&mut Home, Freed<'_>) -> R) -> R {
        let home = &mut self.homes[key];
        let before = home.held_bytes();
        let result = change(home, Freed { peers: &mut self.peers, here: self.options.shard });
        let after = home.held_bytes();
        self.census.home_bytes = self.census.home_bytes + after - before;
        if home.keep.is_any() {
            self.census.history_bytes = self.census.history_bytes + after - before;
        }
        result
    }

    /// The entry of a room whose home is here, for somebody who wants it; made if there is none.
    pub(super) fn home_entry(&mut self, name: &Arc<str>) -> HomeKey {
        match self.homes_by_name.get(name) {
            Some(&key) => {
                if !self.homes[key].is_wanted() {
                    self.unlinger(key);
                }
                key
            }
            None => self.open_home(name.clone(), (self.keeper)(name)),
        }
    }

    fn open_home(&mut self, name: Arc<str>, keep: Keep) -> HomeKey {
        let epoch = self.draw_epoch();
        let key = self.homes.insert(Home::new(name.clone(), epoch, keep));
        self.homes_by_name.insert(name, key);
        key
    }

    /// The last that wanted the room has gone, perhaps: its entry goes, or stays for a while.
    pub(super) fn close_home_if_unwanted(&mut self, key: HomeKey) {
        let home = &self.homes[key];
        if home.is_wanted() {
            return;
        }
        if home.keep.is_any() { self.linger(key) } else { self.remove_home(key) }
    }

    /// An entry that nobody wants goes, with all that it holds.
    pub(super) fn remove_home(&mut self, key: HomeKey) {
        let Some(home) = self.homes.remove(key) else { return };
        self.census.home_bytes -= home.held_bytes();
        self.census.history_bytes -= if home.keep.is_any() { home.held_bytes() } else { 0 };
        self.homes_by_name.remove(&home.name);
    }

    fn on_wanted(&mut self, from: ShardId, name: &Arc<str>, room: RoomKey) {
        if !self.may_open(name) {
            self.counts.rooms_refused += 1;
            return self.peers[from.index()].refused.push_back(room);
        }
        let key = self.home_entry(name);
        self.homes[key].want(from, room);
        self.queue_home(key);
    }

    fn on_unwanted(&mut self, from: ShardId, name: &str) {
        if let Some(&key) = self.homes_by_name.get(name) {
            let unwant = |home: &mut Home, mut freed: Freed<'_>| {
                home.unwant(from, |origin, credit| freed.give(origin, credit))
            };
            if self.with_home(key, unwant) {
                self.peers[from.index()].homes.retain(|&queued| queued != key);
            }
            self.close_home_if_unwanted(key);
        }
    }

    fn on_recall(&mut self, from: ShardId, name: &str, room: RoomKey, offset: u64) {
        if let Some(&key) = self.homes_by_name.get(name) {
            let now_ms = self.now_ms;
            self.homes[key].recall(from, room, offset, now_ms);
            self.queue_home(key);
        }
    }

    /// Fills the lanes: what this shard asks of homes, what its homes release, then what they owe in
    /// return. What a full lane does not take stays for the next call.
    pub fn push(&mut self, lanes: &mut impl Lanes) {
        let here = self.options.shard;
        let others = (0..self.options.shards).map(ShardId).filter(move |&shard| shard != here);
        for to in others.clone() {
            self.ask(to, lanes);
            self.release(to, lanes);
        }
        // What has been released to all is history, and may be too much.
        self.evict();
        // Only now, since releasing to one shard frees the credit of another.
        for to in others {
            self.answer(to, lanes);
        }
    }

    /// Whether a lane with room would be given something.
    pub fn owes(&self) -> bool {
        self.peers.iter().any(Peer::owes)
    }

    fn ask(&mut self, to: ShardId, lanes: &mut impl Lanes) {
        let peer = &mut self.peers[to.index()];
        while peer.interests.say_one(|message| lanes.push(to, message).is_ok()) {
            peer.progress = peer.progress.saturating_add(1);
        }
        // A home that has not heard yet that the room is wanted again would take what is asked for as void.
        while peer.interests.len() == 0
            && let Some((key, from)) = peer.recalls.front().copied()
        {
            let room = self.rooms.get(key).map(|room| room.name.clone());
            if room.is_some_and(|room| lanes.push(to, Message::Recall { room, key, from }).is_err()) {
                return;
            }
            peer.recalls.pop_front();
        }
        while let Some(message) = peer.publishes.pop_front() {
            if let Err(message) = lanes.push(to, message) {
                return peer.publishes.push_front(message);
            }
        }
        if peer.fence.wanted > peer.fence.asked && lanes.push(to, Message::Fence(peer.fence.wanted)).is_ok() {
            peer.fence.asked = peer.fence.wanted;
        }
    }

    fn release(&mut self, to: ShardId, lanes: &mut impl Lanes) {
        let lag_max = self.limits.lag_bytes as u64;
        while let Some(&key) = self.peers[to.index()].homes.front() {
            let push = |home: &mut Home, mut freed: Freed<'_>| {
                home.push(to, lanes, lag_max, |origin, credit| freed.give(origin, credit))
            };
            if self.homes.contains_key(key) && self.with_home(key, push) == Pushed::LaneFull {
                return;
            }
            self.peers[to.index()].homes.pop_front();
        }
    }

    /// Acks, credit and fences follow what was released before them: they wait until all of it is on
    /// the lane.
    fn answer(&mut self, to: ShardId, lanes: &mut impl Lanes) {
        let peer = &mut self.peers[to.index()];
        // Credit does not wait: it says what left the logs, whatever comes behind it.
        if !peer.credit_owed.is_zero() && lanes.push(to, Message::Credit(peer.credit_owed)).is_ok() {
            peer.credit_owed = Credit::default();
        }
        while let Some(&key) = peer.refused.front() {
            if lanes.push(to, Message::RoomRefused { key }).is_err() {
                return;
            }
            peer.refused.pop_front();
        }
        if !peer.homes.is_empty() {
            return;
        }
        while let Some(&(receipt, position)) = peer.accepted.front() {
            if lanes.push(to, Message::Accepted { receipt, position }).is_err() {
                return;
            }
            peer.accepted.pop_front();
        }
        if let Some(number) = peer.fence_owed
            && lanes.push(to, Message::FencePassed(number)).is_ok()
        {
            peer.fence_owed = None;
        }
    }

    fn free(&mut self, origin: ShardId, credit: Credit) {
        Freed { peers: &mut self.peers, here: self.options.shard }.give(origin, credit);
    }
}

/// Takes back the credit of publications that a home has released.
pub(super) struct Freed<'a> {
    peers: &'a mut [Peer],
    here: ShardId,
}

impl Freed<'_> {
    /// Returns credit to whoever published: a message for another shard, at once for this one.
    pub(super) fn give(&mut self, origin: ShardId, credit: Credit) {
        let peer = &mut self.peers[origin.index()];
        if origin == self.here { peer.return_credit(credit) } else { peer.credit_owed.add(credit) }
    }
}

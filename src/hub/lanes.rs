//! The homes of this shard, and what goes over the lanes to and from other shards.
//!
//! Nothing here waits: what a full lane does not take stays owed, in lists with a bound, and is pushed
//! in a later turn.

use std::sync::Arc;

use super::home::{Home, HomeKey, Pushed};
use super::message::{Credit, Lanes, Message, RoomKey, ShardId};
use super::publication::Publication;
use super::{Hub, Peer};

impl Hub {
    /// What another shard said.
    pub fn on_message(&mut self, from: ShardId, message: Message) {
        match message {
            Message::Wanted { room, key } => self.on_wanted(from, &room, key),
            Message::Unwanted { room } => self.on_unwanted(from, &room),
            Message::Publish { room, publication, receipt } => {
                self.accept(from, &room, &publication);
                self.peers[from.index()].accepted.extend(receipt);
            }
            Message::Fence(number) => self.peers[from.index()].fence_owed = Some(number),
            Message::Joined { key, position: _ } => self.on_joined(key),
            Message::RoomRefused { key } => self.on_room_refused(key),
            Message::Deliver { key, publication } => self.append(key, &publication),
            Message::Gap { key, position } => self.append_gap(key, position),
            Message::Accepted { receipt } => {
                if let Some((connection, request)) = self.receipts.remove(receipt) {
                    self.acknowledge(connection, &request);
                }
            }
            Message::Credit(credit) => self.peers[from.index()].return_credit(credit),
            Message::FencePassed(number) => self.peers[from.index()].fence.passed = number,
        }
    }

    /// A home puts a publication in order: into the local log at once, to other shards when pushed.
    pub(super) fn accept(&mut self, origin: ShardId, room: &str, publication: &Arc<Publication>) {
        self.counts.accepted += 1;
        let Some(&key) = self.homes_by_name.get(room) else {
            // Nobody in the node is a member.
            return self.free(origin, Credit::of(publication));
        };
        let home = &mut self.homes[key];
        if home.accept(publication, origin) {
            self.census.home_bytes += publication.cost();
        } else {
            Self::free_in(&mut self.peers, self.options.shard, origin, Credit::of(publication));
        }
        for shard in home.queue() {
            self.peers[shard.index()].homes.push_back(key);
        }
        if let Some(room) = home.local {
            self.append(room, publication);
        }
    }

    /// The entry of a room whose home is here, made if there is none.
    pub(super) fn home_entry(&mut self, name: &Arc<str>) -> HomeKey {
        if let Some(&key) = self.homes_by_name.get(name) {
            return key;
        }
        let epoch = self.draw_epoch();
        let key = self.homes.insert(Home::new(name.clone(), epoch));
        self.homes_by_name.insert(name.clone(), key);
        key
    }

    pub(super) fn close_home_if_unwanted(&mut self, key: HomeKey) {
        if !self.homes[key].is_wanted()
            && let Some(home) = self.homes.remove(key)
        {
            self.homes_by_name.remove(&home.name);
        }
    }

    fn on_wanted(&mut self, from: ShardId, name: &Arc<str>, room: RoomKey) {
        if !self.may_open(name) {
            self.counts.rooms_refused += 1;
            return self.peers[from.index()].refused.push_back(room);
        }
        let key = self.home_entry(name);
        let home = &mut self.homes[key];
        home.want(from, room);
        for shard in home.queue() {
            self.peers[shard.index()].homes.push_back(key);
        }
    }

    fn on_unwanted(&mut self, from: ShardId, name: &str) {
        if let Some(&key) = self.homes_by_name.get(name) {
            let (peers, census, here) = (&mut self.peers, &mut self.census, self.options.shard);
            let free = |origin, credit: Credit| {
                census.home_bytes -= credit.bytes;
                Self::free_in(peers, here, origin, credit);
            };
            if self.homes[key].unwant(from, free) {
                self.peers[from.index()].homes.retain(|&queued| queued != key);
            }
            self.close_home_if_unwanted(key);
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
        let (here, lag_max) = (self.options.shard, self.limits.lag_bytes as u64);
        while let Some(&key) = self.peers[to.index()].homes.front() {
            let (peers, census) = (&mut self.peers, &mut self.census);
            let free = |origin, credit: Credit| {
                census.home_bytes -= credit.bytes;
                Self::free_in(peers, here, origin, credit);
            };
            let home = self.homes.get_mut(key);
            if home.is_some_and(|home| home.push(to, lanes, lag_max, free) == Pushed::LaneFull) {
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
        while let Some(&receipt) = peer.accepted.front() {
            if lanes.push(to, Message::Accepted { receipt }).is_err() {
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
        Self::free_in(&mut self.peers, self.options.shard, origin, credit);
    }

    /// Returns credit to whoever published: a message for another shard, at once for this one.
    fn free_in(peers: &mut [Peer], here: ShardId, origin: ShardId, credit: Credit) {
        let peer = &mut peers[origin.index()];
        if origin == here { peer.return_credit(credit) } else { peer.credit_owed.add(credit) }
    }
}

//! What this shard owes another one, until their lane has room for it.
//!
//! Every list here is bounded: interests coalesce to one state per room, publications by credit,
//! acknowledgements by the credit of the other side, refusals by the joins it may have
//! unanswered, homes by the rooms it wants, recalls by the joins that wait for them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::home::HomeKey;
use super::message::{Credit, Message, Position, ReceiptKey, RoomKey};

/// Another shard, seen from here. The entry for the shard itself keeps its credit at its own homes.
pub(super) struct Peer {
    pub(super) credit: Credit,
    /// Joins that wait for this home's answer.
    pub(super) joins_unanswered: u32,
    /// Credit returned and joins answered since somebody asked.
    pub(super) progress: u32,
    pub(super) interests: Interests,
    /// Rooms whose history is wanted from an offset on.
    pub(super) recalls: VecDeque<(RoomKey, u64)>,
    pub(super) publishes: VecDeque<Message>,
    pub(super) fence: FenceSide,
    /// Homes here that have something for that shard's members.
    pub(super) homes: VecDeque<HomeKey>,
    pub(super) accepted: VecDeque<(ReceiptKey, Option<Position>)>,
    /// Rooms of that shard that have no place here.
    pub(super) refused: VecDeque<RoomKey>,
    pub(super) credit_owed: Credit,
    /// The highest fence it asked for and was not told has passed.
    pub(super) fence_owed: Option<u64>,
}

/// The fences that this shard asked that home for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FenceSide {
    pub(super) wanted: u64,
    pub(super) asked: u64,
    pub(super) passed: u64,
}

impl Peer {
    pub(super) fn new(credit: Credit, hash: FixedState) -> Peer {
        Peer {
            credit,
            joins_unanswered: 0,
            progress: 0,
            interests: Interests { queue: VecDeque::new(), states: HashMap::with_hasher(hash) },
            recalls: VecDeque::new(),
            publishes: VecDeque::new(),
            fence: FenceSide::default(),
            homes: VecDeque::new(),
            accepted: VecDeque::new(),
            refused: VecDeque::new(),
            credit_owed: Credit::default(),
            fence_owed: None,
        }
    }

    pub(super) fn return_credit(&mut self, credit: Credit) {
        self.credit.add(credit);
        self.progress = self.progress.saturating_add(credit.publications);
    }

    pub(super) fn joins_answered(&mut self, count: usize) {
        self.joins_unanswered -= count as u32;
        self.progress = self.progress.saturating_add(count as u32);
    }

    /// Whether a lane with room for it would be given something.
    pub(super) fn owes(&self) -> bool {
        !self.interests.queue.is_empty()
            || !self.recalls.is_empty()
            || !self.publishes.is_empty()
            || self.fence.wanted > self.fence.asked
            || !self.homes.is_empty()
            || !self.accepted.is_empty()
            || !self.refused.is_empty()
            || !self.credit_owed.is_zero()
            || self.fence_owed.is_some()
    }
}

/// Changes of interest in rooms whose home is the peer, not yet said: one state per room.
pub(super) struct Interests {
    queue: VecDeque<Arc<str>>,
    states: HashMap<Arc<str>, Pending, FixedState>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    wanted: Option<RoomKey>,
    /// The home believes that we want the room (under some key).
    known: bool,
}

impl Interests {
    pub(super) fn want(&mut self, room: &Arc<str>, key: RoomKey) {
        self.change(room, Some(key), false);
    }

    pub(super) fn unwant(&mut self, room: &Arc<str>) {
        self.change(room, None, true);
    }

    /// Rooms whose state is not yet said.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    fn change(&mut self, room: &Arc<str>, wanted: Option<RoomKey>, known: bool) {
        if let Some(pending) = self.states.get_mut(room) {
            pending.wanted = wanted;
        } else {
            self.states.insert(room.clone(), Pending { wanted, known });
            self.queue.push_back(room.clone());
        }
    }

    /// Says the oldest change through `say`; false if there was none or it could not be said.
    pub(super) fn say_one(&mut self, say: impl FnOnce(Message) -> bool) -> bool {
        let Some(room) = self.queue.front() else { return false };
        let said = match self.states.get(room) {
            Some(&Pending { wanted: Some(key), .. }) => say(Message::Wanted { room: room.clone(), key }),
            Some(&Pending { wanted: None, known: true }) => say(Message::Unwanted { room: room.clone() }),
            // Taken and given up again before it was said: the home need not hear of it.
            Some(&Pending { wanted: None, known: false }) | None => true,
        };
        if said && let Some(room) = self.queue.pop_front() {
            self.states.remove(&room);
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn said(interests: &mut Interests) -> Vec<String> {
        let mut said = Vec::new();
        while interests.say_one(|message| {
            said.push(match message {
                Message::Wanted { room, .. } => format!("+{room}"),
                Message::Unwanted { room } => format!("-{room}"),
                other => panic!("{other:?} is no interest"),
            });
            true
        }) {}
        said
    }

    #[test]
    fn changes_of_interest_coalesce_to_one_state_per_room() {
        let mut peer = Peer::new(Credit::default(), FixedState::with_seed(1));
        let mut keys = SlotMap::<RoomKey, ()>::with_key();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        for _ in 0..1000 {
            peer.interests.want(&a, keys.insert(()));
            peer.interests.unwant(&a);
        }
        peer.interests.want(&b, keys.insert(()));
        assert_eq!(peer.interests.len(), 2);
        assert_eq!(said(&mut peer.interests), ["+b"]);
        peer.interests.unwant(&b);
        peer.interests.want(&b, keys.insert(()));
        peer.interests.unwant(&b);
        assert_eq!(said(&mut peer.interests), ["-b"]);
        assert!(!peer.owes());
    }
}

//! A room's home: the one place in the node that puts its publications in order.
//!
//! To a home a shard is a member too: one cursor per interested shard in a short log, pushed while
//! the lane to that shard has room. The home's own members need no lane and no cursor here: what is
//! accepted goes straight into the local log. Knows nothing of connections.

use std::collections::VecDeque;
use std::sync::Arc;

use slotmap::new_key_type;

use super::message::{Credit, Lanes, Message, Position, RoomKey, ShardId};
use super::publication::Publication;

new_key_type! {
    /// A room at its home.
    pub(super) struct HomeKey;
}

/// A room's entry at its home. It exists while some shard has members.
pub(super) struct Home {
    pub(super) name: Arc<str>,
    /// The room with this shard's own members.
    pub(super) local: Option<RoomKey>,
    epoch: u32,
    next_offset: u64,
    remotes: Vec<Remote>,
    log: VecDeque<Entry>,
    /// Cost of all that was ever accepted, in bytes.
    accepted_bytes: u64,
}

/// Another shard that has members of the room.
struct Remote {
    shard: ShardId,
    key: RoomKey,
    /// The offset of the next publication to push.
    at: u64,
    /// Cost of all before `at`.
    at_bytes: u64,
    owes: Owed,
    /// It stands in the list of homes that have something for its shard.
    queued: bool,
}

/// What has to be said before the next publication.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    Answer,
    Gap,
}

struct Entry {
    publication: Arc<Publication>,
    /// Whose credit it holds.
    origin: ShardId,
}

/// What became of a home's push to one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    All,
    LaneFull,
}

impl Home {
    pub(super) fn new(name: Arc<str>, epoch: u32) -> Home {
        Home {
            name,
            local: None,
            epoch,
            next_offset: 0,
            remotes: Vec::new(),
            log: VecDeque::new(),
            accepted_bytes: 0,
        }
    }

    /// Where the order stands.
    pub(super) fn head(&self) -> Position {
        Position { epoch: self.epoch, offset: self.next_offset }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.local.is_some() || !self.remotes.is_empty()
    }

    /// Gives a publication its place, and returns whether it has to be pushed to other shards: if not,
    /// it holds no credit.
    pub(super) fn accept(&mut self, publication: &Arc<Publication>, origin: ShardId) -> bool {
        self.next_offset += 1;
        self.accepted_bytes += publication.cost();
        if self.remotes.is_empty() {
            return false;
        }
        self.log.push_back(Entry { publication: publication.clone(), origin });
        true
    }

    /// Shards that have something coming and are not yet queued for it; they are taken as queued now.
    pub(super) fn queue(&mut self) -> impl Iterator<Item = ShardId> {
        self.remotes.iter_mut().filter(|remote| !remote.queued).map(|remote| {
            remote.queued = true;
            remote.shard
        })
    }

    /// A shard wants the room under a new key, and is owed an answer.
    pub(super) fn want(&mut self, shard: ShardId, key: RoomKey) {
        match self.remotes.iter_mut().find(|remote| remote.shard == shard) {
            // The shard gave the room up and took it again before we heard of it. Its cursor may be
            // behind our head; the answer names where the cursor is, since from there it is pushed.
            Some(remote) => (remote.key, remote.owes) = (key, Owed::Answer),
            None => self.remotes.push(Remote {
                shard,
                key,
                at: self.next_offset,
                at_bytes: self.accepted_bytes,
                owes: Owed::Answer,
                queued: false,
            }),
        }
    }

    /// A shard has no members any more. True if it stood in the list of those with something coming.
    pub(super) fn unwant(&mut self, shard: ShardId, freed: impl FnMut(ShardId, Credit)) -> bool {
        let at = self.remotes.iter().position(|remote| remote.shard == shard);
        let queued = at.is_some_and(|at| self.remotes.swap_remove(at).queued);
        self.trim(freed);
        queued
    }

    /// Pushes what one shard lacks. With the lane full and the shard more than `lag_max` bytes behind,
    /// what it lacks is given up and replaced by a gap.
    pub(super) fn push(
        &mut self,
        to: ShardId,
        lanes: &mut impl Lanes,
        lag_max: u64,
        freed: impl FnMut(ShardId, Credit),
    ) -> Pushed {
        let head = self.head();
        let first = self.first_offset();
        let Some(remote) = self.remotes.iter_mut().find(|remote| remote.shard == to) else {
            return Pushed::All;
        };
        let pushed = remote.push(head, first, &self.log, lanes);
        if pushed == Pushed::LaneFull && self.accepted_bytes - remote.at_bytes > lag_max {
            (remote.at, remote.at_bytes) = (self.next_offset, self.accepted_bytes);
            if remote.owes == Owed::Nothing {
                remote.owes = Owed::Gap;
            }
        }
        remote.queued = pushed == Pushed::LaneFull;
        self.trim(freed);
        pushed
    }

    fn first_offset(&self) -> u64 {
        self.next_offset - self.log.len() as u64
    }

    /// Drops what every shard has been pushed, and returns the credit it held.
    fn trim(&mut self, mut freed: impl FnMut(ShardId, Credit)) {
        let reached = self.remotes.iter().map(|remote| remote.at).min().unwrap_or(self.next_offset);
        while self.first_offset() < reached
            && let Some(entry) = self.log.pop_front()
        {
            freed(entry.origin, Credit::of(&entry.publication));
        }
    }
}

impl Remote {
    fn push(&mut self, head: Position, first: u64, log: &VecDeque<Entry>, lanes: &mut impl Lanes) -> Pushed {
        let position = Position { epoch: head.epoch, offset: self.at };
        let owed = match self.owes {
            Owed::Nothing => None,
            Owed::Answer => Some(Message::Joined { key: self.key, position }),
            Owed::Gap => Some(Message::Gap { key: self.key, position }),
        };
        if let Some(message) = owed {
            if lanes.push(self.shard, message).is_err() {
                return Pushed::LaneFull;
            }
            self.owes = Owed::Nothing;
        }
        for entry in log.range((self.at - first) as usize..) {
            let publication = entry.publication.clone();
            if lanes.push(self.shard, Message::Deliver { key: self.key, publication }).is_err() {
                return Pushed::LaneFull;
            }
            self.at += 1;
            self.at_bytes += entry.publication.cost();
        }
        Pushed::All
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    /// A lane that takes so many messages and no more.
    struct Narrow {
        space: usize,
        took: Vec<Message>,
    }

    impl Lanes for Narrow {
        fn push(&mut self, _to: ShardId, message: Message) -> Result<(), Message> {
            if self.space == 0 {
                return Err(message);
            }
            self.space -= 1;
            self.took.push(message);
            Ok(())
        }
    }

    fn publication() -> Arc<Publication> {
        Arc::new(Publication { payload: b"1".as_slice().into(), ..Publication::default() })
    }

    fn home_with_remote() -> (Home, RoomKey) {
        let key = SlotMap::<RoomKey, ()>::with_key().insert(());
        let mut home = Home::new("r".into(), 7);
        home.want(ShardId(1), key);
        (home, key)
    }

    #[test]
    fn the_answer_names_the_cursor_and_not_the_head() {
        let (mut home, key) = home_with_remote();
        let mut lanes = Narrow { space: 1, took: Vec::new() };
        home.accept(&publication(), ShardId(0));
        assert_eq!(home.push(ShardId(1), &mut lanes, u64::MAX, |_, _| ()), Pushed::LaneFull);
        assert_eq!(home.head().offset, 1);
        match lanes.took.as_slice() {
            [Message::Joined { key: named, position }] => assert_eq!((*named, position.offset), (key, 0)),
            other => panic!("pushed {other:?}"),
        }
    }

    #[test]
    fn a_shard_past_the_lag_is_told_of_a_gap_where_the_room_goes_on() {
        let (mut home, _) = home_with_remote();
        let mut freed = 0;
        home.push(ShardId(1), &mut Narrow { space: 1, took: Vec::new() }, 0, |_, _| ());
        home.accept(&publication(), ShardId(0));
        home.accept(&publication(), ShardId(0));
        let mut full = Narrow { space: 0, took: Vec::new() };
        home.push(ShardId(1), &mut full, 0, |_, credit| freed += credit.publications);
        assert_eq!((freed, home.log.len()), (2, 0));
        let mut wide = Narrow { space: 9, took: Vec::new() };
        assert_eq!(home.push(ShardId(1), &mut wide, 0, |_, _| ()), Pushed::All);
        assert!(matches!(wide.took.as_slice(), [Message::Gap { position, .. }] if position.offset == 2));
    }

    #[test]
    fn credit_comes_back_when_the_slowest_shard_has_been_pushed() {
        let (mut home, key) = home_with_remote();
        home.want(ShardId(2), key);
        let mut freed = Vec::new();
        home.accept(&publication(), ShardId(5));
        let mut wide = Narrow { space: 9, took: Vec::new() };
        home.push(ShardId(1), &mut wide, u64::MAX, |shard, _| freed.push(shard));
        assert_eq!(freed, []);
        home.push(ShardId(2), &mut wide, u64::MAX, |shard, _| freed.push(shard));
        assert_eq!(freed, [ShardId(5)]);
    }

    #[test]
    fn a_shard_that_leaves_holds_nothing_back() {
        let (mut home, _) = home_with_remote();
        home.accept(&publication(), ShardId(3));
        let mut freed = Vec::new();
        home.unwant(ShardId(1), |shard, _| freed.push(shard));
        assert_eq!(freed, [ShardId(3)]);
        assert!(!home.is_wanted());
    }
}

//! A room's home: the one place in the node that puts its publications in order.
//!
//! To a home a shard is a member too: one cursor per interested shard in one log, pushed while the
//! lane to that shard has room. The home's own members need no lane and no cursor here: what is
//! accepted goes straight into the local log. A room with history is the same log with a longer tail: what
//! every shard has been pushed stays until it is too old or too much. Knows nothing of connections, and of time
//! only what it is told.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::Arc;

use slotmap::new_key_type;

use super::history::Keep;
use super::message::{Credit, Lanes, Message, Past, Position, RoomKey, ShardId, Since};
use super::publication::Publication;

new_key_type! {
    /// A room at its home.
    pub(super) struct HomeKey;
}

/// A room's entry at its home. It exists while some shard has members, and with history for a while longer.
pub(super) struct Home {
    pub(super) name: Arc<str>,
    /// The room with this shard's own members.
    pub(super) local: Option<RoomKey>,
    pub(super) keep: Keep,
    /// Its history begins at this offset: before, members were told no positions.
    kept_from: u64,
    /// When it last accepted something, or lost its last member.
    pub(super) touched_ms: u64,
    /// It is entered for the time at which what it holds is too old.
    pub(super) shelved: bool,
    epoch: NonZero<u32>,
    next_offset: u64,
    remotes: Vec<Remote>,
    log: VecDeque<Entry>,
    /// What holds credit still begins at this offset.
    unreleased: u64,
    /// Cost of the log, in bytes.
    held_bytes: u64,
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
    /// Before the next publication: that some are missing.
    owes_gap: bool,
    /// Then: where the room stands, and whether it has a history.
    owes_answer: bool,
    /// It has heard, under this key, where the room stands.
    is_answered: bool,
    recall: Option<Recall>,
    /// It stands in the list of homes that have something for its shard.
    queued: bool,
}

/// What a shard asked for: everything from an offset on.
struct Recall {
    from: u64,
    /// What was found, and did not fit the lane.
    found: Option<Box<Past>>,
}

struct Entry {
    publication: Arc<Publication>,
    /// Whose credit it holds, until it is released.
    origin: ShardId,
    accepted_ms: u64,
}

/// What became of a home's push to one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    All,
    LaneFull,
}

impl Home {
    pub(super) fn new(name: Arc<str>, epoch: NonZero<u32>, keep: Keep) -> Home {
        Home {
            name,
            local: None,
            keep,
            kept_from: 0,
            touched_ms: 0,
            shelved: false,
            epoch,
            next_offset: 0,
            remotes: Vec::new(),
            log: VecDeque::new(),
            unreleased: 0,
            held_bytes: 0,
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

    /// When its entry goes if nobody uses it until then.
    pub(super) fn closes_ms(&self) -> u64 {
        self.touched_ms + self.keep.ttl_ms
    }

    /// Cost of all that it holds, in bytes.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Gives a publication its place, and returns whether it has to be pushed to other shards: if not,
    /// it holds no credit.
    pub(super) fn accept(&mut self, publication: &Arc<Publication>, origin: ShardId, now_ms: u64) -> bool {
        self.next_offset += 1;
        self.accepted_bytes += publication.cost();
        self.touched_ms = now_ms;
        let pushed = !self.remotes.is_empty();
        if pushed || self.keep.is_any() {
            self.held_bytes += publication.cost();
            self.log.push_back(Entry { publication: publication.clone(), origin, accepted_ms: now_ms });
        }
        if !pushed {
            self.unreleased = self.next_offset;
        }
        pushed
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
            Some(remote) => {
                (remote.key, remote.owes_gap, remote.owes_answer) = (key, false, true);
                (remote.is_answered, remote.recall) = (false, None);
            }
            None => self.remotes.push(Remote {
                shard,
                key,
                at: self.next_offset,
                at_bytes: self.accepted_bytes,
                owes_gap: false,
                owes_answer: true,
                is_answered: false,
                recall: None,
                queued: false,
            }),
        }
    }

    /// A shard has members who were away. What it asked for under another key is void.
    pub(super) fn recall(&mut self, shard: ShardId, key: RoomKey, from: u64, now_ms: u64) {
        let from = from.max(self.first_fresh(now_ms));
        if let Some(remote) =
            self.remotes.iter_mut().find(|remote| remote.shard == shard && remote.key == key)
        {
            remote.recall = Some(Recall { from, found: None });
        }
    }

    /// Something else is kept from now on: the shards are told with another answer.
    pub(super) fn set_keep(&mut self, keep: Keep) {
        if !self.keep.is_any() {
            self.kept_from = self.next_offset;
        }
        self.keep = keep;
        self.remotes.iter_mut().for_each(|remote| remote.owes_answer = true);
    }

    /// A shard has no members any more. True if it stood in the list of those with something coming.
    pub(super) fn unwant(&mut self, shard: ShardId, freed: impl FnMut(ShardId, Credit)) -> bool {
        let at = self.remotes.iter().position(|remote| remote.shard == shard);
        let queued = at.is_some_and(|at| self.remotes.swap_remove(at).queued);
        self.release(freed);
        queued
    }

    /// Pushes what one shard lacks. With the lane full and the shard more than `lag_max` bytes behind,
    /// nobody who publishes waits for it any more: what it lacks is replaced by a gap, unless the history has it.
    pub(super) fn push(
        &mut self,
        to: ShardId,
        lanes: &mut impl Lanes,
        lag_max: u64,
        mut freed: impl FnMut(ShardId, Credit),
    ) -> Pushed {
        let (head, kept) = (self.head(), self.keep.is_any());
        let Some(remote) = self.remotes.iter_mut().find(|remote| remote.shard == to) else {
            return Pushed::All;
        };
        let pushed = remote.push((head, kept), &self.log, lag_max, lanes);
        remote.queued = pushed == Pushed::LaneFull;
        if pushed == Pushed::LaneFull && self.accepted_bytes - remote.at_bytes > lag_max {
            if kept {
                self.release_until(self.next_offset, &mut freed);
            } else {
                remote.skip_to(self.next_offset, self.accepted_bytes);
            }
        }
        self.release(freed);
        pushed
    }

    fn first_offset(&self) -> u64 {
        self.next_offset - self.log.len() as u64
    }

    /// Returns the credit of what every shard has been pushed.
    pub(super) fn release(&mut self, freed: impl FnMut(ShardId, Credit)) {
        let reached = self.remotes.iter().map(|remote| remote.at).min().unwrap_or(self.next_offset);
        self.release_until(reached, freed);
    }

    fn release_until(&mut self, until: u64, mut freed: impl FnMut(ShardId, Credit)) {
        let first = self.first_offset();
        if until > self.unreleased {
            for entry in self.log.range((self.unreleased - first) as usize..(until - first) as usize) {
                freed(entry.origin, Credit::of(&entry.publication));
            }
            self.unreleased = until;
        }
        let most = self.keep.publications as usize;
        while self.log.len() > most && self.first_offset() < self.unreleased {
            self.drop_front();
        }
    }

    /// Drops the oldest publication, which holds no credit. A shard that has not been pushed it is told of a gap
    /// and goes on at the head.
    fn drop_front(&mut self) {
        let Some(entry) = self.log.pop_front() else { return };
        self.held_bytes -= entry.publication.cost();
        let first = self.first_offset();
        for remote in self.remotes.iter_mut().filter(|remote| remote.at < first) {
            remote.skip_to(self.next_offset, self.accepted_bytes);
        }
    }

    /// Drops what is too old, at most so many publications.
    pub(super) fn expire(&mut self, now_ms: u64, budget: &mut usize) {
        while *budget > 0 && self.has_history() && self.due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            self.drop_front();
            *budget -= 1;
        }
    }

    /// The offset of the oldest that is not too old.
    fn first_fresh(&self, now_ms: u64) -> u64 {
        let is_old = |entry: &Entry| entry.accepted_ms + self.keep.ttl_ms <= now_ms;
        let old = if self.keep.is_any() { self.log.partition_point(is_old) } else { 0 };
        self.kept_from.max(self.first_offset() + old as u64)
    }

    /// Drops the oldest of its history to make place. False if it has none.
    pub(super) fn evict(&mut self) -> bool {
        let has_history = self.has_history();
        if has_history {
            self.drop_front();
        }
        has_history
    }

    /// Whether something is here as history alone.
    pub(super) fn has_history(&self) -> bool {
        self.first_offset() < self.unreleased
    }

    /// When the oldest of its history, or of what becomes that, is too old.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let front = self.log.front().filter(|_| self.keep.is_any());
        front.map(|entry| entry.accepted_ms + self.keep.ttl_ms)
    }

    /// What was published from `from` on, as far as it is held, each with the place behind it.
    pub(super) fn held_from(
        &self,
        from: u64,
        now_ms: u64,
    ) -> impl Iterator<Item = (Position, &Arc<Publication>)> {
        let (epoch, first) = (self.epoch, self.first_offset());
        let from = from.clamp(self.first_fresh(now_ms), self.next_offset);
        let entries = (from + 1..).zip(self.log.range((from - first) as usize..));
        entries.map(move |(offset, entry)| (Position { epoch, offset }, &entry.publication))
    }

    /// What was published from `from` on, as far as it is held and costs at most `bytes_max`: of more, the latest.
    pub(super) fn past(&self, from: u64, now_ms: u64, bytes_max: u64) -> Past {
        past(self.head(), &self.log, from.max(self.first_fresh(now_ms)), bytes_max)
    }

    /// Of what `since` asks for, the offset from which to send; `None` if something of it is not held any more.
    pub(super) fn held_since(&self, since: Since, now_ms: u64) -> Option<u64> {
        held_since(since, self.head(), self.first_fresh(now_ms))
    }
}

/// What a log that ends at `head` holds.
fn past(head: Position, log: &VecDeque<Entry>, from: u64, bytes_max: u64) -> Past {
    let first = head.offset - log.len() as u64;
    let end = (from.clamp(first, head.offset) - first) as usize;
    let (mut begin, mut bytes) = (log.len(), 0);
    while begin > end {
        bytes += log[begin - 1].publication.cost();
        if bytes > bytes_max {
            break;
        }
        begin -= 1;
    }
    let entries = log.range(begin..);
    Past { position: head, publications: entries.map(|entry| entry.publication.clone()).collect() }
}

/// Whether everything since a place is held by a log that reaches from `first` to `head`: then from which offset on
/// it is wanted.
pub(super) fn held_since(since: Since, head: Position, first: u64) -> Option<u64> {
    match since {
        Since::Earliest => Some(first),
        Since::After(position) if position.epoch == head.epoch => {
            (first..=head.offset).contains(&position.offset).then_some(position.offset)
        }
        Since::After(_) | Since::Lost => None,
    }
}

impl Remote {
    /// Gives up what it lacks before an offset.
    fn skip_to(&mut self, at: u64, at_bytes: u64) {
        (self.at, self.at_bytes) = (at, at_bytes);
        // Whoever has yet to hear that it may have members has none that could miss anything.
        self.owes_gap = self.is_answered;
    }

    fn push(
        &mut self,
        (head, kept): (Position, bool),
        log: &VecDeque<Entry>,
        recalled_max: u64,
        lanes: &mut impl Lanes,
    ) -> Pushed {
        let key = self.key;
        let first = head.offset - log.len() as u64;
        let position = Position { epoch: head.epoch, offset: self.at };
        if self.owes_gap {
            if lanes.push(self.shard, Message::Gap { key, position }).is_err() {
                return Pushed::LaneFull;
            }
            self.owes_gap = false;
        }
        if self.owes_answer {
            if lanes.push(self.shard, Message::Joined { key, position, kept }).is_err() {
                return Pushed::LaneFull;
            }
            (self.owes_answer, self.is_answered) = (false, true);
        }
        for entry in log.range((self.at - first) as usize..) {
            let (publication, offset) = (entry.publication.clone(), self.at + 1);
            let position = Position { epoch: head.epoch, offset };
            if lanes.push(self.shard, Message::Deliver { key, publication, position }).is_err() {
                return Pushed::LaneFull;
            }
            self.at = offset;
            self.at_bytes += entry.publication.cost();
        }
        // Only at the head: whoever comes from another shard, which was ahead of this one, is not sent anything again.
        if let Some(Recall { from, found }) = self.recall.take() {
            let found = found.filter(|past| past.position == head);
            let past = found.unwrap_or_else(|| Box::new(past(head, log, from, recalled_max)));
            if let Err(Message::Recalled { past, .. }) =
                lanes.push(self.shard, Message::Recalled { key, past })
            {
                self.recall = Some(Recall { from, found: Some(past) });
                return Pushed::LaneFull;
            }
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
        let mut home = Home::new("r".into(), NonZero::<u32>::MIN, Keep::NONE);
        home.want(ShardId(1), key);
        (home, key)
    }

    #[test]
    fn the_answer_names_the_cursor_and_not_the_head() {
        let (mut home, key) = home_with_remote();
        let mut lanes = Narrow { space: 1, took: Vec::new() };
        home.accept(&publication(), ShardId(0), 0);
        assert_eq!(home.push(ShardId(1), &mut lanes, u64::MAX, |_, _| ()), Pushed::LaneFull);
        assert_eq!(home.head().offset, 1);
        match lanes.took.as_slice() {
            [Message::Joined { key: named, position, kept: false }] => {
                assert_eq!((*named, position.offset), (key, 0))
            }
            other => panic!("pushed {other:?}"),
        }
    }

    #[test]
    fn a_shard_past_the_lag_is_told_of_a_gap_where_the_room_goes_on() {
        let (mut home, _) = home_with_remote();
        let mut freed = 0;
        home.push(ShardId(1), &mut Narrow { space: 1, took: Vec::new() }, 0, |_, _| ());
        home.accept(&publication(), ShardId(0), 0);
        home.accept(&publication(), ShardId(0), 0);
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
        home.accept(&publication(), ShardId(5), 0);
        let mut wide = Narrow { space: 9, took: Vec::new() };
        home.push(ShardId(1), &mut wide, u64::MAX, |shard, _| freed.push(shard));
        assert_eq!(freed, []);
        home.push(ShardId(2), &mut wide, u64::MAX, |shard, _| freed.push(shard));
        assert_eq!(freed, [ShardId(5)]);
    }

    #[test]
    fn a_shard_that_leaves_holds_nothing_back() {
        let (mut home, _) = home_with_remote();
        home.accept(&publication(), ShardId(3), 0);
        let mut freed = Vec::new();
        home.unwant(ShardId(1), |shard, _| freed.push(shard));
        assert_eq!(freed, [ShardId(3)]);
        assert!(!home.is_wanted());
    }
}

//! Publications that must not be published twice: what was answered, by room and id, for two minutes.
//!
//! Kept at the room's home, which alone knows whether it took one. A room and an id are known by 128 bits of two seeded
//! hashes: nobody can make two of them alike who does not know the seed. The time is an argument.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::FixedState;

use super::message::Position;
use super::{Accepted, Hub, Publication};

/// What came of a publication with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// It has its place in the order: the one it has now, or has had since the first time.
    At {
        /// The place behind it, in a room that has positions.
        position: Option<Position>,
        /// It was published before, and was not again.
        again: bool,
    },
    /// Nothing happened: the home has to catch up first.
    Wait,
    /// Nothing happened: as many ids are remembered as may be.
    Full,
}

/// The answers of the last two minutes.
pub(super) struct Idempotency {
    answers: HashMap<Key, Answer, FixedState>,
    /// The same keys, the oldest first, and when each is to be forgotten.
    order: VecDeque<(Key, Duration)>,
    hashes: [FixedState; 2],
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    position: Option<Position>,
    /// From then on it is no answer any more.
    until: Duration,
}

type Key = u128;

impl Idempotency {
    pub(super) fn new(seed: u64) -> Idempotency {
        Idempotency {
            answers: HashMap::with_hasher(FixedState::with_seed(seed)),
            order: VecDeque::new(),
            hashes: [seed.rotate_left(8), seed.rotate_left(24)].map(FixedState::with_seed),
        }
    }

    fn key(&self, room: &str, id: &str) -> Key {
        let [high, low] = self.hashes.each_ref().map(|hash| hash.hash_one((room, id)));
        u128::from(high) << 64 | u128::from(low)
    }

    /// Takes out some of those whose time is over: more than come, and no more than take no time.
    fn forget(&mut self, now: Duration) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some((key, until)) = self.order.pop_front_if(|(_, until)| *until <= now) else { return };
            // It may have been published anew since.
            if self.answers.get(&key).is_some_and(|answer| answer.until == until) {
                self.answers.remove(&key);
            }
        }
    }

    fn remember(&mut self, key: Key, position: Option<Position>, now: Duration) {
        let until = now + KEPT;
        self.answers.insert(key, Answer { position, until });
        self.order.push_back((key, until));
    }
}

impl Hub {
    /// Publishes into a room whose home is here, unless the same room and id were published in the two minutes
    /// before `now`, which never goes back.
    pub fn publish_once(
        &mut self,
        room: &str,
        id: &str,
        publication: &Arc<Publication>,
        now: Duration,
    ) -> Once {
        self.idempotency.forget(now);
        let key = self.idempotency.key(room, id);
        if let Some(&Answer { position, .. }) = self.idempotency.answers.get(&key).filter(|it| it.until > now)
        {
            return Once::At { position, again: true };
        }
        if self.idempotency.order.len() >= IDS_MAX {
            return Once::Full;
        }
        // Nothing comes between the question and the answer that is remembered, so two at once are one.
        match self.publish_here(room, publication) {
            Accepted::At(position) => {
                self.idempotency.remember(key, position, now);
                Once::At { position, again: false }
            }
            Accepted::Wait => Once::Wait,
        }
    }
}

/// How long an id is remembered.
const KEPT: Duration = Duration::from_secs(120);
/// Ids that one shard remembers at a time: some 20 MiB.
const IDS_MAX: usize = 1 << 18;
/// Ids whose time is over that a publication with an id takes out.
const FORGOTTEN_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Join, Limits, Options, ShardId, Step, Wire};

    fn hub() -> Hub {
        let options = Options { shard: ShardId(0), shards: 1, name_seed: 1, epoch_seed: 2 };
        Hub::new(
            options,
            Limits { lag_bytes: 1 << 20, history_bytes: 1 << 20, rooms_per_connection: 9, connections: 2 },
        )
    }

    fn publication() -> Arc<Publication> {
        Arc::new(Publication { payload: b"1".as_slice().into(), ..Publication::default() })
    }

    fn again(once: Once) -> bool {
        match once {
            Once::At { again, .. } => again,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_room_and_id_is_published_once_in_two_minutes() {
        let mut hub = hub();
        let key = hub.connect("u".into(), Wire::Native);
        assert_eq!(hub.join(key, "r", Join::default()), Ok(Step::Done));
        let s = Duration::from_secs;
        assert!(!again(hub.publish_once("r", "1", &publication(), s(0))));
        assert!(again(hub.publish_once("r", "1", &publication(), s(119))));
        assert!(!again(hub.publish_once("r", "2", &publication(), s(119))));
        assert!(!again(hub.publish_once("r2", "1", &publication(), s(119))));
        assert_eq!(hub.counts().accepted, 3);
        assert!(!again(hub.publish_once("r", "1", &publication(), s(120))), "it is forgotten");
        assert!(again(hub.publish_once("r", "2", &publication(), s(120))));
        assert_eq!((hub.counts().accepted, hub.idempotency.answers.len()), (4, 3));
    }

    #[test]
    fn room_and_id_are_not_run_together() {
        let mut hub = hub();
        for (room, id) in [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc")] {
            assert!(!again(hub.publish_once(room, id, &publication(), Duration::ZERO)), "{room} {id}");
        }
    }

    #[test]
    fn with_as_many_ids_as_may_be_a_new_one_is_refused_until_the_oldest_is_forgotten() {
        let mut hub = hub();
        let publication = publication();
        for number in 0..IDS_MAX {
            let now = Duration::from_micros(number as u64);
            assert!(!again(hub.publish_once("r", &number.to_string(), &publication, now)));
        }
        let now = Duration::from_micros(IDS_MAX as u64);
        assert_eq!(hub.publish_once("r", "new", &publication, now), Once::Full);
        assert!(again(hub.publish_once("r", "0", &publication, now)), "those known are answered still");
        assert_eq!(hub.counts().accepted, IDS_MAX as u64);
        assert!(!again(hub.publish_once("r", "new", &publication, KEPT)));
        assert_eq!(hub.publish_once("r", "newer", &publication, KEPT), Once::Full);
    }

    #[test]
    fn those_whose_time_is_over_are_taken_out_by_and_by_and_answer_nothing_meanwhile() {
        let mut hub = hub();
        let publication = publication();
        for number in 0..1000 {
            assert!(!again(hub.publish_once("r", &number.to_string(), &publication, Duration::ZERO)));
        }
        assert!(!again(hub.publish_once("r", "999", &publication, KEPT)), "its time is over");
        for number in 0..20 {
            assert!(!again(hub.publish_once("r", &format!("new{number}"), &publication, KEPT)));
        }
        assert!(again(hub.publish_once("r", "999", &publication, KEPT)), "it was published anew");
        assert_eq!((hub.idempotency.answers.len(), hub.idempotency.order.len()), (21, 21));
    }
}

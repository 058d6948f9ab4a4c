//! How fast somebody may go: token buckets, of one connection and of many keys over all shards.
//!
//! A bucket is one number, the theoretical arrival time of GCRA (ITU-T I.371): the moment up to which
//! what was let pass is paid for. Time is an argument, counted from the node's start.

use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use foldhash::quality::FixedState;

use super::table::Table;

/// How fast, and how much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What one costs, in nanoseconds.
    interval_ns: u64,
    /// How far ahead of the clock a bucket may be before one more.
    tolerance_ns: u64,
}

impl Rate {
    /// `per_second` in the long run, `burst` at once (at least one). Beyond a billion a second nothing is
    /// counted.
    pub fn new(per_second: u32, burst: u32) -> Rate {
        let interval_ns = 1_000_000_000 / u64::from(per_second.max(1));
        Rate { interval_ns, tolerance_ns: interval_ns.saturating_mul(u64::from(burst.max(1) - 1)) }
    }
}

/// One connection's bucket.
#[derive(Debug, Default)]
pub struct Pace {
    paid_until_ns: u64,
}

impl Pace {
    /// Takes one token at `now`; false if there is none.
    pub fn take(&mut self, rate: Rate, now: Duration) -> bool {
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let start = self.paid_until_ns.max(now_ns);
        if start - now_ns > rate.tolerance_ns {
            return false;
        }
        self.paid_until_ns = start.saturating_add(rate.interval_ns);
        true
    }
}

/// Buckets of many keys, each of which holds a second's worth.
#[derive(Debug)]
pub struct Rates {
    hash: FixedState,
    table: Table,
}

/// The bucket is empty.
#[derive(Debug, PartialEq, Eq)]
pub struct Empty;

impl Rates {
    /// For so many keys that are active within a second; `seed` is secret.
    pub(super) fn new(keys: usize, seed: u64) -> Rates {
        Rates { hash: FixedState::with_seed(seed), table: Table::for_keys(keys) }
    }

    /// Takes one token of `key` at `now`, of which a second adds `per_second`, at most a million. A key
    /// that finds the table full passes: its neighbours there are all active in this very second.
    ///
    /// # Errors
    ///
    /// [`Empty`] where there is none.
    pub fn take(&self, key: impl Hash, per_second: u32, now: Duration) -> Result<(), Empty> {
        let hash = self.hash.hash_one(key);
        let tag = (hash & !TIME) | (1 << 63);
        let now_us = now.as_micros() as u64 & TIME;
        let interval_us = SECOND_US / u64::from(per_second.clamp(1, SECOND_US as u32));
        let tolerance_us = SECOND_US - interval_us;
        // How far ahead of the clock a bucket is. None is more than a second ahead of the shard that filled
        // it, whose clock may have been read a little later than ours: what seems to be more than two is
        // behind, by up to 203 days.
        let ahead =
            |held: u64| Some((held & TIME).wrapping_sub(now_us) & TIME).filter(|us| *us <= 2 * SECOND_US);
        let pay = |held: Option<u64>| match held.and_then(ahead).unwrap_or(0) {
            ahead if ahead > tolerance_us => Err(Empty),
            ahead => Ok(tag | ((now_us + ahead + interval_us) & TIME)),
        };
        let is_mine = |held: u64| held & !TIME == tag;
        self.table.bucket(hash).update(is_mine, |held| ahead(held).is_none(), pay).map(|_| ())
    }
}

const SECOND_US: u64 = 1_000_000;
/// A cell's time, in microseconds: it comes round after 203 days.
const TIME: u64 = (1 << 44) - 1;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::thread;

    use super::*;

    fn at_ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_connection_has_its_burst_at_once_and_then_its_rate() {
        let rate = Rate::new(50, 100);
        let mut pace = Pace::default();
        let burst = (0..1000).take_while(|_| pace.take(rate, at_ms(5000))).count();
        assert_eq!(burst, 100);
        assert!(!pace.take(rate, at_ms(5019)));
        assert!(pace.take(rate, at_ms(5020)));
        assert!(!pace.take(rate, at_ms(5020)));
        assert_eq!((0..1000).take_while(|_| pace.take(rate, at_ms(6020))).count(), 50);
        assert_eq!((0..1000).take_while(|_| pace.take(rate, at_ms(60_000))).count(), 100);
    }

    #[test]
    fn the_extremes_of_a_rate_hold() {
        let mut pace = Pace::default();
        let one = Rate::new(1, 1);
        assert!(pace.take(one, at_ms(0)) && !pace.take(one, at_ms(999)) && pace.take(one, at_ms(1000)));
        let mut pace = Pace::default();
        let all = Rate::new(4_000_000_000, 1);
        assert!((0..10_000).all(|_| pace.take(all, at_ms(1))));
        let mut pace = Pace::default();
        let vast = Rate::new(1, 4_000_000_000);
        assert!((0..10_000).all(|_| pace.take(vast, at_ms(1))));
    }

    #[test]
    fn a_key_has_a_seconds_worth_and_its_neighbours_theirs() {
        let rates = Rates::new(100, 3);
        for key in ["ada", "bob"] {
            assert_eq!((0..100).take_while(|_| rates.take(key, 20, at_ms(10)).is_ok()).count(), 20);
            assert_eq!(rates.take(key, 20, at_ms(59)), Err(Empty));
            assert_eq!(rates.take(key, 20, at_ms(60)), Ok(()));
        }
    }

    #[test]
    fn time_that_comes_round_locks_nobody_out() {
        let rates = Rates::new(100, 3);
        let round = Duration::from_micros(1 << 44);
        for moment in [
            at_ms(9000),
            round - at_ms(500),
            round + at_ms(500),
            round * 3 - at_ms(1200),
            round * 3 + at_ms(1500),
        ] {
            assert_eq!((0..9).take_while(|_| rates.take("ada", 5, moment).is_ok()).count(), 5, "{moment:?}");
        }
    }

    #[test]
    fn keys_that_are_silent_make_room_and_a_full_table_lets_pass() {
        let rates = Rates::new(1, 3);
        for key in 0..1000 {
            assert_eq!(rates.take(key, 1, at_ms(0)), Ok(()));
        }
        assert!((0..1000).filter(|key| rates.take(key, 1, at_ms(1)).is_err()).count() == 8);
        assert!((5000..5008).all(|key| rates.take(key, 1, at_ms(2000)).is_ok()));
        assert!((5000..5008).all(|key| rates.take(key, 1, at_ms(2001)).is_err()), "the silent gave way");
    }

    #[test]
    fn threads_together_get_no_more_than_the_rate() {
        let rates = Rates::new(100, 3);
        let passed = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..10_000 {
                        // The cell is there before the race, so that it is one.
                        let now = at_ms(n / 100);
                        passed.fetch_add(u32::from(rates.take("ada", 1000, now).is_ok()), Relaxed);
                    }
                });
            }
        });
        // A second's worth, what a tenth adds, and as much again if two cells were taken at first.
        assert!((1000..=2200).contains(&passed.load(Relaxed)), "{}", passed.load(Relaxed));
    }
}

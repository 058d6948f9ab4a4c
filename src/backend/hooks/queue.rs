//! Notifications that are not delivered yet: when each is due, and for how long.
//!
//! A state machine without a clock and without chance: both come as arguments. It must not know how one is delivered.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::config::HookEvent;
use crate::net::Instant;

/// An event that the application is to be told of.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) id: Box<str>,
    pub(super) kind: HookEvent,
    pub(super) body: Bytes,
    /// When it happened.
    pub(super) since: Instant,
    /// How often it was told already, in vain.
    pub(super) tries: u32,
}

/// The notifications of one worker, those under way included.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Never tried yet, the oldest first.
    fresh: VecDeque<Notice>,
    /// To be tried again, by when; the number parts those of one moment.
    later: BTreeMap<(Instant, u64), Notice>,
    number: u64,
    len: usize,
    bytes: usize,
    under_way: usize,
    /// They are tried again after this, and not after longer and longer.
    hurried: Option<Duration>,
}

/// There are as many as may be: this one will never be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Queue {
    /// How many are not delivered.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many are being tried.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Takes one up, to be tried after a pause, or at once.
    pub(super) fn push(&mut self, notice: Notice, pause: Duration) -> Result<(), Full> {
        if self.len >= NOTICES_MAX || self.bytes + notice.cost() > BYTES_MAX {
            return Err(Full);
        }
        self.len += 1;
        self.bytes += notice.cost();
        if pause.is_zero() || self.hurried.is_some() {
            self.fresh.push_back(notice);
        } else {
            self.number += 1;
            self.later.insert((notice.since + pause, self.number), notice);
        }
        Ok(())
    }

    /// When the next one is due; that is past for one that was never tried.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        self.fresh.front().map(|notice| notice.since).into_iter().chain(later).min()
    }

    /// One that is due. It is under way until [`done`](Self::done) or [`again`](Self::again).
    pub(super) fn take(&mut self, now: Instant) -> Option<Notice> {
        let again = self.later.first_entry().filter(|first| first.key().0 <= now).map(|first| first.remove());
        let notice = again.or_else(|| self.fresh.pop_front())?;
        self.under_way += 1;
        Some(notice)
    }

    /// It is delivered, or given up.
    pub(super) fn done(&mut self, notice: &Notice) {
        self.under_way -= 1;
        self.len -= 1;
        self.bytes -= notice.cost();
    }

    /// It was tried in vain, at `now`; it is tried for `retry_for` in all. `chance` is any number.
    pub(super) fn again(&mut self, mut notice: Notice, now: Instant, retry_for: Duration, chance: u32) {
        self.under_way -= 1;
        notice.tries += 1;
        let pause = self.hurried.unwrap_or_else(|| pause_after(notice.tries, chance));
        // The last try is made when its time is over, and not before.
        let due = (now + pause).min(notice.since + retry_for);
        self.number += 1;
        self.later.insert((due, self.number), notice);
    }

    /// All are due now, and tried again after `pause` from now on.
    pub(super) fn hurry(&mut self, now: Instant, pause: Duration) {
        self.hurried = Some(pause);
        for ((at, number), notice) in std::mem::take(&mut self.later) {
            self.later.insert((at.min(now), number), notice);
        }
    }
}

impl Notice {
    /// Whether it was tried for as long as it is to be.
    pub(super) fn is_over(&self, now: Instant, retry_for: Duration) -> bool {
        now.duration_since(self.since) >= retry_for
    }

    /// Whether its last try was missed: nobody could be told for so long that it is not tried any more.
    pub(super) fn is_lost(&self, now: Instant, retry_for: Duration) -> bool {
        self.is_over(now, retry_for + retry_for.min(PAUSE_MAX))
    }

    /// A number that is another one for each notification and each of its tries, and cannot be told beforehand.
    pub(super) fn chance(&self) -> u32 {
        // Fibonacci hashing over the name, which is drawn: neighbours are spread.
        let mix = |sum: u64, byte: u64| (sum ^ byte).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let name = self.id.bytes().fold(0, |sum, byte| mix(sum, byte.into()));
        (mix(name, self.tries.into()) >> 32) as u32
    }

    fn cost(&self) -> usize {
        self.id.len() + self.body.len() + OVERHEAD_BYTES
    }
}

/// How long to wait after so many tries in vain: twice as long each time, and of that between half and all.
fn pause_after(tries: u32, chance: u32) -> Duration {
    let whole = PAUSE_MIN.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(PAUSE_MAX);
    let half_ms = whole.as_millis() as u64 / 2;
    Duration::from_millis(half_ms + ((half_ms * u64::from(chance)) >> 32))
}

/// Notifications that wait, and their bytes.
const NOTICES_MAX: usize = 100_000;
const BYTES_MAX: usize = 64 << 20;
/// What one costs besides its text, roughly.
const OVERHEAD_BYTES: usize = 160;
/// The first pause, and the longest one.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::now;

    const MS: Duration = Duration::from_millis(1);
    const RETRY_FOR: Duration = Duration::from_secs(300);

    fn notice(id: &str, since: Instant) -> Notice {
        let body = Bytes::from_static(b"{}");
        Notice { id: id.into(), kind: HookEvent::Leave, body, since, tries: 0 }
    }

    fn take(queue: &mut Queue, at: Instant) -> Notice {
        queue.take(at).expect("one is due")
    }

    #[test]
    fn those_that_were_never_tried_are_told_in_their_order() {
        let (mut queue, start) = (Queue::default(), now());
        for id in ["a", "b", "c"] {
            queue.push(notice(id, start), Duration::ZERO).expect("there is room");
        }
        assert_eq!(queue.due_at(), Some(start));
        let order: Vec<_> = std::iter::from_fn(|| queue.take(start)).map(|notice| notice.id).collect();
        assert_eq!(order, ["a".into(), "b".into(), "c".into()]);
        assert_eq!((queue.len(), queue.under_way(), queue.due_at()), (3, 3, None));
    }

    #[test]
    fn one_that_fails_is_due_after_longer_and_longer() {
        let (mut queue, mut at) = (Queue::default(), now());
        queue.push(notice("a", at), Duration::ZERO).expect("there is room");
        for half_ms in [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000] {
            let failed = take(&mut queue, at);
            queue.again(failed, at, RETRY_FOR, u32::MAX / 2);
            let due = queue.due_at().expect("it waits");
            assert!((due - at).abs_diff(MS * half_ms * 3 / 2) <= MS, "{:?}", due - at);
            assert!(queue.take(due - MS).is_none());
            at = due;
        }
        let told = take(&mut queue, at);
        assert_eq!(told.tries, 8);
        queue.done(&told);
        assert_eq!((queue.len(), queue.under_way(), queue.bytes), (0, 0, 0));
    }

    #[test]
    fn a_pause_is_between_half_and_all_of_what_it_may_be() {
        assert_eq!(pause_after(1, 0), MS * 250);
        assert_eq!(pause_after(1, u32::MAX), MS * 499);
        assert_eq!(pause_after(u32::MAX, u32::MAX / 2), MS * 22_499);
        let start = now();
        let chances: Vec<u32> =
            (0..64).map(|n| notice(&format!("leave_r_{n}"), start).chance() >> 29).collect();
        assert!((0..8).all(|eighth| chances.contains(&eighth)), "{chances:?}");
        let (one, mut tried) = (notice("a", start), notice("a", start));
        tried.tries = 1;
        assert_ne!(one.chance(), tried.chance());
    }

    #[test]
    fn the_last_try_is_made_when_the_time_is_over() {
        let (mut queue, start) = (Queue::default(), now());
        queue.push(notice("a", start), Duration::ZERO).expect("there is room");
        let retry_for = MS * 1000;
        let failed = take(&mut queue, start);
        assert!(!failed.is_over(start + MS * 999, retry_for));
        queue.again(failed, start + MS * 900, retry_for, 0);
        assert_eq!(queue.due_at(), Some(start + retry_for));
        let last = take(&mut queue, start + retry_for);
        assert!(last.is_over(start + retry_for, retry_for) && !last.is_lost(start + retry_for, retry_for));
        assert!(last.is_lost(start + retry_for * 2, retry_for));
        assert!(last.is_lost(start + RETRY_FOR + PAUSE_MAX, RETRY_FOR));
    }

    #[test]
    fn in_a_hurry_all_are_due_and_soon_due_again() {
        let (mut queue, start) = (Queue::default(), now());
        for id in ["a", "b"] {
            queue.push(notice(id, start), Duration::ZERO).expect("there is room");
        }
        for _ in 0..2 {
            let failed = take(&mut queue, start);
            queue.again(failed, start, RETRY_FOR, 0);
        }
        queue.hurry(start, MS * 200);
        let failed = take(&mut queue, start);
        assert_eq!(&*failed.id, "a");
        queue.again(failed, start, RETRY_FOR, 0);
        assert_eq!(&*take(&mut queue, start).id, "b");
        assert_eq!(queue.due_at(), Some(start + MS * 200));
    }

    #[test]
    fn there_is_an_end_to_how_many_wait_and_to_their_bytes() {
        let (mut queue, start) = (Queue::default(), now());
        for _ in 0..NOTICES_MAX {
            queue.push(notice("a", start), Duration::ZERO).expect("there is room");
        }
        assert_eq!(queue.push(notice("a", start), Duration::ZERO), Err(Full));
        let told = take(&mut queue, start);
        assert_eq!(
            queue.push(notice("a", start), Duration::ZERO),
            Err(Full),
            "one under way is still to be kept"
        );
        queue.done(&told);
        assert_eq!(queue.push(notice("a", start), Duration::ZERO), Ok(()));

        let mut queue = Queue::default();
        let large = || Notice { body: Bytes::from(vec![b' '; (1 << 20) - 161]), ..notice("a", start) };
        for _ in 0..64 {
            queue.push(large(), Duration::ZERO).expect("there is room");
        }
        assert_eq!(queue.push(notice("a", start), Duration::ZERO), Err(Full));
    }
}

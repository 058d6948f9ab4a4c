//! When the identities of a shard's connections end: an ordered set, and no timer a connection.
//!
//! The wall clock is read once, when a token was judged; from there on ticks count, so that a clock that jumps
//! ends nobody's connection before its time. Some forty bytes a connection, none for one that does not end.

use std::collections::BTreeSet;
use std::time::Duration;

use slotmap::SecondaryMap;

use super::timers::{TICK, Tick};
use super::{GOODBYE_WITHIN, Shard};
use crate::hub::ConnectionKey;
use crate::protocol::websocket::CloseCode;

/// The ends, earliest first.
pub(super) struct Expiries {
    order: BTreeSet<(Tick, ConnectionKey)>,
    due: SecondaryMap<ConnectionKey, Tick>,
}

impl Expiries {
    /// Without any, with room for those of so many connections.
    pub(super) fn new(connections: usize) -> Expiries {
        Expiries { order: BTreeSet::new(), due: SecondaryMap::with_capacity(connections) }
    }

    /// A connection's end, in place of an earlier one; `None`: it has none.
    fn set(&mut self, key: ConnectionKey, due: Option<Tick>) {
        self.remove(key);
        if let Some(due) = due {
            self.due.insert(key, due);
            self.order.insert((due, key));
        }
    }

    /// A connection that is gone, or on its way out, has no end any more.
    pub(super) fn remove(&mut self, key: ConnectionKey) {
        if let Some(due) = self.due.remove(key) {
            self.order.remove(&(due, key));
        }
    }

    /// Those whose end has come at `tick`. What is beyond a tick's share waits for the next.
    fn take_due(&mut self, tick: Tick) -> Vec<ConnectionKey> {
        let due = self.order.iter().take_while(|(due, _)| *due <= tick);
        let due: Vec<ConnectionKey> = due.map(|(_, key)| *key).take(EXPIRIES_A_TICK).collect();
        for key in &due {
            self.remove(*key);
        }
        due
    }
}

impl Shard {
    /// From `within` on the connection's identity is over, and it is told so; `None`: it does not end. Replaces what
    /// was set before, and does nothing for one that is told goodbye already.
    pub fn set_expiry(&self, key: ConnectionKey, within: Option<Duration>) {
        if self.hub.borrow().is_leaving(key) {
            return;
        }
        let due = within.and_then(|within| due_at(self.node.elapsed(), within));
        self.expiries.borrow_mut().set(key, due);
    }

    /// Tells those goodbye whose identity is over.
    pub(super) fn expire_identities(&self, tick: Tick) {
        let due = self.expiries.borrow_mut().take_due(tick);
        for key in due {
            self.metrics().tokens_expired_total.add(1);
            self.dismiss(key, CloseCode::TOKEN_EXPIRED, "Token expired", GOODBYE_WITHIN);
        }
    }
}

/// The first tick that is wholly `within` behind `elapsed`; `None` beyond the last.
fn due_at(elapsed: Duration, within: Duration) -> Option<Tick> {
    let ticks = elapsed.saturating_add(within).as_millis() / TICK.as_millis() + 1;
    Tick::try_from(ticks).ok()
}

/// Goodbyes of one tick at most: where a whole crowd's tokens end in one second, others are served in between.
const EXPIRIES_A_TICK: usize = 2000;

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn keys<const N: usize>() -> [ConnectionKey; N] {
        let mut slots = SlotMap::with_key();
        std::array::from_fn(|_| slots.insert(()))
    }

    #[test]
    fn each_ends_at_its_tick_and_once() {
        let [a, b, c] = keys();
        let mut expiries = Expiries::new(0);
        for (key, tick) in [(a, 30), (b, 10), (c, 20)] {
            expiries.set(key, Some(tick));
        }
        assert_eq!(expiries.take_due(9), []);
        assert_eq!(expiries.take_due(20), [b, c]);
        assert_eq!(expiries.take_due(29), []);
        assert_eq!(expiries.take_due(1000), [a]);
        assert_eq!(expiries.take_due(Tick::MAX), []);
    }

    #[test]
    fn a_new_end_replaces_the_old_one_whether_later_or_earlier() {
        let [a, b, c] = keys();
        let mut expiries = Expiries::new(0);
        for key in [a, b, c] {
            expiries.set(key, Some(20));
        }
        expiries.set(a, Some(40));
        expiries.set(b, Some(5));
        expiries.set(c, None);
        assert_eq!(expiries.take_due(10), [b]);
        assert_eq!(expiries.take_due(30), []);
        assert_eq!(expiries.take_due(40), [a]);
        assert!(expiries.order.is_empty() && expiries.due.is_empty());
    }

    #[test]
    fn who_is_gone_leaves_nothing_behind() {
        let mut slots = SlotMap::with_key();
        let mut expiries = Expiries::new(0);
        for round in 0..1000 {
            let key: ConnectionKey = slots.insert(());
            expiries.set(key, Some(1_000_000 + round));
            expiries.remove(key);
            slots.remove(key);
        }
        assert!(expiries.order.is_empty() && expiries.due.is_empty());
        assert_eq!(expiries.take_due(Tick::MAX), []);
    }

    #[test]
    fn a_crowd_whose_end_is_one_goes_in_several_ticks() {
        let mut slots = SlotMap::with_key();
        let mut expiries = Expiries::new(0);
        for _ in 0..=EXPIRIES_A_TICK {
            expiries.set(slots.insert(()), Some(10));
        }
        assert_eq!(expiries.take_due(9).len(), 0);
        assert_eq!(expiries.take_due(10).len(), EXPIRIES_A_TICK);
        assert_eq!(expiries.take_due(11).len(), 1);
    }

    #[test]
    fn an_end_is_never_early_and_at_most_a_tick_late() {
        for (elapsed_ms, within_ms) in [(0, 0), (0, 1), (99, 1000), (100, 1000), (101, 999), (12_345, 67_890)]
        {
            let due = due_at(Duration::from_millis(elapsed_ms), Duration::from_millis(within_ms));
            let late_ms = u64::from(due.expect("soon")) * 100 - (elapsed_ms + within_ms);
            assert!((1..=100).contains(&late_ms), "{elapsed_ms} + {within_ms}");
        }
    }

    #[test]
    fn an_end_beyond_all_ticks_is_none() {
        assert_eq!(due_at(Duration::from_secs(1), Duration::MAX), None);
        assert_eq!(due_at(Duration::from_secs(1), Duration::from_secs(253_402_300_799)), None);
        assert!(due_at(Duration::from_secs(1), Duration::from_hours(10 * 365 * 24)).is_some());
    }
}

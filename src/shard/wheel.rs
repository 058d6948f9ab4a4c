//! The deadlines of one shard: many of them, set and moved often, and seldom reached.
//!
//! A hashed wheel. A key stands in the slot of its tick at most a few times; whoever keeps the keys
//! knows what is really due, so moving a deadline later costs nothing here. Knows no clock: ticks are
//! an argument.

use super::timers::Tick;

/// Deadlines by tick.
pub(super) struct Wheel<K> {
    slots: Vec<Vec<(K, Tick)>>,
    /// The tick up to which everything has been handed out.
    reached: Tick,
}

impl<K> Wheel<K> {
    /// An empty wheel, as of tick 0.
    pub(super) fn new() -> Wheel<K> {
        Wheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), reached: 0 }
    }

    /// Enters a key for a tick; one that has passed already is taken as the next.
    pub(super) fn enter(&mut self, key: K, tick: Tick) {
        let tick = tick.max(self.reached + 1);
        self.slots[(tick % SLOTS) as usize].push((key, tick));
    }

    /// Hands out the keys entered for a tick up to `now`.
    pub(super) fn advance(&mut self, now: Tick) -> Vec<K> {
        let mut due = Vec::new();
        // After a long sleep one round visits every slot.
        let from = (self.reached + 1).max(now.saturating_sub(SLOTS - 1));
        for tick in from..=now {
            let slot = &mut self.slots[(tick % SLOTS) as usize];
            due.extend(slot.extract_if(.., |(_, entered)| *entered <= now).map(|(key, _)| key));
            if slot.is_empty() {
                // A burst of deadlines does not keep its memory for good.
                *slot = Vec::new();
            }
        }
        self.reached = self.reached.max(now);
        due
    }
}

/// At ten ticks a second 51 seconds: a later deadline is visited once a round until it is due.
const SLOTS: Tick = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_handed_out_at_its_tick_and_once() {
        let mut wheel = Wheel::new();
        wheel.enter("b", 7);
        wheel.enter("a", 3);
        assert_eq!(wheel.advance(2), Vec::<&str>::new());
        assert_eq!(wheel.advance(3), ["a"]);
        assert_eq!(wheel.advance(6), Vec::<&str>::new());
        assert_eq!(wheel.advance(9), ["b"]);
        assert_eq!(wheel.advance(2000), Vec::<&str>::new());
    }

    #[test]
    fn a_tick_rounds_later_shares_the_slot_and_waits_its_turn() {
        let mut wheel = Wheel::new();
        wheel.enter("late", 5 + 2 * SLOTS);
        wheel.enter("soon", 5);
        assert_eq!(wheel.advance(5), ["soon"]);
        assert_eq!(wheel.advance(5 + SLOTS), Vec::<&str>::new());
        assert_eq!(wheel.advance(5 + 2 * SLOTS), ["late"]);
    }

    #[test]
    fn a_deadline_in_the_past_is_the_next_tick() {
        let mut wheel = Wheel::new();
        wheel.advance(100);
        wheel.enter("x", 3);
        assert_eq!(wheel.advance(101), ["x"]);
    }

    #[test]
    fn a_leap_over_many_rounds_hands_out_everything() {
        let mut wheel = Wheel::new();
        for tick in 1..2000 {
            wheel.enter(tick, tick);
        }
        assert_eq!(wheel.advance(100_000).len(), 1999);
    }
}

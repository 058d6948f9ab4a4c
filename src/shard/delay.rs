//! How late this shard's clock comes: what a task costs that keeps the core for itself.
//!
//! Plain values; the time is an argument. Costs nothing but at a tick.

use std::time::Duration;

use super::TICK;

/// The longest delays of two windows: this one, and the one before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delay {
    due: Option<Duration>,
    began: Duration,
    before: Duration,
    here: Duration,
}

impl Delay {
    /// A tick comes at `now`; returns the longest delay of the last one to two windows.
    pub(super) fn on_tick(&mut self, now: Duration) -> Duration {
        if now.saturating_sub(self.began) >= WINDOW {
            self.began = now;
            self.before = std::mem::take(&mut self.here);
        }
        let delay = now.saturating_sub(self.due.replace(now + TICK).unwrap_or(now));
        self.here = self.here.max(delay);
        self.here.max(self.before)
    }
}

const WINDOW: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_seen_for_at_least_one_window_and_at_most_two() {
        let mut delay = Delay::default();
        let ms = Duration::from_millis;
        assert_eq!(delay.on_tick(ms(700)), ms(0), "nothing was due before the first");
        assert_eq!(delay.on_tick(ms(800)), ms(0));
        assert_eq!(delay.on_tick(ms(1250)), ms(350));
        let mut now = ms(1250);
        let mut last_seen = now;
        while now < ms(60_000) {
            now += TICK;
            if delay.on_tick(now) == ms(350) {
                last_seen = now;
            }
        }
        assert!((ms(16_250)..ms(31_250)).contains(&last_seen), "{last_seen:?}");
    }
}

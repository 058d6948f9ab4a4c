//! Time: the one place that reads a clock. Below this floor, time arrives as an argument.

#![allow(clippy::disallowed_methods, reason = "the clocks are read here so that nobody else need")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use std::time::Instant;

/// The monotonic clock: for every timer and deadline, whatever the wall clock does.
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds of the wall clock since 1970: for the times inside tokens alone, for it may jump. 0 before 1970.
pub fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Waits for `duration`, rounded up to the millisecond in which the core's timers tick. May be dropped.
pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}

/// The output of a future that is ready within `duration`, else nothing: it is dropped then, so it must be
/// one that may be.
pub async fn within<T>(duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    monoio::time::timeout(duration, future).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::trial::on_both;

    #[test]
    fn a_sleep_lasts_as_long_as_it_says() {
        on_both(|| async {
            let start = now();
            sleep(Duration::from_millis(20)).await;
            assert!(now() - start >= Duration::from_millis(20));
        });
    }

    #[test]
    fn what_takes_longer_is_given_up() {
        on_both(|| async {
            assert_eq!(within(Duration::from_millis(5), std::future::pending::<()>()).await, None);
            assert_eq!(within(Duration::from_secs(60), async { 7 }).await, Some(7));
        });
    }

    #[test]
    fn the_wall_clock_counts_seconds_since_1970() {
        assert!((1_700_000_000..10_000_000_000).contains(&unix_s()));
    }
}

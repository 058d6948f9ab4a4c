//! Time in the tests: how long a result may take, never how long to wait for it.
#![allow(clippy::disallowed_methods, reason = "a test by the socket lives in real time")]

use std::time::{Duration, Instant};

/// How long any one result may take. Generous: it is only ever waited out by a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A moment after which a result no longer counts.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    begun: Instant,
    limit: Duration,
}

impl Deadline {
    /// The moment `limit` from now.
    pub(crate) fn within(limit: Duration) -> Self {
        Self { begun: Instant::now(), limit }
    }

    /// What is left; zero once it has passed.
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.begun.elapsed())
    }

    /// Whether it is over.
    pub(crate) fn passed(&self) -> bool {
        self.left().is_zero()
    }

    /// Since it was set.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// Looks until there is something to see; fails with `what` once `limit` is over.
pub(crate) fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::within(limit);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(!deadline.passed(), "not within {limit:?}: {what}");
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(3);

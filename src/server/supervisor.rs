//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, and that every shard turns.
//!
//! Without a service manager nothing is said and nothing fails.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::shard::Node;

/// Connections are accepted.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] ends it.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// Nobody new is let in, and everybody is out `within` this time.
pub(super) fn stopping(within: Duration) {
    let micros = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Feeds the watchdog, if there is one, twice in its time, as long as every shard's clock moves. A shard
/// that is stuck starves it, and the service manager starts the process anew.
pub(super) fn feed_watchdog(node: Arc<Node>) -> std::io::Result<()> {
    let Some(time) = sd_notify::watchdog_enabled() else { return Ok(()) };
    let feed = move || {
        let mut seen = ticks(&node);
        loop {
            thread::park_timeout(time / 2);
            let now = ticks(&node);
            match now.iter().zip(&seen).position(|(now, seen)| now == seen) {
                None => tell(&[NotifyState::Watchdog]),
                Some(shard) => warn!(shard, "a shard stands still; the watchdog is not fed"),
            }
            seen = now;
        }
    };
    thread::Builder::new().name("watchdog".into()).spawn(feed).map(drop)
}

fn ticks(node: &Node) -> Vec<u64> {
    node.metrics.iter().map(|metrics| metrics.ticks_total.value()).collect()
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the service manager cannot be told");
    }
}

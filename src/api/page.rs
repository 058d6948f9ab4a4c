//! The page that Prometheus scrapes: what the shards count, and what is true of the process.
//!
//! One table names each number of the process, as `metrics` does for a shard's. Counts nothing itself.

use super::process::Process;
use crate::config::Config;
use crate::metrics::{self, LOG_LINES_DROPPED, Text};
use crate::net::driver;
use crate::shard::{Limits, Shard};

/// The whole page.
pub(super) fn render(shard: &Shard, config: &Config) -> String {
    let node = shard.node();
    let mut text = Text::default();
    text.family("gauge", "vestibule_build_info", "1, for its labels: what runs here, and on which driver.");
    let driver = driver().to_string();
    text.sample(&[("version", env!("CARGO_PKG_VERSION")), ("driver", &driver)], 1.0);
    let facts = Facts {
        limits: shard.limits(),
        config,
        process: Process::read(),
        is_stopping: node.quota.is_stopping(),
        started_unix_s: node.started_unix_s,
    };
    for Described { kind, name, help, value } in TABLE {
        // What this kernel does not tell is left out, rather than shown as 0.
        if let Some(value) = value(&facts) {
            text.family(kind, name, help);
            text.sample(&[], value);
        }
    }
    metrics::render(&mut text, node.metrics.iter().map(|metrics| &**metrics));
    text.into_string()
}

/// What the numbers are taken from.
struct Facts<'a> {
    limits: Limits,
    config: &'a Config,
    process: Process,
    is_stopping: bool,
    started_unix_s: u64,
}

struct Described {
    kind: &'static str,
    name: &'static str,
    help: &'static str,
    value: fn(&Facts<'_>) -> Option<f64>,
}

macro_rules! table {
    ($($kind:literal $name:ident = |$facts:ident| $value:expr; $help:literal,)*) => {
        const TABLE: &[Described] = &[$(Described {
            kind: $kind,
            name: stringify!($name),
            help: $help,
            value: |$facts| $value,
        },)*];
    };
}

table! {
    "gauge" vestibule_stopping = |it| Some(f64::from(u8::from(it.is_stopping)));
        "1 while the node drains, else 0.",
    "gauge" vestibule_limit_connections = |it| Some(it.limits.connections as f64);
        "The most of vestibule_sockets over all shards: limits.connections, or what the descriptors allow.",
    "gauge" vestibule_limit_connections_per_address = |it| {
            Some(it.config.limits.connections_per_address as f64)
        };
        "The most connections of one address: limits.connections_per_address.",
    "gauge" vestibule_limit_rooms = |it| Some(it.limits.rooms as f64);
        "The most of vestibule_homes over all shards: limits.rooms.",
    "gauge" vestibule_limit_rooms_per_connection = |it| Some(it.limits.rooms_per_connection as f64);
        "The most rooms of one connection: limits.rooms_per_connection.",
    "gauge" vestibule_limit_buffered_bytes = |it| Some(it.limits.buffered_bytes as f64);
        "The most of log, outbox and home bytes over all shards: limits.buffered.",
    "gauge" vestibule_limit_lag_bytes = |it| Some(it.limits.lag_bytes as f64);
        "The most bytes that one connection may be behind: limits.lag.",
    "gauge" vestibule_limit_message_bytes = |it| Some(it.config.limits.message as f64);
        "The most bytes of one message: limits.message.",
    "counter" vestibule_log_lines_dropped_total = |_it| Some(LOG_LINES_DROPPED.value() as f64);
        "Lines of the log that were dropped because nobody read them in time.",
    "gauge" process_start_time_seconds = |it| Some(it.started_unix_s as f64);
        "Start time of the process since the Unix epoch in seconds.",
    "counter" process_cpu_seconds_total = |it| it.process.cpu_s;
        "Total user and system CPU time spent in seconds.",
    "gauge" process_resident_memory_bytes = |it| it.process.resident_bytes;
        "Resident memory size in bytes.",
    "gauge" process_virtual_memory_bytes = |it| it.process.virtual_bytes;
        "Virtual memory size in bytes.",
    "gauge" process_threads = |it| it.process.threads;
        "Number of threads of the process.",
    "gauge" process_open_fds = |it| it.process.open_fds;
        "Number of open file descriptors.",
    "gauge" process_max_fds = |it| it.process.max_fds;
        "Maximum number of open file descriptors.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for Described { kind, name, help, .. } in TABLE {
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
            assert!(name.starts_with("vestibule_") || name.starts_with("process_"), "{name}");
            assert_eq!(help.to_lowercase().contains("bytes"), name.ends_with("_bytes"), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}");
        }
    }
}

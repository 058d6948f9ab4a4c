//! Counters and gauges, one set a shard, and the text in which Prometheus reads them.
//!
//! A shard writes only its own set, which shares no cache line with another's, so an increment is a
//! plain load and store. One table names each metric, its unit and what it means. Must not know who
//! counts.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One number that one shard writes and anybody reads.
#[derive(Debug, Default)]
pub struct Metric(AtomicU64);

impl Metric {
    /// Counts `more`. Only the shard that owns the set may.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Sets a gauge.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Reads it.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Generates the set of a shard and the table that describes it from one list.
macro_rules! metrics {
    ($($kind:literal $name:ident: $help:literal,)*) => {
        /// The numbers of one shard.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Metrics {
            $(#[doc = $help] pub $name: Metric,)*
        }

        const TABLE: &[Described] = &[$(Described {
            kind: $kind,
            name: concat!("vestibule_", stringify!($name)),
            help: $help,
            value: |metrics| metrics.$name.value(),
        },)*];
    };
}

struct Described {
    kind: &'static str,
    name: &'static str,
    help: &'static str,
    value: fn(&Metrics) -> u64,
}

metrics! {
    "gauge" connections: "Connections that are open, after their handshake.",
    "gauge" sockets: "Sockets that are open, those before their handshake included.",
    "gauge" rooms: "Rooms with members at this shard.",
    "gauge" members: "Memberships of this shard's connections.",
    "gauge" homes: "Rooms whose order this shard keeps.",
    "gauge" log_bytes: "Encoded publications that some member still has to be sent, in bytes.",
    "gauge" outbox_bytes: "What single connections still have to be sent, in bytes.",
    "gauge" home_bytes: "Publications held for shards whose lanes are full, in bytes.",
    "counter" ticks_total: "Ticks of the shard's clock, ten a second: a shard whose do not move is stuck.",
    "counter" accepted_total: "Sockets accepted.",
    "counter" accept_errors_total: "Accepts that failed, for want of descriptors or memory.",
    "counter" refused_total: "Sockets turned away because limits.connections are open.",
    "counter" address_refused_total: "Sockets and requests turned away by limits.connections_per_address.",
    "counter" rooms_refused_total: "Rooms not opened because limits.rooms are open.",
    "counter" connection_limited_total: "Connections closed with 4029 by limits.messages_per_second.",
    "counter" user_limited_total: "Connections closed with 4029 by limits.messages_per_second_per_user.",
    "counter" address_limited_total: "Connections closed with 4029 by limits.messages_per_second_per_address.",
    "counter" requests_total: "HTTP requests, handshakes included.",
    "counter" request_errors_total: "HTTP requests answered with a status of 400 or above.",
    "counter" handshakes_total: "WebSocket handshakes completed.",
    "counter" unauthorized_total: "Handshakes refused for want of a valid token.",
    "counter" tokens_expired_total: "Connections closed with 4010 because their token's time was over.",
    "counter" token_refreshes_total: "Tokens that open connections were given anew.",
    "counter" deadlines_total: "Sockets closed because a deadline passed.",
    "counter" pings_total: "Pings sent to peers that were silent for heartbeat.interval.",
    "counter" silent_total: "Connections cut because nothing was heard within heartbeat.timeout of a ping.",
    "counter" pongs_coalesced_total: "Pings of a flood that were answered by the pong to a later one.",
    "counter" messages_total: "Messages received.",
    "counter" message_errors_total: "Messages answered with an error.",
    "counter" violations_total: "Connections closed because they broke the protocol or a limit of it.",
    "counter" published_total: "Publications accepted by the rooms' homes at this shard.",
    "counter" appended_total: "Publications appended to the logs of rooms with members at this shard.",
    "counter" gaps_total: "Times a room's members here were told that publications are missing.",
    "counter" too_slow_total: "Connections closed for being too far behind: limits.lag, or limits.buffered.",
    "counter" waits_total: "Commands that had to wait for a room's home.",
    "counter" received_bytes_total: "Bytes read from connections.",
    "counter" sent_bytes_total: "Bytes written to connections.",
    "counter" reloads_total: "Configurations that the shard went over to on SIGHUP.",
    "counter" reloads_refused_total: "Reloads refused, of which the log says why.",
    "counter" panics_total: "Connections closed with 1011 because their handler panicked.",
}

/// All shards' metrics in Prometheus' text format, version 0.0.4.
pub fn render<'a>(shards: impl Iterator<Item = &'a Metrics> + Clone) -> String {
    let mut text = String::with_capacity(8192);
    for Described { kind, name, help, value } in TABLE {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (shard, metrics) in shards.clone().enumerate() {
            let _ = writeln!(text, "{name}{{shard=\"{shard}\"}} {}", value(metrics));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_every_shard_with_kind_and_help() {
        let shards = [Metrics::default(), Metrics::default()];
        shards[1].gaps_total.add(3);
        let text = render(shards.iter());
        assert!(text.contains("# TYPE vestibule_gaps_total counter\n"));
        assert!(text.contains("vestibule_gaps_total{shard=\"0\"} 0\nvestibule_gaps_total{shard=\"1\"} 3\n"));
    }

    #[test]
    fn counters_end_in_total_and_gauges_do_not() {
        for Described { kind, name, help, .. } in TABLE {
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
            assert!(help.ends_with('.'), "{name}");
        }
    }
}

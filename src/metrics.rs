//! Counters and gauges, one set a shard, and the text in which Prometheus reads them.
//!
//! A shard writes only its own set, which shares no cache line with another's, so an increment is a
//! plain load and store. One table names each metric, its unit and what it means; what is true of the
//! process as a whole has its table in `api::page`. Must not know who counts.

mod text;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub use text::Text;

/// One number that one shard writes and anybody reads.
#[derive(Debug, Default)]
pub struct Metric(AtomicU64);

impl Metric {
    /// Counts `more`. Only the shard that owns the set may.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Takes back what was added to a gauge. Only the shard that owns the set may.
    pub fn sub(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(less), Relaxed);
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

/// Lines of the log that were dropped because whoever reads it did not keep up. Of the process: any
/// thread may log.
pub static LOG_LINES_DROPPED: Shared = Shared::new();

/// One number that every thread may count up.
#[derive(Debug, Default)]
pub struct Shared(AtomicU64);

impl Shared {
    /// Begins at 0.
    pub const fn new() -> Shared {
        Shared(AtomicU64::new(0))
    }

    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// Reads it.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Generates the set of a shard and the table that describes it from one list. A number that is kept in
/// another unit than its name says is `in` so many parts of that.
macro_rules! metrics {
    ($($kind:literal $name:ident $(in $parts:ident)?: $help:literal,)*) => {
        /// The numbers of one shard.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Metrics {
            $(#[doc = $help] pub $name: Metric,)*
            /// Connections closed, by how.
            pub closes: Closes,
        }

        const TABLE: &[Described] = &[$(Described {
            kind: $kind,
            name: concat!("vestibule_", stringify!($name)),
            help: $help,
            parts: 1 $(* $parts)?,
            value: |metrics| metrics.$name.value(),
        },)*];
    };
}

struct Described {
    kind: &'static str,
    name: &'static str,
    help: &'static str,
    /// So many of what is counted make one of what is shown.
    parts: u64,
    value: fn(&Metrics) -> u64,
}

/// Microseconds of a second.
const MICROSECONDS: u64 = 1_000_000;

/// Connections closed, by the code that this side sent, or by the peer.
#[derive(Debug, Default)]
pub struct Closes {
    by_code: [Metric; CODES.len()],
    other: Metric,
    peer: Metric,
}

impl Closes {
    /// Of this code, if this side is the first to say goodbye.
    pub fn by_code(&self, code: u16) -> &Metric {
        let known = CODES.iter().position(|known| *known == code);
        known.map_or(&self.other, |at| &self.by_code[at])
    }

    /// By a close frame of the peer, whatever its code.
    pub fn by_peer(&self) -> &Metric {
        &self.peer
    }

    fn render(&self, text: &mut Text, shard: &str) {
        let codes = CODES.iter().map(u16::to_string).zip(&self.by_code);
        let rest = [("other".to_owned(), &self.other), ("peer".to_owned(), &self.peer)];
        for (code, metric) in codes.chain(rest) {
            text.sample(&[("shard", shard), ("code", &code)], metric.value() as f64);
        }
    }
}

/// The close codes that have a line of their own.
const CODES: [u16; 14] = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1013, 4001, 4003, 4008, 4010, 4029];

metrics! {
    "gauge" connections: "Connections that are open, after their handshake.",
    "gauge" sockets: "Sockets that are open, those before their handshake included.",
    "gauge" rooms: "Rooms with members at this shard.",
    "gauge" members: "Memberships of this shard's connections.",
    "gauge" homes: "Rooms whose order this shard keeps.",
    "gauge" log_bytes: "Encoded publications that some member still has to be sent, in bytes.",
    "gauge" outbox_bytes: "What single connections still have to be sent, in bytes.",
    "gauge" home_bytes: "Publications that rooms' homes hold, for shards whose lanes are full and as history, in bytes.",
    "gauge" history_bytes: "Publications in the homes of rooms with history, a part of home_bytes, in bytes.",
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
    "counter" api_requests_total: "Requests to the API.",
    "counter" api_errors_total: "Requests to the API answered with a status of 400 or above.",
    "counter" api_unauthorized_total: "Requests to the API without a good key.",
    "counter" api_published_total: "Publications of the API accepted by the rooms' homes at this shard.",
    "counter" api_repeated_total: "Publications of the API not published again, for their id was known.",
    "counter" api_limited_total: "Calls, publications and joins of the API that a limit refused.",
    "counter" handshakes_total: "WebSocket handshakes completed.",
    "counter" streams_total: "Streams of Server-Sent Events that were opened.",
    "gauge" streams: "Connections that are streams of Server-Sent Events.",
    "counter" ended_total: "Connections that ended, however.",
    "gauge" receive_only_connections: "Open WebSockets that have sent no broadcast and no event yet.",
    "counter" ended_receive_only_total: "WebSockets that ended without having sent a broadcast or an event.",
    "counter" unauthorized_total: "Handshakes refused for want of a valid token.",
    "counter" tokens_expired_total: "Connections closed with 4010 because their token's time was over.",
    "counter" token_refreshes_total: "Tokens that open connections were given anew.",
    "counter" deadlines_total: "Sockets closed because a deadline passed.",
    "counter" pings_total: "Pings sent to peers that were silent for heartbeat.interval.",
    "counter" silent_total: "Connections cut because nothing was heard within heartbeat.timeout of a ping.",
    "counter" pongs_coalesced_total: "Pings of a flood that were answered by the pong to a later one.",
    "counter" messages_total: "Messages received.",
    "counter" joins_total: "Requests to join a room, those refused included.",
    "counter" leaves_total: "Requests to leave a room, those refused included.",
    "counter" broadcasts_total: "Requests to broadcast, those refused included.",
    "counter" message_errors_total: "Messages answered with an error.",
    "counter" violations_total: "Connections closed because they broke the protocol or a limit of it.",
    "counter" published_total: "Publications accepted by the rooms' homes at this shard.",
    "counter" appended_total: "Publications appended to the logs of rooms with members at this shard.",
    "counter" encoded_total: "Encodings of appended publications: one for each format that a room's members are told in.",
    "counter" gaps_total: "Times a room's members here were told that publications are missing.",
    "counter" recovered_total: "Members who came back with a place and were sent all that they had missed.",
    "counter" unrecovered_total: "Members who came back with a place and were told that what they missed is lost.",
    "counter" history_evicted_total: "Publications dropped early because all histories together held too much.",
    "counter" too_slow_total: "Connections closed for being too far behind: limits.lag, or limits.buffered.",
    "counter" waits_total: "Commands that had to wait for a room's home.",
    "counter" received_bytes_total: "Bytes read from connections.",
    "counter" sent_bytes_total: "Bytes written to connections.",
    "gauge" tick_delay_seconds in MICROSECONDS:
        "The longest that this shard's clock, which ticks each 100 ms, came late in the last 15 to 30 s.",
    "counter" proxied_requests_total: "Requests handed on to a backend.",
    "counter" proxied_failures_total: "Requests to a backend answered with 502 or 504 in its place, or whose answer broke off.",
    "counter" proxied_retries_total: "Requests to a backend that were sent a second time, to another server or on a new connection.",
    "gauge" tunnels: "WebSockets of the application's own that are open.",
    "counter" backend_connects_total: "Connections made to servers of backends.",
    "gauge" backend_connections: "Connections to servers of backends, in use or kept for the next request; those of tunnels not counted.",
    "gauge" backend_down: "Servers of backends that are held to be down; told by the first shard for all.",
    "gauge" hook_calls: "Calls of the application that somebody waits for, and that are under way.",
    "counter" hook_calls_total: "Connects, joins and messages that the application was to be asked about.",
    "counter" hook_refusals_total: "Connects, joins and messages that the application refused.",
    "counter" hook_failures_total: "Connects, joins and messages to which there was no answer, none in time, or none that can be read.",
    "counter" hook_shed_total: "Connects, joins and messages of which the application was not asked, for it had failed too often, or too many waited.",
    "counter" notifications_total: "Leaves and disconnects that the application has heard of.",
    "counter" notifications_retried_total: "Tries to tell of a leave or a disconnect that failed and are made again.",
    "counter" notifications_given_up_total: "Leaves and disconnects given up after hooks.retry_for.",
    "counter" notifications_dropped_total: "Leaves and disconnects that were not told, for too many waited.",
    "gauge" notifications_waiting: "Leaves and disconnects that the application has not heard of yet.",
    "counter" reloads_total: "Configurations that the shard went over to on SIGHUP.",
    "counter" reloads_refused_total: "Reloads refused, of which the log says why.",
    "counter" panics_total: "Connections closed with 1011 because their handler panicked.",
}

/// All shards' metrics, into the text.
pub fn render<'a>(text: &mut Text, shards: impl Iterator<Item = &'a Metrics> + Clone) {
    for Described { kind, name, help, parts, value } in TABLE {
        text.family(kind, name, help);
        for (shard, metrics) in shards.clone().enumerate() {
            text.sample(&[("shard", &shard.to_string())], value(metrics) as f64 / *parts as f64);
        }
    }
    let help = "Connections closed, by the code sent; \"peer\": the peer was the first to say goodbye.";
    text.family("counter", "vestibule_closes_total", help);
    for (shard, metrics) in shards.enumerate() {
        metrics.closes.render(text, &shard.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_every_shard_with_kind_and_help() {
        let shards = [Metrics::default(), Metrics::default()];
        shards[1].gaps_total.add(3);
        shards[0].tick_delay_seconds.set(1500);
        shards[1].closes.by_code(4008).add(2);
        shards[1].closes.by_code(4999).add(1);
        let mut text = Text::default();
        render(&mut text, shards.iter());
        let text = text.into_string();
        for expected in [
            "# TYPE vestibule_gaps_total counter\n",
            "vestibule_gaps_total{shard=\"0\"} 0\nvestibule_gaps_total{shard=\"1\"} 3\n",
            "vestibule_tick_delay_seconds{shard=\"0\"} 0.0015\n",
            "vestibule_closes_total{shard=\"1\",code=\"4008\"} 2\n",
            "vestibule_closes_total{shard=\"1\",code=\"other\"} 1\n",
        ] {
            assert!(text.contains(expected), "{expected}{text}");
        }
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for Described { kind, name, help, parts, .. } in TABLE {
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
            let base = name.trim_end_matches("_total");
            assert_eq!(*parts == MICROSECONDS, base.ends_with("_seconds"), "{name}: base units only");
            assert_eq!(help.to_lowercase().contains("bytes"), base.ends_with("_bytes"), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}");
        }
    }

    #[test]
    fn no_two_shards_share_a_cache_line() {
        // 128 and not 64: x86-64 fetches lines in pairs.
        let shards: Vec<Metrics> = (0..3).map(|_| Metrics::default()).collect();
        let lines = |metrics: &Metrics| {
            let first = std::ptr::from_ref(metrics).addr();
            first / 128..=(first + size_of::<Metrics>() - 1) / 128
        };
        for pair in shards.windows(2) {
            assert!(lines(&pair[0]).end() < lines(&pair[1]).start());
        }
        assert_eq!(std::ptr::from_ref(&shards[0]).addr() % 128, 0);
    }
}

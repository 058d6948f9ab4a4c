//! Members that stop reading: what they cost (their own connection) and what they do not.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Crowd, Deadline, Member, PATIENCE, Server, Setup, Sight, client_frame, gauge};
use std::{thread, time::Duration};

#[test]
fn a_member_that_stops_reading_is_closed_at_the_lag_and_costs_no_other_a_delivery() {
    // Side by side: ten seconds of each are given to who does not read.
    let setups = Setup::each();
    thread::scope(|scope| {
        setups.iter().for_each(|setup| {
            scope.spawn(|| lags_alone(setup));
        });
    });
}

#[test]
fn epoll_closes_who_stops_reading_too() {
    lags_alone(&Setup::epoll());
}

fn lags_alone(setup: &Setup) {
    let server = setup.clone().set("limits.lag", "\"256KiB\"").start();
    let mut stage = Stage::set(&server);
    let mut reads_again = stage.slow(&server);
    let never_reads = stage.slow(&server);
    stage.publish_until_the_slow_are_out(&server, 2);
    let cut = Deadline::within(PATIENCE);

    // What it was sent is whole, in order and without a hole, up to where it was given up.
    let mut heard = 0;
    let closed = loop {
        let frame = reads_again.socket.frame().expect("whole frames, then a close");
        if let Some(closed) = frame.closed() {
            break closed;
        }
        assert_eq!(number_of(&frame.payload), Some(heard));
        heard += 1;
    };
    assert_eq!(closed.code, Some(4008), "after {heard} messages: {closed:?}");
    reads_again.socket.end();
    assert!(heard < stage.sent, "it was behind");

    // The healthy go on hearing everything, also after that.
    stage.publish(ROUND);
    drop(reads_again);
    // Who never reads again is cut; until then it had 10 s to come back.
    let others = (HEALTHY + 1) as f64;
    server.await_metric(gauge::CONNECTIONS, others);
    assert!(cut.elapsed() < Duration::from_secs(13), "cut after {:?}", cut.elapsed());
    drop(never_reads);
    stage.publish(ROUND);
    server.stop();
}

#[test]
fn a_single_room_of_2000_that_stop_reading_costs_two_lags_of_log_and_16_mib() {
    for setup in Setup::each() {
        let one = peak_with_slow(&setup, 1);
        let many = peak_with_slow(&setup, 2000);
        println!("one: {one:?}; 2000: {many:?}");
        assert!(many.log_bytes <= 2.0 * LAG_BYTES, "the log held {} bytes, the lag is 1 MiB", many.log_bytes);
        let more = many.resident_bytes.saturating_sub(one.resident_bytes);
        assert!(more <= 16 << 20, "2000 slow members cost {more} bytes more than one");
    }
}

#[test]
fn a_process_that_holds_too_much_cuts_those_furthest_behind_and_nobody_else() {
    for setup in Setup::each() {
        // One alone stays within its lag: it is all of them together that are too much.
        let server = setup.set("limits.lag", "\"4MiB\"").set("limits.buffered", "\"8MiB\"").start();
        let mut stage = Stage::set(&server);
        let slow: Vec<Member> = (0..HOARDERS).map(|n| hoarder(&server, n)).collect();
        let mut publisher = Member::enter(&server, "publisher");
        let mut held: f64 = 0.0;
        for round in 0..HOARD_ROUNDS {
            if server.metric(gauge::TOO_SLOW) > 0.0 {
                break;
            }
            assert!(round + 1 < HOARD_ROUNDS, "nobody is cut, and {held} bytes are held");
            let batch: Vec<u8> = (0..HOARDERS).flat_map(|n| publications_to(&hoard(n), ROUND)).collect();
            publisher.socket.send(&batch);
            publisher.lives();
            // The healthy are there all the while, and miss nothing.
            stage.publish(4);
            held = held.max(server.metric(gauge::LOG_BYTES) + server.metric(gauge::OUTBOX_BYTES));
        }
        assert!(held <= 9.0 * LAG_BYTES, "{held} bytes were held, 8 MiB are allowed");
        stage.publish(ROUND);
        let cut = server.metric(gauge::TOO_SLOW);
        assert!(cut < HOARDERS as f64, "all {cut} were cut: more than had to be");
        drop(slow);
        server.stop();
    }
}

/// A member of a room of its own that will not read.
fn hoarder(server: &Server, n: usize) -> Member {
    let mut member = Member::enter_narrow(server, "hoarder");
    member.join(&hoard(n));
    member
}

fn hoard(n: usize) -> String {
    format!("hoard-{n}")
}

/// So many messages of 1 KiB.
fn publications_to(room: &str, count: u32) -> Vec<u8> {
    let fill = "x".repeat(950);
    let text = format!("{{\"type\":\"broadcast\",\"room\":\"{room}\",\"payload\":\"{fill}\"}}");
    client_frame(0x81, text.as_bytes()).repeat(count as usize)
}

/// The most that was seen while members lagged.
#[derive(Debug)]
struct Peak {
    log_bytes: f64,
    resident_bytes: u64,
}

fn peak_with_slow(setup: &Setup, count: usize) -> Peak {
    let server = setup.clone().set("limits.lag", "\"1MiB\"").start();
    let mut stage = Stage::set(&server);
    let slow: Vec<Member> = (0..count).map(|_| stage.slow(&server)).collect();
    let peak = stage.publish_until_the_slow_are_out(&server, count);
    drop(slow);
    server.stop();
    peak
}

/// A room with healthy members that hear everything at once, and a publisher.
struct Stage {
    healthy: Crowd,
    heard: Vec<u32>,
    publisher: Member,
    sent: u32,
}

impl Stage {
    fn set(server: &Server) -> Self {
        let mut healthy = Crowd::default();
        for _ in 0..HEALTHY {
            let mut member = Member::enter(server, "healthy");
            member.join(ROOM);
            healthy.seat(member);
        }
        Self { healthy, heard: vec![0; HEALTHY], publisher: Member::enter(server, "publisher"), sent: 0 }
    }

    /// A member that has joined and will not read.
    fn slow(&self, server: &Server) -> Member {
        let mut member = Member::enter_narrow(server, "slow");
        member.join(ROOM);
        member
    }

    /// Publishes `count` messages of 1 KiB; returns when every healthy member has heard them all.
    fn publish(&mut self, count: u32) {
        let batch: Vec<u8> = (self.sent..self.sent + count).flat_map(publication).collect();
        self.publisher.socket.send(&batch);
        self.sent += count;
        let deadline = Deadline::within(PATIENCE);
        while self.heard.iter().any(|&heard| heard < self.sent) {
            assert!(!deadline.passed(), "a healthy member waits: {:?} of {}", self.heard, self.sent);
            let heard = &mut self.heard;
            self.healthy.turn(PATIENCE, |n, sight| match sight {
                Sight::Text(text) => {
                    assert_eq!(number_of(text), Some(heard[n]), "a healthy member misses a message");
                    heard[n] += 1;
                }
                other => panic!("a healthy member saw {other:?}"),
            });
        }
    }

    /// Publishes until the slow ones, so many, are members no more.
    fn publish_until_the_slow_are_out(&mut self, server: &Server, slow: usize) -> Peak {
        // The gauges are taken now and then: what is seen at first may be from before the joins.
        server.await_metric(gauge::MEMBERS, (HEALTHY + slow) as f64);
        let mut peak = Peak { log_bytes: 0.0, resident_bytes: 0 };
        while server.metric(gauge::MEMBERS) > HEALTHY as f64 {
            assert!(self.sent < MESSAGES_MAX, "{} KiB published, and the slow are still members", self.sent);
            self.publish(ROUND);
            peak.log_bytes = peak.log_bytes.max(server.metric(gauge::LOG_BYTES));
            peak.resident_bytes = peak.resident_bytes.max(server.resident_bytes());
        }
        peak
    }
}

/// A message of 1 KiB that bears a number.
fn publication(number: u32) -> Vec<u8> {
    let fill = "x".repeat(950);
    let text = format!(
        "{{\"type\":\"broadcast\",\"room\":\"{ROOM}\",\"payload\":{{\"n\":{number},\"fill\":\"{fill}\"}}}}"
    );
    client_frame(0x81, text.as_bytes())
}

fn number_of(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let rest = text.strip_prefix("{\"type\":\"message\",\"room\":\"slow\",\"payload\":{\"n\":")?;
    rest.split_once(',')?.0.parse().ok()
}

const ROOM: &str = "slow";
/// Members that read nothing, each in a room of its own: at the lag all together they would hold 32 MiB.
const HOARDERS: usize = 8;
/// Kernel buffers and what is allowed are full long before.
const HOARD_ROUNDS: u32 = 512;
const HEALTHY: usize = 20;
/// Messages published between two looks at the server: 32 KiB, far from any lag.
const ROUND: u32 = 32;
/// Well beyond what kernel buffers and a lag of 1 MiB can hold of 1 KiB each.
const MESSAGES_MAX: u32 = 16 * 1024;
const LAG_BYTES: f64 = 1024.0 * 1024.0;

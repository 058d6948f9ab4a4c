//! Whether a hook that takes its time slows those who wait for nothing: their echo, with hooks under way beside them and
//! without.
//!
//! Judges nothing. Both kinds of round take turns under one server, so that what the machine does besides is in both;
//! of each kind the median is told. The server has one worker on the first CPU, whoever measures and the application the
//! last.

#[path = "../curves/cpus.rs"]
mod cpus;
#[path = "../../tests/harness/mod.rs"]
mod harness;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use serde_json::json;

use harness::{App, Call, Deadline, Member, PATIENCE, Reply, Server, Setup};

fn main() {
    // Without the word, cargo is testing: a short look shows that all of this still runs.
    let rounds = if std::env::args().any(|word| word == "--bench") { ROUNDS } else { 1 };
    let length = if rounds == 1 { Duration::from_millis(100) } else { ROUND };
    // The application's threads, too, stay where this one is.
    cpus::apart(1, || ());
    let app = App::start(|call: &Call| match call.kind.as_str() {
        "message" => Reply::yes().after(HOOK),
        _ => Reply::yes(),
    });
    let setup = Setup::new(1).variable("RUST_LOG", "warn").set("server.driver", "\"auto\"").hooks(&app);
    let setup = setup.set("hooks.events", "[\"message\"]");
    let server = cpus::apart(1, || setup.start());
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(round(&server, length, 0));
        with.push(round(&server, length, WAITING));
    }
    let asked = app.calls("message").len();
    let (without, with) = (median(without), median(with));
    let ratio = [with[0] / without[0], with[1] / without[1]];
    println!(
        "{}",
        json!({
            "hook_ms": HOOK.as_millis() as u64, "connections_waiting": WAITING, "hooks_asked": asked, "rounds": rounds,
            "shares_a_cpu": cpus::are_shared(1),
            "echo_p50_us": { "without": without[0], "with": with[0], "ratio": ratio[0] },
            "echo_p99_us": { "without": without[1], "with": with[1], "ratio": ratio[1] },
        })
    );
    server.stop();
}

/// The median and the 99th percentile of one connection's echoes, in microseconds, while so many others wait for the
/// application again and again.
fn round(server: &Server, length: Duration, waiting: usize) -> [f64; 2] {
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        let mut others: Vec<Member> =
            (0..waiting).map(|n| Member::enter(server, &format!("other{n}"))).collect();
        let mut member = Member::enter(server, "echo");
        for other in &mut others {
            other.say(EVENT);
        }
        for mut other in others {
            let is_over = &is_over;
            threads.spawn(move || {
                while !is_over.load(SeqCst) {
                    assert!(other.hear().contains("\"type\":\"ack\""));
                    other.say(EVENT);
                }
            });
        }
        let mut took = Vec::new();
        let clock = Deadline::within(length);
        while !clock.passed() {
            let echo = Deadline::within(PATIENCE);
            member.lives();
            took.push(echo.elapsed().as_secs_f64() * 1e6);
        }
        is_over.store(true, SeqCst);
        took.sort_by(f64::total_cmp);
        [took[took.len() / 2], took[took.len() * 99 / 100]]
    })
}

fn median(mut rounds: Vec<[f64; 2]>) -> [f64; 2] {
    [0, 1].map(|which| {
        rounds.sort_by(|one, other| one[which].total_cmp(&other[which]));
        rounds[rounds.len() / 2][which]
    })
}

const EVENT: &str = "{\"type\":\"event\",\"event\":\"slow\",\"payload\":1,\"id\":1}";
/// What the application takes for each.
const HOOK: Duration = Duration::from_millis(50);
/// Connections that always wait for it.
const WAITING: usize = 10;
const ROUNDS: usize = 21;
const ROUND: Duration = Duration::from_millis(700);

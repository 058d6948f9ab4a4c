//! Members that fall behind and read again before the lag: they miss nothing. And those who never do: they go.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Member, PATIENCE, Server, Setup, client_frame, gauge, number_of, until};
use serde_json::{Value, json};

#[test]
fn who_leaves_far_behind_is_sent_all_that_was_published_and_then_the_ack() {
    for setup in each() {
        let server = setup.start();
        let (mut slow, mut publisher) = stalled(&server);
        slow.say(r#"{"type":"leave","id":"gone","room":"r"}"#);
        server.await_metric(gauge::MEMBERS, 0.0);
        publisher.broadcast("r", "\"not for who has left\"");
        heard_all(&mut slow);
        assert_eq!(json_of(&slow.hear()), json!({"type": "ack", "id": "gone"}));
        slow.lives();
        assert_eq!(slow.kept().len(), 0, "nothing of what came after it had left");
        server.stop();
    }
}

#[test]
fn who_is_told_goodbye_far_behind_is_sent_all_before_it() {
    for setup in each() {
        let mut server = setup.start();
        let (mut slow, publisher) = stalled(&server);
        server.terminate();
        heard_all(&mut slow);
        assert_eq!(slow.closed().code, Some(1001));
        drop(publisher);
        assert!(server.ends_within(PATIENCE).success());
    }
}

#[test]
fn who_comes_back_before_the_lag_stays_a_member_and_goes_on_hearing() {
    for setup in each() {
        let server = setup.start();
        let (mut slow, mut publisher) = stalled(&server);
        heard_all(&mut slow);
        for number in 0..300 {
            publisher.broadcast("r", &number.to_string());
            assert_eq!(number_of(slow.hear().as_bytes()), Some(number));
        }
        server.stop();
    }
}

#[test]
fn who_floods_and_never_reads_is_gone_once_it_has_reset_the_connection() {
    for setup in each() {
        let server = setup.set("websocket.echo", "\"/echo\"").start();
        let mut socket = harness::Socket::connect_narrow(server.public);
        assert_eq!(socket.upgrade("/echo", "").status, 101);
        let frame = client_frame(0x82, &[7; 30_000]);
        let mut rest: &[u8] = &[];
        // Until the server reads no more: nothing fits for longer than it takes to read a frame.
        let mut stuck = 0;
        until("the server stops reading", PATIENCE, || {
            if rest.is_empty() {
                rest = &frame;
            }
            let sent = socket.offer(rest).expect("it is not cut for this");
            rest = &rest[sent..];
            stuck = if sent == 0 { stuck + 1 } else { 0 };
            (stuck > 200 && server.metric(gauge::OUTBOX_BYTES) > 256.0 * 1024.0).then_some(())
        });
        server.await_metric(gauge::CONNECTIONS, 1.0);
        socket.reset();
        server.await_metric(gauge::CONNECTIONS, 0.0);
        server.stop();
    }
}

fn each() -> [Setup; 3] {
    let [one, two] = Setup::each();
    [one, two, Setup::epoll()].map(|setup| setup.set("limits.lag", "\"64MiB\""))
}

/// A member that does not read, with a write to it in flight and more behind it than one system call gathers, and
/// who published that.
fn stalled(server: &Server) -> (Member, Member) {
    let mut slow = Member::enter_narrow(server, "slow");
    slow.join("r");
    let mut publisher = Member::enter(server, "publisher");
    // Each is acknowledged before the next, so each is a slice of its own.
    for number in 0..LARGE {
        publisher.broadcast("r", &json!({"n": number, "fill": "x".repeat(60_000)}).to_string());
    }
    for number in LARGE..LARGE + SMALL {
        publisher.broadcast("r", &json!({ "n": number }).to_string());
    }
    // An ack tells that the room's home has it: the member's shard may have it a little later.
    server.await_metric("vestibule_appended_total", f64::from(LARGE + SMALL));
    until("it is behind", PATIENCE, || (server.metric(gauge::LOG_BYTES) > 0.0).then_some(()));
    (slow, publisher)
}

fn heard_all(slow: &mut Member) {
    for number in 0..LARGE + SMALL {
        let heard = slow.hear();
        assert_eq!(json_of(&heard)["payload"]["n"], number, "{}", &heard[..heard.len().min(200)]);
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// More than the sockets' buffers hold.
const LARGE: u32 = 20;
/// More than IOV_MAX, 1024.
const SMALL: u32 = 1500;

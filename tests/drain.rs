//! SIGTERM: nothing that was acknowledged is lost, everybody is told when to come back, and the process goes.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{
    Crowd, DRAIN, Deadline, End, Member, PATIENCE, Server, Setup, Sight, Socket, client_frame, until,
};
use serde_json::Value;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

#[test]
fn a_drain_under_load_loses_nothing_acknowledged_and_tells_everybody() {
    for setup in Setup::each() {
        drains_under_load(&setup);
    }
}

#[test]
fn epoll_drains_too() {
    drains_under_load(&Setup::epoll());
}

fn drains_under_load(setup: &Setup) {
    let mut server = setup.start();
    let mut crowd = Crowd::default();
    for n in 0..MEMBERS {
        let mut member = Member::enter(&server, &format!("member-{n}"));
        member.join(ROOM);
        crowd.seat(member);
    }
    let publishers: Vec<Member> =
        (0..PUBLISHERS).map(|n| Member::enter(&server, &format!("publisher-{n}"))).collect();
    let course = Course::default();
    let (before, heard) = thread::scope(|scope| {
        let listener = scope.spawn(|| listen(crowd, &course));
        for (n, publisher) in publishers.into_iter().enumerate() {
            let course = &course;
            scope.spawn(move || publish(publisher, n, course));
        }
        let under_way = || course.counts().iter().all(|&count| count > 50).then_some(());
        until("all publishers are under way", PATIENCE, under_way);
        let before = course.counts();
        server.terminate();
        await_refusal(&server);
        (before, listener.join().unwrap())
    });
    let status = server.ends_within(DRAIN + Duration::from_secs(5));
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_nothing_is_lost(&before, &heard);
}

/// How far publishers and listeners are.
#[derive(Default)]
struct Course {
    /// Publications acknowledged, by publisher.
    acknowledged: [AtomicU32; PUBLISHERS],
    /// Publications that every member still open has heard.
    heard: AtomicU32,
}

impl Course {
    fn counts(&self) -> [u32; PUBLISHERS] {
        std::array::from_fn(|n| self.acknowledged[n].load(Ordering::SeqCst))
    }

    /// Waits until the listeners are not far behind what was acknowledged. They are slower than the server: a
    /// close that waits in their own buffers behind a second of messages would be timed a second late.
    fn await_listeners(&self) {
        until("the listeners keep up", PATIENCE, || {
            let heard = self.heard.load(Ordering::SeqCst);
            (self.counts().iter().sum::<u32>() <= heard.saturating_add(BEHIND_MAX)).then_some(())
        });
    }
}

/// What one member heard, and when after the start of listening its close came.
#[derive(Default)]
struct Heard {
    numbers: Vec<u32>,
    closed_at: Option<Duration>,
}

/// Listens to the end of every stream. Each must end with a close frame, and in order.
fn listen(mut crowd: Crowd, course: &Course) -> Vec<Heard> {
    let mut heard: Vec<Heard> = (0..crowd.len()).map(|_| Heard::default()).collect();
    let deadline = Deadline::within(Duration::from_secs(45));
    while !crowd.all_ended() {
        assert!(!deadline.passed(), "a member was not closed");
        crowd.turn(PATIENCE, |n, sight| match sight {
            Sight::Text(text) => {
                assert!(heard[n].closed_at.is_none(), "nothing follows a close frame");
                heard[n].numbers.push(harness::number_of(text).expect("only numbers are published"));
            }
            Sight::Close(payload) => {
                assert_going_away(payload);
                heard[n].closed_at = Some(deadline.elapsed());
            }
            Sight::End(_) => {
                assert!(heard[n].closed_at.is_some(), "member {n} was cut without a close frame")
            }
        });
        let open = heard.iter().filter(|h| h.closed_at.is_none()).map(|h| h.numbers.len() as u32);
        course.heard.store(open.min().unwrap_or(u32::MAX), Ordering::SeqCst);
    }
    heard
}

/// Publishes with a few requests open until it is told to go.
fn publish(mut publisher: Member, n: usize, course: &Course) {
    let acknowledged = &course.acknowledged[n];
    let mut sent = 0;
    loop {
        course.await_listeners();
        while sent < acknowledged.load(Ordering::SeqCst) + WINDOW {
            let number = n as u32 * 1_000_000 + sent;
            let text =
                format!("{{\"type\":\"broadcast\",\"id\":{sent},\"room\":\"{ROOM}\",\"payload\":{number}}}");
            // A server that is going may have closed already: what was said then stands in the frames.
            let _ = publisher.socket.try_send(&client_frame(0x81, text.as_bytes()));
            sent += 1;
        }
        let frame = publisher.socket.frame().expect("an ack or a close frame");
        if frame.closed().is_some() {
            assert_going_away(&frame.payload);
            let _ = publisher.socket.try_send(&client_frame(0x88, &frame.payload));
            return;
        }
        let answer: Value = serde_json::from_str(frame.text()).unwrap();
        assert_eq!(answer["type"], "ack", "{answer}");
        assert_eq!(
            answer["id"],
            acknowledged.load(Ordering::SeqCst),
            "acks come in the order of the requests"
        );
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

/// 1001, and the hint that DESIGN's table of closes promises.
fn assert_going_away(payload: &[u8]) {
    assert_eq!(payload.get(..2), Some([0x03, 0xe9].as_slice()), "1001, not {payload:?}");
    let reason = std::str::from_utf8(&payload[2..]).unwrap();
    let hint = reason.strip_prefix("retry=").unwrap_or_else(|| panic!("reason {reason:?}"));
    assert!(hint.parse::<u32>().is_ok(), "milliseconds: {reason:?}");
}

/// Waits until a new connection is refused, or cut without an answer.
fn await_refusal(server: &Server) {
    until("new connections are refused", DRAIN, || {
        let Ok(mut socket) = Socket::try_connect(server.public) else { return Some(()) };
        match socket.get("/nowhere") {
            Ok(_) => None,
            Err(End::Silence) => panic!("a connection was left hanging"),
            Err(_) => Some(()),
        }
    });
}

fn assert_nothing_is_lost(before: &[u32], heard: &[Heard]) {
    let order = heard.iter().map(|h| &h.numbers).max_by_key(|numbers| numbers.len()).unwrap();
    let mut next = [0; PUBLISHERS];
    for number in order {
        let (n, index) = ((number / 1_000_000) as usize, number % 1_000_000);
        assert_eq!(index, next[n], "publisher {n} has a hole or a repetition in the room's order");
        next[n] += 1;
    }
    for (n, Heard { numbers, .. }) in heard.iter().enumerate() {
        assert!(order.starts_with(numbers), "what member {n} heard is no beginning of the one order");
        for (publisher, &count) in before.iter().enumerate() {
            let got = numbers.iter().filter(|&&number| (number / 1_000_000) as usize == publisher).count();
            assert!(got >= count as usize, "member {n} got {got} of {count} acknowledged before TERM");
        }
    }
    let closes = || heard.iter().map(|h| h.closed_at.unwrap());
    let spread = closes().max().unwrap() - closes().min().unwrap();
    assert!(spread >= DRAIN / 4, "the closes came within {spread:?}, the window is {DRAIN:?}");
}

#[test]
fn an_idle_process_is_gone_long_before_the_window_ends() {
    for setup in Setup::each() {
        let mut server = setup.set("server.drain", "\"30s\"").start();
        server.terminate();
        let status = server.ends_within(Duration::from_secs(3));
        assert_eq!(status.code(), Some(0), "{}", server.log());
    }
}

#[test]
fn a_second_term_neither_hangs_nor_breaks_the_process() {
    for setup in Setup::each() {
        let mut server = setup.start();
        let mut member = Member::enter(&server, "ann");
        member.join(ROOM);
        server.terminate();
        await_refusal(&server);
        server.terminate();
        // An operator who asks twice may be let go early, which is no clean end: 1 then, else 0.
        let status = server.ends_within(DRAIN + Duration::from_secs(5));
        assert!(matches!(status.code(), Some(0 | 1)), "{status}: {}", server.log());
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}

#[test]
fn peers_that_neither_read_nor_answer_do_not_hold_the_process() {
    for setup in Setup::each() {
        let mut server = setup.start();
        let mut deaf: Vec<Member> = (0..10).map(|_| Member::enter_narrow(&server, "deaf")).collect();
        for member in &mut deaf {
            member.join(ROOM);
        }
        let mut publisher = Member::enter(&server, "publisher");
        let payload = format!("\"{}\"", "x".repeat(1000));
        for _ in 0..500 {
            publisher.broadcast(ROOM, &payload);
        }
        // Beside them: a kept connection without a request, and one in the middle of its head.
        let mut kept = Socket::connect(server.public);
        assert_eq!(kept.get("/nowhere").unwrap().status, 404);
        let mut begun = Socket::connect(server.public);
        begun.send(b"GET /ws HTTP/1.1\r\nHos");
        server.terminate();
        let status = server.ends_within(DRAIN + Duration::from_secs(5));
        assert_eq!(status.code(), Some(0), "{}", server.log());
    }
}

const ROOM: &str = "drain";
const MEMBERS: usize = 120;
const PUBLISHERS: usize = 4;
const WINDOW: u32 = 8;
/// Publications by which the slowest listener may be behind the acks.
const BEHIND_MAX: u32 = 32;

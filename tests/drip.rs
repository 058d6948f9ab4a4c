//! Heads that come a byte now and then: bytes extend no deadline, and the neighbours notice nothing.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Deadline, End, Neighbours, PATIENCE, Server, Setup, Socket, gauge, until};
use std::time::Duration;

#[test]
fn two_thousand_drippers_are_gone_a_second_after_the_deadline_and_no_neighbour_misses_an_echo() {
    for setup in Setup::each() {
        outlasts_drippers(&setup, DRIPPERS);
    }
}

#[test]
fn epoll_gives_drippers_no_more_time() {
    outlasts_drippers(&Setup::epoll(), DRIPPERS / 10);
}

fn outlasts_drippers(setup: &Setup, count: usize) {
    let server = setup.clone().set("limits.head_deadline", "\"2s\"").set("server.drain", "\"0s\"").start();
    let mut neighbours = Neighbours::move_in(&server, NEIGHBOURS);
    server.await_metric(gauge::CONNECTIONS, NEIGHBOURS as f64);
    let (longest, echoes) = neighbours.beside(|| {
        let mut drippers: Vec<Dripper> = (0..count).map(|n| Dripper::connect(&server, n)).collect();
        let all_in = Deadline::within(PATIENCE);
        until("all drippers are cut", PATIENCE, || {
            drippers.iter_mut().for_each(Dripper::drip);
            drippers.iter().all(|dripper| dripper.cut.is_some()).then_some(())
        });
        // They keep their end open: it is the server that has to let go.
        until("no dripper's socket is left", PATIENCE, || {
            (server.metric(gauge::SOCKETS) <= NEIGHBOURS as f64 + LOOKS).then_some(())
        });
        let gone = all_in.elapsed();
        assert!(gone < LATEST, "{gone:?} after the last came, their sockets are still there");
        drippers.iter_mut().for_each(Dripper::judge);
        let shortest = drippers.iter().filter_map(|dripper| dripper.cut).min().unwrap();
        assert!(shortest >= HEAD_DEADLINE, "one was cut after {shortest:?}, before its time");
        drippers.iter().filter_map(|dripper| dripper.cut).max().unwrap()
    });
    println!("{count} drippers, the last cut after {longest:?}; neighbours: {echoes}");
    assert!(longest < LATEST, "a dripper was cut after {longest:?}");
    server.stop();
}

/// One that sends a byte of its head now and then.
struct Dripper {
    socket: Socket,
    since: Deadline,
    /// How long it was let.
    cut: Option<Duration>,
    sent: usize,
}

impl Dripper {
    fn connect(server: &Server, n: usize) -> Self {
        // Before it is accepted, which is when its time begins.
        let since = Deadline::within(PATIENCE);
        let mut socket = Socket::connect(server.public);
        // A third says nothing at first, a third is in its request line, a third in a field.
        let first = ["", "GET /ec", "GET /echo HTTP/1.1\r\nHost: a\r\nX: "][n % 3];
        socket.send(first.as_bytes());
        Self { socket, since, cut: None, sent: n }
    }

    /// A 408, or nothing but the end if no head was begun; a reset if the last byte came too late.
    fn judge(&mut self) {
        match self.socket.response() {
            Ok(response) => assert_eq!(response.status, 408, "{response:?}"),
            Err(end) => assert_ne!(end, End::Silence),
        }
    }

    /// Sends the next byte if it is time for it, and looks whether it is cut.
    fn drip(&mut self) {
        if self.cut.is_some() {
            return;
        }
        if self.socket.has_answer() {
            self.cut = Some(self.since.elapsed());
            return;
        }
        let due = (self.since.elapsed().as_millis() / EVERY.as_millis()) as usize;
        if self.sent < due {
            self.sent = due;
            let _ = self.socket.offer(b"a");
        }
    }
}

const DRIPPERS: usize = 2000;
const NEIGHBOURS: usize = 50;
const EVERY: Duration = Duration::from_millis(200);
const HEAD_DEADLINE: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_secs(3);
/// The sockets by which the gauge is read.
const LOOKS: f64 = 3.0;

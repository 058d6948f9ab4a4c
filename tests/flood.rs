//! Peers that send without end: heads, fragments, pings, announced lengths, connections. Each is stopped
//! at its limit, costs the process next to nothing, and harms no neighbour.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Deadline, Member, Neighbours, PATIENCE, Server, Setup, Socket, client_frame, until};
use std::time::Duration;

#[test]
fn a_header_line_of_20_mb_is_read_to_its_limit_and_no_further() {
    for setup in Setup::each() {
        let server = start(&setup);
        let mut neighbour = Member::enter(&server, "neighbour");
        let before = Spent::by(&server);
        let mut socket = Socket::connect(server.public);
        socket.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ");
        let line = vec![b'a'; 20_000_000];
        let mut sent = 0;
        while !socket.has_answer() {
            sent += socket.offer(&line[sent..]).expect("it is answered before it is cut");
        }
        assert_eq!(socket.response().unwrap().status, 431);
        // Whatever it was told, it goes on, until the server has had enough.
        until("the connection is cut, or all is sent", PATIENCE, || {
            sent += socket.offer(&line[sent..]).unwrap_or(line.len() - sent);
            (sent == line.len()).then_some(())
        });
        neighbour.lives();
        let spent = before.until_now(&server);
        println!("a header line of 20 MB: {spent:?}");
        assert!(spent.received_bytes <= 256.0 * 1024.0, "it was read on: {spent:?}");
        assert!(spent.cpu <= Duration::from_millis(100), "{spent:?}");
        assert!(spent.resident_bytes <= 1 << 20, "{spent:?}");
        server.stop();
    }
}

#[test]
fn a_head_of_2000_fields_is_refused_and_none_of_them_is_dropped() {
    let server = start(&Setup::new(1));
    // 10 KiB: it is their number that is too large.
    let head = format!("GET /echo HTTP/1.1\r\nHost: a\r\n{}\r\n", "A:b\r\n".repeat(2000));
    let mut socket = Socket::connect(server.public);
    let _ = socket.try_send(head.as_bytes());
    let response = socket.response().unwrap();
    assert_eq!((response.status, response.closes()), (431, true), "{response:?}");
    server.stop();
}

#[test]
fn endless_fragments_without_content_cost_no_memory() {
    for setup in Setup::each() {
        let server = start(&setup);
        let mut neighbours = Neighbours::move_in(&server, NEIGHBOURS);
        let mut socket = Socket::connect(server.public);
        assert_eq!(socket.upgrade("/echo", "").status, 101);
        // As many frames as a message may have, empty but for the first and the last.
        let mut message = client_frame(0x01, b"a");
        message.extend(client_frame(0x00, b"").repeat(1022));
        message.extend(client_frame(0x80, b"b"));
        socket.send(&message);
        assert_eq!(socket.frame().unwrap().payload, b"ab");
        let before = Spent::by(&server);
        neighbours.beside(|| {
            for _ in 0..200 {
                socket.send(&message);
                assert_eq!(socket.frame().unwrap().payload, b"ab");
            }
            let after = before.until_now(&server);
            assert!(after.resident_bytes <= 2 << 20, "{after:?}");
            // 1000 more peers each hold a message that they do not end.
            let held: Vec<Socket> = (0..1000).map(|_| half_of(&server, &message)).collect();
            let after = before.until_now(&server);
            println!("200 messages of 1024 frames, and 1000 of 1000 that do not end: {after:?}");
            assert!(after.resident_bytes <= 6 << 20, "{after:?}");
            drop(held);
            let mut one_more = message.clone();
            one_more[message.len() - 7] = 0x00;
            one_more.extend(client_frame(0x80, b""));
            socket.send(&one_more);
            assert_eq!(socket.closed().code, Some(1008));
        });
        server.stop();
    }
}

/// A peer that has sent 1000 frames of a message.
fn half_of(server: &Server, message: &[u8]) -> Socket {
    let mut socket = Socket::connect(server.public);
    assert_eq!(socket.upgrade("/echo", "").status, 101);
    socket.send(&message[..7 + 999 * 6]);
    // Answered amid the message: so it was read.
    socket.send(&client_frame(0x89, b""));
    assert_eq!(socket.frame().unwrap().first, 0x8a);
    socket
}

#[test]
fn pings_of_a_peer_that_never_reads_are_held_back_and_all_is_well_once_it_reads() {
    for setup in Setup::each() {
        let server = start(&setup);
        let mut neighbours = Neighbours::move_in(&server, NEIGHBOURS);
        let mut flooder = Member::enter_narrow(&server, "flooder");
        let pings = client_frame(0x89, &[b'p'; 125]).repeat(500);
        let before = Spent::by(&server);
        let (sent, _) = neighbours.beside(|| {
            let mut sent: usize = 0;
            let mut stuck = Deadline::within(STUCK);
            while !stuck.passed() {
                let taken = flooder.socket.offer(&pings[sent % pings.len()..]).expect("it is not cut");
                if taken > 0 {
                    sent += taken;
                    stuck = Deadline::within(STUCK);
                }
                assert!(sent < 1 << 30, "a GiB of pings was read from a peer that reads no pong");
            }
            sent
        });
        let spent = before.until_now(&server);
        println!("{sent} bytes of pings, until the server read no more: {spent:?}");
        assert!(spent.resident_bytes <= 2 << 20, "{spent:?}");
        // The rest of the ping that is under way, then one that is its own.
        let rest = (pings.len() - sent % pings.len()) % PING;
        let last = [&pings[pings.len() - rest..], &client_frame(0x89, b"the last")].concat();
        let (mut sent, mut pongs) = (0, 0);
        loop {
            sent += flooder.socket.offer(&last[sent..]).expect("it is not cut");
            let frame = flooder.socket.frame().expect("a pong to the last ping");
            assert_eq!(frame.first, 0x8a, "nothing but pongs: {frame:?}");
            pongs += 1;
            if frame.payload == b"the last" {
                break;
            }
        }
        println!("{pongs} pongs");
        flooder.lives();
        server.stop();
    }
}

#[test]
fn a_thousand_announced_giants_are_refused_at_their_header_and_nothing_is_kept_for_them() {
    for setup in Setup::each() {
        let server = start(&setup);
        let mut sockets: Vec<Socket> = (0..1000)
            .map(|_| {
                let mut socket = Socket::connect(server.public);
                assert_eq!(socket.upgrade("/echo", "").status, 101);
                socket
            })
            .collect();
        let before = Spent::by(&server);
        for (n, socket) in sockets.iter_mut().enumerate() {
            let length: u64 = [1 << 40, u64::MAX, i64::MAX as u64, 65_537][n % 4];
            let mut header = vec![0x82, 0xff];
            header.extend(length.to_be_bytes());
            header.extend([0; 4]);
            socket.send(&header);
        }
        for (n, socket) in sockets.iter_mut().enumerate() {
            let code = [1009, 1002, 1009, 1009][n % 4];
            assert_eq!(socket.frame().unwrap().closed().unwrap().code, Some(code));
        }
        let spent = before.until_now(&server);
        println!("1000 announced giants: {spent:?}");
        assert!(spent.resident_bytes <= 2 << 20, "{spent:?}");
        drop(sockets);
        server.stop();
    }
}

#[test]
fn a_flood_of_connections_is_turned_away_with_503_and_the_established_keep_their_echo() {
    for setup in Setup::each() {
        let server = start(&setup.set("limits.connections", "1000"));
        let mut neighbours = Neighbours::move_in(&server, NEIGHBOURS);
        let (held, echoes) = neighbours.beside(|| {
            let mut held: Vec<Socket> = (0..3000).map(|_| Socket::connect(server.public)).collect();
            until("2000 are turned away", PATIENCE, || (server.metric(REFUSED) >= 2000.0).then_some(()));
            let refused =
                held.iter_mut().filter_map(|socket| socket.has_answer().then(|| is_refused(socket)));
            let refused = refused.count();
            assert!((2000..=2100).contains(&refused), "{refused} of 3000 were turned away");
            // It goes on, and on.
            (0..5000).for_each(|_| is_refused(&mut Socket::connect(server.public)));
            held
        });
        println!("8000 connects: {echoes}");
        // Places that are free again are given again.
        drop(held);
        until("there is room again", PATIENCE, || {
            let mut socket = Socket::try_connect(server.public).ok()?;
            socket.try_send(harness::upgrade_request("/echo", "").as_bytes()).ok()?;
            (socket.response().ok()?.status == 101).then_some(())
        });
        server.stop();
    }
}

fn is_refused(socket: &mut Socket) {
    let response = socket.response().unwrap();
    assert_eq!((response.status, response.closes()), (503, true), "{response:?}");
}

/// A server that stops at once, however many are there.
fn start(setup: &Setup) -> Server {
    setup.clone().set("server.drain", "\"0s\"").start()
}

/// What a server has used up.
#[derive(Debug, Clone, Copy)]
struct Spent {
    received_bytes: f64,
    cpu: Duration,
    resident_bytes: u64,
}

impl Spent {
    fn by(server: &Server) -> Self {
        let received_bytes = server.metric(RECEIVED);
        Self { received_bytes, cpu: server.cpu_time(), resident_bytes: server.resident_bytes() }
    }

    fn until_now(self, server: &Server) -> Self {
        let (cpu, resident_bytes) = (server.cpu_time() - self.cpu, server.resident_bytes());
        Self {
            received_bytes: server.metric(RECEIVED) - self.received_bytes,
            cpu,
            resident_bytes: resident_bytes.saturating_sub(self.resident_bytes),
        }
    }
}

const NEIGHBOURS: usize = 50;
/// Bytes of a ping with the longest payload.
const PING: usize = 6 + 125;
const RECEIVED: &str = "vestibule_received_bytes_total";
const REFUSED: &str = "vestibule_refused_total";
/// Nothing taken for so long: the server does not read.
const STUCK: Duration = Duration::from_millis(500);

//! Peers that went without a word: the server notices, whatever it was in the middle of. Whoever sends
//! anything lives.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Deadline, Member, PATIENCE, Server, Setup, Socket, client_frame, gauge, until};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

#[test]
fn a_peer_behind_a_relay_that_swallows_all_is_cut_whatever_it_was_saying() {
    for setup in Setup::each() {
        cuts_the_silent(&setup);
    }
}

#[test]
fn epoll_cuts_the_silent_too() {
    cuts_the_silent(&Setup::epoll());
}

fn cuts_the_silent(setup: &Setup) {
    let server = start(setup);
    let relay = Relay::to(server.public);
    let mut silent: Vec<Socket> = SENTENCES
        .iter()
        .map(|(_, said)| {
            let mut socket = Socket::connect(relay.address);
            assert_eq!(socket.upgrade("/echo", "").status, 101);
            // Something whole, so that the sentence finds the parser where it has been before.
            socket.send(&client_frame(0x81, b"whole"));
            assert_eq!(socket.frame().unwrap().payload, b"whole");
            socket.send(said);
            socket
        })
        .collect();
    let mut member = Member::greeted(Socket::connect(relay.address), &server.token("ada"), "ada");
    member.join("r");
    server.await_metric(gauge::CONNECTIONS, (SENTENCES.len() + 1) as f64);
    let since = Deadline::within(PATIENCE);
    relay.swallow.store(true, Relaxed);
    until("all silent peers are cut", PATIENCE, || (server.metric(gauge::CONNECTIONS) == 0.0).then_some(()));
    let took = since.elapsed();
    println!("cut after {took:?}");
    assert!(took <= Duration::from_secs(3), "the last was cut after {took:?}; 2 s and a tick are promised");
    assert_eq!(server.metric(gauge::MEMBERS), 0.0, "a ghost is in the room");
    // A close frame was answered, and its sender had 2 s to hang up; all others were silent.
    assert_eq!(server.metric(SILENT), SENTENCES.len() as f64, "all but the one who closed, and the member");
    for (socket, (what, _)) in silent.iter_mut().zip(SENTENCES).take(SENTENCES.len() - 1) {
        assert!(!socket.has_answer(), "nothing comes through the relay to who stopped in {what}");
    }
    drop(relay);
    server.stop();
}

/// What a peer said last, and the words for it.
const SENTENCES: [(&str, &[u8]); 9] = [
    ("silence", b""),
    ("the first byte of a header", b"\x81"),
    ("a length", b"\x82\xfe\x01"),
    ("a mask", b"\x82\x85\x37\xfa"),
    ("a header without its payload", b"\x82\x85\x37\xfa\x21\x3d"),
    ("a payload", b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f"),
    ("a message's second frame", b"\x01\x81\x37\xfa\x21\x3d\x7f\x00\x83\x37\xfa\x21\x3d\x7f"),
    ("a ping amid a message", b"\x01\x81\x37\xfa\x21\x3d\x7f\x89\x85\x37\xfa\x21\x3d\x7f"),
    ("a close handshake", b"\x88\x82\x37\xfa\x21\x3d\x34\x12"),
];

#[test]
fn whoever_sends_anything_lives_with_a_pong_or_without() {
    let server = start(&Setup::new(2));
    let mut answers = Member::enter(&server, "answers");
    let mut talks = Member::enter(&server, "talks");
    let mut drips = Member::enter(&server, "drips");
    // A message that takes longer than any heartbeat, a byte at a time.
    drips.socket.send(b"\x81\xfe\x03\xe8\x37\xfa\x21\x3d");
    let clock = Deadline::within(PATIENCE);
    let (mut pings, mut dripped) = (0, 0);
    while clock.elapsed() < LONG {
        if let Ok(frame) = answers.socket.frame_within(Duration::from_millis(100)) {
            assert_eq!(frame.first, 0x89, "{frame:?}");
            pings += 1;
            answers.socket.send(&client_frame(0x8a, &frame.payload));
        }
        if clock.elapsed().as_millis() / 300 > dripped {
            dripped += 1;
            drips.socket.send(b"a");
            talks.say("{\"type\":\"ping\"}");
        }
    }
    assert!(pings >= 3, "{pings} pings in {LONG:?}: one after every second of silence");
    assert_eq!(server.metric(SILENT), 0.0);
    assert_eq!(server.metric(gauge::CONNECTIONS), 3.0, "none of them was cut");
    answers.lives();
    server.stop();
}

fn start(setup: &Setup) -> Server {
    let setup = setup.clone().set("heartbeat.interval", "\"1s\"").set("heartbeat.timeout", "\"1s\"");
    setup.set("server.drain", "\"0s\"").start()
}

/// Relays connections to one address, byte for byte, until it is told to swallow what comes, both ways, ends too.
struct Relay {
    address: SocketAddr,
    swallow: Arc<AtomicBool>,
}

impl Relay {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Self { address: listener.local_addr().unwrap(), swallow: Arc::default() };
        let swallow = relay.swallow.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let upstream = TcpStream::connect(server).unwrap();
                for (from, to) in [(&client, &upstream), (&upstream, &client)] {
                    to.set_nodelay(true).unwrap();
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let swallow = swallow.clone();
                    thread::spawn(move || relay_bytes(from, to, &swallow));
                }
            }
        });
        relay
    }
}

fn relay_bytes(mut from: TcpStream, mut to: TcpStream, swallow: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !swallow.load(Relaxed) && to.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
    if !swallow.load(Relaxed) {
        // It is gone already if this fails.
        let _ = to.shutdown(Shutdown::Write);
    }
}

const SILENT: &str = "vestibule_silent_total";
/// More than twice as long as a silent peer has.
const LONG: Duration = Duration::from_millis(4500);

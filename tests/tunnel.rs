//! WebSockets of the application's own, which pass through us, and what a stop does with what is under way.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{
    DRAIN, Deadline, End, Origin, PATIENCE, Server, Setup, Socket, refusal, until, upgrade_request,
};
use std::time::Duration;

/// What answers the sample handshake of RFC 6455.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn switching(fields: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n")
}

fn agreed() -> String {
    switching(&format!("Upgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n"))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n")
}

/// A tunnel's two ends.
fn tunnel(server: &Server, origin: &Origin) -> (Socket, Socket) {
    let mut client = Socket::connect(server.public);
    client.send(upgrade_request("/live", "").as_bytes());
    let (mut far, _) = origin.visit();
    far.send(agreed().as_bytes());
    assert_eq!(client.bodiless().unwrap().status, 101);
    (client, far)
}

#[test]
fn a_tunnel_begins_with_the_servers_word_and_bears_whatever_is_said() {
    for setup in [Setup::new(1), Setup::epoll()] {
        let origin = Origin::new();
        let server = setup.route("/", &[origin.address], "").start();
        let mut client = Socket::connect(server.public);
        client.send(upgrade_request("/live", "Sec-WebSocket-Protocol: chat\r\n").as_bytes());
        // Frames before the answer: nobody sees them before it.
        client.send(b"early");
        let (mut far, seen) = origin.visit();
        assert_eq!(seen.line(), "GET /live HTTP/1.1");
        assert_eq!(seen.field("upgrade"), Some("websocket"));
        assert_eq!(seen.field("connection"), Some("Upgrade"));
        assert_eq!(seen.field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(seen.field("sec-websocket-protocol"), Some("chat"));
        assert!(!far.has_answer() && !client.has_answer());
        far.send(agreed().replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\nwelcome").as_bytes());
        let response = client.bodiless().unwrap();
        assert_eq!((response.status, response.header("sec-websocket-accept")), (101, Some(ACCEPT)));
        assert_eq!(response.header("sec-websocket-protocol"), Some("chat"));
        assert!(response.header("upgrade").is_some() && response.header("connection").is_some());
        assert_eq!(client.exactly(7).unwrap(), b"welcome");
        assert_eq!(far.exactly(5).unwrap(), b"early");
        server.await_metric("vestibule_tunnels", 1.0);
        for n in 0..100_u32 {
            let said = vec![n as u8; 1 + 997 * n as usize];
            client.send(&said);
            assert!(far.exactly(said.len()).unwrap() == said);
            far.send(&said);
            assert!(client.exactly(said.len()).unwrap() == said);
        }
        // One side has said all it had to; the other not yet.
        client.finish();
        assert_eq!(far.end(), End::Fin);
        far.send(b"goodbye");
        assert_eq!(client.exactly(7).unwrap(), b"goodbye");
        drop(far);
        assert_eq!(client.end(), End::Fin);
        server.await_metric("vestibule_tunnels", 0.0);
        server.stop();
    }
}

#[test]
fn what_is_no_agreement_opens_no_tunnel() {
    let origin = Origin::new();
    let server = Setup::new(1).route("/", &[origin.address], "").start();
    let request = upgrade_request("/live", "");
    let good = agreed();
    for answer in [
        good.replace(ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOp="),
        good.replace("WebSocket", "h2c"),
        good.replace("Connection: Upgrade", "Connection: close"),
        switching("Upgrade: websocket\r\nConnection: Upgrade\r\n"),
        switching("") + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut client = Socket::connect(server.public);
        client.send(request.as_bytes());
        let (mut far, _) = origin.visit();
        far.send(answer.as_bytes());
        let (status, error) = refusal(&client.response().unwrap());
        assert_eq!((status, &error["code"]), (502, &"bad_gateway".into()), "{answer}");
        assert_ne!(far.end(), End::Silence, "{answer}");
    }
    // Any other answer is one, and HTTP goes on: what looked like frames is the next request.
    let mut client = Socket::connect(server.public);
    client.send((request.clone() + &get("/next")).as_bytes());
    let (mut far, _) = origin.visit();
    far.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(client.response().unwrap().status, 403);
    assert_eq!(far.request().unwrap().line(), "GET /next HTTP/1.1");
    far.answer("next");
    assert_eq!(client.response().unwrap().body, b"next");
    // What asks for something else, or not in due form, is a plain request.
    for (fields, is_there) in [
        ("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n", false),
        ("Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", false),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n", false),
    ] {
        client.send(get("/plain").replace("\r\n\r\n", &format!("\r\n{fields}\r\n")).as_bytes());
        let seen = far.request().unwrap();
        assert_eq!(
            (seen.field("upgrade").is_some(), seen.field("connection").is_some()),
            (is_there, is_there)
        );
        far.answer("plain");
        assert_eq!(client.response().unwrap().body, b"plain");
    }
    server.stop();
}

#[test]
fn a_tunnel_ends_with_either_side_or_in_silence() {
    let origin = Origin::new();
    let server = Setup::new(1)
        .route("/", &[origin.address], "tunnel_timeout = \"1s\"\nidle_timeout = \"300ms\"")
        .start();
    let (client, mut far) = tunnel(&server, &origin);
    client.reset();
    assert_ne!(far.end(), End::Silence);
    let (mut client, far) = tunnel(&server, &origin);
    far.reset();
    assert_ne!(client.end(), End::Silence);
    // Silent in both directions.
    let (mut client, mut far) = tunnel(&server, &origin);
    let begun = Deadline::within(PATIENCE);
    until("more than half of the time is over", PATIENCE, || {
        (begun.elapsed() > Duration::from_millis(600)).then_some(())
    });
    far.send(b"x");
    assert_eq!(client.exactly(1).unwrap(), b"x");
    assert_ne!(client.end(), End::Silence);
    assert_ne!(far.end(), End::Silence);
    assert!((1500..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    // Of one that has ended on one side, the other may not be silent for long.
    let (client, mut far) = tunnel(&server, &origin);
    let begun = Deadline::within(PATIENCE);
    client.finish();
    assert_eq!(far.end(), End::Fin);
    server.await_metric("vestibule_tunnels", 0.0);
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    // One that takes nothing holds nobody up for long.
    let (mut client, mut far) = tunnel(&server, &origin);
    while far.offer(&[7; 65_536]).is_some() {}
    assert_ne!(client.hear(), Err(End::Silence));
    server.await_metric("vestibule_tunnels", 0.0);
    server.stop();
}

#[test]
fn a_stop_waits_for_what_is_under_way_and_cuts_tunnels_at_its_end() {
    for setup in [Setup::new(2), Setup::epoll()] {
        let origin = Origin::new();
        let mut server = setup.route("/", &[origin.address], "").start();
        let (mut tunnelled, mut far) = tunnel(&server, &origin);
        let mut idle = Socket::connect(server.public);
        idle.send(get("/idle").as_bytes());
        origin.visit().0.answer("idle");
        assert_eq!(idle.response().unwrap().body, b"idle");
        let mut client = Socket::connect(server.public);
        client.send(get("/slow").as_bytes());
        let (mut slow, _) = origin.visit();
        let mut begun = Socket::connect(server.public);
        begun.send(get("/begun").as_bytes());
        let (mut streaming, _) = origin.visit();
        streaming.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
        assert_eq!(begun.bodiless().unwrap().status, 200);
        let stopping = Deadline::within(PATIENCE);
        server.terminate();
        server.await_log("stopping");
        // Nobody new comes; an idle connection is closed in a moment; what was said goes on.
        until("nobody is let in", PATIENCE, || {
            let Ok(mut visitor) = Socket::try_connect(server.public) else { return Some(()) };
            visitor.get("/vestibule.js").map_or(true, |answer| answer.status == 503).then_some(())
        });
        assert_ne!(idle.end(), End::Silence);
        assert!(stopping.elapsed() < DRAIN, "{:?}", stopping.elapsed());
        slow.answer("at last");
        let response = client.response().unwrap();
        assert_eq!(response.body, b"at last");
        assert!(response.closes());
        assert_eq!(client.end(), End::Fin);
        streaming.send(b"def");
        assert_eq!(begun.exactly(6).unwrap(), b"abcdef");
        far.send(b"still here");
        assert_eq!(tunnelled.exactly(10).unwrap(), b"still here");
        assert_ne!(begun.end(), End::Silence);
        assert_ne!(tunnelled.end(), End::Silence);
        assert_ne!(far.end(), End::Silence);
        let took = stopping.elapsed();
        assert!((DRAIN..DRAIN + Duration::from_millis(1500)).contains(&took), "{took:?}");
        assert_eq!(server.ends_within(Duration::from_secs(5)).code(), Some(0));
        assert!(server.log().contains("everybody is out"), "{}", server.log());
    }
}

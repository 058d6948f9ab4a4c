//! Clients that go away, or break the rules, while nobody reads them; and what a stop does with those.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Origin, PATIENCE, Server, Setup, Socket, until, upgrade_request};
use std::io::Read;
use std::thread;
use std::time::Duration;

const CONNECTIONS: &str = "vestibule_backend_connections";

/// A server behind us that is waited for long: what ends, ends for another reason.
fn behind(origin: &Origin, drain: &str) -> Server {
    let setup = Setup::new(1).set("server.drain", drain);
    setup.route("/", &[origin.address], "answer_timeout = \"60s\"\nidle_timeout = \"60s\"").start()
}

/// Sends until nothing more is taken for a moment.
fn fill(client: &mut Socket) {
    let piece = vec![b'x'; 64 << 10];
    let mut idle = 0;
    until("nothing more is taken", PATIENCE, || {
        let sent = client.offer(&piece).expect("a connection");
        idle = if sent == 0 { idle + 1 } else { 0 };
        (idle > 50).then_some(())
    });
}

#[test]
fn what_follows_a_malformed_chunk_is_never_a_request() {
    let origin = Origin::new();
    let server = behind(&origin, "\"2s\"");
    let body = "x".repeat(40_000);
    for fillers in 0..3 {
        // What it does not read of the first answers has the last one wait for it.
        let mut client = Socket::connect_narrow(server.public);
        let get = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n".repeat(fillers);
        let post = "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        client.send((get + post).as_bytes());
        let mut far = origin.accept();
        for _ in 0..=fillers {
            let head = far.request_head().expect("a request").head;
            far.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
            assert!(!head.contains("smuggled"));
        }
        let answered = server.metric("vestibule_sent_bytes_total");
        client.send(b"NOT-A-CHUNK\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let smuggled = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut stream, _) = client.into_parts();
                let mut all = Vec::new();
                // Whether it ends in order is not asked here.
                let _ = stream.read_to_end(&mut all);
            });
            let smuggled = until("the connection ends, or what is behind it comes", PATIENCE, || {
                if let Some(mut far) = origin.visitor() {
                    return far.request_head().ok().map(|request| request.head);
                }
                reader.is_finished().then(String::new)
            });
            let _ = reader.join();
            smuggled
        });
        assert_eq!(smuggled, "", "behind {fillers} answers, {answered} bytes");
    }
    server.stop();
}

#[test]
fn a_client_that_goes_while_its_server_takes_nothing_is_not_worked_for_any_more() {
    let origin = Origin::new();
    let server = behind(&origin, "\"2s\"");
    let mut client = Socket::connect(server.public);
    client.send(b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    let _far = origin.accept();
    fill(&mut client);
    // An end in order would stand behind what nobody takes.
    client.reset();
    server.await_metric(CONNECTIONS, 0.0);
    server.stop();
}

#[test]
fn a_client_that_goes_behind_much_that_it_sent_ahead_is_not_worked_for_any_more() {
    let origin = Origin::new();
    let server = behind(&origin, "\"2s\"");
    let mut client = Socket::connect(server.public);
    client.send(b"GET /p HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_far, _) = origin.visit();
    client.send(&vec![b'x'; 140_000]);
    drop(client);
    server.await_metric(CONNECTIONS, 0.0);
    server.stop();
}

#[test]
fn a_body_that_stands_still_is_waited_for_no_longer_than_idle_timeout_however_much_came() {
    let origin = Origin::new();
    let server = Setup::new(1).route("/", &[origin.address], "idle_timeout = \"1s\"").start();
    let mut client = Socket::connect(server.public);
    client.send(b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.send(&[b'x'; 30_000]);
    let _far = origin.accept();
    assert_eq!(client.response_within(Duration::from_secs(9)).unwrap().status, 408);
    server.stop();
}

#[test]
fn a_stop_ends_what_nobody_reads_at_the_end_of_its_window() {
    let origin = Origin::new();
    let mut server = behind(&origin, "\"1s\"");
    // A tunnel whose client has ended, and whose server says nothing.
    let mut half = Socket::connect(server.public);
    half.send(upgrade_request("/live", "").as_bytes());
    let (mut far, _) = origin.visit();
    let agreed =
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    far.send(format!("HTTP/1.1 101 Switching Protocols\r\n{agreed}\r\n\r\n").as_bytes());
    assert_eq!(half.bodiless().unwrap().status, 101);
    half.finish();
    assert_eq!(far.end(), harness::End::Fin);
    // An upload that its server does not take.
    let mut stuck = Socket::connect(server.public);
    stuck.send(b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    let _taker = origin.accept();
    fill(&mut stuck);
    server.terminate();
    assert!(server.ends_within(PATIENCE).success());
    let log = server.log();
    assert!(log.contains("everybody is out"), "{log}");
}

//! Server-Sent Events by the socket: who gets a stream, what stands in it byte for byte, and how it ends.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{
    Deadline, End, Events, Member, PATIENCE, Response, Server, Setup, Socket, gauge, mint, now_s, until,
};
use serde_json::json;
use std::time::Duration;

const ORIGIN: &str = "https://app.example.com";

fn setup(workers: usize) -> Setup {
    Setup::new(workers).history("h:*", 100, "5m").set("auth.allowed_origins", &format!("[\"{ORIGIN}\"]"))
}

fn each() -> [Setup; 3] {
    [setup(1), setup(2), setup(2).set("server.driver", "\"epoll\"")]
}

/// A request and its answer, on a connection that is there.
fn ask(socket: &mut Socket, method: &str, target: &str, fields: &str) -> Response {
    socket.send(format!("{method} {target} HTTP/1.1\r\nHost: vestibule.test\r\n{fields}\r\n").as_bytes());
    let answer = if method == "HEAD" { socket.bodiless() } else { socket.response() };
    answer.expect("an answer")
}

fn listen(server: &Server, target: &str) -> Events {
    let joint = if target.contains('?') { '&' } else { '?' };
    Events::open(server, &format!("{target}{joint}token={}", server.token("ada")), "")
}

/// The id that a block bears.
fn id_of(block: &str) -> String {
    let id = block.lines().find_map(|line| line.strip_prefix("id: "));
    id.unwrap_or_else(|| panic!("no id: {block:?}")).to_owned()
}

/// The position so many publications behind another of the same epoch.
fn behind(position: &str, publications: u64) -> String {
    let (epoch, offset) = position.split_once('-').unwrap();
    format!("{epoch}-{}", offset.parse::<u64>().unwrap() + publications)
}

fn say(speaker: &mut Member, room: &str, event: &str, payload: &str) {
    let rest = format!("\"room\":\"{room}\",\"event\":\"{event}\",\"payload\":{payload}");
    assert_eq!(speaker.ask("broadcast", &rest)["type"], "ack");
}

#[test]
fn a_stream_is_what_the_page_says_byte_for_byte() {
    for setup in each() {
        let server = setup.start();
        let mut socket = Socket::connect(server.public);
        let token = server.token("ada");
        socket.send(format!("GET /events?room=h:1&token={token} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let head = String::from_utf8(socket.up_to(b"\r\n\r\n").unwrap()).unwrap();
        let lines: Vec<&str> = head.lines().collect();
        assert!(lines[1].starts_with("Date: ") && lines[6].starts_with("x-request-id: "), "{head}");
        let known = [0, 2, 3, 4, 5, 7].map(|line| lines[line]);
        let expected = [
            "HTTP/1.1 200 OK",
            "Content-Type: text/event-stream",
            "Transfer-Encoding: chunked",
            "cache-control: no-store",
            "x-accel-buffering: no",
            "Connection: close",
        ];
        assert_eq!(known, expected);
        assert_eq!(lines.len(), 9, "{head}");

        let first = String::from_utf8(socket.up_to(b"\n\n\r\n").unwrap()).unwrap();
        let (size, block) = first.split_once("\r\n").unwrap();
        assert_eq!(usize::from_str_radix(size, 16).unwrap(), block.len() - 2);
        let (retry, connected) = block.strip_prefix("retry: ").unwrap().split_once('\n').unwrap();
        assert!((1000..3000).contains(&retry.parse::<u32>().unwrap()), "{retry}");
        let connected =
            connected.strip_prefix("event: connected\ndata: {\"userId\":\"ada\",\"connection\":\"").unwrap();
        assert!(connected.ends_with("\"}\n\n\r\n"), "{connected:?}");

        let standing = String::from_utf8(socket.up_to(b"\n\n\r\n").unwrap()).unwrap();
        let position = id_of(&standing);
        assert_eq!(standing, format!("{:x}\r\nid: {position}\n\n\r\n", position.len() + 6));

        let mut bob = Member::enter(&server, "bob");
        say(&mut bob, "h:1", "say", "{\"n\":1}");
        let next = behind(&position, 1);
        let block = format!("event: say\ndata: {{\"n\":1}}\nid: {next}\n\n");
        let wire = format!("{:x}\r\n{block}\r\n", block.len());
        assert_eq!(String::from_utf8(socket.exactly(wire.len()).unwrap()).unwrap(), wire);
        drop((socket, bob));
        server.stop();
    }
}

#[test]
fn a_users_stream_is_that_of_the_users_room() {
    let server = setup(2).rooms(&[["user:{user}", "owner", "anyone"], ["*", "nobody", "anyone"]]).start();
    let token = server.token("ada b");
    let mut events = Events::open(&server, "/events/ada%20b", &format!("Authorization: Bearer {token}\r\n"));
    events.begins(1);
    let mut bob = Member::enter(&server, "bob");
    bob.broadcast("user:ada b", "1");
    assert_eq!(events.block(), "data: 1");
    let mut socket = Socket::connect(server.public);
    for target in ["/events/bob", "/events?room=user:ada+b&room=other"] {
        let refused = ask(&mut socket, "GET", target, &format!("Authorization: Bearer {token}\r\n"));
        assert_eq!(refused.status, 403, "{target}");
        assert!(String::from_utf8_lossy(&refused.body).contains("\"code\":\"forbidden\""));
    }
    drop((events, bob));
    server.stop();
}

#[test]
fn a_stream_of_several_rooms_names_them_and_bears_all_positions() {
    for setup in each() {
        let server = setup.start();
        let mut events = listen(&server, "/events?room=h:1&room=plain&room=h:2");
        let begun = events.begins(3);
        let token = id_of(&begun[2]);
        let places: Vec<&str> = token.split(',').collect();
        assert_eq!(places.len(), 3);
        let mut bob = Member::enter(&server, "bob");
        say(&mut bob, "h:2", "two", "2");
        let moved = format!("{},{},{}", places[0], places[1], behind(places[2], 1));
        assert_eq!(events.block(), format!("room: h:2\nevent: two\ndata: 2\nid: {moved}"));
        bob.broadcast("plain", "[\r1,\n2,\r\n3]");
        assert_eq!(events.block(), "room: plain\ndata: [\ndata: 1,\ndata: 2,\ndata: 3]");
        drop((events, bob));
        server.stop();
    }
}

#[test]
fn who_comes_back_with_the_last_id_is_sent_what_was_missed() {
    for setup in each() {
        let server = setup.start();
        let begun = listen(&server, "/events?room=h:1").begins(1);
        let position = id_of(&begun[0]);
        let mut bob = Member::enter(&server, "bob");
        for n in 0..3 {
            say(&mut bob, "h:1", "n", &n.to_string());
        }
        let target = format!("/events?room=h:1&token={}", server.token("ada"));
        let missed = |events: &mut Events, from: u64| {
            for n in from..3 {
                let id = behind(&position, n + 1);
                assert_eq!(events.block(), format!("event: n\ndata: {n}\nid: {id}"));
            }
        };
        let mut by_field =
            Events::open(&server, &target, &format!("Last-Event-ID: {}\r\n", behind(&position, 1)));
        assert_eq!(by_field.begins(1), [format!("id: {}", behind(&position, 1))]);
        missed(&mut by_field, 1);
        // The field wins over the parameter.
        let param = format!("{target}&last_event_id={position}");
        let mut by_param = Events::open(&server, &param, "");
        assert_eq!(by_param.begins(1), [format!("id: {position}")]);
        missed(&mut by_param, 0);
        let mut both = Events::open(&server, &param, &format!("Last-Event-ID: {}\r\n", behind(&position, 2)));
        both.begins(1);
        missed(&mut both, 2);
        let mut all = Events::open(&server, &target, "Last-Event-ID: earliest\r\n");
        all.begins(1);
        missed(&mut all, 0);
        drop((by_field, by_param, both, all, bob));
        server.stop();
    }
}

#[test]
fn a_place_that_is_not_held_or_cannot_be_read_is_a_gap() {
    for setup in each() {
        let server = setup.start();
        let position = id_of(&listen(&server, "/events?room=h:1").begins(1)[0]);
        let target = format!("/events?room=h:1&token={}", server.token("ada"));
        let gap =
            format!("event: gap\nid: {position}\ndata: {{\"room\":\"h:1\",\"position\":\"{position}\"}}");
        for id in ["00000000-0", "nonsense", "1-2,3-4", "00000001-99999999999999999999", "\u{e9}"] {
            let mut events = Events::open(&server, &target, &format!("Last-Event-ID: {id}\r\n"));
            assert_eq!(events.begins(1), std::slice::from_ref(&gap), "{id}");
        }
        server.stop();
    }
}

#[test]
fn who_was_told_to_stop_is_answered_204_whatever_the_token() {
    let server = setup(1).start();
    let mut socket = Socket::connect(server.public);
    for (target, fields) in [
        ("/events?room=a", "Last-Event-ID: close-4003\r\n"),
        ("/events/ada?token=no.token.atall", "Last-Event-ID: close-4001\r\n"),
        ("/events?last_event_id=close-4001", ""),
    ] {
        let answer = ask(&mut socket, "GET", target, fields);
        assert_eq!((answer.status, &answer.body[..]), (204, &b""[..]), "{target}");
    }
    server.stop();
}

#[test]
fn what_is_refused_says_why_and_leaves_the_connection_for_another_try() {
    let server = setup(1)
        .rooms(&[["open:*", "authenticated", "nobody"]])
        .set("limits.rooms_per_connection", "15")
        .start();
    let bearer = format!("Authorization: Bearer {}\r\n", server.token("ada"));
    let (long, many) = ("x".repeat(257), (0..17).map(|n| format!("room=open:{n}&")).collect::<String>());
    let mut socket = Socket::connect(server.public);
    for (target, fields, status, code) in [
        ("/events", &*bearer, 400, "rooms"),
        ("/events?room=", &bearer, 400, "rooms"),
        ("/events?room=open:a&room=open%3aa", &bearer, 400, "rooms"),
        ("/events?room=open:%0a", &bearer, 400, "rooms"),
        ("/events?room=%ff", &bearer, 400, "rooms"),
        (&*format!("/events?room={long}"), &bearer, 400, "rooms"),
        (&*format!("/events?{many}"), &bearer, 400, "rooms"),
        (&*format!("/events?{}", &many[..many.len() - 13]), &bearer, 400, "rooms"),
        ("/events/ada?room=open:a", &bearer, 400, "rooms"),
        ("/events?room=open:a", "", 401, "unauthorized"),
        ("/events?room=open:a&token=x", "", 401, "unauthorized"),
        ("/events?room=open:a&room=shut", &bearer, 403, "forbidden"),
        ("/events?room=open:a", "Origin: https://evil.example\r\n", 403, "origin"),
        ("/events/", &bearer, 404, "not_found"),
        ("/events/a/b", &bearer, 404, "not_found"),
    ] {
        let refused = ask(&mut socket, "GET", target, fields);
        let body: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!((refused.status, body["error"]["code"].as_str()), (status, Some(code)), "{target}");
        assert!(!refused.closes(), "{target}");
    }
    let refused = ask(&mut socket, "DELETE", "/events?room=open:a", &bearer);
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    // And then, on the same connection, a stream.
    Events::asked(socket, "/events?room=open:a", &bearer).begins(1);
    let mut socket = Socket::connect(server.public);
    let refused = ask(&mut socket, "GET", "/events?room=open:a", &format!("{bearer}Content-Length: 1\r\n"));
    assert!(refused.status == 400 && refused.closes(), "nobody reads the body");
    assert!(String::from_utf8_lossy(&refused.body).contains("\"code\":\"bad_request\""));
    server.stop();
}

#[test]
fn a_token_that_is_refused_is_401_where_a_websocket_would_be_closed() {
    let server = setup(1).set("auth.refuse", "\"close-4001\"").start();
    let expired = mint(&json!({ "sub": "ada", "exp": now_s() - 3600 }));
    let refused =
        ask(&mut Socket::connect(server.public), "GET", &format!("/events/ada?token={expired}"), "");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(server.metric("vestibule_unauthorized_total"), 1.0);
    server.stop();
}

#[test]
fn streams_are_where_the_configuration_says_or_nowhere() {
    let server = setup(1).set("sse.path", "\"/a/stream\"").start();
    let token = server.token("ada");
    let mut socket = Socket::connect(server.public);
    assert_eq!(ask(&mut socket, "GET", &format!("/events?room=h:1&token={token}"), "").status, 404);
    Events::asked(socket, &format!("/a/stream?room=h:1&token={token}"), "").begins(1);
    Events::open(&server, &format!("/a/stream/ada?token={token}"), "").begins(1);
    server.stop();
    let server = setup(1).set("sse.path", "\"\"").start();
    for path in ["/events?room=h:1", "/events/ada", "/ada", "/?room=h:1"] {
        assert_eq!(ask(&mut Socket::connect(server.public), "GET", path, "").status, 404, "{path}");
    }
    server.stop();
}

#[test]
fn head_is_answered_by_the_head_alone() {
    let server = setup(1).start();
    let mut socket = Socket::connect(server.public);
    let target = format!("/events?room=h:1&token={}", server.token("ada"));
    for _ in 0..2 {
        let head = ask(&mut socket, "HEAD", &target, "");
        assert_eq!(head.status, 200);
        let said = ["content-type", "cache-control", "content-length", "transfer-encoding"]
            .map(|name| head.header(name));
        assert_eq!(said, [Some("text/event-stream"), Some("no-store"), None, None]);
        assert!(!head.closes());
    }
    assert_eq!(ask(&mut socket, "HEAD", "/events?room=h:1", "").status, 401);
    assert_eq!(server.metric("vestibule_streams_total"), 0.0);
    server.stop();
}

#[test]
fn a_listed_page_may_read_every_answer_and_no_other_page_any() {
    let server = setup(1).start();
    let (mut socket, token) = (Socket::connect(server.public), server.token("ada"));
    let cors = |answer: &Response| {
        ["access-control-allow-origin", "access-control-allow-credentials", "vary"]
            .map(|name| answer.header(name).map(str::to_owned))
    };
    let listed = [ORIGIN, "true", "Origin"].map(|value| Some(value.to_owned()));
    let fields = format!("Origin: {ORIGIN}\r\n");
    for (method, target) in [
        ("HEAD", format!("/events/ada?token={token}")),
        ("OPTIONS", "/events/ada".to_owned()),
        ("POST", "/events/ada".to_owned()),
        ("GET", "/events/ada".to_owned()),
        ("GET", format!("/events?token={token}")),
        ("GET", "/events?last_event_id=close-4003".to_owned()),
    ] {
        assert_eq!(cors(&ask(&mut socket, method, &target, &fields)), listed, "{method} {target}");
    }
    let preflight = ask(&mut socket, "OPTIONS", "/events?room=x", &fields);
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        Some("authorization, last-event-id, cache-control")
    );
    for method in ["GET", "OPTIONS", "HEAD"] {
        let foreign = ask(&mut socket, method, "/events/ada", "Origin: https://evil.example\r\n");
        assert_eq!((foreign.status, cors(&foreign)), (403, [None, None, None]), "{method}");
    }
    let target = format!("/events?room=h:1&token={token}");
    let stream = Events::open(&server, &target, &fields);
    assert_eq!(cors(&stream.head), listed);
    drop(stream);
    server.stop();
}

#[test]
fn a_cookie_counts_where_the_page_is_known() {
    let server = setup(1).set("auth.cookie", "\"session\"").start();
    let cookie = format!("Cookie: session={}\r\n", server.token("ada"));
    for known in [format!("Origin: {ORIGIN}\r\n"), "Sec-Fetch-Site: same-origin\r\n".to_owned()] {
        Events::open(&server, "/events?room=h:1", &format!("{cookie}{known}")).begins(1);
    }
    let mut socket = Socket::connect(server.public);
    for unknown in ["", "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n"] {
        let refused = ask(&mut socket, "GET", "/events?room=h:1", &format!("{cookie}{unknown}"));
        assert_eq!(refused.status, 403, "{unknown}");
    }
    server.stop();
}

#[test]
fn over_http_1_0_blocks_come_bare_and_the_connections_end_is_the_streams() {
    for setup in each() {
        let mut server = setup.start();
        let mut socket = Socket::connect(server.public);
        let token = server.token("ada");
        socket.send(format!("GET /events?room=h:1&token={token} HTTP/1.0\r\nHost: a\r\n\r\n").as_bytes());
        let head = String::from_utf8(socket.up_to(b"\r\n\r\n").unwrap()).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nConnection: close\r\n"),
            "{head}"
        );
        assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
        let mut block = || String::from_utf8(socket.up_to(b"\n\n").unwrap()).unwrap();
        assert!(block().starts_with("retry: "));
        let position = id_of(&block());
        let mut bob = Member::enter(&server, "bob");
        say(&mut bob, "h:1", "say", "1");
        let id = behind(&position, 1);
        assert_eq!(block(), format!("room: h:1\nevent: say\ndata: 1\nid: {id}\n\n"));
        server.terminate();
        assert!(block().starts_with("retry: "));
        assert_eq!(socket.end(), End::Fin);
        drop((socket, bob));
        assert_eq!(server.ends_within(PATIENCE).code(), Some(0));
    }
}

#[test]
fn what_a_listener_says_is_not_heard_and_too_much_of_it_ends_the_stream() {
    for setup in each() {
        let server = setup.start();
        let mut events = listen(&server, "/events?room=h:1");
        events.begins(1);
        // It may take the connection for one that takes another request; nobody answers that.
        events.socket.send(b"GET /events/ada HTTP/1.1\r\nHost: a\r\n\r\n");
        events.socket.send(&[0; 16_000]);
        let mut bob = Member::enter(&server, "bob");
        bob.broadcast("h:1", "1");
        assert!(events.block().starts_with("data: 1\n"));
        events.socket.send(&[0; 1000]);
        assert_eq!(
            events.block(),
            "event: close\ndata: {\"code\":1008,\"reason\":\"a stream is not written to\"}"
        );
        events.ends();
        assert_eq!(server.metric("vestibule_violations_total"), 1.0);
        drop((events, bob));
        server.stop();
    }
}

#[test]
fn a_stream_ends_with_its_token_and_says_so() {
    for setup in each() {
        let server = setup.start();
        let token = mint(&json!({ "sub": "ada", "exp": now_s() + 2 }));
        let target = format!("/events?room=h:1&token={token}");
        let mut events = Events::open(&server, &target, "");
        events.begins(1);
        assert_eq!(events.block(), "event: close\ndata: {\"code\":4010,\"reason\":\"Token expired\"}");
        events.ends();
        drop(events);
        server.await_metric("vestibule_streams", 0.0);
        // A browser that comes back with the same is refused, and gives up.
        assert_eq!(ask(&mut Socket::connect(server.public), "GET", &target, "").status, 401);
        server.stop();
    }
}

#[test]
fn a_silent_listener_is_sent_comments_and_stays() {
    for setup in each() {
        let server = setup
            .set("sse.heartbeat", "\"1s\"")
            .set("heartbeat.interval", "\"1s\"")
            .set("heartbeat.timeout", "\"1s\"")
            .start();
        let mut events = listen(&server, "/events?room=h:1");
        events.begins(1);
        for _ in 0..3 {
            assert_eq!(events.block(), ":heartbeat");
        }
        assert_eq!(server.metric("vestibule_silent_total"), 0.0);
        assert_eq!(server.metric("vestibule_pings_total"), 0.0);
        drop(events);
        server.stop();
    }
}

#[test]
fn a_listener_that_takes_nothing_for_the_heartbeats_time_is_gone() {
    let server = setup(1)
        .set("heartbeat.interval", "\"1s\"")
        .set("heartbeat.timeout", "\"1s\"")
        .set("limits.lag", "\"64MiB\"")
        .start();
    let target = format!("/events?room=h:1&token={}", server.token("ada"));
    let mut events = Events::asked(Socket::connect_narrow(server.public), &target, "");
    events.begins(1);
    let mut bob = Member::enter(&server, "bob");
    let payload = format!("\"{}\"", "x".repeat(60_000));
    // More than the kernel holds for it, and much less than limits.lag.
    for _ in 0..200 {
        bob.broadcast("h:1", &payload);
    }
    let since = Deadline::within(PATIENCE);
    until("the stream is gone", PATIENCE, || {
        bob.lives();
        (server.metric("vestibule_streams") == 0.0).then_some(())
    });
    assert!(since.elapsed() < Duration::from_secs(8), "after {:?}", since.elapsed());
    assert_eq!(server.metric(gauge::TOO_SLOW), 0.0);
    server.stop();
}

#[test]
fn a_listener_that_falls_behind_is_told_after_whole_blocks() {
    for setup in each() {
        let server = setup.set("limits.lag", "\"256KiB\"").start();
        let target = format!("/events?room=h:1&room=b&token={}", server.token("ada"));
        let mut events = Events::asked(Socket::connect_narrow(server.public), &target, "");
        events.begins(2);
        let mut bob = Member::enter(&server, "bob");
        let payload = format!("\"{}\"", "x".repeat(60_000));
        until("the stream is too far behind", PATIENCE, || {
            bob.broadcast("b", &payload);
            (server.metric(gauge::TOO_SLOW) == 1.0).then_some(())
        });
        let told = loop {
            let block = events.block();
            if block != format!("room: b\ndata: {payload}") {
                break block;
            }
        };
        assert!(told.starts_with("event: close\ndata: {\"code\":4008,\"reason\":\""), "{told}");
        events.ends();
        server.stop();
    }
}

#[test]
fn streams_are_counted_apart_from_websockets() {
    let server = setup(2).start();
    let mut events: Vec<Events> = (0..3).map(|_| listen(&server, "/events?room=h:1")).collect();
    let bob = Member::enter(&server, "bob");
    events.iter_mut().for_each(|events| drop(events.begins(1)));
    server.await_metric(gauge::CONNECTIONS, 4.0);
    assert_eq!(server.metric("vestibule_streams"), 3.0);
    assert_eq!(server.metric("vestibule_streams_total"), 3.0);
    assert_eq!(server.metric("vestibule_receive_only_connections"), 1.0);
    assert_eq!(server.metric("vestibule_handshakes_total"), 1.0);
    drop((events, bob));
    server.await_metric(gauge::CONNECTIONS, 0.0);
    assert_eq!(server.metric("vestibule_streams"), 0.0);
    assert_eq!(server.metric("vestibule_streams_total"), 3.0);
    assert_eq!(server.metric("vestibule_ended_receive_only_total"), 1.0);
    server.stop();
}

#[test]
fn a_room_that_the_node_has_no_place_for_ends_the_stream_with_1013() {
    for setup in each() {
        let server = setup.set("limits.rooms", "1").start();
        let mut bob = Member::enter(&server, "bob");
        bob.join("taken");
        let mut events = listen(&server, "/events?room=other");
        let connected = events.block();
        assert!(connected.contains("event: connected"), "{connected}");
        let told = events.block();
        assert!(told.starts_with("event: close\ndata: {\"code\":1013,\"reason\":\""), "{told}");
        events.ends();
        drop((events, bob));
        server.stop();
    }
}

#[test]
fn a_drain_tells_each_listener_when_to_come_back_and_ends_its_stream_in_order() {
    for setup in each() {
        let mut server = setup.start();
        let mut events: Vec<Events> = (0..20).map(|_| listen(&server, "/events?room=h:1&room=b")).collect();
        events.iter_mut().for_each(|events| drop(events.begins(2)));
        let mut at_the_door = Socket::connect(server.public);
        let target = format!("/events?room=h:1&token={}", server.token("ada"));
        assert_eq!(ask(&mut at_the_door, "HEAD", &target, "").status, 200);
        server.terminate();
        until("the drain begins", PATIENCE, || (server.admin_get("/readyz").status == 503).then_some(()));
        let late = ask(&mut at_the_door, "GET", &target, "");
        let told = String::from_utf8(late.body.clone()).unwrap();
        let is_retry = |block: &str| {
            let ms = block.strip_prefix("retry: ").and_then(|ms| ms.parse::<u32>().ok());
            ms.is_some_and(|ms| (500..=5000).contains(&ms))
        };
        assert!(late.status == 200 && late.closes() && is_retry(told.trim_end()), "{late:?} {told}");
        let mut hints = Vec::new();
        for events in &mut events {
            let told = events.block();
            assert!(is_retry(&told), "{told}");
            events.ends();
            hints.push(told);
        }
        hints.sort();
        hints.dedup();
        assert!(hints.len() > 10, "they all come back at once: {hints:?}");
        drop((events, at_the_door));
        assert_eq!(server.ends_within(PATIENCE).code(), Some(0));
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}

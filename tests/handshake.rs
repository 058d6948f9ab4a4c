//! The handshake by the socket: who is let in, and with which words everybody else is turned away.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Closed, Deadline, End, PATIENCE, Response, Server, Setup, Socket};
use harness::{client_frame, mint, now_s, upgrade_request};
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn the_sample_handshake_of_the_rfc_gets_the_sample_answer() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut socket = Socket::connect(server.public);
        let response = socket.upgrade(&format!("/ws?token={}", server.token("ann")), "");
        assert_eq!(response.status, 101);
        assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(response.header("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
        assert_eq!(response.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
        assert_eq!(response.header("sec-websocket-extensions"), None, "none was offered");
        assert_greets(&mut socket, "ann");
        server.stop();
    }
}

#[test]
fn epoll_answers_the_sample_handshake_too() {
    let server = Setup::epoll().start();
    let mut socket = Socket::connect(server.public);
    let response = socket.upgrade(&format!("/ws?token={}", server.token("ann")), "");
    assert_eq!(response.status, 101);
    assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_greets(&mut socket, "ann");
    assert_eq!(Socket::connect(server.public).get("/nowhere").unwrap().status, 404);
    server.stop();
}

#[test]
fn header_names_and_tokens_match_in_any_case_and_among_others() {
    let server = Setup::new(1).start();
    let token = server.token("ann");
    let mut socket = Socket::connect(server.public);
    let request = format!(
        "GET /ws HTTP/1.1\r\nhOST:vestibule.test\r\nuPGRADE: WebSocket\r\nCONNECTION: keep-alive , UpGrade\r\n\
         SEC-WEBSOCKET-KEY:dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version:13\r\nauthorization: bearer {token}\r\n\r\n"
    );
    socket.send(request.as_bytes());
    assert_eq!(socket.response().unwrap().status, 101);
    assert_greets(&mut socket, "ann");
    server.stop();
}

#[test]
fn an_offered_extension_or_protocol_is_not_agreed_to() {
    let server = Setup::new(1).start();
    let mut socket = Socket::connect(server.public);
    let offers = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
                  Sec-WebSocket-Protocol: chat, superchat\r\n";
    let response = socket.upgrade("/echo", offers);
    assert_eq!(response.status, 101);
    assert_eq!(response.header("sec-websocket-extensions"), None);
    assert_eq!(response.header("sec-websocket-protocol"), None);
    server.stop();
}

#[test]
fn another_version_is_answered_426_with_the_version_spoken() {
    for setup in Setup::each() {
        let server = setup.start();
        for version in ["12", "8", "14", "013", "13, 8", "x", ""] {
            let request = upgrade_request("/ws", "").replace(": 13\r\n", &format!(": {version}\r\n"));
            let response = answer(&server, &request);
            assert_eq!(response.status, 426, "version {version:?}: {response:?}");
            assert_eq!(response.header("sec-websocket-version"), Some("13"));
            assert_refusal(&response);
        }
        server.stop();
    }
}

#[test]
fn a_handshake_with_a_broken_key_is_a_bad_request() {
    for setup in Setup::each() {
        let server = setup.start();
        let keys = [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZSE=",
            "dGhl IHNhbXBsZSBub25jZQ==",
            "!GhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        ];
        for key in keys {
            let request = upgrade_request("/ws", "").replace("dGhlIHNhbXBsZSBub25jZQ==", key);
            let response = answer(&server, &request);
            assert_eq!(response.status, 400, "key {key:?}: {response:?}");
            assert_refusal(&response);
        }
        server.stop();
    }
}

#[test]
fn an_unknown_path_is_404_and_another_method_405() {
    for setup in Setup::each() {
        let server = setup.start();
        for path in
            ["/", "/wss", "/ws/", "/WS", "/socket.io/", "/events/a/b", "/healthz", "/metrics", "/api/publish"]
        {
            let response = answer(&server, &upgrade_request(path, ""));
            assert_eq!(response.status, 404, "{path}: {response:?}");
            assert_refusal(&response);
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let request = upgrade_request("/ws", "").replace("GET ", &format!("{method} "));
            let response = answer(&server, &request);
            assert_eq!(response.status, 405, "{method}: {response:?}");
            assert!(response.header("allow").unwrap().split(", ").any(|m| m == "GET"), "{response:?}");
            assert_refusal(&response);
        }
        server.stop();
    }
}

#[test]
fn a_head_beyond_the_limit_is_431_and_one_at_the_limit_is_read() {
    for setup in Setup::each() {
        let server = setup.set("limits.head", "\"4KiB\"").start();
        let bare = upgrade_request("/echo", "X-Fill: \r\n").len();
        let filled = |length: usize| upgrade_request("/echo", &format!("X-Fill: {}\r\n", "a".repeat(length)));
        assert_eq!(answer(&server, &filled(4096 - bare)).status, 101, "4096 bytes");
        let response = answer(&server, &filled(4096 - bare + 1));
        assert_eq!(response.status, 431, "4097 bytes: {response:?}");
        assert_refusal(&response);
        let mut socket = Socket::connect(server.public);
        socket.send(b"GET /ws HTTP/1.1\r\nX-Fill: ");
        // A line without an end is refused as soon as it is too long, and what is still sent is not stored.
        while socket.try_send(&[b'a'; 1024]).is_ok() && !socket.has_answer() {}
        assert_eq!(socket.response().unwrap().status, 431);
        server.stop();
    }
}

#[test]
fn only_listed_origins_pass_and_none_at_all_passes() {
    for setup in Setup::each() {
        let server = setup.set("auth.allowed_origins", "[\"https://app.example.com\"]").start();
        let path = format!("/ws?token={}", server.token("ann"));
        let refused = [
            "https://app.example.com.evil.test",
            "https://app.example.com:444",
            "http://app.example.com",
            "https://app.example.com/",
            "https://evil.test",
            "null",
            "",
        ];
        for origin in refused {
            let response = answer(&server, &upgrade_request(&path, &format!("Origin: {origin}\r\n")));
            assert_eq!(response.status, 403, "{origin:?}: {response:?}");
            assert_refusal(&response);
        }
        let twice = "Origin: https://app.example.com\r\nOrigin: https://evil.test\r\n";
        let status = answer(&server, &upgrade_request(&path, twice)).status;
        assert!(matches!(status, 400 | 403), "two origins: {status}");
        for allowed in ["Origin: https://app.example.com\r\n", ""] {
            assert_eq!(answer(&server, &upgrade_request(&path, allowed)).status, 101, "{allowed:?}");
        }
        server.stop();
    }
}

#[test]
fn without_a_good_token_the_upgrade_completes_and_4001_says_why() {
    for setup in Setup::each() {
        let server = setup.start();
        for (what, extra) in bad_credentials() {
            let mut socket = Socket::connect(server.public);
            let response = socket.upgrade("/ws", &extra);
            assert_eq!(response.status, 101, "{what}: {response:?}");
            let closed = socket.closed();
            let unauthorized = Closed { code: Some(4001), reason: "Unauthorized".to_owned() };
            assert_eq!(closed, unauthorized, "{what}");
        }
        server.stop();
    }
}

#[test]
fn an_expired_token_is_closed_with_4010_so_that_the_client_fetches_a_fresh_one() {
    for setup in Setup::each() {
        let server = setup.start();
        for ago in [3600, 120] {
            let token = mint(&json!({ "sub": "ann", "exp": now_s() - ago }));
            let mut socket = Socket::connect(server.public);
            assert_eq!(socket.upgrade(&format!("/ws?token={token}"), "").status, 101);
            assert_eq!(socket.closed().code, Some(4010), "expired {ago} s ago");
        }
        // Who signed it is asked first: a forged token does not learn that it is late.
        let expired = mint(&json!({ "sub": "ann", "exp": now_s() - 3600 }));
        let forged = format!("{}AAAA", &expired[..expired.len() - 4]);
        let mut socket = Socket::connect(server.public);
        assert_eq!(socket.upgrade(&format!("/ws?token={forged}"), "").status, 101);
        assert_eq!(socket.closed().code, Some(4001));
        server.stop();
    }
}

#[test]
fn in_mode_http_401_a_bad_token_is_refused_before_the_upgrade() {
    for setup in Setup::each() {
        let server = setup.set("auth.refuse", "\"http-401\"").start();
        for (what, extra) in bad_credentials() {
            let response = answer(&server, &upgrade_request("/ws", &extra));
            assert_eq!(response.status, 401, "{what}: {response:?}");
            assert!(response.header("www-authenticate").is_some(), "RFC 9110 section 15.5.2: {response:?}");
            assert_refusal(&response);
        }
        server.stop();
    }
}

#[test]
fn the_token_is_taken_from_the_header_or_from_the_query() {
    for setup in Setup::each() {
        let server = setup.start();
        let token = server.token("ann");
        let header = format!("Authorization: Bearer {token}\r\n");
        let encoded = token.replace('.', "%2E");
        let places = [
            ("/ws".to_owned(), header.as_str()),
            (format!("/ws?token={token}"), ""),
            (format!("/ws?token={encoded}"), ""),
            (format!("/ws?room=a&token={token}&b=c"), ""),
            (format!("/ws?token={token}"), header.as_str()),
        ];
        for (path, extra) in places {
            let mut socket = Socket::connect(server.public);
            assert_eq!(socket.upgrade(&path, extra).status, 101);
            assert_greets(&mut socket, "ann");
        }
        let log = server.log();
        let signature = token.rsplit('.').next().unwrap();
        assert!(!log.contains(signature), "a token is never logged: {log}");
        server.stop();
    }
}

#[test]
fn two_tokens_that_differ_are_refused() {
    let server = Setup::new(1).start();
    let mut socket = Socket::connect(server.public);
    let header = format!("Authorization: Bearer {}\r\n", server.token("eve"));
    let response = socket.upgrade(&format!("/ws?token={}", server.token("ann")), &header);
    if response.status == 101 {
        assert_eq!(socket.closed().code, Some(4001));
    } else {
        assert!(matches!(response.status, 400 | 401), "{response:?}");
    }
    server.stop();
}

#[test]
fn mode_none_lets_everybody_in_as_anonymous() {
    let open = Setup::new(1).set("auth.mode", "\"none\"").unset("auth.hs256_secret");
    let server = open.rooms(&[["*", "anyone", "anyone"]]).start();
    let mut socket = Socket::connect(server.public);
    assert_eq!(socket.upgrade("/ws", "").status, 101);
    assert_greets(&mut socket, "anonymous");
    server.stop();
}

#[test]
fn frames_in_the_same_segment_as_the_head_are_kept() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut segment = upgrade_request("/echo", "").into_bytes();
        segment.extend(client_frame(0x81, b"first"));
        segment.extend(client_frame(0x82, b"second"));
        let third = client_frame(0x81, b"third");
        segment.extend(&third[..3]);
        let mut socket = Socket::connect(server.public);
        socket.send(&segment);
        assert_eq!(socket.response().unwrap().status, 101);
        assert_eq!(socket.frame().unwrap().text(), "first");
        let second = socket.frame().unwrap();
        assert_eq!((second.first, second.payload.as_slice()), (0x82, b"second".as_slice()));
        socket.send(&third[3..]);
        assert_eq!(socket.frame().unwrap().text(), "third");

        // The same on the path with rooms, where identity stands between head and frames.
        let mut segment = upgrade_request(&format!("/ws?token={}", server.token("ann")), "").into_bytes();
        segment.extend(client_frame(0x81, b"{\"type\":\"join\",\"room\":\"r\",\"id\":1}"));
        let mut socket = Socket::connect(server.public);
        socket.send(&segment);
        assert_eq!(socket.response().unwrap().status, 101);
        assert_greets(&mut socket, "ann");
        assert_eq!(socket.frame().unwrap().text(), "{\"type\":\"ack\",\"id\":1}");
        server.stop();
    }
}

#[test]
fn a_head_may_come_byte_by_byte() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut socket = Socket::connect(server.public);
        for byte in upgrade_request("/echo", "").bytes() {
            socket.send(&[byte]);
        }
        assert_eq!(socket.response().unwrap().status, 101);
        socket.send_text("hello");
        assert_eq!(socket.frame().unwrap().text(), "hello");
        server.stop();
    }
}

#[test]
fn a_slow_head_is_gone_at_its_deadline_whatever_it_drips() {
    for setup in Setup::each() {
        let server = setup.set("limits.head_deadline", "\"1s\"").start();
        // Three ways to be slow: to say nothing, to stop in the middle, to drip a header for ever.
        for (opening, drips) in [("", false), ("GET /ws HT", false), ("GET /ws HTTP/1.1\r\nX-Slow: ", true)] {
            let begun = Deadline::within(PATIENCE);
            let mut socket = Socket::connect(server.public);
            socket.send(opening.as_bytes());
            let end = loop {
                match socket.response_within(Duration::from_millis(100)) {
                    Err(End::Silence) if drips => drop(socket.try_send(b"a")),
                    Err(End::Silence) if !begun.passed() => {}
                    Err(end) => break end,
                    Ok(response) => {
                        assert_eq!(response.status, 408, "{opening:?}");
                        break socket.end();
                    }
                }
            };
            let lasted = begun.elapsed();
            assert!(matches!(end, End::Fin | End::Reset), "{opening:?}: {end:?}");
            let window = Duration::from_millis(900)..Duration::from_millis(2000);
            assert!(window.contains(&lasted), "{opening:?} lasted {lasted:?}, the deadline is 1 s");
        }
        server.stop();
    }
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut socket = Socket::connect(server.public);
        for _ in 0..2 {
            let response = socket.get("/nowhere").unwrap();
            assert_eq!(response.status, 404);
            assert!(!response.closes(), "HTTP/1.1 keeps a connection: {response:?}");
        }
        assert_eq!(socket.upgrade("/echo", "").status, 101);
        socket.send_text("hello");
        assert_eq!(socket.frame().unwrap().text(), "hello");
        server.stop();
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_up_to_a_close() {
    let server = Setup::new(1).start();
    let mut socket = Socket::connect(server.public);
    socket.send(
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\
          GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(socket.response().unwrap().status, 404);
    assert_eq!(socket.response().unwrap().status, 405);
    let last = socket.response().unwrap();
    assert_eq!(last.status, 404);
    assert!(last.closes(), "asked to close, it says so: {last:?}");
    socket.end();
    server.stop();
}

#[test]
fn a_connection_beyond_the_limit_is_turned_away_and_let_in_when_another_leaves() {
    for setup in Setup::each() {
        let server = setup.set("limits.connections", "10").start();
        let mut guests: Vec<Socket> = Vec::new();
        for _ in 0..10 {
            let mut socket = Socket::connect(server.public);
            assert_eq!(socket.upgrade("/echo", "").status, 101);
            guests.push(socket);
        }
        assert!(!is_let_in(&server), "an eleventh");
        for guest in &mut guests {
            guest.send_text("hello");
            assert_eq!(guest.frame().unwrap().text(), "hello");
        }
        guests.pop();
        harness::until("a place becomes free", PATIENCE, || is_let_in(&server).then_some(()));
        server.stop();
    }
}

/// Whether a fresh connection gets its upgrade; if not it must be refused with 503 or closed.
fn is_let_in(server: &Server) -> bool {
    let mut socket = Socket::connect(server.public);
    if socket.try_send(upgrade_request("/echo", "").as_bytes()).is_err() {
        return false;
    }
    match socket.response() {
        Ok(response) if response.status == 101 => true,
        Ok(response) => {
            assert_eq!(response.status, 503, "{response:?}");
            false
        }
        Err(end) => {
            assert_ne!(end, End::Silence, "neither in nor out");
            false
        }
    }
}

/// Header lines that must not let anybody in, and what is wrong with them.
fn bad_credentials() -> Vec<(&'static str, String)> {
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let claims = |claims: Value| bearer(&mint(&claims));
    let good = mint(&json!({ "sub": "ann", "exp": now_s() + 3600 }));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let other = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDB9.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    vec![
        ("no token", String::new()),
        ("an empty token", bearer("")),
        ("no token at all but words", bearer("let me in")),
        ("a signature of zeros", bearer(other)),
        ("a signature cut off", bearer(&format!("{signed}."))),
        ("a payload changed", bearer(&format!("{header}.{}.{signature}", payload.replace('J', "K")))),
        // {"alg":"none","typ":"JWT"}
        ("algorithm none", bearer(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}."))),
        ("no exp", claims(json!({ "sub": "ann" }))),
        ("exp as a string", claims(json!({ "sub": "ann", "exp": (now_s() + 3600).to_string() }))),
        ("no sub", claims(json!({ "exp": now_s() + 3600 }))),
        ("sub as a number", claims(json!({ "sub": 7, "exp": now_s() + 3600 }))),
        ("sub empty", claims(json!({ "sub": "", "exp": now_s() + 3600 }))),
        ("rooms as a string", claims(json!({ "sub": "ann", "exp": now_s() + 3600, "rooms": "*" }))),
        ("nbf in the future", claims(json!({ "sub": "ann", "exp": now_s() + 7200, "nbf": now_s() + 3600 }))),
        ("another scheme", format!("Authorization: Basic {good}\r\n")),
    ]
}

/// The answer to a request on a connection of its own.
fn answer(server: &Server, request: &str) -> Response {
    let mut socket = Socket::connect(server.public);
    socket.send(request.as_bytes());
    socket.response().unwrap_or_else(|end| panic!("no answer but {end:?} to {request:?}"))
}

/// A refusal has a short JSON body that says its length and type.
fn assert_refusal(response: &Response) {
    assert!(response.header("content-length").is_some(), "{response:?}");
    assert!(response.header("content-type").unwrap().starts_with("application/json"), "{response:?}");
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert!(body.is_object() && response.body.len() < 512, "{body}");
}

/// The first message of a connection names the user.
fn assert_greets(socket: &mut Socket, user: &str) {
    let greeting: Value = serde_json::from_str(socket.frame().unwrap().text()).unwrap();
    assert_eq!(greeting["type"], "connected");
    assert_eq!(greeting["userId"], user);
    assert!(greeting["connection"].is_string() && greeting["shard"].is_u64(), "{greeting}");
}

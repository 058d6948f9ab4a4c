//! Requests handed on to servers behind us: what they are sent, what their answers become, and what of it all does not
//! get through. The servers do as each test says, byte by byte.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Deadline, End, Origin, PATIENCE, Server, Setup, Socket, refusal, upgrade_request};
use std::thread;

/// One server for everything, and a short patience with it.
fn behind(origin: &Origin) -> Server {
    Setup::new(1).route("/", &[origin.address], QUICK).start()
}

const QUICK: &str = "answer_timeout = \"1s\"\nidle_timeout = \"1s\"";

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /form HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n{body}")
}

/// Sends bytes, and what they come to at the server and at the client, if it answers `answer` there.
fn exchange(server: &Server, origin: &Origin, request: &str, answer: &str) -> (harness::Request, Socket) {
    let mut client = Socket::connect(server.public);
    client.send(request.as_bytes());
    let (mut socket, seen) = origin.visit();
    socket.send(answer.as_bytes());
    (seen, client)
}

#[test]
fn a_request_reaches_the_server_as_it_was_meant() {
    for setup in [Setup::new(1), Setup::epoll()] {
        let origin = Origin::new();
        let server = setup.route("/", &[origin.address], "").start();
        let fields = "Cookie: a=1\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                      TE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nForwarded: for=6.6.6.6\r\n\
                      X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\
                      X-Request-Id: mine\r\nVia: 1.0 other\r\nAccept: */*\r\ncookie: b=2\r\n";
        let request = get("/a/../b//%7euser%2fx?q=%7e&a=../", fields);
        let (seen, mut client) = exchange(&server, &origin, &request, "HTTP/1.1 204 No Content\r\n\r\n");
        let id = seen.field("x-request-id").unwrap().to_owned();
        assert_eq!(
            seen.head,
            format!(
                "GET /b/~user%2Fx?q=%7e&a=../ HTTP/1.1\r\nhost: shop.test\r\ncookie: a=1\r\ncookie: b=2\r\n\
                 via: 1.0 other\r\naccept: */*\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\
                 X-Forwarded-Host: shop.test\r\nX-Request-Id: {id}\r\nVia: 1.1 vestibule\r\n\r\n"
            )
        );
        let response = client.bodiless().unwrap();
        assert_eq!((response.status, response.header("x-request-id")), (204, Some(&*id)));
        assert_ne!(id, "mine");
        let log = server.await_log("answered by a backend");
        assert!(log.contains("path=/b/~user…") || log.contains("path=/b/…"), "{log}");
        assert!(!log.contains("q=%7e"), "no query is logged");
        server.stop();
    }
}

#[test]
fn only_a_trusted_proxy_says_whence_a_request_came() {
    let origin = Origin::new();
    let server = Setup::new(1)
        .set("server.trusted_proxies", "[\"127.0.0.1/32\"]")
        .route("/", &[origin.address], "")
        .start();
    let fields =
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n";
    let (seen, _) = exchange(&server, &origin, &get("/", fields), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(seen.field("x-forwarded-for"), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("x-forwarded-host"), Some("shop.example"));
    server.stop();
}

#[test]
fn the_longest_route_wins_and_ours_come_first() {
    let (api, shop) = (Origin::new(), Origin::new());
    let server = Setup::new(1).route("/", &[shop.address], "").route("/api", &[api.address], "").start();
    for (path, origin, other) in [
        ("/", &shop, &api),
        ("/api", &api, &shop),
        ("/api/x", &api, &shop),
        ("/%61pi/x", &api, &shop),
        ("/x/../api", &api, &shop),
        ("//api/", &api, &shop),
        ("/apix", &shop, &api),
        ("/API", &shop, &api),
    ] {
        let (_, mut client) = exchange(&server, origin, &get(path, ""), "HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(client.bodiless().unwrap().status, 204, "{path}");
        assert!(other.visitor().is_none(), "{path}");
    }
    let mut client = Socket::connect(server.public);
    assert_eq!(client.upgrade("/%65cho", "").status, 101, "what is ours is, however it is spelled");
    assert_eq!(Socket::connect(server.public).get("/x/../events").unwrap().status, 401);
    assert!(api.visitor().is_none() && shop.visitor().is_none());
    server.stop();
}

#[test]
fn bodies_are_framed_anew() {
    let origin = Origin::new();
    let server = behind(&origin);
    let chunked = "3;name=\"v\"\r\nabc\r\n00000002\r\nde\r\n0\r\nTrailer: x\r\n\r\n";
    for (fields, body, framing, wanted) in [
        ("Content-Length: 5\r\n", "abcde", ("content-length", Some("5")), "abcde"),
        ("Content-Length: 0\r\n", "", ("content-length", Some("0")), ""),
        ("Transfer-Encoding: chunked\r\n", chunked, ("transfer-encoding", Some("chunked")), "abcde"),
        ("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n", ("transfer-encoding", Some("chunked")), ""),
    ] {
        let (seen, mut client) =
            exchange(&server, &origin, &post(fields, body), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(seen.field(framing.0), framing.1, "{}", seen.head);
        assert_eq!(seen.body, wanted.as_bytes());
        assert_eq!(client.response().unwrap().body, b"ok");
        // And the next request is where the body ended.
        client.send(get("/next", "").as_bytes());
        let (mut socket, seen) = origin.visit();
        assert_eq!(seen.line(), "GET /next HTTP/1.1");
        socket.answer("next");
        assert_eq!(client.response().unwrap().body, b"next");
    }
    server.stop();
}

#[test]
fn an_answer_is_framed_as_its_client_knows_it() {
    let origin = Origin::new();
    let server = behind(&origin);
    let ended = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde";
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n";
    let length =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Hop: 1\r\nConnection: x-hop\r\nKeep-Alive: a\r\n\r\nabcde";
    let old = "HTTP/1.0 200 OK\r\n\r\nabcde";
    for answer in [ended, chunked, length, old] {
        for version in ["1.1", "1.0"] {
            let request = format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n");
            let mut client = Socket::connect(server.public);
            client.send(request.as_bytes());
            let (mut socket, _) = origin.visit();
            socket.send(answer.as_bytes());
            drop(socket);
            let response = client.bodiless().unwrap();
            assert!(response.header("x-hop").is_none() && response.header("keep-alive").is_none());
            assert_eq!(
                response.header("via"),
                Some(if answer == old { "1.0 vestibule" } else { "1.1 vestibule" })
            );
            assert!(response.header("date").is_some() && response.header("x-request-id").is_some());
            assert_eq!(response.closes(), version == "1.0", "{response:?}");
            match (response.header("content-length"), response.header("transfer-encoding")) {
                (Some("5"), None) => assert_eq!(client.exactly(5).unwrap(), b"abcde"),
                (None, Some("chunked")) if version == "1.1" => {
                    assert_eq!(client.chunked_body().unwrap(), b"abcde");
                }
                (None, None) if version == "1.0" => assert_eq!(client.exactly(5).unwrap(), b"abcde"),
                _ => panic!("{response:?}"),
            }
            if version == "1.0" {
                assert_eq!(client.end(), End::Fin);
            } else {
                assert!(!client.has_answer());
            }
        }
    }
    server.stop();
}

#[test]
fn answers_without_a_body_have_none_and_interim_ones_are_handed_on() {
    let origin = Origin::new();
    let server = behind(&origin);
    for (method, answer, status, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200, Some("1000")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, None),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n",
            304,
            Some("1000"),
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
    ] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (_, mut client) = exchange(&server, &origin, &request, answer);
        let response = client.bodiless().unwrap();
        assert_eq!((response.status, response.header("content-length")), (status, length));
        client.send(get("/next", "").as_bytes());
        let (mut socket, seen) = origin.visit();
        assert_eq!(seen.line(), "GET /next HTTP/1.1");
        socket.answer("next");
        assert_eq!(client.response().unwrap().body, b"next");
    }
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let answer = format!("{hints}HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    let (_, mut client) = exchange(&server, &origin, &get("/", ""), &answer);
    let response = client.bodiless().unwrap();
    assert_eq!((response.status, response.header("link")), (103, Some("</a.css>")));
    assert_eq!(client.response().unwrap().status, 200, "who did not ask whether to go on is not told");
    let (_, mut client) = exchange(&server, &origin, "GET / HTTP/1.0\r\nHost: a\r\n\r\n", &answer);
    assert_eq!(client.response().unwrap().status, 200, "HTTP/1.0 has no interim answers");
    server.stop();
}

#[test]
fn who_asks_whether_to_send_its_body_is_told_by_the_server_or_by_us() {
    let origin = Origin::new();
    let server = Setup::new(1).route("/", &[origin.address], "").start();
    let request = post("Expect: 100-continue\r\nContent-Length: 4\r\n", "");
    // By the server.
    let mut client = Socket::connect(server.public);
    client.send(request.as_bytes());
    let mut socket = origin.accept();
    assert_eq!(socket.request_head().unwrap().field("expect"), Some("100-continue"));
    assert!(!client.has_answer() && !socket.has_answer());
    socket.send(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.bodiless().unwrap().status, 100);
    client.send(b"body");
    assert_eq!(socket.exactly(4).unwrap(), b"body");
    socket.answer("thanks");
    assert_eq!(client.response().unwrap().body, b"thanks");
    // By us, once the server has had its second; what it says then is not repeated.
    let begun = Deadline::within(PATIENCE);
    client.send(request.as_bytes());
    socket.request_head().unwrap();
    assert_eq!(client.bodiless().unwrap().status, 100);
    assert!((900..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    client.send(b"body");
    assert_eq!(socket.exactly(4).unwrap(), b"body");
    socket.send(b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.answer("thanks");
    assert_eq!(client.response().unwrap().body, b"thanks");
    // By nobody: the answer is there before, and nobody knows what comes next on this connection.
    client.send(request.as_bytes());
    socket.request_head().unwrap();
    socket.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    let response = client.response().unwrap();
    assert!(response.status == 417 && response.closes(), "{response:?}");
    assert_eq!(client.end(), End::Fin);
    // Who does not wait is not held up.
    let mut client = Socket::connect(server.public);
    client.send(post("Expect: 100-continue\r\nContent-Length: 4\r\n", "body").as_bytes());
    let (mut socket, seen) = origin.visit();
    assert_eq!(seen.body, b"body");
    socket.answer("thanks");
    assert_eq!(client.response().unwrap().body, b"thanks");
    server.stop();
}

#[test]
fn an_early_answer_is_handed_on_and_a_little_of_the_body_passed_over() {
    let origin = Origin::new();
    let server = behind(&origin);
    let early = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
    for (length, is_kept) in [(60_000, true), (200_000, false)] {
        let mut client = Socket::connect(server.public);
        client.send(post(&format!("Content-Length: {length}\r\n"), "").as_bytes());
        let mut socket = origin.accept();
        socket.request_head().unwrap();
        socket.send(early.as_bytes());
        let response = client.response().unwrap();
        assert_eq!((response.status, &*response.body), (413, &b"no"[..]));
        // It may go on, for it does not know yet.
        let _ = client.try_send(&vec![b'x'; length]);
        if is_kept {
            client.send(get("/next", "").as_bytes());
            let (mut socket, seen) = origin.visit();
            assert_eq!(seen.line(), "GET /next HTTP/1.1");
            socket.answer("next");
            assert_eq!(client.response().unwrap().body, b"next");
        } else {
            assert_ne!(client.end(), End::Silence);
        }
        assert_ne!(socket.end(), End::Silence, "the server's connection is not used again");
    }
    server.stop();
}

#[test]
fn a_client_that_goes_is_not_worked_for_any_more() {
    let origin = Origin::new();
    let server = Setup::new(1).route("/", &[origin.address], "answer_timeout = \"60s\"").start();
    // While it waits for the answer.
    let mut client = Socket::connect(server.public);
    client.send(get("/", "").as_bytes());
    let (mut socket, _) = origin.visit();
    drop(client);
    assert_eq!(socket.end(), End::Fin);
    // While it sends its body.
    let mut client = Socket::connect(server.public);
    client.send(post("Content-Length: 10\r\n", "abc").as_bytes());
    let mut socket = origin.accept();
    socket.request_head().unwrap();
    assert_eq!(socket.exactly(3).unwrap(), b"abc");
    client.reset();
    assert_ne!(socket.end(), End::Silence);
    // While it is answered.
    let mut client = Socket::connect(server.public);
    client.send(get("/", "").as_bytes());
    let (mut socket, _) = origin.visit();
    socket.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.bodiless().unwrap().status, 200);
    drop(client);
    assert_ne!(socket.end(), End::Silence);
    server.await_metric("vestibule_sockets", 1.0);
    assert_eq!(server.metric("vestibule_proxied_failures_total"), 0.0, "that is nobody's failure");
    server.stop();
}

#[test]
fn what_comes_ahead_of_its_turn_waits_for_it() {
    let origin = Origin::new();
    let server = behind(&origin);
    let mut client = Socket::connect(server.public);
    client.send(get("/1", "").as_bytes());
    let (mut socket, _) = origin.visit();
    // While the first is under way, and after its client is watched.
    client.send((get("/2", "") + &get("/3", "")[..10]).as_bytes());
    assert!(!socket.has_answer());
    thread::scope(|scope| {
        scope.spawn(|| {
            for answer in ["one", "two"] {
                socket.answer(answer);
                socket.request().unwrap();
            }
            socket.answer("three");
        });
        assert_eq!(client.response().unwrap().body, b"one");
        assert_eq!(client.response().unwrap().body, b"two");
        client.send(&get("/3", "").as_bytes()[10..]);
        assert_eq!(client.response().unwrap().body, b"three");
    });
    assert_eq!(server.metric("vestibule_backend_connects_total"), 1.0);
    server.stop();
}

#[test]
fn an_answer_that_breaks_off_is_not_taken_for_whole() {
    let origin = Origin::new();
    let server = behind(&origin);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let mut client = Socket::connect(server.public);
    client.send(get("/", "").as_bytes());
    let (mut socket, _) = origin.visit();
    socket.send(chunked.as_bytes());
    client.bodiless().unwrap();
    assert_eq!(client.chunk_within(PATIENCE).unwrap(), b"abc");
    drop(socket);
    assert!(client.chunk_within(PATIENCE).is_err(), "no last chunk");
    // By its length.
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc";
    let (_, mut client) = exchange(&server, &origin, &get("/", ""), answer);
    assert_eq!(client.bodiless().unwrap().header("content-length"), Some("5"));
    assert_eq!(client.exactly(3).unwrap(), b"abc");
    assert_ne!(client.end(), End::Silence);
    // To one who knows no chunks, only a reset tells.
    let mut client = Socket::connect(server.public);
    client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let (mut socket, _) = origin.visit();
    socket.send(chunked.as_bytes());
    client.bodiless().unwrap();
    assert_eq!(client.exactly(3).unwrap(), b"abc");
    drop(socket);
    assert_eq!(client.end(), End::Reset);
    assert_eq!(server.metric("vestibule_proxied_failures_total"), 3.0);
    server.stop();
}

#[test]
fn a_server_that_fails_is_answered_for() {
    let origin = Origin::new();
    let server = behind(&origin);
    let mut client = Socket::connect(server.public);
    for answer in [
        "",
        "HTTP/1.1",
        "SSH-2.0-x\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ] {
        client.send(post("Content-Length: 1\r\n", "x").as_bytes());
        let (mut socket, _) = origin.visit();
        socket.send(answer.as_bytes());
        socket.finish();
        let response = client.response().unwrap();
        let (status, error) = refusal(&response);
        assert_eq!((status, &error["code"]), (502, &"bad_gateway".into()), "{answer:?}");
        assert!(!response.closes(), "the client did nothing wrong");
        assert_ne!(socket.end(), End::Silence, "{answer:?}: its connection is dropped");
    }
    // It says nothing.
    let begun = Deadline::within(PATIENCE);
    client.send(get("/", "").as_bytes());
    let (mut socket, _) = origin.visit();
    let (status, error) = refusal(&client.response().unwrap());
    assert_eq!((status, &error["code"]), (504, &"backend_timeout".into()));
    assert!((900..1600).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_ne!(socket.end(), End::Silence);
    // It is not there.
    drop(origin);
    client.send(get("/", "").as_bytes());
    let (status, error) = refusal(&client.response().unwrap());
    assert_eq!((status, &error["code"]), (502, &"bad_gateway".into()));
    server.stop();
}

#[test]
fn bytes_behind_an_answer_answer_nobody_else() {
    let origin = Origin::new();
    let server = behind(&origin);
    let poisoned =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let (_, mut client) = exchange(&server, &origin, &get("/", ""), poisoned);
    assert_eq!(client.response().unwrap().body, b"ok");
    client.send(get("/next", "").as_bytes());
    let (mut socket, seen) = origin.visit();
    assert_eq!(seen.line(), "GET /next HTTP/1.1");
    socket.answer("next");
    assert_eq!(client.response().unwrap().body, b"next");
    server.stop();
}

/// What smuggles, by the row of incidents that it is known from: none of it reaches a server, and nothing behind it is
/// taken for a request.
#[test]
fn nothing_that_two_readers_could_read_differently_reaches_a_server() {
    let origin = Origin::new();
    let server = behind(&origin);
    let chunks = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    for (request, status) in [
        // 25: where the body ends.
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (post("Content-Length: 5\r\nContent-Length: 5\r\n", "abcde"), 400),
        (post("Content-Length: 5, 5\r\n", "abcde"), 400),
        (post("Content-Length: +5\r\n", "abcde"), 400),
        (post("Content-Length: 0x5\r\n", "abcde"), 400),
        (post("Content-Length: \r\n", ""), 400),
        (post("Content-Length: 99999999999999999999\r\n", ""), 400),
        (post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), 400),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        // 26: chunks.
        (chunks("3\nabc\r\n0\r\n\r\n"), 400),
        (chunks("3\r\nabcX\r\n0\r\n\r\n"), 400),
        (chunks("3\r\nabc\n0\r\n\r\n"), 400),
        (chunks("3 \r\nabc\r\n0\r\n\r\n"), 400),
        (chunks("-3\r\nabc\r\n0\r\n\r\n"), 400),
        (chunks("0x3\r\nabc\r\n0\r\n\r\n"), 400),
        (chunks("10000000000000000\r\nabc"), 400),
        (chunks("3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
        (chunks("\r\n0\r\n\r\n"), 400),
        // 27: fields.
        (get("/", ": x\r\n"), 400),
        (get("/", "A B: x\r\n"), 400),
        (get("/", "A: x\r\n folded\r\n"), 400),
        (get("/", "A: x\ry\r\n"), 400),
        (get("/", "A: x\nB: y\r\n"), 400),
        (get("/", "Host: b\r\n"), 400),
        // 28: what would make a tunnel of it.
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".to_owned(), 400),
        ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 501),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        (upgrade_request("/", "Content-Length: 5\r\n") + "abcde", 400),
        (upgrade_request("/", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400),
        // 29: what would be taken out.
        (get("/", "Connection: close, x-forwarded-for\r\n"), 400),
        (get("/", "Connection: Authorization\r\nAuthorization: x\r\n"), 400),
        (get("/", "Connection: cookie\r\n"), 400),
        (get("/", "Connection: host\r\n"), 400),
        (post("Connection: content-length\r\nContent-Length: 5\r\n", "abcde"), 400),
        // 32: paths, and names of fields.
        (get("/a%2f..%2fb", ""), 400),
        (get("/..;/b", ""), 400),
        (get("/a\\b", ""), 400),
        (get("/a%00", ""), 400),
        (get("/%zz", ""), 400),
        (get("/", "X_Forwarded_For: 6.6.6.6\r\n"), 400),
        (get("http://evil.test/", ""), 400),
    ] {
        let mut client = Socket::connect(server.public);
        client.send(request.as_bytes());
        let response = client.response().unwrap();
        assert_eq!(response.status, status, "{request:?}");
        if response.closes() {
            let _ = client.try_send(get("/smuggled", "").as_bytes());
            assert_ne!(client.end(), End::Silence, "{request:?}");
        }
        assert!(origin.visitor().is_none(), "{request:?}");
    }
    // In a body that comes later: the server has its beginning, and never an end.
    for (bad, length) in [("X\r\n", 3), ("\n0\r\n\r\n", 3)] {
        let mut client = Socket::connect(server.public);
        client.send(chunks("3\r\nabc").as_bytes());
        let mut socket = origin.accept();
        socket.request_head().unwrap();
        assert_eq!(socket.exactly(length + 5).unwrap(), b"3\r\nabc\r\n");
        client.send((bad.to_owned() + &get("/smuggled", "")).as_bytes());
        let response = client.response().unwrap();
        assert!(response.status == 400 && response.closes(), "{response:?}");
        assert_ne!(socket.end(), End::Silence);
    }
    assert_eq!(server.metric("vestibule_proxied_failures_total"), 0.0);
    server.stop();
}

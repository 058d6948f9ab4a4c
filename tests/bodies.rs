//! What is said to the API wrongly, slowly, in pieces, all at once, or by whoever may not; and what it says to those who
//! do not read it.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{
    Api, Deadline, End, Member, PATIENCE, Server, Setup, Socket, done, gauge, refusal, request, until,
};
use serde_json::{Value, json};
use std::time::Duration;

const PUBLICATION: &str = r#"{"room":"r","payload":1}"#;

fn head(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: vestibule.test\r\n{fields}\r\n")
}

/// The fields of a request with the tests' key.
fn keyed(fields: &str) -> String {
    format!("Authorization: Bearer {}\r\n{fields}", Api::KEY)
}

#[test]
fn only_who_has_a_key_is_answered_and_only_on_the_admin_listener() {
    for setup in Setup::each() {
        let server = setup.set("admin.keys", "[\"integration\", \"another-one\"]").start();
        let mut api = Api::of(&server);
        let fields = "Content-Type: application/json\r\nContent-Length: 24\r\n";
        for (key, admitted) in [
            ("Authorization: Bearer integration\r\n", true),
            ("authorization: bearer another-one\r\n", true),
            ("", false),
            ("Authorization: Bearer integratio\r\n", false),
            ("Authorization: Bearer integration2\r\n", false),
            ("Authorization: Basic integration\r\n", false),
            ("Authorization: Bearer integration\r\nAuthorization: Bearer integration\r\n", false),
            ("X-Key: integration\r\n", false),
        ] {
            api.socket.send((head("POST /api/publish", &format!("{key}{fields}")) + PUBLICATION).as_bytes());
            let response = api.answer();
            assert_eq!(response.status == 200, admitted, "{key}: {response:?}");
            if !admitted {
                assert_eq!(refusal(&response).1["code"], "unauthorized");
                assert_eq!(response.header("www-authenticate"), Some("Bearer"));
                assert!(response.closes(), "its body is not read");
                api = Api::of(&server);
            }
            // What there is is not told either.
            api.socket.send(head("GET /api/nothing", key).as_bytes());
            assert_eq!(api.answer().status, if admitted { 404 } else { 401 });
        }
        for path in ["/api/rooms", "/api/publish", "/api/users"] {
            let mut public = Socket::connect(server.public);
            public.send(head(&format!("GET {path}"), &keyed("")).as_bytes());
            assert_eq!(public.response().unwrap().status, 404);
        }
        server.await_log("answered");
        assert!(!server.log().contains("another-one") && !server.log().contains("Bearer"));
        server.stop();
    }
}

#[test]
fn who_has_no_key_is_answered_before_its_body_has_come() {
    let server = Setup::new(1).start();
    for body in ["Content-Length: 24\r\n", "Content-Length: 65536\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut socket = Socket::connect(server.admin);
        socket.send(head("POST /api/publish", body).as_bytes());
        let begun = Deadline::within(PATIENCE);
        let response = socket.response().unwrap();
        assert!(response.status == 401 && response.closes(), "{response:?}");
        assert_eq!(socket.end(), End::Fin);
        assert!(begun.elapsed() < Duration::from_secs(5), "{body}: {:?}", begun.elapsed());
    }
    server.stop();
}

#[test]
fn without_keys_every_call_is_refused() {
    let server = Setup::new(1).set("admin.keys", "[]").start();
    let mut api = Api::of(&server);
    assert_eq!(api.refused("GET", "/api/rooms", None).0, 401);
    assert_eq!(api.refused("POST", "/api/publish", Some(PUBLICATION)).0, 401);
    assert_eq!(server.metric("vestibule_api_unauthorized_total"), 2.0);
    assert_eq!(server.admin_get("/healthz").status, 200);
    server.stop();
}

#[test]
fn each_thing_that_is_wrong_has_its_status_and_code() {
    let server = Setup::new(2).start();
    let mut api = Api::of(&server);
    for (method, path, body, status, code) in [
        ("GET", "/api/", None, 404, "not_found"),
        ("GET", "/api/roomss", None, 404, "not_found"),
        ("GET", "/api/rooms/a/b", None, 404, "not_found"),
        ("GET", "/api/rooms/%zz", None, 400, "bad_request"),
        ("GET", "/api/rooms/%ff", None, 400, "bad_request"),
        ("GET", "/api/rooms?limit=0", None, 400, "bad_request"),
        ("GET", "/api/rooms?limit=1001", None, 400, "bad_request"),
        ("GET", "/api/rooms?after=a&after=b", None, 400, "bad_request"),
        ("GET", "/api/rooms?user=b", None, 400, "bad_request"),
        ("GET", "/api/connections?after=x", None, 400, "bad_request"),
        ("GET", "/api/rooms/r?after=x", None, 400, "bad_request"),
        ("GET", "/api/rooms/r/history", None, 404, "no_history"),
        ("GET", "/api/publish", None, 405, "method"),
        ("PUT", "/api/publish", Some(PUBLICATION), 405, "method"),
        ("POST", "/api/rooms", Some("{}"), 405, "method"),
        ("DELETE", "/api/rooms/r", None, 405, "method"),
        ("POST", "/api/publish", None, 411, "length_required"),
        ("POST", "/api/rooms/r/join", None, 411, "length_required"),
        ("POST", "/api/publish", Some(""), 400, "bad_json"),
        ("POST", "/api/publish", Some("{\"room\":\"r\",\"payload\":}"), 400, "bad_json"),
        ("POST", "/api/publish", Some("{\"room\":\"\",\"payload\":1}"), 400, "room_name"),
        ("POST", "/api/publish", Some("{\"room\":\"r\",\"event\":\"gap\",\"payload\":1}"), 400, "event_name"),
        ("POST", "/api/rooms//join", Some("{\"user\":\"u\"}"), 400, "room_name"),
        ("POST", "/api/rooms/%0a/join", Some("{\"user\":\"u\"}"), 400, "room_name"),
        ("POST", "/api/rooms/r/join", Some("{}"), 400, "bad_request"),
        ("POST", "/api/rooms/r/leave", Some("[]"), 400, "bad_json"),
        ("POST", "/api/users/u/disconnect", Some("{\"code\":1006}"), 400, "bad_request"),
        ("POST", "/api/users/u/disconnect", Some("{\"codes\":4000}"), 400, "bad_json"),
        ("POST", "/api/connections/x/disconnect", Some("{}"), 404, "no_connection"),
    ] {
        let response = api.call(method, path, body);
        let (answered, error) = refusal(&response);
        assert_eq!((answered, &error["code"]), (status, &json!(code)), "{method} {path} {body:?}: {error}");
        assert_eq!(response.header("allow").is_some(), status == 405);
        if response.closes() {
            api = Api::of(&server);
        }
    }
    let (_, error) =
        api.refused("POST", "/api/publish", Some("[{\"room\":\"r\",\"payload\":1},\n {\"room\":2}]"));
    assert_eq!((&error["line"], &error["column"], &error["item"]), (&json!(2), &json!(10), &json!(1)));
    assert_eq!(server.metric("vestibule_api_published_total"), 0.0, "all are judged first");
    server.stop();
}

#[test]
fn bodies_are_bounded_and_of_one_type_before_they_are_read() {
    let server = Setup::new(1).start();
    let post = |fields: &str| {
        let mut socket = Socket::connect(server.admin);
        socket.send(head("POST /api/publish", &keyed(fields)).as_bytes());
        socket.response().unwrap()
    };
    let json = "Content-Type: application/json\r\n";
    for (fields, status) in [
        (format!("{json}Content-Length: 8388609\r\n"), 413),
        (format!("{json}Content-Length: 18446744073709551615\r\n"), 413),
        (format!("{json}Transfer-Encoding: chunked\r\n"), 411),
        ("Content-Type: text/json\r\nContent-Length: 100000\r\n".to_owned(), 415),
        ("Content-Length: 100000\r\n".to_owned(), 415),
        ("Content-Type: application/jsonp\r\nContent-Length: 100000\r\n".to_owned(), 415),
    ] {
        let response = post(&fields);
        assert_eq!(response.status, status, "{fields}");
        assert!(response.closes(), "nobody reads so much for nothing: {fields}");
    }
    let mut api = Api::of(&server);
    let typed = |media: &str| {
        let fields = keyed(&format!("Content-Type: {media}\r\nContent-Length: 24\r\n"));
        head("POST /api/publish", &fields) + PUBLICATION
    };
    for (media, status) in
        [("text/plain", 415), ("Application/JSON ; charset=utf-8", 200), ("application/json", 200)]
    {
        api.socket.send(typed(media).as_bytes());
        assert_eq!(api.answer().status, status, "{media}");
    }
    // A payload has the bound of a message.
    let body = format!("{{\"room\":\"r\",\"payload\":\"{}\"}}", "x".repeat(64 << 10));
    let (status, error) = api.refused("POST", "/api/publish", Some(&body));
    assert_eq!((status, &error["code"]), (413, &Value::from("too_large")));
    assert_eq!(api.refused("POST", "/api/rooms/r/join", Some(&" ".repeat((64 << 10) + 1))).0, 413);
    server.stop();
}

#[test]
fn a_body_may_come_in_any_pieces_and_what_follows_it_is_the_next_request() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut member = Member::enter(&server, "u");
        member.join("r");
        let mut api = Api::of(&server);
        let requests = request("POST", "/api/publish", Some(PUBLICATION)).repeat(3)
            + &request("GET", "/api/rooms/r", None)
            + &request("POST", "/api/nothing", Some("{\"a\":\"GET / HTTP/1.1\\r\\n\\r\\n\"}"))
            + &request("GET", "/api/rooms", Some("{}"))
            + &request("POST", "/api/users/nobody/disconnect", None);
        for pieces in [requests.len(), 1, 7, 100] {
            for piece in requests.as_bytes().chunks(pieces) {
                api.socket.send(piece);
            }
            let statuses: Vec<u16> = (0..7).map(|_| api.answer().status).collect();
            assert_eq!(statuses, [200, 200, 200, 200, 404, 200, 200], "in pieces of {pieces}");
        }
        for _ in 0..12 {
            assert!(member.hear().contains("\"payload\":1"));
        }
        server.stop();
    }
}

#[test]
fn a_body_that_drips_or_stops_is_given_up_at_its_deadline() {
    let server = Setup::new(1).start();
    let mut socket = Socket::connect(server.admin);
    let fields = keyed("Content-Type: application/json\r\nContent-Length: 24\r\n");
    socket.send(head("POST /api/publish", &fields).as_bytes());
    let begun = Deadline::within(PATIENCE);
    let mut sent = 0;
    let response = until("it is given up", PATIENCE, || {
        if socket.has_answer() {
            return Some(socket.response());
        }
        // A byte each half second changes nothing; the last ones would come too late.
        if begun.elapsed() > Duration::from_millis(500) * sent {
            let _ = socket.try_send(&PUBLICATION.as_bytes()[sent as usize..][..1]);
            sent += 1;
        }
        None
    });
    assert!((15..24).contains(&sent), "{sent} bytes were sent");
    let response = response.unwrap();
    assert_eq!(refusal(&response).1["code"], "body_deadline");
    assert!(response.status == 408 && response.closes());
    assert!((9.0..13.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    server.stop();
}

#[test]
fn who_asks_first_whether_to_send_is_told() {
    let server = Setup::new(1).start();
    let mut socket = Socket::connect(server.admin);
    let fields = keyed("Content-Type: application/json\r\nContent-Length: 24\r\nExpect: 100-continue\r\n");
    socket.send(head("POST /api/publish", &fields).as_bytes());
    assert_eq!(socket.response().unwrap().status, 100);
    socket.send(PUBLICATION.as_bytes());
    assert_eq!(done(&socket.response().unwrap()), json!({ "position": null }));
    // Sent at once, nobody has to be told.
    socket.send((head("POST /api/publish", &fields) + PUBLICATION).as_bytes());
    assert_eq!(socket.response().unwrap().status, 200);
    // HTTP/1.0 has no such answer: the body is waited for.
    let mut old = Socket::connect(server.admin);
    old.send(head("POST /api/publish", &fields).replace("HTTP/1.1", "HTTP/1.0").as_bytes());
    old.send(PUBLICATION.as_bytes());
    assert_eq!(old.response().unwrap().status, 200);
    // Refused, it need not be sent: nobody knows whether it comes.
    socket.send(head("POST /api/nothing", &fields).as_bytes());
    let refused = socket.response().unwrap();
    assert!(refused.status == 404 && refused.closes());
    server.stop();
}

#[test]
fn a_client_that_hangs_up_in_the_middle_leaves_nothing_behind() {
    let server = Setup::new(2).start();
    let whole = request("POST", "/api/publish", Some(PUBLICATION));
    for end in 1..whole.len() {
        let mut socket = Socket::connect(server.admin);
        socket.send(&whole.as_bytes()[..end]);
        if end % 2 == 0 { socket.reset() } else { drop(socket) }
    }
    // Whoever asks and does not wait for the answer.
    for _ in 0..300 {
        let mut socket = Socket::connect(server.admin);
        socket.send(request("GET", "/api/rooms", None).as_bytes());
        socket.reset();
    }
    let mut api = Api::of(&server);
    assert_eq!(api.post("/api/publish", PUBLICATION), json!({ "position": null }));
    server.await_metric("vestibule_sockets", 2.0);
    assert_eq!(server.metric("vestibule_panics_total"), 0.0);
    server.stop();
}

#[test]
fn a_hundred_calls_at_once_are_all_answered() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut member = Member::enter(&server, "u");
        member.join("r");
        let mut callers: Vec<Api> = (0..100).map(|_| Api::of(&server)).collect();
        for (n, api) in callers.iter_mut().enumerate() {
            let body = format!("{{\"room\":\"r\",\"payload\":{n}}}");
            let requests = request("POST", "/api/publish", Some(&body))
                + &request("GET", "/api/users", None)
                + &request("GET", "/api/rooms/r", None);
            api.socket.send(requests.as_bytes());
        }
        for api in &mut callers {
            assert_eq!(done(&api.answer()), json!({ "position": null }));
            assert_eq!(done(&api.answer())["users"], json!([{ "user": "u", "connections": 1 }]));
            assert_eq!(done(&api.answer())["members"], 1);
        }
        let mut numbers: Vec<u32> =
            (0..100).map(|_| harness::number_of(member.hear().as_bytes()).unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        server.stop();
    }
}

#[test]
fn answers_that_nobody_reads_cost_64_mib_at_most() {
    let unread = Unread { callers: 80, answer_bytes: 1 << 20, held: 64, further: [503, 200] };
    unread.are_held_and_given_up();
}

#[test]
fn a_call_has_its_place_until_its_answer_is_read() {
    let unread = Unread { callers: 270, answer_bytes: 210 << 10, held: 256, further: [503, 503] };
    unread.are_held_and_given_up();
}

/// Callers that ask for a page of history and do not read it.
struct Unread {
    callers: usize,
    answer_bytes: usize,
    /// So many are answered and wait; the others are turned away.
    held: usize,
    /// What another is told who asks for the same, and one who asks for little.
    further: [u16; 2],
}

impl Unread {
    fn are_held_and_given_up(&self) {
        let setup = Setup::new(1).set("limits.message", "\"2MiB\"").set("limits.lag", "\"2MiB\"");
        let server = setup.history("kept", 1, "5m").start();
        let mut api = Api::of(&server);
        // A payload's quotes, and what stands around it, are less than the rest.
        let payload = "x".repeat(self.answer_bytes - 1024);
        api.post("/api/publish", &format!("{{\"room\":\"kept\",\"payload\":\"{payload}\"}}"));
        let path = "/api/rooms/kept/history";
        let whole = api.get(path);
        let before = server.resident_bytes();
        let mut callers: Vec<Socket> =
            (0..self.callers).map(|_| Socket::connect_narrow(server.admin)).collect();
        for caller in &mut callers {
            caller.send(request("GET", path, None).as_bytes());
        }
        for caller in &mut callers {
            until("it is answered", PATIENCE, || caller.has_answer().then_some(()));
        }
        let more = server.resident_bytes().saturating_sub(before);
        assert!(more <= (64 + 16) << 20, "{} MiB more", more >> 20);
        assert_eq!(self.further, [path, "/api/rooms"].map(|path| api.call("GET", path, None).status));
        // They are cut off, and all is as before.
        until("there is room again", PATIENCE, || (api.call("GET", path, None).status == 200).then_some(()));
        assert_eq!(api.get(path), whole);
        // One that is not cut yet would read its answer now; those who ask are this one and the one who asks for it.
        until("all are cut off", PATIENCE, || (server.metric(gauge::SOCKETS) <= 2.0).then_some(()));
        let told = callers.iter_mut().filter_map(|caller| caller.response().ok());
        let turned_away = told.map(|response| assert_eq!(refusal(&response).0, 503)).count();
        assert_eq!(turned_away, self.callers - self.held);
        server.stop();
    }
}

#[test]
fn a_call_is_logged_without_its_body_and_its_key() {
    let server: Server = Setup::new(1).start();
    let mut api = Api::of(&server);
    api.post("/api/publish", r#"{"room":"r","payload":"never-to-be-logged"}"#);
    api.refused("POST", "/api/publish", Some("{\"room\":\"never-to-be-logged\",}"));
    let log = server.await_log("status=400");
    assert!(log.contains("path=/api/publish status=200"));
    assert!(!log.contains("never-to-be-logged") && !log.contains(Api::KEY), "{log}");
    let mut socket = Socket::connect(server.admin);
    socket.send(request("GET", "/api/rooms", None).as_bytes());
    assert!(socket.response().unwrap().header("x-request-id").is_some());
    socket.finish();
    assert_eq!(socket.end(), End::Fin);
    server.stop();
}

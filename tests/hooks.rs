//! Hooks that are asked: who is let in, what a verdict does and in what order, and what a client is told where there
//! is none.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{
    Api, App, Call, Deadline, End, Events, Member, PATIENCE, Reply, Server, Setup, Socket, mint, now_s,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Whoever is asked about is let in, as the user that the token in the query is.
fn welcoming(call: &Call) -> Reply {
    match call.kind.as_str() {
        "connect" => {
            Reply::verdict(&json!({ "allow": true, "userId": call.data["token"], "rooms": ["team:*"] }))
        }
        _ => Reply::yes(),
    }
}

/// The application says who somebody is.
fn by_hook(app: &App) -> Setup {
    Setup::new(2).unset("auth.hs256_secret").set("auth.mode", "\"hook\"").hooks(app)
}

fn enter(server: &Server, user: &str) -> Member {
    Member::greeted(Socket::connect(server.public), user, user)
}

#[test]
fn the_application_says_who_a_client_is_and_hears_what_it_was_asked_with() {
    let app = App::start(welcoming);
    let setup = by_hook(&app)
        .set("hooks.headers", "[\"user-agent\", \"cookie\"]")
        .set("auth.allowed_origins", "[\"https://app.example.com\"]")
        .set("server.trusted_proxies", "[\"127.0.0.0/8\"]")
        .rooms(&[
            ["user:{user}", "owner", "nobody"],
            ["team:*", "token", "nobody"],
            ["*", "nobody", "nobody"],
        ]);
    let server = setup.start();
    let mut socket = Socket::connect(server.public);
    let fields = "User-Agent: a \"browser\"\r\nCookie: a=1\r\nCookie: b=2\r\nX-Forwarded-For: 192.0.2.7\r\n\
        Sec-WebSocket-Protocol: vestibule, bearer.ada\r\nX-Secret: s\r\nOrigin: https://app.example.com\r\n";
    let response = socket.upgrade("/ws?a=1&token=ada&b=%20", fields);
    assert_eq!(response.status, 101, "{response:?}");
    let request = response.header("x-request-id").unwrap().to_owned();
    let connected: Value = serde_json::from_str(socket.frame().unwrap().text()).unwrap();
    assert_eq!((&connected["type"], &connected["userId"]), (&json!("connected"), &json!("ada")));
    let call = app.last("connect");
    assert_eq!(call.id, format!("connect_{request}"));
    let expected = json!({
        "request": request, "transport": "websocket", "address": "192.0.2.7", "path": "/ws", "query": "a=1&b=%20",
        "headers": { "user-agent": "a \"browser\"", "cookie": "a=1; b=2" }, "subprotocols": ["vestibule"],
        "token": "ada",
    });
    assert_eq!(call.data, expected);
    let mut ada = enter(&server, "ada");
    ada.join("user:ada");
    ada.join("team:7");
    assert_eq!(ada.refused("join", "\"room\":\"user:bob\""), "forbidden");
    assert_eq!(ada.refused("join", "\"room\":\"lobby\""), "forbidden");
    let mut events = Events::open(&server, "/events/bob?token=bob", "");
    assert!(events.block().contains("\"userId\":\"bob\""));
    let call = app.last("connect");
    assert_eq!((call.text("transport"), call.text("path")), ("sse", "/events/bob"));
    server.stop();
}

#[test]
fn whom_the_application_does_not_want_is_told_so_by_close_or_by_status() {
    let app = App::start(|_| Reply::verdict(&json!({ "allow": false, "reason": "not today" })));
    let jwt = Setup::new(1).hooks(&app);
    for (setup, code, otherwise, status) in
        [(by_hook(&app), 4001, "Unauthorized", 401), (jwt, 4003, "Forbidden", 403)]
    {
        let server = setup.start();
        let target = format!("/ws?token={}", server.token("ada"));
        let closed = |reply: fn(&Call) -> Reply| {
            app.answer(reply);
            let mut socket = Socket::connect(server.public);
            assert_eq!(socket.upgrade(&target, "").status, 101);
            socket.closed()
        };
        let seen = closed(|_| Reply::verdict(&json!({ "allow": false, "reason": "not today" })));
        assert_eq!((seen.code, &*seen.reason), (Some(code), "not today"));
        let seen = closed(|_| Reply::verdict(&json!({})));
        assert_eq!((seen.code, &*seen.reason), (Some(code), otherwise));
        for reply in
            [|_: &Call| Reply::text(401, "<html>"), |_: &Call| Reply::text(403, "{\"reason\":\"x\"}")]
        {
            assert_eq!(closed(reply).code, Some(code));
        }
        let mut socket = Socket::connect(server.public);
        for _ in 0..2 {
            let events = format!("/events?room=a&token={}", server.token("ada"));
            let response = socket.get(&events).unwrap();
            assert_eq!(response.status, status, "{response:?}");
        }
        server.reconfigure(&setup.set("auth.refuse", "\"http-401\""));
        server.await_metric("vestibule_reloads_total", if status == 401 { 2.0 } else { 1.0 });
        let response = Socket::connect(server.public).upgrade(&target, "");
        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(response.header("www-authenticate").is_some(), status == 401);
        assert_eq!(app.calls("disconnect").len(), 0, "nobody was let in");
        server.stop();
    }
}

/// Answers that are none.
fn unusable() -> Vec<Reply> {
    let long = "x".repeat(5000);
    vec![
        Reply::text(500, "{\"allow\":true}"),
        Reply::text(302, ""),
        Reply::text(200, "{\"allow\":true"),
        Reply::text(200, "{\"allow\":1,\"userId\":\"ada\"}"),
        Reply::text(200, "{\"allow\":true,\"userId\":\"ada\",\"allows\":true}"),
        Reply::text(200, "{\"allow\":true,\"allow\":true,\"userId\":\"ada\"}"),
        Reply::text(200, "{\"allow\":true,\"userId\":\"\"}"),
        Reply::text(200, "{\"allow\":true}"),
        Reply::verdict(&json!({ "allow": true, "userId": "ada", "state": long })),
        Reply::verdict(&json!({ "allow": true, "userId": "ada", "reason": "x".repeat(124) })),
        Reply::verdict(&json!({ "allow": true, "userId": "ada", "join": vec!["r"; 101] })),
        Reply::verdict(&json!({ "allow": true, "userId": "ada", "reply": "x".repeat(3 << 20) })),
        Reply::yes().after(PATIENCE),
    ]
}

#[test]
fn where_the_application_says_nothing_that_can_be_used_a_client_is_told_to_come_back() {
    let app = App::start(welcoming);
    let setup = by_hook(&app).set("hooks.timeout", "\"300ms\"");
    let server = setup.start();
    let come_back = |what: &str| {
        let mut socket = Socket::connect(server.public);
        assert_eq!(socket.upgrade("/ws?token=ada", "").status, 101, "{what}");
        let closed = socket.closed();
        assert_eq!(closed.code, Some(1013), "{what}");
        let retry: u64 = closed.reason.strip_prefix("retry=").expect("a hint").parse().unwrap();
        assert!((1000..3000).contains(&retry), "{retry}");
    };
    let heard = app.calls("connect").len();
    for reply in unusable() {
        let what = format!("{reply:?}");
        app.answer(move |call| if call.kind == "connect" { reply.clone() } else { Reply::yes() });
        come_back(what.get(..80).unwrap_or(&what));
    }
    // Each of them was asked, so that each end is told.
    let asked = app.calls("connect").len() - heard;
    assert_eq!(asked, unusable().len());
    app.answer(welcoming);
    app.await_calls("disconnect", asked);
    app.kill();
    come_back("nobody is there");
    let mut stream = Socket::connect(server.public);
    let answer = stream.get("/events?room=a&token=ada").unwrap();
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/event-stream")),
        "{answer:?}"
    );
    assert!(answer.body.starts_with(b"retry: ") && answer.body.ends_with(b"\n\n"), "{answer:?}");
    server.reconfigure(&setup.set("auth.refuse", "\"http-401\""));
    server.await_metric("vestibule_reloads_total", 2.0);
    let answer = Socket::connect(server.public).upgrade("/ws?token=ada", "");
    assert_eq!(answer.status, 503);
    let seconds: u64 = answer.header("retry-after").expect("a hint").parse().unwrap();
    assert!((1..=3).contains(&seconds), "{seconds}");
    app.revive();
    harness::until("the application is asked again", PATIENCE, || {
        (Socket::connect(server.public).upgrade("/ws?token=ada", "").status == 101).then_some(())
    });
    drop(stream);
    server.stop();
    let heard: Vec<Value> = app.calls("connect").iter().map(|it| it.data["request"].clone()).collect();
    let ended = app.calls("disconnect");
    assert_eq!(app.ids("disconnect").len(), asked + 1, "of those who were not asked about nothing is told");
    assert!(ended.iter().all(|it| heard.contains(&it.data["request"])), "{ended:?}");
}

#[test]
fn what_a_connect_orders_is_done_before_the_first_message_and_in_its_order() {
    let app = App::start(|_| Reply::yes());
    let server = Setup::new(2).hooks(&app).history("log", 10, "1m").start();
    let mut witness = Member::enter(&server, "witness");
    witness.join("news");
    app.answer(|call| match call.kind.as_str() {
        "connect" => Reply::verdict(&json!({
            "allow": true, "join": ["news", "log"], "leave": ["nowhere"],
            "publish": [
                { "room": "news", "event": "came", "payload": { "who": call.text("user") } },
                { "room": "log", "payload": 1 }, { "room": "log", "payload": 2 },
                { "room": "news", "payload": "not for her", "except": { "users": ["ann"] } },
            ],
        })),
        _ => Reply::yes(),
    });
    let mut ann = Member::enter(&server, "ann");
    // She is in its rooms before she says a word, and her own first message comes behind.
    ann.broadcast("log", "3");
    let heard: Vec<Value> = ann.kept().iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(heard.iter().filter(|it| it["room"] == "news").count(), 1, "{heard:?}");
    assert_eq!(heard[0]["event"], "came");
    let logged: Vec<&Value> =
        heard.iter().filter(|it| it["room"] == "log").map(|it| &it["payload"]).collect();
    assert_eq!(logged, [1, 2]);
    let told: Vec<Value> = (0..2).map(|_| serde_json::from_str(&witness.hear()).unwrap()).collect();
    assert_eq!((&told[0]["payload"]["who"], &told[1]["payload"]), (&json!("ann"), &json!("not for her")));
    let mut rooms: Vec<String> = Api::of(&server).get("/api/connections?user=ann")["connections"][0]["rooms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|room| room.as_str().unwrap().to_owned())
        .collect();
    rooms.sort();
    assert_eq!(rooms, ["log", "news"]);
    server.stop();
}

#[test]
fn a_join_that_the_application_allows_goes_its_usual_way_and_another_is_refused() {
    let app = App::start(|call| match call.data["room"].as_str() {
        Some("chat:no") => Reply::verdict(&json!({ "allow": false, "reason": "full" })),
        Some("chat:silent") => Reply::verdict(&json!({})),
        Some("chat:odd") => Reply::text(500, ""),
        _ => Reply::yes(),
    });
    let setup = Setup::new(2).hooks(&app).rooms(&[["chat:*", "hook", "authenticated"]]);
    let server = setup.start();
    let mut ann = Member::enter(&server, "ann");
    ann.join("chat:1");
    let call = app.last("join");
    assert_eq!((call.text("room"), call.text("user")), ("chat:1", "ann"));
    assert_eq!(call.text("connection"), ann.connection);
    for (room, code, message) in [
        ("chat:no", "hook_refused", "full"),
        ("chat:silent", "hook_refused", "the application refused it"),
        ("chat:odd", "hook_timeout", "the application's answer is no verdict"),
    ] {
        let answer = ann.ask("join", &format!("\"room\":\"{room}\""));
        assert_eq!((&answer["code"], &answer["message"]), (&json!(code), &json!(message)));
    }
    assert_eq!(ann.refused("join", "\"room\":\"elsewhere\""), "forbidden");
    assert_eq!(ann.refused("join", "\"room\":\"chat:1\",\"since\":\"x\""), "bad_message");
    assert_eq!(app.calls("join").len(), 4, "what a rule refuses is not asked");
    let mut bob = Member::enter(&server, "bob");
    bob.broadcast("chat:1", "1");
    bob.broadcast("chat:no", "2");
    assert!(ann.hear().contains("\"payload\":1"));
    server.stop();
}

#[test]
fn one_who_comes_back_to_a_room_of_the_applications_gets_what_it_missed() {
    let app = App::start(|_| Reply::yes());
    let rules = "[[room]]\npattern = \"chat\"\njoin = \"hook\"\npublish = \"anyone\"\nhistory = { size = 9, ttl = \"1m\" }\n";
    let server = Setup::new(2).hooks(&app).rule(rules).start();
    let mut ann = Member::enter(&server, "ann");
    let place = ann.ask("join", "\"room\":\"chat\"")["position"].as_str().expect("a place").to_owned();
    Member::enter(&server, "bob").broadcast("chat", "\"missed\"");
    assert!(ann.hear().contains("missed"));
    let mut again = Member::enter(&server, "ann");
    let ack = again.ask("join", &format!("\"room\":\"chat\",\"since\":\"{place}\""));
    assert_eq!((&ack["type"], &ack["recovered"]), (&json!("ack"), &json!(true)), "{ack}");
    assert!(again.hear().contains("missed"));
    server.stop();
}

#[test]
fn events_are_asked_one_by_one_and_what_stands_behind_them_waits() {
    let app = App::start(|call| match call.data["payload"].as_u64() {
        Some(n) if n % 2 == 1 => Reply::verdict(&json!({ "reply": n })).after(Duration::from_millis(150)),
        Some(n) => Reply::verdict(&json!({ "reply": n })),
        None => Reply::yes(),
    });
    let server = Setup::new(2).hooks(&app).start();
    let mut ann = Member::enter(&server, "ann");
    ann.join("r");
    let mut all = Vec::new();
    for n in 1..=4 {
        let text = format!("{{\"type\":\"event\",\"event\":\"e\",\"id\":{n},\"payload\":{n}}}");
        all.extend(harness::client_frame(0x81, text.as_bytes()));
    }
    all.extend(harness::client_frame(0x81, b"{\"type\":\"leave\",\"room\":\"r\",\"id\":5}"));
    ann.socket.send(&all);
    let heard: Vec<String> = (0..5).map(|_| ann.hear()).collect();
    let mut expected: Vec<String> =
        (1..=4).map(|n| format!("{{\"type\":\"ack\",\"id\":{n},\"reply\":{n}}}")).collect();
    expected.push("{\"type\":\"ack\",\"id\":5}".to_owned());
    assert_eq!(heard, expected);
    let calls = app.await_calls("leave", 1);
    assert_eq!(calls[0].text("room"), "r");
    let numbers: Vec<u64> =
        app.calls("message").iter().map(|it| it.data["payload"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    server.stop();
}

#[test]
fn while_one_waits_for_the_application_its_silence_is_not_held_against_it_and_others_go_on() {
    for setup in [Setup::new(1), Setup::epoll()] {
        let app = App::start(|call| match call.kind.as_str() {
            "message" => Reply::yes().after(Duration::from_millis(3500)),
            _ => Reply::yes(),
        });
        let setup = setup.hooks(&app).set("hooks.timeout", "\"10s\"").set("server.drain", "\"8s\"");
        let server = setup.set("heartbeat.interval", "\"1s\"").set("heartbeat.timeout", "\"1s\"").start();
        let (mut ann, mut bob) = (Member::enter(&server, "ann"), Member::enter(&server, "bob"));
        let asked = Deadline::within(PATIENCE);
        ann.say("{\"type\":\"event\",\"event\":\"slow\",\"payload\":null,\"id\":1}");
        ann.say("{\"type\":\"ping\",\"id\":2}");
        app.await_calls("message", 1);
        let mut longest = Duration::ZERO;
        let mut pings = 0;
        // Nothing of hers is read: she answers no ping, and is pinged all the same.
        let ack = loop {
            let echo = Deadline::within(PATIENCE);
            bob.lives();
            longest = longest.max(echo.elapsed());
            match ann.socket.frame_within(Duration::from_millis(20)) {
                Ok(frame) if frame.first == 0x89 => pings += 1,
                Ok(frame) => break frame.text().to_owned(),
                Err(end) => assert_eq!(end, End::Silence),
            }
        };
        assert_eq!(ack, "{\"type\":\"ack\",\"id\":1}");
        assert!(asked.elapsed() >= Duration::from_millis(3500), "{:?}", asked.elapsed());
        assert!(pings >= 2, "{pings} pings");
        assert!(longest < Duration::from_secs(2), "an echo took {longest:?}");
        assert_eq!([ann.hear(), ann.hear()], ["{\"type\":\"pong\"}", "{\"type\":\"ack\",\"id\":2}"]);
        ann.lives();
        drop((ann, bob));
        server.stop();
    }
}

#[test]
fn a_reply_comes_in_the_ack_or_alone_and_without_a_hook_there_is_none() {
    let app = App::start(|call| match call.data["event"].as_str() {
        Some("no") => Reply::verdict(&json!({ "allow": false, "reason": "no \"way\"" })),
        Some("nothing") => Reply::text(204, ""),
        Some(_) => Reply::text(200, "{\"reply\": {\"a\": 1.0}, \"allow\": true}"),
        None => Reply::yes(),
    });
    let setup = Setup::new(1).hooks(&app);
    let server = setup.start();
    let mut ann = Member::enter(&server, "ann");
    ann.say("{\"type\":\"event\",\"event\":\"say\",\"payload\":[ 1 ],\"id\":\"x\"}");
    assert_eq!(ann.hear(), "{\"type\":\"ack\",\"id\":\"x\",\"reply\":{\"a\": 1.0}}");
    assert_eq!(app.last("message").data["payload"], json!([1]));
    ann.say("{\"type\":\"event\",\"event\":\"say\",\"payload\":1}");
    assert_eq!(ann.hear(), "{\"type\":\"reply\",\"event\":\"say\",\"payload\":{\"a\": 1.0}}");
    ann.say("{\"type\":\"event\",\"event\":\"nothing\",\"payload\":1}");
    assert_eq!(ann.ask("event", "\"event\":\"nothing\",\"payload\":1")["type"], "ack");
    assert_eq!(ann.kept(), [""; 0], "without an id and a reply nothing is answered");
    let refused = ann.ask("event", "\"event\":\"no\",\"payload\":1");
    assert_eq!((&refused["code"], &refused["message"]), (&json!("hook_refused"), &json!("no \"way\"")));
    server.reconfigure(&setup.set("hooks.events", "[\"connect\", \"disconnect\"]"));
    server.await_metric("vestibule_reloads_total", 1.0);
    assert_eq!(ann.refused("event", "\"event\":\"say\",\"payload\":1"), "no_hook");
    server.stop();
}

#[test]
fn a_verdict_is_carried_out_whole_before_the_ack() {
    let app = App::start(|call| match call.kind.as_str() {
        "message" => Reply::verdict(&json!({
            "join": ["new"], "leave": ["old"], "reply": "done",
            "publish": [
                { "room": "new", "payload": "you are in" },
                { "room": "old", "payload": "she is gone", "except": { "rooms": ["new"] } },
                { "room": "all", "payload": "n", "except": { "connections": [call.text("connection")] } },
            ],
        })),
        _ => Reply::yes(),
    });
    let server = Setup::new(2).hooks(&app).start();
    let (mut ann, mut bob) = (Member::enter(&server, "ann"), Member::enter(&server, "bob"));
    ann.join("old");
    ann.join("all");
    bob.join("old");
    bob.join("all");
    let mut api = Api::of(&server);
    for round in 0..20 {
        let ack = ann.ask("event", "\"event\":\"e\",\"payload\":1");
        assert_eq!((&ack["type"], &ack["reply"]), (&json!("ack"), &json!("done")), "{ack}");
        // The ack was read: all of it has happened.
        let rooms = api.get("/api/connections?user=ann")["connections"][0]["rooms"].clone();
        assert!(rooms.as_array().unwrap().contains(&json!("new")), "round {round}: {rooms}");
        assert!(!rooms.as_array().unwrap().contains(&json!("old")), "round {round}: {rooms}");
        assert!(bob.hear().contains("she is gone"));
        assert!(bob.hear().contains("\"room\":\"all\""));
        let heard: Vec<String> = ann.kept();
        assert!(heard.iter().all(|text| text.contains("you are in")), "{heard:?}");
        while heard.is_empty() && !ann.hear().contains("you are in") {}
        ann.leave("new");
        ann.join("old");
    }
    assert_eq!(app.await_calls("leave", 20).len(), 20, "of her own leaves alone");
    server.stop();
}

#[test]
fn a_verdict_that_cannot_be_carried_out_whole_is_no_ack() {
    let app = App::start(|call| match call.kind.as_str() {
        "message" => Reply::verdict(&json!({ "join": ["a", "b"], "reply": 1 })),
        _ => Reply::yes(),
    });
    let server = Setup::new(2).hooks(&app).set("limits.rooms_per_connection", "1").start();
    let mut ann = Member::enter(&server, "ann");
    assert_eq!(ann.refused("event", "\"event\":\"e\",\"payload\":1"), "hook_timeout");
    server.await_log("the verdict could not be carried out whole: no place in \"b\"");
    ann.lives();
    server.stop();
}

#[test]
fn state_is_carried_replaced_and_cleared() {
    let app = App::start(|call| match (call.kind.as_str(), call.data["payload"].as_u64()) {
        ("connect", _) => Reply::text(200, "{\"allow\":true,\"state\":{\"n\":  0}}"),
        ("message", Some(9)) => Reply::text(200, "{\"state\":null}"),
        ("message", Some(n)) if n < 9 => Reply::verdict(&json!({ "state": { "n": n } })),
        ("message", Some(n)) => Reply::verdict(&json!({ "state": "x".repeat(n as usize) })),
        _ => Reply::yes(),
    });
    let server = Setup::new(1).hooks(&app).start();
    let mut ann = Member::enter(&server, "ann");
    let mut seen = |n: u64| {
        let answer = ann.ask("event", &format!("\"event\":\"e\",\"payload\":{n}"));
        (app.last("message").data["state"].clone(), answer["code"].clone())
    };
    assert_eq!(seen(1), (json!({ "n": 0 }), Value::Null));
    assert_eq!(seen(2), (json!({ "n": 1 }), Value::Null));
    // Longer than hooks.state: the one before stays.
    assert_eq!(seen(4095), (json!({ "n": 2 }), json!("hook_timeout")));
    assert_eq!(seen(9), (json!({ "n": 2 }), Value::Null));
    assert_eq!(seen(3), (Value::Null, Value::Null));
    drop(ann);
    assert_eq!(app.await_calls("disconnect", 1)[0].data["state"], json!({ "n": 3 }));
    server.stop();
}

#[test]
fn a_streams_rooms_are_asked_in_order_before_it_is_answered() {
    let app = App::start(|call| match (call.kind.as_str(), call.data["room"].as_str()) {
        ("connect", _) => Reply::verdict(&json!({ "allow": true, "join": ["everybody"], "state": 1 })),
        ("join", Some("chat:no")) => Reply::verdict(&json!({ "allow": false, "reason": "full" })),
        ("join", Some("chat:odd")) => Reply::text(500, ""),
        ("join", Some(room)) => {
            Reply::verdict(&json!({ "allow": true, "publish": [{ "room": room, "payload": "came" }] }))
        }
        _ => Reply::yes(),
    });
    let rules =
        [["chat:*", "hook", "nobody"], ["open", "authenticated", "nobody"], ["*", "nobody", "nobody"]];
    let server = Setup::new(2).hooks(&app).rooms(&rules).start();
    let token = server.token("ann");
    let target = |rooms: &str| format!("/events?{rooms}&token={token}");
    let mut events = Events::open(&server, &target("room=chat:b&room=open&room=chat:a"), "");
    events.begins(4);
    let asked: Vec<String> = app.calls("join").iter().map(|it| it.text("room").to_owned()).collect();
    assert_eq!(asked, ["chat:b", "chat:a"]);
    assert!(app.calls("join").iter().all(|it| it.data["connection"].is_null() && it.data["state"] == 1));
    // What the verdicts publish she hears, for she is in all of her rooms by then.
    let mut came = [events.block(), events.block()];
    came.sort();
    assert!(came[0].contains("room: chat:a") && came[1].contains("room: chat:b"), "{came:?}");
    assert_eq!(
        Api::of(&server).post("/api/publish", "{\"room\":\"everybody\",\"payload\":7}"),
        json!({ "position": null })
    );
    assert!(events.block().contains("room: everybody\ndata: 7"));
    let mut socket = Socket::connect(server.public);
    let refused = socket.get(&target("room=chat:a&room=chat:no")).unwrap();
    assert_eq!((refused.status, String::from_utf8_lossy(&refused.body).contains("full")), (403, true));
    assert_eq!(socket.get(&target("room=elsewhere")).unwrap().status, 403);
    let unheard = socket.get(&target("room=chat:odd")).unwrap();
    assert!(unheard.status == 200 && unheard.body.starts_with(b"retry: "), "{unheard:?}");
    drop(events);
    let ended = app.await_calls("disconnect", 3);
    let mut rooms: Vec<usize> = ended.iter().map(|it| it.data["rooms"].as_array().unwrap().len()).collect();
    rooms.sort();
    assert_eq!(rooms, [0, 0, 4], "of two that were let in, and had no stream after all, the end is told too");
    server.stop();
}

#[test]
fn a_late_yes_is_a_yes_though_the_heads_time_is_over() {
    let app = App::start(|call| match call.kind.as_str() {
        "connect" | "join" => Reply::yes().after(Duration::from_millis(800)),
        _ => Reply::yes(),
    });
    let setup =
        Setup::new(1).hooks(&app).set("limits.head_deadline", "\"1s\"").set("hooks.timeout", "\"4s\"");
    let server = setup.rooms(&[["chat:*", "hook", "nobody"]]).start();
    let target = format!("/events?room=chat:a&room=chat:b&token={}", server.token("ann"));
    let mut events = Events::open(&server, &target, "");
    events.begins(2);
    Api::of(&server).post("/api/publish", "{\"room\":\"chat:b\",\"payload\":7}");
    assert!(events.block().contains("data: 7"), "nothing of its socket was cut");
    app.answer(|_| Reply::yes().after(Duration::from_millis(1300)));
    Member::enter(&server, "bob").lives();
    server.stop();
}

#[test]
fn claims_of_a_token_are_told_whole() {
    let app = App::start(|_| Reply::yes());
    let server = Setup::new(1).hooks(&app).start();
    let token = mint(&json!({ "sub": "ann", "exp": now_s() + 60, "plan": { "seats": [1, 2] } }));
    Member::greeted(Socket::connect(server.public), &token, "ann");
    let call = app.last("connect");
    assert_eq!(call.data["claims"]["plan"], json!({ "seats": [1, 2] }));
    assert_eq!((call.text("user"), &call.data["query"]), ("ann", &Value::Null));
    assert!(call.data["token"].is_null(), "a token that was judged is nobody's business: {call:?}");
    server.stop();
}

//! The API by the socket: what it does to those who are there, and what it says of them.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{
    Api, Events, Member, PATIENCE, Server, Setup, Socket, Stalled, done, number_of, refusal, request, until,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, io::Read};

/// Members on every shard there is, in the order they came.
fn members_on_each(server: &Server, user: &str, shards: u64) -> Vec<Member> {
    let mut members = Vec::new();
    until("somebody sits on each shard", PATIENCE, || {
        members.push(Member::enter(server, user));
        let seats: BTreeSet<u64> = members.iter().map(|member| member.shard).collect();
        (seats.len() as u64 == shards && members.len() >= 3).then_some(())
    });
    members
}

/// The next message's payload.
fn heard(member: &mut Member) -> Value {
    let message: Value = serde_json::from_str(&member.hear()).unwrap();
    assert_eq!(message["type"], "message", "{message}");
    message["payload"].clone()
}

#[test]
fn a_publication_reaches_members_on_every_shard_byte_for_byte() {
    for (setup, shards) in Setup::each().into_iter().zip([1, 2]) {
        let server = setup.start();
        let mut members = members_on_each(&server, "u", shards);
        members.iter_mut().for_each(|member| member.join("r"));
        let mut api = Api::of(&server);
        let answer =
            api.post("/api/publish", r#"{"room":"r","event":"e","payload":{"a": [1.00, "\ud800"]}}"#);
        assert_eq!(answer, json!({ "position": null }));
        for member in &mut members {
            assert_eq!(
                member.hear(),
                r#"{"type":"message","room":"r","event":"e","payload":{"a": [1.00, "\ud800"]}}"#
            );
        }
        assert_eq!(
            api.post("/api/publish", r#"{"room":"nobody's","payload":1}"#),
            json!({ "position": null })
        );
        assert_eq!(server.metric("vestibule_api_published_total"), 2.0);
        server.stop();
    }
}

#[test]
fn an_array_of_1000_comes_in_order_to_members_on_every_shard() {
    for (setup, shards) in Setup::each().into_iter().zip([1, 2]) {
        let server = setup.start();
        let mut members = members_on_each(&server, "u", shards);
        for member in &mut members {
            member.join("most");
            member.join("few");
        }
        let is_of_few = |n: u32| n.is_multiple_of(10);
        let item = |n: u32| {
            let room = if is_of_few(n) { "few" } else { "most" };
            format!("{{\"room\":\"{room}\",\"payload\":{n}}}")
        };
        let body = format!("[{}]", (0..1000).map(item).collect::<Vec<_>>().join(","));
        let answer = Api::of(&server).post("/api/publish", &body);
        assert_eq!(answer, Value::from(vec![json!({ "position": null }); 1000]));
        for member in &mut members {
            let numbers: Vec<u32> = (0..1000).map(|_| number_of(member.hear().as_bytes()).unwrap()).collect();
            let (few, most): (Vec<u32>, Vec<u32>) = numbers.into_iter().partition(|&n| is_of_few(n));
            assert!(few.len() == 100 && few.is_sorted(), "{few:?}");
            assert!(most.len() == 900 && most.is_sorted(), "{most:?}");
        }
        if shards > 1 {
            // More than a home lets go before the other shard has taken some.
            until("it had to wait", PATIENCE, || {
                (server.metric("vestibule_waits_total") > 0.0).then_some(())
            });
        }
        server.stop();
    }
}

#[test]
fn whoever_is_excepted_gets_nothing() {
    for (setup, shards) in Setup::each().into_iter().zip([1, 2]) {
        let server = setup.start();
        let [mut ann, mut bob, mut eve] =
            ["ann", "bob", "eve"].map(|user| members_on_each(&server, user, shards));
        for member in ann.iter_mut().chain(&mut bob).chain(&mut eve) {
            member.join("r");
        }
        eve[1].join("quiet");
        let spared = [bob[1].connection.clone(), eve[1].connection.clone()];
        let mut api = Api::of(&server);
        api.post(
            "/api/publish",
            &format!(
                r#"{{"room":"r","payload":1,"except":{{"users":["ann","nobody"],"rooms":["quiet","none"],
                   "connections":["{}","ffff0000000100000001"]}}}}"#,
                spared[0]
            ),
        );
        api.post("/api/publish", r#"{"room":"r","payload":2}"#);
        for member in bob.iter_mut().chain(&mut eve).filter(|member| !spared.contains(&member.connection)) {
            assert_eq!(heard(member), 1, "{}", member.connection);
        }
        for member in ann.iter_mut().chain(&mut bob).chain(&mut eve) {
            assert_eq!(heard(member), 2, "{}", member.connection);
        }
        server.stop();
    }
}

#[test]
fn the_same_room_and_id_is_published_once_however_many_ask_at_once() {
    for (setup, shards) in Setup::each().into_iter().zip([1, 2]) {
        let server = setup.start();
        let mut members = members_on_each(&server, "u", shards);
        members.iter_mut().for_each(|member| member.join("r"));
        let mut callers: Vec<Api> = (0..20).map(|_| Api::of(&server)).collect();
        for round in 0..10 {
            let body = format!("{{\"room\":\"r\",\"payload\":{round},\"id\":\"order-{round}\"}}");
            let request = request("POST", "/api/publish", Some(&body));
            callers.iter_mut().for_each(|api| api.socket.send(request.as_bytes()));
            for api in &mut callers {
                assert_eq!(done(&api.answer()), json!({ "position": null }));
            }
        }
        let twice = r#"[{"room":"r","payload":10,"id":"x"},{"room":"r","payload":"again","id":"x"},
            {"room":"other","payload":"elsewhere","id":"x"}]"#;
        callers[0].post("/api/publish", twice);
        callers[0].post("/api/publish", r#"{"room":"r","payload":11}"#);
        for member in &mut members {
            let payloads: Vec<Value> = (0..12).map(|_| heard(member)).collect();
            assert_eq!(payloads, (0..12).map(Value::from).collect::<Vec<_>>());
        }
        assert_eq!(server.metric("vestibule_api_repeated_total"), 191.0);
        assert_eq!(server.metric("vestibule_api_published_total"), 13.0);
        server.stop();
    }
}

#[test]
fn a_user_joins_and_leaves_by_the_api_on_every_shard() {
    for (setup, shards) in Setup::each().into_iter().zip([1, 2]) {
        // No rule lets anybody do it.
        let server = setup.rooms(&[]).start();
        let mut members = members_on_each(&server, "ann", shards);
        let mut other = Member::enter(&server, "other");
        let count = members.len();
        let mut api = Api::of(&server);
        for room in ["r 1", "r/2", "r%3", "\u{e9}"] {
            let path = |verb| format!("/api/rooms/{}/{verb}", percent(room));
            let ann = r#"{"user":"ann"}"#;
            assert_eq!(api.post(&path("join"), ann), json!({ "joined": count }));
            assert_eq!(api.post(&path("join"), ann), json!({ "joined": 0 }), "they are members already");
            let publish = |api: &mut Api, payload: i32| {
                api.post("/api/publish", &json!({ "room": room, "payload": payload }).to_string());
            };
            publish(&mut api, 1);
            members.iter_mut().for_each(|member| assert_eq!(heard(member), 1));
            let one = json!({ "connection": members[1].connection }).to_string();
            assert_eq!(api.post(&path("leave"), &one), json!({ "left": 1 }));
            assert_eq!(api.post(&path("leave"), &one), json!({ "left": 0 }));
            publish(&mut api, 2);
            assert_eq!(heard(&mut members[0]), 2);
            assert_eq!(api.post(&path("join"), &one), json!({ "joined": 1 }));
            publish(&mut api, 3);
            assert_eq!(heard(&mut members[1]), 3);
            assert_eq!(api.post(&path("leave"), ann), json!({ "left": count }));
            publish(&mut api, 4);
            for (nth, member) in members.iter_mut().enumerate() {
                if nth != 1 {
                    assert_eq!((nth > 0).then(|| heard(member)), (nth > 0).then(|| json!(2)));
                    assert_eq!(heard(member), 3);
                }
                member.lives();
                assert!(member.kept().is_empty(), "who has left hears nothing");
            }
        }
        assert_eq!(api.post("/api/rooms/r/join", r#"{"user":"nobody"}"#), json!({ "joined": 0 }));
        assert_eq!(api.post("/api/rooms/r/leave", r#"{"user":"nobody"}"#), json!({ "left": 0 }));
        for name in ["ffff0000000100000001", "00000000000100000fff", "x", ""] {
            let who = json!({ "connection": name }).to_string();
            let (status, error) = api.refused("POST", "/api/rooms/r/join", Some(&who));
            assert_eq!((status, &error["code"]), (404, &json!("no_connection")), "{name}");
        }
        other.lives();
        assert!(other.kept().is_empty());
        server.stop();
    }
}

#[test]
fn limits_hold_for_whoever_is_joined_by_the_api() {
    for (setup, shards) in Setup::each().into_iter().zip([1, 2]) {
        let server = setup.set("limits.rooms_per_connection", "2").set("limits.rooms", "3").start();
        let mut members = members_on_each(&server, "ann", shards);
        let count = members.len();
        let mut api = Api::of(&server);
        let ann = r#"{"user":"ann"}"#;
        members[0].join("own 1");
        members[0].join("own 2");
        assert_eq!(api.post("/api/rooms/r/join", ann), json!({ "joined": count - 1 }), "one is in two rooms");
        assert!(server.metric("vestibule_api_limited_total") >= 1.0);
        assert_eq!(api.post("/api/rooms/fourth/join", ann), json!({ "joined": 0 }), "there are three");
        server.stop();
    }
}

#[test]
fn a_user_or_a_connection_is_told_goodbye() {
    for (setup, shards) in Setup::each().into_iter().zip([1, 2]) {
        let server = setup.start();
        let mut api = Api::of(&server);
        let mut other = Member::enter(&server, "other");
        let a_b = members_on_each(&server, "a/b", shards);
        let count = a_b.len();
        assert_eq!(api.post("/api/users/a%2Fb/disconnect", ""), json!({ "disconnected": count }));
        for mut member in a_b {
            let closed = member.closed();
            assert_eq!((closed.code, closed.reason.as_str()), (Some(4003), ""));
        }
        let mut ann = members_on_each(&server, "ann", shards);
        let path = format!("/api/connections/{}/disconnect", ann[0].connection);
        assert_eq!(api.post(&path, r#"{"code":4321,"reason":"h\u00e9"}"#), json!({ "disconnected": 1 }));
        let closed = ann.remove(0).closed();
        assert_eq!((closed.code, closed.reason.as_str()), (Some(4321), "h\u{e9}"));
        server.await_metric("vestibule_connections", ann.len() as f64 + 1.0);
        assert_eq!(api.refused("POST", &path, Some("{}")).0, 404, "it has gone");
        assert_eq!(api.refused("POST", "/api/connections/x/disconnect", None).0, 404);
        for (code, taken) in
            [(1000, true), (1013, true), (4999, true), (1002, false), (3000, false), (5000, false)]
        {
            let body = format!("{{\"code\":{code}}}");
            let status = api.call("POST", "/api/users/nobody/disconnect", Some(&body)).status;
            assert_eq!(status == 200, taken, "{code}");
        }
        // Without a body at all, too.
        assert_eq!(done(&api.call("POST", "/api/users/ann/disconnect", None))["disconnected"], ann.len());
        ann.iter_mut().for_each(|member| assert_eq!(member.closed().code, Some(4003)));
        other.lives();
        server.stop();
    }
}

#[test]
fn where_one_shard_stands_still_it_is_told_what_the_others_have_done() {
    let server = Setup::new(2).start();
    let mut members = members_on_each(&server, "ann", 2);
    members.sort_by_key(|member| member.shard);
    let here = members.iter().filter(|member| member.shard == 0).count();
    // A caller whose own shard goes on: a request's name tells which it is.
    let mut api = until("a caller sits on shard 0", PATIENCE, || {
        let mut api = Api::of(&server);
        let named = api.call("GET", "/api/rooms", None);
        named.header("x-request-id").unwrap().contains("-0-").then_some(api)
    });
    let Some(stalled) = Stalled::thread(server.pid(), "shard-1") else { return server.stop() };
    let (status, error) = refusal(&api.call("POST", "/api/users/ann/disconnect", None));
    assert_eq!((status, &error["code"]), (503, &json!("busy")));
    let message = error["message"].as_str().unwrap();
    let told = format!("done for {here} of the user's connections; a worker did not answer in time");
    assert!(message.starts_with(&told), "{message}");
    members[..here].iter_mut().for_each(|member| assert_eq!(member.closed().code, Some(4003)));
    drop(stalled);
    members[here..].iter_mut().for_each(|member| assert_eq!(member.closed().code, Some(4003)));
    assert_eq!(api.post("/api/users/ann/disconnect", ""), json!({ "disconnected": 0 }));
    server.stop();
}

#[test]
fn lists_tell_who_is_there() {
    for (setup, shards) in Setup::each().into_iter().zip([1, 2]) {
        let server = setup.start();
        let mut members = members_on_each(&server, "ann", shards);
        let mut bob = Member::enter(&server, "bob");
        members.iter_mut().for_each(|member| member.join("b&=#"));
        bob.join("a");
        bob.join("b&=#");
        let count = members.len();
        let mut api = Api::of(&server);
        let room = |name: &str, members: usize| json!({ "room": name, "members": members });
        assert_eq!(
            api.get("/api/rooms"),
            json!({ "rooms": [room("a", 1), room("b&=#", count + 1)], "next": null })
        );
        assert_eq!(api.get("/api/rooms?limit=1"), json!({ "rooms": [room("a", 1)], "next": "a" }));
        assert_eq!(
            api.get("/api/rooms?after=a&limit=1"),
            json!({ "rooms": [room("b&=#", count + 1)], "next": null })
        );
        assert_eq!(
            api.get("/api/users"),
            json!({ "users": [{ "user": "ann", "connections": count }, { "user": "bob", "connections": 1 }], "next": null })
        );
        let mut names: Vec<&str> = members.iter().chain([&bob]).map(|member| &*member.connection).collect();
        names.sort_unstable();
        let told = |it: &Value| it["connection"].as_str().unwrap().to_owned();
        let listed = api.pages("/api/connections", "connections", 2, || ());
        assert_eq!(listed.iter().map(told).collect::<Vec<_>>(), names);
        let of_bob = api.get("/api/connections?user=bob")["connections"].clone();
        assert_eq!(
            of_bob,
            json!([{ "connection": bob.connection, "user": "bob", "transport": "websocket", "rooms": ["a", "b&=#"] }])
        );
        let one = api.get("/api/rooms/b%26=%23?limit=1000");
        assert_eq!(
            (&one["room"], &one["members"], &one["position"], &one["next"]),
            (&json!("b&=#"), &json!(count + 1), &json!(null), &json!(null))
        );
        let of_room = api.pages("/api/rooms/b%26=%23", "connections", 1, || ());
        assert_eq!(of_room.iter().map(told).collect::<Vec<_>>(), names);
        assert!(of_room.contains(&json!({ "connection": bob.connection, "user": "bob" })));
        assert_eq!(api.get("/api/rooms/nobody's")["members"], 0);
        let mut head = Socket::connect(server.admin);
        let fields = format!("Authorization: Bearer {}\r\nConnection: close", Api::KEY);
        head.send(
            format!("HEAD /api/rooms/a HTTP/1.1\r\nHost: vestibule.test\r\n{fields}\r\n\r\n").as_bytes(),
        );
        let mut answer = String::new();
        head.into_parts().0.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
        server.stop();
    }
}

#[test]
fn whoever_stays_is_listed_once_while_others_come_and_go() {
    const STAY: usize = 2500;
    for setup in Setup::each() {
        let server = setup.start();
        let stay: Vec<Member> = (0..STAY)
            .map(|n| {
                let mut member = Member::enter(&server, &format!("stay-{n:04}"));
                member.say(&format!("{{\"type\":\"join\",\"room\":\"room-{n:04}\"}}"));
                member
            })
            .collect();
        server.await_metric("vestibule_homes", STAY as f64);
        let mut guests: Vec<Member> = Vec::new();
        let mut number = 0;
        let mut churn = || {
            for _ in 0..5 {
                number += 1;
                let mut guest = Member::enter(&server, &format!("guest-{number}"));
                // Before, between and behind those who stay.
                guest.join(&format!("{}oom-{number}", ["q", "room-1r", "s"][number % 3]));
                guests.push(guest);
            }
            if guests.len() > 20 {
                guests.drain(..7);
            }
        };
        let mut api = Api::of(&server);
        for (path, key, name, expected) in [
            ("/api/rooms", "rooms", "room", (0..STAY).map(|n| format!("room-{n:04}")).collect::<Vec<_>>()),
            ("/api/users", "users", "user", (0..STAY).map(|n| format!("stay-{n:04}")).collect()),
            (
                "/api/connections",
                "connections",
                "connection",
                stay.iter().map(|it| it.connection.clone()).collect(),
            ),
        ] {
            let listed = api.pages(path, key, 333, &mut churn);
            let names: Vec<&str> = listed.iter().map(|it| it[name].as_str().unwrap()).collect();
            assert!(names.is_sorted_by(|a, b| a < b), "{path}: in order, and none twice");
            let once: BTreeSet<&str> = names.into_iter().collect();
            assert!(expected.iter().all(|name| once.contains(&**name)), "{path}: somebody is missing");
        }
        assert_eq!(number, 7 * 5 * 3);
        drop((stay, guests));
        server.stop();
    }
}

#[test]
fn what_a_room_keeps_is_told_from_a_place_on() {
    for (setup, shards) in Setup::each().into_iter().zip([1, 2]) {
        let server = setup.history("kept*", 3, "1m").start();
        let mut members = members_on_each(&server, "ann", shards);
        let mut api = Api::of(&server);
        // On whichever shard its home is.
        for room in ["kept1", "kept2", "kept3"] {
            let path = format!("/api/rooms/{room}/history");
            assert_eq!(api.get(&path), json!({ "room": room, "position": null, "publications": [] }));
            let positions: Vec<String> = (0..5)
                .map(|n| {
                    let item =
                        json!({ "room": room, "payload": { "n": n }, "event": "e", "id": n.to_string() });
                    let told = api.post("/api/publish", &item.to_string());
                    assert_eq!(api.post("/api/publish", &item.to_string()), told, "the same answer again");
                    told["position"].as_str().unwrap().to_owned()
                })
                .collect();
            let (epoch, _) = positions[0].split_once('-').unwrap();
            assert_eq!(positions, (1..=5).map(|offset| format!("{epoch}-{offset}")).collect::<Vec<_>>());
            let told = |n: usize| json!({ "position": positions[n], "event": "e", "payload": { "n": n } });
            let publications = json!([told(2), told(3), told(4)]);
            assert_eq!(
                api.get(&path),
                json!({ "room": room, "position": positions[4], "publications": publications })
            );
            let since = |since: &str| format!("{path}?since={since}");
            let held = api.get(&since(&positions[3]));
            assert_eq!((&held["recovered"], &held["publications"]), (&json!(true), &json!([told(4)])));
            assert_eq!(api.get(&since(&positions[4]))["publications"], json!([]));
            let first = api.get(&format!("{}&limit=1", since("earliest")));
            assert_eq!((&first["recovered"], &first["publications"]), (&json!(true), &json!([told(2)])));
            assert_eq!(api.get(&since(&positions[0]))["recovered"], false, "it is not held any more");
            assert_eq!(api.get(&since("00000001-0"))["recovered"], false, "another epoch");
            assert_eq!(api.refused("GET", &since("x"), None).0, 400);
            // Nobody was there so far; who joins on behalf stands at the end.
            let rooms = api.get("/api/rooms");
            assert!(
                rooms["rooms"].as_array().unwrap().contains(&json!({ "room": room, "members": 0 })),
                "{rooms}"
            );
            assert_eq!(
                api.post(&format!("/api/rooms/{room}/join"), r#"{"user":"ann"}"#)["joined"],
                members.len()
            );
            assert_eq!(api.get(&format!("/api/rooms/{room}"))["position"], json!(positions[4]));
            api.post("/api/publish", &json!({ "room": room, "payload": "live" }).to_string());
            members.iter_mut().for_each(|member| assert_eq!(heard(member), "live"));
        }
        assert_eq!(api.refused("GET", "/api/rooms/other/history", None).0, 404);
        server.stop();
    }
}

#[test]
fn a_stream_is_told_listed_and_sent_off_and_joins_nothing() {
    for setup in Setup::each() {
        let server = setup.start();
        let token = server.token("ann");
        let mut stream = Events::open(&server, &format!("/events?room=a&room=b&token={token}"), "");
        stream.begins(2);
        let mut api = Api::of(&server);
        let listed = api.get("/api/connections")["connections"][0].clone();
        assert_eq!(
            (&listed["user"], &listed["transport"], &listed["rooms"]),
            (&json!("ann"), &json!("sse"), &json!(["a", "b"]))
        );
        let ann = r#"{"user":"ann"}"#;
        assert_eq!(api.post("/api/rooms/c/join", ann), json!({ "joined": 0 }));
        assert_eq!(api.post("/api/rooms/b/leave", ann), json!({ "left": 1 }));
        api.post(
            "/api/publish",
            r#"[{"room":"b","payload":1},{"room":"c","payload":2},{"room":"a","event":"e","payload":3}]"#,
        );
        assert_eq!(stream.block(), "room: a\nevent: e\ndata: 3");
        assert_eq!(
            api.post("/api/users/ann/disconnect", r#"{"reason":"bye"}"#),
            json!({ "disconnected": 1 })
        );
        let goodbye = stream.block();
        assert!(
            goodbye.contains("event: close") && goodbye.contains(r#"{"code":4003,"reason":"bye"}"#),
            "{goodbye}"
        );
        stream.ends();
        server.stop();
    }
}

/// A name as a part of a path.
fn percent(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

//! Rooms by the socket: who may join, what is delivered to whom, and how a member goes.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Closed, Member, Server, Setup, Socket, client_frame, gauge, mint, now_s};
use serde_json::{Value, json};

#[test]
fn a_publication_reaches_the_other_members_and_not_its_sender() {
    for setup in Setup::each() {
        speaks_and_is_heard(&setup);
    }
}

#[test]
fn epoll_delivers_to_the_other_members_too() {
    speaks_and_is_heard(&Setup::epoll());
}

fn speaks_and_is_heard(setup: &Setup) {
    let server = setup.start();
    let mut members: Vec<Member> = (0..6).map(|n| Member::enter(&server, &format!("user-{n}"))).collect();
    for member in &mut members {
        member.say("{\"type\":\"join\",\"room\":\"lobby\",\"id\":\"j\"}");
        assert_eq!(member.hear(), "{\"type\":\"ack\",\"id\":\"j\"}");
    }
    members[0].say("{\"type\":\"broadcast\",\"room\":\"lobby\",\"payload\":\"one\"}");
    for member in &mut members[1..] {
        assert_eq!(member.hear(), "{\"type\":\"message\",\"room\":\"lobby\",\"payload\":\"one\"}");
    }
    // Had the sender's own message been meant for it, it would stand before this one.
    members[1].say("{\"type\":\"broadcast\",\"room\":\"lobby\",\"event\":\"greeting\",\"payload\":\"two\"}");
    for n in [0, 2, 3, 4, 5] {
        let heard: Value = serde_json::from_str(&members[n].hear()).unwrap();
        assert_eq!(
            heard,
            json!({ "type": "message", "room": "lobby", "event": "greeting", "payload": "two" })
        );
    }
    members[2].leave("lobby");
    members[0].broadcast("lobby", "3");
    for n in [1, 3, 4, 5] {
        assert_eq!(members[n].hear(), "{\"type\":\"message\",\"room\":\"lobby\",\"payload\":3}");
    }
    members[2].join("lobby");
    members[0].broadcast("lobby", "4");
    assert_eq!(
        members[2].hear(),
        "{\"type\":\"message\",\"room\":\"lobby\",\"payload\":4}",
        "3 was not for it"
    );
    server.stop();
}

#[test]
fn a_payload_arrives_byte_for_byte() {
    let payloads = [
        "null",
        "-0.10e+02",
        "123456789012345678901234567890.000",
        "\"\\u00e9\\/\\ud83d\\ude00 \u{e9}\u{1f600}\"",
        "{ \"b\" : 1 ,\t\"a\":[ ],\"b\":2 , \"type\":\"join\" }",
        "[[[[]]], {\"}\":\"]\\\\\\\"\"} ]",
        "\"\"",
        " [1,\r\n2] ",
    ];
    for setup in Setup::each() {
        let server = setup.start();
        let (mut ann, mut bob) = (Member::enter(&server, "ann"), Member::enter(&server, "bob"));
        bob.join("r");
        for payload in payloads {
            ann.say(&format!("{{\"payload\":{payload},\"extra\":0,\"room\":\"r\",\"type\":\"broadcast\"}}"));
            let wanted = format!("{{\"type\":\"message\",\"room\":\"r\",\"payload\":{}}}", payload.trim());
            assert_eq!(bob.hear(), wanted);
        }
        let long = format!("\"{}\"", "long ".repeat(10_000));
        ann.say(&format!("{{\"type\":\"broadcast\",\"room\":\"r\",\"payload\":{long}}}"));
        assert_eq!(bob.hear(), format!("{{\"type\":\"message\",\"room\":\"r\",\"payload\":{long}}}"));
        server.stop();
    }
}

#[test]
fn one_senders_publications_arrive_in_the_order_sent() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut sender = Member::enter(&server, "sender");
        let mut members: Vec<Member> = (0..4).map(|n| Member::enter(&server, &format!("user-{n}"))).collect();
        for member in &mut members {
            member.join("r");
        }
        let mut batch = Vec::new();
        for n in 0..500 {
            batch.extend(harness::publication("r", n));
        }
        // Cut at a stride that divides nothing, so that frames straddle reads.
        for piece in batch.chunks(1009) {
            sender.socket.send(piece);
        }
        for member in &mut members {
            let heard: Vec<_> = (0..500).map(|_| harness::number_of(member.hear().as_bytes())).collect();
            assert_eq!(heard, (0..500).map(Some).collect::<Vec<_>>());
        }
        server.stop();
    }
}

#[test]
fn broadcasting_needs_the_rules_leave_and_no_membership() {
    for setup in Setup::each() {
        let server = setup.start();
        let (mut outside, mut inside) = (Member::enter(&server, "out"), Member::enter(&server, "in"));
        inside.join("r");
        outside.broadcast("r", "1");
        assert_eq!(inside.hear(), "{\"type\":\"message\",\"room\":\"r\",\"payload\":1}");
        outside.broadcast("empty", "1");
        outside.lives();
        server.stop();
    }
}

#[test]
fn without_a_rule_nobody_joins_or_publishes() {
    for setup in Setup::each() {
        let server = setup.rooms(&[]).start();
        let mut ann = Member::enter(&server, "ann");
        assert_eq!(ann.refused("join", "\"room\":\"r\""), "forbidden");
        assert_eq!(ann.refused("broadcast", "\"room\":\"r\",\"payload\":1"), "forbidden");
        ann.lives();
        server.await_metric(gauge::MEMBERS, 0.0);
        server.stop();
    }
}

#[test]
fn the_first_rule_that_matches_a_room_decides() {
    let rules = [
        ["user:{user}", "owner", "nobody"],
        ["user:*", "nobody", "nobody"],
        ["news", "anyone", "nobody"],
        ["listed:*", "token", "token"],
        ["chat:*", "authenticated", "authenticated"],
    ];
    for setup in Setup::each() {
        let server = setup.rooms(&rules).start();
        let mut ann = Member::enter(&server, "ann");
        for room in ["user:ann", "news", "chat:a", "chat:"] {
            ann.join(room);
        }
        for room in ["user:bob", "user:", "news2", "listed:a", "chat", "other"] {
            assert_eq!(ann.refused("join", &format!("\"room\":\"{room}\"")), "forbidden", "{room}");
        }
        for room in ["user:ann", "news", "listed:a"] {
            let rest = format!("\"room\":\"{room}\",\"payload\":1");
            assert_eq!(ann.refused("broadcast", &rest), "forbidden", "{room}");
        }
        let claims = json!({ "sub": "bob", "exp": now_s() + 3600, "rooms": ["listed:a*"] });
        let mut bob = Member::greeted(Socket::connect(server.public), &mint(&claims), "bob");
        bob.join("listed:abc");
        bob.broadcast("listed:abc", "1");
        assert_eq!(bob.refused("join", "\"room\":\"listed:b\""), "forbidden");
        server.stop();
    }
}

#[test]
fn what_a_rule_refuses_is_told_and_the_connection_stays() {
    for setup in Setup::each() {
        let server = setup.set("limits.rooms_per_connection", "3").start();
        let mut ann = Member::enter(&server, "ann");
        assert_eq!(ann.refused("leave", "\"room\":\"r\""), "not_joined");
        for room in ["a", "b", "c"] {
            ann.join(room);
        }
        assert_eq!(ann.refused("join", "\"room\":\"d\""), "too_many_rooms");
        ann.leave("b");
        ann.join("d");
        assert_eq!(ann.refused("leave", "\"room\":\"b\""), "not_joined");
        assert_eq!(ann.refused("event", "\"event\":\"e\",\"payload\":1"), "no_hook");
        assert_eq!(ann.refused("subscribe", "\"room\":\"r\""), "unknown_type");
        ann.lives();
        server.stop();
    }
}

#[test]
fn a_room_name_may_have_256_bytes_and_not_257() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut ann = Member::enter(&server, "ann");
        ann.join(&"r".repeat(256));
        ann.join(&"\u{e9}".repeat(128));
        for name in [String::new(), "r".repeat(257), "\u{e9}".repeat(128) + "r"] {
            assert_eq!(
                ann.refused("join", &format!("\"room\":\"{name}\"")),
                "room_name",
                "{} bytes",
                name.len()
            );
            let rest = format!("\"room\":\"{name}\",\"payload\":1");
            assert_eq!(ann.refused("broadcast", &rest), "room_name", "{} bytes", name.len());
        }
        ann.lives();
        server.stop();
    }
}

#[test]
fn a_name_that_json_writes_in_two_ways_is_one_room() {
    let server = Setup::new(2).start();
    let (mut ann, mut bob) = (Member::enter(&server, "ann"), Member::enter(&server, "bob"));
    ann.join("a\\u00e9\\\"b");
    bob.broadcast("\\u0061\u{e9}\\u0022b", "1");
    let heard: Value = serde_json::from_str(&ann.hear()).unwrap();
    assert_eq!(heard, json!({ "type": "message", "room": "a\u{e9}\"b", "payload": 1 }));
    server.stop();
}

#[test]
fn joining_twice_delivers_once() {
    for setup in Setup::each() {
        let server = setup.start();
        let (mut ann, mut bob) = (Member::enter(&server, "ann"), Member::enter(&server, "bob"));
        ann.join("r");
        ann.join("r");
        bob.broadcast("r", "1");
        bob.broadcast("r", "2");
        assert_eq!(ann.hear(), "{\"type\":\"message\",\"room\":\"r\",\"payload\":1}");
        assert_eq!(ann.hear(), "{\"type\":\"message\",\"room\":\"r\",\"payload\":2}");
        server.await_metric(gauge::MEMBERS, 1.0);
        ann.leave("r");
        assert_eq!(ann.refused("leave", "\"room\":\"r\""), "not_joined");
        server.stop();
    }
}

#[test]
fn an_id_comes_back_as_it_was_sent() {
    let server = Setup::new(1).start();
    let mut ann = Member::enter(&server, "ann");
    for id in ["7", "-1.50e3", "\"seven\"", "\"\\u0037\\n\"", "\"\u{e9}\""] {
        ann.say(&format!("{{\"type\":\"broadcast\",\"room\":\"r\",\"payload\":0,\"id\":{id}}}"));
        assert_eq!(ann.hear(), format!("{{\"type\":\"ack\",\"id\":{id}}}"));
        ann.say(&format!("{{\"id\":{id},\"type\":\"leave\",\"room\":\"r\"}}"));
        let error = ann.hear();
        assert!(error.contains(&format!("\"id\":{id}")) && error.contains("\"not_joined\""), "{error}");
    }
    server.stop();
}

#[test]
fn a_message_that_is_none_is_told_and_a_binary_one_closes_with_1003() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut ann = Member::enter(&server, "ann");
        for text in
            ["", "{", "[]", "{\"type\":\"join\"}", "{\"type\":\"join\",\"type\":\"join\",\"room\":\"r\"}"]
        {
            ann.say(text);
            let error: Value = serde_json::from_str(&ann.hear()).unwrap();
            assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("bad_message")), "{text}");
        }
        ann.lives();
        ann.socket.send(&client_frame(0x82, b"{\"type\":\"ping\"}"));
        assert_eq!(ann.closed().code, Some(1003));
        server.stop();
    }
}

#[test]
fn a_ping_of_either_kind_is_answered() {
    let server = Setup::new(1).start();
    let mut ann = Member::enter(&server, "ann");
    ann.say("{\"type\":\"ping\"}");
    assert_eq!(ann.hear(), "{\"type\":\"pong\"}");
    ann.socket.send(&client_frame(0x89, b"are you there"));
    let pong = ann.socket.frame().unwrap();
    assert_eq!((pong.first, pong.payload.as_slice()), (0x8a, b"are you there".as_slice()));
    // An unasked pong is heard and not answered (RFC 6455 section 5.5.3).
    ann.socket.send(&client_frame(0x8a, b""));
    ann.lives();
    server.stop();
}

#[test]
fn every_way_of_leaving_takes_a_member_out_everywhere() {
    for setup in Setup::each() {
        goes_and_is_gone(&setup);
    }
}

#[test]
fn epoll_takes_out_who_goes_too() {
    goes_and_is_gone(&Setup::epoll());
}

fn goes_and_is_gone(setup: &Setup) {
    let server = setup.start();
    let ways: [Way; 7] = [
        ("a close frame", |mut member| {
            member.socket.send(&client_frame(0x88, &[0x03, 0xe8]));
            assert_eq!(member.closed(), Closed { code: Some(1000), reason: String::new() });
        }),
        ("a close frame and no patience", |mut member| {
            member.socket.send(&client_frame(0x88, &[0x03, 0xe8]))
        }),
        ("FIN on both sides", drop),
        ("RST", |member| member.socket.reset()),
        ("half a close, then reading on", |mut member| {
            member.socket.finish();
            member.socket.end();
        }),
        ("FIN inside a frame", |mut member| member.socket.send(&client_frame(0x81, b"{\"type\":\"pi")[..9])),
        ("a violation", |mut member| {
            member.socket.send(&[0x81, 0x00]);
            assert_eq!(member.closed().code, Some(1002));
        }),
    ];
    for (way, go) in ways {
        let mut stays = Member::enter(&server, "stays");
        stays.join("shared");
        let mut goes: Vec<Member> = (0..4).map(|_| Member::enter(&server, "goes")).collect();
        for (n, member) in goes.iter_mut().enumerate() {
            member.join("shared");
            member.join(&format!("own-{n}"));
        }
        assert_population(&server, way, [5.0, 9.0, 5.0]);
        goes.into_iter().for_each(go);
        assert_population(&server, way, [1.0, 1.0, 1.0]);
        let mut other = Member::enter(&server, "other");
        other.broadcast("shared", "\"still\"");
        assert_eq!(stays.hear(), "{\"type\":\"message\",\"room\":\"shared\",\"payload\":\"still\"}", "{way}");
        drop((stays, other));
        assert_population(&server, way, [0.0, 0.0, 0.0]);
        server.await_metric(gauge::ROOMS, 0.0);
        server.await_metric(gauge::LOG_BYTES, 0.0);
    }
    server.stop();
}

/// How a member goes, and what that is called.
type Way = (&'static str, fn(Member));

/// Waits for this many connections, memberships and rooms.
fn assert_population(server: &Server, way: &str, population: [f64; 3]) {
    println!("{way}: {population:?}");
    for (name, value) in [gauge::CONNECTIONS, gauge::MEMBERS, gauge::HOMES].into_iter().zip(population) {
        server.await_metric(name, value);
    }
}

//! Limits reached by the socket: what the peer is told, what is counted, and who is not touched.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Member, PATIENCE, Response, Server, Setup, Socket, until};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

#[test]
fn a_node_that_is_full_says_so_and_takes_the_next_when_one_has_gone() {
    let server = Setup::new(2).set("limits.connections", "4").start();
    await_empty(&server);
    let mut held = Vec::new();
    let refused = until("the node is full", PATIENCE, || {
        let mut socket = Socket::connect(server.public);
        let _ = socket.try_send(harness::upgrade_request("/echo", "").as_bytes());
        let response = socket.response().ok()?;
        held.push(socket);
        (response.status != 101).then_some(response)
    });
    assert_eq!((refused.status, code_of(&refused).as_str()), (503, "connections"));
    assert!((3..=5).contains(&held.len()), "{} and an operator's", held.len());
    drop(held);
    assert!(server.metric("vestibule_refused_total") >= 1.0);
    until("a place is free", PATIENCE, || {
        let mut socket = Socket::connect(server.public);
        (socket.upgrade("/echo", "").status == 101).then_some(())
    });
    server.stop();
}

#[test]
fn an_address_may_hold_so_many_connections_and_another_is_not_touched() {
    let server = Setup::new(2).set("limits.connections_per_address", "3").start();
    await_empty(&server);
    let mut held: Vec<Socket> = (0..3).map(|_| Socket::connect(server.public)).collect();
    assert!(held.iter_mut().all(|socket| socket.upgrade("/echo", "").status == 101));
    let refused = Socket::connect(server.public).response().unwrap();
    assert_eq!(refused.status, 429);
    assert_eq!(code_of(&refused), "connections_per_address");
    assert_eq!(server.metric(ADDRESS_REFUSED), 1.0);
    assert_eq!(Socket::connect_from("127.0.0.2", server.public).upgrade("/echo", "").status, 101);
    held.clear();
    until("the places are given back", PATIENCE, || {
        (Socket::connect(server.public).upgrade("/echo", "").status == 101).then_some(())
    });
    server.stop();
}

#[test]
fn forged_addresses_of_an_untrusted_peer_are_one() {
    let server = Setup::new(2).set("limits.connections_per_address", "3").start();
    await_empty(&server);
    let forged = |n: u32| format!("X-Forwarded-For: 203.0.{}.{}\r\n", n / 250, n % 250);
    let _held: Vec<Socket> = (0..3)
        .map(|n| {
            let mut socket = Socket::connect(server.public);
            assert_eq!(socket.upgrade("/echo", &forged(n)).status, 101);
            socket
        })
        .collect();
    for n in 3..1000 {
        let mut socket = Socket::connect(server.public);
        // The refusal may come, and the connection end, before the request is sent.
        let _ = socket.try_send(harness::upgrade_request("/echo", &forged(n)).as_bytes());
        assert!(socket.response().is_ok_and(|response| response.status == 429), "forgery {n}");
    }
    assert_eq!(server.metric(ADDRESS_REFUSED), 997.0);
    server.stop();
}

#[test]
fn clients_behind_a_trusted_proxy_are_told_apart() {
    let setup = Setup::new(2).set("limits.connections_per_address", "2");
    let server = setup.set("server.trusted_proxies", "[\"127.0.0.0/8\"]").start();
    let enter = |client: &str| {
        let mut socket = Socket::connect(server.public);
        let status = socket.upgrade("/echo", &format!("X-Forwarded-For: 6.6.6.6, {client}\r\n")).status;
        (status, socket)
    };
    let mut held = Vec::new();
    for client in ["203.0.113.1", "203.0.113.2", "2001:db8:0:1::1"] {
        held.extend((0..2).map(|_| enter(client)));
    }
    held.extend((0..1000).map(|n| enter(&format!("198.51.{}.{}", n / 250, n % 250))));
    assert!(held.iter().all(|(status, _)| *status == 101));
    for client in ["203.0.113.1", "203.0.113.2", "2001:db8:0:1:ffff::2"] {
        assert_eq!(enter(client).0, 429, "{client}");
    }
    assert_eq!(server.metric(ADDRESS_REFUSED), 3.0);
    drop(held);
    until("the places are given back", PATIENCE, || (enter("203.0.113.1").0 == 101).then_some(()));
    server.stop();
}

#[test]
fn requests_of_many_clients_over_one_connection_of_a_proxy_count_for_each() {
    let setup = Setup::new(1).set("limits.connections_per_address", "1");
    let server = setup.set("server.trusted_proxies", "[\"127.0.0.1\"]").start();
    let mut held = Socket::connect(server.public);
    assert_eq!(held.upgrade("/echo", "X-Forwarded-For: 203.0.113.1\r\n").status, 101);
    let mut proxy = Socket::connect(server.public);
    for (client, status) in
        [("203.0.113.2", 404), ("203.0.113.1", 429), ("203.0.113.2", 404), ("203.0.113.3", 404)]
    {
        proxy.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n").as_bytes());
        assert_eq!(proxy.response().unwrap().status, status, "{client}");
    }
    server.stop();
}

#[test]
fn a_connection_that_empties_its_bucket_is_closed_and_what_came_before_holds() {
    for setup in Setup::each() {
        let server = setup.set("limits.messages_per_second", "1").set("limits.burst", "10").start();
        let mut hasty = Member::enter(&server, "hasty");
        let mut other = Member::enter(&server, "other");
        other.join("room");
        for n in 0..20 {
            // The close may come while it still talks.
            let text = format!(r#"{{"type":"broadcast","room":"room","payload":{n}}}"#);
            let _ = hasty.socket.try_send(&harness::client_frame(0x81, text.as_bytes()));
        }
        assert_eq!(hasty.socket.closed().code, Some(4029));
        for n in 0..10 {
            assert_eq!(other.hear(), format!(r#"{{"type":"message","room":"room","payload":{n}}}"#));
        }
        other.leave("room");
        assert_eq!(other.kept(), [""; 0], "the eleventh had no token");
        assert_eq!(server.metric("vestibule_connection_limited_total"), 1.0);
        server.stop();
    }
}

#[test]
fn a_user_is_held_back_over_all_connections_and_others_are_not() {
    let server = Setup::new(2).set("limits.messages_per_second_per_user", "5").start();
    let mut members: Vec<Member> = (0..4).map(|_| Member::enter(&server, "ada")).collect();
    let mut other = Member::enter(&server, "bob");
    // The first alone may send five a second; with it, the user is spent.
    for member in &mut members {
        let _ = member.socket.try_send(&harness::client_frame(0x81, br#"{"type":"ping"}"#).repeat(50));
        assert_eq!(member.socket.closed().code, Some(4029));
    }
    assert_eq!(server.metric("vestibule_user_limited_total"), 4.0);
    other.ask("ping", "");
    server.stop();
}

#[test]
fn an_address_is_held_back_over_all_connections() {
    let server = Setup::new(2).set("limits.messages_per_second_per_address", "5").start();
    let mut members: Vec<Member> = (0..4).map(|n| Member::enter(&server, &format!("u{n}"))).collect();
    for member in &mut members {
        let _ = member.socket.try_send(&harness::client_frame(0x81, br#"{"type":"ping"}"#).repeat(50));
        assert_eq!(member.socket.closed().code, Some(4029));
    }
    assert_eq!(server.metric("vestibule_address_limited_total"), 4.0);
    server.stop();
}

#[test]
fn a_node_with_all_its_rooms_refuses_another_and_lets_more_into_those_it_has() {
    for setup in Setup::each() {
        let server = setup.set("limits.rooms", "10").set("limits.rooms_per_connection", "1000").start();
        let mut member = Member::enter(&server, "ada");
        for n in 0..10 {
            member.join(&format!("room {n}"));
        }
        server.await_metric("vestibule_homes", 10.0);
        for n in 10..40 {
            let answer = member.ask("join", &format!("\"room\":\"room {n}\""));
            assert_eq!(answer["code"], "too_many_rooms", "room {n}");
        }
        assert_eq!(server.metric("vestibule_homes"), 10.0);
        server.await_metric("vestibule_rooms_refused_total", 30.0);
        let mut other = Member::enter(&server, "bob");
        for n in 0..10 {
            other.join(&format!("room {n}"));
        }
        // A room that empties makes place for another.
        member.leave("room 3");
        other.leave("room 3");
        server.await_metric("vestibule_homes", 9.0);
        until("there is a place", PATIENCE, || {
            (other.ask("join", "\"room\":\"room 99\"")["type"] == "ack").then_some(())
        });
        server.stop();
    }
}

#[test]
fn who_asks_twice_for_a_room_that_is_refused_is_refused_twice_and_counted_once() {
    let server = Setup::new(2).set("limits.rooms", "1").start();
    let mut owner = Member::enter(&server, "owner");
    owner.join("the one");
    let mut member = Member::enter(&server, "ada");
    for n in 0..20 {
        for id in [1, 2] {
            member.say(&format!(r#"{{"type":"join","room":"room {n}","id":{id}}}"#));
        }
        for _ in [1, 2] {
            let answer: serde_json::Value = serde_json::from_str(&member.hear()).unwrap();
            assert_eq!(answer["code"], "too_many_rooms");
        }
    }
    member.join("the one");
    server.await_metric("vestibule_members", 2.0);
    server.stop();
}

#[test]
fn of_a_flood_of_pings_the_last_of_a_read_is_answered() {
    let server = Setup::new(1).start();
    let mut socket = Socket::connect(server.public);
    assert_eq!(socket.upgrade("/echo", "").status, 101);
    let pings: Vec<u8> =
        (0..1000).flat_map(|n| harness::client_frame(0x89, format!("{n}").as_bytes())).collect();
    socket.send(&pings);
    let mut pongs = 0;
    let mut last = Vec::new();
    while last != b"999" {
        let frame = socket.frame().unwrap();
        assert_eq!(frame.first, 0x8a);
        (pongs, last) = (pongs + 1, frame.payload);
    }
    // Of what one read brings, sixteen and the last; how many reads it takes is the network's.
    assert!((17..500).contains(&pongs), "{pongs} pongs");
    server.await_metric("vestibule_pongs_coalesced_total", f64::from(1000 - pongs));
    server.stop();
}

#[test]
fn without_descriptors_clients_are_told_and_the_server_recovers() {
    let server = Setup::new(2).start();
    let idle = server.descriptors();
    // Both workers are up once each has a member.
    let members: Vec<Member> = (0..4).map(|n| Member::enter(&server, &format!("u{n}"))).collect();
    assert!(members.iter().any(|member| member.shard == 0) && members.iter().any(|member| member.shard == 1));
    drop(members);
    await_empty(&server);
    let process = Pid::from_raw(server.pid() as i32).unwrap();
    // The ring closes them a moment later.
    let open = until("those of the members are closed", PATIENCE, || {
        let open = server.descriptors();
        (open <= idle + 2).then_some(open as u64)
    });
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(open + 20), maximum };
    let before = prlimit(Some(process), Resource::Nofile, limit).unwrap();
    let mut clients: Vec<Socket> = (0..200).map(|_| Socket::connect(server.public)).collect();
    let (mut echoing, mut told, mut cut) = (Vec::new(), 0, 0);
    for mut client in clients.drain(..) {
        let sent = client.try_send(harness::upgrade_request("/echo", "").as_bytes());
        match sent.map(|()| client.response()) {
            Ok(Ok(response)) if response.status == 101 => echoing.push(client),
            Ok(Ok(response)) if response.status == 503 => told += 1,
            // Refused before its request was read: the reset may overtake the answer.
            _ => cut += 1,
        }
    }
    assert!((10..=25).contains(&echoing.len()), "{} echo, {told} told, {cut} cut", echoing.len());
    assert_eq!(echoing.len() + told + cut, 200);
    prlimit(Some(process), Resource::Nofile, before).unwrap();
    until("a descriptor is seen to be free", PATIENCE, || {
        let mut socket = Socket::connect(server.public);
        socket.try_send(harness::upgrade_request("/echo", "").as_bytes()).ok()?;
        socket.response().ok().filter(|response| response.status == 101)
    });
    let errors = server.metric("vestibule_accept_errors_total");
    assert!((1.0..=200.0).contains(&errors), "{errors} accept errors");
    for client in &mut echoing {
        client.send_text("still here");
        assert_eq!(client.frame().unwrap().text(), "still here");
    }
    server.stop();
}

/// Whoever looked whether the server is alive has gone.
fn await_empty(server: &Server) {
    server.await_metric(SOCKETS, 1.0);
}

fn code_of(response: &Response) -> String {
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    body["code"].as_str().or(body["error"]["code"].as_str()).unwrap_or_default().to_owned()
}

const SOCKETS: &str = "vestibule_sockets";
const ADDRESS_REFUSED: &str = "vestibule_address_refused_total";

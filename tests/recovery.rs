//! Coming back, by the socket: a WebSocket and a stream in one room, cut, and sent exactly what they missed.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Api, Events, Member, PATIENCE, Server, Setup, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One worker, two, and two on epoll.
fn each() -> [Setup; 3] {
    let [one, two] = Setup::each();
    [one, two, Setup::epoll()].map(|setup| setup.history("kept*", 100, "10m").history("short", 2, "10m"))
}

fn publish(api: &mut Api, room: &str, payload: &str) -> Option<String> {
    let answer = api.post("/api/publish", &format!("{{\"room\":\"{room}\",\"payload\":{payload}}}"));
    answer["position"].as_str().map(str::to_owned)
}

fn listen(server: &Server, room: &str, back: Option<&str>) -> (Events, String) {
    let field = back.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
    let target = format!("/events?room={room}&token={}", server.token("u"));
    let mut events = Events::open(server, &target, &field);
    let standing = events.begins(1).remove(0);
    (events, standing)
}

fn line<'a>(block: &'a str, name: &str) -> &'a str {
    let of = |line: &'a str| line.strip_prefix(name)?.strip_prefix(": ");
    block.lines().find_map(of).unwrap_or_else(|| panic!("no {name} in {block:?}"))
}

fn join(member: &mut Member, room: &str, since: &str) -> Value {
    member.ask("join", &format!("\"room\":\"{room}\",\"since\":\"{since}\""))
}

fn heard(member: &mut Member) -> Value {
    serde_json::from_str(&member.hear()).unwrap()
}

#[test]
fn a_websocket_and_a_stream_are_cut_and_come_back_to_exactly_what_they_missed() {
    for setup in each() {
        let server = setup.start();
        let mut api = Api::of(&server);
        let mut member = Member::enter(&server, "u");
        let ack = member.ask("join", "\"room\":\"kept\"");
        assert!(ack["position"].is_string() && ack["recovered"].is_null(), "{ack}");
        let (mut events, _) = listen(&server, "kept", None);
        let first = publish(&mut api, "kept", "1").expect("a place");
        let message = heard(&mut member);
        assert_eq!(message, json!({ "type": "message", "room": "kept", "payload": 1, "position": first }));
        assert_eq!(events.block(), format!("data: 1\nid: {first}"));
        member.socket.reset();
        events.socket.reset();
        let missed: Vec<_> =
            ["2", "3", "4"].map(|payload| publish(&mut api, "kept", payload).unwrap()).into();
        let mut member = Member::enter(&server, "u");
        let ack = join(&mut member, "kept", &first);
        assert_eq!((&ack["recovered"], &ack["position"]), (&json!(true), &json!(first)));
        let (mut events, standing) = listen(&server, "kept", Some(&first));
        assert_eq!(standing, format!("id: {first}"), "it goes on from there");
        let live = publish(&mut api, "kept", "5").unwrap();
        for (payload, place) in (2..).zip(missed.iter().chain([&live])) {
            let message = heard(&mut member);
            assert_eq!((&message["payload"], &message["position"]), (&json!(payload), &json!(place)));
            assert_eq!(events.block(), format!("data: {payload}\nid: {place}"));
        }
        member.lives();
        assert_eq!(member.kept(), [""; 0], "and nothing else");
        server.stop();
    }
}

#[test]
fn without_a_history_both_are_told_that_something_is_missing() {
    for setup in each() {
        let server = setup.start();
        let mut api = Api::of(&server);
        // Somebody stays, or the room itself would be gone.
        let mut stays = Member::enter(&server, "u");
        stays.join("open");
        let (events, standing) = listen(&server, "open", None);
        let place = line(&standing, "id").to_owned();
        events.socket.reset();
        let (events, standing) = listen(&server, "open", Some(&place));
        assert_eq!(standing, format!("id: {place}"), "nothing was published meanwhile");
        events.socket.reset();
        for payload in ["1", "2", "3"] {
            assert_eq!(publish(&mut api, "open", payload), None);
        }
        let (mut events, standing) = listen(&server, "open", Some(&place));
        assert!(standing.starts_with("event: gap\nid: "), "{standing}");
        let mut member = Member::enter(&server, "u");
        let ack = join(&mut member, "open", &place);
        assert_eq!(ack["recovered"], false, "{ack}");
        assert_eq!(ack["position"], line(&standing, "id"), "where it stands now");
        publish(&mut api, "open", "4");
        assert_eq!(heard(&mut member), json!({ "type": "message", "room": "open", "payload": 4 }));
        assert_eq!(events.block(), "data: 4");
        server.stop();
    }
}

#[test]
fn who_was_away_too_long_is_told_and_goes_on_from_now() {
    for setup in each() {
        let server = setup.start();
        let mut api = Api::of(&server);
        let places: Vec<_> = (0..5).map(|n| publish(&mut api, "short", &n.to_string()).unwrap()).collect();
        let mut member = Member::enter(&server, "u");
        let ack = join(&mut member, "short", &places[1]);
        assert_eq!((&ack["recovered"], &ack["position"]), (&json!(false), &json!(places[4])));
        let mut other = Member::enter(&server, "u");
        assert_eq!(join(&mut other, "short", &places[2])["recovered"], true);
        assert_eq!([heard(&mut other), heard(&mut other)].map(|message| message["payload"].clone()), [3, 4]);
        let mut third = Member::enter(&server, "u");
        let ack = join(&mut third, "short", "earliest");
        assert_eq!(
            (&ack["recovered"], &ack["position"]),
            (&json!(true), &json!(places[2])),
            "all that is held"
        );
        assert_eq!(heard(&mut third)["payload"], 3);
        for foreign in ["00000001-1", &format!("{}-999", &places[0][..8])] {
            let mut lost = Member::enter(&server, "u");
            assert_eq!(join(&mut lost, "short", foreign)["recovered"], false, "{foreign}");
        }
        server.stop();
    }
}

#[test]
fn a_place_that_is_none_is_a_bad_message_and_the_connection_stays() {
    let server = each()[1].start();
    let mut member = Member::enter(&server, "u");
    for since in ["\"\"", "\"x\"", "\"00000000-0\"", "\"0000000a-01\"", "7", "null", "{}"] {
        assert_eq!(
            member.refused("join", &format!("\"room\":\"kept\",\"since\":{since}")),
            "bad_message",
            "{since}"
        );
    }
    member.join("kept");
    server.stop();
}

#[test]
fn a_broadcasts_ack_names_the_place_behind_it() {
    for setup in each() {
        let server = setup.start();
        let mut member = Member::enter(&server, "u");
        let ack = member.ask("join", "\"room\":\"kept\"");
        let (epoch, offset) = ack["position"].as_str().unwrap().split_once('-').unwrap();
        assert_eq!(offset, "0");
        for n in 1..=3 {
            let ack = member.ask("broadcast", &format!("\"room\":\"kept\",\"payload\":{n}"));
            assert_eq!(ack["position"], format!("{epoch}-{n}"));
        }
        let ack = member.ask("broadcast", "\"room\":\"open\",\"payload\":0");
        assert!(ack["position"].is_null(), "{ack}");
        server.stop();
    }
}

#[test]
fn a_stream_of_several_rooms_comes_back_to_what_it_missed_in_each() {
    for setup in each() {
        let server = setup.start();
        let mut api = Api::of(&server);
        let target = format!("/events?room=kept:a&room=kept:b&token={}", server.token("u"));
        let mut events = Events::open(&server, &target, "");
        events.begins(2);
        publish(&mut api, "kept:a", "1");
        let id = line(&events.block(), "id").to_owned();
        events.socket.reset();
        publish(&mut api, "kept:b", "2");
        publish(&mut api, "kept:a", "3");
        let mut events = Events::open(&server, &target, &format!("Last-Event-ID: {id}\r\n"));
        // What is missed in a room comes behind that room's id, and the rooms answer in any order.
        let connected = events.block();
        assert!(connected.contains("event: connected"), "{connected}");
        let blocks: Vec<String> = (0..4).map(|_| events.block()).collect();
        let told: BTreeSet<(&str, &str)> = blocks
            .iter()
            .filter(|block| block.contains("data: "))
            .map(|block| (line(block, "room"), line(block, "data")))
            .collect();
        assert_eq!(told, BTreeSet::from([("kept:a", "3"), ("kept:b", "2")]), "{blocks:?}");
        let last = line(blocks.last().unwrap(), "id").to_owned();
        events.socket.reset();
        let mut events = Events::open(&server, &target, &format!("Last-Event-ID: {last}\r\n"));
        assert_eq!(events.begins(2), [format!("id: {last}"), format!("id: {last}")], "it has everything");
        server.stop();
    }
}

#[test]
fn histories_are_counted_and_go_with_their_time() {
    let setup = Setup::new(2).history("brief", 100, "1s").history("kept*", 100, "10m");
    let server = setup.start();
    let mut api = Api::of(&server);
    publish(&mut api, "brief", "1");
    publish(&mut api, "kept", "1");
    let all = |name: &str| server.metric(name);
    until("both are held", PATIENCE, || (all("vestibule_homes") == 2.0).then_some(()));
    let held = all("vestibule_history_bytes");
    until("the brief one goes", PATIENCE, || (all("vestibule_homes") == 1.0).then_some(()));
    assert!(all("vestibule_history_bytes") < held);
    let read = api.get("/api/rooms/brief/history");
    assert_eq!((&read["position"], &read["publications"]), (&Value::Null, &json!([])));
    server.stop();
}

#[test]
fn a_reload_changes_what_is_kept() {
    let setup = Setup::new(2).history("kept*", 100, "10m");
    let server = setup.start();
    let mut api = Api::of(&server);
    for n in 0..5 {
        publish(&mut api, "kept", &n.to_string());
    }
    server.reconfigure(&Setup::new(2).history("kept*", 2, "10m"));
    let held = |api: &mut Api| api.get("/api/rooms/kept/history")["publications"].as_array().unwrap().len();
    until("two are left", PATIENCE, || (held(&mut api) == 2).then_some(()));
    server.reconfigure(&Setup::new(2));
    until("none is kept", PATIENCE, || publish(&mut api, "kept", "5").is_none().then_some(()));
    assert_eq!(api.refused("GET", "/api/rooms/kept/history", None).0, 404);
    server.stop();
}

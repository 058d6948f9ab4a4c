//! A room full of WebSockets and streams: one publication reaches all of them, and is encoded once a format and shard.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Api, Events, Member, PATIENCE, Setup, until};

#[test]
fn five_thousand_websockets_and_as_many_streams_hear_one_publication_encoded_once_a_format_and_shard() {
    let setup = Setup::new(2).history("full", 10, "1m").variable("RUST_LOG", "info");
    let server = setup.start();
    let target = format!("/events?room=full&token={}", server.token("u"));
    // Placed in turn: half of each kind on either shard.
    let mut members: Vec<Member> = (0..EACH).map(|_| Member::enter(&server, "u")).collect();
    members.iter_mut().for_each(|member| member.join("full"));
    let mut listeners: Vec<Events> = (0..EACH).map(|_| Events::open(&server, &target, "")).collect();
    listeners.iter_mut().for_each(|events| _ = events.begins(1));
    let answer = Api::of(&server).post("/api/publish", r#"{"room":"full","event":"e","payload":[1,2]}"#);
    let place = answer["position"].as_str().unwrap().to_owned();
    let frame =
        format!(r#"{{"type":"message","room":"full","event":"e","payload":[1,2],"position":"{place}"}}"#);
    for (member, events) in members.iter_mut().zip(&mut listeners) {
        assert_eq!(member.hear(), frame);
        assert_eq!(events.block(), format!("event: e\ndata: [1,2]\nid: {place}"));
    }
    let count = |name| server.metric(name);
    until("it is counted", PATIENCE, || (count("vestibule_appended_total") == 2.0).then_some(()));
    assert_eq!(count("vestibule_encoded_total"), 4.0, "two formats on two shards");
    assert_eq!((count("vestibule_streams"), count("vestibule_members")), (EACH as f64, 2.0 * EACH as f64));
    assert_eq!(count("vestibule_too_slow_total"), 0.0);
    server.stop();
}

/// Of each kind.
const EACH: usize = 5000;

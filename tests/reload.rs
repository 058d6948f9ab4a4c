//! SIGHUP: a new configuration is taken over whole by all shards, or refused with nothing changed.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Api, Member, Setup, Socket, request};

#[test]
fn open_connections_go_by_the_new_rules_on_every_shard() {
    for (workers, setup) in [1.0, 2.0].into_iter().zip(Setup::each()) {
        let setup = setup.rooms(&[["old", "authenticated", "authenticated"]]);
        let server = setup.start();
        let mut members: Vec<Member> = (0..8).map(|n| Member::enter(&server, &format!("u{n}"))).collect();
        assert_eq!(members[0].ask("join", "\"room\":\"new\"")["code"], "forbidden");

        server.reconfigure(&setup.rooms(&[["new", "authenticated", "authenticated"]]));
        server.await_metric(RELOADS, workers);
        for member in &mut members {
            member.join("new");
            assert_eq!(member.ask("join", "\"room\":\"old\"")["code"], "forbidden");
        }
        server.stop();
    }
}

#[test]
fn limits_and_keys_are_taken_over() {
    let setup = Setup::new(2);
    let server = setup.start();
    let mut member = Member::enter(&server, "ada");
    let next = setup
        .set("limits.rooms_per_connection", "1")
        .set("limits.message", "\"1KiB\"")
        .set("limits.frame", "\"1KiB\"")
        .set("auth.hs256_secret", "\"another-secret-another-secret-another\"");
    server.reconfigure(&next);
    server.await_metric(RELOADS, 2.0);

    member.join("a");
    assert_eq!(member.ask("join", "\"room\":\"b\"")["code"], "too_many_rooms");
    let mut stranger = Socket::connect(server.public);
    stranger.upgrade(&format!("/ws?token={}", server.token("eve")), "");
    assert_eq!(stranger.closed().code, Some(4001), "the old key is good for nothing");
    member.say(&"x".repeat(2000));
    assert_eq!(member.socket.closed().code, Some(1009));
    server.stop();
}

#[test]
fn a_key_of_the_api_is_rotated_by_its_file_and_a_reload_while_connections_stay() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("api.keys");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("# from before\nintegration\n");
    let setup = Setup::new(2).unset("admin.keys").set("admin.keys_file", &format!("{file:?}"));
    let server = setup.start();
    let mut member = Member::enter(&server, "ada");
    member.join("r");
    let mut api = Api::of(&server);
    let mut publish = |key: &str, payload: u32| {
        let body = format!(r#"{{"room":"r","payload":{payload}}}"#);
        let call = request("POST", "/api/publish", Some(&body)).replace(Api::KEY, key);
        api.socket.send(call.as_bytes());
        let answer = api.answer();
        if answer.closes() {
            // Refused: nobody read the body.
            api = Api::of(&server);
        }
        answer.status
    };
    assert_eq!((publish(Api::KEY, 1), publish("the-next-one", 2)), (200, 401));

    write("the-next-one\n\nintegration\n");
    server.reconfigure(&setup);
    server.await_metric(RELOADS, 2.0);
    assert_eq!((publish(Api::KEY, 3), publish("the-next-one", 4)), (200, 200));

    write("the-next-one\nspoilt by a space\n");
    server.reconfigure(&setup);
    server.await_metric(REFUSED, 2.0);
    let log = server.await_log("the reload is refused, and nothing has changed");
    assert!(log.contains(": line 2: a key is 1 to 1024 bytes of visible ASCII"), "{log}");
    assert!(!log.contains("spoilt") && !log.contains("the-next-one"), "a key is never logged: {log}");
    assert_eq!(publish(Api::KEY, 5), 200, "nothing has changed");

    write("the-next-one\n");
    server.reconfigure(&setup);
    server.await_metric(RELOADS, 4.0);
    assert_eq!((publish(Api::KEY, 6), publish("the-next-one", 7)), (401, 200));
    for payload in [1, 3, 4, 5, 7] {
        assert_eq!(member.hear(), format!(r#"{{"type":"message","room":"r","payload":{payload}}}"#));
    }
    server.stop();
}

#[test]
fn a_wrong_file_is_refused_with_every_complaint_and_changes_nothing() {
    let setup = Setup::new(2);
    let server = setup.start();
    let wrong = setup
        .clone()
        .rooms(&[])
        .set("limits.lag", "\"1 MB\"")
        .set("limits.fragments", "0")
        .set("websocket.path", "\"/other\"");
    server.reconfigure(&wrong);
    server.await_metric(REFUSED, 2.0);

    let log = server.await_log("the reload is refused, and nothing has changed");
    assert!(
        log.contains("limits.lag = \"1 MB\": a size is") && log.contains("limits.fragments = 0"),
        "{log}"
    );
    assert_eq!(server.metric(RELOADS), 0.0);
    Member::enter(&server, "ada").join("any");

    server.reconfigure(&setup);
    server.await_metric(RELOADS, 2.0);
    server.stop();
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_taken_over() {
    let setup = Setup::new(1);
    let server = setup.start();
    let next = setup.set("server.workers", "2").set("websocket.echo", "\"/other\"");
    server.reconfigure(&next);
    server.await_metric(RELOADS, 1.0);

    server.await_log("changed, and taking effect at a restart only: server.workers");
    assert_eq!(Socket::connect(server.public).upgrade("/other", "").status, 101);
    assert_eq!(Socket::connect(server.public).upgrade("/echo", "").status, 404);
    server.stop();
}

#[test]
fn messages_in_flight_are_not_lost_over_reloads() {
    let setup = Setup::new(2);
    let server = setup.start();
    let (mut speaker, mut listener) = (Member::enter(&server, "a"), Member::enter(&server, "b"));
    listener.join("room");
    for round in 0..5_u32 {
        server.reconfigure(&setup);
        for n in 0..200 {
            speaker.say(&format!(r#"{{"type":"broadcast","room":"room","payload":{}}}"#, round * 200 + n));
        }
        server.await_metric(RELOADS, f64::from(2 * (round + 1)));
    }
    for n in 0..1000 {
        assert_eq!(listener.hear(), format!(r#"{{"type":"message","room":"room","payload":{n}}}"#));
    }
    server.stop();
}

const RELOADS: &str = "vestibule_reloads_total";
const REFUSED: &str = "vestibule_reloads_refused_total";

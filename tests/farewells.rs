//! Hooks that are told: the end of each connection that was let in, once and by one name, however it ended, whatever
//! becomes of the application meanwhile.
//!
//! The run of comers and goers is short unless VESTIBULE_HOOKS_SECONDS says otherwise.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_types, reason = "the threads of a test share what they count")]

mod harness;

use harness::{
    Api, App, Call, DRAIN, Deadline, Dice, Events, Member, PATIENCE, Reply, Server, Setup, Socket, gauge,
    mint, now_s, until,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

fn yes(_: &Call) -> Reply {
    Reply::yes()
}

/// Waits until the ends of as many connections as were let in are told, and of no other, each by one name.
fn await_ends(app: &App) {
    let of = |kind: &str| -> BTreeSet<String> {
        app.calls(kind).iter().map(|call| call.text("request").to_owned()).collect()
    };
    until("the end of each is told", PATIENCE, || (of("disconnect") == of("connect")).then_some(()));
    let told: BTreeSet<String> =
        of("disconnect").iter().map(|request| format!("disconnect_{request}")).collect();
    assert_eq!(app.ids("disconnect").into_keys().collect::<BTreeSet<_>>(), told);
}

/// Ends of the last connection, as they are told: its rooms, sorted.
fn rooms_of(call: &Call) -> Vec<&str> {
    let mut rooms: Vec<&str> =
        call.data["rooms"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    rooms.sort_unstable();
    rooms
}

#[test]
fn however_a_connection_ends_it_is_told_once_and_in_which_rooms_it_was() {
    for setup in [Setup::new(2), Setup::epoll()] {
        let app = App::start(yes);
        let setup = setup.hooks(&app).set("limits.burst", "20").set("limits.messages_per_second", "1");
        let server = setup.set("limits.lag", "\"64KiB\"").history("kept", 10, "1m").start();
        let mut api = Api::of(&server);
        let enter = |user: &str| {
            let mut member = Member::enter(&server, user);
            member.join("a");
            member.join("kept");
            member
        };
        let mut ends = 0;
        let mut told = |what: &str, rooms: &[&str]| {
            ends += 1;
            let calls = until(what, PATIENCE, || Some(app.calls("disconnect")).filter(|it| it.len() >= ends));
            assert_eq!(calls.len(), ends, "{what}: {calls:?}");
            assert_eq!(rooms_of(&calls[ends - 1]), rooms, "{what}");
        };
        drop(enter("fin"));
        told("a hang-up", &["a", "kept"]);
        enter("rst").socket.reset();
        told("a reset", &["a", "kept"]);
        let mut member = enter("close");
        member.leave("a");
        member.socket.send(&harness::client_frame(0x88, &[]));
        member.closed();
        told("a goodbye", &["kept"]);
        let mut member = enter("kicked");
        api.post("/api/users/kicked/disconnect", "{}");
        assert_eq!(member.closed().code, Some(4003));
        drop(member);
        told("sent off by the API", &["a", "kept"]);
        let mut member = enter("binary");
        member.socket.send(&harness::client_frame(0x82, b"x"));
        assert_eq!(member.closed().code, Some(1003));
        drop(member);
        told("a violation", &["a", "kept"]);
        let mut member = enter("talker");
        (0..30).for_each(|_| member.say("{\"type\":\"ping\"}"));
        assert_eq!(member.closed().code, Some(4029));
        drop(member);
        told("too many messages", &["a", "kept"]);
        let token = mint(&json!({ "sub": "short", "exp": now_s() + 2 }));
        let mut member = Member::greeted(Socket::connect(server.public), &token, "short");
        member.join("a");
        assert_eq!(member.closed().code, Some(4010));
        drop(member);
        told("its time is over", &["a"]);
        let target = format!("/events?room=a&room=b&token={}", server.token("sse"));
        let mut listener = Events::open(&server, &target, "");
        listener.begins(2);
        drop(listener);
        told("a listener hangs up", &["a", "b"]);
        let mut slow = Member::enter_narrow(&server, "slow");
        slow.join("a");
        let publication = format!("{{\"room\":\"a\",\"payload\":\"{}\"}}", "x".repeat(30_000));
        until("one falls behind", PATIENCE, || {
            api.post("/api/publish", &publication);
            (server.metric(gauge::TOO_SLOW) > 0.0).then_some(())
        });
        drop(slow);
        told("too slow", &["a"]);
        await_ends(&app);
        server.stop();
    }
}

#[test]
fn who_went_while_the_application_was_asked_is_told_of_and_who_was_refused_is_not() {
    let app = App::start(|call| match (call.kind.as_str(), call.text("user")) {
        ("connect", "refused") => Reply::verdict(&json!({ "allow": false })),
        ("connect", "late") => Reply::yes().after(Duration::from_millis(900)),
        ("connect", "odd") => Reply::text(500, ""),
        ("connect", _) => Reply::yes().after(Duration::from_millis(300)),
        _ => Reply::yes(),
    });
    let server = Setup::new(2).hooks(&app).set("hooks.timeout", "\"600ms\"").start();
    let mut knocks = 0;
    for user in ["refused", "late", "odd", "gone", "reset"] {
        let mut socket = Socket::connect(server.public);
        let target = format!("/ws?token={}", server.token(user));
        socket.send(harness::upgrade_request(&target, "").as_bytes());
        knocks += 1;
        app.await_calls("connect", knocks);
        match user {
            "gone" => drop(socket),
            "reset" => socket.reset(),
            _ => _ = socket.closed_behind_head(),
        }
    }
    let calls = app.await_calls("disconnect", 4);
    let mut users: Vec<&str> = calls.iter().map(|call| call.text("user")).collect();
    users.sort_unstable();
    assert_eq!(users, ["gone", "late", "odd", "reset"]);
    server.await_metric(gauge::SOCKETS, 1.0);
    server.stop();
    assert_eq!(app.calls("disconnect").len(), 4);
}

/// This many events in one go.
fn events(count: usize) -> Vec<u8> {
    harness::client_frame(0x81, b"{\"type\":\"event\",\"event\":\"e\",\"payload\":1}").repeat(count)
}

#[test]
fn for_whoever_is_gone_no_event_is_asked_and_its_end_is_told_soon() {
    for setup in [Setup::new(1), Setup::epoll()] {
        let app = App::start(|call| match call.kind.as_str() {
            "message" => Reply::yes().after(Duration::from_millis(1500)),
            _ => Reply::yes(),
        });
        let setup = setup.set("heartbeat.interval", "\"1s\"").set("heartbeat.timeout", "\"1s\"");
        let server = setup.hooks(&app).start();
        let mut ann = Member::enter(&server, "ann");
        ann.join("a");
        ann.socket.send(&events(500));
        app.await_calls("message", 1);
        ann.socket.reset();
        // A ping that is not taken tells it.
        let ends = app.await_calls("disconnect", 1);
        assert_eq!(rooms_of(&ends[0]), ["a"]);
        assert!(app.calls("message").len() < 4, "{} events were asked", app.calls("message").len());
        server.await_metric(gauge::MEMBERS, 0.0);
        server.stop();
    }
}

#[test]
fn whoever_takes_nothing_while_the_application_is_asked_is_given_up() {
    for setup in [Setup::new(1), Setup::epoll()] {
        let app = App::start(|call| match call.kind.as_str() {
            "message" => Reply::yes().after(Duration::from_millis(1500)),
            _ => Reply::yes(),
        });
        let setup = setup.set("heartbeat.interval", "\"1s\"").set("heartbeat.timeout", "\"1s\"");
        let setup = setup.set("limits.lag", "\"64MiB\"").set("limits.buffered", "\"1GiB\"");
        let server = setup.hooks(&app).start();
        let mut slow = Member::enter_narrow(&server, "slow");
        slow.join("a");
        let publication = format!("{{\"room\":\"a\",\"payload\":\"{}\"}}", "x".repeat(50_000));
        let mut api = Api::of(&server);
        (0..200).for_each(|_| _ = api.post("/api/publish", &publication));
        slow.socket.send(&events(500));
        // As one behind a network that is cut, it is there, and acknowledges nothing of what waits for it.
        app.await_calls("disconnect", 1);
        assert!(app.calls("message").len() < 9, "{} events were asked", app.calls("message").len());
        drop(slow);
        server.stop();
    }
}

#[test]
fn a_leave_of_the_clients_own_is_told_and_no_other() {
    let app = App::start(|call| match call.kind.as_str() {
        "leave" => Reply::verdict(&json!({ "publish": [{ "room": "all", "payload": call.data["room"] }] })),
        _ => Reply::yes(),
    });
    let server = Setup::new(2).hooks(&app).start();
    let (mut ann, mut bob) = (Member::enter(&server, "ann"), Member::enter(&server, "bob"));
    for room in ["a", "b", "c", "all"] {
        ann.join(room);
    }
    bob.join("all");
    ann.leave("a");
    assert_eq!(ann.refused("leave", "\"room\":\"a\""), "not_joined");
    Api::of(&server).post("/api/rooms/b/leave", "{\"user\":\"ann\"}");
    ann.leave("c");
    // What the answer to a notification publishes goes out too.
    let heard =
        [bob.hear(), bob.hear()].map(|text| serde_json::from_str::<Value>(&text).unwrap()["payload"].clone());
    assert!(heard.contains(&json!("a")) && heard.contains(&json!("c")), "{heard:?}");
    let told = app.calls("leave");
    let rooms: BTreeSet<&str> = told.iter().map(|call| call.text("room")).collect();
    assert_eq!((told.len(), rooms), (2, BTreeSet::from(["a", "c"])));
    assert_eq!(app.ids("leave").len(), 2, "each has a name of its own");
    assert!(told.iter().all(|call| call.text("connection") == ann.connection));
    drop((ann, bob));
    await_ends(&app);
    server.stop();
    assert_eq!(app.calls("leave").len(), 2, "an end is no leave");
}

#[test]
fn of_an_allowed_join_for_which_the_node_has_no_place_a_leave_is_told() {
    let app = App::start(|_| Reply::yes());
    let setup = Setup::new(2).hooks(&app).rooms(&[["*", "hook", "authenticated"]]);
    let server = setup.set("limits.rooms", "8").start();
    let mut ann = Member::enter(&server, "ann");
    let mut refused = Vec::new();
    // Rooms whose home is the other shard too: that says later that it is full.
    for n in 0..40 {
        let room = format!("chat:{n}");
        let answer = ann.ask("join", &format!("\"room\":\"{room}\""));
        match answer["type"].as_str() {
            Some("ack") => (),
            _ => {
                assert_eq!(answer["code"], "too_many_rooms", "{answer}");
                refused.push(room);
            }
        }
    }
    assert_eq!(refused.len(), 32);
    let mut left: Vec<String> =
        app.await_calls("leave", 32).iter().map(|it| it.text("room").to_owned()).collect();
    left.sort();
    refused.sort();
    assert_eq!(left, refused);
    ann.lives();
    drop(ann);
    assert_eq!(app.await_calls("disconnect", 1)[0].data["rooms"].as_array().unwrap().len(), 8);
    server.stop();
    assert_eq!(app.calls("leave").len(), 32);
}

#[test]
fn what_a_dead_application_was_to_be_told_it_hears_by_the_same_names_once_it_is_back() {
    let app = App::start(yes);
    let server = Setup::new(2).hooks(&app).start();
    let members: Vec<Member> = (0..20).map(|n| Member::enter(&server, &format!("u{n}"))).collect();
    let mut other = Member::enter(&server, "other");
    other.join("a");
    app.kill();
    drop(members);
    server.await_metric("vestibule_notifications_waiting", 20.0);
    // It harms nobody else: rooms and echoes go on.
    let mut api = Api::of(&server);
    let harmless = Deadline::within(Duration::from_secs(5));
    while server.metric("vestibule_notifications_retried_total") < 5.0 {
        api.post("/api/publish", "{\"room\":\"a\",\"payload\":1}");
        assert!(other.hear().contains("\"payload\":1"));
        assert_eq!(other.refused("event", "\"event\":\"e\",\"payload\":1"), "hook_timeout");
        assert!(!harmless.passed(), "nobody tries again");
    }
    app.revive();
    app.await_calls("disconnect", 20);
    until("events are heard again", PATIENCE, || {
        (other.ask("event", "\"event\":\"e\",\"payload\":1")["type"] == "ack").then_some(())
    });
    drop(other);
    await_ends(&app);
    server.await_metric("vestibule_notifications_waiting", 0.0);
    server.stop();
}

#[test]
fn a_frozen_application_holds_up_nobody_but_those_who_wait_for_it() {
    let app = App::start(yes);
    let server = Setup::new(2).hooks(&app).set("hooks.timeout", "\"500ms\"").start();
    let (mut ann, mut bob) = (Member::enter(&server, "ann"), Member::enter(&server, "bob"));
    bob.join("a");
    drop(Member::enter(&server, "gone"));
    app.await_calls("disconnect", 1);
    app.freeze();
    let frozen = Deadline::within(Duration::from_secs(3));
    let mut longest = Duration::ZERO;
    while !frozen.passed() {
        let asked = Deadline::within(PATIENCE);
        assert_eq!(ann.refused("event", "\"event\":\"e\",\"payload\":1"), "hook_timeout");
        assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
        let echo = Deadline::within(PATIENCE);
        bob.broadcast("b", "1");
        longest = longest.max(echo.elapsed());
        let mut socket = Socket::connect(server.public);
        assert_eq!(socket.upgrade(&format!("/ws?token={}", server.token("late")), "").status, 101);
        assert_eq!(socket.closed().code, Some(1013));
    }
    assert!(longest < Duration::from_millis(500), "another's broadcast took {longest:?}");
    app.thaw();
    until("all is well", PATIENCE, || {
        (ann.ask("event", "\"event\":\"e\",\"payload\":1")["type"] == "ack").then_some(())
    });
    drop((ann, bob));
    // Whoever it heard of only now is gone by then, and it is told so.
    server.await_metric("vestibule_notifications_waiting", 0.0);
    server.stop();
    let heard = |kind: &str| -> BTreeSet<String> {
        app.calls(kind).iter().map(|call| call.text("request").to_owned()).collect()
    };
    assert!(heard("connect").is_subset(&heard("disconnect")), "whom it let in has an end");
}

#[test]
fn a_reload_takes_hooks_away_and_brings_them_back() {
    let app = App::start(yes);
    let without = Setup::new(2);
    let with = without.clone().hooks(&app);
    let server = with.start();
    let reloads = |setup: &Setup, times: f64| {
        server.reconfigure(setup);
        server.await_metric("vestibule_reloads_total", 2.0 * times);
    };
    let (early, gone) = (Member::enter(&server, "early"), Member::enter(&server, "gone"));
    reloads(&without, 1.0);
    drop(gone);
    let mut between = Member::enter(&server, "between");
    assert_eq!(between.refused("event", "\"event\":\"e\",\"payload\":1"), "no_hook");
    server.await_metric(gauge::CONNECTIONS, 2.0);
    reloads(&with, 2.0);
    assert_eq!(between.ask("event", "\"event\":\"e\",\"payload\":1")["type"], "ack");
    assert_eq!(app.last("message").text("user"), "between");
    drop((early, between, Member::enter(&server, "late")));
    app.await_calls("disconnect", 2);
    server.await_metric("vestibule_notifications_waiting", 0.0);
    server.stop();
    let told: BTreeSet<String> =
        app.calls("disconnect").iter().map(|it| it.text("user").to_owned()).collect();
    let expected = ["early", "late"].map(str::to_owned);
    assert_eq!(told, BTreeSet::from(expected), "of those who came while there were hooks, and ended so");
}

#[test]
fn a_drain_ends_when_the_application_has_heard_of_everybody() {
    for setup in [Setup::new(2), Setup::epoll()] {
        let app = App::start(|call| match call.kind.as_str() {
            // Sixteen of each worker at a time: the last of them come a while behind the last connection.
            "disconnect" => Reply::yes().after(Duration::from_millis(600)),
            _ => Reply::yes(),
        });
        let mut server = setup.hooks(&app).start();
        let members: Vec<Member> = (0..100).map(|n| Member::enter(&server, &format!("u{n}"))).collect();
        let streams: Vec<Events> = (0..20)
            .map(|n| {
                Events::open(&server, &format!("/events?room=a&token={}", server.token(&format!("s{n}"))), "")
            })
            .collect();
        server.terminate();
        for mut member in members {
            assert_eq!(member.closed().code, Some(1001));
        }
        drop(streams);
        let status = server.ends_within(DRAIN + Duration::from_secs(5));
        assert_eq!(status.code(), Some(0), "{}", server.log());
        assert_eq!(app.ids("disconnect").len(), 120, "all of it was told before the process went");
        await_ends(&app);
    }
}

#[test]
fn who_is_asked_about_when_a_drain_begins_is_told_to_come_back_and_its_end_is_told() {
    let app = App::start(|call| match (call.kind.as_str(), call.text("user")) {
        ("connect", "slow") | ("message", _) => Reply::yes().after(Duration::from_millis(1500)),
        _ => Reply::yes(),
    });
    let mut server = Setup::new(2).hooks(&app).start();
    let token = server.token("slow");
    let mut talker = Member::enter(&server, "talker");
    talker.say("{\"type\":\"event\",\"event\":\"e\",\"payload\":1,\"id\":1}");
    let (mut socket, mut stream) = (Socket::connect(server.public), Socket::connect(server.public));
    socket.send(harness::upgrade_request(&format!("/ws?token={token}"), "").as_bytes());
    stream.send(format!("GET /events?room=a&token={token} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    app.await_calls("connect", 3);
    app.await_calls("message", 1);
    server.terminate();
    assert_eq!(socket.response().map(|response| response.status), Ok(503));
    let answer = stream.response().unwrap();
    assert!(answer.status == 200 && answer.body.starts_with(b"retry: "), "{answer:?}");
    assert_eq!(talker.closed().code, Some(1001));
    drop(talker);
    let status = server.ends_within(DRAIN + Duration::from_secs(5));
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert_eq!(app.ids("disconnect").len(), 3);
    await_ends(&app);
}

#[test]
fn a_drain_does_not_wait_without_end_for_an_application_that_is_dead() {
    let app = App::start(yes);
    let mut server = Setup::new(2).hooks(&app).start();
    let members: Vec<Member> = (0..7).map(|n| Member::enter(&server, &format!("u{n}"))).collect();
    app.kill();
    server.terminate();
    for mut member in members {
        assert_eq!(member.closed().code, Some(1001));
    }
    let status = server.ends_within(DRAIN + Duration::from_secs(6));
    assert_eq!(status.code(), Some(0), "{}", server.log());
    server.await_log("notifications=7");
}

#[test]
fn a_drain_asks_for_no_other_room_of_a_stream_and_its_end_is_told() {
    let app = App::start(|call| match call.kind.as_str() {
        "join" => Reply::yes().after(Duration::from_millis(1200)),
        _ => Reply::yes(),
    });
    let mut server = Setup::new(2).hooks(&app).rooms(&[["*", "hook", "nobody"]]).start();
    let rooms: Vec<String> = (0..16).map(|n| format!("room=r{n}")).collect();
    let target = format!("/events?{}&token={}", rooms.join("&"), server.token("ann"));
    let mut stream = Socket::connect(server.public);
    stream.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    app.await_calls("join", 1);
    server.terminate();
    let answer = stream.response().unwrap();
    assert!(answer.status == 200 && answer.body.starts_with(b"retry: "), "{answer:?}");
    let status = server.ends_within(DRAIN + Duration::from_secs(5));
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert_eq!((app.calls("join").len(), app.ids("disconnect").len()), (1, 1));
    await_ends(&app);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the length of a run is the operator's of the test")]
fn of_thousands_who_come_and_go_each_end_is_told_and_nobody_stays() {
    let seconds = std::env::var("VESTIBULE_HOOKS_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("VESTIBULE_HOOKS_SECONDS is a number"));
    let clients = if seconds > SECONDS { CLIENTS } else { CLIENTS_OF_A_SHORT_RUN };
    let app = App::start(|call| match call.kind.as_str() {
        "connect" => Reply::verdict(&json!({ "allow": true, "join": ["lobby"] })),
        _ => Reply::yes(),
    });
    let setup = Setup::new(2).hooks(&app).variable("RUST_LOG", "info").set("hooks.timeout", "\"20s\"");
    let setup = setup.set("server.drain", "\"18s\"");
    let server =
        setup.rooms(&[["chat:*", "hook", "authenticated"], ["*", "authenticated", "authenticated"]]).start();
    let (is_over, came) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut dice = Dice::new("comers and goers");
    std::thread::scope(|threads| {
        for group in 0..GROUPS {
            let (server, is_over, came, dice) = (&server, &is_over, &came, dice.fork());
            threads.spawn(move || come_and_go(server, (group, clients / GROUPS), dice, (is_over, came)));
        }
        let (_ringer, bell) = channel::<()>();
        assert_eq!(bell.recv_timeout(Duration::from_secs(seconds)), Err(RecvTimeoutError::Timeout));
        is_over.store(true, SeqCst);
    });
    server.await_metric(gauge::CONNECTIONS, 0.0);
    until("everything is told", Duration::from_secs(60), || {
        (server.metric("vestibule_notifications_waiting") == 0.0).then_some(())
    });
    let (connects, ends) = (app.ids("connect"), app.ids("disconnect"));
    println!(
        "{seconds} s, {clients} clients: {} came, {} accepted, {} ends",
        came.load(SeqCst),
        connects.len(),
        ends.len()
    );
    // What the application let in, by its own account.
    assert_eq!(connects.len(), ends.len());
    await_ends(&app);
    assert_eq!((server.metric(gauge::MEMBERS), server.metric("vestibule_hook_failures_total")), (0.0, 0.0));
    assert!(connects.len() > clients, "a run in which little happens proves little");
    assert_eq!(server.metric(gauge::PANICS), 0.0);
    server.stop();
}

/// Many clients by one thread: each comes, does something or nothing, and goes, politely or not; a crowd of them is
/// there at a time.
fn come_and_go(
    server: &Server,
    (group, size): (usize, usize),
    mut dice: Dice,
    (is_over, came): (&AtomicBool, &AtomicUsize),
) {
    let mut seats: Vec<Option<Client>> = (0..size).map(|_| None).collect();
    let (_ringer, bell) = channel::<()>();
    while !is_over.load(SeqCst) {
        let at = dice.below(size);
        match seats[at].take() {
            Some(client) => client.go(&mut dice),
            None => {
                seats[at] = Some(Client::come(server, &format!("u{group}-{at}"), &mut dice));
                came.fetch_add(1, SeqCst);
            }
        }
        _ = bell.recv_timeout(Duration::from_micros(500));
    }
    seats.into_iter().flatten().for_each(|client| client.go(&mut dice));
}

/// One who came, and has not looked at what it was answered.
struct Client(Socket);

impl Client {
    fn come(server: &Server, user: &str, dice: &mut Dice) -> Client {
        let mut socket = Socket::connect(server.public);
        let token = server.token(user);
        if dice.below(3) == 0 {
            let request = format!("GET /events?room=chat:1&room=b&token={token} HTTP/1.1\r\nHost: a\r\n\r\n");
            socket.send(request.as_bytes());
            return Client(socket);
        }
        socket.send(harness::upgrade_request(&format!("/ws?token={token}"), "").as_bytes());
        match dice.below(4) {
            // It does not wait for the answer.
            0 => (),
            1 => assert_eq!(socket.response().map(|response| response.status), Ok(101)),
            _ => {
                assert_eq!(socket.response().map(|response| response.status), Ok(101));
                socket.send_text("{\"type\":\"join\",\"room\":\"chat:2\"}");
                socket.send_text("{\"type\":\"event\",\"event\":\"e\",\"payload\":1}");
                socket.send_text("{\"type\":\"leave\",\"room\":\"lobby\"}");
            }
        }
        Client(socket)
    }

    fn go(self, dice: &mut Dice) {
        let Client(mut socket) = self;
        match dice.below(3) {
            0 => socket.reset(),
            1 => _ = socket.try_send(&harness::client_frame(0x88, &[])),
            _ => (),
        }
    }
}

/// Of a run, unless somebody wants it longer.
const SECONDS: u64 = 4;
/// Of a long run: with those of the application and of the server two descriptors each.
const CLIENTS: usize = 5000;
const CLIENTS_OF_A_SHORT_RUN: usize = 600;
const GROUPS: usize = 8;

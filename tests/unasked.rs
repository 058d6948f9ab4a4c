//! Hooks that are not asked: about whoever may not come in anyway, and whoever is on the way out.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Api, App, Member, Reply, Setup, Socket};
use serde_json::{Value, json};

#[test]
fn cookies_are_handed_on_for_no_page_but_a_known_one() {
    let app = App::start(|_| Reply::verdict(&json!({ "allow": true, "userId": "victim" })));
    let told = Setup::new(2).unset("auth.hs256_secret").set("auth.mode", "\"hook\"").hooks(&app);
    let told = told.set("hooks.headers", "[\"cookie\"]");
    let told = told.set("auth.allowed_origins", "[\"https://app.example.com\"]");
    let told = told.rooms(&[["*", "anyone", "anyone"]]);
    for (setup, is_told) in [
        (told.clone(), true),
        (told.clone().set("auth.mode", "\"none\""), true),
        (told.unset("hooks.headers"), false),
    ] {
        let server = setup.start();
        let cookie = "Cookie: session=victim\r\n";
        let (same, cross) = ("Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: cross-site\r\n");
        for (fields, is_known) in [
            (format!("{cookie}Origin: https://app.example.com\r\n"), true),
            (format!("{cookie}{same}"), true),
            (cross.to_owned(), true),
            (cookie.to_owned(), false),
            (format!("{cookie}{cross}"), false),
            (format!("{cookie}{cross}Sec-WebSocket-Protocol: bearer.junk\r\n"), false),
        ] {
            for query in ["room=a", "room=a&token=junk"] {
                let heard = app.calls("connect").len();
                let mut socket = Socket::connect(server.public);
                let response = socket.upgrade(&format!("/ws?{query}"), &fields);
                let is_refused = is_told && !is_known;
                if is_refused {
                    let told: Value = serde_json::from_slice(&response.body).unwrap();
                    assert_eq!(
                        (response.status, &told["error"]["code"]),
                        (403, &json!("origin")),
                        "{fields}"
                    );
                } else {
                    assert_eq!(response.status, 101, "{fields}");
                }
                let mut socket = Socket::connect(server.public);
                let head = format!("GET /events?{query} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
                socket.send(head.as_bytes());
                let head = String::from_utf8(socket.up_to(b"\r\n\r\n").unwrap()).unwrap();
                let status = if is_refused { "HTTP/1.1 403" } else { "HTTP/1.1 200" };
                assert!(head.starts_with(status), "{fields}{head}");
                let asked = app.calls("connect").len() - heard;
                assert_eq!(asked, if is_refused { 0 } else { 2 }, "{fields}");
            }
        }
        server.stop();
    }
}

#[test]
fn whoever_is_in_as_many_rooms_as_it_may_be_is_not_asked_about() {
    let app = App::start(|_| Reply::yes());
    let setup = Setup::new(2).hooks(&app).rooms(&[["*", "hook", "authenticated"]]);
    let server = setup.set("limits.rooms_per_connection", "1").start();
    let mut ann = Member::enter(&server, "ann");
    ann.join("chat:1");
    assert_eq!(ann.refused("join", "\"room\":\"chat:2\""), "too_many_rooms");
    ann.join("chat:1");
    let asked: Vec<String> = app.calls("join").iter().map(|it| it.text("room").to_owned()).collect();
    assert_eq!(asked, ["chat:1", "chat:1"]);
    ann.leave("chat:1");
    ann.join("chat:2");
    server.stop();
}

#[test]
fn whoever_was_sent_off_publishes_nothing_and_is_asked_about_nothing() {
    let app = App::start(|_| Reply::yes());
    let server = Setup::new(2).hooks(&app).start();
    let (mut ann, mut bob) = (Member::enter(&server, "ann"), Member::enter(&server, "bob"));
    bob.join("r");
    ann.join("r");
    assert_eq!(Api::of(&server).post("/api/users/ann/disconnect", "{}"), json!({ "disconnected": 1 }));
    while ann.socket.frame().unwrap().closed().is_none() {}
    // She does not hang up, and goes on.
    for n in 0..3 {
        ann.say(&format!("{{\"type\":\"broadcast\",\"room\":\"r\",\"payload\":{n}}}"));
        ann.say("{\"type\":\"event\",\"event\":\"x\",\"payload\":1}");
        ann.say("{\"type\":\"leave\",\"room\":\"r\"}");
    }
    // Two joins, and what she says.
    server.await_metric("vestibule_messages_total", 2.0 + 9.0);
    Api::of(&server).post("/api/publish", "{\"room\":\"r\",\"payload\":\"last\"}");
    let heard = bob.hear();
    assert!(heard.contains("last"), "what she said goes to nobody: {heard}");
    ann.socket.reset();
    app.await_calls("disconnect", 1);
    assert_eq!((app.calls("message").len(), app.calls("leave").len()), (0, 0));
    server.stop();
}

//! Paths of the public listeners: none for two purposes.

use std::time::Duration;

use super::super::History;
use super::{complaints, read_text};

#[test]
fn no_path_serves_two_purposes() {
    let said = complaints("[server]\nhealth_path = \"/ws\"");
    assert!(said.contains("vestibule.toml:2: server.health_path"), "{said}");
    assert!(said.contains("websocket.path is /ws too; the two must differ"), "{said}");
    let said = complaints("[server]\nhealth_path = \"/x\"\n[websocket]\necho = \"/x\"");
    assert!(said.contains("websocket.echo is /x too"), "{said}");
    let said = complaints("[server]\nhealth_path = \"healthz\"");
    assert!(said.contains("empty, or a path"), "{said}");
}

#[test]
fn a_health_path_is_off_unless_it_is_set() {
    let path = |text: &str| read_text(text).expect(text).server.health_path;
    assert_eq!(path(""), None);
    assert_eq!(path("[server]\nhealth_path = \"\""), None);
    assert_eq!(path("[server]\nhealth_path = \"/healthz\"").as_deref(), Some("/healthz"));
}

#[test]
fn streams_have_a_path_of_their_own_and_all_that_is_below() {
    let said = complaints("[sse]\npath = \"/ws\"");
    assert!(said.starts_with("vestibule.toml:2: sse.path = \"/ws\": websocket.path is /ws too"), "{said}");
    assert_eq!(
        complaints("[websocket]\necho = \"/events/echo\""),
        "vestibule.toml:2: websocket.echo = \"/events/echo\": websocket.echo is /events/echo, which sse.path \
         (/events) takes for a user's stream"
    );
    assert!(read_text("[server]\nhealth_path = \"/eventshealth\"").is_ok());
    for path in ["events", "/", "/events/", "/e?x"] {
        let said = complaints(&format!("[sse]\npath = \"{path}\""));
        assert!(said.contains(": empty, or a path, which begins with / and does not end with it"), "{said}");
    }
    let off = read_text("[sse]\npath = \"\"\n[websocket]\necho = \"/events/x\"").expect("no streams");
    assert_eq!(off.sse.path, None);
}

#[test]
fn a_room_keeps_what_its_rule_says_or_nothing() {
    let history = |rest: &str| {
        let read = read_text(&format!("[[room]]\npattern = \"a\"\n{rest}"));
        read.expect(rest).rooms[0].history
    };
    assert_eq!(history(""), History { size: 0, ttl: Duration::ZERO });
    assert_eq!(history("history = {}"), History::default());
    assert_eq!(history("history = { size = 0, ttl = \"0s\" }"), History::default());
    let five = History { size: 100, ttl: Duration::from_secs(300) };
    assert_eq!(history("history = { size = 100, ttl = \"5m\" }"), five);
    assert_eq!(history("[room.history]\nttl = \"300s\"\nsize = 100"), five);
}

#[test]
fn a_history_without_size_or_time_or_with_something_else_is_refused() {
    let said = |history: &str| complaints(&format!("[[room]]\npattern = \"a\"\nhistory = {history}"));
    let neither = "without history both size and ttl are 0; with one, neither is";
    for history in ["{ size = 1 }", "{ ttl = \"1s\" }", "{ size = 1, ttl = \"0s\" }"] {
        assert_eq!(said(history), format!("vestibule.toml:3: room.history = {history}: {neither}"));
    }
    let allowed = "a table such as { size = 100, ttl = \"5m\" }; size is a number from 0 to 1000000, ttl is a \
        duration from 0s to 168h";
    for history in [
        "{ size = 1, ttl = \"1s\", depth = 1 }",
        "{ size = 1000001, ttl = \"1s\" }",
        "{ size = 1, ttl = \"169h\" }",
        "{ size = \"1\", ttl = \"1s\" }",
        "100",
        "\"5m\"",
    ] {
        assert_eq!(said(history), format!("vestibule.toml:3: room.history = {history}: {allowed}"));
    }
}

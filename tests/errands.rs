//! Errands: what `publish`, `rooms`, `connections` and `disconnect` do to a running node, what they print, and with
//! which code they end.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Member, Server, Setup, binary};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn publish_reaches_a_member_byte_for_byte() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut ada = Member::enter(&server, "ada");
        ada.join("chat:a/b");
        let said = Errand::of(&server, &["publish", "chat:a/b", r#"{ "b":1.0, "a":"\u00e9" }"#]).run();
        assert_eq!((said.code, said.out.as_str()), (Some(0), "published\n"), "{}", said.err);
        let expected = r#"{"type":"message","room":"chat:a/b","payload":{ "b":1.0, "a":"\u00e9" }}"#;
        assert_eq!(ada.hear(), expected);
        let mut errand = Errand::of(&server, &["publish", "chat:a/b", "-", "--event", "now", "--json"]);
        let said = errand.reading("[1,\n2]");
        assert_eq!((said.code, said.out.as_str()), (Some(0), "{\"position\":null}\n"), "{}", said.err);
        assert_eq!(
            ada.hear(),
            "{\"type\":\"message\",\"room\":\"chat:a/b\",\"event\":\"now\",\"payload\":[1,\n2]}"
        );
        server.stop();
    }
}

#[test]
fn who_is_excepted_does_not_get_it_and_an_id_is_published_once() {
    let server = Setup::new(2).start();
    let (mut ada, mut bob) = (Member::enter(&server, "ada"), Member::enter(&server, "bob"));
    ada.join("r");
    bob.join("r");
    for payload in ["1", "2"] {
        let line = ["publish", "r", payload, "--id", "once", "--except-user", "ada"];
        let said = Errand::of(&server, &line).run();
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    let said = Errand::of(&server, &["publish", "r", "3"]).run();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(ada.hear(), r#"{"type":"message","room":"r","payload":3}"#);
    assert_eq!(bob.hear(), r#"{"type":"message","room":"r","payload":1}"#);
    assert_eq!(bob.hear(), r#"{"type":"message","room":"r","payload":3}"#);
    server.stop();
}

#[test]
fn rooms_and_connections_tell_who_is_here() {
    let server = Setup::new(2).start();
    let (mut ada, mut bob) = (Member::enter(&server, "ada"), Member::enter(&server, "bob"));
    ada.join("chat:lobby");
    bob.join("chat:lobby");
    bob.join("b");
    let said = Errand::of(&server, &["rooms"]).run();
    assert_eq!(said.out, "ROOM        MEMBERS\nb           1\nchat:lobby  2\n", "{}", said.err);
    let said = Errand::of(&server, &["rooms", "--json"]).run();
    assert_eq!(
        said.out, "{\"room\":\"b\",\"members\":1}\n{\"room\":\"chat:lobby\",\"members\":2}\n",
        "{}",
        said.err
    );
    let said = Errand::of(&server, &["rooms", "b"]).run();
    let expected = format!("b: 1 member\nCONNECTION            USER\n{}  bob\n", bob.connection);
    assert_eq!(said.out, expected, "{}", said.err);
    let said = Errand::of(&server, &["connections", "--user", "ada", "--json"]).run();
    let told: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}", said.out));
    let expected = serde_json::json!({
        "connection": ada.connection, "user": "ada", "transport": "websocket", "rooms": ["chat:lobby"]
    });
    assert_eq!(told, expected);
    server.stop();
}

#[test]
fn more_rooms_than_a_page_holds_are_all_told_once() {
    const ROOMS: usize = 1001;
    let server = Setup::new(2).set("limits.rooms_per_connection", "2000").start();
    let mut ada = Member::enter(&server, "ada");
    for room in 0..ROOMS {
        ada.join(&format!("r{room:04}"));
    }
    let said = Errand::of(&server, &["rooms", "--json"]).run();
    let expected: String =
        (0..ROOMS).map(|room| format!("{{\"room\":\"r{room:04}\",\"members\":1}}\n")).collect();
    assert_eq!(said.out, expected, "{}", said.err);
    server.stop();
}

#[test]
fn a_history_longer_than_a_page_is_told_whole_and_in_order() {
    const PUBLISHED: u32 = 250;
    let server = Setup::new(2).history("kept", 1000, "5m").start();
    let mut ada = Member::enter(&server, "ada");
    let said = Errand::of(&server, &["rooms", "kept", "--history"]).run();
    assert_eq!((said.code, said.out.as_str()), (Some(0), "POSITION  EVENT  PAYLOAD\n"), "{}", said.err);
    for number in 0..PUBLISHED {
        ada.broadcast("kept", &number.to_string());
    }
    let said = Errand::of(&server, &["rooms", "kept", "--history", "--json"]).run();
    let told = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let numbers: Vec<u64> = told.map(|publication| publication["payload"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..u64::from(PUBLISHED)).collect::<Vec<_>>(), "{}", said.err);
    let said = Errand::of(&server, &["publish", "kept", "-1", "--event", "minus"]).run();
    let position =
        said.out.strip_prefix("published, up to ").unwrap_or_else(|| panic!("{}", said.out)).trim();
    assert!(position.ends_with(&format!("-{}", PUBLISHED + 1)), "{position}");
    let said = Errand::of(&server, &["rooms", "kept", "--history"]).run();
    assert_eq!(said.out.lines().last(), Some(format!("{position}  minus  -1").as_str()), "{}", said.err);
    server.stop();
}

#[test]
fn disconnect_closes_with_the_code_and_the_reason_that_were_said() {
    let server = Setup::new(2).start();
    let (mut ada, mut other, mut bob) =
        (Member::enter(&server, "ada"), Member::enter(&server, "ada"), Member::enter(&server, "bob"));
    let said = Errand::of(&server, &["disconnect", "--user", "ada"]).run();
    assert_eq!((said.code, said.out.as_str()), (Some(0), "2 connections closed\n"), "{}", said.err);
    assert_eq!(ada.closed().code, Some(4003));
    assert_eq!(other.closed().code, Some(4003));
    let line = ["disconnect", "--connection", &bob.connection, "--code", "4100", "--reason", "spam"];
    let said = Errand::of(&server, &line).run();
    assert_eq!((said.code, said.out.as_str()), (Some(0), "1 connection closed\n"), "{}", said.err);
    let closed = bob.closed();
    assert_eq!((closed.code, closed.reason.as_str()), (Some(4100), "spam"));
    let said = Errand::of(&server, &["disconnect", "--user", "ada"]).run();
    assert_eq!((said.code, said.out.as_str()), (Some(0), "0 connections closed\n"), "{}", said.err);
    server.stop();
}

#[test]
fn a_refusal_is_told_in_the_nodes_words_with_exit_1() {
    let server = Setup::new(1).start();
    for (line, word) in [
        (&["rooms", "r", "--history"][..], "no_history"),
        (&["publish", "r", "1", "--event", "gap"], "event"),
        (&["disconnect", "--connection", "00000000000d00000001"], "no_connection"),
    ] {
        let said = Errand::of(&server, line).run();
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{line:?}: {}", said.err);
        assert!(said.err.contains(word) && said.err.lines().count() == 1, "{}", said.err);
    }
    let mut errand = Errand::of(&server, &["rooms"]);
    errand.0.env("VESTIBULE_API_KEY", "a-wrong-one");
    let said = errand.run();
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("401"), "{}", said.err);
    assert!(!said.err.contains("a-wrong-one"), "a key is told to nobody: {}", said.err);
    server.stop();
}

#[test]
fn a_key_in_a_file_serves_and_who_may_not_read_it_is_told_what_else_would() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("api.keys");
    std::fs::write(&file, "first\nsecond\n").unwrap();
    let server = Setup::new(1).unset("admin.keys").set("admin.keys_file", &format!("{file:?}")).start();
    let said = Errand::of(&server, &["rooms"]).run();
    assert_eq!((said.code, said.out.as_str()), (Some(0), "ROOM  MEMBERS\n"), "{}", said.err);
    std::fs::remove_file(&file).unwrap();
    let said = Errand::of(&server, &["rooms"]).run();
    assert_eq!((said.code, said.out.as_str()), (Some(78), ""), "{}", said.err);
    for word in ["admin.keys_file", "cannot be read", "--url", "VESTIBULE_API_KEY"] {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
    server.stop();
}

#[test]
fn url_and_key_are_enough_without_a_configuration() {
    let server = Setup::new(1).start();
    let mut command = Command::new(binary());
    command
        .args(["rooms", "--url", &format!("http://{}", server.admin)])
        .env("VESTIBULE_API_KEY", "integration");
    let said = Errand(command).run();
    assert_eq!((said.code, said.out.as_str()), (Some(0), "ROOM  MEMBERS\n"), "{}", said.err);
    let admin = server.admin;
    server.stop();
    let mut command = Command::new(binary());
    command.args(["rooms", "--url", &format!("http://{admin}")]).env("VESTIBULE_API_KEY", "integration");
    let said = Errand(command).run();
    assert_eq!(said.code, Some(1), "there is no node");
    assert!(said.err.contains("no answer from http://"), "{}", said.err);
}

/// A command line, before it is run.
struct Errand(Command);

/// What it printed, and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Errand {
    /// With the configuration that the server runs with.
    fn of(server: &Server, line: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(line).arg("--config").arg(server.config());
        Self(command)
    }

    fn run(mut self) -> Said {
        self.reading("")
    }

    /// With this on its standard input. The command has deadlines of its own.
    fn reading(&mut self, input: &str) -> Said {
        let streams = self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = streams.spawn().unwrap();
        // One that does not read it may have closed it already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

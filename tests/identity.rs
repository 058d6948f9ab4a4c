//! Identity by the socket: the keys tokens are signed with, the places they stand in, and when they end.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::{Closed, Member, Response, Server, Setup, Socket, mint, now_s, until};
use serde_json::{Value, json};

const ORIGIN: &str = "https://app.example.com";

fn expired() -> Closed {
    Closed { code: Some(4010), reason: "Token expired".to_owned() }
}

fn unauthorized() -> Closed {
    Closed { code: Some(4001), reason: "Unauthorized".to_owned() }
}

fn with_cookie() -> Setup {
    Setup::new(1).set("auth.cookie", "\"session\"").set("auth.allowed_origins", &format!("[\"{ORIGIN}\"]"))
}

/// Asks for `/ws` with these header lines and returns the answer with what came behind it.
fn ask(server: &Server, lines: &[&str]) -> (Response, Socket) {
    let mut socket = Socket::connect(server.public);
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let response = socket.upgrade("/ws", &lines);
    (response, socket)
}

fn is_greeted(socket: &mut Socket, user: &str) -> bool {
    let greeting: Value = serde_json::from_str(socket.frame().unwrap().text()).unwrap();
    greeting["type"] == "connected" && greeting["userId"] == user
}

/// A token that ends `seconds` from now, or did.
fn ending(user: &str, seconds: i64, rooms: &[&str]) -> String {
    mint(&json!({ "sub": user, "exp": now_s().saturating_add_signed(seconds), "rooms": rooms }))
}

fn refresh(member: &mut Member, token: &str) -> Value {
    member.ask("refresh", &format!("\"token\":\"{token}\""))
}

struct Signer {
    key: Ed25519KeyPair,
    kid: &'static str,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        Self { key: Ed25519KeyPair::generate().unwrap(), kid }
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.kid, "x": x })
    }

    fn token(&self, user: &str) -> String {
        let header = json!({ "alg": "EdDSA", "kid": self.kid }).to_string();
        let claims = json!({ "sub": user, "exp": now_s() + 3600, "iss": "us", "aud": ["edge"] }).to_string();
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

#[test]
fn a_key_sets_tokens_get_in_and_others_do_not() {
    let (old, new, foreign) = (Signer::new("old"), Signer::new("new"), Signer::new("old"));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let set = json!({ "keys": [old.jwk(), new.jwk()] });
    std::io::Write::write_all(&mut file, set.to_string().as_bytes()).unwrap();
    let server = Setup::new(2)
        .unset("auth.hs256_secret")
        .set("auth.algorithms", "[\"EdDSA\"]")
        .set("auth.jwks_file", &format!("{:?}", file.path()))
        .set("auth.issuer", "\"us\"")
        .set("auth.audience", "\"edge\"")
        .start();
    for signer in [&old, &new] {
        let token = signer.token("ada");
        Member::greeted(Socket::connect(server.public), &token, "ada").lives();
    }
    for token in [foreign.token("ada"), ending("ada", 3600, &[])] {
        let (response, mut socket) = ask(&server, &[&format!("Authorization: Bearer {token}")]);
        assert_eq!((response.status, socket.closed()), (101, unauthorized()));
    }
    server.stop();
}

#[test]
fn an_offered_subprotocol_bears_the_token_and_is_never_named_in_the_answer() {
    let server = Setup::new(1).start();
    let token = server.token("ada");
    for offer in [
        format!("Sec-WebSocket-Protocol: vestibule, bearer.{token}"),
        format!("Sec-WebSocket-Protocol: bearer.{token},vestibule"),
        format!("Sec-WebSocket-Protocol: bearer.{token}\r\nSec-WebSocket-Protocol: other, vestibule"),
    ] {
        let (response, mut socket) = ask(&server, &[&offer]);
        assert_eq!(response.status, 101, "{response:?}");
        assert_eq!(response.header("sec-websocket-protocol"), Some("vestibule"));
        assert!(is_greeted(&mut socket, "ada"));
    }
    let (response, mut socket) = ask(&server, &[&format!("Sec-WebSocket-Protocol: bearer.{token}")]);
    assert_eq!(response.header("sec-websocket-protocol"), None);
    assert!(is_greeted(&mut socket, "ada"));
    let (response, mut socket) = ask(&server, &["Sec-WebSocket-Protocol: vestibule, bearer.hush"]);
    assert_eq!(response.header("sec-websocket-protocol"), Some("vestibule"), "for a refusal to be heard");
    assert_eq!(socket.closed(), unauthorized());
    assert!(!server.log().contains(&token));
    server.stop();
}

#[test]
fn a_cookie_bears_the_token_for_a_listed_origin_alone() {
    let server = with_cookie().start();
    let cookie = format!("Cookie: theme=dark; session={}", server.token("ada"));
    let (response, mut socket) = ask(&server, &[&cookie, &format!("Origin: {ORIGIN}")]);
    assert_eq!(response.status, 101);
    assert!(is_greeted(&mut socket, "ada"));
    for origin in ["Origin: https://evil.example", "Origin: null", "X-Origin: none at all"] {
        let (response, _) = ask(&server, &[&cookie, origin]);
        assert_eq!(response.status, 403, "{origin}");
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(body["error"]["code"], "origin", "{origin}");
    }
    let bearer = format!("Authorization: Bearer {}", server.token("bob"));
    let (response, mut socket) = ask(&server, &[&cookie, &bearer]);
    assert_eq!(response.status, 101, "a token that the client chose to send counts, and needs no origin");
    assert!(is_greeted(&mut socket, "bob"));
    server.stop();
}

#[test]
fn without_its_name_in_the_configuration_no_cookie_counts() {
    let server = Setup::new(1).set("auth.allowed_origins", &format!("[\"{ORIGIN}\"]")).start();
    let cookie = format!("Cookie: session={}", server.token("ada"));
    let (response, mut socket) = ask(&server, &[&cookie, &format!("Origin: {ORIGIN}")]);
    assert_eq!((response.status, socket.closed()), (101, unauthorized()));
    server.stop();
}

#[test]
fn an_open_connection_is_closed_within_two_seconds_of_the_end_of_its_token() {
    for setup in [Setup::new(1), Setup::new(2), Setup::epoll()] {
        let server = setup.start();
        let ends_s = now_s() + 2;
        let token = mint(&json!({ "sub": "ada", "exp": ends_s }));
        let mut members: Vec<Member> =
            (0..4).map(|_| Member::greeted(Socket::connect(server.public), &token, "ada")).collect();
        let mut stays = Member::enter(&server, "bob");
        stays.join("r");
        members[0].join("r");
        assert!(now_s() <= ends_s, "this test is too slow for its own token");
        for member in &mut members {
            assert_eq!(member.closed(), expired());
            let closed_s = now_s();
            assert!((ends_s..=ends_s + 2).contains(&closed_s), "closed at {closed_s}, ends at {ends_s}");
        }
        stays.lives();
        server.await_metric("vestibule_tokens_expired_total", 4.0);
        server.await_metric("vestibule_members", 1.0);
        drop(stays);
        server.stop();
    }
}

#[test]
fn a_token_that_has_ended_is_closed_with_4010_at_the_handshake() {
    let server = Setup::new(1).start();
    let (response, mut socket) =
        ask(&server, &[&format!("Authorization: Bearer {}", ending("ada", -1, &[]))]);
    assert_eq!((response.status, socket.closed()), (101, expired()));
    server.stop();
}

#[test]
fn a_refreshed_connection_outlives_its_first_token() {
    let server = Setup::new(2).start();
    let ends_s = now_s() + 2;
    let first = mint(&json!({ "sub": "ada", "exp": ends_s }));
    let mut ada = Member::greeted(Socket::connect(server.public), &first, "ada");
    let mut idle = Member::greeted(Socket::connect(server.public), &first, "ada");
    let answer = refresh(&mut ada, &ending("ada", 3600, &[]));
    assert_eq!(answer["type"], "ack", "{answer}");
    assert_eq!(idle.closed(), expired());
    until("the old end is well past", Duration::from_secs(5), || (now_s() > ends_s + 1).then_some(()));
    ada.lives();
    assert_eq!(server.metric("vestibule_token_refreshes_total"), 1.0);
    let answer = refresh(&mut ada, &ending("ada", 1, &[]));
    assert_eq!(answer["type"], "ack", "an earlier end counts too: {answer}");
    assert_eq!(ada.closed(), expired());
    server.stop();
}

#[test]
fn a_refresh_replaces_the_rooms_and_leaves_none() {
    let server = Setup::new(2).rooms(&[["*", "token", "token"]]).start();
    let mut ada = Member::greeted(Socket::connect(server.public), &ending("ada", 3600, &["old:*"]), "ada");
    ada.join("old:1");
    assert_eq!(ada.refused("join", "\"room\":\"new:1\""), "forbidden");
    assert_eq!(refresh(&mut ada, &ending("ada", 3600, &["new:*"]))["type"], "ack");
    ada.join("new:1");
    assert_eq!(ada.refused("join", "\"room\":\"old:2\""), "forbidden");
    assert_eq!(ada.refused("broadcast", "\"room\":\"old:1\",\"payload\":1"), "forbidden");
    let mut bob = Member::greeted(Socket::connect(server.public), &ending("bob", 3600, &["old:*"]), "bob");
    bob.broadcast("old:1", "\"still there\"");
    assert_eq!(ada.hear(), "{\"type\":\"message\",\"room\":\"old:1\",\"payload\":\"still there\"}");
    server.stop();
}

#[test]
fn a_refresh_that_is_refused_changes_nothing_and_the_connection_stays() {
    let server = Setup::new(1).rooms(&[["*", "token", "token"]]).start();
    let mut ada = Member::greeted(Socket::connect(server.public), &ending("ada", 3600, &["r"]), "ada");
    let forged = ending("ada", 3600, &["*"]).replace('.', "x.");
    for (token, code, message) in [
        (forged, "unauthorized", "the token is not valid"),
        ("hush".to_owned(), "unauthorized", "the token is not valid"),
        (String::new(), "unauthorized", "the token is not valid"),
        (ending("ada", -1, &["*"]), "unauthorized", "the token has expired"),
        (ending("eve", 3600, &["*"]), "forbidden", "the token is another user's"),
    ] {
        let answer = refresh(&mut ada, &token);
        let said = [&answer["type"], &answer["code"], &answer["message"]];
        assert_eq!(said, ["error", code, message]);
    }
    for rest in ["\"tokens\":\"x\"", "\"token\":5", "\"token\":null"] {
        assert_eq!(ada.refused("refresh", rest), "bad_message", "{rest}");
    }
    ada.join("r");
    assert_eq!(ada.refused("join", "\"room\":\"s\""), "forbidden");
    assert!(!server.log().contains("hush"));
    server.stop();
}

#[test]
fn where_nobody_is_known_by_a_token_there_is_nothing_to_refresh() {
    let server = Setup::new(1).set("auth.mode", "\"none\"").rooms(&[["*", "anyone", "anyone"]]).start();
    let mut somebody = Member::greeted(Socket::connect(server.public), "", "anonymous");
    assert_eq!(somebody.refused("refresh", &format!("\"token\":\"{}\"", ending("ada", 9, &[]))), "forbidden");
    somebody.lives();
    server.stop();
}

//! Nesting without end, on small stacks: a stack that overflows aborts the process, and nothing catches that.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Member, Setup, Socket, client_frame, gauge, mint, now_s};
use serde_json::value::RawValue;

#[test]
fn a_message_nested_100000_deep_is_an_error_and_the_process_lives() {
    for setup in Setup::each() {
        let server = small(&setup).start();
        let mut neighbour = Member::enter(&server, "neighbour");
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let deep = format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
            let endless = open.repeat(DEEP);
            for payload in [&deep, &endless] {
                for text in [
                    payload.clone(),
                    format!("{{\"type\":\"broadcast\",\"room\":\"r\",\"payload\":{payload}}}"),
                    format!("{{\"type\":{payload}}}"),
                    format!("{{\"type\":\"join\",\"room\":\"r\",\"id\":{payload}}}"),
                    format!("{{\"nobody reads this\":{payload},\"type\":\"ping\"}}"),
                ] {
                    let mut member = Member::enter(&server, "deep");
                    member.say(&text);
                    let answer = member.hear();
                    assert!(answer.contains("\"code\":\"bad_message\""), "{answer}");
                    member.lives();
                }
            }
        }
        neighbour.lives();
        assert_eq!(server.metric(gauge::PANICS), 0.0);
        server.stop();
    }
}

#[test]
fn a_message_in_pieces_is_judged_alike() {
    let server = small(&Setup::new(1)).start();
    let mut member = Member::enter(&server, "deep");
    let deep = "[".repeat(DEEP);
    member.socket.send(&client_frame(0x01, &deep.as_bytes()[..1]));
    for piece in deep.as_bytes()[1..].chunks(1000) {
        member.socket.send(&client_frame(0x00, piece));
    }
    member.socket.send(&client_frame(0x80, b""));
    assert!(member.hear().contains("\"code\":\"bad_message\""));
    member.lives();
    server.stop();
}

#[test]
fn a_token_with_deep_claims_is_judged_by_what_they_say() {
    let server = small(&Setup::new(1)).set("auth.refuse", "\"http-401\"").start();
    let mut neighbour = Member::enter(&server, "neighbour");
    // Well signed, so that it is its claims that are judged, and as deep as 8 KiB of a token can be.
    let deep = format!("{}1{}", "[".repeat(2500), "]".repeat(2500));
    for (claim, status) in [("nobody reads this", 101), ("rooms", 401), ("nbf", 401)] {
        let claims = format!("{{\"sub\":\"ada\",\"exp\":{},\"{claim}\":{deep}}}", now_s() + 3600);
        let token = mint(&RawValue::from_string(claims).unwrap());
        assert!((6000..8192).contains(&token.len()), "{} bytes", token.len());
        let response = Socket::connect(server.public).upgrade(&format!("/ws?token={token}"), "");
        assert_eq!(response.status, status, "{claim}: {response:?}");
    }
    // Brackets without an end as header and claims: three in every four characters.
    let endless = format!("eyJhIjpb{}", "W1tb".repeat(900));
    let token = format!("{endless}.{endless}.AAAA");
    assert_eq!(Socket::connect(server.public).upgrade(&format!("/ws?token={token}"), "").status, 401);
    neighbour.lives();
    server.stop();
}

/// Small stacks, and messages that have room for deep nesting. The workers have 512 KiB: unoptimised, the 128
/// levels that serde_json goes down for a claim take more than 256.
fn small(setup: &Setup) -> Setup {
    setup
        .clone()
        .after("ulimit -s 256")
        .variable("RUST_MIN_STACK", "524288")
        .set("limits.frame", "\"2MiB\"")
        .set("limits.message", "\"2MiB\"")
        .set("limits.lag", "\"4MiB\"")
}

const DEEP: usize = 100_000;

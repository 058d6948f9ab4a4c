//! A fuzz body: what a client's JSON asks for, and what is said in return.
//!
//! Takes any bytes, and panics where serde_json would have read another message.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::*;
use crate::protocol::json::Malformed;

/// A message: taken if and only if serde_json takes it (but for what the protocol forbids besides), and read alike.
pub fn native(input: &[u8]) {
    // The decoder of frames lets nothing else through; nothing may panic all the same.
    let request = Request::decode(input);
    let Ok(text) = str::from_utf8(input) else { return };
    check_validity(text);
    match &request {
        Ok(request) => {
            check_request(text, request);
            check_prefixes(text);
        }
        Err(rejected) => {
            let mut out = BytesMut::new();
            encode_error(&mut out, rejected.id.as_ref(), rejected.code, rejected.message);
            let said = payload_of(&out);
            let said: HashMap<&str, &RawValue> = serde_json::from_slice(said).expect("an error is JSON");
            assert_eq!(said.get("id").map(|id| id.get()), rejected.id.as_ref().map(RequestId::as_json));
        }
    }
}

fn check_validity(text: &str) {
    let theirs = serde_json::from_str::<&RawValue>(text).is_ok();
    match Object::scan(text.as_bytes()) {
        Ok(_) => assert!(theirs, "taken, and no JSON"),
        Err(Malformed::Syntax) => assert!(!theirs, "refused, and JSON"),
        Err(Malformed::NotAnObject) => assert!(!theirs || !text.trim_ascii_start().starts_with('{')),
        // Said at the key or bracket that is one too many, whatever follows.
        Err(
            Malformed::TooDeep | Malformed::EscapedKey | Malformed::DuplicateKey | Malformed::TooManyKeys,
        ) => {}
    }
}

/// Each part of a request is what serde_json finds under its key.
fn check_request(text: &str, request: &Request) {
    let theirs: HashMap<&str, &RawValue> = serde_json::from_str(text).expect("an object");
    let string = |key: &str| {
        theirs.get(key).map(|value| serde_json::from_str::<String>(value.get()).expect("a string"))
    };
    let raw = |key: &str| theirs.get(key).map(|value| value.get());
    assert_eq!(request.id.as_ref().map(RequestId::as_json), raw("id"));
    let kind = string("type");
    let (name, room, event, payload) = match &request.command {
        Command::Join { room, .. } => ("join", Some(room), None, None),
        Command::Leave { room } => ("leave", Some(room), None, None),
        Command::Broadcast { room, event, payload } => {
            ("broadcast", Some(room), event.as_ref(), Some(payload))
        }
        Command::Event { event, payload } => ("event", None, Some(event), Some(payload)),
        Command::Refresh { token } => {
            assert_eq!(Some(token.as_str()), string("token").as_deref());
            ("refresh", None, None, None)
        }
        Command::Ping => ("ping", None, None, None),
    };
    assert_eq!(kind.as_deref(), Some(name));
    if let Some(room) = room {
        assert_eq!(Some(&**room), string("room").as_deref());
        assert!(!room.is_empty());
    }
    if let Some(payload) = payload {
        assert_eq!(Some(&**payload), raw("payload").map(str::as_bytes));
        assert_eq!(event.map(|event| &**event), string("event").as_deref());
        check_message(room.map_or("r", |room| room), event.map(|event| &**event), payload);
    }
    if let Some(id) = &request.id {
        let mut out = BytesMut::new();
        encode_ack(&mut out, id, None, None);
        let said: HashMap<&str, &RawValue> = serde_json::from_slice(payload_of(&out)).expect("JSON");
        assert_eq!(said["id"].get(), id.as_json());
    }
}

/// A publication comes out as it went in.
fn check_message(room: &str, event: Option<&str>, payload: &[u8]) {
    let mut out = BytesMut::new();
    encode_message(&mut out, room, event, payload, None);
    let said: HashMap<&str, &RawValue> = serde_json::from_slice(payload_of(&out)).expect("a message is JSON");
    let string = |key: &str| said.get(key).map(|value| serde_json::from_str::<String>(value.get()));
    assert_eq!(string("room").transpose().expect("a string").as_deref(), Some(room));
    assert_eq!(string("event").transpose().expect("a string").as_deref(), event);
    assert_eq!(said["payload"].get().as_bytes(), payload);
}

/// What was cut off is never taken for the whole.
fn check_prefixes(text: &str) {
    let whole = text.trim_ascii_end().len();
    let step = if cfg!(test) { 1 } else { 1 + whole / PREFIXES };
    for end in (0..whole).step_by(step) {
        assert!(Request::decode(&text.as_bytes()[..end]).is_err(), "cut at {end}, and taken");
    }
}

/// The payload of the one frame that was appended, whose length is that of its header.
fn payload_of(out: &[u8]) -> &[u8] {
    let (payload, len) = match out {
        [0x81, 126, high, low, payload @ ..] => (payload, usize::from(u16::from_be_bytes([*high, *low]))),
        [0x81, 127, len @ ..] => {
            let (len, payload) = len.split_first_chunk().expect("eight bytes");
            (payload, u64::from_be_bytes(*len) as usize)
        }
        [0x81, len, payload @ ..] => (payload, usize::from(*len)),
        _ => panic!("no text frame: {out:?}"),
    };
    assert_eq!(payload.len(), len);
    payload
}

/// How many of a message's prefixes a fuzzer tries.
const PREFIXES: usize = 8;

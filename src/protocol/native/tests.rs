//! Messages and frames of the native protocol, byte for byte.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn request(text: &str) -> Request {
    Request::decode(text.as_bytes()).unwrap_or_else(|rejected| panic!("{text}: {rejected:?}"))
}

fn rejected(text: &str) -> Rejected {
    Request::decode(text.as_bytes()).expect_err(text)
}

/// A frame that `encode` appends, whatever stood before it.
fn frame(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::from(&b"before"[..]);
    encode(&mut out);
    out.strip_prefix(b"before").expect("appended").to_vec()
}

#[test]
fn each_command_is_read() {
    let command = |text| request(text).command;
    assert_eq!(
        command(r#"{"type":"join","room":"lobby"}"#),
        Command::Join { room: "lobby".into(), since: None }
    );
    assert_eq!(
        command(r#"{ "room" : "a\u00e9\/b" , "type" : "leave" }"#),
        Command::Leave { room: "a\u{e9}/b".into() }
    );
    assert_eq!(
        command(r#"{"type":"broadcast","room":"r","payload": [ 1.0 , "\u0041" ] ,"event":"typing"}"#),
        Command::Broadcast {
            room: "r".into(),
            event: Some("typing".into()),
            payload: Box::from(&br#"[ 1.0 , "\u0041" ]"#[..])
        }
    );
    assert_eq!(
        command(r#"{"type":"broadcast","room":"r","payload":null}"#),
        Command::Broadcast { room: "r".into(), event: None, payload: Box::from(&b"null"[..]) }
    );
    assert_eq!(
        command(r#"{"type":"event","event":" ","payload":{}}"#),
        Command::Event { event: " ".into(), payload: Box::from(&b"{}"[..]) }
    );
    assert_eq!(
        command(r#"{"type":"refresh","token":"a.b\u002ec"}"#),
        Command::Refresh { token: Bearer("a.b.c".into()) }
    );
    assert_eq!(command(r#"{"type":"\u0070ing"}"#), Command::Ping);
    assert_eq!(command("\n{\"type\":\"ping\"}\r\n"), Command::Ping);
}

#[test]
fn a_token_does_not_show_itself() {
    let request = request(r#"{"type":"refresh","token":"hush"}"#);
    assert_eq!(format!("{request:?}"), "Request { id: None, command: Refresh { token: [token] } }");
}

#[test]
fn keys_that_a_command_has_no_use_for_are_passed_over() {
    assert_eq!(
        request(r#"{"type":"ping","room":1,"event":[],"payload":0,"since":{},"x":"\ud800"}"#).command,
        Command::Ping
    );
    let join = request(r#"{"type":"join","room":"r","event":null,"payload":"a-1"}"#);
    assert_eq!(join.command, Command::Join { room: "r".into(), since: None });
}

#[test]
fn a_place_to_go_on_from_is_any_text_and_nothing_else() {
    let join = request(r#"{"type":"join","room":"r","since":"\u0061-1"}"#);
    assert_eq!(join.command, Command::Join { room: "r".into(), since: Some("a-1".into()) });
    for since in ["null", "1", "{}", "[]", "true"] {
        let text = format!(r#"{{"type":"join","room":"r","since":{since}}}"#);
        let rejected = Request::decode(text.as_bytes()).expect_err(&text);
        assert_eq!((rejected.code, rejected.message), (ErrorCode::BadMessage, BAD_SINCE));
    }
}

#[test]
fn a_position_stands_behind_what_it_is_of() {
    let id = request(r#"{"type":"ping","id":7}"#).id.expect("an id");
    for (position, recovered, tail) in [
        (Some("0000000a-1"), None, r#","position":"0000000a-1"}"#),
        (Some("0000000a-1"), Some(true), r#","position":"0000000a-1","recovered":true}"#),
        (Some("0000000a-1"), Some(false), r#","position":"0000000a-1","recovered":false}"#),
    ] {
        let ack = frame(|out| encode_ack(out, &id, position, recovered));
        assert_eq!(ack[2..], *format!(r#"{{"type":"ack","id":7{tail}"#).as_bytes());
    }
    assert_eq!(
        frame(|out| encode_message(out, "r", None, b"1", Some("0000000a-1")))[2..],
        *br#"{"type":"message","room":"r","payload":1,"position":"0000000a-1"}"#
    );
}

#[test]
fn a_reply_stands_in_the_ack_or_alone() {
    let id = request(r#"{"type":"ping","id":"x"}"#).id.expect("an id");
    assert_eq!(
        frame(|out| encode_replied(out, &id, r#"{"a": 1.0}"#))[2..],
        *br#"{"type":"ack","id":"x","reply":{"a": 1.0}}"#
    );
    assert_eq!(
        frame(|out| encode_reply(out, "say \"hi\"", "null"))[2..],
        *br#"{"type":"reply","event":"say \"hi\"","payload":null}"#
    );
}

#[test]
fn an_id_comes_back_byte_for_byte() {
    let longest = format!("\"{}\"", "x".repeat(62));
    for id in ["1", "-1.50E+3", "12345678901234567890123", r#""""#, r#""\u00e9\ud800""#, &longest] {
        let read = request(&format!(r#"{{"id": {id} ,"type":"ping"}}"#)).id.expect("an id");
        assert_eq!(read.as_json(), id);
        assert_eq!(
            frame(|out| encode_ack(out, &read, None, None))[2..],
            *format!(r#"{{"type":"ack","id":{id}}}"#).as_bytes()
        );
    }
    assert_eq!(request(r#"{"type":"ping"}"#).id, None);
    let longer = format!("\"{}\"", "x".repeat(63));
    for id in ["null", "true", "[]", "{}", &longer] {
        let rejected = rejected(&format!(r#"{{"id":{id},"type":"ping"}}"#));
        assert_eq!((rejected.id, rejected.code, rejected.message), (None, ErrorCode::BadMessage, BAD_ID));
    }
}

#[test]
fn each_fault_is_named() {
    use ErrorCode::{BadMessage, RoomName, UnknownType};
    for (text, code, message) in [
        ("", BadMessage, "the message is not a JSON object"),
        ("[]", BadMessage, "the message is not a JSON object"),
        ("{", BadMessage, "the message is not well-formed JSON"),
        (r#"{"type":"ping"}x"#, BadMessage, "the message is not well-formed JSON"),
        (r#"{"type":"ping","type":"ping"}"#, BadMessage, "a key of the message stands twice"),
        (r#"{"typ\u0065":"ping"}"#, BadMessage, "a key of the message is written with an escape"),
        ("{}", BadMessage, BAD_TYPE),
        (r#"{"type":1}"#, BadMessage, BAD_TYPE),
        (r#"{"type":"refresh"}"#, BadMessage, BAD_TOKEN),
        (r#"{"type":"refresh","token":1}"#, BadMessage, BAD_TOKEN),
        (r#"{"type":"Join","room":"r"}"#, UnknownType, UNKNOWN_TYPE),
        (r#"{"type":"join"}"#, BadMessage, BAD_ROOM),
        (r#"{"type":"join","room":null}"#, BadMessage, BAD_ROOM),
        (r#"{"type":"join","room":"\udc00"}"#, BadMessage, BAD_ROOM),
        (r#"{"type":"leave","room":""}"#, RoomName, "a room has to have a name"),
        (r#"{"type":"broadcast","room":"r"}"#, BadMessage, NO_PAYLOAD),
        (r#"{"type":"broadcast","payload":1}"#, BadMessage, BAD_ROOM),
        (r#"{"type":"broadcast","room":"r","payload":1,"event":null}"#, BadMessage, BAD_EVENT),
        (r#"{"type":"event","payload":1}"#, BadMessage, BAD_EVENT),
        (r#"{"type":"event","event":"","payload":1}"#, BadMessage, "event has to be 1 to 256 bytes long"),
        (
            r#"{"type":"broadcast","room":"r","payload":1,"event":"a\rb"}"#,
            BadMessage,
            "event must not have control characters",
        ),
        (
            r#"{"type":"broadcast","room":"r","payload":1,"event":"gap"}"#,
            BadMessage,
            "event must not be connected, gap, close, error or open",
        ),
        (r#"{"type":"event","event":"e"}"#, BadMessage, NO_PAYLOAD),
        (
            r#"{"type":"broadcast","room":"r","payload":01}"#,
            BadMessage,
            "the message is not well-formed JSON",
        ),
    ] {
        assert_eq!(rejected(text), Rejected { id: None, code, message }, "{text}");
    }
    let with_id = rejected(r#"{"type":"join","id":7}"#);
    assert_eq!(with_id.id.expect("it had one").as_json(), "7");
}

#[test]
fn nesting_is_counted_from_the_message_itself() {
    let nested = |depth| {
        format!(r#"{{"type":"broadcast","room":"r","payload":{}{}}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    assert!(Request::decode(nested(63).as_bytes()).is_ok());
    assert_eq!(rejected(&nested(64)).message, "the message is nested more than 64 deep");
    assert_eq!(rejected(&nested(100_000)).code, ErrorCode::BadMessage);
}

#[test]
fn every_prefix_of_a_message_is_refused() {
    let text = r#"{"id":"a","type":"broadcast","room":"r","payload":{"n":[1,2.5,true],"s":"\u20ac"}}"#;
    assert!(Request::decode(text.as_bytes()).is_ok());
    for end in 0..text.len() {
        let rejected = rejected(&text[..end]);
        assert_eq!((rejected.id, rejected.code), (None, ErrorCode::BadMessage));
    }
}

#[test]
fn each_frame_is_what_the_wire_has() {
    assert_eq!(
        frame(|out| encode_connected(out, "al\"ice", "c1", 12)),
        b"\x81\x44{\"type\":\"connected\",\"userId\":\"al\\\"ice\",\"connection\":\"c1\",\"shard\":12}"
    );
    assert_eq!(frame(encode_pong), b"\x81\x0f{\"type\":\"pong\"}");
    let id = request(r#"{"id":7,"type":"ping"}"#).id;
    assert_eq!(
        frame(|out| encode_error(out, id.as_ref(), ErrorCode::Forbidden, "no")),
        b"\x81\x39{\"type\":\"error\",\"id\":7,\"code\":\"forbidden\",\"message\":\"no\"}"
    );
    assert_eq!(
        frame(|out| encode_error(out, None, ErrorCode::NotJoined, "a\n")),
        b"\x81\x34{\"type\":\"error\",\"code\":\"not_joined\",\"message\":\"a\\n\"}"
    );
    assert_eq!(
        frame(|out| encode_message(out, "r", None, b"{\"a\":1}", None)),
        b"\x81\x2f{\"type\":\"message\",\"room\":\"r\",\"payload\":{\"a\":1}}"
    );
    assert_eq!(
        frame(|out| encode_message(out, "r", Some("e"), b"0", None)),
        b"\x81\x35{\"type\":\"message\",\"room\":\"r\",\"event\":\"e\",\"payload\":0}"
    );
    assert_eq!(
        frame(|out| encode_gap(out, "r", "9f-12")),
        b"\x81\x2c{\"type\":\"gap\",\"room\":\"r\",\"position\":\"9f-12\"}"
    );
}

#[test]
fn the_length_of_a_frame_takes_its_shortest_form() {
    let around = r#"{"type":"message","room":"r","payload":}"#.len();
    for (len, header) in [
        (125, &[0x81, 125][..]),
        (126, &[0x81, 126, 0, 126]),
        (65_535, &[0x81, 126, 0xff, 0xff]),
        (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let frame = frame(|out| encode_message(out, "r", None, &vec![b'0'; len - around], None));
        assert_eq!(&frame[..header.len()], header);
        assert_eq!(frame.len(), header.len() + len);
    }
}

#[test]
fn a_frame_is_reserved_for_once() {
    let mut out = BytesMut::new();
    let payload = vec![b'0'; 100_000];
    encode_message(&mut out, "\"\"\"\"\"\"\"\"", None, &payload, None);
    let slack = out.capacity() - out.len();
    assert!(slack < 64, "{slack}");
}

/// A JSON value as somebody might write it: odd spaces, escapes and numbers.
fn payload() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "-0",
            "1e999",
            "0.10",
            "123456789012345678901234567890",
            "\"\"",
            "\"\\ud800\"",
            "\"\\/\\u00e9\"",
            "\"\u{1f600}\"",
            "{}",
            "[ ]",
        ])
        .prop_map(str::to_owned),
        ".*".prop_map(|text: String| serde_json::to_string(&text).expect("a string")),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| format!("{number:?}")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}\n]", items.join(" ,\t"))),
            prop::collection::vec(inner, 0..4).prop_map(|items| {
                let members = items.iter().map(|item| format!("\"a\" :{item}"));
                format!("{{ {} }}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_payload_passes_through_byte_for_byte(
        payload in payload(),
        space in "[ \t\r\n]{0,3}",
        event in prop::option::of("[^\\x00-\\x1f\\x7f]{1,60}"),
        room in ".+",
    ) {
        let quoted = |text: &str| serde_json::to_string(text).expect("a string");
        let named = event.as_deref().map(|event| format!(",\"event\":{}", quoted(event))).unwrap_or_default();
        let text = format!("{{\"payload\":{space}{payload}{space},\"type\":\"broadcast\",\"room\":{}{named}}}", quoted(&room));
        let Command::Broadcast { room: read_room, event: read_event, payload: read } = request(&text).command else { panic!() };
        prop_assert_eq!((&*read_room, read_event.as_deref(), &*read), (&*room, event.as_deref(), payload.as_bytes()));

        let frame = frame(|out| encode_message(out, &read_room, read_event.as_deref(), &read, None));
        let expected = format!("{{\"type\":\"message\",\"room\":{}{named},\"payload\":{payload}}}", quoted(&room));
        prop_assert!(frame.ends_with(expected.as_bytes()));
    }

    #[test]
    fn frames_hold_json_whatever_the_texts(a in ".*", b in ".*", shard in any::<usize>()) {
        let inside = |frame: Vec<u8>| {
            let skip = match frame[1] { 126 => 4, 127 => 10, _ => 2 };
            serde_json::from_slice::<Value>(&frame[skip..]).expect("JSON")
        };
        let connected = inside(frame(|out| encode_connected(out, &a, &b, shard)));
        prop_assert_eq!(connected, serde_json::json!({"type":"connected","userId":a,"connection":b,"shard":shard}));
        let gap = inside(frame(|out| encode_gap(out, &a, &b)));
        prop_assert_eq!(gap, serde_json::json!({"type":"gap","room":a,"position":b}));
        let error = inside(frame(|out| encode_error(out, None, ErrorCode::Degraded, &a)));
        prop_assert_eq!(error, serde_json::json!({"type":"error","code":"degraded","message":a}));
    }

    // Whatever comes, it ends in a verdict; and what we take is JSON to another reader too.
    #[test]
    fn what_is_taken_is_json_to_serde_json(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "{\"type\":\"broadcast\",\"room\":\"r\",\"payload\":", "}", "{", "[", "]", ",", ":", "\"", "1", "e", "-", ".", "\\", "null",
                "\"a\":", " ", "\"id\":", "\"type\":\"ping\"", "\u{e9}",
            ]),
            0..9,
        ),
    ) {
        let text = parts.concat();
        if Request::decode(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok());
        }
    }
}

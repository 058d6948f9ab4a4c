//! Blocks and chunks, byte for byte.

use super::*;

fn said(encode: impl FnOnce(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    encode(&mut out);
    String::from_utf8(out.to_vec()).expect("text")
}

fn message(event: Option<&str>, payload: &str, id: Option<&str>) -> String {
    said(|out| encode_message(out, event, payload.as_bytes(), id))
}

#[test]
fn a_message_is_one_chunk_of_one_block() {
    assert_eq!(
        message(Some("say"), r#"{"n":1}"#, Some("00c0ffee-7")),
        "29\r\nevent: say\ndata: {\"n\":1}\nid: 00c0ffee-7\n\n\r\n"
    );
    assert_eq!(message(None, "1", None), "9\r\ndata: 1\n\n\r\n");
    assert_eq!(message(None, "", None), "8\r\ndata: \n\n\r\n");
}

#[test]
fn each_line_of_a_payload_is_a_line_of_data_wherever_it_ends() {
    assert_eq!(message(None, "[\n1]", None), "12\r\ndata: [\ndata: 1]\n\n\r\n");
    assert_eq!(message(None, "[\r1]", None), "12\r\ndata: [\ndata: 1]\n\n\r\n");
    assert_eq!(message(None, "[\r\n1]", None), "12\r\ndata: [\ndata: 1]\n\n\r\n");
    assert_eq!(message(None, "[\n\r1]", None), "19\r\ndata: [\ndata: \ndata: 1]\n\n\r\n");
    assert_eq!(message(None, "1\r", None), "10\r\ndata: 1\ndata: \n\n\r\n");
}

#[test]
fn a_part_and_what_goes_around_it_make_a_block() {
    let around = |framing, id| {
        said(|out| {
            let mut part = BytesMut::new();
            encode_part(&mut part, "r", Some("say"), b"1");
            assert_eq!(part, "room: r\nevent: say\ndata: 1\n");
            encode_part_head(out, framing, part.len(), id);
            out.put_slice(&part);
            encode_part_tail(out, framing, id);
        })
    };
    assert_eq!(
        around(Framing::Chunked, Some("1-2,")),
        "25\r\nroom: r\nevent: say\ndata: 1\nid: 1-2,\n\n\r\n"
    );
    assert_eq!(around(Framing::Chunked, None), "1c\r\nroom: r\nevent: say\ndata: 1\n\n\r\n");
    assert_eq!(around(Framing::Bare, Some("1-2,")), "room: r\nevent: say\ndata: 1\nid: 1-2,\n\n");
}

#[test]
fn a_rooms_name_ends_no_line() {
    let part = said(|out| encode_part(out, "r\ndata: 2\r\n", None, b"1"));
    assert_eq!(part, "room: r data: 2  \ndata: 1\n");
}

#[test]
fn what_a_stream_says_for_itself() {
    assert_eq!(
        said(|out| encode_connected(out, Framing::Chunked, "a\"\n", "0-1", 1234)),
        "4a\r\nretry: 1234\nevent: connected\ndata: {\"userId\":\"a\\\"\\n\",\"connection\":\"0-1\"}\n\n\r\n"
    );
    assert_eq!(said(|out| encode_id(out, Framing::Chunked, "1-2")), "9\r\nid: 1-2\n\n\r\n");
    assert_eq!(said(|out| encode_id(out, Framing::Bare, "1-2")), "id: 1-2\n\n");
    assert_eq!(
        said(|out| encode_gap(out, Framing::Bare, "r\r", "1-2", Some("1-2,"))),
        "event: gap\nid: 1-2,\ndata: {\"room\":\"r\\r\",\"position\":\"1-2\"}\n\n"
    );
    assert_eq!(
        said(|out| encode_gap(out, Framing::Bare, "r", "1-2", None)),
        "event: gap\ndata: {\"room\":\"r\",\"position\":\"1-2\"}\n\n"
    );
    assert_eq!(said(|out| encode_heartbeat(out, Framing::Chunked)), "c\r\n:heartbeat\n\n\r\n");
    assert_eq!(said(|out| encode_heartbeat(out, Framing::Bare)), ":heartbeat\n\n");
}

#[test]
fn a_goodbye_ends_the_stream_and_says_whether_to_come_back() {
    let goodbye = |framing, code, retry_ms, stop| {
        said(|out| encode_goodbye(out, framing, Goodbye { code, reason: "why\n", retry_ms, stop }))
    };
    assert_eq!(
        goodbye(Framing::Chunked, 4010, None, false),
        "33\r\nevent: close\ndata: {\"code\":4010,\"reason\":\"why\\n\"}\n\n\r\n0\r\n\r\n"
    );
    assert_eq!(
        goodbye(Framing::Bare, 4003, None, true),
        "event: close\nid: close-4003\ndata: {\"code\":4003,\"reason\":\"why\\n\"}\n\n"
    );
    assert_eq!(
        goodbye(Framing::Bare, 1013, Some(5000), false),
        "retry: 5000\n\nevent: close\ndata: {\"code\":1013,\"reason\":\"why\\n\"}\n\n"
    );
}

#[test]
fn a_node_that_goes_away_says_only_when_to_come_back() {
    let goodbye = Goodbye { code: GOING_AWAY, reason: "Going away", retry_ms: Some(2345), stop: false };
    assert_eq!(
        said(|out| encode_goodbye(out, Framing::Chunked, goodbye)),
        "d\r\nretry: 2345\n\n\r\n0\r\n\r\n"
    );
    assert_eq!(said(|out| encode_goodbye(out, Framing::Bare, goodbye)), "retry: 2345\n\n");
}

#[test]
fn only_the_id_of_a_goodbye_for_good_is_a_stop() {
    assert!(is_stop("close-4003") && is_stop("close-"));
    for id in ["", "close", "Close-4003", "1-2,close-4003", "earliest"] {
        assert!(!is_stop(id), "{id:?}");
    }
}

#[test]
fn an_events_name_breaks_no_line_and_is_not_a_streams_own() {
    let longest = "n".repeat(EVENT_NAME_LEN_MAX);
    for name in ["say", "message", " ", "ä\u{85}\u{2028}\u{feff}", "Close", &longest] {
        assert_eq!(check_event_name(name), Ok(()), "{name:?}");
    }
    for name in ["", &format!("{longest}n")] {
        assert_eq!(check_event_name(name), Err(BadEventName::Length));
    }
    for name in ["a\rb", "\n", "a\0", "\t", "\u{7f}", "a\u{1f}"] {
        assert_eq!(check_event_name(name), Err(BadEventName::Control), "{name:?}");
    }
    for name in ["connected", "gap", "close", "error", "open"] {
        assert_eq!(check_event_name(name), Err(BadEventName::Reserved), "{name:?}");
    }
}

#[test]
fn nothing_is_allocated_but_the_block() {
    let mut out = BytesMut::new();
    let payload = format!("[{}1]", "1,\r\n".repeat(1000));
    encode_message(&mut out, Some("say"), payload.as_bytes(), Some("1-2"));
    let len = out.len();
    assert!(out.capacity() - len <= CHUNK_SIZE_LEN_MAX + CHUNK_END.len(), "{} for {len}", out.capacity());
}

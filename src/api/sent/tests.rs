//! What is read of a body, and where it is said to be wrong.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

/// Nothing here is long enough to pause.
fn read_items(body: &[u8]) -> Result<Items, Refused> {
    let limits = Limits { message: 64, room_name: 16, ..Limits::default() };
    match pin!(items(body, &limits)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(read) => read,
        Poll::Pending => panic!("it pauses"),
    }
}

fn one(body: &str) -> Item {
    match read_items(body.as_bytes()) {
        Ok(Items::One(item)) => item,
        other => panic!("{body}: {other:?}"),
    }
}

/// Its error as JSON.
fn refusal(body: &[u8]) -> String {
    let refused = read_items(body).expect_err(&String::from_utf8_lossy(body));
    String::from_utf8(refused.response().body.to_vec()).expect("JSON")
}

fn code(body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(&refusal(body.as_bytes())).expect("JSON");
    value["error"]["code"].as_str().expect("a code").to_owned()
}

#[test]
fn an_item_is_read_with_all_that_it_may_say() {
    let item = one(r#" {"room":"r\u00e9","event":"e","payload": [1.0e0, {"a":"\ud800"}] ,"id":"7",
           "except":{"users":["u"],"connections":["00000000000100000001"],"rooms":["q"]}} "#);
    let publication = item.publication;
    assert_eq!(
        (&*item.room, item.id.as_deref(), publication.event.as_deref()),
        ("r\u{e9}", Some("7"), Some("e"))
    );
    assert_eq!(&*publication.payload, br#"[1.0e0, {"a":"\ud800"}]"#, "byte for byte");
    let exclude = &publication.exclude;
    assert_eq!((&*exclude.users[0], &*exclude.rooms[0]), ("u", "q"));
    assert_eq!(exclude.connections[0].to_string(), "00000000000100000001");
    let least = one(r#"{"room":"r","payload":null}"#);
    assert_eq!(
        (&*least.publication.payload, least.id, &least.publication.event),
        (&b"null"[..], None, &None)
    );
}

#[test]
fn an_array_is_read_in_its_order() {
    let Ok(Items::Many(items)) = read_items(br#"[{"room":"a","payload":1} , {"room":"b","payload":2}]"#)
    else {
        panic!("an array")
    };
    assert_eq!(items.iter().map(|item| &*item.room).collect::<Vec<_>>(), ["a", "b"]);
    let many = |count| format!("[{}]", vec![r#"{"room":"a","payload":1}"#; count].join(","));
    assert!(matches!(read_items(many(1000).as_bytes()), Ok(Items::Many(items)) if items.len() == 1000));
    assert!(refusal(many(1001).as_bytes()).contains("\"item\":1000"));
    assert_eq!(code("[]"), "bad_request");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (body, code, place) in [
        ("", "bad_json", r#""line":1,"column":1"#),
        ("{\"room\":\"r\",\n  \"payload\":1,}", "bad_json", r#""line":2,"column":15"#),
        ("{\"room\":\"r\",\"payload\":1,\"rooom\":2}", "bad_json", r#""line":1,"column":31"#),
        ("{\"room\":\"r\",\"payload\":1,\"room\":\"r\"}", "bad_json", r#""line":1,"column":30"#),
        ("{\"room\":\"r\",\"payload\":1} x", "bad_json", r#""line":1,"column":26"#),
        ("{\"room\":\"r\",\"payload\":1}\n{}", "bad_json", r#""line":2,"column":1"#),
        ("[{\"room\":\"r\",\"payload\":1},\n {\"room\":7}]", "bad_json", r#""line":2,"column":10,"item":1"#),
        ("[{\"room\":\"r\",\"payload\":1},]", "bad_json", r#""line":1,"column":27,"item":1"#),
        ("[{\"room\":\"r\",\"payload\":1}", "bad_json", r#""line":1,"column":26"#),
        ("[{\"room\":\"r\",\"payload\":1};", "bad_json", r#""line":1,"column":26"#),
        ("[{\"room\":\"r\",\"payload\":1},{\"room\":\"\",\"payload\":1}]", "room_name", r#""item":1"#),
    ] {
        let said = refusal(body.as_bytes());
        assert!(said.contains(code) && said.contains(place), "{body}: {said}");
    }
    let said = refusal(b"{\"room\":\"r\",\n\"payload\":\"\xff\"}");
    assert!(said.contains("UTF-8") && said.contains(r#""line":2,"column":12"#), "{said}");
}

#[test]
fn what_is_no_object_is_refused_in_whatever_order_it_comes() {
    for body in [
        "1",
        "null",
        "\"r\"",
        r#"[["r",null,1,null,null]]"#,
        "[1]",
        r#"{"room":"r","payload":1,"except":[[],[],[]]}"#,
        r#"{"room":"r","payload":1,"except":{"users":"u"}}"#,
        r#"{"room":"r","payload":1,"except":{"user":[]}}"#,
        r#"{"room":"\ud800","payload":1}"#,
        r#"{"room":"r"}"#,
        r#"{"payload":1}"#,
        r#"{"room":"r","payload":01}"#,
        r#"{"room":"r","payload":"\x"}"#,
    ] {
        assert_eq!(code(body), "bad_json", "{body}");
    }
}

#[test]
fn names_ids_and_payloads_have_their_bounds() {
    let with = |rest: &str| format!("{{\"room\":\"r\",\"payload\":1,{rest}}}");
    let named = |room: &str| format!("{{\"room\":\"{room}\",\"payload\":1}}");
    for (body, expected) in [
        (named(""), "room_name"),
        (named(&"x".repeat(17)), "room_name"),
        (named("a\\nb"), "room_name"),
        (with(r#""event":"""#), "event_name"),
        (with(&format!("\"event\":\"{}\"", "x".repeat(257))), "event_name"),
        (with(r#""event":"a\nb""#), "event_name"),
        (with(r#""event":"gap""#), "event_name"),
        (with(r#""id":"""#), "bad_request"),
        (with(&format!("\"id\":\"{}\"", "x".repeat(65))), "bad_request"),
        (with(r#""except":{"connections":["x"]}"#), "bad_request"),
        (with(&format!("\"except\":{{\"users\":[{}]}}", vec!["\"u\""; 101].join(","))), "bad_request"),
        (format!("{{\"room\":\"r\",\"payload\":\"{}\"}}", "x".repeat(63)), "too_large"),
    ] {
        assert_eq!(code(&body), expected, "{body}");
    }
    one(&named(&"x".repeat(16)));
    one(&with(&format!("\"event\":\"{}\",\"id\":\"{}\"", "x".repeat(256), "x".repeat(64))));
    one(&with(&format!("\"except\":{{\"users\":[{}]}}", vec!["\"u\""; 100].join(","))));
    one(&format!("{{\"room\":\"r\",\"payload\":\"{}\"}}", "x".repeat(62)));
}

#[test]
fn a_payload_is_nested_64_deep_at_most() {
    let limits = Limits::default();
    let read = |depth: usize| {
        let payload = "[".repeat(depth) + &"]".repeat(depth);
        let body = format!("[{{\"room\":\"r\",\"payload\":{payload}}}]");
        let polled = pin!(items(body.as_bytes(), &limits)).poll(&mut Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Ready(Ok(_)))
    };
    assert!(read(64) && !read(65) && !read(100_000));
}

#[test]
fn a_goodbye_says_what_a_close_frame_can() {
    assert_eq!(goodbye(b"").expect("nothing"), (CloseCode::FORBIDDEN, "".into()));
    assert_eq!(goodbye(b"{}").expect("nothing"), (CloseCode::FORBIDDEN, "".into()));
    let (code, reason) = goodbye(br#"{"code":4999,"reason":"bye"}"#).expect("a goodbye");
    assert_eq!((code.to_wire(), &*reason), (4999, "bye"));
    for code in [0, 999, 1002, 1005, 1006, 1015, 3000, 3999, 5000, 65_535, 65_536] {
        assert!(goodbye(format!("{{\"code\":{code}}}").as_bytes()).is_err(), "{code}");
    }
    for code in [1000, 1001, 1008, 1011, 1013, 4000] {
        assert!(goodbye(format!("{{\"code\":{code}}}").as_bytes()).is_ok(), "{code}");
    }
    let whole = goodbye(br#"{"code":4003.0}"#).expect("the same number");
    assert_eq!(whole.0, CloseCode::FORBIDDEN);
    for code in ["4003.5", "-4003", "1e9", "1e999", "\"4003\""] {
        assert!(goodbye(format!("{{\"code\":{code}}}").as_bytes()).is_err(), "{code}");
    }
    let reason = |len: usize| goodbye(format!("{{\"reason\":\"{}\"}}", "x".repeat(len)).as_bytes());
    assert!(reason(123).is_ok() && reason(124).is_err());
    assert!(goodbye(b"[4000]").is_err() && goodbye(b"null").is_err() && goodbye(br#"{"why":1}"#).is_err());
}

#[test]
fn a_join_names_a_user_or_a_connection() {
    assert_eq!(who(br#"{"user":"u"}"#), Ok(Who::User("u".into())));
    assert_eq!(who(br#"{"connection":"c"}"#), Ok(Who::Connection("c".into())));
    for bad in ["", "{}", r#"{"user":"u","connection":"c"}"#, r#"["u",null]"#, r#"{"user":1}"#] {
        assert!(who(bad.as_bytes()).is_err(), "{bad}");
    }
}

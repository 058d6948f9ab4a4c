//! What is read of answers, and what makes one unusable.

use super::*;

const BOUNDS: Bounds = Bounds { message_bytes: 64, room_name_bytes: 16, state_bytes: 32, names_users: false };
const NAMING: Bounds = Bounds { names_users: true, ..BOUNDS };

fn ok(kind: HookEvent, body: &str) -> Verdict {
    BOUNDS.verdict(kind, StatusCode::OK, body.as_bytes()).expect(body)
}

fn why(bounds: Bounds, kind: HookEvent, body: &str) -> String {
    bounds.verdict(kind, StatusCode::OK, body.as_bytes()).expect_err(body).to_string()
}

#[test]
fn a_verdict_is_read_with_all_that_it_may_say() {
    let body = r#" {"allow":true,"reason":"r\u00e9","userId":"ann","rooms":["chat:*"],"join":["a","b"],"leave":["c"],
        "publish":[{"room":"x","event":"e","payload":[1.0e0],"except":{"connections":["00000000000100000001"],"users":["u"],"rooms":["q"]}},
        {"room":"y","payload":null}],"reply":{"n": 1},"state":[1, 2]} "#;
    let verdict = NAMING.verdict(HookEvent::Connect, StatusCode::OK, body.as_bytes()).expect("a verdict");
    assert!(verdict.allow);
    assert_eq!((verdict.reason.as_deref(), verdict.user.as_deref()), (Some("r\u{e9}"), Some("ann")));
    assert_eq!(verdict.rooms.expect("there are some")[0].as_str(), "chat:*");
    assert_eq!((verdict.join, verdict.leave), (vec!["a".into(), "b".into()], vec!["c".into()]));
    assert_eq!(verdict.reply.as_deref(), Some("{\"n\": 1}"), "byte for byte");
    assert_eq!(verdict.state.as_deref(), Some("[1, 2]"), "byte for byte");
    let [x, y] = &verdict.publish[..] else { panic!("two") };
    assert_eq!((&*x.room, x.publication.event.as_deref()), ("x", Some("e")));
    assert_eq!(&*x.publication.payload, b"[1.0e0]", "byte for byte");
    let exclude = &x.publication.exclude;
    assert_eq!(exclude.connections[0].to_string(), "00000000000100000001");
    assert_eq!((&*exclude.users[0], &*exclude.rooms[0]), ("u", "q"));
    assert_eq!((&*y.room, &*y.publication.payload), ("y", &b"null"[..]));
}

#[test]
fn who_says_nothing_lets_messages_pass_and_nobody_in() {
    for body in ["", " \r\n", "{}", "{\"reason\":null}"] {
        assert!(!ok(HookEvent::Join, body).allow && ok(HookEvent::Message, body).allow, "{body:?}");
        let connect = NAMING.verdict(HookEvent::Connect, StatusCode::NO_CONTENT, body.as_bytes());
        assert!(!connect.expect("a refusal").allow);
    }
    assert!(!ok(HookEvent::Message, r#"{"allow":false}"#).allow);
    assert!(ok(HookEvent::Join, r#"{"allow":true}"#).allow);
}

#[test]
fn the_statuses_401_and_403_are_a_no_whatever_stands_in_the_body() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        for body in ["", "<html>", r#"{"allow":true}"#, r#"{"error":"x"}"#] {
            let verdict = BOUNDS.verdict(HookEvent::Message, status, body.as_bytes()).expect("a no");
            assert!(!verdict.allow && verdict.reason.is_none(), "{status} {body}");
        }
        let body = br#"{"allow":true,"reason":"not you"}"#;
        let verdict = BOUNDS.verdict(HookEvent::Message, status, body).expect("a no");
        assert_eq!((verdict.allow, verdict.reason.as_deref()), (false, Some("not you")));
    }
    for status in [100, 302, 400, 404, 410, 429, 500, 503] {
        let status = StatusCode::from_u16(status).expect("a status");
        let answered = BOUNDS.verdict(HookEvent::Message, status, b"{}");
        assert!(matches!(answered, Err(Unusable::Status(_))), "{status}");
    }
}

#[test]
fn with_the_mode_hook_connect_has_to_name_the_user_and_in_no_other_case() {
    let connect = |body| why(NAMING, HookEvent::Connect, body);
    assert!(connect(r#"{"allow":true}"#).contains("lacks userId"));
    assert!(connect(r#"{"allow":true,"userId":null}"#).contains("lacks userId"));
    let long = format!(r#"{{"allow":true,"userId":"{}"}}"#, "x".repeat(257));
    for body in [r#"{"allow":true,"userId":""}"#, r#"{"allow":true,"userId":"a\nb"}"#, &long] {
        assert!(connect(body).contains("userId has to be"), "{body}");
    }
    assert!(connect(r#"{"allow":true,"userId":"a","rooms":["a*b"]}"#).contains("patterns"));
    let many = vec!["\"a\""; 257].join(",");
    assert!(connect(&format!(r#"{{"allow":true,"userId":"a","rooms":[{many}]}}"#)).contains("patterns"));
    assert!(NAMING.verdict(HookEvent::Connect, StatusCode::OK, br#"{"allow":false}"#).is_ok());

    let verdict = ok(HookEvent::Connect, r#"{"allow":true,"userId":"","rooms":["a*b"]}"#);
    assert!(verdict.allow && verdict.user.is_none() && verdict.rooms.is_none(), "passed over");
    let verdict = NAMING.verdict(HookEvent::Join, StatusCode::OK, br#"{"allow":true,"userId":"a"}"#);
    assert!(verdict.expect("a verdict").user.is_none(), "passed over");
}

#[test]
fn null_is_a_reply_and_clears_the_state() {
    let verdict = ok(HookEvent::Message, r#"{"reply":null,"state":null}"#);
    assert_eq!((verdict.reply.as_deref(), verdict.state.as_deref()), (Some("null"), Some("null")));
    let verdict = ok(HookEvent::Message, "{}");
    assert_eq!((verdict.reply, verdict.state), (None, None));
}

#[test]
fn an_answer_that_is_not_what_it_has_to_be_is_unusable() {
    for body in [
        "[]",
        "null",
        "true",
        "{",
        "{} {}",
        r#"{"allow":null}"#,
        r#"{"allow":"yes"}"#,
        r#"{"allow":1}"#,
        r#"{"allow":true,"allow":true}"#,
        r#"{"allowed":true}"#,
        r#"{"user_id":"a"}"#,
        r#"{"join":"a"}"#,
        r#"{"join":null}"#,
        r#"{"join":[1]}"#,
        r#"{"publish":{"room":"a","payload":1}}"#,
        r#"{"publish":[["a",null,1,null,null]]}"#,
        r#"{"publish":[{"room":"a"}]}"#,
        r#"{"publish":[{"room":"a","payload":1,"to":1}]}"#,
        "\u{feff}{}",
    ] {
        assert!(why(BOUNDS, HookEvent::Message, body).contains("not the JSON"), "{body}");
    }
    let answered = BOUNDS.verdict(HookEvent::Message, StatusCode::OK, b"{\"reason\":\"\xff\"}");
    assert!(matches!(answered, Err(Unusable::Utf8)));
}

#[test]
fn every_limit_is_held_and_reached() {
    let list = |count: usize, item: &str| vec![item; count].join(",");
    let post = r#"{"room":"a","payload":1}"#;
    let cases = [
        ("\"reason\":", format!("\"{}\"", "x".repeat(123)), format!("\"{}\"", "x".repeat(124)), "reason has"),
        (
            "\"join\":",
            format!("[{}]", list(100, "\"a\"")),
            format!("[{}]", list(101, "\"a\"")),
            "join has more",
        ),
        (
            "\"leave\":",
            format!("[{}]", list(100, "\"a\"")),
            format!("[{}]", list(101, "\"a\"")),
            "leave has more",
        ),
        (
            "\"join\":",
            format!("[\"{}\"]", "x".repeat(16)),
            format!("[\"{}\"]", "x".repeat(17)),
            "a room of join",
        ),
        ("\"leave\":", "[\"a\"]".to_owned(), "[\"\"]".to_owned(), "a room of leave"),
        (
            "\"publish\":",
            format!("[{}]", list(100, post)),
            format!("[{}]", list(101, post)),
            "publish has more",
        ),
        (
            "\"publish\":",
            format!("[{post},{{\"room\":\"a\",\"payload\":\"{}\"}}]", "x".repeat(62)),
            format!("[{post},{{\"room\":\"a\",\"payload\":\"{}\"}}]", "x".repeat(63)),
            "publish[1]: the payload is longer",
        ),
        (
            "\"publish\":",
            format!("[{post}]"),
            r#"[{"room":"a","payload":1,"id":"1"}]"#.to_owned(),
            "publish[0]: an id",
        ),
        (
            "\"publish\":",
            r#"[{"room":"a","payload":1,"except":{"connections":[]}}]"#.to_owned(),
            r#"[{"room":"a","payload":1,"except":{"connections":["a"]}}]"#.to_owned(),
            "publish[0]: except.connections",
        ),
        (
            "\"reply\":",
            format!("\"{}\"", "x".repeat(62)),
            format!("\"{}\"", "x".repeat(63)),
            "reply is longer",
        ),
        (
            "\"state\":",
            format!("\"{}\"", "x".repeat(30)),
            format!("\"{}\"", "x".repeat(31)),
            "state is longer",
        ),
    ];
    for (key, good, bad, said) in cases {
        ok(HookEvent::Join, &format!("{{{key}{good}}}"));
        let told = why(BOUNDS, HookEvent::Join, &format!("{{{key}{bad}}}"));
        assert!(told.starts_with(said), "{told}, not {said}");
    }
    let deep = "[".repeat(65) + &"]".repeat(65);
    let wide = Bounds { message_bytes: 1000, state_bytes: 1000, ..BOUNDS };
    assert!(why(wide, HookEvent::Join, &format!("{{\"reply\":{deep}}}")).contains("64 deep"));
    assert!(why(wide, HookEvent::Join, &format!("{{\"state\":{deep}}}")).contains("64 deep"));
    assert_eq!(BOUNDS.answer_bytes(), (1 << 20) + 64 + 32);
}

#[test]
fn of_a_notifications_answer_only_the_publications_count() {
    let body = br#"{"allow":false,"join":["a"],"reply":1,"publish":[{"room":"x","payload":1}]}"#;
    let posts = BOUNDS.posts_of_notification(body).expect("publications");
    assert_eq!((posts.len(), &*posts[0].room), (1, "x"));
    assert!(BOUNDS.posts_of_notification(b"").expect("nothing").is_empty());
    assert!(BOUNDS.posts_of_notification(b"ok").is_err());
}

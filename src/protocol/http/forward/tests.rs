//! Heads handed on, byte for byte: what passes, what does not, and what is said anew.

use super::super::answer::{AnswerDecoder, Asked};
use super::super::head::HeadDecoder;
use super::*;
use crate::protocol::Decoded;

/// A request with this first line and these lines behind its Host.
fn request(line: &str, fields: &[&str]) -> Head {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let bytes = format!("{line}\r\nHost: shop.example:8080\r\n{fields}\r\n");
    match HeadDecoder::default().decode(bytes.as_bytes(), 16_384) {
        Ok(Decoded::Complete { item, .. }) => item,
        other => panic!("{bytes:?}: {other:?}"),
    }
}

fn get(fields: &[&str]) -> Head {
    request("GET / HTTP/1.1", fields)
}

fn answer(status: u16, fields: &[&str], asked: Asked) -> AnswerHead {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let bytes = format!("HTTP/1.1 {status} \r\n{fields}\r\n");
    match AnswerDecoder::default().decode(bytes.as_bytes(), asked) {
        Ok(Decoded::Complete { item, .. }) => item,
        other => panic!("{bytes:?}: {other:?}"),
    }
}

const STRANGER: Forwarding<'static> = Forwarding {
    peer: IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)),
    trusted: false,
    request_id: "a-0-1",
    upgrade: false,
    body: Body::None,
};

/// What the server is sent.
fn forwarded(head: &Head, by: &Forwarding<'_>) -> String {
    let mut out = BytesMut::new();
    encode_forward(&mut out, head, &head.path, by);
    String::from_utf8(out.to_vec()).expect("text")
}

/// What passes of these fields, from a stranger: what stands between the Host and ours.
fn passing(fields: &[&str]) -> String {
    let text = forwarded(&get(fields), &STRANGER);
    let start = text.strip_prefix("GET / HTTP/1.1\r\nhost: shop.example:8080\r\n").expect("a first line");
    start.split_once("X-Forwarded-For: ").expect("ours").0.to_owned()
}

#[test]
fn a_request_goes_on_with_its_fields_in_order_and_ours_last() {
    let head = request(
        "POST /a%20b?q=../x&y=%00 HTTP/1.1",
        &[
            "User-Agent: test",
            "Accept: a",
            "X-Odd:  \u{e9}\t;",
            "accept: b",
            "Cookie: c=d",
            "Content-Length: 5",
        ],
    );
    assert_eq!(
        forwarded(&head, &Forwarding { body: Body::Length(5), ..STRANGER }),
        "POST /a%20b?q=../x&y=%00 HTTP/1.1\r\nhost: shop.example:8080\r\nuser-agent: test\r\naccept: a\r\naccept: b\r\n\
         x-odd: \u{e9}\t;\r\ncookie: c=d\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: shop.example:8080\r\nX-Request-Id: a-0-1\r\nVia: 1.1 vestibule\r\nContent-Length: 5\r\n\r\n"
    );
}

#[test]
fn the_path_is_the_one_that_was_judged() {
    let head = request("GET /a/../b%2e? HTTP/1.0", &[]);
    let mut out = BytesMut::new();
    encode_forward(&mut out, &head, "/b.", &STRANGER);
    let text = String::from_utf8_lossy(&out);
    assert!(text.starts_with("GET /b.? HTTP/1.1\r\nhost: "), "{text}");
    assert!(text.ends_with("\r\nVia: 1.0 vestibule\r\n\r\n"), "{text}");
}

#[test]
fn a_request_is_framed_anew() {
    let framing = |body| {
        let text = forwarded(&get(&[]), &Forwarding { body, ..STRANGER });
        text.split_once("vestibule\r\n").expect("ours").1.to_owned()
    };
    assert_eq!(framing(Body::None), "\r\n");
    assert_eq!(framing(Body::Length(0)), "Content-Length: 0\r\n\r\n");
    assert_eq!(framing(Body::Length(u64::MAX)), "Content-Length: 18446744073709551615\r\n\r\n");
    assert_eq!(framing(Body::Chunked), "Transfer-Encoding: chunked\r\n\r\n");
    assert_eq!(passing(&["Content-Length: 0010"]), "");
    assert_eq!(passing(&["Transfer-Encoding: CHUNKED"]), "");
}

#[test]
fn fields_of_one_hop_do_not_pass() {
    let fields = [
        "Connection: keep-alive, close, TE, HTTP2-Settings",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authenticate: Basic",
        "Proxy-Authorization: Basic eDp5",
        "TE: trailers",
        "Trailer: x",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Proxy: http://evil.example",
        "Forwarded: for=1.2.3.4",
    ];
    assert_eq!(passing(&fields), "");
    let mut with_others = vec!["X-A: 1"];
    with_others.extend(fields);
    with_others.push("X-B: 2");
    assert_eq!(passing(&with_others), "x-a: 1\r\nx-b: 2\r\n");
}

#[test]
fn what_connection_names_does_not_pass() {
    assert_eq!(
        passing(&["Connection: X-A, close", "connection: ,x-b", "X-A: 1", "x-B: 2", "X-C: 3"]),
        "x-c: 3\r\n"
    );
    assert_eq!(passing(&["Connection: close", "Close: 1", "X-A: 1"]), "close: 1\r\nx-a: 1\r\n");
    assert_eq!(passing(&["Connection: X-A-, -A", "X-A: 1"]), "x-a: 1\r\n");
}

#[test]
fn some_fields_are_not_dropped_by_naming_them() {
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Authorization",
        "COOKIE",
        "Expect",
        "Origin",
        "Forwarded",
        "Via",
        "X-Real-IP",
        "X-Request-Id",
        "X-Forwarded-For",
        "x-forwarded-anything",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Protocol",
    ] {
        for list in [format!("Connection: {name}"), format!("Connection: close, x,\t{name} ,")] {
            assert_eq!(check_forward(&get(&[&list])), Err(NotForwarded::Nominated), "{list}");
        }
        assert_eq!(
            check_forward(&get(&["Connection: close", &format!("Connection: {name}")])),
            Err(NotForwarded::Nominated)
        );
    }
    for list in [
        "Connection: a b",
        "Connection: x;y",
        "Connection: \"close\"",
        "Connection: close, \u{e9}",
        "Connection: x:",
    ] {
        assert_eq!(check_forward(&get(&[list])), Err(NotForwarded::Connection), "{list}");
    }
    for list in ["Connection: ", "Connection: ,", "Connection: Hosts, hos, X-Forwarded, Upgrade, keep-alive"]
    {
        assert_eq!(check_forward(&get(&[list])), Ok(()), "{list}");
    }
    let most = ["x"; NOMINATIONS_MAX].join(",");
    assert_eq!(check_forward(&get(&[&format!("Connection: {most}")])), Ok(()));
    assert_eq!(check_forward(&get(&[&format!("Connection: {most},")])), Err(NotForwarded::Connection));
}

#[test]
fn whence_a_stranger_says_it_comes_is_not_believed() {
    let claims = [
        "X-Forwarded-For: 127.0.0.1",
        "x-forwarded-for: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: admin.example",
        "X-Forwarded-Port: 443",
        "X-Forwarded-Prefix: /admin",
        "X-Real-IP: 127.0.0.1",
        "X-Request-Id: theirs",
        "Forwarded: for=127.0.0.1;proto=https",
    ];
    assert_eq!(forwarded(&get(&claims), &STRANGER), forwarded(&get(&[]), &STRANGER));
}

#[test]
fn whence_a_trusted_proxy_says_it_comes_is_passed_on_where_it_says_one_thing() {
    let whence = |fields: &[&str]| {
        let text = forwarded(&get(fields), &Forwarding { trusted: true, ..STRANGER });
        let (_, ours) = text.split_once("shop.example:8080\r\n").expect("a host");
        ours.split_once("X-Request-Id: a-0-1\r\n").expect("ours").0.to_owned()
    };
    assert_eq!(
        whence(&[
            "X-Forwarded-For: 1.2.3.4,  5.6.7.8",
            "X-Forwarded-For:",
            "X-Forwarded-For: 2001:db8::1",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: www.example",
            "X-Forwarded-Port: 443",
            "X-Real-IP: 1.2.3.4",
            "X-Request-Id: theirs",
            "Forwarded: for=1.2.3.4",
        ]),
        "x-forwarded-port: 443\r\nx-real-ip: 1.2.3.4\r\n\
         X-Forwarded-For: 1.2.3.4,  5.6.7.8, 2001:db8::1, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: www.example\r\n"
    );
    assert_eq!(
        whence(&[
            "X-Forwarded-Proto: https",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: a",
            "X-Forwarded-Host: b",
        ]),
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop.example:8080\r\n"
    );
    assert_eq!(whence(&["X-Forwarded-Proto:", "X-Forwarded-Host:"]), whence(&[]));
}

#[test]
fn addresses_are_written_as_everybody_writes_them() {
    for (peer, text) in [
        ("0.0.0.0", "0.0.0.0"),
        ("255.10.9.100", "255.10.9.100"),
        ("::1", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ] {
        let peer = peer.parse().expect("an address");
        let text = format!("\r\nX-Forwarded-For: {text}\r\n");
        assert!(forwarded(&get(&[]), &Forwarding { peer, ..STRANGER }).contains(&text), "{peer}");
    }
}

#[test]
fn via_of_others_stays_and_ours_comes_behind_it() {
    let text = forwarded(&get(&["Via: 1.1 first", "Via: 2 second"]), &STRANGER);
    assert!(text.contains("\r\nvia: 1.1 first\r\nvia: 2 second\r\n"), "{text}");
    assert!(text.ends_with("\r\nVia: 1.1 vestibule\r\n\r\n"), "{text}");
}

#[test]
fn an_expectation_goes_on_once_and_only_with_a_body() {
    let count = |line: &str, fields: &[&str], body| {
        let text = forwarded(&request(line, fields), &Forwarding { body, ..STRANGER });
        assert_eq!(text.matches("xpect").count(), text.matches("\r\nExpect: 100-continue\r\n").count());
        text.matches("Expect").count()
    };
    let twice = ["Expect: 100-Continue, 100-continue", "expect: 100-CONTINUE"];
    assert_eq!(count("POST / HTTP/1.1", &twice, Body::Length(1)), 1);
    assert_eq!(count("POST / HTTP/1.1", &twice, Body::Chunked), 1);
    assert_eq!(count("POST / HTTP/1.1", &twice, Body::Length(0)), 0);
    assert_eq!(count("GET / HTTP/1.1", &twice, Body::None), 0);
    assert_eq!(count("POST / HTTP/1.0", &twice, Body::Length(1)), 0);
}

const WEBSOCKET: [&str; 4] = [
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

#[test]
fn an_upgrade_goes_on_only_to_a_websocket_in_due_form() {
    let head = get(&WEBSOCKET);
    assert!(is_websocket_upgrade(&head) && check_forward(&head).is_ok());
    assert_eq!(
        forwarded(&head, &Forwarding { upgrade: true, ..STRANGER }),
        "GET / HTTP/1.1\r\nhost: shop.example:8080\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-version: 13\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: shop.example:8080\r\nX-Request-Id: a-0-1\r\nVia: 1.1 vestibule\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    for upgrade in ["h2c", "TLS/1.0", "websocket2"] {
        let fields = [
            "Connection: Upgrade, HTTP2-Settings",
            &format!("Upgrade: {upgrade}"),
            WEBSOCKET[2],
            WEBSOCKET[3],
        ];
        assert!(!is_websocket_upgrade(&get(&fields)), "{upgrade}");
        let text = forwarded(&get(&fields), &STRANGER).to_lowercase();
        assert!(!text.contains("upgrade") && !text.contains("connection"), "{text}");
    }
}

#[test]
fn what_is_not_handed_on_is_told_why() {
    let with_body = |framing| [&WEBSOCKET[..], &[framing]].concat();
    for (head, refused, status, code) in [
        (request("CONNECT / HTTP/1.1", &[]), NotForwarded::Connect, 501, "method"),
        (request("connect / HTTP/1.1", &[]), NotForwarded::Connect, 501, "method"),
        (request("TRACE / HTTP/1.1", &[]), NotForwarded::Trace, 405, "method"),
        (request("Trace / HTTP/1.1", &[]), NotForwarded::Trace, 405, "method"),
        (get(&["Content_Length: 5"]), NotForwarded::Underscore, 400, "underscore"),
        (get(&["X-Forwarded_For: 127.0.0.1"]), NotForwarded::Underscore, 400, "underscore"),
        (get(&["_: x"]), NotForwarded::Underscore, 400, "underscore"),
        (get(&["Connection: host"]), NotForwarded::Nominated, 400, "bad_connection"),
        (get(&["Connection: a b"]), NotForwarded::Connection, 400, "bad_connection"),
        (get(&with_body("Content-Length: 1")), NotForwarded::UpgradeBody, 400, "bad_handshake"),
        (get(&with_body("Transfer-Encoding: chunked")), NotForwarded::UpgradeBody, 400, "bad_handshake"),
        (
            request("POST / HTTP/1.1", &["Upgrade: h2c, WebSocket", "Content-Length: 1"]),
            NotForwarded::UpgradeBody,
            400,
            "bad_handshake",
        ),
    ] {
        assert_eq!(check_forward(&head), Err(refused));
        let response = refused.response();
        assert_eq!((response.status.as_u16(), refused.code()), (status, code));
        assert_eq!(response.headers.iter().any(|(name, _)| name == header::ALLOW), status == 405);
    }
    for line in ["PROPFIND / HTTP/1.1", "get / HTTP/1.1", "TRACES / HTTP/1.0"] {
        assert_eq!(check_forward(&request(line, &["X-A: _"])), Ok(()));
    }
    assert_eq!(check_forward(&get(&with_body("Content-Length: 0"))), Ok(()));
}

fn answering(framing: AnswerFraming) -> Answering<'static> {
    Answering {
        request_id: "a-0-1",
        framing,
        after: After::KeepAlive,
        date: HttpDate::from_unix_s(784_111_777),
    }
}

/// What the client is sent.
fn answered(answer: &AnswerHead, by: &Answering<'_>) -> String {
    let mut out = BytesMut::new();
    encode_answer(&mut out, answer, by);
    String::from_utf8(out.to_vec()).expect("text")
}

#[test]
fn an_answer_goes_back_with_its_fields_in_order_and_ours_last() {
    let fields = [
        "Server: node",
        "Set-Cookie: a=1",
        "Date: Mon, 07 Nov 1994 08:49:37 GMT",
        "Set-Cookie: b=2",
        "X_Odd: 1",
        "Via: 1.1 first",
        "X-Request-Id: theirs",
        "Connection: keep-alive, X-Hop",
        "X-Hop: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "Trailer: x",
        "Upgrade: h2,h2c",
        "Content-Length: 005",
    ];
    let answer = answer(200, &fields, Asked::Plain);
    assert_eq!(
        answered(&answer, &answering(AnswerFraming::of(answer.body, Version::HTTP_11))),
        "HTTP/1.1 200 OK\r\nserver: node\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
         date: Mon, 07 Nov 1994 08:49:37 GMT\r\nx_odd: 1\r\nvia: 1.1 first\r\nVia: 1.1 vestibule\r\n\
         X-Request-Id: a-0-1\r\nContent-Length: 5\r\n\r\n"
    );
}

#[test]
fn an_answer_without_a_date_gets_one_and_a_last_one_says_so() {
    let by = Answering { after: After::Close, ..answering(AnswerFraming::Length(0)) };
    for fields in [&["Content-Length: 0"][..], &["Connection: date", "Date: x", "Content-Length: 0"]] {
        assert_eq!(
            answered(&answer(599, fields, Asked::Plain), &by),
            "HTTP/1.1 599 \r\nVia: 1.1 vestibule\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Request-Id: a-0-1\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
}

#[test]
fn an_answer_is_framed_anew_for_who_hears_it() {
    for (body, to_1_1, to_1_0) in [
        (AnswerBody::None, AnswerFraming::None, AnswerFraming::None),
        (AnswerBody::Length(7), AnswerFraming::Length(7), AnswerFraming::Length(7)),
        (AnswerBody::Chunked, AnswerFraming::Chunked, AnswerFraming::UntilClose),
        (AnswerBody::UntilClose, AnswerFraming::Chunked, AnswerFraming::UntilClose),
    ] {
        assert_eq!(AnswerFraming::of(body, Version::HTTP_11), to_1_1);
        assert_eq!(AnswerFraming::of(body, Version::HTTP_10), to_1_0);
    }
    let framing = |status, field, asked, framing, after| {
        let answer = answer(status, &[field], asked);
        let text = answered(&answer, &Answering { after, ..answering(framing) });
        text.split_once("X-Request-Id: a-0-1\r\n").expect("ours").1.to_owned()
    };
    let (none, keep) = (AnswerFraming::None, After::KeepAlive);
    let chunked = "Transfer-Encoding: chunked";
    assert_eq!(
        framing(200, chunked, Asked::Plain, AnswerFraming::Chunked, keep),
        "Transfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(
        framing(200, chunked, Asked::Plain, AnswerFraming::UntilClose, After::Close),
        "Connection: close\r\n\r\n"
    );
    assert_eq!(framing(200, "Content-Length: 5", Asked::Head, none, keep), "Content-Length: 5\r\n\r\n");
    assert_eq!(framing(200, chunked, Asked::Head, none, keep), "\r\n");
    assert_eq!(framing(304, "Content-Length: 5", Asked::Plain, none, keep), "Content-Length: 5\r\n\r\n");
    assert_eq!(framing(204, "Content-Length: 5", Asked::Plain, none, keep), "\r\n");
}

#[test]
fn interim_answers_pass_without_a_body_or_a_date() {
    let mut out = BytesMut::new();
    encode_interim(&mut out, &answer(100, &[], Asked::Plain));
    let early = ["Link: </a>; rel=preload", "Connection: close", "Content-Length: 0"];
    encode_interim(&mut out, &answer(103, &early, Asked::Plain));
    assert_eq!(
        String::from_utf8_lossy(&out),
        "HTTP/1.1 100 Continue\r\nVia: 1.1 vestibule\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\nVia: 1.1 vestibule\r\n\r\n"
    );
}

#[test]
fn a_tunnel_opens_with_what_was_agreed() {
    let fields = [
        "Upgrade: WebSocket",
        "Connection: upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol: chat",
        "Content-Length: 0",
    ];
    let answer = answer(101, &fields, Asked::Upgrade);
    let handshake = handshake::check(&get(&WEBSOCKET)).expect("in due form");
    assert!(handshake.is_accepted_by(&answer));
    let mut out = BytesMut::new();
    encode_tunnel(&mut out, &answer, "a-0-1");
    assert_eq!(
        String::from_utf8_lossy(&out),
        "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         sec-websocket-protocol: chat\r\nVia: 1.1 vestibule\r\nX-Request-Id: a-0-1\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
}

#[test]
fn a_switch_is_believed_only_with_the_proof_for_this_key() {
    let handshake = handshake::check(&get(&WEBSOCKET)).expect("in due form");
    let right =
        ["Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="];
    assert!(handshake.is_accepted_by(&answer(101, &right, Asked::Upgrade)));
    assert!(!handshake.is_accepted_by(&answer(200, &right, Asked::Upgrade)));
    for (index, wrong) in [
        (0, "X: y"),
        (0, "Upgrade: h2c"),
        (0, "Upgrade: websocket, h2c"),
        (0, "Upgrade: websocket\r\nUpgrade: websocket"),
        (1, "X: y"),
        (1, "Connection: close"),
        (2, "X: y"),
        (2, "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (2, "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ=="),
        (2, "Sec-WebSocket-Accept:"),
        (
            2,
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        ),
    ] {
        let mut fields = right;
        fields[index] = wrong;
        assert!(!handshake.is_accepted_by(&answer(101, &fields, Asked::Upgrade)), "{wrong}");
    }
}

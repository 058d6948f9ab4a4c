//! What a head may be, byte for byte, and what it may not.

use super::*;
use proptest::prelude::*;

const HEAD_MAX: usize = 16_384;

/// A decoder of its own for the whole of `bytes`.
fn decode(bytes: &[u8]) -> Result<Decoded<Head>, HeadError> {
    HeadDecoder::default().decode(bytes, HEAD_MAX)
}

fn head(bytes: &str) -> Head {
    match decode(bytes.as_bytes()) {
        Ok(Decoded::Complete { item, used }) if used == bytes.len() => item,
        other => panic!("{bytes:?}: {other:?}"),
    }
}

fn refusal(bytes: &str) -> HeadError {
    match decode(bytes.as_bytes()) {
        Err(error) => error,
        Ok(other) => panic!("{bytes:?}: {other:?}"),
    }
}

/// A head with these lines between its Host and its blank line.
fn with_fields(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

const UPGRADE: &str = "GET /ws?token=a.b.c&x=%20?y HTTP/1.1\r\nHost: edge.example.com:8080\r\nUpgrade: websocket\r\n\
                       Connection: keep-alive, Upgrade\r\nX-Two: 1\r\nx-two:\t 2 \r\nX-Empty:\r\n\r\n";

#[test]
fn a_head_is_taken_apart() {
    let head = head(UPGRADE);
    assert_eq!(head.method, Method::GET);
    assert_eq!(head.path, "/ws");
    assert_eq!(head.query.as_deref(), Some("token=a.b.c&x=%20?y"));
    assert_eq!(head.headers["host"], "edge.example.com:8080");
    assert_eq!(head.headers.get_all("x-two").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(head.headers["x-empty"], "");
    assert_eq!(head.body, Body::None);
    assert!(head.keep_alive);
}

#[test]
fn every_prefix_of_a_head_asks_for_more() {
    for end in 0..UPGRADE.len() {
        match decode(&UPGRADE.as_bytes()[..end]) {
            Ok(Decoded::Incomplete { needed }) => assert!(needed > end && needed <= UPGRADE.len()),
            other => panic!("{end}: {other:?}"),
        }
    }
}

#[test]
fn what_follows_a_head_is_left_alone_and_the_decoder_is_ready_for_the_next() {
    let mut decoder = HeadDecoder::default();
    let both = format!("{UPGRADE}GET /next HTTP/1.1\r\nHost: b\r\n\r\n\x01");
    let Ok(Decoded::Complete { used, .. }) = decoder.decode(both.as_bytes(), HEAD_MAX) else { panic!() };
    assert_eq!(used, UPGRADE.len());
    let rest = &both.as_bytes()[used..];
    let Ok(Decoded::Complete { item, used }) = decoder.decode(rest, HEAD_MAX) else { panic!() };
    assert_eq!((item.path.as_str(), &rest[used..]), ("/next", &b"\x01"[..]));
}

#[test]
fn a_head_of_the_limit_passes_and_one_byte_more_is_refused_at_the_limit() {
    let filler = HEAD_MAX - with_fields("X: ").len();
    let largest = with_fields(&format!("X: {}", "x".repeat(filler)));
    assert_eq!(largest.len(), HEAD_MAX);
    assert!(matches!(decode(largest.as_bytes()), Ok(Decoded::Complete { used: HEAD_MAX, .. })));
    let larger = with_fields(&format!("X: {}", "x".repeat(filler + 1)));
    assert_eq!(refusal(&larger), HeadError::TooLarge);
    assert_eq!(refusal(&larger[..HEAD_MAX]), HeadError::TooLarge);
    assert!(matches!(decode(&larger.as_bytes()[..HEAD_MAX - 1]), Ok(Decoded::Incomplete { .. })));
    assert_eq!(HeadError::TooLarge.status(), 431);
}

#[test]
fn a_request_line_beyond_the_limit_is_a_target_too_long() {
    let line = format!("GET /{}", "a".repeat(HEAD_MAX));
    assert_eq!(refusal(&line), HeadError::TargetTooLong);
    assert_eq!(HeadError::TargetTooLong.status(), 414);
}

#[test]
fn an_endless_line_is_looked_at_once_however_it_drips_in() {
    let line = vec![b'A'; 1 << 20];
    for step in [1, 7, 1000] {
        let mut decoder = HeadDecoder::default();
        let mut end = 0;
        let refused_at = loop {
            end += step;
            if decoder.decode(&line[..end], HEAD_MAX).is_err() {
                break end;
            }
        };
        assert!(refused_at < HEAD_MAX + step);
        assert_eq!(decoder.search.searched, HEAD_MAX);
    }
}

#[test]
fn many_short_lines_are_looked_at_once_too() {
    let mut text = b"GET / HTTP/1.1\r\n".to_vec();
    while text.len() < 16_000 {
        text.extend_from_slice(b"A: b\r\n");
    }
    let mut decoder = HeadDecoder::default();
    let refused_at = (1..text.len()).find(|&end| decoder.decode(&text[..end], HEAD_MAX).is_err());
    assert_eq!(refused_at, Some(16 + 101 * 6));
    assert_eq!(decoder.search.searched, 16 + 101 * 6);
}

#[test]
fn the_hundred_and_first_field_refuses_the_request() {
    let fields = |count: usize| vec!["X: y"; count].join("\r\n");
    assert_eq!(head(&with_fields(&fields(99))).headers.len(), 100);
    let more = with_fields(&fields(100));
    assert_eq!(refusal(&more), HeadError::TooManyFields);
    assert_eq!(HeadError::TooManyFields.status(), 431);
    assert_eq!(refusal(&more[..more.len() - 2]), HeadError::TooManyFields);
}

#[test]
fn the_request_line_is_three_parts_with_one_space_between() {
    for line in [
        "",
        " ",
        "GET",
        "GET /",
        "GET / ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /a b HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET / HTTP/1.1\rX",
        "G\rET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\0T / HTTP/1.1",
        " / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.10",
        "GET / HTTP/11",
        "GET / HTTP/1.x",
        "GET / FTP/1.1",
        "\u{16}\u{3}\u{1}",
    ] {
        assert_eq!(refusal(&format!("{line}\r\nHost: a\r\n\r\n")), HeadError::RequestLine, "{line:?}");
    }
    assert_eq!(HeadError::RequestLine.status(), 400);
    assert_eq!(head("purge-it /x HTTP/1.1\r\nHost: a\r\n\r\n").method, "purge-it");
}

#[test]
fn another_version_is_told_so() {
    for version in ["0.9", "1.2", "2.0", "3.0"] {
        assert_eq!(refusal(&format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")), HeadError::Version);
    }
    assert_eq!(refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HeadError::Version);
    assert_eq!(HeadError::Version.status(), 505);
}

#[test]
fn what_speaks_1_0_is_heard_closes_and_sends_no_chunks() {
    let old = |fields: &str| format!("GET /events/a HTTP/1.0\r\nHost: a\r\n{fields}\r\n");
    for fields in ["", "Connection: keep-alive\r\n"] {
        let head = head(&old(fields));
        assert_eq!((head.version, head.keep_alive), (Version::HTTP_10, false));
    }
    assert_eq!(head("GET / HTTP/1.1\r\nHost: a\r\n\r\n").version, Version::HTTP_11);
    assert_eq!(refusal(&old("Transfer-Encoding: chunked\r\n")), HeadError::OldTransferEncoding);
    assert_eq!(refusal("GET / HTTP/1.0\r\n\r\n"), HeadError::Host);
    assert_eq!(HeadError::OldTransferEncoding.status(), 400);
}

#[test]
fn a_target_is_a_path_in_visible_ascii() {
    for target in [
        "*",
        "a",
        "http://a/",
        "https://a/ws",
        "a:443",
        "/a#b",
        "#",
        "?a",
        "/\u{e9}",
        "/\u{7f}",
        "/\u{1}",
        "/a\0",
        "\\",
    ] {
        assert_eq!(
            refusal(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")),
            HeadError::Target,
            "{target:?}"
        );
    }
    assert_eq!(HeadError::Target.status(), 400);
    for (target, path, query) in [
        ("/", "/", None),
        ("/?", "/", Some("")),
        ("//b/../c", "//b/../c", None),
        ("/%2e%zz", "/%2e%zz", None),
        ("/a?b=[c]|{d}^", "/a", Some("b=[c]|{d}^")),
    ] {
        let head = head(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((head.path.as_str(), head.query.as_deref()), (path, query));
    }
}

#[test]
fn lines_end_in_crlf_and_nothing_else() {
    for bytes in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n b\n",
        "GET / HTTP/1.1\n",
    ] {
        assert_eq!(refusal(bytes), HeadError::LineEnd, "{bytes:?}");
    }
    assert_eq!(refusal("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HeadError::RequestLine);
    assert_eq!(refusal("\r\n"), HeadError::RequestLine);
    assert_eq!(HeadError::LineEnd.status(), 400);
}

#[test]
fn a_field_is_a_name_a_colon_and_a_value() {
    for field in [
        ": b",
        ":",
        "X",
        "X b",
        "X : b",
        "X\t: b",
        " X: b",
        "\tX: b",
        "X: a\r\n b",
        "X: a\r\n\tb",
        "X: a\r\n ",
        "X: a\rb",
        "X: a\r",
        "X: \r\r\n",
        "X\r: b",
        "X: a\0b",
        "X\0: b",
        "X: \u{1b}[0m",
        "X: \u{7f}",
        "X(y): b",
        "X\u{e9}: b",
        "X[]: b",
        "\"X\": b",
    ] {
        assert_eq!(refusal(&with_fields(field)), HeadError::Field, "{field:?}");
    }
    assert_eq!(refusal("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), HeadError::Field);
    assert_eq!(HeadError::Field.status(), 400);
    assert_eq!(head(&with_fields("X: \u{e9}\t;\"'")).headers["x"].as_bytes(), "\u{e9}\t;\"'".as_bytes());
}

#[test]
fn there_is_one_host_with_a_host_in_it() {
    for fields in [
        "X: y",
        "Host: a\r\nHost: a",
        "Host: a\r\nhost: b",
        "Host:",
        "Host:  ",
        "Host: a b",
        "Host: a,b",
        "Host: user@a",
        "Host: http://a",
        "Host: a/",
        "Host: a\\b",
        "Host: :80",
        "Host: a:b",
        "Host: a:80:80",
        "Host: a:-1",
        "Host: a:123456",
        "Host: [::1",
        "Host: []",
        "Host: [::g]",
        "Host: [127.0.0.1]",
        "Host: [::1]80",
        "Host: ::1",
        "Host: a?b",
        "Host: \u{e9}",
        "Host: a\"",
    ] {
        assert_eq!(refusal(&format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n")), HeadError::Host, "{fields:?}");
    }
    assert_eq!(HeadError::Host.status(), 400);
    for host in
        ["a", "A.b-c_d", "127.0.0.1:8080", "[::1]", "[2001:db8::1]:443", "a:", "a.", "xn--bcher-kva.example"]
    {
        head(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
}

#[test]
fn a_body_ends_in_one_way_only() {
    for (fields, body) in [
        ("Content-Length: 0", Body::Length(0)),
        ("Content-Length: 0012", Body::Length(12)),
        ("Content-Length: 18446744073709551615", Body::Length(u64::MAX)),
        ("Transfer-Encoding: chunked", Body::Chunked),
        ("Transfer-Encoding: Chunked", Body::Chunked),
    ] {
        assert_eq!(head(&with_fields(fields)).body, body);
    }
    for (fields, error, status) in [
        ("Content-Length:", HeadError::ContentLength, 400),
        ("Content-Length: +1", HeadError::ContentLength, 400),
        ("Content-Length: -1", HeadError::ContentLength, 400),
        ("Content-Length: 0x1", HeadError::ContentLength, 400),
        ("Content-Length: 1 1", HeadError::ContentLength, 400),
        ("Content-Length: 1, 1", HeadError::ContentLength, 400),
        ("Content-Length: 1\r\nContent-Length: 2", HeadError::ContentLength, 400),
        ("Content-Length: 1\r\nContent-Length: 1", HeadError::ContentLength, 400),
        ("Content-Length: 18446744073709551616", HeadError::ContentLength, 400),
        ("Content-Length: \u{661}", HeadError::ContentLength, 400),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked", HeadError::Framing, 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0", HeadError::Framing, 400),
        ("Transfer-Encoding: identity\r\nContent-Length: 0", HeadError::Framing, 400),
        ("Transfer-Encoding:", HeadError::TransferEncoding, 400),
        ("Transfer-Encoding: identity", HeadError::TransferEncoding, 400),
        ("Transfer-Encoding: xchunked", HeadError::TransferEncoding, 400),
        ("Transfer-Encoding: chunked;q=1", HeadError::TransferEncoding, 400),
        ("Transfer-Encoding: \"chunked\"", HeadError::TransferEncoding, 400),
        ("Transfer-Encoding: chunked, gzip", HeadError::TransferEncoding, 400),
        ("Transfer-Encoding: chunked, chunked", HeadError::TransferEncoding, 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", HeadError::TransferEncoding, 400),
        ("Transfer-Encoding: chunked,", HeadError::TransferEncoding, 400),
        ("Transfer-Encoding: gzip, chunked", HeadError::TransferCoding, 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", HeadError::TransferCoding, 501),
        ("Transfer-Encoding: , chunked", HeadError::TransferCoding, 501),
    ] {
        assert_eq!(refusal(&with_fields(fields)), error, "{fields:?}");
        assert_eq!(error.status(), status);
    }
}

#[test]
fn connection_is_read_by_token_and_expect_by_what_can_be_met() {
    for (fields, keep_alive) in [
        ("Connection: keep-alive", true),
        ("Connection: close", false),
        ("Connection: upgrade, Close", false),
        ("Connection: keep-alive\r\nConnection: close", false),
        ("Connection: closed", true),
        ("Connection: not close", true),
        ("X: close", true),
    ] {
        assert_eq!(head(&with_fields(fields)).keep_alive, keep_alive, "{fields}");
    }
    head(&with_fields("Expect: 100-Continue"));
    assert_eq!(refusal(&with_fields("Expect: 200-ok")), HeadError::Expectation);
    assert_eq!(HeadError::Expectation.status(), 417);
}

#[test]
fn a_refusal_is_answered_with_its_status_and_a_short_body() {
    let response = HeadError::TooLarge.response();
    assert_eq!(response.status, 431);
    assert_eq!(
        response.body,
        r#"{"error":{"code":"head_too_large","message":"the head of the request is too large"}}"#
    );
}

/// What any decoder says of `bytes`: comparable, whatever the head.
fn verdict(result: Result<Decoded<Head>, HeadError>) -> Result<Option<(String, usize)>, HeadError> {
    match result? {
        Decoded::Complete { item, used } => Ok(Some((format!("{item:?}"), used))),
        Decoded::Incomplete { .. } => Ok(None),
    }
}

/// Something like a head: its pieces, most of them right.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "Host: a\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X: y\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        ":",
        "\0",
        "\u{e9}",
        "x",
    ]);
    let lines = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    (any::<bool>(), lines).prop_map(|(begun, lines)| {
        let start = if begun { "GET /a?b HTTP/1.1\r\nHost: a\r\n" } else { "" };
        format!("{start}{lines}").into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_split_gives_the_same_verdict(
        bytes in prop_oneof![nearly_a_head(), prop::collection::vec(any::<u8>(), 0..80)],
        mut cuts in prop::collection::vec(0..200_usize, 0..6),
        head_max in prop_oneof![Just(HEAD_MAX), 0..80_usize],
    ) {
        let whole = verdict(HeadDecoder::default().decode(&bytes, head_max));
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut decoder = HeadDecoder::default();
        let mut last = Ok(None);
        for cut in cuts {
            last = verdict(decoder.decode(&bytes[..cut.min(bytes.len())], head_max));
            if last != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(last, whole);
        prop_assert!(decoder.search.searched <= bytes.len().min(head_max));
    }
}

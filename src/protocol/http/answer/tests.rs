//! What the head of an answer may be, byte for byte, and what it may not.

use super::*;
use proptest::prelude::*;

fn decode(bytes: &[u8], asked: Asked) -> Result<Decoded<AnswerHead>, AnswerError> {
    AnswerDecoder::default().decode(bytes, asked)
}

fn answer_to(bytes: &str, asked: Asked) -> AnswerHead {
    match decode(bytes.as_bytes(), asked) {
        Ok(Decoded::Complete { item, used }) if used == bytes.len() => item,
        other => panic!("{bytes:?}: {other:?}"),
    }
}

fn answer(bytes: &str) -> AnswerHead {
    answer_to(bytes, Asked::Plain)
}

fn refusal(bytes: &str) -> AnswerError {
    match decode(bytes.as_bytes(), Asked::Plain) {
        Err(error) => error,
        Ok(other) => panic!("{bytes:?}: {other:?}"),
    }
}

/// An answer with this status and these lines.
fn with(status: u16, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("HTTP/1.1 {status} Any Reason\r\n{fields}\r\n")
}

const USUAL: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
                     Set-Cookie: a=1\r\nset-cookie:\t b=2 \r\nContent-Length: 5\r\n\r\n";

#[test]
fn a_head_is_taken_apart() {
    let answer = answer(USUAL);
    assert_eq!((answer.status, answer.version), (StatusCode::OK, Version::HTTP_11));
    assert_eq!(answer.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!((answer.body, answer.length(), answer.keep_alive), (AnswerBody::Length(5), Some(5), true));
}

#[test]
fn every_prefix_of_a_head_asks_for_more_and_what_follows_is_left_alone() {
    for end in 0..USUAL.len() {
        match decode(&USUAL.as_bytes()[..end], Asked::Plain) {
            Ok(Decoded::Incomplete { needed }) => assert!(needed > end && needed <= USUAL.len()),
            other => panic!("{end}: {other:?}"),
        }
    }
    let mut decoder = AnswerDecoder::default();
    let both = format!("HTTP/1.1 100 Continue\r\n\r\n{USUAL}hello");
    let Ok(Decoded::Complete { item, used }) = decoder.decode(both.as_bytes(), Asked::Plain) else {
        panic!()
    };
    assert_eq!((item.status.as_u16(), item.is_interim(), used), (100, true, 25));
    let Ok(Decoded::Complete { item, used }) = decoder.decode(&both.as_bytes()[25..], Asked::Plain) else {
        panic!()
    };
    assert_eq!((item.is_interim(), &both[25 + used..]), (false, "hello"));
}

#[test]
fn a_status_line_is_a_version_three_digits_and_any_reason() {
    for (line, status, version) in [
        ("HTTP/1.1 200 OK", 200, Version::HTTP_11),
        ("HTTP/1.1 200 ", 200, Version::HTTP_11),
        ("HTTP/1.1 200", 200, Version::HTTP_11),
        ("HTTP/1.0 599 a\tb  c\u{e9}", 599, Version::HTTP_10),
        ("HTTP/1.1 500 500 500", 500, Version::HTTP_11),
    ] {
        let answer = answer(&format!("{line}\r\n\r\n"));
        assert_eq!((answer.status.as_u16(), answer.version), (status, version), "{line}");
    }
    for line in [
        "",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 200OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 2 0 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 600 OK",
        "HTTP/1.1 999 OK",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1 200 OK\r",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\u{7f}K",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/2 200",
        "HTTP/1.10 200 OK",
        "http/1.1 200 OK",
        " HTTP/1.1 200 OK",
        "ICY 200 OK",
        "hello",
    ] {
        assert_eq!(refusal(&format!("{line}\r\nX: y\r\n\r\n")), AnswerError::StatusLine, "{line:?}");
    }
}

#[test]
fn lines_end_in_crlf_and_a_field_is_a_name_a_colon_and_a_value() {
    for bytes in [
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nX: y\n\r\n",
        "HTTP/1.1 200 OK\r\n\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n\n",
    ] {
        assert_eq!(refusal(bytes), AnswerError::LineEnd, "{bytes:?}");
    }
    for field in [
        ": b",
        "X",
        "X : b",
        " X: b",
        "X: a\r\n b",
        "X: a\rb",
        "X: a\0b",
        "X: \u{7f}",
        "X\u{e9}: b",
        "X y: b",
        "HTTP/1.1 200 OK",
    ] {
        assert_eq!(refusal(&with(200, &[field])), AnswerError::Field, "{field:?}");
    }
}

#[test]
fn a_body_ends_in_one_way_only() {
    for (fields, body, keep_alive) in [
        (&["Content-Length: 0"][..], AnswerBody::Length(0), true),
        (&["Content-Length: 18446744073709551615"], AnswerBody::Length(u64::MAX), true),
        (&["Transfer-Encoding: Chunked"], AnswerBody::Chunked, true),
        (&[], AnswerBody::UntilClose, false),
        (&["Connection: close", "Content-Length: 1"], AnswerBody::Length(1), false),
        (&["Connection: x, Close", "Transfer-Encoding: chunked"], AnswerBody::Chunked, false),
        (&["Connection: keep-alive"], AnswerBody::UntilClose, false),
    ] {
        let answer = answer(&with(200, fields));
        assert_eq!((answer.body, answer.keep_alive), (body, keep_alive), "{fields:?}");
    }
    for (fields, error) in [
        (&["Content-Length:"][..], AnswerError::ContentLength),
        (&["Content-Length: +1"], AnswerError::ContentLength),
        (&["Content-Length: 1, 1"], AnswerError::ContentLength),
        (&["Content-Length: 1", "Content-Length: 1"], AnswerError::ContentLength),
        (&["Content-Length: 1", "Content-Length: 2"], AnswerError::ContentLength),
        (&["Content-Length: 18446744073709551616"], AnswerError::ContentLength),
        (&["Content-Length: 1", "Transfer-Encoding: chunked"], AnswerError::Framing),
        (&["Transfer-Encoding: chunked", "Content-Length: 0"], AnswerError::Framing),
        (&["Transfer-Encoding:"], AnswerError::TransferEncoding),
        (&["Transfer-Encoding: identity"], AnswerError::TransferEncoding),
        (&["Transfer-Encoding: gzip, chunked"], AnswerError::TransferEncoding),
        (&["Transfer-Encoding: chunked, chunked"], AnswerError::TransferEncoding),
        (&["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], AnswerError::TransferEncoding),
        (&["Transfer-Encoding: ,chunked"], AnswerError::TransferEncoding),
        (&["Transfer-Encoding: \"chunked\""], AnswerError::TransferEncoding),
    ] {
        // Where there is no body, too: another reader may see one.
        for (status, asked) in
            [(200, Asked::Plain), (200, Asked::Head), (204, Asked::Plain), (304, Asked::Plain)]
        {
            let refused = decode(with(status, fields).as_bytes(), asked);
            assert_eq!(refused.map(|_| ()), Err(error), "{status} {fields:?}");
        }
    }
    assert_eq!(
        refusal("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        AnswerError::OldTransferEncoding
    );
}

#[test]
fn some_answers_have_no_body_whatever_they_announce() {
    for (status, asked) in [(200, Asked::Head), (404, Asked::Head), (204, Asked::Plain), (304, Asked::Plain)]
    {
        for fields in [&["Content-Length: 5"][..], &["Transfer-Encoding: chunked"], &[]] {
            let answer = answer_to(&with(status, fields), asked);
            assert_eq!(answer.body, AnswerBody::None, "{status} {fields:?}");
            // Who announces a body with 204 may well send it.
            assert_eq!(answer.keep_alive, status != 204 || fields.is_empty(), "{status} {fields:?}");
        }
    }
    assert_eq!(answer_to(&with(200, &["Content-Length: 5"]), Asked::Head).length(), Some(5));
    assert!(answer(&with(204, &["Content-Length: 0"])).keep_alive);
}

#[test]
fn who_speaks_1_0_closes() {
    for fields in ["", "Content-Length: 1\r\n", "Connection: keep-alive\r\nContent-Length: 1\r\n"] {
        assert!(!answer(&format!("HTTP/1.0 200 OK\r\n{fields}\r\n")).keep_alive);
    }
}

#[test]
fn an_interim_answer_announces_no_body_and_only_some_requests_are_answered_with_101() {
    for status in [100, 102, 103, 199] {
        let answer = answer(&with(status, &["Link: </a>"]));
        assert_eq!((answer.body, answer.is_interim(), answer.keep_alive), (AnswerBody::None, true, true));
        for fields in [["Content-Length: 1"], ["Transfer-Encoding: chunked"]] {
            assert_eq!(refusal(&with(status, &fields)), AnswerError::InterimBody);
        }
    }
    let switching = with(101, &["Upgrade: websocket", "Connection: upgrade"]);
    assert_eq!(refusal(&switching), AnswerError::Switching);
    assert!(matches!(decode(switching.as_bytes(), Asked::Head), Err(AnswerError::Switching)));
    let answer = answer_to(&switching, Asked::Upgrade);
    assert_eq!((answer.body, answer.is_interim()), (AnswerBody::None, false));
    let old = switching.replace("HTTP/1.1", "HTTP/1.0");
    assert!(matches!(decode(old.as_bytes(), Asked::Upgrade), Err(AnswerError::Switching)));
}

#[test]
fn heads_fields_nominations_and_interim_answers_are_bounded() {
    let filler = ANSWER_HEAD_MAX - with(200, &["X: "]).len();
    let largest = with(200, &[&format!("X: {}", "x".repeat(filler))]);
    assert_eq!(answer(&largest).headers["x"].len(), filler);
    let larger = with(200, &[&format!("X: {}", "x".repeat(filler + 1))]);
    assert_eq!(refusal(&larger), AnswerError::TooLarge);
    assert_eq!(refusal(&"x".repeat(ANSWER_HEAD_MAX)), AnswerError::TooLarge);
    assert!(matches!(
        decode(&larger.as_bytes()[..ANSWER_HEAD_MAX - 1], Asked::Plain),
        Ok(Decoded::Incomplete { .. })
    ));
    assert_eq!(answer(&with(200, &["X: y"; 100])).headers.len(), 100);
    assert_eq!(refusal(&with(200, &["X: y"; 101])), AnswerError::TooManyFields);
    answer(&with(200, &[&format!("Connection: {}", ["x"; NOMINATIONS_MAX].join(","))]));
    assert_eq!(refusal(&with(200, &["Connection: x"; NOMINATIONS_MAX + 1])), AnswerError::Connection);
    let mut decoder = AnswerDecoder::default();
    let interim = with(102, &[]);
    for _ in 0..INTERIM_MAX {
        assert!(decoder.decode(interim.as_bytes(), Asked::Plain).is_ok());
    }
    assert_eq!(
        decoder.decode(interim.as_bytes(), Asked::Plain).map(|_| ()),
        Err(AnswerError::TooManyInterim)
    );
}

#[test]
fn an_endless_line_is_looked_at_once_however_it_drips_in() {
    let line = vec![b'A'; ANSWER_HEAD_MAX + 10];
    let mut decoder = AnswerDecoder::default();
    let refused_at = (1..line.len()).find(|&end| decoder.decode(&line[..end], Asked::Plain).is_err());
    assert_eq!((refused_at, decoder.search.searched), (Some(ANSWER_HEAD_MAX), ANSWER_HEAD_MAX));
}

/// What any decoder says of `bytes`: comparable, whatever the head.
fn verdict(result: Result<Decoded<AnswerHead>, AnswerError>) -> Result<Option<(String, usize)>, AnswerError> {
    match result? {
        Decoded::Complete { item, used } => Ok(Some((format!("{item:?}"), used))),
        Decoded::Incomplete { .. } => Ok(None),
    }
}

/// Something like a head: its pieces, most of them right.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 101 \r\n",
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
        let start = if begun { "HTTP/1.1 204 No\r\n" } else { "" };
        format!("{start}{lines}").into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_split_gives_the_same_verdict(
        bytes in prop_oneof![nearly_a_head(), prop::collection::vec(any::<u8>(), 0..80)],
        mut cuts in prop::collection::vec(0..200_usize, 0..6),
        asked in prop::sample::select(vec![Asked::Plain, Asked::Head, Asked::Upgrade]),
    ) {
        let whole = verdict(decode(&bytes, asked));
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut decoder = AnswerDecoder::default();
        let mut last = Ok(None);
        for cut in cuts {
            last = verdict(decoder.decode(&bytes[..cut.min(bytes.len())], asked));
            if last != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(last, whole);
        prop_assert!(decoder.search.searched <= bytes.len());
    }
}

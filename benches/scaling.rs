//! What twice the input costs: ns a call for 32 KiB, and for half of it, of inputs made to be slow.
//!
//! A ratio of two is what a parser that looks at each byte once takes; 2.3 is the most that RELIABILITY allows, and a
//! quadratic one takes four. `scripts/bench scaling` prints the ratio in the place of a peer's.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use http::header::{COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName};
use vestibule::auth::token::token_of;
use vestibule::protocol::http::{HeadDecoder, elements};
use vestibule::protocol::native::Request;
use vestibule::protocol::websocket::{Decoder, Limits};

fn scaling(c: &mut Criterion) {
    let mut group = c.benchmark_group("scaling");
    both(&mut group, "head, one line", |len| head(&["a".repeat(len)]), whole_head);
    both(&mut group, "head, 90 fields", |len| head(&vec!["a".repeat(len / 90); 90]), whole_head);
    both(&mut group, "head, 64 bytes a read", |len| head(&vec!["a".repeat(len / 90); 90]), head_in_pieces);
    both(&mut group, "frames of one byte", |len| frames(len / 7), take_frames);
    both(&mut group, "JSON, an array", |len| json(&format!("[{}1]", "1,".repeat(len / 2))), request);
    both(&mut group, "JSON, a number", |len| json(&"9".repeat(len)), request);
    both(&mut group, "JSON, escapes", |len| json(&format!("\"{}\"", "\\u00e9".repeat(len / 6))), request);
    both(&mut group, "JSON, strange keys", strange_keys, request);
    both(&mut group, "query", |len| "token=&".repeat(len / 7).into_bytes(), query);
    both(&mut group, "cookies", |len| "session=a; ".repeat(len / 11).into_bytes(), cookies);
    both(&mut group, "subprotocols", |len| "a, ".repeat(len / 3).into_bytes(), subprotocols);
}

fn both(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    input: impl Fn(usize) -> Vec<u8>,
    parse: impl Fn(&[u8]),
) {
    for (function, len) in [("half", LEN / 2), ("vestibule", LEN)] {
        let input = input(len);
        group.bench_function(BenchmarkId::new(function, name), |b| b.iter(|| parse(black_box(&input))));
    }
}

fn head(values: &[String]) -> Vec<u8> {
    let fields = values.iter().enumerate().map(|(at, value)| format!("X-{at}: {value}\r\n"));
    format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields.collect::<String>()).into_bytes()
}

fn whole_head(bytes: &[u8]) {
    black_box(HeadDecoder::default().decode(bytes, HEAD_MAX)).expect("well-formed");
}

fn head_in_pieces(bytes: &[u8]) {
    let mut decoder = HeadDecoder::default();
    for end in (0..bytes.len()).step_by(64).chain([bytes.len()]) {
        black_box(decoder.decode(&bytes[..end], HEAD_MAX)).expect("well-formed");
    }
}

fn frames(count: usize) -> Vec<u8> {
    // A text of one letter a frame, under a key of zeros, that never ends.
    [b"\x01\x81\0\0\0\0a".as_slice(), &b"\x00\x81\0\0\0\0a".repeat(count - 1)].concat()
}

fn take_frames(bytes: &[u8]) {
    const LIMITS: Limits = Limits { frame: 1 << 20, message: 1 << 20, fragments: 1 << 20 };
    let (mut decoder, mut input, mut at) = (Decoder::default(), bytes.to_vec(), 0);
    while at < input.len() {
        at += decoder.decode(&mut input[at..], &LIMITS).expect("in due form").used;
    }
}

fn json(payload: &str) -> Vec<u8> {
    format!(r#"{{"type":"broadcast","room":"r","payload":{payload}}}"#).into_bytes()
}

fn strange_keys(len: usize) -> Vec<u8> {
    let keys = (0..len / 11).map(|n| format!(",\"k{n:05}\":1"));
    format!(r#"{{"type":"ping"{}}}"#, keys.collect::<String>()).into_bytes()
}

fn request(text: &[u8]) {
    // Refused or not: what counts is how long it was looked at.
    let _ = black_box(Request::decode(text));
}

fn query(text: &[u8]) {
    let _ = black_box(token_of(&HeaderMap::new(), std::str::from_utf8(text).ok(), None));
}

fn cookies(text: &[u8]) {
    let _ = black_box(token_of(&headers(COOKIE, text), None, Some("token")));
}

fn subprotocols(text: &[u8]) {
    black_box(elements(&headers(SEC_WEBSOCKET_PROTOCOL, text), &SEC_WEBSOCKET_PROTOCOL).count());
}

fn headers(name: HeaderName, value: &[u8]) -> HeaderMap {
    HeaderMap::from_iter([(name, value.try_into().expect("a value"))])
}

const LEN: usize = 32 << 10;
const HEAD_MAX: usize = 1 << 20;

criterion_group!(benches, scaling);
criterion_main!(benches);

//! What a request costs before it is a WebSocket: ns a request.
//!
//! `head`: the bytes of a browser's upgrade to a head with its fields. `handshake`: from the head to the bytes of the
//! 101, the key's digest included. tungstenite does the same with httparse, less the judging of Host, framing and
//! sizes.

#[path = "inputs/upgrade.rs"]
mod inputs;

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};
use vestibule::protocol::http::handshake;

use inputs::{BROWSER, decode};

fn head(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    group.bench_function("vestibule", |b| b.iter(|| decode(black_box(BROWSER))));
    group.bench_function("tungstenite", |b| b.iter(|| theirs(black_box(BROWSER))));
}

fn switching(c: &mut Criterion) {
    let mut group = c.benchmark_group("handshake");
    let mut out = BytesMut::new();
    let head = decode(BROWSER);
    group.bench_function("vestibule", |b| {
        b.iter(|| {
            out.clear();
            handshake::check(black_box(&head)).expect("in due form").encode_switching(&mut out, &[]);
        });
    });
    let mut out = Vec::new();
    let request = theirs(BROWSER);
    group.bench_function("tungstenite", |b| {
        b.iter(|| {
            out.clear();
            let response = create_response(black_box(&request)).expect("in due form");
            write_response(&mut out, &response).expect("memory");
        });
    });
}

fn theirs(bytes: &[u8]) -> Request {
    Request::try_parse(bytes).expect("well-formed").expect("whole").1
}

criterion_group!(benches, head, switching);
criterion_main!(benches);

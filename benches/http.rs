//! What a request costs before it is a WebSocket: ns a request.
//!
//! `head`: the bytes of a browser's upgrade to a head with its fields. `handshake`: from the head to the bytes of the
//! 101, the key's digest included. tungstenite does the same with httparse, less the judging of Host, framing and
//! sizes.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};
use vestibule::protocol::Decoded;
use vestibule::protocol::http::{Head, HeadDecoder, handshake};

fn head(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    group.bench_function("vestibule", |b| b.iter(|| ours(black_box(BROWSER))));
    group.bench_function("tungstenite", |b| b.iter(|| theirs(black_box(BROWSER))));
}

fn switching(c: &mut Criterion) {
    let mut group = c.benchmark_group("handshake");
    let mut out = BytesMut::new();
    let head = ours(BROWSER);
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

fn ours(bytes: &[u8]) -> Head {
    match HeadDecoder::default().decode(bytes, 16_384) {
        Ok(Decoded::Complete { item, .. }) => item,
        other => panic!("{other:?}"),
    }
}

fn theirs(bytes: &[u8]) -> Request {
    Request::try_parse(bytes).expect("well-formed").expect("whole").1
}

/// As Chromium sends it.
const BROWSER: &[u8] = b"GET /ws?token=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjIwMDAwMDAwMDB9.\
    0123456789012345678901234567890123456789012 HTTP/1.1\r\nHost: edge.example.com\r\nConnection: Upgrade\r\n\
    Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 \
    (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: https://app.example.com\r\n\
    Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

criterion_group!(benches, head, switching);
criterion_main!(benches);

//! What the native protocol's JSON costs: ns a message.
//!
//! `routing`: a broadcast of so many payload bytes, as text, to what it asks for, its payload copied once.
//! serde_json reads it into as much, the payload as a raw value: it judges the same grammar. `encoding`: the
//! publication as a whole WebSocket frame; serde_json writes the text alone, without a frame.

#[path = "inputs/requests.rs"]
mod inputs;

use std::borrow::Cow;
use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vestibule::protocol::native::{Request, encode_message};

use inputs::{broadcast, payload};

fn routing(c: &mut Criterion) {
    let mut group = c.benchmark_group("routing");
    for len in LENGTHS {
        let text = broadcast(len);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("vestibule", len), |b| {
            b.iter(|| Request::decode(black_box(text.as_bytes())).expect("a request"));
        });
        group.bench_function(BenchmarkId::new("serde_json", len), |b| {
            b.iter(|| {
                let read: Theirs<'_> = serde_json::from_slice(black_box(text.as_bytes())).expect("an object");
                assert_eq!(read.kind, "broadcast");
                let payload: Box<[u8]> = read.payload.get().as_bytes().into();
                (read.room, payload, read.id)
            });
        });
    }
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("encoding");
    for len in LENGTHS {
        let (buffer, at) = placed(&payload(len));
        let payload = &buffer[at..];
        let raw: &RawValue = serde_json::from_slice(payload).expect("a value");
        group.throughput(Throughput::Bytes(len as u64));
        let mut out = BytesMut::new();
        group.bench_function(BenchmarkId::new("vestibule", len), |b| {
            b.iter(|| {
                out.clear();
                encode_message(&mut out, black_box("chat:lobby"), None, black_box(payload), None);
            });
        });
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("serde_json", len), |b| {
            b.iter(|| {
                out.clear();
                let said = Said { kind: "message", room: black_box("chat:lobby"), payload: black_box(raw) };
                serde_json::to_writer(&mut out, &said).expect("memory");
            });
        });
    }
}

/// What routing needs of a message, as whoever has serde_json would read it.
#[derive(Deserialize)]
struct Theirs<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    room: Box<str>,
    #[serde(borrow)]
    payload: &'a RawValue,
    id: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Said<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    room: &'a str,
    payload: &'a RawValue,
}

/// The text behind a gap that ends in the middle of a page: on some CPUs a copy of 4 KiB or more to an address that is,
/// within its page, 1 to 15 bytes behind its source takes ten to thirty times as long, and chance shall not decide.
fn placed(text: &str) -> (Vec<u8>, usize) {
    let mut buffer: Vec<u8> = Vec::with_capacity(text.len() + 2 * PAGE);
    let gap = buffer.as_ptr().align_offset(PAGE) + PAGE / 2;
    buffer.resize(gap, 0);
    buffer.extend_from_slice(text.as_bytes());
    (buffer, gap)
}

const PAGE: usize = 4096;
const LENGTHS: [usize; 3] = [130, 1024, 16_384];

criterion_group!(benches, routing, encoding);
criterion_main!(benches);

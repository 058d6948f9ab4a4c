//! What a WebSocket frame costs between the read and the event: ns a call, and bytes a second.
//!
//! `cargo bench --no-default-features --bench websocket`. A payload lies 6 bytes askew, as behind a
//! short header. Whole messages are masked with zeros, so that decoding in place leaves the input as
//! it was; 64 KiB of them are decoded a call, and the rate is in messages.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use vestibule::protocol::websocket::{Decoder, Limits, frame, mask, utf8};

fn header(c: &mut Criterion) {
    let mut group = c.benchmark_group("header");
    let headers: [&[u8]; 3] = [
        b"\x81\x94\x37\xFA\x21\x3D",
        b"\x81\xFE\x04\x00\x37\xFA\x21\x3D",
        b"\x81\xFF\0\0\0\0\0\x01\0\0\x37\xFA\x21\x3D",
    ];
    for bytes in headers {
        group.bench_with_input(BenchmarkId::from_parameter(bytes.len()), bytes, |b, bytes| {
            b.iter(|| frame::decode(black_box(bytes)));
        });
    }
}

fn unmask(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    for len in LENGTHS {
        let mut buffer = vec![0x5A; SKEW + len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |b| {
            b.iter(|| mask::unmask(black_box(&mut buffer[SKEW..]), 0x3D21_FA37));
        });
    }
}

/// ASCII is here for comparison: on its way through the decoder, `mask` has seen to it.
fn validate(c: &mut Criterion) {
    for (kind, unit) in [("ascii", ASCII), ("mixed", MIXED)] {
        let mut group = c.benchmark_group(format!("utf8 {kind}"));
        for len in LENGTHS {
            let bytes = [vec![0; SKEW], text(unit, len)].concat();
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new("ours", len), |b| {
                b.iter(|| utf8::is_valid(black_box(&bytes[SKEW..])));
            });
            group.bench_function(BenchmarkId::new("std", len), |b| {
                b.iter(|| std::str::from_utf8(black_box(&bytes[SKEW..])).is_ok());
            });
        }
    }
}

fn message(c: &mut Criterion) {
    const LIMITS: Limits = Limits { frame: 1 << 16, message: 1 << 16, fragments: 1024 };
    for (kind, unit) in [("ascii", ASCII), ("mixed", MIXED)] {
        let mut group = c.benchmark_group(format!("message {kind}"));
        for len in [20, 130, 1024, 16_384] {
            let one = frame_of(&text(unit, len));
            let count = (1 << 16) / one.len();
            let mut input = one.repeat(count);
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::from_parameter(len), |b| {
                b.iter(|| {
                    let mut decoder = Decoder::default();
                    let mut at = 0;
                    loop {
                        let step = decoder.decode(black_box(&mut input[at..]), &LIMITS).expect("valid");
                        at += step.used;
                        if black_box(step.event).is_none() {
                            break at;
                        }
                    }
                });
            });
        }
    }
}

/// A text frame under a key of zeros.
fn frame_of(payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    let mut frame = vec![0x81];
    match u8::try_from(len) {
        Ok(len) if len < 126 => frame.push(0x80 | len),
        _ => {
            frame.push(0xFE);
            frame.extend((len as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// `len` bytes of `unit` over and over.
fn text(unit: &str, len: usize) -> Vec<u8> {
    let whole = unit.repeat(len / unit.len() + 1);
    let mut bytes = whole.as_bytes()[..whole.floor_char_boundary(len)].to_vec();
    bytes.resize(len, b'.');
    bytes
}

const LENGTHS: [usize; 4] = [20, 130, 4096, 65_536];
const SKEW: usize = 6;
const ASCII: &str = "The quick brown fox jumps over the lazy dog. ";
const MIXED: &str = "Zażółć gęślą jaźń, пусть всегда будет солнце, 日本語 \u{1F600} ok ";

criterion_group!(benches, header, unmask, validate, message);
criterion_main!(benches);

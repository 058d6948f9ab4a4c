//! What a WebSocket frame costs between the read and the event: ns a call, and ns a message.
//!
//! `header`, `mask`, `utf8`: one call over so many bytes; a payload lies 6 bytes askew, as behind a short header.
//! `message`: 64 KiB of text messages of so many bytes, ns each; `assembly`: the same, each in four fragments. Whole
//! messages are masked with zeros, so that decoding in place leaves the input as it was. tungstenite and
//! fastwebsockets read the same bytes from memory, tungstenite copying them into its buffer as from a socket.

#[path = "inputs/frames.rs"]
mod inputs;

use std::future::Future;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fastwebsockets::FragmentCollector;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::WebSocket;
use vestibule::protocol::websocket::{frame, mask, utf8};

use inputs::{ASCII, decode_all, frame_of, text};

fn header(c: &mut Criterion) {
    let mut group = c.benchmark_group("header");
    let headers: [&[u8]; 3] = [
        b"\x81\x94\x37\xFA\x21\x3D",
        b"\x81\xFE\x04\x00\x37\xFA\x21\x3D",
        b"\x81\xFF\0\0\0\0\0\x01\0\0\x37\xFA\x21\x3D",
    ];
    for bytes in headers {
        group.bench_with_input(BenchmarkId::new("vestibule", bytes.len()), bytes, |b, bytes| {
            b.iter(|| frame::decode(black_box(bytes)));
        });
    }
}

fn unmask(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    for len in LENGTHS {
        let mut buffer = vec![0x5A; SKEW + len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("vestibule", len), |b| {
            b.iter(|| mask::unmask(black_box(&mut buffer[SKEW..]), 0x3D21_FA37));
        });
        group.bench_function(BenchmarkId::new("fastwebsockets", len), |b| {
            b.iter(|| fastwebsockets::unmask(black_box(&mut buffer[SKEW..]), [0x37, 0xFA, 0x21, 0x3D]));
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
            group.bench_function(BenchmarkId::new("vestibule", len), |b| {
                b.iter(|| utf8::is_valid(black_box(&bytes[SKEW..])));
            });
            group.bench_function(BenchmarkId::new("std", len), |b| {
                b.iter(|| std::str::from_utf8(black_box(&bytes[SKEW..])).is_ok());
            });
        }
    }
}

fn message(c: &mut Criterion) {
    for (kind, unit) in [("ascii", ASCII), ("mixed", MIXED)] {
        for len in [20, 130, 1024, 16_384] {
            messages(c, &format!("message {kind}"), len, &frame_of(0x81, &text(unit, len)));
        }
    }
}

fn assembly(c: &mut Criterion) {
    for len in [130, 1024, 16_384] {
        let text = text(ASCII, len);
        let mut pieces = text.chunks(len.div_ceil(4));
        let mut bytes = frame_of(0x01, pieces.next().expect("four"));
        for (piece, first) in pieces.zip([0x00, 0x00, 0x80]) {
            bytes.extend(frame_of(first, piece));
        }
        messages(c, "assembly", len, &bytes);
    }
}

/// Reads `one` over and over, by us and by the peers.
fn messages(c: &mut Criterion, name: &str, len: usize, one: &[u8]) {
    let count = (1 << 16) / one.len();
    let mut input = one.repeat(count);
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function(BenchmarkId::new("vestibule", len), |b| b.iter(|| decode_all(&mut input)));
    group.bench_function(BenchmarkId::new("tungstenite", len), |b| {
        let mut socket =
            WebSocket::from_raw_socket(Memory::of(&input), tungstenite::protocol::Role::Server, None);
        b.iter(|| {
            socket.get_mut().at = 0;
            for _ in 0..count {
                black_box(socket.read().expect("valid"));
            }
        });
    });
    group.bench_function(BenchmarkId::new("fastwebsockets", len), |b| {
        b.iter(|| {
            let memory = Memory::of(&input);
            let socket = fastwebsockets::WebSocket::after_handshake(memory, fastwebsockets::Role::Server);
            let mut socket = FragmentCollector::new(socket);
            for _ in 0..count {
                black_box(ready(socket.read_frame()).expect("valid"));
            }
        });
    });
}

/// A socket whose peer has said all it will say.
struct Memory<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Memory<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn front(&mut self, most: usize) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let taken = &rest[..rest.len().min(most)];
        self.at += taken.len();
        taken
    }
}

impl Read for Memory<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let taken = self.front(out.len());
        out[..taken.len()].copy_from_slice(taken);
        Ok(taken.len())
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Memory<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        out.put_slice(self.front(out.remaining()));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a future has at once, as one over memory does.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("memory does not keep anybody waiting"),
    }
}

const LENGTHS: [usize; 4] = [20, 130, 4096, 65_536];
const SKEW: usize = 6;
const MIXED: &str = "Zażółć gęślą jaźń, пусть всегда будет солнце, 日本語 \u{1F600} ok ";

criterion_group!(benches, header, unmask, validate, message, assembly);
criterion_main!(benches);

//! What a room costs: ns a publication appended, and ns a delivery handed to a socket's write.
//!
//! `log`: 16 publications of 128 B are appended and sealed at the end of a turn, while a write to the one member is
//! in flight. `fan-out`: one publication of 128 B to so many idle members, each of which is handed its slices and
//! says that they were written. tungstenite's way is beside it: a WebSocket a member, the message shared, its
//! header and bytes written into each. Nobody makes a system call, which is what costs most in the end.

#[path = "inputs/rooms.rs"]
mod inputs;

use std::hint::black_box;
use std::io::{self, Read, Write};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, Utf8Bytes, WebSocket};

use inputs::{deliver, hub_of, payload, publication, publish};

fn log(c: &mut Criterion) {
    const TURN: usize = 16;
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Elements(TURN as u64));
    let (mut hub, members) = hub_of(1, &["r"]);
    let publication = publication();
    let mut slices = Vec::new();
    group.bench_function("vestibule", |b| {
        b.iter(|| {
            for _ in 0..TURN {
                publish(&mut hub, members[0], "r", black_box(&publication));
            }
            hub.end_turn();
            // What was sealed has to go, or the log would grow from one turn to the next.
            deliver(&mut hub, &mut slices);
        });
    });
}

fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan-out");
    for count in [1, 100, 10_000] {
        group.throughput(Throughput::Elements(count as u64));
        let (mut hub, members) = hub_of(count, &["r"]);
        let publication = publication();
        let mut slices = Vec::new();
        group.bench_function(BenchmarkId::new("vestibule", count), |b| {
            b.iter(|| {
                publish(&mut hub, members[0], "r", black_box(&publication));
                hub.end_turn();
                assert_eq!(deliver(&mut hub, &mut slices), count);
            });
        });
        let mut sockets: Vec<WebSocket<Void>> = (0..count).map(|_| theirs()).collect();
        let text = Utf8Bytes::from(format!(r#"{{"type":"message","room":"r","payload":{}}}"#, payload()));
        group.bench_function(BenchmarkId::new("tungstenite", count), |b| {
            b.iter(|| {
                for socket in &mut sockets {
                    socket.send(Message::Text(black_box(&text).clone())).expect("the void takes it");
                }
            });
        });
    }
}

fn theirs() -> WebSocket<Void> {
    let config = WebSocketConfig::default().read_buffer_size(0).write_buffer_size(0);
    WebSocket::from_raw_socket(Void, Role::Server, Some(config))
}

/// Takes everything, and has nothing to say.
struct Void;

impl Read for Void {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Void {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

criterion_group!(benches, log, fan_out);
criterion_main!(benches);

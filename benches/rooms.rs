//! What a room costs: ns a publication appended, and ns a delivery handed to a socket's write.
//!
//! `log`: 16 publications of 128 B are appended and sealed at the end of a turn, while a write to the one member is
//! in flight. `fan-out`: one publication of 128 B to so many idle members, each of which is handed its slices and
//! says that they were written. tungstenite's way is beside it: a WebSocket a member, the message shared, its
//! header and bytes written into each. Nobody makes a system call, which is what costs most in the end.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, Utf8Bytes, WebSocket};
use vestibule::hub::{ConnectionKey, Hub, Limits, Options, Publication, ShardId, Step};
use vestibule::protocol::Format;

fn log(c: &mut Criterion) {
    const TURN: usize = 16;
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Elements(TURN as u64));
    let (mut hub, members) = room_of(1);
    let publication = publication();
    let mut slices = Vec::new();
    group.bench_function("vestibule", |b| {
        b.iter(|| {
            for _ in 0..TURN {
                publish(&mut hub, members[0], black_box(&publication));
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
        let (mut hub, members) = room_of(count);
        let publication = publication();
        let mut slices = Vec::new();
        group.bench_function(BenchmarkId::new("vestibule", count), |b| {
            b.iter(|| {
                publish(&mut hub, members[0], black_box(&publication));
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

fn room_of(count: usize) -> (Hub, Vec<ConnectionKey>) {
    let options = Options { shard: ShardId(0), shards: 1, name_seed: 1, epoch_seed: 1 };
    let limits = Limits { lag_bytes: 1 << 20, rooms_per_connection: 10, connections: count };
    let mut hub = Hub::new(options, limits);
    let user: Arc<str> = "ada".into();
    let members: Vec<_> = (0..count).map(|_| hub.connect(user.clone(), Format::Native)).collect();
    for member in &members {
        assert_eq!(hub.join(*member, "r", None), Ok(Step::Done));
    }
    (hub, members)
}

fn publish(hub: &mut Hub, from: ConnectionKey, publication: &Arc<Publication>) {
    assert_eq!(hub.publish(from, "r", publication, None), Step::Done);
}

/// Every member that is behind is written to, at once and whole.
fn deliver(hub: &mut Hub, slices: &mut Vec<Bytes>) -> usize {
    let mut served = 0;
    while let Some(key) = hub.poll_writable() {
        if hub.batch(key, slices) {
            black_box(&*slices);
            slices.clear();
            hub.on_written(key);
        }
        served += 1;
    }
    served
}

fn publication() -> Arc<Publication> {
    Arc::new(Publication { payload: payload().into_bytes().into(), ..Publication::default() })
}

/// 128 bytes of JSON.
fn payload() -> String {
    format!("\"{}\"", "x".repeat(126))
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

//! What a whole node costs as it grows: points of curves, each from a fresh server under one load.
//!
//! Prints a line of JSON a point and judges nothing: `scripts/curves` repeats, takes medians and draws. The server is
//! the release binary on the first CPUs this process may use, the load one thread on the last.

mod cpus;
mod floor;
mod listeners;
mod load;

#[path = "../../tests/harness/mod.rs"]
mod harness;

use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::load::{Cost, Joined, Load, idle_bytes};

/// One way in which a node grows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Curve {
    /// Members of one room.
    Members,
    /// Rooms that the same members are spread over.
    Rooms,
    /// Rooms that every member is in.
    RoomsAConnection,
    /// Bytes of a payload.
    Size,
    /// Streams of Server-Sent Events in one room, beside as many WebSockets.
    Streams,
    /// Workers of the server.
    Workers,
    /// Connections that say nothing.
    Idle,
}

#[derive(Parser)]
struct Asked {
    /// Measure each point for so long, after half a second of warming up
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Measure these curves (all)
    #[arg(long)]
    curve: Vec<Curve>,
    /// Leave out what needs more connections than this
    #[arg(long, default_value_t = CONNECTIONS_MAX)]
    up_to: usize,
    /// Be what the server is compared to: for so many listeners, publications of so many bytes
    #[arg(long, hide = true, num_args = 2)]
    floor: Vec<usize>,
    /// What cargo says of a bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    // Without the word, cargo is testing: one small point shows that all of this still runs.
    if !std::env::args().any(|word| word == "--bench") {
        Load { connections: 10, ..LOAD }.measure(0.05);
        Load { connections: 10, streams: true, ..LOAD }.measure(0.05);
        return;
    }
    let asked = Asked::parse();
    raise_descriptors();
    if let [listeners, bytes] = asked.floor[..] {
        return floor::relay(listeners, bytes);
    }
    let wanted = |curve, connections| {
        (asked.curve.is_empty() || asked.curve.contains(&curve)) && connections <= asked.up_to
    };
    for (curve, x, load) in points(asked.up_to.min(CONNECTIONS_MAX)) {
        if wanted(curve, load.connections) {
            say_cost(curve, x, &load, "vestibule", &load.measure(asked.seconds));
            if matches!(curve, Curve::Members | Curve::Size) {
                say_cost(curve, x, &load, "bare writes", &load.measure_floor(asked.seconds));
            }
            if curve == Curve::Streams {
                let websockets = Load { streams: false, ..load };
                say_cost(curve, x, &websockets, "websockets", &websockets.measure(asked.seconds));
            }
        }
    }
    for connections in [100, 1000, 10_000] {
        for joined in [Joined::Nothing, Joined::One, Joined::Own] {
            if wanted(Curve::Idle, connections) {
                say_idle(connections, joined, idle_bytes(connections, joined));
            }
        }
    }
}

fn say_cost(curve: Curve, x: usize, load: &Load, line: &str, cost: &Cost) {
    let point = json!({
        "curve": name(curve),
        "line": line,
        "x": x,
        "cpu_us_per_delivery": cost.cpu_us,
        "deliveries_per_s": cost.deliveries_per_s,
        "cpus_busy": cost.cpus_busy,
        "threads_waiting": cost.threads_waiting,
        "shares_a_cpu": cpus::are_shared(load.workers),
    });
    println!("{point}");
}

fn say_idle(connections: usize, joined: Joined, bytes: f64) {
    let line = match joined {
        Joined::Nothing => "no room",
        Joined::One => "one room for all",
        Joined::Own => "a room each",
    };
    let point =
        json!({ "curve": name(Curve::Idle), "line": line, "x": connections, "bytes_per_connection": bytes });
    println!("{point}");
}

/// Every point but those of idle connections. `spread` connections stand along the whole curve over rooms: what it
/// asks is whether it matters in how many rooms the same members are, with one delivery for each of them under way.
/// A publication to each room enters at a time, so the fewer hear it, the more of its own cost each delivery bears;
/// that all come by one connection, many a read, leaves the reading out.
fn points(spread: usize) -> impl Iterator<Item = (Curve, usize, Load)> {
    let members = [1, 10, 100, 1000, 10_000]
        .map(|connections| (Curve::Members, connections, Load { connections, ..LOAD }));
    let rooms = [1, 10, 100, 1000, 10_000]
        .map(|rooms| (Curve::Rooms, rooms, Load { connections: spread.max(rooms), rooms, ..LOAD }));
    let each = [1, 2, 4, 8]
        .map(|rooms| (Curve::RoomsAConnection, rooms, Load { rooms, rooms_a_connection: rooms, ..LOAD }));
    let size = [16, 128, 1 << 10, 8 << 10, 64 << 10]
        .map(|payload| (Curve::Size, payload, Load { connections: 100, payload, ..LOAD }));
    let streams = [100, 1000, 10_000]
        .map(|connections| (Curve::Streams, connections, Load { connections, streams: true, ..LOAD }));
    // Neither spins: where the load shares a CPU with the second worker, it would take all of it.
    let workers = [1, 2].map(|workers| (Curve::Workers, workers, Load { workers, spins: false, ..LOAD }));
    members.into_iter().chain(rooms).chain(each).chain(size).chain(streams).chain(workers)
}

/// Its name on the command line.
fn name(curve: Curve) -> String {
    curve.to_possible_value().expect("no curve is hidden").get_name().to_owned()
}

/// As many descriptors as this process, and the server that it starts, may have.
fn raise_descriptors() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).expect("up to the hard limit");
}

const LOAD: Load = Load {
    connections: 1000,
    rooms: 1,
    rooms_a_connection: 1,
    payload: 128,
    workers: 1,
    spins: true,
    streams: false,
};

/// With a server that holds as many: half of what a process often may.
const CONNECTIONS_MAX: usize = 10_000;

//! One load: how many connections in which rooms, what is published to them, and what the server spends on it.
//!
//! In rounds: a publication to each room, all written at once by one connection that is in none, and the next round
//! when every member has all of the last. So a point has the same number of deliveries under way from begin to end.

use std::net::TcpStream;
use std::time::Duration;

use crate::cpus;
use crate::floor::Floor;
use crate::harness::{Deadline, Events, Member, PATIENCE, Server, Setup, Socket, client_frame, until};
use crate::listeners::{Listeners, Wire};

/// What a point of a curve is measured under.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Connections that listen.
    pub(crate) connections: usize,
    /// Rooms over which they are spread evenly.
    pub(crate) rooms: usize,
    /// Rooms that each of them is in.
    pub(crate) rooms_a_connection: usize,
    /// Bytes of a payload, as JSON.
    pub(crate) payload: usize,
    /// Workers of the server.
    pub(crate) workers: usize,
    /// Whether the generator never sleeps.
    pub(crate) spins: bool,
    /// Whether they listen to Server-Sent Events, each to one room.
    pub(crate) streams: bool,
}

/// What the server spent.
pub(crate) struct Cost {
    /// Microseconds of CPU a delivery.
    pub(crate) cpu_us: f64,
    pub(crate) deliveries_per_s: f64,
    /// How many CPUs were at work, on average.
    pub(crate) cpus_busy: f64,
    /// How many of its threads were ready and had no CPU, on average: none on a quiet machine.
    pub(crate) threads_waiting: f64,
}

impl Load {
    /// Measures for so long, up to the end of a round.
    pub(crate) fn measure(&self, seconds: f64) -> Cost {
        let server = start(self.workers);
        let members = (0..self.connections).map(|n| self.member(&server, n)).collect();
        let publisher = stream_of(Member::enter(&server, "publisher"));
        let wire = if self.streams { Wire::Stream } else { Wire::WebSocket };
        let mut listeners = Listeners::new(members, publisher, wire, self.spins);
        self.cost(server.pid(), &mut listeners, &self.publications(), seconds)
    }

    /// The same deliveries by a loop of `write`; of loads with one room alone.
    pub(crate) fn measure_floor(&self, seconds: f64) -> Cost {
        let delivery = self.delivery();
        let floor = Floor::start(self.connections, delivery.len());
        let publisher = floor.enter();
        let members = (0..self.connections).map(|_| floor.enter()).collect();
        let mut listeners = Listeners::new(members, publisher, Wire::WebSocket, self.spins);
        self.cost(floor.pid(), &mut listeners, &delivery, seconds)
    }

    /// What a process spends on rounds of these publications.
    fn cost(&self, pid: u32, listeners: &mut Listeners, publications: &[u8], seconds: f64) -> Cost {
        let deliveries = (self.connections * self.rooms_a_connection) as u64;
        let mut rounds_for = |seconds: f64| {
            let (clock, before) = (Deadline::within(Duration::from_secs_f64(seconds)), Spent::by(pid));
            let mut heard = 0;
            while !clock.passed() {
                listeners.round(publications, deliveries);
                heard += deliveries;
            }
            Spent::by(pid).since(&before, heard as f64, clock.elapsed().as_secs_f64())
        };
        rounds_for(WARM_UP_S);
        rounds_for(seconds)
    }

    fn member(&self, server: &Server, n: usize) -> TcpStream {
        if self.streams {
            let room = room_name(n % self.rooms);
            let target = format!("/events?room={room}&token={}", server.token("member"));
            let mut events = Events::open(server, &target, "");
            events.begins(1);
            return unread(events.socket);
        }
        let mut member = Member::enter(server, "member");
        for room in 0..self.rooms_a_connection {
            member.join(&room_name((n * self.rooms_a_connection + room) % self.rooms));
        }
        stream_of(member)
    }

    /// One for each room.
    fn publications(&self) -> Vec<u8> {
        let publication = |room| {
            let (room, payload) = (room_name(room), self.payload());
            let text = format!(r#"{{"type":"broadcast","room":"{room}","payload":"{payload}"}}"#);
            client_frame(0x81, text.as_bytes())
        };
        (0..self.rooms).flat_map(publication).collect()
    }

    /// What a member of the first room is sent.
    fn delivery(&self) -> Vec<u8> {
        let (room, payload) = (room_name(0), self.payload());
        let text = format!(r#"{{"type":"message","room":"{room}","payload":"{payload}"}}"#);
        let mut frame = vec![0x81];
        match text.len() {
            length @ 0..=125 => frame.push(length as u8),
            length @ 126..=0xffff => {
                frame.push(126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(text.as_bytes());
        frame
    }

    /// Inside of its quotes.
    fn payload(&self) -> String {
        "x".repeat(self.payload - r#""""#.len())
    }
}

/// Nanoseconds of all threads of a process since it began.
struct Spent {
    cpu: u64,
    waiting: u64,
}

impl Spent {
    fn by(pid: u32) -> Self {
        let mut spent = Self { cpu: 0, waiting: 0 };
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a living process");
        for thread in threads.flatten() {
            // On a CPU, and ready without one; a thread may end meanwhile.
            let Ok(line) = std::fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let mut figures = line.split(' ').map(|figure| figure.parse::<u64>().expect("nanoseconds"));
            spent.cpu += figures.next().expect("time on a CPU");
            spent.waiting += figures.next().expect("time without one");
        }
        spent
    }

    fn since(&self, before: &Self, deliveries: f64, wall_s: f64) -> Cost {
        let seconds = |now: u64, then: u64| now.saturating_sub(then) as f64 / 1e9;
        let (cpu_s, waiting_s) = (seconds(self.cpu, before.cpu), seconds(self.waiting, before.waiting));
        Cost {
            cpu_us: cpu_s * 1e6 / deliveries,
            deliveries_per_s: deliveries / wall_s,
            cpus_busy: cpu_s / wall_s,
            threads_waiting: waiting_s / wall_s,
        }
    }
}

/// What idle connections have joined.
#[derive(Clone, Copy)]
pub(crate) enum Joined {
    Nothing,
    /// All of them the same room.
    One,
    /// Each of them a room that nobody else is in.
    Own,
}

/// Resident bytes of the server for each of so many connections that were authenticated and say nothing.
pub(crate) fn idle_bytes(connections: usize, joined: Joined) -> f64 {
    let server = start(1);
    let enter = |n| {
        let mut member = Member::enter(&server, "member");
        match joined {
            Joined::Nothing => {}
            Joined::One => member.join(&room_name(0)),
            Joined::Own => member.join(&room_name(n)),
        }
        stream_of(member)
    };
    // What the first ones touch is touched once.
    let _first: Vec<_> = (connections..connections + FIRST).map(enter).collect();
    let before = settled(&server);
    let _held: Vec<_> = (0..connections).map(enter).collect();
    (settled(&server) - before) / connections as f64
}

/// Resident memory, once it has not changed for a while.
fn settled(server: &Server) -> f64 {
    let (mut last, mut looks) = (0, 0);
    until("memory that does not change", PATIENCE, || {
        let now = server.resident_bytes();
        looks = if now == last { looks + 1 } else { 0 };
        last = now;
        (looks == LOOKS_ALIKE).then_some(now as f64)
    })
}

/// The stream alone: what a member reads into would be memory of this process for nothing.
fn stream_of(member: Member) -> TcpStream {
    unread(member.socket)
}

fn unread(socket: Socket) -> TcpStream {
    let (stream, inbox) = socket.into_parts();
    assert!(inbox.unread().is_empty(), "nothing is said before the load begins");
    stream
}

/// Open rooms, tokens, and limits that no load meets.
fn start(workers: usize) -> Server {
    let setup = Setup::new(workers)
        .variable("RUST_LOG", "warn")
        .set("server.driver", "\"auto\"")
        .set("limits.frame", "\"16MiB\"")
        .set("limits.message", "\"16MiB\"")
        .set("limits.lag", "\"64MiB\"")
        .set("limits.buffered", "\"1GiB\"")
        // Nobody who listens for a minute is asked whether it is there.
        .set("heartbeat.interval", "\"1h\"")
        .set("sse.heartbeat", "\"10m\"");
    cpus::apart(workers, || setup.start())
}

/// Names of one length.
fn room_name(n: usize) -> String {
    format!("room:{n:05}")
}

const WARM_UP_S: f64 = 0.5;
const FIRST: usize = 16;
/// Looks at a memory that does not change, some milliseconds apart.
const LOOKS_ALIKE: u32 = 100;

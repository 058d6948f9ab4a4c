//! Two thousand members that never read, and what they cost: the process and the kernel.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Crowd, Deadline, Member, PATIENCE, Server, Setup, Sight, client_frame, gauge, until};

#[test]
fn two_thousand_who_never_read_one_room_cost_64_mib_at_most() {
    let server = start(&Setup::new(2));
    let slow: Vec<Member> = (0..2000).map(|_| member_of(&server, "hall")).collect();
    let mut hall = Hall::of(&server);
    server.await_metric(gauge::MEMBERS, 2001.0);
    let before = Held::by(&server);
    let mut most = Held::default();
    for _ in 0..PUBLICATIONS / ROUND {
        hall.publish(ROUND);
        most = most.max(before.more(&server));
    }
    println!("2000 members of one room, {PUBLICATIONS} publications of 60 kB: {most:?} more");
    assert!(most.resident_bytes <= 64 << 20, "{most:?}");
    assert!(most.kernel_bytes <= KERNEL_MAX, "{most:?}");
    // All of them were given up, and nobody else.
    server.await_metric(gauge::TOO_SLOW, 2000.0);
    drop(slow);
    server.stop();
}

#[test]
fn five_hundred_who_never_read_rooms_of_their_own_cost_what_may_be_buffered_and_a_tenth() {
    let server = start(&Setup::new(2));
    let slow: Vec<Member> = (0..500).map(|n| member_of(&server, &format!("cell-{n}"))).collect();
    let mut hall = Hall::of(&server);
    let mut publisher = Member::enter(&server, "publisher");
    let cells: Vec<Vec<u8>> = (0..500).map(|n| publication(&format!("cell-{n}"))).collect();
    let before = Held::by(&server);
    let mut most = Held::default();
    for _ in 0..CELL_ROUNDS {
        for cells in cells.chunks(50) {
            publisher.socket.send(&cells.concat());
            publisher.lives();
            most = most.max(before.more(&server));
        }
        hall.publish(1);
    }
    println!("500 members of rooms of their own, {CELL_ROUNDS} publications of 60 kB each: {most:?} more");
    assert!(most.resident_bytes <= (256 << 20) * 11 / 10, "{most:?}");
    // The number is told with the shard's next tick.
    until("they reach the limit", PATIENCE, || (server.metric(gauge::TOO_SLOW) > 0.0).then_some(()));
    drop(slow);
    server.stop();
}

fn start(setup: &Setup) -> Server {
    setup.clone().set("server.drain", "\"0s\"").start()
}

/// A member that will not read.
fn member_of(server: &Server, room: &str) -> Member {
    let mut member = Member::enter_narrow(server, "slow");
    member.join(room);
    member
}

fn publication(room: &str) -> Vec<u8> {
    let payload = "x".repeat(60_000);
    client_frame(
        0x81,
        format!("{{\"type\":\"broadcast\",\"room\":\"{room}\",\"payload\":\"{payload}\"}}").as_bytes(),
    )
}

/// The room of the 2000, with one who reads and one who publishes.
struct Hall {
    healthy: Crowd,
    publisher: Member,
    publication: Vec<u8>,
}

impl Hall {
    fn of(server: &Server) -> Self {
        let mut healthy = Crowd::default();
        let mut member = Member::enter(server, "healthy");
        member.join("hall");
        healthy.seat(member);
        let publisher = Member::enter(server, "publisher");
        Self { healthy, publisher, publication: publication("hall") }
    }

    /// Publishes; returns when the healthy member has heard it all.
    fn publish(&mut self, count: usize) {
        self.publisher.socket.send(&self.publication.repeat(count));
        let deadline = Deadline::within(PATIENCE);
        let mut heard = 0;
        while heard < count {
            assert!(!deadline.passed(), "the healthy member heard {heard} of {count}");
            self.healthy.turn(PATIENCE, |_, sight| match sight {
                Sight::Text(_) => heard += 1,
                other => panic!("the healthy member saw {other:?}"),
            });
        }
    }
}

/// What is held on the server's account.
#[derive(Debug, Default, Clone, Copy)]
struct Held {
    resident_bytes: u64,
    /// Of all TCP sockets of the machine.
    kernel_bytes: u64,
}

impl Held {
    fn by(server: &Server) -> Self {
        Self { resident_bytes: server.resident_bytes(), kernel_bytes: kernel_bytes() }
    }

    /// How much more it is now.
    fn more(self, server: &Server) -> Self {
        let now = Self::by(server);
        Self {
            resident_bytes: now.resident_bytes.saturating_sub(self.resident_bytes),
            kernel_bytes: now.kernel_bytes.saturating_sub(self.kernel_bytes),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            resident_bytes: self.resident_bytes.max(other.resident_bytes),
            kernel_bytes: self.kernel_bytes.max(other.kernel_bytes),
        }
    }
}

/// The kernel's own count of what TCP's buffers take.
fn kernel_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let pages: u64 = line.split_once("mem ").unwrap().1.trim().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

const PUBLICATIONS: usize = 500;
const ROUND: usize = 10;
/// 600 kB each would be 300 MB, a MB each is the lag.
const CELL_ROUNDS: usize = 16;
/// 128 KiB a connection: SO_SNDBUF of 64 KiB, which the kernel doubles. The rest is the receiving ends', and what
/// else goes on on the machine.
const KERNEL_MAX: u64 = 384 << 20;

//! The hot paths: each function sets up, does one thing over and over inside `counted`, and returns how many times.
//!
//! Often enough that what the first time alone costs does not show. Judges no count, and asserts only what would make
//! it a count of something else. What drives the hub stands in `inputs`, with the other benches.

#[path = "../inputs/exchange.rs"]
mod exchange;
#[path = "../inputs/frames.rs"]
mod frames;
#[path = "../inputs/requests.rs"]
mod requests;
#[path = "../inputs/ring.rs"]
mod ring;
#[path = "../inputs/rooms.rs"]
mod rooms;
#[path = "../inputs/upgrade.rs"]
mod upgrade;

use std::hint::black_box;

use bytes::BytesMut;
use vestibule::protocol::http::{
    After, AnswerFraming, Answering, Forwarding, HttpDate, check_forward, encode_answer, encode_forward,
    handshake, normal_path,
};
use vestibule::protocol::native::Request;
use vestibule::protocol::websocket::{Opcode, encode_frame};

use crate::counted;
use frames::{ASCII, decode_all, frame_of, text};
use rooms::{deliver, hub_of, publication, publish};

pub(crate) fn text_of_128() -> usize {
    frames(&frame_of(0x81, &text(ASCII, 128)))
}

pub(crate) fn binary_of_16384() -> usize {
    frames(&frame_of(0x82, &text(ASCII, 16_384)))
}

/// One frame after another, 64 KiB of them.
fn frames(one: &[u8]) -> usize {
    const READS: usize = 50;
    let count = (1 << 16) / one.len();
    let mut input = one.repeat(count);
    decode_all(&mut input);
    counted(&mut || {
        for _ in 0..READS {
            decode_all(&mut input);
        }
    });
    READS * count
}

pub(crate) fn broadcast() -> usize {
    let text = requests::broadcast(130);
    repeat(|| {
        black_box(Request::decode(black_box(text.as_bytes())).expect("a request"));
    })
}

pub(crate) fn head() -> usize {
    repeat(|| {
        black_box(upgrade::decode(black_box(upgrade::BROWSER)));
    })
}

pub(crate) fn switching() -> usize {
    let head = upgrade::decode(upgrade::BROWSER);
    let mut out = BytesMut::new();
    repeat(|| {
        out.clear();
        handshake::check(black_box(&head)).expect("in due form").encode_switching(&mut out, &[]);
    })
}

pub(crate) fn forward() -> usize {
    let head = upgrade::decode(exchange::REQUEST);
    let peer = "203.0.113.9".parse().expect("an address");
    let by = Forwarding { peer, trusted: false, request_id: "a-0-1", upgrade: false, body: head.body };
    let mut out = BytesMut::new();
    repeat(|| {
        out.clear();
        let head = black_box(&head);
        check_forward(head).expect("it may go on");
        encode_forward(&mut out, head, &normal_path(&head.path).expect("a path"), &by);
    })
}

pub(crate) fn answer() -> usize {
    repeat(|| {
        black_box(exchange::decode_answer(black_box(exchange::ANSWER)));
    })
}

pub(crate) fn hand_back() -> usize {
    let head = exchange::decode_answer(exchange::ANSWER);
    let (framing, date) = (AnswerFraming::Length(615), HttpDate::from_unix_s(0));
    let by = Answering { request_id: "a-0-1", framing, after: After::KeepAlive, date };
    let mut out = BytesMut::new();
    repeat(|| {
        out.clear();
        encode_answer(&mut out, black_box(&head), &by);
    })
}

/// 64 a turn; they share what the bells cost.
pub(crate) fn item() -> usize {
    const ITEMS: u64 = 64;
    let [mut left, mut right] = ring::pair();
    ITEMS as usize * repeat(|| ring::pass(&mut left, &mut right, ITEMS))
}

/// Sixteen a turn, in a room of one; delivering them is not counted.
pub(crate) fn append() -> usize {
    const TURN: usize = 16;
    let (mut hub, members) = hub_of(1, &["r"]);
    let publication = publication();
    let mut slices = Vec::new();
    for _ in 0..TURNS {
        counted(&mut || {
            for _ in 0..TURN {
                publish(&mut hub, members[0], "r", black_box(&publication));
            }
            hub.end_turn();
        });
        deliver(&mut hub, &mut slices);
    }
    TURNS * TURN
}

pub(crate) fn delivery_of_1000() -> usize {
    deliveries(1000, &["r"], 20)
}

pub(crate) fn delivery_of_1() -> usize {
    deliveries(1, &["r"], TURNS)
}

pub(crate) fn delivery_of_8_rooms() -> usize {
    deliveries(1, &["a", "b", "c", "d", "e", "f", "g", "h"], TURNS)
}

/// So many turns, in each of which every room got one publication: from the end of the turn, where the members are
/// listed, to the end of the last write.
fn deliveries(count: usize, rooms: &[&str], turns: usize) -> usize {
    let (mut hub, members) = hub_of(count, rooms);
    let publication = publication();
    let mut slices = Vec::new();
    for _ in 0..turns {
        for room in rooms {
            publish(&mut hub, members[0], room, &publication);
        }
        counted(&mut || {
            hub.end_turn();
            assert_eq!(deliver(&mut hub, &mut slices), count);
        });
    }
    turns * count
}

pub(crate) fn reply() -> usize {
    let (mut hub, members) = hub_of(1, &[]);
    let mut slices = Vec::new();
    repeat(|| {
        hub.reply(members[0], |out| encode_frame(out, Opcode::Pong, black_box(b"twenty bytes of echo")));
        deliver(&mut hub, &mut slices);
    })
}

fn repeat(mut work: impl FnMut()) -> usize {
    work();
    counted(&mut || {
        for _ in 0..TURNS {
            work();
        }
    });
    TURNS
}

const TURNS: usize = 1000;

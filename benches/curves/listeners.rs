//! The members that hear and the connection that publishes: one thread, non-blocking sockets, one epoll.
//!
//! Counts whole frames by their headers, or the chunks of a stream by their sizes, and never looks at a payload; that a member is cut, or the publisher told
//! anything, ends the process, since no figure would mean what it says.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::harness::Deadline;

/// What the members of a load listen by.
#[derive(Clone, Copy)]
pub(crate) enum Wire {
    WebSocket,
    Stream,
}

/// Everybody of one load.
pub(crate) struct Listeners {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    seats: Vec<Seat>,
    publisher: TcpStream,
    /// How long to sleep where nothing is to be read.
    nap: Timespec,
}

struct Seat {
    stream: TcpStream,
    counter: Counter,
}

impl Listeners {
    /// Takes over members that have joined, and one that publishes. Whoever spins never sleeps, so that the server
    /// never pays for waking it.
    pub(crate) fn new(members: Vec<TcpStream>, publisher: TcpStream, wire: Wire, spins: bool) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let seats: Vec<Seat> = members.into_iter().map(|stream| Seat::new(stream, wire)).collect();
        for (seat, at) in seats.iter().zip(0..) {
            epoll::add(&epoll, &seat.stream, epoll::EventData::new_u64(at), epoll::EventFlags::IN)
                .expect("a socket of ours");
        }
        publisher.set_nonblocking(true).expect("a socket of ours");
        // By edges: that it could be written to is news once.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&epoll, &publisher, epoll::EventData::new_u64(PUBLISHER), flags)
            .expect("a socket of ours");
        let nap = if spins { Duration::ZERO } else { Duration::from_millis(100) };
        let nap = Timespec::try_from(nap).expect("a short time");
        let events = Vec::with_capacity(EVENTS);
        Self { epoll, events, buffer: vec![0; BUFFER], seats, publisher, nap }
    }

    /// Publishes these bytes, and returns when so many deliveries have come.
    pub(crate) fn round(&mut self, mut publications: &[u8], deliveries: u64) {
        let deadline = Deadline::within(ROUND_MAX);
        let mut heard = 0;
        while heard < deliveries || !publications.is_empty() {
            self.publish(&mut publications);
            heard += self.turn();
            assert!(!deadline.passed(), "{heard} of {deliveries} deliveries after {ROUND_MAX:?}");
        }
        assert_eq!(heard, deliveries, "deliveries of one round");
    }

    /// Sends what the socket takes.
    fn publish(&mut self, publications: &mut &[u8]) {
        while !publications.is_empty() {
            match self.publisher.write(publications) {
                Ok(sent) => *publications = &publications[sent..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => panic!("the publisher is cut: {e}"),
            }
        }
    }

    /// Reads what there is, and says how many deliveries that was.
    fn turn(&mut self) -> u64 {
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&self.nap))
            .expect("an epoll of ours");
        let mut heard = 0;
        for event in &self.events {
            heard += match event.data.u64() {
                PUBLISHER => hush(&self.publisher),
                at => self.seats[at as usize].read(&mut self.buffer),
            };
        }
        heard
    }
}

impl Seat {
    fn new(stream: TcpStream, wire: Wire) -> Self {
        stream.set_nonblocking(true).expect("a socket of ours");
        let counter = match wire {
            Wire::WebSocket => Counter::Frames(Frames::default()),
            Wire::Stream => Counter::Chunks(Chunks::default()),
        };
        Self { stream, counter }
    }

    fn read(&mut self, buffer: &mut [u8]) -> u64 {
        match self.stream.read(buffer) {
            Ok(0) => panic!("the server cut a member"),
            Ok(length) => match &mut self.counter {
                Counter::Frames(frames) => frames.count(&buffer[..length]),
                Counter::Chunks(chunks) => chunks.count(&buffer[..length]),
            },
            Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
            Err(e) => panic!("a member is cut: {e}"),
        }
    }
}

enum Counter {
    Frames(Frames),
    Chunks(Chunks),
}

/// Where a chunked stream of events stands: each chunk is one of them.
#[derive(Default)]
struct Chunks {
    /// Of the size that is being read.
    size: usize,
    /// Bytes of a chunk and its line end that are to come.
    left: usize,
}

impl Chunks {
    /// How many chunks end in these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ended = 0;
        while let Some((&first, behind)) = bytes.split_first() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = &bytes[taken..];
                ended += u64::from(self.left == 0);
                continue;
            }
            bytes = behind;
            match first {
                b'\r' => (),
                b'\n' => {
                    assert!(self.size > 0, "the server ended a stream");
                    (self.left, self.size) = (self.size + 2, 0);
                }
                digit => {
                    let digit = char::from(digit).to_digit(16).expect("a digit of a chunk's size");
                    self.size = self.size * 16 + digit as usize;
                }
            }
        }
        ended
    }
}

/// Where a stream of a server's frames stands.
#[derive(Default)]
struct Frames {
    header: [u8; 10],
    have: usize,
    /// Bytes of a payload that are to come.
    left: usize,
}

impl Frames {
    /// How many frames end in these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.left == 0 {
                self.header[self.have] = bytes[0];
                self.have += 1;
                bytes = &bytes[1..];
                if let Some(length) = self.announced() {
                    assert!(self.header[0] == 0x81 && length > 0, "no publication: {:02x?}", self.header);
                    (self.have, self.left) = (0, length);
                }
            } else {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = &bytes[taken..];
                ended += u64::from(self.left == 0);
            }
        }
        ended
    }

    /// The length of the payload, once the header is whole.
    fn announced(&self) -> Option<usize> {
        match (self.have, self.header[1]) {
            (2, short @ 0..126) => Some(usize::from(short)),
            (4, 126) => Some(usize::from(u16::from_be_bytes([self.header[2], self.header[3]]))),
            (10, 127) => {
                let length = self.header[2..].try_into().expect("eight of ten");
                Some(u64::from_be_bytes(length) as usize)
            }
            _ => None,
        }
    }
}

/// The publisher is told nothing, unless something is wrong.
fn hush(mut publisher: &TcpStream) -> u64 {
    let mut said = [0; 200];
    match publisher.read(&mut said) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
        said_to_it => panic!("the publisher is told {said_to_it:?}: {:?}", String::from_utf8_lossy(&said)),
    }
}

/// Beyond what a busy machine makes of a round, or a virtual one that is stopped for a while.
const ROUND_MAX: Duration = Duration::from_secs(120);
const PUBLISHER: u64 = u64::MAX;
const EVENTS: usize = 1024;
const BUFFER: usize = 256 << 10;

//! Many listeners in one thread: nonblocking sockets under one `poll`, each frame shown as it is whole.

use super::{Member, PATIENCE, socket::Inbox};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    time::Duration,
};

/// Connections that only listen.
#[derive(Default)]
pub(crate) struct Crowd {
    seats: Vec<Seat>,
}

struct Seat {
    stream: TcpStream,
    inbox: Inbox,
    /// Not shown anything yet: there may be frames that came before it was seated.
    fresh: bool,
    ended: bool,
}

/// What one member of the crowd saw.
#[derive(Debug)]
pub(crate) enum Sight<'a> {
    /// A text message.
    Text(&'a [u8]),
    /// A close frame's payload: code and reason.
    Close(&'a [u8]),
    /// The stream ended; `true` in order, `false` cut. Nothing follows.
    End(bool),
}

impl Crowd {
    /// Takes a member in; what it had already received is shown with the next turn.
    pub(crate) fn seat(&mut self, member: Member) {
        let mut member = member;
        assert!(member.kept().is_empty(), "a crowd shows frames, so none may have been kept as text");
        let (stream, inbox) = member.socket.into_parts();
        stream.set_nonblocking(true).expect("a socket of ours");
        self.seats.push(Seat { stream, inbox, fresh: true, ended: false });
    }

    /// How many were taken in.
    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether every stream has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.seats.iter().all(|seat| seat.ended)
    }

    /// Waits up to `limit` for something to read and shows it, by seat number, in the order it came.
    pub(crate) fn turn(&mut self, limit: Duration, mut on: impl FnMut(usize, Sight<'_>)) {
        for (n, seat) in self.seats.iter_mut().enumerate().filter(|(_, seat)| seat.fresh) {
            seat.fresh = false;
            seat.show(&mut |sight| on(n, sight));
        }
        let listening: Vec<usize> = (0..self.seats.len()).filter(|&n| !self.seats[n].ended).collect();
        let mut fds: Vec<PollFd<'_>> =
            listening.iter().map(|&n| PollFd::new(&self.seats[n].stream, PollFlags::IN)).collect();
        let limit = Timespec::try_from(limit.min(PATIENCE)).expect("a short time");
        let ready = poll(&mut fds, Some(&limit)).unwrap_or(0);
        if ready == 0 {
            return;
        }
        let awake: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (n, _) in listening.into_iter().zip(awake).filter(|(_, awake)| *awake) {
            self.seats[n].read(&mut |sight| on(n, sight));
        }
    }
}

impl Seat {
    /// Shows the frames that are whole.
    fn show(&mut self, on: &mut impl FnMut(Sight<'_>)) {
        while let Some((first, payload)) = self.inbox.next_frame() {
            let payload = &self.inbox.bytes[payload];
            match first {
                0x81 => on(Sight::Text(payload)),
                0x88 => {
                    // Answered as RFC 6455 section 5.5.1 asks; the server may be gone already.
                    let _ = self.stream.write(&super::client_frame(0x88, payload));
                    on(Sight::Close(payload));
                }
                // The server asks whether anybody is there.
                0x89 => drop(self.stream.write(&super::client_frame(0x8a, payload))),
                other => panic!("a frame that starts with {other:#x}"),
            }
        }
    }

    /// Reads what is there, at most a few buffers, so that the others get their turn.
    fn read(&mut self, on: &mut impl FnMut(Sight<'_>)) {
        for _ in 0..READS_A_TURN {
            let result = self.inbox.read_from(&mut self.stream);
            self.show(on);
            match result {
                Ok(1..) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                ended => {
                    self.ended = true;
                    assert!(
                        self.inbox.unread().is_empty() || ended.is_err(),
                        "the stream ended inside a frame"
                    );
                    on(Sight::End(ended.is_ok()));
                    return;
                }
            }
        }
    }
}

const READS_A_TURN: usize = 4;

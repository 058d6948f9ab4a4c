//! What the two ways of one exchange tell each other: the request's to the server, and the answer's to the client.
//!
//! Flags that are set once, each by one way and waited for by the other. Knows no socket.

use std::cell::Cell;

use crate::net::Notify;
use crate::shard::Pause;

/// How far an exchange is.
#[derive(Default)]
pub(super) struct Course {
    send: Flag,
    over: Flag,
    halted: Flag,
}

/// Set once, and waited for by one.
#[derive(Default)]
struct Flag {
    set: Cell<bool>,
    bell: Notify,
}

impl Flag {
    fn set(&self) {
        self.set.set(true);
        self.bell.notify();
    }

    /// May be dropped.
    async fn wait(&self) {
        while !self.set.get() {
            self.bell.notified().await;
        }
    }
}

impl Course {
    /// Of a request whose body may be sent, or whose client waits to be told so.
    pub(super) fn new(may_send: bool) -> Course {
        let course = Course::default();
        course.send.set.set(may_send);
        course
    }

    /// The client may send the body.
    pub(super) fn let_send(&self) {
        self.send.set();
    }

    /// Whether it may.
    pub(super) fn may_send(&self) -> bool {
        self.send.set.get()
    }

    /// Waits until it may.
    pub(super) async fn told_to_send(&self) {
        self.send.wait().await;
    }

    /// The answer is written, or there will be none.
    pub(super) fn set_over(&self) {
        self.over.set();
    }

    /// Waits until it is.
    pub(super) async fn over(&self) {
        self.over.wait().await;
    }

    /// Nobody wants the answer any more, or it is not due.
    pub(super) fn halt(&self) {
        self.halted.set();
    }

    /// Waits until that is so.
    pub(super) async fn halted(&self) {
        self.halted.wait().await;
    }
}

/// Lets the others of the core in now and then, where there is always more to be had and to be written.
#[derive(Default)]
pub(super) struct Pace {
    bytes: usize,
}

impl Pace {
    /// So many bytes more were moved. May be dropped.
    pub(super) async fn step(&mut self, bytes: usize) {
        self.bytes += bytes.max(STEP_BYTES_MIN);
        if self.bytes >= GO_BYTES_MAX {
            self.bytes = 0;
            // It holds a descriptor, and is made anew: seldom enough.
            Pause::default().take().await;
        }
    }
}

/// One way of an exchange moves so much in one go.
const GO_BYTES_MAX: usize = 1 << 20;
/// A step costs no less than this, however little it moves.
const STEP_BYTES_MIN: usize = 4 << 10;

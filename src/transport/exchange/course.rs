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
const GO_BYTES_MAX: usize = 256 << 10;
/// A step costs no less than this, however little it moves.
const STEP_BYTES_MIN: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::net::{Driver, run, spawn};

    #[test]
    fn whoever_moves_much_lets_others_in_and_whoever_moves_little_is_not_held_up() {
        for driver in [Driver::IoUring, Driver::Epoll] {
            let ran = run(driver, None, || async {
                let ran = Rc::new(Cell::new(false));
                let (told, mut pace) = (ran.clone(), Pace::default());
                spawn(async move { told.set(true) });
                pace.step(GO_BYTES_MAX - STEP_BYTES_MIN - 1).await;
                let before = ran.get();
                pace.step(1).await;
                let still_before = ran.get();
                pace.step(1).await;
                [before, still_before, ran.get()]
            });
            assert_eq!(ran.expect("a runtime"), [false, false, true], "{driver}");
        }
    }

    #[test]
    fn what_was_set_is_known_to_whoever_waits_later() {
        let course = Course::new(false);
        assert!(!course.may_send());
        course.let_send();
        course.set_over();
        course.halt();
        assert!(course.may_send() && Course::new(true).may_send());
        let waited = run(Driver::Epoll, None, || async move {
            for _ in 0..2 {
                course.told_to_send().await;
                course.over().await;
                course.halted().await;
            }
        });
        waited.expect("each is there, as often as it is asked for");
    }
}

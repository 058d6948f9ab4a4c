//! One trip through the driver: how a long sweep lets completions, timers and other tasks in.
//!
//! A task that wakes itself would not (monoio 0.2, rule 2): it runs again before anything is reaped. Neither would tasks
//! that wake each other. A completion from the kernel does.

use std::{future::poll_fn, io, pin::pin, task::Poll};

use rustix::event::{EventfdFlags, eventfd};

use super::{
    bell::drain,
    driver::{self, Driver},
    socket::Socket,
};

/// A task's way to yield: one eventfd, to be kept by whoever sweeps.
#[derive(Debug)]
pub struct Turn {
    event: Socket,
    driver: Driver,
}

impl Turn {
    /// For a task of this core.
    pub fn new() -> io::Result<Self> {
        let driver = driver::current();
        // On the ring, it can always be read: a poll of it comes back with the next completions.
        let count = if driver == Driver::IoUring { 1 } else { 0 };
        let event = eventfd(count, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Socket::from_fd(event)?, driver })
    }

    /// Waits for one trip: what the kernel has completed, what timers are due and who is ready to run goes first. May be
    /// dropped.
    pub async fn pass(&mut self) -> io::Result<()> {
        match self.driver {
            Driver::IoUring => self.event.readable().await,
            Driver::Epoll => self.pass_by_epoll().await,
        }
    }

    /// monoio takes the readiness it has seen as read until an operation would block, and answers from it at once: so the
    /// counter is emptied, a poll finds it so, and only then does it rise, to be seen in the next epoll_wait.
    async fn pass_by_epoll(&self) -> io::Result<()> {
        // EAGAIN in the first pass, and where the last one was dropped early.
        let _ = drain(&self.event);
        let mut raised = pin!(self.event.readable());
        let first = poll_fn(|cx| Poll::Ready(raised.as_mut().poll(cx))).await;
        assert!(first.is_pending(), "nobody but us raises the counter");
        rustix::io::write(&self.event, &1_u64.to_ne_bytes())?;
        raised.await
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc, time::Duration};

    use super::*;
    use crate::net::{EventBell, now, sleep, spawn, trial::on_both};

    #[test]
    fn a_pass_lets_the_other_tasks_run() {
        on_both(|| async {
            let ran = Rc::new(Cell::new(0));
            let mut turn = Turn::new().unwrap();
            for n in 1..=100 {
                let ran = ran.clone();
                spawn(async move { ran.set(n) });
                turn.pass().await.unwrap();
            }
            assert_eq!(ran.get(), 100);
        });
    }

    #[test]
    fn a_pass_lets_a_timer_and_a_completion_in() {
        on_both(|| async {
            let (fired, heard) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
            let (bell, mut turn) = (EventBell::new().unwrap(), Turn::new().unwrap());
            let ear = bell.listen().unwrap();
            let (timer, listener) = (fired.clone(), heard.clone());
            let start = now();
            spawn(async move {
                sleep(Duration::from_millis(20)).await;
                timer.set(true);
            });
            spawn(async move {
                ear.rang().await.unwrap();
                listener.set(true);
            });
            bell.ring();
            while !(fired.get() && heard.get()) {
                turn.pass().await.unwrap();
            }
            // A self-waking task let it in after 0.97 s.
            assert!(now() - start < Duration::from_millis(500));
        });
    }

    #[test]
    fn a_pass_that_is_dropped_harms_no_later_one() {
        on_both(|| async {
            let mut turn = Turn::new().unwrap();
            for _ in 0..50 {
                drop(crate::net::trial::poll_once(pin!(turn.pass())).await);
                turn.pass().await.unwrap();
            }
        });
    }
}

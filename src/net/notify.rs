//! A flag that one task of the core sets and another waits for.

use std::{
    cell::Cell,
    future::poll_fn,
    task::{Poll, Waker},
};

/// One bit, and at most one task that waits for it. Lives on one core.
///
/// A notification is remembered until it is taken, so it is not lost whichever side comes first; several in a row are
/// one. A waiter that is dropped takes nothing with it.
#[derive(Default)]
pub struct Notify {
    set: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Notify {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag and wakes the waiter, if there is one.
    ///
    /// Never call it from the task that waits, to yield: see rule 2 in [`spawn`](super::spawn).
    pub fn notify(&self) {
        self.set.set(true);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    /// Waits until the flag is set, and clears it. A second task that waits takes the first one's place, which then
    /// sleeps on: give each waiter a flag of its own, or use [`Waiters`](super::Waiters).
    pub async fn notified(&self) {
        poll_fn(|cx| {
            if self.set.take() {
                self.waiter.take();
                return Poll::Ready(());
            }
            self.waiter.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, rc::Rc};

    use super::*;
    use crate::net::{
        spawn,
        trial::{on_both, poll_once},
    };

    #[test]
    fn a_notification_before_the_wait_is_not_lost() {
        on_both(|| async {
            let notify = Notify::new();
            notify.notify();
            notify.notify();
            notify.notified().await;
            assert!(poll_once(pin!(notify.notified())).await.is_pending(), "two in a row are one");
        });
    }

    #[test]
    fn a_task_that_waits_is_woken() {
        on_both(|| async {
            let (there, back) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
            let echo = (there.clone(), back.clone());
            spawn(async move {
                loop {
                    echo.0.notified().await;
                    echo.1.notify();
                }
            });
            for _ in 0..100 {
                there.notify();
                back.notified().await;
            }
        });
    }

    #[test]
    fn a_dropped_waiter_swallows_no_notification() {
        on_both(|| async {
            let notify = Notify::new();
            assert!(poll_once(pin!(notify.notified())).await.is_pending());
            notify.notify();
            notify.notified().await;
        });
    }
}

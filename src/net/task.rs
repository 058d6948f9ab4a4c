//! Tasks of the core.
//!
//! A task must never wake itself to yield (monoio 0.2, rule 2): it goes to the front of the queue and starves timers and
//! the other tasks; a 20 ms timer took 0.97 s. [`Turn`](super::Turn) is how to yield.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// The end of a task. Dropping it lets the task run on.
pub struct Task<T> {
    handle: monoio::task::JoinHandle<T>,
    // Rule 4: a handle must not be awaited on another core, though monoio lets it go there.
    here: PhantomData<Rc<()>>,
}

/// Starts `future` as a task of this core. It first runs when the caller waits for something.
///
/// There is no way to abort it from outside. A panic in it unwinds the whole core (rule 3): where a peer can cause one,
/// wrap the future in [`catch`](super::catch). Hold no borrow of what the task needs while calling this.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    Task { handle: monoio::spawn(future), here: PhantomData }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.handle).poll(cx)
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.handle.is_finished() { "Task(ended)" } else { "Task(running)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::trial::on_both;

    #[test]
    fn a_task_hands_its_result_to_whoever_awaits_it() {
        on_both(|| async {
            assert_eq!(spawn(async { 7 }).await, 7);
        });
    }
}

//! Tasks that wait in line for something of which there is only so much.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// A line of waiting tasks of one core, first come, first woken.
///
/// It keeps no count: a wake that finds nobody in line is forgotten, so whoever waits looks at its condition first and
/// again when it is woken. As long as the line is bounded by the tasks that may stand in it, it is.
#[derive(Default)]
pub struct Waiters {
    line: Rc<RefCell<VecDeque<Rc<Place>>>>,
}

impl Waiters {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stands in line until woken. Dropped before that, it leaves the line; dropped after it was woken but before it
    /// ran, it hands the wake to the next.
    pub fn park(&self) -> impl Future<Output = ()> + use<> {
        Parked { line: self.line.clone(), place: None }
    }

    /// Wakes the first `count` tasks of the line.
    pub fn wake(&self, count: usize) {
        wake(&self.line, count);
    }

    /// How many tasks stand in line.
    pub fn len(&self) -> usize {
        self.line.borrow().len()
    }

    /// Whether nobody stands in line.
    pub fn is_empty(&self) -> bool {
        self.line.borrow().is_empty()
    }
}

/// A task's place in the line: its waker while it stands there, none once it was woken.
#[derive(Default)]
struct Place {
    woken: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

struct Parked {
    line: Rc<RefCell<VecDeque<Rc<Place>>>>,
    place: Option<Rc<Place>>,
}

impl Future for Parked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let place = match &self.place {
            Some(place) if place.woken.get() => {
                self.place = None;
                return Poll::Ready(());
            }
            Some(place) => place,
            None => {
                let place = Rc::new(Place::default());
                self.line.borrow_mut().push_back(place.clone());
                self.place.insert(place)
            }
        };
        place.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        if place.woken.get() {
            wake(&self.line, 1);
        } else {
            self.line.borrow_mut().retain(|other| !Rc::ptr_eq(other, &place));
        }
    }
}

fn wake(line: &RefCell<VecDeque<Rc<Place>>>, count: usize) {
    for _ in 0..count {
        // The borrow ends before the waker runs: it may drop a task, and with it another place in this line.
        let Some(place) = line.borrow_mut().pop_front() else { return };
        place.woken.set(true);
        if let Some(waker) = place.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{
        Turn, spawn,
        trial::{on_both, poll_once},
    };

    #[test]
    fn tasks_are_woken_in_the_order_they_came() {
        on_both(|| async {
            let (line, order) = (Rc::new(Waiters::new()), Rc::new(RefCell::new(Vec::new())));
            for n in 0..5 {
                let (line, order) = (line.clone(), order.clone());
                spawn(async move {
                    line.park().await;
                    order.borrow_mut().push(n);
                });
            }
            let mut turn = Turn::new().unwrap();
            turn.pass().await.unwrap();
            assert_eq!(line.len(), 5);
            line.wake(2);
            turn.pass().await.unwrap();
            assert_eq!(*order.borrow(), [0, 1]);
            line.wake(usize::MAX);
            turn.pass().await.unwrap();
            assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
            assert!(line.is_empty());
        });
    }

    #[test]
    fn a_waiter_dropped_after_its_wake_hands_it_on() {
        on_both(|| async {
            let line = Waiters::new();
            let mut first = Box::pin(line.park());
            let mut second = Box::pin(line.park());
            assert!(poll_once(first.as_mut()).await.is_pending());
            assert!(poll_once(second.as_mut()).await.is_pending());
            line.wake(1);
            assert!(poll_once(second.as_mut()).await.is_pending());
            drop(first);
            second.await;
        });
    }

    #[test]
    fn a_waiter_dropped_in_line_leaves_it() {
        on_both(|| async {
            let line = Waiters::new();
            let mut first = Box::pin(line.park());
            let mut second = Box::pin(line.park());
            assert!(poll_once(first.as_mut()).await.is_pending());
            assert!(poll_once(second.as_mut()).await.is_pending());
            drop(first);
            assert_eq!(line.len(), 1);
            line.wake(1);
            second.await;
        });
    }
}

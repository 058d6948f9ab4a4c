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
    line: Rc<Line>,
}

#[derive(Default)]
struct Line {
    places: RefCell<VecDeque<Rc<Place>>>,
    /// Places of the line that were left: they are passed over, and taken out when they are most of it.
    left: Cell<usize>,
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
        self.line.wake(count);
    }

    /// How many tasks stand in line.
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether nobody stands in line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Line {
    fn len(&self) -> usize {
        self.places.borrow().len() - self.left.get()
    }

    fn wake(&self, count: usize) {
        for _ in 0..count {
            // The borrow ends before the waker runs: it may drop a task, and with it another place in this line.
            let Some(place) = self.pop() else { return };
            place.woken.set(true);
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }

    /// The first that is still waited in.
    fn pop(&self) -> Option<Rc<Place>> {
        let mut places = self.places.borrow_mut();
        loop {
            let place = places.pop_front()?;
            if !place.left.get() {
                return Some(place);
            }
            self.left.set(self.left.get() - 1);
        }
    }

    /// Nobody waits in this place any more. To look for it would be to look at the whole line, and a whole line may
    /// give up in one moment.
    fn leave(&self, place: &Place) {
        place.left.set(true);
        place.waker.take();
        self.left.set(self.left.get() + 1);
        let mut places = self.places.borrow_mut();
        if self.left.get() > places.len() / 2 {
            places.retain(|place| !place.left.get());
            self.left.set(0);
        }
    }
}

/// A task's place in the line: its waker while it stands there, none once it was woken.
#[derive(Default)]
struct Place {
    woken: Cell<bool>,
    left: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

struct Parked {
    line: Rc<Line>,
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
                self.line.places.borrow_mut().push_back(place.clone());
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
            self.line.wake(1);
        } else {
            self.line.leave(&place);
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
    fn a_line_that_gives_up_is_left_by_all_and_those_who_stay_keep_their_order() {
        on_both(|| async {
            let line = Waiters::new();
            let mut parked: Vec<_> = (0..1000).map(|_| Box::pin(line.park())).collect();
            for place in &mut parked {
                assert!(poll_once(place.as_mut()).await.is_pending());
            }
            let mut stay: Vec<_> = parked.drain(..).enumerate().filter(|(nth, _)| nth % 100 == 99).collect();
            assert_eq!(line.len(), 10);
            for nth in 0..stay.len() {
                line.wake(1);
                for (other, place) in stay.iter_mut().skip(nth) {
                    let ready = poll_once(place.as_mut()).await.is_ready();
                    assert_eq!(ready, *other / 100 == nth);
                }
            }
            assert!(line.is_empty());
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

//! How many calls are under way at a time, and who waits for a place among them.

use std::cell::Cell;

use crate::net::Waiters;

/// The places of one worker, and the line before them: whoever came first, goes first.
pub(super) struct Line {
    places: Cell<usize>,
    taken: Cell<usize>,
    waiters: Waiters,
}

/// A place, given back when it is dropped.
pub(super) struct Place<'a>(&'a Line);

/// As many wait as may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Line {
    pub(super) fn new() -> Line {
        Line { places: Cell::new(1), taken: Cell::new(0), waiters: Waiters::new() }
    }

    /// There are so many places from now on; who has one keeps it.
    pub(super) fn set_places(&self, places: usize) {
        self.places.set(places);
        self.waiters.wake(usize::MAX);
    }

    /// Waits for a place. May be dropped.
    pub(super) async fn enter(&self) -> Result<Place<'_>, Full> {
        if self.waiters.len() >= WAITING_MAX {
            return Err(Full);
        }
        // Nobody overtakes those who wait; who was woken does not wait again unless somebody was quicker.
        let mut is_first = self.waiters.is_empty();
        while !is_first || self.taken.get() >= self.places.get() {
            self.waiters.park().await;
            is_first = true;
        }
        self.taken.set(self.taken.get() + 1);
        Ok(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get() - 1);
        self.0.waiters.wake(1);
    }
}

/// Calls that wait for a place, of one worker: more would be late, however fast the application is.
const WAITING_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn enter(line: &Line) -> Option<Place<'_>> {
        match poll(pin!(line.enter())) {
            Poll::Ready(place) => Some(place.expect("nobody waits")),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_waits_longest_has_the_next_place() {
        let line = Line::new();
        let held = enter(&line).expect("a place");
        let (mut first, mut second) = (Box::pin(line.enter()), Box::pin(line.enter()));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(held);
        assert!(enter(&line).is_none(), "the one who comes last waits");
        assert!(poll(second.as_mut()).is_pending());
        let Poll::Ready(Ok(held)) = poll(first.as_mut()) else { panic!("the first was woken") };
        drop(held);
        assert!(poll(second.as_mut()).is_ready());
    }

    #[test]
    fn who_gives_up_hands_its_turn_on() {
        let line = Line::new();
        let held = enter(&line).expect("a place");
        let (mut first, mut second) = (Box::pin(line.enter()), Box::pin(line.enter()));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(held);
        drop(first);
        assert!(poll(second.as_mut()).is_ready());
        assert!(enter(&line).is_some(), "and its place is free again");
    }

    #[test]
    fn more_places_let_more_in_and_the_line_has_an_end() {
        let line = Line::new();
        let _held = enter(&line).expect("a place");
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(line.enter())).collect();
        assert!(waiting.iter_mut().all(|waits| poll(waits.as_mut()).is_pending()));
        assert!(matches!(poll(pin!(line.enter())), Poll::Ready(Err(Full))));
        line.set_places(3);
        let mut entered = Vec::new();
        for waits in &mut waiting {
            if let Poll::Ready(place) = poll(waits.as_mut()) {
                entered.push(place.expect("there was room"));
            }
        }
        assert_eq!(entered.len(), 2);
        line.set_places(1);
        entered.clear();
        assert!(enter(&line).is_none(), "the first that was taken is still out");
    }
}

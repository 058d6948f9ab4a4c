//! The ring of a lane: rtrb's, and under loom a stand-in with the same two indexes.
//!
//! Owns the choice between them and nothing else, so that `lane`, `doorbell` and `port` are the same code in
//! the running house and in the model checker, which does not know rtrb's atomics.

#[cfg(not(all(test, feature = "loom")))]
pub(super) use real::{Consumer, Producer, ring};
#[cfg(all(test, feature = "loom"))]
pub(super) use standin::{Consumer, Producer, ring};

/// rtrb, behind the five calls that a lane needs.
#[cfg(not(all(test, feature = "loom")))]
mod real {
    use rtrb::{PushError, RingBuffer};

    #[derive(Debug)]
    pub(crate) struct Producer<T>(rtrb::Producer<T>);

    #[derive(Debug)]
    pub(crate) struct Consumer<T>(rtrb::Consumer<T>);

    pub(crate) fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
        let (producer, consumer) = RingBuffer::new(capacity);
        (Producer(producer), Consumer(consumer))
    }

    impl<T> Producer<T> {
        pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
            self.0.push(item).map_err(|PushError::Full(item)| item)
        }

        /// Reads the receiver's index anew if the remembered one says full.
        pub(crate) fn has_space(&self) -> bool {
            !self.0.is_full()
        }
    }

    impl<T> Consumer<T> {
        pub(crate) fn pop(&mut self) -> Option<T> {
            self.0.pop().ok()
        }

        /// Reads the sender's index anew if the remembered one says empty.
        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }
}

/// A ring of loom's cells, with rtrb's orderings: each end publishes its index with release, and reads the
/// other's with acquire.
#[cfg(all(test, feature = "loom"))]
mod standin {
    use loom::cell::Cell;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Debug)]
    struct Shared<T> {
        slots: Vec<Cell<Option<T>>>,
        /// Items ever popped.
        head: AtomicUsize,
        /// Items ever pushed.
        tail: AtomicUsize,
    }

    #[derive(Debug)]
    pub(crate) struct Producer<T> {
        shared: Arc<Shared<T>>,
        tail: usize,
    }

    #[derive(Debug)]
    pub(crate) struct Consumer<T> {
        shared: Arc<Shared<T>>,
        head: usize,
    }

    pub(crate) fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
        let slots = (0..capacity).map(|_| Cell::new(None)).collect();
        let shared = Arc::new(Shared { slots, head: AtomicUsize::new(0), tail: AtomicUsize::new(0) });
        (Producer { shared: Arc::clone(&shared), tail: 0 }, Consumer { shared, head: 0 })
    }

    impl<T> Producer<T> {
        pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
            if !self.has_space() {
                return Err(item);
            }
            self.shared.slots[self.tail % self.shared.slots.len()].set(Some(item));
            self.tail += 1;
            self.shared.tail.store(self.tail, Ordering::Release);
            Ok(())
        }

        pub(crate) fn has_space(&self) -> bool {
            self.tail - self.shared.head.load(Ordering::Acquire) < self.shared.slots.len()
        }
    }

    impl<T> Consumer<T> {
        pub(crate) fn pop(&mut self) -> Option<T> {
            if self.is_empty() {
                return None;
            }
            let item = self.shared.slots[self.head % self.shared.slots.len()].replace(None);
            self.head += 1;
            self.shared.head.store(self.head, Ordering::Release);
            item
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.shared.tail.load(Ordering::Acquire) == self.head
        }
    }
}

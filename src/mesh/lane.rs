//! One lane of the mesh: a ring from one shard to another, and the wish of its sender for space.
//!
//! Owns what each end remembers since its last ring of the bells. It wakes nobody: the port asks each end whom it
//! owes a call, and `doorbell` tells why that suffices.

use std::sync::Arc;

use super::doorbell::Flag;
use super::ring::{Consumer, Producer, ring};

/// Both ends of a lane that holds `capacity` items.
pub(super) fn open<T>(capacity: usize) -> (Outward<T>, Inward<T>) {
    let (producer, consumer) = ring(capacity);
    let wanted = Arc::new(Flag::lowered());
    let outward = Outward { producer, wanted: Arc::clone(&wanted), pushed: false, refused: false };
    (outward, Inward { consumer, wanted, popped: false })
}

/// The sender's end.
#[derive(Debug)]
pub(super) struct Outward<T> {
    producer: Producer<T>,
    /// Says to the receiver what `refused` says here. Only the sender writes it.
    wanted: Arc<Flag>,
    /// Something was pushed since the last ring.
    pushed: bool,
    /// The last push found the ring full, and the sender was not told of space since.
    refused: bool,
}

impl<T> Outward<T> {
    /// Sends an item, or gives it back if the ring is full; its receiver is then asked to call when there is space.
    pub(super) fn push(&mut self, item: T) -> Result<(), T> {
        let pushed = self.producer.push(item);
        self.pushed |= pushed.is_ok();
        self.want(pushed.is_err());
        pushed
    }

    /// Whether something was pushed since this was last asked.
    pub(super) fn take_pushed(&mut self) -> bool {
        std::mem::take(&mut self.pushed)
    }

    /// Whether a ring that refused an item has space now. Said once a refusal: a sender that has lost interest
    /// must be able to sleep. The caller has settled.
    pub(super) fn take_relief(&mut self) -> bool {
        let relief = self.refused && self.producer.has_space();
        if relief {
            self.want(false);
        }
        relief
    }

    /// Writes the shared flag only when it changes, for its receiver reads it once a batch.
    fn want(&mut self, refused: bool) {
        if refused != self.refused {
            self.refused = refused;
            if refused {
                self.wanted.raise();
            } else {
                self.wanted.lower();
            }
        }
    }
}

/// The receiver's end.
#[derive(Debug)]
pub(super) struct Inward<T> {
    consumer: Consumer<T>,
    wanted: Arc<Flag>,
    /// Something was popped since the last ring.
    popped: bool,
}

impl<T> Inward<T> {
    /// The oldest item, if there is one.
    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.consumer.pop();
        self.popped |= item.is_some();
        item
    }

    pub(super) fn is_empty(&self) -> bool {
        self.consumer.is_empty()
    }

    /// Whether space was made since this was last asked, for a sender that wants it. The caller has settled.
    pub(super) fn take_wish(&mut self) -> bool {
        std::mem::take(&mut self.popped) && self.wanted.is_raised()
    }
}

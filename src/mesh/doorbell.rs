//! A shard's doorbell: the flag that says it sleeps, and the bell that wakes it.
//!
//! Owns the one hand-shake that must not lose a wake-up. It knows neither rings nor items, and a bell it rings
//! is the shard's own affair (an eventfd in the running house, a counter in tests).
//!
//! # Why no wake-up is lost
//!
//! Who rests and who works each write one thing, fence, and read what the other writes:
//!
//! | the shard that rests | the shard that works |
//! |---|---|
//! | raises `wanted` of each ring that refused an item; raises `sleeping` | pushes an item, or pops one (moves an index of the ring) |
//! | sequentially consistent fence | sequentially consistent fence |
//! | looks at the indexes of its rings | looks at `wanted` and `sleeping` |
//!
//! The two fences stand in one order that both shards see. If the resting shard's comes first, the working shard
//! sees the flags and rings. If the working shard's comes first, the resting shard sees the moved index and does
//! not sleep. Acquire and release alone would allow both to read the old value (a store may wait in a core's store
//! buffer while its next load is served), which is the lost wake-up. With the fences there, the flags themselves
//! need no ordering: they guard no data. Items are published by the ring's own release and acquire.
//!
//! `sleeping` may be taken down by any peer, because whoever takes it down rings. `wanted` is its owner's alone: a
//! receiver that took it down late could take the wish for space beyond what it has made, and answer it with
//! nothing.

use std::sync::Arc;

#[cfg(all(test, feature = "loom"))]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(all(test, feature = "loom")))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// What wakes a shard that sleeps.
pub trait Bell {
    /// Wakes the shard, from any thread, without blocking. A ring that comes before the shard waits must be kept
    /// for it; several rings may be felt as one.
    fn ring(&self);
}

/// A flag on cache lines of its own: 128 bytes, for cores prefetch lines in pairs, and a flag that is only read
/// must not be dragged along with one that is written.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn lowered() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Relaxed: the owner fences before it reads what this flag is to be seen before.
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Relaxed: lowering one's own flag promises nothing. A peer that still sees it raised does a needless ring.
    pub(super) fn lower(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Relaxed: the asker has fenced since it wrote what the raiser reads.
    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether it was raised; it is lowered now. Of several that ask, one is told.
    ///
    /// Relaxed, as in `is_raised`; that one of several wins is the exchange's atomicity. The load before it keeps a
    /// flag that is down, the common case under load, shared between all caches.
    pub(super) fn take(&self) -> bool {
        self.is_raised() && self.0.compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The fence of the hand-shake: between what a shard wrote and what it will now read of its peers.
pub(super) fn settle() {
    fence(Ordering::SeqCst);
}

/// Where a shard is woken.
#[derive(Debug)]
pub(super) struct Doorbell<B> {
    sleeping: Flag,
    bell: Arc<B>,
}

impl<B: Bell> Doorbell<B> {
    pub(super) fn new(bell: Arc<B>) -> Self {
        Self { sleeping: Flag::lowered(), bell }
    }

    /// The owner is about to sleep. What it looks at from here on is newer than the flag.
    pub(super) fn lie_down(&self) {
        self.sleeping.raise();
        settle();
    }

    /// The owner is awake.
    pub(super) fn get_up(&self) {
        self.sleeping.lower();
    }

    /// Rings if the owner sleeps, or is about to. The caller has settled since it moved an index.
    pub(super) fn call(&self) {
        if self.sleeping.take() {
            self.bell.ring();
        }
    }
}

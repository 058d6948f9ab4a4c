//! A shard's port: its ends of all the lanes, and everybody's doorbell.
//!
//! Owns the order of things in a turn: indexes move first, one fence, then flags are read and bells rung. It never
//! waits, and never rings a peer that is awake.

use std::sync::Arc;

use super::doorbell::{Bell, Doorbell, settle};
use super::lane::{Inward, Outward};

/// What one shard holds of the mesh. It belongs to one thread; its peers are named by their index.
///
/// A shard has no lane to itself: there [`pop`](Self::pop) finds nothing, and a [`push`](Self::push) is a mistake.
#[derive(Debug)]
pub struct Port<T, B> {
    index: usize,
    doorbells: Arc<[Doorbell<B>]>,
    lanes: Box<[Lanes<T>]>,
    /// Something was pushed or popped since the last ring.
    moved: bool,
}

impl<T, B: Bell> Port<T, B> {
    pub(super) fn new(index: usize, doorbells: Arc<[Doorbell<B>]>) -> Self {
        let lanes = doorbells.iter().map(|_| Lanes { outward: None, inward: None }).collect();
        Self { index, doorbells, lanes, moved: false }
    }

    pub(super) fn attach_outward(&mut self, to: usize, end: Outward<T>) {
        self.lanes[to].outward = Some(end);
    }

    pub(super) fn attach_inward(&mut self, from: usize, end: Inward<T>) {
        self.lanes[from].inward = Some(end);
    }

    /// This shard's own index.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many shards the mesh joins, this one included.
    pub fn shards(&self) -> usize {
        self.lanes.len()
    }

    /// Sends `item` to the shard `to`, which learns of it at the next [`ring`](Self::ring).
    ///
    /// # Errors
    ///
    /// The item itself, if the ring is full. The peer has been asked to call back: once it has made space, this
    /// shard's bell rings, or [`rest`](Self::rest) says that there is something to do.
    ///
    /// # Panics
    ///
    /// If `to` is this shard or none of the mesh.
    pub fn push(&mut self, to: usize, item: T) -> Result<(), T> {
        let outward = self.lanes[to].outward.as_mut().expect("a shard has no lane to itself");
        outward.push(item)?;
        self.moved = true;
        Ok(())
    }

    /// The oldest item from the shard `from`, if there is one. Never waits, and needs no space anywhere.
    ///
    /// # Panics
    ///
    /// If `from` is none of the mesh.
    pub fn pop(&mut self, from: usize) -> Option<T> {
        let item = self.lanes[from].inward.as_mut()?.pop();
        self.moved |= item.is_some();
        item
    }

    /// Wakes each sleeping peer that was pushed to, and each that waits for space which was made for it.
    ///
    /// Once a batch, after the last push and pop: the fence costs as much as several pushes.
    pub fn ring(&mut self) {
        if !std::mem::take(&mut self.moved) {
            return;
        }
        settle();
        for (lanes, doorbell) in self.lanes.iter_mut().zip(self.doorbells.iter()) {
            let pushed = lanes.outward.as_mut().is_some_and(Outward::take_pushed);
            let wished = lanes.inward.as_mut().is_some_and(Inward::take_wish);
            if pushed || wished {
                doorbell.call();
            }
        }
    }

    /// Whether this shard may wait for its bell. Whatever it does from now on, until [`wake`](Self::wake), a peer
    /// that has something for it will ring.
    ///
    /// False, and awake, if an inbox holds something, or if a ring that refused an item has space again; the
    /// latter is said once for each refusal. Rings first what is still owed, so that nobody sleeps over a call
    /// that was forgotten.
    #[must_use = "a shard that waits although there is something to do may wait forever"]
    pub fn rest(&mut self) -> bool {
        self.ring();
        self.doorbells[self.index].lie_down();
        let mut idle = true;
        for lanes in &mut self.lanes {
            idle &= lanes.inward.as_ref().is_none_or(Inward::is_empty);
            idle &= !lanes.outward.as_mut().is_some_and(Outward::take_relief);
        }
        if !idle {
            self.wake();
        }
        idle
    }

    /// The bell rang, or the shard has work of its own: peers need not ring any more.
    pub fn wake(&mut self) {
        self.doorbells[self.index].get_up();
    }
}

/// Both ways to one peer; the shard's own entry stays empty.
#[derive(Debug)]
struct Lanes<T> {
    outward: Option<Outward<T>>,
    inward: Option<Inward<T>>,
}

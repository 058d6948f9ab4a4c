//! The mesh: a ring from every shard to every other, and one bell a shard.
//!
//! Owns how items and wake-ups cross from core to core, and is the only lock-free code of the house. It never
//! looks into an item, never blocks, never spins, and keeps no queue beside the rings: what a full ring refuses
//! stays with whoever wanted to send it, who is rung back once there is room.
//!
//! Each shard holds one [`Port`]. In a turn it pops what its peers sent, pushes what it has for them, and calls
//! [`Port::ring`] once; before it waits for its bell it calls [`Port::rest`], and waits only if that says so.
//! `doorbell` tells why no wake-up is lost.

mod doorbell;
mod lane;
#[cfg(all(test, feature = "loom"))]
mod model;
mod port;
mod ring;
#[cfg(all(test, not(feature = "loom")))]
mod tests;

use std::sync::Arc;

pub use doorbell::Bell;
pub use port::Port;

use doorbell::Doorbell;

/// One port for each of `bells`, in their order; every ring between two of them holds `capacity` items.
///
/// The memory is taken here, once: `n * (n - 1)` rings of `capacity` items.
///
/// # Panics
///
/// If `capacity` is zero: such a ring could never carry anything.
pub fn build<T, B: Bell>(bells: Vec<Arc<B>>, capacity: usize) -> Vec<Port<T, B>> {
    assert!(capacity > 0, "a ring of no items carries nothing");
    let shards = bells.len();
    let doorbells: Arc<[Doorbell<B>]> = bells.into_iter().map(Doorbell::new).collect();
    let mut ports: Vec<Port<T, B>> =
        (0..shards).map(|index| Port::new(index, Arc::clone(&doorbells))).collect();
    for from in 0..shards {
        for to in (0..shards).filter(|&to| to != from) {
            let (outward, inward) = lane::open(capacity);
            ports[from].attach_outward(to, outward);
            ports[to].attach_inward(from, inward);
        }
    }
    ports
}

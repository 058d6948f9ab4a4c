//! Two shards' ports, and a turn of both. Shared by the benches; nothing is measured here.

use std::hint::black_box;
use std::sync::Arc;

use vestibule::mesh::{self, Bell, Port};

pub(crate) fn pair() -> [Port<[u64; 2], Silent>; 2] {
    let ports = mesh::build(vec![Arc::new(Silent), Arc::new(Silent)], CAPACITY);
    ports.try_into().ok().expect("two bells, two ports")
}

/// A turn: so many items are pushed, the bells seen to, and all popped.
pub(crate) fn pass(left: &mut Port<[u64; 2], Silent>, right: &mut Port<[u64; 2], Silent>, items: u64) {
    for n in 0..items {
        left.push(1, black_box([n, n])).expect("there is room");
    }
    left.ring();
    while let Some(item) = right.pop(0) {
        black_box(item);
    }
    right.ring();
}

/// Nobody sleeps here.
pub(crate) struct Silent;

impl Bell for Silent {
    fn ring(&self) {}
}

pub(crate) const CAPACITY: usize = 1024;

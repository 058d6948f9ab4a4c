//! Small counters of many keys, in a fixed table of atomics.
//!
//! A key is a seeded hash, so that no peer chooses where it falls: some of its bits name a bucket of
//! eight cells, others are the tag by which its cell is known. What a cell holds besides its tag is the
//! caller's; a cell that is zero is free. No lock, no allocation after the start. Two threads may take a
//! cell each for one key at the same moment; a key is then counted in two parts until one is free again.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A table of cells.
#[derive(Debug)]
pub(super) struct Table {
    cells: Box<[AtomicU64]>,
}

/// Where a key may stand.
pub(super) struct Bucket<'a> {
    first: usize,
    cells: &'a [AtomicU64],
}

impl Table {
    /// With room for about so many keys at a time: at this many, few buckets are full.
    pub(super) fn for_keys(keys: usize) -> Table {
        let buckets = (keys.div_ceil(KEYS_A_BUCKET)).next_power_of_two();
        Table { cells: (0..buckets * CELLS_A_BUCKET).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn bucket(&self, hash: u64) -> Bucket<'_> {
        let buckets = self.cells.len() / CELLS_A_BUCKET;
        let first = hash as usize % buckets * CELLS_A_BUCKET;
        Bucket { first, cells: &self.cells[first..first + CELLS_A_BUCKET] }
    }

    pub(super) fn cell(&self, index: usize) -> &AtomicU64 {
        &self.cells[index]
    }
}

impl Bucket<'_> {
    /// Changes the cell of a key, or else a free one, by `change`, which is given what it holds, `None` for
    /// a free cell, and says what it is to hold, or `Err` to leave it. `is_free` may take cells of others
    /// for free besides those that are zero. `Ok(None)`: every cell is another key's.
    pub(super) fn update<E>(
        &self,
        is_mine: impl Fn(u64) -> bool,
        is_free: impl Fn(u64) -> bool,
        change: impl Fn(Option<u64>) -> Result<u64, E>,
    ) -> Result<Option<usize>, E> {
        loop {
            let mine = self.position(&is_mine);
            let Some((at, held)) = mine.or_else(|| self.position(|held| held == 0 || is_free(held))) else {
                return Ok(None);
            };
            let next = change(mine.map(|_| held))?;
            if self.cells[at].compare_exchange(held, next, Relaxed, Relaxed).is_ok() {
                return Ok(Some(self.first + at));
            }
        }
    }

    fn position(&self, fits: impl Fn(u64) -> bool) -> Option<(usize, u64)> {
        let mut held = self.cells.iter().map(|cell| cell.load(Relaxed)).enumerate();
        held.find(|&(_, held)| fits(held))
    }
}

const CELLS_A_BUCKET: usize = 8;
/// On average: at two of eight, one bucket in ten thousand overflows.
const KEYS_A_BUCKET: usize = 2;

//! Chance that can be thrown again: it prints its seed, and `VESTIBULE_SEED` sets it.

/// A small generator (xorshift64*); not for secrets.
pub(crate) struct Dice(u64);

impl Dice {
    /// Seeded by `VESTIBULE_SEED` if that is set, else by the process id; the seed is printed.
    #[allow(clippy::disallowed_methods, reason = "a failing test is run again with the seed it printed")]
    pub(crate) fn new(what: &str) -> Self {
        let drawn = || u64::from(std::process::id());
        let seed = std::env::var("VESTIBULE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(drawn);
        println!("{what}: VESTIBULE_SEED={seed}");
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Another, for a thread of its own.
    pub(crate) fn fork(&mut self) -> Self {
        Self((self.below(1 << 30) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

//! Many hubs, their lanes and their members, without a socket, a clock or a thread.
//!
//! A seed decides everything: how many shards, how wide the lanes, who joins, leaves, publishes, stalls
//! and dies, and which shard takes its turn. Members check promises 1, 2 and 4 of the design against the
//! order in which homes accepted publications; at the end everything is delivered, everybody leaves, and
//! nothing may be left over. Instead of a seed, a fuzzer's input may decide.
//!
//! `world` moves the hubs, `client` is a member that checks what it is sent, `stream` what it reads if that is a
//! stream of events, `ledger` is the truth it
//! checks against, `rest` is the end, `tests` has the seeds. None of them may look into a hub to decide what a
//! member is owed.

mod client;
mod ledger;
mod rest;
mod stream;
#[cfg(test)]
mod tests;
mod world;

pub(super) use world::World;

/// A script in, then a seed: the same throws out.
struct Dice {
    /// Each byte is a throw, the last one first.
    script: Vec<u8>,
    /// xorshift64*, for what the script leaves open.
    seed: u64,
}

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        if let Some(throw) = self.script.pop() {
            return usize::from(throw) % bound;
        }
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

//! A fuzz body: the simulation, its throws taken from the input instead of a seed.
//!
//! Takes any bytes. They decide what the seed decides otherwise: who connects, joins, publishes and stalls, and
//! which shard takes its turn; what is asserted is the same.

use super::simulation::World;

/// Operations on the hubs of a node, until the input is used up; then everything comes to rest.
pub fn operations(input: &[u8]) {
    let mut world = World::scripted(input);
    world.run_script(STEPS_MAX);
    world.come_to_rest();
}

/// Steps of one input: what rests behind them is as long, and a fuzzer has to get on.
const STEPS_MAX: usize = 1000;

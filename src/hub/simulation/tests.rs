//! The seeds. A failing one is printed; once mended it is pinned in [`PINNED`].

use super::World;

/// Seeds that failed once, and what they found.
const PINNED: &[u64] = &[
    // Closed for a lag that its write had ended meanwhile, it was idle, and never told.
    4050, // Who asked twice for a room that was refused was counted out of it twice.
    3,    // Who had asked twice and left after the first answer waited on, and with it the room.
    1643, // Without a history a stream's place is older than what it saw: on a shard that lagged it got that again.
    2732, // A rule that went and came back: what was told without positions meanwhile was history, and came again.
    3278,
];

/// How many seeds are tried unless VESTIBULE_SIMULATION_SEEDS says otherwise when this is compiled.
const SEEDS: u64 = 400;

/// Steps of one simulation, before it is let come to rest.
const STEPS: usize = 600;

#[test]
fn promises_hold_for_every_seed() {
    let seeds = option_env!("VESTIBULE_SIMULATION_SEEDS")
        .map_or(SEEDS, |text| text.parse().expect("VESTIBULE_SIMULATION_SEEDS is a number"));
    let mut seen = Seen::default();
    for seed in PINNED.iter().copied().chain(0..seeds) {
        let _named = NameOnPanic(seed);
        let mut world = World::new(seed);
        world.run(STEPS);
        world.come_to_rest();
        seen.add(&world);
    }
    println!("{} seeds: {seen:?}", PINNED.len() as u64 + seeds);
    // A simulation in which these never happen proves little.
    assert!(seen.rooms_refused > 0);
    assert!(seen.recovered > 100 && seen.unrecovered > 100 && seen.evicted > 0 && seen.streamed > 1000);
    assert!(
        seen.delivered > 10_000 && seen.gaps > 0 && seen.too_slow > 0 && seen.waited > 0 && seen.fenced > 0
    );
}

struct NameOnPanic(u64);

impl Drop for NameOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation failed with seed {}", self.0);
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    delivered: u64,
    gaps: u64,
    too_slow: u64,
    waited: u64,
    fenced: u64,
    rooms_refused: u64,
    streamed: u64,
    recovered: u64,
    unrecovered: u64,
    evicted: u64,
}

impl Seen {
    fn add(&mut self, world: &World) {
        for client in &world.clients {
            self.delivered += client.delivered;
            self.streamed += if client.listening.is_some() { client.delivered } else { 0 };
            self.recovered += client.recovered;
            self.unrecovered += client.unrecovered;
            self.fenced += u64::from(client.fenced);
        }
        for hub in &world.hubs {
            self.gaps += hub.counts().gaps;
            self.too_slow += hub.counts().too_slow;
            self.waited += hub.counts().waited;
            self.rooms_refused += hub.counts().rooms_refused;
            self.evicted += hub.counts().history_evicted;
        }
    }
}

//! The mesh under loom: the interleavings of two or three shards, and the stale values the memory model allows.
//!
//! Owns no code of the mesh: `doorbell`, `lane` and `port` run here as they are. A lost wake-up leaves a shard
//! waiting for a bell that never rings, which loom reports as a deadlock. Each model says how many times a shard
//! may be preempted where it does not block: without a bound the larger ones take hours.

use std::sync::{Arc, OnceLock};

use loom::model::Builder;
use loom::thread::{self, Thread};

use super::{Bell, Port, build};

/// A bell as an eventfd is one: a ring is kept until its shard waits. Only a shard that runs can be asleep.
#[derive(Default)]
struct Chime(OnceLock<Thread>);

impl Bell for Chime {
    fn ring(&self) {
        self.0.get().expect("a shard that rests has been heard of").unpark();
    }
}

/// What one shard of a model does: sends `0..sends` to `to`, and is done when it also has had `expects` items.
#[derive(Clone, Copy)]
struct Part {
    to: usize,
    sends: usize,
    expects: usize,
    /// Gets up by itself after its first rest, as for work of its own.
    restless: bool,
}

struct Shard {
    part: Part,
    port: Port<usize, Chime>,
    bell: Arc<Chime>,
}

impl Shard {
    fn run(self) {
        let Self { part: Part { to, sends, expects, mut restless }, mut port, bell } = self;
        bell.0.set(thread::current()).expect("a shard runs once");
        let (mut sent, mut had) = (0, 0);
        let mut next_of = vec![0; port.shards()];
        loop {
            for (from, next) in next_of.iter_mut().enumerate() {
                while let Some(item) = port.pop(from) {
                    assert_eq!(item, *next, "items of one lane come once and in order");
                    *next += 1;
                    had += 1;
                }
            }
            while sent < sends && port.push(to, sent).is_ok() {
                sent += 1;
            }
            if sent == sends && had == expects {
                port.ring();
                return;
            }
            if port.rest() {
                if !std::mem::take(&mut restless) {
                    thread::park();
                }
                port.wake();
            }
        }
    }
}

/// Runs the parts over lanes of `capacity` items.
fn check(capacity: usize, preemptions: usize, parts: &'static [Part]) {
    let mut model = Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let bells: Vec<Arc<Chime>> = parts.iter().map(|_| Arc::default()).collect();
        let ports = build(bells.clone(), capacity);
        let mut shards: Vec<Shard> = ports
            .into_iter()
            .zip(bells)
            .zip(parts)
            .map(|((port, bell), &part)| Shard { part, port, bell })
            .collect();
        let last = shards.pop().expect("a model has shards");
        let threads: Vec<_> = shards.into_iter().map(|shard| thread::spawn(move || shard.run())).collect();
        last.run();
        for thread in threads {
            thread.join().expect("a shard of the model ends well");
        }
    });
}

const fn sends(to: usize, sends: usize) -> Part {
    Part { to, sends, expects: 0, restless: false }
}

const fn receives(expects: usize) -> Part {
    Part { to: 0, sends: 0, expects, restless: false }
}

#[test]
fn a_receiver_that_rests_is_woken_for_every_item() {
    static PARTS: [Part; 2] = [sends(1, 2), receives(2)];
    check(2, 3, &PARTS);
}

#[test]
fn a_receiver_that_also_gets_up_by_itself_is_woken_for_every_item() {
    static PARTS: [Part; 2] = [sends(1, 2), Part { restless: true, ..receives(2) }];
    check(2, 3, &PARTS);
}

#[test]
fn a_sender_that_found_the_ring_full_is_woken_when_there_is_space() {
    static PARTS: [Part; 2] = [sends(1, 2), receives(2)];
    check(1, 3, &PARTS);
}

#[test]
fn a_sender_that_also_gets_up_by_itself_is_woken_when_there_is_space() {
    static PARTS: [Part; 2] = [Part { restless: true, ..sends(1, 3) }, receives(3)];
    check(1, 2, &PARTS);
}

#[test]
fn both_ways_at_once_neither_sleeps_over_the_other() {
    const BOTH: Part = Part { to: 1, sends: 2, expects: 2, restless: false };
    static PARTS: [Part; 2] = [BOTH, Part { to: 0, ..BOTH }];
    check(1, 2, &PARTS);
}

#[test]
fn of_two_senders_that_ring_one_bell_both_are_heard() {
    static PARTS: [Part; 3] = [sends(2, 1), sends(2, 1), receives(2)];
    check(1, 2, &PARTS);
}

#[test]
fn a_shard_in_the_middle_waits_for_items_and_for_space_at_once() {
    static PARTS: [Part; 3] =
        [sends(1, 2), Part { to: 2, sends: 2, expects: 2, restless: false }, receives(2)];
    check(1, 1, &PARTS);
}

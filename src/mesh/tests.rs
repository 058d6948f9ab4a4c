//! The mesh on real threads and rtrb: what one shard can see of it alone, and a stress that parks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use super::{Bell, Port, build};

/// A bell that only counts.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Bell for Counter {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counter {
    fn rings(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A bell that wakes a parked thread, and is kept if that is not parked yet.
#[derive(Default)]
struct Parked(OnceLock<Thread>);

impl Bell for Parked {
    fn ring(&self) {
        self.0.get().expect("a shard that rests has been heard of").unpark();
    }
}

type Pair = (Port<u32, Counter>, Port<u32, Counter>, [Arc<Counter>; 2]);

fn pair(capacity: usize) -> Pair {
    let bells = [Arc::new(Counter::default()), Arc::new(Counter::default())];
    let mut ports = build(bells.to_vec(), capacity).into_iter();
    let (a, b) = (ports.next().expect("of two"), ports.next().expect("of two"));
    (a, b, bells)
}

#[test]
fn items_of_a_lane_come_out_in_order_and_only_at_its_end() {
    let bells = (0..3).map(|_| Arc::new(Counter::default())).collect();
    let mut ports = build(bells, 8);
    for item in 0..8 {
        assert_eq!(ports[0].push(2, item), Ok(()));
    }
    assert_eq!(ports[1].pop(0), None);
    assert_eq!(ports[2].pop(1), None);
    for item in 0..8 {
        assert_eq!(ports[2].pop(0), Some(item));
    }
    assert_eq!(ports[2].pop(0), None);
}

#[test]
fn a_full_ring_gives_the_item_back() {
    let (mut a, _b, _) = pair(2);
    assert_eq!((a.push(1, 1), a.push(1, 2), a.push(1, 3)), (Ok(()), Ok(()), Err(3)));
}

#[test]
fn a_batch_rings_a_sleeping_peer_once_and_one_awake_never() {
    let (mut a, mut b, bells) = pair(8);
    a.push(1, 1).expect("space");
    a.ring();
    assert_eq!(bells[1].rings(), 0, "it is awake");
    assert_eq!(b.pop(0), Some(1));
    assert!(b.rest());
    a.push(1, 2).expect("space");
    a.push(1, 3).expect("space");
    assert_eq!(bells[1].rings(), 0, "the batch is not over");
    a.ring();
    a.push(1, 4).expect("space");
    a.ring();
    a.ring();
    assert_eq!((bells[0].rings(), bells[1].rings()), (0, 1));
}

#[test]
fn a_shard_with_a_full_inbox_does_not_rest() {
    let (mut a, mut b, bells) = pair(8);
    a.push(1, 1).expect("space");
    assert!(!b.rest());
    a.ring();
    assert_eq!(bells[1].rings(), 0, "it said that it is awake");
    assert_eq!(b.pop(0), Some(1));
    assert!(b.rest());
}

#[test]
fn a_shard_woken_by_work_of_its_own_is_not_rung() {
    let (mut a, mut b, bells) = pair(8);
    assert!(b.rest());
    b.wake();
    a.push(1, 1).expect("space");
    a.ring();
    assert_eq!(bells[1].rings(), 0);
}

#[test]
fn space_made_for_a_sleeping_sender_rings_it_once() {
    let (mut a, mut b, bells) = pair(1);
    a.push(1, 1).expect("space");
    assert_eq!(a.push(1, 2), Err(2));
    assert!(a.rest(), "the ring is still full");
    assert_eq!(b.pop(0), Some(1));
    b.ring();
    b.ring();
    assert_eq!(bells[0].rings(), 1);
    a.wake();
    assert_eq!(a.push(1, 2), Ok(()));
}

#[test]
fn space_made_for_a_sender_awake_keeps_it_from_resting_once() {
    let (mut a, mut b, bells) = pair(1);
    a.push(1, 1).expect("space");
    assert_eq!(a.push(1, 2), Err(2));
    assert_eq!(b.pop(0), Some(1));
    b.ring();
    assert_eq!(bells[0].rings(), 0);
    assert!(!a.rest(), "there is space");
    assert!(a.rest(), "it was told, and wants nothing");
}

#[test]
fn a_sender_that_was_never_refused_is_not_rung_for_space() {
    let (mut a, mut b, bells) = pair(1);
    a.push(1, 1).expect("space");
    assert!(a.rest());
    assert_eq!(b.pop(0), Some(1));
    b.ring();
    assert_eq!(bells[0].rings(), 0);
}

#[test]
fn resting_rings_what_was_forgotten() {
    let (mut a, mut b, bells) = pair(1);
    assert!(b.rest());
    a.push(1, 1).expect("space");
    assert!(a.rest());
    assert_eq!(bells[1].rings(), 1);
}

#[test]
fn a_mesh_of_one_has_nothing_to_wait_for() {
    let mut ports = build::<u32, _>(vec![Arc::new(Counter::default())], 1);
    assert_eq!((ports[0].shards(), ports[0].index(), ports[0].pop(0)), (1, 0, None));
    assert!(ports[0].rest());
}

#[test]
fn flags_stand_on_cache_lines_of_their_own() {
    assert_eq!(size_of::<super::doorbell::Flag>(), 128);
    assert_eq!(align_of::<super::doorbell::Doorbell<Counter>>(), 128);
}

/// Sends `0..items` to the other shard and takes as many from it, parking whenever it may.
fn exchange(mut port: Port<u64, Parked>, bell: &Parked, items: u64) {
    bell.0.set(thread::current()).expect("a shard runs once");
    let peer = 1 - port.index();
    let (mut sent, mut had) = (0, 0);
    while sent < items || had < items {
        while let Some(item) = port.pop(peer) {
            assert_eq!(item, had, "items come once and in order");
            had += 1;
        }
        while sent < items && port.push(peer, sent).is_ok() {
            sent += 1;
        }
        if (sent < items || had < items) && port.rest() {
            thread::park();
            port.wake();
        }
    }
    port.ring();
}

#[test]
fn two_threads_that_park_at_every_chance_lose_nothing() {
    for capacity in [1, 2, 7] {
        let bells: Vec<Arc<Parked>> = (0..2).map(|_| Arc::default()).collect();
        let shards = build(bells.clone(), capacity).into_iter().zip(bells);
        let threads: Vec<_> =
            shards.map(|(port, bell)| thread::spawn(move || exchange(port, &bell, 30_000))).collect();
        for thread in threads {
            thread.join().expect("a shard ends well");
        }
    }
}

//! What goes from core to core costs: ns an item, and ns a hop.
//!
//! `ring`: 64 items of 16 bytes are pushed, the bells seen to, and all popped, on one core: the work without the
//! wires. `hop`: an item goes to another thread, which looks for it without a pause, and comes back: half of that.
//! std's bounded channel is beside both. A hop to a core that sleeps costs an eventfd more, and is not here.

#[path = "inputs/ring.rs"]
mod inputs;

use std::hint::{black_box, spin_loop};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use inputs::{CAPACITY, pair, pass};

fn ring(c: &mut Criterion) {
    const BATCH: u64 = 64;
    let mut group = c.benchmark_group("ring");
    group.throughput(Throughput::Elements(BATCH));
    let [mut left, mut right] = pair();
    group.bench_function("vestibule", |b| b.iter(|| pass(&mut left, &mut right, BATCH)));
    let (sender, receiver) = sync_channel(CAPACITY);
    group.bench_function("std", |b| {
        b.iter(|| {
            for n in 0..BATCH {
                sender.try_send(black_box([n, n])).expect("there is room");
            }
            while let Ok(item) = receiver.try_recv() {
                black_box(item);
            }
        });
    });
}

fn hop(c: &mut Criterion) {
    let mut group = c.benchmark_group("hop");
    let [mut here, mut there] = pair();
    let echo = thread::spawn(move || {
        loop {
            let item = await_item(|| there.pop(0));
            there.push(0, item).expect("there is room");
            there.ring();
            if item == LAST {
                return;
            }
        }
    });
    let mut exchange = |item| {
        here.push(1, item).expect("there is room");
        here.ring();
        await_item(|| here.pop(1))
    };
    group.bench_function("vestibule", |b| b.iter_custom(|count| timed(count, &mut exchange)));
    exchange(LAST);
    echo.join().expect("it echoes");

    let (sender, receiver) = sync_channel(CAPACITY);
    let (back, returned) = sync_channel(CAPACITY);
    let echo = thread::spawn(move || {
        while let Some(item) = poll(&receiver) {
            back.try_send(item).expect("there is room");
        }
    });
    group.bench_function("std", |b| {
        b.iter_custom(|count| {
            timed(count, &mut |item| {
                sender.try_send(item).expect("there is room");
                poll(&returned).expect("it echoes")
            })
        });
    });
    drop(sender);
    echo.join().expect("it echoes");
}

/// Half of what `count` exchanges take.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn timed(count: u64, exchange: &mut impl FnMut([u64; 2]) -> [u64; 2]) -> Duration {
    let began = Instant::now();
    for n in 0..count {
        black_box(exchange([n, n]));
    }
    began.elapsed() / 2
}

fn await_item<T>(mut pop: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(item) = pop() {
            return item;
        }
        spin_loop();
    }
}

/// The next item, looked for without a pause; `None` once the other end is gone.
fn poll<T>(receiver: &Receiver<T>) -> Option<T> {
    use std::sync::mpsc::TryRecvError::{Disconnected, Empty};
    loop {
        match receiver.try_recv() {
            Ok(item) => return Some(item),
            Err(Empty) => spin_loop(),
            Err(Disconnected) => return None,
        }
    }
}

const LAST: [u64; 2] = [u64::MAX; 2];

criterion_group!(benches, ring, hop);
criterion_main!(benches);

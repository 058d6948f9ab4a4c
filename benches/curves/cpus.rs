//! Which CPU runs what: the server has the first ones this process may use, the load the last.
//!
//! Starts nothing: a child gets its place from the thread that starts it.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Runs `start` on the CPUs of a server with so many workers, which it hands on to all that it starts; the thread then
/// moves to the load's.
pub(crate) fn apart<T>(workers: usize, start: impl FnOnce() -> T) -> T {
    let ours = ours();
    stay_on(&ours[..workers.min(ours.len())]);
    let started = start();
    stay_on(&ours[ours.len() - 1..]);
    started
}

/// Whether the load runs on a CPU of a server with so many workers.
pub(crate) fn are_shared(workers: usize) -> bool {
    workers >= ours().len()
}

/// The CPUs that this process began with, before any thread of it was moved.
fn ours() -> &'static [usize] {
    static OURS: OnceLock<Vec<usize>> = OnceLock::new();
    OURS.get_or_init(|| {
        let allowed = sched_getaffinity(None).expect("a thread may ask where it may run");
        (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect()
    })
}

fn stay_on(cpus: &[usize]) {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu));
    sched_setaffinity(None, &set).expect("CPUs that this process may use");
}

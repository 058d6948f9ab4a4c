//! The CPUs: which of them this process may use, and pinning a worker to one.
//!
//! Decides nothing: how many workers there are is the server's affair.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs that the calling thread may run on, in ascending order; CPU 0 alone where the kernel does not say.
///
/// Of the first 1024 CPUs. Ask before any worker is pinned: a thread inherits the mask of its parent.
pub fn cpus() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect(),
        Err(_) => vec![0],
    }
}

/// Keeps the calling thread on `cpu` from now on.
pub(super) fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_pinned_thread_sees_its_cpu_alone() {
        let first = cpus()[0];
        let seen = thread::spawn(move || pin(first).map(|()| cpus())).join().unwrap();
        assert_eq!(seen.unwrap(), [first]);
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_refused() {
        assert!(thread::spawn(|| pin(1023).is_err() && pin(5000).is_err()).join().unwrap());
    }
}

//! Runtimes: one a worker, on io_uring or on epoll.
//!
//! Tells why a driver cannot be had in one sentence an operator can act on. Never chooses: falling back to epoll, or
//! giving up, is the server's decision.

use std::{fmt, future::Future, io, mem::ManuallyDrop};

use io_uring::IoUring;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use rustix::{io::Errno, process::Resource};
use thiserror::Error;

use super::{cpus, restrict};

/// What carries a worker's operations to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// An io_uring of the worker's own.
    IoUring,
    /// epoll, for kernels and containers without io_uring.
    Epoll,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// What a ring may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// What its worker needs.
    Restricted,
    /// Everything: this kernel cannot restrict it.
    Open,
}

/// Why a worker cannot run.
#[derive(Debug, Error)]
pub enum NoDriver {
    /// ENOSYS: the kernel was built without io_uring, or a sandbox hides it.
    #[error("this kernel has no io_uring (ENOSYS)")]
    Missing,
    /// EPERM: administratively switched off.
    #[error(
        "io_uring is not permitted here (EPERM): see sysctl kernel.io_uring_disabled, or the container's seccomp profile"
    )]
    Forbidden,
    /// ENOMEM: a ring is charged to the user's locked memory, of which all processes of that user share the limit.
    #[error("an io_uring of {ENTRIES} entries does not fit into this user's locked memory (ENOMEM; RLIMIT_MEMLOCK is {}): raise LimitMEMLOCK= or ulimit -l", in_kib(*.limit_bytes))]
    LockedMemory {
        /// RLIMIT_MEMLOCK of this process; none if it is unlimited.
        limit_bytes: Option<u64>,
    },
    /// A restricted ring did what it may not do, or could not be asked.
    #[error("an io_uring could be had, but restricting it had no effect: {0}")]
    Unrestricted(io::Error),
    /// A ring cannot be set up for another reason.
    #[error("an io_uring cannot be set up: {0}")]
    Ring(io::Error),
    /// epoll_create failed.
    #[error("epoll_create failed: {0}")]
    Epoll(io::Error),
    /// The worker's CPU is not one it may use.
    #[error("a worker cannot be pinned to CPU {cpu}: {error}")]
    Pin {
        /// The CPU asked for.
        cpu: usize,
        /// What the kernel says to it.
        error: io::Error,
    },
}

impl NoDriver {
    fn of_ring(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::NOSYS) => Self::Missing,
            Some(Errno::PERM | Errno::ACCESS) => Self::Forbidden,
            Some(Errno::NOMEM) => {
                Self::LockedMemory { limit_bytes: rustix::process::getrlimit(Resource::Memlock).current }
            }
            _ => Self::Ring(error),
        }
    }
}

/// Whether this process can have the ring that a worker on [`Driver::IoUring`] asks for.
///
/// Makes one and gives it back. Many workers may still be short of locked memory where one was not: [`run`] says so.
pub fn probe() -> Result<Reach, NoDriver> {
    let made = best_ring(&restrict::OF_THE_RUNTIME, |builder| builder.build(ENTRIES));
    let (_ring, reach) = made.map_err(NoDriver::of_ring)?;
    Ok(reach)
}

/// Turns the calling thread into a worker: pins it to `cpu`, builds its runtime and drives the future that `make`
/// returns to its end, with all the tasks it spawns.
///
/// `make` is called inside the runtime, and not at all if the driver cannot be had. A panic of any task unwinds through
/// here. What the tasks still hold when the future ends is never dropped: it ends with the process.
pub fn run<F: Future>(
    driver: Driver,
    cpu: Option<usize>,
    make: impl FnOnce() -> F,
) -> Result<F::Output, NoDriver> {
    if let Some(cpu) = cpu {
        cpus::pin(cpu).map_err(|error| NoDriver::Pin { cpu, error })?;
    }
    // The ring is made inside the pinned thread: SINGLE_ISSUER binds it to the thread that makes it, and its memory
    // comes from that CPU's node.
    //
    // Never drop a runtime before exit (monoio 0.2, rule 4): operations in flight would be torn from their buffers
    // and descriptors. ManuallyDrop holds on a panic too.
    match driver {
        Driver::IoUring => {
            let made = best_ring(&restrict::OF_THE_RUNTIME, with_ring);
            let (runtime, reach) = made.map_err(NoDriver::of_ring)?;
            let mut runtime = ManuallyDrop::new(runtime);
            if reach == Reach::Restricted {
                runtime.block_on(restrict::prove()).map_err(NoDriver::Unrestricted)?;
            }
            Ok(runtime.block_on(async { make().await }))
        }
        Driver::Epoll => {
            let built = RuntimeBuilder::<LegacyDriver>::new().with_entries(ENTRIES).enable_timer().build();
            let mut runtime = ManuallyDrop::new(built.map_err(NoDriver::Epoll)?);
            Ok(runtime.block_on(async { make().await }))
        }
    }
}

/// The driver of the runtime that the caller runs in.
pub fn current() -> Driver {
    if monoio::utils::is_legacy() { Driver::Epoll } else { Driver::IoUring }
}

type OnRing = monoio::Runtime<monoio::time::TimeDriver<IoUringDriver>>;

fn with_ring(builder: &io_uring::Builder) -> io::Result<OnRing> {
    RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(builder.clone())
        .with_entries(ENTRIES)
        .enable_timer()
        .build()
}

/// A ring beside the runtime's, for a burst: restricted as that one is, if the kernel can.
pub(super) fn ring_for_sends(entries: u32) -> io::Result<IoUring> {
    best_ring(&restrict::OF_A_BURST, |builder| builder.build(entries)).map(|(ring, _)| ring)
}

/// Makes the best ring that this kernel has: what older ones do not know they answer with EINVAL.
fn best_ring<T>(
    operations: &[u8],
    make: impl Fn(&io_uring::Builder) -> io::Result<T>,
) -> io::Result<(T, Reach)> {
    for modern in [true, false] {
        match restrict::restricted(operations, || make(ring(modern).setup_r_disabled())) {
            Err(error) if is_invalid(&error) => (),
            made => return made.map(|made| (made, Reach::Restricted)),
        }
    }
    make(&ring(false)).map(|made| (made, Reach::Open))
}

/// The ring a worker asks for. `modern` takes Linux 6.0.
fn ring(modern: bool) -> io_uring::Builder {
    let mut builder = IoUring::builder();
    if modern {
        builder.setup_single_issuer().setup_coop_taskrun();
    }
    builder
}

fn in_kib(limit_bytes: Option<u64>) -> String {
    limit_bytes.map_or("unlimited".into(), |bytes| format!("{} KiB", bytes / 1024))
}

fn is_invalid(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INVAL)
}

/// Slots of the submission queue: as many sockets that are read in one turn are waited for again by one system call. Tests leak a ring each (rule 4), so
/// theirs are small enough for a plain user's locked memory.
const ENTRIES: u32 = if cfg!(test) { 256 } else { 4096 };

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::{
        process::{Rlimit, setrlimit},
        thread::{CapabilitySet, capabilities, set_capabilities},
    };

    use super::*;
    use crate::net::{cpus, trial::alone};

    #[test]
    fn this_machine_can_have_a_ring() {
        probe().unwrap();
    }

    #[test]
    fn a_worker_runs_on_the_driver_and_the_cpu_it_was_given() {
        let last = *cpus().last().unwrap();
        for driver in [Driver::IoUring, Driver::Epoll] {
            let worker = move || run(driver, Some(last), || async { (current(), cpus()) });
            let seen = thread::spawn(worker).join().unwrap().unwrap();
            assert_eq!(seen, (driver, vec![last]));
        }
    }

    #[test]
    fn a_cpu_that_cannot_be_had_is_named_before_anything_runs() {
        let worker = || run(Driver::Epoll, Some(1023), || async { unreachable!() });
        let refused = thread::spawn(worker).join().unwrap().unwrap_err();
        assert!(refused.to_string().starts_with("a worker cannot be pinned to CPU 1023: "), "{refused}");
    }

    #[test]
    fn each_refusal_of_a_ring_has_its_own_sentence() {
        let sentence = |errno: Errno| NoDriver::of_ring(errno.into()).to_string();
        assert!(sentence(Errno::NOSYS).contains("no io_uring"));
        assert!(sentence(Errno::PERM).contains("kernel.io_uring_disabled"));
        assert!(sentence(Errno::NOMEM).contains("RLIMIT_MEMLOCK is "));
        assert!(sentence(Errno::MFILE).starts_with("an io_uring cannot be set up: "));
    }

    #[test]
    fn a_plain_ring_as_older_kernels_have_it_runs_too() {
        let worker = || ManuallyDrop::new(with_ring(&ring(false)).unwrap()).block_on(async { current() });
        assert_eq!(thread::spawn(worker).join().unwrap(), Driver::IoUring);
    }

    /// Root is exempt from the limit, by CAP_IPC_LOCK.
    #[test]
    fn a_ring_that_exceeds_the_locked_memory_is_told_with_the_limit() {
        alone("net::driver::tests::a_ring_that_exceeds_the_locked_memory_is_told_with_the_limit", || {
            setrlimit(Resource::Memlock, Rlimit { current: Some(4096), maximum: Some(4096) }).unwrap();
            let mut mine = capabilities(None).unwrap();
            mine.effective -= CapabilitySet::IPC_LOCK;
            set_capabilities(None, mine).unwrap();

            let refused = probe().unwrap_err();
            assert!(refused.to_string().contains("RLIMIT_MEMLOCK is 4 KiB"), "{refused}");
            let refused = run(Driver::IoUring, None, || async { unreachable!() }).unwrap_err();
            assert!(matches!(refused, NoDriver::LockedMemory { limit_bytes: Some(4096) }), "{refused}");
            run(Driver::Epoll, None, || async {}).unwrap();
        });
    }
}

//! What a worker's rings may do: the operations that the runtime needs, or a burst, and no other.
//!
//! A seccomp filter does not see what is asked of a ring (with openat(2) denied, a ring still opened files), so the ring
//! is told itself, before its first operation: it opens no file and makes no socket, whoever gets hold of it. Decides
//! nothing about kernels that cannot do this: that is the driver's.

#![allow(clippy::disallowed_types, reason = "the lock is held while a ring is made, before a shard lives")]

use std::{
    fs, io,
    os::fd::{BorrowedFd, RawFd},
    sync::{Mutex, PoisonError},
};

use io_uring::{opcode, register::Restriction};
use rustix::{
    io::Errno,
    io_uring::{IoringRegisterOp, io_uring_register},
};

/// Makes a ring, which has to be a disabled one, and restricts and enables it. To be called on the thread that will use
/// it: with SINGLE_ISSUER the one who enables a ring is the only one who may.
///
/// The runtime keeps its ring's descriptor to itself, so a ring is found as the only disabled ring of the process: rings are
/// made one at a time, and all others are enabled.
pub(super) fn restricted<T>(operations: &[u8], make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let made = make()?;
    let operations: Vec<_> = operations.iter().copied().map(Restriction::sqe_op).collect();
    for ring in rings()? {
        match restrict(ring, &operations) {
            Ok(()) => return Ok(made),
            // Enabled; another thread's; restricted already; gone meanwhile, or another file by now.
            Err(
                Errno::BADFD | Errno::EXIST | Errno::ACCESS | Errno::BUSY | Errno::BADF | Errno::OPNOTSUPP,
            ) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("the ring is not to be found in /proc/self/fd"))
}

/// Proves it on the ring of the runtime that the caller runs in: opening a file must be refused.
pub(super) async fn prove() -> io::Result<()> {
    // Whoever may not read `/` would be told EACCES too, but then no file at all can be opened by a path.
    match monoio::fs::OpenOptions::new().read(true).open("/").await {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::ACCESS) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("it opened a file")),
    }
}

/// What monoio asks of a ring on behalf of this floor. An operation that is missing fails with EACCES at its first use.
pub(super) const OF_THE_RUNTIME: [u8; 7] = [
    opcode::Accept::CODE,
    opcode::AsyncCancel::CODE,
    opcode::Close::CODE,
    opcode::PollAdd::CODE,
    opcode::Send::CODE,
    // Where the kernel does not take a time to wait with the call, before 5.11.
    opcode::Timeout::CODE,
    opcode::Writev::CODE,
];

/// What a burst asks of its ring.
pub(super) const OF_A_BURST: [u8; 2] = [opcode::Send::CODE, opcode::SendMsg::CODE];

/// The descriptors of this process that are rings.
fn rings() -> io::Result<Vec<RawFd>> {
    let mut rings = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let is_ring = fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:[io_uring]");
        let number: Option<RawFd> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        rings.extend(number.filter(|_| is_ring));
    }
    Ok(rings)
}

/// Restricts the ring `descriptor` to `operations`, and enables it.
fn restrict(descriptor: RawFd, operations: &[Restriction]) -> Result<(), Errno> {
    // SAFETY: a number that /proc/self/fd has is not -1. Should the descriptor be closed, or be another file by now, the
    // kernel says so to the calls below, which do nothing to a file that is no disabled ring.
    let ring = unsafe { BorrowedFd::borrow_raw(descriptor) };
    // SAFETY: the kernel reads `operations.len()` structs io_uring_restriction from where they lie, which is what a
    // slice of `Restriction` (`repr(transparent)`) is, and keeps no pointer to them.
    unsafe {
        io_uring_register(
            ring,
            IoringRegisterOp::RegisterRestrictions,
            operations.as_ptr().cast(),
            operations.len() as u32,
        )?;
    }
    // SAFETY: this operation takes no argument.
    unsafe { io_uring_register(ring, IoringRegisterOp::RegisterEnableRings, std::ptr::null(), 0)? };
    Ok(())
}

static MAKING: Mutex<()> = Mutex::new(());

#[cfg(test)]
mod tests {
    use std::thread;

    use io_uring::IoUring;

    use super::*;
    use crate::net::{Driver, driver};

    fn disabled() -> io::Result<IoUring> {
        IoUring::builder().setup_r_disabled().build(8)
    }

    /// What the kernel answers to a file's opening.
    fn open_through(ring: &mut IoUring) -> i32 {
        let at = io_uring::types::Fd(rustix::fs::CWD.as_raw_fd());
        let entry = opcode::OpenAt::new(at, c"/".as_ptr()).build();
        // SAFETY: the path is static.
        unsafe { ring.submission().push(&entry) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        ring.completion().next().unwrap().result()
    }

    use std::os::fd::AsRawFd;

    #[test]
    fn a_restricted_ring_opens_no_file_and_a_plain_one_does() {
        let mut plain = IoUring::new(8).unwrap();
        assert!(open_through(&mut plain) >= 0, "else the next proves nothing");
        let mut ring = restricted(&OF_THE_RUNTIME, disabled).unwrap();
        assert_eq!(open_through(&mut ring), -Errno::ACCESS.raw_os_error());
    }

    #[test]
    fn the_ring_of_a_burst_opens_no_file_either() {
        let mut ring = driver::ring_for_sends(8).unwrap();
        assert_eq!(open_through(&mut ring), -Errno::ACCESS.raw_os_error());
    }

    #[test]
    fn a_restricted_ring_cannot_be_widened() {
        let ring = restricted(&OF_THE_RUNTIME, disabled).unwrap();
        let more = [Restriction::sqe_op(opcode::OpenAt::CODE)];
        assert_eq!(restrict(ring.as_raw_fd(), &more), Err(Errno::ACCESS));
    }

    #[test]
    fn every_worker_of_many_that_begin_at_once_has_its_own_ring_restricted() {
        let worker = || driver::run(Driver::IoUring, None, || async { prove().await.is_ok() });
        let workers: Vec<_> = (0..8).map(|_| thread::spawn(worker)).collect();
        assert!(workers.into_iter().all(|worker| worker.join().unwrap().unwrap()));
    }
}

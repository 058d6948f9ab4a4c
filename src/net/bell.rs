//! An eventfd by which one core wakes another.
//!
//! Carries no message: whoever hears it looks into its inboxes.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{EventfdFlags, eventfd},
    io::Errno,
};

use super::socket::Socket;

/// A bell that any thread may ring and one core hears.
#[derive(Debug)]
pub struct EventBell {
    // Non-blocking: neither the ring nor its draining may ever wait.
    event: OwnedFd,
}

/// The core that hears a bell. Rings before it existed are heard too.
#[derive(Debug)]
pub struct Ear {
    event: Socket,
}

impl EventBell {
    /// A bell that has not been rung.
    pub fn new() -> io::Result<Self> {
        Ok(Self { event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Rings: one system call, from any thread. Rings that nobody has heard yet are one.
    pub fn ring(&self) {
        // The one error there can be is EAGAIN, from a counter at its end: the bell has been rung then.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    /// Listens to the bell on this core, and only here.
    pub fn listen(&self) -> io::Result<Ear> {
        Ok(Ear { event: Socket::from_fd(self.event.try_clone()?)? })
    }
}

impl Ear {
    /// Waits until the bell was rung, once for all rings before. May be dropped.
    pub async fn rang(&self) -> io::Result<()> {
        loop {
            // A poll and a read that cannot wait, for the reason told in `stream`: nothing to lose if we are dropped.
            self.event.readable().await?;
            match drain(&self.event) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                drained => return Ok(drained.map(drop)?),
            }
        }
    }
}

/// Takes all that an eventfd has counted.
pub(super) fn drain(event: impl AsFd) -> rustix::io::Result<u64> {
    let mut counted = [0; 8];
    rustix::io::read(event, &mut counted)?;
    Ok(u64::from_ne_bytes(counted))
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::Arc, sync::mpsc, thread};

    use super::*;
    use crate::net::trial::{on_both, poll_once};

    #[test]
    fn a_ring_from_another_thread_wakes_the_core() {
        on_both(|| async {
            let (there, back) = (Arc::new(EventBell::new().unwrap()), Arc::new(EventBell::new().unwrap()));
            let (heard, rings) = mpsc::channel();
            let (far, near) = (there.clone(), back.clone());
            let ringer = thread::spawn(move || {
                for () in rings {
                    far.ring();
                }
                near.ring();
            });
            let (ear, end) = (there.listen().unwrap(), back.listen().unwrap());
            for _ in 0..200 {
                heard.send(()).unwrap();
                ear.rang().await.unwrap();
            }
            drop(heard);
            end.rang().await.unwrap();
            ringer.join().unwrap();
        });
    }

    #[test]
    fn many_rings_are_heard_once_and_a_dropped_listener_loses_none() {
        on_both(|| async {
            let bell = EventBell::new().unwrap();
            bell.ring();
            bell.ring();
            let ear = bell.listen().unwrap();
            ear.rang().await.unwrap();
            for _ in 0..100 {
                assert!(poll_once(pin!(ear.rang())).await.is_pending());
                bell.ring();
                ear.rang().await.unwrap();
            }
        });
    }
}

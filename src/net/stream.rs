//! A connected TCP socket of this core.
//!
//! No read with a buffer is ever in flight: [`Stream::readable`] polls, and [`Stream::try_read`] takes what is there with
//! recv(2) at once. So a reader may be dropped at any await and no byte can be lost, by construction. (io_uring has the
//! kernel write into a buffer that a dropped read has abandoned: of 400 one-byte messages 200 arrived.) An idle connection
//! lends no buffer for the same reason.
//!
//! The poll and the recv together cost what a read on the ring does (4.8 us of CPU an echo of 20 bytes either way).
//! A [`Writer`] is for what may have to wait for the peer: a write must be awaited to its end, and who cannot wait frees it
//! with [`Stream::shutdown`], or sends what can be sent at once and polls for room. What many sockets take at once goes by a [`Burst`](super::Burst).

use std::{
    future::Future,
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use bytes::{Buf, Bytes};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{self, RecvFlags, SendFlags},
};
use smallvec::SmallVec;

use super::{
    clock::within,
    driver::{self, Driver},
    socket::{Gather, SLICES_MAX, Socket},
};

/// The socket, for reading, for stopping and for asking. Clones are the same socket; it is closed with the last of them
/// and its [`Writer`].
#[derive(Clone, Debug)]
pub struct Stream {
    socket: Socket,
}

/// The one that writes to the socket.
#[derive(Debug)]
pub struct Writer {
    socket: Socket,
}

impl Stream {
    /// Brings a connected socket, fresh from a listener or another core, under this core's runtime.
    pub fn from_fd(fd: OwnedFd) -> io::Result<(Self, Writer)> {
        // The ring answers EAGAIN for a socket that is non-blocking instead of waiting, and epoll needs it to be so.
        rustix::io::ioctl_fionbio(&fd, driver::current() == Driver::Epoll)?;
        Ok(Self::pair(Socket::from_fd(fd)?))
    }

    pub(super) fn pair(socket: Socket) -> (Self, Writer) {
        (Self { socket: socket.clone() }, Writer { socket })
    }

    /// Takes the socket off this core, to be carried to another. Its bytes, read by nobody, go with it.
    ///
    /// Nothing is in flight: a write would need the `writer`, and the answer to a poll dropped before bears nothing.
    /// Answers a duplicate of the descriptor, for the ring may hold the first until it has cancelled such a poll; so it
    /// fails where no descriptor is free.
    ///
    /// # Panics
    /// If `writer` is another socket's.
    pub fn into_fd(self, writer: Writer) -> io::Result<OwnedFd> {
        assert!(self.socket.is(&writer.socket), "a stream goes with its own writer");
        Ok(rustix::io::fcntl_dupfd_cloexec(&self.socket, 0)?)
    }

    /// Waits until [`try_read`](Self::try_read) has something to say. May be dropped. One task waits at a time.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> + '_ {
        self.socket.readable()
    }

    /// Takes what has arrived, as much as `buffer` holds: `Some(0)` is the end, `None` that there is nothing yet.
    ///
    /// # Panics
    /// If `buffer` is empty, for then 0 would tell nothing.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        assert!(!buffer.is_empty(), "a read needs room");
        loop {
            // MSG_DONTWAIT and not O_NONBLOCK: on the ring the socket is a blocking one, see `from_fd`.
            match net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((read, _)) => return Ok(Some(read)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Stops a direction, whichever task is waiting there: a reader sees the end once it has read what had arrived (and
    /// what a peer that does not stop goes on to send), a writer gets an error and is free. Dropping either does neither
    /// (monoio 0.2, rule 6). Does nothing to a socket that is no longer connected.
    pub fn shutdown(&self, how: Shutdown) {
        let how = match how {
            Shutdown::Read => net::Shutdown::Read,
            Shutdown::Write => net::Shutdown::Write,
            Shutdown::Both => net::Shutdown::Both,
        };
        // The only error there can be is ENOTCONN.
        let _ = net::shutdown(&self.socket, how);
    }

    /// From now on the kernel gives the connection up when what was sent is not acknowledged, or not taken, for so long:
    /// a peer that never speaks is known to be gone by nothing else. Does nothing to a socket that is none of TCP.
    pub fn set_unacknowledged_max(&self, time: Duration) {
        let ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let _ = net::sockopt::set_tcp_user_timeout(&self.socket, ms);
    }

    /// Breaks the connection, as the peer sees too: what was not sent yet is thrown away. Whoever waits there is free.
    pub fn reset(&self) {
        // To connect a socket of TCP to nowhere resets what it was connected to.
        let _ = net::connect_unspec(&self.socket);
    }

    /// Whether the other end has said its last, or the connection is broken: also where there are bytes before that which
    /// nobody has read, so that no read would tell.
    pub fn is_hung_up(&self) -> bool {
        let mut watched = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        // What cannot be asked is seen at the next read or write.
        poll(&mut watched, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// The other end's address. Fails once the peer has reset the connection.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        let peer = net::getpeername(&self.socket)?.ok_or(io::ErrorKind::NotConnected)?;
        Ok(peer.try_into()?)
    }
}

impl Writer {
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends what the kernel takes at once from the front of a batch, and answers how many bytes that was; 0 where it has
    /// no room. Of a batch the first 64 slices at most. Nothing is in flight after it.
    pub fn try_write(&mut self, batch: &[Bytes]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            let sent = match batch {
                [slice] => net::send(&self.socket, slice, flags),
                _ => {
                    let front = batch.iter().take(SLICES_MAX);
                    let slices: SmallVec<[IoSlice<'_>; 4]> = front.map(|slice| IoSlice::new(slice)).collect();
                    net::sendmsg(&self.socket, &slices, &mut Default::default(), flags)
                }
            };
            match sent {
                Ok(sent) => return Ok(sent),
                Err(Errno::AGAIN) => return Ok(0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes all of it, as the peer takes it; none if it takes nothing for `idle`. May be dropped: nobody knows how far
    /// it came.
    pub async fn write_within(&mut self, idle: Duration, mut batch: Vec<Bytes>) -> Option<io::Result<()>> {
        batch.retain(|slice| !slice.is_empty());
        let mut front = 0;
        while front < batch.len() {
            let mut sent = match self.try_write(&batch[front..]) {
                Ok(0) => match within(idle, self.writable()).await? {
                    Ok(()) => 0,
                    Err(error) => return Some(Err(error)),
                },
                Ok(sent) => sent,
                Err(error) => return Some(Err(error)),
            };
            while front < batch.len() && sent >= batch[front].len() {
                sent -= batch[front].len();
                front += 1;
            }
            if sent > 0 {
                batch[front].advance(sent);
            }
        }
        Some(Ok(()))
    }

    /// Waits until [`try_write`](Self::try_write) has something to say. May be dropped.
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> + '_ {
        self.socket.writable()
    }

    /// Writes a whole batch in order, however short the kernel's writes are.
    ///
    /// One slice is sent as it is, several are gathered, at most 64 at a time. After an error an unknown part is written.
    ///
    /// Await it to its end: dropped before, the kernel still reads what it was given (it owns it), and nobody knows how
    /// far it came.
    pub async fn write(&mut self, mut batch: Vec<Bytes>) -> io::Result<()> {
        if batch.len() == 1 {
            let slice = batch.pop().expect("there is one");
            return self.write_slice(slice).await;
        }
        let mut gather = Gather::new(batch);
        while !gather.is_empty() {
            let (sent, back) = self.socket.send_gathered(gather).await;
            gather = back;
            match sent {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => gather.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn write_slice(&mut self, mut slice: Bytes) -> io::Result<()> {
        while !slice.is_empty() {
            let (sent, back) = self.socket.send(slice).await;
            slice = back;
            match sent {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => slice.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

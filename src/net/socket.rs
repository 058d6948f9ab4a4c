//! One descriptor on the runtime, and what a gathering write points at.
//!
//! Knows nothing of order or ends: that is [`Stream`](super::Stream)'s. Every operation here that carries a buffer owns
//! it until the kernel has answered, so no caller can free what the kernel reads.

use std::{
    cell::UnsafeCell,
    collections::VecDeque,
    fmt, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::net::UnixStream as StdUnixStream,
    },
    rc::Rc,
};

use bytes::{Buf, Bytes};
use monoio::{buf::IoVecBuf, io::AsyncWriteRent, net::UnixStream};

/// A descriptor that the runtime of this core knows: any that can be polled, a TCP socket or an eventfd.
///
/// Held in monoio's `UnixStream`, which is a bare descriptor; its `TcpStream` carries 72 bytes of cached addresses more.
/// Clones are the same descriptor; it is closed when the last is gone and nothing is in flight.
#[derive(Clone)]
pub(super) struct Socket {
    shared: Rc<UnsafeCell<UnixStream>>,
}

impl Socket {
    /// Registers `fd` with the runtime of the calling thread.
    pub(super) fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self::of(UnixStream::from_std(StdUnixStream::from(fd))?))
    }

    /// One that the runtime knows already.
    pub(super) fn of(stream: UnixStream) -> Self {
        Self { shared: Rc::new(UnsafeCell::new(stream)) }
    }

    /// Its number, for as long as it is held.
    pub(super) fn number(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }

    /// Whether both are one.
    pub(super) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    /// Waits until there is something to read, an end or an error. May be dropped: a poll carries no byte.
    pub(super) fn readable(&self) -> impl Future<Output = io::Result<()>> + '_ {
        self.ready(Way::In)
    }

    /// Waits until there is room to send, or an error. May be dropped.
    pub(super) fn writable(&self) -> impl Future<Output = io::Result<()>> + '_ {
        self.ready(Way::Out)
    }

    /// Polls. Not relaxed: we read and send past monoio's back, so that its own notion of readiness on epoll must be
    /// checked with poll(2) each time.
    async fn ready(&self, way: Way) -> io::Result<()> {
        // SAFETY: we are on the only thread that can reach the cell (`Rc`), and no `&mut` to it is in use: `send` and
        // `send_gathered` below use one only while they make their operation, in which no code of ours runs. This
        // reference is made when we are first polled, and looked at in that same poll alone, to make the operation.
        let stream = unsafe { &*self.shared.get() };
        match way {
            Way::In => stream.readable(false).await,
            Way::Out => stream.writable(false).await,
        }
    }

    /// Sends from the front of `bytes`; answers how many the kernel took. Must be awaited to its end.
    pub(super) async fn send(&self, bytes: Bytes) -> (io::Result<usize>, Bytes) {
        // SAFETY: as above: made when we are first polled, used at once to clone the descriptor into an operation, which
        // is all the future holds from then on. A `readable` in flight does not look at its reference again.
        unsafe { &mut *self.shared.get() }.write(bytes).await
    }

    /// Sends from the front of `gather`, at most [`SLICES_MAX`] slices; answers how many bytes the kernel took. Must be
    /// awaited to its end. Raises SIGPIPE where the peer is gone, which Rust's runtime ignores from the start.
    pub(super) async fn send_gathered(&self, gather: Gather) -> (io::Result<usize>, Gather) {
        // SAFETY: as in `send`.
        unsafe { &mut *self.shared.get() }.writev(gather).await
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: as in `readable`; the reference ends with this expression. The descriptor stays open as long as
        // `self` does, and the borrow is bound to `self`.
        unsafe { BorrowedFd::borrow_raw((*self.shared.get()).as_raw_fd()) }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.as_fd().as_raw_fd())
    }
}

/// A direction of a socket.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

/// Takes a descriptor out of the hands of monoio. Nothing of it may be in flight, or monoio panics.
pub(super) fn into_owned(socket: impl IntoRawFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives up ownership, and of an open descriptor.
    unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) }
}

/// Slices of a batch, and the array of iovecs through which the kernel finds the front ones.
///
/// IOV_MAX is 1024; a smaller array is filled and copied in while it is warm, and a socket buffer seldom takes more.
pub(super) struct Gather {
    slices: VecDeque<Bytes>,
    iovecs: Vec<libc::iovec>,
}

impl Gather {
    /// Takes a batch. Empty slices are passed over.
    pub(super) fn new(batch: Vec<Bytes>) -> Self {
        let iovecs = Vec::with_capacity(batch.len().min(SLICES_MAX));
        let mut gather = Self { slices: batch.into(), iovecs };
        gather.aim();
        gather
    }

    /// Drops `sent` bytes from the front, which are no more than were there.
    pub(super) fn advance(&mut self, mut sent: usize) {
        while let Some(first) = self.slices.front_mut() {
            if sent < first.len() {
                first.advance(sent);
                break;
            }
            sent -= first.len();
            self.slices.pop_front();
        }
        self.aim();
    }

    /// Whether every byte was sent.
    pub(super) fn is_empty(&self) -> bool {
        self.iovecs.is_empty()
    }

    /// Points the iovecs at the front slices.
    fn aim(&mut self) {
        self.iovecs.clear();
        let front = self.slices.iter().filter(|slice| !slice.is_empty()).take(SLICES_MAX);
        self.iovecs.extend(
            front.map(|slice| libc::iovec {
                iov_base: slice.as_ptr().cast_mut().cast(),
                iov_len: slice.len(),
            }),
        );
    }
}

// SAFETY: the array lies in the Vec's heap block, which does not move when the `Gather` does and is not touched while the
// runtime owns it (only `new` and `advance` write to it, and they need it back). Each iovec points at a `Bytes` in
// `slices`, which is dropped or advanced in `advance` alone, and there the array is made anew; the storage of a `Bytes`
// (a static, or a shared heap block that its count keeps alive) does not move when the `Bytes` does, so the deque may
// move too. It is never written to by anyone, and the kernel only reads: writev takes iov_base as const.
unsafe impl IoVecBuf for Gather {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.iovecs.as_ptr()
    }

    fn read_iovec_len(&self) -> usize {
        self.iovecs.len()
    }
}

/// Slices that one writev gathers.
pub(super) const SLICES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would read.
    fn aimed_at(gather: &Gather) -> Vec<&[u8]> {
        let at = |iovec: &libc::iovec| {
            // SAFETY: `gather` is borrowed, so each iovec points into one of its slices (see `IoVecBuf` above).
            unsafe { std::slice::from_raw_parts(iovec.iov_base.cast::<u8>(), iovec.iov_len) }
        };
        gather.iovecs.iter().map(at).collect()
    }

    fn batch() -> Vec<Bytes> {
        vec![
            Bytes::from(vec![b'a'; 3]),
            Bytes::new(),
            Bytes::from_static(b"bc"),
            Bytes::from(String::from("d")),
        ]
    }

    #[test]
    fn the_kernel_is_pointed_at_what_is_left_wherever_a_write_stops() {
        let whole = b"aaabcd";
        for sent in 0..=whole.len() {
            let mut gather = Gather::new(batch());
            gather.advance(sent);
            assert_eq!(aimed_at(&gather).concat(), whole[sent..], "after {sent}");
            assert_eq!(gather.is_empty(), sent == whole.len());
        }
    }

    #[test]
    fn a_moved_gather_still_points_at_its_bytes() {
        let moved = Box::new(Gather::new(batch()));
        assert_eq!(aimed_at(&moved), [b"aaa".as_slice(), b"bc", b"d"]);
    }

    #[test]
    fn at_most_64_slices_are_gathered_and_the_rest_follow() {
        let mut gather = Gather::new((0..200_u8).map(|n| Bytes::from(vec![n])).collect());
        for sent in [64, 64, 64, 8] {
            assert_eq!(gather.iovecs.len(), sent);
            gather.advance(sent);
        }
        assert!(gather.is_empty());
    }
}

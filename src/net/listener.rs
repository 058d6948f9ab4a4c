//! A listening socket, shared by all workers.
//!
//! One socket, and a duplicate of its descriptor for each worker: closing one member of a SO_REUSEPORT group resets what
//! is queued on it (112 of 200). Never decides when to accept again after an error: the server backs off.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    net::{SocketAddr, TcpListener as StdTcpListener},
    os::fd::OwnedFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use monoio::{
    io::Canceller,
    net::{TcpListener, TcpStream},
};
use rustix::io::{Errno, FdFlags};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use super::{
    driver::{self, Driver},
    socket,
};

/// Binds and listens: `backlog` connections may wait to be accepted (at most net.core.somaxconn).
pub fn bind(address: SocketAddr, backlog: i32) -> io::Result<StdTcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart need not wait for the connections of the last run to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    prepare(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Makes a listening socket ready: with TCP_NODELAY and a small send buffer, which on Linux every accepted socket
/// inherits, two system calls a connection less.
pub fn prepare(listener: &Socket) -> io::Result<()> {
    listener.set_tcp_nodelay(true)?;
    listener.set_send_buffer_size(SEND_BUFFER_BYTES)
}

/// What the kernel may hold for a peer that does not read (it doubles this): what is beyond waits in the process, where
/// it is counted. Left to itself the kernel took 1.7 GB for 2000 of them.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// A worker's hand on the listening socket.
pub struct Listener {
    shared: Rc<TcpListener>,
    pending: RefCell<Option<Accepting>>,
    canceller: RefCell<Canceller>,
    stopped: Cell<bool>,
}

/// A connection that no core has taken up yet: it may go to any, with [`Stream::from_fd`](super::Stream::from_fd).
#[derive(Debug)]
pub struct Accepted {
    /// The socket.
    pub socket: OwnedFd,
    /// Who called.
    pub peer: SocketAddr,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum NotAccepted {
    /// The listener was stopped. It stays so.
    #[error("the listener was stopped")]
    Stopped,
    /// Descriptors or memory have run out; the connection still waits. Accepting again at once would spin at 1.4 million
    /// errors a second: back off 10 to 100 ms.
    #[error("no descriptor or memory for another connection: {0}")]
    Exhausted(io::Error),
    /// That connection is lost (its peer gave up, a firewall forbade it); the next may be had.
    #[error("a connection was lost before it was accepted: {0}")]
    Lost(io::Error),
}

type Accepting = Pin<Box<dyn Future<Output = io::Result<(TcpStream, SocketAddr)>>>>;

impl Listener {
    /// Takes up a duplicate of the shared listening socket on this core. All its duplicates must be on one driver.
    pub fn from_std(listener: StdTcpListener) -> io::Result<Self> {
        // The ring answers EAGAIN for a socket that is non-blocking instead of waiting. epoll wakes several workers for
        // one connection, and all but one of them must find EAGAIN: monoio then goes on waiting.
        listener.set_nonblocking(driver::current() == Driver::Epoll)?;
        Ok(Self {
            shared: Rc::new(TcpListener::from_std(listener)?),
            pending: RefCell::default(),
            canceller: RefCell::default(),
            stopped: Cell::new(false),
        })
    }

    /// Waits for a connection. One task waits at a time.
    ///
    /// May be dropped, unlike monoio's accept, which then loses connections and leaks descriptors (93 of 1500): the
    /// operation stays with the listener, and the next call takes it up.
    pub async fn accept(&self) -> Result<Accepted, NotAccepted> {
        let (stream, peer) = poll_fn(|cx| self.poll_accept(cx)).await?;
        let socket = socket::into_owned(stream);
        if driver::current() == Driver::IoUring {
            // monoio's accept on the ring asks for no flags.
            rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)
                .map_err(|error| NotAccepted::Lost(error.into()))?;
        }
        Ok(Accepted { socket, peer })
    }

    /// Stops accepting: whoever waits in [`accept`](Self::accept) gets the connection that came in this very moment, if
    /// one did, and then [`NotAccepted::Stopped`]; so does every later call. The socket stays open for the other workers.
    pub fn stop(&self) {
        self.stopped.set(true);
        self.canceller.take().cancel();
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<(TcpStream, SocketAddr), NotAccepted>> {
        let mut pending = self.pending.borrow_mut();
        if pending.is_none() && self.stopped.get() {
            return Poll::Ready(Err(NotAccepted::Stopped));
        }
        let accepting = pending.get_or_insert_with(|| self.start());
        let answer = ready!(accepting.as_mut().poll(cx));
        *pending = None;
        Poll::Ready(answer.map_err(|error| self.judge(error)))
    }

    fn start(&self) -> Accepting {
        let (shared, handle) = (self.shared.clone(), self.canceller.borrow().handle());
        Box::pin(async move { shared.cancelable_accept(handle).await })
    }

    fn judge(&self, error: io::Error) -> NotAccepted {
        match Errno::from_io_error(&error) {
            Some(Errno::CANCELED) if self.stopped.get() => NotAccepted::Stopped,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => NotAccepted::Exhausted(error),
            _ => NotAccepted::Lost(error),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Rule 1 of monoio 0.2: the answer of an accept is always awaited, even when nobody wants it any more; a socket
        // that came with it is closed here.
        if let Some(accepting) = self.pending.take() {
            self.canceller.take().cancel();
            monoio::spawn(async move { drop(accepting.await) });
        }
    }
}

#[cfg(test)]
mod tests;

//! A server at one worker: connections to it that wait for a request, and new ones.
//!
//! The connection that was used last is used first, so that those beyond what is needed grow old and are closed. Knows
//! no request: what is sent and read is the exchange's.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use rustix::io::Errno;
use smallvec::SmallVec;
use tracing::warn;

use super::board::Board;
use super::health::Looks;
use super::{Failed, Station};
use crate::config::Authority;
use crate::net::{self, Instant, Stream, Writer, now, sleep, spawn, within};

/// One server.
pub(super) struct Server {
    /// The backend's name, for the log.
    backend: Box<str>,
    authority: Authority,
    /// Its address, where it has no name.
    literal: Option<SocketAddr>,
    pub(super) board: Board,
    pub(super) station: Rc<Station>,
    pub(super) looks: Looks,
    keep_alive: Duration,
    under_way: Cell<usize>,
    /// The address of its name that was reached last.
    address: Cell<usize>,
    /// Oldest first.
    idle: RefCell<VecDeque<Idle>>,
    /// Whether a task waits for the oldest to be old enough.
    is_closing: Cell<bool>,
}

/// A connection to a server.
pub(super) struct Line {
    pub(super) stream: Stream,
    pub(super) writer: Writer,
    pub(super) open: Open,
    /// No answer has come on it yet.
    pub(super) is_new: bool,
}

/// Counts a connection for as long as it is held.
pub(super) struct Open(Rc<Station>);

struct Idle {
    line: Line,
    since: Instant,
}

/// A request under way to a server, for as long as it is held.
pub(super) struct Busy(Rc<Server>);

impl Server {
    pub(super) fn new(
        backend: &crate::config::Backend,
        authority: &Authority,
        board: Board,
        station: &Rc<Station>,
    ) -> Rc<Server> {
        Rc::new(Server {
            backend: backend.name.as_str().into(),
            authority: authority.clone(),
            literal: authority.address(),
            board,
            station: station.clone(),
            looks: Looks::default(),
            keep_alive: backend.keep_alive,
            under_way: Cell::default(),
            address: Cell::default(),
            idle: RefCell::default(),
            is_closing: Cell::default(),
        })
    }

    /// The name of its backend.
    pub(super) fn backend(&self) -> &str {
        &self.backend
    }

    /// Where it is.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Requests under way there, of this worker.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.get()
    }

    /// The connection that was used last, if one is still of use: open, and silent since its last answer.
    pub(super) fn reuse(&self) -> Option<Line> {
        loop {
            let Idle { line, .. } = self.idle.borrow_mut().pop_back()?;
            // A server that closed it, or said what nobody asked for, is found out here and not by the next request.
            if matches!(line.stream.try_read(&mut [0]), Ok(None)) {
                return Some(line);
            }
        }
    }

    /// A new connection, within `timeout`. May be dropped.
    pub(super) async fn connect(&self, timeout: Duration) -> Result<Line, Failed> {
        let until = now() + timeout;
        let addresses = self.addresses(timeout).await;
        let count = addresses.len();
        let mut failed = Failed::NoAddress;
        for at in 0..count {
            let turn = (self.address.get() + at) % count;
            // One that does not answer leaves the others their share.
            let share = until.saturating_duration_since(now()) / (count - at) as u32;
            match within(share, net::connect(addresses[turn])).await {
                Some(Ok((stream, writer))) => {
                    self.address.set(turn);
                    self.station.metrics.backend_connects_total.add(1);
                    return Ok(Line { stream, writer, open: Open::new(&self.station), is_new: true });
                }
                Some(Err(error)) => failed = Failed::Unreachable(error),
                None => failed = Failed::ConnectTimeout,
            }
        }
        Err(failed)
    }

    /// Takes down that a request came to nothing because of the server.
    pub(super) fn note(&self, failed: &Failed) {
        let ours = matches!(failed, Failed::Unreachable(error) if is_ours(error));
        if !ours && self.board.failed() {
            let (backend, server) = (&self.backend, &self.authority);
            warn!(%backend, %server, %failed, "a server fails again and again, and is passed over for a while");
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(self: &Rc<Self>, line: Line) {
        if self.keep_alive.is_zero() {
            return;
        }
        {
            let mut idle = self.idle.borrow_mut();
            if idle.len() == IDLE_MAX {
                idle.pop_front();
            }
            idle.push_back(Idle { line, since: now() });
        }
        if !self.is_closing.replace(true) {
            spawn(close_old(Rc::downgrade(self)));
        }
    }

    async fn addresses(&self, timeout: Duration) -> SmallVec<[SocketAddr; 2]> {
        if let Some(address) = self.literal {
            return [address].into_iter().collect();
        }
        let name = self.authority.host();
        let found = within(timeout, self.station.addresses_of(name)).await;
        let found = found.iter().flat_map(|addresses| addresses.iter());
        found.map(|address| SocketAddr::new(*address, self.authority.port())).collect()
    }

    /// Closes what is too old; how long until the next one is, if there is one.
    fn close_old(&self) -> Option<Duration> {
        let now = now();
        let mut idle = self.idle.borrow_mut();
        while let Some(oldest) = idle.front() {
            let age = now - oldest.since;
            if age < self.keep_alive {
                return Some(self.keep_alive - age);
            }
            idle.pop_front();
        }
        self.is_closing.set(false);
        None
    }
}

/// One task a server closes its old connections, while there are any.
async fn close_old(server: Weak<Server>) {
    while let Some(wait) = server.upgrade().and_then(|server| server.close_old()) {
        // Those that are due within a moment of each other are closed together.
        sleep(wait.max(CLOSE_EVERY)).await;
    }
}

impl Busy {
    pub(super) fn new(server: Rc<Server>) -> Busy {
        server.under_way.set(server.under_way.get() + 1);
        Busy(server)
    }

    pub(super) fn server(&self) -> &Rc<Server> {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

impl Open {
    fn new(station: &Rc<Station>) -> Open {
        station.metrics.backend_connections.add(1);
        Open(station.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.backend_connections.sub(1);
    }
}

/// Whether it is this process, or this machine, that has no more of something.
fn is_ours(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::ADDRNOTAVAIL | Errno::AGAIN)
    )
}

/// Idle connections to one server that a worker keeps.
pub(super) const IDLE_MAX: usize = 1024;
const CLOSE_EVERY: Duration = Duration::from_millis(20);

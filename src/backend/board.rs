//! What all workers know of the servers' health.
//!
//! Atomics alone: who looks waits for nobody. Sends nothing: a board is told what became of requests and of looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::config::{Authority, Config};
use crate::net::{Instant, now};

/// The boards of all servers, by backend and server.
#[derive(Debug)]
pub struct Boards {
    by_server: HashMap<(Box<str>, Authority), Board>,
    urge: Arc<AtomicBool>,
}

/// One server's, as one configuration goes by it.
#[derive(Debug, Clone)]
pub struct Board {
    known: Arc<Known>,
    /// Whether that configuration has it looked at. A look that an earlier one began may end when nobody looks any
    /// more, and so nobody would find the server well: what it finds counts for nothing here.
    is_looked_at: bool,
}

/// What is known of a server; it outlives reloads.
#[derive(Debug)]
struct Known {
    /// When it was made: its times count from here.
    started: Instant,
    /// Requests in a row to which no answer came, by the server's doing.
    failures: AtomicU32,
    /// Until when the server is passed over, in milliseconds; 0: it is not.
    avoided_until_ms: AtomicU64,
    /// Whether those who look at it hold it to be down.
    ill: AtomicBool,
    /// None where it has no name whose addresses could be other ones.
    urge: Option<Arc<AtomicBool>>,
}

impl Boards {
    /// For the backends of `config`: of servers that `earlier` boards know, what is known stays.
    pub fn new(config: &Config, earlier: Option<&Boards>) -> Boards {
        let urge = earlier.map_or_else(Arc::default, |earlier| earlier.urge.clone());
        let mut boards = Boards { by_server: HashMap::new(), urge };
        for backend in &config.backends {
            for server in &backend.servers {
                let key = (backend.name.as_str().into(), server.clone());
                let kept = earlier.and_then(|earlier| earlier.by_server.get(&key));
                let known = kept.map_or_else(|| boards.blank(server), |kept| kept.known.clone());
                let is_looked_at = backend.health.path.is_some();
                boards.by_server.insert(key, Board { known, is_looked_at });
            }
        }
        boards
    }

    /// That of a server of the backend `name`; a new one for a server that no backend of the configuration has.
    pub(super) fn of(&self, name: &str, server: &Authority) -> Board {
        let board = self.by_server.get(&(name.into(), server.clone()));
        board.cloned().unwrap_or_else(|| Board { known: self.blank(server), is_looked_at: false })
    }

    /// How many servers are held to be down.
    pub fn down(&self) -> usize {
        self.by_server.values().filter(|board| board.is_down()).count()
    }

    /// Raised by whoever could not reach a server that has a name: it may have other addresses by now.
    pub fn urge(&self) -> Arc<AtomicBool> {
        self.urge.clone()
    }

    fn blank(&self, server: &Authority) -> Arc<Known> {
        Arc::new(Known {
            started: now(),
            failures: AtomicU32::default(),
            avoided_until_ms: AtomicU64::default(),
            ill: AtomicBool::default(),
            urge: server.address().is_none().then(|| self.urge.clone()),
        })
    }
}

impl Board {
    /// Whether it is held to be down.
    pub(super) fn is_down(&self) -> bool {
        let until_ms = self.known.avoided_until_ms.load(Relaxed);
        self.is_looked_at && self.known.ill.load(Relaxed) || until_ms > 0 && self.elapsed_ms() < until_ms
    }

    /// It answered.
    pub(super) fn answered(&self) {
        // Mostly there is nothing to change, and a line that nobody writes is in every core's cache.
        if self.known.failures.load(Relaxed) > 0 {
            self.known.failures.store(0, Relaxed);
            self.known.avoided_until_ms.store(0, Relaxed);
        }
    }

    /// No answer came of it, by its own doing. True if it is passed over from now on.
    pub(super) fn failed(&self) -> bool {
        self.urge();
        if self.known.failures.fetch_add(1, Relaxed) + 1 < FAILURES_MAX {
            return false;
        }
        let until_ms = self.elapsed_ms() + AVOIDED_FOR.as_millis() as u64;
        let before_ms = self.known.avoided_until_ms.swap(until_ms, Relaxed);
        before_ms < self.elapsed_ms()
    }

    /// What looks at it found. True if that is another thing than what was held.
    pub(super) fn set_ill(&self, ill: bool) -> bool {
        if ill {
            self.urge();
        }
        self.known.ill.swap(ill, Relaxed) != ill
    }

    fn urge(&self) {
        if let Some(urge) = &self.known.urge {
            urge.store(true, Relaxed);
        }
    }

    fn elapsed_ms(&self) -> u64 {
        (now() - self.known.started).as_millis() as u64
    }
}

/// Failures in a row by which a server is passed over, and for how long.
const FAILURES_MAX: u32 = 3;
const AVOIDED_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_asked_for_after_failures_of_named_servers_and_of_no_others() {
        let boards = Boards::new(&Config::default(), None);
        let urge = boards.urge();
        for (server, is_named) in [("127.0.0.1:1", false), ("[::1]:1", false), ("app.internal:1", true)] {
            let board = boards.of("app", &Authority::parse(server, None).unwrap());
            board.failed();
            assert_eq!(urge.swap(false, Relaxed), is_named, "{server}");
            board.set_ill(true);
            assert_eq!(urge.swap(false, Relaxed), is_named, "{server}");
            board.set_ill(false);
            assert!(!urge.load(Relaxed), "{server}");
        }
    }
}

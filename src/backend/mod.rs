//! The application behind us: requests that are handed on to it, and calls that tell or ask it something.
//!
//! A worker has [`Backends`] of its own, with pools of its own; what is known of servers' health is shared, and the
//! addresses of names are handed in. Holds no client's socket, and knows neither shard nor room.

mod board;
mod exchange;
mod failed;
pub mod health;
pub mod hooks;
mod pool;
mod routes;
mod station;
#[cfg(test)]
mod trial;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use crate::config;

pub use board::{Board, Boards};
pub use exchange::{Down, Exchange, Outgoing, Up};
pub use failed::Failed;
pub use routes::Backends;
pub use station::{Addresses, Station};

use exchange::{Times, Unsent};
use pool::{Busy, Server};

/// One backend, at one worker.
pub struct Backend {
    config: config::Backend,
    servers: Box<[Rc<Server>]>,
    /// Where the search for a server begins.
    turn: Cell<usize>,
}

impl Backend {
    /// As configured. One that is in no table, such as that of hooks, has health of its own.
    pub fn new(config: &config::Backend, boards: &Boards, station: &Rc<Station>) -> Rc<Backend> {
        let server = |authority| Server::new(config, authority, boards.of(&config.name, authority), station);
        let servers = config.servers.iter().map(server).collect();
        Rc::new(Backend { config: config.clone(), servers, turn: Cell::default() })
    }

    /// How long a body may stand still.
    pub fn idle_timeout(&self) -> Duration {
        self.config.idle_timeout
    }

    /// How long a tunnel may be silent.
    pub fn tunnel_timeout(&self) -> Duration {
        self.config.tunnel_timeout
    }

    /// Sends a request's head, and what of its body is there, to the server with the least to do. Tries another,
    /// once, where no byte was sent and the request may be sent twice. May be dropped.
    ///
    /// # Errors
    /// No connection could be had, or the request did not go out.
    pub async fn begin(self: &Rc<Self>, outgoing: Outgoing) -> Result<Exchange, Failed> {
        let first = self.choose(None).ok_or(Failed::NoAddress)?;
        let line = first.reuse();
        let reused = line.is_some();
        let again = outgoing.is_idempotent();
        let busy = Busy::new(first.clone());
        let failed = match self.send(busy, line, &outgoing, again).await {
            Ok(exchange) => return Ok(exchange),
            Err(Unsent { failed, untouched }) if !(untouched && again) => return Err(failed),
            Err(Unsent { failed, .. }) => failed,
        };
        let other = self.choose(Some(&first)).or_else(|| reused.then_some(first));
        let Some(other) = other else { return Err(failed) };
        other.station.metrics.proxied_retries_total.add(1);
        let sent = self.send(Busy::new(other), None, &outgoing, false).await;
        sent.map_err(|unsent| unsent.failed)
    }

    /// Asks for an answer that is small, and has it whole. May be dropped.
    ///
    /// # Errors
    /// There is none, or it has more than `answer_max` bytes.
    pub async fn fetch(
        self: &Rc<Self>,
        outgoing: Outgoing,
        answer_max: usize,
    ) -> Result<(StatusCode, Bytes), Failed> {
        let mut exchange = self.begin(outgoing).await?;
        let answer = read_whole(&mut exchange, answer_max).await?;
        exchange.finish();
        Ok(answer)
    }

    /// Sends on `line`, or a new connection if there is none.
    async fn send(
        self: &Rc<Self>,
        busy: Busy,
        line: Option<pool::Line>,
        outgoing: &Outgoing,
        again: bool,
    ) -> Result<Exchange, Unsent> {
        let again = (again && line.is_some()).then_some(self);
        let times = self.times();
        let line = match line {
            Some(line) => line,
            None => {
                // Boxed: a request on a connection that was kept has no room for it.
                let connected = Box::pin(busy.server().connect(times.connect)).await;
                connected.map_err(|failed| {
                    busy.server().note(&failed);
                    Unsent { failed, untouched: true }
                })?
            }
        };
        Exchange::start(busy, line, outgoing, times, again).await
    }

    /// The server with the fewest requests under way, among those that are well; if none is, among all. Of equals, the
    /// next in turn.
    fn choose(&self, but: Option<&Rc<Server>>) -> Option<Rc<Server>> {
        if let ([only], None) = (&*self.servers, but) {
            return Some(only.clone());
        }
        let count = self.servers.len();
        let from = self.turn.get();
        let in_turn = (0..count).map(|at| (from + at) % count);
        let others = in_turn.filter(|at| but.is_none_or(|but| !Rc::ptr_eq(but, &self.servers[*at])));
        let rank = |at: &usize| (self.servers[*at].board.is_down(), self.servers[*at].under_way());
        let chosen = others.min_by_key(rank)?;
        self.turn.set((chosen + 1) % count);
        Some(self.servers[chosen].clone())
    }

    fn times(&self) -> Times {
        let config::Backend { connect_timeout, answer_timeout, idle_timeout, .. } = self.config;
        Times { connect: connect_timeout, answer: answer_timeout, idle: idle_timeout }
    }
}

/// Reads an answer of at most `answer_max` bytes to its end.
async fn read_whole(exchange: &mut Exchange, answer_max: usize) -> Result<(StatusCode, Bytes), Failed> {
    let status = loop {
        let status = exchange.down.head().await?.status;
        if !status.is_informational() {
            break status;
        }
    };
    let mut whole = Bytes::new();
    while let Some(more) = exchange.down.body().await? {
        if whole.len() + more.len() > answer_max {
            return Err(Failed::Malformed(TOO_LONG));
        }
        whole = match whole.len() {
            0 => more,
            _ => {
                let mut grown: BytesMut = whole.into();
                grown.extend_from_slice(&more);
                grown.freeze()
            }
        };
    }
    Ok((status, whole))
}

/// A backend without servers, for tests.
#[cfg(test)]
pub(crate) fn blank(name: &str) -> config::Backend {
    let health =
        config::Health { path: None, interval: Duration::from_millis(100), timeout: Duration::from_secs(9) };
    config::Backend {
        name: name.to_owned(),
        servers: Vec::new(),
        connect_timeout: Duration::from_secs(9),
        answer_timeout: Duration::from_secs(9),
        idle_timeout: Duration::from_secs(9),
        tunnel_timeout: Duration::from_secs(1),
        keep_alive: Duration::from_secs(30),
        health,
    }
}

const TOO_LONG: &str = "it is longer than may be";

#[cfg(test)]
mod tests;

//! The application behind us: requests that are handed on to it, and calls that tell or ask it something.
//!
//! A worker has [`Backends`] of its own, with pools of its own; what is known of servers' health is shared. Holds no
//! client's socket, and knows neither shard nor room.

mod exchange;
mod failed;
pub mod hooks;

use std::rc::Rc;
use std::sync::Arc;

use crate::config::Config;
use crate::metrics::Metrics;

pub use exchange::{Down, Exchange, Outgoing, Up};
pub use failed::Failed;

/// The backends of one worker.
pub struct Backends {}

/// What workers share of backends: which servers are well, and at which addresses names are.
#[derive(Debug, Default)]
pub struct Boards {}

/// One backend, at one worker.
pub struct Backend {}

impl Boards {
    /// For these backends: all servers are well, names not resolved.
    pub fn new(_config: &Config) -> Boards {
        Boards {}
    }
}

impl Backends {
    /// As configured.
    pub fn new(_config: &Config, _boards: Arc<Boards>, _metrics: Arc<Metrics>) -> Backends {
        Backends {}
    }

    /// The backend of a request for `host` (its Host field, as sent) and `path` (in normal form), if there is a route.
    pub fn route(&self, _host: &str, _path: &str) -> Option<&Rc<Backend>> {
        None
    }
}

impl Backend {
    /// Sends a request's head, and what of its body is there, to the server with the least to do. Tries another,
    /// once, where no byte was sent and `outgoing.retry` allows it.
    ///
    /// # Errors
    /// No connection could be had.
    pub async fn begin(self: &Rc<Self>, _outgoing: Outgoing) -> Result<Exchange, Failed> {
        unimplemented!()
    }
}

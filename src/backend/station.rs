//! What all backends of one worker have in common: the addresses of names, its metrics, and the buffer they read into.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::metrics::Metrics;
use crate::net::Waiters;

/// Which addresses names have: of each name that was asked for, in the resolver's order, or none where it has none.
pub type Addresses = HashMap<Box<str>, Arc<[IpAddr]>>;

/// One a worker; it outlives every reload.
pub struct Station {
    pub(super) metrics: Arc<Metrics>,
    addresses: RefCell<Arc<Addresses>>,
    /// Requests for servers whose names have not been asked for yet.
    waiting: Waiters,
    /// Lent for as long as it takes to empty a socket into it: an idle connection has no buffer.
    scratch: Cell<Box<[u8]>>,
}

impl Station {
    /// Where no name is resolved yet.
    pub fn new(metrics: Arc<Metrics>) -> Rc<Station> {
        Rc::new(Station {
            metrics,
            addresses: RefCell::default(),
            waiting: Waiters::new(),
            scratch: Cell::new(vec![0; SCRATCH_BYTES].into()),
        })
    }

    /// Goes by these from now on.
    pub fn set_addresses(&self, addresses: Arc<Addresses>) {
        *self.addresses.borrow_mut() = addresses;
        self.waiting.wake(usize::MAX);
    }

    /// The addresses of a name, once it was asked for. May be dropped.
    pub(super) async fn addresses_of(&self, name: &str) -> Arc<[IpAddr]> {
        loop {
            let addresses = self.addresses.borrow().get(name).cloned();
            match addresses {
                Some(addresses) => return addresses,
                None => self.waiting.park().await,
            }
        }
    }

    /// Has `read` read into the buffer, and answers a copy of what it read.
    pub(super) fn with_scratch<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut scratch = self.scratch.take();
        let done = read(&mut scratch);
        self.scratch.set(scratch);
        done
    }
}

/// Bytes that are read at once.
const SCRATCH_BYTES: usize = 64 << 10;

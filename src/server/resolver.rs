//! The addresses of backends' names, asked for on a thread of their own: the system's resolver may take its time, and no
//! core may wait for it.
//!
//! Hands what it learns to all shards by their orders. A name that has no address any more keeps those that it had:
//! whoever still answers there is better than nobody.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};

use super::reload::Order;
use crate::backend::Addresses;
use crate::config::Config;
use crate::net::{Instant, now};

/// The main thread's hand on it.
pub(super) struct Resolver {
    names: Sender<BTreeSet<Box<str>>>,
}

impl Resolver {
    /// Begins with the names of `config`. `urge` is raised by who could not reach a server.
    pub(super) fn start(
        config: &Config,
        urge: Arc<AtomicBool>,
        shards: Vec<Sender<Order>>,
    ) -> io::Result<Resolver> {
        let (names, inbox) = mpsc::channel();
        let resolver = Resolver { names };
        resolver.set_names(config);
        let mut asking = Asking { names: BTreeSet::new(), known: Addresses::new(), shards };
        thread::Builder::new().name("resolver".into()).spawn(move || asking.run(&inbox, &urge, &ask))?;
        Ok(resolver)
    }

    /// Goes on with the names of `config`.
    pub(super) fn set_names(&self, config: &Config) {
        // Its thread ends with the process only.
        let _ = self.names.send(names_of(config));
    }
}

/// The thread's side.
struct Asking {
    names: BTreeSet<Box<str>>,
    known: Addresses,
    shards: Vec<Sender<Order>>,
}

/// Asks for the addresses of a name.
type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>>;

impl Asking {
    /// Until nobody sends names any more.
    fn run(&mut self, inbox: &Receiver<BTreeSet<Box<str>>>, urge: &AtomicBool, ask: &Ask) {
        let mut asked: Option<Instant> = None;
        loop {
            match self.next_names(inbox) {
                Ok(names) => {
                    self.names = names;
                    asked = None;
                }
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let age = asked.map(|asked| now() - asked);
            let urged = age.is_some_and(|age| age >= URGED_EVERY) && urge.swap(false, Relaxed);
            if urged || age.is_none_or(|age| age >= ASK_EVERY) {
                self.ask_all(ask);
                asked = Some(now());
            }
        }
    }

    /// Other names, if they come; without any to ask for, nothing else is waited for.
    fn next_names(
        &self,
        inbox: &Receiver<BTreeSet<Box<str>>>,
    ) -> Result<BTreeSet<Box<str>>, RecvTimeoutError> {
        if self.names.is_empty() {
            return inbox.recv().map_err(|_| RecvTimeoutError::Disconnected);
        }
        inbox.recv_timeout(LOOK_EVERY)
    }

    fn ask_all(&mut self, ask: &Ask) {
        let names = &self.names;
        self.known.retain(|name, _| names.contains(name));
        for name in self.names.clone() {
            let mut found = ask(&name);
            if let Ok(addresses) = &mut found {
                addresses.truncate(ADDRESSES_MAX);
            }
            // What is told at once is not held up by a name that takes its time.
            if self.learn(&name, found) {
                self.tell();
            }
        }
    }

    /// Whether that is another thing than what was known.
    fn learn(&mut self, name: &str, found: io::Result<Vec<IpAddr>>) -> bool {
        let known = self.known.get(name);
        let had_some = known.is_some_and(|known| !known.is_empty());
        match found {
            Ok(addresses) if !addresses.is_empty() => {
                if known.is_some_and(|known| **known == *addresses) {
                    return false;
                }
                info!(name, ?addresses, "a backend's name has these addresses");
                self.known.insert(name.into(), addresses.into());
                true
            }
            _ if had_some => false,
            found => {
                let error =
                    found.err().map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
                if known.is_none() {
                    warn!(name, error, "a backend's name is not resolved; it is tried again and again");
                }
                self.known.insert(name.into(), Arc::default()).is_none()
            }
        }
    }

    fn tell(&self) {
        let known = Arc::new(self.known.clone());
        for shard in &self.shards {
            let _ = shard.send(Order::Addresses(known.clone()));
        }
    }
}

/// The hosts of all servers that are names.
fn names_of(config: &Config) -> BTreeSet<Box<str>> {
    let servers = config.backends.iter().flat_map(|backend| &backend.servers);
    let all = servers.chain(config.hooks.iter().map(|hooks| &hooks.authority));
    all.filter(|server| server.address().is_none()).map(|server| server.host().into()).collect()
}

/// Asks the system, as files and servers of names are configured there.
fn ask(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for address in (name, 0).to_socket_addrs()? {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

/// How often names are asked for, and how soon again if a server was not reached.
const ASK_EVERY: Duration = Duration::from_secs(30);
const URGED_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whether one was not.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Authority;

    fn asking(names: &[&str]) -> (Asking, Receiver<Order>) {
        let (shard, orders) = mpsc::channel();
        let names = names.iter().map(|name| (*name).into()).collect();
        (Asking { names, known: Addresses::new(), shards: vec![shard] }, orders)
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn told(orders: &Receiver<Order>) -> Option<Arc<Addresses>> {
        let mut last = None;
        while let Ok(Order::Addresses(addresses)) = orders.try_recv() {
            last = Some(addresses);
        }
        last
    }

    #[test]
    fn a_name_that_vanishes_keeps_its_last_addresses_and_nothing_is_told_twice() {
        let (mut asking, orders) = asking(&["app"]);
        asking.ask_all(&|_| Ok(vec![address(1), address(2)]));
        assert_eq!(*told(&orders).unwrap()["app"], [address(1), address(2)]);
        asking.ask_all(&|_| Ok(vec![address(1), address(2)]));
        asking.ask_all(&|_| Err(io::ErrorKind::TimedOut.into()));
        asking.ask_all(&|_| Ok(vec![]));
        assert!(told(&orders).is_none());
        asking.ask_all(&|_| Ok(vec![address(3)]));
        assert_eq!(*told(&orders).unwrap()["app"], [address(3)]);
    }

    #[test]
    fn a_name_that_has_no_address_is_told_to_have_none_once() {
        let (mut asking, orders) = asking(&["app", "other"]);
        let find = |name: &str| match name {
            "app" => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(vec![address(1); 20]),
        };
        asking.ask_all(&find);
        let addresses = told(&orders).unwrap();
        assert!(addresses["app"].is_empty());
        assert_eq!(addresses["other"].len(), ADDRESSES_MAX);
        asking.ask_all(&|_| Ok(vec![]));
        assert!(told(&orders).is_none());
    }

    #[test]
    fn a_name_that_is_asked_for_no_more_is_forgotten() {
        let (mut asking, orders) = asking(&["app", "gone"]);
        asking.ask_all(&|_| Ok(vec![address(1)]));
        asking.names.remove("gone");
        asking.ask_all(&|_| Ok(vec![address(2)]));
        let addresses = told(&orders).unwrap();
        assert_eq!((addresses.len(), &*addresses["app"]), (1, &[address(2)][..]));
    }

    #[test]
    fn names_alone_are_asked_for() {
        let mut config = Config::default();
        let mut backend = crate::backend::blank("app");
        backend.servers = ["127.0.0.1:1", "[::1]:2", "app.internal:3", "localhost:4", "localhost:5"]
            .map(|server| Authority::parse(server, None).unwrap())
            .into();
        config.backends.push(backend);
        let names = names_of(&config);
        assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["app.internal", "localhost"]);
    }

    #[test]
    fn the_system_knows_localhost() {
        let found = ask("localhost").unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}

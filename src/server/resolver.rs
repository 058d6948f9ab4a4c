//! The addresses of backends' names, asked for on threads of their own: the system's resolver may take its time, and no
//! core may wait for it, nor one name for another.
//!
//! Hands what it learns to all shards by their orders. A name that has no address any more keeps those that it had:
//! whoever still answers there is better than nobody.

use std::collections::{BTreeSet, VecDeque};
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
    events: Sender<Event>,
}

/// What its thread is told.
enum Event {
    /// These are the names from now on.
    Names(BTreeSet<Box<str>>),
    /// What was found of a name that was asked for.
    Found(Box<str>, io::Result<Vec<IpAddr>>),
    End,
}

impl Resolver {
    /// Begins with the names of `config`. `urge` is raised by who could not reach a server.
    pub(super) fn start(
        config: &Config,
        urge: Arc<AtomicBool>,
        shards: Vec<Sender<Order>>,
    ) -> io::Result<Resolver> {
        let (events, inbox) = mpsc::channel();
        let resolver = Resolver { events: events.clone() };
        resolver.set_names(config);
        let mut asking = Asking::new(Arc::new(ask), events, shards);
        thread::Builder::new().name("resolver".into()).spawn(move || asking.run(&inbox, &urge))?;
        Ok(resolver)
    }

    /// Goes on with the names of `config`.
    pub(super) fn set_names(&self, config: &Config) {
        let _ = self.events.send(Event::Names(names_of(config)));
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.events.send(Event::End);
    }
}

/// The thread's side.
struct Asking {
    names: BTreeSet<Box<str>>,
    /// Those that it is the turn of; the next one first.
    due: VecDeque<Box<str>>,
    /// Those that a thread asks for at the moment, which nobody can hurry or stop.
    asked: BTreeSet<Box<str>>,
    known: Addresses,
    ask: Arc<Ask>,
    /// Where those threads say what they found.
    events: Sender<Event>,
    shards: Vec<Sender<Order>>,
}

/// Asks for the addresses of a name.
type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

impl Asking {
    fn new(ask: Arc<Ask>, events: Sender<Event>, shards: Vec<Sender<Order>>) -> Asking {
        Asking {
            names: BTreeSet::new(),
            due: VecDeque::new(),
            asked: BTreeSet::new(),
            known: Addresses::new(),
            ask,
            events,
            shards,
        }
    }

    /// Until it is told to end.
    fn run(&mut self, inbox: &Receiver<Event>, urge: &AtomicBool) {
        let mut round: Option<Instant> = None;
        loop {
            match self.next_event(inbox) {
                Ok(Event::Names(names)) => {
                    self.set_names(names);
                    round = None;
                }
                Ok(Event::Found(name, found)) => self.on_found(&name, found),
                Err(RecvTimeoutError::Timeout) => (),
                Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
            let age = round.map(|round| now() - round);
            let urged = age.is_some_and(|age| age >= URGED_EVERY) && urge.swap(false, Relaxed);
            if urged || age.is_none_or(|age| age >= ASK_EVERY) {
                self.ask_all();
                round = Some(now());
            }
        }
    }

    /// What comes next; without any names to ask for, nothing else is waited for.
    fn next_event(&self, inbox: &Receiver<Event>) -> Result<Event, RecvTimeoutError> {
        if self.names.is_empty() {
            return inbox.recv().map_err(|_| RecvTimeoutError::Disconnected);
        }
        inbox.recv_timeout(LOOK_EVERY)
    }

    fn set_names(&mut self, names: BTreeSet<Box<str>>) {
        self.known.retain(|name, _| names.contains(name));
        self.due.retain(|name| names.contains(name));
        self.names = names;
    }

    /// Asks for each name, but for those whose last question is still open.
    fn ask_all(&mut self) {
        for name in &self.names {
            if !self.asked.contains(name) && !self.due.contains(name) {
                self.due.push_back(name.clone());
            }
        }
        self.ask_due();
    }

    /// Begins as many questions as may be open.
    fn ask_due(&mut self) {
        while self.asked.len() < ASKED_MAX
            && let Some(name) = self.due.pop_front()
        {
            let (ask, events, asked) = (self.ask.clone(), self.events.clone(), name.clone());
            let question = move || {
                let found = ask(&asked);
                // Whoever asked may have ended meanwhile.
                let _ = events.send(Event::Found(asked, found));
            };
            match thread::Builder::new().name("resolver-ask".into()).spawn(question) {
                Ok(_) => drop(self.asked.insert(name)),
                // It is tried again in the next round.
                Err(error) => self.take(&name, Err(error)),
            }
        }
    }

    fn on_found(&mut self, name: &str, found: io::Result<Vec<IpAddr>>) {
        self.asked.remove(name);
        // It may be a name that a reload has taken away.
        if self.names.contains(name) {
            self.take(name, found);
        }
        self.ask_due();
    }

    /// What is new is told at once, and not held up by a name that takes its time.
    fn take(&mut self, name: &str, mut found: io::Result<Vec<IpAddr>>) {
        if let Ok(addresses) = &mut found {
            addresses.truncate(ADDRESSES_MAX);
        }
        if self.learn(name, found) {
            self.tell();
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
/// Names that are asked for at a time: each question has a thread.
const ASKED_MAX: usize = 64;
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::config::Authority;

    type Find = fn(&str) -> io::Result<Vec<IpAddr>>;

    /// One that is asked by the test, round by round.
    struct Rounds {
        asking: Asking,
        inbox: Receiver<Event>,
        orders: Receiver<Order>,
    }

    impl Rounds {
        fn of(names: &[&str]) -> Rounds {
            let (shard, orders) = mpsc::channel();
            let (events, inbox) = mpsc::channel();
            let mut asking = Asking::new(Arc::new(|_: &str| Ok(vec![])), events, vec![shard]);
            asking.set_names(names.iter().map(|name| (*name).into()).collect());
            Rounds { asking, inbox, orders }
        }

        /// Has all be asked for, and what is found be taken.
        fn pass(&mut self, find: Find) {
            self.asking.ask = Arc::new(find);
            self.asking.ask_all();
            while !self.asking.asked.is_empty() {
                self.take_one();
            }
        }

        /// Takes the next answer; whose it is.
        fn take_one(&mut self) -> Box<str> {
            let event = self.inbox.recv_timeout(Duration::from_secs(20)).unwrap();
            let Event::Found(name, found) = event else { panic!("nobody else says anything") };
            self.asking.on_found(&name, found);
            name
        }

        fn told(&self) -> Option<Arc<Addresses>> {
            let mut last = None;
            while let Ok(Order::Addresses(addresses)) = self.orders.try_recv() {
                last = Some(addresses);
            }
            last
        }
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn a_name_that_vanishes_keeps_its_last_addresses_and_nothing_is_told_twice() {
        let mut rounds = Rounds::of(&["app"]);
        rounds.pass(|_| Ok(vec![address(1), address(2)]));
        assert_eq!(*rounds.told().unwrap()["app"], [address(1), address(2)]);
        rounds.pass(|_| Ok(vec![address(1), address(2)]));
        rounds.pass(|_| Err(io::ErrorKind::TimedOut.into()));
        rounds.pass(|_| Ok(vec![]));
        assert!(rounds.told().is_none());
        rounds.pass(|_| Ok(vec![address(3)]));
        assert_eq!(*rounds.told().unwrap()["app"], [address(3)]);
    }

    #[test]
    fn a_name_that_has_no_address_is_told_to_have_none_once() {
        let mut rounds = Rounds::of(&["app", "other"]);
        rounds.pass(|name| match name {
            "app" => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(vec![address(1); 20]),
        });
        let addresses = rounds.told().unwrap();
        assert!(addresses["app"].is_empty());
        assert_eq!(addresses["other"].len(), ADDRESSES_MAX);
        rounds.pass(|_| Ok(vec![]));
        assert!(rounds.told().is_none());
    }

    #[test]
    fn a_name_that_is_asked_for_no_more_is_forgotten() {
        let mut rounds = Rounds::of(&["app", "gone", "late"]);
        rounds.pass(|_| Ok(vec![address(1)]));
        // What is still found of one is taken by nobody.
        rounds.asking.ask_all();
        rounds.asking.set_names(BTreeSet::from(["app".into()]));
        rounds.pass(|_| Ok(vec![address(2)]));
        rounds.pass(|_| Ok(vec![address(2)]));
        let addresses = rounds.told().unwrap();
        assert_eq!((addresses.len(), &*addresses["app"]), (1, &[address(2)][..]));
    }

    #[test]
    fn a_name_that_takes_its_time_holds_up_no_other_and_is_not_asked_for_twice() {
        let mut rounds = Rounds::of(&["a-slow", "b", "c"]);
        let may_answer = Arc::new(Barrier::new(2));
        let awaited = may_answer.clone();
        rounds.asking.ask = Arc::new(move |name| {
            if name == "a-slow" {
                awaited.wait();
            }
            Ok(vec![address(1)])
        });
        for _ in 0..3 {
            rounds.asking.ask_all();
            assert_eq!(BTreeSet::from([rounds.take_one(), rounds.take_one()]).len(), 2);
            assert_eq!(rounds.asking.asked.len(), 1);
        }
        assert_eq!(rounds.told().unwrap().len(), 2);
        may_answer.wait();
        assert_eq!(&*rounds.take_one(), "a-slow");
        assert_eq!(*rounds.told().unwrap()["a-slow"], [address(1)]);
        assert!(rounds.asking.asked.is_empty());
    }

    #[test]
    fn so_many_names_are_asked_for_at_a_time_and_all_in_the_end() {
        let names: Vec<_> = (0..ASKED_MAX * 2 + 5).map(|number| number.to_string()).collect();
        let mut rounds = Rounds::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let may_answer: Vec<_> = names.iter().map(|_| Barrier::new(2)).collect();
        let may_answer = Arc::new(may_answer);
        let awaited = may_answer.clone();
        rounds.asking.ask = Arc::new(move |name| {
            awaited[name.parse::<usize>().unwrap()].wait();
            Ok(vec![address(1)])
        });
        rounds.asking.ask_all();
        rounds.asking.ask_all();
        for left in (0..names.len()).rev() {
            assert_eq!(rounds.asking.asked.len(), (left + 1).min(ASKED_MAX));
            let next = rounds.asking.asked.first().unwrap().clone();
            may_answer[next.parse::<usize>().unwrap()].wait();
            assert_eq!(rounds.take_one(), next);
        }
        assert_eq!(rounds.told().unwrap().len(), names.len());
    }

    #[test]
    fn the_thread_goes_by_the_names_that_it_is_told_and_ends_with_its_owner() {
        let (events, inbox) = mpsc::channel();
        let (shard, orders) = mpsc::channel();
        let mut asking = Asking::new(Arc::new(|_: &str| Ok(vec![address(1)])), events.clone(), vec![shard]);
        let resolver = Resolver { events };
        let thread = thread::spawn(move || asking.run(&inbox, &AtomicBool::default()));
        for name in ["app", "other"] {
            let mut config = Config::default();
            config.backends.push(crate::backend::blank("app"));
            config.backends[0].servers.push(Authority::parse(&format!("{name}:1"), None).unwrap());
            resolver.set_names(&config);
            let Ok(Order::Addresses(addresses)) = orders.recv_timeout(Duration::from_secs(20)) else {
                panic!("nothing is told")
            };
            assert!(addresses.len() == 1 && addresses.contains_key(name));
        }
        drop(resolver);
        thread.join().unwrap();
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

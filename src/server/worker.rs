//! Workers: one thread a shard, pinned, with a runtime of its own.
//!
//! They are raised in two steps: all make their runtimes and say so, then all start, or none does.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use tracing::error;

use super::reload::{self, Order, Terms};
use super::{Event, Listeners, accept, logs};
use crate::backend::hooks::Hooks;
use crate::backend::{Station, health};
use crate::config::Config;
use crate::hub::{Options, ShardId};
use crate::net::{self, Driver, EventBell, Listener};
use crate::shard::{Node, Shard, ShardPort};
use crate::transport::{self, Door, Pages, Requests, Services};

/// What every worker is made from.
pub(super) struct Worker {
    pub(super) config: Arc<Config>,
    pub(super) terms: Terms,
    pub(super) pages: Option<Pages>,
    pub(super) node: Arc<Node>,
    pub(super) listeners: Listeners,
    pub(super) cpus: Vec<usize>,
}

/// Workers whose runtimes are being made, waiting for the word.
pub(super) struct Crew {
    word: Arc<AtomicU8>,
    bells: Vec<Arc<EventBell>>,
    orders: Vec<Sender<Order>>,
}

/// What a worker's thread takes with it.
struct Kit {
    driver: Driver,
    cpu: Option<usize>,
    port: ShardPort,
    seeds: Options,
    worker: Worker,
    word: Arc<AtomicU8>,
    orders: Receiver<Order>,
    events: Sender<Event>,
}

impl Crew {
    /// Starts the threads. Each answers with [`Event::Ready`] or [`Event::Unable`].
    pub(super) fn raise(
        driver: Driver,
        worker: &Worker,
        ports: Vec<ShardPort>,
        events: &Sender<Event>,
    ) -> Crew {
        let word = Arc::new(AtomicU8::new(WAIT));
        let shards = ports.len() as u16;
        let name_seed = random();
        let mut orders = Vec::new();
        for port in ports {
            let index = port.index();
            let seeds = Options { shard: ShardId(index as u16), shards, name_seed, epoch_seed: random() };
            // More workers than CPUs share them in turn.
            let cpu = worker.cpus.get(index % worker.cpus.len().max(1)).copied();
            let (sender, receiver) = mpsc::channel();
            orders.push(sender);
            let started = worker.duplicate().and_then(|worker| {
                let (word, events) = (word.clone(), events.clone());
                let kit = Kit { driver, cpu, port, seeds, worker, word, orders: receiver, events };
                thread::Builder::new().name(format!("shard-{index}")).spawn(move || work(kit))
            });
            if let Err(error) = started {
                let _ = events.send(Event::Unable(net::NoDriver::Epoll(error)));
            }
        }
        Crew { word, bells: worker.node.bells.clone(), orders }
    }

    /// All runtimes are there: let connections in. Returns the way to each shard.
    pub(super) fn start(self) -> Vec<Sender<Order>> {
        self.say(START);
        self.orders
    }

    /// Some runtime is missing: none of them starts.
    pub(super) fn dismiss(self) {
        self.say(DISMISSED);
    }

    fn say(&self, word: u8) {
        self.word.store(word, SeqCst);
        for bell in &self.bells {
            bell.ring();
        }
    }
}

impl Worker {
    /// The same, with descriptors of its own.
    fn duplicate(&self) -> io::Result<Worker> {
        let duplicate = |(door, socket): &(Door, TcpListener)| Ok((*door, socket.try_clone()?));
        let sockets = self.listeners.sockets.iter().map(duplicate).collect::<io::Result<_>>()?;
        Ok(Worker {
            config: self.config.clone(),
            terms: self.terms.clone(),
            pages: self.pages.clone(),
            node: self.node.clone(),
            listeners: Listeners { sockets },
            cpus: self.cpus.clone(),
        })
    }
}

/// A worker's thread.
fn work(kit: Kit) {
    let events = kit.events.clone();
    let (driver, cpu) = (kit.driver, kit.cpu);
    match net::run(driver, cpu, || serve(kit)) {
        Ok(Ok(())) => (),
        // A worker that cannot go on would leave its share of the rooms without a home.
        Ok(Err(error)) => {
            error!(%error, "a worker cannot go on");
            logs::flush();
            std::process::exit(i32::from(crate::cli::EXIT_FAILED));
        }
        Err(error) => drop(events.send(Event::Unable(error))),
    }
}

/// Everything that happens on one core.
async fn serve(kit: Kit) -> io::Result<()> {
    let Kit { port, seeds, worker, word, orders, events, .. } = kit;
    let Worker { terms, pages, node, listeners, .. } = worker;
    let bell = node.bells[port.index()].clone();
    let _ = events.send(Event::Ready);
    // The word comes with the bell that the mesh uses later.
    let ear = bell.listen()?;
    while word.load(SeqCst) == WAIT {
        ear.rang().await?;
    }
    if word.load(SeqCst) == DISMISSED {
        return Ok(());
    }
    drop(ear);
    let keeper = reload::keeper_of(&terms.settings.config);
    let station = Station::new(node.metrics[port.index()].clone());
    let hooks = Hooks::new(node.metrics.len(), &station);
    let requests = Requests::new(node.run, port.index());
    let services = Rc::new(Services::new(terms.settings, pages, requests, station, hooks));
    let public = services.clone();
    let admit: crate::shard::Door = Box::new(move |shard, arrival| {
        transport::admit(shard, &public, Door::Public, arrival);
    });
    let is_first = port.index() == 0;
    let shard = Shard::new(node, terms.limits, port, seeds, admit);
    shard.set_keeper(keeper);
    shard.run()?;
    if is_first {
        net::spawn(watch_backends(shard.clone(), services.clone()));
    }
    services.attend(&shard);
    net::spawn(reload::obey(shard.clone(), services.clone(), orders, events.clone()));
    let mut accepting = Vec::new();
    for (door, socket) in listeners.sockets {
        let listener = Rc::new(Listener::from_std(socket)?);
        let (shard, services, open) = (shard.clone(), services.clone(), listener.clone());
        match door {
            Door::Public => {
                accepting.push((listener, net::spawn(accept::accept_public(shard, services, open))));
            }
            Door::Admin => drop(net::spawn(accept::accept_admin(shard, services, open))),
        }
    }
    shard.stopped().await;
    accepting.iter().for_each(|(listener, _)| listener.stop());
    for (_, task) in accepting {
        // The last that was accepted has its place before it ends.
        task.await;
    }
    shard.node().quota.close();
    shard.emptied().await;
    // Nobody is left of whom anything could be told: the application hears of the last before the process goes.
    services.hooks().settled().await;
    let _ = events.send(Event::Emptied);
    // The process ends when all shards are empty; until then this one still has rooms' homes to keep.
    std::future::pending().await
}

/// Looks at backends' servers, for all workers.
async fn watch_backends(shard: Rc<Shard>, services: Rc<Services>) {
    let down = || {
        let down = services.settings().boards.down();
        shard.metrics().backend_down.set(down as u64);
    };
    health::watch(|| services.backends(), down).await;
}

pub(super) fn random() -> u64 {
    // The kernel has random bytes long before a server starts; without, names could be guessed.
    getrandom::u64().expect("the kernel has random bytes")
}

const WAIT: u8 = 0;
const START: u8 = 1;
const DISMISSED: u8 = 2;

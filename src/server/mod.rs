//! The roof: a node from its start to its end.
//!
//! Binds, raises one worker a CPU, waits for a signal, and sees everybody out. Parses no byte.

mod accept;
pub mod demo;
mod descriptors;
mod inherited;
mod logs;
mod reload;
mod resolver;
mod supervisor;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{info, warn};

use crate::auth::jwt::NoVerifier;
use crate::config::{self, Address, Config};
use crate::mesh;
use crate::metrics::Metrics;
use crate::net::{self, Driver, EventBell, NoDriver};
use crate::quota::Quota;
use crate::shard::{MESH_CAPACITY, Node};
use crate::transport::{Door, Pages};

use inherited::Inherited;
pub use inherited::NotInherited;
pub use logs::{flush as flush_logs, start as start_logs};
pub use reload::Source;
use reload::{Reloader, Terms};
use resolver::Resolver;
use worker::{Crew, Worker};

/// Why a node could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// `server.driver = "io_uring"`, and this process can have no ring.
    #[error("server.driver = \"io_uring\": {0}")]
    NoRing(NoDriver),
    /// A worker cannot run, on any driver.
    #[error("a worker cannot start: {0}")]
    NoDriver(#[from] NoDriver),
    /// The address is taken, or is not this machine's.
    #[error("{key} = \"{address}\": {error}")]
    Bind {
        /// The configuration's key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the kernel said.
        error: io::Error,
    },
    /// The parent process did not pass the socket.
    #[error("{key} = \"systemd:{name}\": {error}")]
    Inherit {
        /// The configuration's key.
        key: &'static str,
        /// The name asked for.
        name: String,
        /// What is wrong.
        error: NotInherited,
    },
    /// Operators' listener is open to others, and there are no keys.
    #[error("admin.address = \"{0}\": without admin.keys only a loopback address, and this one is {1}")]
    Exposed(String, SocketAddr),
    /// No token could be judged with this key.
    #[error("auth: {0}")]
    NoVerifier(#[from] NoVerifier),
    /// The kernel has no descriptors, threads or random bytes to start with.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// The second signal: an operator who does not want to wait.
    #[error("stopped by a second signal before everybody was seen out")]
    Impatient,
}

impl Failed {
    /// The exit code to end with: 78 where trying again will not help.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoRing(_) | Self::NoVerifier(_) | Self::Inherit { .. } | Self::Exposed(..) => {
                crate::cli::EXIT_CONFIGURATION
            }
            _ => crate::cli::EXIT_FAILED,
        }
    }
}

/// What the main thread waits for.
enum Event {
    /// To stop.
    Signal,
    /// To read the configuration again.
    Reload,
    /// A shard has the next configuration ready.
    Prepared,
    /// A worker's runtime is up.
    Ready,
    /// A worker's runtime cannot be had.
    Unable(NoDriver),
    /// After a stop: a shard's last socket is gone.
    Emptied,
}

/// Serves until a signal, then sees everybody out. Returns once nothing is left to do; the process is
/// to exit at once, for the workers' runtimes are never torn down.
///
/// `source` is asked for a new configuration at each SIGHUP; `announce` is called when connections are
/// accepted, with the public addresses.
pub fn serve(
    config: Config,
    pages: Option<Pages>,
    source: Source,
    announce: impl FnOnce(&[SocketAddr]),
) -> Result<(), Failed> {
    // Before anything is bound: a bad key should not cost a connection.
    let config = Arc::new(config);
    let terms = Terms::new(config.clone(), None)?;
    let (events, inbox) = mpsc::channel();
    watch_signals(events.clone())?;
    let listeners = Listeners::bind(&config)?;
    let cpus = net::cpus();
    let workers = if config.server.workers == 0 { cpus.len() } else { config.server.workers };
    let node = new_node(workers, terms.limits.connections)?;
    let worker = Worker { config: config.clone(), terms, pages, node: node.clone(), listeners, cpus };
    let (driver, crew) = raise(&worker, &events, &inbox)?;
    info!(workers, %driver, addresses = ?worker.listeners.public_addresses(), admin = %worker.config.admin.address, "serving");
    supervisor::feed_watchdog(node.clone())?;
    announce(&worker.listeners.public_addresses());
    let shards = crew.start();
    let resolver = Resolver::start(&config, worker.terms.settings.boards.urge(), shards.clone())?;
    let mut reloader = Reloader::new(source, &worker.terms, shards, resolver);
    // Theirs are duplicates: with this one gone, the workers decide how long the port is open.
    drop(worker);
    let status = format!("serving on {driver}");
    supervisor::ready(&status);
    wait_for_the_end(&inbox, &mut reloader, &status);
    let drain = reloader.running().server.drain;
    info!(connections = node.quota.connections(), drain_s = drain.as_secs_f64(), "stopping");
    supervisor::stopping(drain + DRAIN_MARGIN);
    node.quota.stop();
    see_everybody_out(&inbox, &node, drain)
}

/// The listening sockets, each shared by all workers: none that is queued on it is lost when a worker
/// closes its duplicate.
pub(crate) struct Listeners {
    sockets: Vec<(Door, TcpListener)>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Listeners, Failed> {
        let mut inherited = Inherited::from_environment();
        let mut sockets = Vec::new();
        let public =
            config.listeners.iter().map(|listener| (Door::Public, "listener.address", &listener.address));
        for (door, key, address) in public.chain([(Door::Admin, "admin.address", &config.admin.address)]) {
            let opened = match address {
                Address::Socket(address) => {
                    let bound = net::bind(*address, BACKLOG);
                    vec![bound.map_err(|error| Failed::Bind { key, address: *address, error })?]
                }
                Address::Inherited(name) => inherited.take(name).map_err(|error| Failed::Inherit {
                    key,
                    name: name.to_string(),
                    error,
                })?,
            };
            if door == Door::Admin && config.admin.keys.is_empty() {
                refuse_exposed(address, &opened)?;
            }
            sockets.extend(opened.into_iter().map(|socket| (door, socket)));
        }
        Ok(Listeners { sockets })
    }

    fn public_addresses(&self) -> Vec<SocketAddr> {
        let public = self.sockets.iter().filter(|(door, _)| *door == Door::Public);
        public.filter_map(|(_, socket)| socket.local_addr().ok()).collect()
    }
}

/// An inherited socket's address is only known now.
fn refuse_exposed(address: &Address, sockets: &[TcpListener]) -> Result<(), Failed> {
    for socket in sockets {
        let local = socket.local_addr()?;
        if !local.ip().to_canonical().is_loopback() {
            return Err(Failed::Exposed(address.to_string(), local));
        }
    }
    Ok(())
}

fn new_node(workers: usize, connections: usize) -> io::Result<Arc<Node>> {
    let bells = (0..workers).map(|_| EventBell::new().map(Arc::new)).collect::<io::Result<Vec<_>>>()?;
    let metrics = (0..workers).map(|_| Arc::new(Metrics::default())).collect();
    Ok(Arc::new(Node {
        quota: Quota::new(workers, connections, worker::random()),
        metrics,
        started: net::now(),
        started_unix_s: net::unix_s(),
        run: worker::random(),
        bells,
    }))
}

/// Brings all workers up on one driver: on a ring where every one of them can have it, else, unless a
/// ring was asked for, on epoll.
fn raise(worker: &Worker, events: &Sender<Event>, inbox: &Receiver<Event>) -> Result<(Driver, Crew), Failed> {
    if worker.config.server.driver != config::Driver::Epoll {
        // The first check is for the message; only the rings themselves tell whether there is room for all.
        let raised = net::probe().and_then(|reach| {
            if reach == net::Reach::Open {
                warn!(
                    "the rings cannot be restricted to the operations in use: that takes Linux 5.10 and /proc"
                );
            }
            raise_on(Driver::IoUring, worker, events, inbox)
        });
        match raised {
            Ok(crew) => return Ok((Driver::IoUring, crew)),
            Err(error) if worker.config.server.driver == config::Driver::IoUring => {
                return Err(Failed::NoRing(error));
            }
            Err(error) => warn!("falling back to epoll: {error}"),
        }
    }
    Ok((Driver::Epoll, raise_on(Driver::Epoll, worker, events, inbox)?))
}

fn raise_on(
    driver: Driver,
    worker: &Worker,
    events: &Sender<Event>,
    inbox: &Receiver<Event>,
) -> Result<Crew, NoDriver> {
    let ports = mesh::build(worker.node.bells.clone(), MESH_CAPACITY);
    let workers = ports.len();
    let crew = Crew::raise(driver, worker, ports, events);
    let mut unable = None;
    let mut reload = false;
    let mut answered = 0;
    while answered < workers {
        match inbox.recv() {
            Ok(Event::Ready) => answered += 1,
            Ok(Event::Unable(error)) => {
                answered += 1;
                unable = Some(error);
            }
            // A signal this early: there is nothing to see out.
            Ok(Event::Signal) => {
                logs::flush();
                std::process::exit(0);
            }
            Ok(Event::Reload) => reload = true,
            Ok(Event::Prepared | Event::Emptied) | Err(_) => (),
        }
    }
    if reload {
        // The file may have changed since it was read: its turn comes once there are shards to tell.
        let _ = events.send(Event::Reload);
    }
    match unable {
        None => Ok(crew),
        Some(error) => {
            crew.dismiss();
            Err(error)
        }
    }
}

fn watch_signals(events: Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let event = if signal == SIGHUP { Event::Reload } else { Event::Signal };
            if events.send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Reloads when told to, until told to stop.
fn wait_for_the_end(inbox: &Receiver<Event>, reloader: &mut Reloader, status: &str) {
    while let Ok(event) = inbox.recv() {
        let goes_on = match event {
            Event::Signal => false,
            Event::Reload => {
                supervisor::reloading();
                let goes_on = reloader.reload(inbox);
                supervisor::ready(status);
                goes_on
            }
            _ => true,
        };
        if !goes_on {
            return;
        }
    }
}

/// Waits until every shard is empty, but not much longer than the window.
fn see_everybody_out(inbox: &Receiver<Event>, node: &Node, drain: Duration) -> Result<(), Failed> {
    let workers = node.metrics.len();
    let until = net::now() + drain + DRAIN_MARGIN;
    let mut empty = 0;
    while empty < workers {
        match inbox.recv_timeout(until.saturating_duration_since(net::now())) {
            Ok(Event::Emptied) => empty += 1,
            Ok(Event::Signal) => return Err(Failed::Impatient),
            Ok(_) => (),
            Err(_) => {
                let connections = node.quota.connections();
                let notifications: u64 =
                    node.metrics.iter().map(|metrics| metrics.notifications_waiting.value()).sum();
                warn!(connections, notifications, "the drain window is over; the rest is cut off");
                return Ok(());
            }
        }
    }
    info!("everybody is out");
    Ok(())
}

/// Connections that may wait to be accepted; the kernel's net.core.somaxconn caps it.
const BACKLOG: i32 = 4096;
/// Beyond the window, for those told last to take their goodbye.
const DRAIN_MARGIN: Duration = Duration::from_secs(3);

//! Reloading: a new configuration for a node that runs, whole or not at all.
//!
//! It is read and checked whole, and all that can fail is made of it, before any shard hears of it. Then
//! every shard is handed it and says so, and only when all have it are they told to go by it. Listeners,
//! workers and their driver stay what they are until a restart.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use tracing::{error, info, warn};

use super::resolver::Resolver;
use super::{Event, Failed, descriptors};
use crate::auth::rooms;
use crate::backend::{Addresses, Boards};
use crate::config::Config;
use crate::hub::{Keep, Keeper};
use crate::net::{self, sleep};
use crate::shard::{Limits, Shard};
use crate::transport::{Services, Settings};

/// Where a new configuration comes from: all that is wrong with it is the error.
pub type Source = Box<dyn Fn() -> Result<Config, String>>;

/// What a shard goes by.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) settings: Settings,
    pub(super) limits: Limits,
}

impl Terms {
    /// All that a configuration means for a shard, and all of it that can fail.
    pub(super) fn new(config: Arc<Config>, earlier: Option<&Boards>) -> Result<Terms, Failed> {
        let limits = Limits {
            connections: descriptors::connections_max(config.limits.connections, !config.routes.is_empty())?,
            buffered_bytes: config.limits.buffered,
            lag_bytes: config.limits.lag,
            rooms_per_connection: config.limits.rooms_per_connection,
            rooms: config.limits.rooms,
            drain: config.server.drain,
            heartbeat_interval: config.heartbeat.interval,
            heartbeat_timeout: config.heartbeat.timeout,
            stream_heartbeat: config.sse.heartbeat,
        };
        Ok(Terms { settings: Settings::new(config, earlier)?, limits })
    }
}

/// What a shard's homes keep of rooms, by these rules; `None` where no rule keeps anything.
pub(super) fn keeper_of(config: &Arc<Config>) -> Option<Keeper> {
    config.rooms.iter().any(|rule| rule.history.size > 0).then(|| {
        let config = config.clone();
        let keep = move |room: &str| {
            let history = rooms::history_of(&config.rooms, room);
            Keep { publications: history.size, ttl_ms: history.ttl.as_millis() as u64 }
        };
        Box::new(keep) as Keeper
    })
}

/// What the main thread tells a shard.
pub(super) enum Order {
    /// Have this ready, and say so.
    Prepare(Box<Terms>),
    /// Go by it.
    Commit,
    /// Forget it: nothing has changed.
    Abandon,
    /// Names have these addresses now.
    Addresses(Arc<Addresses>),
}

/// The main thread's side.
pub(super) struct Reloader {
    source: Source,
    running: Arc<Config>,
    boards: Arc<Boards>,
    resolver: Resolver,
    shards: Vec<Sender<Order>>,
}

impl Reloader {
    pub(super) fn new(
        source: Source,
        running: &Terms,
        shards: Vec<Sender<Order>>,
        resolver: Resolver,
    ) -> Reloader {
        let Settings { config, boards, .. } = running.settings.clone();
        Reloader { source, running: config, boards, resolver, shards }
    }

    /// The configuration that holds.
    pub(super) fn running(&self) -> &Config {
        &self.running
    }

    /// Reads the configuration again and has all shards go by it; false if a signal to stop came meanwhile.
    pub(super) fn reload(&mut self, inbox: &Receiver<Event>) -> bool {
        let checked = (self.source)().and_then(|mut config| {
            let kept = keep_what_is_fixed(&mut config, &self.running);
            let config = Arc::new(config);
            let terms =
                Terms::new(config.clone(), Some(&self.boards)).map_err(|failed| failed.to_string())?;
            Ok((config, terms, kept))
        });
        let (config, terms, kept) = match checked {
            Ok(checked) => checked,
            Err(complaints) => {
                self.refuse(&complaints);
                return true;
            }
        };
        self.tell(|| Order::Prepare(Box::new(terms.clone())));
        match self.await_all(inbox) {
            Answer::All => (),
            Answer::Stop => return false,
            Answer::Late => {
                self.refuse("a shard did not answer");
                return true;
            }
        }
        if !kept.is_empty() {
            warn!("changed, and taking effect at a restart only: {}", kept.join(", "));
        }
        self.tell(|| Order::Commit);
        self.running = config;
        self.boards = terms.settings.boards;
        self.resolver.set_names(&self.running);
        info!("reloaded");
        true
    }

    fn refuse(&self, why: &str) {
        error!("the reload is refused, and nothing has changed: {why}");
        self.tell(|| Order::Abandon);
    }

    fn tell(&self, order: impl Fn() -> Order) {
        for shard in &self.shards {
            // A shard ends with the process only.
            let _ = shard.send(order());
        }
    }

    fn await_all(&self, inbox: &Receiver<Event>) -> Answer {
        let until = net::now() + ANSWER_WITHIN;
        let mut answered = 0;
        while answered < self.shards.len() {
            match inbox.recv_timeout(until.saturating_duration_since(net::now())) {
                Ok(Event::Prepared) => answered += 1,
                Ok(Event::Signal) => return Answer::Stop,
                // A second SIGHUP finds the same file.
                Ok(_) => (),
                Err(_) => return Answer::Late,
            }
        }
        Answer::All
    }
}

enum Answer {
    All,
    Stop,
    Late,
}

/// A shard's side: does what the main thread orders, for as long as the process lives.
pub(super) async fn obey(
    shard: Rc<Shard>,
    services: Rc<Services>,
    orders: Receiver<Order>,
    events: Sender<Event>,
) {
    let mut prepared = None;
    loop {
        sleep(LOOK_EVERY).await;
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Prepare(terms) => {
                    prepared = Some(terms);
                    let _ = events.send(Event::Prepared);
                }
                Order::Commit => {
                    if let Some(terms) = prepared.take() {
                        shard.set_keeper(keeper_of(&terms.settings.config));
                        services.replace(terms.settings);
                        shard.set_limits(terms.limits);
                        shard.metrics().reloads_total.add(1);
                    }
                }
                Order::Addresses(addresses) => services.station().set_addresses(addresses),
                Order::Abandon => {
                    prepared = None;
                    shard.metrics().reloads_refused_total.add(1);
                }
            }
        }
    }
}

/// Puts what no reload changes back to what is running, and names what was otherwise.
fn keep_what_is_fixed(config: &mut Config, running: &Config) -> Vec<&'static str> {
    let mut kept = Vec::new();
    let mut keep = |name, differs: bool| kept.extend(differs.then_some(name));
    keep("listener", config.listeners != running.listeners);
    keep("admin.address", config.admin.address != running.admin.address);
    keep("server.workers", config.server.workers != running.server.workers);
    keep("server.driver", config.server.driver != running.server.driver);
    keep("server.log_format", config.server.log_format != running.server.log_format);
    config.listeners.clone_from(&running.listeners);
    config.admin.address.clone_from(&running.admin.address);
    config.server.workers = running.server.workers;
    config.server.driver = running.server.driver;
    config.server.log_format = running.server.log_format;
    kept
}

/// How long the shards have to answer; each looks for orders every 100 ms.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Driver;

    #[test]
    fn what_no_reload_changes_is_put_back_and_named() {
        let running = Config::default();
        let mut config = Config::default();
        config.server.workers = 7;
        config.server.driver = Driver::Epoll;
        config.limits.burst = 1;
        assert_eq!(keep_what_is_fixed(&mut config, &running), ["server.workers", "server.driver"]);
        assert_eq!(config.server, running.server);
        assert_eq!(config.limits.burst, 1);
    }
}

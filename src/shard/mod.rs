//! One core's world: its hub, its port to the other cores, and the sockets it holds.
//!
//! A shard drives its hub and moves bytes; it knows no protocol, no route, and of an identity only when
//! it ends. All here runs on one thread. A connection is born in [`Socket::connect`] and dies with its [`Socket`].
//!
//! Whatever panics inside hub, mesh or shard leaves state that nobody may look at again: every entry
//! goes through a guard that ends the process, even where a connection's own panics are caught.

mod answer;
mod ask;
mod delay;
mod drain;
mod flush;
mod question;
mod socket;
mod timers;
mod wheel;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slotmap::{SecondaryMap, SlotMap};
use tracing::warn;

use crate::hub::{self, ConnectionId, ConnectionKey, Hub, Keep, Keeper, Message, ShardId};
use crate::mesh::{self, Port};
use crate::metrics::{Metric, Metrics};
use crate::net::{
    Accepted, Burst, EventBell, Instant, Notify, Stream, Turn, Waiters, Writer, now, sleep, spawn,
};
use crate::protocol::websocket::CloseCode;
use crate::quota::{Quota, Seat};

pub use answer::Pause;
use ask::Asking;
pub use ask::{Call, NoAnswer, QuestionKey};
use delay::Delay;
use drain::Drain;
pub use flush::MESH_CAPACITY;
pub use question::{Answer, Item, Outcome, Page, Question, Whom};
use socket::{Entry, SocketKey};
pub use socket::{Socket, UnderWay};
use timers::{Heartbeat, TICK, Tick, ticks_of};
use wheel::Wheel;

/// What all shards of the node share: numbers, and bells to wake one another.
#[derive(Debug)]
pub struct Node {
    /// Who holds how much.
    pub quota: Quota,
    /// One set of metrics a shard.
    pub metrics: Vec<Arc<Metrics>>,
    /// When the node began: its times count from here.
    pub started: Instant,
    /// The same in Unix seconds.
    pub started_unix_s: u64,
    /// Drawn at the start: tells this run of the program from every other.
    pub run: u64,
    /// One bell a shard.
    pub bells: Vec<Arc<EventBell>>,
}

/// The limits that bite in a shard, and its times.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `limits.connections`, as the process can hold them.
    pub connections: usize,
    /// `limits.buffered`: bytes held for members by the whole process.
    pub buffered_bytes: usize,
    /// `limits.lag`: bytes unsent to one connection.
    pub lag_bytes: usize,
    /// `limits.rooms_per_connection`.
    pub rooms_per_connection: usize,
    /// `limits.rooms`: rooms of the process.
    pub rooms: usize,
    /// `server.drain`: how long goodbyes are spread over when stopping.
    pub drain: Duration,
    /// `heartbeat.interval`: after so long a silence a peer is pinged.
    pub heartbeat_interval: Duration,
    /// `heartbeat.timeout`: how long it then has to be heard.
    pub heartbeat_timeout: Duration,
    /// `sse.heartbeat`: how often a stream is sent a comment.
    pub stream_heartbeat: Duration,
}

impl Limits {
    fn for_hub(&self, shards: usize) -> hub::Limits {
        hub::Limits {
            lag_bytes: self.lag_bytes,
            rooms_per_connection: self.rooms_per_connection,
            history_bytes: (self.buffered_bytes / HISTORY_SHARE / shards) as u64,
            connections: self.connections,
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            interval: ticks_of(self.heartbeat_interval),
            timeout: ticks_of(self.heartbeat_timeout),
            comment: ticks_of(self.stream_heartbeat),
        }
    }

    /// How long a peer may leave what it was sent unanswered.
    fn unheard_max(&self) -> Duration {
        self.heartbeat_interval + self.heartbeat_timeout
    }
}

/// What travels between cores.
pub enum Parcel {
    /// What hubs say to one another.
    Hub(Message),
    /// A socket that was accepted on another core and has its place on this one.
    Arrival(Arrival),
    /// A shard asks something for the API.
    Question(QuestionKey, Box<Question>),
    /// The answer.
    Answer(QuestionKey, Box<Answer>),
}

/// A socket that was let in.
#[derive(Debug)]
pub struct Arrival {
    /// The socket.
    pub accepted: Accepted,
    /// Its seat, where it is counted for its address already.
    pub seat: Option<Seat>,
}

/// A shard's end of the mesh.
pub type ShardPort = Port<Parcel, EventBell>;

impl Node {
    /// How long the node has been running.
    pub fn elapsed(&self) -> Duration {
        now() - self.started
    }
}

impl mesh::Bell for EventBell {
    fn ring(&self) {
        EventBell::ring(self);
    }
}

/// Takes up a socket that has its place here: the transport's way in.
pub type Door = Box<dyn Fn(&Rc<Shard>, Arrival)>;

/// One core's world.
pub struct Shard {
    index: usize,
    node: Arc<Node>,
    limits: Cell<Limits>,
    heartbeat: Cell<Heartbeat>,
    hub: RefCell<Hub>,
    keeps_history: Cell<bool>,
    port: RefCell<ShardPort>,
    sockets: RefCell<SlotMap<SocketKey, Entry>>,
    outlets: RefCell<SecondaryMap<ConnectionKey, Outlet>>,
    wheel: RefCell<Wheel<SocketKey>>,
    /// Where every read of this core lands: what it brings is used up or moved out before the next.
    scratch: RefCell<Box<[u8]>>,
    /// Those who wait for a home, by its shard.
    waiters: Vec<Waiters>,
    asking: Asking,
    flusher: Notify,
    /// Connections still to be written to of those that were behind when the sweep began.
    sweep_left: Cell<usize>,
    door: Door,
    tick: Cell<Tick>,
    delay: Cell<Delay>,
    drain: RefCell<Option<Drain>>,
    /// Sockets that a drain neither cuts nor waits for.
    outlasting: Cell<usize>,
    stopped: Notify,
    emptied: Notify,
}

/// The way out to a connection.
struct Outlet {
    socket: SocketKey,
    stream: Stream,
    /// Away while what was left of a send is written.
    writer: Option<Writer>,
    /// Somebody waits for the next write to end.
    written: Option<Rc<Notify>>,
}

impl Shard {
    /// The shard of this thread, with nobody in it yet. It lives once [`Shard::run`] has been called.
    pub fn new(
        node: Arc<Node>,
        limits: Limits,
        port: ShardPort,
        seeds: hub::Options,
        door: Door,
    ) -> Rc<Shard> {
        Rc::new(Shard {
            index: port.index(),
            hub: RefCell::new(Hub::new(seeds, limits.for_hub(port.shards()))),
            keeps_history: Cell::new(false),
            waiters: (0..port.shards()).map(|_| Waiters::new()).collect(),
            asking: Asking::new(port.shards()),
            port: RefCell::new(port),
            sockets: RefCell::new(SlotMap::with_capacity_and_key(limits.connections)),
            outlets: RefCell::new(SecondaryMap::with_capacity(limits.connections)),
            wheel: RefCell::new(Wheel::new()),
            scratch: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            flusher: Notify::new(),
            sweep_left: Cell::new(0),
            door,
            tick: Cell::new(0),
            delay: Cell::default(),
            drain: RefCell::new(None),
            outlasting: Cell::new(0),
            stopped: Notify::new(),
            emptied: Notify::new(),
            limits: Cell::new(limits),
            heartbeat: Cell::new(limits.heartbeat()),
            node,
        })
    }

    /// Starts the shard's own tasks: the flusher, the ear for other cores' bells, the clock.
    pub fn run(self: &Rc<Self>) -> io::Result<()> {
        let ear = self.node.bells[self.index].listen()?;
        let turn = Turn::new()?;
        let burst = Burst::new().unwrap_or_else(|error| {
            warn!(%error, shard = self.index, "no ring for sends: each of them is a system call now");
            Burst::one_by_one()
        });
        spawn(flush::flush_forever(self.clone(), turn, burst));
        let shard = self.clone();
        spawn(async move {
            while ear.rang().await.is_ok() {
                shard.flusher.notify();
            }
        });
        let shard = self.clone();
        spawn(async move {
            loop {
                sleep(TICK).await;
                shard.on_tick();
            }
        });
        Ok(())
    }

    /// Which shard this is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What it shares with the others.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The limits that hold now.
    pub fn limits(&self) -> Limits {
        self.limits.get()
    }

    /// Other limits hold from now on; what is beyond them already is not cut back.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
        self.heartbeat.set(limits.heartbeat());
        self.with_hub(|hub| hub.set_limits(limits.for_hub(self.waiters.len())));
    }

    /// What is kept of rooms whose home is here, from now on; `None`: nothing, of any room.
    pub fn set_keeper(&self, keeper: Option<Keeper>) {
        self.keeps_history.set(keeper.is_some());
        self.with_hub(|hub| hub.set_keeper(keeper.unwrap_or_else(|| Box::new(|_| Keep::NONE))));
    }

    /// Whether a publication may open a room, since some room has a history.
    pub fn keeps_history(&self) -> bool {
        self.keeps_history.get()
    }

    /// This shard's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.node.metrics[self.index]
    }

    /// Lends what every read of this core lands in: what it brings is used up or moved out before the next.
    pub fn with_scratch<R>(&self, call: impl FnOnce(&mut [u8]) -> R) -> R {
        call(&mut self.scratch.borrow_mut())
    }

    /// A local connection's name in the node.
    pub fn connection_id(&self, key: ConnectionKey) -> ConnectionId {
        ConnectionId { shard: ShardId(self.index as u16), key }
    }

    /// Puts a socket, accepted here, where its place is: on the shard with the fewest. Without a place
    /// it is handed back, to be turned away.
    pub fn place(self: &Rc<Self>, arrival: Arrival) -> Result<(), Arrival> {
        self.metrics().accepted_total.add(1);
        let Some(shard) = self.node.quota.place(self.index, self.limits.get().connections) else {
            self.metrics().refused_total.add(1);
            return Err(arrival);
        };
        if shard == self.index {
            (self.door)(self, arrival);
            return Ok(());
        }
        let pushed = self.port.borrow_mut().push(shard, Parcel::Arrival(arrival));
        match pushed {
            Ok(()) => self.flusher.notify(),
            // A full lane: rather uneven than late.
            Err(Parcel::Arrival(arrival)) => {
                self.node.quota.move_place(shard, self.index);
                (self.door)(self, arrival);
            }
            Err(_) => unreachable!("the lane hands back what it was given"),
        }
        Ok(())
    }

    /// Calls into the hub; what it has to send goes out at the end of the turn.
    pub fn with_hub<R>(&self, call: impl FnOnce(&mut Hub) -> R) -> R {
        let _torn = AbortOnPanic;
        self.flusher.notify();
        call(&mut self.hub.borrow_mut())
    }

    /// The rooms that a connection is in, or was when it was told goodbye ([`Hub::rooms_of`]). Changes nothing, so that
    /// it may be asked on the way out of a panic.
    pub fn rooms_of(&self, key: ConnectionKey) -> Vec<Arc<str>> {
        self.hub.borrow().rooms_of(key)
    }

    /// Waits until a home has moved on, for a command that was told [`hub::Step::Wait`].
    pub async fn wait_for(&self, home: ShardId) {
        self.waiters[usize::from(home.0)].park().await;
    }

    /// Waits until this shard has been told to stop.
    pub async fn stopped(&self) {
        self.stopped.notified().await;
    }

    /// Waits until, after a stop, the last socket is gone.
    pub async fn emptied(&self) {
        self.emptied.notified().await;
    }

    /// Tells a connection goodbye: it leaves all rooms, is sent what it still lacks and a close frame,
    /// and has `within` to take it.
    pub fn dismiss(&self, key: ConnectionKey, code: CloseCode, reason: &str, within: Duration) {
        let closes = &self.metrics().closes;
        self.see_out((key, closes.by_code(code.to_wire())), code, reason, within);
    }

    /// The same for a peer that said goodbye itself.
    pub fn answer_close(&self, key: ConnectionKey, code: CloseCode, within: Duration) {
        self.see_out((key, self.metrics().closes.by_peer()), code, "", within);
    }

    fn see_out(
        &self,
        (key, count): (ConnectionKey, &Metric),
        code: CloseCode,
        reason: &str,
        within: Duration,
    ) {
        let known = self.with_hub(|hub| {
            let known = hub.is_leaving(key);
            hub.say_goodbye(key, code, reason);
            known
        });
        // Who was told before, or is answering, is counted already.
        count.add(u64::from(!known));
        let socket = self.outlets.borrow().get(key).map(|outlet| outlet.socket);
        if let Some(socket) = socket {
            self.set_deadline(socket, within, std::net::Shutdown::Both);
        }
    }

    fn on_tick(self: &Rc<Self>) {
        let _torn = AbortOnPanic;
        let elapsed = self.node.elapsed();
        let tick = Tick::try_from(elapsed.as_millis() / TICK.as_millis()).unwrap_or(Tick::MAX);
        self.tick.set(tick);
        self.metrics().ticks_total.add(1);
        self.watch_delay(elapsed);
        self.with_hub(|hub| hub.pass_time(elapsed.as_millis() as u64));
        self.expire(tick);
        if self.node.quota.is_stopping() {
            self.drain_tick();
        }
        self.publish_census();
    }

    fn watch_delay(&self, elapsed: Duration) {
        let mut delay = self.delay.get();
        let longest = delay.on_tick(elapsed);
        self.delay.set(delay);
        self.metrics().tick_delay_seconds.set(longest.as_micros() as u64);
    }

    fn publish_census(&self) {
        let (census, counts) = {
            let hub = self.hub.borrow();
            (hub.census(), hub.counts())
        };
        let metrics = self.metrics();
        metrics.connections.set(census.connections as u64);
        metrics.sockets.set(self.sockets.borrow().len() as u64);
        metrics.rooms.set(census.rooms as u64);
        metrics.members.set(census.members as u64);
        metrics.homes.set(census.homes as u64);
        metrics.log_bytes.set(census.log_bytes as u64);
        metrics.outbox_bytes.set(census.outbox_bytes as u64);
        metrics.home_bytes.set(census.home_bytes);
        metrics.history_bytes.set(census.history_bytes);
        metrics.published_total.set(counts.accepted);
        metrics.appended_total.set(counts.appended);
        metrics.encoded_total.set(counts.encoded);
        metrics.gaps_total.set(counts.gaps);
        metrics.recovered_total.set(counts.recovered);
        metrics.unrecovered_total.set(counts.unrecovered);
        metrics.history_evicted_total.set(counts.history_evicted);
        metrics.too_slow_total.set(counts.too_slow);
        metrics.waits_total.set(counts.waited);
        metrics.rooms_refused_total.set(counts.rooms_refused);
    }
}

/// Ends the process when a panic passes through it: what it guards may be torn.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic hook has said what and where; systemd starts us anew.
            std::process::abort();
        }
    }
}

/// Of `limits.buffered`, so great a part is for histories at most: a half. The rest is for those who are behind.
const HISTORY_SHARE: usize = 2;
/// How long a peer has to take a goodbye and hang up.
pub const GOODBYE_WITHIN: Duration = Duration::from_secs(10);
/// One read's worth: large messages come in few reads, and a core has one such buffer. (At 64 KiB four
/// messages of 16 KiB came in two reads, the second of 32 bytes: 15 % more an echo.)
const READ_BYTES: usize = 128 << 10;

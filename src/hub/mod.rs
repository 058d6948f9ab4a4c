//! Rooms, logs and cursors of one shard, and all that homes and shards say to one another.
//!
//! A state machine: it touches no socket, no clock and no thread, so the simulator and the workers run
//! the same code. A shard drives it like this:
//!
//! 1. Connections come by [`Hub::connect`] and go by [`Hub::disconnect`]. In between they
//!    [`Hub::join`], [`Hub::leave`] and [`Hub::publish`]; what is for one of them alone goes through
//!    [`Hub::reply`]. [`Step::Wait`] says which home has to catch up before the same call is made again.
//! 2. What other shards said goes to [`Hub::on_message`].
//! 3. At the end of a turn [`Hub::push`] fills the lanes, [`Hub::end_turn`] seals the rooms' chunks,
//!    and [`Hub::poll_writable`] names connections that are behind: each is asked for a
//!    [`Hub::batch`], which is written and then reported by [`Hub::on_written`]; who is behind again by
//!    then is named again.
//! 4. [`Hub::poll_dismissed`] names connections that are being closed though nobody asked for it.
//!
//! A member never counts; positions are the home's. Waiting is not an error, and whatever a peer does
//! is an error value: a panic in here is a defect of ours, and the process must not survive it.

mod chunk;
mod connection;
mod delivery;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod history;
mod home;
mod idempotency;
mod lanes;
mod log;
mod look;
mod message;
mod peer;
mod publication;
mod recovery;
mod room;
#[cfg(any(test, feature = "fuzz"))]
mod simulation;
mod stream;
mod users;

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::num::NonZero;
use std::sync::Arc;

use bytes::BytesMut;
use foldhash::quality::FixedState;
use slotmap::SlotMap;

use connection::Connection;
use history::Shelf;
pub use history::{Keep, Keeper, Read};
use home::{Home, HomeKey};
use idempotency::Idempotency;
pub use idempotency::Once;
pub use look::{ConnectionScan, NameScan, Relation, Seen, Whose};
use message::ReceiptKey;
pub use message::{
    ConnectionId, ConnectionKey, Credit, Lanes, Message, Past, Position, RoomKey, ShardId, Since,
};
use peer::Peer;
pub use publication::{Exclude, Publication};
use recovery::Standing;
pub use room::Join;
use room::Room;
pub use stream::Wire;
use users::Users;

use crate::protocol::native::{self, RequestId};
use crate::protocol::sse::{self, Framing};
use crate::protocol::websocket::{CloseCode, Opcode, encode_close, encode_frame};

/// What makes this hub the one it is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Its own number.
    pub shard: ShardId,
    /// How many shards the node has.
    pub shards: u16,
    /// Seeds the hashes of names and decides every room's home: one for the whole node, and secret.
    pub name_seed: u64,
    /// Seeds the epochs of this hub's homes.
    pub epoch_seed: u64,
}

/// The limits that bite in the hub.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `limits.lag`: bytes that may be unsent to a connection whose write does not finish.
    pub lag_bytes: usize,
    /// `limits.rooms_per_connection`.
    pub rooms_per_connection: usize,
    /// What all histories of homes here may cost together, in bytes.
    pub history_bytes: u64,
    /// Connections that room is reserved for: a table that grows leaves its old copies behind.
    pub connections: usize,
}

/// How far a command got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// It took effect, or will, in its order.
    Done,
    /// Nothing happened: this home has to catch up first. The connection reads no more until then.
    Wait(ShardId),
}

/// Why a command was refused; the connection stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `limits.rooms_per_connection` is reached.
    #[error("the connection is in as many rooms as it may be")]
    TooManyRooms,
    /// `limits.rooms` is reached.
    #[error("the node has as many rooms as it may have")]
    NodeFull,
    /// One can only leave where one is.
    #[error("not a member of this room")]
    NotJoined,
    /// A stream is in the rooms that it asked for, and in no others.
    #[error("a stream joins no room but those that it asked for")]
    FixedRooms,
}

/// What is there, as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Connections.
    pub connections: usize,
    /// Rooms with local members.
    pub rooms: usize,
    /// Memberships of local connections, those that wait for an answer included.
    pub members: usize,
    /// Rooms whose home is here.
    pub homes: usize,
    /// Bytes of encoded publications that some local member still has to be sent.
    pub log_bytes: usize,
    /// Bytes in outboxes.
    pub outbox_bytes: usize,
    /// Cost of publications that homes hold, for shards that lag and as history, in bytes.
    pub home_bytes: u64,
    /// Cost of those in homes with history, in bytes.
    pub history_bytes: u64,
}

/// What happened, counted from the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Publications accepted by homes here.
    pub accepted: u64,
    /// Publications appended to logs here.
    pub appended: u64,
    /// Encodings of those, one for each wire format that the room's members here are told in.
    pub encoded: u64,
    /// Gaps that members here were told of.
    pub gaps: u64,
    /// Connections closed because they exceeded the lag or the process held too much.
    pub too_slow: u64,
    /// Commands that had to wait for a home.
    pub waited: u64,
    /// Rooms that homes here refused to open.
    pub rooms_refused: u64,
    /// Members who came back with a place and got all that they had missed.
    pub recovered: u64,
    /// Members who came back with a place that is not held any more, or too far behind.
    pub unrecovered: u64,
    /// Publications dropped from histories because all of them together were too much.
    pub history_evicted: u64,
}

/// The rooms of one shard.
pub struct Hub {
    options: Options,
    limits: Limits,
    /// Not the hash of the tables here: rooms of one home would crowd in a part of each.
    home_hash: FixedState,
    epochs: u64,
    connections: SlotMap<ConnectionKey, Connection>,
    users: Users,
    rooms: SlotMap<RoomKey, Room>,
    rooms_by_name: HashMap<Arc<str>, RoomKey, FixedState>,
    homes: SlotMap<HomeKey, Home>,
    homes_by_name: HashMap<Arc<str>, HomeKey, FixedState>,
    homes_max: usize,
    keeper: Keeper,
    shelf: Shelf,
    now_ms: u64,
    peers: Vec<Peer>,
    receipts: SlotMap<ReceiptKey, (ConnectionKey, RequestId)>,
    idempotency: Idempotency,
    dirty_rooms: Vec<RoomKey>,
    writable: VecDeque<ConnectionKey>,
    too_slow: VecDeque<ConnectionKey>,
    dismissed: VecDeque<(ConnectionKey, CloseCode)>,
    fences: u64,
    /// Of connections that are watched and were told goodbye: the rooms they were in. They go with the connection.
    last_rooms: HashMap<ConnectionKey, Box<[Arc<str>]>, FixedState>,
    census: Census,
    counts: Counts,
}

impl Hub {
    /// An empty hub.
    pub fn new(options: Options, limits: Limits) -> Hub {
        let hash = FixedState::with_seed(options.name_seed);
        let share = u32::from(options.shards);
        let credit = Credit { publications: CREDIT_PUBLICATIONS, bytes: CREDIT_BYTES / u64::from(share) };
        Hub {
            options,
            limits,
            home_hash: FixedState::with_seed(options.name_seed.rotate_left(32)),
            epochs: options.epoch_seed,
            connections: SlotMap::with_capacity_and_key(limits.connections),
            users: Users::new(FixedState::with_seed(options.name_seed.rotate_left(16))),
            rooms: SlotMap::with_key(),
            rooms_by_name: HashMap::with_hasher(hash.clone()),
            homes: SlotMap::with_key(),
            homes_by_name: HashMap::with_hasher(hash.clone()),
            homes_max: usize::MAX,
            keeper: Box::new(|_| Keep::NONE),
            shelf: Shelf::default(),
            now_ms: 0,
            peers: (0..options.shards).map(|_| Peer::new(credit, hash.clone())).collect(),
            receipts: SlotMap::with_key(),
            idempotency: Idempotency::new(options.name_seed.rotate_left(48)),
            dirty_rooms: Vec::new(),
            writable: VecDeque::new(),
            too_slow: VecDeque::new(),
            dismissed: VecDeque::new(),
            fences: 0,
            last_rooms: HashMap::with_hasher(FixedState::default()),
            census: Census::default(),
            counts: Counts::default(),
        }
    }

    /// Other limits hold from now on; a connection that is beyond them already keeps its rooms.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Rooms that may have their home here. Those that have it already stay.
    pub fn set_homes_max(&mut self, homes_max: usize) {
        self.homes_max = homes_max;
    }

    /// Whether a room may have its home here: it has, or there is a place for another, if need be that of one
    /// which nobody is in any more.
    fn may_open(&mut self, name: &str) -> bool {
        self.homes_by_name.contains_key(name)
            || self.homes.len() < self.homes_max
            || self.homes_max > 0 && self.close_lingering() && self.homes.len() < self.homes_max
    }

    /// The shard that puts this room's publications in order.
    pub fn home_of(&self, room: &str) -> ShardId {
        ShardId((self.home_hash.hash_one(room) % u64::from(self.options.shards)) as u16)
    }

    /// Which shard this is.
    pub fn shard(&self) -> ShardId {
        self.options.shard
    }

    /// A connection of `user` is there, a member of nothing yet.
    pub fn connect(&mut self, user: Arc<str>, wire: Wire) -> ConnectionKey {
        let key = self.connections.insert(Connection::new(user, wire));
        self.users.enter(&mut self.connections, key);
        key
    }

    /// A connection is gone: it is taken out of every room.
    pub fn disconnect(&mut self, key: ConnectionKey) {
        if !self.connections.contains_key(key) {
            return;
        }
        self.leave_all(key, Unsent::Dropped);
        self.last_rooms.remove(&key);
        self.users.leave(&mut self.connections, key);
        if let Some(connection) = self.connections.remove(key) {
            self.census.outbox_bytes -=
                connection.outbox.len() + connection.flight_bytes + connection.copied_bytes();
        }
    }

    /// Orders a publication by a connection into a room: all members get it but those it excludes.
    /// With `request`, the connection is sent an ack once it has its place in the order. Of one that is leaving nothing
    /// is published, as it joins nothing.
    pub fn publish(
        &mut self,
        from: ConnectionKey,
        room: &str,
        publication: &Arc<Publication>,
        request: Option<&RequestId>,
    ) -> Step {
        if self.is_leaving(from) {
            return Step::Done;
        }
        let home = self.home_of(room);
        let cost = Credit::of(publication);
        if !self.is_open_towards(home, cost) {
            self.counts.waited += 1;
            return Step::Wait(home);
        }
        self.peers[home.index()].credit.take(cost);
        if home == self.options.shard {
            let position = self.accept(home, room, publication);
            if let Some(request) = request {
                self.acknowledge(from, request, Standing::published(position));
            }
        } else {
            let receipt = request.map(|request| self.receipts.insert((from, request.clone())));
            let message = Message::Publish { room: room.into(), publication: publication.clone(), receipt };
            self.peers[home.index()].publishes.push_back(message);
        }
        Step::Done
    }

    /// Whether a publication of this cost may go to that home now. A credit that is whole lets any one
    /// publication pass, however large: else it never could.
    fn is_open_towards(&self, home: ShardId, cost: Credit) -> bool {
        let credit = self.peers[home.index()].credit;
        credit.publications > 0 && credit.bytes >= cost.bytes || credit.publications == CREDIT_PUBLICATIONS
    }

    /// How many commands that had to wait for this home are worth another try, since the last call. As
    /// long as any wait, something is under way there, so none is forgotten.
    pub fn poll_progress(&mut self, home: ShardId) -> u32 {
        std::mem::take(&mut self.peers[home.index()].progress)
    }

    /// Puts something into one connection's outbox. False if it takes nothing any more.
    pub fn reply(&mut self, key: ConnectionKey, encode: impl FnOnce(&mut BytesMut)) -> bool {
        let Some(connection) = self.connections.get_mut(key).filter(|connection| !connection.leaving) else {
            return false;
        };
        let before = connection.outbox.len();
        connection.outbox.encode(encode);
        self.census.outbox_bytes += connection.outbox.len() - before;
        self.list(key);
        true
    }

    /// Orders a publication of the application's into a room whose home is here.
    pub fn publish_here(&mut self, room: &str, publication: &Arc<Publication>) -> Accepted {
        let home = self.options.shard;
        let cost = Credit::of(publication);
        if !self.is_open_towards(home, cost) {
            self.counts.waited += 1;
            return Accepted::Wait;
        }
        self.peers[home.index()].credit.take(cost);
        Accepted::At(self.accept(home, room, publication))
    }

    fn acknowledge(&mut self, key: ConnectionKey, request: &RequestId, standing: Standing) {
        let Standing { position, recovered } = standing;
        // A stream asks for nothing that could be acknowledged.
        self.reply(key, |out| {
            native::encode_ack(out, request, position.map(Position::text).as_deref(), recovered)
        });
    }

    /// Asks a connection's peer for a sign of life, or gives a stream's one.
    pub fn ping(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get(key) else { return };
        let framing = connection.stream.as_ref().map(|stream| stream.framing);
        self.reply(key, |out| match framing {
            None => encode_frame(out, Opcode::Ping, b""),
            Some(framing) => sse::encode_heartbeat(out, framing),
        });
    }

    /// Takes a connection out of every room, sends it what it still lacks there, then a close frame.
    /// It takes no more commands; what it asked for before is not undone.
    pub fn say_goodbye(&mut self, key: ConnectionKey, code: CloseCode, reason: &str) {
        if self.connections.get(key).is_none_or(|connection| connection.leaving) {
            return;
        }
        self.leave_all(key, Unsent::Sent);
        let framing = self.connections[key].stream.as_ref().map(|stream| stream.framing);
        self.reply(key, |out| encode_goodbye(out, framing, code, reason));
        if let Some(connection) = self.connections.get_mut(key) {
            connection.leaving = true;
        }
    }

    /// A fence: once [`Hub::fence_passed`] has reached the number returned, all that any home of this
    /// node had accepted before has been put into the logs here.
    pub fn raise_fence(&mut self) -> u64 {
        self.fences += 1;
        for (_, peer) in
            self.peers.iter_mut().enumerate().filter(|(shard, _)| *shard != self.options.shard.index())
        {
            peer.fence.wanted = self.fences;
        }
        self.fences
    }

    /// The last fence that passed.
    pub fn fence_passed(&self) -> u64 {
        let others = self.peers.iter().enumerate().filter(|(shard, _)| *shard != self.options.shard.index());
        others.map(|(_, peer)| peer.fence.passed).min().unwrap_or(self.fences)
    }

    /// What is there.
    pub fn census(&self) -> Census {
        Census {
            connections: self.connections.len(),
            rooms: self.rooms.len(),
            homes: self.homes.len(),
            ..self.census
        }
    }

    /// What happened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes held for members and for shards that lag: logs and outboxes.
    pub fn buffered_bytes(&self) -> usize {
        self.census.log_bytes + self.census.outbox_bytes + self.census.home_bytes as usize
    }

    /// Bytes in a connection's outbox, a write in flight included: what it asked for and does not read.
    pub fn outbox_bytes(&self, key: ConnectionKey) -> usize {
        self.connections.get(key).map_or(0, |connection| connection.outbox.len() + connection.flight_bytes)
    }

    /// Whether a connection has been told goodbye, or will be: it takes no more commands.
    pub fn is_leaving(&self, key: ConnectionKey) -> bool {
        self.connections.get(key).is_none_or(|connection| connection.leaving)
    }

    /// All connections.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionKey> {
        self.connections.keys()
    }

    /// An even spread of epochs from the seed (splitmix64).
    fn draw_epoch(&mut self) -> NonZero<u32> {
        self.epochs = self.epochs.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.epochs;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        NonZero::new((mixed >> 32) as u32).unwrap_or(NonZero::<u32>::MIN)
    }
}

/// What became of a publication at its room's home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It has its place, which in a room with history is just before this one.
    At(Option<Position>),
    /// Nothing happened: members on other shards have to catch up first ([`Hub::poll_progress`] of this shard).
    Wait,
}

/// The last that a connection is told.
fn encode_goodbye(out: &mut BytesMut, framing: Option<Framing>, code: CloseCode, reason: &str) {
    match framing {
        None => encode_close(out, code, reason),
        Some(framing) => stream::encode_goodbye(out, framing, code, reason),
    }
}

/// What happens to what a leaving connection was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsent {
    Sent,
    Dropped,
}

/// What a client is told when `limits.rooms` is reached.
pub const NODE_FULL: &str = "limits.rooms is reached: the node has as many rooms as it may have";
/// Publications that a shard may have unreleased at one home.
const CREDIT_PUBLICATIONS: u32 = 512;
/// What these may cost, in bytes, over all the shards of a node that publish to one home.
const CREDIT_BYTES: u64 = 8 << 20;
/// Joins that a shard may have unanswered at one home.
const JOINS_UNANSWERED_MAX: u32 = 4096;
/// Changes of interest that may wait for one lane before joins have to.
const INTERESTS_MAX: usize = 4096;
/// Slices of rooms' logs that a batch takes, give or take a chunk: a bound on what a stalled write costs, 2 KiB. What
/// stands in the outbox comes besides.
const BATCH_SLICES_MAX: usize = 64;

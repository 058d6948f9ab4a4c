//! What shards ask of one another for the API, and what they answer: values, which cross from core to core.
//!
//! Every question can be asked of any shard, the own one too. Decides nothing.

use std::sync::Arc;

use crate::hub::{ConnectionId, ConnectionKey, Position, Publication, Read, Seen, Since, Whose};
use crate::protocol::websocket::CloseCode;

/// Asked of one shard.
#[derive(Debug)]
pub enum Question {
    /// The first rooms with their home there, in the order of names.
    Rooms(Page<Box<str>>),
    /// The first users with connections there, in the order of names.
    Users(Page<Box<str>>),
    /// The first connections there, in the order of names.
    Connections(Whose, Page<ConnectionId>),
    /// How many members each of these rooms has there.
    Members(Vec<Arc<str>>),
    /// Where the order of a room stands: of its home alone.
    Position(Box<str>),
    /// What is held of a room, from a place on, the oldest so many: of its home alone.
    History(Box<str>, Option<Since>, usize),
    /// To publish these, in this order, into rooms whose home is there.
    Publish(Vec<Item>),
    /// To make connections there members of a room.
    Join(Whom, Box<str>),
    /// To take connections there out of a room.
    Leave(Whom, Box<str>),
    /// To say goodbye to connections there, with this reason.
    Dismiss(Whom, CloseCode, Box<str>),
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page<N> {
    /// Only what comes behind this name.
    pub after: Option<N>,
    /// So many at most.
    pub limit: usize,
}

/// Connections of a shard.
#[derive(Debug, Clone)]
pub enum Whom {
    /// All that this user has there.
    User(Box<str>),
    /// This one.
    Connection(ConnectionKey),
}

/// A publication for a room.
#[derive(Debug, Clone)]
pub struct Item {
    /// The room.
    pub room: Box<str>,
    /// What to publish.
    pub publication: Arc<Publication>,
    /// Not again if it was published under this id.
    pub id: Option<Box<str>>,
}

/// The answer of one shard, of the kind that the question asks for.
#[derive(Debug)]
pub enum Answer {
    /// Rooms, or users with their numbers of connections there.
    Names(Vec<(Arc<str>, usize)>),
    /// Connections.
    Connections(Vec<(ConnectionId, Seen)>),
    /// As many numbers as rooms were named.
    Members(Vec<usize>),
    /// A position, where the room has one.
    Position(Option<Position>),
    /// What is held; none where no rule keeps anything.
    History(Option<Box<Read>>),
    /// One outcome an item, in their order.
    Published(Vec<Outcome>),
    /// What changed.
    Changed {
        /// There is such a connection, or such a user, there.
        known: bool,
        /// Connections for which it made a difference.
        count: usize,
    },
    /// As much is asked there as may be: nothing was done.
    Busy,
}

/// What came of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has its place in the order; the place behind it, where the room has positions.
    At(Option<Position>),
    /// The room's home could not take it in time, or remembers as many ids as it may. It is not published.
    Busy,
}

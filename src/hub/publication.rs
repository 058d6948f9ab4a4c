//! A publication: a message bound for a room, and who in the room is not to have it.
//!
//! Made once, where it enters the node, and shared from there by every shard that has members: it is
//! never changed and knows neither its position nor its wire format.

use smallvec::SmallVec;

use super::ConnectionId;

/// A message bound for a room.
#[derive(Debug, Default)]
pub struct Publication {
    /// The name of the event, if it has one.
    pub event: Option<Box<str>>,
    /// Any JSON value, byte for byte as it came.
    pub payload: Box<[u8]>,
    /// Who is passed over.
    pub exclude: Exclude,
}

impl Publication {
    /// What it costs to hold, in bytes: the measure of credit and of lag between shards.
    pub fn cost(&self) -> u64 {
        (self.payload.len() + self.event.as_ref().map_or(0, |event| event.len()) + OVERHEAD_BYTES) as u64
    }
}

/// Members that a publication passes over, named where it was published and resolved by every shard
/// for its own members when it appends.
#[derive(Debug, Default)]
pub struct Exclude {
    /// These connections: the sender, mostly.
    pub connections: SmallVec<[ConnectionId; 1]>,
    /// All connections of these users.
    pub users: Box<[Box<str>]>,
    /// The members of these rooms. To publish "to A and B" is to publish to A, then to B except A.
    pub rooms: Box<[Box<str>]>,
}

impl Exclude {
    /// Passes over one connection.
    pub fn connection(connection: ConnectionId) -> Exclude {
        Exclude { connections: SmallVec::from_buf([connection]), ..Exclude::default() }
    }

    /// Passes over connections, by their names, users and rooms; none if there can be no connection of such a name.
    pub fn named(connections: &[Box<str>], users: Vec<Box<str>>, rooms: Vec<Box<str>>) -> Option<Exclude> {
        let connections = connections.iter().map(|name| ConnectionId::parse(name)).collect::<Option<_>>()?;
        Some(Exclude { connections, users: users.into(), rooms: rooms.into() })
    }
}

/// The struct, its reference counts and the entry in a home's log, roughly.
const OVERHEAD_BYTES: usize = 160;

//! What homes and shards say to one another.
//!
//! Everything between two shards is one of these, on the one lane that leads from the one to the
//! other, in order. A room is named by its key at the shard that has the members: a key is never used
//! twice, so it is the generation of that shard's interest too, and what is said about an interest
//! that was given up in the meantime finds no room and is ignored.

use std::fmt;
use std::sync::Arc;

use slotmap::new_key_type;

use super::Publication;

new_key_type! {
    /// A connection at its shard.
    pub struct ConnectionKey;
    /// A room with members at a shard. A room that empties and fills again has another key.
    pub struct RoomKey;
    /// A publication whose acknowledgement a connection waits for.
    pub struct ReceiptKey;
}

/// The number of a shard, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl ShardId {
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A connection, anywhere in the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// The shard that holds it.
    pub shard: ShardId,
    /// Its key there.
    pub key: ConnectionKey,
}

impl fmt::Display for ConnectionId {
    /// As clients and operators see it: 20 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use slotmap::Key;
        write!(f, "{:04x}{:016x}", self.shard.0, self.key.data().as_ffi())
    }
}

/// A place in a room's one order: its next publication has this offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Drawn when the home entry is made: offsets of different epochs cannot be compared.
    pub epoch: u32,
    /// Publications of this epoch before this place.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.epoch, self.offset)
    }
}

/// Said by one shard to another.
#[derive(Debug)]
pub enum Message {
    /// To a home: my members want this room, from now on under this key. An earlier key is void.
    Wanted {
        /// The room.
        room: Arc<str>,
        /// Its key at the shard that speaks.
        key: RoomKey,
    },
    /// To a home: I have no members of this room any more.
    Unwanted {
        /// The room.
        room: Arc<str>,
    },
    /// To a home: order this publication.
    Publish {
        /// The room.
        room: Box<str>,
        /// What to publish.
        publication: Arc<Publication>,
        /// Named in the acknowledgement, if one is waited for.
        receipt: Option<ReceiptKey>,
    },
    /// To a home: say [`Message::FencePassed`] when all that you accepted so far is on its way to me.
    Fence(u64),
    /// From a home: your members of this room have all from this position on.
    Joined {
        /// The room at the shard spoken to.
        key: RoomKey,
        /// Where the home's cursor for that shard stood when this entered the ring.
        position: Position,
    },
    /// From a home: this room cannot be opened, for the node has as many as it may have.
    RoomRefused {
        /// The room at the shard spoken to.
        key: RoomKey,
    },
    /// From a home: the next publication of a room.
    Deliver {
        /// The room at the shard spoken to.
        key: RoomKey,
        /// What was published.
        publication: Arc<Publication>,
    },
    /// From a home: in place of publications that your lane had no room for.
    Gap {
        /// The room at the shard spoken to.
        key: RoomKey,
        /// Where the room goes on.
        position: Position,
    },
    /// From a home: this publication has its place in the order.
    Accepted {
        /// As named in [`Message::Publish`].
        receipt: ReceiptKey,
    },
    /// From a home: so much of what you published has left my logs.
    Credit(Credit),
    /// From a home: see [`Message::Fence`].
    FencePassed(u64),
}

/// Publications that a shard may have unreleased at a home: the back-pressure on those who publish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Credit {
    /// How many.
    pub publications: u32,
    /// What they cost, in bytes.
    pub bytes: u64,
}

impl Credit {
    pub(super) fn of(publication: &Publication) -> Credit {
        Credit { publications: 1, bytes: publication.cost() }
    }

    pub(super) fn add(&mut self, more: Credit) {
        self.publications += more.publications;
        self.bytes += more.bytes;
    }

    pub(super) fn take(&mut self, less: Credit) {
        debug_assert!(self.publications >= less.publications && self.bytes >= less.bytes);
        self.publications -= less.publications;
        self.bytes -= less.bytes;
    }

    pub(super) fn is_zero(&self) -> bool {
        self.publications == 0
    }
}

/// The lanes that lead from one shard to the others.
pub trait Lanes {
    /// Puts a message on the lane to `to`, or hands it back when that lane is full. Whoever is told
    /// "full" is called again once there is space.
    fn push(&mut self, to: ShardId, message: Message) -> Result<(), Message>;
}

//! What homes and shards say to one another.
//!
//! Everything between two shards is one of these, on the one lane that leads from the one to the
//! other, in order. A room is named by its key at the shard that has the members: a key is never used
//! twice, so it is the generation of that shard's interest too, and what is said about an interest
//! that was given up in the meantime finds no room and is ignored.

use std::fmt;
use std::io::Write;
use std::num::NonZero;
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
    pub epoch: NonZero<u32>,
    /// Publications of this epoch before this place.
    pub offset: u64,
}

impl Position {
    /// Reads what [`Position`] displays, and nothing else.
    pub fn parse(text: &str) -> Option<Position> {
        let (epoch, offset) = text.split_once('-')?;
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let plain = epoch.len() == EPOCH_DIGITS && epoch.bytes().all(lower_hex);
        // Neither a sign nor a leading zero: one place has one name.
        let decimal =
            offset.bytes().all(|byte| byte.is_ascii_digit()) && (offset == "0" || !offset.starts_with('0'));
        if !plain || !decimal {
            return None;
        }
        Some(Position {
            epoch: u32::from_str_radix(epoch, 16).ok()?.try_into().ok()?,
            offset: offset.parse().ok()?,
        })
    }
}

impl Position {
    /// What it displays, without a heap.
    pub(super) fn text(self) -> PositionText {
        let mut bytes = [0; POSITION_BYTES_MAX];
        let mut rest = &mut bytes[..];
        write!(rest, "{self}").expect("there is room for the longest");
        let len = POSITION_BYTES_MAX - rest.len();
        PositionText { bytes, len }
    }
}

/// A position as displayed.
pub(super) struct PositionText {
    bytes: [u8; POSITION_BYTES_MAX],
    len: usize,
}

impl std::ops::Deref for PositionText {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("digits and a hyphen")
    }
}

/// From where on somebody who was away wants what was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// From this place on.
    After(Position),
    /// All that is held.
    Earliest,
    /// From a place that cannot be read: it is not held, whatever it was.
    Lost,
}

impl Since {
    /// How [`Since::Earliest`] is written.
    pub(super) const EARLIEST: &str = "earliest";
    /// How a token names a place that cannot be read. It is not read either.
    pub(super) const LOST: &str = "lost";

    /// Reads `earliest` or a position; `None` for anything else.
    pub fn parse(text: &str) -> Option<Since> {
        if text == Since::EARLIEST { Some(Since::Earliest) } else { Position::parse(text).map(Since::After) }
    }

    /// Reads the token of a stream that asked for so many rooms: their places in the order of the request, parted by
    /// commas, nothing for a room that had none. What cannot be read is [`Since::Lost`].
    pub fn of_token(token: &str, rooms: usize) -> Vec<Option<Since>> {
        match token {
            "" => return vec![None; rooms],
            Since::EARLIEST => return vec![Some(Since::Earliest); rooms],
            _ => (),
        }
        let of = |part: &str| (!part.is_empty()).then(|| Since::parse(part).unwrap_or(Since::Lost));
        let parts: Vec<_> = token.split(',').map(of).collect();
        if parts.len() == rooms { parts } else { vec![Some(Since::Lost); rooms] }
    }
}

/// Of an epoch, as displayed.
const EPOCH_DIGITS: usize = 8;
/// Eight digits, a hyphen, and the twenty of the greatest offset.
pub(super) const POSITION_BYTES_MAX: usize = 29;

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
    /// To a home: I have members who were away; what was published from this offset on?
    Recall {
        /// The room.
        room: Arc<str>,
        /// Its key at the shard that speaks.
        key: RoomKey,
        /// The lowest offset of those who ask.
        from: u64,
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
        /// Whether the room has a history.
        kept: bool,
    },
    /// From a home: what it holds of what a [`Message::Recall`] asked for.
    Recalled {
        /// The room at the shard spoken to.
        key: RoomKey,
        /// What it holds.
        past: Box<Past>,
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
        /// The place behind it.
        position: Position,
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
        /// The place behind it, in a room with history.
        position: Option<Position>,
    },
    /// From a home: so much of what you published has left my logs.
    Credit(Credit),
    /// From a home: see [`Message::Fence`].
    FencePassed(u64),
}

/// A run of a room's publications, up to the shard's cursor.
#[derive(Debug)]
pub struct Past {
    /// The place behind the last of them.
    pub position: Position,
    /// In order, without a hole.
    pub publications: Vec<Arc<Publication>>,
}

impl Past {
    /// The offset of the first.
    pub fn first(&self) -> u64 {
        self.position.offset - self.publications.len() as u64
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_displayed_and_not_otherwise() {
        for text in ["00000001-0", "deadbeef-18446744073709551615", "0a0b0c0d-7"] {
            assert_eq!(Position::parse(text).map(|position| position.to_string()).as_deref(), Some(text));
        }
        for text in [
            "",
            "-",
            "1-0",
            "00000000-1",
            "DEADBEEF-1",
            "deadbeef-01",
            "deadbeef-+1",
            "deadbeef- 1",
            "deadbeef-",
            "deadbeef-18446744073709551616",
            "deadbeef-1-",
            "+eadbeef-1",
            "deadbeef1",
            "déadbee-1",
        ] {
            assert_eq!(Position::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_token_names_a_place_for_each_room_that_had_one() {
        let at = |text| Some(Since::After(Position::parse(text).expect(text)));
        assert_eq!(Since::of_token("0000000a-1", 1), [at("0000000a-1")]);
        assert_eq!(Since::of_token("0000000a-1,,0000000b-2", 3), [at("0000000a-1"), None, at("0000000b-2")]);
        assert_eq!(Since::of_token("earliest", 2), [Some(Since::Earliest); 2]);
        assert_eq!(Since::of_token("0000000a-1", 2), [Some(Since::Lost); 2]);
        assert_eq!(Since::of_token("0000000a-1,x", 2), [at("0000000a-1"), Some(Since::Lost)]);
        assert_eq!(Since::of_token("", 2), [None; 2]);
    }
}

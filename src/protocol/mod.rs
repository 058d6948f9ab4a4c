//! Bytes to values and back: what travels on the wire, and nothing about who carries it.
//!
//! Pure: no socket, no clock, no allocation that a peer's announcement alone can cause.

mod decimal;
#[cfg(any(test, feature = "fuzz"))]
mod fuzz;
pub mod http;
pub mod json;
pub mod native;
pub mod room;
#[cfg(feature = "server")]
pub mod sent;
pub mod sse;
pub mod websocket;

/// The front of a buffer, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<T> {
    /// An item, and how many bytes of the buffer it took.
    Complete {
        /// What was decoded.
        item: T,
        /// Bytes consumed from the front.
        used: usize,
    },
    /// The buffer ends before the item does.
    Incomplete {
        /// How many bytes the buffer must hold, at least, before another try can succeed.
        needed: usize,
    },
}

/// A wire format in which rooms are told. A publication is encoded once for each that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// WebSocket text frames of the native JSON protocol.
    Native,
    /// Blocks of Server-Sent Events, each in an HTTP chunk of its own, with ids of one room.
    Stream,
    /// Fields of Server-Sent Events, for streams that put a frame and an id of their own around them.
    Part,
}

impl Format {
    /// How many there are.
    pub const COUNT: usize = 3;
    /// All of them, each at the index that `as usize` gives.
    pub const ALL: [Format; Format::COUNT] = [Format::Native, Format::Stream, Format::Part];
}

//! WebSocket (RFC 6455) after its handshake: bytes to messages, and messages to bytes.
//!
//! A server's side only: what comes in must be masked, what goes out is not. Knows no socket, no
//! clock and no room; decides nothing but what the RFC and the limits decide.
//!
//! [`Decoder`] takes what was read and gives whole messages and control frames; [`encode_frame`],
//! [`encode_header`] and [`encode_close`] append frames to what will be written.

mod close;
pub mod frame;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod mask;
mod message;
pub mod utf8;

pub use close::{CloseCode, Violation, encode_close};
pub use frame::{Opcode, encode_frame, encode_header};
pub use message::{Decoder, Event, Limits, Step};

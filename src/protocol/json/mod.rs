//! JSON as it lies in a buffer: where its parts begin and end, and its strings as text.
//!
//! Owns no tree and builds none: what is routed on is found as spans of the message, what is carried is
//! carried as the bytes that came. Everything here is linear in its input, bounded in depth and never
//! recursive. It must not know what any key means.

mod span;
mod text;
mod value;

pub use span::{DEPTH_MAX, KEYS_MAX, Malformed, Object};
pub use text::{BadText, decode, escape, escaped_len};
pub use value::judge;

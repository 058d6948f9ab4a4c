//! HTTP/1.1 and 1.0 as far as the front door needs it: request heads in, responses and the WebSocket handshake out.
//!
//! Strict where proxies and servers have disagreed before: what two readers could read differently is refused.
//! It must not know a socket, a route or a clock.

mod date;
mod fields;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod handshake;
mod head;
mod percent;
mod response;

pub use date::HttpDate;
pub use fields::{elements, has_token};
pub use handshake::{Handshake, Refused};
pub use head::{Body, FIELDS_MAX, Head, HeadDecoder, HeadError};
pub use percent::{percent_decode, percent_decode_form};
pub use response::{After, Response, encode_response, encode_stream_head};

//! HTTP/1.1 and 1.0 as far as the front door needs it: requests in, responses and the WebSocket handshake out, and both
//! handed on between a client and a server.
//!
//! Strict where proxies and servers have disagreed before: what two readers could read differently is refused.
//! It must not know a socket, a route or a clock.

mod answer;
mod chunked;
mod date;
mod fields;
mod forward;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod handshake;
mod head;
mod lines;
mod path;
mod percent;
mod response;

pub use answer::{
    ANSWER_HEAD_MAX, AnswerBody, AnswerDecoder, AnswerError, AnswerHead, Asked, INTERIM_MAX, NOMINATIONS_MAX,
};
pub use chunked::{
    CHUNK_END, CHUNK_SIZE_LEN_MAX, CHUNKS_END, ChunkedDecoder, ChunkedError, DROPPED_MAX, Piece,
    encode_chunk_size,
};
pub use date::{HttpDate, JsonDate};
pub use fields::{elements, has_token};
pub use forward::{
    AnswerFraming, Answering, Forwarding, NotForwarded, check_forward, encode_answer, encode_forward,
    encode_interim, encode_tunnel, is_websocket_upgrade,
};
pub use handshake::{Handshake, Refused};
pub use head::{Body, Head, HeadDecoder, HeadError};
pub use lines::FIELDS_MAX;
pub use path::{BadPath, normal_path};
pub use percent::{percent_decode, percent_decode_form};
pub use response::{After, Response, encode_response, encode_stream_head};

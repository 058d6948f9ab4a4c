//! Heads of a server's answers: found without looking at a byte twice, judged once they are whole.
//!
//! Owns the grammar of the status line and where an answer's body ends (RFC 9112, section 6.3). As strict as the reading
//! of requests: an answer that two readers could end at different places is none. It must not read a body, or wait.

use crate::protocol::Decoded;
use http::{HeaderMap, StatusCode, Version};

/// Finds the end of an answer's head in a buffer that grows, and reads the head when it is there.
///
/// One is enough for a connection: it is ready for the next head after each whole one, interim ones (1xx) too. After
/// an error the connection has to be dropped.
#[derive(Debug, Default)]
pub struct AnswerDecoder {}

impl AnswerDecoder {
    /// Looks for a head at the front of `buffer`, which holds what it held at the last call, and maybe more. What
    /// follows the head in `buffer` is left alone.
    ///
    /// # Errors
    /// The answer is malformed, see [`AnswerError`]; the verdict does not depend on how the bytes were cut.
    pub fn decode(&mut self, buffer: &[u8], asked: Asked) -> Result<Decoded<AnswerHead>, AnswerError> {
        let _ = (buffer, asked);
        unimplemented!()
    }
}

/// What an answer is an answer to, as far as its framing depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Any request but the following.
    Plain,
    /// HEAD: no body, whatever the fields say.
    Head,
    /// An upgrade to WebSocket: 101 is an answer.
    Upgrade,
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub struct AnswerHead {
    /// From 100 to 599; 101 only where an upgrade was asked for.
    pub status: StatusCode,
    /// 1.1 or 1.0.
    pub version: Version,
    /// The fields as sent, in order within a name; those of one hop too.
    pub headers: HeaderMap,
    /// How the body is framed.
    pub body: AnswerBody,
    /// Whether the connection may be used again once the answer is whole.
    pub keep_alive: bool,
}

/// Where the body of an answer ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerBody {
    /// There is none: 1xx, 204, 304, an answer to HEAD.
    None,
    /// After so many bytes, as Content-Length says.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// Where the connection ends.
    UntilClose,
}

/// What a server did to have its answer refused. The connection is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The head did not end within [`ANSWER_HEAD_MAX`].
    #[error("the head of the answer is too large")]
    TooLarge,
}

/// Most bytes of an answer's head.
pub const ANSWER_HEAD_MAX: usize = 64 * 1024;

//! Bodies in chunks (RFC 9112, section 7.1): taken out of them, and put into them.
//!
//! Strict where readers have disagreed: CRLF and nothing else ends a line, and extensions and trailers are bounded and
//! dropped. It holds no bytes: what is data is told as a place in the caller's buffer.

use bytes::BytesMut;

/// Takes a body out of its chunks, however it is cut.
///
/// After [`Piece::End`] it must not be asked again; after an error the connection has to be closed.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {}

impl ChunkedDecoder {
    /// What the front of `buffer` is. The caller takes what is named off the front before it asks again: a byte is
    /// looked at once.
    ///
    /// # Errors
    /// The framing is malformed, see [`ChunkedError`], at the byte that makes it so.
    pub fn decode(&mut self, buffer: &[u8]) -> Result<Piece, ChunkedError> {
        let _ = buffer;
        unimplemented!()
    }
}

/// The front of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// `skip` bytes of framing, and then `len` of data, at least one.
    Data {
        /// Bytes to be dropped.
        skip: usize,
        /// Bytes to be kept.
        len: usize,
    },
    /// The whole buffer was framing; more has to come.
    More,
    /// The body ends behind so many bytes.
    End {
        /// Bytes to be dropped.
        used: usize,
    },
}

/// What a peer did to have its chunks refused. The connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkedError {
    /// A chunk's size is not 1 to 16 hexadecimal digits.
    #[error("the size of a chunk is malformed")]
    Size,
}

/// Appends the line before a chunk of `len` bytes, which is not 0. Behind the data comes [`CHUNK_END`].
pub fn encode_chunk_size(out: &mut BytesMut, len: usize) {
    let _ = (out, len);
    unimplemented!()
}

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk, and no trailers.
pub const CHUNKS_END: &[u8] = b"0\r\n\r\n";

/// Most bytes of a chunk's line before its data, as [`encode_chunk_size`] writes it.
pub const CHUNK_SIZE_LEN_MAX: usize = 18;

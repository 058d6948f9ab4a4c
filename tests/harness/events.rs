//! A listener of Server-Sent Events: block after block, as they stand on the wire.

use super::{End, PATIENCE, Response, Server, Socket};
use std::time::Duration;

/// An event stream whose head was read.
pub(crate) struct Events {
    pub(crate) socket: Socket,
    pub(crate) head: Response,
}

impl Events {
    /// Asks for `target` with these header lines, each with its line end, over HTTP/1.1.
    pub(crate) fn open(server: &Server, target: &str, fields: &str) -> Self {
        Self::asked(Socket::connect(server.public), target, fields)
    }

    /// The same on a connection that is there.
    pub(crate) fn asked(mut socket: Socket, target: &str, fields: &str) -> Self {
        socket.send(format!("GET {target} HTTP/1.1\r\nHost: vestibule.test\r\n{fields}\r\n").as_bytes());
        let head = socket.response().expect("the head of a stream");
        assert_eq!(head.status, 200, "a stream: {head:?}, {}", String::from_utf8_lossy(&head.body));
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        Self { socket, head }
    }

    /// The next chunk, which is one block, as far as its blank line.
    pub(crate) fn block(&mut self) -> String {
        let chunk = self.chunk().expect("a block");
        let block = String::from_utf8(chunk).expect("a stream is UTF-8");
        let lines =
            block.strip_suffix("\n\n").unwrap_or_else(|| panic!("a block without its end: {block:?}"));
        assert!(!lines.contains("\n\n"), "two blocks in a chunk: {block:?}");
        lines.to_owned()
    }

    /// The next block, if it comes in time; the end of the stream is [`End::Fin`].
    pub(crate) fn block_within(&mut self, limit: Duration) -> Result<String, End> {
        let chunk = self.socket.chunk_within(limit)?;
        if chunk.is_empty() {
            return Err(End::Fin);
        }
        let block = String::from_utf8(chunk).expect("a stream is UTF-8");
        Ok(block.strip_suffix("\n\n").expect("a block has an end").to_owned())
    }

    /// The first block, and whatever the head of each room is, one a room.
    pub(crate) fn begins(&mut self, rooms: usize) -> Vec<String> {
        let connected = self.block();
        assert!(connected.contains("\nevent: connected\n"), "{connected}");
        (0..rooms).map(|_| self.block()).collect()
    }

    /// The last chunk, and the end of the connection behind it.
    pub(crate) fn ends(&mut self) {
        assert_eq!(self.chunk().expect("the last chunk"), b"");
        assert_eq!(self.socket.end(), End::Fin);
    }

    /// What a chunk holds.
    fn chunk(&mut self) -> Result<Vec<u8>, End> {
        self.socket.chunk_within(PATIENCE)
    }
}

//! The last a socket sees: what still arrives is read and thrown away.
//!
//! Closing a socket with unread bytes makes the kernel reset it, and a reset can overtake the goodbye
//! that is on its way to the peer. It must never read without end for a peer that sends without end.

use std::time::Duration;

use crate::net::sleep;
use crate::shard::Socket;

/// Reads until the peer hangs up or the socket's deadline passes; there must be one.
pub(super) async fn until_gone(socket: &Socket) {
    while socket.readable().await.is_ok() && !socket.is_expired() {
        match socket.read(|bytes| bytes.is_empty()) {
            Ok(Some(true)) | Err(_) => return,
            Ok(Some(false) | None) => (),
        }
    }
}

/// Reads a little, until the peer hangs up or `within` is over. Of a peer that sends more than a little
/// nothing more is read: the socket stays, so that the peer can read the answer, and then it is reset.
pub(super) async fn a_little(socket: &Socket, within: Duration) {
    let mut left = A_LITTLE_BYTES;
    while socket.readable().await.is_ok() && !socket.is_expired() {
        match socket.read(|bytes| bytes.len()) {
            Ok(Some(0)) | Err(_) => return,
            Ok(read) => left = left.saturating_sub(read.unwrap_or(0)),
        }
        if left == 0 {
            return sleep(within).await;
        }
    }
}

/// What a peer may have sent before it saw the answer.
const A_LITTLE_BYTES: usize = 64 << 10;

//! The last a socket sees: what still arrives is read and thrown away.
//!
//! Closing a socket with unread bytes makes the kernel reset it, and a reset can overtake the goodbye
//! that is on its way to the peer.

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

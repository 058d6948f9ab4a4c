//! The bodies of requests that came by the operators' listener: read whole, or passed over.
//!
//! Their length was told, and is bounded, before the first byte is read; the time they may take is counted from then on,
//! and no byte extends it. What follows a body is the next request. Knows no call, and keeps no body that was answered.

use std::cell::Cell;
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use http::{Version, header};

use super::{Exchange, Settings};
use crate::api;
use crate::protocol::http::{Body, Head, Response, has_token};

/// What a read for a body came to.
enum Read {
    Body(Vec<u8>),
    /// The deadline passed.
    Late,
    /// The peer has gone.
    Gone,
}

impl Exchange<'_> {
    /// Reads a call's body and answers it; none where nobody is there to be answered. A head whose body was not read
    /// keeps it.
    pub(super) async fn call(
        &mut self,
        call: api::Call,
        head: &mut Head,
        settings: &Settings,
    ) -> Option<Response> {
        let shard = self.socket.shard().clone();
        let len = call.body_bytes();
        let Some(_held) = Held::take(&self.services.body_bytes, len) else {
            return Some(call.turn_away(&shard));
        };
        let body = if len > 0 { self.read_body(head, len).await } else { Read::Body(Vec::new()) };
        match body {
            Read::Body(body) => {
                if len > 0 {
                    head.body = Body::None;
                } else {
                    self.pass_over_body(head).await;
                }
                // An answer has a deadline of its own, and it is not the socket's.
                self.socket.clear_deadline();
                Some(call.answer(&body, &shard, &settings.config.limits).await)
            }
            Read::Late => Some(call.too_late(&shard)),
            Read::Gone => None,
        }
    }

    /// Reads on to where the next request begins, if that is near; a head whose body was passed over has none any
    /// more. Who waits to be told to send it will hear that it need not.
    pub(super) async fn pass_over_body(&mut self, head: &mut Head) {
        let Body::Length(len @ 1..=PASSED_OVER_BYTES_MAX) = head.body else { return };
        let len = len as usize;
        if is_waiting(head) && self.buffer.len() < len {
            return;
        }
        if let Read::Body(_) = self.read_body(head, len).await {
            head.body = Body::None;
        }
    }

    async fn read_body(&mut self, head: &Head, len: usize) -> Read {
        if is_waiting(head) && self.buffer.len() < len {
            let told = self.write_bytes(Bytes::from_static(CONTINUE)).await;
            if !told {
                return Read::Gone;
            }
        }
        self.socket.set_deadline(BODY_WITHIN + MIB_WITHIN * (len >> 20) as u32, Shutdown::Read);
        while self.buffer.len() < len {
            match self.read_more().await {
                Ok(Some(0)) if self.socket.is_expired() => return Read::Late,
                Ok(Some(0)) | Err(_) => return Read::Gone,
                Ok(Some(_) | None) => (),
            }
        }
        let rest = self.buffer.split_off(len);
        Read::Body(std::mem::replace(&mut self.buffer, rest))
    }
}

/// A body's bytes, counted for as long as they are held.
struct Held<'a> {
    all: &'a Cell<usize>,
    bytes: usize,
}

impl Held<'_> {
    /// None if too many are held already. One body passes always, however long.
    fn take(all: &Cell<usize>, bytes: usize) -> Option<Held<'_>> {
        let held = all.get();
        if held > 0 && bytes > BODIES_BYTES_MAX.saturating_sub(held) {
            return None;
        }
        all.set(held + bytes);
        Some(Held { all, bytes })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.bytes);
    }
}

/// Whether the client sends its body only when it is told to (RFC 9110, section 10.1.1). In HTTP/1.0 nobody can be told.
fn is_waiting(head: &Head) -> bool {
    head.version == Version::HTTP_11 && has_token(&head.headers, &header::EXPECT, "100-continue")
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// And how much longer for each MiB.
const MIB_WITHIN: Duration = Duration::from_secs(1);
/// A body that nobody wants is read up to so many bytes, for the sake of the connection.
const PASSED_OVER_BYTES_MAX: u64 = 64 << 10;
/// Bytes of bodies that a shard holds at a time.
const BODIES_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_held_up_to_their_bound_and_one_always() {
        let all = Cell::new(0);
        let alone = Held::take(&all, 2 * BODIES_BYTES_MAX).expect("there is no other");
        assert!(Held::take(&all, 1).is_none());
        drop(alone);
        let half = Held::take(&all, BODIES_BYTES_MAX / 2).expect("half of it");
        let rest = Held::take(&all, BODIES_BYTES_MAX / 2).expect("the other half");
        assert!(Held::take(&all, 1).is_none() && Held::take(&all, 0).is_some());
        drop((half, rest));
        assert_eq!(all.get(), 0);
    }
}

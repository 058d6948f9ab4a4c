//! Calls that came by the operators' listener: their bodies, read whole or passed over, and what is held for them.
//!
//! Their length was told, and is bounded, before the first byte is read; the time they may take is counted from then on,
//! and no byte extends it. What follows a body is the next request. Answers nothing by itself, and keeps no body that was
//! answered, nor an answer that was written.

use std::cell::Cell;
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use http::{Version, header};

use super::super::admission::is_head_only;
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
    /// Reads a call's body and answers it; true if the next request may come on this connection. Until the answer is
    /// written, or the peer that does not take it is cut off, the call keeps its place and the answer is counted.
    pub(super) async fn call(&mut self, call: api::Call, head: &mut Head, settings: &Settings) -> bool {
        let Some(mut response) = self.answer_to(&call, head, settings).await else { return false };
        let bytes = &self.services.body_bytes;
        let len = |response: &Response| if is_head_only(head) { 0 } else { response.body.len() };
        // What a call has done is told in any case: that is short.
        if call.only_looks() && response.status.is_success() && !Held::fits(bytes, len(&response)) {
            response = call.turn_away(self.socket.shard());
        }
        let held = Held::count(bytes, len(&response));
        let after = self.tell(head, response).await;
        drop((held, call));
        self.go_on(after).await
    }

    /// The answer to a call; none where nobody is there to be answered. A head whose body was not read keeps it.
    async fn answer_to(
        &mut self,
        call: &api::Call,
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

/// The bytes of a body or of an answer, counted for as long as they are held.
struct Held<'a> {
    all: &'a Cell<usize>,
    bytes: usize,
}

impl Held<'_> {
    /// None if too many are held already.
    fn take(all: &Cell<usize>, bytes: usize) -> Option<Held<'_>> {
        Held::fits(all, bytes).then(|| Held::count(all, bytes))
    }

    /// Whether so many more may be held. One body or answer passes always, however long.
    fn fits(all: &Cell<usize>, bytes: usize) -> bool {
        let held = all.get();
        held == 0 || bytes <= HELD_BYTES_MAX.saturating_sub(held)
    }

    fn count(all: &Cell<usize>, bytes: usize) -> Held<'_> {
        all.set(all.get() + bytes);
        Held { all, bytes }
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
/// Bytes of bodies and answers that a shard holds at a time.
const HELD_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_and_answers_are_held_up_to_their_bound_and_one_always() {
        let all = Cell::new(0);
        let alone = Held::take(&all, 2 * HELD_BYTES_MAX).expect("there is no other");
        assert!(Held::take(&all, 1).is_none());
        drop(alone);
        let half = Held::take(&all, HELD_BYTES_MAX / 2).expect("half of it");
        let rest = Held::take(&all, HELD_BYTES_MAX / 2).expect("the other half");
        assert!(Held::take(&all, 1).is_none() && Held::take(&all, 0).is_some());
        let told = Held::count(&all, 1);
        assert_eq!(all.get(), HELD_BYTES_MAX + 1, "what has to be told is counted beyond it");
        drop((half, rest, told));
        assert_eq!(all.get(), 0);
    }
}

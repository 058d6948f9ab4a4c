//! A stream of Server-Sent Events: joins the rooms it was granted, and from then on only listens.
//!
//! What it is sent is the hub's to say; here its peer is watched, which has nothing to say. Knows no format, and keeps
//! nothing of a room once it has joined.

mod admission;
mod asking;

use std::rc::Rc;

use bytes::BytesMut;
use tracing::debug;

pub(super) use admission::{Granted, Target, come_back, for_the_page, judge};

use super::hooks::{self, Guest, NotWhole, WHOLE_WITHIN};
use super::request::Number;
use super::{Services, linger};
use crate::backend::hooks::Verdict;
use crate::hub::{ConnectionKey, Join, Since, Step, Wire};
use crate::net::{Writer, now, unix_s};
use crate::protocol::sse::encode_connected;
use crate::protocol::websocket::CloseCode;
use crate::shard::{GOODBYE_WITHIN, Shard, Socket};

/// A stream, its request not yet answered.
pub(super) struct Opening {
    pub(super) writer: Writer,
    pub(super) granted: Box<Granted>,
    /// The request that asked for it.
    pub(super) request: Number,
    /// The head of the answer, to go out first.
    pub(super) head: BytesMut,
    /// Bytes that came behind the request's head.
    pub(super) unasked_bytes: usize,
}

/// What watches an open stream.
pub(super) struct Reader {
    shard: Rc<Shard>,
    services: Rc<Services>,
    key: ConnectionKey,
    request: Number,
    /// What is still to be joined.
    rooms: Box<[(Box<str>, Option<Since>)]>,
    unasked_bytes: usize,
    /// What hooks have to know of it, if they have to do with it.
    guest: Option<Box<Guest>>,
}

/// Serves a stream to its end.
pub(super) async fn serve(socket: &Socket, mut reader: Box<Reader>) {
    if Box::pin(reader.join()).await {
        while reader.unasked_bytes <= UNASKED_BYTES_MAX {
            if socket.readable().await.is_err() || socket.is_expired() {
                return;
            }
            match socket.read(|bytes| bytes.len()) {
                Ok(Some(0)) | Err(_) => return,
                Ok(read) => reader.unasked_bytes += read.unwrap_or(0),
            }
        }
        socket.shard().metrics().violations_total.add(1);
        reader.dismiss(CloseCode::POLICY, "a stream is not written to");
    }
    drop(reader);
    linger::until_gone(socket).await;
}

impl Reader {
    /// The birth of a connection: the answer's head goes out first, and who it is.
    pub(super) fn open(socket: &Socket, services: Rc<Services>, opening: Opening) -> Reader {
        let Opening { writer, mut granted, request, head, unasked_bytes } = opening;
        let rooms = granted.places();
        let Granted { identity, mut guest, framing, .. } = *granted;
        let identity = identity.expect("nobody is answered of whom it is not known who it is");
        let (shard, user) = (socket.shard(), identity.user.clone());
        let wire = Wire::Stream { framing, since: rooms.iter().map(|(_, since)| *since).collect() };
        let key = socket.connect(writer, (user.clone(), wire), head, |out, key| {
            let connection = shard.connection_id(key).to_string();
            encode_connected(out, framing, &user, &connection, retry_ms(shard, request));
        });
        shard.set_expiry(key, identity.lasts(unix_s()));
        if let Some(guest) = &mut guest {
            guest.is_born(shard, key);
        }
        let (name, peer, connection) =
            (services.requests.name(request), socket.peer(), shard.connection_id(key));
        let (user, rooms_count) = (&*user, rooms.len());
        debug!(request = %name, %connection, %peer, user, rooms = rooms_count, shard = shard.index(), "streaming");
        let metrics = shard.metrics();
        metrics.streams_total.add(1);
        metrics.streams.add(1);
        Reader { shard: shard.clone(), services, key, request, rooms, unasked_bytes, guest }
    }

    /// Joins its rooms one after the other. False if one has no place for it: it is told so, and to come back.
    async fn join(&mut self) -> bool {
        let rooms = std::mem::take(&mut self.rooms);
        for (room, since) in &rooms {
            loop {
                self.shard.share_rooms();
                let join = Join { since: *since, ..Join::default() };
                match self.shard.with_hub(|hub| hub.join(self.key, room, join)) {
                    Ok(Step::Done) => break,
                    Ok(Step::Wait(home)) => self.shard.wait_for(home).await,
                    Err(refusal) => {
                        self.dismiss(CloseCode::TRY_AGAIN_LATER, &refusal.to_string());
                        return false;
                    }
                }
            }
        }
        let guest = self.guest.as_mut().filter(|guest| guest.has_orders());
        let orders = guest.map(|guest| guest.take_orders()).unwrap_or_default();
        match self.carry_out(&rooms, orders).await {
            Ok(()) => true,
            Err(error) => {
                hooks::say(&self.services, &error);
                self.dismiss(
                    CloseCode::TRY_AGAIN_LATER,
                    "not all that the application ordered could be done",
                );
                false
            }
        }
    }

    /// Does what the application ordered, once the stream is in its rooms: it hears what is published there.
    async fn carry_out(
        &self,
        rooms: &[(Box<str>, Option<Since>)],
        orders: Vec<Verdict>,
    ) -> Result<(), NotWhole> {
        let (Some(guest), false) = (&self.guest, orders.is_empty()) else { return Ok(()) };
        let until = now() + WHOLE_WITHIN;
        for (room, _) in rooms {
            hooks::is_member(&self.shard, self.key, room, until).await?;
        }
        for mut verdict in orders {
            guest.carry_out(&mut verdict).await?;
        }
        Ok(())
    }

    fn dismiss(&self, code: CloseCode, reason: &str) {
        let (request, connection) =
            (self.services.requests.name(self.request), self.shard.connection_id(self.key));
        debug!(%request, %connection, code = code.to_wire(), reason, "goodbye");
        self.shard.dismiss(self.key, code, reason, GOODBYE_WITHIN);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let request = self.services.requests.name(self.request);
        debug!(%request, connection = %self.shard.connection_id(self.key), "ended");
        let metrics = self.shard.metrics();
        metrics.ended_total.add(1);
        metrics.streams.sub(1);
    }
}

/// When a client comes back after an end that it was not told of: spread, so that those of one node do not come all
/// at once.
pub(super) fn retry_ms(shard: &Shard, request: Number) -> u64 {
    // Fibonacci hashing: neighbours are spread, and no two runs alike.
    let drawn = shard.node().run ^ request ^ (shard.index() as u64) << 48;
    let spread = drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    RETRY_MS_MIN + spread % (RETRY_MS_MAX - RETRY_MS_MIN)
}

/// The bounds of when to come back, in milliseconds.
const RETRY_MS_MIN: u64 = 1000;
const RETRY_MS_MAX: u64 = 3000;
/// What a peer may send that nobody asked for: perhaps a request that it took for pipelined.
const UNASKED_BYTES_MAX: usize = 16 << 10;

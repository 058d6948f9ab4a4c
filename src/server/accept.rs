//! Accepting: every worker takes from the one shared socket, and each connection goes to the shard
//! with the fewest.
//!
//! An accept that is given up stays with its listener, and the next takes it up: no connection is lost.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use tracing::{debug, warn};

use super::worker;
use crate::net::{Accepted, Instant, Listener, NotAccepted, Stream, now, sleep, spawn, unix_s, within};
use crate::protocol::http::{After, HttpDate, Response, encode_response};
use crate::shard::{Arrival, Shard};
use crate::transport::{self, Door, Services};

/// Takes connections for everybody, until the listener is stopped.
pub(super) async fn accept_public(shard: Rc<Shard>, services: Rc<Services>, listener: Rc<Listener>) {
    accept(&shard, &listener, |accepted| {
        let addresses = &shard.node().quota.addresses;
        let seat = match transport::seat(&services, addresses, accepted.peer.ip()) {
            Ok(seat) => seat,
            Err(refusal) => {
                shard.metrics().address_refused_total.add(1);
                spawn(turn_away(accepted, refusal));
                return;
            }
        };
        if let Err(Arrival { accepted, seat }) = shard.place(Arrival { accepted, seat }) {
            seat.into_iter().for_each(|seat| addresses.leave(seat));
            let message = "this node holds as many connections as it may";
            let refusal = Response::json_error(StatusCode::SERVICE_UNAVAILABLE, "connections", message);
            spawn(turn_away(accepted, refusal));
        }
    })
    .await;
}

/// Takes operators' connections: they stay where they were accepted and are never turned away, so that a
/// full node can still be looked at. Each holds a place like any other.
pub(super) async fn accept_admin(shard: Rc<Shard>, services: Rc<Services>, listener: Rc<Listener>) {
    accept(&shard, &listener, |accepted| {
        shard.node().quota.enter(shard.index());
        transport::admit(&shard, &services, Door::Admin, Arrival { accepted, seat: None });
    })
    .await;
}

async fn accept(shard: &Rc<Shard>, listener: &Listener, take: impl Fn(Accepted)) {
    let mut pause = PAUSE_MIN;
    let mut reserve = Reserve::new();
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                pause = PAUSE_MIN;
                take(accepted);
            }
            Err(NotAccepted::Stopped) => return,
            Err(NotAccepted::Lost(error)) => debug!(%error, "a connection was lost before it was accepted"),
            Err(NotAccepted::Exhausted(error)) => {
                shard.metrics().accept_errors_total.add(1);
                reserve.warn(&error);
                // Trying again at once would spin: the connection still waits, and nothing was freed.
                match reserve.turn_away_within(pause + jitter(pause), shard, listener).await {
                    Some(accepted) => take(accepted),
                    None => pause = (pause * 2).min(PAUSE_MAX),
                }
            }
        }
    }
}

/// A descriptor kept for the day when there is none: given up for a moment, it lets those who wait be
/// told so, instead of leaving them to their own timeouts.
struct Reserve {
    descriptor: Option<OwnedFd>,
    warned: Option<Instant>,
}

impl Reserve {
    fn new() -> Reserve {
        Reserve { descriptor: spare(), warned: None }
    }

    /// Says that descriptors or memory have run out: once a second at most.
    fn warn(&mut self, error: &io::Error) {
        if self.warned.is_none_or(|last| now() - last >= WARN_EVERY) {
            self.warned = Some(now());
            warn!(%error, "no descriptor or memory for another connection");
        }
    }

    /// Turns away those who wait, for so long, and takes the descriptor back. Returns the first for whom
    /// there is a descriptor again.
    async fn turn_away_within(
        &mut self,
        time: Duration,
        shard: &Shard,
        listener: &Listener,
    ) -> Option<Accepted> {
        let until = now() + time;
        self.descriptor = None;
        while let Some(Ok(accepted)) = within(until.saturating_duration_since(now()), listener.accept()).await
        {
            self.descriptor = spare();
            if self.descriptor.is_some() {
                return Some(accepted);
            }
            shard.metrics().refused_total.add(1);
            let message = "this node has no descriptor for another connection";
            let refusal = Response::json_error(StatusCode::SERVICE_UNAVAILABLE, "descriptors", message);
            turn_away(accepted, refusal).await;
        }
        self.descriptor = spare();
        sleep(until.saturating_duration_since(now())).await;
        None
    }
}

fn spare() -> Option<OwnedFd> {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).ok()
}

/// Up to a quarter more: shards that ran dry together do not try again together.
fn jitter(pause: Duration) -> Duration {
    pause * (worker::random() % 256) as u32 / 1024
}

/// Says why to a connection that has no place, and hangs up.
async fn turn_away(accepted: Accepted, response: Response) {
    let Ok((_stream, mut writer)) = Stream::from_fd(accepted.socket) else { return };
    let mut out = BytesMut::new();
    encode_response(&mut out, &response, After::Close, false, HttpDate::from_unix_s(unix_s()));
    // A fresh socket's buffer takes it at once; if not, the peer misses nothing but the reason.
    let _: io::Result<()> = writer.write(vec![out.freeze()]).await;
}

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(80);
const WARN_EVERY: Duration = Duration::from_secs(1);

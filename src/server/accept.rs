//! Accepting: every worker takes from the one shared socket, and each connection goes to the shard
//! with the fewest.
//!
//! An accept is never raced; it ends when its listener is stopped.

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tracing::{debug, warn};

use crate::net::{Accepted, Listener, NotAccepted, Stream, sleep, spawn, unix_s};
use crate::protocol::http::{After, HttpDate, Response, encode_response};
use crate::shard::Shard;
use crate::transport::{self, Door, Services};

/// Takes connections for everybody, until the listener is stopped.
pub(super) async fn accept_public(shard: Rc<Shard>, listener: Rc<Listener>) {
    accept(&shard, &listener, |accepted| {
        if let Err(accepted) = shard.place(accepted) {
            spawn(turn_away(accepted));
        }
    })
    .await;
}

/// Takes operators' connections: they stay where they were accepted and are never turned away, so that a
/// full node can still be looked at. Each holds a place like any other.
pub(super) async fn accept_admin(shard: Rc<Shard>, services: Rc<Services>, listener: Rc<Listener>) {
    accept(&shard, &listener, |accepted| {
        shard.node().quota.enter(shard.index());
        transport::admit(&shard, &services, Door::Admin, accepted);
    })
    .await;
}

async fn accept(shard: &Rc<Shard>, listener: &Listener, take: impl Fn(Accepted)) {
    let mut pause = PAUSE_MIN;
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                pause = PAUSE_MIN;
                take(accepted);
            }
            Err(NotAccepted::Stopped) => return,
            Err(NotAccepted::Lost(error)) => debug!(%error, "a connection was lost before it was accepted"),
            Err(NotAccepted::Exhausted(error)) => {
                // Trying again at once would spin: the connection still waits, and nothing was freed.
                shard.metrics().accept_errors_total.add(1);
                if pause == PAUSE_MIN {
                    warn!(%error, "no descriptor or memory for another connection");
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Says 503 to a connection that has no place, and hangs up.
async fn turn_away(accepted: Accepted) {
    let Ok((_stream, mut writer)) = Stream::from_fd(accepted.socket) else { return };
    let message = "this node holds as many connections as it may";
    let response = Response::json_error(StatusCode::SERVICE_UNAVAILABLE, "connections", message);
    let mut out = BytesMut::new();
    encode_response(&mut out, &response, After::Close, false, HttpDate::from_unix_s(unix_s()));
    // A fresh socket's buffer takes it at once; if not, the peer misses nothing but the reason.
    let _: (std::io::Result<()>, Vec<Bytes>) = writer.write(vec![out.freeze()]).await;
}

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(100);

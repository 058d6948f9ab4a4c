//! Looks at servers without a request: whether they answer as one that is well.
//!
//! One task of one worker looks for all: it goes by the backends as they are configured at each moment, so a reload
//! neither ends it nor adds another. What it finds stands on the boards, where all workers see it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tracing::{info, warn};

use super::exchange::{Exchange, Times, Unsent};
use super::pool::{Busy, Server};
use super::{Backend, Backends, Failed, Outgoing, read_whole};
use crate::net::{Instant, now, sleep, spawn, within};

/// How a server's looks went.
#[derive(Default)]
pub(super) struct Looks {
    next: Cell<Option<Instant>>,
    is_looking: Cell<bool>,
    failures: Cell<u32>,
}

/// Looks at all servers of `backends`, whichever these are at the moment, for as long as the process lives; tells after
/// each round what it goes by.
pub async fn watch(backends: impl Fn() -> Rc<Backends>, mut round: impl FnMut()) {
    loop {
        for backend in backends().all() {
            look_at(backend);
        }
        round();
        sleep(ROUND_EVERY).await;
    }
}

fn look_at(backend: &Rc<Backend>) {
    let Some(path) = &backend.config.health.path else { return };
    for server in &backend.servers {
        let looks = &server.looks;
        let now = now();
        // A look that takes longer than the interval is not joined by another.
        if looks.is_looking.get() || looks.next.get().is_some_and(|next| now < next) {
            continue;
        }
        looks.next.set(Some(now + backend.config.health.interval));
        looks.is_looking.set(true);
        let (server, path) = (server.clone(), path.clone());
        let (timeout, times) = (backend.config.health.timeout, backend.times());
        spawn(async move {
            let found = within(timeout, look(&server, &path, times)).await;
            server.looks.is_looking.set(false);
            judge(&server, found.unwrap_or(Err(Unwell::Failed(Failed::AnswerTimeout))));
        });
    }
}

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
enum Unwell {
    #[error("{0}")]
    Failed(Failed),
    #[error("it answered {0}")]
    Status(http::StatusCode),
}

async fn look(server: &Rc<Server>, path: &str, times: Times) -> Result<(), Unwell> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: vestibule/{}\r\nConnection: close\r\n\r\n",
        server.authority(),
        env!("CARGO_PKG_VERSION")
    );
    let outgoing = Outgoing { method: Method::GET, first: Bytes::from(head), whole: true, upgrade: false };
    // A new connection, for one that is kept says little of how new ones fare; and it is not kept, or the pool would
    // grow by every look.
    let line = server.connect(times.connect).await.map_err(Unwell::Failed)?;
    let busy = Busy::new(server.clone());
    let sent = Exchange::start(busy, line, &outgoing, times, None).await;
    let mut exchange = sent.map_err(|Unsent { failed, .. }| Unwell::Failed(failed))?;
    let (status, _) = read_whole(&mut exchange, ANSWER_MAX).await.map_err(Unwell::Failed)?;
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(Unwell::Status(status)) }
}

fn judge(server: &Server, found: Result<(), Unwell>) {
    let (backend, name) = (server.backend(), server.authority());
    match found {
        Ok(()) => {
            server.looks.failures.set(0);
            if server.board.set_ill(false) {
                info!(backend, server = %name, "a server is well again");
            }
        }
        Err(why) => {
            server.looks.failures.set(server.looks.failures.get().saturating_add(1));
            if server.looks.failures.get() >= FAILURES_MAX && server.board.set_ill(true) {
                warn!(backend, server = %name, %why, "a server is not well, and is passed over until it is");
            }
        }
    }
}

/// Looks in a row that failed, by which a server is down.
const FAILURES_MAX: u32 = 2;
/// How often it is looked which servers are due: the shortest interval that can be configured.
const ROUND_EVERY: Duration = Duration::from_millis(100);
/// Bytes of an answer's body.
const ANSWER_MAX: usize = 64 << 10;

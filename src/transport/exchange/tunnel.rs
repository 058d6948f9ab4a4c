//! A WebSocket of the application's own: bytes both ways, looked at by nobody.
//!
//! Begins once the server has agreed in due form, and ends when both sides have, when one of them breaks, when neither
//! says anything for long, or with a drain. Idle, it holds no buffer. Knows nothing of frames.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tracing::debug;

use super::Exchange;
use super::course::Pace;
use super::upload::STEP_BYTES;
use crate::backend;
use crate::metrics::Metric;
use crate::net::{Either, Instant, Notify, Stream, Writer, both, either, now, sleep};
use crate::protocol::http::{AnswerHead, encode_tunnel};
use crate::shard::Socket;

/// How long a tunnel may last without anything happening.
#[derive(Clone, Copy)]
pub(super) struct Silence {
    /// In both directions.
    pub(super) of_both: Duration,
    /// Of one that does not take what it is sent; and in the other direction, once one has ended.
    pub(super) of_one: Duration,
}

impl Exchange<'_> {
    /// Makes a tunnel of the client's connection and the server's, and serves it to its end.
    pub(super) async fn tunnel(
        &mut self,
        exchange: backend::Exchange,
        answer: &AnswerHead,
        silence: Silence,
    ) {
        let (stream, mut server, early) = exchange.into_tunnel();
        let mut first = BytesMut::new();
        encode_tunnel(&mut first, answer, &self.name().to_string());
        first.extend_from_slice(&early);
        let _open = Counted::new(&self.socket.shard().metrics().tunnels);
        let unasked = std::mem::take(&mut self.buffer);
        let tunnel = Tunnel {
            heard: Cell::new(now()),
            ended: Cell::default(),
            broken: Cell::default(),
            bell: Notify::new(),
            silence,
        };
        let ended = {
            let (client, server) = (&mut self.writer, &mut server);
            let to_server = pin!(tunnel.to_server(self.socket, &stream, server, unasked.into()));
            let to_client = pin!(tunnel.to_client(self.socket, &stream, client, first.freeze()));
            let ways = pin!(both(to_server, to_client));
            either(ways, pin!(tunnel.watch(self.socket))).await
        };
        let silent = ended == Either::Other(Watched::Silent);
        debug!(request = %self.name(), peer = %self.socket.peer(), silent, "a tunnel ended");
    }
}

struct Tunnel {
    /// When something came last, from either side.
    heard: Cell<Instant>,
    /// One direction has come to its end.
    ended: Cell<bool>,
    broken: Cell<bool>,
    bell: Notify,
    silence: Silence,
}

/// What ended a tunnel that did not end by itself.
#[derive(Debug, PartialEq, Eq)]
enum Watched {
    Broken,
    Silent,
}

impl Tunnel {
    /// From the client to the server; `first` came behind the client's head.
    async fn to_server(&self, socket: &Socket, stream: &Stream, writer: &mut Writer, first: Bytes) {
        let read = || {
            let read = socket.read_at_most(STEP_BYTES, |bytes| Bytes::copy_from_slice(bytes));
            // Cut, it has not ended.
            if socket.is_expired() { Err(io::ErrorKind::ConnectionAborted.into()) } else { read }
        };
        let moved = self.bring(async || socket.readable().await, read, writer, first).await;
        self.on_end(moved, || stream.shutdown(Shutdown::Write));
    }

    /// From the server to the client; `first` is the answer's head, and what came behind it.
    async fn to_client(&self, socket: &Socket, stream: &Stream, writer: &mut Writer, first: Bytes) {
        let shard = socket.shard();
        let read = || {
            shard.with_scratch(|scratch| {
                let room = scratch.len().min(STEP_BYTES);
                let read = stream.try_read(&mut scratch[..room])?;
                Ok(read.map(|len| Bytes::copy_from_slice(&scratch[..len])))
            })
        };
        let moved = self.bring(async || stream.readable().await, read, writer, first).await;
        self.on_end(moved, || socket.finish());
    }

    /// Brings what one side says to the other, until it says no more.
    async fn bring(
        &self,
        readable: impl AsyncFn() -> io::Result<()>,
        read: impl Fn() -> io::Result<Option<Bytes>>,
        writer: &mut Writer,
        first: Bytes,
    ) -> io::Result<()> {
        let mut pace = Pace::default();
        let mut bytes = first;
        loop {
            let len = bytes.len();
            if len > 0 {
                let written = writer.write_within(self.silence.of_one, vec![bytes]).await;
                written.ok_or(io::ErrorKind::TimedOut)??;
            }
            pace.step(len).await;
            readable().await?;
            bytes = match read()? {
                Some(bytes) if bytes.is_empty() => return Ok(()),
                Some(bytes) => bytes,
                None => Bytes::new(),
            };
            self.heard.set(now());
        }
    }

    fn on_end(&self, moved: io::Result<()>, hand_on: impl FnOnce()) {
        match moved {
            Ok(()) => hand_on(),
            Err(_) => self.broken.set(true),
        }
        self.ended.set(true);
        self.bell.notify();
    }

    /// Waits until the tunnel is to end by itself.
    async fn watch(&self, client: &Socket) -> Watched {
        loop {
            // Whoever was cut is not read any more, where it had ended before.
            if self.broken.get() || client.is_expired() {
                return Watched::Broken;
            }
            let Silence { of_both, of_one } = self.silence;
            let most = if self.ended.get() { of_both.min(of_one) } else { of_both };
            let left = (self.heard.get() + most).saturating_duration_since(now());
            if left.is_zero() {
                return Watched::Silent;
            }
            let pause = if self.ended.get() { left.min(LOOK_EVERY) } else { left };
            either(pin!(sleep(pause)), pin!(self.bell.notified())).await;
        }
    }
}

/// How often it is looked whether a tunnel was cut whose client has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One more of what a gauge shows, for as long as it lasts.
struct Counted<'a>(&'a Metric);

impl Counted<'_> {
    fn new(gauge: &Metric) -> Counted<'_> {
        gauge.add(1);
        Counted(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

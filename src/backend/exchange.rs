//! One request and its answer on a connection to a server.
//!
//! The answer is read strictly: what two readers could read differently is no answer, and its connection is closed. A
//! connection is used again only where request and answer are whole and nothing came behind them. No read or write is
//! ever in flight: sockets are polled, and what they have or take is had at once, so that whatever waits here may be
//! given up. It does not know what the fields mean.

use std::cell::Cell;
use std::io;
use std::mem;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Method, StatusCode};

use super::pool::{Busy, Line, Open};
use super::{Backend, Failed};
use crate::net::{Instant, Stream, Writer, now, within};
use crate::protocol::Decoded;
use crate::protocol::http::{AnswerBody, AnswerDecoder, AnswerHead, Asked, ChunkedDecoder, Piece};

/// A request, as it goes out.
pub struct Outgoing {
    /// Tells how the answer is framed (HEAD) and whether the request may be sent twice.
    pub method: Method,
    /// The head, and what of the body goes with it.
    pub first: Bytes,
    /// Whether nothing follows `first`.
    pub whole: bool,
    /// It asks for a WebSocket: 101 is an answer then.
    pub upgrade: bool,
}

/// A request under way. Dropped before [`Exchange::finish`], its connection is closed.
pub struct Exchange {
    /// The way to the server.
    pub up: Up,
    /// The way back.
    pub down: Down,
}

/// The way to the server.
pub struct Up {
    writer: Writer,
    sent: Sent,
    idle_timeout: Duration,
}

/// The way back.
pub struct Down {
    busy: Busy,
    times: Times,
    /// None while the request is sent again, and once that came to nothing.
    source: Option<Source>,
    again: Option<Again>,
    due: Due,
    asked: Asked,
    decoder: AnswerDecoder,
    /// What was read and is not looked at yet.
    buffered: Bytes,
    /// The last read filled its buffer: there is probably more.
    is_more_there: bool,
    /// Whoever held it wanted no more of it.
    is_stopped: Cell<bool>,
    body: Body,
    /// Whether the server keeps the connection open.
    is_kept: bool,
    failed: Option<Failed>,
}

/// Where the answer comes from.
struct Source {
    stream: Stream,
    open: Open,
    /// Of a line on which the request was sent again.
    writer: Option<Writer>,
    /// The line is no older than the request, and nothing was answered on it.
    is_new: bool,
}

/// From when on the answer's head is waited for.
struct Due {
    sent: Sent,
    /// Not from before this: the head before it, or when the request was sent again.
    since: Instant,
}

/// A request, as long as it may be sent again: it went out on a connection that was used before, which its server may
/// have closed at that very moment.
struct Again {
    first: Bytes,
    backend: Rc<Backend>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) connect: Duration,
    pub(super) answer: Duration,
    pub(super) idle: Duration,
}

/// Where the answer's body is.
enum Body {
    /// Its head is not there yet.
    Ahead,
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
    Ended,
    /// It will not be whole.
    Lost,
}

/// When the request was sent to its end.
#[derive(Clone)]
enum Sent {
    At(Instant),
    /// It may not be yet: told by the one way to the other.
    Told(Rc<Cell<Option<Instant>>>),
}

/// A request did not go out.
pub(super) struct Unsent {
    pub(super) failed: Failed,
    /// Not a byte of it.
    pub(super) untouched: bool,
}

impl Outgoing {
    /// Whether being sent twice means no more than being sent once (RFC 9110, section 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
    }

    fn asked(&self) -> Asked {
        match self.method {
            Method::HEAD => Asked::Head,
            _ if self.upgrade => Asked::Upgrade,
            _ => Asked::Plain,
        }
    }
}

impl Sent {
    fn at(&self) -> Option<Instant> {
        match self {
            Sent::At(at) => Some(*at),
            Sent::Told(told) => told.get(),
        }
    }
}

impl Due {
    /// How much of `timeout` is left; all of it while the request is not sent to its end.
    fn left(&self, timeout: Duration) -> Duration {
        let from = self.sent.at().map(|at| at.max(self.since));
        from.map_or(timeout, |from| (from + timeout).saturating_duration_since(now()))
    }
}

impl Exchange {
    /// Sends the first of a request on this connection; `again`: whose it is, if it may be sent on another connection
    /// should this one turn out to be closed.
    pub(super) async fn start(
        busy: Busy,
        line: Line,
        outgoing: &Outgoing,
        times: Times,
        again: Option<&Rc<Backend>>,
    ) -> Result<Exchange, Unsent> {
        let Line { stream, mut writer, open, is_new } = line;
        let sent = send_first(&mut writer, &outgoing.first, times.idle).await;
        sent.inspect_err(|unsent| {
            if is_new {
                busy.server().note(&unsent.failed);
            }
        })?;
        let sent = if outgoing.whole { Sent::At(now()) } else { Sent::Told(Rc::default()) };
        let again = again.filter(|_| outgoing.whole);
        let again = again.map(|backend| Again { first: outgoing.first.clone(), backend: backend.clone() });
        let up = Up { writer, sent: sent.clone(), idle_timeout: times.idle };
        let down = Down {
            busy,
            times,
            source: Some(Source { stream, open, writer: None, is_new }),
            again,
            due: Due { since: sent.at().unwrap_or_else(now), sent },
            asked: outgoing.asked(),
            decoder: AnswerDecoder::default(),
            buffered: Bytes::new(),
            is_more_there: false,
            is_stopped: Cell::default(),
            body: Body::Ahead,
            is_kept: false,
            failed: None,
        };
        Ok(Exchange { up, down })
    }

    /// Ends the exchange: the connection goes back to the pool if request and answer are whole, the server keeps it
    /// open, and nothing came behind the answer.
    pub fn finish(self) {
        let Exchange { up, mut down } = self;
        let is_whole = up.sent.at().is_some() && down.is_ended();
        if is_whole
            && down.is_kept
            && down.buffered.is_empty()
            && let Some(Source { stream, open, writer, .. }) = down.source.take()
        {
            let writer = writer.unwrap_or(up.writer);
            down.busy.server().keep(Line { stream, writer, open, is_new: false });
        }
    }

    /// After 101: the bare connection, and what came behind the head.
    ///
    /// # Panics
    /// If there was no 101.
    pub fn into_tunnel(self) -> (Stream, Writer, Bytes) {
        let Exchange { up, mut down } = self;
        let source = down.source.take().expect("after 101 there is a connection");
        let writer = source.writer.unwrap_or(up.writer);
        (source.stream, writer, mem::take(&mut down.buffered))
    }
}

impl Up {
    /// Sends more of the body, framed by the caller. Dropped before its end, nobody knows how far it came;
    /// [`Down::stop`] frees whoever is stuck.
    ///
    /// # Errors
    /// The connection is broken, or the server took nothing for `idle_timeout`. It may have answered before that: ask
    /// [`Down::head`].
    pub async fn send(&mut self, batch: Vec<Bytes>) -> Result<(), Failed> {
        let written = self.writer.write_within(self.idle_timeout, batch).await;
        written.ok_or(Failed::Idle)?.map_err(Failed::Broken)
    }

    /// The request is sent to its end.
    pub fn end(&mut self) {
        if let Sent::Told(told) = &self.sent {
            told.set(told.get().or_else(|| Some(now())));
        }
    }
}

impl Down {
    /// The next head: an interim one (1xx, but 101) too. May be dropped.
    ///
    /// # Errors
    /// There is none, or none in time; the connection is of no use any more.
    pub async fn head(&mut self) -> Result<AnswerHead, Failed> {
        loop {
            match self.decoder.decode(&self.buffered, self.asked) {
                Ok(Decoded::Complete { item, used }) => {
                    self.buffered.advance(used);
                    return Ok(self.on_head(item));
                }
                Ok(Decoded::Incomplete { .. }) => (),
                Err(error) => return Err(self.noted(Failed::Head(error))),
            }
            self.await_answer().await?;
        }
    }

    /// What came next of the body, without its framing; none at its end. May be dropped.
    ///
    /// # Errors
    /// The body will not be whole.
    pub async fn body(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            let here = self.body_here();
            if let Some(failed) = self.failed.take() {
                return Err(failed);
            }
            if here.is_some() || self.is_ended() {
                return Ok(here);
            }
            if matches!(self.body, Body::Ahead | Body::Lost) {
                return Err(Failed::Closed);
            }
            if let Err(failed) = self.await_body().await {
                self.body = Body::Lost;
                return Err(failed);
            }
        }
    }

    /// What of the body is there already; none if one has to wait for it, or it is at its end.
    pub fn body_here(&mut self) -> Option<Bytes> {
        match &mut self.body {
            Body::Ahead | Body::Ended | Body::Lost => None,
            _ if self.buffered.is_empty() => None,
            Body::UntilClose => Some(mem::take(&mut self.buffered)),
            Body::Length(left) => {
                let len =
                    usize::try_from(*left).map_or(self.buffered.len(), |left| left.min(self.buffered.len()));
                *left -= len as u64;
                if *left == 0 {
                    self.body = Body::Ended;
                }
                Some(take(&mut self.buffered, len))
            }
            Body::Chunked(decoder) => match decoder.decode(&self.buffered) {
                Ok(Piece::Data { skip, len }) => {
                    self.buffered.advance(skip);
                    Some(take(&mut self.buffered, len))
                }
                Ok(Piece::More) => {
                    self.buffered = Bytes::new();
                    None
                }
                Ok(Piece::End { used }) => {
                    self.buffered.advance(used);
                    self.body = Body::Ended;
                    None
                }
                Err(error) => {
                    self.failed = Some(Failed::Chunks(error));
                    self.body = Body::Lost;
                    None
                }
            },
        }
    }

    /// Whether the body is at its end. Of one in chunks that is known once [`body_here`](Self::body_here) had nothing
    /// more.
    pub fn is_ended(&self) -> bool {
        matches!(self.body, Body::Ended)
    }

    /// Ends the connection in both directions, whoever waits or writes there.
    pub fn stop(&self) {
        self.is_stopped.set(true);
        if let Some(source) = &self.source {
            source.stream.shutdown(Shutdown::Both);
        }
    }

    /// Takes down that no answer came, where that is the server's doing: not of a connection that had been idle, for
    /// it may be closed at any time; nor while the rest of a request is waited for, which may be its client's fault.
    fn noted(&self, failed: Failed) -> Failed {
        let is_new = self.source.as_ref().is_some_and(|source| source.is_new);
        if is_new && self.due.sent.at().is_some() && !self.is_stopped.get() {
            self.busy.server().note(&failed);
        }
        failed
    }

    fn on_head(&mut self, head: AnswerHead) -> AnswerHead {
        self.again = None;
        if let Some(source) = &mut self.source {
            source.is_new = false;
        }
        self.busy.server().board.answered();
        if head.is_interim() {
            self.due.since = now();
            return head;
        }
        self.is_kept = head.keep_alive && head.status != StatusCode::SWITCHING_PROTOCOLS;
        self.body = match head.body {
            AnswerBody::None | AnswerBody::Length(0) => Body::Ended,
            AnswerBody::Length(len) => Body::Length(len),
            AnswerBody::Chunked => Body::Chunked(ChunkedDecoder::default()),
            AnswerBody::UntilClose => Body::UntilClose,
        };
        head
    }

    /// Waits until there is more of a head, and reads it.
    async fn await_answer(&mut self) -> Result<(), Failed> {
        loop {
            let Some(Source { stream, .. }) = &self.source else {
                // Boxed: hardly any answer needs it.
                Box::pin(self.send_again()).await?;
                continue;
            };
            let left = self.due.left(self.times.answer);
            let failed = match within(left, stream.readable()).await {
                // The request was sent to its end meanwhile, or is not yet.
                None if !self.due.left(self.times.answer).is_zero() => continue,
                None => {
                    self.busy.server().note(&Failed::AnswerTimeout);
                    return Err(Failed::AnswerTimeout);
                }
                Some(Err(error)) => Failed::Broken(error),
                Some(Ok(())) => match self.fill() {
                    Ok(Filled::Some) => return Ok(()),
                    Ok(Filled::Nothing) => continue,
                    Ok(Filled::End) => Failed::Closed,
                    Err(error) => Failed::Broken(error),
                },
            };
            if self.again.is_none() || !self.buffered.is_empty() || self.is_stopped.get() {
                return Err(self.noted(failed));
            }
            // Closed while it was idle, it may be: nobody has seen the request.
            self.source = None;
            self.busy.server().station.metrics.proxied_retries_total.add(1);
        }
    }

    /// Sends the request once more, on a new connection.
    async fn send_again(&mut self) -> Result<(), Failed> {
        let Some(again) = &self.again else { return Err(Failed::Closed) };
        // Another server, if there is one: this one may have closed all that it had.
        let server = again.backend.choose(Some(self.busy.server()));
        let server = server.unwrap_or_else(|| self.busy.server().clone());
        let connected = Box::pin(server.connect(self.times.connect)).await;
        // Taken only now: until then, whoever gave this up may have it done anew.
        let again = self.again.take();
        let connected = connected.inspect_err(|failed| server.note(failed));
        // The request may have been seen where it was sent first: that is what its end has to be known by.
        let Line { stream, mut writer, open, is_new } = connected.map_err(|_| Failed::Closed)?;
        if self.is_stopped.get() {
            return Err(Failed::Closed);
        }
        self.busy = Busy::new(server);
        if let Some(Again { first, .. }) = again {
            let sent = send_first(&mut writer, &first, self.times.idle).await;
            let sent = sent.map_err(|unsent| unsent.failed);
            sent.inspect_err(|failed| self.busy.server().note(failed))?;
        }
        self.due.since = now();
        self.source = Some(Source { stream, open, writer: Some(writer), is_new });
        Ok(())
    }

    /// Waits until there is more of a body, and reads it.
    async fn await_body(&mut self) -> Result<(), Failed> {
        loop {
            let Some(Source { stream, .. }) = &self.source else { return Err(Failed::Closed) };
            if !self.is_more_there {
                let ready = within(self.times.idle, stream.readable()).await;
                ready.ok_or(Failed::Idle)?.map_err(Failed::Broken)?;
            }
            match (self.fill().map_err(Failed::Broken)?, &self.body) {
                (Filled::Some, _) => return Ok(()),
                (Filled::Nothing, _) => (),
                (Filled::End, Body::UntilClose) => {
                    self.body = Body::Ended;
                    return Ok(());
                }
                (Filled::End, _) => return Err(Failed::Closed),
            }
        }
    }

    /// Reads what has arrived behind what is there.
    fn fill(&mut self) -> io::Result<Filled> {
        let Some(Source { stream, .. }) = &self.source else { return Ok(Filled::End) };
        let buffered = &mut self.buffered;
        let is_more_there = &mut self.is_more_there;
        self.busy.server().station.with_scratch(|scratch| {
            let read = stream.try_read(scratch)?;
            *is_more_there = read == Some(scratch.len());
            Ok(match read {
                None => Filled::Nothing,
                Some(0) => Filled::End,
                Some(len) => {
                    *buffered = appended(mem::take(buffered), &scratch[..len]);
                    Filled::Some
                }
            })
        })
    }
}

/// What a read brought.
enum Filled {
    Some,
    Nothing,
    End,
}

/// `more` behind `bytes`; to what nobody else holds it is appended in place.
fn appended(bytes: Bytes, more: &[u8]) -> Bytes {
    if bytes.is_empty() {
        return Bytes::copy_from_slice(more);
    }
    let mut grown = bytes.try_into_mut().unwrap_or_else(|bytes| bytes[..].into());
    grown.extend_from_slice(more);
    grown.freeze()
}

/// The first `len` of `bytes`.
fn take(bytes: &mut Bytes, len: usize) -> Bytes {
    if len == bytes.len() { mem::take(bytes) } else { bytes.split_to(len) }
}

/// Sends the first of a request. If the connection breaks behind its first byte that is no error yet: the server may
/// have answered before, which reading tells.
async fn send_first(writer: &mut Writer, first: &Bytes, idle_timeout: Duration) -> Result<(), Unsent> {
    let mut rest = first.clone();
    while !rest.is_empty() {
        let untouched = rest.len() == first.len();
        let failed = match writer.try_write(std::slice::from_ref(&rest)) {
            Ok(0) => wait_for_room(writer, idle_timeout).await.err(),
            Ok(sent) => {
                rest.advance(sent);
                None
            }
            Err(_) if !untouched => return Ok(()),
            Err(error) => Some(Failed::Broken(error)),
        };
        if let Some(failed) = failed {
            return Err(Unsent { failed, untouched });
        }
    }
    Ok(())
}

async fn wait_for_room(writer: &Writer, idle_timeout: Duration) -> Result<(), Failed> {
    within(idle_timeout, writer.writable()).await.ok_or(Failed::Idle)?.map_err(Failed::Broken)
}

#[cfg(test)]
mod tests;

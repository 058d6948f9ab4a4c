//! A socket of this core, from its place in the node to its end.
//!
//! Whoever serves it holds the [`Socket`]; dropping that takes the connection out of every room, stops
//! a write that is in flight, and gives the place back, whichever way it came to it.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use slotmap::{Key, new_key_type};

use super::timers::{Due, Tick, Timers, ticks_of};
use super::{AbortOnPanic, Arrival, GOODBYE_WITHIN, Outlet, Shard};
use crate::hub::{ConnectionKey, Wire};
use crate::net::{Notify, Stream, Writer};
use crate::protocol::websocket::CloseCode;
use crate::quota::{AddressKey, Seat, TooMany};

new_key_type! {
    /// A socket at its shard.
    pub(super) struct SocketKey;
}

/// What a shard keeps of a socket.
pub(super) struct Entry {
    pub(super) stream: Stream,
    timers: Timers,
    /// It was cut: its reader ends.
    expired: bool,
    /// A write to it failed.
    broken: bool,
    /// A drain neither cuts it nor waits for it.
    pub(super) outlasts: bool,
    pub(super) under_way: UnderWay,
    pub(super) connection: Option<ConnectionKey>,
}

/// What is under way at a socket that is no connection, for whoever has to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderWay {
    /// Nothing.
    Nothing,
    /// A request: a drain lets it come to its end, but not beyond the window.
    Request,
    /// The answer to one, which is whole when the connection ends: before that, it is reset, so that the peer does not
    /// take what it has for all of it.
    Bare,
}

/// A socket and the right to read from it.
pub struct Socket {
    shard: Rc<Shard>,
    key: SocketKey,
    stream: Stream,
    peer: SocketAddr,
    address: Cell<AddressKey>,
    seat: Cell<Option<Seat>>,
}

impl Socket {
    /// Takes up a socket that has its place on this shard, and the writer that goes with it.
    pub fn new(shard: &Rc<Shard>, arrival: Arrival) -> io::Result<(Socket, Writer)> {
        let Arrival { accepted, seat } = arrival;
        let quota = &shard.node.quota;
        let (stream, writer) = match Stream::from_fd(accepted.socket) {
            Ok(opened) => opened,
            Err(error) => {
                seat.into_iter().for_each(|seat| quota.addresses.leave(seat));
                quota.leave(shard.index);
                return Err(error);
            }
        };
        let (address, seat) = (Cell::new(quota.addresses.key(accepted.peer.ip())), Cell::new(seat));
        let entry = Entry {
            stream: stream.clone(),
            timers: Timers::default(),
            expired: false,
            broken: false,
            outlasts: false,
            under_way: UnderWay::Nothing,
            connection: None,
        };
        let key = shard.sockets.borrow_mut().insert(entry);
        Ok((Socket { shard: shard.clone(), key, stream, peer: accepted.peer, address, seat }, writer))
    }

    /// The address that this socket is counted for and whose messages it sends.
    pub fn address(&self) -> AddressKey {
        self.address.get()
    }

    /// From now on this socket is for a client at another address, which may have so many connections: a
    /// proxy's connection may serve one after the other.
    ///
    /// # Errors
    ///
    /// [`TooMany`]: it is counted for nobody then.
    pub fn move_to(&self, address: IpAddr, most: usize) -> Result<(), TooMany> {
        let addresses = &self.shard.node.quota.addresses;
        let key = addresses.key(address);
        match self.seat.take() {
            Some(seat) if key == self.address.get() => {
                self.seat.set(Some(seat));
                return Ok(());
            }
            seat => seat.into_iter().for_each(|seat| addresses.leave(seat)),
        }
        self.address.set(key);
        self.seat.set(addresses.enter(key, most)?);
        Ok(())
    }

    /// Its shard.
    pub fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// An operator's: it stays for as long as the node does, and a drain does not wait for it.
    pub fn outlast_drain(&self) {
        if let Some(entry) = self.shard.sockets.borrow_mut().get_mut(self.key)
            && !std::mem::replace(&mut entry.outlasts, true)
        {
            self.shard.outlasting.set(self.shard.outlasting.get() + 1);
        }
    }

    /// What is under way here from now on.
    pub fn set_under_way(&self, what: UnderWay) {
        if let Some(entry) = self.shard.sockets.borrow_mut().get_mut(self.key) {
            entry.under_way = what;
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Waits until there is something to read. May be dropped: no byte is in flight.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> + '_ {
        self.stream.readable()
    }

    /// Reads what has arrived, at most 128 KiB, and gives it to `take`; `None` where nothing had. An
    /// empty slice is the end.
    pub fn read<R>(&self, take: impl FnOnce(&mut [u8]) -> R) -> io::Result<Option<R>> {
        self.read_at_most(usize::MAX, take)
    }

    /// The same of at most `most` bytes, which is not 0.
    pub fn read_at_most<R>(&self, most: usize, take: impl FnOnce(&mut [u8]) -> R) -> io::Result<Option<R>> {
        let mut scratch = self.shard.scratch.borrow_mut();
        let room = most.min(scratch.len());
        let Some(len) = self.stream.try_read(&mut scratch[..room])? else { return Ok(None) };
        self.shard.metrics().received_bytes_total.add(len as u64);
        if len > 0 {
            self.shard.on_heard(self.key);
        }
        Ok(Some(take(&mut scratch[..len])))
    }

    /// Nobody reads until [`Socket::resume`]: that the peer is not heard meanwhile is not held against it. That it
    /// acknowledges nothing is, for a peer that is gone is known by nothing else.
    pub fn pause(&self) {
        self.stream.set_unacknowledged_max(self.shard.limits().unheard_max());
        if let Some(entry) = self.shard.sockets.borrow_mut().get_mut(self.key) {
            entry.timers.pause(self.shard.tick.get());
        }
    }

    /// It is read again.
    pub fn resume(&self) {
        if let Some(entry) = self.shard.sockets.borrow_mut().get_mut(self.key) {
            entry.timers.resume(self.shard.tick.get());
        }
    }

    /// From `within` on, `how` is shut down and [`Socket::is_expired`]. Replaces an earlier deadline.
    pub fn set_deadline(&self, within: Duration, how: Shutdown) {
        self.shard.set_deadline(self.key, within, how);
    }

    /// There is no deadline any more.
    pub fn clear_deadline(&self) {
        if let Some(entry) = self.shard.sockets.borrow_mut().get_mut(self.key) {
            entry.timers.clear_deadline();
        }
    }

    /// Whether a deadline has passed, or the shard is stopping and this socket is not yet a connection.
    pub fn is_expired(&self) -> bool {
        self.shard.sockets.borrow().get(self.key).is_none_or(|entry| entry.expired)
    }

    /// Whether its peer has gone, or it was cut: looked at where nobody reads, and so would not see it.
    pub fn is_gone(&self) -> bool {
        self.is_expired() || self.stream.is_hung_up()
    }

    /// Both directions end here: whoever waits to read sees the end, and whoever is stuck writing is free.
    pub fn stop(&self) {
        self.shard.shut(self.key, Shutdown::Both, |_| ());
    }

    /// Writing ends here; the peer sees the end once it has read what was written.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write);
    }

    /// The birth of a connection: from here on it can be in rooms. `first` goes out before anything
    /// else, `greet` appends to it once the connection has a name.
    pub fn connect(
        &self,
        writer: Writer,
        (user, wire): (Arc<str>, Wire),
        first: BytesMut,
        greet: impl FnOnce(&mut BytesMut, ConnectionKey),
    ) -> ConnectionKey {
        let is_stream = wire != Wire::Native;
        let key = self.shard.with_hub(|hub| hub.connect(user, wire));
        let outlet =
            Outlet { socket: self.key, stream: self.stream.clone(), writer: Some(writer), written: None };
        self.shard.outlets.borrow_mut().insert(key, outlet);
        if let Some(entry) = self.shard.sockets.borrow_mut().get_mut(self.key) {
            entry.connection = Some(key);
        }
        self.clear_deadline();
        self.shard.start_beat(self.key, is_stream);
        if is_stream {
            self.stream.set_unacknowledged_max(self.shard.limits().unheard_max());
        }
        self.shard.with_hub(|hub| {
            hub.reply(key, |out| {
                // The outbox is empty: the bytes move in without a copy.
                *out = first;
                greet(out, key);
            })
        });
        key
    }

    /// The connection that this socket became.
    pub fn connection(&self) -> Option<ConnectionKey> {
        self.shard.sockets.borrow().get(self.key).and_then(|entry| entry.connection)
    }

    /// Waits until the connection's next write has ended. False if none will any more: the socket is broken,
    /// or was cut.
    pub async fn written(&self, key: ConnectionKey) -> bool {
        if !self.is_cut() {
            let notify = match self.shard.outlets.borrow_mut().get_mut(key) {
                Some(outlet) => outlet.written.get_or_insert_with(|| Rc::new(Notify::new())).clone(),
                None => return false,
            };
            notify.notified().await;
        }
        !self.is_cut()
    }

    /// Whether nothing can be written any more: the socket [`Socket::is_expired`], or it is broken.
    pub fn is_cut(&self) -> bool {
        self.shard.sockets.borrow().get(self.key).is_none_or(|entry| entry.expired || entry.broken)
    }
}

impl Entry {
    /// Whether a request is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way != UnderWay::Nothing
    }

    fn end(&self, how: Shutdown) {
        match self.under_way {
            UnderWay::Bare => self.stream.reset(),
            UnderWay::Nothing | UnderWay::Request => self.stream.shutdown(how),
        }
    }
}

impl Drop for Socket {
    /// The end of a connection, the only one.
    fn drop(&mut self) {
        let _torn = AbortOnPanic;
        let entry = self.shard.sockets.borrow_mut().remove(self.key);
        // Whoever is stuck writing gets free; what the kernel holds is still delivered.
        match entry.as_ref() {
            Some(entry) => entry.end(Shutdown::Both),
            None => self.stream.shutdown(Shutdown::Both),
        }
        if entry.as_ref().is_some_and(|entry| entry.outlasts) {
            self.shard.outlasting.set(self.shard.outlasting.get() - 1);
        }
        if let Some(key) = entry.and_then(|entry| entry.connection) {
            self.shard.outlets.borrow_mut().remove(key);
            self.shard.with_hub(|hub| hub.disconnect(key));
        }
        let quota = &self.shard.node.quota;
        self.seat.take().into_iter().for_each(|seat| quota.addresses.leave(seat));
        quota.leave(self.shard.index);
    }
}

impl Shard {
    pub(super) fn set_deadline(&self, key: SocketKey, within: Duration, how: Shutdown) {
        // One more, for the tick that is under way.
        let due = self.tick.get().saturating_add(ticks_of(within)).saturating_add(1);
        self.with_timers(key, |timers| timers.set_deadline(due, how));
    }

    fn start_beat(&self, key: SocketKey, is_stream: bool) {
        let (every, now) = (self.heartbeat.get(), self.tick.get());
        // Keys differ in their low bits: who came together is spread over a quarter of the interval.
        let spread = |interval: Tick| key.data().as_ffi() as Tick % (interval / 4).max(1);
        self.with_timers(key, |timers| match is_stream {
            false => timers.start_heartbeat(now, spread(every.interval), every),
            true => timers.start_comments(now, spread(every.comment), every),
        });
    }

    fn on_heard(&self, key: SocketKey) {
        if let Some(entry) = self.sockets.borrow_mut().get_mut(key) {
            entry.timers.on_heard(self.tick.get());
        }
    }

    /// Changes a socket's times, and enters it into the wheel for the tick that comes of it.
    fn with_timers(&self, key: SocketKey, change: impl FnOnce(&mut Timers) -> Option<Tick>) {
        let due = self.sockets.borrow_mut().get_mut(key).and_then(|entry| change(&mut entry.timers));
        self.enter(key, due);
    }

    fn enter(&self, key: SocketKey, due: Option<Tick>) {
        if let Some(due) = due {
            self.wheel.borrow_mut().enter(key, due);
        }
    }

    /// From `within` on the connection's identity is over, and it is told so; `None`: it does not end.
    /// Replaces what was set before. The wall clock was read when the token was judged; from there on ticks
    /// count, so that a clock that jumps ends nobody's connection before its time.
    pub fn set_expiry(&self, key: ConnectionKey, within: Option<Duration>) {
        let socket = self.outlets.borrow().get(key).map(|outlet| outlet.socket);
        // Beyond the last tick there is no end.
        let ticks = within.map(ticks_of).filter(|ticks| *ticks < Tick::MAX);
        let end = ticks.and_then(|ticks| self.tick.get().checked_add(ticks)?.checked_add(1));
        if let Some(socket) = socket {
            self.with_timers(socket, |timers| timers.set_end(end));
        }
    }

    fn end_identity(&self, key: SocketKey) {
        let connection = self.sockets.borrow().get(key).and_then(|entry| entry.connection);
        if let Some(connection) = connection {
            self.metrics().tokens_expired_total.add(1);
            self.dismiss(connection, CloseCode::TOKEN_EXPIRED, "Token expired", GOODBYE_WITHIN);
        }
    }

    /// Does what is due at a tick: pings and comments, and cuts who is silent or overdue.
    pub(super) fn expire(&self, tick: Tick) {
        let reached = self.wheel.borrow_mut().advance(tick);
        for key in reached {
            let due = {
                let mut sockets = self.sockets.borrow_mut();
                let Some(entry) = sockets.get_mut(key) else { continue };
                entry.timers.on_tick(tick, self.heartbeat.get())
            };
            match due {
                Due::Later(next) => self.enter(key, next),
                Due::Ping(next) => {
                    self.enter(key, next);
                    self.metrics().pings_total.add(1);
                    self.ping(key);
                }
                Due::Comment(next) => {
                    self.enter(key, next);
                    self.ping(key);
                }
                Due::Ended => self.end_identity(key),
                Due::Silent => {
                    self.metrics().silent_total.add(1);
                    self.cut(key, Shutdown::Both);
                }
                Due::Overdue(how) => {
                    self.metrics().deadlines_total.add(1);
                    self.cut(key, how);
                }
            }
        }
    }

    fn ping(&self, key: SocketKey) {
        let connection = self.sockets.borrow().get(key).and_then(|entry| entry.connection);
        if let Some(connection) = connection {
            let leaving = self.with_hub(|hub| {
                hub.ping(connection);
                hub.is_leaving(connection)
            });
            if leaving {
                // The hub said goodbye of its own accord: who does not hang up is cut.
                self.set_deadline(key, GOODBYE_WITHIN, Shutdown::Both);
            }
        }
    }

    /// Ends a socket whose time has come: its reader looks at nothing more.
    pub(super) fn cut(&self, key: SocketKey, how: Shutdown) {
        self.shut(key, how, |entry| entry.expired = true);
    }

    /// Ends a socket that cannot be written to. What has arrived is still read, and then the end.
    pub(super) fn on_broken(&self, key: SocketKey) {
        self.shut(key, Shutdown::Both, |entry| entry.broken = true);
    }

    /// The reader is woken also where it does not wait for bytes but for its replies to be written.
    fn shut(&self, key: SocketKey, how: Shutdown, mark: impl FnOnce(&mut Entry)) {
        let mut sockets = self.sockets.borrow_mut();
        let Some(entry) = sockets.get_mut(key) else { return };
        mark(entry);
        entry.end(how);
        let mut outlets = self.outlets.borrow_mut();
        let outlet = entry.connection.and_then(|connection| outlets.get_mut(connection));
        if let Some(written) = outlet.and_then(|outlet| outlet.written.take()) {
            written.notify();
        }
    }
}

//! The end of a turn: inboxes in, chunks sealed, lanes and sockets out.
//!
//! One task a shard, woken by the first who has something to send. It runs behind all tasks that the
//! same completions woke, so that one flush covers what they all brought. Big rooms are passed over in
//! slices: between two of them the ring is visited once, and reads get their chance.

use std::net::Shutdown;
use std::rc::Rc;

use bytes::Bytes;

use super::{AbortOnPanic, GOODBYE_WITHIN, Parcel, Shard, ShardPort};
use crate::hub::{ConnectionKey, Lanes, Message, ShardId};
use crate::net::{Burst, Sent, Turn, Writer, spawn};
use crate::protocol::websocket::CloseCode;

/// The shard's one flusher.
pub(super) async fn flush_forever(shard: Rc<Shard>, mut turn: Turn, mut burst: Burst<ConnectionKey>) {
    // Its first turn comes by itself: a shard that has not lain down once is taken for one that is awake,
    // and nobody would ring for what is sent to it before it has work of its own.
    shard.flusher.notify();
    loop {
        shard.flusher.notified().await;
        shard.port.borrow_mut().wake();
        loop {
            let more = shard.flush(&mut burst);
            if !more && shard.port.borrow_mut().rest() {
                break;
            }
            // A pass that fails leaves the flusher without a way to yield: the core cannot go on.
            turn.pass().await.expect("an eventfd can be polled");
        }
    }
}

impl Shard {
    /// One pass over everything that waits; true if something is left for the next.
    fn flush(self: &Rc<Self>, burst: &mut Burst<ConnectionKey>) -> bool {
        let guard = AbortOnPanic;
        self.share_rooms();
        self.drain_inboxes();
        // What was opened is counted before its answer leaves.
        self.share_rooms();
        let sealed = self.exchange();
        self.send_off();
        // What came in during a sweep is not sealed yet: the shard must not lie down on it.
        let more = self.send_slice(burst) || !sealed;
        drop(guard);
        more
    }

    /// Takes what other cores sent, at most one ring's worth from each; never waits for space.
    fn drain_inboxes(self: &Rc<Self>) {
        let shards = self.waiters.len();
        for from in (0..shards).filter(|&from| from != self.index) {
            for _ in 0..MESH_CAPACITY {
                let parcel = self.port.borrow_mut().pop(from);
                match parcel {
                    Some(Parcel::Hub(message)) => {
                        self.hub.borrow_mut().on_message(ShardId(from as u16), message)
                    }
                    Some(Parcel::Arrival(arrival)) => (self.door)(self, arrival),
                    Some(Parcel::Question(key, question)) => {
                        self.on_question(ShardId(from as u16), key, *question)
                    }
                    Some(Parcel::Answer(key, answer)) => self.on_answer(key, *answer),
                    None => break,
                }
            }
        }
    }

    /// Seals chunks, unless a sweep is under way, fills the lanes, rings the bells once, and tells those
    /// who waited. True if the chunks were sealed.
    fn exchange(&self) -> bool {
        let mut hub = self.hub.borrow_mut();
        let mut port = self.port.borrow_mut();
        self.asking.say(|to, parcel| port.push(to, parcel));
        hub.push(&mut Outgoing(&mut port));
        // What comes in during a sweep waits for the next: it then goes to all in one write each. (Sealed
        // in the middle, 64 outstanding publications came in writes of 27, so in writes of 50.) A sweep
        // ends with those who were behind when it began, so that none waits for those who come after.
        let sealed = self.sweep_left.get() == 0;
        if sealed {
            hub.end_turn();
            self.sweep_left.set(hub.writable_count());
        }
        port.ring();
        for (home, waiters) in self.waiters.iter().enumerate() {
            let progress = hub.poll_progress(ShardId(home as u16));
            if progress > 0 && !waiters.is_empty() {
                waiters.wake(progress as usize);
            }
        }
        sealed
    }

    /// Sees to those who have to go: whom the hub has told goodbye, the furthest behind when the process holds too much,
    /// and those whose goodbye waited for a fence.
    fn send_off(self: &Rc<Self>) {
        while let Some((key, code)) = self.next_dismissed() {
            self.metrics().closes.by_code(code.to_wire()).add(1);
            let socket = self.outlets.borrow().get(key).map(|outlet| outlet.socket);
            if let Some(socket) = socket {
                self.set_deadline(socket, GOODBYE_WITHIN, Shutdown::Both);
            }
        }
        let held = self.hub.borrow().buffered_bytes();
        let most = self.limits.get().buffered_bytes;
        let excess = self.node.quota.set_buffered(self.index, held, most - most / ROUNDING_SHARE);
        if excess > 0 {
            let closed = self.hub.borrow_mut().relieve(excess);
            for key in closed {
                // No lingering: what is in flight is a part of what must go.
                let socket = self.outlets.borrow().get(key).map(|outlet| outlet.socket);
                if let Some(socket) = socket {
                    self.cut(socket, Shutdown::Both);
                }
            }
        }
        self.dismiss_behind_fence();
    }

    /// Of the rooms that the process may have, homes here get what the other shards leave: to be said
    /// before rooms are opened.
    pub fn share_rooms(&self) {
        let _torn = AbortOnPanic;
        let mut hub = self.hub.borrow_mut();
        let homes = hub.census().homes;
        hub.set_homes_max(self.node.quota.set_rooms(self.index, homes, self.limits.get().rooms));
    }

    fn next_dismissed(&self) -> Option<(ConnectionKey, CloseCode)> {
        self.hub.borrow_mut().poll_dismissed()
    }

    /// Sends to connections that are behind, as many as one slice of a sweep holds; true if there are more.
    fn send_slice(self: &Rc<Self>, burst: &mut Burst<ConnectionKey>) -> bool {
        {
            let (mut hub, outlets) = (self.hub.borrow_mut(), self.outlets.borrow());
            while !burst.is_full() {
                let Some(key) = hub.poll_writable() else {
                    self.sweep_left.set(0);
                    break;
                };
                self.sweep_left.set(self.sweep_left.get().saturating_sub(1));
                if let Some(writer) = outlets.get(key).and_then(|outlet| outlet.writer.as_ref()) {
                    // The burst sees for itself whether there was anything.
                    burst.add(key, writer, |slices| _ = hub.batch(key, slices));
                }
            }
        }
        burst.send(|key, sent| match sent {
            Sent::All(bytes) => {
                self.metrics().sent_bytes_total.add(bytes as u64);
                _ = self.on_written(key);
            }
            Sent::Short(bytes, rest) => {
                self.metrics().sent_bytes_total.add(bytes as u64);
                let writer = self.outlets.borrow_mut().get_mut(key).and_then(|outlet| outlet.writer.take());
                let writer = writer.expect("it was there to be sent to, and nobody ran since");
                spawn(write_rest(self.clone(), key, writer, rest));
            }
            Sent::Failed(_) => self.on_failed(key),
        });
        self.hub.borrow().writable_count() > 0
    }

    /// A batch is written; behind a goodbye's, so is the end. True if there is more to be sent.
    fn on_written(&self, key: ConnectionKey) -> bool {
        let (caught_up, leaving) = {
            let mut hub = self.hub.borrow_mut();
            (hub.on_written(key), hub.is_leaving(key))
        };
        if let Some(outlet) = self.outlets.borrow_mut().get_mut(key) {
            if caught_up && leaving {
                outlet.stream.shutdown(Shutdown::Write);
            }
            if let Some(written) = outlet.written.take() {
                written.notify();
            }
        }
        !caught_up
    }

    /// Its reader sees the end, and with it goes the connection.
    fn on_failed(&self, key: ConnectionKey) {
        let socket = self.outlets.borrow().get(key).map(|outlet| outlet.socket);
        if let Some(socket) = socket {
            self.on_broken(socket);
        }
    }
}

/// Writes to one connection what its socket had no room for at once. Short-lived: a connection that keeps up
/// has no such task.
async fn write_rest(shard: Rc<Shard>, key: ConnectionKey, mut writer: Writer, rest: Vec<Bytes>) {
    let bytes: usize = rest.iter().map(Bytes::len).sum();
    let written = writer.write(rest).await;
    let _torn = AbortOnPanic;
    if written.is_err() {
        return shard.on_failed(key);
    }
    shard.metrics().sent_bytes_total.add(bytes as u64);
    if let Some(outlet) = shard.outlets.borrow_mut().get_mut(key) {
        outlet.writer = Some(writer);
    }
    if shard.on_written(key) {
        shard.flusher.notify();
    }
}

struct Outgoing<'a>(&'a mut ShardPort);

impl Lanes for Outgoing<'_> {
    fn push(&mut self, to: ShardId, message: Message) -> Result<(), Message> {
        self.0.push(usize::from(to.0), Parcel::Hub(message)).map_err(|parcel| match parcel {
            Parcel::Hub(message) => message,
            _ => unreachable!("the lane hands back what it was given"),
        })
    }
}

/// So much of `limits.buffered`, a sixteenth, is left for what an allocator rounds up to: 60,000 bytes take
/// 65,536.
const ROUNDING_SHARE: usize = 16;
/// Parcels a lane between two cores holds.
pub const MESH_CAPACITY: usize = 1024;

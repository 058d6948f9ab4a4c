//! Stopping: goodbyes spread over the drain window, and nothing accepted that is not delivered.
//!
//! Each tick says goodbye to a share of the connections. A goodbye waits behind a fence through all
//! homes, so that whoever goes has what was accepted before it. A request that is under way has the whole window.

use std::collections::VecDeque;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use super::{Entry, GOODBYE_WITHIN, Shard, TICK, Tick, ticks_of};
use crate::hub::ConnectionKey;
use crate::protocol::websocket::CloseCode;

/// A drain under way.
pub(super) struct Drain {
    /// Who is still to be told.
    remaining: VecDeque<ConnectionKey>,
    /// Told once their fence has passed.
    departing: VecDeque<(u64, Vec<ConnectionKey>)>,
    ticks_left: u64,
    /// When the window is over.
    over: Tick,
    /// For the spread of reconnects.
    jitter: u64,
}

impl Drain {
    fn new(connections: Vec<ConnectionKey>, window: Duration, now: Tick, seed: u64) -> Drain {
        // Few connections need no long window: nobody waits for a herd of ten.
        let needed = PACE * u32::try_from(connections.len()).unwrap_or(u32::MAX);
        let ticks = window.min(needed).as_millis() as u64 / TICK.as_millis() as u64;
        Drain {
            remaining: connections.into(),
            departing: VecDeque::new(),
            ticks_left: ticks,
            over: now.saturating_add(ticks_of(window)),
            jitter: seed | 1,
        }
    }

    /// This tick's share.
    fn share(&mut self) -> Vec<ConnectionKey> {
        let count = self.remaining.len().div_ceil(self.ticks_left.max(1) as usize);
        self.ticks_left = self.ticks_left.saturating_sub(1);
        self.remaining.drain(..count).collect()
    }

    /// When to come back, in milliseconds: spread so that they do not come all at once.
    fn retry_ms(&mut self) -> u64 {
        // xorshift64: it only has to spread.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        RETRY_MS_MIN + self.jitter % (RETRY_MS_MAX - RETRY_MS_MIN)
    }
}

impl Shard {
    /// Begins the drain, or goes on with it.
    pub(super) fn drain_tick(self: &Rc<Self>) {
        if self.drain.borrow().is_none() {
            self.begin_drain();
        }
        let share = self.drain.borrow_mut().as_mut().map(Drain::share).unwrap_or_default();
        if !share.is_empty() {
            let fence = self.with_hub(|hub| hub.raise_fence());
            if let Some(drain) = self.drain.borrow_mut().as_mut() {
                drain.departing.push_back((fence, share));
            }
        }
        self.cut_overdue();
        // A socket on its way here from another core has its place already.
        if self.node.quota.is_deserted(self.index, self.outlasting.get()) {
            self.emptied.notify();
        }
    }

    fn begin_drain(&self) {
        let connections: Vec<ConnectionKey> = self.hub.borrow().connections().collect();
        // The shards begin in one tick: without their number they would draw the same hints.
        let drawn = u64::from(self.tick.get()) ^ (self.index as u64) << 32;
        let seed = drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *self.drain.borrow_mut() =
            Some(Drain::new(connections, self.limits.get().drain, self.tick.get(), seed));
        // Who is still at the door may say what it came for, and is answered.
        let grace = self.limits.get().drain.min(DOOR_WITHIN);
        let waiting: Vec<_> = {
            let sockets = self.sockets.borrow();
            let at_the_door =
                |entry: &Entry| entry.connection.is_none() && !entry.outlasts && !entry.is_under_way();
            sockets.iter().filter(|(_, entry)| at_the_door(entry)).map(|(key, _)| key).collect()
        };
        for socket in waiting {
            self.set_deadline(socket, grace, Shutdown::Read);
        }
        self.stopped.notify();
    }

    /// Cuts the requests that are under way still when the window is over, and the tunnels.
    fn cut_overdue(&self) {
        if self.drain.borrow().as_ref().is_none_or(|drain| self.tick.get() < drain.over) {
            return;
        }
        let overdue: Vec<_> = {
            let sockets = self.sockets.borrow();
            sockets.iter().filter(|(_, entry)| entry.is_under_way()).map(|(key, _)| key).collect()
        };
        for socket in overdue {
            self.cut(socket, Shutdown::Both);
        }
    }

    /// How long whoever may ask for something is waited for: `within`, and hardly at all in a drain.
    pub fn wait_at_the_door(&self, within: Duration) -> Duration {
        match self.node.quota.is_stopping() {
            true => within.min(self.limits.get().drain).min(DOOR_WITHIN),
            false => within,
        }
    }

    /// Says the goodbyes whose fence has passed.
    pub(super) fn dismiss_behind_fence(&self) {
        loop {
            let passed = self.hub.borrow().fence_passed();
            let next = match self.drain.borrow_mut().as_mut() {
                Some(drain) => drain.departing.pop_front_if(|(fence, _)| *fence <= passed),
                None => None,
            };
            let Some((_, keys)) = next else { return };
            for key in keys {
                let retry_ms = self.drain.borrow_mut().as_mut().map_or(RETRY_MS_MIN, Drain::retry_ms);
                let within = self.limits.get().drain.clamp(GOODBYE_WITHIN_MIN, GOODBYE_WITHIN);
                self.dismiss(key, CloseCode::GOING_AWAY, &format!("retry={retry_ms}"), within);
            }
        }
    }
}

/// So many goodbyes a shard may say at once without a herd: one each 20 ms.
const PACE: Duration = Duration::from_millis(20);
/// The hint's bounds, in milliseconds.
const RETRY_MS_MIN: u64 = 500;
const RETRY_MS_MAX: u64 = 5000;
/// How long a socket that has not asked for anything yet is waited for: whoever was accepted in the last
/// moment has its request under way, and to close before that would reset it.
const DOOR_WITHIN: Duration = Duration::from_secs(1);
/// However short the window: a peer gets this long to take its goodbye.
const GOODBYE_WITHIN_MIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn shares(count: usize, window: Duration) -> Vec<usize> {
        let mut slots = SlotMap::with_key();
        let keys = (0..count).map(|_| slots.insert(())).collect();
        let mut drain = Drain::new(keys, window, 0, 7);
        let mut shares = Vec::new();
        while !drain.remaining.is_empty() {
            shares.push(drain.share().len());
        }
        shares
    }

    #[test]
    fn many_are_spread_evenly_over_the_window() {
        let shares = shares(5000, Duration::from_secs(30));
        assert_eq!(shares.len(), 300);
        assert!(shares.iter().all(|share| (16..=17).contains(share)));
    }

    #[test]
    fn few_do_not_wait_for_the_window_to_end() {
        assert_eq!(shares(3, Duration::from_secs(30)), [3]);
        assert_eq!(shares(100, Duration::from_secs(30)).len(), 20);
    }

    #[test]
    fn with_no_window_all_go_at_once() {
        assert_eq!(shares(10_000, Duration::ZERO), [10_000]);
    }

    #[test]
    fn the_hint_is_spread_between_its_bounds() {
        let mut drain = Drain::new(Vec::new(), Duration::ZERO, 0, 3);
        let hints: Vec<u64> = (0..1000).map(|_| drain.retry_ms()).collect();
        assert!(hints.iter().all(|hint| (RETRY_MS_MIN..RETRY_MS_MAX).contains(hint)));
        let early = hints.iter().filter(|hint| **hint < 2750).count();
        assert!((400..600).contains(&early), "{early} of 1000 in the lower half");
    }
}

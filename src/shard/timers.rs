//! The times that one socket keeps: a deadline, the end of its identity, and its heartbeat.
//!
//! Plain values; ticks are arguments. A socket stands in the wheel for the next of its times, and is
//! asked there what is due. While a deadline is set it alone counts: who is on the way out is not pinged.

use std::net::Shutdown;
use std::num::NonZero;
use std::time::Duration;

/// 100 ms each since the shard began; they last for thirteen years.
pub(super) type Tick = u32;

/// How finely times are kept.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// So many ticks last at least this long.
pub(super) fn ticks_of(time: Duration) -> Tick {
    Tick::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(Tick::MAX)
}

/// How often a silent peer is pinged, how long it then has to be heard, and how often one that only listens is sent a
/// comment, in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heartbeat {
    pub(super) interval: Tick,
    pub(super) timeout: Tick,
    pub(super) comment: Tick,
}

/// What a tick comes to for a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before this tick, or at all.
    Later(Option<Tick>),
    /// To be pinged; the tick is that of the next time, as for [`Due::Later`].
    Ping(Option<Tick>),
    /// To be sent a comment; the tick is that of the next time, as for [`Due::Later`].
    Comment(Option<Tick>),
    /// The peer was pinged, and nothing was heard of it.
    Silent,
    /// The identity is over.
    Ended,
    /// The deadline has passed.
    Overdue(Shutdown),
}

/// One socket's times.
#[derive(Debug, Default)]
pub(super) struct Timers {
    deadline: Option<(Tick, Shutdown)>,
    /// The earliest tick for which it stands in the wheel. Idle connections are most of what a shard
    /// holds, so that every byte counts here: no time is tick 0.
    entered: Option<NonZero<Tick>>,
    ends: Option<NonZero<Tick>>,
    beat: Beat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Beat {
    /// Not a connection yet.
    #[default]
    Off,
    /// Last heard at this tick.
    Heard(Tick),
    /// Pinged at this tick, and not heard since.
    Pinged(Tick),
    /// Only listens, and was sent a comment at this tick. Its silence says nothing.
    Listening(Tick),
    /// It is not read, and was pinged at this tick, or heard. Its silence is ours.
    Unread(Tick),
}

impl Timers {
    /// The deadline that counts from now on. Returns the tick to enter into the wheel, if any.
    #[must_use]
    pub(super) fn set_deadline(&mut self, due: Tick, how: Shutdown) -> Option<Tick> {
        self.deadline = Some((due, how));
        self.enter(due)
    }

    pub(super) fn clear_deadline(&mut self) {
        self.deadline = None;
    }

    /// When the identity is over, if ever. Returns the tick to enter into the wheel, if any.
    #[must_use]
    pub(super) fn set_end(&mut self, end: Option<Tick>) -> Option<Tick> {
        self.ends = end.map(|end| NonZero::new(end).unwrap_or(NonZero::<Tick>::MIN));
        self.enter(end?)
    }

    /// From now on its peer is pinged when it is silent. `spread` ticks early the first time, so that
    /// those who came together are not pinged together. Returns the tick to enter into the wheel, if any.
    #[must_use]
    pub(super) fn start_heartbeat(&mut self, now: Tick, spread: Tick, every: Heartbeat) -> Option<Tick> {
        self.beat = Beat::Heard(now.saturating_sub(spread));
        self.enter(now.saturating_sub(spread).saturating_add(every.interval))
    }

    /// From now on its peer, which only listens, is sent comments; otherwise as [`Timers::start_heartbeat`].
    #[must_use]
    pub(super) fn start_comments(&mut self, now: Tick, spread: Tick, every: Heartbeat) -> Option<Tick> {
        self.beat = Beat::Listening(now.saturating_sub(spread));
        self.enter(now.saturating_sub(spread).saturating_add(every.comment))
    }

    /// The peer sent something, whatever it was.
    pub(super) fn on_heard(&mut self, now: Tick) {
        if matches!(self.beat, Beat::Heard(_) | Beat::Pinged(_)) {
            self.beat = Beat::Heard(now);
        }
    }

    /// From now on nobody reads what the peer sends: it is pinged as before, and not given up.
    pub(super) fn pause(&mut self, now: Tick) {
        if matches!(self.beat, Beat::Heard(_) | Beat::Pinged(_)) {
            self.beat = Beat::Unread(now);
        }
    }

    /// It is read again: from here its silence counts. What it was pinged meanwhile it may still answer.
    pub(super) fn resume(&mut self, now: Tick) {
        if matches!(self.beat, Beat::Unread(_)) {
            self.beat = Beat::Heard(now);
        }
    }

    /// It was entered for `tick`, and is not in the wheel any more: what is due. After [`Due::Later`]
    /// or [`Due::Ping`] or [`Due::Comment`] with a tick it stands in the wheel again: enter it.
    pub(super) fn on_tick(&mut self, tick: Tick, every: Heartbeat) -> Due {
        self.entered = None;
        if let Some((due, how)) = self.deadline {
            if due <= tick {
                self.deadline = None;
                return Due::Overdue(how);
            }
            return Due::Later(self.enter(due));
        }
        if self.ends.is_some_and(|end| end.get() <= tick) {
            self.ends = None;
            return Due::Ended;
        }
        match self.beat_due(every) {
            Some(due) if due <= tick => self.on_beat(tick, every),
            _ => Due::Later(self.enter_next(every)),
        }
    }

    fn on_beat(&mut self, tick: Tick, every: Heartbeat) -> Due {
        match self.beat {
            Beat::Pinged(_) => {
                self.beat = Beat::Off;
                Due::Silent
            }
            Beat::Listening(_) => {
                self.beat = Beat::Listening(tick);
                Due::Comment(self.enter_next(every))
            }
            Beat::Unread(_) => {
                self.beat = Beat::Unread(tick);
                Due::Ping(self.enter_next(every))
            }
            Beat::Off | Beat::Heard(_) => {
                self.beat = Beat::Pinged(tick);
                Due::Ping(self.enter_next(every))
            }
        }
    }

    fn beat_due(&self, every: Heartbeat) -> Option<Tick> {
        match self.beat {
            Beat::Off => None,
            Beat::Heard(at) | Beat::Unread(at) => Some(at.saturating_add(every.interval)),
            Beat::Pinged(at) => Some(at.saturating_add(every.timeout)),
            Beat::Listening(at) => Some(at.saturating_add(every.comment)),
        }
    }

    fn enter_next(&mut self, every: Heartbeat) -> Option<Tick> {
        let next = self.beat_due(every).into_iter().chain(self.ends.map(NonZero::get)).min();
        self.enter(next?)
    }

    /// Whether `due` has to be entered: not if it stands in the wheel for then or before.
    fn enter(&mut self, due: Tick) -> Option<Tick> {
        let due = NonZero::new(due).unwrap_or(NonZero::<Tick>::MIN);
        if self.entered.is_some_and(|entered| entered <= due) {
            return None;
        }
        self.entered = Some(due);
        Some(due.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Heartbeat = Heartbeat { interval: 250, timeout: 200, comment: 300 };

    #[test]
    fn a_peer_that_is_silent_is_pinged_after_the_interval_and_given_up_after_the_timeout() {
        let mut timers = Timers::default();
        assert_eq!(timers.start_heartbeat(1000, 0, EVERY), Some(1250));
        assert_eq!(timers.on_tick(1250, EVERY), Due::Ping(Some(1450)));
        assert_eq!(timers.on_tick(1450, EVERY), Due::Silent);
        assert_eq!(timers.on_tick(1451, EVERY), Due::Later(None));
    }

    #[test]
    fn whatever_is_heard_postpones_the_ping_and_answers_it() {
        let mut timers = Timers::default();
        let _ = timers.start_heartbeat(1000, 0, EVERY);
        timers.on_heard(1100);
        assert_eq!(timers.on_tick(1250, EVERY), Due::Later(Some(1350)));
        assert_eq!(timers.on_tick(1350, EVERY), Due::Ping(Some(1550)));
        timers.on_heard(1351);
        assert_eq!(timers.on_tick(1550, EVERY), Due::Later(Some(1601)));
    }

    #[test]
    fn a_socket_that_is_no_connection_has_no_heartbeat() {
        let mut timers = Timers::default();
        timers.on_heard(7);
        assert_eq!(timers.on_tick(5000, EVERY), Due::Later(None));
    }

    #[test]
    fn a_peer_that_only_listens_is_sent_comments_and_never_given_up() {
        let mut timers = Timers::default();
        assert_eq!(timers.start_comments(1000, 50, EVERY), Some(1250));
        assert_eq!(timers.on_tick(1250, EVERY), Due::Comment(Some(1550)));
        timers.on_heard(1400);
        assert_eq!(timers.on_tick(1550, EVERY), Due::Comment(Some(1850)));
        assert_eq!(timers.set_end(Some(1700)), Some(1700));
        assert_eq!(timers.on_tick(1700, EVERY), Due::Ended);
    }

    #[test]
    fn a_peer_that_is_not_read_is_pinged_and_never_given_up_until_it_is_read_again() {
        let mut timers = Timers::default();
        assert_eq!(timers.start_heartbeat(1000, 0, EVERY), Some(1250));
        assert_eq!(timers.on_tick(1250, EVERY), Due::Ping(Some(1450)));
        timers.pause(1440);
        assert_eq!(timers.on_tick(1450, EVERY), Due::Later(Some(1690)));
        assert_eq!(timers.on_tick(1690, EVERY), Due::Ping(Some(1940)));
        assert_eq!(timers.on_tick(1940, EVERY), Due::Ping(Some(2190)));
        timers.resume(2000);
        assert_eq!(timers.on_tick(2190, EVERY), Due::Later(Some(2250)));
        assert_eq!(timers.on_tick(2250, EVERY), Due::Ping(Some(2450)));
        assert_eq!(timers.on_tick(2450, EVERY), Due::Silent);
    }

    #[test]
    fn a_pause_changes_nothing_for_whoever_has_no_heartbeat() {
        let mut timers = Timers::default();
        timers.pause(7);
        timers.resume(8);
        assert_eq!(timers.on_tick(5000, EVERY), Due::Later(None));
        assert_eq!(timers.start_comments(5000, 0, EVERY), Some(5300));
        timers.pause(5100);
        timers.resume(5200);
        assert_eq!(timers.on_tick(5300, EVERY), Due::Comment(Some(5600)));
    }

    #[test]
    fn a_deadline_counts_alone_and_bytes_do_not_extend_it() {
        let mut timers = Timers::default();
        let _ = timers.start_heartbeat(1000, 0, EVERY);
        assert_eq!(timers.set_deadline(1300, Shutdown::Both), None, "it stands in the wheel for 1250");
        timers.on_heard(1240);
        assert_eq!(timers.on_tick(1250, EVERY), Due::Later(Some(1300)));
        timers.on_heard(1299);
        assert_eq!(timers.on_tick(1300, EVERY), Due::Overdue(Shutdown::Both));
    }

    #[test]
    fn an_earlier_deadline_is_entered_besides_and_a_later_one_is_not() {
        let mut timers = Timers::default();
        assert_eq!(timers.set_deadline(50, Shutdown::Read), Some(50));
        assert_eq!(timers.set_deadline(20, Shutdown::Both), Some(20));
        assert_eq!(timers.set_deadline(90, Shutdown::Both), None);
        assert_eq!(timers.on_tick(20, EVERY), Due::Later(Some(90)));
    }

    #[test]
    fn an_identity_ends_at_its_tick_whatever_is_heard() {
        let mut timers = Timers::default();
        let _ = timers.start_heartbeat(1000, 0, EVERY);
        assert_eq!(timers.set_end(Some(1100)), Some(1100));
        timers.on_heard(1099);
        assert_eq!(timers.on_tick(1100, EVERY), Due::Ended);
        assert_eq!(timers.on_tick(1250, EVERY), Due::Later(Some(1349)), "it is over once");
    }

    #[test]
    fn an_end_that_moves_counts_where_it_is_now() {
        let mut timers = Timers::default();
        let _ = timers.start_heartbeat(1000, 0, EVERY);
        assert_eq!(timers.set_end(Some(1100)), Some(1100));
        assert_eq!(timers.set_end(Some(2000)), None);
        assert_eq!(timers.on_tick(1100, EVERY), Due::Later(Some(1250)));
        assert_eq!(timers.set_end(None), None);
        assert_eq!(timers.on_tick(1250, EVERY), Due::Ping(Some(1450)));
    }

    #[test]
    fn a_ping_does_not_hide_an_end() {
        let mut timers = Timers::default();
        let _ = timers.start_heartbeat(1000, 0, EVERY);
        assert_eq!(timers.set_end(Some(1300)), None);
        assert_eq!(timers.on_tick(1250, EVERY), Due::Ping(Some(1300)));
        assert_eq!(timers.on_tick(1300, EVERY), Due::Ended);
    }

    #[test]
    fn the_times_of_a_socket_take_24_bytes() {
        assert!(size_of::<Timers>() <= 24, "{}", size_of::<Timers>());
    }

    #[test]
    fn a_shorter_interval_holds_at_the_next_visit() {
        let mut timers = Timers::default();
        let _ = timers.start_heartbeat(1000, 0, EVERY);
        let shorter = Heartbeat { interval: 10, timeout: 10, comment: 10 };
        assert_eq!(timers.on_tick(1250, shorter), Due::Ping(Some(1260)));
    }

    #[test]
    fn a_time_lasts_at_least_as_long_as_it_says() {
        assert_eq!(ticks_of(Duration::from_millis(101)), 2);
        assert_eq!(ticks_of(Duration::from_millis(100)), 1);
        assert_eq!(ticks_of(Duration::ZERO), 0);
        assert_eq!(ticks_of(Duration::MAX), Tick::MAX);
    }
}

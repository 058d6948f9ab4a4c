//! Whether the application is to be called at all: not for a while, after it has failed often enough.
//!
//! A state machine without a clock. It counts what it is told, and must not know what a call is.

use std::time::Duration;

use crate::net::Instant;

/// Calls of one worker.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    pause_max: Duration,
}

#[derive(Debug)]
enum State {
    /// All calls are made; so many failed in a row.
    Closed { failures: u32 },
    /// None is made until then.
    Open { until: Instant, pause: Duration },
    /// One is made, and all others wait for what becomes of it.
    Trying { since: Instant, pause: Duration },
}

/// The leave to make one call, to be given back with what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leave {
    /// It is the one on which all depends.
    is_trial: bool,
}

impl Breaker {
    pub(super) fn new() -> Breaker {
        Breaker { state: State::Closed { failures: 0 }, pause_max: PAUSE_MAX }
    }

    /// Leave to make a call, if there is.
    pub(super) fn leave(&mut self, now: Instant) -> Option<Leave> {
        match self.state {
            State::Closed { .. } => Some(Leave { is_trial: false }),
            State::Open { until, pause } if until <= now => {
                self.state = State::Trying { since: until, pause };
                Some(Leave { is_trial: true })
            }
            State::Open { .. } | State::Trying { .. } => None,
        }
    }

    /// Whether [`leave`](Self::leave) would answer with one.
    pub(super) fn would_leave(&self, now: Instant) -> bool {
        self.opens_at().is_some_and(|at| at <= now) || matches!(self.state, State::Closed { .. })
    }

    /// When there will be leave again, as far as time alone decides.
    pub(super) fn opens_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed { .. } | State::Trying { .. } => None,
        }
    }

    /// The application answered: whichever call that was, it lives.
    pub(super) fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// It did not. True if from now on it is not called for a while.
    pub(super) fn failed(&mut self, leave: Leave, now: Instant) -> bool {
        let pause = match (&mut self.state, leave.is_trial) {
            (State::Closed { failures }, _) => {
                *failures += 1;
                if *failures < FAILURES_MAX {
                    return false;
                }
                PAUSE_MIN
            }
            (State::Trying { pause, .. }, true) => *pause * 2,
            // One that began before it opened.
            (State::Open { .. } | State::Trying { .. }, _) => return false,
        };
        let pause = pause.min(self.pause_max);
        self.state = State::Open { until: now + pause, pause };
        true
    }

    /// Nobody knows what became of it: whoever waited is gone.
    pub(super) fn given_up(&mut self, leave: Leave) {
        if let (State::Trying { since, pause }, true) = (&self.state, leave.is_trial) {
            self.state = State::Open { until: *since, pause: *pause };
        }
    }

    /// Waits no longer than `pause_max` from now on.
    pub(super) fn hurry(&mut self, now: Instant, pause_max: Duration) {
        self.pause_max = pause_max;
        if let State::Open { until, pause } = &mut self.state {
            *until = (*until).min(now + pause_max);
            *pause = (*pause).min(pause_max);
        }
    }
}

/// Failures in a row.
const FAILURES_MAX: u32 = 8;
/// How long it is left alone at first, and at last.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::now;

    const S: Duration = Duration::from_secs(1);

    /// One that has just opened at `start`.
    fn open(start: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        for nth in 1..=8 {
            let leave = breaker.leave(start).expect("it is closed");
            assert_eq!(breaker.failed(leave, start), nth == 8, "{nth}");
        }
        breaker
    }

    #[test]
    fn eight_failures_in_a_row_open_it_and_one_answer_in_between_begins_anew() {
        let start = now();
        let mut breaker = Breaker::new();
        for _ in 0..3 {
            for _ in 0..7 {
                let leave = breaker.leave(start).expect("it is closed");
                assert!(!breaker.failed(leave, start));
            }
            breaker.succeeded();
        }
        let mut breaker = open(start);
        assert!(breaker.leave(start).is_none() && !breaker.would_leave(start));
        assert_eq!(breaker.opens_at(), Some(start + S));
    }

    #[test]
    fn it_waits_one_two_four_and_eight_seconds_and_tries_one_call_between() {
        let mut at = now();
        let mut breaker = open(at);
        for pause_s in [1, 2, 4, 8, 8] {
            at += S * pause_s - Duration::from_millis(1);
            assert!(!breaker.would_leave(at) && breaker.leave(at).is_none(), "{pause_s}");
            at += Duration::from_millis(1);
            assert!(breaker.would_leave(at));
            let trial = breaker.leave(at).expect("one is tried");
            assert!(breaker.leave(at).is_none() && !breaker.would_leave(at), "one alone");
            assert_eq!(breaker.opens_at(), None, "the trial decides");
            assert!(breaker.failed(trial, at));
        }
        at += S * 8;
        breaker.leave(at).expect("one is tried");
        breaker.succeeded();
        let leave = breaker.leave(at).expect("it is closed");
        assert!(breaker.leave(at).is_some() && !breaker.failed(leave, at), "and counts from the beginning");
    }

    #[test]
    fn a_late_failure_of_an_earlier_call_does_not_lengthen_the_pause() {
        let start = now();
        let mut breaker = Breaker::new();
        let early = breaker.leave(start).expect("it is closed");
        for _ in 0..8 {
            breaker.failed(early, start);
        }
        assert!(!breaker.failed(early, start + S));
        let trial = breaker.leave(start + S).expect("one is tried");
        assert!(!breaker.failed(early, start + S), "that was not the trial");
        assert!(breaker.failed(trial, start + S));
        assert_eq!(breaker.opens_at(), Some(start + S * 3));
    }

    #[test]
    fn a_trial_that_nobody_waits_for_any_more_is_made_again() {
        let start = now();
        let mut breaker = open(start);
        let trial = breaker.leave(start + S).expect("one is tried");
        breaker.given_up(trial);
        let again = breaker.leave(start + S).expect("and another");
        assert!(breaker.failed(again, start + S));
        breaker.given_up(trial);
        assert_eq!(breaker.opens_at(), Some(start + S * 3), "an old leave changes nothing");
    }

    #[test]
    fn in_a_hurry_it_hardly_waits() {
        let start = now();
        let hurry = Duration::from_millis(200);
        let mut breaker = open(start);
        breaker.hurry(start, hurry);
        assert_eq!(breaker.opens_at(), Some(start + hurry));
        let trial = breaker.leave(start + hurry).expect("one is tried");
        assert!(breaker.failed(trial, start + hurry));
        assert_eq!(breaker.opens_at(), Some(start + hurry * 2));
    }
}

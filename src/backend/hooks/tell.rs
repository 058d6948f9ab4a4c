//! Telling: one task that starts what is due, and a task for each of the few that are under way.
//!
//! A notification is delivered once the application has said 2xx, or 410, which says that nobody wants it. Until then it
//! is tried again, under the same name, with a time and a signature of its own each time.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use tracing::error;

use super::breaker::Leave;
use super::event::Event;
use super::queue::{Full, Notice, Queue};
use super::verdict::{Post, Unusable};
use super::{Hooks, NoAnswer, Setup, Trial};
use crate::config::HookEvent;
use crate::net::{catch, now, spawn, unix_s, within};

impl Hooks {
    /// Tells: the event is kept until it is delivered, or given up and counted.
    pub fn tell(self: &Rc<Self>, event: &Event<'_>) {
        self.tell_after(event, Duration::ZERO);
    }

    /// The same of the end of one whose connect was not answered: not before the application has had as long again, for
    /// it may still be letting that one in.
    pub fn tell_end_of_unanswered(self: &Rc<Self>, event: &Event<'_>) {
        self.tell_after(event, self.setup().map_or(Duration::ZERO, |setup| setup.timeout));
    }

    fn tell_after(self: &Rc<Self>, event: &Event<'_>, pause: Duration) {
        let metrics = self.metrics();
        let kind = event.happening.kind();
        let body = event.encode(unix_s());
        let notice = Notice { id: event.id().into(), kind, body, since: now(), tries: 0 };
        let pushed = self.notices.borrow_mut().push(notice, pause);
        if pushed == Err(Full) {
            metrics.notifications_dropped_total.add(1);
            self.complain(kind, &NoAnswer::Late, &"too many notifications wait: one is dropped");
            return;
        }
        self.count_waiting();
        if !self.is_telling.replace(true) {
            spawn(tell_on(self.clone()));
        }
        self.bell.notify();
    }

    /// Waits until every notification is delivered or given up. From the first call on they are tried more often.
    pub async fn settled(&self) {
        if !self.is_hurried.replace(true) {
            self.breaker(TOLD).borrow_mut().hurry(now(), HURRIED_PAUSE);
            self.notices.borrow_mut().hurry(now(), HURRIED_PAUSE);
            self.bell.notify();
        }
        while self.notices.borrow().len() > 0 {
            self.settled.park().await;
        }
    }

    /// How many notifications are neither delivered nor given up.
    pub fn unsettled(&self) -> usize {
        self.notices.borrow().len()
    }

    /// What is done with the publications of a notification's answer.
    pub fn on_posts(&self, carry_out: impl Fn(Vec<Post>) + 'static) {
        self.carry_out.replace(Rc::new(carry_out));
    }

    /// One that is due, and leave to tell it, if it may be told now; those that were late beyond hope are given up on
    /// the way.
    fn next(&self) -> Option<(Notice, Rc<Setup>, Leave)> {
        let now = now();
        let is_due =
            |queue: &Queue| queue.under_way() < UNDER_WAY_MAX && queue.due_at().is_some_and(|at| at <= now);
        let setup = self.setup();
        let leave = match setup {
            Some(_) if is_due(&self.notices.borrow()) => Some(self.breaker(TOLD).borrow_mut().leave(now)?),
            _ => None,
        };
        for _ in 0..GIVEN_UP_A_TURN {
            if !is_due(&self.notices.borrow()) {
                break;
            }
            let Some(notice) = self.notices.borrow_mut().take(now) else { break };
            match (&setup, leave) {
                (Some(setup), Some(leave)) if !notice.is_lost(now, setup.retry_for) => {
                    return Some((notice, setup.clone(), leave));
                }
                _ => self.give_up(notice),
            }
        }
        if let Some(leave) = leave {
            self.breaker(TOLD).borrow_mut().given_up(leave);
        }
        None
    }

    /// How long nothing is to be started, unless the bell rings; none: until it rings.
    fn pause(&self) -> Option<Duration> {
        let (now, notices, breaker) = (now(), self.notices.borrow(), self.breaker(TOLD).borrow());
        let due_at = notices.due_at().filter(|_| notices.under_way() < UNDER_WAY_MAX)?;
        let from = if due_at > now || breaker.would_leave(now) { due_at } else { breaker.opens_at()? };
        Some(from.saturating_duration_since(now).max(PAUSE_MIN))
    }

    /// Tries one, and says whether it is delivered.
    async fn try_to_tell(&self, setup: &Setup, notice: &Notice, leave: Leave) -> bool {
        let trial = Trial::new(self, notice.kind, leave);
        let call = setup.caller.call(&notice.id, &notice.body, unix_s(), setup.bounds.answer_bytes());
        let answer = within(TOLD_WITHIN, call).await;
        match trial.end(answer) {
            Ok((status, body)) if status.is_success() => {
                match setup.bounds.posts_of_notification(&body) {
                    Ok(posts) if posts.is_empty() => (),
                    Ok(posts) => {
                        let carry_out = self.carry_out.borrow().clone();
                        carry_out(posts);
                    }
                    Err(unusable) => drop(self.complain(notice.kind, &NoAnswer::Unusable, &unusable)),
                }
                true
            }
            Ok((StatusCode::GONE, _)) => true,
            Ok((status, _)) => {
                self.complain(notice.kind, &NoAnswer::Unusable, &Unusable::Status(status));
                false
            }
            Err(no_answer) => {
                self.complain(notice.kind, &no_answer, &no_answer);
                false
            }
        }
    }

    /// It was tried, and this came of it.
    fn after(&self, notice: Notice, setup: &Setup, is_delivered: bool) {
        let (metrics, now) = (self.metrics(), now());
        if is_delivered {
            metrics.notifications_total.add(1);
            self.notices.borrow_mut().done(&notice);
        } else if notice.is_over(now, setup.retry_for) {
            self.give_up(notice);
        } else {
            metrics.notifications_retried_total.add(1);
            let chance = notice.chance();
            self.notices.borrow_mut().again(notice, now, setup.retry_for, chance);
        }
        self.count_waiting();
        self.bell.notify();
    }

    fn give_up(&self, notice: Notice) {
        self.notices.borrow_mut().done(&notice);
        self.metrics().notifications_given_up_total.add(1);
        let why = format!("{} is given up after {} tries", notice.id, notice.tries);
        self.complain(notice.kind, &NoAnswer::Late, &why);
        self.count_waiting();
    }

    fn count_waiting(&self) {
        let waiting = self.notices.borrow().len();
        self.metrics().notifications_waiting.set(waiting as u64);
        if waiting == 0 {
            self.settled.wake(usize::MAX);
        }
    }
}

/// Starts what is due, as long as the worker runs.
async fn tell_on(hooks: Rc<Hooks>) {
    loop {
        while let Some((notice, setup, leave)) = hooks.next() {
            spawn(tell_once(hooks.clone(), notice, setup, leave));
        }
        match hooks.pause() {
            Some(pause) => drop(within(pause, hooks.bell.notified()).await),
            None => hooks.bell.notified().await,
        }
    }
}

async fn tell_once(hooks: Rc<Hooks>, notice: Notice, setup: Rc<Setup>, leave: Leave) {
    let tried = catch(pin!(hooks.try_to_tell(&setup, &notice, leave))).await;
    match tried {
        Ok(is_delivered) => hooks.after(notice, &setup, is_delivered),
        Err(panicked) => {
            hooks.metrics().panics_total.add(1);
            error!(%panicked, "a notification's answer");
            hooks.give_up(notice);
            hooks.bell.notify();
        }
    }
}

/// What is told goes by the breaker of all that is.
const TOLD: HookEvent = HookEvent::Disconnect;
/// Notifications under way at a time, of one worker.
const UNDER_WAY_MAX: usize = 16;
/// How long the application may take to hear one.
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// Pauses between tries where the end is near.
const HURRIED_PAUSE: Duration = Duration::from_millis(200);
/// Notifications that are given up before others of the worker have their turn.
const GIVEN_UP_A_TURN: usize = 1000;
/// A pause that lets the others have it.
const PAUSE_MIN: Duration = Duration::from_millis(1);

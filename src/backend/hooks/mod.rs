//! Hooks: calls that ask the application of a connection, or tell it.
//!
//! What is asked has somebody who waits for it: it is answered in time, or refused. What is told has nobody: it is kept
//! until it is delivered, or given up and counted. Both go the same way, a bounded number at a time, and not at all for
//! a while where the application cannot be reached. What a verdict says is carried out by others.

mod breaker;
mod call;
mod event;
mod line;
mod queue;
mod tell;
#[cfg(test)]
mod tests;
mod verdict;

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tracing::warn;

use super::{Boards, Failed, Station};
use crate::config::{Authority, Config, HookEvent};
use crate::metrics::Metrics;
use crate::net::{Instant, Notify, Waiters, now, unix_s, within};

use breaker::{Breaker, Leave};
use call::Caller;
use line::Line;
use queue::Queue;
use verdict::Bounds;

pub use event::{Event, Happening, Subject};
pub use verdict::{NoVerdict, Post, Verdict};

/// The hooks of one worker. Notifications that wait outlive a reload.
pub struct Hooks {
    workers: usize,
    station: Rc<Station>,
    setup: RefCell<Option<Rc<Setup>>>,
    line: Line,
    /// By what they are for: one that the application cannot do keeps nobody from the others.
    breakers: [RefCell<Breaker>; BREAKERS],
    notices: RefCell<Queue>,
    /// Rung when whoever tells may have something to do.
    bell: Notify,
    /// Whether there is somebody who tells.
    is_telling: Cell<bool>,
    /// Whether notifications are tried without long pauses: the end is near.
    is_hurried: Cell<bool>,
    settled: Waiters,
    carry_out: RefCell<Rc<CarryOut>>,
    /// When the log said last what was wrong.
    complained: Cell<Option<Instant>>,
}

/// What is done with publications.
type CarryOut = dyn Fn(Vec<Post>);

/// What holds until the next reload.
struct Setup {
    caller: Caller,
    bounds: Bounds,
    authority: Authority,
    events: Vec<HookEvent>,
    timeout: Duration,
    retry_for: Duration,
}

impl Hooks {
    /// For a worker of so many. There are none until they are configured.
    pub fn new(workers: usize, station: &Rc<Station>) -> Rc<Hooks> {
        Rc::new(Hooks {
            workers,
            station: station.clone(),
            setup: RefCell::default(),
            line: Line::new(),
            breakers: std::array::from_fn(|_| RefCell::new(Breaker::new())),
            notices: RefCell::default(),
            bell: Notify::new(),
            is_telling: Cell::default(),
            is_hurried: Cell::default(),
            settled: Waiters::new(),
            carry_out: RefCell::new(Rc::new(|_| ())),
            complained: Cell::default(),
        })
    }

    /// Goes by this configuration from now on: its `hooks`, if there are any, its limits, and its `auth.mode`. Calls
    /// under way end as they began.
    pub fn configure(self: &Rc<Self>, config: &Config, boards: &Boards) {
        let setup = config.hooks.as_ref().map(|hooks| {
            self.line.set_places((hooks.concurrency / self.workers.max(1)).max(1));
            Rc::new(Setup {
                caller: Caller::new(hooks, boards, &self.station),
                bounds: Bounds::new(config),
                authority: hooks.authority.clone(),
                events: hooks.events.clone(),
                timeout: hooks.timeout,
                retry_for: hooks.retry_for,
            })
        });
        let authority = |setup: &Option<Rc<Setup>>| setup.as_ref().map(|setup| setup.authority.clone());
        let earlier = self.setup.replace(setup);
        if authority(&earlier) != authority(&self.setup.borrow()) && !self.is_hurried.get() {
            // What is held against one server is not held against another.
            self.breakers.iter().for_each(|breaker| *breaker.borrow_mut() = Breaker::new());
        }
        self.bell.notify();
    }

    /// Whether the application is told of, or asked, this.
    pub fn wants(&self, event: HookEvent) -> bool {
        self.setup.borrow().as_ref().is_some_and(|setup| setup.events.contains(&event))
    }

    /// Asks, and waits for the verdict, for `hooks.timeout` at most. May be dropped. What the application heard of
    /// it before that, nobody knows.
    ///
    /// # Errors
    /// There is none.
    pub async fn ask(&self, event: &Event<'_>) -> Result<Verdict, NoVerdict> {
        let Some(setup) = self.setup() else { return Err(NoVerdict::Unreachable) };
        let metrics = self.metrics();
        metrics.hook_calls_total.add(1);
        let verdict = self.ask_by(&setup, event).await;
        match &verdict {
            Ok(verdict) if verdict.allow => (),
            Ok(_) => metrics.hook_refusals_total.add(1),
            Err(_) => metrics.hook_failures_total.add(1),
        }
        verdict
    }

    async fn ask_by(&self, setup: &Setup, event: &Event<'_>) -> Result<Verdict, NoVerdict> {
        let deadline = now() + setup.timeout;
        let kind = event.happening.kind();
        let shed = || {
            self.metrics().hook_shed_total.add(1);
            Err(NoVerdict::Unreachable)
        };
        if !self.breaker(kind).borrow().would_leave(now()) {
            return shed();
        }
        let _place = match within(setup.timeout, self.line.enter()).await {
            Some(Ok(place)) => place,
            Some(Err(line::Full)) => return shed(),
            None => return Err(NoVerdict::Unreachable),
        };
        let left = deadline.saturating_duration_since(now());
        if left < setup.timeout / WORTH_ASKING {
            // It would do in vain what it is asked about.
            return Err(NoVerdict::Unreachable);
        }
        let Some(mut trial) = self.trial(kind) else { return shed() };
        trial.is_fair = left >= setup.timeout / 2;
        let (id, body, at_s) = (event.id(), event.encode(unix_s()), unix_s());
        let call = setup.caller.call(&id, &body, at_s, setup.bounds.answer_bytes());
        let under_way = UnderWay::new(self.metrics());
        let answer = within(left, call).await;
        drop(under_way);
        let (status, body) = trial.end(answer).map_err(|failed| self.complain(kind, &failed, &failed))?;
        let verdict = setup.bounds.verdict(kind, status, &body);
        verdict.map_err(|unusable| self.complain(kind, &NoAnswer::Unusable, &unusable))
    }

    fn setup(&self) -> Option<Rc<Setup>> {
        self.setup.borrow().clone()
    }

    fn metrics(&self) -> &Arc<Metrics> {
        &self.station.metrics
    }

    /// Leave to call, if the application is called at all at present.
    fn trial(&self, kind: HookEvent) -> Option<Trial<'_>> {
        let leave = self.breaker(kind).borrow_mut().leave(now())?;
        Some(Trial::new(self, kind, leave))
    }

    /// What decides whether the application is called with this. What is told goes by one.
    fn breaker(&self, kind: HookEvent) -> &RefCell<Breaker> {
        &self.breakers[match kind {
            HookEvent::Connect => 0,
            HookEvent::Join => 1,
            HookEvent::Message => 2,
            HookEvent::Leave | HookEvent::Disconnect => 3,
        }]
    }

    /// Says what is wrong with the application, once a second at most, and what that means to who asked.
    fn complain(&self, kind: HookEvent, no_answer: &NoAnswer, why: &dyn Display) -> NoVerdict {
        let now = now();
        if self.complained.get().is_none_or(|last| now - last >= COMPLAINED_EVERY) {
            self.complained.set(Some(now));
            warn!(event = %kind, "hook: {why}");
        }
        match no_answer {
            NoAnswer::Failed(Failed::NoAddress | Failed::Unreachable(_) | Failed::ConnectTimeout) => {
                NoVerdict::Unreachable
            }
            NoAnswer::Failed(Failed::Head(_) | Failed::Chunks(_) | Failed::Malformed(_))
            | NoAnswer::Unusable => NoVerdict::Unusable,
            // It had the question, perhaps, and may have done what it was asked about.
            NoAnswer::Late | NoAnswer::Failed(_) => NoVerdict::Late,
        }
    }
}

/// Why a call has no answer that can be read.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the application did not answer in time")]
    Late,
    #[error(transparent)]
    Failed(Failed),
    #[error("the application's answer is no verdict")]
    Unusable,
}

/// One call, as far as it tells whether the application lives. Dropped before its end, it tells nothing.
struct Trial<'a> {
    hooks: &'a Hooks,
    kind: HookEvent,
    leave: Option<Leave>,
    /// Whether it had time enough: one that stood in line for long says nothing where it is late.
    is_fair: bool,
}

impl<'a> Trial<'a> {
    fn new(hooks: &'a Hooks, kind: HookEvent, leave: Leave) -> Trial<'a> {
        Trial { hooks, kind, leave: Some(leave), is_fair: true }
    }

    /// It has ended, with this answer, or with none in time.
    fn end(
        mut self,
        answer: Option<Result<(StatusCode, Bytes), Failed>>,
    ) -> Result<(StatusCode, Bytes), NoAnswer> {
        let answer = answer.map_or(Err(NoAnswer::Late), |answer| answer.map_err(NoAnswer::Failed));
        let is_well = match &answer {
            // Somebody is there, whatever it is that is said: one who finds what the application cannot do must not
            // have it left alone.
            Ok(_) | Err(NoAnswer::Failed(Failed::Head(_) | Failed::Chunks(_) | Failed::Malformed(_))) => true,
            Err(NoAnswer::Late) if !self.is_fair => return answer,
            Err(_) => false,
        };
        if let Some(leave) = self.leave.take() {
            let mut breaker = self.hooks.breaker(self.kind).borrow_mut();
            if is_well {
                breaker.succeeded();
            } else if breaker.failed(leave, now()) {
                let pause = breaker.opens_at().map_or(Duration::ZERO, |at| at - now());
                warn!(?pause, "hooks: the application has failed too often, and is left alone for a while");
            }
        }
        self.hooks.bell.notify();
        answer
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if let Some(leave) = self.leave.take() {
            self.hooks.breaker(self.kind).borrow_mut().given_up(leave);
            self.hooks.bell.notify();
        }
    }
}

/// A call that is under way, counted.
struct UnderWay<'a>(&'a Metrics);

impl UnderWay<'_> {
    fn new(metrics: &Metrics) -> UnderWay<'_> {
        metrics.hook_calls.add(1);
        UnderWay(metrics)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.hook_calls.sub(1);
    }
}

/// Connect, join, message, and what is told.
const BREAKERS: usize = 4;
/// Of the time for a call so great a part has to be left for it to be made, after the line: a quarter.
const WORTH_ASKING: u32 = 4;
/// The log says so often, at most, what is wrong.
const COMPLAINED_EVERY: Duration = Duration::from_secs(1);

//! Asking shards: from whoever waits for an answer here, over the mesh, and back.
//!
//! A call holds one of few places for as long as it lasts; each of its questions has a slot here that its answer is put
//! into. Whoever stops waiting frees the slot, and the answer that comes after all is thrown away. A lane that is full
//! leaves what is to be said in a list, which the calls of this shard and the answers of all bound. Nobody is waited for
//! without end: a shard that is stuck answers nobody.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use slotmap::{SlotMap, new_key_type};

use super::question::{Answer, Question};
use super::{AbortOnPanic, Parcel, Shard, answer};
use crate::hub::ShardId;
use crate::metrics::Metrics;
use crate::net::{Instant, Notify, now, spawn, within};

new_key_type! {
    /// A question that an answer is awaited for, at the shard that asked.
    pub struct QuestionKey;
}

/// What a shard has asked and is asked.
pub(super) struct Asking {
    calls: Cell<usize>,
    slots: RefCell<SlotMap<QuestionKey, Slot>>,
    /// Questions that are being answered here.
    answering: Cell<usize>,
    /// By shard: what is to be said as soon as the lane has room.
    unsaid: RefCell<Vec<VecDeque<Parcel>>>,
}

struct Slot {
    answer: Option<Answer>,
    arrived: Rc<Notify>,
}

/// The right to ask: one of `CALLS_MAX` places of its shard.
pub struct Call {
    shard: Rc<Shard>,
}

/// A question asked, and not answered yet.
struct Asked {
    shard: Rc<Shard>,
    key: QuestionKey,
    arrived: Rc<Notify>,
    until: Instant,
}

/// A shard did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It has as much to answer as it may have: nothing was done there.
    #[error("a worker has as much to answer as it may")]
    Busy,
    /// It said nothing in time. What was asked of it may yet happen.
    #[error("a worker did not answer in time")]
    Late,
}

impl Asking {
    pub(super) fn new(shards: usize) -> Asking {
        Asking {
            calls: Cell::new(0),
            slots: RefCell::default(),
            answering: Cell::new(0),
            unsaid: RefCell::new((0..shards).map(|_| VecDeque::new()).collect()),
        }
    }

    /// Gives what is unsaid to `push`, which hands back what a full lane does not take.
    pub(super) fn say(&self, mut push: impl FnMut(usize, Parcel) -> Result<(), Parcel>) {
        for (to, unsaid) in self.unsaid.borrow_mut().iter_mut().enumerate() {
            while let Some(parcel) = unsaid.pop_front() {
                if let Err(parcel) = push(to, parcel) {
                    unsaid.push_front(parcel);
                    break;
                }
            }
        }
    }
}

impl Shard {
    /// Takes a place to ask from; none if all are taken.
    pub fn call(self: &Rc<Self>) -> Option<Call> {
        let calls = self.asking.calls.get();
        if calls >= CALLS_MAX {
            return None;
        }
        self.asking.calls.set(calls + 1);
        Some(Call { shard: self.clone() })
    }

    fn ask(self: &Rc<Self>, to: ShardId, question: Question) -> Asked {
        let _torn = AbortOnPanic;
        let arrived = Rc::new(Notify::new());
        let slot = Slot { answer: None, arrived: arrived.clone() };
        let key = self.asking.slots.borrow_mut().insert(slot);
        if usize::from(to.0) == self.index {
            self.on_question(to, key, question);
        } else {
            self.send(to, Parcel::Question(key, Box::new(question)));
        }
        Asked { shard: self.clone(), key, arrived, until: now() + ANSWER_WITHIN }
    }

    fn send(&self, to: ShardId, parcel: Parcel) {
        self.asking.unsaid.borrow_mut()[usize::from(to.0)].push_back(parcel);
        self.flusher.notify();
    }

    /// A shard asks: a task of its own answers.
    pub(super) fn on_question(self: &Rc<Self>, from: ShardId, key: QuestionKey, question: Question) {
        if self.asking.answering.get() >= ANSWERING_MAX {
            return self.reply(from, key, Answer::Busy);
        }
        self.asking.answering.set(self.asking.answering.get() + 1);
        let shard = self.clone();
        spawn(async move {
            // It runs between awaits in the hub's and the shard's own state.
            let _torn = AbortOnPanic;
            let answer = answer::to(&shard, question).await;
            shard.asking.answering.set(shard.asking.answering.get() - 1);
            shard.reply(from, key, answer);
        });
    }

    fn reply(&self, to: ShardId, key: QuestionKey, answer: Answer) {
        if usize::from(to.0) == self.index {
            self.on_answer(key, answer);
        } else {
            self.send(to, Parcel::Answer(key, Box::new(answer)));
        }
    }

    /// A shard has answered; perhaps nobody waits for it any more.
    pub(super) fn on_answer(&self, key: QuestionKey, answer: Answer) {
        if let Some(slot) = self.asking.slots.borrow_mut().get_mut(key) {
            slot.answer = Some(answer);
            slot.arrived.notify();
        }
    }
}

impl Call {
    /// Asks one shard.
    ///
    /// # Errors
    /// [`NoAnswer`], after five seconds at the latest.
    pub async fn ask(&self, to: ShardId, question: Question) -> Result<Answer, NoAnswer> {
        self.shard.ask(to, question).answer().await
    }

    /// Asks shards at the same time; what came of each question, in the same order, after five seconds at the latest.
    pub async fn ask_each(
        &self,
        questions: impl IntoIterator<Item = (ShardId, Question)>,
    ) -> Vec<Result<Answer, NoAnswer>> {
        let asked: Vec<Asked> =
            questions.into_iter().map(|(to, question)| self.shard.ask(to, question)).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for asked in asked {
            answers.push(asked.answer().await);
        }
        answers
    }

    /// Asks every shard the same; the answers in the order of the shards.
    ///
    /// # Errors
    /// The first [`NoAnswer`], after five seconds at the latest.
    pub async fn ask_all(&self, question: impl Fn() -> Question) -> Result<Vec<Answer>, NoAnswer> {
        let answers = self.ask_each(self.shards().map(|shard| (shard, question()))).await;
        answers.into_iter().collect()
    }

    /// All shards.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shard.waiters.len() as u16).map(ShardId)
    }

    /// The home of a room.
    pub fn home_of(&self, room: &str) -> ShardId {
        self.shard.hub.borrow().home_of(room)
    }

    /// What this shard counts.
    pub fn metrics(&self) -> &Metrics {
        self.shard.metrics()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.shard.asking.calls.set(self.shard.asking.calls.get() - 1);
    }
}

impl Asked {
    async fn answer(self) -> Result<Answer, NoAnswer> {
        let left = self.until.saturating_duration_since(now());
        let arrived = within(left, self.arrived.notified()).await;
        let answer = self.shard.asking.slots.borrow_mut().remove(self.key).and_then(|slot| slot.answer);
        match (arrived, answer) {
            (_, Some(Answer::Busy)) => Err(NoAnswer::Busy),
            (_, Some(answer)) => Ok(answer),
            (_, None) => Err(NoAnswer::Late),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.shard.asking.slots.borrow_mut().remove(self.key);
    }
}

/// Calls that may be under way at a shard.
const CALLS_MAX: usize = 256;
/// Questions that a shard answers at a time: those of callers who gave up are among them until they end.
const ANSWERING_MAX: usize = 1024;
/// How long a shard has to answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;

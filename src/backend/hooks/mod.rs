//! Hooks: calls that tell the application of a connection, or ask it.

mod event;
mod verdict;

use std::rc::Rc;
use std::sync::Arc;

use crate::config::{Config, HookEvent};
use crate::metrics::Metrics;

pub use event::{Event, Happening, Subject};
pub use verdict::{NoVerdict, Post, Verdict};

/// The hooks of one worker. Notifications that wait outlive a reload.
pub struct Hooks {}

impl Hooks {
    /// For a worker of so many.
    pub fn new(_workers: usize, _metrics: Arc<Metrics>) -> Rc<Hooks> {
        Rc::new(Hooks {})
    }

    /// Goes by this configuration from now on: its `hooks`, if there are any, its limits, and its `auth.mode`.
    pub fn configure(self: &Rc<Self>, _config: &Config) {}

    /// Whether the application is told of, or asked, this.
    pub fn wants(&self, _event: HookEvent) -> bool {
        false
    }

    /// Asks, and waits for the verdict, for `hooks.timeout` at most. May be dropped.
    ///
    /// # Errors
    /// There is none.
    pub async fn ask(&self, _event: &Event<'_>) -> Result<Verdict, NoVerdict> {
        unimplemented!()
    }

    /// Tells: the event is kept until it is delivered, or given up and counted.
    pub fn tell(self: &Rc<Self>, _event: &Event<'_>) {
        unimplemented!()
    }

    /// Waits until every notification is delivered or given up. From the first call on they are tried more often.
    pub async fn settled(&self) {
        unimplemented!()
    }

    /// What is done with the publications of a notification's answer.
    pub fn on_posts(&self, _carry_out: impl Fn(Vec<Post>) + 'static) {
        unimplemented!()
    }
}

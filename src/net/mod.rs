//! Sockets, timers and tasks of one core: the only floor that says "monoio".
//!
//! A worker calls [`run`] on a thread of its own; all below lives on that thread and is never sent to another, save
//! [`EventBell`] and the plain descriptors of [`Accepted`] and [`Stream::into_fd`]. The rules that monoio 0.2 and
//! io_uring impose (an operation that is dropped in flight loses what it brings; a task that wakes itself starves the
//! others; a panic unwinds the core) are kept here, each with a comment and a test where it applies, so that the floors
//! above need not know them. Two are left to them: a [`Writer::write`] is awaited to its end, and a connection's future
//! runs inside [`catch`].
//!
//! Must never say monoio in a public signature: a successor, or a ring of our own, is a change to this floor alone.

mod bell;
mod both;
mod burst;
mod clock;
mod connect;
mod cpus;
mod driver;
mod guard;
mod listener;
mod notify;
mod restrict;
mod socket;
mod stream;
mod task;
#[cfg(test)]
pub(crate) mod trial;
mod turn;
mod waiters;

pub use bell::{Ear, EventBell};
pub use both::{Either, beside, both, either};
pub use burst::{Burst, Sent};
pub use clock::{Instant, now, sleep, unix_s, within};
pub use connect::connect;
pub use cpus::cpus;
pub use driver::{Driver, NoDriver, Reach, current as driver, probe, run};
pub use guard::{Panicked, catch};
pub use listener::{Accepted, Listener, NotAccepted, bind, prepare};
pub use notify::Notify;
pub use stream::{Stream, Writer};
pub use task::{Task, spawn};
pub use turn::Turn;
pub use waiters::Waiters;

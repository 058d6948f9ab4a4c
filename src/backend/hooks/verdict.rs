//! What the application answers.

use std::sync::Arc;

use crate::hub::Publication;

/// What the application answered to an event that it was asked about.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Whether it may be.
    pub allow: bool,
    /// Why not, for the client; at most 123 bytes.
    pub reason: Option<Box<str>>,
    /// Whose name the connection has from now on (connect, with `auth.mode = "hook"`).
    pub user: Option<Arc<str>>,
    /// Patterns of rooms for rules that say "token" (connect, with `auth.mode = "hook"`).
    pub rooms: Option<Box<[crate::config::Pattern]>>,
    /// Rooms that the connection joins, first.
    pub join: Vec<Box<str>>,
    /// Rooms that it leaves, then.
    pub leave: Vec<Box<str>>,
    /// What is published, in this order, then.
    pub publish: Vec<Post>,
    /// What the client is replied, last: a JSON value.
    pub reply: Option<Box<str>>,
    /// The state that replaces the connection's, a JSON value; "null" is none.
    pub state: Option<Box<str>>,
}

/// A publication for a room.
#[derive(Debug, Clone)]
pub struct Post {
    /// The room.
    pub room: Box<str>,
    /// What to publish.
    pub publication: Arc<Publication>,
}

/// Why there is no verdict. In each case what was asked for does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoVerdict {
    /// No answer in `hooks.timeout`, a place in the line for calls included.
    #[error("the application did not answer in time")]
    Late,
    /// The application cannot be reached, or was not asked because it could not be of late.
    #[error("the application cannot be reached")]
    Unreachable,
    /// It answered with a status that says neither yes nor no, or with what is no verdict.
    #[error("the application's answer is no verdict")]
    Unusable,
}

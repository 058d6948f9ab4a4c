//! What the application answers, as strictly as it can be read.
//!
//! An answer means one thing or nothing: an unknown key, a key that stands twice, or a limit broken makes all of it
//! unusable, and the log says why. Carries nothing out.

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::config::{Config, HookEvent, Mode, Pattern};
use crate::hub::{Exclude, Publication};
use crate::protocol::json;
use crate::protocol::room::{BadRoomName, check_room_name};
use crate::protocol::sent::{BadSent, Except, Sent, Strict};

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
    pub rooms: Option<Box<[Pattern]>>,
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
    /// It was asked, and there was no answer in `hooks.timeout`, or the connection ended before that.
    #[error("the application did not answer in time")]
    Late,
    /// It has not heard of it: it cannot be reached, could not be of late, or is asked as much as it may be.
    #[error("the application cannot be reached")]
    Unreachable,
    /// It answered with a status that says neither yes nor no, or with what is no verdict.
    #[error("the application's answer is no verdict")]
    Unusable,
}

impl NoVerdict {
    /// Whether the application may have heard of the event, and have done what it was asked about.
    pub fn may_be_heard(self) -> bool {
        self != NoVerdict::Unreachable
    }
}

/// What a verdict may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    message_bytes: u64,
    room_name_bytes: usize,
    state_bytes: usize,
    /// The application says who a client is.
    names_users: bool,
}

/// Why an answer is no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("its status is {}, which says neither yes nor no", .0.as_u16())]
    Status(StatusCode),
    #[error("it is not UTF-8")]
    Utf8,
    #[error("it is not the JSON that it has to be: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it lacks userId, and with auth.mode = \"hook\" nobody else says who this is")]
    NoUser,
    #[error("userId has to be 1 to 256 bytes without control characters")]
    User,
    #[error("reason has more than 123 bytes")]
    Reason,
    #[error("rooms has more than 256 patterns, or one that is none")]
    Patterns,
    #[error("{0} has more than 100 items")]
    Many(&'static str),
    #[error("a room of {0}: {1}")]
    Room(&'static str, BadRoomName),
    #[error("publish[{0}]: {1}")]
    Publish(usize, BadSent),
    #[error("publish[{0}]: an id means nothing here")]
    PublishId(usize),
    #[error("publish[{0}]: except.connections has what is no connection's name")]
    Excepted(usize),
    #[error("reply is longer than limits.message, or nested more than 64 deep")]
    Reply,
    #[error("state is longer than hooks.state, or nested more than 64 deep")]
    State,
}

impl Bounds {
    /// As configured.
    pub(super) fn new(config: &Config) -> Bounds {
        Bounds {
            message_bytes: config.limits.message,
            room_name_bytes: config.limits.room_name,
            state_bytes: config.hooks.as_ref().map_or(0, |hooks| hooks.state),
            names_users: config.auth.mode == Mode::Hook,
        }
    }

    /// Bytes of an answer that is looked at.
    pub(super) fn answer_bytes(&self) -> usize {
        let message = usize::try_from(self.message_bytes).unwrap_or(usize::MAX);
        BODY_BYTES.saturating_add(message).saturating_add(self.state_bytes)
    }

    /// What such an answer says to the question of `kind`.
    pub(super) fn verdict(
        &self,
        kind: HookEvent,
        status: StatusCode,
        body: &[u8],
    ) -> Result<Verdict, Unusable> {
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            // Most frameworks have a body of their own for that: it may be anything.
            let reason =
                read(body).ok().and_then(|sent| sent.reason).filter(|it| it.len() <= REASON_BYTES_MAX);
            return Ok(Verdict { reason, ..Verdict::default() });
        }
        if !status.is_success() {
            return Err(Unusable::Status(status));
        }
        let sent = read(body)?;
        let allow = sent.allow.unwrap_or(kind == HookEvent::Message);
        let is_naming = self.names_users && kind == HookEvent::Connect;
        if sent.reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
            return Err(Unusable::Reason);
        }
        let user = match sent.user_id.filter(|_| is_naming) {
            Some(user) if is_user(&user) => Some(user.into()),
            Some(_) => return Err(Unusable::User),
            None if is_naming && allow => return Err(Unusable::NoUser),
            None => None,
        };
        let rooms = sent.rooms.filter(|_| is_naming).map(|rooms| patterns(&rooms).ok_or(Unusable::Patterns));
        Ok(Verdict {
            allow,
            reason: sent.reason,
            user,
            rooms: rooms.transpose()?,
            join: self.rooms("join", sent.join)?,
            leave: self.rooms("leave", sent.leave)?,
            publish: self.posts(sent.publish)?,
            reply: sent.reply.map(|it| fitting(it, self.message_bytes).ok_or(Unusable::Reply)).transpose()?,
            state: sent
                .state
                .map(|it| fitting(it, self.state_bytes as u64).ok_or(Unusable::State))
                .transpose()?,
        })
    }

    /// What is to be published, by the answer to a notification; all else that it says is passed over.
    pub(super) fn posts_of_notification(&self, body: &[u8]) -> Result<Vec<Post>, Unusable> {
        self.posts(read(body)?.publish)
    }

    fn rooms(&self, key: &'static str, names: Vec<Box<str>>) -> Result<Vec<Box<str>>, Unusable> {
        if names.len() > ITEMS_MAX {
            return Err(Unusable::Many(key));
        }
        for name in &names {
            check_room_name(name, self.room_name_bytes).map_err(|bad| Unusable::Room(key, bad))?;
        }
        Ok(names)
    }

    fn posts(&self, publish: Vec<Strict<Sent<'_>>>) -> Result<Vec<Post>, Unusable> {
        if publish.len() > ITEMS_MAX {
            return Err(Unusable::Many("publish"));
        }
        publish.into_iter().enumerate().map(|(nth, Strict(sent))| self.post(nth, sent)).collect()
    }

    fn post(&self, nth: usize, sent: Sent<'_>) -> Result<Post, Unusable> {
        sent.check(self.room_name_bytes, self.message_bytes).map_err(|bad| Unusable::Publish(nth, bad))?;
        if sent.id.is_some() {
            return Err(Unusable::PublishId(nth));
        }
        let Except { connections, users, rooms } = sent.except.map(|except| except.0).unwrap_or_default();
        let exclude = Exclude::named(&connections, users, rooms).ok_or(Unusable::Excepted(nth))?;
        let payload = sent.payload.get().as_bytes().into();
        let publication = Arc::new(Publication { event: sent.event, payload, exclude });
        Ok(Post { room: sent.room.into(), publication })
    }
}

/// What is read of an answer.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SentVerdict<'a> {
    #[serde(default, deserialize_with = "present")]
    allow: Option<bool>,
    reason: Option<Box<str>>,
    user_id: Option<Box<str>>,
    rooms: Option<Vec<Box<str>>>,
    #[serde(default)]
    join: Vec<Box<str>>,
    #[serde(default)]
    leave: Vec<Box<str>>,
    #[serde(default, borrow)]
    publish: Vec<Strict<Sent<'a>>>,
    #[serde(default, borrow, deserialize_with = "present")]
    reply: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    state: Option<&'a RawValue>,
}

/// A value that is there, `null` too: serde alone takes that for an absent one.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a body; one in which nothing stands says nothing.
fn read(body: &[u8]) -> Result<SentVerdict<'_>, Unusable> {
    if body.trim_ascii().is_empty() {
        return Ok(SentVerdict::default());
    }
    let text = str::from_utf8(body).map_err(|_| Unusable::Utf8)?;
    Ok(serde_json::from_str::<Strict<SentVerdict<'_>>>(text)?.0)
}

/// The text of a value, if it is not too long and everybody can read it.
fn fitting(value: &RawValue, len_max: u64) -> Option<Box<str>> {
    let text = value.get();
    (text.len() as u64 <= len_max && json::judge(text.as_bytes()).is_ok()).then(|| text.into())
}

fn is_user(name: &str) -> bool {
    (1..=USER_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control)
}

fn patterns(texts: &[Box<str>]) -> Option<Box<[Pattern]>> {
    if texts.len() > PATTERNS_MAX {
        return None;
    }
    texts.iter().map(|text| Pattern::parse(text).ok()).collect()
}

/// Bytes of an answer, besides what its reply and its state may have.
const BODY_BYTES: usize = 1 << 20;
/// Rooms to join, rooms to leave, publications.
const ITEMS_MAX: usize = 100;
/// Bytes of a reason: what a close frame holds besides its code.
const REASON_BYTES_MAX: usize = 123;
/// Bytes of a user's name, as in a token.
const USER_BYTES_MAX: usize = 256;
/// Patterns, as in a token.
const PATTERNS_MAX: usize = 256;

#[cfg(test)]
mod tests;

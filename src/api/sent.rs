//! Bodies: JSON in, as strictly as it can be read, with the place of whatever is wrong.
//!
//! Unknown keys, keys that stand twice, and text that is no UTF-8 are refused. Judges what an item says by itself;
//! publishes nothing.

use std::sync::Arc;

use http::StatusCode;
use serde::de::Deserialize;

use super::refused::Refused;
use crate::config::Limits;
use crate::hub::{Exclude, Publication};
use crate::protocol::room::{BadRoomName, check_room_name};
use crate::protocol::sent::{BadSent, Except, Sent, Strict};
use crate::protocol::websocket::CloseCode;
use crate::shard::{Item, Pause};

/// The items of a publication's body.
#[derive(Debug)]
pub(super) enum Items {
    /// One, to be answered as one.
    One(Item),
    /// An array of them, to be answered in an array.
    Many(Vec<Item>),
}

/// Reads the body of a publication, a turn at a time. All items are judged before anybody gets any.
pub(super) async fn items(body: &[u8], limits: &Limits) -> Result<Items, Refused> {
    let text = text_of(body)?;
    let mut reader = Reader { text, at: 0 };
    if reader.next() != Some(b'[') {
        let sent = reader.value::<Strict<Sent<'_>>>()?;
        reader.end()?;
        return judge(sent, limits).map(Items::One);
    }
    reader.at += 1;
    let mut items = Vec::new();
    let (mut pause, mut paused_at) = (Pause::default(), 0);
    loop {
        let nth = items.len();
        if nth == ITEMS_MAX {
            return Err(Refused::bad_request("at most 1000 items are published at once").at_item(nth));
        }
        if nth == 0 && reader.next() == Some(b']') {
            return Err(Refused::bad_request("an array has at least one item"));
        }
        let judged = reader.value::<Strict<Sent<'_>>>().and_then(|sent| judge(sent, limits));
        items.push(judged.map_err(|refused| refused.at_item(nth))?);
        match reader.next() {
            Some(b',') => reader.at += 1,
            Some(b']') => break,
            _ => return Err(reader.wrong("a comma, or the end of the array, has to follow an item")),
        }
        if reader.at - paused_at >= BYTES_A_TURN {
            paused_at = reader.at;
            pause.take().await;
        }
    }
    reader.at += 1;
    reader.end()?;
    Ok(Items::Many(items))
}

/// What is read of a goodbye's body; without one, all is left to us.
pub(super) fn goodbye(body: &[u8]) -> Result<(CloseCode, Box<str>), Refused> {
    let SentGoodbye { code, reason } = if body.is_empty() { SentGoodbye::default() } else { read(body)? };
    // 4003.0 is 4003, and there are languages that write it so.
    let whole = |code: f64| if code.fract() == 0.0 && code > 0.0 { code as u16 } else { 0 };
    let code = match code.map_or(CloseCode::FORBIDDEN.to_wire(), whole) {
        code @ (1000 | 1001 | 1008 | 1011 | 1013 | 4000..=4999) => CloseCode::from_wire(code),
        _ => None,
    };
    let code = code.ok_or_else(|| {
        Refused::bad_request("code has to be 1000, 1001, 1008, 1011, 1013, or one from 4000 to 4999")
    })?;
    let reason = reason.unwrap_or_default();
    if reason.len() > REASON_LEN_MAX {
        return Err(Refused::bad_request("reason has at most 123 bytes"));
    }
    Ok((code, reason.into()))
}

/// Who is to join or to leave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Who {
    User(Box<str>),
    Connection(String),
}

/// What is read of the body of a join or a leave.
pub(super) fn who(body: &[u8]) -> Result<Who, Refused> {
    match read(body)? {
        SentWho { user: Some(user), connection: None } => Ok(Who::User(user.into())),
        SentWho { user: None, connection: Some(connection) } => Ok(Who::Connection(connection)),
        _ => Err(Refused::bad_request("either user or connection has to be named")),
    }
}

/// Whether a room can have this name.
pub(super) fn check_room(room: &str, limits: &Limits) -> Result<(), Refused> {
    let bad = |bad: BadRoomName| Refused::new(StatusCode::BAD_REQUEST, "room_name", bad.message());
    check_room_name(room, limits.room_name).map_err(bad)
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SentGoodbye {
    code: Option<f64>,
    reason: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SentWho {
    user: Option<String>,
    connection: Option<String>,
}

/// What a publication is by itself, if it can be one.
fn judge(Strict(sent): Strict<Sent<'_>>, limits: &Limits) -> Result<Item, Refused> {
    sent.check(limits.room_name, limits.message).map_err(refused)?;
    let Except { connections, users, rooms } = sent.except.map(|except| except.0).unwrap_or_default();
    let exclude = Exclude::named(&connections, users, rooms).ok_or_else(|| {
        Refused::bad_request(
            "except.connections has to have names of connections, 20 hexadecimal digits each",
        )
    })?;
    let payload = sent.payload.get().as_bytes().into();
    let publication = Publication { event: sent.event, payload, exclude };
    Ok(Item { room: sent.room.into(), publication: Arc::new(publication), id: sent.id })
}

fn refused(bad: BadSent) -> Refused {
    let (status, code) = match bad {
        BadSent::Room(_) => (StatusCode::BAD_REQUEST, "room_name"),
        BadSent::Event(_) => (StatusCode::BAD_REQUEST, "event_name"),
        BadSent::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        BadSent::TooDeep | BadSent::Id | BadSent::Except => (StatusCode::BAD_REQUEST, "bad_request"),
    };
    Refused::new(status, code, bad.to_string())
}

/// The one value that a body is.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refused> {
    let mut reader = Reader { text: text_of(body)?, at: 0 };
    let value = reader.value::<Strict<T>>()?;
    reader.end()?;
    Ok(value.0)
}

fn text_of(body: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(body).map_err(|error| {
        let (line, column) = place_of(body, error.valid_up_to());
        Refused::bad_json("the body is not UTF-8".to_owned(), line, column)
    })
}

/// A text, read value by value.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next byte that is no whitespace, still to be taken.
    fn next(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn value<T: Deserialize<'a>>(&mut self) -> Result<T, Refused> {
        let rest = &self.text[self.at..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(Err(error)) => Err(self.bad(&error)),
            None => Err(self.wrong("there is nothing where a value has to be")),
        }
    }

    fn end(&mut self) -> Result<(), Refused> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(self.wrong("something follows where the body has to end")),
        }
    }

    fn wrong(&self, message: &str) -> Refused {
        let (line, column) = place_of(self.text.as_bytes(), self.at);
        Refused::bad_json(message.to_owned(), line, column)
    }

    /// What serde_json found in the value at `at`, which it counted from.
    fn bad(&self, error: &serde_json::Error) -> Refused {
        let (line, column) = place_of(self.text.as_bytes(), self.at);
        let column = if error.line() == 1 { column - 1 + error.column() } else { error.column() };
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
        Refused::bad_json(message, line - 1 + error.line(), column)
    }
}

/// The line and the column of the byte at `at`, from 1.
fn place_of(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
    (1 + memchr::memchr_iter(b'\n', before).count(), 1 + at - line_start)
}

/// Items of a body.
const ITEMS_MAX: usize = 1000;
/// Bytes of a reason: what a close frame holds besides its code.
const REASON_LEN_MAX: usize = 123;
/// Bytes of a body that are read between two pauses.
const BYTES_A_TURN: usize = 256 << 10;

#[cfg(test)]
mod tests;

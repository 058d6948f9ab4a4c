//! A publication as JSON, as callers of the API and the application's answers write it.
//!
//! As strict as JSON can be read: unknown keys, keys that stand twice, and arrays in the place of objects are refused; a
//! payload stays the bytes it came as. Judges what a publication says by itself; must not know where it goes.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json;
use super::room::{BadRoomName, check_room_name};
use super::sse::{BadEventName, check_event_name};

/// A publication as it was sent, not judged yet.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent<'a> {
    /// The room.
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    /// The name of the event, if it has one.
    pub event: Option<Box<str>>,
    /// Any JSON value.
    #[serde(borrow)]
    pub payload: &'a RawValue,
    /// Who is not to have it.
    pub except: Option<Strict<Except>>,
    /// Under which it is not published again.
    pub id: Option<Box<str>>,
}

/// Who is not to have a publication.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Except {
    /// All connections of these users.
    #[serde(default)]
    pub users: Vec<Box<str>>,
    /// These connections, by their names.
    #[serde(default)]
    pub connections: Vec<Box<str>>,
    /// The members of these rooms.
    #[serde(default)]
    pub rooms: Vec<Box<str>>,
}

impl Sent<'_> {
    /// Whether there can be such a publication, where a room's name and a payload have so many bytes at most. Of
    /// connections it is not known here what they may be called.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of [`BadSent`]'s variants.
    pub fn check(&self, room_len_max: usize, payload_len_max: u64) -> Result<(), BadSent> {
        check_room_name(&self.room, room_len_max)?;
        self.event.as_deref().map_or(Ok(()), check_event_name)?;
        let payload = self.payload.get().as_bytes();
        if payload.len() as u64 > payload_len_max {
            return Err(BadSent::TooLong);
        }
        if json::judge(payload).is_err() {
            return Err(BadSent::TooDeep);
        }
        if self.id.as_ref().is_some_and(|id| id.is_empty() || id.len() > ID_LEN_MAX) {
            return Err(BadSent::Id);
        }
        let Some(Strict(except)) = &self.except else { return Ok(()) };
        let counts = [except.users.len(), except.connections.len(), except.rooms.len()];
        if counts.into_iter().any(|count| count > EXCEPT_MAX) { Err(BadSent::Except) } else { Ok(()) }
    }
}

/// Why there cannot be such a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSent {
    /// No room has such a name.
    #[error(transparent)]
    Room(#[from] BadRoomName),
    /// No event has such a name.
    #[error(transparent)]
    Event(#[from] BadEventName),
    /// The payload is too long.
    #[error("the payload is longer than limits.message")]
    TooLong,
    /// The payload is nested too deep.
    #[error("the payload is nested more than 64 deep")]
    TooDeep,
    /// The id is empty or too long.
    #[error("an id has 1 to 64 bytes")]
    Id,
    /// Too many are excepted.
    #[error("except names at most 100 of each kind")]
    Except,
}

/// What has to be an object: without it an array of the same values in some order would do as well.
#[derive(Debug)]
pub struct Strict<T>(pub T);

impl<'a, T: Deserialize<'a>> Deserialize<'a> for Strict<T> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnObject(PhantomData)).map(Strict)
    }
}

struct AnObject<T>(PhantomData<T>);

impl<'a, T: Deserialize<'a>> Visitor<'a> for AnObject<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, map: M) -> Result<T, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Names of one kind in an exclusion: each publication is held against all of them at every shard.
const EXCEPT_MAX: usize = 100;
/// Bytes of a publication's id.
const ID_LEN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), BadSent> {
        serde_json::from_str::<Strict<Sent<'_>>>(text).expect(text).0.check(8, 64)
    }

    #[test]
    fn what_is_wrong_first_is_told() {
        let many = vec!["\"u\""; 101].join(",");
        let except = format!(r#""except":{{"users":[{many}]}}"#);
        for (text, bad) in [
            (r#"{"room":"","event":"","payload":1}"#.to_owned(), BadSent::Room(BadRoomName::Empty)),
            (r#"{"room":"r","event":"gap","payload":1}"#.to_owned(), BadSent::Event(BadEventName::Reserved)),
            (format!(r#"{{"room":"r","payload":"{}","id":""}}"#, "x".repeat(63)), BadSent::TooLong),
            (format!(r#"{{"room":"r","payload":1,"id":"",{except}}}"#), BadSent::Id),
            (format!(r#"{{"room":"r","payload":1,{except}}}"#), BadSent::Except),
        ] {
            assert_eq!(check(&text), Err(bad), "{text}");
        }
        assert_eq!(check(r#"{"room":"r","event":null,"payload":null,"except":{},"id":null}"#), Ok(()));
    }

    #[test]
    fn an_object_is_an_object_and_says_nothing_twice_or_unasked() {
        for text in [
            r#"["r",null,1,null,null]"#,
            r#"{"room":"r","payload":1,"payload":1}"#,
            r#"{"room":"r","payload":1,"to":1}"#,
            r#"{"room":"r","payload":1,"except":[[],[],[]]}"#,
            r#"{"room":"r"}"#,
            r#"{"payload":1}"#,
        ] {
            assert!(serde_json::from_str::<Strict<Sent<'_>>>(text).is_err(), "{text}");
        }
    }
}

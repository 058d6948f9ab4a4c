//! The native protocol: what a client's JSON text asks for, and the frames that are sent to it.
//!
//! A payload is copied once, on its way in, and travels as the bytes it came as. Outward every function appends
//! one whole WebSocket text frame, its length known before its first byte. It must not decide whether a command
//! is allowed, nor know what a room is beyond its name.

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;

use super::decimal::Decimal;
use super::json::{self, Object};
use super::room::BadRoomName;
use super::sse::check_event_name;
use super::websocket::{Opcode, encode_header};
use bytes::{BufMut, BytesMut};
use std::fmt;

/// What one message of a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Sent back with the ack or the error, if the client gave one.
    pub id: Option<RequestId>,
    /// What is to be done.
    pub command: Command,
}

impl Request {
    /// Reads a whole text message, which is valid UTF-8.
    ///
    /// The message is judged by the grammar of JSON to its last byte, nested 64 deep at most. Keys that the
    /// command has no use for are passed over.
    ///
    /// # Errors
    /// [`Rejected`], with the id if the message was JSON enough to have one; the connection stays.
    pub fn decode(text: &[u8]) -> Result<Self, Rejected> {
        let bad = |message| Rejected { id: None, code: ErrorCode::BadMessage, message };
        let object = Object::scan(text).map_err(|malformed| bad(malformed.message()))?;
        let id = match object.value("id") {
            None => None,
            Some(sent) => Some(RequestId::from_json(sent).ok_or_else(|| bad(BAD_ID))?),
        };
        match Command::from_object(&object) {
            Ok(command) => Ok(Self { id, command }),
            Err((code, message)) => Err(Rejected { id, code, message }),
        }
    }
}

/// A command of a client, named as on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Become a member of a room.
    Join {
        /// Its name, not empty.
        room: Box<str>,
        /// The place that the client had, as it was sent.
        since: Option<Box<str>>,
    },
    /// Be a member no more.
    Leave {
        /// Its name, not empty.
        room: Box<str>,
    },
    /// Publish to all members of a room but the sender.
    Broadcast {
        /// Its name, not empty.
        room: Box<str>,
        /// The name of the event, if it has one.
        event: Option<Box<str>>,
        /// Any JSON value, byte for byte as it was sent.
        payload: Box<[u8]>,
    },
    /// Tell the application's backend.
    Event {
        /// The name of the event.
        event: Box<str>,
        /// Any JSON value, byte for byte as it was sent.
        payload: Box<[u8]>,
    },
    /// Be known by another token from now on.
    Refresh {
        /// The token, not judged yet.
        token: Bearer,
    },
    /// Ask for a pong.
    Ping,
}

impl Command {
    fn from_object(object: &Object<'_>) -> Result<Self, (ErrorCode, &'static str)> {
        let bad = |message| (ErrorCode::BadMessage, message);
        let text = |key, wrong| {
            let sent = object.value(key).ok_or(bad(wrong))?;
            json::decode(sent).map_err(|_| bad(wrong))
        };
        let room = || match text("room", BAD_ROOM)? {
            empty if empty.is_empty() => Err((ErrorCode::RoomName, BadRoomName::Empty.message())),
            room => Ok(Box::from(room)),
        };
        let event = || {
            let name = text("event", BAD_EVENT)?;
            check_event_name(&name).map_err(|wrong| bad(wrong.message()))?;
            Ok(Box::from(name))
        };
        let payload = || object.value("payload").map(Box::from).ok_or(bad(NO_PAYLOAD));
        match &*text("type", BAD_TYPE)? {
            "join" => {
                let since = object.value("since").map(|_| text("since", BAD_SINCE)).transpose()?;
                Ok(Self::Join { room: room()?, since: since.map(Box::from) })
            }
            "leave" => Ok(Self::Leave { room: room()? }),
            "broadcast" => {
                let event = object.value("event").map(|_| event()).transpose()?;
                Ok(Self::Broadcast { room: room()?, event, payload: payload()? })
            }
            "event" => Ok(Self::Event { event: event()?, payload: payload()? }),
            "refresh" => Ok(Self::Refresh { token: Bearer(text("token", BAD_TOKEN)?.into()) }),
            "ping" => Ok(Self::Ping),
            _ => Err((ErrorCode::UnknownType, UNKNOWN_TYPE)),
        }
    }
}

/// A token that a client sent. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(Box<str>);

impl Bearer {
    /// The token itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

/// What a client calls a request: a JSON string or number, kept and sent back byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// The id as it is written in JSON.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The id that `sent`, a well-formed JSON value, is; none if it is too long or of another type.
    fn from_json(sent: &[u8]) -> Option<Self> {
        let typed = matches!(sent.first(), Some(b'"' | b'-' | b'0'..=b'9'));
        let sent = str::from_utf8(sent).ok().filter(|sent| typed && sent.len() <= ID_LEN_MAX)?;
        Some(Self(sent.into()))
    }
}

/// A message that asks for nothing that can be done; to be answered with [`encode_error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The id of the request, if it had a valid one.
    pub id: Option<RequestId>,
    /// What kind of fault it is.
    pub code: ErrorCode,
    /// What is wrong, for whoever writes the client.
    pub message: &'static str,
}

/// The kinds of error that are told to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The message is not what the protocol has it be.
    BadMessage,
    /// A rule forbids it.
    Forbidden,
    /// The token is not good.
    Unauthorized,
    /// The connection is not a member of the room.
    NotJoined,
    /// The connection is a member of as many rooms as it may be.
    TooManyRooms,
    /// The room's name cannot be one.
    RoomName,
    /// No backend is there to hear of it.
    NoHook,
    /// The backend refused it.
    HookRefused,
    /// The backend did not answer in time.
    HookTimeout,
    /// The room cannot be served in full at the moment.
    Degraded,
    /// The type is not known.
    UnknownType,
}

impl ErrorCode {
    /// The code as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::NotJoined => "not_joined",
            Self::TooManyRooms => "too_many_rooms",
            Self::RoomName => "room_name",
            Self::NoHook => "no_hook",
            Self::HookRefused => "hook_refused",
            Self::HookTimeout => "hook_timeout",
            Self::Degraded => "degraded",
            Self::UnknownType => "unknown_type",
        }
    }
}

/// Appends the first frame of a connection: `{"type":"connected","userId":…,"connection":…,"shard":…}`.
pub fn encode_connected(out: &mut BytesMut, user: &str, connection: &str, shard: usize) {
    let shard = Decimal::of(shard as u64);
    put_frame(
        out,
        &[
            Part::Raw(br#"{"type":"connected","userId":""#),
            Part::Text(user),
            Part::Raw(br#"","connection":""#),
            Part::Text(connection),
            Part::Raw(br#"","shard":"#),
            Part::Raw(shard.as_bytes()),
            Part::Raw(b"}"),
        ],
    );
}

/// Appends the answer to a request that was done: `{"type":"ack","id":…,"position":…,"recovered":…}`, the last two
/// where there is something to tell.
pub fn encode_ack(out: &mut BytesMut, id: &RequestId, position: Option<&str>, recovered: Option<bool>) {
    let [before_position, position, behind_position] = position_parts(position);
    let recovered: &[u8] = match recovered {
        Some(true) => br#","recovered":true"#,
        Some(false) => br#","recovered":false"#,
        None => b"",
    };
    put_frame(
        out,
        &[
            Part::Raw(br#"{"type":"ack","id":"#),
            Part::Raw(id.0.as_bytes()),
            before_position,
            position,
            behind_position,
            Part::Raw(recovered),
            Part::Raw(b"}"),
        ],
    );
}

/// Appends the answer to an event that the application has replied to: `{"type":"ack","id":…,"reply":…}`. `reply` is
/// well-formed JSON and is copied as it is.
pub fn encode_replied(out: &mut BytesMut, id: &RequestId, reply: &str) {
    put_frame(
        out,
        &[
            Part::Raw(br#"{"type":"ack","id":"#),
            Part::Raw(id.0.as_bytes()),
            Part::Raw(br#","reply":"#),
            Part::Raw(reply.as_bytes()),
            Part::Raw(b"}"),
        ],
    );
}

/// Appends what the application replies to an event without an id: `{"type":"reply","event":…,"payload":…}`. `payload`
/// is well-formed JSON and is copied as it is.
pub fn encode_reply(out: &mut BytesMut, event: &str, payload: &str) {
    put_frame(
        out,
        &[
            Part::Raw(br#"{"type":"reply","event":""#),
            Part::Text(event),
            Part::Raw(br#"","payload":"#),
            Part::Raw(payload.as_bytes()),
            Part::Raw(b"}"),
        ],
    );
}

/// A position as a further key; it is plain ASCII.
fn position_parts(position: Option<&str>) -> [Part<'_>; 3] {
    match position {
        Some(position) => [Part::Raw(br#","position":""#), Part::Raw(position.as_bytes()), Part::Raw(b"\"")],
        None => [Part::Raw(b""); 3],
    }
}

/// Appends the answer to a ping: `{"type":"pong"}`.
pub fn encode_pong(out: &mut BytesMut) {
    put_frame(out, &[Part::Raw(br#"{"type":"pong"}"#)]);
}

/// Appends the answer to a request that was refused: `{"type":"error","id":…,"code":…,"message":…}`, without
/// `id` if the request had none.
pub fn encode_error(out: &mut BytesMut, id: Option<&RequestId>, code: ErrorCode, message: &str) {
    let [before_id, id] = match id {
        Some(id) => [Part::Raw(br#","id":"#), Part::Raw(id.0.as_bytes())],
        None => [Part::Raw(b""); 2],
    };
    put_frame(
        out,
        &[
            Part::Raw(br#"{"type":"error""#),
            before_id,
            id,
            Part::Raw(br#","code":""#),
            Part::Raw(code.as_str().as_bytes()),
            Part::Raw(br#"","message":""#),
            Part::Text(message),
            Part::Raw(br#""}"#),
        ],
    );
}

/// Appends a publication: `{"type":"message","room":…,"event":…,"payload":…,"position":…}`, without `event` if it has
/// no name, and without `position` in a room without history. `payload` is well-formed JSON and is copied as it is.
pub fn encode_message(
    out: &mut BytesMut,
    room: &str,
    event: Option<&str>,
    payload: &[u8],
    position: Option<&str>,
) {
    let [before_event, event] = match event {
        Some(event) => [Part::Raw(br#"","event":""#), Part::Text(event)],
        None => [Part::Raw(b""); 2],
    };
    let [begin, before_payload] = [&br#"{"type":"message","room":""#[..], br#"","payload":"#].map(Part::Raw);
    let (room, payload) = (Part::Text(room), Part::Raw(payload));
    // Each part costs its share whether there is something in it or not.
    match position {
        None => put_frame(out, &[begin, room, before_event, event, before_payload, payload, Part::Raw(b"}")]),
        Some(position) => {
            let [before, end] = [&br#","position":""#[..], br#""}"#].map(Part::Raw);
            let position = Part::Raw(position.as_bytes());
            put_frame(
                out,
                &[begin, room, before_event, event, before_payload, payload, before, position, end],
            );
        }
    }
}

/// Appends what stands in place of publications that could not be delivered:
/// `{"type":"gap","room":…,"position":…}`.
pub fn encode_gap(out: &mut BytesMut, room: &str, position: &str) {
    put_frame(
        out,
        &[
            Part::Raw(br#"{"type":"gap","room":""#),
            Part::Text(room),
            Part::Raw(br#"","position":""#),
            Part::Text(position),
            Part::Raw(br#""}"#),
        ],
    );
}

/// A piece of a frame.
#[derive(Clone, Copy)]
enum Part<'a> {
    /// Copied as it is.
    Raw(&'a [u8]),
    /// Escaped, for the inside of a JSON string.
    Text(&'a str),
}

impl Part<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Raw(bytes) => bytes.len(),
            Self::Text(text) => json::escaped_len(text),
        }
    }
}

/// Appends the text frame that `parts` make. The length goes first, so nothing has to be moved for it.
fn put_frame(out: &mut BytesMut, parts: &[Part<'_>]) {
    let len = parts.iter().map(Part::len).sum();
    out.reserve(FRAME_HEADER_LEN_MAX + len);
    encode_header(out, Opcode::Text, len);
    for part in parts {
        match part {
            Part::Raw(bytes) => out.put_slice(bytes),
            Part::Text(text) => json::escape(out, text),
        }
    }
}

/// Bytes of a request's id as written in JSON, its quotes included.
pub const ID_LEN_MAX: usize = 64;

/// A frame's header from a server, at its longest.
const FRAME_HEADER_LEN_MAX: usize = 10;

const BAD_ID: &str = "id has to be a string or a number of at most 64 bytes";
const BAD_TYPE: &str = "type has to be a string";
const BAD_ROOM: &str = "room has to be a string";
const BAD_EVENT: &str = "event has to be a string";
const BAD_TOKEN: &str = "token has to be a string";
/// What a place to go on from has to be.
pub const BAD_SINCE: &str = "since has to be \"earliest\" or a position, such as \"0123abcd-42\"";
const NO_PAYLOAD: &str = "payload is missing";
const UNKNOWN_TYPE: &str = "no such type is known";

#[cfg(test)]
mod tests;

//! Server-Sent Events (WHATWG HTML, section 9.2): the blocks of an event stream, and the chunks they travel in.
//!
//! Outward only: a stream's peer has nothing to say. Every function appends a whole block, its length known before
//! its first byte, save those around a part that streams of several rooms share. A payload is split at every line
//! end that a reader of this format knows, so that none of its bytes can begin a line of ours. It must not know
//! what a position is, nor decide who is told what.

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;

use super::decimal::Decimal;
use super::http::{CHUNK_END, CHUNK_SIZE_LEN_MAX, CHUNKS_END, encode_chunk_size};
use super::json;
use bytes::{BufMut, BytesMut};
use memchr::memchr2;

/// How the blocks of a stream are parted from what else its connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A block is a chunk (RFC 9112, section 7.1), and the last chunk ends the stream: HTTP/1.1.
    Chunked,
    /// Not at all, and the connection's end is the stream's: HTTP/1.0.
    Bare,
}

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goodbye<'a> {
    /// What a WebSocket would be closed with. [`GOING_AWAY`] is not told: the client just comes back.
    pub code: u16,
    /// Why, for people.
    pub reason: &'a str,
    /// When to come back, if that is not the client's to choose.
    pub retry_ms: Option<u64>,
    /// Whether it is to stay away: a browser asks once more, with an id that [`is_stop`] knows.
    pub stop: bool,
}

/// Appends a publication as it goes to all streams of one room over HTTP/1.1: `event:` if it has a name, `data:`, and
/// `id:` if one can resume behind it.
pub fn encode_message(out: &mut BytesMut, event: Option<&str>, payload: &[u8], id: Option<&str>) {
    let [e0, e1, e2] = field(b"event: ", event);
    let [i0, i1, i2] = field(b"id: ", id);
    put_block(out, Framing::Chunked, &[e0, e1, e2, Part::Data(payload), i0, i1, i2]);
}

/// Appends what streams of several rooms share of a publication: `room:`, `event:` if it has a name, and `data:`,
/// neither framed nor ended. Before it goes [`encode_part_head`], behind it [`encode_part_tail`].
pub fn encode_part(out: &mut BytesMut, room: &str, event: Option<&str>, payload: &[u8]) {
    let [r0, r1, r2] = field(b"room: ", Some(room));
    let [e0, e1, e2] = field(b"event: ", event);
    let parts = [r0, r1, r2, e0, e1, e2, Part::Data(payload)];
    out.reserve(len_of(&parts));
    put_parts(out, &parts);
}

/// Appends what goes before a part of `part_len` bytes with `id` behind it.
pub fn encode_part_head(out: &mut BytesMut, framing: Framing, part_len: usize, id: Option<&str>) {
    put_block_head(out, framing, part_len + len_of(&field(b"id: ", id)) + BLANK_LINE.len());
}

/// Appends what goes behind a part: the id, if one can resume behind it, and the end of the block.
pub fn encode_part_tail(out: &mut BytesMut, framing: Framing, id: Option<&str>) {
    put_parts(out, &field(b"id: ", id));
    put_block_end(out, framing);
}

/// Appends a block of an id alone: it is kept, and nobody is told.
pub fn encode_id(out: &mut BytesMut, framing: Framing, id: &str) {
    put_block(out, framing, &field(b"id: ", Some(id)));
}

/// Appends what stands in place of publications that are lost to this stream: `event: gap` with
/// `{"room":…,"position":…}`.
pub fn encode_gap(out: &mut BytesMut, framing: Framing, room: &str, position: &str, id: Option<&str>) {
    let [i0, i1, i2] = field(b"id: ", id);
    let [before_room, before_position, end] = GAP_DATA.map(Part::Raw);
    let event = Part::Raw(b"event: gap\n");
    let parts =
        [event, i0, i1, i2, before_room, Part::Json(room), before_position, Part::Json(position), end];
    put_block(out, framing, &parts);
}

/// Appends the same as a part, as [`encode_part`] does.
pub fn encode_gap_part(out: &mut BytesMut, room: &str, position: &str) {
    let [before_room, before_position, end] = GAP_DATA.map(Part::Raw);
    let parts = [
        Part::Raw(b"event: gap\n"),
        before_room,
        Part::Json(room),
        before_position,
        Part::Json(position),
        end,
    ];
    out.reserve(len_of(&parts));
    put_parts(out, &parts);
}

/// Appends the first block of a stream: `retry:`, and `event: connected` with `{"userId":…,"connection":…}`.
pub fn encode_connected(out: &mut BytesMut, framing: Framing, user: &str, connection: &str, retry_ms: u64) {
    let retry = Decimal::of(retry_ms);
    put_block(
        out,
        framing,
        &[
            Part::Raw(b"retry: "),
            Part::Raw(retry.as_bytes()),
            Part::Raw(b"\nevent: connected\ndata: {\"userId\":\""),
            Part::Json(user),
            Part::Raw(br#"","connection":""#),
            Part::Json(connection),
            Part::Raw(b"\"}\n"),
        ],
    );
}

/// Appends a comment, for whoever in between takes silence for death.
pub fn encode_heartbeat(out: &mut BytesMut, framing: Framing) {
    put_block(out, framing, &[Part::Raw(b":heartbeat\n")]);
}

/// Appends the end of a stream, the last chunk included: `event: close` with `{"code":…,"reason":…}`, or only when
/// to come back if the node is going away.
pub fn encode_goodbye(out: &mut BytesMut, framing: Framing, goodbye: Goodbye<'_>) {
    let Goodbye { code, reason, retry_ms, stop } = goodbye;
    let code_digits = Decimal::of(code.into());
    if let Some(retry_ms) = retry_ms {
        let retry = Decimal::of(retry_ms);
        put_block(out, framing, &[Part::Raw(b"retry: "), Part::Raw(retry.as_bytes()), Part::Raw(b"\n")]);
    }
    if code != GOING_AWAY {
        let [before_id, id, id_end] = match stop {
            true => [Part::Raw(b"id: close-"), Part::Raw(code_digits.as_bytes()), Part::Raw(b"\n")],
            false => [NOTHING; 3],
        };
        put_block(
            out,
            framing,
            &[
                Part::Raw(b"event: close\n"),
                before_id,
                id,
                id_end,
                Part::Raw(br#"data: {"code":"#),
                Part::Raw(code_digits.as_bytes()),
                Part::Raw(br#","reason":""#),
                Part::Json(reason),
                Part::Raw(b"\"}\n"),
            ],
        );
    }
    if framing == Framing::Chunked {
        out.put_slice(CHUNKS_END);
    }
}

/// Whether whoever gives this as the last id was told to stay away.
pub fn is_stop(last_event_id: &str) -> bool {
    last_event_id.starts_with("close-")
}

/// Whether a publication may have this name, on every wire: what would break a line of an event stream, or be taken
/// there for an event of the stream's own, is none.
///
/// # Errors
/// What is wrong with it.
pub fn check_event_name(name: &str) -> Result<(), BadEventName> {
    if name.is_empty() || name.len() > EVENT_NAME_LEN_MAX {
        return Err(BadEventName::Length);
    }
    if name.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(BadEventName::Control);
    }
    if RESERVED.contains(&name) { Err(BadEventName::Reserved) } else { Ok(()) }
}

/// Why a publication cannot have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub enum BadEventName {
    /// It is empty or too long.
    Length,
    /// It has a control character.
    Control,
    /// A stream's own events, or those of a browser's `EventSource`, have it.
    Reserved,
}

impl BadEventName {
    /// What is wrong, for whoever writes the client.
    pub fn message(self) -> &'static str {
        match self {
            Self::Length => "event has to be 1 to 256 bytes long",
            Self::Control => "event must not have control characters",
            Self::Reserved => "event must not be connected, gap, close, error or open",
        }
    }
}

/// A piece of a block.
#[derive(Clone, Copy)]
enum Part<'a> {
    /// Copied as it is.
    Raw(&'a [u8]),
    /// The value of a field: copied, but for what would end its line.
    Value(&'a str),
    /// Escaped, for the inside of a JSON string.
    Json(&'a str),
    /// Split into lines, each of which becomes a field `data`.
    Data(&'a [u8]),
}

impl Part<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Raw(bytes) => bytes.len(),
            Self::Value(text) => text.len(),
            Self::Json(text) => json::escaped_len(text),
            Self::Data(payload) => data_len(payload),
        }
    }
}

/// A line of one field, if it has a value.
fn field<'a>(name: &'static [u8], value: Option<&'a str>) -> [Part<'a>; 3] {
    value.map_or([NOTHING; 3], |value| [Part::Raw(name), Part::Value(value), Part::Raw(b"\n")])
}

fn len_of(parts: &[Part<'_>]) -> usize {
    parts.iter().map(Part::len).sum()
}

fn put_parts(out: &mut BytesMut, parts: &[Part<'_>]) {
    for part in parts {
        match part {
            Part::Raw(bytes) => out.put_slice(bytes),
            Part::Value(text) => put_value(out, text.as_bytes()),
            Part::Json(text) => json::escape(out, text),
            Part::Data(payload) => put_data(out, payload),
        }
    }
}

/// Appends the block that `parts` make. The length goes first, so nothing has to be moved for it.
fn put_block(out: &mut BytesMut, framing: Framing, parts: &[Part<'_>]) {
    put_block_head(out, framing, len_of(parts) + BLANK_LINE.len());
    put_parts(out, parts);
    put_block_end(out, framing);
}

/// Appends what goes before a block of `len` bytes, and makes room for all of it.
fn put_block_head(out: &mut BytesMut, framing: Framing, len: usize) {
    out.reserve(CHUNK_SIZE_LEN_MAX + len + CHUNK_END.len());
    if framing == Framing::Chunked {
        encode_chunk_size(out, len);
    }
}

fn put_block_end(out: &mut BytesMut, framing: Framing) {
    out.put_slice(BLANK_LINE);
    if framing == Framing::Chunked {
        out.put_slice(CHUNK_END);
    }
}

/// Appends a field's value. Ids and names of events come without line ends; a room's name may have some, and here
/// each of them is a space.
fn put_value(out: &mut BytesMut, mut value: &[u8]) {
    while let Some(at) = memchr2(b'\r', b'\n', value) {
        out.put_slice(&value[..at]);
        out.put_u8(b' ');
        value = &value[at + 1..];
    }
    out.put_slice(value);
}

/// Bytes that [`put_data`] will append.
fn data_len(payload: &[u8]) -> usize {
    let (mut len, mut rest) = (0, payload);
    loop {
        let (line, after) = split_line(rest);
        len += DATA.len() + line.len() + 1;
        match after {
            None => return len,
            Some(after) => rest = after,
        }
    }
}

fn put_data(out: &mut BytesMut, payload: &[u8]) {
    let mut rest = payload;
    loop {
        let (line, after) = split_line(rest);
        out.put_slice(DATA);
        out.put_slice(line);
        out.put_u8(b'\n');
        match after {
            None => return,
            Some(after) => rest = after,
        }
    }
}

/// The first line, and what is behind its end, if it has one: a CR, an LF or both.
fn split_line(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(at) = memchr2(b'\r', b'\n', text) else { return (text, None) };
    let (line, end) = text.split_at(at);
    let after = end.strip_prefix(b"\r\n").unwrap_or(&end[1..]);
    (line, Some(after))
}

/// The code of a node that is going away.
pub const GOING_AWAY: u16 = 1001;
/// Bytes of an event's name.
pub const EVENT_NAME_LEN_MAX: usize = 256;
/// Events that are not published: the streams' own, and those that `EventSource` raises itself.
const RESERVED: [&str; 5] = ["connected", "gap", "close", "error", "open"];

/// Around a gap's room and position.
const GAP_DATA: [&[u8]; 3] = [br#"data: {"room":""#, br#"","position":""#, b"\"}\n"];
const NOTHING: Part<'static> = Part::Raw(b"");
const DATA: &[u8] = b"data: ";
const BLANK_LINE: &[u8] = b"\n";

#[cfg(test)]
mod tests;

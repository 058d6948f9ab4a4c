//! A fuzz body: what a reader of event streams makes of ours.
//!
//! Takes any bytes as an event's name and a payload, and panics where a reader written after the words of WHATWG
//! HTML, sections 9.2.5 and 9.2.6, gets another event, or more than one.

use serde_json::Value;

use super::*;

/// A name, a zero byte, and the rest of the events that it is put in.
pub fn sse(input: &[u8]) {
    // All that is published was UTF-8 on its way in.
    let Ok(input) = str::from_utf8(input) else { return };
    let (name, text) = input.split_once('\0').unwrap_or((input, ""));
    let event = check_event_name(name).is_ok().then_some(name);
    for id in [None, Some("00c0ffee-7"), Some("00c0ffee-7,,1-18446744073709551615")] {
        check_publication(event, text, id);
    }
    for framing in [Framing::Chunked, Framing::Bare] {
        check_own(framing, name, text);
    }
}

/// A publication comes out as one event, its lines as they are.
fn check_publication(event: Option<&str>, payload: &str, id: Option<&str>) {
    let expected = Event {
        name: event.unwrap_or("message").to_owned(),
        data: payload.replace("\r\n", "\n").replace('\r', "\n"),
        id: id.unwrap_or_default().to_owned(),
        room: None,
    };
    let mut out = BytesMut::new();
    encode_message(&mut out, event, payload.as_bytes(), id);
    assert_eq!(read(unframed(&out, Framing::Chunked)).events, std::slice::from_ref(&expected));

    let mut part = BytesMut::new();
    let room = event.unwrap_or(payload);
    encode_part(&mut part, room, event, payload.as_bytes());
    for framing in [Framing::Chunked, Framing::Bare] {
        out.clear();
        encode_part_head(&mut out, framing, part.len(), id);
        out.put_slice(&part);
        encode_part_tail(&mut out, framing, id);
        let room = Some(room.replace(['\r', '\n'], " "));
        assert_eq!(read(unframed(&out, framing)).events, [Event { room, ..expected.clone() }]);
    }
}

/// What a stream says for itself is one event each, of JSON that says what it was given.
fn check_own(framing: Framing, name: &str, text: &str) {
    let say = |encode: &dyn Fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        encode(&mut out);
        let stream = read(unframed(&out, framing));
        let event = stream.events.first().cloned();
        assert_eq!(stream.events.len(), usize::from(event.is_some()));
        let data = event.as_ref().map(|event| serde_json::from_str(&event.data).expect("JSON"));
        (stream, event.map(|event| event.name), data.unwrap_or(Value::Null))
    };
    let (stream, event, data) = say(&|out| encode_connected(out, framing, name, text, 2000));
    assert_eq!((stream.retry_ms, event.as_deref()), (Some(2000), Some("connected")));
    assert_eq!((data["userId"].as_str(), data["connection"].as_str()), (Some(name), Some(text)));

    let (_, event, data) = say(&|out| encode_gap(out, framing, text, name, Some("1-2")));
    assert_eq!((event.as_deref(), data["room"].as_str()), (Some("gap"), Some(text)));
    assert_eq!(data["position"].as_str(), Some(name));

    let goodbye = Goodbye { code: 4003, reason: text, retry_ms: None, stop: true };
    let (stream, event, data) = say(&|out| encode_goodbye(out, framing, goodbye));
    assert_eq!((event.as_deref(), data["code"].as_u64()), (Some("close"), Some(4003)));
    assert_eq!(data["reason"].as_str(), Some(text));
    assert!(is_stop(&stream.id));

    let (stream, event, _) = say(&|out| {
        encode_id(out, framing, "1-2");
        encode_heartbeat(out, framing);
    });
    assert_eq!((event, &*stream.id), (None, "1-2"));
}

/// An event as it is dispatched, and the room that our own field names.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    data: String,
    id: String,
    room: Option<String>,
}

/// What a reader knows at a stream's end.
#[derive(Default)]
struct Stream {
    events: Vec<Event>,
    id: String,
    retry_ms: Option<u64>,
}

/// Reads a whole stream, line by line: CR, LF and CRLF end one; what no blank line ends is dropped.
fn read(stream: Vec<u8>) -> Stream {
    let text = String::from_utf8(stream).expect("all of it is UTF-8");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let mut told = Stream::default();
    let (mut data, mut name, mut id, mut room) = (String::new(), String::new(), String::new(), None);
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            _ if line.is_empty() => {
                told.id.clone_from(&id);
                if let Some(lines) = data.strip_suffix('\n') {
                    let name = if name.is_empty() { "message" } else { &name };
                    let (name, data) = (name.to_owned(), lines.to_owned());
                    told.events.push(Event { name, data, id: id.clone(), room });
                }
                (data, name, room) = (String::new(), String::new(), None);
            }
            // A comment, which a colon begins.
            "" => {}
            "event" => value.clone_into(&mut name),
            "data" => data.extend([value, "\n"]),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => told.retry_ms = value.parse().ok(),
            "room" => room = Some(value.to_owned()),
            _ => panic!("a field that we do not write: {line:?}"),
        }
    }
    assert!(text.is_empty() || text.ends_with("\n\n"), "a block without its end");
    told
}

/// What the chunks hold; nothing may be behind the last one.
fn unframed(out: &[u8], framing: Framing) -> Vec<u8> {
    let (mut body, mut rest) = (Vec::new(), out);
    if framing == Framing::Bare {
        return out.to_vec();
    }
    while !rest.is_empty() {
        let line_end = rest.windows(2).position(|two| two == b"\r\n").expect("a size and a line end");
        let size = str::from_utf8(&rest[..line_end]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("a size in hexadecimal");
        let (chunk, behind) = rest[line_end + 2..].split_at(size);
        body.extend_from_slice(chunk);
        rest = behind.strip_prefix(b"\r\n").expect("a line end behind the chunk");
        assert!(size > 0 || rest.is_empty(), "something behind the last chunk");
    }
    body
}

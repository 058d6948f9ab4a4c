//! What the application is told: JSON, one event a call.
//!
//! Every event has a name that is its own for ever, so that one that comes twice is known. A token is told in one place
//! alone, and only where the application is to judge it. Must not decide who is told what.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::config::HookEvent;
use crate::protocol::http::JsonDate;
use crate::protocol::json;

/// One event.
pub struct Event<'a> {
    /// Whom it is about.
    pub subject: Subject<'a>,
    /// The how manyeth event of this connection: with `subject.request` it is this event's name.
    pub number: u32,
    /// What happened, or is to happen.
    pub happening: Happening<'a>,
}

/// Whom an event is about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The request that the connection came by, unique for ever: every event of a connection bears it.
    pub request: &'a str,
    /// The connection's name in the API, once it has one.
    pub connection: Option<&'a str>,
    /// Who it is, once that is known.
    pub user: Option<&'a str>,
    /// "websocket" or "sse".
    pub transport: &'static str,
    /// The state that the application gave it, a JSON value.
    pub state: Option<&'a str>,
}

/// What happened, or is to happen.
pub enum Happening<'a> {
    /// Somebody wants to connect.
    Connect {
        /// The client's address.
        address: IpAddr,
        /// Path of the request.
        path: &'a str,
        /// Its query, as sent; the token in it is not told.
        query: Option<&'a str>,
        /// Fields of `hooks.headers`, in order; names in lower case.
        headers: Vec<(&'a str, &'a str)>,
        /// Subprotocols that are offered; those that bear a token are not told.
        subprotocols: Vec<&'a str>,
        /// With `auth.mode = "hook"`: the token that the request bears, not judged.
        token: Option<&'a str>,
        /// With `auth.mode = "jwt"`: all claims of the token, a JSON object.
        claims: Option<&'a str>,
    },
    /// Somebody wants to join a room whose rule says "hook".
    Join {
        /// The room.
        room: &'a str,
    },
    /// A client sent an event.
    Message {
        /// Its name.
        event: &'a str,
        /// A JSON value.
        payload: &'a str,
    },
    /// A client left a room of its own will.
    Leave {
        /// The room.
        room: &'a str,
    },
    /// The connection is gone.
    Disconnect {
        /// The rooms that it was in at the end.
        rooms: &'a [Arc<str>],
    },
}

impl Event<'_> {
    /// What the event is called: the same for each try to deliver it, and for no other event.
    pub(super) fn id(&self) -> String {
        let (kind, request) = (self.happening.kind(), self.subject.request);
        match kind {
            HookEvent::Connect | HookEvent::Disconnect => format!("{kind}_{request}"),
            HookEvent::Join | HookEvent::Message | HookEvent::Leave => {
                format!("{kind}_{request}_{}", self.number)
            }
        }
    }

    /// The body of the call, at this time.
    pub(super) fn encode(&self, unix_s: u64) -> Bytes {
        let mut out = BytesMut::with_capacity(512);
        out.put_slice(b"{\"type\":");
        text(&mut out, self.happening.kind().as_str());
        out.put_slice(b",\"timestamp\":\"");
        out.put_slice(JsonDate::from_unix_s(unix_s).as_bytes());
        out.put_slice(b"\",\"data\":{\"request\":");
        let Subject { request, connection, user, transport, state } = self.subject;
        text(&mut out, request);
        text_member(&mut out, "connection", connection);
        text_member(&mut out, "user", user);
        text_member(&mut out, "transport", Some(transport));
        json_member(&mut out, "state", state);
        self.happening.encode(&mut out);
        out.put_slice(b"}}");
        out.freeze()
    }
}

impl Happening<'_> {
    /// Of which kind it is.
    pub fn kind(&self) -> HookEvent {
        match self {
            Happening::Connect { .. } => HookEvent::Connect,
            Happening::Join { .. } => HookEvent::Join,
            Happening::Message { .. } => HookEvent::Message,
            Happening::Leave { .. } => HookEvent::Leave,
            Happening::Disconnect { .. } => HookEvent::Disconnect,
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Happening::Connect { address, path, query, headers, subprotocols, token, claims } => {
                text_member(out, "address", Some(&address.to_canonical().to_string()));
                text_member(out, "path", Some(path));
                text_member(out, "query", query.and_then(without_token).as_deref());
                fields(out, headers);
                let offered = subprotocols.iter().filter(|offered| !offered.starts_with(BEARER));
                texts_member(out, "subprotocols", offered.copied());
                text_member(out, "token", *token);
                json_member(out, "claims", *claims);
            }
            Happening::Join { room } | Happening::Leave { room } => text_member(out, "room", Some(room)),
            Happening::Message { event, payload } => {
                text_member(out, "event", Some(event));
                json_member(out, "payload", Some(payload));
            }
            Happening::Disconnect { rooms } => {
                texts_member(out, "rooms", rooms.iter().take(ROOMS_MAX).map(|room| &**room));
            }
        }
    }
}

/// A query without the parameter that bears a token: what that says is told elsewhere, if it is told. None if nothing
/// else was in it.
fn without_token(query: &str) -> Option<Cow<'_, str>> {
    let is_token = |pair: &&str| pair.split_once('=').map_or(*pair, |(name, _)| name) == TOKEN;
    if !query.split('&').any(|pair| is_token(&pair)) {
        return Some(query.into());
    }
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
    (!rest.is_empty()).then(|| rest.join("&").into())
}

/// The fields as an object; those of one name as one, as RFC 9110, section 5.3 and RFC 9113, section 8.2.3 join them.
fn fields(out: &mut BytesMut, fields: &[(&str, &str)]) {
    member(out, "headers");
    out.put_u8(b'{');
    let mut first = true;
    for (at, (name, _)) in fields.iter().enumerate() {
        if fields[..at].iter().any(|(earlier, _)| earlier == name) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.put_u8(b',');
        }
        text(out, name);
        out.put_u8(b':');
        let values: Vec<&str> = fields[at..].iter().filter(|it| it.0 == *name).map(|it| it.1).collect();
        text(out, &values.join(if *name == "cookie" { "; " } else { ", " }));
    }
    out.put_u8(b'}');
}

fn text_member(out: &mut BytesMut, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        member(out, name);
        text(out, value);
    }
}

/// `value` is JSON already.
fn json_member(out: &mut BytesMut, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        member(out, name);
        out.put_slice(value.as_bytes());
    }
}

fn texts_member<'a>(out: &mut BytesMut, name: &str, values: impl Iterator<Item = &'a str>) {
    member(out, name);
    out.put_u8(b'[');
    for (at, value) in values.enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        text(out, value);
    }
    out.put_u8(b']');
}

/// The name of a member that is not the first.
fn member(out: &mut BytesMut, name: &str) {
    out.put_slice(b",\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":");
}

fn text(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    json::escape(out, text);
    out.put_u8(b'"');
}

/// Names of rooms that a disconnect tells.
const ROOMS_MAX: usize = 100;
/// What an offered subprotocol begins with that bears a token.
const BEARER: &str = "bearer.";
/// The parameter of a query that bears one.
const TOKEN: &str = "token";

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'_> = Subject {
        request: "r1",
        connection: Some("00000000000100000001"),
        user: Some("\"ann\""),
        transport: "websocket",
        state: Some("{\"a\": 1}"),
    };

    fn told(subject: Subject<'_>, happening: Happening<'_>) -> (String, String) {
        let event = Event { subject, number: 7, happening };
        let body = event.encode(784_111_777);
        let text = str::from_utf8(&body).expect("text").to_owned();
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        (event.id(), text)
    }

    #[test]
    fn a_message_is_told_with_all_that_is_known_of_its_sender() {
        let (id, body) = told(SUBJECT, Happening::Message { event: "sa\ny", payload: " [1.0]" });
        assert_eq!(id, "message_r1_7");
        assert_eq!(
            body,
            r#"{"type":"message","timestamp":"1994-11-06T08:49:37Z","data":{"request":"r1","connection":"00000000000100000001","user":"\"ann\"","transport":"websocket","state":{"a": 1},"event":"sa\ny","payload": [1.0]}}"#
        );
    }

    #[test]
    fn rooms_are_told_of_by_name() {
        let bare = Subject { connection: None, user: None, state: None, transport: "sse", ..SUBJECT };
        let (id, body) = told(bare, Happening::Join { room: "chat:1" });
        assert_eq!(id, "join_r1_7");
        assert!(body.ends_with(r#""data":{"request":"r1","transport":"sse","room":"chat:1"}}"#), "{body}");
        assert_eq!(told(bare, Happening::Leave { room: "a" }).0, "leave_r1_7");
        let rooms: Vec<Arc<str>> = (0..101).map(|n| format!("room {n}").into()).collect();
        let (id, body) = told(bare, Happening::Disconnect { rooms: &rooms });
        assert_eq!(id, "disconnect_r1", "there is one in a connection's life");
        assert!(
            body.contains(r#""rooms":["room 0","room 1","#) && body.ends_with(r#""room 99"]}}"#),
            "{body}"
        );
        assert!(told(bare, Happening::Disconnect { rooms: &[] }).1.ends_with(r#""rooms":[]}}"#));
    }

    fn connect<'a>(query: Option<&'a str>, headers: Vec<(&'a str, &'a str)>) -> String {
        let subject = Subject { connection: None, user: None, state: None, ..SUBJECT };
        let happening = Happening::Connect {
            address: "::ffff:192.0.2.1".parse().expect("an address"),
            path: "/ws",
            query,
            headers,
            subprotocols: vec!["vestibule", "bearer.a.b.c"],
            token: Some("a.b.c"),
            claims: Some("{\"sub\":\"ann\"}"),
        };
        let (id, body) = told(subject, happening);
        assert_eq!(id, "connect_r1");
        body
    }

    #[test]
    fn a_connect_tells_of_the_request_and_of_its_token_in_one_place() {
        let body = connect(
            Some("a=1&token=a.b.c&b"),
            vec![("user-agent", "x"), ("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("x-a", "2")],
        );
        assert_eq!(
            body,
            r#"{"type":"connect","timestamp":"1994-11-06T08:49:37Z","data":{"request":"r1","transport":"websocket","address":"192.0.2.1","path":"/ws","query":"a=1&b","headers":{"user-agent":"x","cookie":"a=1; b=2","x-a":"1, 2"},"subprotocols":["vestibule"],"token":"a.b.c","claims":{"sub":"ann"}}}"#
        );
    }

    #[test]
    fn a_query_is_told_without_its_token() {
        for (query, told) in [
            ("token=x", None),
            ("token", None),
            ("", Some("")),
            ("a=b", Some("a=b")),
            ("tokens=x&Token=y", Some("tokens=x&Token=y")),
            ("&token=x&token=y&", Some("&")),
            ("a=token", Some("a=token")),
        ] {
            assert_eq!(without_token(query).as_deref(), told, "{query}");
        }
        assert!(!connect(Some("token=x"), vec![]).contains("\"query\""));
        assert!(connect(None, vec![]).contains(r#""headers":{}"#));
    }
}

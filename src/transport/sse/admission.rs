//! Who gets a stream, of which rooms, and from where on: from a request's head to an answer or a stream.
//!
//! Decides, and does nothing. Whatever it decides, a listed page may read: its browser hears nothing of an answer
//! without the fields of CORS.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};

use super::super::Settings;
use super::super::admission::{Admission, Court, Newcomer, check_origin, identify};
use super::super::hooks::Guest;
use crate::auth::rooms::Says;
use crate::auth::{Identity, rooms};
use crate::protocol::http::{Body, Head, Response, percent_decode, percent_decode_form};
use crate::protocol::room::{BadRoomName, check_room_name};
use crate::protocol::sse::{Framing, is_stop};

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Target<'a> {
    /// The rooms of the query.
    Rooms,
    /// A user's room; the name is still percent-encoded.
    User(&'a str),
}

impl<'a> Target<'a> {
    /// What `path` names where streams are at `base`, if it is anything.
    pub(in crate::transport) fn of(path: &'a str, base: &str) -> Option<Target<'a>> {
        match path.strip_prefix(base)? {
            "" => Some(Target::Rooms),
            rest => {
                let user = rest.strip_prefix('/')?;
                (!user.is_empty() && !user.contains('/')).then_some(Target::User(user))
            }
        }
    }
}

/// A stream that somebody may have, if the application has nothing against it.
pub(in crate::transport) struct Granted {
    newcomer: Option<Newcomer>,
    /// Who it is, once that is known.
    pub(super) identity: Option<Identity>,
    /// What hooks have to know of it, if they have to do with it.
    pub(super) guest: Option<Box<Guest>>,
    /// Its rooms, in the order of the request.
    pub(super) names: Vec<Box<str>>,
    pub(super) last_event_id: Option<Box<str>>,
    pub(super) framing: Framing,
    /// Its head.
    pub(in crate::transport) response: Response,
}

impl Granted {
    /// How its body is framed.
    pub(in crate::transport) fn framing(&self) -> Framing {
        self.framing
    }

    /// Who asks for it.
    pub(in crate::transport) fn take_newcomer(&mut self) -> Newcomer {
        self.newcomer.take().expect("it is asked about once")
    }
}

/// Judges a request for a stream.
pub(in crate::transport) fn judge(head: &Head, target: Target<'_>, court: Court<'_>) -> Admission {
    if let Err(stranger) = check_origin(head, court.settings) {
        return Admission::Answer(stranger.response());
    }
    match decide(head, target, court) {
        Ok(Decided::Stream(mut granted)) => {
            granted.response = for_the_page(granted.response, head);
            Admission::Stream(granted)
        }
        Ok(Decided::Answer(response)) | Err(response) => Admission::Answer(for_the_page(response, head)),
    }
}

/// What a node that is going away says to a listener that came in its last moment: come back. Any refusal would have
/// a browser give up for good.
pub(in crate::transport) fn come_back(head: &Head, settings: &Settings, retry_ms: u64) -> Option<Response> {
    Target::of(&head.path, settings.config.sse.path.as_deref()?)?;
    if head.method != Method::GET || check_origin(head, settings).is_err() {
        return None;
    }
    let mut response = stream_response();
    response.body = format!("retry: {retry_ms}\n\n").into();
    Some(for_the_page(response, head))
}

enum Decided {
    Stream(Box<Granted>),
    Answer(Response),
}

fn decide(head: &Head, target: Target<'_>, court: Court<'_>) -> Result<Decided, Response> {
    if head.method == Method::OPTIONS {
        return Ok(Decided::Answer(preflight()));
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        let response =
            Response::json_error(StatusCode::METHOD_NOT_ALLOWED, "method", "a stream is asked for with GET");
        return Err(response.with(header::ALLOW, HeaderValue::from_static(METHODS)));
    }
    if !matches!(head.body, Body::None | Body::Length(0)) {
        let message = "a request for a stream has no body";
        return Err(Response::json_error(StatusCode::BAD_REQUEST, "bad_request", message));
    }
    let last_event_id = last_event_id(head);
    // Before the token is looked at: who was sent away for good may well have none.
    if last_event_id.as_deref().is_some_and(is_stop) {
        return Ok(Decided::Answer(Response::new(StatusCode::NO_CONTENT)));
    }
    let newcomer = identify(head, court).map_err(|stranger| stranger.response())?;
    let names = rooms_of(head, target).and_then(|names| check_names(names, court.settings));
    let names = names.map_err(|wrong| Response::json_error(StatusCode::BAD_REQUEST, "rooms", wrong))?;
    let may_join = |identity, room: &str| rooms::join(court.settings.rules(), identity, room) != Says::No;
    // Who it is may still be the application's to say.
    if newcomer.identity.as_ref().is_some_and(|it| !names.iter().all(|room| may_join(it, room))) {
        let message = "no rule lets this user join all of these rooms";
        return Err(Response::json_error(StatusCode::FORBIDDEN, "forbidden", message));
    }
    if head.method == Method::HEAD {
        return Ok(Decided::Answer(stream_response()));
    }
    let framing = if head.version == Version::HTTP_11 { Framing::Chunked } else { Framing::Bare };
    Ok(Decided::Stream(Box::new(Granted {
        newcomer: Some(newcomer),
        identity: None,
        guest: None,
        names,
        last_event_id: last_event_id.map(|id| id.into()),
        framing,
        response: stream_response(),
    })))
}

/// The rooms that a request names, in its order.
fn rooms_of(head: &Head, target: Target<'_>) -> Result<Vec<Box<str>>, &'static str> {
    let mut named = parameters(head, "room").peekable();
    if let Target::User(user) = target {
        if named.peek().is_some() {
            return Err("a user's stream has no other rooms");
        }
        let user = percent_decode(user).ok_or(UNREADABLE)?;
        return Ok(vec![format!("user:{user}").into()]);
    }
    let mut rooms: Vec<Box<str>> = Vec::new();
    for value in named {
        let room = percent_decode_form(value).ok_or(UNREADABLE)?;
        if rooms.iter().any(|earlier| **earlier == *room) {
            return Err("a room is named twice");
        }
        if rooms.len() == ROOMS_MAX {
            return Err("a stream has at most 16 rooms");
        }
        rooms.push(room.into());
    }
    if rooms.is_empty() { Err("name the rooms: ?room=A&room=B") } else { Ok(rooms) }
}

/// Hands on names that rooms can have, and as many as one connection may be in.
fn check_names(names: Vec<Box<str>>, settings: &Settings) -> Result<Vec<Box<str>>, &'static str> {
    let limits = &settings.config.limits;
    if names.len() > limits.rooms_per_connection {
        return Err("more rooms than limits.rooms_per_connection");
    }
    let judged = names.iter().try_for_each(|name| check_room_name(name, limits.room_name));
    judged.map_err(BadRoomName::message)?;
    Ok(names)
}

/// What the client says it had last; the field that browsers send wins over the parameter, which is for those that
/// begin anew with what they remember. What cannot be read is a place that nobody knows.
fn last_event_id(head: &Head) -> Option<Cow<'_, str>> {
    let mut fields = head.headers.get_all(LAST_EVENT_ID).iter().filter(|value| !value.is_empty());
    if let Some(field) = fields.next() {
        let only = fields.next().is_none();
        return Some(if only { String::from_utf8_lossy(field.as_bytes()) } else { NOWHERE.into() });
    }
    let mut parameters = parameters(head, "last_event_id").filter(|value| !value.is_empty());
    let parameter = parameters.next()?;
    let only = parameters.next().is_none();
    Some(percent_decode_form(parameter).filter(|_| only).unwrap_or(NOWHERE.into()))
}

/// The values of a parameter of the query, as they were sent.
fn parameters<'a>(head: &'a Head, name: &'static str) -> impl Iterator<Item = &'a str> {
    let pairs = head.query.as_deref().unwrap_or_default().split('&');
    pairs.filter_map(move |pair| {
        let (named, value) = pair.split_once('=').unwrap_or((pair, ""));
        (named == name).then_some(value)
    })
}

fn stream_response() -> Response {
    Response::with_body(StatusCode::OK, "text/event-stream", "")
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        // nginx would gather blocks until a buffer is full.
        .with(X_ACCEL_BUFFERING, HeaderValue::from_static("no"))
}

/// What a page's browser asks before it sends the fields that are not its own.
fn preflight() -> Response {
    Response::new(StatusCode::NO_CONTENT)
        .with(header::ALLOW, HeaderValue::from_static(METHODS))
        .with(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS))
        .with(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, last-event-id, cache-control"),
        )
        .with(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"))
}

/// The same, for the page that asks to read; its origin is a listed one.
pub(in crate::transport) fn for_the_page(response: Response, head: &Head) -> Response {
    let Some(origin) = head.headers.get(header::ORIGIN) else { return response };
    response
        .with(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())
        .with(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))
        .with(header::VARY, HeaderValue::from_static("Origin"))
}

/// Rooms of one stream.
const ROOMS_MAX: usize = 16;
const METHODS: &str = "GET, HEAD, OPTIONS";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// No position is written so.
const NOWHERE: &str = "?";
const UNREADABLE: &str = "a name is not percent-encoded UTF-8";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Decoded;
    use crate::protocol::http::HeadDecoder;

    fn head(target: &str, fields: &str) -> Head {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        match HeadDecoder::default().decode(text.as_bytes(), 16_384) {
            Ok(Decoded::Complete { item, .. }) => item,
            other => panic!("{other:?}"),
        }
    }

    fn rooms(target: &str) -> Result<Vec<String>, &'static str> {
        let head = head(target, "");
        let target = Target::of(&head.path, "/events").expect("a stream's path");
        rooms_of(&head, target).map(|rooms| rooms.into_iter().map(String::from).collect())
    }

    #[test]
    fn a_stream_is_at_the_path_or_one_name_below_it() {
        let of = |path| Target::of(path, "/events");
        assert_eq!(of("/events"), Some(Target::Rooms));
        assert_eq!(of("/events/ada%2Fx"), Some(Target::User("ada%2Fx")));
        for path in ["/", "/event", "/eventsada", "/events/", "/events/a/b", "/events/a/", "/Events"] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn rooms_are_read_in_their_order_and_decoded_once() {
        assert_eq!(rooms("/events/ada%20l?token=x").expect("a user"), ["user:ada l"]);
        assert_eq!(rooms("/events/a+b").expect("a plus is one in a path"), ["user:a+b"]);
        assert_eq!(rooms("/events?room=b&room=a+b%2B%2520&x=1&rooms=c").expect("rooms"), ["b", "a b+%20"]);
        let many: Vec<String> = (0..17).map(|n| format!("room=r{n}")).collect();
        assert_eq!(rooms(&format!("/events?{}", many[..16].join("&"))).expect("16").len(), 16);
        for (target, wrong) in [
            ("/events", "name the rooms: ?room=A&room=B"),
            ("/events?Room=a", "name the rooms: ?room=A&room=B"),
            ("/events?room=a&room=%61", "a room is named twice"),
            ("/events?room=%f", UNREADABLE),
            ("/events/%ff", UNREADABLE),
            ("/events/ada?room=a", "a user's stream has no other rooms"),
            (&format!("/events?{}", many.join("&")), "a stream has at most 16 rooms"),
        ] {
            assert_eq!(rooms(target), Err(wrong), "{target}");
        }
    }

    #[test]
    fn the_last_id_is_the_fields_or_the_parameters_and_never_two() {
        let id = |target, fields| last_event_id(&head(target, fields)).map(Cow::into_owned);
        assert_eq!(id("/events", ""), None);
        assert_eq!(id("/events?last_event_id=", "Last-Event-ID:\r\n"), None);
        assert_eq!(id("/events?last_event_id=1-2%2C", "").as_deref(), Some("1-2,"));
        assert_eq!(id("/events?last_event_id=1-2", "Last-Event-ID: 3-4\r\n").as_deref(), Some("3-4"));
        assert_eq!(id("/events", "Last-Event-ID: 1\r\nLast-Event-ID: 2\r\n").as_deref(), Some(NOWHERE));
        assert_eq!(id("/events?last_event_id=1&last_event_id=2", "").as_deref(), Some(NOWHERE));
        assert_eq!(id("/events?last_event_id=%", "").as_deref(), Some(NOWHERE));
    }
}

//! Who is let in: from a request's head to an answer or an upgrade.
//!
//! Decides, and does nothing: no socket, no hub, no clock. A token is never part of what is decided,
//! logged or answered.

use std::rc::Rc;

use http::{HeaderValue, Method, StatusCode, header};

use super::request::Name;
use super::{Door, Pages, Settings, script, sse};
use crate::api;
use crate::auth::{Identity, TokenError, origin, token};
use crate::backend::{Backend, Backends};
use crate::config::{HookEvent, Mode, Refuse};
use crate::protocol::http::{Handshake, Head, Response, check_forward, handshake};
use crate::protocol::websocket::CloseCode;
use crate::shard::Shard;

/// What a request comes to.
pub(super) enum Admission {
    /// This answer.
    Answer(Response),
    /// A call of the API, whose body is still to be read.
    Call(Box<api::Call>),
    /// A WebSocket.
    Upgrade(Handshake, Upgrade),
    /// A stream of Server-Sent Events.
    Stream(Box<sse::Granted>),
    /// A request that is handed on to this backend.
    Route(Rc<Backend>),
    /// A request of which nobody knows what somebody else would read in it: this answer, and no other request.
    Close(Response),
}

/// What an upgraded connection is for.
pub(super) enum Upgrade {
    /// The native protocol.
    Native(Newcomer),
    /// Everything is sent back.
    Echo,
    /// To be told why it is refused, where a browser can see it.
    Refused(CloseCode, &'static str),
}

/// Who comes, as far as it is known before the application is asked.
pub(super) struct Newcomer {
    /// None with `auth.mode = "hook"`: the application says who it is.
    pub(super) identity: Option<Identity>,
    /// What it brought along there, not judged.
    pub(super) token: Option<Box<str>>,
    /// All claims of its token, where there is one that was judged, and the application hears of it.
    pub(super) claims: Option<Box<str>>,
}

/// Why a request is nobody's.
#[derive(Debug)]
pub(super) enum Stranger {
    /// Its page is not one of ours.
    Origin(&'static str),
    /// Its token.
    Token(TokenError),
}

impl Stranger {
    /// The answer, where it can be an answer.
    pub(super) fn response(&self) -> Response {
        match self {
            Stranger::Origin(message) => Response::json_error(StatusCode::FORBIDDEN, "origin", message),
            Stranger::Token(error) => Self::unauthorized(&error.to_string()),
        }
    }

    /// The answer to whoever could be somebody with a good token.
    pub(super) fn unauthorized(message: &str) -> Response {
        Response::json_error(StatusCode::UNAUTHORIZED, "unauthorized", message)
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }
}

/// What requests are judged by.
#[derive(Clone, Copy)]
pub(super) struct Court<'a> {
    pub(super) settings: &'a Settings,
    pub(super) pages: Option<&'a Pages>,
    pub(super) backends: &'a Backends,
    pub(super) shard: &'a Rc<Shard>,
    pub(super) request: Name<'a>,
    /// Unix time in seconds.
    pub(super) now_s: u64,
}

/// Judges a request that came by `door`.
pub(super) fn judge(head: &Head, door: Door, court: Court<'_>) -> Admission {
    match door {
        Door::Admin => {
            let settings = court.settings;
            match api::admit(head, court.shard, &settings.config, &settings.keys) {
                api::Admission::Answer(response) => Admission::Answer(response),
                api::Admission::Call(call) => Admission::Call(Box::new(call)),
            }
        }
        Door::Public => judge_public(head, court),
    }
}

fn judge_public(head: &Head, court: Court<'_>) -> Admission {
    let (server, websocket) = (&court.settings.config.server, &court.settings.config.websocket);
    if server.health_path.as_deref() == Some(&head.path) {
        return Admission::Answer(api::readiness(head, court.shard));
    }
    if head.path == websocket.path {
        return match shake_hands(head, |head| admit(head, court)) {
            // A refusal too: a browser hears no close code of a WebSocket without the subprotocol it asked for.
            Admission::Upgrade(handshake, upgrade) => {
                Admission::Upgrade(handshake.speaking(SUBPROTOCOL, head), upgrade)
            }
            answer => answer,
        };
    }
    if websocket.echo.as_deref() == Some(&head.path) {
        return shake_hands(head, |_| Ok(Upgrade::Echo));
    }
    let streams = court.settings.config.sse.path.as_deref();
    if let Some(target) = streams.and_then(|base| sse::Target::of(&head.path, base)) {
        return sse::judge(head, target, court);
    }
    if head.path == script::PATH {
        return Admission::Answer(script::answer(head));
    }
    if let Some(page) = court.pages.and_then(|pages| pages(head)) {
        return Admission::Answer(page);
    }
    if let Some(backend) = route(head, court.backends) {
        return match check_forward(head) {
            Ok(()) => Admission::Route(backend.clone()),
            Err(refused) => Admission::Close(refused.response()),
        };
    }
    Admission::Answer(Response::json_error(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path",
    ))
}

/// The backend that a request is for.
fn route<'a>(head: &Head, backends: &'a Backends) -> Option<&'a Rc<Backend>> {
    // Every head has one, and it is ASCII.
    let host = head.headers.get(header::HOST)?.to_str().ok()?;
    backends.route(host, &head.path)
}

fn shake_hands(head: &Head, admit: impl FnOnce(&Head) -> Result<Upgrade, Response>) -> Admission {
    let handshake = match handshake::check(head) {
        Ok(handshake) => handshake,
        Err(refused) => return Admission::Answer(refused.response()),
    };
    match admit(head) {
        Ok(upgrade) => Admission::Upgrade(handshake, upgrade),
        Err(response) => Admission::Answer(response),
    }
}

/// Whose a handshake is, or its refusal.
fn admit(head: &Head, court: Court<'_>) -> Result<Upgrade, Response> {
    let stranger = match identify(head, court) {
        Ok(newcomer) => return Ok(Upgrade::Native(newcomer)),
        Err(stranger) => stranger,
    };
    match (&stranger, court.settings.config.auth.refuse) {
        (Stranger::Token(TokenError::Expired), Refuse::Close4001) => {
            Ok(Upgrade::Refused(CloseCode::TOKEN_EXPIRED, "Token expired"))
        }
        (Stranger::Token(_), Refuse::Close4001) => {
            Ok(Upgrade::Refused(CloseCode::UNAUTHORIZED, "Unauthorized"))
        }
        _ => Err(stranger.response()),
    }
}

/// Whose a request is, as far as it can be told here.
pub(super) fn identify(head: &Head, court: Court<'_>) -> Result<Newcomer, Stranger> {
    let Court { settings, request, now_s, .. } = court;
    check_origin(head, settings)?;
    check_cookie(head, settings)?;
    if settings.config.auth.mode == Mode::None {
        return Ok(Newcomer { identity: Some(Identity::anonymous()), token: None, claims: None });
    }
    verify(head, settings, now_s).map_err(|error| match error {
        TokenError::NoOrigin => {
            Stranger::Origin("a token in a cookie needs an Origin of auth.allowed_origins")
        }
        error => {
            tracing::debug!(%request, %error, "unauthorized");
            Stranger::Token(error)
        }
    })
}

/// Whether a request comes from a page that may ask, or from none.
pub(super) fn check_origin(head: &Head, settings: &Settings) -> Result<(), Stranger> {
    if origin::allowed(&head.headers, &settings.config.auth.allowed_origins) {
        return Ok(());
    }
    Err(Stranger::Origin("this origin is not in auth.allowed_origins"))
}

/// Whether the application may be told of the cookies of a request, where it is told and nothing else was judged: a
/// browser sends them whatever page asks.
fn check_cookie(head: &Head, settings: &Settings) -> Result<(), Stranger> {
    let is_told = || {
        let hooks = settings.config.hooks.as_ref();
        let names = hooks.filter(|hooks| hooks.events.contains(&HookEvent::Connect)).map(|it| &it.headers);
        names.is_some_and(|names| names.iter().any(|name| header::COOKIE == **name))
    };
    let is_judged = settings.config.auth.mode == Mode::Jwt;
    if is_judged
        || !head.headers.contains_key(header::COOKIE)
        || origin::is_known(&head.headers)
        || !is_told()
    {
        return Ok(());
    }
    Err(Stranger::Origin(COOKIE_NEEDS_A_PAGE))
}

fn verify(head: &Head, settings: &Settings, now_s: u64) -> Result<Newcomer, TokenError> {
    let cookie = settings.config.auth.cookie.as_deref();
    let token = token::token_of(&head.headers, head.query.as_deref(), cookie)?;
    if token.as_ref().is_some_and(token::Token::by_cookie) && !origin::is_known(&head.headers) {
        return Err(TokenError::NoOrigin);
    }
    match (token, &settings.verifier) {
        (token, None) if settings.config.auth.mode == Mode::Hook => {
            let token = token.map(|token| token.as_str().into());
            Ok(Newcomer { identity: None, token, claims: None })
        }
        (Some(token), Some(verifier)) => {
            if !settings.hooks_want(HookEvent::Connect) {
                let identity = Some(verifier.verify(token.as_str(), now_s)?);
                return Ok(Newcomer { identity, token: None, claims: None });
            }
            let (identity, claims) = verifier.verify_with_claims(token.as_str(), now_s)?;
            Ok(Newcomer { identity: Some(identity), token: None, claims: Some(claims) })
        }
        _ => Err(TokenError::Missing("token")),
    }
}

/// Whether a method may only be answered with a head.
pub(super) fn is_head_only(head: &Head) -> bool {
    head.method == Method::HEAD
}

/// What the native protocol is called among subprotocols.
const SUBPROTOCOL: &str = "vestibule";
/// Said where cookies would be handed on for a page that nobody knows.
const COOKIE_NEEDS_A_PAGE: &str = "a request with a cookie needs an Origin of auth.allowed_origins";

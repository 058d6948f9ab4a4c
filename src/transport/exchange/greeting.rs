//! Whether somebody may come in: what the application says to a handshake or a request for a stream, before it is
//! answered.
//!
//! While it is asked the socket has no deadline: the call has one. Decides nothing about rooms: of a stream that is for
//! `sse`.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use tracing::debug;

use super::{Exchange, Purpose, stopping};
use crate::auth::Identity;
use crate::backend::hooks::{Happening, Verdict};
use crate::config::{HookEvent, Mode, Refuse};
use crate::protocol::http::{Head, Response, elements};
use crate::protocol::websocket::CloseCode;
use crate::transport::admission::{Newcomer, Stranger, Upgrade};
use crate::transport::client;
use crate::transport::hooks::{self, Guest};
use crate::transport::sse;

/// What a WebSocket is opened for.
pub(in crate::transport) enum Welcome {
    /// To be served.
    In(Purpose),
    /// To be told why it is refused, where a browser can see it.
    Out(CloseCode, Cow<'static, str>),
}

/// Why somebody does not come in.
pub(in crate::transport) enum Turned {
    /// The application does not want it, for this reason.
    Away(Option<Box<str>>),
    /// The application did not say.
    Unheard,
    /// The node goes away.
    Stopping,
}

/// Whom the application has let in, or was not asked about.
pub(in crate::transport) type Known = (Identity, Option<Box<Guest>>);

impl Exchange<'_> {
    /// What becomes of a handshake: an error is the answer to it.
    pub(super) async fn greet(&self, upgrade: Upgrade, head: &Head) -> Result<Welcome, Response> {
        let newcomer = match upgrade {
            Upgrade::Native(newcomer) => newcomer,
            Upgrade::Echo => return Ok(Welcome::In(Purpose::Echo)),
            Upgrade::Refused(code, reason) => return Ok(Welcome::Out(code, reason.into())),
        };
        match self.ask_whether(newcomer, head, "websocket").await {
            Ok((identity, guest)) => Ok(Welcome::In(Purpose::Native(Box::new(identity), guest))),
            Err(turned) => self.turn_away(turned),
        }
    }

    /// How a WebSocket is refused: where a browser can see it, unless `auth.refuse` has it otherwise.
    fn turn_away(&self, turned: Turned) -> Result<Welcome, Response> {
        let auth = &self.services.settings().config.auth;
        let by_close = auth.refuse == Refuse::Close4001;
        match turned {
            Turned::Away(reason) if by_close => {
                let (code, otherwise) = match auth.mode {
                    Mode::Hook => (CloseCode::UNAUTHORIZED, "Unauthorized"),
                    Mode::Jwt | Mode::None => (CloseCode::FORBIDDEN, "Forbidden"),
                };
                let reason = reason.map_or(otherwise.into(), |reason| Cow::Owned(reason.into_string()));
                Ok(Welcome::Out(code, reason))
            }
            Turned::Away(reason) => Err(refusal(auth.mode, reason)),
            Turned::Unheard if by_close => {
                Ok(Welcome::Out(CloseCode::TRY_AGAIN_LATER, format!("retry={}", self.retry_ms()).into()))
            }
            Turned::Unheard => Err(unheard(self.retry_ms())),
            Turned::Stopping => Err(stopping()),
        }
    }

    /// What becomes of a request for a stream: an error is the answer to it.
    pub(super) async fn greet_listener(
        &self,
        mut granted: Box<sse::Granted>,
        head: &Head,
    ) -> Result<Box<sse::Granted>, Response> {
        let turned = match self.ask_whether(granted.take_newcomer(), head, "sse").await {
            Ok(known) => {
                let guest = || Box::new(Guest::new(self.services, self.request.get(), "sse"));
                let asked = granted.ask_for_rooms(known, self.services, guest, || self.is_stopping());
                match asked.await {
                    // It may have taken a while.
                    Ok(()) if self.is_stopping() => Turned::Stopping,
                    Ok(()) => return Ok(granted),
                    Err(turned) => turned,
                }
            }
            Err(Turned::Away(reason)) => {
                return Err(sse::for_the_page(
                    refusal(self.services.settings().config.auth.mode, reason),
                    head,
                ));
            }
            Err(turned) => turned,
        };
        match turned {
            Turned::Away(reason) => Err(sse::for_the_page(forbidden(reason), head)),
            Turned::Unheard | Turned::Stopping => {
                let come_back = sse::come_back(head, &self.services.settings(), self.retry_ms());
                Err(come_back.unwrap_or_else(stopping))
            }
        }
    }

    fn retry_ms(&self) -> u64 {
        sse::retry_ms(self.socket.shard(), self.request.get())
    }

    fn is_stopping(&self) -> bool {
        self.socket.shard().node().quota.is_stopping()
    }

    /// Asks the application about a newcomer, where it wants to be asked.
    async fn ask_whether(
        &self,
        newcomer: Newcomer,
        head: &Head,
        transport: &'static str,
    ) -> Result<Known, Turned> {
        // Each call has a time of its own; that of the head is over.
        self.socket.clear_deadline();
        let hooks = self.services.hooks();
        let mut guest = hooks::are_kept(hooks)
            .then(|| Box::new(Guest::new(self.services, self.request.get(), transport)));
        let Some(asking) = guest.as_mut().filter(|_| hooks.wants(HookEvent::Connect)) else {
            // A reload may just have taken away who says who somebody is.
            let identity = newcomer.identity.ok_or(Turned::Unheard)?;
            if let Some(guest) = &mut guest {
                guest.set_user(&identity.user);
            }
            return Ok((identity, guest));
        };
        if let Some(identity) = &newcomer.identity {
            asking.set_user(&identity.user);
        }
        let mut verdict = self.knock(asking, &newcomer, head).await.ok_or(Turned::Unheard)?;
        if !verdict.allow {
            return Err(Turned::Away(verdict.reason));
        }
        if self.is_stopping() {
            return Err(Turned::Stopping);
        }
        let identity = match newcomer.identity {
            Some(identity) => identity,
            None => identity_of(&mut verdict).ok_or_else(|| {
                debug!(request = %self.name(), "no verdict: it names no userId");
                Turned::Unheard
            })?,
        };
        asking.set_user(&identity.user);
        asking.order(verdict);
        Ok((identity, guest))
    }

    async fn knock(&self, guest: &mut Guest, newcomer: &Newcomer, head: &Head) -> Option<Verdict> {
        let config = &self.services.settings().config;
        let names = config.hooks.as_ref().map(|hooks| &*hooks.headers).unwrap_or_default();
        let fields = names.iter().flat_map(|name| {
            let values = head.headers.get_all(name).iter();
            values.filter_map(move |value| Some((&**name, std::str::from_utf8(value.as_bytes()).ok()?)))
        });
        let offered = elements(&head.headers, &header::SEC_WEBSOCKET_PROTOCOL);
        let trusted = &config.server.trusted_proxies;
        let connect = Happening::Connect {
            address: client::address_of(&head.headers, self.socket.peer().ip(), trusted),
            path: &head.path,
            query: head.query.as_deref(),
            headers: fields.collect(),
            subprotocols: offered.filter_map(|it| std::str::from_utf8(it).ok()).collect(),
            token: newcomer.token.as_deref(),
            claims: newcomer.claims.as_deref(),
        };
        guest.knock(connect).await.ok()
    }
}

/// Who the application says somebody is.
fn identity_of(verdict: &mut Verdict) -> Option<Identity> {
    let user: Arc<str> = verdict.user.take()?;
    let rooms = verdict.rooms.take().unwrap_or_default();
    Some(Identity { user, rooms, expires_s: None, authenticated: true })
}

/// The answer to whom the application does not want.
fn refusal(mode: Mode, reason: Option<Box<str>>) -> Response {
    match mode {
        Mode::Hook => {
            Stranger::unauthorized(reason.as_deref().unwrap_or("the application does not know you"))
        }
        Mode::Jwt | Mode::None => forbidden(reason),
    }
}

fn forbidden(reason: Option<Box<str>>) -> Response {
    let reason = reason.as_deref().unwrap_or("the application does not let you in");
    Response::json_error(StatusCode::FORBIDDEN, "forbidden", reason)
}

/// The answer where the application did not say.
fn unheard(retry_ms: u64) -> Response {
    let message = "the application did not answer: come back";
    Response::json_error(StatusCode::SERVICE_UNAVAILABLE, "hook_timeout", message)
        .with(header::RETRY_AFTER, HeaderValue::from(retry_ms.div_ceil(1000)))
}

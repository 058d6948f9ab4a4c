//! The native protocol's commands: judged by the room rules, then done by the hub.
//!
//! What a rule refuses is answered with an error and the connection stays. What the application is to be asked or told
//! is handed back. Keeps nothing of a room.

use std::cell::Cell;
use std::sync::Arc;

use crate::auth::{Identity, TokenError, rooms};
use crate::backend::hooks::Happening;
use crate::config::HookEvent;
use crate::hub::{self, ConnectionKey, Exclude, Join, Publication, Refusal, ShardId, Since, Step};
use crate::net::unix_s;
use crate::protocol::native::{self, Command, ErrorCode, Request, RequestId};
use crate::protocol::room::check_room_name;
use crate::shard::Shard;

use super::Settings;

/// What one connection of the native protocol is.
pub(super) struct Native {
    identity: Identity,
}

/// Who asks, at which shard, and what it is judged by.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) shard: &'a Shard,
    pub(super) settings: &'a Settings,
    pub(super) key: ConnectionKey,
    /// Whether this connection has sent a broadcast or an event.
    pub(super) spoke: &'a Cell<bool>,
}

/// What is still to be done for a message, or because of it.
pub(super) enum Pending {
    /// A command has to wait for this home.
    Wait(ShardId, Blocked),
    /// The application is to be asked.
    Ask(Box<Asked>),
    /// The connection left a room: the application is to be told.
    Left(Box<str>),
}

/// What the application is asked before it is done.
pub(super) enum Asked {
    Join { room: Box<str>, id: Option<RequestId>, since: Option<Since> },
    Event { event: Box<str>, payload: Box<[u8]>, id: Option<RequestId> },
}

/// A command that has to wait for a home.
pub(super) enum Blocked {
    Join { room: Box<str>, id: Option<RequestId>, since: Option<Since> },
    Publish { room: Box<str>, publication: Arc<Publication>, id: Option<RequestId> },
}

/// A refusal, as told to the client.
struct Refused(ErrorCode, &'static str);

impl Native {
    pub(super) fn new(identity: Identity) -> Native {
        Native { identity }
    }

    /// Who sends.
    pub(super) fn user(&self) -> &str {
        &self.identity.user
    }

    /// Does what a message asks for, or answers why not. What remains to be done is handed back.
    pub(super) fn on_text(&mut self, text: &[u8], caller: Caller<'_>) -> Option<Pending> {
        let Request { id, command } = match Request::decode(text) {
            Ok(request) => request,
            Err(rejected) => {
                caller.reply_error(rejected.id.as_ref(), &Refused(rejected.code, rejected.message));
                return None;
            }
        };
        caller.count(&command);
        match self.execute(command, id.as_ref(), caller) {
            Ok(pending) => pending,
            Err(refused) => {
                caller.reply_error(id.as_ref(), &refused);
                None
            }
        }
    }

    fn execute(
        &mut self,
        command: Command,
        id: Option<&RequestId>,
        caller: Caller<'_>,
    ) -> Result<Option<Pending>, Refused> {
        let Caller { shard, settings, key, .. } = caller;
        match command {
            Command::Join { room, since } => {
                check_name(&room, settings)?;
                let says = rooms::join(settings.rules(), &self.identity, &room);
                let asks = says == rooms::Says::AskHook && settings.hooks_want(HookEvent::Join);
                if says != rooms::Says::Yes && !asks {
                    return Err(FORBIDDEN);
                }
                let bad_since = || Refused(ErrorCode::BadMessage, native::BAD_SINCE);
                let since = since.map(|since| Since::parse(&since).ok_or_else(bad_since)).transpose()?;
                let id = id.cloned();
                if asks {
                    // The application may tell others of whom it lets in: it is not asked about who cannot get in.
                    if shard.with_hub(|hub| hub.is_out_of_rooms(key, &room)) {
                        return Err(Refusal::TooManyRooms.into());
                    }
                    return Ok(Some(Pending::Ask(Box::new(Asked::Join { room, id, since }))));
                }
                Blocked::Join { room, id, since }.execute(caller)
            }
            Command::Leave { room } => {
                shard.with_hub(|hub| hub.leave(key, &room, id)).map_err(Refused::from)?;
                Ok(settings.hooks_want(HookEvent::Leave).then_some(Pending::Left(room)))
            }
            Command::Broadcast { room, event, payload } => {
                check_name(&room, settings)?;
                if !rooms::may_publish(settings.rules(), &self.identity, &room) {
                    return Err(FORBIDDEN);
                }
                let exclude = Exclude::connection(shard.connection_id(key));
                let publication = Arc::new(Publication { event, payload, exclude });
                let publish = Blocked::Publish { room, publication, id: id.cloned() };
                publish.execute(caller)
            }
            Command::Event { event, payload } if settings.hooks_want(HookEvent::Message) => {
                Ok(Some(Pending::Ask(Box::new(Asked::Event { event, payload, id: id.cloned() }))))
            }
            Command::Event { .. } => Err(Refused(ErrorCode::NoHook, "no backend listens to events")),
            Command::Refresh { token } => {
                self.refresh(token.as_str(), caller)?;
                if let Some(id) = id {
                    shard.with_hub(|hub| hub.reply(key, |out| native::encode_ack(out, id, None, None)));
                }
                Ok(None)
            }
            Command::Ping => {
                shard.with_hub(|hub| {
                    hub.reply(key, |out| {
                        native::encode_pong(out);
                        if let Some(id) = id {
                            native::encode_ack(out, id, None, None);
                        }
                    })
                });
                Ok(None)
            }
        }
    }

    /// Goes over to what another token says, if that is good and the same user's. Rooms that it is in stay.
    fn refresh(&mut self, token: &str, caller: Caller<'_>) -> Result<(), Refused> {
        let Some(verifier) = &caller.settings.verifier else {
            return Err(Refused(ErrorCode::Forbidden, "this server knows nobody by a token"));
        };
        let now_s = unix_s();
        let identity = verifier.verify(token, now_s).map_err(|error| {
            tracing::debug!(connection = %caller.shard.connection_id(caller.key), %error, "token not refreshed");
            match error {
                TokenError::Expired => Refused(ErrorCode::Unauthorized, "the token has expired"),
                _ => Refused(ErrorCode::Unauthorized, "the token is not valid"),
            }
        })?;
        if identity.user != self.identity.user {
            return Err(Refused(ErrorCode::Forbidden, "the token is another user's"));
        }
        caller.shard.set_expiry(caller.key, identity.lasts(now_s));
        caller.shard.metrics().token_refreshes_total.add(1);
        self.identity = identity;
        Ok(())
    }
}

/// Whether a room's name can be one.
fn check_name(room: &str, settings: &Settings) -> Result<(), Refused> {
    let checked = check_room_name(room, settings.config.limits.room_name);
    checked.map_err(|bad| Refused(ErrorCode::RoomName, bad.message()))
}

impl Asked {
    /// What the application is asked.
    pub(super) fn happening(&self) -> Happening<'_> {
        match self {
            Asked::Join { room, .. } => Happening::Join { room },
            Asked::Event { event, payload, .. } => {
                let payload =
                    std::str::from_utf8(payload).expect("a part of a text message, between its signs");
                Happening::Message { event, payload }
            }
        }
    }

    /// The application has nothing against it: it is answered, or goes its way as where no hook is asked.
    pub(super) fn on_allowed(self, reply: Option<&str>, caller: Caller<'_>) -> Option<Blocked> {
        match self {
            Asked::Join { room, id, since } => Some(Blocked::Join { room, id, since }),
            Asked::Event { event, id, .. } => {
                caller.shard.with_hub(|hub| {
                    hub.reply(caller.key, |out| match (&id, reply) {
                        (Some(id), Some(reply)) => native::encode_replied(out, id, reply),
                        (Some(id), None) => native::encode_ack(out, id, None, None),
                        (None, Some(reply)) => native::encode_reply(out, &event, reply),
                        (None, None) => (),
                    })
                });
                None
            }
        }
    }

    /// It does not happen.
    pub(super) fn on_refused(&self, code: ErrorCode, message: &str, caller: Caller<'_>) {
        let (Asked::Join { id, .. } | Asked::Event { id, .. }) = self;
        caller.refuse(id.as_ref(), code, message);
    }
}

impl Blocked {
    /// The room that it is about.
    pub(super) fn room(&self) -> &str {
        match self {
            Blocked::Join { room, .. } | Blocked::Publish { room, .. } => room,
        }
    }

    /// Another try; what still has to wait is handed back.
    pub(super) fn retry(self, caller: Caller<'_>) -> Option<Pending> {
        let id = match &self {
            Blocked::Join { id, .. } | Blocked::Publish { id, .. } => id.clone(),
        };
        self.execute(caller).unwrap_or_else(|refused| {
            caller.reply_error(id.as_ref(), &refused);
            None
        })
    }

    fn execute(self, caller: Caller<'_>) -> Result<Option<Pending>, Refused> {
        let key = caller.key;
        // A publication opens a room too, where its rule keeps a history.
        if matches!(self, Blocked::Join { .. }) || caller.shard.keeps_history() {
            caller.shard.share_rooms();
        }
        let step = caller.shard.with_hub(|hub| match &self {
            Blocked::Join { room, id, since } => {
                hub.join(key, room, Join { request: id.as_ref(), since: *since, on_behalf: false })
            }
            Blocked::Publish { room, publication, id } => {
                Ok(hub.publish(key, room, publication, id.as_ref()))
            }
        });
        match step.map_err(Refused::from)? {
            Step::Done => Ok(None),
            Step::Wait(home) => Ok(Some(Pending::Wait(home, self))),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        match refusal {
            Refusal::TooManyRooms => {
                Refused(ErrorCode::TooManyRooms, "limits.rooms_per_connection is reached")
            }
            Refusal::NodeFull => Refused(ErrorCode::TooManyRooms, hub::NODE_FULL),
            Refusal::FixedRooms => Refused(ErrorCode::Forbidden, "a stream joins no other room"),
            Refusal::NotJoined => Refused(ErrorCode::NotJoined, "not a member of this room"),
        }
    }
}

impl Caller<'_> {
    fn count(self, command: &Command) {
        let metrics = self.shard.metrics();
        match command {
            Command::Join { .. } => metrics.joins_total.add(1),
            Command::Leave { .. } => metrics.leaves_total.add(1),
            Command::Broadcast { .. } => {
                metrics.broadcasts_total.add(1);
                self.speak();
            }
            Command::Event { .. } => self.speak(),
            _ => (),
        }
    }

    /// The connection does what only a WebSocket can.
    pub(super) fn speak(self) {
        if !self.spoke.replace(true) {
            self.shard.metrics().receive_only_connections.sub(1);
        }
    }

    fn reply_error(self, id: Option<&RequestId>, &Refused(code, message): &Refused) {
        self.refuse(id, code, message);
    }

    fn refuse(self, id: Option<&RequestId>, code: ErrorCode, message: &str) {
        self.shard.metrics().message_errors_total.add(1);
        self.shard.with_hub(|hub| hub.reply(self.key, |out| native::encode_error(out, id, code, message)));
    }
}

const FORBIDDEN: Refused = Refused(ErrorCode::Forbidden, "no rule allows this in that room");

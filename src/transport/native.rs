//! The native protocol's commands: judged by the room rules, then done by the hub.
//!
//! What a rule refuses is answered with an error and the connection stays. Keeps nothing of a room.

use std::cell::Cell;
use std::sync::Arc;

use crate::auth::{Identity, TokenError, rooms};
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

    /// Does what a message asks for, or answers why not. What has to wait is handed back.
    pub(super) fn on_text(&mut self, text: &[u8], caller: Caller<'_>) -> Option<(ShardId, Blocked)> {
        let Request { id, command } = match Request::decode(text) {
            Ok(request) => request,
            Err(rejected) => {
                caller.reply_error(rejected.id.as_ref(), &Refused(rejected.code, rejected.message));
                return None;
            }
        };
        caller.count(&command);
        match self.execute(command, id.as_ref(), caller) {
            Ok(blocked) => blocked,
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
    ) -> Result<Option<(ShardId, Blocked)>, Refused> {
        let Caller { shard, settings, key, .. } = caller;
        match command {
            Command::Join { room, since } => {
                self.check(&room, settings, rooms::may_join)?;
                let bad_since = || Refused(ErrorCode::BadMessage, native::BAD_SINCE);
                let since = since.map(|since| Since::parse(&since).ok_or_else(bad_since)).transpose()?;
                let join = Blocked::Join { room, id: id.cloned(), since };
                join.execute(caller)
            }
            Command::Leave { room } => {
                let left = shard.with_hub(|hub| hub.leave(key, &room, id));
                left.map(|()| None).map_err(Refused::from)
            }
            Command::Broadcast { room, event, payload } => {
                self.check(&room, settings, rooms::may_publish)?;
                let exclude = Exclude::connection(shard.connection_id(key));
                let publication = Arc::new(Publication { event, payload, exclude });
                let publish = Blocked::Publish { room, publication, id: id.cloned() };
                publish.execute(caller)
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

    /// Whether a room's name can be one, and its rule lets this user do it.
    fn check(
        &self,
        room: &str,
        settings: &Settings,
        may: impl FnOnce(&[crate::config::RoomRule], &Identity, &str) -> bool,
    ) -> Result<(), Refused> {
        check_room_name(room, settings.config.limits.room_name)
            .map_err(|bad| Refused(ErrorCode::RoomName, bad.message()))?;
        if !may(settings.rules(), &self.identity, room) {
            return Err(Refused(ErrorCode::Forbidden, "no rule allows this in that room"));
        }
        Ok(())
    }
}

impl Blocked {
    /// Another try; what still has to wait is handed back.
    pub(super) fn retry(self, caller: Caller<'_>) -> Option<(ShardId, Blocked)> {
        let id = match &self {
            Blocked::Join { id, .. } | Blocked::Publish { id, .. } => id.clone(),
        };
        self.execute(caller).unwrap_or_else(|refused| {
            caller.reply_error(id.as_ref(), &refused);
            None
        })
    }

    fn execute(self, caller: Caller<'_>) -> Result<Option<(ShardId, Blocked)>, Refused> {
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
            Step::Wait(home) => Ok(Some((home, self))),
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

    fn reply_error(self, id: Option<&RequestId>, refused: &Refused) {
        self.shard.metrics().message_errors_total.add(1);
        let Refused(code, message) = *refused;
        self.shard.with_hub(|hub| hub.reply(self.key, |out| native::encode_error(out, id, code, message)));
    }
}

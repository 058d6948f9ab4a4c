//! A WebSocket connection: bytes to messages, messages to whoever serves them, until goodbye.
//!
//! Frames are taken from the core's read buffer where they lie; only what has to wait (for a home, for
//! the peer to read its replies) is copied out. Knows no room: that is `native`.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tracing::debug;

use super::exchange::{Purpose, Upgraded};
use super::hooks::{self, Guest};
use super::native::{Asked, Blocked, Caller, Native, Pending};
use super::request::{Name, Number};
use super::{Services, Settings, linger, sse};
use crate::config::HookEvent;
use crate::hub::{ConnectionKey, Relation, ShardId, Wire};
use crate::net::{now, unix_s};
use crate::protocol::native::{self, ErrorCode};
use crate::protocol::websocket::frame::HEADER_LEN_MAX;
use crate::protocol::websocket::{CloseCode, Decoder, Event, Opcode, encode_frame};
use crate::quota::{AddressKey, Pace};
use crate::shard::{GOODBYE_WITHIN, Shard, Socket};

/// Serves a connection to its end.
pub(super) async fn serve(socket: &Socket, mut reader: Box<Reader>) {
    loop {
        let progress = if reader.is_waiting() {
            if socket.is_expired() {
                return;
            }
            reader.take_rest()
        } else {
            if socket.readable().await.is_err() || socket.is_expired() {
                return;
            }
            match socket.read(|input| reader.take(input)) {
                Ok(Some(progress)) => progress,
                Ok(None) => continue,
                Err(_) => return,
            }
        };
        match progress {
            Progress::More => (),
            Progress::WaitFor(home) => Box::pin(socket.shard().wait_for(home)).await,
            Progress::Begin => {
                if !Box::pin(reader.begin()).await {
                    break;
                }
            }
            // A read may hold thousands of events, and each takes as long as the application likes: for a peer that is
            // gone nobody is asked.
            Progress::Ask if socket.is_cut() => return,
            Progress::Ask => Box::pin(reader.ask(socket)).await,
            Progress::Full => {
                if !Box::pin(socket.written(reader.connection.key)).await {
                    return;
                }
            }
            Progress::Gone => return,
            Progress::Goodbye => break,
        }
    }
    drop(reader);
    linger::until_gone(socket).await;
}

/// How far a connection came with what it was given.
enum Progress {
    /// All is used up.
    More,
    /// The rest was kept until this home has moved on.
    WaitFor(ShardId),
    /// The application ordered something that comes first.
    Begin,
    /// The rest was kept until the application has been asked.
    Ask,
    /// The rest was kept until the peer has read what it was replied.
    Full,
    /// The peer hung up.
    Gone,
    /// A goodbye is on its way.
    Goodbye,
}

/// What a connection's reader knows.
pub(super) struct Reader {
    decoder: Decoder,
    /// A command that waits for a home. Nothing behind it is looked at.
    blocked: Option<Box<Blocked>>,
    /// What the application is to be asked. Nothing behind it is looked at.
    asked: Option<Box<Asked>>,
    /// What was read and not looked at yet: at most one read's worth.
    rest: Vec<u8>,
    connection: Connection,
}

/// What messages are taken by: apart from the decoder, of which a message is a part.
struct Connection {
    shard: Rc<Shard>,
    services: Rc<Services>,
    key: ConnectionKey,
    /// The request that it came by.
    request: Number,
    /// None: an echo.
    native: Option<Native>,
    address: AddressKey,
    pace: Pace,
    /// Whether it has sent a broadcast or an event: who only listens could do so over plain HTTP.
    spoke: Cell<bool>,
    /// What hooks have to know of it, if they have to do with it.
    guest: Option<Box<Guest>>,
}

impl Reader {
    /// The birth of a connection: the handshake's answer goes out first.
    pub(super) fn open(socket: &Socket, services: Rc<Services>, upgraded: Upgraded) -> Reader {
        let Upgraded { writer, purpose, request, switching, rest } = upgraded;
        let shard = socket.shard();
        let (key, native, mut guest) = match purpose {
            Purpose::Echo => {
                let key = socket.connect(writer, ("echo".into(), Wire::Native), switching, |_, _| ());
                (key, None, None)
            }
            Purpose::Native(identity, guest) => {
                let user = identity.user.clone();
                let key = socket.connect(writer, (user.clone(), Wire::Native), switching, |out, key| {
                    let connection = shard.connection_id(key).to_string();
                    native::encode_connected(out, &user, &connection, shard.index());
                });
                shard.set_expiry(key, identity.lasts(unix_s()));
                (key, Some(Native::new(*identity)), guest)
            }
        };
        if let Some(guest) = &mut guest {
            guest.is_born(shard, key);
        }
        let (name, peer, connection) =
            (services.requests.name(request), socket.peer(), shard.connection_id(key));
        let user = native.as_ref().map(Native::user);
        debug!(request = %name, %connection, %peer, user, shard = shard.index(), "connected");
        shard.metrics().receive_only_connections.add(1);
        let (address, pace, spoke) = (socket.address(), Pace::default(), Cell::new(false));
        let shard = shard.clone();
        let connection = Connection { shard, services, key, request, native, address, pace, spoke, guest };
        Reader { decoder: Decoder::default(), blocked: None, asked: None, rest, connection }
    }

    /// Whether it has something to look at before the socket.
    fn is_waiting(&self) -> bool {
        self.blocked.is_some() || !self.rest.is_empty() || self.has_orders()
    }

    /// Takes up what was left, the command that had to wait first.
    fn take_rest(&mut self) -> Progress {
        if self.has_orders() {
            return Progress::Begin;
        }
        if let Some(blocked) = self.blocked.take() {
            let settings = self.connection.services.settings();
            if let Some(Pending::Wait(home, blocked)) = blocked.retry(self.connection.caller(&settings)) {
                self.blocked = Some(Box::new(blocked));
                return Progress::WaitFor(home);
            }
        }
        let mut input = std::mem::take(&mut self.rest);
        if input.is_empty() { Progress::More } else { self.take(&mut input) }
    }

    /// Takes all messages that `input` completes; what cannot be looked at yet is kept. Nothing at all
    /// is the peer's end.
    fn take(&mut self, input: &mut [u8]) -> Progress {
        if input.is_empty() {
            return Progress::Gone;
        }
        let settings = self.connection.services.settings();
        let mut reading = Reading::default();
        let taken = self.take_events(input, &settings, &mut reading);
        if let Some(payload) = reading.ping {
            self.connection.reply(Opcode::Pong, &payload);
        }
        taken.unwrap_or_else(|goodbye| self.connection.say_goodbye(goodbye))
    }

    fn take_events(
        &mut self,
        input: &mut [u8],
        settings: &Settings,
        reading: &mut Reading,
    ) -> Result<Progress, Goodbye> {
        let limits = settings.frame_limits();
        let mut used = 0;
        reading.left = input.len();
        loop {
            if self.connection.is_full() {
                self.rest.extend_from_slice(&input[used..]);
                return Ok(Progress::Full);
            }
            let step = self.decoder.decode(&mut input[used..], &limits).map_err(|violation| {
                self.connection.shard.metrics().violations_total.add(1);
                let reason = violation.to_string().into();
                Goodbye { code: violation.close_code(), reason, within: GOODBYE_WITHIN }
            })?;
            used += step.used;
            reading.left -= step.used;
            let Some(event) = step.event else { return Ok(Progress::More) };
            match self.connection.on_event(event, settings, reading)? {
                After::Next => (),
                After::Wait(home, blocked) => {
                    self.blocked = Some(Box::new(blocked));
                    self.rest.extend_from_slice(&input[used..]);
                    return Ok(Progress::WaitFor(home));
                }
                After::Ask(asked) => {
                    self.asked = Some(asked);
                    self.rest.extend_from_slice(&input[used..]);
                    return Ok(Progress::Ask);
                }
            }
        }
    }

    /// Whether the application ordered something for it before it was born.
    fn has_orders(&self) -> bool {
        self.connection.guest.as_ref().is_some_and(|guest| guest.has_orders())
    }

    /// Has what the application ordered done before its first message is read. False where that cannot be: it is told
    /// so, and when to come back, for it would not be in the rooms that it is to be in.
    async fn begin(&mut self) -> bool {
        let connection = &mut self.connection;
        let Some(guest) = &mut connection.guest else { return true };
        for mut verdict in guest.take_orders() {
            if let Err(error) = guest.carry_out(&mut verdict).await {
                hooks::say(&connection.services, &error);
                let retry_ms = sse::retry_ms(&connection.shard, connection.request);
                let reason = format!("retry={retry_ms}").into();
                let code = CloseCode::TRY_AGAIN_LATER;
                connection.say_goodbye(Goodbye { code, reason, within: GOODBYE_WITHIN });
                return false;
            }
        }
        true
    }

    /// Asks the application, and does as it says. Nobody reads meanwhile; everything else goes on.
    async fn ask(&mut self, socket: &Socket) {
        let Some(asked) = self.asked.take() else { return };
        socket.pause();
        if let Some(allowed) = self.connection.ask(*asked).await {
            self.connection.join(allowed).await;
        }
        socket.resume();
    }
}

impl Connection {
    fn name(&self) -> Name<'_> {
        self.services.requests.name(self.request)
    }

    fn caller<'a>(&'a self, settings: &'a Settings) -> Caller<'a> {
        Caller { shard: &self.shard, settings, key: self.key, spoke: &self.spoke }
    }

    fn reply(&self, opcode: Opcode, payload: &[u8]) {
        self.shard.with_hub(|hub| hub.reply(self.key, |out| encode_frame(out, opcode, payload)));
    }

    /// Sends a message back. The first of a read makes room for all that can follow, which spares copies of what is
    /// there already.
    fn echo(&self, opcode: Opcode, payload: &[u8], reading: &Reading) {
        self.shard.with_hub(|hub| {
            hub.reply(self.key, |out| {
                if out.is_empty() {
                    // What is left may be one unfinished message, and nobody counts room that is not used.
                    let others = reading.left.min(ECHO_BYTES_MIN.max(4 * payload.len()));
                    // A header of ours is shorter than a client's.
                    out.reserve(HEADER_LEN_MAX + payload.len() + others);
                }
                encode_frame(out, opcode, payload);
            })
        });
    }

    fn on_event(
        &mut self,
        event: Event<'_>,
        settings: &Settings,
        reading: &mut Reading,
    ) -> Result<After, Goodbye> {
        if matches!(event, Event::Text(_)) {
            self.take_tokens(settings, reading)?;
        }
        match (event, &mut self.native) {
            (Event::Text(text), Some(native)) => {
                self.shard.metrics().messages_total.add(1);
                let caller = Caller { shard: &self.shard, settings, key: self.key, spoke: &self.spoke };
                match native.on_text(text, caller) {
                    None => (),
                    Some(Pending::Wait(home, blocked)) => return Ok(After::Wait(home, blocked)),
                    Some(Pending::Ask(asked)) => return Ok(After::Ask(asked)),
                    Some(Pending::Left(room)) => self.guest().on_left(&room),
                }
            }
            (Event::Binary(_), Some(_)) => {
                let reason = "binary messages are not spoken here".into();
                return Err(Goodbye { code: CloseCode::UNSUPPORTED, reason, within: HANG_UP_WITHIN });
            }
            (Event::Text(payload), None) => {
                self.caller(settings).speak();
                self.echo(Opcode::Text, payload, reading);
            }
            (Event::Binary(payload), None) => {
                self.caller(settings).speak();
                self.echo(Opcode::Binary, payload, reading);
            }
            (Event::Ping(payload), _) => self.on_ping(payload, reading),
            (Event::Pong(_), _) => (),
            (Event::Close(close), _) => {
                let code = close.map_or(CloseCode::NORMAL, |(code, _)| code);
                self.shard.answer_close(self.key, code, HANG_UP_WITHIN);
                return Err(Goodbye { code, reason: "".into(), within: HANG_UP_WITHIN });
            }
        }
        Ok(After::Next)
    }

    /// What hooks know of it; of those who came before there were hooks, nothing yet.
    fn guest(&mut self) -> &mut Guest {
        self.guest.get_or_insert_with(|| {
            let mut guest = Box::new(Guest::new(&self.services, self.request, "websocket"));
            guest.take_place(&self.shard, self.key);
            if let Some(native) = &self.native {
                guest.set_user(&native.user().into());
            }
            guest
        })
    }

    /// Asks, and answers; a command that may go its way then is handed back.
    async fn ask(&mut self, asked: Asked) -> Option<Blocked> {
        if self.shard.with_hub(|hub| hub.is_leaving(self.key)) {
            // What was read behind its goodbye is of no interest to anybody.
            return None;
        }
        let guest = self.guest();
        let mut answer = guest.ask(asked.happening()).await;
        let carried_out = match &mut answer {
            Ok(verdict) if verdict.allow => guest.carry_out(verdict).await,
            _ => Ok(()),
        };
        let settings = self.services.settings();
        let caller = self.caller(&settings);
        match (answer, carried_out) {
            (Ok(verdict), Ok(())) if verdict.allow => {
                return asked.on_allowed(verdict.reply.as_deref(), caller);
            }
            (Ok(verdict), Ok(())) => {
                let reason = verdict.reason.as_deref().unwrap_or("the application refused it");
                asked.on_refused(ErrorCode::HookRefused, reason, caller);
            }
            (Ok(_), Err(error)) => {
                hooks::say(&self.services, &error);
                let message = "what the application answered could be done in part only";
                asked.on_refused(ErrorCode::HookTimeout, message, caller);
            }
            (Err(error), _) => asked.on_refused(ErrorCode::HookTimeout, &error.to_string(), caller),
        }
        None
    }

    /// Does what the application allowed. Where the node has no place for the room after all, the application, which
    /// takes the connection for a member, is told that it is none.
    async fn join(&mut self, allowed: Blocked) {
        let room: Box<str> = allowed.room().into();
        let mut next = Some(allowed);
        while let Some(blocked) = next {
            let settings = self.services.settings();
            next = match blocked.retry(self.caller(&settings)) {
                Some(Pending::Wait(home, blocked)) => {
                    self.shard.wait_for(home).await;
                    Some(blocked)
                }
                _ => None,
            };
        }
        // The room's home may say so later than this shard.
        let joined = hooks::is_member(&self.shard, self.key, &room, now() + hooks::WHOLE_WITHIN).await;
        let is_none = || self.shard.with_hub(|hub| hub.relation(self.key, &room)) == Relation::Stranger;
        if joined.is_err() && is_none() && self.services.settings().hooks_want(HookEvent::Leave) {
            self.guest().on_left(&room);
        }
    }

    /// Takes a message's tokens: the connection's, and its share of what the user and the address may send
    /// over all their connections. An echo costs none.
    fn take_tokens(&mut self, settings: &Settings, reading: &mut Reading) -> Result<(), Goodbye> {
        let Some(native) = &self.native else { return Ok(()) };
        let now = *reading.now.get_or_insert_with(|| self.shard.node().elapsed());
        let (limits, quota) = (&settings.config.limits, &self.shard.node().quota);
        let metrics = self.shard.metrics();
        if !self.pace.take(settings.rate(), now) {
            metrics.connection_limited_total.add(1);
            return Err(Goodbye::too_many("too many messages"));
        }
        let per_user = limits.messages_per_second_per_user;
        if per_user > 0 && quota.users.take(native.user(), per_user, now).is_err() {
            metrics.user_limited_total.add(1);
            return Err(Goodbye::too_many("too many messages of this user"));
        }
        let per_address = limits.messages_per_second_per_address;
        if per_address > 0 && quota.senders.take(self.address, per_address, now).is_err() {
            metrics.address_limited_total.add(1);
            return Err(Goodbye::too_many("too many messages from this address"));
        }
        Ok(())
    }

    /// Answers a ping at once, or, in a flood, only the last of a read (RFC 6455 section 5.5.3).
    fn on_ping(&self, payload: &[u8], reading: &mut Reading) {
        if reading.answered < PONGS_A_READ {
            reading.answered += 1;
            return self.reply(Opcode::Pong, payload);
        }
        if reading.ping.is_some() {
            self.shard.metrics().pongs_coalesced_total.add(1);
        }
        let latest = reading.ping.get_or_insert_default();
        latest.clear();
        latest.extend_from_slice(payload);
    }

    /// Whether the peer leaves its replies unread: then it is not read either.
    fn is_full(&self) -> bool {
        let most = OUTBOX_BYTES_MAX.min(self.shard.limits().lag_bytes / 2);
        self.shard.with_hub(|hub| hub.outbox_bytes(self.key)) > most
    }

    fn say_goodbye(&self, goodbye: Goodbye) -> Progress {
        let Goodbye { code, reason, within } = goodbye;
        let (request, connection) = (self.name(), self.shard.connection_id(self.key));
        debug!(%request, %connection, code = code.to_wire(), reason = &*reason, "goodbye");
        self.shard.dismiss(self.key, code, &reason, within);
        Progress::Goodbye
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        debug!(request = %self.name(), connection = %self.shard.connection_id(self.key), "ended");
        let metrics = self.shard.metrics();
        metrics.ended_total.add(1);
        if !self.spoke.get() {
            metrics.receive_only_connections.sub(1);
            metrics.ended_receive_only_total.add(1);
        }
    }
}

/// What follows a message.
enum After {
    Next,
    Wait(ShardId, Blocked),
    Ask(Box<Asked>),
}

/// The last that a connection is told, and how long it has to take it.
struct Goodbye {
    code: CloseCode,
    reason: Cow<'static, str>,
    within: Duration,
}

impl Goodbye {
    fn too_many(reason: &'static str) -> Goodbye {
        Goodbye { code: CloseCode::TOO_MANY_MESSAGES, reason: reason.into(), within: GOODBYE_WITHIN }
    }
}

/// What is known while the events of one read are taken.
#[derive(Default)]
struct Reading {
    /// Bytes that are not looked at yet.
    left: usize,
    /// The time, once somebody asked.
    now: Option<Duration>,
    /// Pings answered.
    answered: u32,
    /// The payload of the latest ping that is not.
    ping: Option<Vec<u8>>,
}

// Idle connections are most of what a core holds, and the allocator gives them out in steps: the next is a quarter more.
const _: () = assert!(size_of::<Reader>() <= 224);

/// How long a peer that closed has to hang up: we were asked to, it need not read more.
const HANG_UP_WITHIN: Duration = Duration::from_secs(2);
/// Replies that a peer may leave unread before it is not read any more.
const OUTBOX_BYTES_MAX: usize = 256 << 10;
/// An echo may make room for other replies of so many bytes, however small it is.
const ECHO_BYTES_MIN: usize = 2 << 10;
/// Pings of one read that are answered one by one; more are a flood.
const PONGS_A_READ: u32 = 16;

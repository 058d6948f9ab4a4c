//! HTTP/1.1 on one socket: request after request, until one upgrades or streams, or the connection closes.
//!
//! Each exchange ends in next, upgrade, stream or close. A head is read under a deadline that its bytes do not
//! extend, and so is a body; what arrives behind a head that upgrades is kept for the WebSocket.

mod body;
mod course;
mod download;
mod greeting;
mod proxy;
mod tunnel;
mod upload;

use std::borrow::Cow;
use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode};
use tracing::debug;

use super::admission::{self, Admission, Court};
use super::hooks::Guest;
use super::request::{Name, Number, Shown, shown_method};
use super::{Door, Services, Settings, address_full, client, linger, sse};
use crate::net::{Writer, unix_s};
use crate::protocol::Decoded;
use crate::protocol::http::{
    After, BadPath, Body, Handshake, Head, HeadDecoder, HeadError, HttpDate, Response, encode_response,
    encode_stream_head, normal_path,
};
use crate::protocol::websocket::{CloseCode, encode_close};
use crate::shard::Socket;

use greeting::Welcome;
pub(super) use greeting::{Known, Turned};

/// What a socket becomes for the rest of its life.
pub(super) enum Became {
    WebSocket(Upgraded),
    Stream(sse::Opening),
}

/// A WebSocket, its handshake not yet answered.
pub(super) struct Upgraded {
    pub(super) writer: Writer,
    pub(super) purpose: Purpose,
    /// The request that asked for it.
    pub(super) request: Number,
    /// The answer to the handshake, to go out first.
    pub(super) switching: BytesMut,
    /// What came behind the head.
    pub(super) rest: Vec<u8>,
}

/// What it is for.
pub(super) enum Purpose {
    Native(Box<crate::auth::Identity>, Option<Box<Guest>>),
    Echo,
}

/// What a read for a head came to.
enum Read {
    Head(Box<Head>),
    Refused(HeadError),
    /// The deadline passed inside a head.
    Late,
    /// The peer has gone, or asked for nothing until the deadline.
    Gone,
}

/// Serves requests until one becomes a WebSocket or a stream, to be served on; `None` when the socket is done.
pub(super) async fn serve(
    socket: &Socket,
    writer: Writer,
    services: &Services,
    door: Door,
    request: &Cell<Number>,
) -> Option<Became> {
    let mut exchange = Exchange { socket, writer, services, request, buffer: Vec::new() };
    loop {
        let read = exchange.read_head().await;
        request.set(services.requests.next());
        let mut head = match read {
            Read::Head(head) => head,
            Read::Refused(error) => return exchange.close_with(error.response()).await,
            Read::Late => return exchange.close_with(late()).await,
            Read::Gone => return None,
        };
        let metrics = socket.shard().metrics();
        metrics.requests_total.add(1);
        let settings = services.settings();
        let backends = services.backends();
        let turned_away = if door == Door::Public { exchange.look_first(&mut head, &settings) } else { None };
        let court = Court {
            settings: &settings,
            pages: services.pages.as_ref(),
            backends: &backends,
            shard: socket.shard(),
            request: exchange.name(),
            now_s: unix_s(),
        };
        match turned_away.unwrap_or_else(|| admission::judge(&head, door, court)) {
            Admission::Answer(response) => {
                if !exchange.answer_head(door, &mut head, response).await {
                    return None;
                }
            }
            Admission::Call(call) => {
                // Boxed: few sockets are an operator's, and the others need not make room for it.
                if !Box::pin(exchange.call(*call, &mut head, &settings)).await {
                    return None;
                }
            }
            Admission::Route(backend) => {
                // Of before a reload, perhaps, and with it what it was configured with.
                drop(backends);
                // Boxed: an idle connection need not make room for it.
                if !Box::pin(exchange.proxy(&backend, &mut head, &settings)).await {
                    return None;
                }
            }
            Admission::Close(response) => return exchange.close_with(response).await,
            Admission::Upgrade(handshake, upgrade) => {
                metrics.handshakes_total.add(1);
                match Box::pin(exchange.greet(upgrade, &head)).await {
                    Ok(welcome) => return exchange.upgrade(&handshake, welcome).await.map(Became::WebSocket),
                    Err(response) => {
                        if !exchange.answer_head(door, &mut head, response).await {
                            return None;
                        }
                    }
                }
            }
            Admission::Stream(granted) => match Box::pin(exchange.greet_listener(granted, &head)).await {
                Ok(granted) => return Some(Became::Stream(exchange.stream(granted))),
                Err(response) => {
                    if !exchange.answer_head(door, &mut head, response).await {
                        return None;
                    }
                }
            },
        }
    }
}

fn bring_into_form(path: &mut String) -> Result<(), BadPath> {
    if let Cow::Owned(normal) = normal_path(path)? {
        *path = normal;
    }
    Ok(())
}

/// Counts a request that came by a trusted proxy for its client's address.
fn sit(socket: &Socket, head: &Head, settings: &Settings) -> Result<(), Response> {
    let (config, peer) = (&settings.config, socket.peer().ip());
    let trusted = &config.server.trusted_proxies;
    if !client::is_trusted(peer, trusted) {
        return Ok(());
    }
    let address = client::address_of(&head.headers, peer, trusted);
    socket.move_to(address, config.limits.connections_per_address).map_err(address_full)
}

struct Exchange<'a> {
    socket: &'a Socket,
    writer: Writer,
    services: &'a Services,
    /// The request that is read or answered.
    request: &'a Cell<Number>,
    /// What was read and belongs to no head yet.
    buffer: Vec<u8>,
}

impl<'a> Exchange<'a> {
    fn name(&self) -> Name<'a> {
        self.services.requests.name(self.request.get())
    }

    /// What becomes of a request that came by the public door before it is looked at, if not all is well with it or us.
    /// From here on its path is in the one form in which it is compared and handed on.
    fn look_first(&self, head: &mut Head, settings: &Settings) -> Option<Admission> {
        let shard = self.socket.shard();
        if let Err(bad) = bring_into_form(&mut head.path) {
            return Some(Admission::Answer(bad.response()));
        }
        let is_health = settings.config.server.health_path.as_deref() == Some(&head.path);
        if !is_health && shard.node().quota.is_stopping() {
            let retry_ms = sse::retry_ms(shard, self.request.get());
            let come_back = sse::come_back(head, settings, retry_ms);
            return Some(Admission::Close(come_back.unwrap_or_else(stopping)));
        }
        let full = sit(self.socket, head, settings).err()?;
        shard.metrics().address_refused_total.add(1);
        Some(Admission::Answer(full))
    }

    async fn read_head(&mut self) -> Read {
        let settings = self.services.settings();
        let limits = &settings.config.limits;
        // From here, whatever comes: bytes do not extend it.
        let within = self.socket.shard().wait_at_the_door(limits.head_deadline);
        self.socket.set_deadline(within, Shutdown::Read);
        let mut decoder = HeadDecoder::default();
        loop {
            match decoder.decode(&self.buffer, limits.head) {
                Ok(Decoded::Complete { item, used }) => {
                    self.buffer.drain(..used);
                    return Read::Head(Box::new(item));
                }
                Ok(Decoded::Incomplete { .. }) => (),
                Err(error) => return Read::Refused(error),
            }
            if self.socket.is_expired() && !self.buffer.is_empty() {
                return Read::Late;
            }
            // What had arrived when the deadline passed is looked at still.
            match self.read_more().await {
                Ok(Some(0)) if self.socket.is_expired() && !self.buffer.is_empty() => return Read::Late,
                Ok(Some(0)) | Err(_) => return Read::Gone,
                Ok(Some(_) | None) => (),
            }
        }
    }

    /// Waits for bytes, and puts them behind those that are there: how many, 0 at the end, or none yet after all.
    async fn read_more(&mut self) -> io::Result<Option<usize>> {
        self.socket.readable().await?;
        let buffer = &mut self.buffer;
        self.socket.read(|bytes| {
            buffer.extend_from_slice(bytes);
            bytes.len()
        })
    }

    /// Answers what was judged by its head alone; true if the next request may come on this connection.
    async fn answer_head(&mut self, door: Door, head: &mut Head, response: Response) -> bool {
        if door == Door::Public && response.status == StatusCode::UNAUTHORIZED {
            self.socket.shard().metrics().unauthorized_total.add(1);
        }
        // Whoever has no key is not waited for either: the connection ends with the answer.
        if door == Door::Admin && response.status != StatusCode::UNAUTHORIZED {
            self.pass_over_body(head).await;
        }
        self.answer(head, response).await
    }

    /// Answers a request; true if the next one may come on this connection.
    async fn answer(&mut self, head: &Head, response: Response) -> bool {
        let after = self.tell(head, response).await;
        self.go_on(after).await
    }

    /// Writes the answer to a request: what is to become of the connection, none if it is gone.
    async fn tell(&mut self, head: &Head, response: Response) -> Option<After> {
        // A body that nobody reads would be taken for the next head.
        let keep_alive = head.keep_alive && matches!(head.body, Body::None | Body::Length(0));
        let after = if keep_alive { After::KeepAlive } else { After::Close };
        let head_only = admission::is_head_only(head);
        let (request, peer, status) = (self.name(), self.socket.peer(), response.status.as_u16());
        debug!(%request, %peer, method = shown_method(&head.method), path = %Shown(&head.path), status, "answered");
        self.write(response, after, head_only).await.then_some(after)
    }

    /// True if the next request may come on this connection.
    async fn go_on(&mut self, after: Option<After>) -> bool {
        if after == Some(After::Close) {
            self.hang_up().await;
        }
        after == Some(After::KeepAlive)
    }

    /// The last answer on this connection.
    async fn close_with(&mut self, response: Response) -> Option<Became> {
        let (request, peer, status) = (self.name(), self.socket.peer(), response.status.as_u16());
        debug!(%request, %peer, status, "answered, and closed");
        if self.write(response, After::Close, false).await {
            self.hang_up().await;
        }
        None
    }

    async fn write(&mut self, response: Response, after: After, head_only: bool) -> bool {
        let metrics = self.socket.shard().metrics();
        if response.status.is_client_error() || response.status.is_server_error() {
            metrics.request_errors_total.add(1);
        }
        let response = self.named(response);
        let mut out = BytesMut::new();
        encode_response(&mut out, &response, after, head_only, HttpDate::from_unix_s(unix_s()));
        // Who does not read would have it kept twice.
        drop(response);
        self.write_bytes(out.freeze()).await
    }

    fn named(&self, response: Response) -> Response {
        let name = HeaderValue::try_from(self.name().to_string()).expect("a name is digits and hyphens");
        response.with(X_REQUEST_ID, name)
    }

    /// A peer that does not take the answer is cut off.
    async fn write_bytes(&mut self, bytes: Bytes) -> bool {
        self.socket.set_deadline(ANSWER_WITHIN, Shutdown::Both);
        self.writer.write(vec![bytes]).await.is_ok()
    }

    async fn hang_up(&self) {
        self.socket.finish();
        self.socket.set_deadline(HANG_UP_WITHIN, Shutdown::Both);
        linger::a_little(self.socket, HANG_UP_WITHIN).await;
    }

    fn stream(self, granted: Box<sse::Granted>) -> sse::Opening {
        let response = self.named(granted.response.clone());
        let mut head = BytesMut::with_capacity(STREAM_HEAD_BYTES);
        let date = HttpDate::from_unix_s(unix_s());
        encode_stream_head(&mut head, &response, granted.framing(), date);
        let (request, unasked_bytes) = (self.request.get(), self.buffer.len());
        sse::Opening { writer: self.writer, granted, request, head, unasked_bytes }
    }

    async fn upgrade(mut self, handshake: &Handshake, welcome: Welcome) -> Option<Upgraded> {
        let mut switching = BytesMut::with_capacity(SWITCHING_BYTES);
        let name = self.name();
        handshake.encode_switching(&mut switching, &[("X-Request-Id", &name.to_string())]);
        let purpose = match welcome {
            Welcome::In(purpose) => purpose,
            Welcome::Out(code, reason) => {
                let metrics = self.socket.shard().metrics();
                let is_stranger = code == CloseCode::UNAUTHORIZED || code == CloseCode::TOKEN_EXPIRED;
                metrics.unauthorized_total.add(u64::from(is_stranger));
                metrics.closes.by_code(code.to_wire()).add(1);
                debug!(request = %name, peer = %self.socket.peer(), code = code.to_wire(), "refused");
                encode_close(&mut switching, code, &reason);
                if self.write_bytes(switching.freeze()).await {
                    self.hang_up().await;
                }
                return None;
            }
        };
        let request = self.request.get();
        // Mostly nothing came behind the head: then the connection does not keep the buffer that held it.
        let rest = if self.buffer.is_empty() { Vec::new() } else { self.buffer };
        Some(Upgraded { writer: self.writer, purpose, request, switching, rest })
    }
}

fn late() -> Response {
    Response::json_error(StatusCode::REQUEST_TIMEOUT, "head_deadline", "the request's head took too long")
}

fn stopping() -> Response {
    Response::json_error(StatusCode::SERVICE_UNAVAILABLE, "stopping", "this node is going away")
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a peer may take to read an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a peer has to hang up once everything is said.
const HANG_UP_WITHIN: Duration = Duration::from_secs(2);
/// A 101 with what is likely to follow it.
const SWITCHING_BYTES: usize = 256;
/// A stream's head with what is likely to follow it.
const STREAM_HEAD_BYTES: usize = 512;

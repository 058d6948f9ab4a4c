//! A request that is handed on to a backend, from its head to the last byte of the answer.
//!
//! Request and answer are under way at the same time, each as fast as its receiver takes it. What was not answered is
//! answered here; what was begun and broke ends the client's connection. It knows neither pools nor servers, and reads
//! and writes only through its two ways.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use http::{Method, StatusCode, Version, header};
use tracing::debug;

use super::super::client;
use super::super::request::{Shown, shown_method};
use super::course::{Course, Pace};
use super::download::{Download, Downloaded};
use super::tunnel::Silence;
use super::upload::{Incoming, Upload, Uploaded, until_gone};
use super::{Exchange, Settings};
use crate::backend::{self, Backend, Failed, Outgoing};
use crate::net::{Either, both, either};
use crate::protocol::http::{
    After, AnswerHead, Body, ChunkedError, Forwarding, Head, Response, encode_forward, handshake, has_token,
    is_websocket_upgrade,
};
use crate::shard::UnderWay;

impl Exchange<'_> {
    /// Hands a request on, and its answer back; true if the next request may come on this connection.
    pub(super) async fn proxy(
        &mut self,
        backend: &Rc<Backend>,
        head: &mut Head,
        settings: &Settings,
    ) -> bool {
        self.socket.shard().metrics().proxied_requests_total.add(1);
        // However long a head took, it is not the application's fault.
        self.socket.clear_deadline();
        self.socket.set_under_way(UnderWay::Request);
        let next = self.hand_on(backend, head, settings).await;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            // Idle, the connection holds nothing.
            self.buffer = Vec::new();
        }
        next
    }

    async fn hand_on(&mut self, backend: &Rc<Backend>, head: &mut Head, settings: &Settings) -> bool {
        let upgrade = is_websocket_upgrade(head);
        let mut incoming = Incoming::new(head.body);
        let mut first = BytesMut::with_capacity(FIRST_BYTES_USUAL);
        let request_id = self.name().to_string();
        let peer = self.socket.peer().ip();
        let trusted = client::is_trusted(peer, &settings.config.server.trusted_proxies);
        let by = Forwarding { peer, trusted, request_id: &request_id, upgrade, body: head.body };
        encode_forward(&mut first, head, &head.path, &by);
        let head_len = first.len();
        if let Err(error) = incoming.take_from(&mut self.buffer, &mut first) {
            return self.refuse(bad_chunks(error)).await;
        }
        let waits = is_waiting(head) && !incoming.is_ended() && first.len() == head_len;
        let outgoing = Outgoing {
            method: head.method.clone(),
            first: first.freeze(),
            whole: incoming.is_ended(),
            upgrade,
        };
        let begun = either(pin!(backend.begin(outgoing)), pin!(until_gone(self.socket))).await;
        let mut exchange = match begun {
            Either::One(Ok(exchange)) => exchange,
            Either::One(Err(failed)) => return self.fail(head, incoming.is_ended(), &failed).await,
            Either::Other(()) => return false,
        };
        let course = Course::new(!waits);
        let idle = backend.idle_timeout();
        let (uploaded, downloaded) = {
            let (socket, course) = (self.socket, &course);
            let (buffer, incoming, writer) = (&mut self.buffer, &mut incoming, &mut self.writer);
            let upload = Upload { socket, buffer, incoming, course, idle, pace: Pace::default() };
            let request_id = &request_id;
            let download = Download { socket, writer, head, request_id, course, idle, pace: Pace::default() };
            let up = pin!(upload.run(&mut exchange.up));
            both(up, pin!(download.run(&mut exchange.down))).await
        };
        match downloaded {
            Downloaded::Whole(status, after) => {
                self.told(head, status);
                if uploaded == Uploaded::Whole && !may_be_overlooked(head) {
                    exchange.finish();
                } else {
                    drop(exchange);
                }
                self.go_on_after(after, uploaded, &mut incoming, idle).await
            }
            Downloaded::Switching(answer) => {
                let silence = Silence { of_both: backend.tunnel_timeout(), of_one: idle };
                self.switch(head, exchange, &answer, silence).await
            }
            // The server is not to wait until the client has been told.
            without => {
                drop(exchange);
                self.answer_for(head, without, uploaded, incoming.is_ended()).await
            }
        }
    }

    /// What is answered, if anything, where there is no whole answer of the server's.
    async fn answer_for(
        &mut self,
        head: &mut Head,
        downloaded: Downloaded,
        uploaded: Uploaded,
        is_read: bool,
    ) -> bool {
        match downloaded {
            Downloaded::None(_) if uploaded == Uploaded::Gone => false,
            Downloaded::None(failed) => self.fail(head, is_read, &failed).await,
            Downloaded::Cut(status, failed) => {
                self.told(head, status);
                self.count_failure(&failed);
                false
            }
            Downloaded::Halted(true) if uploaded == Uploaded::Stuck => {
                self.count_failure(&Failed::Idle);
                false
            }
            Downloaded::Whole(..) | Downloaded::Switching(_) => false,
            Downloaded::NotTaken | Downloaded::Halted(true) => false,
            Downloaded::Halted(false) => match uploaded {
                Uploaded::Stuck => self.fail(head, false, &Failed::Idle).await,
                Uploaded::Late => self.refuse(late()).await,
                Uploaded::Malformed(error) => self.refuse(bad_chunks(error)).await,
                _ => false,
            },
        }
    }

    /// True if the next request may come, now that an answer is whole. Of a body that was not wanted a little is passed
    /// over.
    async fn go_on_after(
        &mut self,
        after: After,
        uploaded: Uploaded,
        incoming: &mut Incoming,
        idle: Duration,
    ) -> bool {
        // It is whole: nobody has to be told otherwise.
        self.socket.set_under_way(UnderWay::Nothing);
        let after = match uploaded {
            Uploaded::Gone => return false,
            Uploaded::Whole => after,
            // Nobody knows where the next request would begin.
            Uploaded::Malformed(_) | Uploaded::Late | Uploaded::Stuck => After::Close,
            Uploaded::Over | Uploaded::Refused if after == After::Close => after,
            Uploaded::Over | Uploaded::Refused => {
                let (buffer, course) = (&mut self.buffer, &Course::new(true));
                let rest =
                    Upload { socket: self.socket, buffer, incoming, course, idle, pace: Pace::default() };
                if rest.pass_over().await { after } else { After::Close }
            }
        };
        self.go_on(Some(after)).await
    }

    /// Makes a tunnel of the connection, if the server has agreed to that in due form.
    async fn switch(
        &mut self,
        head: &mut Head,
        exchange: backend::Exchange,
        answer: &AnswerHead,
        silence: Silence,
    ) -> bool {
        if !handshake::check(head).is_ok_and(|handshake| handshake.is_accepted_by(answer)) {
            return self.fail(head, true, &Failed::Malformed("a 101 that agrees to no WebSocket")).await;
        }
        self.told(head, answer.status);
        // Boxed: it lasts long, and needs nothing of the exchange that led to it.
        Box::pin(self.tunnel(exchange, answer, silence)).await;
        false
    }

    /// Answers in the server's place; true if the next request may come.
    async fn fail(&mut self, head: &mut Head, is_read: bool, failed: &Failed) -> bool {
        self.socket.set_under_way(UnderWay::Nothing);
        self.count_failure(failed);
        if is_read {
            head.body = Body::None;
        }
        head.keep_alive &= !self.socket.shard().node().quota.is_stopping();
        let message = match failed.status() {
            StatusCode::GATEWAY_TIMEOUT => "the application did not answer in time",
            _ => "there is no answer of the application's",
        };
        self.answer(head, Response::json_error(failed.status(), failed.code(), message)).await
    }

    fn count_failure(&self, failed: &Failed) {
        self.socket.shard().metrics().proxied_failures_total.add(1);
        debug!(request = %self.name(), error = %failed, "a backend failed");
    }

    /// The client has broken the rules, and is told so: the last answer on this connection.
    async fn refuse(&mut self, response: Response) -> bool {
        self.socket.set_under_way(UnderWay::Nothing);
        self.close_with(response).await;
        false
    }

    fn told(&self, head: &Head, status: StatusCode) {
        if status.is_client_error() || status.is_server_error() {
            self.socket.shard().metrics().request_errors_total.add(1);
        }
        let (request, peer, status) = (self.name(), self.socket.peer(), status.as_u16());
        let (method, path) = (shown_method(&head.method), Shown(&head.path));
        debug!(%request, %peer, method, %path, status, "answered by a backend");
    }
}

/// Whether the client asks before it sends its body (RFC 9110, section 10.1.1). In HTTP/1.0 nobody can be told.
fn is_waiting(head: &Head) -> bool {
    head.version == Version::HTTP_11 && has_token(&head.headers, &header::EXPECT, "100-continue")
}

/// Whether a server may pass over the body, which it would take for the next request on that connection: that of a method
/// with which a body means nothing (RFC 9110, section 9.3.1).
fn may_be_overlooked(head: &Head) -> bool {
    let is_meaningless = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE);
    is_meaningless && !matches!(head.body, Body::None | Body::Length(0))
}

fn late() -> Response {
    Response::json_error(StatusCode::REQUEST_TIMEOUT, "body_deadline", "the request's body took too long")
}

fn bad_chunks(error: ChunkedError) -> Response {
    Response::json_error(StatusCode::BAD_REQUEST, "bad_chunks", &error.to_string())
}

/// A head with what we add to it, and a small body.
const FIRST_BYTES_USUAL: usize = 1024;
/// The buffer of a connection that waits for its next request has so much room at most.
const KEPT_BYTES_MAX: usize = 1024;

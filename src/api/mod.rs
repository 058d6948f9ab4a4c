//! What operators and backends ask a node: is it alive, what does it count, who is there; and what they have it do.
//!
//! A request that came by the admin listener is judged by its head, and answered at once, or becomes a [`Call`], which
//! is answered once its body has been read. Holds no socket and is never reachable on the public listeners, save
//! [`readiness`], where `server.health_path` says so. Never logs a body or a key.

mod changes;
mod document;
mod history;
mod keys;
mod lists;
mod page;
mod process;
mod publish;
mod refused;
mod route;
mod sent;

use std::rc::Rc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use crate::config::{Config, Limits};
use crate::metrics::Text;
use crate::protocol::http::{Body, Head, Response};
use crate::shard::{self, Shard};

pub use keys::Keys;
use refused::Refused;
use route::{Query, Route};
use sent::Who;

/// What a request on the admin listener comes to.
pub enum Admission {
    /// This answer; a body is of no interest.
    Answer(Response),
    /// A call, to be answered by [`Call::answer`] with its body.
    Call(Call),
}

/// A call of the API that may be answered. It has its place until it is dropped: not before its answer is written,
/// which somebody may read slowly.
pub struct Call {
    route: Route,
    query: Query,
    place: shard::Call,
    body_bytes: usize,
}

/// Judges a request on the admin listener, which came to this shard, by its head.
pub fn admit(head: &Head, shard: &Rc<Shard>, config: &Config, keys: &Keys) -> Admission {
    let Some(path) = head.path.strip_prefix("/api/") else {
        return Admission::Answer(operators_page(head, shard, config));
    };
    shard.metrics().api_requests_total.add(1);
    match judge(path, head, shard, (config, keys)) {
        Ok(call) => Admission::Call(call),
        Err(refused) => Admission::Answer(closed_to_caches(shard, refused.response())),
    }
}

fn judge(
    path: &str,
    head: &Head,
    shard: &Rc<Shard>,
    (config, keys): (&Config, &Keys),
) -> Result<Call, Refused> {
    // First of all: whoever has no key learns nothing, and no body of theirs is read.
    if !keys.admit(&head.headers) {
        shard.metrics().api_unauthorized_total.add(1);
        return Err(Refused::unauthorized());
    }
    let route = Route::of(path)?.ok_or_else(Refused::not_found)?;
    route.check_method(&head.method)?;
    let query = Query::of(head.query.as_deref(), &route)?;
    let body_bytes = if route.is_post() { body_of(head, &route, &config.limits)? } else { 0 };
    let place = shard.call().ok_or_else(|| {
        shard.metrics().api_limited_total.add(1);
        Refused::busy("as many calls are under way as may be: try again")
    })?;
    Ok(Call { route, query, place, body_bytes })
}

/// How long the body is that has to be read.
fn body_of(head: &Head, route: &Route, limits: &Limits) -> Result<usize, Refused> {
    let may_lack = matches!(route, Route::DisconnectUser(_) | Route::DisconnectConnection(_));
    let len = match head.body {
        Body::None if may_lack => return Ok(0),
        Body::Length(len) => len,
        Body::None | Body::Chunked => {
            let message = "the body's length has to be told by Content-Length";
            return Err(Refused::new(StatusCode::LENGTH_REQUIRED, "length_required", message));
        }
    };
    if len > 0 && !is_json(&head.headers) {
        let message = "the body has to be application/json";
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message));
    }
    let most = match route {
        Route::Publish => PUBLISH_BYTES_MAX.max(limits.message.saturating_add(1 << 20)),
        _ => BODY_BYTES_MAX,
    };
    usize::try_from(len).ok().filter(|_| len <= most).ok_or_else(|| {
        let message = format!("the body has more than {most} bytes");
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    })
}

/// Whether the one Content-Type is JSON, parameters aside.
fn is_json(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::CONTENT_TYPE).iter();
    let field = fields.next().filter(|_| fields.next().is_none());
    let media = field.and_then(|field| field.as_bytes().split(|&byte| byte == b';').next());
    media.is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

impl Call {
    /// How long its body is, which has to be read before it is answered.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// Whether it changes nothing, so that its answer may be withheld.
    pub fn only_looks(&self) -> bool {
        !self.route.is_post()
    }

    /// The answer, within some seconds.
    pub async fn answer(&self, body: &[u8], shard: &Shard, limits: &Limits) -> Response {
        let answered = self.execute(body, limits).await;
        closed_to_caches(shard, answered.unwrap_or_else(|refused| refused.response()))
    }

    /// The answer to a call whose body cannot be read now, or whose answer cannot be kept, for what is held already.
    pub fn turn_away(&self, shard: &Shard) -> Response {
        shard.metrics().api_limited_total.add(1);
        let refused = Refused::busy("as many bytes of bodies and answers are held as may be: try again");
        closed_to_caches(shard, refused.response())
    }

    /// The answer to a call whose body did not come in time.
    pub fn too_late(&self, shard: &Shard) -> Response {
        let message = "the request's body took too long";
        let refused = Refused::new(StatusCode::REQUEST_TIMEOUT, "body_deadline", message);
        closed_to_caches(shard, refused.response())
    }

    async fn execute(&self, body: &[u8], limits: &Limits) -> Result<Response, Refused> {
        let Call { route, query, place, .. } = self;
        match route {
            Route::Publish => publish::publish(place, body, limits).await,
            Route::DisconnectUser(user) => {
                changes::disconnect(place, Who::User(user.as_str().into()), body).await
            }
            Route::DisconnectConnection(connection) => {
                changes::disconnect(place, Who::Connection(connection.clone()), body).await
            }
            Route::Join(room) => changes::join(place, room, body, limits).await,
            Route::Leave(room) => changes::leave(place, room, body, limits).await,
            Route::Rooms => lists::rooms(place, query).await,
            Route::Room(room) => {
                sent::check_room(room, limits)?;
                lists::room(place, room, query).await
            }
            Route::History(room) => {
                sent::check_room(room, limits)?;
                history::read(place, room, query).await
            }
            Route::Document => Ok(Response::json(StatusCode::OK, document::DOCUMENT)),
            Route::Users => lists::users(place, query).await,
            Route::Connections => lists::connections(place, query).await,
        }
    }
}

/// An answer of the API: what it says is true of this moment.
fn closed_to_caches(shard: &Shard, response: Response) -> Response {
    if response.status.is_client_error() || response.status.is_server_error() {
        shard.metrics().api_errors_total.add(1);
    }
    response.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    Response::json(status, serde_json::to_vec(body).expect("what is told is strings and numbers"))
}

fn operators_page(head: &Head, shard: &Shard, config: &Config) -> Response {
    match head.path.as_str() {
        "/healthz" => read_only(head, || Response::json(StatusCode::OK, r#"{"status":"alive"}"#)),
        "/readyz" => readiness(head, shard),
        "/metrics" => read_only(head, || {
            Response::with_body(StatusCode::OK, Text::CONTENT_TYPE, page::render(shard, config))
        }),
        _ => Response::json_error(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path"),
    }
}

/// Whether this node should be sent clients: not while it drains.
pub fn readiness(head: &Head, shard: &Shard) -> Response {
    read_only(head, || {
        let quota = &shard.node().quota;
        if quota.is_stopping() {
            return Response::json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"stopping"}"#);
        }
        // A full node turns clients away, but those it has are well served: that is for an alert to tell.
        let full = quota.connections() >= shard.limits().connections;
        let degraded = if full { r#""connections""# } else { "" };
        Response::json(StatusCode::OK, format!(r#"{{"status":"ready","degraded":[{degraded}]}}"#))
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    })
}

fn read_only(head: &Head, answer: impl FnOnce() -> Response) -> Response {
    if head.method == Method::GET || head.method == Method::HEAD {
        return answer();
    }
    Response::json_error(StatusCode::METHOD_NOT_ALLOWED, "method", "GET and HEAD are what this path knows")
        .with(header::ALLOW, HeaderValue::from_static("GET, HEAD"))
}

/// Bytes of a publication's body, unless one message may be as long.
const PUBLISH_BYTES_MAX: u64 = 8 << 20;
/// Bytes of every other body, which has a few names.
const BODY_BYTES_MAX: u64 = 64 << 10;

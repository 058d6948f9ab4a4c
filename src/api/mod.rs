//! What operators ask a node: is it alive, is it ready, what does it count.
//!
//! Answers requests that came by the admin listener; holds no socket and is never reachable on the
//! public one, save [`readiness`], where `server.health_path` says so.

mod page;
mod process;

use http::{HeaderValue, Method, StatusCode, header};

use crate::config::Config;
use crate::metrics::Text;
use crate::protocol::http::{Head, Response};
use crate::shard::Shard;

/// The answer to a request on the admin listener, which came to this shard.
pub fn answer(head: &Head, shard: &Shard, config: &Config) -> Response {
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

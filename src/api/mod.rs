//! What operators ask a node: is it alive, what does it count.
//!
//! Answers requests that came by the admin listener; holds no socket and is never reachable on the
//! public one.

use http::{HeaderValue, Method, StatusCode, header};

use crate::metrics;
use crate::protocol::http::{Head, Response};
use crate::shard::Node;

/// The answer to a request on the admin listener.
pub fn answer(head: &Head, node: &Node) -> Response {
    let known: fn(&Node) -> Response = match head.path.as_str() {
        "/healthz" => |_| Response::json(StatusCode::OK, r#"{"status":"alive"}"#),
        "/metrics" => |node| {
            let text = metrics::render(node.metrics.iter());
            Response::with_body(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
        },
        _ => {
            return Response::json_error(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path");
        }
    };
    if head.method == Method::GET || head.method == Method::HEAD {
        return known(node);
    }
    Response::json_error(StatusCode::METHOD_NOT_ALLOWED, "method", "GET and HEAD are what this path knows")
        .with(header::ALLOW, HeaderValue::from_static("GET, HEAD"))
}

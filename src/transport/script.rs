//! The JavaScript client, as every node serves it: a page needs nothing else to speak with the node that it came from.
//!
//! Anybody may have it, from any page. Serves what was built into the program, and never reads a file.

use std::sync::LazyLock;

use http::{HeaderValue, Method, StatusCode, header};

use crate::protocol::http::{Head, Response};

/// Where the client is.
pub(super) const PATH: &str = "/vestibule.js";

/// The answer to a request for the client.
pub(super) fn answer(head: &Head) -> Response {
    if head.method != Method::GET && head.method != Method::HEAD {
        let refused =
            Response::json_error(StatusCode::METHOD_NOT_ALLOWED, "method", "the client is had with GET");
        return refused.with(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let mut known = head.headers.get_all(header::IF_NONE_MATCH).iter();
    let response = if known.any(names_it) {
        Response::new(StatusCode::NOT_MODIFIED)
    } else {
        Response::with_body(StatusCode::OK, "text/javascript; charset=utf-8", SCRIPT)
    };
    response
        .with(header::ETAG, ETAG.clone())
        // Asked for each time, and sent once a version: a client is never older than its node.
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
        // A module of another origin is fetched by the rules of CORS.
        .with(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))
        .with(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
}

/// Whether an If-None-Match field has the client's tag among its own (RFC 9110, section 13.1.2). Of ours none has a
/// comma in it, and weak ones compare as strong ones do.
fn names_it(field: &HeaderValue) -> bool {
    let etag = ETAG.as_bytes();
    field.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii).any(|tag| {
        let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
        tag == b"*" || tag == etag
    })
}

/// A name of what is in the script: another one for another text.
static ETAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    // FNV-1a. Nobody gains by two texts with one name.
    let hash = SCRIPT.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    HeaderValue::try_from(format!("\"{hash:016x}\"")).expect("digits between quotes")
});

/// What `clients/js` is built to.
const SCRIPT: &str = include_str!("../../clients/js/dist/vestibule.js");

//! What a request is called in logs, and what of it may stand there.
//!
//! A name tells this run of the program, the shard, and the how manyeth request there: unique without
//! asking anybody. What a client calls its request is not trusted, and a query is never shown.

use std::cell::Cell;
use std::fmt;

use http::Method;

/// Names the requests of one shard.
pub struct Requests {
    prefix: Box<str>,
    last: Cell<u64>,
}

/// A request's number at its shard; 0 is none.
pub(super) type Number = u64;

impl Requests {
    /// For a shard in a run of the program, which has drawn `run`.
    pub fn new(run: u64, shard: usize) -> Requests {
        Requests { prefix: format!("{:012x}-{shard}-", run >> 16).into(), last: Cell::new(0) }
    }

    /// The next request.
    pub(super) fn next(&self) -> Number {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// The name of a request of this shard.
    pub(super) fn name(&self, number: Number) -> Name<'_> {
        Name { prefix: &self.prefix, number }
    }
}

/// A request's name, as it stands in logs and in `X-Request-Id`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    prefix: &'a str,
    number: Number,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix, self.number)
    }
}

/// A path as it may stand in a log: without what could be a token that came to the wrong place, which is
/// any part that is long or has signs that names do not have.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.split('/').enumerate() {
            if at > 0 {
                f.write_str("/")?;
            }
            if at > PARTS_MAX {
                return f.write_str("…");
            }
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            let fine = part.len() <= PART_BYTES_MAX && part.bytes().all(plain);
            f.write_str(if fine { part } else { "…" })?;
        }
        Ok(())
    }
}

/// A method as it may stand in a log: any token of HTTP can be sent as one.
pub(super) fn shown_method(method: &Method) -> &str {
    let text = method.as_str();
    let fine = text.len() <= METHOD_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if fine { text } else { "…" }
}

/// As long as OPTIONS and CONNECT.
const METHOD_BYTES_MAX: usize = 7;
/// Parts of a path that are shown, and how long each may be: a signature of HS256 alone has 43 bytes.
const PARTS_MAX: usize = 8;
const PART_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_a_name_of_its_own() {
        let (one, other) = (Requests::new(0x0123_4567_89ab_cdef, 0), Requests::new(0x0123_4567_89ab_cdef, 1));
        let named = |requests: &Requests| requests.name(requests.next()).to_string();
        assert_eq!(named(&one), "0123456789ab-0-1");
        assert_eq!(named(&one), "0123456789ab-0-2");
        assert_eq!(named(&other), "0123456789ab-1-1");
    }

    #[test]
    fn a_method_is_shown_if_it_is_one_of_https() {
        for (method, shown) in
            [("GET", "GET"), ("OPTIONS", "OPTIONS"), ("eyJh.eyJ.x", "…"), ("PROPFIND", "…")]
        {
            assert_eq!(shown_method(&Method::from_bytes(method.as_bytes()).unwrap()), shown);
        }
    }

    #[test]
    fn a_path_is_shown_without_what_could_be_a_token() {
        for (path, shown) in [
            ("/ws", "/ws"),
            ("/", "/"),
            ("/api/rooms/r1/history", "/api/rooms/r1/history"),
            ("/ws/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "/ws/…"),
            ("/ws;token=abc/x", "/…/x"),
            ("/ws%3Ftoken%3Dabc", "/…"),
            ("/1/2/3/4/5/6/7/8/9/10", "/1/2/3/4/5/6/7/8/…"),
            ("/a\u{1b}[31m", "/…"),
        ] {
            assert_eq!(Shown(path).to_string(), shown);
        }
    }
}

//! One call: its head, its signature (Standard Webhooks 1.0, symmetric), and the way to the application.
//!
//! Knows the key and shows it to nobody. What is in the body, and what the answer means, are others' to say.

use std::rc::Rc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::{Method, StatusCode};

use crate::backend::{Backend, Boards, Failed, Outgoing, Station};
use crate::config;

/// What the calls of one configuration have in common.
pub(super) struct Caller {
    backend: Rc<Backend>,
    key: hmac::Key,
    /// The head of each call, as far as all have the same.
    head: Box<str>,
}

impl Caller {
    pub(super) fn new(hooks: &config::Hooks, boards: &Boards, station: &Rc<Station>) -> Caller {
        let config::Hooks { authority, target, secret, timeout, .. } = hooks;
        let backend = config::Backend {
            // No backend of the configuration can be called so.
            name: String::new(),
            servers: vec![authority.clone()],
            connect_timeout: CONNECT_TIMEOUT.min(*timeout),
            // Who calls gives up before that.
            answer_timeout: GIVEN_UP_AFTER,
            idle_timeout: GIVEN_UP_AFTER,
            tunnel_timeout: GIVEN_UP_AFTER,
            keep_alive: KEEP_ALIVE,
            health: config::Health { path: None, interval: GIVEN_UP_AFTER, timeout: GIVEN_UP_AFTER },
        };
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: vestibule/{}\r\n\
             Accept: application/json\r\nContent-Type: application/json\r\n",
            env!("CARGO_PKG_VERSION")
        );
        Caller {
            backend: Backend::new(&backend, boards, station),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            head: head.into(),
        }
    }

    /// Calls with the event `id`, which others may have called with before, and has the answer. May be dropped.
    ///
    /// # Errors
    /// There is no answer, or it has more than `answer_max` bytes.
    pub(super) async fn call(
        &self,
        id: &str,
        body: &Bytes,
        unix_s: u64,
        answer_max: usize,
    ) -> Result<(StatusCode, Bytes), Failed> {
        let first = self.request(id, body, unix_s);
        // It is sent as a POST; to be sent twice, where a connection ended under it, means no more than once, for the
        // application knows it by its name.
        let outgoing = Outgoing { method: Method::PUT, first, whole: true, upgrade: false };
        self.backend.fetch(outgoing, answer_max).await
    }

    fn request(&self, id: &str, body: &Bytes, unix_s: u64) -> Bytes {
        let signature = sign(&self.key, id, unix_s, body);
        let own = format!(
            "webhook-id: {id}\r\nwebhook-timestamp: {unix_s}\r\nwebhook-signature: v1,{signature}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut out = BytesMut::with_capacity(self.head.len() + own.len() + body.len());
        for part in [self.head.as_bytes(), own.as_bytes(), body] {
            out.put_slice(part);
        }
        out.freeze()
    }
}

fn sign(key: &hmac::Key, id: &str, unix_s: u64, body: &[u8]) -> String {
    let mut signing = hmac::Context::with_key(key);
    for part in [id.as_bytes(), b".", unix_s.to_string().as_bytes(), b".", body] {
        signing.update(part);
    }
    STANDARD.encode(signing.sign())
}

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longer than anybody waits here.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);
/// Node closes an idle connection after five seconds, and others are slower.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Authority, Config, HookEvent, Secret};

    /// The library of PyPI, 1.1.0, signed the same id, time and body with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, and
    /// what came of it stands here.
    #[test]
    fn a_call_is_signed_as_the_published_library_signs_it() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let hooks = config::Hooks {
            authority: Authority::parse("app:3000", None).expect("an authority"),
            target: "/hooks?a".to_owned(),
            secret: Secret::new(&secret),
            events: vec![HookEvent::Leave],
            timeout: Duration::from_secs(2),
            headers: vec![],
            concurrency: 1,
            state: 64,
            retry_for: Duration::from_secs(1),
        };
        let boards = Boards::new(&Config::default(), None);
        let caller = Caller::new(&hooks, &boards, &Station::new(Default::default()));
        let body = r#"{"type":"leave","timestamp":"1994-11-06T08:49:37Z","data":{"request":"r1","transport":"sse","room":"café"}}"#;
        let request = caller.request("leave_r1_7", &Bytes::from_static(body.as_bytes()), 784_111_777);
        let expected = format!(
            "POST /hooks?a HTTP/1.1\r\nHost: app:3000\r\nUser-Agent: vestibule/{}\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nwebhook-id: leave_r1_7\r\nwebhook-timestamp: 784111777\r\n\
             webhook-signature: v1,qAWRntpOqaIZhsh4WDq+HCX2P66AIzV4RzT1IwSJGdA=\r\nContent-Length: 108\r\n\r\n{body}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(str::from_utf8(&request), Ok(&*expected));
    }
}

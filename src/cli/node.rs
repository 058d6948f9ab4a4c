//! A node's HTTP API, as the command line asks it: one request after the other, each answered or explained.
//!
//! Plain HTTP to the admin listener. Follows no redirect and uses no proxy, for the key must reach nobody else.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use ureq::Agent;

use super::Failure;

/// A request to the API.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// With the query.
    pub(super) path: String,
    /// JSON.
    pub(super) body: Option<String>,
}

impl Request {
    pub(super) fn get(path: impl Into<String>) -> Request {
        Request { method: Method::GET, path: path.into(), body: None }
    }

    pub(super) fn post(path: impl Into<String>, body: Option<String>) -> Request {
        Request { method: Method::POST, path: path.into(), body }
    }
}

/// Whoever answers requests.
pub(super) trait Node {
    /// The body of the answer 200; anything else is a failure.
    fn ask(&mut self, request: Request) -> Result<String, Failure>;
}

/// A node behind an address.
pub(super) struct Remote {
    agent: Agent,
    url: String,
    authorization: String,
}

impl Remote {
    pub(super) fn new(url: &str, key: &str) -> Remote {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .user_agent(concat!("vestibule/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_WITHIN))
            .timeout_global(Some(ANSWER_WITHIN))
            .build()
            .new_agent();
        Remote { agent, url: url.to_owned(), authorization: format!("Bearer {key}") }
    }

    fn exchange(&self, request: Request) -> Result<(StatusCode, String), ureq::Error> {
        let url = format!("{}{}", self.url, request.path);
        let mut answer = match (request.method == Method::POST, request.body) {
            (true, Some(body)) => self
                .agent
                .post(url)
                .header("Authorization", &self.authorization)
                .header("Content-Type", "application/json")
                .send(body)?,
            (true, None) => self.agent.post(url).header("Authorization", &self.authorization).send_empty()?,
            (false, _) => self.agent.get(url).header("Authorization", &self.authorization).call()?,
        };
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
        Ok((status, body))
    }
}

impl Node for Remote {
    fn ask(&mut self, request: Request) -> Result<String, Failure> {
        let (status, body) = self
            .exchange(request)
            .map_err(|error| Failure::Command(format!("no answer from {}: {}", self.url, cause(error))))?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let said = refusal(&body).unwrap_or_else(|| NOT_OURS.to_owned());
        Err(Failure::Command(format!("{} refuses ({}): {said}", self.url, status.as_u16())))
    }
}

/// What went wrong on the way, in the kernel's words where it was the kernel.
fn cause(error: ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// What a refusal says, in one line; `None` if it is none of the API's.
pub(super) fn refusal(body: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: Told,
    }
    #[derive(Deserialize)]
    struct Told {
        code: String,
        message: String,
        line: Option<u64>,
        column: Option<u64>,
    }
    let Told { code, message, line, column } = serde_json::from_str::<Refusal>(body).ok()?.error;
    let place = match (line, column) {
        (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
        _ => String::new(),
    };
    Some(format!("{code}: {message}{place}").replace(char::is_control, " "))
}

/// A name as one segment of a path, or as a value in a query. A dot is escaped too: `.` and `..` are names as
/// any other.
pub(super) fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// An answer that is not as the API has it: another program listens there, or another version.
pub(super) fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::Command(format!("the answer is none of this API's: {error}"))
}

const NOT_OURS: &str = "the answer is none of this API's: is it the admin listener?";
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Bytes of one answer: more than any page has, unless a configuration allows messages as long.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Answers what it was told to, and remembers what it was asked.
    pub(in crate::cli) struct Script {
        answers: VecDeque<&'static str>,
        pub(in crate::cli) asked: Vec<Request>,
    }

    impl Script {
        pub(in crate::cli) fn of(answers: &[&'static str]) -> Script {
            Script { answers: answers.iter().copied().collect(), asked: Vec::new() }
        }
    }

    impl Node for Script {
        fn ask(&mut self, request: Request) -> Result<String, Failure> {
            self.asked.push(request);
            Ok(self.answers.pop_front().expect("one request too many").to_owned())
        }
    }

    #[test]
    fn a_refusal_is_told_in_one_line() {
        let told = refusal(r#"{"error":{"code":"bad_json","message":"a\nb","line":2,"column":7}}"#);
        assert_eq!(told.as_deref(), Some("bad_json: a b (line 2, column 7)"));
        let told = refusal(r#"{"error":{"code":"no_history","message":"none is kept"}}"#);
        assert_eq!(told.as_deref(), Some("no_history: none is kept"));
        for other in ["", "<html>", "{}", r#"{"error":"x"}"#] {
            assert_eq!(refusal(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_is_one_segment_whatever_it_holds() {
        assert_eq!(encoded("chat:a/b?c#d e"), "chat%3Aa%2Fb%3Fc%23d%20e");
        assert_eq!(encoded("grün"), "gr%C3%BCn");
        assert_eq!(encoded(".."), "%2E%2E");
        assert_eq!(encoded("a-b_c~1"), "a-b_c~1");
    }
}

//! A client of the API: one connection to the operators' listener, and calls with the tests' key.

use super::{Response, Server, Socket};
use serde_json::Value;

/// A connection that calls.
pub(crate) struct Api {
    pub(crate) socket: Socket,
}

impl Api {
    /// The key that every test's server takes.
    pub(crate) const KEY: &'static str = "integration";

    pub(crate) fn of(server: &Server) -> Self {
        Self { socket: Socket::connect(server.admin) }
    }

    /// One call, with a body or without; its answer, and that it bears what all of them bear.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: Option<&str>) -> Response {
        self.socket.send(request(method, path, body).as_bytes());
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> Response {
        let response = self.socket.response().expect("the API answers");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
        assert_eq!(response.header("content-type"), Some("application/json"), "{response:?}");
        response
    }

    /// Reads something that is there.
    pub(crate) fn get(&mut self, path: &str) -> Value {
        done(&self.call("GET", path, None))
    }

    /// Has something done.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Value {
        done(&self.call("POST", path, Some(body)))
    }

    /// Asks what must be refused: status and error.
    pub(crate) fn refused(&mut self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        refusal(&self.call(method, path, body))
    }

    /// All that a list holds under `key`, page by page.
    pub(crate) fn pages(
        &mut self,
        path: &str,
        key: &str,
        limit: usize,
        mut meanwhile: impl FnMut(),
    ) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{sign}limit={limit}{after}"));
            let items = page[key].as_array().unwrap_or_else(|| panic!("{key} in {page}"));
            assert!(items.len() <= limit, "{} of {limit}", items.len());
            all.extend(items.iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return all,
            }
            meanwhile();
        }
    }
}

/// A request with the tests' key.
pub(crate) fn request(method: &str, path: &str, body: Option<&str>) -> String {
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: vestibule.test\r\nAuthorization: Bearer {}\r\n", Api::KEY);
    match body {
        None => format!("{head}\r\n"),
        Some(body) => {
            format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        }
    }
}

/// What a call that was done says.
pub(crate) fn done(response: &Response) -> Value {
    let value = json(response);
    assert_eq!(response.status, 200, "{value}");
    value
}

/// Status and error of a call that was refused.
pub(crate) fn refusal(response: &Response) -> (u16, Value) {
    let error = json(response)["error"].clone();
    assert!(error["code"].is_string() && error["message"].is_string(), "{response:?}");
    (response.status, error)
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}"))
}

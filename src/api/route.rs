//! What a request to the API asks for: its path, method and query, as one value.
//!
//! A path is taken apart first and each part decoded then, once: a name may have any character. Reads no body and asks
//! nobody.

use std::borrow::Cow;

use http::Method;

use super::refused::Refused;
use crate::hub::ConnectionId;
use crate::protocol::http::{percent_decode, percent_decode_form};

/// An endpoint, with the names in its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Publish,
    DisconnectUser(String),
    DisconnectConnection(String),
    Join(String),
    Leave(String),
    Rooms,
    Room(String),
    History(String),
    Users,
    Connections,
    Document,
}

impl Route {
    /// The route of a path below `/api/`, if there is one.
    pub(super) fn of(path: &str) -> Result<Option<Route>, Refused> {
        let parts =
            path.split('/').map(|part| percent_decode(part).map(Cow::into_owned).ok_or_else(bad_path));
        let mut parts = parts.take(PARTS_MAX + 1).collect::<Result<Vec<String>, Refused>>()?;
        let names: Vec<&str> = parts.iter().map(String::as_str).collect();
        let make = match names[..] {
            ["publish"] => |_| Route::Publish,
            ["users", _, "disconnect"] => Route::DisconnectUser,
            ["connections", _, "disconnect"] => Route::DisconnectConnection,
            ["rooms", _, "join"] => Route::Join,
            ["rooms", _, "leave"] => Route::Leave,
            ["rooms"] => |_| Route::Rooms,
            ["rooms", _] => Route::Room,
            ["rooms", _, "history"] => Route::History,
            ["users"] => |_| Route::Users,
            ["connections"] => |_| Route::Connections,
            ["openapi.json"] => |_| Route::Document,
            _ => return Ok(None),
        };
        let name = if parts.len() > 1 { parts.swap_remove(1) } else { String::new() };
        Ok(Some(make(name)))
    }

    /// Whether it takes a POST; the others are there to be read.
    pub(super) fn is_post(&self) -> bool {
        matches!(
            self,
            Route::Publish
                | Route::DisconnectUser(_)
                | Route::DisconnectConnection(_)
                | Route::Join(_)
                | Route::Leave(_)
        )
    }

    pub(super) fn check_method(&self, method: &Method) -> Result<(), Refused> {
        match (self.is_post(), method) {
            (true, &Method::POST) | (false, &Method::GET | &Method::HEAD) => Ok(()),
            (true, _) => Err(Refused::method("POST")),
            (false, _) => Err(Refused::method("GET, HEAD")),
        }
    }

    /// What its query may say.
    pub(super) fn parameters(&self) -> &'static [&'static str] {
        match self {
            Route::Rooms | Route::Room(_) | Route::Users => &["after", "limit"],
            Route::Connections => &["after", "limit", "user"],
            Route::History(_) => &["since", "limit"],
            _ => &[],
        }
    }
}

/// What a query says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// Only what comes behind this name.
    pub(super) after: Option<String>,
    pub(super) limit: usize,
    pub(super) user: Option<String>,
    pub(super) since: Option<String>,
}

impl Query {
    /// Reads the query of a request to `route`: what means nothing there is refused, and so is what stands twice.
    pub(super) fn of(query: Option<&str>, route: &Route) -> Result<Query, Refused> {
        let mut read = Query { after: None, limit: LIMIT, user: None, since: None };
        let mut seen = Vec::new();
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for pair in pairs.take(PAIRS_MAX) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let bad = || Refused::bad_request("the query is not percent-encoded UTF-8");
            let decode = |text| percent_decode_form(text).map(Cow::into_owned).ok_or_else(bad);
            let (name, value) = (decode(name)?, decode(value)?);
            let known = route.parameters().iter().find(|known| **known == name);
            let Some(known) = known.filter(|known| !seen.contains(known)) else {
                return Err(Refused::bad_request(
                    "the query says something that means nothing here, or twice",
                ));
            };
            seen.push(known);
            match *known {
                "after" => read.after = Some(value),
                "user" => read.user = Some(value),
                "since" => read.since = Some(value),
                _ => read.limit = limit_of(&value)?,
            }
        }
        Ok(read)
    }

    /// The connection behind which the page begins.
    pub(super) fn after_connection(&self) -> Result<Option<ConnectionId>, Refused> {
        let parse = |name: &String| {
            ConnectionId::parse(name)
                .ok_or_else(|| Refused::bad_request("after has to be the name of a connection"))
        };
        self.after.as_ref().map(parse).transpose()
    }
}

fn limit_of(value: &str) -> Result<usize, Refused> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let limit = value.parse().ok().filter(|limit| digits && (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Refused::bad_request("limit has to be a number from 1 to 1000"))
}

fn bad_path() -> Refused {
    Refused::bad_request("the path is not percent-encoded UTF-8")
}

/// What a page holds at most.
const LIMIT_MAX: usize = 1000;
/// What a page holds unless the query says otherwise.
const LIMIT: usize = 100;
/// Parts of the longest path.
const PARTS_MAX: usize = 3;
/// Pairs of a query that are looked at: more than mean anything.
const PAIRS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Option<Route> {
        Route::of(path).expect("a path in due form")
    }

    #[test]
    fn every_endpoint_has_its_path() {
        let name = || "a b/c".to_owned();
        for (path, expected) in [
            ("publish", Route::Publish),
            ("users/a%20b%2fc/disconnect", Route::DisconnectUser(name())),
            ("connections/a%20b%2Fc/disconnect", Route::DisconnectConnection(name())),
            ("rooms/a%20b%2Fc/join", Route::Join(name())),
            ("rooms/a%20b%2Fc/leave", Route::Leave(name())),
            ("rooms/a%20b%2Fc", Route::Room(name())),
            ("rooms/a%20b%2Fc/history", Route::History(name())),
            ("rooms", Route::Rooms),
            ("users", Route::Users),
            ("connections", Route::Connections),
            ("openapi.json", Route::Document),
            ("rooms/", Route::Room(String::new())),
            ("%72ooms", Route::Rooms),
        ] {
            assert_eq!(route(path), Some(expected), "{path}");
        }
        for path in
            ["", "publish/", "Publish", "rooms/a/b", "rooms/a/join/", "rooms%2Fa", "users/a", "a/b/c/d/e/f"]
        {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn a_name_is_decoded_once_and_a_bad_escape_is_refused() {
        assert_eq!(route("rooms/%2541"), Some(Route::Room("%41".into())));
        assert_eq!(route("rooms/a+b"), Some(Route::Room("a+b".into())));
        assert_eq!(route("rooms/%C3%A9"), Some(Route::Room("\u{e9}".into())));
        for bad in ["rooms/%", "rooms/%4", "rooms/%4g", "rooms/%+1", "rooms/%ff", "rooms/%C3"] {
            assert_eq!(Route::of(bad).expect_err(bad).status, 400, "{bad}");
        }
    }

    #[test]
    fn a_query_says_what_its_endpoint_knows_once() {
        let of = |query: &str, route: &Route| Query::of(Some(query), route);
        let read = of("after=a+b%2B&limit=1000&user=x%3D", &Route::Connections).expect("in due form");
        assert_eq!(
            read,
            Query { after: Some("a b+".into()), limit: 1000, user: Some("x=".into()), since: None }
        );
        assert_eq!(Query::of(None, &Route::Rooms).expect("nothing").limit, 100);
        for bad in [
            "limit=0",
            "limit=1001",
            "limit=",
            "limit=-1",
            "limit=+1",
            "limit=1&limit=1",
            "user=a",
            "x",
            "after=%",
        ] {
            assert!(of(bad, &Route::Rooms).is_err(), "{bad}");
        }
        assert!(of("limit=1", &Route::Publish).is_err());
        let after = |text: &str| {
            of(&format!("after={text}"), &Route::Connections).and_then(|it| it.after_connection())
        };
        assert!(after("00000000000100000001").is_ok_and(|id| id.is_some()) && after("x").is_err());
    }
}

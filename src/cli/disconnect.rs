//! `vestibule disconnect`: closes a user's connections, or one.

use std::io::Write;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::errand::Reach;
use super::node::{Node, Request, encoded, unreadable};
use super::table::{counted, json_line, line};
use super::{Failure, name};

/// `vestibule disconnect`.
#[derive(Debug, Clone, Args)]
pub struct Disconnect {
    #[command(flatten)]
    pub(super) reach: Reach,
    #[command(flatten)]
    whom: Whom,
    /// The close code: 1000, 1001, 1008, 1011, 1013, or 4000 to 4999; without one 4003, on which clients stay away
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Option<u16>,
    /// What the clients are told, at most 123 bytes
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
}

#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// All connections of this user
    #[arg(long, value_name = "NAME", value_parser = name)]
    user: Option<String>,
    /// This connection, by its name
    #[arg(long, value_name = "NAME", value_parser = name)]
    connection: Option<String>,
}

#[derive(Serialize)]
struct Goodbye<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Deserialize)]
struct Disconnected {
    disconnected: u64,
}

impl Disconnect {
    pub(super) fn run(&self, node: &mut dyn Node, out: &mut dyn Write) -> Result<(), Failure> {
        let Whom { user, connection } = &self.whom;
        let (kind, name) = match (user, connection) {
            (Some(user), _) => ("users", user),
            (None, Some(connection)) => ("connections", connection),
            (None, None) => return Err(Failure::Command("whom? --user or --connection".to_owned())),
        };
        let goodbye = Goodbye { code: self.code, reason: self.reason.as_deref() };
        let body = serde_json::to_string(&goodbye).expect("a number and a text are JSON");
        let answer =
            node.ask(Request::post(format!("/api/{kind}/{}/disconnect", encoded(name)), Some(body)))?;
        if self.reach.json {
            return json_line(out, &answer);
        }
        let answer: Disconnected = serde_json::from_str(&answer).map_err(|error| unreadable(&error))?;
        line(out, &format!("{} closed", counted(answer.disconnected, "connection")))
    }
}

fn code(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(code @ (1000 | 1001 | 1008 | 1011 | 1013 | 4000..=4999)) => Ok(code),
        _ => Err("1000, 1001, 1008, 1011, 1013, or 4000 to 4999".to_owned()),
    }
}

fn reason(text: &str) -> Result<String, String> {
    if text.len() > REASON_BYTES_MAX {
        return Err(format!("{} bytes, {REASON_BYTES_MAX} at most", text.len()));
    }
    Ok(text.to_owned())
}

/// What a WebSocket's close frame has room for beside the code (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::super::node::tests::Script;
    use super::super::tests::{ran, task};
    use super::*;

    fn told(line: &[&str], answer: &'static str) -> (Request, String) {
        let mut node = Script::of(&[answer]);
        let Task::Disconnect(disconnect) = task(line) else { panic!("{line:?} disconnects nobody") };
        let mut out = Vec::new();
        disconnect.run(&mut node, &mut out).expect("told");
        (node.asked.remove(0), String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_user_or_a_connection_is_named_in_the_path() {
        let (request, said) = told(&["disconnect", "--user", "a/b"], r#"{"disconnected":2}"#);
        assert_eq!(request, Request::post("/api/users/a%2Fb/disconnect", Some("{}".to_owned())));
        assert_eq!(said, "2 connections closed\n");
        let line = ["disconnect", "--connection", "c1", "--code", "4100", "--reason", "spam", "--json"];
        let (request, said) = told(&line, r#"{"disconnected":1}"#);
        let body = r#"{"code":4100,"reason":"spam"}"#.to_owned();
        assert_eq!(request, Request::post("/api/connections/c1/disconnect", Some(body)));
        assert_eq!(said, "{\"disconnected\":1}\n");
    }

    #[test]
    fn one_of_the_two_and_a_code_that_may_be_sent() {
        let long = "r".repeat(124);
        for line in [
            &["disconnect"][..],
            &["disconnect", "--user", "a", "--connection", "c"],
            &["disconnect", "--user", "a", "--code", "1005"],
            &["disconnect", "--user", "a", "--code", "5000"],
            &["disconnect", "--user", "a", "--reason", &long],
            &["disconnect", "--user", ""],
        ] {
            assert_eq!(ran(line), Err(2), "{line:?}");
        }
    }
}

//! `vestibule connections`: who is connected, how, and in which rooms.

use std::io::Write;

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::errand::Reach;
use super::node::{Node, Request, encoded, unreadable};
use super::rooms::page;
use super::table::{Table, json_line};
use super::{Failure, name};

/// `vestibule connections`.
#[derive(Debug, Clone, Args)]
pub struct Connections {
    #[command(flatten)]
    pub(super) reach: Reach,
    /// Only those of this user
    #[arg(long, value_name = "NAME", value_parser = name)]
    user: Option<String>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    connections: Vec<&'a RawValue>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Connection {
    connection: String,
    user: String,
    transport: String,
    rooms: Vec<String>,
}

impl Connections {
    pub(super) fn run(&self, node: &mut dyn Node, out: &mut dyn Write) -> Result<(), Failure> {
        let user = self.user.as_ref().map(|user| format!("?user={}", encoded(user))).unwrap_or_default();
        let path = format!("/api/connections{user}");
        let mut table = Table::new(["CONNECTION", "USER", "TRANSPORT", "ROOMS"]);
        let mut after = None;
        loop {
            let answer = node.ask(Request::get(page(&path, after.as_deref())))?;
            let Page { connections, next } =
                serde_json::from_str(&answer).map_err(|error| unreadable(&error))?;
            for connection in connections {
                if self.reach.json {
                    json_line(out, connection.get())?;
                } else {
                    let told = serde_json::from_str(connection.get()).map_err(|error| unreadable(&error))?;
                    table.row(row(told));
                }
            }
            after = next;
            if after.is_none() {
                return if self.reach.json { Ok(()) } else { table.write(out) };
            }
        }
    }
}

fn row(told: Connection) -> [String; 4] {
    let mut rooms = told.rooms.iter().take(ROOMS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if told.rooms.len() > ROOMS_SHOWN {
        rooms.push_str(", ...");
    }
    [told.connection, told.user, told.transport, rooms]
}

/// Rooms named for people: more make no table.
const ROOMS_SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::super::node::tests::Script;
    use super::super::tests::task;

    fn told(line: &[&str], answers: &[&'static str]) -> (Vec<String>, String) {
        let mut node = Script::of(answers);
        let Task::Connections(connections) = task(line) else { panic!("{line:?} asks for none") };
        let mut out = Vec::new();
        connections.run(&mut node, &mut out).expect("told");
        let asked = node.asked.into_iter().map(|request| request.path).collect();
        (asked, String::from_utf8(out).expect("text"))
    }

    const PAGES: [&str; 2] = [
        r#"{"connections":[{"connection":"c1","user":"ada","transport":"websocket","rooms":["a","b"]}],"next":"c1"}"#,
        r#"{"connections":[{"connection":"c2","user":"ada","transport":"sse","rooms":["1","2","3","4","5","6"]}],"next":null}"#,
    ];

    #[test]
    fn all_pages_are_one_table() {
        let (asked, said) = told(&["connections", "--user", "a&b"], &PAGES);
        assert_eq!(
            asked,
            ["/api/connections?user=a%26b&limit=1000", "/api/connections?user=a%26b&limit=1000&after=c1"]
        );
        assert_eq!(
            said,
            "CONNECTION  USER  TRANSPORT  ROOMS\nc1          ada   websocket  a, b\n\
             c2          ada   sse        1, 2, 3, 4, 5, ...\n"
        );
    }

    #[test]
    fn for_machines_each_is_a_line_with_all_its_rooms() {
        let (asked, said) = told(&["connections", "--json"], &PAGES);
        assert_eq!(asked[0], "/api/connections?limit=1000");
        assert_eq!(said.lines().count(), 2);
        assert!(said.contains(r#""rooms":["1","2","3","4","5","6"]"#), "{said}");
    }
}

//! `vestibule rooms`: the rooms that have members, the members of one, or what one still holds.

use std::io::Write;

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::errand::Reach;
use super::node::{Node, Request, encoded, unreadable};
use super::table::{Table, counted, json_line, line};
use super::{Failure, name};

/// `vestibule rooms`.
#[derive(Debug, Clone, Args)]
pub struct Rooms {
    #[command(flatten)]
    pub(super) reach: Reach,
    /// A room, to list its members; without one, all rooms that have some
    #[arg(value_name = "ROOM", value_parser = name)]
    room: Option<String>,
    /// List what the room still holds, instead of its members
    #[arg(long, requires = "room")]
    history: bool,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    rooms: Vec<&'a RawValue>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Room {
    room: String,
    members: u64,
}

#[derive(Deserialize)]
struct Members {
    room: String,
    members: u64,
    position: Option<String>,
    connections: Vec<Member>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Member {
    connection: String,
    user: String,
}

#[derive(Deserialize)]
struct History<'a> {
    position: Option<String>,
    #[serde(borrow)]
    publications: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Publication<'a> {
    position: String,
    event: Option<String>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Rooms {
    pub(super) fn run(&self, node: &mut dyn Node, out: &mut dyn Write) -> Result<(), Failure> {
        match &self.room {
            None => self.list(node, out),
            Some(room) if self.history => self.tell_history(room, node, out),
            Some(room) => self.tell_members(room, node, out),
        }
    }

    fn list(&self, node: &mut dyn Node, out: &mut dyn Write) -> Result<(), Failure> {
        let mut table = Table::new(["ROOM", "MEMBERS"]);
        let mut after = None;
        loop {
            let answer = node.ask(Request::get(page("/api/rooms", after.as_deref())))?;
            let Page { rooms, next } = serde_json::from_str(&answer).map_err(|error| unreadable(&error))?;
            for room in rooms {
                if self.reach.json {
                    json_line(out, room.get())?;
                } else {
                    let Room { room, members } =
                        serde_json::from_str(room.get()).map_err(|error| unreadable(&error))?;
                    table.row([room, members.to_string()]);
                }
            }
            after = next;
            if after.is_none() {
                return if self.reach.json { Ok(()) } else { table.write(out) };
            }
        }
    }

    fn tell_members(&self, room: &str, node: &mut dyn Node, out: &mut dyn Write) -> Result<(), Failure> {
        let path = format!("/api/rooms/{}", encoded(room));
        let mut table = Table::new(["CONNECTION", "USER"]);
        let mut after = None;
        loop {
            let answer = node.ask(Request::get(page(&path, after.as_deref())))?;
            let Members { room, members, position, connections, next } =
                serde_json::from_str(&answer).map_err(|error| unreadable(&error))?;
            if self.reach.json {
                json_line(out, &answer)?;
            } else if after.is_none() {
                let stands = position.map(|position| format!(", up to {position}")).unwrap_or_default();
                line(out, &format!("{room}: {}{stands}", counted(members, "member")))?;
            }
            connections.into_iter().for_each(|member| table.row([member.connection, member.user]));
            after = next;
            if after.is_none() {
                return if self.reach.json { Ok(()) } else { table.write(out) };
            }
        }
    }

    /// From the oldest to where the room stood when the last page was asked for.
    fn tell_history(&self, room: &str, node: &mut dyn Node, out: &mut dyn Write) -> Result<(), Failure> {
        let mut table = Table::new(["POSITION", "EVENT", "PAYLOAD"]);
        let mut since = "earliest".to_owned();
        loop {
            let path = format!("/api/rooms/{}/history?since={since}&limit={HISTORY_PAGE}", encoded(room));
            let answer = node.ask(Request::get(path))?;
            let History { position, publications } =
                serde_json::from_str(&answer).map_err(|error| unreadable(&error))?;
            let before = since.clone();
            for publication in publications {
                let told: Publication<'_> =
                    serde_json::from_str(publication.get()).map_err(|error| unreadable(&error))?;
                since.clone_from(&told.position);
                if self.reach.json {
                    json_line(out, publication.get())?;
                } else {
                    table.row([told.position, told.event.unwrap_or_default(), told.payload.get().to_owned()]);
                }
            }
            // An empty page ends it too: whatever the node says, it is not asked the same twice.
            if position.as_ref().is_none_or(|position| *position == since) || since == before {
                return if self.reach.json { Ok(()) } else { table.write(out) };
            }
        }
    }
}

/// The path of the page behind `after`.
pub(super) fn page(path: &str, after: Option<&str>) -> String {
    let parting = if path.contains('?') { '&' } else { '?' };
    let after = after.map(|after| format!("&after={}", encoded(after))).unwrap_or_default();
    format!("{path}{parting}limit={PAGE}{after}")
}

/// Items of a page: the most that the API gives.
const PAGE: usize = 1000;
/// Publications of a page: each may be as large as a message.
const HISTORY_PAGE: usize = 100;

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::super::node::tests::Script;
    use super::super::tests::{ran, task};

    fn told(line: &[&str], answers: &[&'static str]) -> (Vec<String>, String) {
        let mut node = Script::of(answers);
        let Task::Rooms(rooms) = task(line) else { panic!("{line:?} asks for no rooms") };
        let mut out = Vec::new();
        rooms.run(&mut node, &mut out).expect("told");
        let asked = node.asked.into_iter().map(|request| request.path).collect();
        (asked, String::from_utf8(out).expect("text"))
    }

    const PAGES: [&str; 2] = [
        r#"{"rooms":[{"room":"a","members":12},{"room":"b c","members":1}],"next":"b c"}"#,
        r#"{"rooms":[{"room":"chat:lobby","members":1}],"next":null}"#,
    ];

    #[test]
    fn all_pages_of_rooms_are_one_table() {
        let (asked, said) = told(&["rooms"], &PAGES);
        assert_eq!(asked, ["/api/rooms?limit=1000", "/api/rooms?limit=1000&after=b%20c"]);
        assert_eq!(said, "ROOM        MEMBERS\na           12\nb c         1\nchat:lobby  1\n");
    }

    #[test]
    fn for_machines_each_room_is_a_line_as_the_node_wrote_it() {
        let (_, said) = told(&["rooms", "--json"], &PAGES);
        assert_eq!(
            said,
            "{\"room\":\"a\",\"members\":12}\n{\"room\":\"b c\",\"members\":1}\n\
             {\"room\":\"chat:lobby\",\"members\":1}\n"
        );
    }

    #[test]
    fn a_room_is_told_with_its_members() {
        let pages = [
            r#"{"room":"a/b","members":2,"position":"0000000a-7","connections":[{"connection":"c1","user":"ada"}],"next":"c1"}"#,
            r#"{"room":"a/b","members":2,"position":"0000000a-8","connections":[{"connection":"c2","user":"bob"}],"next":null}"#,
        ];
        let (asked, said) = told(&["rooms", "a/b"], &pages);
        assert_eq!(asked, ["/api/rooms/a%2Fb?limit=1000", "/api/rooms/a%2Fb?limit=1000&after=c1"]);
        assert_eq!(
            said,
            "a/b: 2 members, up to 0000000a-7\nCONNECTION  USER\nc1          ada\nc2          bob\n"
        );
        let (_, said) = told(&["rooms", "a/b", "--json"], &pages);
        assert_eq!(said, format!("{}\n{}\n", pages[0], pages[1]));
    }

    #[test]
    fn a_history_is_read_on_from_its_last_publication() {
        let pages = [
            "{\"room\":\"r\",\"position\":\"0000000a-3\",\"recovered\":true,\"publications\":[\
             {\"position\":\"0000000a-1\",\"payload\":{\n\"a\":1.0}},\
             {\"position\":\"0000000a-2\",\"event\":\"e\",\"payload\":2}]}",
            r#"{"room":"r","position":"0000000a-3","publications":[{"position":"0000000a-3","payload":"x"}]}"#,
        ];
        let (asked, said) = told(&["rooms", "r", "--history"], &pages);
        assert_eq!(
            asked,
            [
                "/api/rooms/r/history?since=earliest&limit=100",
                "/api/rooms/r/history?since=0000000a-2&limit=100"
            ]
        );
        assert_eq!(
            said,
            "POSITION    EVENT  PAYLOAD\n0000000a-1         { \"a\":1.0}\n0000000a-2  e      2\n\
             0000000a-3         \"x\"\n"
        );
        let (_, said) = told(&["rooms", "r", "--history", "--json"], &pages);
        assert!(said.starts_with("{\"position\":\"0000000a-1\",\"payload\":{ \"a\":1.0}}\n"), "{said}");
        assert_eq!(said.lines().count(), 3);
    }

    #[test]
    fn a_history_that_does_not_move_is_not_asked_for_again() {
        let (asked, said) = told(
            &["rooms", "r", "--history"],
            &[r#"{"room":"r","position":"0000000a-3","recovered":false,"publications":[]}"#],
        );
        assert_eq!((asked.len(), said.as_str()), (1, "POSITION  EVENT  PAYLOAD\n"));
        let never_used = r#"{"room":"r","position":null,"recovered":false,"publications":[]}"#;
        let (asked, said) = told(&["rooms", "r", "--history"], &[never_used]);
        assert_eq!((asked.len(), said.as_str()), (1, "POSITION  EVENT  PAYLOAD\n"));
    }

    #[test]
    fn an_answer_that_is_none_is_a_failure() {
        let Task::Rooms(rooms) = task(&["rooms"]) else { panic!("no rooms") };
        let failure = rooms.run(&mut Script::of(&["<html>"]), &mut Vec::new()).expect_err("no answer");
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.to_string().contains("none of this API's"), "{failure}");
    }

    #[test]
    fn a_history_wants_a_room() {
        assert_eq!(ran(&["rooms", "--history"]), Err(2));
    }
}

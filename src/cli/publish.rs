//! `vestibule publish`: one publication into one room, as a backend would publish it.

use std::io::Read;
use std::io::Write;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::errand::Reach;
use super::node::{Node, Request, unreadable};
use super::table::{json_line, line};
use super::{Failure, name};

/// `vestibule publish`.
#[derive(Debug, Clone, Args)]
pub struct Publish {
    #[command(flatten)]
    pub(super) reach: Reach,
    /// The room
    #[arg(value_name = "ROOM", value_parser = name)]
    room: String,
    /// The payload, which reaches clients as it is written; - reads it from standard input
    #[arg(value_name = "JSON|-", default_value = "null", allow_negative_numbers = true, value_parser = payload)]
    payload: String,
    /// What happened
    #[arg(long, value_name = "NAME", value_parser = name)]
    event: Option<String>,
    /// Published once, however often it is sent with this id within two minutes
    #[arg(long, value_name = "ID", value_parser = name)]
    id: Option<String>,
    /// A user who does not get it; may stand several times
    #[arg(long, value_name = "NAME", value_parser = name)]
    except_user: Vec<String>,
}

#[derive(Serialize)]
struct Publication<'a> {
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    payload: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    except: Option<Except<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

#[derive(Serialize)]
struct Except<'a> {
    users: &'a [String],
}

impl Publish {
    pub(super) fn run(
        &self,
        node: &mut dyn Node,
        input: &mut dyn Read,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let payload = if self.payload == STANDARD_INPUT { read(input)? } else { self.payload.clone() };
        let payload = RawValue::from_string(payload)
            .map_err(|error| Failure::Command(format!("standard input is no JSON: {error}")))?;
        let publication = Publication {
            room: &self.room,
            event: self.event.as_deref(),
            payload: &payload,
            except: (!self.except_user.is_empty()).then_some(Except { users: &self.except_user }),
            id: self.id.as_deref(),
        };
        let body = serde_json::to_string(&publication).expect("texts and JSON are JSON");
        let answer = node.ask(Request::post("/api/publish", Some(body)))?;
        if self.reach.json {
            return json_line(out, &answer);
        }
        let answer: Published = serde_json::from_str(&answer).map_err(|error| unreadable(&error))?;
        match answer.position {
            Some(position) => line(out, &format!("published, up to {position}")),
            None => line(out, "published"),
        }
    }
}

#[derive(Deserialize)]
struct Published {
    position: Option<String>,
}

fn read(input: &mut dyn Read) -> Result<String, Failure> {
    let mut text = String::new();
    let read = input.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::Command(format!("standard input: {error}")))?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::Command("standard input: more than 1 GiB, which no node takes".to_owned()));
    }
    Ok(text)
}

fn payload(text: &str) -> Result<String, String> {
    if text == STANDARD_INPUT {
        return Ok(text.to_owned());
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err(format!("no JSON: {error}; a text needs quotes that the shell leaves, such as '\"hello\"'"))
        }
    }
}

const STANDARD_INPUT: &str = "-";
/// The most that limits.message can be.
const INPUT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::super::node::tests::Script;
    use super::super::tests::{ran, task};

    fn published(line: &[&str], input: &str, answer: &'static str) -> (String, String) {
        let mut node = Script::of(&[answer]);
        let Task::Publish(publish) = task(line) else { panic!("{line:?} does not publish") };
        let mut out = Vec::new();
        publish.run(&mut node, &mut input.as_bytes(), &mut out).expect("published");
        assert_eq!(node.asked.len(), 1);
        assert_eq!(node.asked[0].path, "/api/publish");
        (node.asked.remove(0).body.expect("a body"), String::from_utf8(out).expect("text"))
    }

    #[test]
    fn the_payload_goes_out_as_it_was_written() {
        let (body, said) =
            published(&["publish", "user:ada", r#"{ "b":1.0, "a":"\u00e9" }"#], "", r#"{"position":null}"#);
        assert_eq!(body, r#"{"room":"user:ada","payload":{ "b":1.0, "a":"\u00e9" }}"#);
        assert_eq!(said, "published\n");
    }

    #[test]
    fn every_flag_stands_in_the_publication() {
        let line =
            ["publish", "r", "1", "--event", "e", "--id", "i", "--except-user", "a", "--except-user", "b"];
        let (body, said) = published(&line, "", r#"{"position":"6f1d20a3-42"}"#);
        assert_eq!(body, r#"{"room":"r","event":"e","payload":1,"except":{"users":["a","b"]},"id":"i"}"#);
        assert_eq!(said, "published, up to 6f1d20a3-42\n");
    }

    #[test]
    fn a_hyphen_reads_standard_input_and_nothing_else_does() {
        let (body, _) = published(&["publish", "r", "-"], "[1,\n2]\n", r#"{"position":null}"#);
        assert!(body.contains("\"payload\":[1,\n2]"), "{body}");
        let (body, _) = published(&["publish", "r"], "[1]", r#"{"position":null}"#);
        assert!(body.contains("\"payload\":null"), "{body}");
    }

    #[test]
    fn for_machines_it_prints_the_answer() {
        let (_, said) = published(&["publish", "r", "1", "--json"], "", r#"{"position":"6f1d20a3-42"}"#);
        assert_eq!(said, "{\"position\":\"6f1d20a3-42\"}\n");
    }

    #[test]
    fn what_is_no_json_is_not_sent() {
        for input in ["", "{", "1 2", "hello"] {
            let mut node = Script::of(&[]);
            let Task::Publish(publish) = task(&["publish", "r", "-"]) else { panic!("no publish") };
            let failure = publish.run(&mut node, &mut input.as_bytes(), &mut Vec::new()).expect_err(input);
            assert_eq!(failure.exit_code(), 1, "{failure}");
        }
        for line in
            [["publish", "r", "hello"], ["publish", "r", "{"], ["publish", "", "1"], ["publish", "r", "1 2"]]
        {
            assert_eq!(ran(&line), Err(2), "{line:?}");
        }
    }
}

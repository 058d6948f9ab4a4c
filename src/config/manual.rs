//! The table, told to operators: the commented default file, and the tables of `docs/configuration.md`.
//!
//! Writes nothing that the table does not say.

use super::key::Key;
#[cfg(test)]
use super::key::REQUIRED;
use super::schema::{Keys, SECTIONS, Section};

/// The configuration file that holds every key at its default, with a comment on each. Complete but for the
/// secret that `auth.mode = "jwt"` needs.
pub fn default_file() -> String {
    let mut out = String::from(HEADING);
    for section in &SECTIONS {
        out.push('\n');
        comment(&mut out, section.help);
        let rows = rows(section);
        if section.example.is_empty() {
            out.push_str(&section.head());
            out.push('\n');
            for row in &rows {
                comment(&mut out, &row.meaning());
                out.push_str(&format!("{} = {}\n", row.name, row.default));
            }
        } else {
            for row in &rows {
                comment(&mut out, &format!("{}: {}", row.name, row.meaning()));
            }
            for line in section.example.lines() {
                out.push_str(format!("# {line}").trim_end());
                out.push('\n');
            }
        }
    }
    out
}

/// The keys of a section as a Markdown table; `None` if there is no such section. The page is written by hand
/// around these tables, and a test holds them against it.
#[cfg(test)]
pub(super) fn key_table(section: &str) -> Option<String> {
    let rows = rows(Section::of(section)?);
    let limits = rows.iter().any(|row| !row.past.is_empty());
    let (head, line) = if limits { (" At the limit |", " --- |") } else { ("", "") };
    let mut out = format!("| Key | Value | Default | Meaning |{head}\n| --- | --- | --- | --- |{line}\n");
    for row in &rows {
        let default = match row.default {
            REQUIRED => "required".to_owned(),
            default => format!("`{default}`"),
        };
        let past = if limits { format!(" {} |", cell(row.past)) } else { String::new() };
        let (allowed, help) = (cell(&row.allowed), cell(row.help));
        out.push_str(&format!("| `{}` | {allowed} | {default} | {help} |{past}\n", row.name));
    }
    Some(out)
}

/// A key without what it sets.
struct Row {
    name: &'static str,
    #[cfg(test)]
    allowed: String,
    default: &'static str,
    help: &'static str,
    past: &'static str,
}

impl Row {
    fn of<T>(key: &Key<T>) -> Self {
        let Key { name, default, help, past, .. } = *key;
        Self {
            name,
            #[cfg(test)]
            allowed: key.kind.allowed(),
            default,
            help,
            past,
        }
    }

    fn meaning(&self) -> String {
        match self.past {
            "" => self.help.to_owned(),
            past => format!("{} Beyond it: {past}", self.help),
        }
    }
}

fn rows(section: &Section) -> Vec<Row> {
    match section.keys {
        Keys::Table(keys) => keys.iter().map(Row::of).collect(),
        Keys::Listeners(keys) => keys.iter().map(Row::of).collect(),
        Keys::Rooms(keys) => keys.iter().map(Row::of).collect(),
        Keys::Backends(keys) => keys.iter().map(Row::of).collect(),
        Keys::Routes(keys) => keys.iter().map(Row::of).collect(),
    }
}

/// `text` as lines of a comment, broken at words.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > COMMENT_BYTES_MAX {
            out.push_str(&line);
            out.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

/// `text` within a Markdown table.
#[cfg(test)]
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*")
}

const HEADING: &str = "\
# Vestibule's configuration: every key, at its default.
#
# A size is a number and B, KiB, MiB or GiB; a duration is a number and ms, s, m or h.
# VESTIBULE_SECTION__KEY in the environment overrides a key, save in sections that may stand several
# times: VESTIBULE_LIMITS__LAG=2MiB. A list is written as here: VESTIBULE_ADMIN__KEYS='[\"...\"]'.
# Unknown keys are refused; vestibule check FILE says all that is wrong with a file.
";
const COMMENT_BYTES_MAX: usize = 100;

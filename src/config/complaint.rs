//! Complaints: what is wrong with a configuration, where, and what would be right.
//!
//! Words only. A complaint is handed what it may show, so that a secret's value never gets here.

use std::fmt;

/// Everything that is wrong with a configuration. `Display` writes a line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaints {
    file: Option<String>,
    pub(super) list: Vec<Complaint>,
}

impl Complaints {
    pub(super) fn new(file: Option<String>, mut list: Vec<Complaint>) -> Self {
        list.sort_by(|a, b| a.place.cmp(&b.place));
        Self { file, list }
    }

    /// One complaint about a file as a whole.
    pub(super) fn of_file(file: String, text: String) -> Self {
        Self { file: Some(file), list: vec![Complaint { place: Place::File, text }] }
    }

    /// One complaint about one line.
    pub(super) fn of_line(file: String, line: usize, text: String) -> Self {
        Self { file: Some(file), list: vec![Complaint { place: Place::Line(line), text }] }
    }

    /// How many there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "there is always a complaint")]
    pub fn len(&self) -> usize {
        self.list.len()
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("configuration");
        for (at, Complaint { place, text }) in self.list.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            match place {
                Place::Line(line) => write!(f, "{file}:{line}: {text}")?,
                Place::File => write!(f, "{file}: {text}")?,
                // An unknown variable may be called anything, line ends included.
                Place::Variable(name) => write!(f, "{}: {text}", excerpt(name))?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Complaints {}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) place: Place,
    pub(super) text: String,
}

/// Where a thing was set, in the order complaints are printed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A line of the file, counted from 1.
    Line(usize),
    /// The file as a whole: what is missing has no line.
    File,
    /// A variable of the environment.
    Variable(String),
}

/// What may be shown of a value: one line of it, without control characters, 60 characters at most.
pub(super) fn excerpt(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    let mut shown: String = line.chars().filter(|c| !c.is_control()).take(EXCERPT_CHARS_MAX).collect();
    if shown.len() < value.len() {
        shown.push_str("...");
    }
    shown
}

/// The one of `words` that somebody who wrote `word` may have meant.
pub(super) fn meant<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MEANT_BYTES_MAX {
        return None;
    }
    let near = words.into_iter().map(|known| (distance(&word.to_ascii_lowercase(), known), known));
    let (distance, known) = near.min()?;
    // A third of the letters wrong is a slip; more is another word.
    (distance <= known.len().div_ceil(3).min(3) && distance < word.len()).then_some(known)
}

/// Letters to insert, delete or replace to make one of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

const EXCERPT_CHARS_MAX: usize = 60;
/// Bytes of a word worth guessing at; more would only cost time.
const MEANT_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let keys = ["frame", "message", "lag", "head", "rooms", "room_name"];
        assert_eq!(meant("mesage", keys), Some("message"));
        assert_eq!(meant("Lag", keys), Some("lag"));
        assert_eq!(meant("lagg", keys), Some("lag"));
        assert_eq!(meant("roomname", keys), Some("room_name"));
        assert_eq!(meant("auth_deadline", keys), None);
        assert_eq!(meant("tls", keys), None);
        assert_eq!(meant("", keys), None);
        assert_eq!(meant(&"frame".repeat(20), keys), None);
    }

    #[test]
    fn a_variable_named_over_two_lines_is_one_complaint() {
        let place = Place::Variable("VESTIBULE_LIMITS__\nLAG\u{1b}[2J".to_owned());
        let complaints = Complaints::new(None, vec![Complaint { place, text: "unknown".to_owned() }]);
        assert_eq!(complaints.to_string(), "VESTIBULE_LIMITS__...: unknown");
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt("\"1 MB\""), "\"1 MB\"");
        assert_eq!(excerpt("[\n  \"a\",\n]"), "[...");
        assert_eq!(excerpt("a\u{1b}[31mb"), "a[31mb...");
        assert_eq!(excerpt(&"é".repeat(61)), format!("{}...", "é".repeat(60)));
    }
}

//! What the command line shows of an API's answer: columns for people, lines of JSON for programs.
//!
//! Names and payloads come from clients: no control character of theirs reaches a terminal.

use std::io::Write;

use super::Failure;

/// Rows under a head, each column as wide as its widest cell.
pub(super) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) fn new(head: [&str; COLUMNS]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    pub(super) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.map(|cell| cell.replace(char::is_control, " ")));
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for row in &self.rows {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<String>>().join("  ");
            writeln!(out, "{}", line.trim_end()).map_err(Failure::Output)?;
        }
        Ok(())
    }
}

/// One JSON value as one line. A string of JSON has no line end in it, so that those there are only part tokens.
pub(super) fn json_line(out: &mut dyn Write, json: &str) -> Result<(), Failure> {
    writeln!(out, "{}", json.trim().replace(['\n', '\r'], " ")).map_err(Failure::Output)
}

/// One line for people.
pub(super) fn line(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    writeln!(out, "{}", text.replace(char::is_control, " ")).map_err(Failure::Output)
}

/// `1 connection`, `2 connections`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["ROOM", "MEMBERS"]);
        table.row(["chat:lobby".to_owned(), "2".to_owned()]);
        table.row(["grün".to_owned(), "10".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out).expect("written");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "ROOM        MEMBERS\nchat:lobby  2\ngrün        10\n"
        );
    }

    #[test]
    fn no_control_character_reaches_the_terminal() {
        let mut table = Table::new(["ROOM"]);
        table.row(["a\u{1b}[31m\nb\u{9b}c".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out).expect("written");
        line(&mut out, "x\u{7}y").expect("written");
        assert_eq!(String::from_utf8(out).expect("text"), "ROOM\na [31m b c\nx y\n");
    }

    #[test]
    fn json_is_one_line_and_the_same_value() {
        let mut out = Vec::new();
        json_line(&mut out, "{\"a\":\n [1.0,\r\n \"x\\ny\"]}\n").expect("written");
        assert_eq!(String::from_utf8(out).expect("text"), "{\"a\":  [1.0,   \"x\\ny\"]}\n");
    }
}

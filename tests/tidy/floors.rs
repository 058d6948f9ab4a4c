//! The floors: the table in `lib.rs`, and what a file uses of the house.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// Who may use whom.
pub(crate) struct Table(BTreeMap<String, Grant>);

enum Grant {
    Everything,
    These(BTreeSet<String>),
}

impl Table {
    /// Reads the table out of a file's heading.
    ///
    /// # Errors
    ///
    /// A row that cannot be read, or that grants what is no floor.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("//! |"));
        let rows = rows.skip_while(|row| !row.starts_with(" floor |")).skip(2);
        let mut table = BTreeMap::new();
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [floors, may_use, _never, ""] = cells[..] else { return Err(format!("what is \"{row}\"?")) };
            for floor in floors.split(", ") {
                let grant = match may_use {
                    "everything" => Grant::Everything,
                    "nothing else in the crate" => Grant::These(BTreeSet::new()),
                    these => Grant::These(these.split(", ").map(str::to_owned).collect()),
                };
                if table.insert(floor.to_owned(), grant).is_some() {
                    return Err(format!("two rows for {floor}"));
                }
            }
        }
        for grant in table.values() {
            if let Grant::These(these) = grant
                && let Some(unknown) = these.iter().find(|floor| !table.contains_key(*floor))
            {
                return Err(format!("{unknown} is granted, and is no floor"));
            }
        }
        if table.is_empty() { Err("there is no table".to_owned()) } else { Ok(Self(table)) }
    }

    /// What the file at `path`, below `src`, uses and may not.
    pub(crate) fn judge(&self, path: &str, source: &Source<'_>) -> Vec<String> {
        let mut modules = modules_of(path);
        let Some(floor) = modules.next() else { return Vec::new() };
        let Some(grant) = self.0.get(floor) else { return vec![format!("{floor} is no floor of the table")] };
        let mut complaints = Vec::new();
        for (line, used) in uses(source) {
            let granted = match grant {
                Grant::Everything => self.0.contains_key(used),
                Grant::These(these) => used == floor || these.contains(used),
            };
            if !granted {
                complaints.push(format!("line {line}: {floor} may not use {used}"));
            }
        }
        for line in leaves(source, 1 + modules.count()) {
            complaints.push(format!("line {line}: super leaves the floor {floor}"));
        }
        complaints
    }
}

/// The modules that a file stands for, from its floor down; none for the roots of library and binary.
fn modules_of(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    path.split('/').filter(|name| !["mod", "lib", "main"].contains(name))
}

/// What follows each `crate::`, with its line. `*` and `as`, which hide what is used, come as they are.
fn uses<'a>(source: &Source<'a>) -> Vec<(usize, &'a str)> {
    let tokens = &source.tokens;
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut found = Vec::new();
    for at in (0..tokens.len()).filter(|&at| text(at) == "crate") {
        let line = tokens[at].line;
        match (text(at + 1), text(at + 2), text(at + 3)) {
            ("as", ..) => found.push((line, "as")),
            (":", ":", "{") => {
                let mut depth = 0;
                let mut names = false;
                for token in &tokens[at + 3..] {
                    match token.text {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        name if depth == 1 && (names || name == "self") => found.push((token.line, name)),
                        _ => {}
                    }
                    // A name of the outermost group stands behind its brace or a comma.
                    names = depth == 1 && ["{", ","].contains(&token.text);
                    if depth == 0 {
                        break;
                    }
                }
            }
            (":", ":", name) => found.push((line, name)),
            _ => {}
        }
    }
    found
}

/// The lines on which `super::super::..` climbs to the root of the crate, or past it. `depth` is how many modules
/// the file stands for.
fn leaves(source: &Source<'_>, depth: usize) -> Vec<usize> {
    let tokens = &source.tokens;
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut inline = Vec::new();
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => inline.push(at >= 2 && text(at - 2) == "mod"),
            "}" => drop(inline.pop()),
            "super" if text(at + 1) == ":" => {
                let line = tokens[at].line;
                let mut climbed = 1;
                while text(at + 3) == "super" {
                    climbed += 1;
                    at += 3;
                }
                if climbed >= depth + inline.iter().filter(|&&module| module).count() {
                    found.push(line);
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "//! The house.\n//!\n//! | floor | may use | must never |\n//! |---|---|---|\n\
        //! | mesh, net | nothing else in the crate | know each other |\n//! | shard | mesh, net | know HTTP |\n\
        //! | server | everything | parse bytes |\n//!\n//! More.\n";

    fn judged(path: &str, code: &str) -> Vec<String> {
        Table::read(HEADING).expect("a table").judge(path, &Source::new(code))
    }

    #[test]
    fn what_the_table_grants_is_fine() {
        assert!(
            judged("shard/mod.rs", "use crate::mesh::Port; use crate::{net, mesh::{self, x}};").is_empty()
        );
        assert!(
            judged("server.rs", "use crate::{shard::{a, b}, net}; fn f() { crate::mesh::g() }").is_empty()
        );
        assert!(judged("mesh/port.rs", "pub(crate) fn f() { crate::mesh::g(); }").is_empty());
        assert!(judged("main.rs", "use vestibule::server;").is_empty());
    }

    #[test]
    fn what_it_does_not_grant_is_caught_however_it_is_written() {
        for code in [
            "use crate::shard::x;",
            "use crate ::\n  shard;",
            "use crate::{mesh::{a, b}, shard::c};",
            "use crate::{\n    mesh,\n    // and\n    shard,\n};",
            "fn f() { crate::shard::g() }",
            "mod tests { use crate::shard; }",
            "pub(in crate::shard) fn f() {}",
            "macro_rules! m { () => { $crate::shard::g() } }",
        ] {
            let complaints = judged("mesh/port.rs", code);
            assert!(
                complaints.len() == 1 && complaints[0].ends_with("mesh may not use shard"),
                "{code}: {complaints:?}"
            );
        }
    }

    #[test]
    fn what_hides_a_use_is_caught() {
        for code in
            ["use crate::*;", "use crate as house;", "use crate::{self};", "use crate::{self as house};"]
        {
            assert_eq!(judged("shard/mod.rs", code).len(), 1, "{code}");
            assert_eq!(judged("server/mod.rs", code).len(), 1, "{code}");
        }
    }

    #[test]
    fn super_does_not_leave_a_floor() {
        for (path, code) in [
            ("mesh/mod.rs", "use super::net;"),
            ("mesh.rs", "use super::net;"),
            ("mesh/port.rs", "use super::super::net;"),
            ("mesh/port.rs", "mod tests { use super::super::super::net; }"),
            ("mesh/port.rs", "mod tests { fn f() {} }\nuse super::super::net;"),
            ("mesh/port/tests.rs", "fn f() { self::super::super::super::net::g() }"),
        ] {
            let complaints = judged(path, code);
            assert!(
                complaints.len() == 1 && complaints[0].contains("leaves"),
                "{path}: {code}: {complaints:?}"
            );
        }
        for (path, code) in [
            ("mesh/mod.rs", "mod tests { use super::*; }"),
            ("mesh/port.rs", "use super::lane; pub(super) fn f() {} mod tests { use super::super::lane; }"),
            ("mesh/port/tests.rs", "use super::super::lane;"),
        ] {
            assert_eq!(judged(path, code), Vec::<String>::new(), "{path}: {code}");
        }
    }

    #[test]
    fn comments_and_strings_use_nothing() {
        let code = "// crate::shard\n/// [`crate::shard`]\nfn f() -> &'static str { \"use crate::shard;\" }";
        assert!(judged("mesh/mod.rs", code).is_empty());
    }

    #[test]
    fn a_floor_that_no_row_names_is_caught() {
        assert_eq!(judged("cellar/mod.rs", ""), ["cellar is no floor of the table"]);
        assert_eq!(judged("server/mod.rs", "use crate::cellar;"), ["line 1: server may not use cellar"]);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_caught() {
        for (from, to) in [
            ("| shard | mesh, net |", "| shard | mesh and net |"),
            ("| shard | mesh, net |", "| shard | mesh, nett |"),
            ("| shard | mesh, net |", "| net | mesh |"),
            ("| shard | mesh, net | know HTTP |", "| shard | mesh, net |"),
            ("| floor |", "| room |"),
        ] {
            assert!(Table::read(&HEADING.replace(from, to)).is_err(), "{to}");
        }
    }
}

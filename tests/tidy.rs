//! The house is tidy: floors, sizes, headings, names, `unsafe`, and words that belong to one floor alone.
//!
//! Reads the package's own files and judges text; it compiles nothing. Each rule stands in `law` or `floors`,
//! beside tests that show it a bad snippet. A rule that makes the code worse is changed here, with a reason.

#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/law.rs"]
mod law;
#[path = "tidy/source.rs"]
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use floors::Table;
use source::Source;

#[test]
fn no_floor_uses_what_the_table_in_lib_rs_does_not_grant() {
    let table = Table::read(&read("src/lib.rs").expect("the map")).expect("a table");
    judge(|path, text| match path.strip_prefix("src/") {
        Some(path) if path.ends_with(".rs") => table.judge(path, &Source::new(text)),
        _ => Vec::new(),
    });
}

#[test]
fn every_file_of_code_keeps_the_law() {
    judge(|path, text| {
        let is_code = path.ends_with(".rs") && CODE.iter().any(|dir| path.starts_with(dir));
        if is_code { law::judge_code(path, &Source::new(text)) } else { Vec::new() }
    });
}

#[test]
fn every_file_has_a_name_that_says_something() {
    judge(|path, _| law::judge_path(path));
}

#[test]
fn no_file_tells_of_one_machine() {
    judge(law::judge_text);
}

#[test]
fn the_files_that_are_judged_are_those_of_the_house() {
    let paths = tracked();
    for path in
        ["Cargo.toml", "Cargo.lock", "src/lib.rs", "src/main.rs", "src/mesh/port.rs", "tests/tidy/law.rs"]
    {
        assert!(paths.iter().any(|tracked| tracked == path), "{path} is not judged");
    }
    assert!(!paths.iter().any(|path| path.starts_with("target/")), "what is built is not ours");
}

/// Where Rust code of our own stands.
const CODE: [&str; 5] = ["src/", "tests/", "benches/", "fuzz/", "build.rs"];

/// Judges every tracked text, and fails with all complaints at once.
fn judge(rule: impl Fn(&str, &str) -> Vec<String>) {
    let mut complaints = Vec::new();
    for path in tracked() {
        if let Some(text) = read(&path) {
            complaints.extend(rule(&path, &text).into_iter().map(|complaint| format!("{path}: {complaint}")));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file's text; `None` for what is no text, or is tracked and gone.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// The paths git tracks or would, from the root of the package; without git, all that is not hidden or built.
fn tracked() -> Vec<String> {
    let listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let git = Command::new("git").current_dir(root()).args(listed).output();
    match git {
        Ok(output) if output.status.success() => {
            let paths = String::from_utf8_lossy(&output.stdout);
            paths.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
        }
        _ => walk(root()),
    }
}

fn walk(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("the package's own directory");
    let paths = entries.map(|entry| entry.expect("the package's own file").path());
    let kept = paths.filter(|path| !is_left_out(path));
    kept.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![from_root(&path)] }).collect()
}

fn is_left_out(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == ".git" || name == ".cache" || name == "node_modules" || name.starts_with("target")
}

fn from_root(path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root()).expect("walked from the root").into();
    path.to_string_lossy().into_owned()
}

#[test]
fn without_git_the_same_files_are_found() {
    let walked = walk(root());
    for path in ["Cargo.toml", "src/mesh/port.rs", "tests/tidy.rs"] {
        assert!(walked.iter().any(|found| found == path), "{path} is not found");
    }
}

//! The corpora as ordinary tests: what the fuzzers start from, and what they have found.
//!
//! Part of the library's tests, and of no floor. An input that once broke a promise stays in its corpus.

use std::fs;
use std::path::Path;

use crate::protocol::{http, native, sse, websocket};

#[test]
fn every_input_that_was_tried_once_holds() {
    for (target, body) in BODIES {
        let mut paths = listed(&Path::new(FUZZ).join("corpus").join(target));
        paths.sort();
        assert!((INPUTS_MIN..=INPUTS_MAX).contains(&paths.len()), "{target} has {} inputs", paths.len());
        for path in paths {
            let path = Path::new(FUZZ).join("corpus").join(target).join(path);
            let input = fs::read(&path).expect("an input");
            let _named = NameOnPanic(&path);
            body(&input);
        }
    }
}

#[test]
#[cfg(feature = "server")]
fn every_target_has_a_body_here() {
    let mut bodies: Vec<String> = BODIES.iter().map(|(target, _)| (*target).to_owned()).collect();
    bodies.sort();
    let mut corpora = listed(&Path::new(FUZZ).join("corpus"));
    corpora.sort();
    assert_eq!(bodies, corpora);
    let mut targets = listed(&Path::new(FUZZ).join("fuzz_targets"));
    targets.sort();
    assert_eq!(bodies.iter().map(|body| format!("{body}.rs")).collect::<Vec<_>>(), targets);
}

/// The targets, as in `fuzz_targets`, and what they call.
const BODIES: &[(&str, Body)] = &[
    ("answer", http::fuzz::answer),
    ("chunked", http::fuzz::chunked),
    ("frames", websocket::fuzz::frames),
    ("handshake", http::fuzz::handshake),
    ("head", http::fuzz::head),
    ("hub", crate::hub::fuzz::operations),
    ("messages", websocket::fuzz::messages),
    ("native", native::fuzz::native),
    ("path", http::fuzz::path),
    ("sse", sse::fuzz::sse),
    #[cfg(feature = "server")]
    ("configuration", crate::config::fuzz::configuration),
    #[cfg(feature = "server")]
    ("tokens", crate::auth::fuzz::tokens),
];

type Body = fn(&[u8]);

fn listed(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder of the package");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

struct NameOnPanic<'a>(&'a Path);

impl Drop for NameOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");
/// Fewer are no corpus.
const INPUTS_MIN: usize = 10;
/// More are no corpus that somebody chose.
const INPUTS_MAX: usize = 200;

//! The rules for a single file: its heading, size, name, and what its code and text must not say.

use super::source::{Comment, Source};

/// Lines of a file of code.
const LINES_MAX: usize = 600;

/// Files that may say `unsafe`. A new one takes a proof beside each block, and loom or an equal test.
const UNSAFE_FILES: [&str; 3] = ["src/net/burst.rs", "src/net/restrict.rs", "src/net/socket.rs"];

/// Floors into which time, randomness and the environment come as arguments.
const PURE_FLOORS: [&str; 7] = ["protocol", "config", "metrics", "quota", "mesh", "hub", "auth"];

const IMPURE: [&[&str]; 9] = [
    &["Instant", ":", ":", "now"],
    &["SystemTime"],
    &["env", ":", ":", "var"],
    &["env", ":", ":", "vars"],
    &["env", ":", ":", "var_os"],
    &["env", ":", ":", "vars_os"],
    &["rand", ":", ":"],
    &["use", "rand"],
    &["getrandom"],
];

/// Names that tell nothing of what stands in a file.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helpers", "types", "manager"];

/// Marks of one machine, or of a registry that only one place can reach. Cut in two, so as not to find themselves.
const TRACES: [&str; 8] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/tmp", "/plan"),
    concat!("index", "-url"),
    concat!("replace", "-with"),
    concat!("_auth", "Token"),
];

/// What is wrong with the code at `path`, from the root of the package.
pub(crate) fn judge_code(path: &str, source: &Source<'_>) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        complaints.push(format!("{lines} lines, {LINES_MAX} at most: look for the second subject"));
    }
    let first = source.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    if !first.is_some_and(|line| line.starts_with("//! ")) {
        complaints.push("no heading that says what it owns, and what it must never do".to_owned());
    }
    for line in source.lines_of(&["unsafe"]) {
        if !UNSAFE_FILES.contains(&path) {
            complaints.push(format!("line {line}: unsafe, in a file that is not listed"));
        } else if !is_proved(source, line) {
            complaints.push(format!("line {line}: unsafe, and no SAFETY comment beside it"));
        }
    }
    complaints.extend(judge_words(path, source));
    complaints
}

/// What only some floors may say.
fn judge_words(path: &str, source: &Source<'_>) -> Vec<String> {
    let Some(path) = path.strip_prefix("src/") else { return Vec::new() };
    let floor = path.split(['/', '.']).next().unwrap_or_default();
    let mut complaints = Vec::new();
    // In comments too, for whoever looks with grep; lib.rs draws the map.
    if floor != "net" && path != "lib.rs" {
        let said = source.text.lines().zip(1..).filter(|(line, _)| line.to_lowercase().contains("monoio"));
        complaints.extend(said.map(|(_, line)| format!("line {line}: only net says monoio")));
    }
    if PURE_FLOORS.contains(&floor) {
        for words in IMPURE {
            let said = source.lines_of(words);
            complaints.extend(said.map(|line| format!("line {line}: {} in {floor}", words.concat())));
        }
    }
    complaints
}

/// What is wrong with a tracked file's path.
pub(crate) fn judge_path(path: &str) -> Vec<String> {
    let names = path.split('/').map(|name| name.split('.').next().unwrap_or_default());
    names
        .filter(|name| EMPTY_NAMES.contains(name))
        .map(|name| format!("\"{name}\" does not say what stands there"))
        .collect()
}

/// What a tracked file of any kind tells that concerns nobody else, or that nobody else can reach.
pub(crate) fn judge_text(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if let Some(trace) = TRACES.iter().find(|trace| line.contains(**trace)) {
            complaints.push(format!("line {number}: {trace} is of one machine"));
        }
        let is_bound = match path.rsplit('/').next() {
            Some("Cargo.lock") => {
                line.strip_prefix("source = \"").is_some_and(|from| !from.starts_with(CRATES))
            }
            // npm can leave out whence it took a package (tests/.npmrc says so): no host has to be named.
            Some("package-lock.json") => line.trim().starts_with("\"resolved\":"),
            _ => false,
        };
        if is_bound {
            complaints.push(format!("line {number}: bound to one registry"));
        }
    }
    complaints
}

/// Whether a SAFETY comment stands on this line, or ends the lines above it, attributes aside.
fn is_proved(source: &Source<'_>, line: usize) -> bool {
    let says = |comment: &Comment<'_>| comment.text.to_lowercase().contains("safety");
    let at = |line: usize| source.comments.iter().find(|comment| comment.last_line == line);
    if source.comments.iter().any(|comment| comment.first_line == line && says(comment)) {
        return true;
    }
    let mut above = line - 1;
    while above > 0 {
        let is_attribute =
            source.text.lines().nth(above - 1).is_some_and(|text| text.trim().starts_with("#["));
        match at(above) {
            Some(comment) if says(comment) => return true,
            Some(comment) if source.tokens.iter().all(|token| token.line != above) => {
                above = comment.first_line - 1;
            }
            None if is_attribute => above -= 1,
            _ => return false,
        }
    }
    false
}

const CRATES: &str = "registry+https://github.com/rust-lang/crates.io-index\"";

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(path: &str, code: &str) -> Vec<String> {
        judge_code(path, &Source::new(code))
    }

    #[test]
    fn a_file_without_a_heading_is_caught() {
        for code in ["", "fn f() {}", "// A comment.\n", "fn f() {}\n//! Late.\n", "//!\n//! Empty first.\n"]
        {
            assert_eq!(judged("src/hub/mod.rs", code).len(), 1, "{code}");
        }
        assert!(judged("src/hub/mod.rs", "//! Owns.\n").is_empty());
        assert!(judged("fuzz/fuzz_targets/frame.rs", "#![no_main]\n//! Owns.\n").is_empty());
    }

    #[test]
    fn a_file_of_601_lines_is_caught() {
        let code = |lines: usize| "//! Owns.\n".to_owned() + &"\n".repeat(lines - 1);
        assert!(judged("src/hub/mod.rs", &code(600)).is_empty());
        assert_eq!(judged("src/hub/mod.rs", &code(601)).len(), 1);
    }

    #[test]
    fn unsafe_in_a_file_that_is_not_listed_is_caught() {
        let code = "//! Owns.\n// SAFETY: proved.\nunsafe {}\n";
        assert_eq!(judged("src/hub/mod.rs", code), ["line 3: unsafe, in a file that is not listed"]);
        assert!(judged("src/hub/mod.rs", "//! unsafe\nlet s = \"unsafe\"; // unsafe\n").is_empty());
    }

    #[test]
    fn unsafe_without_its_proof_is_seen() {
        for code in [
            "// SAFETY: so.\nunsafe {}",
            "unsafe {} // SAFETY: so.",
            "// SAFETY: long\n// and longer.\n#[inline]\nunsafe fn f() {}",
            "/// # Safety\n///\n/// So.\nunsafe fn f() {}",
        ] {
            let source = Source::new(code);
            let line = source.lines_of(&["unsafe"]).next().expect("it is there");
            assert!(is_proved(&source, line), "{code}");
        }
        for code in [
            "\nunsafe {}",
            "// Fast.\nunsafe {}",
            "// SAFETY: so.\nf();\nunsafe {}",
            "// SAFETY: so.\n\nunsafe {}",
        ] {
            let source = Source::new(code);
            let line = source.lines_of(&["unsafe"]).next().expect("it is there");
            assert!(!is_proved(&source, line), "{code}");
        }
    }

    #[test]
    fn the_runtimes_name_outside_net_is_caught_in_comments_too() {
        let code = "//! Owns.\nuse monoio::net;\n";
        assert_eq!(judged("src/shard/mod.rs", code), ["line 2: only net says monoio"]);
        assert_eq!(judged("src/shard/mod.rs", "//! Runs on Monoio.\n").len(), 1);
        assert!(judged("src/net/mod.rs", code).is_empty());
        assert!(judged("src/net.rs", code).is_empty());
        assert!(judged("tests/house.rs", code).is_empty());
    }

    #[test]
    fn clocks_chance_and_environment_in_a_pure_floor_are_caught() {
        for code in [
            "Instant::now()",
            "std::time::Instant :: now()",
            "use std::time::SystemTime;",
            "std::env::var(\"X\")",
            "env::vars()",
            "rand::random()",
            "use rand;",
            "getrandom::fill(&mut seed)",
        ] {
            let code = format!("//! Owns.\n{code}\n");
            assert_eq!(judged("src/hub/room.rs", &code).len(), 1, "{code}");
            assert_eq!(judged("src/metrics.rs", &code).len(), 1, "{code}");
            assert!(judged("src/shard/mod.rs", &code).is_empty(), "{code}");
        }
        let fine = "//! Instant::now\nuse std::time::Instant; fn f(now: Instant) { env!(\"X\"); \"rand::\"; operand::g() }";
        assert!(judged("src/hub/room.rs", fine).is_empty());
    }

    #[test]
    fn a_name_that_says_nothing_is_caught() {
        for path in ["src/util.rs", "src/hub/helpers/mod.rs", "tests/common/mod.rs", "clients/types.d.ts"] {
            assert_eq!(judge_path(path).len(), 1, "{path}");
        }
        assert!(judge_path("src/hub/utility.rs").is_empty());
    }

    #[test]
    fn what_is_of_one_machine_is_caught() {
        for trace in TRACES {
            assert_eq!(judge_text("scripts/test", &format!("x\ny {trace}z\n")).len(), 1, "{trace}");
        }
        assert!(judge_text("README.md", "work/ roots /etc/vestibule.toml\n").is_empty());
    }

    #[test]
    fn a_lock_file_that_is_bound_to_a_registry_is_caught() {
        let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
        assert!(judge_text("Cargo.lock", public).is_empty());
        assert_eq!(judge_text("fuzz/Cargo.lock", "source = \"sparse+https://mirror.example/\"\n").len(), 1);
        let named = "      \"resolved\": \"https://mirror.example/ws/-/ws-8.0.0.tgz\",\n";
        assert_eq!(judge_text("clients/package-lock.json", named).len(), 1);
        let unnamed = "      \"version\": \"8.0.0\",\n";
        assert!(judge_text("clients/package-lock.json", unnamed).is_empty());
    }
}

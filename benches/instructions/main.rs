//! What the hot paths cost in instructions, counted by callgrind and held against a limit for each: a guard against
//! slow creep, which a clock cannot see under the noise of a machine.
//!
//! `cargo bench --profile release --bench instructions` counts all, with words behind `--` the paths whose names contain
//! one of them. It runs itself under valgrind, a process a path, and judges: over its limit a path has grown, far under
//! it the limit has to come down, or the gain could be lost again unseen. Counts nothing but what is inside [`counted`]:
//! what comes before and between is set-up. What a count depends on stands at the head of `limits`.

mod limits;
mod paths;

use std::env;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use limits::{HOT_PATHS, HotPath, SETTING};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [word, name] = &words[..]
        && word == WALK
    {
        let path = HOT_PATHS.iter().find(|path| path.name == name).expect("a path that was asked for");
        println!("{}", (path.walk)());
        return ExitCode::SUCCESS;
    }
    if let Some(why) = foreign() {
        println!("skipped: {why}\n0 passed, 0 failed, 1 skipped");
        return ExitCode::SUCCESS;
    }
    let asked = |path: &&HotPath| words.is_empty() || words.iter().any(|word| path.name.contains(&**word));
    let paths: Vec<&HotPath> = HOT_PATHS.iter().filter(asked).collect();
    match count_all(&paths) {
        Ok(counts) => report(&paths, &counts),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What is done in here is counted, whenever it is called; nothing else is. Callgrind finds it by its name.
#[inline(never)]
pub(crate) fn counted(work: &mut dyn FnMut()) {
    work();
}

/// Instructions of one operation of each, as many paths at a time as there are CPUs.
fn count_all(paths: &[&HotPath]) -> Result<Vec<f64>, String> {
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let mut counts = Vec::new();
    for paths in paths.chunks(at_once) {
        let children = paths.iter().map(|path| start(path)).collect::<Result<Vec<_>, _>>()?;
        for (path, child) in paths.iter().zip(children) {
            counts.push(finish(child).map_err(|error| format!("{}: {error}", path.name))?);
        }
    }
    Ok(counts)
}

/// Walks the path in a process of its own. What lies below its stack moves the stack, and with that some counts by
/// two per cent: so it has no environment, and is called by a name that is as long everywhere.
fn start(path: &HotPath) -> Result<Child, String> {
    let own = env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let (Some(folder), Some(name)) = (own.parent(), own.file_name()) else {
        return Err(format!("{} has no folder", own.display()));
    };
    Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=instructions::counted*",
            "--callgrind-out-file=/dev/null",
        ])
        .arg(Path::new(".").join(name))
        .args([WALK, path.name])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("valgrind: {error} (Debian: apt-get install valgrind)"))
}

/// What the walk says it did, and what callgrind says that took.
fn finish(child: Child) -> Result<f64, String> {
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let operations = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>();
    let instructions =
        said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<f64>().ok());
    match (operations, instructions) {
        (Ok(operations), Some(instructions)) if output.status.success() && instructions > 0.0 => {
            Ok(instructions / operations)
        }
        _ => Err(format!("no count, {}\n{said}", output.status)),
    }
}

/// Prints what was counted beside the limits, then what is wrong. With another compiler or C library than the limits
/// were set with, that is no verdict on the path: it is printed, and counts as skipped.
fn report(paths: &[&HotPath], counts: &[f64]) -> ExitCode {
    let mut complaints = Vec::new();
    println!("{:<32} {:>10} {:>10} {:>10}", "instructions of", "counted", "limit", "when set");
    for (path, &count) in paths.iter().zip(counts) {
        println!("{:<32} {count:>10.1} {:>10} {:>10}", path.name, path.limit, path.counted);
        if let Some(complaint) = path.judge(count) {
            complaints.push(format!("{}: {complaint}.\n    What it does: {}\n", path.name, path.why));
        }
    }
    println!("\n{}", complaints.join("\n"));
    let (wrong, here) = (complaints.len(), setting());
    let passed = paths.len() - wrong;
    if wrong == 0 || here == SETTING {
        println!("{passed} passed, {wrong} failed");
        return if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    println!("skipped: the limits were set with {SETTING}, this is {here}");
    println!("{passed} passed, 0 failed, {wrong} skipped");
    ExitCode::SUCCESS
}

/// The compiler that made what is counted, and the C library.
fn setting() -> String {
    let answer = |program: &str, word: &str| {
        let output = Command::new(program).arg(word).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    format!("{}, {}", answer("rustc", "--version"), answer("getconf", "GNU_LIBC_VERSION"))
}

/// Why the counts of this CPU would be others.
fn foreign() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    return (!std::arch::is_x86_feature_detected!("avx2")).then_some("the limits are of a CPU with AVX2");
    #[cfg(not(target_arch = "x86_64"))]
    Some("the limits are of x86-64")
}

/// Makes this program the one that is counted.
const WALK: &str = "--walk";

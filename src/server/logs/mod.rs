//! Logs: lines on standard error, for people or for machines.
//!
//! `RUST_LOG` chooses what is said; without it, what an operator has to know. Nobody waits for the reader
//! of the log: see [`Lines`]. What a peer can cause again and again is said at `debug` alone, or seldom.

mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tracing::error;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::LogFormat;
use crate::metrics::LOG_LINES_DROPPED;
use crate::net;
use lines::Lines;

/// Starts logging, panics included. Once a process.
pub fn start(format: LogFormat, env: &[(String, String)]) -> io::Result<()> {
    // Not the standard library's handle: its lock would be held as long as a write is stuck.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let lines = Lines::start(stderr, &LOG_LINES_DROPPED)?;
    let lines = LINES.get_or_init(|| lines);
    let layer = fmt::layer().with_writer(|| lines.line());
    let journal = env.iter().find(|(name, _)| name == "JOURNAL_STREAM").map(|(_, stream)| stream.as_str());
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
        // The journal has times of its own.
        LogFormat::Text if is_stderr(journal) => layer.with_ansi(false).without_time().boxed(),
        LogFormat::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::registry().with(filter).with(layer).init();
    std::panic::set_hook(Box::new(on_panic));
    Ok(())
}

/// Waits until all that was logged is written, but not long. Before every exit.
pub fn flush() {
    flush_within(FLUSH_WITHIN);
}

fn flush_within(limit: Duration) {
    if let Some(lines) = LINES.get() {
        lines.flush(limit);
    }
}

/// Says what and where, in the form of all lines.
fn on_panic(info: &PanicHookInfo<'_>) {
    if !may_say(info) {
        return;
    }
    let location = info.location().map(tracing::field::display);
    let message = info.payload_as_str().unwrap_or("no message");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    let backtrace = backtrace.as_ref().map(tracing::field::display);
    let thread = std::thread::current();
    error!(thread = thread.name(), location, backtrace, "panicked: {message}");
    // What follows may be the end of the process.
    flush_within(PANIC_FLUSH_WITHIN);
}

/// A peer that has found a way to cause panics does not fill the log with them: of one place, a few a second
/// are said, and `vestibule_panics_total` has them all. From another place, it may be one that ends the process.
fn may_say(info: &PanicHookInfo<'_>) -> bool {
    static PLACE: AtomicUsize = AtomicUsize::new(0);
    static SAID: AtomicU64 = AtomicU64::new(0);
    let place = info.location().map_or(0, |location| std::ptr::from_ref(location).addr());
    let (second, said) = (net::unix_s(), SAID.load(Relaxed));
    let is_known = PLACE.swap(place, Relaxed) == place && said / PANICS_BASE == second;
    let count = if is_known { said % PANICS_BASE } else { 0 };
    if count < PANICS_A_SECOND {
        SAID.store(second * PANICS_BASE + count + 1, Relaxed);
    }
    count < PANICS_A_SECOND
}

/// Whether standard error is the stream that the journal gave this process: `DEVICE:INODE`.
fn is_stderr(journal: Option<&str>) -> bool {
    let Ok(stderr) = fs::metadata("/proc/self/fd/2") else { return false };
    journal == Some(format!("{}:{}", stderr.dev(), stderr.ino()).as_str())
}

static LINES: OnceLock<Lines> = OnceLock::new();

/// How long an exit waits for the reader of the log.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// How long a shard that panics does: at most a tenth of its time.
const PANIC_FLUSH_WITHIN: Duration = Duration::from_millis(20);
const PANICS_A_SECOND: u64 = 5;
/// More than are ever counted in a second.
const PANICS_BASE: u64 = 16;

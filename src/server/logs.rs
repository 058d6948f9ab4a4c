//! Logs: lines on standard error, for people.

use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` chooses what is said; without it, what an operator has to know.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}

//! `vestibule check FILE`: whether a server would start with the file, in this environment.
//!
//! Reads what `serve` would read, and opens no socket.

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Config};

use super::Failure;

/// `vestibule check`.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// Configuration file; VESTIBULE_SECTION__KEY variables count, as they do for serve
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Check {
    pub(super) fn answer(&self, env: Vec<(String, String)>) -> Result<String, Failure> {
        let config = config::load(Some(&self.file), env)?;
        Ok(format!("{}: ok: {}", self.file.display(), summary(&config)))
    }
}

/// A configuration in one line.
fn summary(config: &Config) -> String {
    let addresses: Vec<String> =
        config.listeners.iter().map(|listener| listener.address.to_string()).collect();
    let rooms = match config.rooms.len() {
        0 => "no room rule, so nobody can join a room".to_owned(),
        1 => "1 room rule".to_owned(),
        many => format!("{many} room rules"),
    };
    let (admin, mode) = (&config.admin.address, config.auth.mode);
    format!("clients on {}, admin on {admin}, auth {mode}, {rooms}", addresses.join(" and "))
}

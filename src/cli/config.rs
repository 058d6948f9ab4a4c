//! `vestibule config`: the commented default file, to be put into a file and edited.
//!
//! Reads nothing: what it prints is the same on every machine.

use clap::Args;

use crate::config;

/// `vestibule config`.
#[derive(Debug, Clone, Args)]
pub struct Print {}

impl Print {
    pub(super) fn answer(&self) -> String {
        config::default_file().trim_end().to_owned()
    }
}

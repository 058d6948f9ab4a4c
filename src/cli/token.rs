//! `vestibule token`: a token such as the application's backend would mint, for trying things out.
//!
//! The key comes from the configuration only, never from the command line, which every process may read.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::auth::jwt::Minted;
use crate::config::{self, Pattern};

use super::Failure;

/// Signs a token.
pub type Mint = fn(secret: &[u8], claims: &Minted<'_>) -> String;

/// `vestibule token`.
#[derive(Debug, Clone, Args)]
pub struct Token {
    /// Configuration file with the key; without one, VESTIBULE_AUTH__HS256_SECRET or ..._FILE
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The user, as the claim sub
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    user: String,
    /// Room patterns for rules that say "token", parted by commas
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = room)]
    rooms: Vec<String>,
    /// How long it is good
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = ttl)]
    ttl: Duration,
}

impl Token {
    pub(super) fn answer(
        &self,
        env: Vec<(String, String)>,
        now_s: u64,
        mint: Mint,
    ) -> Result<String, Failure> {
        let auth = config::load(self.config.as_deref(), env)?.auth;
        let Some(secret) = &auth.hs256_secret else {
            let only_public = !auth.public_keys.is_empty();
            return Err(Failure::Command(if only_public { ONLY_PUBLIC } else { NO_KEY }.to_owned()));
        };
        let claims = Minted {
            sub: &self.user,
            exp: now_s.saturating_add(self.ttl.as_secs()),
            rooms: &self.rooms,
            aud: auth.audience.as_deref(),
            iss: auth.issuer.as_deref(),
        };
        Ok(mint(secret.as_bytes(), &claims))
    }
}

fn room(text: &str) -> Result<String, config::BadPattern> {
    Pattern::parse(text).map(|pattern| pattern.as_str().to_owned())
}

fn ttl(text: &str) -> Result<Duration, String> {
    match config::parse_duration(text) {
        Some(ttl) if (TTL_MIN..=TTL_MAX).contains(&ttl) => Ok(ttl),
        _ => Err(format!(
            "a duration such as 30s, 15m or 1h, from {} to {}",
            config::show_duration(TTL_MIN),
            config::show_duration(TTL_MAX)
        )),
    }
}

const ONLY_PUBLIC: &str = "no key to sign with: the configuration has public keys only, with which tokens are verified; \
    mint this one where the private key is";
const NO_KEY: &str = "no key to sign with: the configuration sets no auth.hs256_secret";
const TTL_MIN: Duration = Duration::from_secs(1);
/// A year, as nobody revokes a token that is forgotten.
const TTL_MAX: Duration = Duration::from_hours(365 * 24);

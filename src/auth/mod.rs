//! Who a peer is, and what that lets it do: its token, its origin, the rules of rooms.
//!
//! Pure: time comes as an argument, and nothing here does I/O, logs, or keeps a token. Where a token may stand,
//! in what order, is `token`; whether it is good, `jwt`.

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod jwt;
pub mod origin;
pub mod rooms;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::config::Pattern;

/// Who a connection is, for as long as it lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The user: 1 to 256 bytes without control characters. A name is text; it is never read as a pattern.
    pub user: Arc<str>,
    /// The rooms that the token lists, at most 256.
    pub rooms: Box<[Pattern]>,
    /// Unix time in seconds from which on the identity holds no more; at most the end of the year 9999, so that a
    /// deadline made of it cannot overflow. `None`: it does not expire.
    pub expires_s: Option<u64>,
    /// Whether somebody vouched for the user.
    pub authenticated: bool,
}

impl Identity {
    /// How long it still holds at `now_s`, Unix time in seconds; `None`: it does not expire.
    pub fn lasts(&self, now_s: u64) -> Option<Duration> {
        self.expires_s.map(|expires_s| Duration::from_secs(expires_s.saturating_sub(now_s)))
    }

    /// Everybody, with `auth.mode = "none"`. Nobody vouched for them, so that only rules that say `anyone` let them
    /// in: `authenticated`, `token` and `owner` refuse, even in a room that bears the name "anonymous".
    pub fn anonymous() -> Self {
        Self { user: "anonymous".into(), rooms: Box::default(), expires_s: None, authenticated: false }
    }
}

/// Why a peer has no identity. None of these tells anything of the token beyond the name of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// One place bears a token twice, or two places bear different ones.
    #[error("more than one token was sent")]
    Several,
    /// A place for a token holds none that can be read: no text behind `Bearer`, a bad percent escape.
    #[error("the token cannot be read where it stands")]
    Unreadable,
    /// A cookie bears the token, and the request has no `Origin`: any page could have caused it.
    #[error("a token in a cookie needs an Origin of auth.allowed_origins")]
    NoOrigin,
    /// More than 8 KiB.
    #[error("the token is longer than {} bytes", jwt::TOKEN_BYTES_MAX)]
    TooLong,
    /// Not three parts, or a part is not base64url of a JSON object in which each name that counts stands once.
    #[error("the token is no JWT")]
    Malformed,
    /// There is no configured key of the header's algorithm.
    #[error("the token's algorithm is not one of auth.algorithms")]
    Algorithm,
    /// The header lists extensions that must be understood (RFC 7515 section 4.1.11); none is.
    #[error("the token needs an extension that is not known here")]
    Critical,
    /// No configured key has the header's `kid`; or it has none, and several keys have its algorithm.
    #[error("the token does not name a key that is known here")]
    Key,
    /// Not signed with the configured key.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim that is required is not there.
    #[error("the token has no claim \"{0}\"")]
    Missing(&'static str),
    /// A claim has another type than it must have, or a value that it cannot have.
    #[error("the token's claim \"{0}\" is not what it must be")]
    Claim(&'static str),
    /// `iss` is not `auth.issuer`.
    #[error("the token is of another issuer")]
    Issuer,
    /// `aud` is not, or does not hold, `auth.audience`.
    #[error("the token is for another audience")]
    Audience,
    /// `exp` has come. The peer comes back with a fresh token.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is more than a minute ahead.
    #[error("the token is not valid yet")]
    Early,
}

//! JSON Web Tokens signed with HS256 (RFC 7519, RFC 7515): verifying them, and minting them for trials.
//!
//! Algorithm and key come from the configuration alone: of the header only `alg` and `crit` are read, so that no
//! `kid`, `jwk`, `jku` or `x5u` has a say. A claim that is there and wrong refuses the token; it is never taken as
//! absent. The crate jsonwebtoken does the cryptography; its own checks of claims ask the system's clock and pass
//! over what they do not know, so the claims are judged here.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey, crypto};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::auth::{Identity, TokenError};
use crate::config::{self, Pattern};

/// Checks tokens against the configured key. Built once; may be shared between threads.
#[derive(Debug)]
pub struct Verifier {
    key: DecodingKey,
}

impl Verifier {
    /// A verifier for the key of `auth`.
    ///
    /// # Errors
    ///
    /// If `auth` has no key, or does not allow the one algorithm there is.
    pub fn new(auth: &config::Auth) -> Result<Self, NoVerifier> {
        if !auth.algorithms.contains(&config::Algorithm::Hs256) {
            return Err(NoVerifier::Algorithm);
        }
        let secret = auth.hs256_secret.as_ref().map(config::Secret::as_bytes);
        let secret = secret.filter(|secret| !secret.is_empty()).ok_or(NoVerifier::Secret)?;
        Ok(Self { key: DecodingKey::from_secret(secret) })
    }

    /// Whose token this is, at `now_s`, Unix time in seconds.
    ///
    /// `exp` (required) has no leeway: the token holds while `now_s` is before it (RFC 7519 section 4.1.4). `nbf`
    /// may lie up to [`NBF_LEEWAY_S`] ahead, since the clock of whoever minted the token may. Both are numbers, and a
    /// fraction counts as the next whole second. `sub` (required) is 1 to 256 bytes without control characters,
    /// `rooms` an array of at most 256 patterns. A claim of these that stands twice refuses the token; other claims
    /// are not looked at.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, looked for in the order of [`TokenError`]'s variants. Nothing of the claims
    /// is read before the signature is found right.
    pub fn verify(&self, token: &str, now_s: u64) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header = decode(header)?;
        let header: Header<'_> = parse(&header)?;
        if header.alg != ALGORITHM {
            return Err(TokenError::Algorithm);
        }
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        // The algorithm is named here, not taken from the header that was just compared with it.
        match crypto::verify(signature, message.as_bytes(), &self.key, jsonwebtoken::Algorithm::HS256) {
            Ok(true) => parse::<Claims>(&decode(claims)?)?.identity(now_s),
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }
}

/// Why there is no verifier: a mistake of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoVerifier {
    /// There is no key to verify with.
    #[error("auth.hs256_secret is not set")]
    Secret,
    /// HS256 is the only algorithm there is.
    #[error("auth.algorithms does not allow HS256")]
    Algorithm,
}

/// A token for `user` that lists `rooms`, if there are any, and holds until `expires_s`, Unix time in seconds.
///
/// Takes what it is given: [`Verifier::verify`] judges, not this.
pub fn mint(secret: &[u8], user: &str, rooms: &[String], expires_s: u64) -> String {
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let claims = Minted { sub: user, exp: expires_s, rooms };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret))
        .expect("plain claims have a JSON form, and HMAC takes a key of any length")
}

/// What is read of a token's header.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
}

/// The claims that count here, of whatever type they are.
#[derive(Deserialize)]
struct Claims {
    #[serde(default, deserialize_with = "present")]
    sub: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    exp: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    rooms: Option<Value>,
}

impl Claims {
    fn identity(self, now_s: u64) -> Result<Identity, TokenError> {
        let sub = self.sub.ok_or(TokenError::Missing("sub"))?;
        let exp = self.exp.ok_or(TokenError::Missing("exp"))?;
        let user = user(&sub).ok_or(TokenError::Claim("sub"))?;
        let expires_s = seconds(&exp).ok_or(TokenError::Claim("exp"))?;
        let begins_s = self.nbf.map_or(Some(0), |nbf| seconds(&nbf)).ok_or(TokenError::Claim("nbf"))?;
        let rooms = self.rooms.map_or(Some(Box::default()), |rooms| patterns(&rooms));
        let rooms = rooms.ok_or(TokenError::Claim("rooms"))?;
        if expires_s <= now_s {
            return Err(TokenError::Expired);
        }
        if begins_s > now_s.saturating_add(NBF_LEEWAY_S) {
            return Err(TokenError::Early);
        }
        let expires_s = Some(expires_s.min(EXPIRES_MAX_S));
        Ok(Identity { user: user.into(), rooms, expires_s, authenticated: true })
    }
}

#[derive(Serialize)]
struct Minted<'a> {
    sub: &'a str,
    exp: u64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    rooms: &'a [String],
}

/// A value that is there, `null` too: serde alone takes that for an absent one.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

/// Reads a JSON object; serde alone would take an array of the values, in order, as well.
fn parse<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, TokenError> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(TokenError::Malformed);
    }
    serde_json::from_slice(json).map_err(|_| TokenError::Malformed)
}

fn user(claim: &Value) -> Option<&str> {
    let user = claim.as_str()?;
    let fits = (1..=USER_BYTES_MAX).contains(&user.len()) && !user.contains(char::is_control);
    fits.then_some(user)
}

/// A NumericDate (RFC 7519 section 2) in whole seconds, rounded up; what lies before 1970 is 1970.
fn seconds(claim: &Value) -> Option<u64> {
    // The cast saturates, which is meant: a time that fits no integer is past or never.
    claim.as_u64().or_else(|| claim.as_f64().map(|seconds| seconds.ceil() as u64))
}

fn patterns(claim: &Value) -> Option<Box<[Pattern]>> {
    let rooms = claim.as_array().filter(|rooms| rooms.len() <= ROOMS_MAX)?;
    rooms.iter().map(|room| Pattern::parse(room.as_str()?).ok()).collect()
}

/// Bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 8192;
/// How far `nbf` may lie ahead, in seconds.
pub const NBF_LEEWAY_S: u64 = 60;
/// The end of the year 9999.
const EXPIRES_MAX_S: u64 = 253_402_300_799;
/// Bytes of a user's name.
const USER_BYTES_MAX: usize = 256;
/// Patterns that a token may list: each is kept as long as its connection lasts.
const ROOMS_MAX: usize = 256;
const ALGORITHM: &str = "HS256";

#[cfg(test)]
mod tests;

//! JSON Web Tokens (RFC 7519, RFC 7515): verifying them, and minting them for trials.
//!
//! Algorithms and keys come from the configuration alone. Of the header `alg` and `kid` choose among these, `crit`
//! is refused, and no `jwk`, `jku`, `x5u` or `x5c` has a say. A key is for one algorithm, so that none can be taken
//! for another's. A claim that is there and wrong refuses the token; it is never taken as
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
use crate::config::{self, Algorithm, Pattern, PublicKey};

/// Checks tokens against the configured keys. Built once; may be shared between threads.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<Key>,
    audience: Option<Box<str>>,
    issuer: Option<Box<str>>,
}

#[derive(Debug)]
struct Key {
    /// Its name, if it came with one.
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifier {
    /// A verifier for the keys of `auth` whose algorithms it allows.
    ///
    /// # Errors
    ///
    /// If there is no such key.
    pub fn new(auth: &config::Auth) -> Result<Self, NoVerifier> {
        let secret = auth.hs256_secret.iter().map(config::Secret::as_bytes);
        let secret = secret.filter(|secret| !secret.is_empty()).map(Key::of_secret);
        let keys = secret.chain(auth.public_keys.iter().filter_map(Key::of_public));
        let keys: Vec<Key> = keys.filter(|key| auth.algorithms.contains(&key.algorithm)).collect();
        let text = |text: &Option<String>| text.as_deref().map(Box::from);
        if keys.is_empty() {
            return Err(NoVerifier);
        }
        Ok(Self { keys, audience: text(&auth.audience), issuer: text(&auth.issuer) })
    }

    /// Whose token this is, at `now_s`, Unix time in seconds.
    ///
    /// `exp` (required) has no leeway: the token holds while `now_s` is before it (RFC 7519 section 4.1.4). `nbf`
    /// may lie up to [`NBF_LEEWAY_S`] ahead, since the clock of whoever minted the token may. Both are numbers, and a
    /// fraction counts as the next whole second. `sub` (required) is 1 to 256 bytes without control characters,
    /// `rooms` an array of at most 256 patterns, `iss` a text, `aud` a text or an array of texts; the values of the
    /// last two count only where the configuration asks for one. A claim of these that stands twice refuses the
    /// token; other claims are not looked at.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, looked for in the order of [`TokenError`]'s variants. Nothing of the claims
    /// is read before the signature is found right.
    pub fn verify(&self, token: &str, now_s: u64) -> Result<Identity, TokenError> {
        self.judge(token, now_s).map(|(identity, _)| identity)
    }

    /// As [`verify`](Self::verify), with all claims of the token besides, a JSON object as it was signed.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify); [`TokenError::Malformed`] also where the claims that are not looked at are no
    /// UTF-8.
    pub fn verify_with_claims(&self, token: &str, now_s: u64) -> Result<(Identity, Box<str>), TokenError> {
        let (identity, claims) = self.judge(token, now_s)?;
        let claims = String::from_utf8(claims).map_err(|_| TokenError::Malformed)?;
        Ok((identity, claims.trim_ascii().into()))
    }

    /// Whose token this is, and its claims as they were signed.
    fn judge(&self, token: &str, now_s: u64) -> Result<(Identity, Vec<u8>), TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header = decode(header)?;
        let header: Header<'_> = parse(&header)?;
        let key = self.key_for(&header)?;
        // The algorithm is the key's, not taken from the header that was just compared with it.
        match crypto::verify(signature, message.as_bytes(), &key.key, key.on_the_wire()) {
            Ok(true) => {
                let claims = decode(claims)?;
                self.identity(parse(&claims)?, now_s).map(|identity| (identity, claims))
            }
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }

    /// The one key that a header may mean: of its algorithm, and of its name if it has one. What remains open is
    /// not tried in turn: a token that could be anybody's is nobody's.
    fn key_for(&self, header: &Header<'_>) -> Result<&Key, TokenError> {
        let fitting = || self.keys.iter().filter(|key| key.algorithm.as_str() == header.alg);
        fitting().next().ok_or(TokenError::Algorithm)?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let kid = header.kid.as_deref();
        if let Some(named) = fitting().find(|key| kid.is_some() && key.kid.as_deref() == kid) {
            return Ok(named);
        }
        // A key without a name, such as a secret's or a PEM's, is meant by any.
        let mut meant = fitting().filter(|key| kid.is_none() || key.kid.is_none());
        meant.next().filter(|_| meant.next().is_none()).ok_or(TokenError::Key)
    }

    fn identity(&self, claims: Claims, now_s: u64) -> Result<Identity, TokenError> {
        let Claims { sub, exp, nbf, iss, aud, rooms } = claims;
        let sub = sub.ok_or(TokenError::Missing("sub"))?;
        let exp = exp.ok_or(TokenError::Missing("exp"))?;
        if self.issuer.is_some() && iss.is_none() {
            return Err(TokenError::Missing("iss"));
        }
        if self.audience.is_some() && aud.is_none() {
            return Err(TokenError::Missing("aud"));
        }
        let user = user(&sub).ok_or(TokenError::Claim("sub"))?;
        let expires_s = seconds(&exp).ok_or(TokenError::Claim("exp"))?;
        let begins_s = nbf.map_or(Some(0), |nbf| seconds(&nbf)).ok_or(TokenError::Claim("nbf"))?;
        let issuer = iss.as_ref().map_or(Some(""), Value::as_str).ok_or(TokenError::Claim("iss"))?;
        let audience = aud.as_ref().map_or(Some(Vec::new()), texts).ok_or(TokenError::Claim("aud"))?;
        let rooms = rooms.map_or(Some(Box::default()), |rooms| patterns(&rooms));
        let rooms = rooms.ok_or(TokenError::Claim("rooms"))?;
        if self.issuer.as_deref().is_some_and(|asked| asked != issuer) {
            return Err(TokenError::Issuer);
        }
        if self.audience.as_deref().is_some_and(|asked| !audience.contains(&asked)) {
            return Err(TokenError::Audience);
        }
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

impl Key {
    fn of_secret(secret: &[u8]) -> Self {
        Self { kid: None, algorithm: Algorithm::Hs256, key: DecodingKey::from_secret(secret) }
    }

    /// The bytes of a public key are never a secret's: its algorithm decides what they are read as.
    fn of_public(public: &PublicKey) -> Option<Self> {
        let algorithm = public.algorithm();
        let key = match algorithm {
            Algorithm::Hs256 => return None,
            Algorithm::Rs256 => DecodingKey::from_rsa_der(public.der()),
            Algorithm::Es256 => DecodingKey::from_ec_der(public.der()),
            Algorithm::EdDsa => DecodingKey::from_ed_der(public.der()),
        };
        Some(Self { kid: public.kid().map(Box::from), algorithm, key })
    }

    fn on_the_wire(&self) -> jsonwebtoken::Algorithm {
        match self.algorithm {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// Why there is no verifier: a mistake of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("there is no key for any of auth.algorithms")]
pub struct NoVerifier;

/// The claims of a token that is minted here.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Minted<'a> {
    /// The user.
    pub sub: &'a str,
    /// When it expires, Unix time in seconds.
    pub exp: u64,
    /// The rooms it lists.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub rooms: &'a [String],
    /// Whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<&'a str>,
    /// Who says that it issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<&'a str>,
}

/// A token with these claims, signed with HS256.
///
/// Takes what it is given: [`Verifier::verify`] judges, not this.
pub fn mint(secret: &[u8], claims: &Minted<'_>) -> String {
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret))
        .expect("plain claims have a JSON form, and HMAC takes a key of any length")
}

/// What is read of a token's header.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
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
    iss: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    rooms: Option<Value>,
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

/// A text, or an array of texts (RFC 7519 section 4.1.3).
fn texts(claim: &Value) -> Option<Vec<&str>> {
    match claim {
        Value::String(text) => Some(vec![text]),
        Value::Array(texts) => texts.iter().map(Value::as_str).collect(),
        _ => None,
    }
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

#[cfg(test)]
mod tests;

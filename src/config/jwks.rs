//! A JSON Web Key Set (RFC 7517): the keys of it that tokens can be verified with.
//!
//! Keys for other ends (encryption, other curves and algorithms) are passed over, as section 5 of the RFC wants
//! it. What cannot be a mistake of reading is a complaint: a secret in the set, a key that is none, two keys of one
//! name. Fetches nothing, and looks at no certificate.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use super::complaint::excerpt;
use super::public_key::BadKey;
use super::{Algorithm, PublicKey};

/// The keys of `json` that are good for one of our algorithms; at least one.
pub(super) fn keys_of(json: &[u8]) -> Result<Vec<PublicKey>, BadSet> {
    let set: Set = serde_json::from_slice(json).map_err(|error| BadSet::NotSet(error.to_string()))?;
    if set.keys.len() > KEYS_MAX {
        return Err(BadSet::TooMany(set.keys.len()));
    }
    let mut keys: Vec<PublicKey> = Vec::new();
    for (at, jwk) in set.keys.iter().enumerate() {
        let Some(key) = jwk.key().map_err(|wrong| BadSet::Key { at, wrong })? else { continue };
        let same = |other: &PublicKey| other.kid() == key.kid() && other.algorithm() == key.algorithm();
        if key.kid().is_some() && keys.iter().any(same) {
            return Err(BadSet::Twins(excerpt(key.kid().unwrap_or_default())));
        }
        keys.push(key);
    }
    if keys.is_empty() { Err(BadSet::Empty) } else { Ok(keys) }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

/// What is read of a key.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
}

impl Jwk {
    /// The key, or `None` if it is for another end.
    fn key(&self) -> Result<Option<PublicKey>, Wrong> {
        if self.kty == "oct" {
            return Err(Wrong::Symmetric);
        }
        if self.d.is_some() {
            return Err(Wrong::Key(BadKey::Private));
        }
        let verifies = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let algorithm = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Algorithm::Rs256,
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            _ => return Ok(None),
        };
        match self.alg.as_deref() {
            Some(alg) if alg != algorithm.as_str() && Algorithm::of(alg).is_some() => {
                return Err(Wrong::Algorithm(algorithm));
            }
            Some(alg) if alg != algorithm.as_str() => return Ok(None),
            _ if !verifies => return Ok(None),
            _ => {}
        }
        let key = match algorithm {
            Algorithm::Es256 => PublicKey::from_p256(&bytes(&self.x, "x")?, &bytes(&self.y, "y")?),
            Algorithm::EdDsa => PublicKey::from_ed25519(&bytes(&self.x, "x")?),
            Algorithm::Rs256 | Algorithm::Hs256 => {
                PublicKey::from_rsa(&bytes(&self.n, "n")?, &bytes(&self.e, "e")?)
            }
        };
        Ok(Some(key?.named(self.kid.as_deref())))
    }
}

/// Why a set cannot be used.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum BadSet {
    #[error("no JSON Web Key Set: {0}")]
    NotSet(String),
    #[error("{0} keys, at most {KEYS_MAX}")]
    TooMany(usize),
    #[error("keys[{at}]: {wrong}")]
    Key { at: usize, wrong: Wrong },
    #[error("two keys of one algorithm have the kid {0:?}")]
    Twins(String),
    #[error("no key in it is for RS256, ES256 or EdDSA")]
    Empty,
}

/// What is wrong with a key of the set.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum Wrong {
    #[error("a secret (\"kty\":\"oct\"), which does not belong into a set of public keys")]
    Symmetric,
    #[error("its alg is not {0}, which its kty makes it")]
    Algorithm(Algorithm),
    #[error("{0} has to be base64url, without padding")]
    Member(&'static str),
    #[error(transparent)]
    Key(#[from] BadKey),
}

fn bytes(member: &Option<String>, name: &'static str) -> Result<Vec<u8>, Wrong> {
    let digits = member.as_deref().ok_or(Wrong::Member(name))?;
    URL_SAFE_NO_PAD.decode(digits).map_err(|_| Wrong::Member(name))
}

/// Keys of a set, at most: each is tried by its name at a handshake.
const KEYS_MAX: usize = 64;

//! Public keys that tokens are verified with: from PEM, or from the numbers of a JWK.
//!
//! Takes what can be used and says of the rest why not. A private key is refused: whoever reads this
//! configuration could sign with it. Which key a token chooses is not decided here.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::Algorithm;

/// A key that was found good, for one algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    der: Box<[u8]>,
}

impl PublicKey {
    /// Its name in the key set that it came from.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one algorithm that it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key as SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key of a PEM text (RFC 7468): one block, and nothing around it.
    pub(super) fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let (label, der) = block(pem.trim()).ok_or(BadKey::NotPem)?;
        match label {
            "PUBLIC KEY" => Self::from_der(&der),
            "RSA PUBLIC KEY" => {
                Self::from_parsed(ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der).ok())
            }
            "CERTIFICATE" => Err(BadKey::Certificate),
            private if private.ends_with("PRIVATE KEY") => Err(BadKey::Private),
            _ => Err(BadKey::NotPem),
        }
    }

    /// The RSA key of a modulus and an exponent, big-endian.
    pub(super) fn from_rsa(n: &[u8], e: &[u8]) -> Result<Self, BadKey> {
        // RFC 7518 section 6.3.1.1: some write a zero in front that should not be there.
        let [n, e] = [n, e].map(|number| &number[number.iter().take_while(|byte| **byte == 0).count()..]);
        let components = RsaPublicKeyComponents { n, e };
        Self::from_parsed(components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok())
    }

    /// The P-256 key of a point's coordinates, big-endian and of full length.
    pub(super) fn from_p256(x: &[u8], y: &[u8]) -> Result<Self, BadKey> {
        if x.len() != COORDINATE_BYTES || y.len() != COORDINATE_BYTES {
            return Err(BadKey::Unusable);
        }
        let point = [&[UNCOMPRESSED], x, y].concat();
        Self::from_parsed(ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok())
    }

    /// The Ed25519 key of its 32 bytes.
    pub(super) fn from_ed25519(x: &[u8]) -> Result<Self, BadKey> {
        if x.len() != COORDINATE_BYTES {
            return Err(BadKey::Unusable);
        }
        Self::from_parsed(ParsedPublicKey::new(&ED25519, x).ok())
    }

    /// The same with a name.
    pub(super) fn named(self, kid: Option<&str>) -> Self {
        Self { kid: kid.map(Box::from), ..self }
    }

    fn from_parsed(parsed: Option<ParsedPublicKey>) -> Result<Self, BadKey> {
        let der = parsed.and_then(|parsed| parsed.as_der().ok()).ok_or(BadKey::Unusable)?;
        Self::from_der(der.as_ref())
    }

    /// Every key comes through here: what it is, it says itself, and its length is judged.
    fn from_der(der: &[u8]) -> Result<Self, BadKey> {
        let algorithm = match PublicEncryptingKey::from_der(der) {
            Ok(_) => Algorithm::Rs256,
            Err(error) if ["TooSmall", "TooLarge"].contains(&error.to_string().as_str()) => {
                return Err(BadKey::RsaLength);
            }
            Err(_) if ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, der).is_ok() => Algorithm::Es256,
            Err(_) if ParsedPublicKey::new(&ED25519, der).is_ok() => Algorithm::EdDsa,
            Err(_) => return Err(BadKey::Unusable),
        };
        Ok(Self { kid: None, algorithm, der: der.into() })
    }
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum BadKey {
    #[error("no public key in PEM: it begins with -----BEGIN PUBLIC KEY----- and holds one key")]
    NotPem,
    #[error(
        "a private key, which has to stay with whoever mints tokens; its public half: openssl pkey -in FILE -pubout"
    )]
    Private,
    #[error("a certificate, of which only the key counts: openssl x509 -in FILE -noout -pubkey")]
    Certificate,
    #[error("an RSA key has 2048 to 8192 bits")]
    RsaLength,
    #[error("no good key of RSA, P-256 or Ed25519")]
    Unusable,
}

/// Label and content of a PEM block.
fn block(pem: &str) -> Option<(&str, Vec<u8>)> {
    let (label, rest) = pem.strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let (body, end) = rest.split_once("-----END ")?;
    if end.strip_suffix("-----")? != label {
        return None;
    }
    let digits: String = body.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(digits).ok()?))
}

/// Bytes of a coordinate of either curve.
const COORDINATE_BYTES: usize = 32;
/// What the encoding of a point with both coordinates begins with (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

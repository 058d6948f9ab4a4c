//! What ties the keys of `[auth]` together: each algorithm has one key to verify with, or one set of them, and each
//! key an algorithm.
//!
//! Brings keys in from text or file, and shows nothing of them.

use std::io;
use std::path::Path;

use super::super::jwks;
use super::super::read::Reader;
use super::super::{Algorithm, Mode, PublicKey, Secret};

/// Reads a key's file.
type Open<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

pub(super) fn check(reader: &mut Reader<'_>, open: Open<'_>) {
    let secret = secret(reader, open);
    let public = public_keys(reader, open);
    if reader.is_good(&[ALGORITHMS]) && reader.draft.config.auth.algorithms.is_empty() {
        reader.blame(&[ALGORITHMS], "without an algorithm no token can be good");
    } else if let (Ok(secret), Ok(public)) = (secret, public)
        && reader.is_good(&[ALGORITHMS, MODE])
        && reader.draft.config.auth.mode == Mode::Jwt
    {
        algorithms(reader, secret, public);
    }
    cookie(reader);
}

/// There was something to complain of.
struct Complained;

/// The key of configuration that a key came by; `None` if none was set.
type Source = Option<&'static str>;

fn secret(reader: &mut Reader<'_>, open: Open<'_>) -> Result<Source, Complained> {
    if !reader.is_good(&[SECRET, SECRET_FILE]) {
        return Err(Complained);
    }
    let file = std::mem::take(&mut reader.draft.hs256_secret_file);
    let mut source = SECRET;
    if !file.is_empty() {
        source = SECRET_FILE;
        if reader.draft.config.auth.hs256_secret.is_some() {
            return complain(reader, source, "auth.hs256_secret is set too; leave one of them empty");
        }
        match open(Path::new(&file)) {
            Ok(bytes) => reader.draft.config.auth.hs256_secret = Some(Secret::new(&bytes)),
            Err(error) => return complain(reader, source, &format!("cannot be read: {error}")),
        }
    }
    match &reader.draft.config.auth.hs256_secret {
        Some(secret) if secret.as_bytes().len() < SECRET_BYTES_MIN => {
            let len = secret.as_bytes().len();
            let text =
                format!("it has {len} bytes, and HS256 needs {SECRET_BYTES_MIN} at least; {SECRET_RECIPE}");
            complain(reader, source, &text)
        }
        Some(_) => Ok(Some(source)),
        None => Ok(None),
    }
}

fn public_keys(reader: &mut Reader<'_>, open: Open<'_>) -> Result<Source, Complained> {
    if !reader.is_good(&PUBLIC_SOURCES) {
        return Err(Complained);
    }
    let draft = &mut reader.draft;
    let texts = [&mut draft.public_key, &mut draft.public_key_file, &mut draft.jwks_file].map(std::mem::take);
    let mut set = PUBLIC_SOURCES.into_iter().zip(texts).filter(|(_, text)| !text.is_empty());
    let Some((source, text)) = set.next() else { return Ok(None) };
    if let Some((other, _)) = set.next() {
        return complain(reader, other, &format!("{source} is set too; leave one of them empty"));
    }
    match keys_of(source, text, open) {
        Ok(keys) => {
            reader.draft.config.auth.public_keys = keys;
            Ok(Some(source))
        }
        Err(wrong) => complain(reader, source, &wrong),
    }
}

fn keys_of(source: &str, text: String, open: Open<'_>) -> Result<Vec<PublicKey>, String> {
    let bytes = match source {
        PUBLIC_KEY => text.into_bytes(),
        _ => open(Path::new(&text)).map_err(|error| format!("cannot be read: {error}"))?,
    };
    if source == JWKS_FILE {
        return jwks::keys_of(&bytes).map_err(|error| error.to_string());
    }
    let key = PublicKey::from_pem(&String::from_utf8_lossy(&bytes));
    key.map(|key| vec![key]).map_err(|error| error.to_string())
}

/// Whether keys and algorithms fit each other.
fn algorithms(reader: &mut Reader<'_>, secret: Source, public: Source) {
    let auth = &reader.draft.config.auth;
    let listed = auth.algorithms.clone();
    let keyed: Vec<Algorithm> = auth.public_keys.iter().map(PublicKey::algorithm).collect();
    let lists = |algorithm| listed.contains(&algorithm);
    // A key without its algorithm tells more than the algorithm without its key, which is often but the default.
    let mut idle = false;
    if let Some(source) = secret.filter(|_| !lists(Algorithm::Hs256)) {
        reader.blame(&[source], "auth.algorithms does not list HS256, which it is the key of");
        idle = true;
    }
    if let Some(source) = public.filter(|_| !keyed.iter().any(|algorithm| lists(*algorithm))) {
        let names: Vec<&str> =
            PUBLIC_ALGORITHMS.into_iter().filter(|it| keyed.contains(it)).map(Algorithm::as_str).collect();
        let text = format!("auth.algorithms does not list {}, which it is the key of", names.join(" or "));
        reader.blame(&[source], &text);
        idle = true;
    }
    if idle {
        return;
    }
    if secret.is_none() && lists(Algorithm::Hs256) {
        let text = match public {
            None => format!(
                "auth.mode = \"jwt\" needs the key that tokens are signed with: set it, or {SECRET_FILE}, or the \
                 variable VESTIBULE_AUTH__HS256_SECRET; {SECRET_RECIPE}"
            ),
            Some(_) => format!("auth.algorithms lists HS256, which needs it, or {SECRET_FILE}"),
        };
        reader.blame(&[SECRET], &text);
    }
    for algorithm in PUBLIC_ALGORITHMS.into_iter().filter(|it| lists(*it) && !keyed.contains(it)) {
        let text = match public {
            None => format!("{algorithm} needs a key: set one of {}", PUBLIC_SOURCES.join(", ")),
            Some(source) => format!("{source} has no key for {algorithm}"),
        };
        reader.blame(&[ALGORITHMS], &text);
    }
}

fn cookie(reader: &mut Reader<'_>) {
    let auth = &reader.draft.config.auth;
    if auth.cookie.is_some() && auth.allowed_origins.is_empty() && reader.is_good(&[COOKIE, ORIGINS]) {
        reader
            .blame(&[COOKIE], "a cookie counts only with a listed Origin, and auth.allowed_origins is empty");
    }
}

fn complain(reader: &mut Reader<'_>, source: &str, text: &str) -> Result<Source, Complained> {
    reader.blame(&[source], text);
    Err(Complained)
}

const SECRET: &str = "auth.hs256_secret";
const SECRET_FILE: &str = "auth.hs256_secret_file";
const PUBLIC_KEY: &str = "auth.public_key";
const JWKS_FILE: &str = "auth.jwks_file";
const PUBLIC_SOURCES: [&str; 3] = [PUBLIC_KEY, "auth.public_key_file", JWKS_FILE];
const ALGORITHMS: &str = "auth.algorithms";
const MODE: &str = "auth.mode";
const COOKIE: &str = "auth.cookie";
const ORIGINS: &str = "auth.allowed_origins";
/// The algorithms that a public key is for.
const PUBLIC_ALGORITHMS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
/// Bytes of an HS256 key, at least: as many as the hash has (RFC 7518 section 3.2).
const SECRET_BYTES_MIN: usize = 32;
const SECRET_RECIPE: &str = "make one with: openssl rand -base64 48";

//! The rows of `[auth]`: who a client is.

use super::super::key::{Key, Kind};
use super::super::value::{is_claim, is_cookie_name, is_origin};
use super::super::{Algorithm, Mode, Refuse, Secret};
use super::{FILE_FORM, Keys, Section, store};

pub(super) const AUTH: Section = Section {
    name: "auth",
    help: "Who a client is.",
    keys: Keys::Table(&[
        Key {
            name: "mode",
            kind: word!(Mode, it => it.config.auth.mode),
            default: "\"jwt\"",
            help: "\"jwt\": by a signed token (docs/authentication.md says where it may stand). \"hook\": \
                by what the application answers to connect (docs/hooks.md). \"none\": everybody is anonymous; for demonstrations and laboratories.",
            past: "",
        },
        Key {
            name: "hs256_secret",
            kind: Kind::Secret(SECRET_FORM, |it, text| {
                let secret = (!text.is_empty()).then(|| Secret::new(text.as_bytes()));
                store(&mut it.config.auth.hs256_secret, Some(secret))
            }),
            default: "\"\"",
            help: "The key of HS256, at least 32 bytes: openssl rand -base64 48",
            past: "",
        },
        Key {
            name: "hs256_secret_file",
            kind: Kind::Text(FILE_FORM, |it, text| store(&mut it.hs256_secret_file, Some(text.to_owned()))),
            default: "\"\"",
            help: "Instead of hs256_secret: a file that holds it, such as a systemd credential. One line end \
                at its end is left out. Relative to the working directory.",
            past: "",
        },
        Key {
            name: "public_key",
            kind: Kind::Text(PEM_FORM, |it, text| store(&mut it.public_key, Some(text.to_owned()))),
            default: "\"\"",
            help: "The key of RS256, ES256 or EdDSA: of RSA with 2048 to 8192 bits, of P-256, or of Ed25519. Its \
                private half stays with whoever mints tokens.",
            past: "",
        },
        Key {
            name: "public_key_file",
            kind: Kind::Text(FILE_FORM, |it, text| store(&mut it.public_key_file, Some(text.to_owned()))),
            default: "\"\"",
            help: "Instead of public_key: a file that holds it.",
            past: "",
        },
        Key {
            name: "jwks_file",
            kind: Kind::Text(FILE_FORM, |it, text| store(&mut it.jwks_file, Some(text.to_owned()))),
            default: "\"\"",
            help: "Instead of public_key: a file with a JSON Web Key Set (RFC 7517) of 64 keys at most, from \
                which a token's kid chooses.",
            past: "",
        },
        Key {
            name: "algorithms",
            kind: Kind::List(
                ALGORITHM_FORM,
                Algorithm::WORDS.len(),
                |it| it.config.auth.algorithms.clear(),
                |it, text| {
                    let algorithm = Algorithm::of(text);
                    it.config.auth.algorithms.extend(algorithm);
                    algorithm.is_some()
                },
            ),
            default: "[\"HS256\"]",
            help: "Signature algorithms a token may bear: each needs its key, and each key its algorithm. What \
                the token itself names is never trusted.",
            past: "",
        },
        Key {
            name: "audience",
            kind: Kind::Text(CLAIM_FORM, |it, text| claim(&mut it.config.auth.audience, text)),
            default: "\"\"",
            help: "If set: a token's aud must be this text, or an array that holds it.",
            past: "",
        },
        Key {
            name: "issuer",
            kind: Kind::Text(CLAIM_FORM, |it, text| claim(&mut it.config.auth.issuer, text)),
            default: "\"\"",
            help: "If set: a token's iss must be this text.",
            past: "",
        },
        Key {
            name: "cookie",
            kind: Kind::Text(COOKIE_FORM, |it, text| {
                let good = text.is_empty() || is_cookie_name(text);
                store(&mut it.config.auth.cookie, good.then(|| (!text.is_empty()).then(|| text.to_owned())))
            }),
            default: "\"\"",
            help: "If set: the name of a cookie that may bear the token. It counts only where the request has an \
                Origin, which must be one of allowed_origins, or Sec-Fetch-Site: same-origin, and no token \
                elsewhere.",
            past: "",
        },
        Key {
            name: "allowed_origins",
            kind: Kind::List(
                ORIGIN_FORM,
                1000,
                |it| it.config.auth.allowed_origins.clear(),
                |it, text| {
                    let good = is_origin(text);
                    it.config.auth.allowed_origins.extend(good.then(|| text.to_owned()));
                    good
                },
            ),
            default: "[]",
            help: "Pages whose browsers may connect, such as [\"https://app.example.com\"]. Another Origin \
                gets HTTP 403; a client that sends none is no browser and is let through.",
            past: "",
        },
        Key {
            name: "refuse",
            kind: word!(Refuse, it => it.config.auth.refuse),
            default: "\"close-4001\"",
            help: "How a client without identity is turned away. \"close-4001\": the WebSocket opens and is \
                closed with 4001, which a browser's script can see. \"http-401\": HTTP 401.",
            past: "",
        },
    ]),
    example: "",
};

/// Stores what a claim must be; an empty text asks for nothing.
fn claim(place: &mut Option<String>, text: &str) -> bool {
    store(place, is_claim(text).then(|| (!text.is_empty()).then(|| text.to_owned())))
}

const ORIGIN_FORM: &str = "an origin is scheme://host[:port] as a browser sends it: lower case, no path, no default \
    port; null and * are none";
const ALGORITHM_FORM: &str = "an algorithm is \"HS256\", \"RS256\", \"ES256\" or \"EdDSA\"";
const PEM_FORM: &str = "empty, or a text that begins with -----BEGIN PUBLIC KEY-----";
const CLAIM_FORM: &str = "empty, or a text of at most 1024 bytes without control characters";
const COOKIE_FORM: &str =
    "empty, or a cookie's name: letters, digits and marks such as - and _, without spaces";
const SECRET_FORM: &str = "empty, or a text of at least 32 bytes";

//! The rows of `[auth]`: who a client is.

use super::super::key::{Key, Kind};
use super::super::value::is_origin;
use super::super::{Algorithm, Mode, Refuse, Secret};
use super::{Keys, Section, store};

pub(super) const AUTH: Section = Section {
    name: "auth",
    help: "Who a client is.",
    keys: Keys::Table(&[
        Key {
            name: "mode",
            kind: word!(Mode, it => it.config.auth.mode),
            default: "\"jwt\"",
            help: "\"jwt\": by a signed token, in Authorization: Bearer or ?token=. \"none\": everybody is \
                anonymous; for demonstrations and laboratories.",
            past: "",
        },
        Key {
            name: "hs256_secret",
            kind: Kind::Secret(SECRET_FORM, |it, text| {
                let secret = (!text.is_empty()).then(|| Secret::new(text.as_bytes()));
                store(&mut it.config.auth.hs256_secret, Some(secret))
            }),
            default: "\"\"",
            help: "The key that tokens are signed with, at least 32 bytes: openssl rand -base64 48",
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
            help: "Signature algorithms a token may bear; what the token itself names is never trusted.",
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

const ORIGIN_FORM: &str = "an origin is scheme://host[:port] as a browser sends it: lower case, no path, no default \
    port; null and * are none";
const ALGORITHM_FORM: &str = "an algorithm is \"HS256\"";
const SECRET_FORM: &str = "empty, or a text of at least 32 bytes";
const FILE_FORM: &str = "empty, or the path of a file";

//! The rows of `[hooks]`: what the application is told of connections, and asked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::key::{Key, Kind};
use super::super::value::is_path;
use super::super::{Authority, HookEvent, Secret};
use super::{FILE_FORM, HOUR, Keys, MIB, SECOND, Section, fit, store};

pub(super) const HOOKS: Section = Section {
    name: "hooks",
    help: "What the application is told of connections, and asked: a POST for each event (docs/hooks.md).",
    keys: Keys::Table(&[
        Key {
            name: "url",
            kind: Kind::Text(URL_FORM, |it, text| {
                let url = if text.is_empty() { Some(None) } else { parse_url(text).map(Some) };
                store(&mut it.hooks_url, url)
            }),
            default: "\"\"",
            help: "Where events are sent, such as \"http://127.0.0.1:3000/hooks\". Empty: there are no hooks.",
            past: "",
        },
        Key {
            name: "secret",
            kind: Kind::Secret(HOOKS_SECRET_FORM, |it, text| {
                let secret =
                    if text.is_empty() { Some(None) } else { decode_secret(text.as_bytes()).map(Some) };
                store(&mut it.hooks_secret, secret)
            }),
            default: "\"\"",
            help: "The key that calls are signed with, as Standard Webhooks has it: whsec_ and what openssl rand \
                -base64 32 prints.",
            past: "",
        },
        Key {
            name: "secret_file",
            kind: Kind::Text(FILE_FORM, |it, text| store(&mut it.hooks_secret_file, Some(text.to_owned()))),
            default: "\"\"",
            help: "Instead of secret: a file that holds it, such as a systemd credential. Read again at a reload.",
            past: "",
        },
        Key {
            name: "events",
            kind: Kind::List(
                EVENT_FORM,
                HookEvent::WORDS.len(),
                |it| it.hooks.events.clear(),
                |it, text| {
                    let event = HookEvent::of(text);
                    let new = event.filter(|event| !it.hooks.events.contains(event));
                    it.hooks.events.extend(new);
                    event.is_some()
                },
            ),
            default: "[\"connect\", \"join\", \"message\", \"leave\", \"disconnect\"]",
            help: "Which events there are calls for. connect, join and message wait for an answer; leave and \
                disconnect are told, and tried again until somebody has heard them.",
            past: "",
        },
        Key {
            name: "timeout",
            kind: Kind::Duration(100, 30 * SECOND, |it, time| it.hooks.timeout = time),
            default: "\"2s\"",
            help: "How long a call that somebody waits for may take, its wait for concurrency included.",
            past: "refused, as docs/hooks.md has it for each event.",
        },
        Key {
            name: "headers",
            kind: Kind::List(
                HEADER_FORM,
                32,
                |it| it.hooks.headers.clear(),
                |it, text| {
                    let name = text.to_ascii_lowercase();
                    let good = may_pass(&name);
                    if good && !it.hooks.headers.contains(&name) {
                        it.hooks.headers.push(name);
                    }
                    good
                },
            ),
            default: "[\"user-agent\"]",
            help: "Fields of the client's request that connect tells of, such as [\"user-agent\", \"cookie\"].",
            past: "",
        },
        Key {
            name: "concurrency",
            kind: Kind::Count(1, 100_000, |it, n| it.hooks.concurrency = fit(n)),
            default: "256",
            help: "Calls under way at a time that somebody waits for; an even share for each worker, one at least.",
            past: "a call waits for its turn, within timeout.",
        },
        Key {
            name: "state",
            kind: Kind::Size(64, MIB, |it, n| it.hooks.state = fit(n)),
            default: "\"4KiB\"",
            help: "What the application may have a connection remember, as JSON.",
            past: "the answer is unusable, and what was asked for is refused.",
        },
        Key {
            name: "retry_for",
            kind: Kind::Duration(SECOND, 24 * HOUR, |it, time| it.hooks.retry_for = time),
            default: "\"5m\"",
            help: "How long a leave or a disconnect that nobody hears is tried again.",
            past: "given up, and counted in vestibule_notifications_given_up_total.",
        },
    ]),
    example: "",
};

/// The server, and the path with its query, of an `http` URL.
fn parse_url(text: &str) -> Option<(Authority, String)> {
    let rest = text.strip_prefix("http://").filter(|_| text.len() <= URL_BYTES_MAX)?;
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path = if path.is_empty() { "/" } else { path };
    let query_good = query.is_none_or(|query| query.bytes().all(|it| it.is_ascii_graphic() && it != b'#'));
    let target = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
    let authority = Authority::parse(authority, Some(80))?;
    (is_path(path) && query_good).then_some((authority, target))
}

/// The key that such a text stands for.
pub(in super::super) fn decode_secret(text: &[u8]) -> Option<Secret> {
    let key = STANDARD.decode(text.strip_prefix(b"whsec_")?).ok()?;
    (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&key.len()).then(|| Secret::new(&key))
}

/// Whether a field of this name may be handed on: one that is about the request, and not about the hop.
fn may_pass(name: &str) -> bool {
    let token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(token_byte)
        && !name.starts_with("sec-websocket-")
        && !OF_ONE_HOP.contains(&name)
}

const URL_FORM: &str = "empty, or http://HOST[:PORT]/PATH[?QUERY] of at most 2048 bytes, without a user's name or #; \
    https is not spoken to backends yet";
pub(in super::super) const HOOKS_SECRET_FORM: &str = "empty, or whsec_ and 24 to 64 bytes in base64";
const EVENT_FORM: &str = "an event is \"connect\", \"join\", \"message\", \"leave\" or \"disconnect\"";
const HEADER_FORM: &str = "a field's name, which is none of one hop (connection, upgrade and the like) and none of \
    sec-websocket-*";
/// Fields that end with the hop (RFC 9110 section 7.6.1), or frame what is sent on it.
const OF_ONE_HOP: [&str; 11] = [
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Bytes of a URL.
const URL_BYTES_MAX: usize = 2048;
/// Bytes of a field's name.
const NAME_BYTES_MAX: usize = 256;
/// Bytes of a key, as the specification of Standard Webhooks has it.
const SECRET_BYTES_MIN: usize = 24;
const SECRET_BYTES_MAX: usize = 64;

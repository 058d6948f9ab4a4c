//! The rows of `[[backend]]`: the servers of an application, and how long each thing may take there.

use super::super::key::{Key, Kind, REQUIRED};
use super::super::value::{is_backend_name, is_path};
use super::super::{Authority, Backend};
use super::{HOUR, Keys, SECOND, Section, store};

pub(super) const BACKEND: Section = Section {
    name: "backend",
    help: "An application that requests are handed on to: one server or several that answer alike. The section may \
        stand several times.",
    keys: Keys::Backends(&[
        Key {
            name: "name",
            kind: Kind::Text(NAME_FORM, |it, text| {
                store(&mut it.name, is_backend_name(text).then(|| text.to_owned()))
            }),
            default: REQUIRED,
            help: "What routes call it.",
            past: "",
        },
        Key {
            name: "servers",
            kind: Kind::List(
                SERVER_FORM,
                SERVERS_MAX,
                |it| it.servers.clear(),
                |it, text| {
                    let server = Authority::parse(text, None);
                    let good = server.is_some();
                    it.servers.extend(server);
                    good
                },
            ),
            default: REQUIRED,
            help: "Where it answers, in plain HTTP/1.1: at least one. A request goes to the server that has the fewest \
                under way. Names are resolved at the start and every 30 s.",
            past: "",
        },
        Key {
            name: "connect_timeout",
            kind: Kind::Duration(10, 60 * SECOND, |it, time| it.connect_timeout = time),
            default: "\"1s\"",
            help: "How long a connection to a server may take.",
            past: "answered with HTTP 504, or another server is tried.",
        },
        Key {
            name: "answer_timeout",
            kind: Kind::Duration(10, HOUR, |it, time| it.answer_timeout = time),
            default: "\"30s\"",
            help: "How long a server may take until its answer's head is there, from the end of the request.",
            past: "answered with HTTP 504.",
        },
        Key {
            name: "idle_timeout",
            kind: Kind::Duration(10, HOUR, |it, time| it.idle_timeout = time),
            default: "\"60s\"",
            help: "How long a body may stand still, in either direction.",
            past: "the connection to the server is closed, and the client's answer cut or HTTP 504.",
        },
        Key {
            name: "tunnel_timeout",
            kind: Kind::Duration(SECOND, 24 * HOUR, |it, time| it.tunnel_timeout = time),
            default: "\"1h\"",
            help: "How long a WebSocket of the application's own may be silent in both directions.",
            past: "cut.",
        },
        Key {
            name: "keep_alive",
            kind: Kind::Duration(0, HOUR, |it, time| it.keep_alive = time),
            default: "\"4s\"",
            help: "How long an idle connection to a server is kept for the next request: less than the server keeps \
                it (Node: 5 s). 0s: not at all.",
            past: "closed.",
        },
        Key {
            name: "health",
            kind: Kind::Fields(HEALTH_FORM, &[PATH, INTERVAL, TIMEOUT]),
            default: "{ path = \"\", interval = \"5s\", timeout = \"2s\" }",
            help: "How servers are looked at without a request: path is asked for each interval, and a server that \
                twice in a row does not answer 2xx or 3xx within timeout is passed over until it does. With an \
                empty path they are not looked at.",
            past: "",
        },
    ]),
    example: "[[backend]]\nname = \"app\"\nservers = [\"127.0.0.1:3000\"]\nconnect_timeout = \"1s\"\n\
        answer_timeout = \"30s\"\nidle_timeout = \"60s\"\ntunnel_timeout = \"1h\"\nkeep_alive = \"4s\"\n\
        health = { path = \"\", interval = \"5s\", timeout = \"2s\" }\n",
};

const PATH: Key<Backend> = Key {
    name: "path",
    kind: Kind::Text(HEALTH_PATH_FORM, |it, text| {
        let path = (text.is_empty() || is_path(text)).then(|| text.to_owned());
        store(&mut it.health.path, path.map(|path| (!path.is_empty()).then_some(path)))
    }),
    default: "\"\"",
    help: "",
    past: "",
};

const INTERVAL: Key<Backend> = Key {
    name: "interval",
    kind: Kind::Duration(100, HOUR, |it, time| it.health.interval = time),
    default: "\"5s\"",
    help: "",
    past: "",
};

const TIMEOUT: Key<Backend> = Key {
    name: "timeout",
    kind: Kind::Duration(10, 60 * SECOND, |it, time| it.health.timeout = time),
    default: "\"2s\"",
    help: "",
    past: "",
};

/// Servers of a backend at most: each is looked at for every request.
pub(super) const SERVERS_MAX: usize = 64;

const NAME_FORM: &str = "a name is 1 to 64 letters, digits, - and _";
const SERVER_FORM: &str = "a server is HOST:PORT, such as 127.0.0.1:3000, [::1]:3000 or app.internal:3000";
const HEALTH_FORM: &str = "{ path = \"/healthz\", interval = \"5s\", timeout = \"2s\" }";
const HEALTH_PATH_FORM: &str = "empty, or a path, which begins with / and is visible ASCII without ? and #";

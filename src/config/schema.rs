//! The table of everything that can be set: name, form, default, meaning, and what happens at the limit.
//!
//! A key exists because it has a row here. Reader, allowed lists, default file, variables and the operators'
//! page follow from the rows; nothing about a key is written anywhere else, save what ties two keys together
//! (`check`).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::key::{Key, Kind, REQUIRED};
use super::pattern::PATTERN_FORM;
use super::value::{is_bearer, is_origin, is_path};
use super::{
    Access, Admin, Algorithm, Auth, Config, Driver, Limits, Listener, Mode, Pattern, Refuse, RoomRule,
    Secret, Server, WebSocket,
};

/// A section of the file.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) keys: Keys,
    /// What the default file shows, commented out, where there is no default to show.
    pub(super) example: &'static str,
}

/// The rows of a section, by what they set.
pub(super) enum Keys {
    /// `[section]`, once.
    Table(&'static [Key<Draft>]),
    /// `[[listener]]`.
    Listeners(&'static [Key<Listener>]),
    /// `[[room]]`.
    Rooms(&'static [Key<RoomRule>]),
}

/// A configuration while it is read: the value itself, and what becomes part of it later.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) hs256_secret_file: String,
}

impl Section {
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        SECTIONS.iter().find(|section| section.name == name)
    }

    /// The keys' names, in the order of the table.
    pub(super) fn names(&self) -> Vec<&'static str> {
        match self.keys {
            Keys::Table(keys) => keys.iter().map(|key| key.name).collect(),
            Keys::Listeners(keys) => keys.iter().map(|key| key.name).collect(),
            Keys::Rooms(keys) => keys.iter().map(|key| key.name).collect(),
        }
    }

    /// How the section's head is written.
    pub(super) fn head(&self) -> String {
        match self.keys {
            Keys::Table(_) => format!("[{}]", self.name),
            Keys::Listeners(_) | Keys::Rooms(_) => format!("[[{}]]", self.name),
        }
    }
}

impl Draft {
    /// Every default of the table, and nothing else.
    pub(super) fn defaults() -> Self {
        let mut draft = Self::blank();
        for section in &SECTIONS {
            match section.keys {
                Keys::Table(keys) => keys.iter().for_each(|key| key.set_default(&mut draft)),
                Keys::Listeners(keys) => draft.config.listeners = vec![Listener::blank(keys)],
                Keys::Rooms(_) => {}
            }
        }
        draft
    }

    /// A value for each field, for the defaults of the table to stand on.
    fn blank() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Config {
            listeners: Vec::new(),
            server: Server { workers: 0, driver: Driver::Auto, drain: Duration::ZERO },
            admin: Admin { address, keys: Vec::new() },
            auth: Auth {
                mode: Mode::Jwt,
                hs256_secret: None,
                algorithms: Vec::new(),
                allowed_origins: Vec::new(),
                refuse: Refuse::Close4001,
            },
            rooms: Vec::new(),
            limits: Limits {
                frame: 0,
                message: 0,
                fragments: 0,
                connections: 0,
                connections_per_address: 0,
                rooms: 0,
                rooms_per_connection: 0,
                room_name: 0,
                messages_per_second: 0,
                burst: 0,
                messages_per_second_per_user: 0,
                messages_per_second_per_address: 0,
                lag: 0,
                buffered: 0,
                head: 0,
                head_deadline: Duration::ZERO,
            },
            websocket: WebSocket { path: String::new(), echo: None },
        };
        Self { config, hs256_secret_file: String::new() }
    }
}

/// An item of a list of tables, before its keys are read.
pub(super) trait Item: Sized + 'static {
    /// An item with the defaults of `keys`.
    fn blank(keys: &[Key<Self>]) -> Self;
}

impl Item for Listener {
    fn blank(keys: &[Key<Self>]) -> Self {
        let mut listener = Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        keys.iter().for_each(|key| key.set_default(&mut listener));
        listener
    }
}

impl Item for RoomRule {
    fn blank(keys: &[Key<Self>]) -> Self {
        let pattern = Pattern::parse("-").expect("a literal is a pattern");
        let mut rule = Self { pattern, join: Access::Nobody, publish: Access::Nobody };
        keys.iter().filter(|key| key.default != REQUIRED).for_each(|key| key.set_default(&mut rule));
        rule
    }
}

/// A number of a row in the width of its field.
fn fit<N: TryFrom<u64>>(number: u64) -> N {
    N::try_from(number).ok().expect("a row's range fits its field: a test sets every row to its maximum")
}

/// Stores what was parsed, and says whether there was anything.
fn store<V>(place: &mut V, parsed: Option<V>) -> bool {
    match parsed {
        Some(parsed) => {
            *place = parsed;
            true
        }
        None => false,
    }
}

/// A word's variant: the words of a row are those of its enum.
macro_rules! word {
    ($words:ident, $it:ident => $place:expr) => {
        Kind::Word($words::WORDS, |$it, word| {
            $place = $words::of(word).expect("a row's words are its enum's");
        })
    };
}

/// In the place of what happens at a limit, that nothing does so far.
pub(super) const NOT_YET: &str = "Not enforced yet.";
/// Listeners at most.
pub(super) const LISTENERS_MAX: usize = 64;
/// Room rules at most: each is tried in turn at a join.
pub(super) const ROOMS_MAX: usize = 1000;

const ADDRESS_FORM: &str = "an address is IP:PORT, such as 0.0.0.0:8080 or [::]:8080";
const PATH_FORM: &str = "a path begins with / and is up to 256 bytes of visible ASCII without ? and #";
const ECHO_FORM: &str = "empty, or a path, which begins with / and is visible ASCII without ? and #";
const ORIGIN_FORM: &str = "an origin is scheme://host[:port] as a browser sends it: lower case, no path, no default \
    port; null and * are none";
const KEY_FORM: &str = "a key is 1 to 1024 bytes of visible ASCII, without spaces";
const ALGORITHM_FORM: &str = "an algorithm is \"HS256\"";
const SECRET_FORM: &str = "empty, or a text of at least 32 bytes";
const FILE_FORM: &str = "empty, or the path of a file";

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;

pub(super) static SECTIONS: [Section; 7] = [
    Section {
        name: "listener",
        help: "An address for clients. The section may stand several times.",
        keys: Keys::Listeners(&[Key {
            name: "address",
            kind: Kind::Text(ADDRESS_FORM, |it, text| store(&mut it.address, text.parse().ok())),
            default: "\"0.0.0.0:8080\"",
            help: "IP and port; port 0 lets the kernel choose one.",
            past: "",
        }]),
        example: "",
    },
    Section {
        name: "server",
        help: "The process.",
        keys: Keys::Table(&[
            Key {
                name: "workers",
                kind: Kind::Count(0, 1024, |it, n| it.config.server.workers = fit(n)),
                default: "0",
                help: "Worker threads. 0: one for each CPU this process may use; each is pinned to its own.",
                past: "",
            },
            Key {
                name: "driver",
                kind: word!(Driver, it => it.config.server.driver),
                default: "\"auto\"",
                help: "\"auto\": io_uring, or epoll where there is none, which is logged. \"io_uring\": no start \
                    without it (exit 78). \"epoll\": never io_uring.",
                past: "",
            },
            Key {
                name: "drain",
                kind: Kind::Duration(0, HOUR, |it, time| it.config.server.drain = time),
                default: "\"30s\"",
                help: "On SIGTERM or SIGINT: the time over which connections are closed with 1001, so that they do \
                    not all come back at once. A second signal ends the process at once, with exit 1.",
                past: "",
            },
        ]),
        example: "",
    },
    Section {
        name: "admin",
        help: "The operator's listener: metrics and health. Never reachable through a public listener.",
        keys: Keys::Table(&[
            Key {
                name: "address",
                kind: Kind::Text(ADDRESS_FORM, |it, text| {
                    store(&mut it.config.admin.address, text.parse().ok())
                }),
                default: "\"127.0.0.1:9091\"",
                help: "IP and port. Other than a loopback address only with keys.",
                past: "",
            },
            Key {
                name: "keys",
                kind: Kind::Secrets(
                    KEY_FORM,
                    100,
                    |it| it.config.admin.keys.clear(),
                    |it, text| {
                        let good = is_bearer(text);
                        it.config.admin.keys.extend(good.then(|| Secret::new(text.as_bytes())));
                        good
                    },
                ),
                default: "[]",
                help: "Keys for the API, as Authorization: Bearer KEY; there is no API yet. Metrics and health need none.",
                past: "",
            },
        ]),
        example: "",
    },
    Section {
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
                kind: Kind::Text(FILE_FORM, |it, text| {
                    store(&mut it.hs256_secret_file, Some(text.to_owned()))
                }),
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
    },
    Section {
        name: "room",
        help: "Who may enter which rooms. The first rule whose pattern covers the room decides; without any rule \
            nobody joins anything. The section may stand several times.",
        keys: Keys::Rooms(&[
            Key {
                name: "pattern",
                kind: Kind::Text(PATTERN_FORM, |it, text| store(&mut it.pattern, Pattern::parse(text).ok())),
                default: REQUIRED,
                help: "The rooms the rule is for. {user} stands for a user's name; * at the end matches the rest, \
                    which may be empty.",
                past: "",
            },
            Key {
                name: "join",
                kind: word!(Access, it => it.join),
                default: "\"nobody\"",
                help: "Who may join. \"anyone\"; \"authenticated\": whoever has an identity; \"token\": whose token \
                    lists the room; \"owner\": whose name stands in the place of {user}; \"nobody\".",
                past: "",
            },
            Key {
                name: "publish",
                kind: word!(Access, it => it.publish),
                default: "\"nobody\"",
                help: "Who may publish from a connection; the same words. Membership is not needed.",
                past: "",
            },
        ]),
        example: "[[room]]\npattern = \"chat:*\"\njoin = \"authenticated\"\npublish = \"authenticated\"\n\n[[room]]\n\
            pattern = \"user:{user}\"\njoin = \"owner\"\npublish = \"nobody\"\n",
    },
    Section {
        name: "limits",
        help: "What a peer may cost.",
        keys: Keys::Table(&[
            Key {
                name: "frame",
                kind: Kind::Size(125, GIB, |it, n| it.config.limits.frame = n),
                default: "\"64KiB\"",
                help: "Payload of one WebSocket frame; at most message.",
                past: "closed with 1009 as soon as the frame's header is read.",
            },
            Key {
                name: "message",
                kind: Kind::Size(125, GIB, |it, n| it.config.limits.message = n),
                default: "\"64KiB\"",
                help: "A message, assembled from its frames.",
                past: "closed with 1009 at the header of the frame that would go beyond.",
            },
            Key {
                name: "fragments",
                kind: Kind::Count(1, 1 << 20, |it, n| it.config.limits.fragments = fit(n)),
                default: "1024",
                help: "Frames one message may come in.",
                past: "closed with 1008 at the header of the frame too many.",
            },
            Key {
                name: "connections",
                kind: Kind::Count(1, 100_000_000, |it, n| it.config.limits.connections = fit(n)),
                default: "100000",
                help: "Connections of the process, from the moment they are accepted; lowered, with one warning, to \
                    what NOFILE leaves room for.",
                past: "a new connection is answered 503 and closed.",
            },
            Key {
                name: "connections_per_address",
                kind: Kind::Count(1, 100_000_000, |it, n| it.config.limits.connections_per_address = fit(n)),
                default: "1000",
                help: "Connections of one address; an IPv6 /64 counts as one.",
                past: NOT_YET,
            },
            Key {
                name: "rooms",
                kind: Kind::Count(1, 1_000_000_000, |it, n| it.config.limits.rooms = fit(n)),
                default: "1000000",
                help: "Rooms of the process.",
                past: NOT_YET,
            },
            Key {
                name: "rooms_per_connection",
                kind: Kind::Count(1, 1_000_000, |it, n| it.config.limits.rooms_per_connection = fit(n)),
                default: "100",
                help: "Rooms one connection is in at a time.",
                past: "the join is answered with the error too_many_rooms.",
            },
            Key {
                name: "room_name",
                kind: Kind::Size(1, 4 * KIB, |it, n| it.config.limits.room_name = fit(n)),
                default: "\"256B\"",
                help: "A room's name, in UTF-8.",
                past: "the command is answered with the error room_name.",
            },
            Key {
                name: "messages_per_second",
                kind: Kind::Count(1, 4_000_000_000, |it, n| it.config.limits.messages_per_second = fit(n)),
                default: "50",
                help: "Messages of one connection: what a second adds to its token bucket.",
                past: NOT_YET,
            },
            Key {
                name: "burst",
                kind: Kind::Count(1, 4_000_000_000, |it, n| it.config.limits.burst = fit(n)),
                default: "100",
                help: "Messages of one connection at once: what its token bucket holds.",
                past: NOT_YET,
            },
            Key {
                name: "messages_per_second_per_user",
                kind: Kind::Count(0, 4_000_000_000, |it, n| {
                    it.config.limits.messages_per_second_per_user = fit(n)
                }),
                default: "0",
                help: "Messages of one user over all connections of the node. 0: no limit.",
                past: NOT_YET,
            },
            Key {
                name: "messages_per_second_per_address",
                kind: Kind::Count(0, 4_000_000_000, |it, n| {
                    it.config.limits.messages_per_second_per_address = fit(n)
                }),
                default: "0",
                help: "Messages of one address over all connections of the node. 0: no limit.",
                past: NOT_YET,
            },
            Key {
                name: "lag",
                kind: Kind::Size(KIB, GIB, |it, n| it.config.limits.lag = fit(n)),
                default: "\"1MiB\"",
                help: "How far a connection may be behind, outbox and all its rooms together; at least message.",
                past: "closed with 4008, after whole frames; cut 10 s later if that is not read.",
            },
            Key {
                name: "buffered",
                kind: Kind::Size(MIB, 1024 * GIB, |it, n| it.config.limits.buffered = fit(n)),
                default: "\"256MiB\"",
                help: "Logs, chunks and outboxes of the process; at least lag.",
                past: "the connections furthest behind are cut first, mostly without a close frame.",
            },
            Key {
                name: "head",
                kind: Kind::Size(KIB, MIB, |it, n| it.config.limits.head = fit(n)),
                default: "\"16KiB\"",
                help: "A request's line and headers.",
                past: "answered with HTTP 431, or 414 if its first line alone is too long, and closed.",
            },
            Key {
                name: "head_deadline",
                kind: Kind::Duration(10, HOUR, |it, time| it.config.limits.head_deadline = time),
                default: "\"10s\"",
                help: "From a connection's first moment, or the answer before, until a request's head is whole; \
                    bytes do not extend it.",
                past: "answered with HTTP 408 and closed; closed without a word if no head has begun.",
            },
        ]),
        example: "",
    },
    Section {
        name: "websocket",
        help: "The WebSocket endpoints.",
        keys: Keys::Table(&[
            Key {
                name: "path",
                kind: Kind::Text(PATH_FORM, |it, text| {
                    let path = is_path(text).then(|| text.to_owned());
                    store(&mut it.config.websocket.path, path)
                }),
                default: "\"/ws\"",
                help: "Where clients connect.",
                past: "",
            },
            Key {
                name: "echo",
                kind: Kind::Text(ECHO_FORM, |it, text| {
                    let echo = (text.is_empty() || is_path(text)).then(|| text.to_owned());
                    store(&mut it.config.websocket.echo, echo.map(|path| (!path.is_empty()).then_some(path)))
                }),
                default: "\"\"",
                help: "\"/echo\" serves an echo without token or rate limit, for conformance and load tools.",
                past: "",
            },
        ]),
        example: "",
    },
];

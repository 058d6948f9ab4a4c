//! The table of everything that can be set: name, form, default, meaning, and what happens at the limit.
//!
//! A key exists because it has a row here. Reader, allowed lists, default file, variables and the operators'
//! page follow from the rows; nothing about a key is written anywhere else, save what ties two keys together
//! (`check`).

/// A word's variant: the words of a row are those of its enum.
macro_rules! word {
    ($words:ident, $it:ident => $place:expr) => {
        Kind::Word($words::WORDS, |$it, word| {
            $place = $words::of(word).expect("a row's words are its enum's");
        })
    };
}

mod auth;
mod backend;
mod heartbeat;
mod hooks;
mod limits;
mod process;
mod room;
mod route;
mod sse;
mod websocket;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

pub(super) use hooks::{HOOKS_SECRET_FORM, decode_secret};
pub(super) use process::{ADMIN_KEYS_MAX, KEY_FORM};

use super::key::{Key, REQUIRED};
use super::{
    Access, Address, Admin, Auth, Authority, Backend, Config, Driver, Health, Heartbeat, History, Hooks,
    Limits, Listener, LogFormat, Mode, Pattern, Refuse, RoomRule, Route, Secret, Server, Sse, WebSocket,
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
    /// `[[backend]]`.
    Backends(&'static [Key<Backend>]),
    /// `[[route]]`.
    Routes(&'static [Key<Route>]),
}

/// A configuration while it is read: the value itself, and what becomes part of it later.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) keys_file: String,
    pub(super) hs256_secret_file: String,
    pub(super) public_key: String,
    pub(super) public_key_file: String,
    pub(super) jwks_file: String,
    pub(super) hooks_url: Option<(Authority, String)>,
    pub(super) hooks_secret: Option<Secret>,
    pub(super) hooks_secret_file: String,
    /// What the other keys of `[hooks]` say; its URL and its secret are the three above.
    pub(super) hooks: Hooks,
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
            Keys::Backends(keys) => keys.iter().map(|key| key.name).collect(),
            Keys::Routes(keys) => keys.iter().map(|key| key.name).collect(),
        }
    }

    /// How the section's head is written.
    pub(super) fn head(&self) -> String {
        match self.keys {
            Keys::Table(_) => format!("[{}]", self.name),
            _ => format!("[[{}]]", self.name),
        }
    }

    /// How often it may stand.
    pub(super) fn items_max(&self) -> usize {
        match self.keys {
            Keys::Table(_) => 1,
            Keys::Listeners(_) => LISTENERS_MAX,
            Keys::Rooms(_) => ROOMS_MAX,
            Keys::Backends(_) => BACKENDS_MAX,
            Keys::Routes(_) => ROUTES_MAX,
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
                Keys::Rooms(_) | Keys::Backends(_) | Keys::Routes(_) => {}
            }
        }
        draft
    }

    /// A value for each field, for the defaults of the table to stand on.
    fn blank() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Config {
            listeners: Vec::new(),
            server: Server {
                workers: 0,
                driver: Driver::Auto,
                drain: Duration::ZERO,
                trusted_proxies: Vec::new(),
                health_path: None,
                log_format: LogFormat::Text,
            },
            admin: Admin { address: address.into(), keys: Vec::new() },
            auth: Auth {
                mode: Mode::Jwt,
                hs256_secret: None,
                public_keys: Vec::new(),
                algorithms: Vec::new(),
                audience: None,
                issuer: None,
                cookie: None,
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
            heartbeat: Heartbeat { interval: Duration::ZERO, timeout: Duration::ZERO },
            websocket: WebSocket { path: String::new(), echo: None },
            sse: Sse { path: None, heartbeat: Duration::ZERO },
            backends: Vec::new(),
            routes: Vec::new(),
            hooks: None,
        };
        let file = String::new;
        Self {
            config,
            keys_file: file(),
            hs256_secret_file: file(),
            public_key: file(),
            public_key_file: file(),
            jwks_file: file(),
            hooks_url: None,
            hooks_secret: None,
            hooks_secret_file: file(),
            hooks: Hooks {
                authority: Authority::parse("nowhere", Some(80)).expect("a literal is an authority"),
                target: file(),
                secret: Secret::new(b""),
                events: Vec::new(),
                timeout: Duration::ZERO,
                headers: Vec::new(),
                concurrency: 0,
                state: 0,
                retry_for: Duration::ZERO,
            },
        }
    }
}

/// An item of a list of tables, before its keys are read.
pub(super) trait Item: Sized + 'static {
    /// An item with the defaults of `keys`.
    fn blank(keys: &[Key<Self>]) -> Self;
}

impl Item for Listener {
    fn blank(keys: &[Key<Self>]) -> Self {
        let mut listener = Self { address: Address::Socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) };
        keys.iter().for_each(|key| key.set_default(&mut listener));
        listener
    }
}

impl Item for RoomRule {
    fn blank(keys: &[Key<Self>]) -> Self {
        let pattern = Pattern::parse("-").expect("a literal is a pattern");
        let mut rule =
            Self { pattern, join: Access::Nobody, publish: Access::Nobody, history: History::default() };
        keys.iter().filter(|key| key.default != REQUIRED).for_each(|key| key.set_default(&mut rule));
        rule
    }
}

impl Item for Backend {
    fn blank(keys: &[Key<Self>]) -> Self {
        let mut backend = Self {
            name: String::new(),
            servers: Vec::new(),
            connect_timeout: Duration::ZERO,
            answer_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            tunnel_timeout: Duration::ZERO,
            keep_alive: Duration::ZERO,
            health: Health { path: None, interval: Duration::ZERO, timeout: Duration::ZERO },
        };
        keys.iter().filter(|key| key.default != REQUIRED).for_each(|key| key.set_default(&mut backend));
        backend
    }
}

impl Item for Route {
    fn blank(keys: &[Key<Self>]) -> Self {
        let mut route = Self { host: None, path: String::new(), backend: String::new() };
        keys.iter().filter(|key| key.default != REQUIRED).for_each(|key| key.set_default(&mut route));
        route
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

/// Listeners at most.
pub(super) const LISTENERS_MAX: usize = 64;
/// Room rules at most: each is tried in turn at a join.
pub(super) const ROOMS_MAX: usize = 1000;
/// Backends at most.
pub(super) const BACKENDS_MAX: usize = 100;
/// Routes at most: those of a request's host are tried in turn.
pub(super) const ROUTES_MAX: usize = 1000;

const FILE_FORM: &str = "empty, or the path of a file";

/// Bytes.
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
/// In milliseconds.
const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;

pub(super) static SECTIONS: [Section; 12] = [
    process::LISTENER,
    process::SERVER,
    process::ADMIN,
    auth::AUTH,
    room::ROOM,
    limits::LIMITS,
    heartbeat::HEARTBEAT,
    websocket::WEBSOCKET,
    sse::SSE,
    backend::BACKEND,
    route::ROUTE,
    hooks::HOOKS,
];

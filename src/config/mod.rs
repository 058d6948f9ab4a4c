//! The configuration: a TOML file and `VESTIBULE_` variables in, one plain value out, or every complaint at once.
//!
//! What can be set stands in one table, `schema`: reader, lists of allowed keys, the commented default file and
//! `docs/configuration.md` all come from it or are tested against it. Opens the file and the secret files it
//! names, and does nothing else: it never looks at the clock, the network or the process's environment (the
//! caller hands that in), and it never prints a secret.

mod address;
mod authority;
mod check;
mod complaint;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod jwks;
mod key;
mod manual;
mod network;
mod pattern;
mod public_key;
mod read;
mod schema;
mod value;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

pub use address::Address;
pub use authority::Authority;
pub use complaint::Complaints;
pub use manual::default_file;
pub use network::Network;
pub use pattern::{BadPattern, Pattern};
pub use public_key::PublicKey;
pub use value::{Access, Algorithm, Driver, HookEvent, LogFormat, Mode, Refuse, Secret};
#[cfg(feature = "server")]
pub(crate) use value::{parse_duration, show_duration};

use schema::Draft;

/// Everything an operator can set. [`Config::default`] is what holds without a file: complete but for the
/// secret that `auth.mode = "jwt"` needs, and without a room rule, so that nobody joins anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// The process.
    pub server: Server,
    /// The operator's listener.
    pub admin: Admin,
    /// Who a client is.
    pub auth: Auth,
    /// Who may enter which room: the first rule that covers a room decides, and without one nobody joins.
    pub rooms: Vec<RoomRule>,
    /// What a peer may cost.
    pub limits: Limits,
    /// How a dead connection is found.
    pub heartbeat: Heartbeat,
    /// The WebSocket endpoints.
    pub websocket: WebSocket,
    /// The endpoint of Server-Sent Events.
    pub sse: Sse,
    /// Applications that requests are handed on to.
    pub backends: Vec<Backend>,
    /// Which request goes to which of them.
    pub routes: Vec<Route>,
    /// What the application is told of connections, and asked; none without `hooks.url`.
    pub hooks: Option<Hooks>,
}

/// One public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where to listen.
    pub address: Address,
}

/// The process as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Worker threads; 0 is one for each CPU the process may use.
    pub workers: usize,
    /// What drives I/O.
    pub driver: Driver,
    /// How long a stop spreads its goodbyes over.
    pub drain: Duration,
    /// Proxies whose X-Forwarded-For counts.
    pub trusted_proxies: Vec<Network>,
    /// Path of the public listeners at which the node's readiness is told, if there is one.
    pub health_path: Option<String>,
    /// How lines of the log are written.
    pub log_format: LogFormat,
}

/// The listener for health, metrics and API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where to listen; a loopback address unless there are keys.
    pub address: Address,
    /// Bearer keys of the API: those of the configuration itself, and behind them those of its file.
    pub keys: Vec<Secret>,
}

/// Who a client is, and what happens to one that cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// How identity is established.
    pub mode: Mode,
    /// Key of HS256, at least 32 bytes. Where `mode` is [`Mode::Jwt`] and the value came from [`load`], there is
    /// a key for each of `algorithms`.
    pub hs256_secret: Option<Secret>,
    /// Keys of the other algorithms, of a PEM text or a JWKS; some of them perhaps of an algorithm that is not allowed.
    pub public_keys: Vec<PublicKey>,
    /// Signature algorithms a token may bear.
    pub algorithms: Vec<Algorithm>,
    /// Whom a token must be for, if that is asked.
    pub audience: Option<String>,
    /// Who must have issued a token, if that is asked.
    pub issuer: Option<String>,
    /// Name of the cookie that may bear a token, if one may.
    pub cookie: Option<String>,
    /// Origins of browser pages that may connect: `scheme://host[:port]` in lower case, compared exactly.
    pub allowed_origins: Vec<String>,
    /// How a client without identity is turned away.
    pub refuse: Refuse,
}

/// Who may join, and who may publish to, the rooms that a pattern covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRule {
    /// The rooms this rule is for.
    pub pattern: Pattern,
    /// Who may join.
    pub join: Access,
    /// Who may publish from a connection; membership is not asked for.
    pub publish: Access,
    /// What is kept of the rooms' publications.
    pub history: History,
}

/// What a room keeps of its publications, for those who come back; by default nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// Publications at most; 0 is no history, and then `ttl` is zero too.
    pub size: u32,
    /// How long each of them is kept.
    pub ttl: Duration,
}

/// What a peer may cost. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of one WebSocket frame.
    pub frame: u64,
    /// Bytes of an assembled message; at least `frame`.
    pub message: u64,
    /// Frames one message may come in.
    pub fragments: u32,
    /// Connections of the process.
    pub connections: usize,
    /// Connections of one peer address (an IPv6 /64 is one).
    pub connections_per_address: usize,
    /// Rooms of the process.
    pub rooms: usize,
    /// Rooms one connection is in at a time.
    pub rooms_per_connection: usize,
    /// Bytes of a room's name.
    pub room_name: usize,
    /// Messages a second that fill a connection's token bucket.
    pub messages_per_second: u32,
    /// Messages a connection's token bucket holds.
    pub burst: u32,
    /// Messages a second of one user over all connections of the node; 0 is no limit.
    pub messages_per_second_per_user: u32,
    /// Messages a second of one address over all connections of the node; 0 is no limit.
    pub messages_per_second_per_address: u32,
    /// Bytes a connection may be behind, outbox and rooms together; at least `message`.
    pub lag: usize,
    /// Bytes of logs, chunks and outboxes in the process; at least `lag`.
    pub buffered: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// Time from a connection's first moment until its request's head is whole.
    pub head_deadline: Duration,
}

/// How a dead connection is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// How long a peer may be silent until it is pinged.
    pub interval: Duration,
    /// How long it then has to be heard.
    pub timeout: Duration,
}

/// The WebSocket endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocket {
    /// Path of the native protocol.
    pub path: String,
    /// Path of an echo that asks for no token, if there is one.
    pub echo: Option<String>,
}

/// The endpoint of Server-Sent Events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sse {
    /// Path of streams of several rooms, below which those of one user are; without one there are no streams.
    pub path: Option<String>,
    /// How long a stream may be silent until a comment is sent.
    pub heartbeat: Duration,
}

/// An application behind us: one or more servers that answer alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// What routes call it.
    pub name: String,
    /// Where it answers; at least one.
    pub servers: Vec<Authority>,
    /// How long a connection to a server may take.
    pub connect_timeout: Duration,
    /// How long a server may take, once it has the request, until the head of its answer is there.
    pub answer_timeout: Duration,
    /// How long a body may stand still, in either direction.
    pub idle_timeout: Duration,
    /// How long a tunnel (a WebSocket of the application's own) may be silent.
    pub tunnel_timeout: Duration,
    /// How long an idle connection is kept for the next request.
    pub keep_alive: Duration,
    /// How a server is looked at without a request, if it is.
    pub health: Health,
}

/// How a backend's servers are looked at; without a path they are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// A path that answers 2xx or 3xx where the server is well.
    pub path: Option<String>,
    /// How often it is asked for.
    pub interval: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// Requests that go to a backend: the route with their host, and of those the one with the longest path, wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The host in lower case, without port; none: any.
    pub host: Option<String>,
    /// The path: itself, and everything below it.
    pub path: String,
    /// The backend's name.
    pub backend: String,
}

/// Calls of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// The server of the URL.
    pub authority: Authority,
    /// Its path and query.
    pub target: String,
    /// The key that calls are signed with, decoded.
    pub secret: Secret,
    /// What the application is told or asked of.
    pub events: Vec<HookEvent>,
    /// How long a call that somebody waits for may take.
    pub timeout: Duration,
    /// Fields of the client's request that are handed on, names in lower case.
    pub headers: Vec<String>,
    /// Calls under way at a time, of the process.
    pub concurrency: usize,
    /// Bytes of a connection's state.
    pub state: usize,
    /// How long a notification is tried.
    pub retry_for: Duration,
}

/// Reads `path`, if any, over the defaults and `env` over both; other variables than `VESTIBULE_SECTION__KEY`
/// are passed over. A variable whose bytes are not UTF-8 is expected with U+FFFD in it, and complained of.
///
/// # Errors
///
/// Every complaint there is, sorted by line, those of variables last: syntax, unknown keys, values out of
/// range, and what does not go together. Where the syntax is broken, the last kind is left for the next try.
/// A file above 1 MiB is refused.
pub fn load(
    path: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Complaints> {
    let Some(path) = path else {
        return read::read("", None, env, &secret_file);
    };
    let name = path.display().to_string();
    let bytes = match bytes_of(path, FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => return Err(Complaints::of_file(name, format!("cannot be read: {error}"))),
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) => read::read(text, Some(name), env, &secret_file),
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            Err(Complaints::of_line(name, line, "not UTF-8, which TOML must be".to_owned()))
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Draft::defaults().config
    }
}

impl Default for Server {
    fn default() -> Self {
        Config::default().server
    }
}

impl Default for Admin {
    fn default() -> Self {
        Config::default().admin
    }
}

impl Default for Auth {
    fn default() -> Self {
        Config::default().auth
    }
}

impl Default for Limits {
    fn default() -> Self {
        Config::default().limits
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Config::default().heartbeat
    }
}

impl Default for WebSocket {
    fn default() -> Self {
        Config::default().websocket
    }
}

impl Default for Sse {
    fn default() -> Self {
        Config::default().sse
    }
}

/// The key in the file `path`, without the line end that editors and `echo` leave.
fn secret_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = bytes_of(path, SECRET_BYTES_MAX)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn bytes_of(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file at the limit from one above it, and /dev/zero ends too.
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        let limit = value::show_size(max);
        return Err(io::Error::other(format!("it is larger than {limit}")));
    }
    Ok(bytes)
}

/// Bytes of a configuration file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of a file of keys.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

//! Rooms with a view of the street: what peers speak, and what of it becomes a command.
//!
//! A socket comes in by [`admit`], goes through the HTTP exchange, and may become a connection that a
//! protocol serves. Keeps no room state, and shares nothing between connections but the [`Services`].

mod admission;
mod client;
mod exchange;
mod hooks;
mod linger;
mod native;
mod request;
mod script;
mod sse;
mod websocket;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tracing::field::display;
use tracing::{debug, error};

use crate::api;
use crate::auth::jwt::{NoVerifier, Verifier};
use crate::backend::hooks::Hooks;
use crate::backend::{Backends, Boards, Station};
use crate::config::{Config, HookEvent, Mode, RoomRule};
use crate::net::{Instant, Writer, catch, now, spawn};
use crate::protocol::http::{Head, Response};
use crate::protocol::websocket::{CloseCode, Limits};
use crate::quota::{Addresses, Rate, Seat, TooMany};
use crate::shard::{Arrival, GOODBYE_WITHIN, Shard, Socket};

use exchange::Became;
pub use request::Requests;

/// What a shard's connections are served by and judged by.
pub struct Services {
    settings: RefCell<Rc<Settings>>,
    pages: Option<Pages>,
    requests: Requests,
    station: Rc<Station>,
    backends: RefCell<Rc<Backends>>,
    hooks: Rc<Hooks>,
    /// Bytes of bodies that are read or answered, and of answers that are written, of the operators' calls.
    body_bytes: Cell<usize>,
    panic_said: Said,
    not_whole_said: Said,
}

/// When something was said last that is said once a second at most: a peer may have found a way to cause it.
#[derive(Default)]
struct Said(Cell<Option<Instant>>);

impl Said {
    /// Whether it may be said now; then it is.
    fn may(&self, now: Instant) -> bool {
        let may = self.0.get().is_none_or(|last| now - last >= SAID_EVERY);
        if may {
            self.0.set(Some(now));
        }
        may
    }
}

/// What was configured, as it holds between two reloads.
#[derive(Clone)]
pub struct Settings {
    /// Everything that was configured.
    pub config: Arc<Config>,
    /// Judges tokens; none with `auth.mode = "none"`.
    pub verifier: Option<Arc<Verifier>>,
    /// Of the API.
    pub keys: api::Keys,
    /// What is known of the health of backends' servers.
    pub boards: Arc<Boards>,
}

/// Pages that a node serves besides its configured paths; shared by all workers.
pub type Pages = Arc<dyn Fn(&Head) -> Option<Response> + Send + Sync>;

impl Services {
    /// By these settings, with these pages besides the configured paths, names for requests, what this worker's
    /// backends have in common, and its hooks.
    pub fn new(
        settings: Settings,
        pages: Option<Pages>,
        requests: Requests,
        station: Rc<Station>,
        hooks: Rc<Hooks>,
    ) -> Services {
        let backends = Backends::new(&settings.config, &settings.boards, &station, None);
        hooks.configure(&settings.config, &settings.boards);
        Services {
            station,
            backends: RefCell::new(Rc::new(backends)),
            settings: RefCell::new(Rc::new(settings)),
            pages,
            requests,
            hooks,
            body_bytes: Cell::default(),
            panic_said: Said::default(),
            not_whole_said: Said::default(),
        }
    }

    /// The settings that hold now. Whoever keeps them over a wait goes by old ones.
    pub fn settings(&self) -> Rc<Settings> {
        self.settings.borrow().clone()
    }

    /// The backends of this worker, as they are configured now.
    pub fn backends(&self) -> Rc<Backends> {
        self.backends.borrow().clone()
    }

    /// What this worker's backends have in common.
    pub fn station(&self) -> &Rc<Station> {
        &self.station
    }

    /// The hooks of this worker.
    pub fn hooks(&self) -> &Rc<Hooks> {
        &self.hooks
    }

    /// What the application answers to what it is told may publish, in this shard's name.
    pub fn attend(self: &Rc<Self>, shard: &Rc<Shard>) {
        hooks::publish_answers(shard, self);
    }

    /// Other settings hold from now on, for connections that are open too.
    pub fn replace(&self, settings: Settings) {
        let backends =
            Backends::new(&settings.config, &settings.boards, &self.station, Some(&self.backends()));
        *self.backends.borrow_mut() = Rc::new(backends);
        self.hooks.configure(&settings.config, &settings.boards);
        *self.settings.borrow_mut() = Rc::new(settings);
    }
}

impl Settings {
    /// As configured; of the servers of `earlier`, what is known stays.
    ///
    /// # Errors
    ///
    /// [`NoVerifier`] where no token could be judged.
    pub fn new(config: Arc<Config>, earlier: Option<&Boards>) -> Result<Settings, NoVerifier> {
        let verifier = match config.auth.mode {
            Mode::None | Mode::Hook => None,
            Mode::Jwt => Some(Arc::new(Verifier::new(&config.auth)?)),
        };
        let keys = api::Keys::new(&config.admin.keys);
        let boards = Arc::new(Boards::new(&config, earlier));
        Ok(Settings { config, verifier, keys, boards })
    }

    /// Whether the application is told of, or asked, this.
    fn hooks_want(&self, event: HookEvent) -> bool {
        self.config.hooks.as_ref().is_some_and(|hooks| hooks.events.contains(&event))
    }

    fn rules(&self) -> &[RoomRule] {
        &self.config.rooms
    }

    /// How fast one connection may send.
    fn rate(&self) -> Rate {
        Rate::new(self.config.limits.messages_per_second, self.config.limits.burst)
    }

    fn frame_limits(&self) -> Limits {
        let limits = &self.config.limits;
        Limits { frame: limits.frame, message: limits.message, fragments: limits.fragments }
    }
}

/// The listener that a socket came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// For everybody.
    Public,
    /// For operators: health, metrics and the API.
    Admin,
}

/// Counts a socket just accepted for its peer's address. A trusted proxy's is counted for nobody until a
/// request tells whose it is.
///
/// # Errors
///
/// The answer to a peer whose address has as many connections as it may.
pub fn seat(services: &Services, addresses: &Addresses, peer: IpAddr) -> Result<Option<Seat>, Response> {
    let config = &services.settings().config;
    if client::is_trusted(peer, &config.server.trusted_proxies) {
        return Ok(None);
    }
    addresses.enter(addresses.key(peer), config.limits.connections_per_address).map_err(address_full)
}

fn address_full(_: TooMany) -> Response {
    let message = "this address has as many connections as it may have";
    Response::json_error(StatusCode::TOO_MANY_REQUESTS, "connections_per_address", message)
}

/// Takes up a socket that has its place on this shard, and serves it to its end.
pub fn admit(shard: &Rc<Shard>, services: &Rc<Services>, door: Door, arrival: Arrival) {
    let (socket, writer) = match Socket::new(shard, arrival) {
        Ok(opened) => opened,
        Err(error) => return debug!(%error, "a socket could not be taken up"),
    };
    if door == Door::Admin {
        // A drain is when there is most to look at.
        socket.outlast_drain();
    }
    let services = services.clone();
    spawn(async move {
        let request = Cell::new(0);
        let served = pin!({
            // What is no reference is moved: a reference to the door would be larger than the door.
            let (socket, services, request) = (&socket, &services, &request);
            async move {
                // Boxed, both: an open connection keeps nothing of its handshake, and a task no second copy of
                // what it moves. Idle, they are most of what a connection costs.
                let shaken = Box::pin(shake_hands(socket, writer, services, door, request)).await;
                match shaken {
                    Some(Reader::WebSocket(reader)) => websocket::serve(socket, reader).await,
                    Some(Reader::Stream(reader)) => sse::serve(socket, reader).await,
                    None => (),
                }
            }
        });
        if let Err(panicked) = catch(served).await {
            // In protocol or transport: this connection's state is gone, nobody else's is touched.
            socket.shard().metrics().panics_total.add(1);
            if services.panic_said.may(now()) {
                let request = services.requests.name(request.get());
                let connection = socket.connection().map(|key| display(socket.shard().connection_id(key)));
                error!(peer = %socket.peer(), %request, connection, %panicked, "a connection's handler panicked");
            }
            if let Some(key) = socket.connection() {
                socket.shard().dismiss(key, CloseCode::INTERNAL, "internal error", GOODBYE_WITHIN);
                Box::pin(linger::until_gone(&socket)).await;
            }
        }
    });
}

/// From a socket to a connection's reader, if it comes to that.
async fn shake_hands(
    socket: &Socket,
    writer: Writer,
    services: &Rc<Services>,
    door: Door,
    request: &Cell<request::Number>,
) -> Option<Reader> {
    Some(match exchange::serve(socket, writer, services, door, request).await? {
        Became::WebSocket(upgraded) => {
            Reader::WebSocket(Box::new(websocket::Reader::open(socket, services.clone(), upgraded)))
        }
        Became::Stream(opening) => {
            Reader::Stream(Box::new(sse::Reader::open(socket, services.clone(), opening)))
        }
    })
}

/// What reads from a connection.
enum Reader {
    WebSocket(Box<websocket::Reader>),
    Stream(Box<sse::Reader>),
}

/// How often a thing is said at most; the metrics have them all.
const SAID_EVERY: Duration = Duration::from_secs(1);

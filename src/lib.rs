//! Vestibule holds the long-lived connections of an application, so that its backend need not.
//!
//! This is the map of the house. A floor may use what the table grants it and nothing above itself;
//! `tests/tidy.rs` proves the table.
//!
//! ```text
//! main ── cli
//!   └── server       workers, drain, reload, systemd             the roof
//!        ├── transport   websocket · sse over HTTP/1.1           rooms with a
//!        │    ├── api      publish · lists · health · metrics    view of the
//!        │    ├── backend  proxy · hooks · pool                  street
//!        │    └── auth     jwt · origin · room rules  (pure)
//!        └── shard       one core: hub + port + sockets          the engine room
//!             ├── hub        rooms, logs, cursors   (pure)
//!             ├── mesh       core to core           (the only lock-free code)
//!             └── net        the only floor that says "monoio"
//! protocol   bytes <-> values   (pure)                           the ground
//! config · metrics · quota      plain values and atomics         the walls
//! ```
//!
//! | floor | may use | must never |
//! |---|---|---|
//! | protocol, config, metrics, quota, mesh, net | nothing else in the crate | know each other |
//! | hub | protocol | touch a socket, a clock, a thread |
//! | auth | protocol, config | do I/O |
//! | backend | protocol, config, metrics, quota, hub, net | know the shard |
//! | shard | protocol, config, metrics, quota, mesh, hub, net | know a transport or HTTP |
//! | api | protocol, config, metrics, quota, hub, net, shard | hold a socket |
//! | transport | protocol, config, metrics, quota, mesh, hub, net, auth, backend, shard, api | keep room state |
//! | server, cli | everything | parse bytes |
//!
//! Where to look: a message that a late member misses is a matter of `hub::room` (where its cursor
//! was put) or `hub::home` (what its shard was pushed); one that somebody misses who comes back, of
//! `hub::recovery` (what it is sent) or `hub::history` (what is still there). A frame refused wrongly is in
//! `protocol::websocket`, a connection that will not close in `shard::socket`.

pub mod hub;
pub mod mesh;
pub mod protocol;

#[cfg(test)]
#[path = "../fuzz/corpus.rs"]
mod corpus;

#[cfg(feature = "server")]
pub mod api;
#[cfg(any(feature = "server", feature = "fuzz"))]
pub mod auth;
#[cfg(feature = "server")]
pub mod backend;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(any(feature = "server", feature = "fuzz"))]
pub mod config;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod net;
#[cfg(feature = "server")]
pub mod quota;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod shard;
#[cfg(feature = "server")]
pub mod transport;

//! What every test by the socket stands on: a real server process, and peers that speak raw bytes.
//!
//! Nothing here knows the library: the server is the binary, the wire is bytes, so a fault in
//! `vestibule::protocol` cannot hide itself. A result is polled for under a deadline, never slept for.
#![allow(dead_code, reason = "each test file uses a part of the harness")]

mod api;
mod app;
mod crowd;
mod deadline;
mod dice;
mod escape;
mod events;
mod ledger;
mod member;
mod neighbours;
mod origin;
mod server;
mod socket;
mod stalled;

#[allow(unused_imports, reason = "each test file uses a part of the harness")]
pub(crate) use self::{
    api::{Api, done, refusal, request},
    app::{App, Call, HOOK_SECRET, Reply},
    crowd::{Crowd, Sight},
    deadline::{Deadline, PATIENCE, until},
    dice::Dice,
    escape::unescape,
    events::Events,
    ledger::{Account, Journal, Ledger, Outcome},
    member::{Member, number_of, publication},
    neighbours::{Echoes, Neighbours},
    origin::{Origin, Request},
    server::{DRAIN, SECRET, Server, Setup, binary, gauge, mint, now_s},
    socket::{Closed, End, Frame, MASK, Response, Socket, client_frame, masked, upgrade_request},
    stalled::Stalled,
};

//! How this floor is tested: servers of a test's own, each a thread that blocks, and backends of one worker.
//!
//! What a server says stands in the test, byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::{Backend, Boards, Outgoing, Station};
use crate::config::{self, Authority, Config};
use crate::metrics::Metrics;
use crate::net::{bind, trial::LOOPBACK};

/// A server: each connection is handed to `serve`, with its number, on a thread of its own.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// What [`Peer::heard`] was told.
    heard: Receiver<Vec<u8>>,
}

/// A connection at the server.
pub(super) struct Line {
    pub(super) socket: TcpStream,
    told: mpsc::Sender<Vec<u8>>,
}

impl Peer {
    pub(super) fn start(serve: impl Fn(usize, Line) + Send + Sync + 'static) -> Peer {
        let listener: TcpListener = bind(LOOPBACK, 64).unwrap();
        let address = listener.local_addr().unwrap();
        let (told, heard) = mpsc::channel();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for (number, socket) in listener.incoming().enumerate() {
                let (serve, told) = (serve.clone(), told.clone());
                // One test takes the process's descriptors away for a while.
                let Ok(socket) = socket else { continue };
                socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                thread::spawn(move || serve(number, Line { socket, told }));
            }
        });
        Peer { address, heard }
    }

    /// One that answers every request with these bytes.
    pub(super) fn saying(answer: &'static str) -> Peer {
        Peer::start(move |_, mut line| {
            while line.request().is_some() {
                line.say(answer);
            }
        })
    }

    /// The next request that a connection's [`Line::request`] had.
    pub(super) fn heard(&self) -> String {
        String::from_utf8(self.heard.recv_timeout(Duration::from_secs(20)).unwrap()).unwrap()
    }

    /// How many requests there were that nobody has asked for yet.
    pub(super) fn unheard(&self) -> usize {
        self.heard.try_iter().count()
    }
}

impl Line {
    /// Reads until the blank line; none where the connection ends.
    pub(super) fn request(&mut self) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.bytes(1)?);
        }
        // A test that asks for no request may have let go of its end.
        let _ = self.told.send(head);
        Some(())
    }

    /// Reads so many bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.socket.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    pub(super) fn say(&mut self, text: &str) {
        let _ = self.socket.write_all(text.as_bytes());
    }

    /// Waits until the other side has closed.
    pub(super) fn await_end(&mut self) {
        while let Ok(1..) = self.socket.read(&mut [0; 1024]) {}
    }
}

/// An address at which nobody listens.
pub(super) fn nobody() -> SocketAddr {
    bind(LOOPBACK, 1).unwrap().local_addr().unwrap()
}

/// Of one worker, where no name is resolved.
pub(super) fn station() -> Rc<Station> {
    Station::new(Arc::new(Metrics::default()))
}

/// A backend of these servers, with boards of its own.
pub(super) fn backend(servers: &[SocketAddr]) -> (Rc<Backend>, Arc<Metrics>) {
    with(servers, |_| ())
}

/// The same, with other settings.
pub(super) fn with(
    servers: &[SocketAddr],
    change: impl FnOnce(&mut config::Backend),
) -> (Rc<Backend>, Arc<Metrics>) {
    let mut config = super::blank("app");
    config.servers = servers.iter().map(authority).collect();
    change(&mut config);
    let station = station();
    let boards = Boards::new(&Config { backends: vec![config.clone()], ..Config::default() }, None);
    (Backend::new(&config, &boards, &station), station.metrics.clone())
}

pub(super) fn authority(address: &SocketAddr) -> Authority {
    Authority::parse(&address.to_string(), None).unwrap()
}

/// A whole request without a body.
pub(super) fn request(method: Method) -> Outgoing {
    let first = Bytes::from(format!("{method} /x HTTP/1.1\r\nHost: a\r\n\r\n"));
    Outgoing { method, first, whole: true, upgrade: false }
}

pub(super) fn get() -> Outgoing {
    request(Method::GET)
}

//! Clients that cut the connection, with an RST, at every byte of what they say: nobody but they notices.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{End, Member, Neighbours, PATIENCE, Server, Setup, Socket, gauge, unescape, until};
use std::{fs, path::Path};

#[test]
fn a_reset_at_any_byte_of_any_session_leaves_nothing_behind() {
    reset_everywhere(&Setup::new(1), Manner::Eager, 1);
    reset_everywhere(&Setup::new(2), Manner::Patient, 1);
}

#[test]
fn epoll_takes_resets_as_calmly() {
    reset_everywhere(&Setup::epoll(), Manner::Eager, 5);
}

/// How a client comes to the byte at which it resets.
#[derive(Clone, Copy)]
enum Manner {
    /// It sends all at once.
    Eager,
    /// It hears what the session waits for.
    Patient,
}

/// Resets at each byte, or at one of so many.
fn reset_everywhere(setup: &Setup, manner: Manner, step: usize) {
    let server = setup
        .clone()
        .set("server.drain", "\"0s\"")
        .set("auth.allowed_origins", "[\"https://app.example.com\"]")
        .start();
    let token = server.token("mallory");
    let sessions = sessions(&token);
    assert!(sessions.len() >= 20, "{} sessions", sessions.len());
    let mut neighbours = Neighbours::move_in(&server, NEIGHBOURS);
    let mut listener = Member::enter(&server, "listener");
    listener.join("r");
    // Two shards keep pipes for sockets that move; the first rounds are to open what stays.
    sessions.iter().for_each(|session| session.reset_at(&server, session.bytes(), Manner::Patient));
    settles(&server);
    let descriptors = server.descriptors();
    let (resets, echoes) = neighbours.beside(|| {
        let mut resets = 0;
        for session in &sessions {
            for end in (1..=session.bytes()).step_by(step) {
                session.reset_at(&server, end, manner);
                resets += 1;
            }
            // What it said in the room has come; what came does not pile up.
            listener.lives();
            listener.kept();
        }
        resets
    });
    println!("{resets} resets in {} sessions; neighbours: {echoes}", sessions.len());
    settles(&server);
    let left = server.descriptors();
    assert!(left <= descriptors + LOOKS, "{descriptors} descriptors before, {left} after");
    assert_eq!(server.metric(gauge::PANICS), 0.0);
    listener.lives();
    server.stop();
}

/// Waits until only those who stay are there, and nothing is left of the others.
fn settles(server: &Server) {
    server.await_metric(gauge::CONNECTIONS, (NEIGHBOURS + 1) as f64);
    server.await_metric(gauge::MEMBERS, 1.0);
    server.await_metric(gauge::HOMES, 1.0);
    server.await_metric(gauge::OUTBOX_BYTES, 0.0);
    until("no other socket is left", PATIENCE, || {
        (server.metric(gauge::SOCKETS) <= (NEIGHBOURS + 1 + LOOKS) as f64).then_some(())
    });
}

/// What a client says; before each part but the first it waits for something to hear.
struct Session {
    name: String,
    parts: Vec<Vec<u8>>,
}

impl Session {
    fn bytes(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Says so many bytes of it, and cuts.
    fn reset_at(&self, server: &Server, end: usize, manner: Manner) {
        let mut socket = Socket::connect(server.public);
        let mut left = end;
        for part in &self.parts {
            let now = &part[..left.min(part.len())];
            // The server may have closed: then there is nobody to reset.
            if socket.try_send(now).is_err() {
                return;
            }
            left -= now.len();
            if left == 0 {
                break;
            }
            match manner {
                Manner::Eager => (),
                Manner::Patient => match socket.hear() {
                    Ok(()) => (),
                    Err(End::Silence) => panic!("nothing is heard in {}", self.name),
                    Err(_) => return,
                },
            }
        }
        socket.reset();
    }
}

fn sessions(token: &str) -> Vec<Session> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/sessions");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let parts = parts_of(&fs::read_to_string(&path).unwrap().replace("TOKEN", token));
            Session { name: path.display().to_string(), parts }
        })
        .collect()
}

fn parts_of(text: &str) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(' ') {
            Some(("send", bytes)) => parts.last_mut().unwrap().extend(unescape(bytes)),
            None if line == "hear" => parts.push(Vec::new()),
            _ => panic!("{line:?}"),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

const NEIGHBOURS: usize = 20;
/// Sockets and descriptors of those who look at the server right now.
const LOOKS: usize = 4;

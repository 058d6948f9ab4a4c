//! Malformed input on a live server: each case of `tests/hostile` gets what its specification names,
//! however it is cut, and 20 neighbours notice nothing. `tests/hostile/README.md` explains the cases.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{End, Member, Server, Setup, Socket, client_frame, unescape};
use serde_json::Value;
use std::{fs, path::Path};

#[test]
fn each_malformed_input_gets_what_its_rfc_names_and_harms_no_neighbour() {
    for setup in Setup::each() {
        judge_all(&setup, &[Cut::Whole, Cut::InTwoAnywhere, Cut::ByteByByte]);
    }
}

#[test]
fn epoll_judges_malformed_input_alike() {
    judge_all(&Setup::epoll(), &[Cut::Whole]);
}

#[test]
fn the_words_of_the_case_files_mean_what_their_readme_says() {
    assert_eq!(unescape("a\\r\\n\\x00\\\\)"), b"a\r\n\0\\)");
    assert_eq!(unescape("repeat(3,ab)c"), b"abababc");
    assert_eq!(unescape("mask(Hello)"), b"\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    assert_eq!(unescape("text(Hello)"), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    assert_eq!(unescape("mask(repeat(2,\\)))"), [0x37, 0xfa, 0x21, 0x3d, b')' ^ 0x37, b')' ^ 0xfa]);
    assert_eq!(unescape("Xtext (a)"), b"Xtext (a)");
}

#[test]
fn the_corpus_is_read_whole_and_no_two_cases_are_alike() {
    let cases = cases();
    assert!(cases.len() >= 200, "{} cases", cases.len());
    for (n, case) in cases.iter().enumerate() {
        assert!(case.rfc.contains("RFC ") || case.rfc.contains("DESIGN"), "{case:?} names no section");
        for other in &cases[..n] {
            assert_ne!(case.what, other.what);
            assert!(case.bytes != other.bytes || case.on != other.on, "{} is {}", case.what, other.what);
        }
    }
}

/// How a case is cut into segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// One segment.
    Whole,
    /// Short cases, once at each place, on a connection for each.
    InTwoAnywhere,
    /// A segment for each byte.
    ByteByByte,
}

fn judge_all(setup: &Setup, cuts: &[Cut]) {
    let server = setup
        .clone()
        .set("limits.head", "\"2KiB\"")
        .set("limits.frame", "\"1KiB\"")
        .set("limits.message", "\"2KiB\"")
        .set("limits.fragments", "8")
        .set("auth.allowed_origins", "[\"https://app.example.com\", \"http://192.0.2.7:3000\"]")
        .start();
    let mut neighbours = Neighbours::move_in(&server);
    let cases = cases();
    let mut faults = Vec::new();
    for case in &cases {
        for &cut in cuts {
            for connection in case.run(&server, cut) {
                if let Err(fault) = connection {
                    faults.push(format!(
                        "the server is sent {} ({}, {cut:?}), and should answer {:?}: {fault}",
                        case.what, case.rfc, case.want
                    ));
                    // One place of the cut is enough to know.
                    break;
                }
            }
            neighbours.echo(&case.what);
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    println!("{} cases", cases.len());
    server.stop();
}

/// Connections whose echoes must all be answered, whatever goes on beside them.
struct Neighbours {
    sockets: Vec<Socket>,
    echoes: usize,
}

impl Neighbours {
    fn move_in(server: &Server) -> Self {
        let sockets = (0..20).map(|_| {
            let mut socket = Socket::connect(server.public);
            assert_eq!(socket.upgrade("/echo", "").status, 101);
            socket
        });
        Self { sockets: sockets.collect(), echoes: 0 }
    }

    fn echo(&mut self, what: &str) {
        self.echoes += 1;
        let text = format!("echo {}", self.echoes);
        for (n, socket) in self.sockets.iter_mut().enumerate() {
            socket.try_send(&client_frame(0x81, text.as_bytes())).unwrap_or_else(|e| {
                panic!("neighbour {n} was closed ({e}) when the server was sent {what}");
            });
        }
        for (n, socket) in self.sockets.iter_mut().enumerate() {
            match socket.frame() {
                Ok(frame) if frame.first == 0x81 && frame.payload == text.as_bytes() => {}
                other => panic!("neighbour {n} got {other:?} for its echo when the server was sent {what}"),
            }
        }
    }
}

/// One malformed input and its answer.
#[derive(Debug)]
struct Case {
    what: String,
    rfc: String,
    /// The path of the upgrade that goes before.
    on: Option<String>,
    bytes: Vec<u8>,
    want: Want,
}

/// The answer that a specification names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Want {
    Status { status: u16, close: bool },
    Close(u16),
    Error(String),
    Stays,
}

impl Case {
    /// Sends the case, cut in this way, on a fresh connection for each place of a cut; judges each.
    fn run(&self, server: &Server, cut: Cut) -> Vec<Result<(), String>> {
        let places: Vec<usize> = match cut {
            Cut::Whole => vec![self.bytes.len()],
            Cut::InTwoAnywhere if self.bytes.len() <= SHORT => (1..self.bytes.len()).collect(),
            Cut::InTwoAnywhere => Vec::new(),
            Cut::ByteByByte => vec![1],
        };
        let mut sockets: Vec<Socket> = places.iter().map(|_| self.open(server)).collect();
        // All first parts go before all second ones: each is a segment that the server reads by itself.
        for (socket, &place) in sockets.iter_mut().zip(&places) {
            // The server may answer and close before it has seen everything.
            let _ = socket.try_send(&self.bytes[..place]);
        }
        for (socket, &place) in sockets.iter_mut().zip(&places) {
            if cut == Cut::ByteByByte {
                self.bytes[place..].iter().for_each(|byte| drop(socket.try_send(&[*byte])));
            } else {
                let _ = socket.try_send(&self.bytes[place..]);
            }
        }
        sockets
            .into_iter()
            .zip(places)
            .map(|(socket, place)| {
                self.want.judge(socket).map_err(|fault| format!("cut at {place}: {fault}"))
            })
            .collect()
    }

    fn open(&self, server: &Server) -> Socket {
        match self.on.as_deref() {
            None => Socket::connect(server.public),
            Some("/ws") => Member::enter(server, "mallory").socket,
            Some(path) => {
                let mut socket = Socket::connect(server.public);
                assert_eq!(socket.upgrade(path, "").status, 101);
                socket
            }
        }
    }
}

impl Want {
    fn judge(&self, mut socket: Socket) -> Result<(), String> {
        match self {
            Self::Status { status, close } => {
                let response = socket.response().map_err(|end| format!("no response but {end:?}"))?;
                let body = serde_json::from_slice::<Value>(&response.body).is_ok_and(|body| body.is_object());
                if response.status != *status || !body {
                    return Err(format!("{response:?}"));
                }
                if *close && !(response.closes() && socket.end() != End::Silence) {
                    return Err(format!("the connection stays after {response:?}"));
                }
                Ok(())
            }
            Self::Close(code) => loop {
                let frame = socket.frame().map_err(|end| format!("no close frame but {end:?}"))?;
                let Some(closed) = frame.closed() else { continue };
                if closed.code != Some(*code) {
                    return Err(format!("{closed:?}"));
                }
                // Answered, as RFC 6455 section 5.5.1 asks; the server need not wait for it.
                let _ = socket.try_send(&client_frame(0x88, &frame.payload));
                let end = socket.end();
                return if end == End::Silence { Err("it closes and stays".to_owned()) } else { Ok(()) };
            },
            Self::Error(code) => {
                let frame = socket.frame().map_err(|end| format!("no error but {end:?}"))?;
                let error = serde_json::from_slice::<Value>(&frame.payload).unwrap_or_default();
                if error["type"] != "error" || error["code"] != **code || !error["message"].is_string() {
                    return Err(format!("{frame:?}"));
                }
                pings(&mut socket)
            }
            Self::Stays => pings(&mut socket),
        }
    }
}

/// The connection answers a ping of the native protocol.
fn pings(socket: &mut Socket) -> Result<(), String> {
    let _ = socket.try_send(&client_frame(0x81, b"{\"type\":\"ping\"}"));
    let frame = socket.frame().map_err(|end| format!("no pong but {end:?}"))?;
    if frame.payload == b"{\"type\":\"pong\"}" { Ok(()) } else { Err(format!("no pong but {frame:?}")) }
}

/// All cases of all files.
fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    files.sort();
    files.iter().flat_map(|path| cases_of(&fs::read_to_string(path).unwrap())).collect()
}

fn cases_of(text: &str) -> Vec<Case> {
    let blocks = text.split("\n\n").map(|block| block.lines().filter(|line| !line.starts_with('#')));
    blocks
        .map(Iterator::collect::<Vec<_>>)
        .filter(|lines| !lines.is_empty())
        .map(|lines| case_of(&lines))
        .collect()
}

fn case_of(lines: &[&str]) -> Case {
    let (mut what, mut rfc, mut on, mut bytes, mut want) = (None, None, None, Vec::new(), None);
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no rest: {line:?} in {lines:?}"));
        match word {
            "case" => what = Some(rest.trim().to_owned()),
            "rfc" => rfc = Some(rest.trim().to_owned()),
            "on" => on = Some(rest.trim().to_owned()),
            "send" => bytes.extend(unescape(rest)),
            "want" => want = Some(want_of(rest.trim())),
            other => panic!("{other:?} in {lines:?}"),
        }
    }
    let complete = what.zip(rfc).zip(want).unwrap_or_else(|| panic!("incomplete: {lines:?}"));
    let ((what, rfc), want) = complete;
    assert!(!bytes.is_empty(), "nothing to send in {what}");
    Case { what, rfc, on, bytes, want }
}

fn want_of(text: &str) -> Want {
    if let Some(code) = text.strip_prefix("error ") {
        return Want::Error(code.to_owned());
    }
    match text.split_once(' ') {
        _ if text == "stays" => Want::Stays,
        Some((status, "close")) => Want::Status { status: status.parse().unwrap(), close: true },
        _ => match text.parse().unwrap_or_else(|_| panic!("want {text:?}")) {
            status @ 100..=599 => Want::Status { status, close: false },
            code => Want::Close(code),
        },
    }
}

/// Up to this many bytes a case is cut in two at every place.
const SHORT: usize = 256;

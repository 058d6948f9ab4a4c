//! The log: what stands in it, what never does, and that nobody waits for its reader.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{
    Member, PATIENCE, Server, Setup, Socket, binary, client_frame, mint, now_s, until, upgrade_request,
};
use serde_json::{Value, json};
use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::MetadataExt,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

#[test]
fn json_lines_are_whole_objects_that_bear_the_names_of_request_and_connection() {
    for setup in Setup::each() {
        let server = setup.set("server.log_format", "\"json\"").variable("RUST_LOG", "debug").start();
        let mut socket = Socket::connect(server.public);
        let response = socket.upgrade("/ws", &format!("Authorization: Bearer {}\r\n", server.token("ann")));
        let request = response.header("x-request-id").expect("a handshake has a name").to_owned();
        let greeting: Value = serde_json::from_str(socket.frame().unwrap().text()).unwrap();
        socket.send(b"\x81\x01x");
        assert_eq!(socket.closed().code, Some(1002));
        let lost = Socket::connect(server.public).get("/lost?x=1").unwrap();
        let lost = lost.header("x-request-id").expect("a refusal has a name").to_owned();

        drop(socket);
        let lines = objects(&whole_log(server));
        for line in &lines {
            let time = line["timestamp"].as_str().unwrap();
            assert!(time.len() == 27 && time.ends_with('Z') && &time[10..11] == "T", "RFC 3339: {time}");
            assert!(["DEBUG", "INFO", "WARN", "ERROR"].contains(&line["level"].as_str().unwrap()), "{line}");
            assert!(line["message"].is_string() && line["target"].is_string(), "{line}");
        }
        let of = |message: &str| lines.iter().find(|line| line["message"] == message).expect(message);
        for message in ["connected", "goodbye", "ended"] {
            let line = of(message);
            assert_eq!(line["request"], *request, "{line}");
            assert_eq!(line["connection"], greeting["connection"], "{line}");
        }
        assert_eq!(of("connected")["user"], "ann");
        assert_eq!(of("goodbye")["code"], 1002);
        let answered: Vec<&Value> = lines.iter().filter(|line| line["request"] == *lost).collect();
        assert_eq!(answered.len(), 1, "{answered:?}");
        assert_eq!((&answered[0]["path"], &answered[0]["status"]), (&json!("/lost"), &json!(404)));
    }
}

#[test]
fn every_answer_bears_a_name_of_its_own_whatever_the_client_calls_its_request() {
    let server = Setup::new(2).start();
    let mut names = Vec::new();
    for n in 0..20 {
        let mut socket = Socket::connect(if n % 2 == 0 { server.public } else { server.admin });
        for _ in 0..3 {
            socket.send(b"GET /healthz HTTP/1.1\r\nHost: vestibule.test\r\nX-Request-Id: mine\r\n\r\n");
            names.push(socket.response().unwrap().header("x-request-id").expect("a name").to_owned());
        }
        socket.send(b"NONSENSE\r\n\r\n");
        names.push(socket.response().unwrap().header("x-request-id").expect("a name").to_owned());
    }
    assert!(names.iter().all(|name| name.len() <= 40 && !name.contains("mine")), "{names:?}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 80);
    server.stop();
}

#[test]
fn no_token_stands_in_the_log_at_any_level_wherever_it_came() {
    for setup in [Setup::new(2), Setup::epoll().set("server.log_format", "\"json\"")] {
        let server = setup.set("server.health_path", "\"/healthz\"").variable("RUST_LOG", "trace").start();
        let good = server.token("ann");
        let tokens = [
            good.clone(),
            mint(&json!({ "sub": "ann", "exp": now_s() - 3600 })),
            mint(&json!({ "sub": "ann", "exp": "soon" })),
            mint(&json!({ "exp": now_s() + 3600 })),
            format!("{}Zm9yZ2VkLWZvcmdlZC1mb3JnZWQ", &good[..good.len() - 20]),
            good.replace('.', "~"),
            format!("{good}.{good}"),
        ];
        for token in &tokens {
            for request in requests_with(token) {
                for address in [server.public, server.admin] {
                    let mut socket = Socket::connect(address);
                    socket.send(request.as_bytes());
                    let _ = socket.response();
                }
            }
        }
        say_tokens(&server, &good);
        let log = whole_log(server);
        for said in ["answered", "connected", "unauthorized", "goodbye"] {
            assert!(log.contains(said), "the log is at work: no {said} in {log}");
        }
        for token in &tokens {
            for part in token.split(['.', '~']).filter(|part| part.len() >= 20) {
                // The header of all tokens is the same, and names an algorithm alone; still it has no place here.
                assert!(!log.contains(&part[..16]), "{part} of {token} in {log}");
            }
        }
    }
}

#[test]
fn nothing_that_a_peer_does_is_said_at_the_level_of_information() {
    let server = Setup::new(2).variable("RUST_LOG", "info").start();
    for token in [server.token("ann"), "x.y.z".to_owned()] {
        for request in requests_with(&token) {
            let mut socket = Socket::connect(server.public);
            socket.send(request.as_bytes());
            let _ = socket.response();
        }
    }
    say_tokens(&server, "x");
    let ours = [" limits.connections = ", " serving ", " stopping ", " everybody is out"];
    let log = whole_log(server);
    let theirs: Vec<&str> =
        log.lines().filter(|line| !ours.iter().any(|known| line.contains(known))).collect();
    assert!(theirs.is_empty(), "{theirs:?}");
}

#[test]
fn with_the_reader_of_the_log_stopped_the_node_serves_on() {
    for driver in ["io_uring", "epoll"] {
        let setup = Setup::new(1).set("server.driver", &format!("\"{driver}\""));
        let node = Node::start(&setup, |command, _| command.env("RUST_LOG", "trace").stderr(Stdio::piped()));
        let mut socket = Socket::connect(node.public);
        for _ in 0..40 {
            socket.send("GET /nowhere HTTP/1.1\r\nHost: vestibule.test\r\n\r\n".repeat(100).as_bytes());
            for _ in 0..100 {
                assert_eq!(socket.response().unwrap().status, 404);
            }
        }
        let metrics = Socket::connect(node.admin).get("/metrics").unwrap();
        let text = String::from_utf8(metrics.body).unwrap();
        let dropped = text.lines().find_map(|line| line.strip_prefix("vestibule_log_lines_dropped_total "));
        let dropped: u32 = dropped.unwrap().parse().unwrap();
        assert!(dropped > 1000, "{dropped} of more than 4000 lines were dropped, and the pipe holds 64 KiB");
    }
}

#[test]
fn the_journal_is_not_told_the_time() {
    for (stream, is_journal) in [(true, true), (false, false)] {
        let node = Node::start(&Setup::new(1), |command, directory| {
            let file = File::create(directory.path().join("log")).unwrap();
            let meta = file.metadata().unwrap();
            let inode = if stream { meta.ino() } else { meta.ino() + 1 };
            command.env("JOURNAL_STREAM", format!("{}:{inode}", meta.dev())).stderr(file)
        });
        let line = until("it says that it serves", PATIENCE, || {
            let log = std::fs::read_to_string(node.directory.path().join("log")).unwrap();
            log.lines().find(|line| line.contains("serving")).map(str::to_owned)
        });
        assert_eq!(line.trim_start().starts_with("INFO"), is_journal, "{line}");
    }
}

/// Handshakes and other requests that bear `token` in every place it could stand in, in due form and not.
fn requests_with(token: &str) -> Vec<String> {
    let get = |target: &str, fields: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: vestibule.test\r\nConnection: close\r\n{fields}\r\n")
    };
    let encoded: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        upgrade_request("/ws", &format!("Authorization: Bearer {token}\r\n")),
        upgrade_request("/ws", &format!("Authorization: {token}\r\n")),
        upgrade_request("/ws", &format!("Authorization: Basic {token}\r\n")),
        upgrade_request("/ws", &format!("Authorization: Bearer {token} {token}\r\n")),
        upgrade_request(
            "/ws",
            &format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"),
        ),
        upgrade_request("/ws", &format!("Authoriz ation: Bearer {token}\r\n")),
        upgrade_request("/ws", &format!("Sec-WebSocket-Protocol: bearer.{token}\r\n")),
        upgrade_request("/ws", &format!("Sec-WebSocket-Protocol: chat, bearer.{token}, {token}\r\n")),
        upgrade_request("/ws", &format!("Cookie: a=b; token={token}\r\n")),
        upgrade_request("/ws", &format!("Origin: https://{token}\r\n")),
        upgrade_request("/ws", &format!("X-Request-Id: {token}\r\nX-Forwarded-For: {token}\r\n")),
        upgrade_request(&format!("/ws?token={token}"), ""),
        upgrade_request(&format!("/ws?token={token}&token={token}"), ""),
        upgrade_request(&format!("/ws?TOKEN={token}&access_token={token}"), ""),
        upgrade_request(&format!("/ws?token={encoded}"), ""),
        upgrade_request(&format!("/ws?token=%zz{token}"), ""),
        upgrade_request(&format!("/ws/{token}"), ""),
        upgrade_request(&format!("/ws;token={token}"), ""),
        upgrade_request(&format!("/ws%3Ftoken={token}"), ""),
        upgrade_request(&format!("/ws#{token}"), ""),
        upgrade_request(&format!("http://vestibule.test/ws?token={token}"), ""),
        upgrade_request("/echo", &format!("Authorization: Bearer {token}\r\n")),
        upgrade_request(&format!("/ws?token={token}"), "").replace(": 13\r\n", ": 12\r\n"),
        upgrade_request(&format!("/ws?token={token}"), "").replace("HTTP/1.1", "HTTP/1.0"),
        upgrade_request(&format!("/ws?token={token}"), "").replace("\r\n", "\n"),
        format!("{token} /ws HTTP/1.1\r\nHost: vestibule.test\r\n\r\n"),
        format!("GET /ws {token}\r\n\r\n"),
        get(&format!("/?token={token}"), ""),
        get(&format!("/{token}/{token}?{token}"), &format!("Authorization: Bearer {token}\r\n")),
        get(&format!("/healthz?token={token}"), ""),
        get(&format!("/metrics?token={token}"), &format!("Authorization: Bearer {token}\r\n")),
        get("/ws", &format!("Content-Length: {token}\r\n")),
        get("/ws", &format!("Expect: {token}\r\n")),
    ]
}

/// Messages and close frames that bear `token`.
fn say_tokens(server: &Server, token: &str) {
    let mut ann = Member::enter(server, "ann");
    for text in [
        format!(r#"{{"type":"refresh","token":"{token}"}}"#),
        format!(r#"{{"type":"join","room":"{token}","id":"{token}"}}"#),
        format!(r#"{{"type":"{token}"}}"#),
        token.to_owned(),
    ] {
        ann.say(&text);
    }
    let reason = &token[..token.len().min(100)];
    let payload: Vec<u8> = [&1000_u16.to_be_bytes()[..], reason.as_bytes()].concat();
    ann.socket.send(&client_frame(0x88, &payload));
    ann.closed();
    let mut bad = Member::enter(server, "bad");
    bad.socket.send(&client_frame(0xf1, token.as_bytes()));
    bad.closed();
}

/// All that a server says until its end, at which nothing is lost.
fn whole_log(mut server: Server) -> String {
    server.terminate();
    let status = server.ends_within(PATIENCE);
    let log = server.log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("everybody is out"), "the last line: {log}");
    log
}

fn objects(log: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(read).collect()
}

/// A server whose standard error the test chooses. It is killed at the end.
struct Node {
    child: Child,
    directory: TempDir,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Node {
    fn start(setup: &Setup, prepare: impl for<'a> Fn(&'a mut Command, &TempDir) -> &'a mut Command) -> Self {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let (one, other) = (bind(), bind());
        let (public, admin) = (one.local_addr().unwrap(), other.local_addr().unwrap());
        drop((one, other));
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("vestibule.toml");
        std::fs::write(&config, setup.file(public, admin)).unwrap();
        let mut command = Command::new(binary());
        command.arg("serve").arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        let child = prepare(&mut command, &directory).spawn().unwrap();
        let node = Self { child, directory, public, admin };
        until("the node is ready", PATIENCE, || {
            Socket::try_connect(admin).ok()?.get("/readyz").is_ok_and(|it| it.status == 200).then_some(())
        });
        node
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

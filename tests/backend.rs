//! Servers behind us as they are in life: many bytes at once in both directions, servers that die, stand still, or keep
//! somebody waiting, and what of that the others notice.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{
    Deadline, End, Member, Neighbours, Origin, PATIENCE, Server, Setup, Socket, refusal, until,
    upgrade_request,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// tests/backend/origin.mjs, as a process.
struct Node {
    child: Child,
    address: SocketAddr,
}

impl Node {
    /// At any free port, or at one that it had before. `None` where there is no Node.
    fn start(port: u16) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/backend/origin.mjs");
        let begun = Command::new("node").arg(script).arg(port.to_string()).stdout(Stdio::piped()).spawn();
        let Ok(mut child) = begun else {
            eprintln!("skipped: needs node");
            return None;
        };
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let port = said.trim().parse().expect("it says its port");
        Some(Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n")
}

/// Bytes of which no two neighbourhoods are alike.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn a_server_that_echoes_while_it_reads_deadlocks_nobody_and_costs_no_memory() {
    let Some(node) = Node::start(0) else { return };
    let body = pattern(64 << 20);
    for setup in [Setup::new(1), Setup::epoll()] {
        let server = setup.route("/", &[node.address], "").start();
        let mut neighbours = Neighbours::move_in(&server, 10);
        let before = server.resident_bytes();
        for framing in ["Content-Length: 67108864\r\n", "Transfer-Encoding: chunked\r\n"] {
            let mut client = Socket::connect(server.public);
            client.send(format!("POST /mirror HTTP/1.1\r\nHost: a\r\n{framing}\r\n").as_bytes());
            let (mut stream, _) = client.into_parts();
            let mut writer = stream.try_clone().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let is_chunked = framing.contains("chunked");
            let (echoed, echoes) = neighbours.beside(|| {
                thread::scope(|scope| {
                    scope.spawn(|| {
                        for piece in body.chunks(1 << 20) {
                            if is_chunked {
                                writer.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
                            }
                            writer.write_all(piece).unwrap();
                            if is_chunked {
                                writer.write_all(b"\r\n").unwrap();
                            }
                        }
                        if is_chunked {
                            writer.write_all(b"0\r\n\r\n").unwrap();
                        }
                    });
                    read_answer(&mut stream, body.len())
                })
            });
            assert!(echoed == body, "{framing}");
            assert!(echoes.percentile(99) < Duration::from_secs(1), "{echoes}");
        }
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 8 << 20, "it grew by {grown} bytes");
        server.stop();
    }
}

/// The body of an answer, whichever way it is framed.
fn read_answer(stream: &mut impl Read, len: usize) -> Vec<u8> {
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let mut line = String::new();
    let mut head = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
        head += &line;
    }
    let mut body = vec![0; len];
    if head.contains("Content-Length") {
        reader.read_exact(&mut body).unwrap();
        return body;
    }
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    body.clear();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let at = body.len();
        body.resize(at + size + 2, 0);
        reader.read_exact(&mut body[at..]).unwrap();
        assert!(body.ends_with(b"\r\n"));
        body.truncate(at + size);
        if size == 0 {
            return body;
        }
    }
}

#[test]
fn a_body_without_end_at_full_speed_leaves_the_core_to_others_too() {
    for setup in [Setup::new(1), Setup::epoll().set("server.workers", "1")] {
        let origin = Origin::new();
        let server = setup.route("/", &[origin.address], "").start();
        let mut neighbours = Neighbours::move_in(&server, 10);
        let mut client = Socket::connect(server.public);
        client.send(get("/").as_bytes());
        let (mut socket, _) = origin.visit();
        socket.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        let (mut writer, _) = socket.into_parts();
        let (mut reader, _) = client.into_parts();
        let piece = vec![7; 1 << 20];
        let ((), echoes) = neighbours.beside(|| {
            let since = Deadline::within(Duration::from_secs(2));
            thread::scope(|scope| {
                scope.spawn(|| while writer.write_all(&piece).is_ok() {});
                let mut buffer = vec![0; 1 << 20];
                while !since.passed() {
                    assert!(reader.read(&mut buffer).unwrap() > 0);
                }
                drop(reader);
            });
        });
        assert!(echoes.percentile(50) < Duration::from_millis(500), "{echoes}");
        server.stop();
    }
}

#[test]
fn who_does_not_take_a_body_is_not_sent_it_and_is_given_up() {
    for setup in [Setup::new(1), Setup::epoll()] {
        let origin = Origin::new();
        let server = setup.route("/", &[origin.address], "idle_timeout = \"1s\"").start();
        let before = server.resident_bytes();
        // A server that reads nothing: its client is not read.
        let mut client = Socket::connect(server.public);
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
        let mut socket = origin.accept();
        let sent = offer_all(&mut client);
        assert!(sent < 32 << 20, "{sent} bytes were taken for a server that reads none");
        let (status, error) = refusal(&client.response().unwrap());
        assert_eq!((status, &error["code"]), (504, &"backend_timeout".into()));
        until("its connection is closed", PATIENCE, || (socket.hear() != Ok(())).then_some(()));
        // A client that reads nothing: its server is not read.
        let mut client = Socket::connect_narrow(server.public);
        client.send(get("/").as_bytes());
        let (mut socket, _) = origin.visit();
        socket.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3b9aca00\r\n");
        let sent = offer_all(&mut socket);
        assert!(sent < 32 << 20, "{sent} bytes were taken for a client that reads none");
        assert_ne!(socket.end(), End::Silence);
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 4 << 20, "it grew by {grown} bytes");
        server.stop();
    }
}

/// How much of a body without end is taken before nothing is for a while, or the connection ends.
fn offer_all(socket: &mut Socket) -> usize {
    let (mut sent, mut since) = (0, Deadline::within(Duration::from_millis(300)));
    while !since.passed() {
        match socket.offer(&[7; 65_536]) {
            Some(0) => thread::yield_now(),
            Some(taken) => {
                sent += taken;
                since = Deadline::within(Duration::from_millis(300));
            }
            None => break,
        }
    }
    sent
}

#[test]
fn a_server_that_stands_still_or_dies_harms_nobody_else() {
    let (Some(node), Some(other)) = (Node::start(0), Node::start(0)) else { return };
    let server = Setup::new(2)
        .route("/app", &[node.address], "answer_timeout = \"1s\"\nconnect_timeout = \"1s\"")
        .route("/other", &[other.address], "")
        .start();
    let mut members = [Member::enter(&server, "ann"), Member::enter(&server, "bob")];
    members.iter_mut().for_each(|member| member.join("r"));
    let mut neighbours = Neighbours::move_in(&server, 50);
    let ((), calm) = neighbours.beside(|| look_around(&server, &mut members, Duration::from_secs(1)));
    let ask = || Socket::connect(server.public).get("/app").unwrap();
    assert_eq!(ask().body, b"GET /app");
    // It stands still: each of its requests is answered at the limit, and nobody waits for them.
    node.signal(Signal::STOP);
    let ((), echoes) = neighbours.beside(|| {
        thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    let begun = Deadline::within(PATIENCE);
                    let (status, error) = refusal(&ask());
                    assert_eq!((status, &error["code"]), (504, &"backend_timeout".into()));
                    let took = begun.elapsed().as_millis();
                    assert!((900..1500).contains(&took), "{took} ms");
                });
            }
            look_around(&server, &mut members, Duration::from_secs(2));
        });
    });
    assert!(
        echoes.percentile(99) < calm.percentile(99) * 2 + Duration::from_millis(20),
        "{echoes}; before {calm}"
    );
    node.signal(Signal::CONT);
    until("it is asked again", PATIENCE, || (ask().body == b"GET /app").then_some(()));
    // It is dead: each is answered at once.
    let port = node.address.port();
    drop(node);
    let ((), _) = neighbours.beside(|| {
        for _ in 0..100 {
            assert_eq!(refusal(&ask()).0, 502);
        }
        look_around(&server, &mut members, Duration::from_millis(500));
    });
    let _back = Node::start(port).unwrap();
    until("it is back", PATIENCE, || (ask().body == b"GET /app").then_some(()));
    drop(neighbours);
    server.stop();
}

/// Another route and a room, for a while.
fn look_around(server: &Server, members: &mut [Member; 2], while_: Duration) {
    let since = Deadline::within(while_);
    let mut client = Socket::connect(server.public);
    for n in 0_u32.. {
        if since.passed() {
            return;
        }
        let begun = Deadline::within(PATIENCE);
        assert_eq!(client.get("/other").unwrap().body, b"GET /other");
        let [ann, bob] = &mut *members;
        ann.broadcast("r", &n.to_string());
        assert!(bob.hear().contains(&format!("\"payload\":{n}")));
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_request_goes_to_the_server_with_the_least_to_do() {
    let (busy, idle) = (Origin::new(), Origin::new());
    let server = Setup::new(1).route("/", &[busy.address, idle.address], "").start();
    let ask = || {
        let mut client = Socket::connect(server.public);
        client.send(get("/").as_bytes());
        client
    };
    // As many as it takes to have three wait at one of them.
    let mut waiting = Vec::new();
    for n in 0..6 {
        waiting.push(ask());
        until("somebody has it", PATIENCE, || (count(&server) == n + 1).then_some(()));
    }
    let (one, other) = (visits(&busy), visits(&idle));
    assert_eq!((one.len(), other.len()), (3, 3), "they share what is under way");
    // One of them is free again: it gets the next, up to what the other has.
    let mut clients = Vec::new();
    for mut socket in other {
        socket.answer("done");
        clients.push(socket);
    }
    let mut answered = 0;
    for client in &mut waiting {
        if client.has_answer() || client.response_within(Duration::from_millis(200)).is_ok() {
            answered += 1;
        }
    }
    assert_eq!(answered, 3);
    let _more: Vec<Socket> = (0..3).map(|_| ask()).collect();
    for socket in &mut clients {
        assert_eq!(socket.request().unwrap().line(), "GET / HTTP/1.1");
    }
    assert!(busy.visitor().is_none() && idle.visitor().is_none());
    drop(waiting);
    server.stop();
}

fn count(server: &Server) -> usize {
    server.metric("vestibule_backend_connections") as usize
}

/// Everybody who came, with a request.
fn visits(origin: &Origin) -> Vec<Socket> {
    let mut visits = Vec::new();
    while let Some(mut socket) = origin.visitor() {
        socket.request().unwrap();
        visits.push(socket);
    }
    visits
}

#[test]
fn only_what_may_be_asked_twice_is_and_only_where_no_server_saw_it() {
    let origin = Origin::new();
    let dead = Origin::new().address;
    let server = Setup::new(1).route("/", &[dead, origin.address], "").start();
    // A server that is not there: another is asked.
    let mut client = Socket::connect(server.public);
    for _ in 0..4 {
        client.send(get("/").as_bytes());
        let (mut socket, _) = origin.visit();
        socket.answer("here");
        assert_eq!(client.response().unwrap().body, b"here");
        drop(socket);
    }
    server.stop();
    // A connection that is used again and turns out closed: asked once more, if it was whole and may be.
    let server = Setup::new(1).route("/", &[origin.address], "").start();
    for (request, is_asked_again) in [
        (get("/again"), true),
        ("DELETE /again HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), true),
        ("POST /again HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx".to_owned(), false),
    ] {
        let mut client = Socket::connect(server.public);
        client.send(get("/first").as_bytes());
        let (mut socket, _) = origin.visit();
        socket.answer("first");
        assert_eq!(client.response().unwrap().body, b"first");
        client.send(request.as_bytes());
        socket.request().unwrap();
        drop(socket);
        if is_asked_again {
            // But never a third time.
            assert!(origin.visit().1.line().contains("/again"));
        }
        assert_eq!(refusal(&client.response().unwrap()).0, 502, "{request}");
        assert!(origin.visitor().is_none(), "{request}");
    }
    server.stop();
}

#[test]
fn one_connection_serves_us_and_the_application_in_turn() {
    for setup in [Setup::new(1), Setup::epoll()] {
        let origin = Origin::new();
        let server =
            setup.set("server.health_path", "\"/healthz\"").route("/app", &[origin.address], "").start();
        let mut client = Socket::connect(server.public);
        let posted = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let all = [
            get("/app/1"),
            get("/nothing"),
            posted.to_owned(),
            get("/events/ann"),
            get("/vestibule.js"),
            get("/healthz"),
            get("/app/2"),
        ];
        client.send((all.concat() + &upgrade_request("/echo", "")).as_bytes());
        let mut socket = origin.accept();
        let mut statuses = Vec::new();
        for n in 0..all.len() {
            if matches!(n, 0 | 2 | 6) {
                let seen = socket.request().unwrap();
                assert_eq!(seen.body, if n == 2 { &b"abc"[..] } else { b"" });
                socket.answer("app");
            }
            statuses.push(client.response().unwrap().status);
        }
        assert_eq!(statuses, [200, 404, 200, 401, 200, 200, 200]);
        assert_eq!(client.bodiless().unwrap().status, 101);
        client.send_text("at last");
        assert_eq!(client.frame().unwrap().text(), "at last");
        assert_eq!(server.metric("vestibule_proxied_requests_total"), 3.0);
        server.stop();
    }
}

#[test]
fn a_body_that_drips_is_not_waited_for_without_end() {
    let origin = Origin::new();
    let server = Setup::new(1).route("/", &[origin.address], "").start();
    let mut client = Socket::connect(server.public);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    let begun = Deadline::within(PATIENCE);
    let mut socket = origin.accept();
    socket.request_head().unwrap();
    let answer = until("it is answered", PATIENCE, || {
        client.try_send(b"x").unwrap();
        client.response_within(Duration::from_millis(500)).ok()
    });
    assert_eq!((answer.status, answer.closes()), (408, true));
    assert!((9..13).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    until("its server is left alone", PATIENCE, || (socket.hear() != Ok(())).then_some(()));
    server.stop();
}

#[test]
fn a_connection_that_waits_for_its_next_request_holds_nothing_of_the_last() {
    let Some(node) = Node::start(0) else { return };
    let server = Setup::new(1).route("/", &[node.address], "").start();
    let body = "x".repeat(60_000);
    let request = format!("POST /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let use_once = || {
        let mut client = Socket::connect(server.public);
        client.send(request.as_bytes());
        assert_eq!(client.response().unwrap().body, body.as_bytes());
        client
    };
    let _first: Vec<Socket> = (0..50).map(|_| use_once()).collect();
    let before = server.resident_bytes();
    let _idle: Vec<Socket> = (0..500).map(|_| use_once()).collect();
    let each = server.resident_bytes().saturating_sub(before) / 500;
    assert!(each < 8 << 10, "{each} bytes of each");
    server.stop();
}

#[test]
fn what_nginx_says_is_said_through_us() {
    let Some(nginx) = Nginx::start() else { return };
    for setup in [Setup::new(2), Setup::epoll()] {
        let server = setup.route("/", &[nginx.address], "").start();
        let tag = Socket::connect(nginx.address).get("/small").unwrap().header("etag").unwrap().to_owned();
        let (mut direct, mut client) = (Socket::connect(nginx.address), Socket::connect(server.public));
        for (method, path, fields) in [
            ("GET", "/small", String::new()),
            ("GET", "/large", String::new()),
            ("HEAD", "/large", String::new()),
            ("GET", "/large", "Range: bytes=1000-1999\r\n".to_owned()),
            ("GET", "/large", "Range: bytes=0-9,100-109\r\n".to_owned()),
            ("GET", "/small", format!("If-None-Match: {tag}\r\n")),
            ("GET", "/nothing", String::new()),
            ("POST", "/small", "Content-Length: 0\r\n".to_owned()),
            ("GET", "/small", String::new()),
        ] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let said = [&mut direct, &mut client].map(|socket| {
                socket.send(request.as_bytes());
                let is_bodiless = method == "HEAD" || fields.contains("If-None");
                if is_bodiless { socket.bodiless().unwrap() } else { socket.response().unwrap() }
            });
            let [direct, through] = &said;
            assert_eq!(direct.status, through.status, "{request}");
            // Its parts are divided by a number that is another one each time.
            let is_divided = direct.header("content-type").is_some_and(|kind| kind.contains("boundary"));
            assert_eq!(direct.body.len(), through.body.len(), "{request}");
            assert!(is_divided || direct.body == through.body, "{request}");
            for field in
                ["content-length", "content-type", "content-range", "etag", "last-modified", "server"]
            {
                let kind =
                    |value: Option<&str>| value.map(|it| it.split("; boundary").next().unwrap().to_owned());
                assert_eq!(kind(direct.header(field)), kind(through.header(field)), "{request}");
            }
        }
        assert!(server.metric("vestibule_backend_connects_total") <= 2.0, "connections are used again");
        server.stop();
    }
}

/// nginx with two files, as a process.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// `None` where there is no nginx.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        // Where a master that is root has workers that are not, they are to read it.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(folder.path().join("small"), "small").unwrap();
        std::fs::write(folder.path().join("large"), pattern(3 << 20)).unwrap();
        let address = Origin::new().address;
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {path}/{name};"))
            .concat();
        let text = format!(
            "daemon off; worker_processes 1; pid {path}/pid; error_log {path}/log; events {{}}\n\
             http {{ access_log off; {places} server {{ listen {address}; root {path}; }} }}"
        );
        let file = folder.path().join("conf");
        std::fs::write(&file, text).unwrap();
        let begun = ["nginx", "/usr/sbin/nginx"].into_iter().find_map(|program| {
            let mut command = Command::new(program);
            command.arg("-e").arg(folder.path().join("log")).arg("-c").arg(&file).spawn().ok()
        });
        let Some(child) = begun else {
            eprintln!("skipped: needs nginx");
            return None;
        };
        until("nginx answers", PATIENCE, || Socket::try_connect(address).ok());
        Some(Self { child, address, _folder: folder })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers go with the master only if that is asked.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

//! Under a parent that holds the sockets and listens to the notifications, as systemd does.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Member, PATIENCE, Setup, Socket, Stalled, binary, until};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tempfile::TempDir;

#[test]
fn over_twenty_restarts_no_connection_is_refused_or_reset() {
    let parent = Parent::new(&Setup::new(2).set("server.drain", "\"1s\""), "systemd:public");
    let served = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let (stop, stopped) = channel::<()>();
        let (served, address) = (served.clone(), parent.public_address());
        let client = std::thread::spawn(move || connect_at_a_pace(n, address, &stopped, &served));
        clients.push((stop, client));
    }
    let mut generation = parent.start();
    for _ in 0..20 {
        // Some hundred milliseconds of each: the rest of the time is the change.
        let from = served.load(Relaxed);
        until("this generation serves", PATIENCE, || (served.load(Relaxed) >= from + 150).then_some(()));
        generation.stop(&parent);
        generation = parent.start();
    }
    let mut refusals = Vec::new();
    for (stop, client) in clients {
        drop(stop);
        refusals.extend(client.join().unwrap());
    }
    generation.stop(&parent);
    assert_eq!(refusals, [""; 0], "of {} connections", served.load(Relaxed));
    assert!(served.load(Relaxed) >= 3000);
}

#[test]
fn a_member_of_the_old_process_is_told_to_go_and_finds_the_next() {
    let parent = Parent::new(&Setup::new(2).set("server.drain", "\"1s\""), "systemd:public");
    let mut first = parent.start();
    let token = harness::mint(&serde_json::json!({ "sub": "ada", "exp": harness::now_s() + 3600 }));
    let mut member = Member::greeted(Socket::connect(parent.public_address()), &token, "ada");
    first.tell();
    let closed = member.socket.closed();
    assert_eq!(closed.code, Some(1001));
    first.stop(&parent);
    // No process listens now: the parent's socket takes the connection, and the next process serves it.
    let waiting = Socket::connect(parent.public_address());
    let second = parent.start();
    Member::greeted(waiting, &token, "ada").join("room");
    second.stop(&parent);
}

#[test]
fn the_manager_hears_of_start_reload_watchdog_and_stop() {
    let parent = Parent::new(&Setup::new(2), "systemd:public");
    let mut generation = parent.start_with(&[("WATCHDOG_USEC", "500000")]);
    assert!(parent.hears("WATCHDOG=1").contains("WATCHDOG=1"));
    kill_process(generation.pid(), Signal::HUP).unwrap();
    assert!(parent.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    parent.hears("READY=1");
    generation.tell();
    assert!(parent.hears("STOPPING=1").contains("EXTEND_TIMEOUT_USEC="));
    generation.stop(&parent);
}

#[test]
fn a_socket_that_was_not_passed_is_named_with_those_that_were() {
    let said = Parent::new(&Setup::new(1), "systemd:front").refusal();
    assert!(
        said.contains("listener.address = \"systemd:front\": no socket of this name was passed"),
        "{said}"
    );
    assert!(said.contains("LISTEN_FDNAMES has public, admin"), "{said}");
}

#[test]
fn an_operators_socket_that_others_reach_needs_keys() {
    let setup = Setup::new(1).unset("admin.keys");
    let said = Parent::with(&setup, "systemd:public", Ipv4Addr::UNSPECIFIED).refusal();
    assert!(said.contains("admin.address = \"systemd:admin\": without admin.keys only a loopback"), "{said}");
    let parent = Parent::with(&Setup::new(1), "systemd:public", Ipv4Addr::UNSPECIFIED);
    parent.start().stop(&parent);
}

#[test]
fn the_watchdog_starves_while_one_shard_of_two_stands_still() {
    let parent = Parent::new(&Setup::new(2), "systemd:public");
    let generation = parent.start_with(&[("WATCHDOG_USEC", "1000000")]);
    parent.hears("WATCHDOG=1");
    let Some(stalled) = Stalled::thread(generation.child.id(), "shard-0") else { return };
    until("the stall is noticed", PATIENCE, || {
        parent.log().contains("the watchdog is not fed").then_some(())
    });
    // What was said before it was noticed; then, in four times of the watchdog's half, nothing.
    parent.notifications.set_nonblocking(true).unwrap();
    while parent.notifications.recv(&mut [0; 4096]).is_ok() {}
    parent.notifications.set_nonblocking(false).unwrap();
    parent.notifications.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert!(parent.notifications.recv(&mut [0; 4096]).is_err(), "it is not fed meanwhile");
    parent.notifications.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(stalled);
    parent.hears("WATCHDOG=1");
    generation.stop(&parent);
}

/// What systemd is to the service.
struct Parent {
    directory: TempDir,
    public: TcpListener,
    admin: TcpListener,
    notifications: UnixDatagram,
}

/// A process of the service.
struct Generation {
    child: Child,
    told: bool,
}

impl Parent {
    fn new(setup: &Setup, public_name: &str) -> Parent {
        Parent::with(setup, public_name, Ipv4Addr::LOCALHOST)
    }

    /// With operators' socket on this address.
    fn with(setup: &Setup, public_name: &str, admin: Ipv4Addr) -> Parent {
        let directory = tempfile::tempdir().unwrap();
        let bind = |address| TcpListener::bind((address, 0)).unwrap();
        let (public, admin) = (bind(Ipv4Addr::LOCALHOST), bind(admin));
        let text = setup.file(public.local_addr().unwrap(), admin.local_addr().unwrap());
        let text = text
            .replace(&format!("\"{}\"", public.local_addr().unwrap()), &format!("\"{public_name}\""))
            .replace(&format!("\"{}\"", admin.local_addr().unwrap()), "\"systemd:admin\"");
        std::fs::write(directory.path().join("vestibule.toml"), text).unwrap();
        let notifications = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        notifications.set_read_timeout(Some(PATIENCE)).unwrap();
        for socket in [&public, &admin] {
            fcntl_setfd(socket, FdFlags::empty()).unwrap();
        }
        Parent { directory, public, admin, notifications }
    }

    fn public_address(&self) -> SocketAddr {
        self.public.local_addr().unwrap()
    }

    /// Starts a process and waits until it says that it is ready.
    fn start(&self) -> Generation {
        self.start_with(&[])
    }

    fn start_with(&self, variables: &[(&str, &str)]) -> Generation {
        let generation = self.launch(variables);
        self.hears("READY=1");
        generation
    }

    fn launch(&self, variables: &[(&str, &str)]) -> Generation {
        // The shell's process becomes the service: only so can it be told its own number.
        let script = format!(
            "exec 3<&{} 4<&{}; export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=public:admin; exec \"$@\"",
            self.public.as_raw_fd(),
            self.admin.as_raw_fd()
        );
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.directory.path().join("log"));
        let child = Command::new("bash")
            .args(["-c", &script, "bash"])
            .arg(binary())
            .args(["serve", "--config"])
            .arg(self.directory.path().join("vestibule.toml"))
            .env("NOTIFY_SOCKET", self.directory.path().join("notify"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        Generation { child, told: false }
    }

    /// What a process says that will not start, and goes with 78.
    fn refusal(&self) -> String {
        let mut generation = self.launch(&[]);
        let status = until("it gives up", PATIENCE, || generation.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(78), "{}", self.log());
        self.log()
    }

    /// All that its processes said.
    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The next notification with this in it.
    fn hears(&self, what: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let len = self
                .notifications
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("no {what}: {error}; its log: {}", self.log()));
            let text = String::from_utf8_lossy(&buffer[..len]);
            if text.contains(what) {
                return text.into_owned();
            }
        }
    }
}

impl Generation {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Tells it to end. A second signal would end it at once.
    fn tell(&mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.told = true;
    }

    /// Ends it, unless it was told already; it must go with exit 0.
    fn stop(mut self, parent: &Parent) {
        if !self.told {
            self.tell();
        }
        let status = until("it ends", PATIENCE, || self.child.try_wait().unwrap());
        let said = parent.log();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // A test that failed leaves no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// New connections, one request each, until told to stop; returns what went wrong.
fn connect_at_a_pace(n: u32, address: SocketAddr, stopped: &Receiver<()>, served: &AtomicU64) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut pause = EVERY / CLIENTS * n;
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        pause = EVERY;
        let asked = Socket::try_connect(address).map_err(|error| error.to_string()).and_then(|mut socket| {
            socket.try_send(REQUEST).map_err(|error| error.to_string())?;
            socket.response().map_err(|end| format!("{end:?}"))
        });
        match asked {
            Ok(response) if matches!(response.status, 404 | 503) => {
                served.fetch_add(1, Relaxed);
            }
            Ok(response) => wrong.push(format!("status {}", response.status)),
            Err(error) => wrong.push(error),
        }
    }
    wrong
}

/// Each connects every 32 ms: together five hundred times a second.
const CLIENTS: u32 = 16;
const EVERY: Duration = Duration::from_millis(32);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

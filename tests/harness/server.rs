//! One server process: its configuration, its start, its end, and what it says of itself.

use super::{App, HOOK_SECRET, Response, Socket, until};
use jsonwebtoken::{EncodingKey, Header, encode};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

/// The key that every test's tokens are signed with.
pub(crate) const SECRET: &str = "integration-secret-integration-secret";

/// The drain window unless a test sets another.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);

/// Names of `/metrics` that tests read, in one place.
pub(crate) mod gauge {
    pub(crate) const CONNECTIONS: &str = "vestibule_connections";
    pub(crate) const LOG_BYTES: &str = "vestibule_log_bytes";
    pub(crate) const MEMBERS: &str = "vestibule_members";
    /// Rooms of the node, each counted once, at its home.
    pub(crate) const HOMES: &str = "vestibule_homes";
    /// Rooms with local members, counted at each shard that has some.
    pub(crate) const ROOMS: &str = "vestibule_rooms";
    /// Open connections, and those that are not yet through their handshake.
    /// Connections closed for the lag, or because the process held too much.
    pub(crate) const TOO_SLOW: &str = "vestibule_too_slow_total";
    /// Handlers of connections that panicked.
    pub(crate) const PANICS: &str = "vestibule_panics_total";
    pub(crate) const OUTBOX_BYTES: &str = "vestibule_outbox_bytes";
    pub(crate) const SOCKETS: &str = "vestibule_sockets";
}

/// A configuration under construction: keys that a test sets replace those of the base.
#[derive(Clone)]
pub(crate) struct Setup {
    keys: BTreeMap<String, String>,
    rooms: Vec<[&'static str; 3]>,
    /// Open rooms that keep what is published, before all other rules: pattern, size, ttl.
    histories: Vec<(&'static str, u32, &'static str)>,
    /// Rules as they stand in the file, before all others.
    rules: &'static str,
    environment: BTreeMap<String, String>,
    /// Backends and routes.
    tables: String,
    /// What a shell does before it becomes the server.
    shell: Option<&'static str>,
}

impl Setup {
    /// Open rooms, an echo, tokens, io_uring, and limits that no test meets by accident.
    pub(crate) fn new(workers: usize) -> Self {
        let setup = Self {
            keys: BTreeMap::new(),
            rooms: vec![["*", "authenticated", "authenticated"]],
            histories: Vec::new(),
            rules: "",
            environment: BTreeMap::new(),
            tables: String::new(),
            shell: None,
        };
        setup
            // Everything it can say, so that what it must not say is looked for in all of it.
            .variable("RUST_LOG", "info,vestibule=trace")
            .set("server.workers", &workers.to_string())
            .set("server.driver", "\"io_uring\"")
            .set("server.drain", "\"2s\"")
            .set("admin.keys", "[\"integration\"]")
            .set("auth.mode", "\"jwt\"")
            .set("auth.hs256_secret", &format!("\"{SECRET}\""))
            .set("auth.algorithms", "[\"HS256\"]")
            .set("limits.connections_per_address", "100000")
            .set("limits.messages_per_second", "1000000000")
            .set("limits.burst", "1000000000")
            .set("websocket.echo", "\"/echo\"")
    }

    /// One worker and two, on io_uring.
    pub(crate) fn each() -> [Self; 2] {
        [Self::new(1), Self::new(2)]
    }

    /// The short form: two workers on epoll.
    pub(crate) fn epoll() -> Self {
        Self::new(2).set("server.driver", "\"epoll\"")
    }

    /// Sets `section.key` to a TOML value.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.keys.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Leaves `section.key` out.
    pub(crate) fn unset(mut self, key: &str) -> Self {
        self.keys.remove(key);
        self
    }

    /// Sets a variable of the server's environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A shell does this first, and then becomes the server.
    pub(crate) fn after(mut self, command: &'static str) -> Self {
        self.shell = Some(command);
        self
    }

    /// Replaces the room rules: pattern, join, publish.
    pub(crate) fn rooms(mut self, rules: &[[&'static str; 3]]) -> Self {
        self.rooms = rules.to_vec();
        self
    }

    /// Puts rules before all others, as they stand in the file.
    pub(crate) fn rule(mut self, rules: &'static str) -> Self {
        self.rules = rules;
        self
    }

    /// Adds a rule for open rooms that keep so many publications, each for so long.
    pub(crate) fn history(mut self, pattern: &'static str, size: u32, ttl: &'static str) -> Self {
        self.histories.push((pattern, size, ttl));
        self
    }

    /// This application is told of connections, and asked.
    pub(crate) fn hooks(self, app: &App) -> Self {
        self.set("hooks.url", &format!("\"http://{}/hooks?v=1\"", app.address()))
            .set("hooks.secret", &format!("\"{HOOK_SECRET}\""))
    }

    /// Hands what is at `path` and below on to these servers; `keys` are more lines of the backend's.
    pub(crate) fn route(mut self, path: &str, servers: &[SocketAddr], keys: &str) -> Self {
        let name = format!("backend-{}", self.tables.matches("[[backend]]").count());
        let servers: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
        let table = format!(
            "[[backend]]\nname = \"{name}\"\nservers = {servers:?}\n{keys}\n\
             [[route]]\npath = \"{path}\"\nbackend = \"{name}\"\n"
        );
        self.tables.push_str(&table);
        self
    }

    /// The file that says so.
    pub(crate) fn file(&self, public: SocketAddr, admin: SocketAddr) -> String {
        let mut text = format!("[[listener]]\naddress = \"{public}\"\n");
        let keys = self.clone().set("admin.address", &format!("\"{admin}\"")).keys;
        let mut open = "";
        for (name, value) in &keys {
            let (section, key) = name.split_once('.').expect("a key is section.key");
            if section != open {
                writeln!(text, "[{section}]").expect("a string takes everything");
                open = section;
            }
            writeln!(text, "{key} = {value}").expect("a string takes everything");
        }
        text.push_str(self.rules);
        for (pattern, size, ttl) in &self.histories {
            let rule = format!(
                "[[room]]\npattern = \"{pattern}\"\njoin = \"anyone\"\npublish = \"anyone\"\n\
                 history = {{ size = {size}, ttl = \"{ttl}\" }}\n"
            );
            text.push_str(&rule);
        }
        for [pattern, join, publish] in &self.rooms {
            let rule =
                format!("[[room]]\npattern = \"{pattern}\"\njoin = \"{join}\"\npublish = \"{publish}\"\n");
            text.push_str(&rule);
        }
        text + &self.tables
    }

    /// Starts the server and returns once it is alive; ports that somebody took meanwhile are drawn again.
    pub(crate) fn start(&self) -> Server {
        for _ in 0..PORT_DRAWS {
            let mut server = Server::launch(self);
            if server.becomes_ready() {
                return server;
            }
            let log = server.log();
            assert!(log.contains("in use") || log.contains("os error 98"), "it did not start: {log}");
        }
        panic!("{PORT_DRAWS} draws of free ports were all taken");
    }
}

/// A running server. Dropped, it is killed; `stop` ends it properly and judges how it went.
pub(crate) struct Server {
    child: Child,
    ended: bool,
    directory: TempDir,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Server {
    fn launch(setup: &Setup) -> Self {
        let (public, admin) = free_addresses();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = directory.path().join("vestibule.toml");
        std::fs::write(&config, setup.file(public, admin)).expect("a configuration file");
        let log = File::create(directory.path().join("log")).expect("a log file");
        let mut command = match setup.shell {
            None => Command::new(binary()),
            Some(first) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{first} && exec \"$@\"")).arg("sh").arg(binary());
                shell
            }
        };
        let child = command
            .envs(&setup.environment)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Self { child, ended: false, directory, public, admin }
    }

    /// Alive on the admin listener and accepting on the public one; false if the process ended instead.
    fn becomes_ready(&mut self) -> bool {
        until("the server is alive", START, || {
            if self.child.try_wait().expect("a child to wait for").is_some() {
                self.ended = true;
                return Some(false);
            }
            let alive = Socket::try_connect(self.admin).ok()?.get("/healthz").is_ok_and(|r| r.status == 200);
            (alive && Socket::try_connect(self.public).is_ok()).then_some(true)
        })
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The configuration file it runs with.
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("vestibule.toml")
    }

    /// All it wrote so far, on either stream.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.directory.path().join("log")).expect("a log file");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has said this: its log is written by a thread of its own. Returns all it said.
    pub(crate) fn await_log(&self, text: &str) -> String {
        until(&format!("the log says {text:?}"), super::PATIENCE, || {
            let log = self.log();
            log.contains(text).then_some(log)
        })
    }

    /// `path` on the admin listener.
    pub(crate) fn admin_get(&self, path: &str) -> Response {
        Socket::connect(self.admin).get(path).expect("the admin listener answers")
    }

    /// The sum over all labels of one metric; zero if it is not there yet.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.admin_get("/metrics");
        assert_eq!(page.status, 200, "/metrics needs no key");
        let text = String::from_utf8(page.body).expect("metrics are text");
        text.lines().filter_map(|line| sample_of(line, name)).sum()
    }

    /// Waits until a metric has this value.
    pub(crate) fn await_metric(&self, name: &str, value: f64) {
        let mut last = f64::NAN;
        until(&format!("{name} is {value}"), super::PATIENCE, || {
            last = self.metric(name);
            if last == value { Some(()) } else { None }
        });
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a living process");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a process has resident memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB")
            * 1024
    }

    /// Descriptors that it holds.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a living process").count()
    }

    /// Processor time of all its threads, since it began.
    pub(crate) fn cpu_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("a living process");
        let nanoseconds = threads.filter_map(|thread| {
            // The first number: time on a CPU. A thread may end meanwhile.
            let stat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Writes another file in the place of its own, and SIGHUP.
    pub(crate) fn reconfigure(&self, setup: &Setup) {
        std::fs::write(self.config(), setup.file(self.public, self.admin)).expect("a configuration file");
        kill_process(self.process(), Signal::HUP).expect("a process of ours takes a signal");
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        kill_process(self.process(), Signal::TERM).expect("a process of ours takes a signal");
    }

    /// Waits for the end.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> ExitStatus {
        let status = until(&format!("process {} ends", self.pid()), limit, || {
            self.child.try_wait().expect("a child to wait for")
        });
        self.ended = true;
        status
    }

    /// Ends it as an operator would; it must go with exit 0, and no panic in its log.
    pub(crate) fn stop(mut self) {
        self.terminate();
        let status = self.ends_within(DRAIN + Duration::from_secs(5));
        let log = self.log();
        assert_eq!(status.code(), Some(0), "exit of a drained server ({status}); its log: {log}");
        assert!(!log.contains("panicked"), "a panic: {log}");
    }

    fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.ended {
            // Failure to kill means it is gone already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let log = self.log();
        if std::thread::panicking() {
            let is_a_look = |line: &&str| line.contains("/metrics");
            let lines: Vec<&str> = log.lines().filter(|line| !is_a_look(line)).collect();
            eprintln!("the server's last words:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        } else if let Some(line) = log.lines().find(|line| tells(line)) {
            panic!("the log tells what must never be logged: {line}");
        }
    }
}

/// Whether a line bears the key, or a token: header and claims of each begin with the base64 of `{"`.
fn tells(line: &str) -> bool {
    line.contains("eyJ") || line.contains(SECRET) || line.contains(HOOK_SECRET)
}

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_vestibule"))
}

/// A token of these claims, signed with the tests' key.
pub(crate) fn mint(claims: &impl Serialize) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("claims encode")
}

impl Server {
    /// A token for a user, good for an hour.
    pub(crate) fn token(&self, user: &str) -> String {
        mint(&json!({ "sub": user, "exp": now_s() + 3600 }))
    }
}

/// Seconds since 1970.
#[allow(clippy::disallowed_methods, reason = "tokens carry wall time")]
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Two loopback addresses that were free a moment ago.
fn free_addresses() -> (SocketAddr, SocketAddr) {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let (one, other) = (bind(), bind());
    (one.local_addr().expect("bound"), other.local_addr().expect("bound"))
}

/// The value of a line of Prometheus text, if it is a sample of `name`.
fn sample_of(line: &str, name: &str) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    if !rest.starts_with([' ', '{']) {
        return None;
    }
    rest.rsplit(' ').next()?.parse().ok()
}

const START: Duration = Duration::from_secs(20);
const PORT_DRAWS: usize = 5;

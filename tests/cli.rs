//! The command line: what each word prints, and with which code it ends.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Member, PATIENCE, SECRET, Setup, Socket, binary, until};
use std::{
    fs::{self, Permissions},
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

#[test]
fn check_prints_every_complaint_at_once_with_file_and_line() {
    let file = Written::new(
        "[[listener]]\n\
         address = \"nowhere\"\n\
         [server]\n\
         drain = \"30 s\"\n\
         driver = \"kqueue\"\n\
         [auth]\n\
         hs256_secret = \"0123456789012345678901234567890123456789\"\n\
         [limits]\n\
         lag = \"1 MB\"\n\
         rooms_per_connection = -1\n\
         lagg = \"1MiB\"\n\
         [socketio]\n\
         path = \"/socket.io/\"\n",
    );
    let said = run(Command::new(binary()).arg("check").arg(&file.path));
    assert_eq!(said.code, Some(78), "{}", said.text);
    for (line, key) in [
        (2, "address"),
        (4, "drain"),
        (5, "driver"),
        (9, "lag"),
        (10, "rooms_per_connection"),
        (11, "lagg"),
        (12, "socketio"),
    ] {
        let place = format!("vestibule.toml:{line}:");
        let complaint = said.text.lines().find(|l| l.contains(&place));
        let complaint = complaint.unwrap_or_else(|| panic!("no complaint at line {line} in {}", said.text));
        assert!(complaint.contains(key), "{complaint}");
    }
    assert!(said.text.contains("limits.lag = \"1 MB\": a size is"), "what is allowed: {}", said.text);
}

#[test]
fn check_accepts_a_good_file_and_never_prints_its_secret() {
    let file = Written::new(&Setup::new(2).file(LISTENER, ADMIN));
    let said = run(Command::new(binary()).arg("check").arg(&file.path));
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert!(!said.text.contains(SECRET), "{}", said.text);
    let file = Written::new(&Setup::new(2).set("auth.algorithms", "[\"none\"]").file(LISTENER, ADMIN));
    let said = run(Command::new(binary()).arg("check").arg(&file.path));
    assert_eq!(said.code, Some(78), "{}", said.text);
    assert!(!said.text.contains(SECRET), "{}", said.text);
}

#[test]
fn check_refuses_a_file_that_is_not_there_or_no_toml() {
    let said = run(Command::new(binary()).arg("check").arg("no-such-file.toml"));
    assert_eq!(said.code, Some(78), "{}", said.text);
    assert!(said.text.contains("no-such-file.toml"), "{}", said.text);
    let file = Written::new("[server]\nworkers = = 1\n");
    let said = run(Command::new(binary()).arg("check").arg(&file.path));
    assert_eq!(said.code, Some(78), "{}", said.text);
    assert!(said.text.contains("vestibule.toml:2"), "{}", said.text);
}

#[test]
fn config_prints_a_file_that_check_accepts_given_a_secret() {
    let printed = run(Command::new(binary()).arg("config"));
    assert_eq!(printed.code, Some(0), "{}", printed.text);
    assert!(printed.text.lines().any(|line| line.trim_start().starts_with('#')), "it explains itself");
    let file = Written::new(&printed.text);
    let mut check = Command::new(binary());
    check.arg("check").arg(&file.path).env("VESTIBULE_AUTH__HS256_SECRET", SECRET);
    let said = run(&mut check);
    assert_eq!(said.code, Some(0), "{}", said.text);
}

#[test]
fn an_environment_variable_overrides_the_file() {
    let file = Written::new(&Setup::new(2).file(LISTENER, ADMIN));
    let mut check = Command::new(binary());
    check.arg("check").arg(&file.path).env("VESTIBULE_LIMITS__LAG", "nothing");
    let said = run(&mut check);
    assert_eq!(said.code, Some(78), "{}", said.text);
    assert!(said.text.contains("limits.lag") || said.text.contains("VESTIBULE_LIMITS__LAG"), "{}", said.text);
}

#[test]
fn token_mints_a_token_that_the_server_accepts() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut command = Command::new(binary());
        command.arg("token").arg("--config").arg(server.config()).args(["--user", "ann"]);
        let said = run(&mut command);
        assert_eq!(said.code, Some(0), "{}", said.text);
        let token = said.out.trim();
        assert_eq!(token.split('.').count(), 3, "the token alone: {token:?}");
        let mut ann = Member::greeted(Socket::connect(server.public), token, "ann");
        ann.join("r");
        server.stop();
    }
}

#[test]
fn serve_with_a_bad_file_exits_78_and_names_the_fault() {
    let file = Written::new(&Setup::new(1).set("limits.lag", "\"1 MB\"").file(LISTENER, ADMIN));
    let said = run(Command::new(binary()).arg("serve").arg("--config").arg(&file.path));
    assert_eq!(said.code, Some(78), "{}", said.text);
    assert!(said.text.contains("limits.lag"), "{}", said.text);
    assert!(!said.text.contains("panicked"), "{}", said.text);
}

#[test]
fn serve_on_a_taken_port_ends_with_a_word_about_it() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let file = Written::new(&Setup::new(1).file(address, ADMIN));
    let said = run(Command::new(binary()).arg("serve").arg("--config").arg(&file.path));
    assert!(said.code.is_some_and(|code| code != 0), "{}", said.text);
    assert!(said.text.contains(&address.to_string()), "{}", said.text);
    assert!(!said.text.contains("panicked"), "{}", said.text);
}

#[test]
fn every_word_has_a_help_and_an_unknown_one_is_refused() {
    for word in ["serve", "demo", "check", "config", "token", "publish", "rooms", "connections", "disconnect"]
    {
        let said = run(Command::new(binary()).args([word, "--help"]));
        assert_eq!(said.code, Some(0), "{word}: {}", said.text);
        assert!(said.text.contains("Usage"), "{word}: {}", said.text);
    }
    assert_eq!(run(Command::new(binary()).arg("--help")).code, Some(0));
    let said = run(Command::new(binary()).arg("sevre"));
    assert!(said.code.is_some_and(|code| code != 0), "{}", said.text);
}

/// A plain user with 64 KiB of locked memory: no ring fits into that.
#[test]
fn io_uring_that_was_asked_for_and_cannot_be_had_exits_78() {
    let Some(plain) = PlainUser::with_memlock(LITTLE) else {
        return skipped("no way to be a plain user with little memlock");
    };
    let file = plain.written(&Setup::new(1).file(free_address(), free_address()));
    let said = run(plain.command().arg("serve").arg("--config").arg(&file));
    assert_eq!(said.code, Some(78), "{}", said.text);
    assert!(said.text.contains("io_uring"), "{}", said.text);
    assert!(!said.text.contains("panicked"), "{}", said.text);
}

#[test]
fn auto_falls_back_to_epoll_and_says_why_in_one_line() {
    let Some(plain) = PlainUser::with_memlock(LITTLE) else {
        return skipped("no way to be a plain user with little memlock");
    };
    let said = plain.shakes_hands(&Setup::new(1).set("server.driver", "\"auto\""));
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("falling back to epoll")).collect();
    assert_eq!(lines.len(), 1, "one line: {said}");
    assert!(lines[0].contains("io_uring"), "it says what it could not have: {}", lines[0]);
    assert!(lines[0].contains("RLIMIT_MEMLOCK is 64 KiB"), "it says why: {}", lines[0]);
    assert!(said.contains("driver=epoll"), "{said}");
}

#[test]
fn a_plain_user_with_the_memory_for_it_gets_io_uring() {
    let Some(plain) = PlainUser::with_memlock(AMPLE) else {
        return skipped("no way to be a plain user with 8 MiB of memlock");
    };
    let said = plain.shakes_hands(&Setup::new(1));
    assert!(said.contains("driver=io_uring"), "{said}");
}

/// A copy of the binary where a user without privileges can run it.
struct PlainUser {
    directory: TempDir,
    binary: PathBuf,
    /// Bytes of locked memory it may have.
    memlock: u32,
}

impl PlainUser {
    /// None where prlimit is missing or may not, or where we are root and setpriv is missing.
    fn with_memlock(memlock: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let copy = directory.path().join("vestibule");
        fs::copy(binary(), &copy).unwrap();
        let plain = Self { directory, binary: copy, memlock };
        let mut probe = plain.wrapped();
        let works = probe.arg("true").stdin(Stdio::null()).stderr(Stdio::null()).status();
        works.is_ok_and(|status| status.success()).then_some(plain)
    }

    fn written(&self, text: &str) -> PathBuf {
        let path = self.directory.path().join("vestibule.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// Serves until a handshake has been answered, and returns what it said until then.
    fn shakes_hands(&self, setup: &Setup) -> String {
        let (public, admin) = (free_address(), free_address());
        let file = self.written(&setup.file(public, admin));
        let log = self.directory.path().join("log");
        let out = fs::File::create(&log).unwrap();
        let mut command = self.command();
        command.arg("serve").arg("--config").arg(&file).stdin(Stdio::null());
        command.stdout(out.try_clone().unwrap()).stderr(out);
        let mut running = Running::begin(&mut command);
        let answered = until("it is alive, or gone", PATIENCE, || {
            if running.0.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let alive = Socket::try_connect(admin).ok()?.get("/healthz").is_ok_and(|r| r.status == 200);
            alive.then_some(true)
        });
        let upgraded = answered && Socket::connect(public).upgrade("/echo", "").status == 101;
        if upgraded {
            // Its log is written by a thread of its own.
            until("its log says that it serves", PATIENCE, || {
                fs::read_to_string(&log).unwrap().contains("serving").then_some(())
            });
        }
        // prlimit and setpriv replace themselves by the server, so it is this that ends.
        drop(running);
        let said = fs::read_to_string(log).unwrap();
        assert!(upgraded, "{said}");
        said
    }

    /// The binary, run without privileges.
    fn command(&self) -> Command {
        let mut command = self.wrapped();
        command.arg(&self.binary);
        command
    }

    fn wrapped(&self) -> Command {
        let limit = format!("--memlock={0}:{0}", self.memlock);
        let mut command = Command::new("prlimit");
        command.arg(limit).current_dir(self.directory.path());
        if rustix::process::geteuid().is_root() {
            command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
        }
        command
    }
}

/// A loopback address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn skipped(why: &str) {
    println!("skipped: 1 ({why})");
}

/// A configuration file of a test's own.
struct Written {
    _directory: TempDir,
    path: PathBuf,
}

impl Written {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = Path::join(directory.path(), "vestibule.toml");
        fs::write(&path, text).unwrap();
        Self { _directory: directory, path }
    }
}

/// What a command said and how it ended.
struct Said {
    code: Option<i32>,
    /// Standard output.
    out: String,
    /// Both streams.
    text: String,
}

/// Runs a command that must end by itself.
fn run(command: &mut Command) -> Said {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::begin(command);
    let status = until(&format!("{command:?} ends"), PATIENCE, || running.0.try_wait().unwrap());
    let mut out = String::new();
    running.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let mut text = out.clone();
    running.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    Said { code: status.code(), out, text }
}

/// A process that ends with its test.
struct Running(Child);

impl Running {
    fn begin(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Failure to kill means it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const LISTENER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 18080);
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 19091);
const LITTLE: u32 = 64 * 1024;
const AMPLE: u32 = 8 * 1024 * 1024;

//! The command line: what was asked for, and the answer where a text is one.
//!
//! `check`, `config` and `token` are answered here; `serve` and `demo` are handed back to the door, which has
//! the server, and so are the errands to a node that runs, for which the door has the streams. Prints nothing and ends
//! nothing: the door does, with the exit code it is told.

mod check;
mod config;
mod connections;
mod disconnect;
mod errand;
mod node;
mod publish;
mod rooms;
mod table;
mod token;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Complaints;
use errand::Task;

pub use check::Check;
pub use config::Print;
pub use connections::Connections;
pub use disconnect::Disconnect;
pub use errand::{Errand, Reach};
pub use publish::Publish;
pub use rooms::Rooms;
pub use token::{Mint, Token};

/// An io_uring edge proxy that holds WebSocket and Server-Sent Events connections and rooms for application backends.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A command and its flags.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve clients until SIGTERM or SIGINT
    #[command(after_help = EXIT_CODES)]
    Serve(Serve),
    /// Serve a chat page with open rooms and a throw-away key, and print its address
    #[command(after_help = EXIT_CODES)]
    Demo(Demo),
    /// Say all that is wrong with a configuration file, with line and what is allowed
    #[command(after_help = EXIT_CODES)]
    Check(Check),
    /// Print the commented default configuration file
    #[command(after_help = EXIT_CODES)]
    Config(Print),
    /// Mint a JSON Web Token with the configured key
    #[command(after_help = EXIT_CODES)]
    Token(Token),
    /// Publish into a room of a running node, as a backend does
    #[command(after_help = ERRAND_HELP)]
    Publish(Publish),
    /// List rooms of a running node, the members of one, or what it still holds
    #[command(after_help = ERRAND_HELP)]
    Rooms(Rooms),
    /// List connections of a running node
    #[command(after_help = ERRAND_HELP)]
    Connections(Connections),
    /// Close connections of a running node
    #[command(after_help = ERRAND_HELP)]
    Disconnect(Disconnect),
}

/// `vestibule serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Configuration file; without one, the defaults and VESTIBULE_SECTION__KEY
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `vestibule demo`.
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// Address to serve the page and its WebSocket on
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub address: SocketAddr,
}

/// What a command comes to.
#[derive(Debug)]
pub enum Asked {
    /// This text on standard output, with a line end after it; then exit 0.
    Print(String),
    /// A server.
    Serve(Serve),
    /// A demonstration.
    Demo(Demo),
    /// A question to a running node: [`Errand::run`]; then exit 0.
    Errand(Errand),
}

/// Why a command could not be answered; `Display` is for standard error.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(#[from] Complaints),
    /// The configuration is good, and does not say what this command needs.
    #[error("{0}")]
    Unfit(String),
    /// A flag's value cannot be used with this configuration, or a node that was asked has refused.
    #[error("{0}")]
    Command(String),
    /// The answer cannot be written.
    #[error("standard output: {0}")]
    Output(io::Error),
}

impl Failure {
    /// The exit code to end with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) | Self::Unfit(_) => EXIT_CONFIGURATION,
            Self::Command(_) | Self::Output(_) => EXIT_FAILED,
        }
    }
}

impl Command {
    /// The answer, given the environment's variables and the time in Unix seconds.
    ///
    /// # Errors
    ///
    /// [`Failure`] names what the operator has to change.
    pub fn answer(self, env: Vec<(String, String)>, now_s: u64, mint: Mint) -> Result<Asked, Failure> {
        match self {
            Self::Serve(serve) => Ok(Asked::Serve(serve)),
            Self::Demo(demo) => Ok(Asked::Demo(demo)),
            Self::Check(check) => check.answer(env).map(Asked::Print),
            Self::Config(print) => Ok(Asked::Print(print.answer())),
            Self::Token(token) => token.answer(env, now_s, mint).map(Asked::Print),
            Self::Publish(publish) => errand(Task::Publish(publish), env),
            Self::Rooms(rooms) => errand(Task::Rooms(rooms), env),
            Self::Connections(connections) => errand(Task::Connections(connections), env),
            Self::Disconnect(disconnect) => errand(Task::Disconnect(disconnect), env),
        }
    }
}

fn errand(task: Task, env: Vec<(String, String)>) -> Result<Asked, Failure> {
    Errand::new(task, env).map(Asked::Errand)
}

/// A name on the command line; which ones there can be is for the node to say.
fn name(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The environment, as [`crate::config::load`] takes it: what is not UTF-8 has U+FFFD in it.
pub fn environment() -> Vec<(String, String)> {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect()
}

/// Something failed while running.
pub const EXIT_FAILED: u8 = 1;
/// The configuration is wrong, or asks for what this machine has not: trying again will not help (EX_CONFIG).
pub const EXIT_CONFIGURATION: u8 = 78;

const EXIT_CODES: &str = "\
Exit codes:
   0  all is well
   1  something failed while running
   2  the command line is wrong
  78  the configuration is wrong, or asks for what this machine has not; trying again will not help";

const ERRAND_HELP: &str = "\
The node is asked at admin.address with the first key of admin.keys, or of admin.keys_file, from the configuration.
--url and the variable VESTIBULE_API_KEY come before it; with both of them no configuration is read. A key never
stands on the command line.

Exit codes:
   0  all is well
   1  the node refuses, and says why, or there is none
   2  the command line is wrong
  78  the configuration is wrong, or does not say where the node is or which key it takes";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;
    use crate::auth::jwt::Minted;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
    }

    fn answer(line: &str, env: &[(&str, &str)]) -> Result<String, Failure> {
        let mint: Mint = |secret, claims| {
            let Minted { sub, exp, rooms, aud, iss } = claims;
            let meant = [aud, iss].map(|claim| claim.map(|text| format!("|{text}")).unwrap_or_default());
            format!("{}|{sub}|{rooms:?}|{exp}{}", secret.len(), meant.concat())
        };
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match parse(line).expect(line).answer(env, 1_000_000, mint)? {
            Asked::Print(text) => Ok(text),
            other => panic!("{other:?} is no text"),
        }
    }

    /// The errand of a command line, behind the program's name.
    pub(super) fn task(line: &[&str]) -> Task {
        let line = ["vestibule"].iter().chain(line);
        match Cli::try_parse_from(line).map(|cli| cli.command) {
            Ok(Command::Publish(publish)) => Task::Publish(publish),
            Ok(Command::Rooms(rooms)) => Task::Rooms(rooms),
            Ok(Command::Connections(connections)) => Task::Connections(connections),
            Ok(Command::Disconnect(disconnect)) => Task::Disconnect(disconnect),
            other => panic!("{other:?} is no errand"),
        }
    }

    /// The exit code with which clap ends a command line that it refuses.
    pub(super) fn ran(line: &[&str]) -> Result<(), i32> {
        let line = ["vestibule"].iter().chain(line);
        Cli::try_parse_from(line).map(drop).map_err(|error| error.exit_code())
    }

    fn file(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("v.toml");
        std::fs::write(&path, text).expect("a file");
        let path = path.display().to_string();
        (dir, path)
    }

    const SECRET: (&str, &str) = ("VESTIBULE_AUTH__HS256_SECRET", "0123456789abcdef0123456789abcdef");

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_help_that_names_the_exit_codes() {
        let words =
            Cli::command().get_subcommands().map(|word| word.get_name().to_owned()).collect::<Vec<_>>();
        assert_eq!(words.len(), 9);
        for word in words.iter().map(String::as_str).chain([""]) {
            let line = format!("vestibule {word} --help");
            let help = parse(&line).expect_err(&line);
            assert_eq!(help.exit_code(), 0, "{line}");
            assert!(help.to_string().contains("78  the configuration is wrong"), "{line}");
        }
    }

    #[test]
    fn serve_and_demo_are_handed_back() {
        let Ok(Command::Serve(serve)) = parse("vestibule serve --config a.toml") else { panic!("not serve") };
        assert_eq!(serve.config.as_deref(), Some(Path::new("a.toml")));
        let Ok(Command::Serve(Serve { config: None })) = parse("vestibule serve") else {
            panic!("not serve")
        };
        let Ok(Command::Demo(demo)) = parse("vestibule demo") else { panic!("not demo") };
        assert_eq!(demo.address.to_string(), "127.0.0.1:8080");
        assert!(parse("vestibule demo --address [::1]:0").is_ok());
    }

    #[test]
    fn a_wrong_command_line_exits_with_2() {
        for line in ["vestibule", "vestibule fly", "vestibule check", "vestibule demo --address here"] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
        for line in
            ["vestibule token", "vestibule token --user a --ttl 1", "vestibule token --user a --ttl 500ms"]
        {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
        assert_eq!(parse("vestibule token --user a --rooms a*b").expect_err("a pattern").exit_code(), 2);
    }

    #[test]
    fn a_good_file_is_ok_in_one_line() {
        let (_dir, path) = file("[[room]]\npattern = \"chat:*\"\njoin = \"authenticated\"\n");
        let text = answer(&format!("vestibule check {path}"), &[SECRET]).expect("a good file");
        assert_eq!(
            text,
            format!("{path}: ok: clients on 0.0.0.0:8080, admin on 127.0.0.1:9091, auth jwt, 1 room rule")
        );
    }

    #[test]
    fn a_file_without_rooms_is_told_what_that_means() {
        let (_dir, path) =
            file("[[listener]]\naddress = \"127.0.0.1:1\"\n[[listener]]\naddress = \"[::1]:2\"\n");
        let text = answer(&format!("vestibule check {path}"), &[SECRET]).expect("a good file");
        assert_eq!(
            text,
            format!(
                "{path}: ok: clients on 127.0.0.1:1 and [::1]:2, admin on 127.0.0.1:9091, auth jwt, no room rule, \
                 so nobody can join a room"
            )
        );
    }

    #[test]
    fn a_bad_file_has_all_its_complaints_and_exit_78() {
        let (_dir, path) = file("[limits]\nlag = \"1 MB\"\nlagg = 1\n");
        let failure = answer(&format!("vestibule check {path}"), &[SECRET]).expect_err("a bad file");
        assert_eq!(failure.exit_code(), 78);
        assert_eq!(failure.to_string().lines().count(), 2);
        assert!(failure.to_string().starts_with(&format!("{path}:2: limits.lag = \"1 MB\": a size is")));
    }

    #[test]
    fn config_prints_the_default_file() {
        let text = answer("vestibule config", &[]).expect("a text");
        assert_eq!(format!("{text}\n"), crate::config::default_file());
    }

    #[test]
    fn a_token_is_minted_with_the_configured_key() {
        let text =
            answer("vestibule token --user ada --rooms chat:*,lobby --ttl 2h", &[SECRET]).expect("a token");
        assert_eq!(text, "32|ada|[\"chat:*\", \"lobby\"]|1007200");
        let text = answer("vestibule token --user ada", &[SECRET]).expect("a token");
        assert_eq!(text, "32|ada|[]|1003600");
    }

    #[test]
    fn a_token_is_minted_for_the_audience_and_issuer_that_are_asked_for() {
        let asked = [("VESTIBULE_AUTH__AUDIENCE", "edge"), ("VESTIBULE_AUTH__ISSUER", "https://id.example")];
        let text = answer("vestibule token --user ada", &[SECRET, asked[0], asked[1]]).expect("a token");
        assert_eq!(text, "32|ada|[]|1003600|edge|https://id.example");
    }

    #[test]
    fn a_public_key_mints_nothing() {
        let key = include_str!("../config/tests/keys/ed25519.pem");
        let public = [("VESTIBULE_AUTH__PUBLIC_KEY", key), ("VESTIBULE_AUTH__ALGORITHMS", "['EdDSA']")];
        let failure = answer("vestibule token --user ada", &public).expect_err("nothing to sign with");
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.to_string().contains("public keys only"), "{failure}");
    }

    #[test]
    fn a_token_without_a_key_is_refused() {
        let failure = answer("vestibule token --user ada", &[]).expect_err("no key");
        assert_eq!(failure.exit_code(), 78);
        let failure =
            answer("vestibule token --user ada", &[("VESTIBULE_AUTH__MODE", "none")]).expect_err("no key");
        assert_eq!(failure.exit_code(), 1);
        assert_eq!(failure.to_string(), "no key to sign with: the configuration sets no auth.hs256_secret");
    }
}

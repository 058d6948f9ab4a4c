//! Errands: what the command line asks of a node that runs, by its HTTP API.
//!
//! Finds out where the node is and with which key, from flags, environment and configuration. A key never comes from
//! the command line, which every process may read.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use super::node::{Node, Remote};
use super::{Connections, Disconnect, Failure, Publish, Rooms};
use crate::config::{self, Address, Admin};

/// The flags that every errand has.
#[derive(Debug, Clone, Args)]
pub struct Reach {
    /// Configuration file of the node, for its admin.address and its keys; without one, VESTIBULE_ADMIN__... as for serve
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The node's admin listener, instead of admin.address
    #[arg(long, value_name = "http://HOST:PORT", value_parser = url)]
    url: Option<String>,
    /// Print the API's own JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// What to ask.
#[derive(Debug)]
pub(super) enum Task {
    Publish(Publish),
    Rooms(Rooms),
    Connections(Connections),
    Disconnect(Disconnect),
}

/// A question, and the node to put it to.
#[derive(Debug)]
pub struct Errand {
    task: Task,
    place: Place,
}

/// Where a node listens for operators, and with which key it is asked.
#[derive(Debug, PartialEq)]
struct Place {
    url: String,
    key: String,
}

impl Errand {
    pub(super) fn new(task: Task, env: Vec<(String, String)>) -> Result<Errand, Failure> {
        let reach = match &task {
            Task::Publish(task) => &task.reach,
            Task::Rooms(task) => &task.reach,
            Task::Connections(task) => &task.reach,
            Task::Disconnect(task) => &task.reach,
        };
        let place = reach.place(env)?;
        Ok(Errand { task, place })
    }

    /// Asks the node, and writes what it answers to `out`. `input` is read only if the command line says `-`.
    ///
    /// # Errors
    ///
    /// [`Failure`] says why there is no answer, in the node's own words where it has refused.
    pub fn run(&self, input: &mut dyn Read, out: &mut dyn Write) -> Result<(), Failure> {
        let mut node = Remote::new(&self.place.url, &self.place.key);
        match self.task.run(&mut node, input, out) {
            // Whoever stops reading has what it wanted: `vestibule rooms | head`.
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => done,
        }
    }
}

impl Task {
    fn run(&self, node: &mut dyn Node, input: &mut dyn Read, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Publish(task) => task.run(node, input, out),
            Self::Rooms(task) => task.run(node, out),
            Self::Connections(task) => task.run(node, out),
            Self::Disconnect(task) => task.run(node, out),
        }
    }
}

impl Reach {
    /// The configuration is read only for what neither flag nor environment says: whoever asks a node need not be
    /// allowed to read its secrets.
    fn place(&self, env: Vec<(String, String)>) -> Result<Place, Failure> {
        let key = env.iter().find(|(name, _)| name == KEY_VARIABLE).map(|(_, key)| key.clone());
        if let (Some(url), Some(key)) = (&self.url, &key) {
            return checked(Place { url: url.clone(), key: key.clone() });
        }
        // Often the file of a secret that is the node's own: whoever may not read it has the other way.
        let unread = |complaints| Failure::Unfit(format!("{complaints}\n{INSTEAD}"));
        let admin = config::load(self.config.as_deref(), env).map_err(unread)?.admin;
        let url = match &self.url {
            Some(url) => url.clone(),
            None => url_of(&admin)?,
        };
        let configured = || {
            let key = admin.keys.first().map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
            key.ok_or_else(|| Failure::Unfit(NO_KEY.to_owned()))
        };
        let key = key.map_or_else(configured, Ok)?;
        checked(Place { url, key })
    }
}

fn checked(place: Place) -> Result<Place, Failure> {
    if place.key.is_empty() || !place.key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::Unfit(BAD_KEY.to_owned()));
    }
    Ok(place)
}

/// A node that listens everywhere is asked on the loopback.
fn url_of(admin: &Admin) -> Result<String, Failure> {
    let address = match &admin.address {
        Address::Inherited(name) => return Err(Failure::Unfit(inherited(name))),
        Address::Socket(address) => *address,
    };
    if address.port() == 0 {
        return Err(Failure::Unfit(ANY_PORT.to_owned()));
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(format!("http://{}", SocketAddr::new(ip, address.port())))
}

fn inherited(name: &str) -> String {
    format!(
        "admin.address = \"systemd:{name}\" does not say where the node listens, for systemd holds the socket: say \
         --url http://HOST:PORT, as ListenStream= of the socket unit has it"
    )
}

/// `http://HOST:PORT`, without what could follow it.
fn url(text: &str) -> Result<String, String> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    let authority = bare.strip_prefix("http://").and_then(|rest| rest.parse::<http::uri::Authority>().ok());
    match authority {
        Some(authority) if !authority.host().is_empty() && !authority.as_str().contains('@') => {
            Ok(bare.to_owned())
        }
        _ => Err("http://HOST:PORT of the admin listener, such as http://127.0.0.1:9091; it speaks no TLS"
            .to_owned()),
    }
}

/// The key, where the configuration is not to be read.
const KEY_VARIABLE: &str = "VESTIBULE_API_KEY";
const NO_KEY: &str = "no key to ask with: the configuration sets neither admin.keys nor admin.keys_file, and the environment no \
     VESTIBULE_API_KEY";
const INSTEAD: &str =
    "none of it is read with --url http://HOST:PORT and a key in the variable VESTIBULE_API_KEY: say both";
const BAD_KEY: &str = "VESTIBULE_API_KEY: a key is visible ASCII, without spaces";
const ANY_PORT: &str = "admin.address has port 0, so that the kernel chose one: say --url http://HOST:PORT";

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: (&str, &str) = ("VESTIBULE_AUTH__HS256_SECRET", "0123456789abcdef0123456789abcdef");

    fn place(url: Option<&str>, env: &[(&str, &str)]) -> Result<Place, Failure> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Reach { config: None, url: url.map(str::to_owned), json: false }.place(env)
    }

    #[test]
    fn address_and_first_key_come_from_the_configuration() {
        let keys = ("VESTIBULE_ADMIN__KEYS", "['new', 'old']");
        let found = place(None, &[SECRET, keys]).expect("a place");
        assert_eq!(found, Place { url: "http://127.0.0.1:9091".to_owned(), key: "new".to_owned() });
        for (address, url) in [
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:81", "http://[::1]:81"),
            ("10.0.0.7:82", "http://10.0.0.7:82"),
        ] {
            let found = place(None, &[SECRET, keys, ("VESTIBULE_ADMIN__ADDRESS", address)]);
            assert_eq!(found.expect(address).url, url);
        }
    }

    #[test]
    fn flag_and_environment_come_before_the_configuration() {
        let found = place(
            Some("http://edge:1"),
            &[SECRET, ("VESTIBULE_ADMIN__KEYS", "['a']"), ("VESTIBULE_API_KEY", "b")],
        );
        assert_eq!(found.expect("a place"), Place { url: "http://edge:1".to_owned(), key: "b".to_owned() });
        let found = place(Some("http://edge:1"), &[SECRET, ("VESTIBULE_ADMIN__KEYS", "['a']")]);
        assert_eq!(found.expect("a place").key, "a");
    }

    #[test]
    fn with_both_no_configuration_is_read() {
        // None of it could be: there is no secret, and the address is nonsense.
        let env = [("VESTIBULE_API_KEY", "b"), ("VESTIBULE_ADMIN__ADDRESS", "nowhere")];
        assert!(place(Some("http://edge:1"), &env).is_ok());
        assert_eq!(place(None, &env).expect_err("it is read").exit_code(), 78);
    }

    #[test]
    fn who_may_not_read_the_keys_is_told_the_other_way() {
        let env = [SECRET, ("VESTIBULE_ADMIN__KEYS_FILE", "no/such/file")];
        let failure = place(None, &env).expect_err("no file");
        assert_eq!(failure.exit_code(), 78);
        let said = failure.to_string();
        for word in ["no/such/file", "cannot be read", "--url", "VESTIBULE_API_KEY"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }

    #[test]
    fn what_the_configuration_does_not_say_is_asked_for() {
        let keys = ("VESTIBULE_ADMIN__KEYS", "['a']");
        for (env, word) in [
            (vec![SECRET], "admin.keys"),
            (vec![SECRET, keys, ("VESTIBULE_ADMIN__ADDRESS", "systemd:admin")], "--url"),
            (vec![SECRET, keys, ("VESTIBULE_ADMIN__ADDRESS", "127.0.0.1:0")], "--url"),
            (vec![SECRET, ("VESTIBULE_API_KEY", "a b")], "VESTIBULE_API_KEY"),
            (vec![SECRET, ("VESTIBULE_API_KEY", "")], "VESTIBULE_API_KEY"),
        ] {
            let failure = place(None, &env).expect_err(word);
            assert_eq!(failure.exit_code(), 78, "{failure}");
            assert!(failure.to_string().contains(word), "{failure}");
        }
    }

    #[test]
    fn a_url_is_host_and_port() {
        for good in ["http://127.0.0.1:9091", "http://[::1]:9091", "http://edge.internal"] {
            assert_eq!(url(good).as_deref(), Ok(good));
            assert_eq!(url(&format!("{good}/")).as_deref(), Ok(good));
        }
        for bad in
            ["", "127.0.0.1:9091", "https://edge:9091", "http://", "http://a/b", "http://k@a:1", "http://a?b"]
        {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}

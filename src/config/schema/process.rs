//! The rows of the process: its listeners, its workers, its operator's door.

use super::super::key::{Key, Kind};
use super::super::value::{is_bearer, is_path};
use super::super::{Driver, LogFormat, Network, Secret};
use super::{FILE_FORM, HOUR, Keys, Section, fit, store};

pub(super) const LISTENER: Section = Section {
    name: "listener",
    help: "An address for clients. The section may stand several times.",
    keys: Keys::Listeners(&[Key {
        name: "address",
        kind: Kind::Text(ADDRESS_FORM, |it, text| store(&mut it.address, text.parse().ok())),
        default: "\"0.0.0.0:8080\"",
        help: "IP and port; port 0 lets the kernel choose one. \"systemd:NAME\": the sockets that systemd passes under that name.",
        past: "",
    }]),
    example: "",
};

pub(super) const SERVER: Section = Section {
    name: "server",
    help: "The process.",
    keys: Keys::Table(&[
        Key {
            name: "workers",
            kind: Kind::Count(0, 1024, |it, n| it.config.server.workers = fit(n)),
            default: "0",
            help: "Worker threads. 0: one for each CPU this process may use; each is pinned to its own.",
            past: "",
        },
        Key {
            name: "driver",
            kind: word!(Driver, it => it.config.server.driver),
            default: "\"auto\"",
            help: "\"auto\": io_uring, or epoll where there is none, which is logged. \"io_uring\": no start \
                without it (exit 78). \"epoll\": never io_uring.",
            past: "",
        },
        Key {
            name: "drain",
            kind: Kind::Duration(0, HOUR, |it, time| it.config.server.drain = time),
            default: "\"30s\"",
            help: "On SIGTERM or SIGINT: the time over which connections are closed with 1001, so that they do \
                not all come back at once. A second signal ends the process at once, with exit 1.",
            past: "",
        },
        Key {
            name: "trusted_proxies",
            kind: Kind::List(
                NETWORK_FORM,
                1000,
                |it| it.config.server.trusted_proxies.clear(),
                |it, text| {
                    let network = Network::parse(text);
                    it.config.server.trusted_proxies.extend(network);
                    network.is_some()
                },
            ),
            default: "[]",
            help: "Proxies before this node, such as [\"10.0.0.0/8\"]: a request that comes from one of them \
                counts for the client that its X-Forwarded-For names, read from the right to the first that is \
                no trusted proxy. From anybody else the header means nothing.",
            past: "",
        },
        Key {
            name: "health_path",
            kind: Kind::Text(MAYBE_PATH_FORM, |it, text| {
                let path = (text.is_empty() || is_path(text)).then(|| text.to_owned());
                store(&mut it.config.server.health_path, path.map(|path| (!path.is_empty()).then_some(path)))
            }),
            default: "\"\"",
            help: "\"/healthz\" answers a balancer on the public listeners too: 200, or 503 in a drain.",
            past: "",
        },
        Key {
            name: "log_format",
            kind: word!(LogFormat, it => it.config.server.log_format),
            default: "\"text\"",
            help: "Lines on standard error: \"text\" for people, \"json\" for machines, one object a line. What is \
                wrong with this configuration is always told in text.",
            past: "",
        },
    ]),
    example: "",
};

pub(super) const ADMIN: Section = Section {
    name: "admin",
    help: "The operator's listener: API, metrics and health. Never reachable through a public listener.",
    keys: Keys::Table(&[
        Key {
            name: "address",
            kind: Kind::Text(ADDRESS_FORM, |it, text| store(&mut it.config.admin.address, text.parse().ok())),
            default: "\"127.0.0.1:9091\"",
            help: "As that of a listener. Other than a loopback address only with keys.",
            past: "",
        },
        Key {
            name: "keys",
            kind: Kind::Secrets(
                KEY_FORM,
                ADMIN_KEYS_MAX,
                |it| it.config.admin.keys.clear(),
                |it, text| {
                    let good = is_bearer(text);
                    it.config.admin.keys.extend(good.then(|| Secret::new(text.as_bytes())));
                    good
                },
            ),
            default: "[]",
            help: "Keys for the API, as Authorization: Bearer KEY; without any nobody may use it. Metrics and health need none.",
            past: "",
        },
        Key {
            name: "keys_file",
            kind: Kind::Text(FILE_FORM, |it, text| store(&mut it.keys_file, Some(text.to_owned()))),
            default: "\"\"",
            help: "A file with more keys, one a line, such as a systemd credential; at most 100 with those of keys. \
                Blank lines and lines that begin with # are passed over. Read again at a reload. Relative to the \
                working directory.",
            past: "",
        },
    ]),
    example: "",
};

const ADDRESS_FORM: &str = "an address is IP:PORT, such as 0.0.0.0:8080 or [::]:8080, or systemd:NAME";
const NETWORK_FORM: &str = "a network is IP or IP/PREFIX, without bits behind the prefix, such as 10.0.0.0/8";
const MAYBE_PATH_FORM: &str = "empty, or a path, which begins with / and is visible ASCII without ? and #";
pub(in super::super) const KEY_FORM: &str = "a key is 1 to 1024 bytes of visible ASCII, without spaces";
/// Keys of the API at most, wherever they stand: each request is held against all of them.
pub(in super::super) const ADMIN_KEYS_MAX: usize = 100;

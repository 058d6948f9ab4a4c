//! The table against everything that is told of it: defaults, default file, page, reach and ranges.

use std::collections::BTreeSet;

use super::super::key::{Given, Key, Kind};
use super::super::manual::key_table;
use super::super::read::variable;
use super::super::schema::{Draft, Item, Keys, SECTIONS};
use super::super::*;
use super::{SECRET, complaints, read_text, read_with};

#[test]
fn the_defaults_are_those_of_the_design() {
    let expected = Config {
        listeners: vec![Listener { address: "0.0.0.0:8080".parse().expect("an address") }],
        server: Server {
            workers: 0,
            driver: Driver::Auto,
            drain: Duration::from_secs(30),
            trusted_proxies: vec![],
            health_path: None,
            log_format: LogFormat::Text,
        },
        admin: Admin { address: "127.0.0.1:9091".parse().expect("an address"), keys: vec![] },
        auth: Auth {
            mode: Mode::Jwt,
            hs256_secret: None,
            public_keys: vec![],
            algorithms: vec![Algorithm::Hs256],
            audience: None,
            issuer: None,
            cookie: None,
            allowed_origins: vec![],
            refuse: Refuse::Close4001,
        },
        rooms: vec![],
        limits: Limits {
            frame: 65_536,
            message: 65_536,
            fragments: 1024,
            connections: 100_000,
            connections_per_address: 1000,
            rooms: 1_000_000,
            rooms_per_connection: 100,
            room_name: 256,
            messages_per_second: 50,
            burst: 100,
            messages_per_second_per_user: 0,
            messages_per_second_per_address: 0,
            lag: 1_048_576,
            buffered: 268_435_456,
            head: 16_384,
            head_deadline: Duration::from_secs(10),
        },
        heartbeat: Heartbeat { interval: Duration::from_secs(25), timeout: Duration::from_secs(20) },
        websocket: WebSocket { path: "/ws".to_owned(), echo: None },
        sse: Sse { path: Some("/events".to_owned()), heartbeat: Duration::from_secs(30) },
        backends: vec![],
        routes: vec![],
        hooks: None,
    };
    assert_eq!(Config::default(), expected);
    assert_eq!(Limits::default(), expected.limits);
    assert_eq!(Server::default(), expected.server);
    assert_eq!(Admin::default(), expected.admin);
    assert_eq!(Auth::default(), expected.auth);
    assert_eq!(Heartbeat::default(), expected.heartbeat);
    assert_eq!(WebSocket::default(), expected.websocket);
    assert_eq!(Sse::default(), expected.sse);
}

#[test]
fn the_default_file_says_nothing_but_the_defaults() {
    let mut config = read_text(&default_file()).expect("the default file with a secret");
    assert_eq!(config.auth.hs256_secret.take(), Some(Secret::new(SECRET.as_bytes())));
    assert_eq!(config, Config::default());
}

#[test]
fn the_default_file_shows_every_key_and_its_example_is_good() {
    let file = default_file();
    for section in &SECTIONS {
        assert!(file.contains(&section.head()), "{}", section.head());
        for key in section.names() {
            assert!(file.contains(&format!("{key} = ")), "{}.{key}", section.name);
        }
    }
    let examples: String = SECTIONS.iter().map(|section| section.example).collect();
    let config = read_text(&examples).expect("the examples, without the marks of comments");
    assert_eq!((config.rooms.len(), config.backends.len(), config.routes.len()), (2, 1, 1));
    assert!(file.lines().all(|line| line.len() <= 100 && line.trim_end() == line));
}

#[test]
fn the_page_for_operators_has_the_tables_keys() {
    let page = include_str!("../../../docs/configuration.md");
    for section in &SECTIONS {
        let table = key_table(section.name).expect(section.name);
        let place = format!("## `{}`\n", section.head());
        let (_, body) =
            page.split_once(&place).unwrap_or_else(|| panic!("docs/configuration.md lacks {place}"));
        let body = body.split("\n## ").next().unwrap_or_default();
        assert!(
            body.contains(&table),
            "docs/configuration.md, {}: its table should be\n\n{table}",
            section.head()
        );
        let rows = body.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, section.names().len(), "docs/configuration.md, {}", section.head());
    }
    assert_eq!(page.matches("\n## ").count(), SECTIONS.len());
}

/// A value for each key of a table that is not its default.
pub(super) const OTHERS: &[(&str, &str)] = &[
    ("server.workers", "1"),
    ("server.driver", "epoll"),
    ("server.drain", "0s"),
    ("server.trusted_proxies", "[\"10.0.0.0/8\"]"),
    ("server.health_path", "/healthz"),
    ("server.log_format", "json"),
    ("admin.address", "127.0.0.1:1"),
    ("admin.keys", "['k']"),
    ("admin.keys_file", "/no/such/file"),
    ("auth.mode", "none"),
    ("auth.hs256_secret", "another secret of thirty-two bytes"),
    ("auth.hs256_secret_file", "/no/such/file"),
    ("auth.public_key", "-----BEGIN"),
    ("auth.public_key_file", "/no/such/file"),
    ("auth.jwks_file", "/no/such/file"),
    ("auth.algorithms", "[]"),
    ("auth.audience", "edge"),
    ("auth.issuer", "https://id.example"),
    ("auth.cookie", "session"),
    ("auth.allowed_origins", "['https://a.example']"),
    ("auth.refuse", "http-401"),
    ("limits.frame", "1KiB"),
    ("limits.message", "1MiB"),
    ("limits.fragments", "1"),
    ("limits.connections", "1"),
    ("limits.connections_per_address", "1"),
    ("limits.rooms", "1"),
    ("limits.rooms_per_connection", "1"),
    ("limits.room_name", "1B"),
    ("limits.messages_per_second", "1"),
    ("limits.burst", "1"),
    ("limits.messages_per_second_per_user", "1"),
    ("limits.messages_per_second_per_address", "1"),
    ("limits.lag", "2MiB"),
    ("limits.buffered", "1GiB"),
    ("limits.head", "1KiB"),
    ("limits.head_deadline", "1s"),
    ("heartbeat.interval", "3s"),
    ("heartbeat.timeout", "4s"),
    ("websocket.path", "/other"),
    ("websocket.echo", "/other"),
    ("sse.path", "/other"),
    ("sse.heartbeat", "1s"),
    ("hooks.url", "http://127.0.0.1:1/other"),
    ("hooks.secret", "whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"),
    ("hooks.secret_file", "/no/such/file"),
    ("hooks.events", "['connect']"),
    ("hooks.timeout", "1s"),
    ("hooks.headers", "['cookie']"),
    ("hooks.concurrency", "1"),
    ("hooks.state", "1KiB"),
    ("hooks.retry_for", "1s"),
];

#[test]
fn every_key_is_reached_from_the_file_and_from_the_environment() {
    let mut told = BTreeSet::new();
    let needed = [
        ("VESTIBULE_AUTH__HS256_SECRET", SECRET),
        ("VESTIBULE_HOOKS__URL", "http://127.0.0.1:1/hooks"),
        ("VESTIBULE_HOOKS__SECRET", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ];
    let base = read_with("", &needed).expect("the defaults with secrets");
    for section in SECTIONS.iter().filter(|section| matches!(section.keys, Keys::Table(_))) {
        for key in section.names() {
            let path = format!("{}.{key}", section.name);
            let value = OTHERS.iter().find(|(name, _)| *name == path).map(|(_, value)| *value);
            let value = value.unwrap_or_else(|| panic!("{path} has no other value in this test"));
            let bare = value.starts_with('[') || value.bytes().all(|byte| byte.is_ascii_digit());
            let toml = if bare { value.to_owned() } else { format!("\"{value}\"") };
            let variable = variable(section, key);
            let mut env: Vec<_> = needed.into_iter().filter(|(name, _)| *name != variable).collect();
            let file = read_with(&format!("{path} = {toml}"), &env);
            env.push((&variable, value));
            let env = read_with("", &env);
            match (&file, &env) {
                (Ok(file), Ok(env)) => assert!(*file != base && file == env, "{path}"),
                (Err(file), Err(env)) => {
                    assert!(file.starts_with("vestibule.toml:1: ") && file.contains(&path), "{file}");
                    assert!(env.starts_with(&format!("{variable}: ")) && env.contains(&path), "{env}");
                    told.insert(path);
                }
                _ => panic!("{path}: {file:?} from the file, {env:?} from the environment"),
            }
        }
    }
    // No other value of these can be good on its own.
    let bound = [
        "admin.keys_file",
        "auth.algorithms",
        "auth.cookie",
        "auth.hs256_secret_file",
        "auth.jwks_file",
        "auth.public_key",
        "auth.public_key_file",
        "hooks.secret_file",
    ];
    assert_eq!(told, BTreeSet::from(bound.map(str::to_owned)));
}

#[test]
fn every_key_of_a_list_is_reached_from_the_file() {
    for section in SECTIONS.iter().filter(|section| !matches!(section.keys, Keys::Table(_))) {
        for key in section.names() {
            let told = complaints(&format!("[[{}]]\n{key} = 1979-05-27\n", section.name));
            assert!(told.contains(&format!("{}.{key} = 1979-05-27: ", section.name)), "{told}");
        }
    }
}

fn try_the_ends<T>(key: &Key<T>, target: &mut T) {
    let mut try_it = |given: Given<'_>| key.set(target, &given).is_ok();
    match &key.kind {
        Kind::Size(min, max, _) => {
            let mut size = |bytes: u64| try_it(Given::Text(&format!("{bytes}B")));
            assert!(size(*min) && size(*max) && !size(min - 1) && !size(max + 1), "{}", key.name);
        }
        Kind::Duration(min, max, _) => {
            let mut time = |ms: u64| try_it(Given::Text(&format!("{ms}ms")));
            assert!(
                time(*min) && time(*max) && (*min == 0 || !time(min - 1)) && !time(max + 1),
                "{}",
                key.name
            );
        }
        Kind::Count(min, max, _) => {
            let mut count = |number: u64| try_it(Given::Number(Some(number)));
            assert!(
                count(*min) && count(*max) && (*min == 0 || !count(min - 1)) && !count(max + 1),
                "{}",
                key.name
            );
        }
        Kind::Word(words, _) => {
            assert!(
                words.iter().all(|word| try_it(Given::Text(word))) && !try_it(Given::Text("")),
                "{}",
                key.name
            );
        }
        Kind::List(_, max, ..) | Kind::Secrets(_, max, ..) => {
            let good = ["HS256", "https://a.example", "key", "10.0.0.0/8", "127.0.0.1:3000", "connect"];
            let many = |count: usize, item| Given::List(vec![Some(item); count]);
            assert!(good.iter().any(|item| try_it(many(*max, item))), "{}", key.name);
            assert!(!good.iter().any(|item| try_it(many(max + 1, item))), "{}", key.name);
        }
        Kind::Fields(_, keys) => {
            let mut fields = |names: &[&'static str]| {
                let fields = names.iter().map(|name| (*name, Given::Number(Some(0))));
                key.set(target, &Given::Table(fields.collect())).is_ok()
            };
            assert!(fields(&[]) && !fields(&["other"]), "{}", key.name);
            keys.iter().for_each(|key| try_the_ends(key, target));
        }
        Kind::Text(..) | Kind::Secret(..) => {}
    }
    for other in [Given::Other, Given::Number(None), Given::List(vec![None])] {
        assert!(key.set(target, &other).is_err(), "{}", key.name);
    }
}

#[test]
fn every_range_is_taken_to_its_ends_and_not_beyond() {
    let mut draft = Draft::defaults();
    let pattern = Pattern::parse("a").expect("a pattern");
    let mut rule =
        RoomRule { pattern, join: Access::Nobody, publish: Access::Nobody, history: History::default() };
    for section in &SECTIONS {
        match section.keys {
            Keys::Table(keys) => keys.iter().for_each(|key| try_the_ends(key, &mut draft)),
            Keys::Listeners(keys) => {
                let listener = &mut draft.config.listeners[0];
                keys.iter().for_each(|key| try_the_ends(key, listener));
            }
            Keys::Rooms(keys) => keys.iter().for_each(|key| try_the_ends(key, &mut rule)),
            Keys::Backends(keys) => keys.iter().for_each(|key| try_the_ends(key, &mut Item::blank(keys))),
            Keys::Routes(keys) => keys.iter().for_each(|key| try_the_ends(key, &mut Item::blank(keys))),
        }
    }
}

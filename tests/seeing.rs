//! What an operator sees: metrics that Prometheus can read, and who is ready when.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{DRAIN, Member, PATIENCE, Server, Setup, Socket, gauge, until};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[test]
fn the_page_of_metrics_is_what_prometheus_demands() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut ann = Member::enter(&server, "ann");
        ann.join("r");
        ann.broadcast("r", "1");
        server.await_metric(gauge::CONNECTIONS, 1.0);

        let response = server.admin_get("/metrics");
        assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let page = Page::read(std::str::from_utf8(&response.body).unwrap());
        for (name, family) in &page.families {
            assert_conventional(name, family);
        }
        let build = &page.families["vestibule_build_info"].samples;
        let version = format!("version=\"{}\",driver=\"io_uring\"", env!("CARGO_PKG_VERSION"));
        assert_eq!(build.get(&version), Some(&1.0), "{build:?}");
        assert_eq!(page.sum("vestibule_stopping"), 0.0);
        assert_eq!(page.sum("vestibule_limit_connections_per_address"), 100_000.0);
        assert_eq!(page.sum("vestibule_joins_total"), 1.0);
        assert_eq!(page.sum("vestibule_broadcasts_total"), 1.0);
        let started = page.sum("process_start_time_seconds");
        let age = harness::now_s() as f64 - started;
        assert!((0.0..60.0).contains(&age), "started {age} s ago");
        assert!(page.sum("process_resident_memory_bytes") > 1e6);
        assert!(page.sum("process_open_fds") > 3.0 && page.sum("process_max_fds") > 100.0);
        assert!(page.sum("process_cpu_seconds_total") >= 0.0);
        server.stop();
    }
}

#[test]
fn who_only_listens_is_told_from_who_speaks() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut members: Vec<Member> = (0..3).map(|n| Member::enter(&server, &format!("u{n}"))).collect();
        for member in &mut members {
            member.join("r");
            member.lives();
        }
        assert_eq!(server.metric("vestibule_receive_only_connections"), 3.0);
        members[0].broadcast("r", "1");
        members[0].broadcast("r", "2");
        members[1].refused("event", "\"event\":\"typing\",\"payload\":1");
        assert_eq!(server.metric("vestibule_receive_only_connections"), 1.0);
        drop(members);
        server.await_metric("vestibule_ended_total", 3.0);
        assert_eq!(server.metric("vestibule_ended_receive_only_total"), 1.0);
        assert_eq!(server.metric("vestibule_receive_only_connections"), 0.0);
        server.stop();
    }
}

#[test]
fn a_close_is_counted_once_by_its_code_or_as_the_peers() {
    let server = Setup::new(2).start();
    let mut bad = Member::enter(&server, "bad");
    bad.socket.send(b"\x81\x01x");
    assert_eq!(bad.closed().code, Some(1002));
    let mut done = Member::enter(&server, "done");
    done.socket.send(&harness::client_frame(0x88, &1001_u16.to_be_bytes()));
    assert_eq!(done.closed().code, Some(1001));
    let mut nobody = Socket::connect(server.public);
    nobody.upgrade("/ws", "");
    assert_eq!(nobody.closed().code, Some(4001));
    let closes = |code: &str| {
        let page = Page::of(&server);
        let samples = page.families["vestibule_closes_total"].samples.iter();
        samples.filter(|(labels, _)| labels.contains(code)).map(|(_, value)| value).sum::<f64>()
    };
    assert_eq!(closes("code=\"1002\""), 1.0);
    assert_eq!(closes("code=\"peer\""), 1.0);
    assert_eq!(closes("code=\"4001\""), 1.0);
    assert_eq!(closes("code=\"1001\""), 0.0, "that was not ours");
    assert_eq!(closes("code="), 3.0);
    server.stop();
}

#[test]
fn a_node_is_ready_until_it_drains_and_can_be_looked_at_to_its_end() {
    for setup in Setup::each().into_iter().chain([Setup::epoll()]) {
        let mut server = setup.start();
        let ready = server.admin_get("/readyz");
        assert_eq!((ready.status, &*ready.body), (200, &br#"{"status":"ready","degraded":[]}"#[..]));
        // It does not answer its close frame, so the drain waits for it.
        let member = Member::enter(&server, "member");
        let mut kept = Socket::connect(server.admin);
        assert_eq!(kept.get("/readyz").unwrap().status, 200);

        server.terminate();
        let stopping = until("/readyz says so", PATIENCE, || {
            let answer = kept.get("/readyz").expect("the admin listener keeps its connections");
            (answer.status != 200).then_some(answer)
        });
        assert_eq!((stopping.status, &*stopping.body), (503, &br#"{"status":"stopping"}"#[..]));
        let fresh = || Socket::try_connect(server.public).ok()?.get("/").ok();
        until("nobody new is let in", PATIENCE, || fresh().is_none().then_some(()));
        assert_eq!(server.admin_get("/healthz").status, 200, "it is alive for as long as it drains");
        assert_eq!(server.metric("vestibule_stopping"), 1.0);
        drop(member);
        let status = server.ends_within(DRAIN + Duration::from_secs(5));
        assert_eq!(status.code(), Some(0), "{}", server.log());
        assert!(server.log().contains("everybody is out"), "{}", server.log());
    }
}

#[test]
fn a_connection_of_the_operator_does_not_hold_up_a_drain() {
    for setup in Setup::each() {
        let server = setup.start();
        let mut kept: Vec<Socket> = (0..5).map(|_| Socket::connect(server.admin)).collect();
        for socket in &mut kept {
            assert_eq!(socket.get("/healthz").unwrap().status, 200);
        }
        drop(kept.pop());
        server.terminate();
        let mut server = server;
        // The window is longer, and is not used up.
        let status = server.ends_within(DRAIN);
        assert_eq!(status.code(), Some(0), "{}", server.log());
        assert!(server.log().contains("everybody is out"), "{}", server.log());
    }
}

#[test]
fn a_full_node_says_that_it_is_degraded_and_stays_ready() {
    let server = Setup::new(1).set("limits.connections", "3").start();
    let _members: Vec<Member> = (0..2).map(|n| Member::enter(&server, &format!("u{n}"))).collect();
    // The third place is that of the operator's own connection.
    let answer = server.admin_get("/readyz");
    assert_eq!(
        (answer.status, &*answer.body),
        (200, &br#"{"status":"ready","degraded":["connections"]}"#[..])
    );
    assert_eq!(server.metric("vestibule_limit_connections"), 3.0);
    drop(_members);
    server.stop();
}

#[test]
fn the_public_listener_answers_a_balancer_where_it_is_told_to() {
    let server = Setup::new(2).set("server.health_path", "\"/healthz\"").start();
    let mut balancer = Socket::connect(server.public);
    let answer = balancer.get("/healthz").unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &br#"{"status":"ready","degraded":[]}"#[..]));
    assert_eq!(balancer.get("/healthz").unwrap().status, 200, "the connection is kept");
    for path in ["/readyz", "/metrics", "/healthz/", "/health"] {
        assert_eq!(balancer.get(path).unwrap().status, 404, "{path}");
    }
    server.stop();
    let server = Setup::new(1).start();
    assert_eq!(Socket::connect(server.public).get("/healthz").unwrap().status, 404, "off unless it is set");
    server.stop();
}

#[test]
fn the_page_for_operators_names_no_metric_that_is_not_there() {
    let server = Setup::new(1).start();
    let page = Page::of(&server);
    let manual = include_str!("../docs/monitoring.md");
    let words = manual.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let named: BTreeSet<&str> =
        words.filter(|word| word.starts_with("vestibule_") || word.starts_with("process_")).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        assert!(page.families.contains_key(name), "docs/monitoring.md names {name}");
    }
    server.stop();
}

/// A page of metrics, read as strictly as `promtool check metrics` does.
struct Page {
    families: BTreeMap<String, Family>,
}

#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    /// By the labels as they stand between the braces.
    samples: BTreeMap<String, f64>,
}

impl Page {
    fn of(server: &Server) -> Self {
        Self::read(std::str::from_utf8(&server.admin_get("/metrics").body).unwrap())
    }

    /// Each family in one piece: HELP, TYPE, samples, and none of them twice.
    fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let mut families = BTreeMap::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = line
                .strip_prefix("# HELP ")
                .unwrap_or_else(|| panic!("no HELP: {line}"))
                .split_once(' ')
                .unwrap();
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
            let mut family = Family { kind: kind.unwrap().into(), help: help.into(), ..Family::default() };
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                let (left, value) = sample.rsplit_once(' ').unwrap();
                let labels = left.strip_prefix(name).unwrap_or_else(|| panic!("not of {name}: {sample}"));
                let labels = match labels {
                    "" => "",
                    braced => braced.strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap(),
                };
                assert_labels(labels);
                let twice = family.samples.insert(labels.into(), value.parse().unwrap());
                assert_eq!(twice, None, "{sample}");
            }
            assert!(!family.samples.is_empty(), "{name} has no sample");
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} twice");
        }
        Self { families }
    }

    fn sum(&self, name: &str) -> f64 {
        self.families.get(name).unwrap_or_else(|| panic!("no {name}")).samples.values().sum()
    }
}

fn assert_labels(labels: &str) {
    let mut names = BTreeSet::new();
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("no label: {label}"));
        assert!(names.insert(name), "{labels}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{label}");
        let value = value.strip_suffix('"').unwrap_or_else(|| panic!("no label: {label}"));
        assert!(!value.contains(['"', '\\', '\n']), "{label}");
    }
}

/// What promtool's linter complains of.
fn assert_conventional(name: &str, family: &Family) {
    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
    assert!(!family.help.trim().is_empty(), "{name} has no help");
    match family.kind.as_str() {
        "counter" => assert!(name.ends_with("_total"), "a counter's name ends in _total: {name}"),
        "gauge" => assert!(!name.ends_with("_total"), "only a counter's name ends in _total: {name}"),
        other => panic!("{name} is a {other}"),
    }
    for word in name.split('_') {
        let bad = [
            "gauge",
            "counter",
            "summary",
            "histogram",
            "ms",
            "us",
            "kib",
            "mib",
            "milliseconds",
            "kilobytes",
            "percent",
        ];
        assert!(!bad.contains(&word), "{name}: base units, and no kind in a name");
    }
    assert!(family.samples.values().all(|value| value.is_finite() && *value >= 0.0), "{name}");
}

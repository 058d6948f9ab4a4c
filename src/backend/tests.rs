//! Which server a request goes to, and what becomes of it where that server fails; on both drivers.

use std::cell::RefCell;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};

use http::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::pool::IDLE_MAX;
use super::trial::{Peer, authority, backend, get, nobody, request, station, with};
use super::*;
use crate::config::{Authority, Config, Route};
use crate::net::trial::{LOOPBACK, alone, on_both};
use crate::net::{now, sleep, spawn};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One that says its name.
fn named(name: &'static str) -> Peer {
    Peer::start(move |_, mut line| {
        while line.request().is_some() {
            line.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()));
        }
    })
}

async fn fetch(backend: &Rc<Backend>) -> Result<String, Failed> {
    let (_, body) = backend.fetch(get(), 100).await?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

async fn fetch_many(backend: &Rc<Backend>, count: usize) -> String {
    let mut all = String::new();
    for _ in 0..count {
        all += &fetch(backend).await.unwrap();
    }
    all
}

#[test]
fn equals_are_asked_in_turn_and_the_least_busy_before_others() {
    on_both(|| async {
        let peers = [named("a"), named("b"), named("c")];
        let (backend, _) = backend(&peers.each_ref().map(|peer| peer.address));
        assert_eq!(fetch_many(&backend, 6).await, "abcabc");
        // Requests that are under way at a and b.
        let (at_a, at_b) = (backend.begin(get()).await.unwrap(), backend.begin(get()).await.unwrap());
        assert_eq!(fetch_many(&backend, 3).await, "ccc");
        drop(at_a);
        assert_eq!(fetch_many(&backend, 4).await, "acac");
        drop(at_b);
    });
}

#[test]
fn a_request_that_no_server_has_seen_is_sent_to_another_once_if_it_may_be() {
    on_both(|| async {
        let peer = named("b");
        let (backend, metrics) = backend(&[nobody(), peer.address]);
        assert_eq!(fetch(&backend).await.unwrap(), "b");
        assert_eq!(metrics.proxied_retries_total.value(), 1);
        let (backend, metrics) = super::trial::backend(&[nobody(), peer.address]);
        let refused = backend.fetch(request(Method::POST), 100).await;
        assert!(matches!(refused, Err(Failed::Unreachable(_))), "{refused:?}");
        assert_eq!(metrics.proxied_retries_total.value(), 0);
        let (backend, metrics) = super::trial::backend(&[nobody(), nobody(), peer.address]);
        assert!(matches!(fetch(&backend).await, Err(Failed::Unreachable(_))), "once");
        assert_eq!(metrics.proxied_retries_total.value(), 1);
    });
}

#[test]
fn a_request_whose_used_connection_ends_unanswered_goes_to_another_server() {
    on_both(|| async {
        // Answers one request, and is gone with the next.
        let peer = Peer::start(|_, mut line| {
            line.request();
            line.say(OK);
            line.request();
        });
        let other = named("b");
        let (backend, metrics) = backend(&[peer.address, other.address]);
        assert_eq!(fetch_many(&backend, 3).await, "okbb");
        assert_eq!(metrics.proxied_retries_total.value(), 1);
        assert_eq!((peer.heard().len(), peer.heard().len(), peer.unheard()), (28, 28, 0));
        assert_eq!(backend.servers.iter().map(|server| server.under_way()).sum::<usize>(), 0);
    });
}

#[test]
fn a_server_that_fails_three_times_in_a_row_is_passed_over_and_found_again() {
    on_both(|| async {
        let (gone, peer) = (nobody(), named("b"));
        let (backend, metrics) = backend(&[gone, peer.address]);
        assert_eq!(fetch_many(&backend, 20).await, "b".repeat(20));
        assert_eq!(metrics.proxied_retries_total.value(), 3);
        assert!(backend.servers[0].board.is_down() && !backend.servers[1].board.is_down());
        // All are down: all are tried.
        let (only, _) = super::trial::backend(&[gone]);
        for _ in 0..5 {
            assert!(matches!(fetch(&only).await, Err(Failed::Unreachable(_))));
        }
        assert!(only.servers[0].board.is_down());
        let listener = crate::net::bind(gone, 8).unwrap();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let _ = socket.read(&mut head);
            std::io::Write::write_all(&mut socket, OK.as_bytes()).unwrap();
        });
        assert_eq!(fetch(&only).await.unwrap(), "ok");
        assert!(!only.servers[0].board.is_down(), "one answer, and all is well");
    });
}

#[test]
fn a_server_that_takes_connections_and_answers_nothing_is_passed_over() {
    on_both(|| async {
        for said in ["", "HTTP/1.1 2", "220 ready\r\n\r\n"] {
            let good = named("b");
            let bad = Peer::start(move |_, mut line| {
                line.request();
                line.say(said);
            });
            let (backend, metrics) = backend(&[bad.address, good.address]);
            let mut failures = 0;
            for method in [Method::GET, Method::POST].into_iter().cycle().take(20) {
                failures += usize::from(backend.fetch(request(method), 100).await.is_err());
            }
            assert_eq!((failures, backend.servers[0].board.is_down()), (3, true), "{said:?}");
            assert_eq!(metrics.proxied_retries_total.value(), 0);
        }
    });
}

#[test]
fn the_end_of_a_used_connection_or_of_a_request_that_is_not_whole_is_held_against_no_server() {
    on_both(|| async {
        // Answers one request a connection, and is gone with the next, or before a body that it waits for.
        let peer = Peer::start(|_, mut line| {
            line.request();
            line.say(OK);
            line.request();
        });
        let (used, _) = backend(&[peer.address]);
        let mut kept = Vec::new();
        for _ in 0..5 {
            kept.push(used.begin(get()).await.unwrap());
        }
        for mut exchange in kept {
            exchange.down.head().await.unwrap();
            exchange.down.body().await.unwrap();
            exchange.finish();
        }
        for _ in 0..5 {
            assert!(matches!(used.fetch(request(Method::POST), 100).await, Err(Failed::Closed)));
        }
        assert!(!used.servers[0].board.is_down());
        let peer = Peer::start(|_, mut line| line.request().unwrap());
        let (slow, _) = backend(&[peer.address]);
        for _ in 0..5 {
            let first = Bytes::from_static(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
            let outgoing = Outgoing { method: Method::POST, first, whole: false, upgrade: false };
            let mut exchange = slow.begin(outgoing).await.unwrap();
            assert!(matches!(exchange.down.head().await, Err(Failed::Closed)));
        }
        assert!(!slow.servers[0].board.is_down());
    });
}

#[test]
fn failures_that_are_not_in_a_row_bring_no_server_down() {
    on_both(|| async {
        let peer = Peer::start(|number, mut line| {
            line.request();
            if number % 3 == 2 {
                line.say(OK);
            }
            line.await_end();
        });
        let (backend, _) = with(&[peer.address], |it| {
            (it.answer_timeout, it.keep_alive) = (Duration::from_millis(300), Duration::ZERO);
        });
        for number in 0..9 {
            assert_eq!(fetch(&backend).await.is_ok(), number % 3 == 2);
            assert!(!backend.servers[0].board.is_down());
        }
    });
}

#[test]
fn a_process_without_descriptors_blames_no_server() {
    alone("backend::tests::a_process_without_descriptors_blames_no_server", || {
        on_both(|| async {
            let peer = named("a");
            let (backend, _) = with(&[peer.address], |it| it.keep_alive = Duration::ZERO);
            let before = getrlimit(Resource::Nofile);
            // Every number that is free is beyond it.
            setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).unwrap();
            for _ in 0..5 {
                let failed = fetch(&backend).await.unwrap_err();
                assert!(matches!(failed, Failed::Unreachable(_)), "{failed}");
            }
            setrlimit(Resource::Nofile, before).unwrap();
            assert!(!backend.servers[0].board.is_down());
            assert_eq!(fetch(&backend).await.unwrap(), "a");
        });
    });
}

#[test]
fn idle_connections_are_closed_when_they_are_old_and_none_is_kept_where_none_may_be() {
    on_both(|| async {
        let peer = named("a");
        let (backend, metrics) = with(&[peer.address], |it| it.keep_alive = Duration::from_millis(100));
        let busy = [backend.begin(get()).await.unwrap(), backend.begin(get()).await.unwrap()];
        for mut exchange in busy {
            exchange.down.head().await.unwrap();
            exchange.down.body().await.unwrap();
            exchange.finish();
        }
        assert_eq!(metrics.backend_connections.value(), 2);
        // The one that was used last goes on being used, the other grows old.
        let start = now();
        while metrics.backend_connections.value() == 2 {
            assert!(now() - start < Duration::from_secs(10));
            assert_eq!(fetch(&backend).await.unwrap(), "a");
            sleep(Duration::from_millis(5)).await;
        }
        assert!(now() - start >= Duration::from_millis(90));
        while metrics.backend_connections.value() > 0 {
            assert!(now() - start < Duration::from_secs(10));
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(metrics.backend_connects_total.value(), 2);
        let (backend, metrics) = with(&[peer.address], |it| it.keep_alive = Duration::ZERO);
        assert_eq!(fetch_many(&backend, 2).await, "aa");
        let connections = (metrics.backend_connects_total.value(), metrics.backend_connections.value());
        assert_eq!(connections, (2, 0));
    });
}

#[test]
fn so_many_idle_connections_are_kept_and_the_oldest_makes_room() {
    alone("backend::tests::so_many_idle_connections_are_kept_and_the_oldest_makes_room", || {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
        on_both(|| async {
            // Nobody accepts: the peer's ends wait in the system, and are no descriptors of ours.
            let listener = crate::net::bind(LOOPBACK, 4096).unwrap();
            let (backend, metrics) = backend(&[listener.local_addr().unwrap()]);
            let server = &backend.servers[0];
            for _ in 0..IDLE_MAX {
                server.keep(server.connect(Duration::from_secs(9)).await.unwrap());
            }
            assert_eq!(metrics.backend_connections.value(), IDLE_MAX as u64);
            let last = server.connect(Duration::from_secs(9)).await.unwrap();
            server.keep(last);
            assert_eq!(metrics.backend_connections.value(), IDLE_MAX as u64);
            let [oldest, next] = [(); 2].map(|()| listener.accept().unwrap().0);
            let read = |mut socket: &TcpStream| {
                socket.set_nonblocking(true).unwrap();
                socket.read(&mut [0]).ok()
            };
            let start = now();
            while read(&oldest).is_none() {
                assert!(now() - start < Duration::from_secs(10));
                sleep(Duration::from_millis(5)).await;
            }
            assert_eq!((read(&oldest), read(&next)), (Some(0), None));
        });
    });
}

#[test]
fn a_request_waits_for_a_name_and_tries_its_addresses_in_turn() {
    on_both(|| async {
        let peer = named("a");
        let mut config = blank("app");
        config.connect_timeout = Duration::from_millis(300);
        config.servers = vec![Authority::parse(&format!("app:{}", peer.address.port()), None).unwrap()];
        let (station, boards) = (station(), Boards::new(&Config::default(), None));
        let backend = Backend::new(&config, &boards, &station);
        assert!(matches!(fetch(&backend).await, Err(Failed::NoAddress)), "nobody tells");
        let addresses = |list: &[Ipv4Addr]| {
            let list = list.iter().map(|address| (*address).into()).collect();
            Arc::new(Addresses::from([("app".into(), list)]))
        };
        let waiting = {
            let backend = backend.clone();
            spawn(async move { fetch(&backend).await })
        };
        sleep(Duration::from_millis(5)).await;
        // Nobody listens at the first.
        station.set_addresses(addresses(&[Ipv4Addr::new(127, 9, 9, 9), Ipv4Addr::LOCALHOST]));
        assert_eq!(waiting.await.unwrap(), "a");
        drop(backend.servers[0].reuse());
        station.set_addresses(addresses(&[]));
        let start = now();
        assert!(matches!(fetch(&backend).await, Err(Failed::NoAddress)));
        assert!(now() - start < Duration::from_millis(300), "that there is none is known");
    });
}

#[test]
fn a_connection_that_does_not_come_about_is_given_up_in_time_with_504() {
    on_both(|| async {
        // Its line is full: nobody accepts.
        let full = crate::net::bind(LOOPBACK, 0).unwrap();
        let address = full.local_addr().unwrap();
        let _waiting = TcpStream::connect(address).unwrap();
        let (backend, _) = with(&[address], |it| it.connect_timeout = Duration::from_millis(200));
        let start = now();
        let failed = fetch(&backend).await.unwrap_err();
        assert!(matches!(failed, Failed::ConnectTimeout), "{failed}");
        assert_eq!(failed.status(), StatusCode::GATEWAY_TIMEOUT);
        assert!((190..4000).contains(&(now() - start).as_millis()));
    });
}

#[test]
fn a_look_finds_a_server_ill_after_two_and_well_after_one() {
    on_both(|| async {
        let (well, looks) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (is_well, looked) = (well.clone(), looks.clone());
        let peer = Peer::start(move |_, mut line| {
            while line.request().is_some() {
                looked.fetch_add(1, SeqCst);
                line.say(match is_well.load(SeqCst) {
                    true => "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
                    false => "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
                });
            }
        });
        let mut config = Config { backends: vec![blank("app")], ..Config::default() };
        config.backends[0].servers = vec![authority(&peer.address)];
        config.backends[0].health.path = Some("/up".to_owned());
        let boards = Boards::new(&config, None);
        let station = station();
        let backends = Rc::new(Backends::new(&config, &boards, &station, None));
        let board = boards.of("app", &authority(&peer.address));
        let rounds = Rc::new(Cell::new(0));
        let counted = rounds.clone();
        spawn(health::watch(move || backends.clone(), move || counted.set(counted.get() + 1)));
        let start = now();
        let until = async |ill: bool| {
            while board.is_down() != ill {
                assert!(now() - start < Duration::from_secs(10));
                sleep(Duration::from_millis(5)).await;
            }
        };
        while looks.load(SeqCst) < 2 {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(!board.is_down());
        well.store(false, SeqCst);
        let before = looks.load(SeqCst);
        until(true).await;
        assert!(looks.load(SeqCst) >= before + 2);
        assert_eq!(boards.down(), 1);
        well.store(true, SeqCst);
        until(false).await;
        assert!(peer.heard().starts_with("GET /up HTTP/1.1\r\nHost: 127.0.0.1:"));
        assert!(station.metrics.backend_connections.value() <= 1, "a look leaves no connection behind");
        // A round each 100 ms, and a look each interval: not more.
        let elapsed = (now() - start).as_millis() as usize;
        assert!(rounds.get() <= elapsed / 100 + 2 && looks.load(SeqCst) <= elapsed / 100 + 2);
    });
}

#[test]
fn a_look_that_ends_when_nobody_looks_any_more_puts_no_server_aside() {
    on_both(|| async {
        let may_end = Arc::new(Barrier::new(2));
        let awaited = may_end.clone();
        let peer = Peer::start(move |number, mut line| {
            while line.request().is_some() {
                if number == 1 {
                    awaited.wait();
                }
                line.say("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 1\r\n\r\na");
            }
        });
        let other = named("b");
        let mut config = Config { backends: vec![blank("app")], ..Config::default() };
        config.backends[0].servers = vec![authority(&peer.address), authority(&other.address)];
        config.backends[0].health.path = Some("/up".to_owned());
        let (station, before) = (station(), Boards::new(&config, None));
        let looked = Rc::new(Backends::new(&config, &before, &station, None));
        let current = Rc::new(RefCell::new(looked.clone()));
        let watched = current.clone();
        spawn(health::watch(move || watched.borrow().clone(), || ()));
        let (start, mut looks) = (now(), 0);
        while looks < 2 {
            assert!(now() - start < Duration::from_secs(10));
            sleep(Duration::from_millis(5)).await;
            looks += peer.unheard();
        }
        config.backends[0].health.path = None;
        let after = Boards::new(&config, Some(&before));
        current.replace(Rc::new(Backends::new(&config, &after, &station, Some(&looked))));
        may_end.wait();
        while before.down() == 0 {
            assert!(now() - start < Duration::from_secs(10));
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(after.down(), 0);
        let backend = current.borrow().all().next().unwrap().clone();
        assert_eq!(fetch_many(&backend, 4).await, "abab");
    });
}

#[test]
fn a_request_goes_by_the_most_specific_route() {
    on_both(|| async {
        let names = ["any", "api", "deep", "host", "hostapi"];
        let route = |host: &str, path: &str, backend: &str| Route {
            host: (!host.is_empty()).then(|| host.to_owned()),
            path: path.to_owned(),
            backend: backend.to_owned(),
        };
        let server = authority(&SocketAddr::from(([127, 0, 0, 1], 1)));
        let backends = names.map(|name| config::Backend { servers: vec![server.clone()], ..blank(name) });
        let mut config = Config { backends: backends.into(), ..Config::default() };
        config.routes = vec![
            route("", "/api", "api"),
            route("", "/", "any"),
            route("", "/api/deep", "deep"),
            route("app.example.com", "/h", "host"),
            route("app.example.com", "/h/api", "hostapi"),
            route("[::1]", "/", "host"),
        ];
        let boards = Boards::new(&config, None);
        let station = station();
        let backends = Backends::new(&config, &boards, &station, None);
        let find =
            |host: &str, path: &str| backends.route(host, path).map(|it| it.config.name.clone()).unwrap();
        for (host, path, expected) in [
            ("a", "/", "any"),
            ("a", "/x", "any"),
            ("a", "/api", "api"),
            ("a", "/api/", "api"),
            ("a", "/api/x", "api"),
            ("a", "/apix", "any"),
            ("a", "/api/deep/er", "deep"),
            ("a", "/api/deeper", "api"),
            ("a", "/API", "any"),
            ("app.example.com", "/h", "host"),
            ("App.Example.COM:8080", "/h/x", "host"),
            ("app.example.com:80", "/h/api/x", "hostapi"),
            ("app.example.com", "/api", "api"),
            ("app.example.com.evil", "/h", "any"),
            ("xapp.example.com", "/h", "any"),
            ("[::1]:8080", "/", "host"),
            ("[::1]", "/", "host"),
        ] {
            assert_eq!(find(host, path), expected, "{host} {path}");
        }
        config.routes.retain(|route| route.backend != "any");
        let fewer = Backends::new(&config, &boards, &station, Some(&backends));
        assert!(fewer.route("a", "/x").is_none() && fewer.route("app.example.com", "/").is_none());
        assert!(Rc::ptr_eq(fewer.route("a", "/api").unwrap(), backends.route("a", "/api").unwrap()));
        config.backends[1].keep_alive = Duration::from_secs(77);
        let other = Backends::new(&config, &boards, &station, Some(&fewer));
        assert!(!Rc::ptr_eq(other.route("a", "/api").unwrap(), backends.route("a", "/api").unwrap()));
    });
}

//! Backends and routes: what is taken, and what is refused in which words.

use std::time::Duration;

use super::super::schema::{BACKENDS_MAX, ROUTES_MAX};
use super::super::{Authority, Backend, Health, Route};
use super::{complaints, read_text};

const APP: &str = "[[backend]]\nname = \"app\"\nservers = [\"127.0.0.1:3000\"]\n";

fn backend(rest: &str) -> Backend {
    read_text(&format!("{APP}{rest}")).expect(rest).backends.remove(0)
}

#[test]
fn a_backend_has_its_servers_and_the_times_of_the_contract() {
    let defaults = Backend {
        name: "app".to_owned(),
        servers: vec![Authority::parse("127.0.0.1:3000", None).expect("a server")],
        connect_timeout: Duration::from_secs(1),
        answer_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(60),
        tunnel_timeout: Duration::from_secs(3600),
        keep_alive: Duration::from_secs(4),
        health: Health { path: None, interval: Duration::from_secs(5), timeout: Duration::from_secs(2) },
    };
    assert_eq!(backend(""), defaults);
    assert_eq!(backend("health = {}"), defaults);
    let health = backend("health = { path = \"/up\", timeout = \"1s\" }").health;
    let expected =
        Health { path: Some("/up".to_owned()), timeout: Duration::from_secs(1), ..defaults.health };
    assert_eq!(health, expected);
    let all = "connect_timeout = \"10ms\"\nanswer_timeout = \"1h\"\nidle_timeout = \"2s\"\ntunnel_timeout = \"3s\"\n\
        keep_alive = \"0s\"\n";
    let set = backend(all);
    assert_eq!(
        (set.connect_timeout, set.answer_timeout),
        (Duration::from_millis(10), Duration::from_secs(3600))
    );
    assert_eq!((set.idle_timeout, set.tunnel_timeout), (Duration::from_secs(2), Duration::from_secs(3)));
    assert_eq!(set.keep_alive, Duration::ZERO);
}

#[test]
fn a_server_is_a_name_or_an_address_with_a_port() {
    let read = |server: &str| {
        read_text(&format!("[[backend]]\nname = \"app\"\nservers = [\"{server}\"]\n"))
            .map(|mut config| config.backends.remove(0).servers.remove(0))
    };
    for (text, host, port, literal) in [
        ("127.0.0.1:80", "127.0.0.1", 80, true),
        ("[::1]:8080", "[::1]", 8080, true),
        ("app.internal:3000", "app.internal", 3000, false),
        ("my_app:65535", "my_app", 65535, false),
        ("localhost:1", "localhost", 1, false),
    ] {
        let server = read(text).expect(text);
        assert_eq!((server.host(), server.port(), server.address().is_some()), (host, port, literal));
        assert_eq!(server.to_string(), text);
    }
    for text in [
        "",
        "app",
        ":80",
        "app:",
        "app:0",
        "app:65536",
        "app:+80",
        "app:8a",
        "http://app:80",
        "app:80/x",
        "a b:80",
        "a..b:80",
        "::1:80",
        "[::1]",
        "[::g]:80",
        "[127.0.0.1]:80",
        "user@app:80",
        "app:80:80",
    ] {
        let said = read(text).expect_err(text);
        assert_eq!(
            said,
            format!(
                "vestibule.toml:3: backend.servers[0] = \"{text}\": a server is HOST:PORT, such as 127.0.0.1:3000, \
                 [::1]:3000 or app.internal:3000"
            )
        );
    }
}

#[test]
fn a_backend_that_lacks_something_is_refused() {
    assert_eq!(
        complaints("[[backend]]\n"),
        "vestibule.toml:1: backend.name is missing: a name is 1 to 64 letters, digits, - and _\n\
         vestibule.toml:1: backend.servers is missing: a list such as [\"a\", \"b\"] of at most 64; a server is \
         HOST:PORT, such as 127.0.0.1:3000, [::1]:3000 or app.internal:3000"
    );
    assert_eq!(
        complaints("[[backend]]\nname = \"app\"\nservers = []\n"),
        "vestibule.toml:3: backend.servers = []: at least one"
    );
    let said = complaints(&format!("{APP}{APP}"));
    assert_eq!(said, "vestibule.toml:5: backend.name = \"app\": an earlier backend has this name");
    for name in ["", "a b", "a/b", "ä", &"a".repeat(65)] {
        let said = complaints(&APP.replace("\"app\"", &format!("\"{name}\"")));
        assert!(said.ends_with(": a name is 1 to 64 letters, digits, - and _"), "{said}");
    }
    let many = vec!["\"127.0.0.1:1\""; 65].join(",");
    assert!(complaints(&APP.replace("\"127.0.0.1:3000\"", &many)).contains("of at most 64"));
    let said = complaints(&format!("{APP}health = {{ path = \"up\" }}"));
    assert!(said.contains("path is empty, or a path, which begins with /"), "{said}");
}

#[test]
fn a_route_is_for_a_host_and_a_path_in_their_plainest_form() {
    let route = |rest: &str| {
        read_text(&format!("{APP}[[route]]\nbackend = \"app\"\n{rest}"))
            .map(|mut config| config.routes.remove(0))
    };
    assert_eq!(route(""), Ok(Route { host: None, path: "/".to_owned(), backend: "app".to_owned() }));
    for host in ["app.example.com", "localhost", "127.0.0.1", "[::1]"] {
        assert_eq!(route(&format!("host = \"{host}\"")).expect(host).host.as_deref(), Some(host));
    }
    assert_eq!(route("host = \"\"").expect("any").host, None);
    for host in ["App.example.com", "app:80", "*", "*.example.com", "a b", "::1", "http://a", "a/b"] {
        let said = route(&format!("host = \"{host}\"")).expect_err(host);
        assert!(said.contains(": empty, or a host in lower case without a port"), "{said}");
    }
    for path in
        ["/", "/api", "/api/v1", "/a.b", "/~me", "/caf%C3%A9", "/a%20b", "/...", "/.well-known", "/a:b@c"]
    {
        assert_eq!(route(&format!("path = \"{path}\"")).expect(path).path, path);
    }
    for path in [
        "", "api", "/api/", "//", "//a", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a?b", "/a#b", "/a;b",
        "/a b", "/é", "/a%2", "/a%zz", "/a%c3", "/a%41", "/a%7E", "/a%2F", "/a%5C", "/a%00", "/a%+1",
        "/%2e%2e", "/a%éb",
    ] {
        let said = route(&format!("path = '{path}'")).expect_err(path);
        assert!(said.contains(": a path begins with / and does not end with it"), "{path}: {said}");
    }
    assert!(route("path = '/a\\b'").is_err());
}

#[test]
fn a_route_leads_somewhere_and_stands_once() {
    let route = |rest: &str| format!("[[route]]\n{rest}\n");
    assert_eq!(
        complaints(&route("backend = \"app\"")),
        "vestibule.toml:2: route.backend = \"app\": there is no [[backend]]"
    );
    assert_eq!(
        complaints(&format!("{APP}{}", route("backend = \"other\""))),
        "vestibule.toml:5: route.backend = \"other\": no [[backend]] has this name; there are app"
    );
    assert_eq!(
        complaints(&route("path = \"/\"")),
        "vestibule.toml:1: route.backend is missing: the name of a [[backend]]"
    );
    // What is wrong with a backend's name is told once, and not for every route that means it.
    let said = complaints(&format!("{}{}", APP.replace("app", "a b"), route("backend = \"app\"")));
    assert_eq!(said.lines().count(), 1, "{said}");
    let twice = |first: &str, second: &str| {
        read_text(&format!(
            "{APP}[[route]]\nbackend = \"app\"\n{first}\n[[route]]\nbackend = \"app\"\n{second}\n"
        ))
    };
    assert_eq!(
        twice("path = \"/a\"", "path = \"/a\"").expect_err("the same"),
        "vestibule.toml:9: route.path = \"/a\": an earlier route has the same host and path"
    );
    assert!(twice("", "path = \"/\"").is_err() && twice("host = \"a\"", "host = \"a\"").is_err());
    assert!(twice("host = \"a\"", "host = \"b\"").is_ok() && twice("path = \"/a\"", "path = \"/b\"").is_ok());
}

#[test]
fn backends_and_routes_have_an_end() {
    let backends = |count: usize| -> String {
        (0..count).map(|n| APP.replace("\"app\"", &format!("\"b{n}\""))).collect()
    };
    assert_eq!(read_text(&backends(BACKENDS_MAX)).expect("as many as allowed").backends.len(), 100);
    assert_eq!(
        complaints(&backends(BACKENDS_MAX + 1)),
        "vestibule.toml:1: backend: 101 of them, at most 100"
    );
    let routes = |count: usize| -> String {
        let each = (0..count).map(|n| format!("[[route]]\npath = \"/{n}\"\nbackend = \"app\"\n"));
        [APP.to_owned()].into_iter().chain(each).collect()
    };
    assert_eq!(read_text(&routes(ROUTES_MAX)).expect("as many as allowed").routes.len(), 1000);
    assert_eq!(complaints(&routes(ROUTES_MAX + 1)), "vestibule.toml:4: route: 1001 of them, at most 1000");
}

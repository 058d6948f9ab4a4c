//! The JavaScript client by the socket: who gets it, what is said of it, and when it is not sent again.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Response, Server, Setup, Socket};

#[test]
fn every_node_serves_the_client_that_was_built_into_it() {
    let server = Setup::new(1).start();
    let response = Socket::connect(server.public).get("/vestibule.js").unwrap();
    assert_eq!(response.status, 200);
    assert!(response.body == include_bytes!("../clients/js/dist/vestibule.js"), "another text");
    for (name, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("access-control-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    assert_eq!(Socket::connect(server.admin).get("/vestibule.js").unwrap().status, 404);
    server.stop();
}

#[test]
fn who_has_the_client_already_is_not_sent_it_again() {
    let server = Setup::new(1).start();
    let etag = ask(&server, "GET", "").header("etag").unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let response = ask(&server, "GET", &format!("If-None-Match: {known}\r\n"));
        assert_eq!((response.status, response.body.len()), (304, 0), "{known}");
        assert_eq!(response.header("etag"), Some(&*etag));
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    }
    for other in ["\"x\"", "", etag.trim_matches('"')] {
        let response = ask(&server, "GET", &format!("If-None-Match: {other}\r\n"));
        assert_eq!(response.status, 200, "{other}");
    }
    server.stop();
}

#[test]
fn the_client_is_got_or_asked_about_and_nothing_else() {
    let server = Setup::new(1).start();
    let mut socket = Socket::connect(server.public);
    socket.send(b"HEAD /vestibule.js HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = socket.bodiless().unwrap();
    let length = include_bytes!("../clients/js/dist/vestibule.js").len().to_string();
    assert_eq!((head.status, head.header("content-length")), (200, Some(&*length)));
    // No body stands in the way of the next answer.
    assert_eq!(socket.get("/nowhere").unwrap().status, 404);
    let refused = ask(&server, "POST", "");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    server.stop();
}

fn ask(server: &Server, method: &str, fields: &str) -> Response {
    let mut socket = Socket::connect(server.public);
    socket.send(format!("{method} /vestibule.js HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    socket.response().unwrap()
}

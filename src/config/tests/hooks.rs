//! `[hooks]`, and what needs them.

use std::io::Write;

use super::super::{Config, HookEvent, Hooks, Mode, Secret};
use super::{Access, complaints, read_text};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn read_hooks(rest: &str) -> Result<Config, String> {
    read_text(&format!("[hooks]\nurl = 'http://app:3000/hooks'\nsecret = '{SECRET}'\n{rest}"))
}

fn hooks(rest: &str) -> Hooks {
    read_hooks(rest).expect(rest).hooks.expect("there is a URL")
}

#[test]
fn without_a_url_there_are_no_hooks() {
    assert_eq!(read_text("").expect("the defaults").hooks, None);
    assert_eq!(read_text(&format!("[hooks]\nsecret = '{SECRET}'")).expect("a secret alone").hooks, None);
    let hooks = hooks("");
    assert_eq!((hooks.authority.to_string().as_str(), hooks.target.as_str()), ("app:3000", "/hooks"));
    assert_eq!(hooks.secret.as_bytes().len(), 24);
    assert_eq!(hooks.secret.as_bytes()[..3], [0x31, 0xf2, 0x90]);
    assert_eq!(hooks.events.len(), 5);
    assert_eq!((hooks.timeout.as_millis(), hooks.retry_for.as_secs()), (2000, 300));
    assert_eq!((hooks.headers, hooks.concurrency, hooks.state), (vec!["user-agent".to_owned()], 256, 4096));
}

#[test]
fn a_url_is_plain_http() {
    let said = |url: &str| read_text(&format!("[hooks]\nurl = '{url}'\nsecret = '{SECRET}'"));
    for (url, authority, target) in [
        ("http://app", "app:80", "/"),
        ("http://app:3000/", "app:3000", "/"),
        ("http://[::1]:3000/a/b?c=d&e", "[::1]:3000", "/a/b?c=d&e"),
        ("http://10.0.0.1?x", "10.0.0.1:80", "/?x"),
    ] {
        let hooks = said(url).expect(url).hooks.expect("there is a URL");
        assert_eq!((hooks.authority.to_string().as_str(), hooks.target.as_str()), (authority, target));
    }
    for url in [
        "https://app/hooks",
        "app:3000/hooks",
        "/hooks",
        "http:///hooks",
        "http://user:password@app/hooks",
        "http://app:0/hooks",
        "http://app/hooks#x",
        "http://app/hooks?a#x",
        "http://app/ho oks",
        "http://app/hooks?a b",
        &format!("http://app/{}", "a".repeat(2048)),
    ] {
        let told = said(url).expect_err(url);
        assert!(told.contains("empty, or http://HOST[:PORT]/PATH[?QUERY]"), "{told}");
        assert!(told.contains("https is not spoken to backends yet") && !told.contains('\n'), "{told}");
    }
}

#[test]
fn a_url_needs_a_secret_that_nobody_is_shown() {
    assert_eq!(
        complaints("[hooks]\nurl = 'http://app'\n"),
        "vestibule.toml: hooks.secret: calls are signed: set it, or hooks.secret_file, or the variable \
         VESTIBULE_HOOKS__SECRET, to whsec_ and what openssl rand -base64 32 prints"
    );
    // 23 bytes; 65 bytes; no prefix; not padded.
    for secret in [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ=".to_owned(),
        format!("whsec_{}AAA=", "AAAA".repeat(21)),
        SECRET[6..].to_owned(),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA".to_owned(),
    ] {
        let told = complaints(&format!("[hooks]\nurl = 'http://app'\nsecret = '{secret}'\n"));
        assert_eq!(told, "vestibule.toml:3: hooks.secret: empty, or whsec_ and 24 to 64 bytes in base64");
    }
}

#[test]
fn a_secret_may_stand_in_a_file() {
    let with = |content: &str| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(content.as_bytes()).expect("writable");
        let path = file.path().display().to_string();
        let text = format!("[hooks]\nurl = 'http://app'\nsecret_file = '{path}'\n");
        read_text(&text).map_err(|told| told.replace(&path, "FILE"))
    };
    let read = with(&format!("{SECRET}\n")).expect("a secret").hooks.expect("there is a URL");
    assert_eq!(read.secret, hooks("").secret);
    assert_ne!(read.secret, Secret::new(SECRET.as_bytes()));
    let told = with("hunter2").expect_err("no secret");
    assert_eq!(
        told,
        "vestibule.toml:3: hooks.secret_file = 'FILE': what stands in it has to be whsec_ and 24 to 64 bytes in base64"
    );
    let told = read_hooks("secret_file = '/no/such/file'\n").expect_err("two secrets");
    assert_eq!(
        told,
        "vestibule.toml:4: hooks.secret_file = '/no/such/file': hooks.secret is set too; leave one of them empty"
    );
}

#[test]
fn fields_of_the_hop_are_not_handed_on() {
    assert_eq!(hooks("headers = ['Cookie', 'X-Tenant', 'cookie']\n").headers, ["cookie", "x-tenant"]);
    for name in ["Connection", "te", "Sec-WebSocket-Key", "upgrade", "a b", "", "x:"] {
        let told = read_hooks(&format!("headers = ['{name}']\n")).expect_err(name);
        assert!(told.contains(": a field's name, which is none of one hop"), "{told}");
    }
}

#[test]
fn who_asks_the_application_needs_a_hook() {
    let connect = "the application says who it is: that needs hooks.url, and \"connect\" in hooks.events";
    let told = complaints("[auth]\nmode = 'hook'\n");
    assert_eq!(told, format!("vestibule.toml:2: auth.mode = 'hook': {connect}"));
    let told = read_hooks("events = ['join']\n[auth]\nmode = 'hook'\n").expect_err("connect is not asked");
    assert_eq!(told, format!("vestibule.toml:6: auth.mode = 'hook': {connect}"));
    let good = read_hooks("events = ['connect']\n[auth]\nmode = 'hook'\n").expect("connect is asked");
    assert_eq!(good.auth.mode, Mode::Hook);
    let bad = read_hooks("events = ['conect']\n[auth]\nmode = 'hook'\n").expect_err("a slip");
    assert!(bad.contains("an event is \"connect\"") && !bad.contains('\n'), "{bad}");

    let join = "the application says who may join: that needs hooks.url, and \"join\" in hooks.events";
    let rule = "[[room]]\npattern = 'a'\njoin = 'hook'\n";
    assert_eq!(complaints(rule), format!("vestibule.toml:3: room.join = 'hook': {join}"));
    let told =
        read_hooks(&format!("events = ['message', 'message']\n{rule}")).expect_err("join is not asked");
    assert_eq!(told, format!("vestibule.toml:7: room.join = 'hook': {join}"));
    assert_eq!(read_hooks(rule).expect("join is asked").rooms[0].join, Access::Hook);
    assert!(read_hooks(&format!("[auth]\nmode = 'none'\n{rule}")).is_ok(), "nobody needs a name for that");

    let told = read_hooks("[[room]]\npattern = 'a'\npublish = 'hook'\n").expect_err("there is no such hook");
    assert!(told.contains("room.publish = 'hook': one of \"anyone\", \"authenticated\", "), "{told}");
    assert_eq!(hooks("events = ['leave', 'leave']\n").events, [HookEvent::Leave]);
}

#[test]
fn a_call_may_take_no_longer_than_a_drain() {
    let with = |timeout: &str, drain: &str| {
        read_hooks(&format!("timeout = '{timeout}'\n[server]\ndrain = '{drain}'\n"))
    };
    for (timeout, drain) in [("2s", "0s"), ("2500ms", "500ms"), ("30s", "28s")] {
        assert!(with(timeout, drain).is_ok(), "{timeout} {drain}");
    }
    for (timeout, drain) in [("2001ms", "0s"), ("30s", "27s")] {
        assert_eq!(
            with(timeout, drain).expect_err("too long"),
            format!(
                "vestibule.toml:4: hooks.timeout = '{timeout}': hooks.timeout ({timeout}) must not be longer than \
                 server.drain ({drain}) and 2s: a drain would end before a call does"
            )
        );
    }
    // Without hooks nobody is called.
    assert!(read_text("[hooks]\ntimeout = '30s'\n[server]\ndrain = '0s'\n").is_ok());
    let told = with("soon", "0s").expect_err("a slip");
    assert!(!told.contains("must not be longer"), "{told}");
}

//! The configuration from outside: literal files and variables in, literal complaints out.

mod admin;
mod auth;
mod backends;
mod hooks;
mod paths;
mod table;

use std::io::Write;

use proptest::prelude::*;

use super::schema::{LISTENERS_MAX, ROOMS_MAX};
use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn variables(env: &[(&str, &str)]) -> Vec<(String, String)> {
    env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Reads a file that lacks nothing but what it says, with these variables.
fn read_with(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let name = Some("vestibule.toml".to_owned());
    read::read(text, name, variables(env), &secret_file).map_err(|complaints| complaints.to_string())
}

/// Reads a file with a secret from the environment.
fn read_text(text: &str) -> Result<Config, String> {
    read_with(text, &[("VESTIBULE_AUTH__HS256_SECRET", SECRET)])
}

fn complaints(text: &str) -> String {
    read_text(text).expect_err(text)
}

#[test]
fn a_full_file_is_read() {
    let config = read_with(
        r#"
listener = [{ address = "127.0.0.1:0" }, { address = "[::1]:8081" }]
[server]
workers = 2
driver = "io_uring"
drain = "500ms"
[admin]
address = "0.0.0.0:9000"
keys = ["first-key", 'second']
[auth]
mode = "jwt"
hs256_secret = "0123456789abcdef0123456789abcdef"
algorithms = ["HS256"]
allowed_origins = ["https://app.example.com", "http://localhost:3000"]
refuse = "http-401"
[[room]]
pattern = "user:{user}"
join = "owner"
[[room]]
pattern = "news"
join = "anyone"
publish = "token"
[limits]
frame = "32KiB"
message = "1MiB"
[websocket]
path = "/socket"
echo = "/echo"
"#,
        &[],
    )
    .expect("a good file");
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.listeners[1].address.to_string(), "[::1]:8081");
    assert_eq!(
        config.server,
        Server {
            workers: 2,
            driver: Driver::IoUring,
            drain: Duration::from_millis(500),
            trusted_proxies: vec![],
            health_path: None,
            log_format: LogFormat::Text
        }
    );
    assert_eq!(config.admin.keys, [Secret::new(b"first-key"), Secret::new(b"second")]);
    assert_eq!(config.auth.hs256_secret, Some(Secret::new(SECRET.as_bytes())));
    assert_eq!(config.auth.allowed_origins, ["https://app.example.com", "http://localhost:3000"]);
    assert_eq!(config.auth.refuse, Refuse::Http401);
    let rule = |pattern: &str, join, publish| RoomRule {
        pattern: Pattern::parse(pattern).expect("a pattern"),
        join,
        publish,
        history: History::default(),
    };
    let owner = rule("user:{user}", Access::Owner, Access::Nobody);
    assert_eq!(config.rooms, [owner, rule("news", Access::Anyone, Access::Token)]);
    assert_eq!((config.limits.frame, config.limits.message), (32_768, 1_048_576));
    assert_eq!(config.websocket, WebSocket { path: "/socket".to_owned(), echo: Some("/echo".to_owned()) });
}

#[test]
fn a_complaint_names_file_line_key_value_and_what_is_allowed() {
    assert_eq!(
        complaints("[limits]\nlag = \"1 MB\"\n"),
        "vestibule.toml:2: limits.lag = \"1 MB\": a size is a number and B, KiB, MiB or GiB"
    );
}

#[test]
fn all_complaints_come_at_once_in_the_order_of_lines() {
    let text = r#"lag = "1MiB"
[limits]
frame = 65536
fragments = 0
burst = -1
lagg = "2MiB"
head = "16GiB"
head_deadline = "10"
[websocket]
path = "ws"
compression = true
[server]
driver = "iouring"
workers = "2"
[auth]
mode = "cookie"
algorithms = ["none"]
allowed_origins = ["https://a.example",
  "null"]
[redis]
url = "redis://127.0.0.1"
[limit]
"#;
    let keys = "[limits] may have frame, message, fragments, connections, connections_per_address, rooms, \
        rooms_per_connection, room_name, messages_per_second, burst, messages_per_second_per_user, \
        messages_per_second_per_address, lag, buffered, head, head_deadline";
    let sections = "the file may have listener, server, admin, auth, room, limits, heartbeat, websocket, \
        sse, backend, route, hooks";
    let expected = [
        &format!("vestibule.toml:1: lag: unknown key; lag stands in [limits]; {sections}"),
        "vestibule.toml:3: limits.frame = 65536: a size is a number and B, KiB, MiB or GiB",
        "vestibule.toml:4: limits.fragments = 0: a number from 1 to 1048576",
        "vestibule.toml:5: limits.burst = -1: a number from 1 to 4000000000",
        &format!("vestibule.toml:6: limits.lagg: unknown key; did you mean lag? {keys}"),
        "vestibule.toml:7: limits.head = \"16GiB\": a size from 1KiB to 1MiB",
        "vestibule.toml:8: limits.head_deadline = \"10\": a duration is a number and ms, s, m or h",
        "vestibule.toml:10: websocket.path = \"ws\": a path begins with / and is up to 256 bytes of visible ASCII \
            without ? and #",
        "vestibule.toml:11: websocket.compression: unknown key; [websocket] may have path, echo",
        "vestibule.toml:13: server.driver = \"iouring\": one of \"auto\", \"io_uring\", \"epoll\"",
        "vestibule.toml:14: server.workers = \"2\": a number from 0 to 1024",
        "vestibule.toml:16: auth.mode = \"cookie\": one of \"jwt\", \"hook\", \"none\"",
        "vestibule.toml:17: auth.algorithms[0] = \"none\": an algorithm is \"HS256\", \"RS256\", \"ES256\" or \"EdDSA\"",
        "vestibule.toml:19: auth.allowed_origins[1] = \"null\": an origin is scheme://host[:port] as a browser sends \
            it: lower case, no path, no default port; null and * are none",
        &format!("vestibule.toml:20: redis: unknown key; {sections}"),
        &format!("vestibule.toml:22: limit: unknown key; did you mean limits? {sections}"),
    ];
    assert_eq!(complaints(text), expected.join("\n"));
}

#[test]
fn what_comes_with_later_issues_is_unknown() {
    for text in [
        "[socketio]\npath = \"\"\n",
        "[redis]\nurl = \"redis://127.0.0.1:6379\"\n",
        "[[listener]]\ntls = { certificate = \"a\", key = \"b\" }\n",
        "[[listener]]\nproxy_protocol = \"off\"\n",
        "[server]\nadvertise = \"\"\n",
        "[limits]\nauth_deadline = \"5s\"\n",
        "[websocket]\ncompression = false\n",
        "[[room]]\npattern = \"a\"\npresence = false\n",
    ] {
        let complaint = complaints(text);
        assert!(complaint.contains(": unknown key; "), "{text}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    let complaint = complaints("[[room]]\npattern = \"a\"\npublish = \"hook\"\n");
    assert_eq!(
        complaint,
        "vestibule.toml:3: room.publish = \"hook\": one of \"anyone\", \"authenticated\", \"token\", \"owner\", \
         \"nobody\""
    );
}

#[test]
fn broken_syntax_is_told_with_its_lines_and_beside_other_complaints() {
    let text = "[limits\nlag = \"1 MB\"\n[server]\nworkers = 2 2\n[auth]\nmode = \"jwt\"\nmode = \"jwt\"\n";
    let told = complaints(text);
    let lines: Vec<&str> = told.lines().filter_map(|line| line.split(": ").next()).collect();
    assert!(told.lines().all(|line| line.contains(": not TOML: ") || line.contains("limits.lag")), "{told}");
    assert!(lines.contains(&"vestibule.toml:1") && lines.contains(&"vestibule.toml:7"), "{told}");
    // What seems to be missing may stand in the broken part: a missing secret is not complained of.
    let told = read_with("[auth]\nhs256_secret = abc\n", &[]).expect_err("no TOML");
    assert!(told.starts_with("vestibule.toml:2: not TOML: ") && told.lines().count() == 1, "{told}");
}

#[test]
fn a_section_in_a_wrong_form_is_told_the_right_one() {
    assert_eq!(
        complaints("limits = 3\nlistener = []\nroom = [1]\n[[server]]\nworkers = 1\n"),
        "vestibule.toml:1: limits: a section, written [limits]\n\
         vestibule.toml:2: listener: at least one\n\
         vestibule.toml:3: room: a section, written [[room]]\n\
         vestibule.toml:4: server: a section, written [server]"
    );
    assert_eq!(
        complaints("[listener]\naddress = \"127.0.0.1:0\"\n"),
        "vestibule.toml:1: listener: a section, written [[listener]]"
    );
}

#[test]
fn a_list_of_sections_has_an_end() {
    let rooms = |count: usize| -> String {
        (0..count).map(|n| format!("[[room]]\npattern = \"r{n}\"\njoin = \"anyone\"\n")).collect()
    };
    assert_eq!(read_text(&rooms(ROOMS_MAX)).expect("as many as allowed").rooms.len(), 1000);
    assert_eq!(complaints(&rooms(ROOMS_MAX + 1)), "vestibule.toml:1: room: 1001 of them, at most 1000");
    let listeners: String =
        (0..=LISTENERS_MAX).map(|n| format!("[[listener]]\naddress = \"127.0.0.1:{}\"\n", n + 1)).collect();
    assert_eq!(complaints(&listeners), "vestibule.toml:1: listener: 65 of them, at most 64");
}

#[test]
fn the_mode_jwt_needs_a_secret_of_32_bytes_and_tells_how_to_get_one() {
    let told = read_with("", &[]).expect_err("no secret");
    assert_eq!(
        told,
        "vestibule.toml: auth.hs256_secret: auth.mode = \"jwt\" needs the key that tokens are signed with: set it, or \
         auth.hs256_secret_file, or the variable VESTIBULE_AUTH__HS256_SECRET; make one with: openssl rand -base64 48"
    );
    let none = load(None, variables(&[])).expect_err("no secret").to_string();
    assert!(none.starts_with("configuration: auth.hs256_secret: auth.mode = \"jwt\" needs"), "{none}");
    let short =
        read_with("[auth]\nhs256_secret = \"0123456789abcdef0123456789abcde\"\n", &[]).expect_err("short");
    assert_eq!(
        short,
        "vestibule.toml:2: auth.hs256_secret: it has 31 bytes, and HS256 needs 32 at least; make one with: openssl \
         rand -base64 48"
    );
    assert!(read_with("[auth]\nmode = \"none\"\n", &[]).is_ok());
}

#[test]
fn a_secret_file_is_read_without_the_line_end_at_its_end() {
    let write = |bytes: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        file
    };
    let load = |file: &tempfile::NamedTempFile| {
        let path = file.path().display().to_string();
        read_with("", &[("VESTIBULE_AUTH__HS256_SECRET_FILE", &path)])
    };
    for end in ["", "\n", "\r\n"] {
        let config = load(&write(format!("{SECRET}{end}").as_bytes())).expect("a secret");
        assert_eq!(config.auth.hs256_secret, Some(Secret::new(SECRET.as_bytes())), "{end:?}");
    }
    let kept = load(&write(format!(" {SECRET} \n\n").as_bytes())).expect("a secret");
    assert_eq!(kept.auth.hs256_secret, Some(Secret::new(format!(" {SECRET} \n").as_bytes())));
    let short = load(&write(b"secret\n")).expect_err("short");
    assert!(short.contains(": it has 6 bytes, and HS256 needs 32 at least"), "{short}");
    let large = load(&write(&vec![b'a'; 65_537])).expect_err("large");
    assert!(large.ends_with(": cannot be read: it is larger than 64KiB"), "{large}");
    assert_eq!(
        read_with("[auth]\nhs256_secret_file = \"no/such/file\"\n", &[]).expect_err("no file"),
        "vestibule.toml:2: auth.hs256_secret_file = \"no/such/file\": cannot be read: No such file or directory (os \
         error 2)"
    );
}

#[test]
fn a_secret_comes_from_one_place() {
    assert_eq!(
        complaints("[auth]\nhs256_secret_file = \"key\"\n"),
        "vestibule.toml:2: auth.hs256_secret_file = \"key\": auth.hs256_secret is set too; leave one of them empty"
    );
}

#[test]
fn no_complaint_shows_a_secret() {
    for text in [
        "[auth]\nhs256_secret = \"hunter2\"\n",
        "[auth]\nhs256_secret = [\"hunter2\"]\n",
        "[auth]\nhs256_secret = hunter2\n",
        "[auth]\nhs256_secret = \"hunter2\n",
        "[auth]\nhs256_secret = \"hunter2\"\nhs256_secret = \"hunter2\"\n",
        "[auth]\nhs256_secrets = \"hunter2\"\n",
        "[admin]\nkeys = [\"hunter2 \"]\n",
        "[admin]\nkeys = \"hunter2\"\n",
        "[admin]\nkeys = [\"a\", hunter2]\n",
    ] {
        let told = read_with(text, &[]).expect_err(text);
        assert!(!told.contains("hunter2"), "{told}");
    }
    for (name, value) in [
        ("VESTIBULE_AUTH__HS256_SECRET", "hunter2"),
        ("VESTIBULE_ADMIN__KEYS", "hunter2"),
        ("VESTIBULE_ADMIN__KEYS", "[\"hunter2 \"]"),
        ("VESTIBULE_AUTH__HS256_SECRETS", "hunter2"),
    ] {
        let told = read_with("", &[(name, value)]).expect_err(name);
        assert!(told.contains(name) && !told.contains("hunter2"), "{told}");
    }
    let config = read_text("[admin]\nkeys = [\"hunter2\"]\n").expect("a key");
    assert!(!format!("{config:?}").contains("hunter2") && !format!("{config:?}").contains(SECRET));
}

#[test]
fn sizes_stand_in_their_order() {
    assert_eq!(
        complaints("[limits]\nframe = \"128KiB\"\nlag = \"32KiB\"\n"),
        "vestibule.toml:2: limits.frame = \"128KiB\": limits.frame (128KiB) must not be larger than limits.message \
         (64KiB)\n\
         vestibule.toml:3: limits.lag = \"32KiB\": limits.message (64KiB) must not be larger than limits.lag (32KiB)"
    );
    let told = complaints("[limits]\nlag = \"512MiB\"\nmessage = \"512MiB\"\n");
    assert!(told.starts_with("vestibule.toml:2: ") && told.lines().count() == 1, "{told}");
    assert!(
        read_text("[limits]\nframe = \"2MiB\"\nmessage = \"2MiB\"\nlag = \"2MiB\"\nbuffered = \"2MiB\"\n")
            .is_ok()
    );
}

#[test]
fn the_paths_differ() {
    assert_eq!(
        complaints("[websocket]\necho = \"/ws\"\n"),
        "vestibule.toml:2: websocket.echo = \"/ws\": websocket.path is /ws too; the two must differ"
    );
}

#[test]
fn addresses_differ() {
    for (text, told) in [
        (
            "[[listener]]\naddress = \"127.0.0.1:9091\"\n",
            "vestibule.toml:2: listener.address = \"127.0.0.1:9091\": listener 127.0.0.1:9091 and admin \
             127.0.0.1:9091 cannot both listen",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:9091\"\n",
            "vestibule.toml:2: listener.address = \"0.0.0.0:9091\": listener 0.0.0.0:9091 and admin 127.0.0.1:9091 \
             cannot both listen",
        ),
        (
            "[admin]\naddress = \"127.0.0.1:8080\"\n",
            "vestibule.toml:2: admin.address = \"127.0.0.1:8080\": listener 0.0.0.0:8080 and admin 127.0.0.1:8080 \
             cannot both listen",
        ),
        (
            "[[listener]]\naddress = \"[::1]:80\"\n[[listener]]\naddress = \"[::]:80\"\n",
            "vestibule.toml:4: listener.address = \"[::]:80\": listeners [::1]:80 and [::]:80 cannot both listen",
        ),
        (
            "[[listener]]\naddress = \"localhost:80\"\n",
            "vestibule.toml:2: listener.address = \"localhost:80\": an address is IP:PORT, such as 0.0.0.0:8080 or \
             [::]:8080, or systemd:NAME",
        ),
    ] {
        assert_eq!(complaints(text), told);
    }
    let free = "[admin]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\n\
        address = \"127.0.0.1:0\"\n";
    assert!(read_text(free).is_ok(), "the kernel chooses different ports");
    assert!(read_text("[[listener]]\naddress = \"127.0.0.2:9091\"\n").is_ok());
}

#[test]
fn an_admin_listener_that_others_reach_needs_keys() {
    let told = complaints("[admin]\naddress = \"0.0.0.0:9091\"\n");
    assert_eq!(
        told,
        "vestibule.toml:2: admin.address = \"0.0.0.0:9091\": without admin.keys only a loopback address, such as \
         127.0.0.1:9091"
    );
    assert!(read_text("[admin]\naddress = \"0.0.0.0:9091\"\nkeys = [\"k\"]\n").is_ok());
    for loopback in ["127.0.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(read_text(&format!("[admin]\naddress = \"{loopback}\"\n")).is_ok(), "{loopback}");
    }
}

#[test]
fn a_token_needs_an_algorithm() {
    assert_eq!(
        complaints("[auth]\nalgorithms = []\n"),
        "vestibule.toml:2: auth.algorithms = []: without an algorithm no token can be good"
    );
}

#[test]
fn a_room_rule_that_cannot_work_is_refused() {
    let text = r#"[[room]]
join = "anyone"
[[room]]
pattern = "a*b"
join = "owner"
[[room]]
pattern = "chat:*"
publish = "owner"
[[room]]
pattern = "chat:lobby"
[[room]]
pattern = "user:{user}"
[[room]]
pattern = "user:{user}"
"#;
    let form = "a pattern is 1 to 1024 bytes of text, with {user} once at most and * only at the end";
    let expected = [
        &format!("vestibule.toml:1: room.pattern is missing: {form}"),
        &format!("vestibule.toml:4: room.pattern = \"a*b\": {form}"),
        "vestibule.toml:8: room.publish = \"owner\": an owner is known by {user}, which is not in the pattern",
        "vestibule.toml:10: room.pattern = \"chat:lobby\": never reached: an earlier rule's \"chat:*\" covers the \
         same rooms",
        "vestibule.toml:14: room.pattern = \"user:{user}\": never reached: an earlier rule's \"user:{user}\" covers \
         the same rooms",
    ];
    assert_eq!(complaints(text), expected.join("\n"));
}

#[test]
fn the_mode_none_has_no_rules_that_ask_who_somebody_is() {
    let text = "[auth]\nmode = \"none\"\n[[room]]\npattern = \"user:{user}\"\njoin = \"owner\"\npublish = \"token\"\n";
    assert_eq!(
        read_with(text, &[]).expect_err("rules for identities"),
        "vestibule.toml:5: room.join = \"owner\": with auth.mode = \"none\" nobody has an identity: \"anyone\" or \
         \"nobody\"\n\
         vestibule.toml:6: room.publish = \"token\": with auth.mode = \"none\" nobody has an identity: \"anyone\" or \
         \"nobody\""
    );
    let open =
        "[auth]\nmode = \"none\"\n[[room]]\npattern = \"*\"\njoin = \"anyone\"\npublish = \"anyone\"\n";
    assert!(read_with(open, &[]).is_ok());
}

#[test]
fn a_variable_overrides_the_file_and_is_named_in_complaints() {
    let env = [
        ("VESTIBULE_AUTH__HS256_SECRET", SECRET),
        ("VESTIBULE_LIMITS__LAG", "2MiB"),
        ("VESTIBULE_SERVER__WORKERS", "3"),
        ("VESTIBULE_AUTH__ALLOWED_ORIGINS", "['https://a.example']"),
        ("VESTIBULE_LOG", "debug"),
        ("OTHER__THING", "1"),
    ];
    let config = read_with("[limits]\nlag = \"3MiB\"\n", &env).expect("good variables");
    assert_eq!((config.limits.lag, config.server.workers), (2_097_152, 3));
    assert_eq!(config.auth.allowed_origins, ["https://a.example"]);

    let env = [
        ("VESTIBULE_SERVER__WORKERS", "many"),
        ("VESTIBULE_LIMITS__LAG", "1 MB"),
        ("VESTIBULE_LIMITS__FRAME", "128KiB"),
        ("VESTIBULE_LIMITS__LAGG", "1"),
        ("VESTIBULE_limits__head", "1KiB"),
        ("VESTIBULE_REDIS__URL", "redis://127.0.0.1"),
        ("VESTIBULE_ROOM__JOIN", "anyone"),
        ("VESTIBULE_AUTH__MODE", "n\u{fffd}ne"),
        ("VESTIBULE_AUTH__HS256_SECRET", SECRET),
        ("VESTIBULE_AUTH__ALLOWED_ORIGINS", "['https://a.example', '*']"),
        ("VESTIBULE_AUTH__ALGORITHMS", "HS256"),
    ];
    let expected = [
        "vestibule.toml:2: server.drain = 30: a duration is a number and ms, s, m or h",
        "VESTIBULE_AUTH__ALGORITHMS: auth.algorithms = \"HS256\": a list such as [\"a\", \"b\"] of at most 4; an \
         algorithm is \"HS256\", \"RS256\", \"ES256\" or \"EdDSA\"",
        "VESTIBULE_AUTH__ALLOWED_ORIGINS: auth.allowed_origins[1] = '*': an origin is scheme://host[:port] as a \
         browser sends it: lower case, no path, no default port; null and * are none",
        "VESTIBULE_AUTH__MODE: the value is not UTF-8",
        "VESTIBULE_LIMITS__FRAME: limits.frame = \"128KiB\": limits.frame (128KiB) must not be larger than \
         limits.message (64KiB)",
        "VESTIBULE_LIMITS__LAG: limits.lag = \"1 MB\": a size is a number and B, KiB, MiB or GiB",
        "VESTIBULE_LIMITS__LAGG: unknown; did you mean VESTIBULE_LIMITS__LAG?",
        "VESTIBULE_REDIS__URL: unknown; it may be VESTIBULE_SECTION__KEY, with what vestibule config prints",
        "VESTIBULE_ROOM__JOIN: [[room]] can stand several times, and is set in a file only",
        "VESTIBULE_SERVER__WORKERS: server.workers = \"many\": a number from 0 to 1024",
        "VESTIBULE_limits__head: unknown; did you mean VESTIBULE_LIMITS__HEAD?",
    ];
    let told = read_with("[server]\ndrain = 30\n", &env).expect_err("bad variables");
    assert_eq!(told, expected.join("\n"));
}

#[test]
fn a_file_that_cannot_be_read_is_one_clear_complaint() {
    let told = load(Some(Path::new("no/such/file.toml")), []).expect_err("no file");
    assert_eq!(told.to_string(), "no/such/file.toml: cannot be read: No such file or directory (os error 2)");
    assert_eq!(told.len(), 1);
    let endless = load(Some(Path::new("/dev/zero")), []).expect_err("no end");
    assert_eq!(endless.to_string(), "/dev/zero: cannot be read: it is larger than 1MiB");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"# fine\n[limits]\nlag = \"\xff\"\n").expect("written");
    let told = load(Some(file.path()), []).expect_err("not UTF-8").to_string();
    assert!(told.ends_with(":3: not UTF-8, which TOML must be"), "{told}");
}

#[test]
fn a_file_is_loaded_with_the_environment_over_it() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"[server]\nworkers = 2\n").expect("written");
    let env = variables(&[("VESTIBULE_AUTH__HS256_SECRET", SECRET)]);
    assert_eq!(load(Some(file.path()), env).expect("good").server.workers, 2);
}

#[test]
fn deep_nesting_and_a_thousand_complaints_are_borne() {
    let deep = format!("[limits]\nlag = {}\n", "[".repeat(100_000));
    assert!(complaints(&deep).contains("not TOML"));
    let wide: String =
        std::iter::once("[limits]\n".to_owned()).chain((0..1000).map(|n| format!("k{n} = 1\n"))).collect();
    assert_eq!(complaints(&wide).lines().count(), 1000);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(?s).{0,300}") {
        let _ = read_with(&text, &[]);
    }

    #[test]
    fn no_heap_of_toml_makes_the_reader_panic(parts in prop::collection::vec(prop::sample::select(PARTS), 0..40)) {
        let text = parts.concat();
        if let Err(told) = read_with(&text, &[]) {
            prop_assert!(!told.is_empty());
        }
    }

    #[test]
    fn no_variable_makes_the_reader_panic(
        name in "VESTIBULE_[A-Z_]{0,20}", known in prop::sample::select(table::OTHERS), value in "(?s).{0,60}",
    ) {
        let known = format!("VESTIBULE_{}", known.0.to_ascii_uppercase().replace('.', "__"));
        let _ = read_with("", &[(&name, &value), (&known, &value)]);
    }
}

const PARTS: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\"",
    "'",
    "\"\"\"",
    "#",
    "\n",
    "\r\n",
    " ",
    "limits",
    "lag",
    "room",
    "listener",
    "address",
    "pattern",
    "keys",
    "auth",
    "[limits]\n",
    "[[room]]\n",
    "[[listener]]\n",
    "[admin]\n",
    "pattern = \"a*\"\n",
    "join = \"owner\"\n",
    "lag = \"1KiB\"\n",
    "keys = [\"a\", 1]\n",
    "\"64KiB\"",
    "1",
    "-1",
    "0x",
    "1e9",
    "1979-05-27",
    "true",
    "é",
    "\u{feff}",
    "\0",
    "\\u0000",
];

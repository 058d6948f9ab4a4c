//! A fuzz body: configuration files and variables.
//!
//! Takes any bytes, and panics where a complaint says nothing, stands nowhere or shows a secret, or where a
//! configuration is taken that breaks its own word. Opens no file.

use std::io;
use std::path::Path;

use super::complaint::Place;
use super::{Address, Algorithm, Config, Mode, read};

/// A file, and behind each zero byte a variable, `NAME=value`, or `@` and what the file called `file` holds.
pub fn configuration(input: &[u8]) {
    // What is not UTF-8 is refused before it gets here.
    let Ok(input) = str::from_utf8(input) else { return };
    let (text, behind) = input.split_once('\0').unwrap_or((input, ""));
    let (files, variables): (Vec<&str>, Vec<&str>) =
        behind.split('\0').partition(|part| part.starts_with('@'));
    let file = files.first().map_or("", |file| &file[1..]);
    let open = |path: &Path| match path.to_str() {
        Some("file") => Ok(file.as_bytes().to_vec()),
        Some("secret") => Ok(format!("{SECRET} {SECRET}").into_bytes()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let pairs = variables.iter().filter_map(|part| part.split_once('='));
    let mut variables: Vec<(String, String)> =
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let once = read::read(text, Some(NAME.to_owned()), variables.clone(), &open);
    match &once {
        Ok(config) => check_config(config),
        Err(complaints) => {
            let lines: usize = 1 + text.matches('\n').count();
            assert!(!complaints.list.is_empty(), "refused without a word");
            for complaint in &complaints.list {
                assert!(!complaint.text.trim().is_empty());
                assert!(!complaint.text.contains(|c: char| c.is_control()), "{:?}", complaint.text);
                match &complaint.place {
                    Place::Line(line) => assert!((1..=lines).contains(line), "{line} of {lines}"),
                    Place::File => {}
                    Place::Variable(name) => assert!(variables.iter().any(|(set, _)| *set == *name)),
                }
            }
            let said = complaints.to_string();
            assert_eq!(said.lines().count(), complaints.list.len());
            assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
            assert!(complaints.list.is_sorted_by(|a, b| a.place <= b.place));
        }
    }
    // A secret that is bad, in whatever way the rest is, is not shown.
    variables.push(("VESTIBULE_AUTH__HS256_SECRET".to_owned(), SECRET.to_owned()));
    variables.push(("VESTIBULE_ADMIN__KEYS_FILE".to_owned(), "secret".to_owned()));
    let secretive = read::read(text, None, variables, &open);
    if let Err(complaints) = secretive
        // An excerpt leaves control characters out: what is not the secret may be shown as it.
        && !input.replace(char::is_control, "").contains(SECRET)
    {
        assert!(!complaints.to_string().contains(SECRET));
    }
}

fn check_config(config: &Config) {
    let limits = &config.limits;
    assert!(!config.listeners.is_empty());
    assert!(limits.frame <= limits.message && limits.message <= limits.lag as u64);
    assert!(limits.lag <= limits.buffered);
    assert!(limits.fragments > 0 && limits.head > 0);
    let secret = config.auth.hs256_secret.as_ref();
    assert!(secret.is_none_or(|secret| secret.as_bytes().len() >= 32));
    assert!(config.admin.keys.len() <= 100);
    let visible = |key: &[u8]| (1..=1024).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    assert!(config.admin.keys.iter().all(|key| visible(key.as_bytes())));
    if let Address::Socket(address) = config.admin.address {
        assert!(address.ip().is_loopback() || !config.admin.keys.is_empty());
    }
    if config.auth.mode == Mode::Jwt {
        let keyed = |algorithm: &Algorithm| match algorithm {
            Algorithm::Hs256 => secret.is_some(),
            other => config.auth.public_keys.iter().any(|key| key.algorithm() == *other),
        };
        assert!(!config.auth.algorithms.is_empty() && config.auth.algorithms.iter().all(keyed));
    }
    assert!(config.websocket.path.starts_with('/'));
    assert!(config.sse.path.as_ref().is_none_or(|path| path.starts_with('/') && !path.ends_with('/')));
    assert!(config.rooms.iter().all(|rule| (rule.history.size == 0) == rule.history.ttl.is_zero()));
}

const NAME: &str = "vestibule.toml";
/// Too short for a key.
const SECRET: &str = "shibboleth-of-ours";

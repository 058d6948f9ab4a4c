//! What ties backends and routes together: names and routes that stand once, and routes that lead somewhere.
//!
//! Reaches no server and resolves no name.

use std::collections::BTreeSet;

use super::super::read::Reader;

pub(super) fn check(reader: &mut Reader<'_>) {
    // A backend whose name is bad may be the one that a route means.
    let mut all_named = true;
    let mut names = BTreeSet::new();
    for (at, backend) in reader.draft.config.backends.clone().into_iter().enumerate() {
        let (name, servers) = (format!("backend.{at}.name"), format!("backend.{at}.servers"));
        if reader.is_good(&[&servers]) && backend.servers.is_empty() {
            reader.blame(&[&servers], "at least one");
        }
        if !reader.is_good(&[&name]) {
            all_named = false;
        } else if !names.insert(backend.name) {
            reader.blame(&[&name], "an earlier backend has this name");
        }
    }
    let mut seen = BTreeSet::new();
    for (at, route) in reader.draft.config.routes.clone().into_iter().enumerate() {
        let key = |name: &str| format!("route.{at}.{name}");
        let (host, path, backend) = (key("host"), key("path"), key("backend"));
        if all_named && reader.is_good(&[&backend]) && !names.contains(&route.backend) {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let text = match known[..] {
                [] => "there is no [[backend]]".to_owned(),
                _ => format!("no [[backend]] has this name; there are {}", known.join(", ")),
            };
            reader.blame(&[&backend], &text);
        }
        if reader.is_good(&[&host, &path]) && !seen.insert((route.host, route.path)) {
            reader.blame(&[&path, &host, &backend], "an earlier route has the same host and path");
        }
    }
}

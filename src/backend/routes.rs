//! Which backend a request is for.
//!
//! Compares hosts and paths in their one form; brings nothing into it but the letters and the port of a host.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use super::{Backend, Boards, Station};
use crate::config::Config;

/// The backends of one worker.
pub struct Backends {
    by_name: HashMap<Box<str>, Rc<Backend>>,
    by_host: HashMap<Box<str>, Paths>,
    anywhere: Paths,
}

/// Routes of a host, the longest path first.
#[derive(Default)]
struct Paths(Vec<(Box<str>, Rc<Backend>)>);

impl Backends {
    /// As configured: of those that `earlier` has just so, connections and all stay.
    pub fn new(
        config: &Config,
        boards: &Boards,
        station: &Rc<Station>,
        earlier: Option<&Backends>,
    ) -> Backends {
        let mut backends =
            Backends { by_name: HashMap::new(), by_host: HashMap::new(), anywhere: Paths::default() };
        for backend in &config.backends {
            let kept = earlier.and_then(|earlier| earlier.by_name.get(&*backend.name));
            let kept = kept.filter(|kept| kept.config == *backend).cloned();
            let made = kept.unwrap_or_else(|| Backend::new(backend, boards, station));
            backends.by_name.insert(backend.name.as_str().into(), made);
        }
        for route in &config.routes {
            // The configuration was checked: there is no route to nowhere.
            let Some(backend) = backends.by_name.get(&*route.backend) else { continue };
            let paths = match &route.host {
                Some(host) => backends.by_host.entry(host.as_str().into()).or_default(),
                None => &mut backends.anywhere,
            };
            paths.0.push((route.path.as_str().into(), backend.clone()));
        }
        for paths in backends.by_host.values_mut().chain([&mut backends.anywhere]) {
            paths.0.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        }
        backends
    }

    /// The backend of a request for `host` (its Host field, as sent) and `path` (in normal form), if there is a route:
    /// one for that host before one for any, and then the one with the longest path.
    pub fn route(&self, host: &str, path: &str) -> Option<&Rc<Backend>> {
        let of_host = if self.by_host.is_empty() { None } else { self.by_host.get(&*normal_host(host)) };
        of_host.and_then(|paths| paths.find(path)).or_else(|| self.anywhere.find(path))
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Rc<Backend>> {
        self.by_name.values()
    }
}

impl Paths {
    fn find(&self, path: &str) -> Option<&Rc<Backend>> {
        self.0.iter().find(|(route, _)| covers(route, path)).map(|(_, backend)| backend)
    }
}

/// Whether `path` is `route` or below it.
fn covers(route: &str, path: &str) -> bool {
    match path.strip_prefix(route) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || route == "/",
        None => false,
    }
}

/// A host in lower case, without its port.
fn normal_host(host: &str) -> Cow<'_, str> {
    let host = match host.rsplit_once(':') {
        // The colons within an IPv6 address's brackets part no port.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

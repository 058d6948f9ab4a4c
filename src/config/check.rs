//! What ties keys together: the complaints that no key alone deserves.
//!
//! Judges values, and blames the key that was set. Opens no file but those of keys, by the way it was handed.

mod auth;
mod hooks;
mod keys;
mod routes;

use std::io;
use std::net::IpAddr;
use std::path::Path;

use super::read::Reader;
use super::value::show_size;
use super::{Access, Address, Config, Mode, Pattern, RoomRule};

/// Adds every complaint there is to what `reader` has read, and brings the keys in from their files.
pub(super) fn check(reader: &mut Reader<'_>, open: &dyn Fn(&Path) -> io::Result<Vec<u8>>) {
    auth::check(reader, open);
    let keyed = keys::check(reader, open);
    sizes(reader);
    paths(reader);
    addresses(reader, keyed);
    rooms(reader);
    routes::check(reader);
    hooks::check(reader, open);
}

fn sizes(reader: &mut Reader<'_>) {
    let limits = &reader.draft.config.limits;
    let (lag, buffered) = (limits.lag as u64, limits.buffered as u64);
    let orders = [
        ("limits.frame", limits.frame, "limits.message", limits.message),
        ("limits.message", limits.message, "limits.lag", lag),
        ("limits.lag", lag, "limits.buffered", buffered),
    ];
    for (small, small_bytes, large, large_bytes) in orders {
        if small_bytes > large_bytes && reader.is_good(&[small, large]) {
            let (small_size, large_size) = (show_size(small_bytes), show_size(large_bytes));
            let text = format!("{small} ({small_size}) must not be larger than {large} ({large_size})");
            reader.blame(&[small, large], &text);
        }
    }
}

fn paths(reader: &mut Reader<'_>) {
    const PATH: &str = "websocket.path";
    const ECHO: &str = "websocket.echo";
    const HEALTH: &str = "server.health_path";
    const SSE: &str = "sse.path";
    let Config { websocket, server, sse, .. } = reader.draft.config.clone();
    let all =
        [(SSE, sse.path), (HEALTH, server.health_path), (ECHO, websocket.echo), (PATH, Some(websocket.path))];
    let set: Vec<(&str, String)> = all.into_iter().filter_map(|(key, path)| Some((key, path?))).collect();
    for (at, (one, its)) in set.iter().enumerate() {
        for (other, others) in &set[at + 1..] {
            if !reader.is_good(&[one, other]) {
                continue;
            }
            if its == others {
                reader.blame(&[one, other], &format!("{other} is {its} too; the two must differ"));
            } else if *one == SSE && others.strip_prefix(&**its).is_some_and(|rest| rest.starts_with('/')) {
                let text = format!("{other} is {others}, which {one} ({its}) takes for a user's stream");
                reader.blame(&[other, one], &text);
            }
        }
    }
}

/// `keyed`: the API has keys, or would have them if what was complained of were mended.
fn addresses(reader: &mut Reader<'_>, keyed: bool) {
    const ADMIN: &str = "admin.address";
    let admin = reader.draft.config.admin.address.clone();
    let listeners: Vec<Address> = reader.draft.config.listeners.iter().map(|it| it.address.clone()).collect();
    if reader.is_good(&[ADMIN])
        && matches!(admin, Address::Socket(admin) if !admin.ip().to_canonical().is_loopback())
        && !keyed
    {
        reader.blame(&[ADMIN], "without admin.keys only a loopback address, such as 127.0.0.1:9091");
    }
    for (at, address) in listeners.iter().enumerate() {
        let path = format!("listener.{at}.address");
        if !reader.is_good(&[&path]) {
            continue;
        }
        if reader.is_good(&[ADMIN]) && collide(address, &admin) {
            reader
                .blame(&[&path, ADMIN], &format!("listener {address} and admin {admin} cannot both listen"));
        }
        let earlier = listeners[..at].iter().find(|earlier| collide(address, earlier));
        if let Some(earlier) = earlier {
            reader.blame(&[&path], &format!("listeners {earlier} and {address} cannot both listen"));
        }
    }
}

/// Whether two cannot both listen: the same inherited sockets, or one port and one address or all addresses
/// of its family.
fn collide(a: &Address, b: &Address) -> bool {
    let (Address::Socket(a), Address::Socket(b)) = (a, b) else { return a == b };
    let one_family =
        matches!((a.ip(), b.ip()), (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)));
    let wide = one_family && (a.ip().is_unspecified() || b.ip().is_unspecified());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || wide)
}

fn rooms(reader: &mut Reader<'_>) {
    let anonymous = reader.draft.config.auth.mode == Mode::None && reader.is_good(&["auth.mode"]);
    let rules = reader.draft.config.rooms.clone();
    let mut earlier: Vec<&Pattern> = Vec::new();
    for (at, RoomRule { pattern, join, publish, history }) in rules.iter().enumerate() {
        let path = format!("room.{at}.pattern");
        let good = reader.is_good(&[&path]);
        for (key, access) in [("join", join), ("publish", publish)] {
            let key = format!("room.{at}.{key}");
            if anonymous && matches!(access, Access::Authenticated | Access::Token | Access::Owner) {
                let text = "with auth.mode = \"none\" nobody has an identity: \"anyone\" or \"nobody\"";
                reader.blame(&[&key], text);
            } else if *access == Access::Owner && good && !pattern.names_user() {
                reader.blame(&[&key], "an owner is known by {user}, which is not in the pattern");
            }
        }
        if (history.size == 0) != history.ttl.is_zero() {
            let text = "without history both size and ttl are 0; with one, neither is";
            let key = format!("room.{at}.history");
            if reader.is_good(&[&key]) {
                reader.blame(&[&key], text);
            }
        }
        if !good {
            continue;
        }
        if let Some(by) = earlier.iter().find(|by| by.shadows(pattern)) {
            let text = format!("never reached: an earlier rule's {:?} covers the same rooms", by.as_str());
            reader.blame(&[&path], &text);
        } else {
            earlier.push(pattern);
        }
    }
}

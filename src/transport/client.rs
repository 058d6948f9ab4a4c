//! Whose connection a request comes by: the peer's, or that of a client behind a proxy we trust.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::config::Network;

/// The client's address: the peer's, unless that is a trusted proxy. Then X-Forwarded-For is read from
/// its end, each entry being what the proxy before it saw, up to the first that is no trusted proxy. An
/// entry that is no address ends the reading: what the last trusted proxy saw is as far as one can tell.
pub(super) fn address_of(headers: &HeaderMap, peer: IpAddr, trusted: &[Network]) -> IpAddr {
    let mut client = peer.to_canonical();
    let entries = headers.get_all("x-forwarded-for").into_iter().rev();
    let entries = entries.flat_map(|value| value.as_bytes().rsplit(|&byte| byte == b','));
    for entry in entries.take(PROXIES_MAX) {
        if !is_trusted(client, trusted) {
            break;
        }
        let Some(address) = std::str::from_utf8(entry).ok().and_then(|entry| parse(entry.trim())) else {
            break;
        };
        client = address;
    }
    client
}

/// Whether an address is a trusted proxy's.
pub(super) fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// An address as proxies write it, with a port or without.
fn parse(entry: &str) -> Option<IpAddr> {
    let bracketed = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bracketed.unwrap_or(entry).parse();
    address
        .or_else(|_| entry.parse().map(|address: SocketAddr| address.ip()))
        .ok()
        .map(|ip| ip.to_canonical())
}

/// Entries of X-Forwarded-For that are looked at.
const PROXIES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|text| Network::parse(text).expect(text));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a value"));
        }
        address_of(&headers, peer.parse().expect(peer), &trusted).to_string()
    }

    #[test]
    fn what_an_untrusted_peer_says_changes_nothing() {
        assert_eq!(address("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(address("192.0.2.1", &["10.0.0.1, 203.0.113.9", "10.0.0.2"]), "192.0.2.1");
    }

    #[test]
    fn behind_trusted_proxies_the_first_from_the_right_that_is_none_counts() {
        assert_eq!(address("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["6.6.6.6", "203.0.113.9", "10.0.0.2,10.0.0.3"]), "203.0.113.9");
        assert_eq!(address("::ffff:10.0.0.1", &["2001:db8::7", "203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn ports_and_brackets_are_passed_over() {
        assert_eq!(address("10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["[2a00::1]:4711"]), "2a00::1");
        assert_eq!(address("10.0.0.1", &["[2a00::1]"]), "2a00::1");
        assert_eq!(address("10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn what_is_no_address_ends_the_reading() {
        for bad in ["unknown", "", "203.0.113", "_hidden", "203.0.113.9 6.6.6.6"] {
            assert_eq!(address("10.0.0.1", &[bad]), "10.0.0.1", "{bad:?}");
            assert_eq!(address("10.0.0.1", &[&format!("6.6.6.6, {bad}, 10.0.0.2")]), "10.0.0.2", "{bad:?}");
        }
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn only_so_many_proxies_are_looked_at() {
        let chain = format!("6.6.6.6{}", ",10.0.0.9".repeat(PROXIES_MAX));
        assert_eq!(address("10.0.0.1", &[&chain]), "10.0.0.9");
    }
}

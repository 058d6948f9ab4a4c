//! Where a server answers: a name or an address, and a port.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// `HOST:PORT`: a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    host: Box<str>,
    port: u16,
}

impl Authority {
    /// Reads `HOST:PORT`, or `HOST` where a port is given for that; none of it empty, the port not 0.
    pub fn parse(text: &str, port: Option<u16>) -> Option<Authority> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, digits)) if !digits.ends_with(']') => {
                let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                (host, digits.parse().ok().filter(|_| plain)?)
            }
            _ => (text, port?),
        };
        let host_good = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        (host_good && port > 0).then(|| Authority { host: host.into(), port })
    }

    /// The address, where no name has to be resolved.
    pub fn address(&self) -> Option<SocketAddr> {
        self.to_string().parse().ok()
    }

    /// The name or the address, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Names of hosts (RFC 1123, section 2.1; underscores, which container networks use, too) and IPv4 addresses.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.len() <= 253 && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("127.0.0.1:3000", "127.0.0.1", 3000),
            ("[::1]:80", "[::1]", 80),
            ("app.internal:65535", "app.internal", 65_535),
            ("my_app-1:8000", "my_app-1", 8000),
        ] {
            let authority = Authority::parse(text, None).expect(text);
            assert_eq!((authority.host(), authority.port()), (host, port));
            assert_eq!(authority.to_string(), text);
        }
        assert_eq!(Authority::parse("app", Some(80)).expect("with the usual port").to_string(), "app:80");
        assert_eq!(Authority::parse("[::1]", Some(80)).expect("an address").to_string(), "[::1]:80");
        for text in [
            "",
            "app",
            ":80",
            "app:",
            "app:0",
            "app:65536",
            "app:+80",
            "::1:80",
            "[::1]80",
            "a b:80",
            "a..b:80",
            "a/b:80",
            "[app]:80",
        ] {
            assert_eq!(Authority::parse(text, None), None, "{text}");
        }
    }

    #[test]
    fn an_address_needs_no_resolver() {
        assert!(Authority::parse("[::1]:80", None).and_then(|it| it.address()).is_some());
        assert!(Authority::parse("localhost:80", None).and_then(|it| it.address()).is_none());
    }
}

//! Where to listen: an address of this machine, or a socket that the parent process holds.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// An address to bind, or the name of sockets that were inherited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// IP and port; port 0 lets the kernel choose one.
    Socket(SocketAddr),
    /// `systemd:NAME`: the sockets passed under this name (sd_listen_fds(3)).
    Inherited(Box<str>),
}

impl FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let Some(name) = text.strip_prefix(PREFIX) else {
            return text.parse().map(Self::Socket).map_err(drop);
        };
        // What systemd takes for a FileDescriptorName=.
        let good = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && byte != b':';
        let named = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(good);
        named.then(|| Self::Inherited(name.into())).ok_or(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Inherited(name) => write!(f, "{PREFIX}{name}"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address)
    }
}

const PREFIX: &str = "systemd:";
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["127.0.0.1:8080", "[::1]:0", "systemd:public", "systemd:vestibule.socket"] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
        let long = format!("systemd:{}", "n".repeat(256));
        for text in
            ["", "8080", "localhost:80", "systemd:", "systemd:a:b", "systemd:\u{e9}", "unix:/a", &long]
        {
            assert_eq!(text.parse::<Address>(), Err(()), "{text}");
        }
    }
}

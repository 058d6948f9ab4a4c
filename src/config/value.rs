//! The small values of the configuration: sizes, durations, words, secrets, origins, paths.
//!
//! Text to value and back. Knows no key and no place in a file.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Authority;

/// Bytes nobody may read in a log: `Debug` and `Display` print `[secret]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Takes `bytes` as they are.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// An enum whose variants are words of the configuration.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$each])* $variant,)+ }

        impl $name {
            pub(super) const WORDS: &'static [&'static str] = &[$($word,)+];

            pub(super) fn of(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The word that stands for it in the configuration.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What drives I/O.
    Driver {
        /// io_uring where the kernel and the limits allow one, else epoll.
        Auto = "auto",
        /// io_uring, or no start.
        IoUring = "io_uring",
        /// epoll.
        Epoll = "epoll",
    }
}

words! {
    /// How lines of the log are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// How a client's identity is established.
    Mode {
        /// By a signed token.
        Jwt = "jwt",
        /// By what the application answers to the connect hook.
        Hook = "hook",
        /// Not at all: everybody is "anonymous", without a name of their own.
        None = "none",
    }
}

words! {
    /// A signature algorithm of tokens.
    Algorithm {
        /// HMAC with SHA-256 (RFC 7518 section 3.2).
        Hs256 = "HS256",
        /// RSA PKCS #1 v1.5 with SHA-256 (RFC 7518 section 3.3).
        Rs256 = "RS256",
        /// ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4).
        Es256 = "ES256",
        /// EdDSA on Ed25519 (RFC 8037 section 3.1).
        EdDsa = "EdDSA",
    }
}

words! {
    /// How a client without identity is turned away.
    Refuse {
        /// The WebSocket opens and is closed with 4001, so that a browser's script sees why.
        Close4001 = "close-4001",
        /// HTTP 401, and no WebSocket.
        Http401 = "http-401",
    }
}

words! {
    /// What the application is told of, or asked.
    HookEvent {
        /// Somebody wants to connect; asked.
        Connect = "connect",
        /// Somebody wants to join a room whose rule says "hook"; asked.
        Join = "join",
        /// A client sent an event; asked.
        Message = "message",
        /// A client left a room; told.
        Leave = "leave",
        /// A connection is gone; told.
        Disconnect = "disconnect",
    }
}

words! {
    /// Who may do a thing in a room.
    Access {
        /// Everybody.
        Anyone = "anyone",
        /// Everybody with an identity.
        Authenticated = "authenticated",
        /// Those whose token lists the room among its `rooms`.
        Token = "token",
        /// The one whose name stands in the place of `{user}`.
        Owner = "owner",
        /// Those whom the application lets in.
        Hook = "hook",
        /// Nobody.
        Nobody = "nobody",
    }
}

/// Bytes of a size such as `64KiB`; `None` if it is not written so, or does not fit 64 bits.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// The shortest way to write a size that [`parse_size`] reads.
pub(super) fn show_size(bytes: u64) -> String {
    let unit = SIZE_UNITS.iter().rev().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    let (name, factor) = unit.unwrap_or(&SIZE_UNITS[0]);
    format!("{}{name}", bytes / factor)
}

/// A duration such as `500ms`; `None` if it is not written so, or does not fit 64 bits of milliseconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let (_, factor_ms) = DURATION_UNITS_MS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor_ms).map(Duration::from_millis)
}

/// The shortest way to write a duration that [`parse_duration`] reads; below a millisecond it is cut.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let unit = DURATION_UNITS_MS.iter().rev().find(|(_, factor)| ms.is_multiple_of(*factor));
    let (name, factor) = unit.unwrap_or(&DURATION_UNITS_MS[0]);
    format!("{}{name}", ms / factor)
}

/// Whether a browser could send `text` as its `Origin` (RFC 6454 section 6.2): `scheme://host[:port]` in lower
/// case, without a path and without the scheme's own port. `null`, which any sandboxed page sends, is none.
pub(super) fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let scheme_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !scheme.bytes().all(scheme_byte) {
        return false;
    }
    let (host, port) = match authority.rfind(':') {
        // The colons within an IPv6 address's brackets part no port.
        Some(colon) if !authority[colon..].contains(']') => {
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        _ => (authority, None),
    };
    let own_port = match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        _ => 0,
    };
    let port_fits = |port: &str| {
        let number = port.parse::<u16>().ok().filter(|number| number.to_string() == port);
        number.is_some_and(|number| number != 0 && number != own_port)
    };
    is_host(host) && port.is_none_or(port_fits)
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<std::net::Ipv6Addr>().ok());
        return address.is_some_and(|address| host == format!("[{address}]"));
    }
    let host_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(host_byte)
}

/// Whether `text` can stand as the path of a request line: `/` and visible ASCII, without query or fragment.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= PATH_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#')
}

/// Whether `text` is a path as requests' paths are once they are brought into their one form: no segment that is empty,
/// `.` or `..`, no escape of what needs none, escapes in upper case, and no slash at its end but the only one.
pub(super) fn is_normal_path(text: &str) -> bool {
    let Some(below) = text.strip_prefix('/').filter(|_| is_path(text)) else { return false };
    let segment = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    let plain = !text.contains(['\\', ';']) && (below.is_empty() || below.split('/').all(segment));
    plain && text.split('%').skip(1).all(is_needed_escape)
}

/// Whether what follows a `%` is the escape of a byte that stands nowhere unescaped, in upper case.
fn is_needed_escape(behind: &str) -> bool {
    let digits = behind.get(..2).filter(|digits| !digits.contains(['+', '-']));
    let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let upper = digits.is_some_and(|digits| !digits.bytes().any(|byte| byte.is_ascii_lowercase()));
    // `%2F` and `%5C` are refused or left in requests' paths, and a route of them would be a riddle.
    let needed = |byte: u8| !(byte.is_ascii_alphanumeric() || b"-._~/\\\0".contains(&byte));
    upper && byte.is_some_and(needed)
}

/// Whether `text` can be a backend's name.
pub(super) fn is_backend_name(text: &str) -> bool {
    let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=BACKEND_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(name_byte)
}

/// Whether a route can be for `text`: a name or an address in lower case, without a port.
pub(super) fn is_route_host(text: &str) -> bool {
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    lower && Authority::parse(text, Some(80)).is_some_and(|it| it.host() == text)
}

/// Whether `text` can be a cookie's name: a token (RFC 6265 section 4.1.1).
pub(super) fn is_cookie_name(text: &str) -> bool {
    let token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= COOKIE_NAME_BYTES_MAX && text.bytes().all(token_byte)
}

/// Whether `text` can be an issuer or an audience.
pub(super) fn is_claim(text: &str) -> bool {
    text.len() <= CLAIM_BYTES_MAX && !text.contains(char::is_control)
}

/// Whether `text` can stand behind `Authorization: Bearer`.
pub(super) fn is_bearer(text: &str) -> bool {
    !text.is_empty() && text.len() <= BEARER_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

const SIZE_UNITS: [(&str, u64); 4] =
    [("B", 1), ("KiB", 1024), ("MiB", 1024 * 1024), ("GiB", 1024 * 1024 * 1024)];
const DURATION_UNITS_MS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
/// Bytes of a host name (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Bytes of a path.
const BACKEND_NAME_BYTES_MAX: usize = 64;
const PATH_BYTES_MAX: usize = 256;
/// Bytes of a bearer key.
const BEARER_BYTES_MAX: usize = 1024;
/// Bytes of a cookie's name.
const COOKIE_NAME_BYTES_MAX: usize = 256;
/// Bytes of an issuer or an audience.
const CLAIM_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        assert_eq!(parse_size("256B"), Some(256));
        assert_eq!(parse_size("64KiB"), Some(65_536));
        assert_eq!(parse_size("1MiB"), Some(1_048_576));
        assert_eq!(parse_size("2GiB"), Some(2_147_483_648));
        assert_eq!(parse_size("0B"), Some(0));
        for text in ["", "1", "B", "1 MiB", "1MB", "1kib", "1.5MiB", "-1B", "+1B", "1MiB ", "17179869184GiB"]
        {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(parse_duration("1h"), Some(Duration::from_secs(3600)));
        for text in ["", "30", "s", "30 s", "1d", "1.5s", "-1s", "1S", "99999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_is_read_back(number: u64) {
            proptest::prop_assert_eq!(parse_size(&show_size(number)), Some(number));
            let duration = Duration::from_millis(number);
            proptest::prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for text in [
            "https://app.example.com",
            "http://localhost:3000",
            "https://xn--bcher-kva.example",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "https://[2001:db8::1]",
            "capacitor://localhost",
            "http://a:443",
        ] {
            assert!(is_origin(text), "{text:?}");
        }
        for text in [
            "",
            "null",
            "*",
            "https://*",
            "https://*.example.com",
            "app.example.com",
            "//app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/chat",
            "https://App.example.com",
            "HTTPS://app.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "http://app.example.com:0",
            "http://app.example.com:080",
            "http://app.example.com:",
            "http://app.example.com:65536",
            "http://user@app.example.com",
            "http://[::1",
            "http://::1",
            "http://[0::1]",
            "https://bücher.example",
            "https://app.example.com https://b.example.com",
        ] {
            assert!(!is_origin(text), "{text:?}");
        }
    }

    #[test]
    fn a_path_begins_with_a_slash_and_has_no_query() {
        assert!(is_path("/") && is_path("/ws") && is_path("/a/b%20c"));
        for text in
            ["", "ws", "/ws?x=1", "/ws#x", "/w s", "/wé", "http://a/ws", &format!("/{}", "a".repeat(256))]
        {
            assert!(!is_path(text), "{text:?}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new(b"correct horse battery staple");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "[secret] [secret] Some([secret])");
        assert_eq!(secret.as_bytes(), b"correct horse battery staple");
    }
}

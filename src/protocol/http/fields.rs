//! The fields that say where a message ends, whom it is for and what becomes of the connection.
//!
//! Each function reads one field by its own grammar (RFC 9110, RFC 9112) and refuses what is ambiguous. It must
//! not read fields that only a route or a transport cares for.

use super::head::{Body, HeadError};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Whether the list that the fields `name` make together has `token` in it, in any case of letters.
///
/// Reads by token: `Connection: not-upgrade` does not have `upgrade`.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// The one value of a field that may stand only once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// How the body is framed.
///
/// A repeated Content-Length is refused even where the numbers agree, as RFC 9110, section 8.6 allows.
pub(super) fn body_of(headers: &HeaderMap) -> Result<Body, HeadError> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(HeadError::Framing);
        }
        return check_transfer_encoding(headers);
    }
    let length = length_of(headers).ok_or(HeadError::ContentLength)?;
    Ok(length.map_or(Body::None, Body::Length))
}

/// What Content-Length says, if it is there. `None` where it says nothing that everybody reads alike.
pub(super) fn length_of(headers: &HeaderMap) -> Option<Option<u64>> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Some(None) };
    if values.next().is_some() {
        return None;
    }
    let digits = value.as_bytes();
    // `parse` alone would take a plus sign.
    let number =
        str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    Some(Some(number?.parse().ok()?))
}

/// `100-continue` may go unanswered: the final status answers it too, and a client does not wait for ever.
pub(super) fn check_expectation(headers: &HeaderMap) -> Result<(), HeadError> {
    let met = elements(headers, &header::EXPECT).all(|element| element.eq_ignore_ascii_case(b"100-continue"));
    if met { Ok(()) } else { Err(HeadError::Expectation) }
}

/// One Host with a host in it: a registered name, an IPv4 address, or an IPv6 address in brackets, and a port
/// if need be (RFC 3986, sections 3.2.2 and 3.2.3).
pub(super) fn check_host(headers: &HeaderMap) -> Result<(), HeadError> {
    let host = only(headers, &header::HOST).ok_or(HeadError::Host)?.as_bytes();
    let (valid, port) = if let [b'[', inside @ ..] = host {
        let end = memchr::memchr(b']', inside).ok_or(HeadError::Host)?;
        let address =
            str::from_utf8(&inside[..end]).ok().and_then(|text| text.parse::<std::net::Ipv6Addr>().ok());
        (address.is_some(), &inside[end + 1..])
    } else {
        let (name, port) = host.split_at(memchr::memchr(b':', host).unwrap_or(host.len()));
        (!name.is_empty() && name.iter().all(|&byte| is_host_byte(byte)), port)
    };
    let port_valid = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= PORT_DIGITS_MAX && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if valid && port_valid { Ok(()) } else { Err(HeadError::Host) }
}

fn check_transfer_encoding(headers: &HeaderMap) -> Result<Body, HeadError> {
    let is_chunked = |element: &[u8]| element.eq_ignore_ascii_case(b"chunked");
    let chunked = elements(headers, &header::TRANSFER_ENCODING).filter(|element| is_chunked(element)).count();
    let mut codings = elements(headers, &header::TRANSFER_ENCODING);
    if chunked != 1 || !codings.next_back().is_some_and(is_chunked) {
        return Err(HeadError::TransferEncoding);
    }
    // Empty elements too: whoever writes `, chunked` wants readers to differ.
    if codings.next().is_some() { Err(HeadError::TransferCoding) } else { Ok(Body::Chunked) }
}

/// The elements of a list over all its fields, without whitespace around them; some may be empty.
pub fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]> {
    let values = headers.get_all(name).iter();
    values.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// Whether a registered name may have `byte` in it: unreserved, a sub-delimiter but the comma (which would make
/// a list of it), or part of a percent-encoding.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(&byte)
}

const PORT_DIGITS_MAX: usize = 5;

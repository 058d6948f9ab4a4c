//! Where a request carries its token.
//!
//! Owns the places and their order, and finds a token there; it does not judge it. A token is never logged, so
//! that what is found here does not show itself.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::TokenError;

/// A token as a peer sent it, not judged yet. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token<'a>(Cow<'a, str>);

impl Token<'_> {
    /// The token itself, for [`Verifier::verify`](super::jwt::Verifier::verify) alone.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

/// The token of a request with these headers and this query, the text behind `?`; `None` if it carries none.
///
/// It stands in `Authorization: Bearer TOKEN` (the scheme in any case, RFC 9110 section 11.1; another scheme is not
/// for us) or in the parameter `token`, percent-encoded (RFC 6750 sections 2.1 and 2.3). The same token may stand
/// in both.
///
/// # Errors
///
/// [`TokenError::Several`] if a place is there twice or two bear different tokens, [`TokenError::Unreadable`] if a
/// place is there without a readable token.
pub fn token_of<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Result<Option<Token<'a>>, TokenError> {
    let mut found: Option<Token<'a>> = None;
    for place in PLACES {
        let token = match place {
            Place::Authorization => bearer(headers)?,
            Place::Query => parameter(query.unwrap_or_default())?,
        };
        match (&found, token) {
            (Some(first), Some(token)) if *first != token => return Err(TokenError::Several),
            (None, Some(token)) => found = Some(token),
            (_, _) => {}
        }
    }
    Ok(found)
}

/// A place for a token.
#[derive(Clone, Copy)]
enum Place {
    Authorization,
    Query,
}

/// All places, in the order they are looked at.
const PLACES: [Place; 2] = [Place::Authorization, Place::Query];

fn bearer(headers: &HeaderMap) -> Result<Option<Token<'_>>, TokenError> {
    let Some(value) = single(headers.get_all(AUTHORIZATION).iter())? else { return Ok(None) };
    let value = value.to_str().map_err(|_| TokenError::Unreadable)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    readable(Cow::Borrowed(token.trim_matches(' '))).map(Some)
}

fn parameter(query: &str) -> Result<Option<Token<'_>>, TokenError> {
    let values = query.split('&').filter_map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name == PARAMETER).then_some(value),
        None => (pair == PARAMETER).then_some(""),
    });
    let Some(value) = single(values)? else { return Ok(None) };
    let token = percent_decode(value).ok_or(TokenError::Unreadable)?;
    readable(token).map(Some)
}

fn single<T>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, TokenError> {
    let value = values.next();
    if values.next().is_some() { Err(TokenError::Several) } else { Ok(value) }
}

fn readable(token: Cow<'_, str>) -> Result<Token<'_>, TokenError> {
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    visible.then_some(Token(token)).ok_or(TokenError::Unreadable)
}

/// RFC 3986 section 2.1. A `+` stays one: it means a space in forms only, and a token holds neither.
fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (hex(bytes.next()?)? << 4) | hex(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const PARAMETER: &str = "token";

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn found(authorizations: &[&str], query: Option<&str>) -> Result<Option<String>, TokenError> {
        let mut headers = HeaderMap::new();
        for value in authorizations {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a header's value"));
        }
        token_of(&headers, query).map(|token| token.map(|token| token.as_str().to_owned()))
    }

    fn some(token: &str) -> Result<Option<String>, TokenError> {
        Ok(Some(token.to_owned()))
    }

    #[test]
    fn the_authorization_header_bears_it_behind_bearer_in_any_case() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c "] {
            assert_eq!(found(&[value], None), some("a.b.c"), "{value}");
        }
    }

    #[test]
    fn the_query_bears_it_percent_encoded() {
        for query in ["token=a.b.c", "x=1&token=a.b.c&y", "token=a%2Eb%2ec", "token=%61.b.c&tokens=d"] {
            assert_eq!(found(&[], Some(query)), some("a.b.c"), "{query}");
        }
        assert_eq!(found(&[], Some("token=a+b=")), some("a+b="));
    }

    #[test]
    fn a_request_without_a_token_has_none() {
        for query in [None, Some(""), Some("x=1&y"), Some("Token=a"), Some("tokens=a"), Some("x=token")] {
            assert_eq!(found(&[], query), Ok(None), "{query:?}");
        }
    }

    #[test]
    fn another_scheme_is_no_token_of_ours() {
        assert_eq!(found(&["Basic YTpi"], None), Ok(None));
        assert_eq!(found(&["Bearerx a.b.c"], None), Ok(None));
        assert_eq!(found(&["Basic YTpi"], Some("token=a.b.c")), some("a.b.c"));
    }

    #[test]
    fn a_place_that_is_there_twice_is_refused() {
        assert_eq!(found(&["Bearer a", "Bearer a"], None), Err(TokenError::Several));
        assert_eq!(found(&["Basic YTpi", "Bearer a"], None), Err(TokenError::Several));
        assert_eq!(found(&[], Some("token=a&token=a")), Err(TokenError::Several));
        assert_eq!(found(&[], Some("token=a&token")), Err(TokenError::Several));
    }

    #[test]
    fn two_places_must_agree() {
        assert_eq!(found(&["Bearer a.b"], Some("token=a%2Eb")), some("a.b"));
        assert_eq!(found(&["Bearer a.b"], Some("token=a.c")), Err(TokenError::Several));
    }

    #[test]
    fn a_place_without_a_readable_token_is_refused() {
        for value in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,\tb"] {
            assert_eq!(found(&[value], None), Err(TokenError::Unreadable), "{value:?}");
        }
        for query in
            ["token", "token=", "token=%", "token=%6", "token=%zz", "token=%ff", "token=%00", "token=é"]
        {
            assert_eq!(found(&[], Some(query)), Err(TokenError::Unreadable), "{query}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").expect("obs-text"));
        assert_eq!(token_of(&headers, None), Err(TokenError::Unreadable));
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let headers = HeaderMap::new();
        let token = token_of(&headers, Some("token=hush")).expect("one").expect("one");
        assert_eq!(format!("{token:?}"), "[token]");
    }

    proptest::proptest! {
        #[test]
        fn any_token_survives_the_query(token in "[!-~]{1,40}") {
            let encoded: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
            proptest::prop_assert_eq!(found(&[], Some(&format!("token={encoded}"))), some(&token));
        }

        #[test]
        fn any_query_has_an_answer(query in ".{0,60}") {
            let _ = found(&[], Some(&query));
        }
    }
}

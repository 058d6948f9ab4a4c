//! Where a request carries its token.
//!
//! Owns the places and their order, and finds a token there; it does not judge it. A token is never logged, so
//! that what is found here does not show itself.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};

use super::TokenError;
use crate::protocol::http::{elements, percent_decode};

/// A token as a peer sent it, not judged yet. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token<'a> {
    text: Cow<'a, str>,
    by_cookie: bool,
}

impl Token<'_> {
    /// The token itself, for [`Verifier::verify`](super::jwt::Verifier::verify) alone.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a browser sent it of its own accord, whatever page asked for the connection.
    pub fn by_cookie(&self) -> bool {
        self.by_cookie
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
/// for us), in the parameter `token`, percent-encoded (RFC 6750 sections 2.1 and 2.3), or in an offered
/// subprotocol `bearer.TOKEN`. The same token may stand in several of these. Only if it stands in none, the cookie
/// of the name `cookie` counts: a browser sends that with everything, and what a page says of itself comes first.
///
/// # Errors
///
/// [`TokenError::Several`] if a place is there twice or two bear different tokens, [`TokenError::Unreadable`] if a
/// place is there without a readable token.
pub fn token_of<'a>(
    headers: &'a HeaderMap,
    query: Option<&'a str>,
    cookie: Option<&str>,
) -> Result<Option<Token<'a>>, TokenError> {
    let mut found: Option<Token<'a>> = None;
    for token in [bearer(headers)?, parameter(query.unwrap_or_default())?, subprotocol(headers)?] {
        match (&found, token) {
            (Some(first), Some(token)) if *first != token => return Err(TokenError::Several),
            (None, Some(token)) => found = Some(token),
            (_, _) => {}
        }
    }
    match (found, cookie) {
        (None, Some(name)) => of_cookie(headers, name),
        (found, _) => Ok(found),
    }
}

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
    // A `+` stays one: it means a space in forms only, and a token holds neither.
    let token = percent_decode(value).ok_or(TokenError::Unreadable)?;
    readable(token).map(Some)
}

fn subprotocol(headers: &HeaderMap) -> Result<Option<Token<'_>>, TokenError> {
    let offered = elements(headers, &SEC_WEBSOCKET_PROTOCOL);
    let Some(token) = single(offered.filter_map(|offered| offered.strip_prefix(SUBPROTOCOL)))? else {
        return Ok(None);
    };
    let token = std::str::from_utf8(token).map_err(|_| TokenError::Unreadable)?;
    readable(Cow::Borrowed(token)).map(Some)
}

/// The cookie of this name (RFC 6265 section 4.2). Twice the same name is nobody's: a page of a neighbouring host can
/// set one beside ours.
fn of_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<Token<'a>>, TokenError> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b';'));
    let values = pairs.filter_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        (pair[..at].trim_ascii() == name.as_bytes()).then(|| pair[at + 1..].trim_ascii())
    });
    let Some(value) = single(values)? else { return Ok(None) };
    let value = std::str::from_utf8(value).map_err(|_| TokenError::Unreadable)?;
    readable(Cow::Borrowed(value)).map(|token| Some(Token { by_cookie: true, ..token }))
}

fn single<T>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, TokenError> {
    let value = values.next();
    if values.next().is_some() { Err(TokenError::Several) } else { Ok(value) }
}

fn readable(token: Cow<'_, str>) -> Result<Token<'_>, TokenError> {
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    visible.then_some(Token { text: token, by_cookie: false }).ok_or(TokenError::Unreadable)
}

const PARAMETER: &str = "token";
/// What an offered subprotocol that is a token begins with.
const SUBPROTOCOL: &[u8] = b"bearer.";

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn found(authorizations: &[&str], query: Option<&str>) -> Result<Option<String>, TokenError> {
        let mut headers = HeaderMap::new();
        for value in authorizations {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a header's value"));
        }
        token_of(&headers, query, None).map(|token| token.map(|token| token.as_str().to_owned()))
    }

    /// What stands in these headers, and whether it came by the cookie `session`.
    fn carried(
        fields: &[(http::HeaderName, &str)],
        query: Option<&str>,
    ) -> Result<Option<(String, bool)>, TokenError> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        let token = token_of(&headers, query, Some("session"))?;
        Ok(token.map(|token| (token.as_str().to_owned(), token.by_cookie())))
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
        assert_eq!(token_of(&headers, None, None), Err(TokenError::Unreadable));
    }

    #[test]
    fn an_offered_subprotocol_bears_it_behind_bearer() {
        let offered = |offers: &[&str]| {
            let fields: Vec<_> = offers.iter().map(|offer| (SEC_WEBSOCKET_PROTOCOL, *offer)).collect();
            carried(&fields, None)
        };
        for offers in [&["bearer.a.b.c"][..], &["vestibule, bearer.a.b.c ,x"], &["vestibule", "bearer.a.b.c"]]
        {
            assert_eq!(offered(offers), Ok(Some(("a.b.c".to_owned(), false))), "{offers:?}");
        }
        for offers in [&[][..], &["vestibule"], &["bearer"], &["Bearer.a.b.c"], &["bearer-a", "xbearer.a"]] {
            assert_eq!(offered(offers), Ok(None), "{offers:?}");
        }
        assert_eq!(offered(&["bearer.a, bearer.a"]), Err(TokenError::Several));
        assert_eq!(offered(&["bearer.a", "bearer.b"]), Err(TokenError::Several));
        assert_eq!(offered(&["bearer."]), Err(TokenError::Unreadable));
        assert_eq!(offered(&["bearer.a b"]), Err(TokenError::Unreadable));
        let both = [(SEC_WEBSOCKET_PROTOCOL, "bearer.a")];
        assert_eq!(carried(&both, Some("token=b")), Err(TokenError::Several));
        assert_eq!(carried(&both, Some("token=a")), Ok(Some(("a".to_owned(), false))));
    }

    #[test]
    fn the_cookie_of_the_name_bears_it_where_no_other_place_does() {
        let sent = |cookies: &[&str]| {
            let fields: Vec<_> = cookies.iter().map(|cookie| (COOKIE, *cookie)).collect();
            carried(&fields, None)
        };
        for cookies in [&["session=a.b.c"][..], &["x=1; session=a.b.c; y=2"], &["x=1", "session=a.b.c"]] {
            assert_eq!(sent(cookies), Ok(Some(("a.b.c".to_owned(), true))), "{cookies:?}");
        }
        for cookies in [&[][..], &["x=session"], &["Session=a"], &["xsession=a; session2=b"], &["session"]] {
            assert_eq!(sent(cookies), Ok(None), "{cookies:?}");
        }
        assert_eq!(sent(&["session=a; session=a"]), Err(TokenError::Several));
        assert_eq!(sent(&["session=a", "session=b"]), Err(TokenError::Several));
        assert_eq!(sent(&["session="]), Err(TokenError::Unreadable));
        assert_eq!(sent(&["session=a b"]), Err(TokenError::Unreadable));
        assert_eq!(sent(&["session=a=b"]), Ok(Some(("a=b".to_owned(), true))));
        let both = [(COOKIE, "session=a"), (AUTHORIZATION, "Bearer b")];
        assert_eq!(carried(&both, None), Ok(Some(("b".to_owned(), false))));
        assert_eq!(
            carried(&[(COOKIE, "session=a; session=b")], Some("token=c")),
            Ok(Some(("c".to_owned(), false)))
        );
    }

    #[test]
    fn without_a_name_no_cookie_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("session=a; token=b"));
        assert_eq!(token_of(&headers, None, None), Ok(None));
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let headers = HeaderMap::new();
        let token = token_of(&headers, Some("token=hush"), None).expect("one").expect("one");
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

//! The origins whose pages may connect.
//!
//! Knows no default: what is not listed is refused, the page's own host too. A browser cannot be told apart from
//! a program by anything but this header, so that it protects browsers only, and only from foreign pages.

use http::HeaderMap;
use http::header::ORIGIN;

/// Whether a request with these headers comes from a listed page, or from no page at all.
///
/// `listed` holds origins as browsers serialise them (RFC 6454 section 6.2): `https://app.example.com`, with a port
/// only if it is not the scheme's own. Scheme, host and port must all be equal; case does not count. Without an
/// `Origin` header the request is allowed, since a program sent it, which has its own token to show. `null`, an
/// origin that is not listed, and more than one `Origin` are refused.
pub fn allowed(headers: &HeaderMap, listed: &[String]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let origin = origin.as_bytes();
    // "null" is what a sandboxed frame or a file says, anybody's, and stays refused whatever the list says.
    origins.next().is_none()
        && !origin.eq_ignore_ascii_case(b"null")
        && listed.iter().any(|listed| origin.eq_ignore_ascii_case(listed.as_bytes()))
}

/// Whether a browser said from which page a request comes that [`allowed`] lets through: by an `Origin`, or, since for a
/// plain GET of the page's own host there is none, by `Sec-Fetch-Site: same-origin` (Fetch Metadata), which no page
/// can set itself.
pub fn is_known(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn verdict(origins: &[&str], listed: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_str(origin).expect("a header's value"));
        }
        let listed: Vec<String> = listed.iter().map(|&origin| origin.to_owned()).collect();
        allowed(&headers, &listed)
    }

    const LISTED: [&str; 2] = ["https://app.example.com", "http://localhost:3000"];

    #[test]
    fn a_listed_origin_is_allowed_in_any_case() {
        for origin in ["https://app.example.com", "HTTPS://App.Example.COM", "http://localhost:3000"] {
            assert!(verdict(&[origin], &LISTED), "{origin}");
        }
    }

    #[test]
    fn scheme_host_and_port_must_all_be_equal() {
        for origin in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com:443",
            "https://app.example.com.evil.example",
            "https://evil-app.example.com",
            "https://x.app.example.com",
            "https://example.com",
            "https://app.example.com/",
            "https://app.example.com@evil.example",
            "http://localhost",
            "http://localhost:30000",
            "http://127.0.0.1:3000",
            "app.example.com",
            "",
            "*",
        ] {
            assert!(!verdict(&[origin], &LISTED), "{origin}");
        }
    }

    #[test]
    fn no_origin_at_all_is_allowed() {
        assert!(verdict(&[], &LISTED));
        assert!(verdict(&[], &[]));
    }

    #[test]
    fn with_an_empty_list_every_origin_is_refused() {
        assert!(!verdict(&["https://app.example.com"], &[]));
    }

    #[test]
    fn null_is_refused_even_if_listed() {
        assert!(!verdict(&["null"], &LISTED));
        assert!(!verdict(&["null"], &["null"]));
        assert!(!verdict(&["Null"], &["null"]));
    }

    #[test]
    fn two_origins_are_refused_even_if_both_are_listed() {
        assert!(!verdict(&[LISTED[0], LISTED[1]], &LISTED));
        assert!(!verdict(&["https://evil.example", LISTED[0]], &LISTED));
        assert!(!verdict(&["https://app.example.com, https://app.example.com"], &LISTED));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_bytes(b"https://app.example.com\xff").expect("obs-text"));
        assert!(!allowed(&headers, &["https://app.example.com".to_owned()]));
    }

    #[test]
    fn a_page_is_known_by_its_origin_or_by_being_of_the_same() {
        let known = |name: &'static str, value: &'static str| {
            is_known(&HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]))
        };
        assert!(known("origin", "https://app.example.com") && known("sec-fetch-site", "same-origin"));
        for site in ["same-site", "cross-site", "none", "", "Same-Origin"] {
            assert!(!known("sec-fetch-site", site), "{site}");
        }
        assert!(!is_known(&HeaderMap::new()));
    }
}

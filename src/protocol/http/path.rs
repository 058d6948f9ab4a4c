//! The one normal form of a request's path, by which it is routed and in which it is forwarded.
//!
//! What two readers could read differently has none. It must not decode what spells a delimiter, and knows no route.

use super::percent::hex;
use super::response::Response;
use http::StatusCode;
use std::borrow::Cow;

/// `path`, which begins with a slash, in its normal form; borrowed where it is plain.
///
/// Escapes of unreserved characters are decoded and all others have capital digits; runs of slashes are one slash; `.`
/// and `..` are resolved, never above the root (RFC 3986, section 6.2.2). The normal form of a normal form is itself.
///
/// # Errors
/// It has none, see [`BadPath`].
pub fn normal_path(path: &str) -> Result<Cow<'_, str>, BadPath> {
    if is_plain(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let unescaped = normal_escapes(path)?;
    let mut normal = String::with_capacity(unescaped.len() + 2);
    normal.push('/');
    let mut ends_in_name = false;
    for segment in unescaped.split('/') {
        ends_in_name = false;
        match segment {
            "" | "." => {}
            ".." => {
                let above = normal[..normal.len() - 1].rfind('/').unwrap_or(0);
                normal.truncate(above + 1);
            }
            _ if hides_dots(segment) => return Err(BadPath::HiddenDots),
            _ => {
                normal.push_str(segment);
                normal.push('/');
                ends_in_name = true;
            }
        }
    }
    if ends_in_name {
        normal.pop();
    }
    Ok(Cow::Owned(normal))
}

/// Whether nothing in a path needs a second look: most have nothing of the kind.
fn is_plain(path: &[u8]) -> bool {
    let mut before = b'/';
    let mut plain = path.first() == Some(&b'/');
    for (at, &byte) in path.iter().enumerate() {
        plain &= match byte {
            b'%' | b';' | b'\\' => false,
            b'/' | b'.' => before != b'/' || at == 0,
            _ => true,
        };
        before = byte;
    }
    plain
}

/// The path with each escape in its one spelling.
fn normal_escapes(path: &str) -> Result<String, BadPath> {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find(['%', '\\']) {
        let (before, escape) = rest.split_at(at);
        normal.push_str(before);
        let [b'%', high, low, ..] = *escape.as_bytes() else {
            return Err(if escape.starts_with('%') { BadPath::Escape } else { BadPath::Backslash });
        };
        let (Some(high), Some(low)) = (hex(high), hex(low)) else { return Err(BadPath::Escape) };
        match (high << 4) | low {
            0 => return Err(BadPath::Nul),
            b'\\' => return Err(BadPath::Backslash),
            byte if is_unreserved(byte) => normal.push(char::from(byte)),
            _ => normal.extend(['%', digit(high), digit(low)]),
        }
        rest = &escape[ESCAPE_LEN..];
    }
    normal.push_str(rest);
    Ok(normal)
}

/// Whether a segment that is no dot segment becomes one for whoever decodes before taking apart: at an escaped slash,
/// or where parameters, a query or a fragment would begin.
fn hides_dots(segment: &str) -> bool {
    segment.split("%2F").any(|part| {
        let dots = part.len() - part.trim_start_matches('.').len();
        let behind = &part[dots..];
        let ends = behind.is_empty() || NAME_ENDS.iter().any(|end| behind.starts_with(end));
        matches!(dots, 1 | 2) && ends
    })
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn digit(nibble: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(nibble & 15)])
}

/// Where a segment's name ends for some readers.
const NAME_ENDS: [&str; 4] = [";", "%3B", "%3F", "%23"];

const ESCAPE_LEN: usize = 3;

/// Why a path has no normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// A percent sign without two hexadecimal digits behind it.
    #[error("the path has a bad escape in it")]
    Escape,
    /// An escaped NUL, which ends a text for some.
    #[error("the path has a NUL in it")]
    Nul,
    /// A backslash, escaped or not, which is a slash for some.
    #[error("the path has a backslash in it")]
    Backslash,
    /// A segment that is `.` or `..` only for who takes it apart at `%2F`, `;` or the like.
    #[error("the path has a hidden dot segment in it")]
    HiddenDots,
}

impl BadPath {
    /// The response that is due.
    pub fn response(self) -> Response {
        Response::json_error(StatusCode::BAD_REQUEST, "bad_path", &self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plain_path_is_its_own_normal_form_and_is_not_copied() {
        for path in
            ["/", "/a", "/a/", "/a.b/c..d/e.", "/a-b_c~d/!$&'()*+,=:@", "/a..", "/a/b...", "/\"<>[]^`{|}"]
        {
            assert!(matches!(normal_path(path), Ok(Cow::Borrowed(normal)) if normal == path), "{path}");
        }
    }

    #[test]
    fn every_spelling_of_a_path_has_one_form() {
        for (path, normal) in [
            // Slashes.
            ("//", "/"),
            ("//a", "/a"),
            ("/a//b///", "/a/b/"),
            // Dot segments.
            ("/.", "/"),
            ("/./", "/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../c/./d/..", "/a/c/"),
            ("/a//../b", "/b"),
            ("/a/../../../etc/passwd", "/etc/passwd"),
            ("/...", "/..."),
            ("/.a/..b/.well-known/...", "/.a/..b/.well-known/..."),
            // Escapes of what needs none.
            ("/%61%5A%30%2d%5f%7e", "/aZ0-_~"),
            ("/%2e%2e/a", "/a"),
            ("/a/.%2E/b", "/b"),
            ("/a/%2e", "/a/"),
            // Other escapes.
            ("/%2f%2F", "/%2F%2F"),
            ("/a%2fb/%c3%a4", "/a%2Fb/%C3%A4"),
            ("/%25%32%65", "/%252e"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/a%20b%3fc%23d", "/a%20b%3Fc%23d"),
            ("/%7f%01%0a", "/%7F%01%0A"),
            // Parameters.
            ("/a;v=1/b;", "/a;v=1/b;"),
            ("/;a/...;b", "/;a/...;b"),
            ("/a;b/../c", "/c"),
        ] {
            assert_eq!(normal_path(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_has_none() {
        for (path, error) in [
            ("/%", BadPath::Escape),
            ("/%4", BadPath::Escape),
            ("/a%", BadPath::Escape),
            ("/%g0", BadPath::Escape),
            ("/%0g", BadPath::Escape),
            ("/%%34%31", BadPath::Escape),
            ("/%u002e", BadPath::Escape),
            ("/%+1", BadPath::Escape),
            ("/%00", BadPath::Nul),
            ("/a%00.html", BadPath::Nul),
            ("/\\", BadPath::Backslash),
            ("/a\\..\\b", BadPath::Backslash),
            ("/%5c", BadPath::Backslash),
            ("/a%5C..", BadPath::Backslash),
            ("/..%2Fa", BadPath::HiddenDots),
            ("/%2e%2e%2fa", BadPath::HiddenDots),
            ("/a%2f..", BadPath::HiddenDots),
            ("/a%2F.%2Fb", BadPath::HiddenDots),
            ("/a/..;/b", BadPath::HiddenDots),
            ("/a/.;x", BadPath::HiddenDots),
            ("/a/..;x=1%2Fb", BadPath::HiddenDots),
            ("/a%2F..;x", BadPath::HiddenDots),
            ("/a/..%3b/b", BadPath::HiddenDots),
            ("/a/..%3fb", BadPath::HiddenDots),
            ("/a/..%23", BadPath::HiddenDots),
            // Also where they would be resolved away again.
            ("/..;/../a", BadPath::HiddenDots),
        ] {
            assert_eq!(normal_path(path), Err(error), "{path}");
        }
        let response = BadPath::Nul.response();
        assert_eq!(response.status, 400);
        assert_eq!(response.body, r#"{"error":{"code":"bad_path","message":"the path has a NUL in it"}}"#);
    }

    /// A path of pieces of which each matters here.
    fn any_path() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "//", ".", "..", "a", "%2e", "%2F", "%5c", "%25", "%41", ";", "%3B", "%", "\\", "%00", "4",
            "1", "e",
        ]);
        prop::collection::vec(piece, 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn a_normal_form_is_its_own_and_has_no_dot_segments(path in any_path()) {
            if let Ok(normal) = normal_path(&path) {
                let again = normal_path(&normal);
                prop_assert_eq!(again.as_deref(), Ok(&*normal));
                prop_assert!(normal.starts_with('/') && !normal.contains("//") && !normal.contains('\\'));
                prop_assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")));
            }
        }
    }
}

//! Percent-encoded text of a request's target.
//!
//! Reads what is one text in every reading, and refuses the rest: half an escape, and what is no UTF-8. It must not
//! split a target, whose delimiters count before they are decoded.

use std::borrow::Cow;

/// What a part of a target says (RFC 3986, section 2.1); borrowed if nothing is escaped. `None` for a bad escape, or
/// bytes that are not UTF-8.
pub fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
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

/// The same in a query as forms and `URLSearchParams` write it, where `+` is a space.
pub fn percent_decode_form(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return percent_decode(text);
    }
    percent_decode(&text.replace('+', " ")).map(|decoded| Cow::Owned(decoded.into_owned()))
}

pub(super) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_read_once_and_a_plus_is_a_space_in_forms_only() {
        for (text, plain, form) in [
            ("", "", ""),
            ("a.b~c", "a.b~c", "a.b~c"),
            ("%C3%a4%2F%2520", "ä/%20", "ä/%20"),
            ("a+b%2B%20", "a+b+ ", "a b+ "),
            ("%00%0a", "\0\n", "\0\n"),
        ] {
            assert_eq!(percent_decode(text).as_deref(), Some(plain), "{text}");
            assert_eq!(percent_decode_form(text).as_deref(), Some(form), "{text}");
        }
    }

    #[test]
    fn half_an_escape_and_what_is_no_text_are_refused() {
        for text in ["%", "%4", "a%4", "%g0", "%0g", "%%41", "%+1", "%ff", "%C3", "%ed%a0%80", "%u0041"] {
            assert_eq!(percent_decode(text), None, "{text}");
            assert_eq!(percent_decode_form(text), None, "{text}");
        }
    }
}

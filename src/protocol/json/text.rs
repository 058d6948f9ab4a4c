//! JSON strings as text, and text as JSON strings.
//!
//! Text that needs no escape is copied as it is, and borrowed where a borrow will do. It must not take a string
//! apart leniently: what has no one meaning as text is refused.

use super::value::plain_len;
use bytes::{BufMut, BytesMut};
use std::borrow::Cow;

/// The text of a JSON string as it was sent, quotes included; borrowed if it has no escape.
///
/// # Errors
/// What is no JSON string, no UTF-8, or has half of a surrogate pair: legal JSON (RFC 8259, section 8.2), but
/// no text.
pub fn decode(string: &[u8]) -> Result<Cow<'_, str>, BadText> {
    let [b'"', inside @ .., b'"'] = string else { return Err(BadText) };
    let plain = plain_len(inside);
    if plain == inside.len() {
        return str::from_utf8(inside).map(Cow::Borrowed).map_err(|_| BadText);
    }
    let mut text = Vec::with_capacity(inside.len());
    let mut rest = inside;
    loop {
        let (plain, special) = rest.split_at(plain_len(rest));
        text.extend_from_slice(plain);
        match special {
            [] => break,
            [b'\\', escape @ ..] => {
                let (character, used) = unescape(escape).ok_or(BadText)?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &escape[used..];
            }
            _ => return Err(BadText),
        }
    }
    String::from_utf8(text).map(Cow::Owned).map_err(|_| BadText)
}

/// A JSON string that is not the writing of any text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON string that says a text")]
pub struct BadText;

/// Bytes that [`escape`] will append for `text`.
pub fn escaped_len(text: &str) -> usize {
    let mut rest = text.as_bytes();
    let mut len = text.len();
    loop {
        match rest[plain_len(rest)..] {
            [] => return len,
            [special, ref after @ ..] => {
                len += written(special).len() - 1;
                rest = after;
            }
        }
    }
}

/// Appends `text` as the inside of a JSON string, without quotes: `"`, `\` and the controls below U+0020
/// are escaped, in the shortest way there is, and nothing else is.
pub fn escape(out: &mut BytesMut, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_len(rest));
        out.put_slice(plain);
        match special {
            [] => return,
            [special, after @ ..] => {
                out.put_slice(&written(*special));
                rest = after;
            }
        }
    }
}

/// How a byte is written that may not stand for itself.
fn written(special: u8) -> Escape {
    let short = match special {
        b'"' | b'\\' => special,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digit = |nibble: u8| HEX[usize::from(nibble)];
            return Escape {
                bytes: [b'\\', b'u', b'0', b'0', digit(special >> 4), digit(special & 15)],
                len: 6,
            };
        }
    };
    Escape { bytes: [b'\\', short, 0, 0, 0, 0], len: 2 }
}

/// The character that an escape stands for, and how many bytes after the backslash it took.
fn unescape(escape: &[u8]) -> Option<(char, usize)> {
    let character = match escape.first()? {
        &same @ (b'"' | b'\\' | b'/') => char::from(same),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = hex(escape.get(1..5)?)?;
            let Some(character) = char::from_u32(first) else {
                let [b'\\', b'u', digits @ ..] = escape.get(5..11)? else { return None };
                let pair = [first as u16, hex(digits)? as u16];
                // A first half without its second, or a second without a first, is no character.
                return Some((char::decode_utf16(pair).next()?.ok()?, 11));
            };
            return Some((character, 5));
        }
        _ => return None,
    };
    Some((character, 1))
}

/// The value of four hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The longest is `\u001f`.
struct Escape {
    bytes: [u8; 6],
    len: usize,
}

impl std::ops::Deref for Escape {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> String {
        let mut out = BytesMut::new();
        escape(&mut out, text);
        String::from_utf8(out.to_vec()).expect("escaping keeps UTF-8")
    }

    #[test]
    fn every_escape_is_read() {
        let text = decode(br#""\"\\\/\b\f\n\r\tA\u0041\u00e9\u20AC\ud83d\uDE00\u0000""#).expect("a text");
        assert_eq!(text, "\"\\/\u{8}\u{c}\n\r\tAA\u{e9}\u{20ac}\u{1f600}\0");
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        assert!(matches!(decode("\"caf\u{e9} [1]\"".as_bytes()), Ok(Cow::Borrowed("caf\u{e9} [1]"))));
        assert!(matches!(decode(b"\"\""), Ok(Cow::Borrowed(""))));
    }

    #[test]
    fn half_a_surrogate_pair_is_no_text() {
        for string in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800x""#,
            r#""\ud800\n""#,
            r#""\ud800\u0041""#,
            r#""\ud800\ud800""#,
            r#""\udc00\ud800""#,
            r#""\ud83d\ude0""#,
        ] {
            assert_eq!(decode(string.as_bytes()), Err(BadText), "{string}");
        }
    }

    #[test]
    fn what_is_no_json_string_is_no_text() {
        for string in [
            "",
            "\"",
            "a",
            "\"a",
            "a\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u+123\"",
            "\"\\u123\"",
            "\"a\"b\"",
            "\"\n\"",
            "1",
        ] {
            assert_eq!(decode(string.as_bytes()), Err(BadText), "{string:?}");
        }
        assert_eq!(decode(b"\"\xff\""), Err(BadText));
        assert_eq!(decode(b"\"\\n\xff\""), Err(BadText));
    }

    #[test]
    fn only_what_must_be_escaped_is_escaped() {
        assert_eq!(escaped("a\"b\\c/\u{7f}\u{e9}\u{2028}"), "a\\\"b\\\\c/\u{7f}\u{e9}\u{2028}");
        assert_eq!(
            escaped("\0\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f} "),
            "\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f "
        );
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_what_serde_json_writes(text in ".*|[\\x00-\\x7f]*") {
            let ours = format!("\"{}\"", escaped(&text));
            prop_assert_eq!(&ours, &serde_json::to_string(&text).expect("a string"));
            prop_assert_eq!(ours.len(), escaped_len(&text) + 2);
            prop_assert_eq!(decode(ours.as_bytes()).expect("a text"), text);
        }

        #[test]
        fn what_is_read_is_what_serde_json_reads(
            parts in prop::collection::vec(
                prop::sample::select(vec!["a", "\\", "\\u", "d83d", "de00", "\\ud83d", "\\ude00", "\"", "n", "00e9", "\u{e9}", "\n"]),
                0..8,
            ),
        ) {
            let string = format!("\"{}\"", parts.concat());
            let theirs = serde_json::from_str::<String>(&string).ok();
            prop_assert_eq!(decode(string.as_bytes()).ok().map(Cow::into_owned), theirs);
        }
    }
}

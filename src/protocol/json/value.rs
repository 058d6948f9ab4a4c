//! Where a JSON value ends, and whether it is one: the whole grammar of RFC 8259 in one pass.
//!
//! Accepts exactly what the grammar accepts. What a number is worth, or whether a `\uD800` has its other half,
//! is for whoever decodes it: such values are legal JSON, and a browser's `JSON.stringify` writes them.
//! It never recurses, never allocates and never looks at a byte twice.
//!
//! A SIMD parser is not the judge here: simd-json refuses integers beyond 64 bits, numbers beyond an f64 and
//! halves of surrogate pairs, and its tape costs more than this pass at every size from 100 bytes to 64 KiB.

use super::span::{DEPTH_MAX, Malformed};

/// Judges a whole text that has to be one JSON value, with whitespace around it or without.
///
/// # Errors
/// Whatever is none by RFC 8259, and one nested deeper than [`DEPTH_MAX`].
pub fn judge(text: &[u8]) -> Result<(), Malformed> {
    let end = value_end(text, 0, DEPTH_MAX)?;
    if space_end(text, end) == text.len() { Ok(()) } else { Err(Malformed::Syntax) }
}

/// The index just past the value that begins at `at`, after any whitespace.
///
/// `depth_max` arrays and objects may be open at once; 64 is the most it can be told.
pub(super) fn value_end(text: &[u8], mut at: usize, depth_max: u32) -> Result<usize, Malformed> {
    debug_assert!(depth_max <= u64::BITS);
    // One bit for each open bracket, the innermost lowest: 1 is an object, 0 an array.
    let mut objects = 0_u64;
    let mut depth = 0;
    loop {
        at = space_end(text, at);
        at = match text.get(at) {
            Some(b'"') => string_end(text, at)?,
            Some(b'-' | b'0'..=b'9') => number_end(text, at)?,
            Some(&open @ (b'{' | b'[')) => {
                if depth == depth_max {
                    return Err(Malformed::TooDeep);
                }
                let object = open == b'{';
                let inside = space_end(text, at + 1);
                if text.get(inside) == Some(&if object { b'}' } else { b']' }) {
                    inside + 1
                } else {
                    depth += 1;
                    objects = objects << 1 | u64::from(object);
                    at = if object { key_end(text, inside)? } else { inside };
                    continue;
                }
            }
            Some(b't') => word_end(text, at, b"true")?,
            Some(b'f') => word_end(text, at, b"false")?,
            Some(b'n') => word_end(text, at, b"null")?,
            _ => return Err(Malformed::Syntax),
        };
        // A value has ended: close what ends with it, until a comma calls for the next.
        loop {
            if depth == 0 {
                return Ok(at);
            }
            at = space_end(text, at);
            match (text.get(at), objects & 1) {
                (Some(b','), 1) => {
                    at = key_end(text, space_end(text, at + 1))?;
                    break;
                }
                (Some(b','), _) => {
                    at += 1;
                    break;
                }
                (Some(b'}'), 1) | (Some(b']'), 0) => {
                    at += 1;
                    depth -= 1;
                    objects >>= 1;
                }
                _ => return Err(Malformed::Syntax),
            }
        }
    }
}

/// The index of the first byte at or after `at` that is not whitespace.
#[inline]
pub(super) fn space_end(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// The index just past the string whose opening quote is at `at`.
#[inline]
pub(super) fn string_end(text: &[u8], at: usize) -> Result<usize, Malformed> {
    if text.get(at) != Some(&b'"') {
        return Err(Malformed::Syntax);
    }
    let mut at = at + 1;
    loop {
        at += plain_len(&text[at..]);
        match (text.get(at), text.get(at + 1)) {
            (Some(b'"'), _) => return Ok(at + 1),
            (Some(b'\\'), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => at += 2,
            (Some(b'\\'), Some(b'u')) => match text.get(at + 2..at + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return Err(Malformed::Syntax),
            },
            _ => return Err(Malformed::Syntax),
        }
    }
}

/// How many bytes at the front can stand in a JSON string as they are: no quote, no backslash, no control.
///
/// Eight at a time. A subtraction that borrows can mark a byte above a marked one by mistake, never one below
/// it, and only the lowest mark is read.
#[inline]
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (EACH * u64::from(b'"'));
        let backslash = word ^ (EACH * u64::from(b'\\'));
        let marks = (quote.wrapping_sub(EACH) & !quote)
            | (backslash.wrapping_sub(EACH) & !backslash)
            | (word.wrapping_sub(EACH * 0x20) & !word);
        let marks = marks & (EACH << 7);
        if marks != 0 {
            return index * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    let special = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
    words.len() * 8 + special.unwrap_or(rest.len())
}

/// The index just past the colon of the key that begins at `at`.
#[inline]
fn key_end(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let at = space_end(text, string_end(text, at)?);
    if text.get(at) == Some(&b':') { Ok(at + 1) } else { Err(Malformed::Syntax) }
}

#[inline]
fn number_end(text: &[u8], mut at: usize) -> Result<usize, Malformed> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = if text.get(at) == Some(&b'0') { at + 1 } else { digits_end(text, at)? };
    if text.get(at) == Some(&b'.') {
        at = digits_end(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits_end(text, at)?;
    }
    Ok(at)
}

/// The index just past at least one digit.
#[inline]
fn digits_end(text: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut at = start;
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    if at > start { Ok(at) } else { Err(Malformed::Syntax) }
}

#[inline]
fn word_end(text: &[u8], at: usize, word: &[u8]) -> Result<usize, Malformed> {
    if text[at..].starts_with(word) { Ok(at + word.len()) } else { Err(Malformed::Syntax) }
}

/// A one in each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether the whole of `text` is one value, by us.
    fn is_value(text: &[u8]) -> bool {
        judge(text).is_ok()
    }

    #[test]
    fn a_value_is_judged_to_its_end_and_64_deep() {
        let nested = |depth: usize| format!(" {}{} ", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(judge(nested(64).as_bytes()), Ok(()));
        assert_eq!(judge(nested(65).as_bytes()), Err(Malformed::TooDeep));
        assert_eq!(judge(b"1 2"), Err(Malformed::Syntax));
    }

    #[test]
    fn every_form_of_value_ends_where_it_ends() {
        for text in [
            "null",
            "true",
            "false",
            "0",
            "-0",
            "12.50e+10",
            "1E5",
            r#""""#,
            r#""a\"b\\\u00e9""#,
            "[]",
            "{}",
            "[ ]",
            "[1,[2],{}]",
            "{\"a\" : [ {} , null ]\n}",
        ] {
            assert_eq!(value_end(text.as_bytes(), 0, 64), Ok(text.len()), "{text}");
            let followed = format!(" \t\r\n{text},");
            assert_eq!(value_end(followed.as_bytes(), 0, 64), Ok(4 + text.len()), "{text}");
        }
    }

    #[test]
    fn what_is_legal_but_awkward_is_legal() {
        for text in [
            "1e999",
            "-1e999",
            "123456789012345678901234567890123456789012345678901234567890",
            "0.000000000000000000000000000000000000000000000000000000000001e-999999999999",
            r#""\ud800""#,
            r#"{"a":1,"a":2}"#,
            r#"{"\u0061":"\u0000"}"#,
            "\"\u{7f}\u{2028}\"",
        ] {
            assert!(is_value(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_the_grammar_lacks_is_refused() {
        for text in [
            "",
            " ",
            "nul",
            "True",
            "01",
            "-",
            "-01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "0x1",
            "NaN",
            "Infinity",
            "[",
            "]",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "{\"a\":1]",
            "{",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\" 1}",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\",
            "\"a\nb\"",
            "\"\t\"",
            "'a'",
            "// a",
            "[1]//",
            "\u{feff}1",
            "\u{a0}1",
            "[[]",
            "1 1",
            "{}{}",
            "\"\0\"",
            "\x0c1",
        ] {
            assert!(!is_value(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn the_depth_that_is_allowed_is_the_depth_that_is_reached() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth| open.repeat(depth) + "1" + &close.repeat(depth);
            assert!(is_value(nested(64).as_bytes()));
            assert_eq!(value_end(nested(65).as_bytes(), 0, 64), Err(Malformed::TooDeep));
            assert_eq!(value_end(open.repeat(1_000_000).as_bytes(), 0, 64), Err(Malformed::TooDeep));
            assert_eq!(value_end(nested(4).as_bytes(), 0, 3), Err(Malformed::TooDeep));
        }
        assert_eq!(value_end(b"[[]]", 0, 1), Err(Malformed::TooDeep));
        assert_eq!(value_end(b"[[],[]]", 0, 2), Ok(7));
    }

    #[test]
    fn a_special_byte_is_found_wherever_it_stands() {
        for len in 0..40 {
            for at in 0..len {
                for special in [0, 1, 0x1f, b'"', b'\\'] {
                    let mut bytes = vec![0x80_u8; len];
                    bytes[at] = special;
                    assert_eq!(plain_len(&bytes), at);
                    bytes[at..].fill(special);
                    assert_eq!(plain_len(&bytes), at);
                }
            }
            for ordinary in [0x20, b'!', b'#', b'[', b']', 0x7f, 0x9f, 0xa2, 0xdc, 0xff] {
                assert_eq!(plain_len(&vec![ordinary; len]), len);
            }
        }
    }

    /// Text that is nearly JSON: its tokens in any order.
    fn nearly_json() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "1",
            "-",
            "0",
            ".",
            "e",
            "+",
            "9",
            "\"",
            "\"a\"",
            "\\",
            "\\n",
            "\\u",
            "00e9",
            "\\ud83d\\ude00",
            "true",
            "false",
            "null",
            "tru",
            "é",
            "\u{1}",
            "\"a\":",
            "{\"b\":",
            "[]",
            "{}",
        ]);
        prop::collection::vec(token, 0..14).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        // `RawValue` keeps serde_json's view of the grammar and leaves numbers and surrogates alone, as we do.
        #[test]
        fn we_accept_what_serde_json_accepts(text in nearly_json()) {
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(is_value(text.as_bytes()), theirs);
        }

        // The other way round it is not so: see the heading.
        #[test]
        fn whatever_simd_json_accepts_we_accept(text in nearly_json()) {
            if simd_json::to_tape(&mut text.clone().into_bytes()).is_ok() {
                prop_assert!(is_value(text.as_bytes()));
            }
        }

        #[test]
        fn any_bytes_at_all_end_in_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = value_end(&bytes, 0, 64);
        }
    }
}

//! The language in which `tests/hostile` writes bytes down; its README explains the words.

use super::{MASK, client_frame, masked};

/// The bytes that a `send` line stands for.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut rest = text;
    let mut bytes = Vec::new();
    while !rest.is_empty() {
        bytes.extend(piece(&mut rest, false));
    }
    bytes
}

/// Bytes up to the parenthesis that closes, which is taken, too.
fn inside(rest: &mut &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !rest.starts_with(')') {
        assert!(!rest.is_empty(), "a parenthesis is missing");
        bytes.extend(piece(rest, true));
    }
    *rest = &rest[1..];
    bytes
}

/// One character, escape or word with its parenthesis.
fn piece(rest: &mut &str, nested: bool) -> Vec<u8> {
    if let Some(after) = rest.strip_prefix("repeat(") {
        let (times, after) = after.split_once(',').expect("repeat(N,...)");
        *rest = after;
        return inside(rest).repeat(times.parse().expect("repeat(N,...)"));
    }
    if let Some(after) = rest.strip_prefix("mask(") {
        *rest = after;
        return [MASK.as_slice(), &masked(&inside(rest))].concat();
    }
    if let Some(after) = rest.strip_prefix("text(") {
        *rest = after;
        return client_frame(0x81, &inside(rest));
    }
    let mut characters = rest.chars();
    let bytes = match characters.next().expect("a character") {
        '\\' => vec![escape(&mut characters)],
        ')' if nested => unreachable!("`inside` takes it"),
        plain => plain.to_string().into_bytes(),
    };
    *rest = characters.as_str();
    bytes
}

fn escape(characters: &mut std::str::Chars<'_>) -> u8 {
    match characters.next() {
        Some('r') => b'\r',
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('\\') => b'\\',
        Some(')') => b')',
        Some('x') => {
            let digits: String = characters.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
        }
        other => panic!("an escape that is not known: {other:?}"),
    }
}

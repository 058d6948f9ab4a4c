//! Fuzz body: paths, and what two readers make of their normal form.

use super::super::path::normal_path;
use super::super::percent::percent_decode;

/// A path: its normal form, if it has one, is its own, and reads alike for who decodes before and who decodes after taking
/// it apart.
pub fn path(input: &[u8]) {
    let visible = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'?');
    let Some(rest) = str::from_utf8(input).ok().filter(|_| input.iter().all(visible)) else { return };
    let path = format!("/{rest}");
    let Ok(normal) = normal_path(&path) else { return };
    assert_eq!(normal_path(&normal).as_deref(), Ok(&*normal), "of {path}");
    assert!(normal.starts_with('/') && !normal.contains("//") && !normal.contains('\\'), "{normal}");
    assert!(normal.bytes().all(|byte| visible(&byte)), "{normal}");
    for escape in normal.match_indices('%').map(|(at, _)| &normal[at..at + 3]) {
        let byte = u8::from_str_radix(&escape[1..], 16).expect("two digits");
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        assert!(!unreserved && byte != 0 && byte != b'\\' && escape == escape.to_uppercase(), "{escape}");
    }
    let before: Vec<&str> = normal.split('/').collect();
    assert!(!before.iter().any(|segment| matches!(*segment, "." | "..")), "{normal}");
    if let Some(decoded) = percent_decode(&normal) {
        let names = decoded.split('/').map(|segment| segment.split([';', '?', '#']).next());
        assert!(!names.flatten().any(|name| matches!(name, "." | "..")), "{normal}");
    }
    // Nothing but spelling was changed where there was nothing to resolve.
    if let Some(plain) = percent_decode(&path)
        && !plain.contains("//")
        && !plain.contains("/.")
    {
        assert_eq!(percent_decode(&normal), Some(plain), "of {path}");
    }
}

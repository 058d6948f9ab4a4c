//! The spans of a top-level object: which keys a message has, and where their values lie.
//!
//! One pass judges the whole message by the grammar and remembers where each value began and ended. It must
//! not decode a value, nor decide what a key is for.

use super::value::{space_end, string_end, value_end};
use smallvec::SmallVec;
use std::{error, fmt};

/// A whole, well-formed JSON text that is an object, taken apart one level deep.
#[derive(Debug)]
pub struct Object<'a> {
    members: SmallVec<[Member<'a>; 8]>,
}

impl<'a> Object<'a> {
    /// Takes `text` apart, which is the whole message and valid UTF-8.
    ///
    /// # Errors
    /// Whatever is not one object of RFC 8259 with whitespace around it; one nested deeper than [`DEPTH_MAX`],
    /// itself counted; one whose own keys are escaped, repeated, or more than [`KEYS_MAX`]. The keys of objects
    /// further in are nobody's business here.
    pub fn scan(text: &'a [u8]) -> Result<Self, Malformed> {
        let mut object = Self { members: SmallVec::new() };
        let mut at = space_end(text, 0);
        if text.get(at) != Some(&b'{') {
            return Err(Malformed::NotAnObject);
        }
        at = space_end(text, at + 1);
        if text.get(at) == Some(&b'}') {
            at += 1;
        } else {
            loop {
                at = object.take_member(text, at)?;
                match text.get(at) {
                    Some(b',') => at = space_end(text, at + 1),
                    Some(b'}') => break at += 1,
                    _ => return Err(Malformed::Syntax),
                }
            }
        }
        if space_end(text, at) == text.len() { Ok(object) } else { Err(Malformed::Syntax) }
    }

    /// The value under `key` as it was sent, without the whitespace around it.
    pub fn value(&self, key: &str) -> Option<&'a [u8]> {
        self.members.iter().find(|member| member.key == key.as_bytes()).map(|member| member.value)
    }

    /// Takes the member whose key begins at `at`; the index of what follows it and its whitespace.
    fn take_member(&mut self, text: &'a [u8], at: usize) -> Result<usize, Malformed> {
        let key_end = string_end(text, at)?;
        let key = &text[at + 1..key_end - 1];
        let colon = space_end(text, key_end);
        if text.get(colon) != Some(&b':') {
            return Err(Malformed::Syntax);
        }
        if key.contains(&b'\\') {
            return Err(Malformed::EscapedKey);
        }
        if self.members.iter().any(|member| member.key == key) {
            return Err(Malformed::DuplicateKey);
        }
        if self.members.len() == KEYS_MAX {
            return Err(Malformed::TooManyKeys);
        }
        let start = space_end(text, colon + 1);
        let end = value_end(text, start, DEPTH_MAX - 1)?;
        self.members.push(Member { key, value: &text[start..end] });
        Ok(space_end(text, end))
    }
}

/// What keeps a text from being an [`Object`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The text breaks the grammar of RFC 8259.
    Syntax,
    /// More than [`DEPTH_MAX`] arrays and objects are open at once.
    TooDeep,
    /// The text is some other JSON value, or none.
    NotAnObject,
    /// A top-level key is written with an escape, so two readers may differ over what it says.
    EscapedKey,
    /// A top-level key stands twice, so two readers may differ over which of them counts.
    DuplicateKey,
    /// There are more than [`KEYS_MAX`] top-level keys.
    TooManyKeys,
}

impl Malformed {
    /// What is wrong, in words for the sender.
    pub fn message(self) -> &'static str {
        match self {
            Self::Syntax => "the message is not well-formed JSON",
            Self::TooDeep => "the message is nested more than 64 deep",
            Self::NotAnObject => "the message is not a JSON object",
            Self::EscapedKey => "a key of the message is written with an escape",
            Self::DuplicateKey => "a key of the message stands twice",
            Self::TooManyKeys => "the message has more than 32 keys",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl error::Error for Malformed {}

/// Most arrays and objects that may be open at once, the top-level object among them.
pub const DEPTH_MAX: u32 = 64;

/// Most keys of a top-level object. Each is compared with those before it, so their number has to have a bound;
/// no message of ours has more than five.
pub const KEYS_MAX: usize = 32;

/// A key without its quotes and the value as it was sent.
#[derive(Debug)]
struct Member<'a> {
    key: &'a [u8],
    value: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> Malformed {
        Object::scan(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn values_are_the_bytes_that_were_sent_without_the_whitespace_around_them() {
        let text = b" {\t\"a\" :\n {\"x\" : [ 1.0e0 ] } ,\"b\":\"\\u0062\\/\" , \"\xc3\xa9\":null\r\n}\n";
        let object = Object::scan(text).expect("well-formed");
        assert_eq!(object.value("a"), Some(&br#"{"x" : [ 1.0e0 ] }"#[..]));
        assert_eq!(object.value("b"), Some(&br#""\u0062\/""#[..]));
        assert_eq!(object.value("\u{e9}"), Some(&b"null"[..]));
        assert_eq!(object.value("x"), None);
        assert!(Object::scan(b"{}").expect("an object").members.is_empty());
        assert!(Object::scan(b" { } ").expect("an object").members.is_empty());
    }

    #[test]
    fn a_key_that_two_readers_could_read_differently_is_refused() {
        assert_eq!(refusal(r#"{"a":1,"b":2,"a":1}"#), Malformed::DuplicateKey);
        assert_eq!(refusal(r#"{"\u0061":1}"#), Malformed::EscapedKey);
        assert_eq!(refusal(r#"{"a\n":1}"#), Malformed::EscapedKey);
        assert!(Object::scan(br#"{"a":{"b":1,"b":2,"\u0062":3},"A":1}"#).is_ok());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", " ", "[]", "1", "\"{}\"", "null", "\u{feff}{}", "}"] {
            assert_eq!(refusal(text), Malformed::NotAnObject);
        }
    }

    #[test]
    fn every_cut_of_a_message_is_refused() {
        let text = r#"{"type":"broadcast","room":"r","payload":[1,{"a":"\u00e9"},null,-1.5e3]}"#;
        assert!(Object::scan(text.as_bytes()).is_ok());
        for end in 1..text.len() {
            assert_eq!(refusal(&text[..end]), Malformed::Syntax);
        }
        assert_eq!(refusal(&format!("{text}{{}}")), Malformed::Syntax);
        assert_eq!(refusal(&format!("{text},")), Malformed::Syntax);
        assert_eq!(refusal(&format!("{text}\0")), Malformed::Syntax);
    }

    #[test]
    fn the_thirty_third_key_and_the_sixty_fifth_bracket_are_too_many() {
        let keys = |count| (0..count).map(|key| format!("\"{key}\":0")).collect::<Vec<_>>().join(",");
        assert!(Object::scan(format!("{{{}}}", keys(32)).as_bytes()).is_ok());
        assert_eq!(refusal(&format!("{{{}}}", keys(33))), Malformed::TooManyKeys);
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(Object::scan(nested(64).as_bytes()).is_ok());
        assert_eq!(refusal(&nested(65)), Malformed::TooDeep);
    }

    /// An object whose parts are nearly right.
    fn nearly_an_object() -> impl Strategy<Value = String> {
        let key = prop::sample::select(vec!["a", "b", "c\u{e9}", "", "\\n", "type"]);
        let value = prop::sample::select(vec![
            "1",
            "\"x\"",
            "[ ]",
            "{\"a\":1,\"a\":2}",
            "",
            "[1",
            "nul",
            "1e999",
            "\"\\ud800\"",
        ]);
        let space = prop::sample::select(vec!["", " ", "\n\t", "\u{b}"]);
        let member = (key, value, space)
            .prop_map(|(key, value, space)| format!("{space}\"{key}\"{space}:{space}{value}"));
        prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(",")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        // The documented differences: escaped and repeated keys, which serde_json takes.
        #[test]
        fn we_accept_what_serde_json_accepts_but_for_ambiguous_keys(text in nearly_an_object()) {
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            match Object::scan(text.as_bytes()) {
                Ok(_) => prop_assert!(theirs),
                Err(Malformed::EscapedKey | Malformed::DuplicateKey) => {}
                Err(_) => prop_assert!(!theirs),
            }
        }

        #[test]
        fn each_value_is_the_span_that_serde_json_finds(numbers in prop::collection::vec(any::<f64>(), 0..6)) {
            let members: Vec<_> = numbers.iter().enumerate().map(|(key, value)| format!("\"{key}\" : [ {value:?}]")).collect();
            let text = format!("{{ {} }}", members.join(" , ")).replace("NaN", "0").replace("inf", "0");
            let object = Object::scan(text.as_bytes()).expect("well-formed");
            let theirs: std::collections::BTreeMap<&str, &serde_json::value::RawValue> =
                serde_json::from_str(&text).expect("well-formed");
            prop_assert_eq!(object.members.len(), theirs.len());
            for (key, value) in theirs {
                prop_assert_eq!(object.value(key), Some(value.get().as_bytes()));
            }
        }
    }
}

//! Patterns of room names, as a room rule or a token's `rooms` claim writes them.
//!
//! Pure text: knows no rule and no identity beyond the name it is handed. A name is only ever compared, never
//! read as a pattern itself.

use std::fmt;

/// A pattern: literal text, in which `{user}` may stand once and `*` at the very end.
///
/// `*` matches the rest of the name, which may be empty: `chat:*` matches `chat:lobby` and `chat:`. There is no
/// way to write a literal `*`, `{` or `}`: rooms with such names are reached by a `*` only.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    /// The literal in front of `{user}`, or all there is without it.
    before: Box<str>,
    /// The literal behind `{user}`, if that stands in the pattern.
    after: Option<Box<str>>,
    rest: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`BadPattern`] if `text` is empty, longer than 1024 bytes, has a control character, a `*` before its end,
    /// `{user}` twice, or another brace.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() || text.len() > PATTERN_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(BadPattern);
        }
        let (body, rest) = match text.strip_suffix('*') {
            Some(body) => (body, true),
            None => (text, false),
        };
        let (before, after) = match body.split_once(USER) {
            Some((before, after)) => (before, Some(after)),
            None => (body, None),
        };
        let special = |literal: &str| literal.contains(['*', '{', '}']);
        if special(before) || after.is_some_and(special) {
            return Err(BadPattern);
        }
        Ok(Self { text: text.into(), before: before.into(), after: after.map(Into::into), rest })
    }

    /// Whether `room` is named by this pattern with `user` in the place of `{user}`, compared exactly. Somebody
    /// without a name (`None`, or an empty one) is never the user.
    pub fn matches(&self, room: &str, user: Option<&str>) -> bool {
        let Some(mut left) = room.strip_prefix(&*self.before) else { return false };
        if let Some(after) = &self.after {
            let user = user.filter(|user| !user.is_empty());
            let behind = user.and_then(|user| left.strip_prefix(user));
            let Some(behind) = behind.and_then(|behind| behind.strip_prefix(&**after)) else { return false };
            left = behind;
        }
        self.rest || left.is_empty()
    }

    /// Whether `room` is named by this pattern with somebody's name, of one character at least, in the place of
    /// `{user}`. This chooses the rule of a room: were it chosen by [`Pattern::matches`], one user's `user:{user}`
    /// would fall through to a later `*` for everybody else.
    pub fn covers(&self, room: &str) -> bool {
        let Some(left) = room.strip_prefix(&*self.before) else { return false };
        let Some(after) = &self.after else { return self.rest || left.is_empty() };
        let Some(first) = left.chars().next() else { return false };
        let behind_first = &left[first.len_utf8()..];
        if self.rest { behind_first.contains(&**after) } else { behind_first.ends_with(&**after) }
    }

    /// Whether `{user}` stands in the pattern.
    pub fn names_user(&self) -> bool {
        self.after.is_some()
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every room that `later` covers is covered by this pattern; may miss some, never says so wrongly.
    pub(super) fn shadows(&self, later: &Self) -> bool {
        let whole = self.rest && self.after.is_none() && later.before.starts_with(&*self.before);
        whole || self == later
    }
}

/// A text that is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPattern;

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PATTERN_FORM)
    }
}

impl std::error::Error for BadPattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a pattern is, for whoever wrote another thing.
pub(super) const PATTERN_FORM: &str =
    "a pattern is 1 to 1024 bytes of text, with {user} once at most and * only at the end";

const USER: &str = "{user}";
/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect(text)
    }

    #[test]
    fn a_literal_matches_itself_and_nothing_else() {
        let lobby = pattern("lobby");
        for user in [None, Some("lobby"), Some("")] {
            assert!(lobby.matches("lobby", user));
            assert!(!lobby.matches("lobby2", user));
            assert!(!lobby.matches("lobb", user));
            assert!(!lobby.matches("", user));
        }
    }

    #[test]
    fn a_star_matches_the_rest_even_an_empty_one() {
        assert!(pattern("chat:*").matches("chat:lobby", None));
        assert!(pattern("chat:*").matches("chat:", None));
        assert!(!pattern("chat:*").matches("chat", None));
        assert!(pattern("*").matches("", None));
        assert!(pattern("*").matches("any * {thing}", None));
    }

    #[test]
    fn user_is_the_identity_compared_exactly() {
        let own = pattern("user:{user}");
        assert!(own.matches("user:ada", Some("ada")));
        assert!(!own.matches("user:ada", Some("Ada")));
        assert!(!own.matches("user:ada2", Some("ada")));
        assert!(!own.matches("user:ad", Some("ada")));
        assert!(pattern("u:{user}:*").matches("u:ada:inbox", Some("ada")));
        assert!(!pattern("u:{user}:*").matches("u:adam:inbox", Some("ada")));
        assert!(pattern("{user}").matches("ada", Some("ada")));
    }

    #[test]
    fn a_name_never_acts_as_a_pattern() {
        let own = pattern("user:{user}");
        for name in ["*", "{user}", "{", "a*", ""] {
            assert!(!own.matches("user:ada", Some(name)), "{name:?} passed for ada");
        }
        assert!(own.matches("user:*", Some("*")));
        assert!(own.matches("user:{user}", Some("{user}")));
    }

    #[test]
    fn somebody_without_a_name_is_never_the_user() {
        for room in ["user:", "user:{user}", "user:anonymous", "user:None"] {
            assert!(!pattern("user:{user}").matches(room, None));
            assert!(!pattern("user:{user}").matches(room, Some("")));
            assert!(!pattern("user:{user}*").matches(room, None));
        }
    }

    #[test]
    fn covering_asks_for_some_name_in_the_place_of_the_user() {
        assert!(pattern("user:{user}").covers("user:ada"));
        assert!(pattern("user:{user}").covers("user:é"));
        assert!(!pattern("user:{user}").covers("user:"));
        assert!(!pattern("user:{user}").covers("users:ada"));
        assert!(pattern("u:{user}:in").covers("u:ada:in"));
        assert!(!pattern("u:{user}:in").covers("u::in"));
        assert!(!pattern("u:{user}:in").covers("u:ada:inbox"));
        assert!(pattern("u:{user}:*").covers("u:ada:inbox"));
        assert!(pattern("u:{user}:*").covers("u:::"));
        assert!(!pattern("u:{user}:*").covers("u:ada"));
        assert!(pattern("*").covers(""));
        assert!(!pattern("lobby").covers("lobby2"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = "a".repeat(1025);
        for text in ["", "a*b", "**", "*a", "{room}", "{user", "user}", "{}", "{user}{user}", "a\nb", &long] {
            assert_eq!(Pattern::parse(text), Err(BadPattern), "{text:?}");
        }
        assert_eq!(pattern(&"a".repeat(1024)).as_str().len(), 1024);
    }

    #[test]
    fn a_wider_pattern_shadows_a_later_one() {
        assert!(pattern("*").shadows(&pattern("user:{user}")));
        assert!(pattern("chat:*").shadows(&pattern("chat:a")));
        assert!(pattern("chat:*").shadows(&pattern("chat:*")));
        assert!(pattern("a").shadows(&pattern("a")));
        assert!(!pattern("chat:a").shadows(&pattern("chat:*")));
        assert!(!pattern("user:{user}").shadows(&pattern("user:*")));
        assert!(!pattern("chat:a*").shadows(&pattern("chat:{user}")));
    }

    proptest::proptest! {
        #[test]
        fn a_room_that_matches_for_somebody_is_covered(
            text in "[ab:]{0,3}(\\{user\\})?[ab:]{0,3}\\*?", room in "[ab:]{0,8}", user in "[ab:]{0,3}",
        ) {
            if let Ok(pattern) = Pattern::parse(&text) {
                proptest::prop_assert!(!pattern.matches(&room, Some(&user)) || pattern.covers(&room));
            }
        }

        #[test]
        fn a_shadowed_pattern_covers_nothing_more(
            wide in "[ab]{0,2}(\\{user\\})?[ab]{0,2}\\*?", later in "[ab]{0,3}(\\{user\\})?[ab]{0,2}\\*?",
            room in "[ab]{0,8}",
        ) {
            if let (Ok(wide), Ok(later)) = (Pattern::parse(&wide), Pattern::parse(&later)) {
                proptest::prop_assert!(!wide.shadows(&later) || !later.covers(&room) || wide.covers(&room));
            }
        }
    }
}

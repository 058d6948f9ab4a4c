//! What a key is: its row of the table, the form of its value, and how a given value is put where it belongs.
//!
//! Knows no particular key, no place in a file and no complaint but "this is what is allowed".

use std::time::Duration;

use toml::de::DeValue;

use super::value::{parse_duration, parse_size, show_duration, show_size};

/// One key.
pub(super) struct Key<T: 'static> {
    pub(super) name: &'static str,
    pub(super) kind: Kind<T>,
    /// As TOML; `""` for a text is the empty text, and [`REQUIRED`] means that there is none.
    pub(super) default: &'static str,
    pub(super) help: &'static str,
    /// What happens to whoever comes to the limit; empty for a key that is none.
    pub(super) past: &'static str,
}

/// The form of a value, and where it goes.
pub(super) enum Kind<T: 'static> {
    Size(u64, u64, fn(&mut T, u64)),
    /// Milliseconds.
    Duration(u64, u64, fn(&mut T, Duration)),
    Count(u64, u64, fn(&mut T, u64)),
    Word(&'static [&'static str], fn(&mut T, &str)),
    Text(&'static str, Set<T>),
    /// A text that is never shown.
    Secret(&'static str, Set<T>),
    /// What an item is; how many at most; what empties the list; what adds an item.
    List(&'static str, usize, fn(&mut T), Set<T>),
    /// A list whose items are never shown.
    Secrets(&'static str, usize, fn(&mut T), Set<T>),
    /// What a table of keys looks like, and the keys; those that are not given have their defaults.
    Fields(&'static str, &'static [Key<T>]),
}

/// Sets a value from a text; false if the text has not the form.
pub(super) type Set<T> = fn(&mut T, &str) -> bool;

/// A value as file or environment give it.
pub(super) enum Given<'a> {
    Text(&'a str),
    /// `None`: a number that is negative or beyond 64 bits.
    Number(Option<u64>),
    /// `None`: an item that is no text.
    List(Vec<Option<&'a str>>),
    Table(Vec<(&'a str, Given<'a>)>),
    Other,
}

/// Why a value was not taken: what is allowed, for the whole of it or for some items.
pub(super) enum Wrong {
    Whole(String),
    Items(Vec<(usize, &'static str)>),
}

impl<T> Key<T> {
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret(..) | Kind::Secrets(..))
    }

    /// Puts `given` where it belongs. After `Err` the target holds its former value, or the good items of
    /// a list, or some fields of a table.
    pub(super) fn set(&self, target: &mut T, given: &Given<'_>) -> Result<(), Wrong> {
        let taken = match (&self.kind, given) {
            (Kind::Size(min, max, set), Given::Text(text)) => {
                let size = parse_size(text).ok_or_else(|| Wrong::Whole(SIZE_FORM.to_owned()))?;
                in_range(size, *min, *max).map(|size| set(target, size)).is_some()
            }
            (Kind::Size(..), _) => return Err(Wrong::Whole(SIZE_FORM.to_owned())),
            (Kind::Duration(min, max, set), Given::Text(text)) => {
                let time = parse_duration(text).ok_or_else(|| Wrong::Whole(DURATION_FORM.to_owned()))?;
                let in_range = (Duration::from_millis(*min)..=Duration::from_millis(*max)).contains(&time);
                in_range.then(|| set(target, time)).is_some()
            }
            (Kind::Duration(..), _) => return Err(Wrong::Whole(DURATION_FORM.to_owned())),
            (Kind::Count(min, max, set), Given::Number(Some(number))) => {
                in_range(*number, *min, *max).map(|number| set(target, number)).is_some()
            }
            (Kind::Word(words, set), Given::Text(text)) => {
                words.contains(text).then(|| set(target, text)).is_some()
            }
            (Kind::Text(_, set) | Kind::Secret(_, set), Given::Text(text)) => set(target, text),
            (
                Kind::List(form, max, clear, set) | Kind::Secrets(form, max, clear, set),
                Given::List(items),
            ) => {
                if items.len() > *max {
                    return Err(Wrong::Whole(self.kind.allowed()));
                }
                clear(target);
                let mut wrong = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    if !item.is_some_and(|item| set(target, item)) {
                        wrong.push((at, *form));
                    }
                }
                return if wrong.is_empty() { Ok(()) } else { Err(Wrong::Items(wrong)) };
            }
            (Kind::Fields(_, keys), Given::Table(fields)) => return self.set_fields(target, keys, fields),
            _ => false,
        };
        if taken { Ok(()) } else { Err(Wrong::Whole(self.kind.allowed())) }
    }

    /// Puts the fields of a table where they belong.
    fn set_fields(&self, target: &mut T, keys: &[Self], fields: &[(&str, Given<'_>)]) -> Result<(), Wrong> {
        keys.iter().for_each(|key| key.set_default(target));
        for (name, given) in fields {
            let key = keys.iter().find(|key| key.name == *name);
            let key = key.ok_or_else(|| Wrong::Whole(self.kind.allowed()))?;
            key.set(target, given).map_err(|_| Wrong::Whole(self.kind.allowed()))?;
        }
        Ok(())
    }

    /// Puts the default where it belongs.
    pub(super) fn set_default(&self, target: &mut T) {
        let default = DeValue::parse(self.default).expect("a default is TOML: a test builds them all");
        let set = self.set(target, &Given::of(default.get_ref()));
        assert!(set.is_ok(), "the default of {} has its own form: a test builds them all", self.name);
    }
}

impl<T: 'static> Kind<T> {
    /// What is allowed, as a sentence of a complaint or a cell of the page.
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Size(min, max, _) => format!("a size from {} to {}", show_size(*min), show_size(*max)),
            Self::Duration(min, max, _) => {
                let show = |ms: &u64| show_duration(Duration::from_millis(*ms));
                format!("a duration from {} to {}", show(min), show(max))
            }
            Self::Count(min, max, _) => format!("a number from {min} to {max}"),
            Self::Word(words, _) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("one of {}", quoted.join(", "))
            }
            Self::Text(form, _) | Self::Secret(form, _) => (*form).to_owned(),
            Self::List(form, max, ..) | Self::Secrets(form, max, ..) => {
                format!("a list such as [\"a\", \"b\"] of at most {max}; {form}")
            }
            Self::Fields(form, keys) => {
                let fields: Vec<String> =
                    keys.iter().map(|key| format!("{} is {}", key.name, key.kind.allowed())).collect();
                format!("a table such as {form}; {}", fields.join(", "))
            }
        }
    }
}

impl<'a> Given<'a> {
    /// The value of a file, as far as keys take such.
    pub(super) fn of(value: &'a DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text),
            DeValue::Integer(number) => {
                Self::Number(u64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Array(items) => Self::List(items.iter().map(|item| item.get_ref().as_str()).collect()),
            DeValue::Table(table) => {
                let fields = table.iter();
                Self::Table(
                    fields.map(|(name, value)| (&**name.get_ref(), Self::of(value.get_ref()))).collect(),
                )
            }
            _ => Self::Other,
        }
    }
}

fn in_range(number: u64, min: u64, max: u64) -> Option<u64> {
    (min..=max).contains(&number).then_some(number)
}

/// In the place of a default, that there is none.
pub(super) const REQUIRED: &str = "";

const SIZE_FORM: &str = "a size is a number and B, KiB, MiB or GiB";
const DURATION_FORM: &str = "a duration is a number and ms, s, m or h";

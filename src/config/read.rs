//! The walk: a TOML tree and the variables over it, key by key through the table, gathering complaints.
//!
//! Never stops at the first complaint. Judges each key alone; what ties keys together is `check`'s, and is left
//! out where the syntax is broken, since what seems to be missing may stand in the part that cannot be read.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::{Complaint, Complaints, Place, excerpt, meant};
use super::key::{Given, Key, Kind, REQUIRED, Wrong};
use super::schema::{Draft, Item, Keys, SECTIONS, Section};
use super::{Config, check};

/// Reads `text`, that of the file `name`, over the defaults and `env` over both. `open` reads a secret's file.
pub(super) fn read(
    text: &str,
    name: Option<String>,
    env: impl IntoIterator<Item = (String, String)>,
    open: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Config, Complaints> {
    let mut reader = Reader::new(text);
    let (tree, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map_or(1, |span| reader.line_of(span.start));
        if !reader.broken.contains(&line) {
            reader.broken.push(line);
            reader.complain(Place::Line(line), format!("not TOML: {}", error.message()));
        }
    }
    reader.read_file(tree.get_ref());
    reader.read_variables(env);
    if errors.is_empty() {
        check::check(&mut reader, open);
    }
    if reader.complaints.is_empty() {
        Ok(reader.draft.config)
    } else {
        Err(Complaints::new(name, reader.complaints))
    }
}

/// What was read so far.
pub(super) struct Reader<'a> {
    pub(super) draft: Draft,
    text: &'a str,
    /// Where each line but the first begins.
    line_starts: Vec<usize>,
    /// Lines whose syntax is broken: what else could be said of them would only confuse.
    broken: Vec<usize>,
    /// What was set, by path: `limits.lag`, `room.0.join`.
    settings: BTreeMap<String, Setting>,
    complaints: Vec<Complaint>,
}

/// A key that was set, for complaints that come later.
struct Setting {
    place: Place,
    /// `room.join = "owner"`, or without the value where that is secret.
    shown: String,
    good: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            draft: Draft::defaults(),
            text,
            line_starts: text.match_indices('\n').map(|(at, _)| at + 1).collect(),
            broken: Vec::new(),
            settings: BTreeMap::new(),
            complaints: Vec::new(),
        }
    }

    /// Complains of the key at the first of `paths` that was set; of the file as a whole if none was.
    pub(super) fn blame(&mut self, paths: &[&str], allowed: &str) {
        let (place, text) = match paths.iter().find_map(|path| self.settings.get(*path)) {
            Some(setting) => (setting.place.clone(), format!("{}: {allowed}", setting.shown)),
            None => (Place::File, format!("{}: {allowed}", paths.first().unwrap_or(&"configuration"))),
        };
        self.complain(place, text);
    }

    /// Whether nothing was said yet against what stands at these paths.
    pub(super) fn is_good(&self, paths: &[&str]) -> bool {
        paths.iter().all(|path| self.settings.get(*path).is_none_or(|setting| setting.good))
    }

    fn complain(&mut self, place: Place, text: String) {
        self.complaints.push(Complaint { place, text });
    }

    /// Complains at a line, unless that line's syntax is at fault.
    fn complain_at(&mut self, span: &Range<usize>, text: String) {
        let line = self.line_of(span.start);
        if !self.broken.contains(&line) {
            self.complain(Place::Line(line), text);
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        1 + self.line_starts.partition_point(|start| *start <= offset)
    }

    fn source(&self, span: &Range<usize>) -> String {
        excerpt(self.text.get(span.clone()).unwrap_or_default())
    }

    fn read_file(&mut self, tree: &DeTable<'_>) {
        for (name, value) in tree {
            match Section::of(name.get_ref()) {
                Some(section) => self.read_section(section, &name.span(), value),
                None => {
                    let names = SECTIONS.iter().map(|section| section.name);
                    let text = unknown(excerpt(name.get_ref()), name.get_ref(), "the file", names.collect());
                    self.complain_at(&name.span(), text);
                }
            }
        }
    }

    fn read_section(&mut self, section: &'static Section, at: &Range<usize>, value: &Spanned<DeValue<'_>>) {
        match (&section.keys, value.get_ref()) {
            (Keys::Table(keys), DeValue::Table(table)) => self.read_table(section, keys, table),
            (Keys::Listeners(keys), DeValue::Array(items)) => {
                let items = self.read_items(section, keys, at, items);
                if items.is_empty() {
                    self.complain_at(at, "listener: at least one".to_owned());
                }
                self.draft.config.listeners = items;
            }
            (Keys::Rooms(keys), DeValue::Array(items)) => {
                self.draft.config.rooms = self.read_items(section, keys, at, items);
            }
            (Keys::Backends(keys), DeValue::Array(items)) => {
                self.draft.config.backends = self.read_items(section, keys, at, items);
            }
            (Keys::Routes(keys), DeValue::Array(items)) => {
                self.draft.config.routes = self.read_items(section, keys, at, items);
            }
            _ => self.complain_at(at, format!("{}: a section, written {}", section.name, section.head())),
        }
    }

    /// Reads a section that stands once.
    fn read_table(&mut self, section: &'static Section, keys: &'static [Key<Draft>], table: &DeTable<'_>) {
        for (name, value) in table {
            match keys.iter().find(|key| key.name == name.get_ref()) {
                Some(key) => {
                    let given = Given::of(value.get_ref());
                    let set = key.set(&mut self.draft, &given);
                    self.settle(section.name, key, value, set);
                }
                None => self.unknown_key(section, name),
            }
        }
    }

    /// Reads a section that may stand several times. There is an item for each, however bad it is, so that
    /// their numbers stay those of their paths.
    fn read_items<T: Item>(
        &mut self,
        section: &'static Section,
        keys: &'static [Key<T>],
        at: &Range<usize>,
        values: &[Spanned<DeValue<'_>>],
    ) -> Vec<T> {
        let max = section.items_max();
        if values.len() > max {
            self.complain_at(at, format!("{}: {} of them, at most {max}", section.name, values.len()));
        }
        let mut items = Vec::new();
        for value in values.iter().take(max) {
            let mut item = T::blank(keys);
            match value.get_ref() {
                DeValue::Table(table) => {
                    let prefix = format!("{}.{}", section.name, items.len());
                    for (name, value) in table {
                        match keys.iter().find(|key| key.name == name.get_ref()) {
                            Some(key) => {
                                let set = key.set(&mut item, &Given::of(value.get_ref()));
                                self.settle(&prefix, key, value, set);
                            }
                            None => self.unknown_key(section, name),
                        }
                    }
                    self.miss(section, keys, &prefix, value);
                }
                _ => {
                    let text = format!("{}: a section, written {}", section.name, section.head());
                    self.complain_at(&value.span(), text);
                }
            }
            items.push(item);
        }
        items
    }

    /// Complains of the required keys of an item that are not there.
    fn miss<T>(&mut self, section: &Section, keys: &[Key<T>], prefix: &str, item: &Spanned<DeValue<'_>>) {
        for key in keys.iter().filter(|key| key.default == REQUIRED) {
            let path = format!("{prefix}.{}", key.name);
            if !self.settings.contains_key(&path) {
                let shown = format!("{}.{}", section.name, key.name);
                if self.broken.is_empty() {
                    self.complain_at(&item.span(), format!("{shown} is missing: {}", key.kind.allowed()));
                }
                let place = Place::Line(self.line_of(item.span().start));
                self.settings.insert(path, Setting { place, shown, good: false });
            }
        }
    }

    /// Notes what became of a value of the file, given for a key of the section or item `at`.
    fn settle<T>(&mut self, at: &str, key: &Key<T>, value: &Spanned<DeValue<'_>>, set: Result<(), Wrong>) {
        let path = format!("{at}.{}", key.name);
        let section = at.split('.').next().unwrap_or(at);
        let name = format!("{section}.{}", key.name);
        let span = value.span();
        let place = Place::Line(self.line_of(span.start));
        let shown = describe(key, &name, &self.source(&span));
        let setting = Setting { place, shown, good: set.is_ok() };
        match set {
            Ok(()) => {}
            Err(Wrong::Whole(allowed)) => self.complain_at(&span, format!("{}: {allowed}", setting.shown)),
            Err(Wrong::Items(wrong)) => {
                for (at, allowed) in wrong {
                    let item = value.get_ref().get(at).map_or(span.clone(), Spanned::span);
                    let shown = describe(key, &format!("{name}[{at}]"), &self.source(&item));
                    self.complain_at(&item, format!("{shown}: {allowed}"));
                }
            }
        }
        self.settings.insert(path, setting);
    }

    fn unknown_key(&mut self, section: &Section, name: &Spanned<std::borrow::Cow<'_, str>>) {
        let shown = format!("{}.{}", section.name, excerpt(name.get_ref()));
        let text = unknown(shown, name.get_ref(), &section.head(), section.names());
        self.complain_at(&name.span(), text);
    }

    fn read_variables(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        let ours = |name: &String| name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains("__"));
        for (name, value) in env.into_iter().filter(|(name, _)| ours(name)) {
            let place = Place::Variable(name.clone());
            let known = SECTIONS.iter().find_map(|section| match section.keys {
                Keys::Table(keys) => {
                    keys.iter().find(|key| variable(section, key.name) == name).map(|key| (section, key))
                }
                _ => None,
            });
            match known {
                Some(_) if value.contains(char::REPLACEMENT_CHARACTER) => {
                    self.complain(place, "the value is not UTF-8".to_owned());
                }
                Some((section, key)) => self.read_variable(section, key, place, &value),
                None => {
                    let text = unknown_variable(&name);
                    self.complain(place, text);
                }
            }
        }
    }

    /// Reads one variable: a list is written as in TOML, everything else as it is, without quotes.
    fn read_variable(&mut self, section: &Section, key: &Key<Draft>, place: Place, value: &str) {
        let list = DeValue::parse(value);
        let given = match (&key.kind, &list) {
            (Kind::List(..) | Kind::Secrets(..), Ok(list)) => Given::of(list.get_ref()),
            (Kind::List(..) | Kind::Secrets(..), Err(_)) => Given::Other,
            (Kind::Count(..), _) => Given::Number(value.parse().ok()),
            _ => Given::Text(value),
        };
        let set = key.set(&mut self.draft, &given);
        let name = format!("{}.{}", section.name, key.name);
        let setting = Setting {
            place: place.clone(),
            shown: describe(key, &name, &format!("\"{}\"", excerpt(value))),
            good: set.is_ok(),
        };
        match set {
            Ok(()) => {}
            Err(Wrong::Whole(allowed)) => self.complain(place, format!("{}: {allowed}", setting.shown)),
            Err(Wrong::Items(wrong)) => {
                for (at, allowed) in wrong {
                    let item = match &list {
                        Ok(list) => list.get_ref().get(at).and_then(|item| value.get(item.span())),
                        Err(_) => None,
                    };
                    let shown = describe(key, &format!("{name}[{at}]"), &excerpt(item.unwrap_or(value)));
                    self.complain(place.clone(), format!("{shown}: {allowed}"));
                }
            }
        }
        self.settings.insert(name, setting);
    }
}

/// A key with its value, if that may be seen.
fn describe<T>(key: &Key<T>, name: &str, value: &str) -> String {
    if key.is_secret() { name.to_owned() } else { format!("{name} = {value}") }
}

/// The variable that sets a key.
pub(super) fn variable(section: &Section, key: &str) -> String {
    format!("{PREFIX}{}__{}", section.name.to_ascii_uppercase(), key.to_ascii_uppercase())
}

/// What to say of a name that nothing has.
fn unknown(shown: String, name: &str, place: &str, names: Vec<&'static str>) -> String {
    let elsewhere = SECTIONS.iter().find(|section| section.names().contains(&name));
    let hint = match (elsewhere, meant(name, names.iter().copied())) {
        (Some(section), _) => format!("{name} stands in {}; ", section.head()),
        (None, Some(meant)) => format!("did you mean {meant}? "),
        (None, None) => String::new(),
    };
    format!("{shown}: unknown key; {hint}{place} may have {}", names.join(", "))
}

fn unknown_variable(name: &str) -> String {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase();
    let (in_section, _) = rest.split_once("__").unwrap_or((&rest, ""));
    if let Some(section) = Section::of(in_section)
        && !matches!(section.keys, Keys::Table(_))
    {
        return format!("{} can stand several times, and is set in a file only", section.head());
    }
    let tables = SECTIONS.iter().filter(|section| matches!(section.keys, Keys::Table(_)));
    let known: Vec<String> = tables
        .flat_map(|section| section.names().into_iter().map(|key| format!("{}__{key}", section.name)))
        .collect();
    let hint = match meant(&rest, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {PREFIX}{}?", meant.to_ascii_uppercase()),
        None => format!("it may be {PREFIX}SECTION__KEY, with what vestibule config prints"),
    };
    format!("unknown; {hint}")
}

const PREFIX: &str = "VESTIBULE_";

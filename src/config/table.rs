//! A table of the file as a cursor: each key is taken once, what is wrong with it is reported, and reading goes on.
#![deny(clippy::disallowed_methods)]

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, nearest};

use super::later;
use super::tree::{Entry, Item, Value};
use super::value::{Reading, Wrong, did_you_mean, shown, text, wrong};
use super::written::{Place, Problems, Written};

/// A table whose keys are being taken.
pub(super) struct Table<'p> {
    /// Which of the schema's tables it is, names left out: `node.limits`.
    kind: &'static str,
    /// Its path as an operator writes it: `node.fra1.limits`; empty for the top.
    path: String,
    place: Place,
    entries: Vec<Entry>,
    /// The keys that were asked for.
    known: Vec<String>,
    problems: &'p Problems,
}

/// What may be written short or at length.
pub(super) enum ValueOrTable<'p, T> {
    Value(Written<T>),
    Table(Table<'p>),
}

impl<'p> Table<'p> {
    /// The top of the tree.
    pub(super) fn top(entries: Vec<Entry>, place: Place, problems: &'p Problems) -> Self {
        Self { kind: "", path: String::new(), place, entries, known: Vec::new(), problems }
    }

    /// Its place: that of its key.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the key is there; to be asked before it is taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.key_place(key).is_some()
    }

    /// The text that a key has, if it is one; to be asked before it is taken.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        match &self.entries.iter().find(|entry| entry.key == key)?.item.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Where a key stands; to be asked before it is taken.
    pub(super) fn key_place(&self, key: &str) -> Option<&Place> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.key_place)
    }

    /// Reports that a key without a default is missing; if it was only misspelt, that will be said, and is enough.
    pub(super) fn require(&self, key: &str, help: &str) {
        let is_misspelt = self.entries.iter().any(|entry| nearest(&entry.key, [key]).is_some());
        if !self.has(key) && !is_misspelt {
            let message = format!("`{key}` is missing in `{}`", self.path);
            self.problems.add(&self.place, Diagnostic::error(message).help(help));
        }
    }

    /// Refuses a key which other tables of the kind have.
    pub(super) fn forbid(&mut self, key: &'static str, message: &str, help: &str) {
        if let Some(entry) = self.take(key) {
            self.problems.add(&entry.key_place, Diagnostic::error(message).help(help));
        }
    }

    /// A value, read by one of the functions of `value` or `address`.
    pub(super) fn value<T>(&mut self, key: &'static str, read: impl Fn(&Item) -> Reading<T>) -> Option<Written<T>> {
        let entry = self.take(key)?;
        read_item(&entry.item, &read, self.problems)
    }

    /// A word of a few.
    pub(super) fn word<'a>(&mut self, key: &'static str, known: &[&'a str]) -> Option<Written<&'a str>> {
        self.value(key, |item| super::value::word(item, known))
    }

    /// A list that has at least one value.
    pub(super) fn filled_list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Item) -> Reading<T>,
    ) -> Option<Written<Vec<Written<T>>>> {
        let is_empty = |entry: &Entry| matches!(&entry.item.value, Value::Array(items) if items.is_empty());
        if let Some(entry) = self.entries.iter().find(|entry| entry.key == key && is_empty(entry)) {
            let message = format!("`{key}` is empty: it needs at least one value");
            self.problems.error(&entry.item.place, message);
        }
        self.list(key, read)
    }

    /// A list, each value read alike; wrong ones are reported and left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Item) -> Reading<T>,
    ) -> Option<Written<Vec<Written<T>>>> {
        let Entry { item, .. } = self.take(key)?;
        let Value::Array(items) = &item.value else {
            let diagnostic = wrong(&item, "a list");
            let is_one_value = matches!(item.value, Value::String(_) | Value::Integer(_));
            let help = match &item.value {
                Value::Variable(_) => Some("lists are set in the file only".to_owned()),
                _ => is_one_value.then(|| format!("write `{key} = [{}]`", item.place.text())),
            };
            self.problems.add(&item.place, diagnostic.maybe_help(help));
            return None;
        };
        let values = items.iter().filter_map(|item| read_item(item, &read, self.problems)).collect();
        Some(Written::at(&item.place, values))
    }

    /// A value, or a list of them, each read alike; wrong ones are reported and left out.
    pub(super) fn one_or_more<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Item) -> Reading<T>,
    ) -> Option<Written<Vec<Written<T>>>> {
        let is_list = |entry: &Entry| matches!(entry.item.value, Value::Array(_));
        if self.entries.iter().any(|entry| entry.key == key && is_list(entry)) {
            return self.list(key, read);
        }
        let one = self.value(key, read)?;
        Some(Written { place: one.place.clone(), value: vec![one] })
    }

    /// A table of names and texts; none if one of them is wrong.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<BTreeMap<String, String>> {
        let Some(entry) = self.take(key) else { return Some(BTreeMap::new()) };
        let entries = self.entries_of(entry.item)?;
        let pairs: Vec<_> = entries
            .into_iter()
            .map(|entry| read_item(&entry.item, &text, self.problems).map(|text| (entry.key, text.value)))
            .collect();
        pairs.into_iter().collect()
    }

    /// A table of the schema.
    pub(super) fn table(&mut self, key: &'static str, kind: &'static str) -> Option<Table<'p>> {
        let entry = self.take(key)?;
        self.table_of(entry, kind)
    }

    fn table_of(&self, entry: Entry, kind: &'static str) -> Option<Table<'p>> {
        let Entry { key, key_place, item } = entry;
        let path = self.path_of(&key);
        let entries = self.entries_of(item)?;
        Some(Table { kind, path, place: key_place, entries, known: Vec::new(), problems: self.problems })
    }

    /// A value, or several in a list.
    pub(super) fn some<T>(&mut self, key: &'static str, read: impl Fn(&Item) -> Reading<T>) -> Vec<Written<T>> {
        let is_list = |entry: &Entry| entry.key == key && matches!(entry.item.value, Value::Array(_));
        if self.entries.iter().any(is_list) {
            return self.filled_list(key, read).map(|list| list.value).unwrap_or_default();
        }
        self.value(key, read).into_iter().collect()
    }

    /// A list of tables: `[[preset.NAME.rule]]`.
    pub(super) fn tables(&mut self, key: &'static str, kind: &'static str) -> Vec<Table<'p>> {
        let Some(Entry { item, .. }) = self.take(key) else { return Vec::new() };
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let Value::Array(items) = item.value else {
            let help = format!("write `[[{path}]]` above each");
            self.problems.add(&item.place, Diagnostic::from(wrong(&item, "a list of tables")).help(help));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            let place = item.place.clone();
            let Some(entries) = self.entries_of(item) else { continue };
            tables.push(Table { kind, path: path.clone(), place, entries, known: Vec::new(), problems: self.problems });
        }
        tables
    }

    /// The values of all keys that have one of these names.
    pub(super) fn each_of<T>(
        &mut self,
        names: &[String],
        read: impl Fn(&Item) -> Reading<T>,
    ) -> Vec<(Written<String>, Written<T>)> {
        let found = names.iter().filter_map(|name| {
            let Entry { key, key_place, item } = self.take(name)?;
            let value = read_item(&item, &read, self.problems)?;
            Some((Written::at(&key_place, key), value))
        });
        found.collect()
    }

    /// Of the keys with one of these names, each a value that may stand alone, or be a key among others of a table.
    pub(super) fn values_or_tables<T>(
        &mut self,
        names: &[String],
        kind: &'static str,
        read: impl Fn(&Item) -> Reading<T>,
    ) -> Vec<(Written<String>, ValueOrTable<'p, T>)> {
        let found = names.iter().filter_map(|name| {
            let (place, found) = self.take_either(name, kind, &read)?;
            Some((Written::at(&place, name.clone()), found))
        });
        found.collect()
    }

    /// The value or the table of a key, whichever there is.
    pub(super) fn value_or_table<T>(
        &mut self,
        key: &str,
        kind: &'static str,
        read: impl Fn(&Item) -> Reading<T>,
    ) -> Option<ValueOrTable<'p, T>> {
        self.take_either(key, kind, &read).map(|(_, found)| found)
    }

    fn take_either<T>(
        &mut self,
        key: &str,
        kind: &'static str,
        read: &impl Fn(&Item) -> Reading<T>,
    ) -> Option<(Place, ValueOrTable<'p, T>)> {
        let entry = self.take(key)?;
        let place = entry.key_place.clone();
        if let Value::Table(_) = entry.item.value {
            return Some((place, ValueOrTable::Table(self.table_of(entry, kind)?)));
        }
        Some((place, ValueOrTable::Value(read_item(&entry.item, read, self.problems)?)))
    }

    /// Where what is wrong with it is told.
    pub(super) fn problems(&self) -> &'p Problems {
        self.problems
    }

    /// The keys that an operator made up, each with its place and value, in the order of the file.
    pub(super) fn free_keys(mut self) -> Vec<(Written<String>, Item)> {
        let entries = std::mem::take(&mut self.entries);
        entries.into_iter().map(|entry| (Written::at(&entry.key_place, entry.key), entry.item)).collect()
    }

    /// Tables by names that the operator gave.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(Written<String>, Table<'p>)> {
        let Some(entry) = self.take(key) else { return Vec::new() };
        let entries = self.entries_of(entry.item).unwrap_or_default();
        let mut tables = Vec::new();
        for Entry { key: name, key_place, item } in entries {
            let Some(entries) = self.entries_of(item) else { continue };
            let path = format!("{key}.{}", printed(&name));
            let table = Table {
                kind: key,
                path,
                place: key_place.clone(),
                entries,
                known: Vec::new(),
                problems: self.problems,
            };
            tables.push((Written::at(&key_place, name), table));
        }
        tables
    }

    /// Reports the keys that nobody took: unknown, or not built yet.
    pub(super) fn finish(self) {
        for entry in &self.entries {
            let diagnostic = match later::find_key(self.kind, &entry.key) {
                Some(later) => not_built(&self.path_of(&entry.key), later).into(),
                None => self.unknown(entry),
            };
            self.problems.add(&entry.key_place, diagnostic);
        }
    }

    fn unknown(&self, entry: &Entry) -> Diagnostic {
        let what = if self.path.is_empty() { "table" } else { "key" };
        let known: Vec<&str> = self.known.iter().map(String::as_str).chain(later::keys(self.kind)).collect();
        let diagnostic = Diagnostic::error(format!("unknown {what} `{}`", self.path_of(&entry.key)));
        if let Some(help) = did_you_mean(&entry.key, known) {
            return diagnostic.help(help);
        }
        let is_named = self.path.split_once('.').is_some_and(|(table, _)| table == self.kind);
        if is_named && matches!(entry.item.value, Value::Table(_)) {
            let name = dotted_name(self.path.trim_start_matches(self.kind).trim_start_matches('.'), entry, &self.known);
            return diagnostic.help(format!("a name with dots is quoted: `[{}.\"{name}\"]`", self.kind));
        }
        if self.known.is_empty() { diagnostic } else { diagnostic.help(format!("known here: {}", listed(&self.known))) }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &str) -> Option<Entry> {
        if !self.known.iter().any(|known| known == key) {
            self.known.push(key.to_owned());
        }
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at))
    }

    fn entries_of(&self, item: Item) -> Option<Vec<Entry>> {
        if let Value::Table(entries) = item.value {
            return Some(entries);
        }
        let diagnostic = Diagnostic::error(format!("{} stands where a table is expected", shown(&item)));
        let help = match item.value {
            Value::Variable(_) => "set the keys of the table one by one",
            _ => "write the keys of the table in braces: `{ key = value, … }`",
        };
        self.problems.add(&item.place, diagnostic.help(help));
        None
    }
}

fn read_item<T>(item: &Item, read: &impl Fn(&Item) -> Reading<T>, problems: &Problems) -> Option<Written<T>> {
    match read(item) {
        Ok(value) => Some(Written::at(&item.place, value)),
        Err(diagnostic) => {
            problems.add(&item.place, diagnostic);
            None
        }
    }
}

fn not_built(what: &str, later: &later::Later) -> Wrong {
    let message = format!("`{what}` is known, but its feature is not built yet");
    Wrong::new(message).help(format!("remove it for now: {}", later.instead))
}

/// The name that was meant by `[service.play.live.example]`, which TOML reads as four tables.
fn dotted_name(first: &str, entry: &Entry, known: &[String]) -> String {
    let mut name = format!("{first}.{}", entry.key);
    let mut below = &entry.item.value;
    while let Value::Table(entries) = below
        && let Some(next) = entries.iter().find(|next| matches!(next.item.value, Value::Table(_)))
        && !known.contains(&next.key)
    {
        name = format!("{name}.{}", next.key);
        below = &next.item.value;
    }
    name
}

/// A name as it stands in a path of TOML.
fn printed(name: &str) -> Cow<'_, str> {
    let is_bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_bare { Cow::Borrowed(name) } else { Cow::Owned(format!("\"{}\"", name.escape_debug())) }
}

fn listed(words: &[String]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
        [] => String::new(),
    }
}

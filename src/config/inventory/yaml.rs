//! Lists in YAML as a tree in which every key and value knows its place.
#![deny(clippy::disallowed_methods)]

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::config::tree::{Entry, Item, Value};
use crate::config::written::Place;
use crate::diagnostic::{Diagnostic, Source};

/// How deep a tree may be: lists need four levels.
const MAX_DEPTH: usize = 32;
/// Values of a tree, those that aliases repeat counted each time: a list of 4,096 nodes with 50 labels each has fewer.
const MAX_ITEMS: usize = 1_000_000;
/// Octets of a text that count as a value more: aliases repeat long texts too.
const LONG: usize = 64;

/// Reads the first document; nothing if its syntax is wrong anywhere.
pub(super) fn parse(source: &Source) -> Result<Item, Box<Diagnostic>> {
    let mut composer = Composer {
        source,
        offsets: if source.text.is_ascii() { None } else { Some(offsets(&source.text)) },
        open: Vec::new(),
        anchors: HashMap::new(),
        count: 0,
    };
    for event in Parser::new_from_str(&source.text) {
        let (event, span) = event.map_err(|error| composer.broken(&error))?;
        if let Some(root) = composer.take(event, span)? {
            return Ok(root);
        }
    }
    // No document at all: an empty list, as for Prometheus.
    Ok(Item { value: Value::Array(Vec::new()), place: Place::in_file(source, 0..0) })
}

struct Composer<'s> {
    source: &'s Source,
    /// Octets by character; none if they are the same.
    offsets: Option<Vec<usize>>,
    open: Vec<Open>,
    /// With how many values each has.
    anchors: HashMap<usize, (Item, usize)>,
    count: usize,
}

/// A list or table that has not ended yet.
struct Open {
    anchor: usize,
    start: usize,
    /// Values before it.
    before: usize,
    content: Content,
}

enum Content {
    List(Vec<Item>),
    Table(OpenTable),
}

#[derive(Default)]
struct OpenTable {
    entries: Vec<Entry>,
    /// Their keys, for there may be a million.
    names: HashSet<String>,
    /// What `<<` brings, and what is written wins over.
    merged: Vec<Entry>,
    /// The key that waits for its value.
    key: Option<(String, Place)>,
}

impl Composer<'_> {
    /// Takes an event; the tree, when it is complete.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<Option<Item>, Box<Diagnostic>> {
        let octets = self.octets(span);
        let place = Place::in_file(self.source, octets.clone());
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let text = if is_null { String::new() } else { text.into_owned() };
                let more = text.len() / LONG;
                self.count += more;
                self.close(Item { value: Value::Variable(text), place }, anchor, 1 + more)
            }
            Event::SequenceStart(anchor, _) => self.begin(anchor, octets.start, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(anchor, octets.start, Content::Table(OpenTable::default())),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, start, before, content }) = self.open.pop() else { return Ok(None) };
                let value = match content {
                    Content::List(items) => Value::Array(items),
                    Content::Table(OpenTable { mut entries, mut names, merged, key: _ }) => {
                        entries.extend(merged.into_iter().filter(|entry| names.insert(entry.key.clone())));
                        Value::Table(entries)
                    }
                };
                let place = Place::in_file(self.source, start..octets.end.max(start));
                let size = self.count - before + 1;
                self.close(Item { value, place }, anchor, size)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some((item, size)) => {
                    self.count += size;
                    self.close(item, 0, size)
                }
                None => Err(self.error(octets, "the alias stands for nothing that is complete")),
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(None)
            }
        }
    }

    fn begin(&mut self, anchor: usize, start: usize, content: Content) -> Result<Option<Item>, Box<Diagnostic>> {
        if self.open.len() == MAX_DEPTH {
            return Err(self.error(start..start, "this is deeper than any list"));
        }
        self.open.push(Open { anchor, start, before: self.count, content });
        Ok(None)
    }

    /// A value is complete.
    fn close(&mut self, item: Item, anchor: usize, size: usize) -> Result<Option<Item>, Box<Diagnostic>> {
        self.count += 1;
        if self.count > MAX_ITEMS {
            return Err(self.error(0..0, "its aliases stand for more than any list has"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (item.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => return Ok(Some(item)),
            Some(Content::List(items)) => items.push(item),
            Some(Content::Table(table)) => table.take(item)?,
        }
        Ok(None)
    }

    fn octets(&self, span: Span) -> Range<usize> {
        let octet = |index: usize| match &self.offsets {
            None => index.min(self.source.text.len()),
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.source.text.len()),
        };
        let (start, end) = (octet(span.start.index()), octet(span.end.index()));
        // A plain scalar ends before the blanks that follow it.
        let text = self.source.text.get(start..end).unwrap_or_default();
        start..start + text.trim_end().len()
    }

    fn error(&self, octets: Range<usize>, message: &str) -> Box<Diagnostic> {
        let help = "write a list of groups, each with `targets` and `labels`";
        Box::new(Diagnostic::error(message).at(self.source, octets).help(help))
    }

    fn broken(&self, error: &ScanError) -> Box<Diagnostic> {
        let octets = self.octets(Span::empty(*error.marker()));
        let help = "write the list anew, into another file first, and then rename that: it is never seen half written";
        let diagnostic = Diagnostic::error(format!("this is not YAML: {}", error.info()));
        Box::new(diagnostic.at(self.source, octets).help(help))
    }
}

impl OpenTable {
    /// Takes a key, or the value of the key before.
    fn take(&mut self, item: Item) -> Result<(), Box<Diagnostic>> {
        let Item { value, place } = item;
        match (self.key.take(), value) {
            (Some((key, _)), Value::Table(merged)) if key == MERGE => self.merged.extend(merged),
            (Some((key, _)), Value::Array(items)) if key == MERGE => {
                let tables = items.into_iter().filter_map(|item| match item.value {
                    Value::Table(merged) => Some(merged),
                    _ => None,
                });
                self.merged.extend(tables.flatten());
            }
            (Some((key, key_place)), _) if key == MERGE => {
                let error = Diagnostic::error("`<<` stands before no table").help("give it an alias of a table");
                return Err(Box::new(key_place.pin(error)));
            }
            (Some((key, key_place)), value) => self.entries.push(Entry { key, key_place, item: Item { value, place } }),
            (None, Value::Variable(name)) => {
                if name != MERGE && !self.names.insert(name.clone()) {
                    let error = Diagnostic::error(format!("`{name}` is set a second time"));
                    return Err(Box::new(place.pin(error.help("keep one of the two"))));
                }
                self.key = Some((name, place));
            }
            (None, _) => {
                let error = Diagnostic::error("a list or table cannot be a key").help("write a name in its place");
                return Err(Box::new(place.pin(error)));
            }
        }
        Ok(())
    }
}

/// The key of YAML 1.1 that Prometheus' reader knows too.
const MERGE: &str = "<<";

fn offsets(text: &str) -> Vec<usize> {
    text.char_indices().map(|(octet, _)| octet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_octets_of_the_file() {
        let source = Source::new("nodes.yml", "# ä\n- targets: [ 'ö:1' ]\n  labels:\n    plätze: fra # x\n");
        let tree = parse(&source).unwrap();
        let Value::Array(groups) = &tree.value else { panic!("{tree:?}") };
        let Value::Table(group) = &groups[0].value else { panic!("{tree:?}") };
        let Value::Array(targets) = &group[0].item.value else { panic!("{tree:?}") };
        assert_eq!(targets[0].place.text(), "'ö:1'");
        let Value::Table(labels) = &group[1].item.value else { panic!("{tree:?}") };
        assert_eq!((labels[0].key_place.text(), labels[0].item.place.text()), ("plätze", "fra"));
    }

    #[test]
    fn a_table_of_many_labels_is_read_at_once() {
        let labels: String = (0..200_000).map(|label| format!("l{label}: x\n")).collect();
        let Value::Table(entries) = parse(&Source::new("wide.yml", labels)).unwrap().value else { panic!("no table") };
        assert_eq!(entries.len(), 200_000);
        let twice = parse(&Source::new("twice.yml", "base: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}\n")).unwrap();
        let Value::Table(entries) = &twice.value else { panic!("{twice:?}") };
        let Value::Table(own) = &entries[1].item.value else { panic!("{twice:?}") };
        assert_eq!(own.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["y", "x"]);
    }

    #[test]
    fn aliases_and_depth_have_bounds() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let alias = format!("*a{},", level - 1);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", alias.repeat(10)));
        }
        let error = parse(&Source::new("bomb.yml", bomb)).unwrap_err();
        assert!(error.message.contains("aliases"), "{error}");
        // A long text is much too, however few values repeat it.
        let long = format!("- &a {}\n{}", "x".repeat(1 << 20), "- *a\n".repeat(1_000));
        let error = parse(&Source::new("long.yml", long)).unwrap_err();
        assert!(error.message.contains("aliases"), "{error}");
        let deep = parse(&Source::new("deep.yml", "- ".repeat(100_000))).unwrap_err();
        assert!(deep.message.contains("deeper"), "{deep}");
    }
}

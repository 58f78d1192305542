//! Lists in JSON as a tree in which every key and value knows its place.
#![deny(clippy::disallowed_methods)]

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::tree::{Entry, Item, Value};
use crate::config::written::Place;
use crate::diagnostic::{Diagnostic, Source};

/// How deep a list is read: list, group, labels, value. What lies deeper can only be wrong.
const MAX_DEPTH: usize = 4;
/// Values of a list: one of 4,096 nodes with 50 labels each has fewer.
const MAX_ITEMS: usize = 1_000_000;

/// Reads JSON; nothing if its syntax is wrong anywhere.
pub(super) fn parse(source: &Source) -> Result<Item, Box<Diagnostic>> {
    // Some editors of other systems begin a file with a mark of its encoding.
    let text = source.text.trim_start_matches('\u{feff}');
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| broken(source, &error))?;
    item(source, raw, 0, &Cell::new(0))
}

fn item(source: &Source, raw: &RawValue, depth: usize, count: &Cell<usize>) -> Result<Item, Box<Diagnostic>> {
    let text = raw.get();
    count.set(count.get() + 1);
    if count.get() > MAX_ITEMS {
        let message = format!("there are more than {MAX_ITEMS} values, more than any list has");
        return Err(Box::new(Diagnostic::error(message).in_file(source.name.as_ref())));
    }
    let span = span(source, text).unwrap_or(0..0);
    let place = Place::in_file(source, span);
    // Whether it is JSON at all was looked at before.
    let wrong = |error: serde_json::Error| Box::new(Diagnostic::error(format!("this is not JSON: {error}")));
    let value = match text.as_bytes().first() {
        Some(b'[') if depth < MAX_DEPTH => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
            Value::Array(items.into_iter().map(|raw| item(source, raw, depth + 1, count)).collect::<Result<_, _>>()?)
        }
        Some(b'{') if depth < MAX_DEPTH => {
            let Members(members) = serde_json::from_str(text).map_err(wrong)?;
            let mut entries: Vec<Entry> = Vec::with_capacity(members.len());
            let mut names: HashSet<String> = HashSet::with_capacity(members.len());
            // Of two members of one name the last counts, as for Prometheus.
            for (Key(key), raw) in members.into_iter().rev() {
                if !names.insert(key.to_string()) {
                    continue;
                }
                let item = item(source, raw, depth + 1, count)?;
                // A key with escapes was copied: then its value says where it is.
                let place = |key| span_of_key(source, key).map(|span| Place::in_file(source, span));
                let key_place = match &key {
                    Cow::Borrowed(key) => place(key).unwrap_or_else(|| item.place.clone()),
                    Cow::Owned(_) => item.place.clone(),
                };
                entries.push(Entry { key: key.into_owned(), key_place, item });
            }
            entries.reverse();
            Value::Table(entries)
        }
        Some(b'[') => Value::Array(Vec::new()),
        Some(b'{') => Value::Table(Vec::new()),
        Some(b'"') => Value::Variable(serde_json::from_str(text).map_err(wrong)?),
        Some(b't' | b'f') => Value::Boolean(text == "true"),
        Some(b'n') | None => Value::Datetime,
        Some(_) => Value::Integer(0),
    };
    Ok(Item { value, place })
}

/// A member's name, borrowed from the text if it has no escapes.
struct Key<'t>(Cow<'t, str>);

struct Members<'t>(Vec<(Key<'t>, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for Key<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfKey;
        impl<'de> Visitor<'de> for OfKey {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(OfKey)
    }
}

impl<'de: 't, 't> Deserialize<'de> for Members<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMembers;
        impl<'de> Visitor<'de> for OfMembers {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(OfMembers)
    }
}

/// Where a part of the source's text stands in it.
fn span(source: &Source, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(source.text.as_ptr() as usize)?;
    let end = start + part.len();
    (end <= source.text.len()).then_some(start..end)
}

/// The same of a key with its quotation marks.
fn span_of_key(source: &Source, key: &str) -> Option<Range<usize>> {
    let inner = span(source, key)?;
    Some(inner.start.checked_sub(1)?..inner.end + 1)
}

fn broken(source: &Source, error: &serde_json::Error) -> Box<Diagnostic> {
    let line_start =
        source.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let at = (line_start + error.column().saturating_sub(1)).min(source.text.len());
    let text = error.to_string();
    // It ends with its own place, which stands in front here.
    let said = text.rsplit_once(" at line ").map_or(text.as_str(), |(said, _)| said);
    let help = match source.text.trim() {
        "" => "an empty list is written `[]`",
        _ => "write the list anew, into another file first, and then rename that: it is never seen half written",
    };
    Box::new(Diagnostic::error(format!("this is not JSON: {said}")).at(source, at..at + 1).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_keys_and_values() {
        let text = "\u{feff}[ {\"targets\" : [\"a:1\"],\n  \"la\\u0062els\": {\"ä\": \"x\\ny\"}} ]";
        let source = Source::new("nodes.json", text);
        let tree = parse(&source).unwrap();
        let Value::Array(groups) = &tree.value else { panic!("{tree:?}") };
        let Value::Table(group) = &groups[0].value else { panic!("{tree:?}") };
        assert_eq!((group[0].key.as_str(), group[0].key_place.text()), ("targets", "\"targets\""));
        assert_eq!((group[1].key.as_str(), group[1].key_place.line()), ("labels", 2));
        let Value::Table(labels) = &group[1].item.value else { panic!("{tree:?}") };
        assert_eq!((labels[0].key.as_str(), labels[0].item.place.text()), ("ä", "\"x\\ny\""));
        assert!(matches!(&labels[0].item.value, Value::Variable(text) if text == "x\ny"));
    }

    #[test]
    fn a_list_of_more_values_than_any_has_is_refused() {
        let ones = |count: usize| Source::new("ones.json", format!("[{}1]", "1,".repeat(count - 1)));
        assert!(parse(&ones(MAX_ITEMS - 1)).is_ok());
        let refused = parse(&ones(MAX_ITEMS)).unwrap_err().to_string();
        assert!(refused.contains("more than any list has"), "{refused}");
    }

    #[test]
    fn a_table_of_many_labels_is_read_at_once_and_the_last_of_a_name_counts() {
        let labels: String = (0..200_000).map(|label| format!("\"l{label}\": 1, ")).collect();
        let text = format!("{{\"l7\": 0, {labels}\"l9\": \"last\"}}");
        let Value::Table(entries) = parse(&Source::new("wide.json", text)).unwrap().value else { panic!("no table") };
        assert_eq!((entries.len(), entries[0].key.as_str()), (200_000, "l0"));
        let last = entries.last().unwrap();
        assert!(last.key == "l9" && matches!(&last.item.value, Value::Variable(text) if text == "last"));
    }

    #[test]
    fn depth_costs_nothing() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        assert!(parse(&Source::new("deep.json", deep)).is_ok());
    }
}

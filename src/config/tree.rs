//! TOML as a tree in which every key and value knows its place.
#![deny(clippy::disallowed_methods)]

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Error};

use crate::diagnostic::{Diagnostic, Source};

use super::written::{Place, Problems};

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What a key is set to.
#[derive(Debug, Clone)]
pub(super) enum Value {
    String(String),
    /// Beyond 128 bits it is the largest: no key takes either.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Item>),
    Table(Vec<Entry>),
    /// Text of the environment: a string, a number or a boolean, as its key wants.
    Variable(String),
}

/// A key, its place, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) item: Item,
}

/// Reads TOML; nothing if its syntax is wrong, for then half of the keys may be missing.
pub(super) fn parse(source: &Source, problems: &Problems) -> Option<Vec<Entry>> {
    let (tree, errors) = DeTable::parse_recoverable(&source.text);
    if errors.is_empty() {
        return Some(entries(source, tree.get_ref()));
    }
    let mut seen = Vec::new();
    for error in errors {
        let span = whole_word(&source.text, error.span().unwrap_or(0..0));
        // One mistake in a dotted key comes once for each of its dots.
        if !seen.contains(&span) {
            report(&Place::in_file(source, span.clone()), &error, problems);
            seen.push(span);
        }
    }
    None
}

/// The same of whatever its syntax allows.
pub(super) fn parse_what_can_be_read(source: &Source) -> Vec<Entry> {
    entries(source, DeTable::parse_recoverable(&source.text).0.get_ref())
}

fn report(place: &Place, error: &Error, problems: &Problems) {
    let word = place.text();
    let is_bare_word = !word.is_empty() && word.chars().all(is_of_word);
    let diagnostic = match error.message() {
        // The parser takes words which begin with `n` or `i` for `nan` and `inf`.
        message if is_bare_word && (message.contains("must be quoted") || message.contains("invalid float")) => {
            Diagnostic::error(format!("the text `{word}` is not quoted")).help(format!("write `\"{word}\"`"))
        }
        "duplicate key" => Diagnostic::error(format!("`{word}` is set a second time")).help("keep one of the two"),
        message => Diagnostic::error(format!("this is not TOML: {message}")),
    };
    problems.add(place, diagnostic);
}

/// The parser takes the front of `127.0.0.1` for a number and complains about the rest alone.
fn whole_word(text: &str, span: Range<usize>) -> Range<usize> {
    let Some(front) = text.get(..span.start).filter(|_| !span.is_empty()) else { return span };
    front.trim_end_matches(is_of_word).len()..span.end
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || "-_.:/%".contains(c)
}

/// The entries of a table in the order in which they were written.
fn entries(source: &Source, table: &DeTable<'_>) -> Vec<Entry> {
    let mut found: Vec<_> = table.iter().collect();
    found.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&Spanned<DeString<'_>>, _)| Entry {
        key: key.get_ref().to_string(),
        key_place: Place::in_file(source, key.span()),
        item: item(source, value),
    };
    found.into_iter().map(entry).collect()
}

fn item(source: &Source, value: &Spanned<DeValue<'_>>) -> Item {
    let place = Place::in_file(source, value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX))
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(is_true) => Value::Boolean(*is_true),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::Array(items.iter().map(|value| item(source, value)).collect()),
        DeValue::Table(table) => Value::Table(entries(source, table)),
    };
    Item { value, place }
}

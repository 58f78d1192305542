//! Lines of comma-separated fields, each with its place: what the networks and round-trip files are made of.
#![deny(clippy::disallowed_methods)]

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Source};

/// One field of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Its text without blanks and quotes around it.
    pub(super) text: &'a str,
    /// Its octets in the source.
    pub(super) span: Range<usize>,
}

impl Field<'_> {
    /// An error at this field.
    pub(super) fn error(&self, source: &Source, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).at(source, self.span.clone())
    }
}

/// The fields of every line that is neither empty nor a comment, after the header if it is there.
pub(super) fn records<'a>(source: &'a Source, header: &[&str]) -> Vec<Vec<Field<'a>>> {
    let mut records = Vec::new();
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let at = start;
        start += line.len();
        // RFC 8805 §2.1: lines that begin with `#` are comments. Some editors put a byte-order mark first.
        let content = line.trim_start_matches('\u{feff}').trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let fields = split(line, at);
        let is_header = || fields.iter().map(|field| field.text.to_lowercase()).eq(header.iter().copied());
        if records.is_empty() && is_header() {
            continue;
        }
        records.push(fields);
    }
    records
}

/// Commas between quotes do not separate (RFC 4180 §2): geofeeds have cities such as `"Washington, D.C."`.
fn split(line: &str, at: usize) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    let mut start = 0;
    let mut is_quoted = false;
    for (index, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                fields.push(field(line, start..index, at));
                start = index + 1;
            }
            _ => {}
        }
    }
    fields.push(field(line, start..line.len(), at));
    fields
}

fn field(line: &str, span: Range<usize>, at: usize) -> Field<'_> {
    let raw = &line[span.clone()];
    let around = |letter: char| letter.is_whitespace() || letter == '"' || letter == '\u{feff}';
    let text = raw.trim_matches(around);
    let start = at + span.start + (raw.len() - raw.trim_start_matches(around).len()).min(raw.trim_end().len());
    Field { text, span: start..start + text.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_fields_with_their_places() {
        let source = Source::new("x", "\u{feff}a,b\n# no\n\n one , \"t,w\"o,\r\n");
        let records = records(&source, &["a", "b"]);
        assert_eq!(records.len(), 1);
        let texts: Vec<&str> = records[0].iter().map(|field| field.text).collect();
        assert_eq!(texts, ["one", "t,w\"o", ""]);
        for field in &records[0] {
            assert_eq!(&source.text[field.span.clone()], field.text);
        }
    }

    #[test]
    fn an_empty_field_points_into_its_line() {
        let source = Source::new("x", "192.0.2.0/24,  \nz");
        let field = &records(&source, &[])[0][1];
        assert_eq!(source.position(field.span.start).0, 1);
    }
}

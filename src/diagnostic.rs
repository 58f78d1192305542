//! Diagnostics: what is wrong in an input, where it stands, and what to do about it.
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A text that was read, with the name by which the operator knows it.
#[derive(Debug, Clone)]
pub struct Source {
    /// A path, or words such as `environment`.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

impl Source {
    /// A source of this name and text.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Line and column of an octet of the text, both counted from 1, the column in characters.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (newlines(before) + 1, before[line_start..].chars().count() + 1)
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, but probably not as meant.
    Warning,
    /// The input cannot be used.
    Error,
}

/// One problem in an input.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    // In a box: a diagnostic is the error of many results, which carry its size on their good path too.
    place: Option<Box<Place>>,
    note: Option<Box<str>>,
    help: Option<String>,
}

#[derive(Debug, Clone)]
enum Place {
    Text {
        source: Source,
        /// Lines of the file in front of the source, which may be an excerpt.
        before: usize,
        span: Range<usize>,
        label: String,
    },
    /// A file without lines, or one that could not be read.
    File(Arc<str>),
}

impl Diagnostic {
    /// An error.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: shortened(message.into()), place: None, note: None, help: None }
    }

    /// A warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Says where: octets of a source.
    #[must_use]
    pub fn at(mut self, source: &Source, span: Range<usize>) -> Self {
        self.place = Some(Box::new(Place::Text { source: source.clone(), before: 0, span, label: String::new() }));
        self
    }

    /// Says where: a file as a whole.
    #[must_use]
    pub fn in_file(mut self, name: impl Into<Arc<str>>) -> Self {
        self.place = Some(Box::new(Place::File(name.into())));
        self
    }

    /// Writes a few words under the excerpt; to be called after `at`.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Some(Place::Text { label, .. }) = self.place.as_deref_mut() {
            *label = text.into();
        }
        self
    }

    /// Says more about the place: who includes a file, for one.
    #[must_use]
    pub fn note(mut self, text: impl Into<Box<str>>) -> Self {
        self.note = Some(text.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Says what to do, if anything is known.
    #[must_use]
    pub fn maybe_help(self, text: Option<String>) -> Self {
        match text {
            Some(text) => self.help(text),
            None => self,
        }
    }

    /// Whether `note` was called.
    pub fn has_note(&self) -> bool {
        self.note.is_some()
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Draws it with its excerpt as rustc does, several lines, no newline at the end.
    pub fn render(&self, with_colour: bool) -> String {
        let renderer = if with_colour { Renderer::styled() } else { Renderer::plain() };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut title = level.primary_title(self.message.as_str());
        // A file without lines cannot be drawn; its name goes into the title.
        let named;
        let mut group = match self.place.as_deref() {
            Some(Place::Text { source, before, span, label }) => {
                let span = visible(&source.text, span);
                let lines = lines_around(&source.text, &span);
                let annotation = AnnotationKind::Primary.span(span.start - lines.start..span.end - lines.start);
                let annotation = if label.is_empty() { annotation } else { annotation.label(label.as_str()) };
                let first_line = before + newlines(&source.text[..lines.start]) + 1;
                let excerpt = Snippet::source(&source.text[lines]).line_start(first_line).path(&*source.name);
                title.element(excerpt.annotation(annotation))
            }
            Some(Place::File(name)) => {
                named = format!("{name}: {}", self.message);
                title = match self.severity {
                    Severity::Error => Level::ERROR,
                    Severity::Warning => Level::WARNING,
                }
                .primary_title(named.as_str());
                Group::with_title(title)
            }
            None => Group::with_title(title),
        };
        if let Some(note) = &self.note {
            group = group.element(Level::NOTE.message(&**note));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

/// One line: `file:line:column: error: message, note (help)`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_deref() {
            Some(Place::Text { source, before, span, .. }) => {
                let (line, column) = source.position(span.start);
                let line = before + line;
                write!(f, "{}:{line}:{column}: ", source.name)?;
            }
            Some(Place::File(name)) => write!(f, "{name}: ")?,
            None => {}
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.message)?;
        if let Some(note) = &self.note {
            write!(f, ", {note}")?;
        }
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Whether any of them is an error.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// Octets of the longest lines that are copied for an excerpt: a thousand diagnostics of one file may each have theirs.
const MAX_EXCERPT: usize = 4_096;

/// Makes diagnostics keep nothing of the texts that they are about but the lines that they show: they may be told again long
/// after these were read. Those about longer lines than any that people write go on holding the whole text, all the same one.
pub fn keep_excerpts(diagnostics: &mut [Diagnostic]) {
    // Most are in the order of their text, so that its lines are counted once, not once for each.
    let mut counted: Option<(Arc<str>, usize, usize)> = None;
    for diagnostic in diagnostics {
        let Some(Place::Text { source, before, span, .. }) = diagnostic.place.as_deref_mut() else { continue };
        let seen = visible(&source.text, span);
        let lines = lines_around(&source.text, &seen);
        if lines.len() > MAX_EXCERPT || lines.len() == source.text.len() {
            continue;
        }
        let (from, known) = match &counted {
            Some((text, at, lines_before)) if Arc::ptr_eq(text, &source.text) && *at <= lines.start => {
                (*at, *lines_before)
            }
            _ => (0, 0),
        };
        let skipped = known + newlines(&source.text[from..lines.start]);
        *before += skipped;
        *span = seen.start - lines.start..seen.end - lines.start;
        let excerpt = source.text[lines.clone()].into();
        let whole = std::mem::replace(&mut source.text, excerpt);
        counted = Some((whole, lines.start, skipped));
    }
}

/// The known word that is most like the given one, if any is like it: for "did you mean".
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (edits(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Restricted Damerau–Levenshtein distance: inserts, deletes, replacements, swaps of neighbours.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Octets of the longest message: what it quotes may be a word of any length.
const MAX_MESSAGE: usize = 1_000;

/// A message without its middle if it is too long: the end says what is wrong.
fn shortened(message: String) -> String {
    if message.len() <= MAX_MESSAGE {
        return message;
    }
    let (head, tail) = (MAX_MESSAGE / 2, message.len() - MAX_MESSAGE / 2);
    let middle = visible(&message, &(head..tail));
    format!("{}…{}", &message[..middle.start], &message[middle.end..])
}

/// The whole lines that a span touches. Drawing takes as long as its text, and a thousand of a large file are drawn.
fn lines_around(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[span.end..].find('\n').map_or(text.len(), |newline| span.end + newline);
    start..end
}

/// Counted as octets, many at a time: files are large, and so are the numbers of messages about them.
fn newlines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}

/// A span that can be drawn: inside the text, on character boundaries, never empty at its end.
fn visible(text: &str, span: &Range<usize>) -> Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_names_place_and_remedy() {
        let source = Source::new("thalweg.toml", "[server]\nworkres = 2\n");
        let diagnostic = Diagnostic::error("unknown key `workres`").at(&source, 9..16).help("did you mean `workers`?");
        assert_eq!(diagnostic.to_string(), "thalweg.toml:2:1: error: unknown key `workres` (did you mean `workers`?)");
        let drawn = diagnostic.render(false);
        for part in
            ["error: unknown key `workres`", "thalweg.toml:2:1", "workres = 2", "^^^^^^^", "did you mean `workers`?"]
        {
            assert!(drawn.contains(part), "{part} is missing in\n{drawn}");
        }
    }

    #[test]
    fn a_note_stands_before_the_remedy() {
        let source = Source::new("common.inc", "a A x\n");
        let diagnostic = Diagnostic::error("wrong").at(&source, 4..5).note("included by z:1").help("mend it");
        assert_eq!(diagnostic.to_string(), "common.inc:1:5: error: wrong, included by z:1 (mend it)");
        let drawn = diagnostic.render(false);
        let (note, help) = (drawn.find("note: included by z:1").unwrap(), drawn.find("help: mend it").unwrap());
        assert!(note < help, "{drawn}");
    }

    #[test]
    fn a_file_without_lines_is_named() {
        let diagnostic = Diagnostic::warning("is truncated").in_file("geoip/city.mmdb");
        assert_eq!(diagnostic.to_string(), "geoip/city.mmdb: warning: is truncated");
        assert!(diagnostic.render(false).contains("geoip/city.mmdb: is truncated"));
    }

    #[test]
    fn spans_outside_the_text_are_drawn_at_its_end() {
        let source = Source::new("x", "ä");
        for span in [0..9, 1..1, 7..9] {
            assert!(Diagnostic::error("odd").at(&source, span).render(false).contains("odd"));
        }
    }

    #[test]
    fn only_the_lines_of_the_place_are_drawn() {
        let source = Source::new("x", "one\ntwo\nthree\nfour\n");
        let drawn = Diagnostic::error("odd").at(&source, 6..10).render(false);
        let lines: Vec<&str> = drawn.lines().map(str::trim_end).collect();
        let expected = ["error: odd", " --> x:2:3", "  |", "2 |   two", "  |  ___^", "3 | | three", "  | |__^"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn an_excerpt_is_told_as_the_whole_text_is() {
        let long = format!("a\n{}\nb\n", "x".repeat(MAX_EXCERPT + 1));
        for text in ["one\nzwö\nthree\nfour\n", "one\n\n", "one", "", &long] {
            let source = Source::new("x", text);
            let spans = [0..0, 0..2, 4..7, 6..10, 9..12, 4..5, 16..19, 20..99, 99..99];
            let whole: Vec<Diagnostic> =
                spans.into_iter().map(|span| Diagnostic::error("odd").at(&source, span).label("here")).collect();
            let mut excerpts = whole.clone();
            for _ in 0..2 {
                keep_excerpts(&mut excerpts);
                for (whole, excerpt) in whole.iter().zip(&excerpts) {
                    assert_eq!((whole.to_string(), whole.render(false)), (excerpt.to_string(), excerpt.render(false)));
                }
            }
        }
    }

    #[test]
    fn excerpts_let_go_of_their_text() {
        let source = Source::new("x", "one\ntwo\n".repeat(100_000));
        let mut diagnostics: Vec<Diagnostic> =
            [5, 700_001, 9].into_iter().map(|at| Diagnostic::error("odd").at(&source, at..at + 1)).collect();
        keep_excerpts(&mut diagnostics);
        assert_eq!(Arc::strong_count(&source.text), 1);
        let places: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(places, ["x:2:2: error: odd", "x:175001:2: error: odd", "x:3:2: error: odd"]);
    }

    #[test]
    fn a_message_keeps_its_two_ends() {
        let message = Diagnostic::error(format!("`{}` is odd", "ä".repeat(10_000_000))).message;
        assert!(message.len() < 1_100 && message.starts_with("`ää") && message.ends_with("ä` is odd"), "{message}");
    }

    #[test]
    fn the_nearest_word_is_found_unless_all_are_far() {
        let known = ["addresses", "place", "labels"];
        assert_eq!(nearest("adresses", known), Some("addresses"));
        assert_eq!(nearest("palce", known), Some("place"));
        assert_eq!(nearest("LABELS", known), Some("labels"));
        assert_eq!(nearest("exporters", known), None);
    }
}

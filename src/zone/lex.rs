//! Lexer of zone files: entries of words with their places (RFC 1035 §5.1).

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Source};

/// A word of an entry, by its place in the text; a quoted one with its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    start: usize,
    end: usize,
    pub(super) is_quoted: bool,
}

impl Word {
    /// Its octets in the text.
    pub(super) fn span(self) -> Range<usize> {
        self.start..self.end
    }

    /// What was written, without quotes, its escapes untouched.
    pub(super) fn text(self, text: &str) -> &str {
        match self.is_quoted {
            true => &text[self.start + 1..self.end - 1],
            false => &text[self.start..self.end],
        }
    }
}

/// What is known of an entry besides its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The line began with blank space, so the entry has no owner of its own.
    pub(super) is_indented: bool,
    /// It has been reported as unreadable; only its first words are of use.
    pub(super) is_broken: bool,
}

/// Cuts a zone file into entries: a line each, or several joined by parentheses.
pub(super) struct Lexer<'s> {
    source: &'s Source,
    at: usize,
    has_gone_back: bool,
}

impl<'s> Lexer<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        // A byte order mark is no part of the first owner name.
        let at = if source.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { source, at, has_gone_back: false }
    }

    /// The next entry that has words, which replace those in `words`.
    pub(super) fn next_entry(&mut self, words: &mut Vec<Word>, problems: &mut Vec<Diagnostic>) -> Option<Entry> {
        while self.peek().is_some() {
            words.clear();
            let is_indented = matches!(self.peek(), Some(b' ' | b'\t'));
            let is_broken = !self.read_entry(words, problems);
            if !words.is_empty() {
                return Some(Entry { is_indented, is_broken });
            }
        }
        None
    }

    /// Reads up to the end of an entry; false if it is broken.
    fn read_entry(&mut self, words: &mut Vec<Word>, problems: &mut Vec<Diagnostic>) -> bool {
        let mut opened = Vec::new();
        let mut is_whole = true;
        let mut long_string = None;
        while let Some(byte) = self.peek() {
            let start = self.at;
            match byte {
                // As BIND does, one of the two ends a line, and both together end one.
                b'\r' if self.source.text.as_bytes().get(start + 1) == Some(&b'\n') => self.at += 1,
                b'\n' | b'\r' => {
                    self.at += 1;
                    if opened.is_empty() {
                        return is_whole;
                    }
                }
                b' ' | b'\t' => self.at += 1,
                b';' => self.skip_line(),
                b'(' => {
                    opened.push(start);
                    self.at += 1;
                }
                b')' => {
                    self.at += 1;
                    // Once a line is enough.
                    if opened.pop().is_none() && std::mem::replace(&mut is_whole, false) {
                        problems.push(self.error("a parenthesis is closed that was never opened", start..self.at));
                    }
                }
                b'"' => {
                    if !self.skip_string() {
                        // Behind a missing quote all strings seem to lie between those that are there: the first is blamed.
                        let start = match long_string {
                            Some((start, known_problems)) => {
                                problems.truncate(known_problems);
                                start
                            }
                            None => start,
                        };
                        problems.push(
                            self.error("a quoted string has no end", start..start + 1)
                                .help("close it with `\"`; write a quote inside it as `\\\"`"),
                        );
                        self.go_back(start, words);
                        return false;
                    }
                    let is_long = self.source.text.as_bytes()[start..self.at].contains(&b'\n');
                    if is_long && long_string.is_none() {
                        long_string = Some((start, problems.len()));
                        problems.push(self.long_string(start));
                    }
                    words.push(Word { start, end: self.at, is_quoted: true });
                }
                0 => {
                    if is_whole {
                        problems.push(self.error("an octet of value 0", start..start + 1).help(
                            "save the file as UTF-8, or without special characters; in names it is written `\\000`",
                        ));
                    }
                    is_whole = false;
                    self.at += 1;
                }
                _ => {
                    self.skip_word();
                    words.push(Word { start, end: self.at, is_quoted: false });
                }
            }
        }
        let Some(&first) = opened.first() else {
            return is_whole;
        };
        problems.push(
            self.error("a parenthesis is never closed", first..first + 1)
                .help("close it with `)` behind the last field of the record"),
        );
        self.go_back(first, words);
        false
    }

    /// Goes on behind the line on which something without an end began, so that the errors after it are found too.
    /// Once only: a file full of such lines would otherwise be read once for each of them.
    fn go_back(&mut self, start: usize, words: &mut Vec<Word>) {
        if std::mem::replace(&mut self.has_gone_back, true) {
            self.at = self.source.text.len();
            return;
        }
        self.at = start;
        self.skip_line();
        words.retain(|word| word.end <= self.at);
    }

    fn skip_line(&mut self) {
        let rest = &self.source.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }

    /// Skips a quoted string, which may go over several lines; false if it has no end.
    fn skip_string(&mut self) -> bool {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return true,
                b'\\' if self.peek().is_some() => self.at += 1,
                _ => {}
            }
        }
        false
    }

    fn skip_word(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                0 | b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' | b'"' => return,
                b'\\' => {
                    self.at += 1;
                    if self.peek().is_some_and(|next| !matches!(next, 0 | b'\r' | b'\n')) {
                        self.at += 1;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.source.text.as_bytes().get(self.at).copied()
    }

    /// RFC 1035 §5.1 lets a string go over lines, but mostly its quote has been forgotten.
    fn long_string(&self, start: usize) -> Diagnostic {
        Diagnostic::warning("a quoted string goes over several lines")
            .at(self.source, start..start + 1)
            .help("is its closing quote missing? the ends of lines in it are part of the string")
    }

    fn error(&self, message: &str, span: Range<usize>) -> Diagnostic {
        Diagnostic::error(message).at(self.source, span)
    }
}

/// The words of an entry from an octet on, as far as they stand on its first line: what later messages about it show.
pub(super) fn rest_of_line(source: &Source, at: usize) -> Range<usize> {
    let mut lexer = Lexer { source, at, has_gone_back: true };
    let mut words = Vec::new();
    // The entry has been read before, and its problems have been told.
    lexer.read_entry(&mut words, &mut Vec::new());
    let line = &source.text.as_bytes()[at..];
    let line_end = at + line.iter().position(|&byte| byte == b'\n').unwrap_or(line.len());
    let end = words.iter().map(|word| word.end).take_while(|&end| end <= line_end).last();
    at..end.unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries as text: `>` for an indented one, `!` for a broken one, words as written.
    fn lexed(text: &str) -> (Vec<String>, Vec<String>) {
        let source = Source::new("z", text);
        let mut lexer = Lexer::new(&source);
        let (mut words, mut problems, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(entry) = lexer.next_entry(&mut words, &mut problems) {
            let mut shown = String::new();
            shown.push_str(if entry.is_indented { ">" } else { "" });
            shown.push_str(if entry.is_broken { "!" } else { "" });
            shown.push_str(&words.iter().map(|word| &text[word.span()]).collect::<Vec<_>>().join("|"));
            entries.push(shown);
        }
        (entries, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn text_is_cut_into_entries_of_words() {
        for (text, expected) in [
            ("", &[][..]),
            ("a A 1", &["a|A|1"]),
            ("a A 1\r\nb\tA 2\r\n", &["a|A|1", "b|A|2"]),
            ("a A 1\rb\\\r A ( 2\r ; x\r\n ) ; x\ry\nc\r", &["a|A|1", "b\\", ">A|2", "c"]),
            ("\n\n  \n ; all of it\na A ; rest\n", &["a|A"]),
            (" A 1\n", &[">A|1"]),
            ("a ( A\n1 ; one\n) 2\nb", &["a|A|1|2", "b"]),
            ("a(A(1\n)2)3\n", &["a|A|1|2|3"]),
            ("(a\n A) b", &["a|A|b"]),
            ("a TXT \"x y\" \"(;\"\n", &["a|TXT|\"x y\"|\"(;\""]),
            ("a \"\\\"\" \"\"\"b\"\n", &["a|\"\\\"\"|\"\"|\"b\""]),
            ("a\\ b\\;\\(c \\\"\n", &["a\\ b\\;\\(c|\\\""]),
            ("a\\\nb\n", &["a\\", "b"]),
            ("a\"b\"c", &["a|\"b\"|c"]),
            ("\u{feff}$TTL 5\nä ü\n", &["$TTL|5", "ä|ü"]),
        ] {
            assert_eq!(lexed(text), (expected.iter().map(ToString::to_string).collect(), vec![]), "{text:?}");
        }
    }

    #[test]
    fn what_has_no_end_is_reported_and_reading_goes_on() {
        for (text, entries, problem) in [
            ("a A 1)\nb", &["!a|A|1", "b"][..], "z:1:6: error: a parenthesis is closed that was never opened"),
            (
                "x\na ( A\nb",
                &["x", "!a|A", "b"],
                "z:2:3: error: a parenthesis is never closed (close it with `)` behind the last field of the record)",
            ),
            (
                "a \"b\nc",
                &["!a", "c"],
                "z:1:3: error: a quoted string has no end (close it with `\"`; write a quote inside it as `\\\"`)",
            ),
            (
                "a \"b\\\"",
                &["!a"],
                "z:1:3: error: a quoted string has no end (close it with `\"`; write a quote inside it as `\\\"`)",
            ),
            (
                "a \"x\ny\" z\nb",
                &["a|\"x\ny\"|z", "b"],
                "z:1:3: warning: a quoted string goes over several lines \
                 (is its closing quote missing? the ends of lines in it are part of the string)",
            ),
            (
                "a \"b\nc \"d\"\ne \"f\" \"g\"\nh",
                &["!a", "c|\"d\"", "e|\"f\"|\"g\"", "h"],
                "z:1:3: error: a quoted string has no end (close it with `\"`; write a quote inside it as `\\\"`)",
            ),
            (
                "a \"b\nc\" d \"e\nf\"\ng",
                &["a|\"b\nc\"|d|\"e\nf\"", "g"],
                "z:1:3: warning: a quoted string goes over several lines \
                 (is its closing quote missing? the ends of lines in it are part of the string)",
            ),
            ("a ) ) )\nb", &["!a", "b"], "z:1:3: error: a parenthesis is closed that was never opened"),
            (
                "a\0 A 1\0\nb",
                &["!a|A|1", "b"],
                "z:1:2: error: an octet of value 0 \
                 (save the file as UTF-8, or without special characters; in names it is written `\\000`)",
            ),
        ] {
            let expected = entries.iter().map(ToString::to_string).collect();
            assert_eq!(lexed(text), (expected, vec![problem.to_owned()]), "{text:?}");
        }
    }

    #[test]
    fn a_file_full_of_open_parentheses_is_read_twice_at_most() {
        let (entries, problems) = lexed(&"a (\n".repeat(100_000));
        assert_eq!(problems.len(), 2);
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn a_message_shows_a_record_as_far_as_its_first_line_goes() {
        let source = Source::new("z", "a MX 10 b ; c\nd TXT ( \"e\"\n\"f\" )\n");
        for (at, expected) in [(2, "MX 10 b"), (16, "TXT ( \"e\"")] {
            assert_eq!(&source.text[rest_of_line(&source, at)], expected);
        }
    }
}

//! Which series of an exporter are meant, written as in PromQL: `node_cpu_seconds_total{mode=~"idle|iowait"}`.
#![deny(clippy::disallowed_methods)]

use std::fmt;

use regex::Regex;

/// Series of one metric: all that its matchers take.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// The metric's name.
    pub metric: String,
    /// Every one must take the series.
    pub matchers: Vec<Matcher>,
}

/// What one label of a series must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Matcher {
    /// The label; one that is absent counts as empty, as in PromQL.
    pub label: String,
    /// `!=` or `!~`.
    pub is_negated: bool,
    /// What it is compared with.
    pub pattern: Pattern,
}

/// What a label's value is compared with, always as a whole.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// `=`: this very text.
    Text(String),
    /// `=~`: a regular expression.
    Regex(String, Alternatives),
}

/// A regular expression in the form in which it is tried.
#[derive(Debug, Clone)]
pub enum Alternatives {
    /// `a|b|veth.*`: texts, and beginnings (true); most need no more, and these cost a comparison each.
    Plain(Vec<(String, bool)>),
    /// Any other.
    Any(Regex),
}

/// Why a text is no selector: at which octet, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorError {
    /// Octets from the beginning.
    pub at: usize,
    /// In words.
    pub expected: String,
}

impl Selector {
    /// Reads a metric's name, or the name and its matchers.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut cursor = Cursor { text, at: 0 };
        cursor.skip_blanks();
        let metric = cursor.name(|c| c == ':')?;
        let mut matchers = Vec::new();
        if cursor.take("{") {
            while !cursor.take("}") {
                matchers.push(cursor.matcher()?);
                if !cursor.take(",") && !cursor.is_at("}") {
                    return Err(cursor.error("`,` or `}`"));
                }
            }
        }
        cursor.skip_blanks();
        if cursor.at < text.len() {
            return Err(cursor.error("nothing after the selector: functions and operators are the rule's other keys"));
        }
        Ok(Self { metric, matchers })
    }

    /// Whether it takes a series of its metric that has these labels.
    pub fn takes<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.matchers
            .iter()
            .all(|matcher| matcher.pattern.matches(label(&matcher.label).unwrap_or("")) != matcher.is_negated)
    }
}

impl Pattern {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => text == value,
            Self::Regex(_, Alternatives::Plain(plain)) => plain
                .iter()
                .any(|(text, is_beginning)| if *is_beginning { value.starts_with(text) } else { value == text }),
            Self::Regex(_, Alternatives::Any(regex)) => regex.is_match(value),
        }
    }
}

/// Expressions are equal if they are written alike.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) | (Self::Regex(a, _), Self::Regex(b, _)) => a == b,
            _ => false,
        }
    }
}

/// As PromQL.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        for (index, Matcher { label, is_negated, pattern }) in self.matchers.iter().enumerate() {
            f.write_str(if index == 0 { "{" } else { "," })?;
            let (operator, value) = match (pattern, is_negated) {
                (Pattern::Text(text), false) => ("=", text),
                (Pattern::Text(text), true) => ("!=", text),
                (Pattern::Regex(text, _), false) => ("=~", text),
                (Pattern::Regex(text, _), true) => ("!~", text),
            };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{label}{operator}\"{value}\"")?;
        }
        if self.matchers.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

/// What is left to read of a selector.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn error(&self, expected: impl Into<String>) -> SelectorError {
        SelectorError { at: self.at, expected: expected.into() }
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    fn is_at(&mut self, word: &str) -> bool {
        self.skip_blanks();
        self.text[self.at..].starts_with(word)
    }

    fn take(&mut self, word: &str) -> bool {
        let is_there = self.is_at(word);
        if is_there {
            self.at += word.len();
        }
        is_there
    }

    fn name(&mut self, is_also: impl Fn(char) -> bool) -> Result<String, SelectorError> {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || is_also(c);
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        if end == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.error("a name of letters, digits and `_`"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn matcher(&mut self) -> Result<Matcher, SelectorError> {
        let label = self.name(|_| false)?;
        let operators = [("=~", true, false), ("!~", true, true), ("!=", false, true), ("=", false, false)];
        let Some((_, is_regex, is_negated)) = operators.into_iter().find(|(word, ..)| self.take(word)) else {
            return Err(self.error("`=`, `!=`, `=~` or `!~`"));
        };
        self.skip_blanks();
        let begin = self.at;
        let value = self.quoted()?;
        let pattern = if is_regex {
            let wrong = |why: String| SelectorError { at: begin, expected: format!("a regular expression; {why}") };
            Pattern::Regex(value.clone(), alternatives(&value).map_err(wrong)?)
        } else {
            Pattern::Text(value)
        };
        Ok(Matcher { label, is_negated, pattern })
    }

    fn quoted(&mut self) -> Result<String, SelectorError> {
        let Some(quote) = self.text[self.at..].chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            return Err(self.error("a value in quotes"));
        };
        let mut value = String::new();
        let mut chars = self.text[self.at + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += at + 2;
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('\\' | '"' | '\''))) => value.push(c),
                    // PromQL refuses it; a regular expression was meant.
                    Some((_, c)) => value.extend(['\\', c]),
                    None => {}
                },
                c => value.push(c),
            }
        }
        Err(self.error("a closing quote"))
    }
}

fn alternatives(text: &str) -> Result<Alternatives, String> {
    let plain = text.split('|').map(|part| {
        let (word, is_beginning) = part.strip_suffix(".*").map_or((part, false), |word| (word, true));
        let is_plain = word.chars().all(|c| c.is_alphanumeric() || "_-:/ ".contains(c));
        is_plain.then(|| (word.to_owned(), is_beginning))
    });
    if let Some(plain) = plain.collect() {
        return Ok(Alternatives::Plain(plain));
    }
    let anchored = Regex::new(&format!("^(?:{text})$"));
    anchored.map(Alternatives::Any).map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(selector: &str, labels: &[(&str, &str)]) -> bool {
        let selector = Selector::parse(selector).expect("a selector");
        selector.takes(|key| labels.iter().find(|(label, _)| *label == key).map(|(_, value)| *value))
    }

    #[test]
    fn matchers_take_what_promql_takes() {
        for (selector, value, expected) in [
            ("a", "x", true),
            ("a{}", "x", true),
            ("a{l=\"x\"}", "x", true),
            ("a{l=\"x\"}", "xy", false),
            ("a{l!=\"x\"}", "xy", true),
            ("a{l=~\"x|y.*\"}", "yes", true),
            ("a{l=~\"x|y.*\"}", "xs", false),
            ("a{l!~\"lo|veth.*\"}", "veth12", false),
            ("a{l!~\"lo|veth.*\"}", "lo0", true),
            ("a{l=~\"eth[0-9]+\"}", "eth12", true),
            ("a{l=~\"eth[0-9]+\"}", "eth12x", false),
            ("a{l=~\"e.h0\"}", "eth0", true),
            ("a{l=~\"\"}", "", true),
            ("a{l='x', m=\"\"}", "x", true),
            ("a{l=~\"x\",m!=\"\"}", "x", false),
        ] {
            assert_eq!(takes(selector, &[("l", value)]), expected, "{selector} {value}");
        }
        assert!(takes("a{l=\"\"}", &[]) && !takes("a{l!=\"\"}", &[]));
    }

    #[test]
    fn what_was_written_is_shown_again() {
        for text in ["a:b_c", "a{l=\"x\"}", "a{l!=\"x\",m=~\"y|z.*\",n!~\"[\\\\w]\\n\\\"\"}"] {
            assert_eq!(Selector::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(Selector::parse(" a { l = 'x\"' , } ").expect("blanks").to_string(), "a{l=\"x\\\"\"}");
    }

    #[test]
    fn what_is_no_selector_is_refused_at_its_place() {
        for (text, at, expected) in [
            ("", 0, "a name"),
            ("9a", 0, "a name"),
            ("rate(a[5m])", 4, "nothing after"),
            ("a{", 2, "a name"),
            ("a{l", 3, "`=`"),
            ("a{l=x}", 4, "a value in quotes"),
            ("a{l=\"x}", 4, "a closing quote"),
            ("a{l=\"x\" m=\"y\"}", 8, "`,` or `}`"),
            ("a{l=~\"(x\"}", 5, "a regular expression"),
            ("a{l=\"x\"} > 3", 9, "nothing after"),
        ] {
            let error = Selector::parse(text).expect_err(text);
            assert!(error.at == at && error.expected.contains(expected), "{text}: {error:?}");
        }
    }
}

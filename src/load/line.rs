//! One sample line of the text format, read strictly and written again as `prometheus-parse` reads it without loss.
//!
//! The crate splits labels at every `,` and `=` and ends them at the first `}`, quoted or not: raw, a stream named
//! `x} 0 ` sets its own value. So label values reach it %-encoded, without timestamp and exemplar, and the metric's
//! name as a number, because the crate knows no `:` in names.
#![deny(clippy::disallowed_methods)]

use std::fmt::Write;

/// More labels than any exporter writes.
const MAX_LABELS: usize = 32;

/// Writes what follows the metric's name on a line as a canonical line for the metric of this number; none if the
/// line breaks the grammar.
pub(super) fn canonical(metric: usize, rest: &str) -> Option<String> {
    let mut line = format!("m{metric}");
    let rest = match skip_blanks(rest).strip_prefix('{') {
        Some(labels) => write_labels(labels, &mut line)?,
        None => rest,
    };
    let value = value(rest)?;
    line.push(' ');
    line.push_str(value);
    Some(line)
}

/// The number of the metric that a canonical line was written for.
pub(super) fn metric(name: &str) -> Option<usize> {
    name.strip_prefix('m')?.parse().ok()
}

/// A label's value as it was before `canonical`.
pub(super) fn decode(encoded: &str) -> Option<String> {
    let mut value = String::with_capacity(encoded.len());
    let mut parts = encoded.split('%');
    value.push_str(parts.next()?);
    for part in parts {
        let octet = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        value.push(char::from(octet));
        value.push_str(&part[2..]);
    }
    Some(value)
}

/// Writes the labels after the opening brace; returns what follows the closing one.
fn write_labels<'a>(text: &'a str, line: &mut String) -> Option<&'a str> {
    let mut keys: Vec<&str> = Vec::new();
    let mut rest = skip_blanks(text);
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            // The crate knows no empty braces.
            if !keys.is_empty() {
                line.push('}');
            }
            return Some(after);
        }
        let (key, after) = key(rest)?;
        if keys.contains(&key) || keys.len() == MAX_LABELS {
            return None;
        }
        line.push(if keys.is_empty() { '{' } else { ',' });
        line.push_str(key);
        line.push_str("=\"");
        keys.push(key);
        let quoted = skip_blanks(skip_blanks(after).strip_prefix('=')?).strip_prefix('"')?;
        rest = skip_blanks(write_quoted(quoted, line)?);
        line.push('"');
        rest = match rest.strip_prefix(',') {
            Some(after) => skip_blanks(after),
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

fn key(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (key, after) = text.split_at(end);
    let is_key = key.starts_with(|c: char| !c.is_ascii_digit());
    is_key.then_some((key, after))
}

/// Writes a quoted value, its escapes resolved; returns what follows the closing quote.
fn write_quoted<'a>(text: &'a str, line: &mut String) -> Option<&'a str> {
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(chars.as_str()),
            '\\' => match chars.next()? {
                'n' => encode('\n', line),
                c @ ('\\' | '"') => encode(c, line),
                _ => return None,
            },
            c => encode(c, line),
        }
    }
}

fn encode(c: char, line: &mut String) {
    if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':') || !c.is_ascii() {
        line.push(c);
    } else {
        write!(line, "%{:02x}", u32::from(c)).expect("a string takes all that is written");
    }
}

/// The value, if nothing but a timestamp and an exemplar follow it.
fn value(text: &str) -> Option<&str> {
    let (value, after) = token(text)?;
    let is_number = value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let rest = skip_blanks(after);
    let rest = if rest.is_empty() || rest.starts_with('#') {
        rest
    } else {
        let (timestamp, after) = token(rest)?;
        timestamp.parse::<f64>().ok()?;
        skip_blanks(after)
    };
    (is_number && (rest.is_empty() || rest.starts_with('#'))).then_some(value)
}

fn token(text: &str) -> Option<(&str, &str)> {
    let text = skip_blanks(text);
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_what_the_crate_reads() {
        for (rest, expected) in [
            (" 1", "m0 1"),
            ("\t 1.5e3 ", "m0 1.5e3"),
            ("{} 1", "m0 1"),
            (" {a=\"b\"} 1", "m0{a=\"b\"} 1"),
            ("{a=\"b\"}1", "m0{a=\"b\"} 1"),
            ("{ a = \"b\" , c=\"\" ,} 1", "m0{a=\"b\",c=\"\"} 1"),
            ("{a=\"x} 0 \",dev=\"y\"} 1", "m0{a=\"x%7d%200%20\",dev=\"y\"} 1"),
            ("{a=\"\\\\\\\"\\n%=,\"} 1", "m0{a=\"%5c%22%0a%25%3d%2c\"} 1"),
            ("{a=\"новости\"} 1", "m0{a=\"новости\"} 1"),
            (" 1 1795371434280", "m0 1"),
            (" 1 1795371434.5 # {trace=\"7\"} 3", "m0 1"),
            (" 1 # {trace=\"7\"} 3 2", "m0 1"),
            (" +Inf", "m0 +Inf"),
        ] {
            assert_eq!(canonical(0, rest).as_deref(), Some(expected), "{rest}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for rest in [
            "",
            " ",
            "{",
            "{a",
            "{a=",
            "{a=\"b",
            "{a=\"b\"",
            "{a=\"b\"}",
            "{a=b} 1",
            "{a='b'} 1",
            "{=\"b\"} 1",
            "{,} 1",
            "{a=\"b\",,} 1",
            "{a=\"b\" c=\"d\"} 1",
            "{a=\"b\",a=\"c\"} 1",
            "{1a=\"b\"} 1",
            "{a=\"\\t\"} 1",
            "{\"utf8.name\"} 1",
            "{a=\"b\"} 1 x",
            " 1 2 3",
            " 1;",
            " wtf! 1",
            "{a=\"b\\\"} 1",
        ] {
            assert_eq!(canonical(0, rest), None, "{rest}");
        }
    }
}

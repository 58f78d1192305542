//! RDATA from text to wire form, uncompressed, for each type of `layout` and for all types as RFC 3597 writes them.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::layout::{self, Field, Kind};
use super::lex::Word;
use super::ttl::{self, TtlError};
use crate::diagnostic::{Diagnostic, Source};
use crate::name::{Name, unescape};
use crate::wire::RecordType;

/// Small, because every field may return one.
type Problem = Box<Diagnostic>;

/// What the words of RDATA are read against.
pub(super) struct Context<'a> {
    pub(super) source: &'a Source,
    /// What relative names are continued by.
    pub(super) origin: &'a Name,
    pub(super) rtype: RecordType,
    /// The word that names the type: the place of what is missing.
    pub(super) type_word: Word,
}

/// Appends the wire form of the words to `out`; what is wrong goes to `problems`, and then `out` is as it was.
pub(super) fn parse(context: &Context<'_>, words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) -> bool {
    let (known_problems, start) = (problems.len(), out.len());
    match (words, layout::fields(context.rtype)) {
        ([first, rest @ ..], _) if !first.is_quoted && context.text(*first) == "\\#" => {
            if let Err(problem) = context.unknown(*first, rest, out) {
                problems.push(*problem);
            }
        }
        (_, Some(fields)) => context.fields(fields, words, out, problems),
        (_, None) => problems.push(*context.error(
            context.type_word,
            format!("the text form of {} is not built yet", context.rtype),
            Some(format!("write it as `TYPE{} \\# length hexadecimal` (RFC 3597)", context.rtype.0)),
        )),
    }
    if out.len() - start > usize::from(u16::MAX) {
        let message = format!("the data of the record have {} octets, at most 65535 fit", out.len() - start);
        problems.push(*context.error(context.type_word, message, None));
    }
    let is_good = problems.len() == known_problems;
    if !is_good {
        out.truncate(start);
    }
    is_good
}

impl Context<'_> {
    fn fields(&self, fields: &'static [Field], words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
        let known_problems = problems.len();
        let mut rest = words;
        for field in fields {
            let Some((&word, after)) = rest.split_first() else {
                if problems.len() > known_problems {
                    // `MX mail` lacks its preference, and that has been said.
                    return;
                }
                let message = format!("the {} record lacks its {}", self.rtype, field.name);
                problems.push(*self.error(self.type_word, message, Some(self.written(fields))));
                return;
            };
            let taken = match field.kind {
                Kind::Texts | Kind::Hex => rest.len(),
                _ => 1,
            };
            let result = match field.kind {
                Kind::Texts => rest.iter().try_for_each(|&word| self.string(word, out)),
                Kind::Hex => self.hex(rest, out),
                _ => self.field(*field, word, out),
            };
            problems.extend(result.err().map(|problem| *problem));
            rest = if taken == 1 { after } else { &[] };
        }
        if let Some(&surplus) = rest.first() {
            let message = format!("the {} record has surplus data", self.rtype);
            problems.push(*self.error(surplus, message, Some(self.written(fields))));
        }
    }

    fn field(&self, field: Field, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let text = self.text(word);
        let takes_quotes = matches!(field.kind, Kind::Text | Kind::LastText | Kind::Tag);
        if word.is_quoted && !takes_quotes {
            let message = format!("a quoted string where the {} is expected", field.name);
            return Err(self.error(word, message, Some("leave the quotes out".to_owned())));
        }
        match field.kind {
            Kind::Ipv4 => out.extend(self.ipv4(word)?.octets()),
            Kind::Ipv6 => out.extend(self.ipv6(word)?.octets()),
            Kind::U8 => out.push(self.number(field, word, u32::from(u8::MAX))? as u8),
            Kind::U16 => out.extend((self.number(field, word, u32::from(u16::MAX))? as u16).to_be_bytes()),
            Kind::U32 => out.extend(self.number(field, word, u32::MAX)?.to_be_bytes()),
            Kind::Seconds => match ttl::seconds(text) {
                Ok(seconds) => out.extend(seconds.to_be_bytes()),
                Err(TtlError::NotATime) => {
                    let message = format!("`{text}` is not a time: the {} is expected", field.name);
                    let help = "write seconds, or units as in `1h30m`";
                    return Err(self.error(word, message, Some(help.to_owned())));
                }
                Err(TtlError::TooLong) => return Err(self.out_of_range(field, word, u32::MAX)),
            },
            Kind::DomainName => {
                let name = Name::parse(text, Some(self.origin));
                out.extend_from_slice(name.map_err(|error| self.error(word, error, None))?.wire());
            }
            Kind::Text => self.string(word, out)?,
            Kind::Tag => {
                let is_tag = !text.is_empty() && text.len() < 256 && text.bytes().all(|b| b.is_ascii_alphanumeric());
                if !is_tag {
                    let message = format!("`{text}` is no tag: letters and digits are allowed, at most 255");
                    return Err(self.error(word, message, None));
                }
                out.push(text.len() as u8);
                out.extend_from_slice(text.as_bytes());
            }
            Kind::LastText => self.unescaped(word, out)?,
            // These take all words that are left; `fields` has handed them on.
            Kind::Texts => self.string(word, out)?,
            Kind::Hex => self.hex(&[word], out)?,
        }
        Ok(())
    }

    fn ipv4(&self, word: Word) -> Result<Ipv4Addr, Problem> {
        let text = self.text(word);
        text.parse().map_err(|_| {
            let help = match text.parse::<Ipv6Addr>() {
                Ok(_) => "an IPv6 address needs the type AAAA",
                Err(_) => "write four numbers from 0 to 255: `192.0.2.1`",
            };
            self.error(word, format!("`{text}` is not an IPv4 address"), Some(help.to_owned()))
        })
    }

    fn ipv6(&self, word: Word) -> Result<Ipv6Addr, Problem> {
        let text = self.text(word);
        text.parse().map_err(|_| {
            let help = match text.parse::<Ipv4Addr>() {
                Ok(_) => "an IPv4 address needs the type A",
                Err(_) => "write up to eight groups of hex digits: `2001:db8::1`",
            };
            self.error(word, format!("`{text}` is not an IPv6 address"), Some(help.to_owned()))
        })
    }

    fn number(&self, field: Field, word: Word, max: u32) -> Result<u32, Problem> {
        let text = self.text(word);
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.error(word, format!("`{text}` is not a number: the {} is expected", field.name), None));
        }
        text.parse().ok().filter(|&number| number <= max).ok_or_else(|| self.out_of_range(field, word, max))
    }

    fn out_of_range(&self, field: Field, word: Word, max: u32) -> Problem {
        self.error(word, format!("`{}` is out of range: the {} is 0 to {max}", self.text(word), field.name), None)
    }

    /// A character-string of RFC 1035 §3.3: its length and up to 255 octets.
    fn string(&self, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let at = out.len();
        out.push(0);
        self.unescaped(word, out)?;
        let length = out.len() - at - 1;
        out[at] = u8::try_from(length).map_err(|_| {
            let help = "split it into several quoted strings, in parentheses if they go over several lines";
            let message = format!("a string of {length} octets, at most 255 are allowed");
            self.error(word, message, Some(help.to_owned()))
        })?;
        Ok(())
    }

    fn unescaped(&self, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let mut rest = self.text(word).as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte == b'\\' {
                let (octet, after) = unescape(rest).map_err(|error| self.error(word, error, None))?;
                out.push(octet);
                rest = after;
            } else {
                out.push(byte);
            }
        }
        Ok(())
    }

    fn hex(&self, words: &[Word], out: &mut Vec<u8>) -> Result<(), Problem> {
        let mut high = None;
        for &word in words {
            for digit in self.text(word).chars() {
                let Some(value) = digit.to_digit(16).filter(|_| !word.is_quoted) else {
                    let message = format!("`{}` is not hexadecimal", self.text(word));
                    return Err(self.error(word, message, None));
                };
                match high.take() {
                    None => high = Some(value),
                    Some(high) => out.push((high << 4 | value) as u8),
                }
            }
        }
        match (high, words.last()) {
            (Some(_), Some(&last)) => {
                Err(self.error(last, "an odd number of hexadecimal digits; each octet has two", None))
            }
            _ => Ok(()),
        }
    }

    /// RFC 3597 §5: `\# length hexadecimal`, for known types too.
    fn unknown(&self, mark: Word, words: &[Word], out: &mut Vec<u8>) -> Result<(), Problem> {
        let Some((&length_word, digits)) = words.split_first() else {
            return Err(self.error(mark, "the length is missing behind `\\#`", Some(WRITTEN_UNKNOWN.to_owned())));
        };
        let field = Field { kind: Kind::U16, name: "length" };
        let length = self.number(field, length_word, u32::from(u16::MAX))? as usize;
        let start = out.len();
        self.hex(digits, out)?;
        let found = out.len() - start;
        if found != length {
            let message = format!("the length is given as {length}, but there are {found} octets");
            return Err(self.error(length_word, message, None));
        }
        // What is served of known types is trusted to be whole, so it is checked here.
        if layout::fields(self.rtype).is_some_and(|fields| layout::split(fields, &out[start..]).is_none()) {
            let message = format!("these octets are no {} record", self.rtype);
            return Err(self.error(mark, message, None));
        }
        Ok(())
    }

    fn written(&self, fields: &[Field]) -> String {
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        format!("{} is written with: {}", self.rtype, names.join(", "))
    }

    fn text(&self, word: Word) -> &str {
        word.text(&self.source.text)
    }

    fn error(&self, word: Word, message: impl Display, help: Option<String>) -> Problem {
        Diagnostic::error(message.to_string()).at(self.source, word.span()).maybe_help(help).into()
    }
}

const WRITTEN_UNKNOWN: &str = "write `\\# length hexadecimal` (RFC 3597)";

//! `$GENERATE`: many records from one line, as BIND has it.

use super::lex::{Entry, Lexer, Word};
use super::rdata;
use super::read::{Owner, Reader};
use crate::diagnostic::Source;
use crate::name::Name;
use crate::wire::RecordType;

/// How many records the `$GENERATE` lines of a zone may make in all.
pub(super) const MAX_GENERATED: usize = 1 << 20;
/// How many octets of data a `$GENERATE` line may make: a few hundred for each of as many records as there may be.
const MAX_OCTETS: usize = 256 << 20;
/// Digits that a counter may be padded to; no string is longer.
const MAX_WIDTH: usize = 255;

const WRITTEN: &str = "write `$GENERATE start-stop[/step] owner [TTL] [class] type data`, \
     data of several words in quotes";

impl Reader<'_, '_, '_> {
    /// Reads `$GENERATE range owner [TTL] [class] type data`; the owner of the record before it stays in force.
    pub(super) fn generate(&mut self, word: Word, arguments: &[Word]) {
        let [range_word, owner_word, rest @ ..] = arguments else {
            return self.error(word, "`$GENERATE` lacks its range or its owner", Some(WRITTEN));
        };
        // Nothing of it can be taken for an owner name.
        let entry = Entry { is_indented: true, is_broken: false };
        let Some((ttl, rest)) = self.ttl_and_class(rest, arguments, entry) else {
            return;
        };
        let (type_word, data_word) = match rest {
            [type_word, data_word] => (*type_word, *data_word),
            [_, _, surplus, ..] => return self.error(*surplus, "the data of `$GENERATE` are one word", Some(WRITTEN)),
            _ => return self.error(word, "`$GENERATE` lacks its type or its data", Some(WRITTEN)),
        };
        let rtype = self.rtype(type_word, entry, arguments);
        let range = self.range(*range_word);
        let owner = self.template(*owner_word);
        let data = self.template(data_word);
        let (Some(rtype), Some(range), Some(owner), Some(data)) = (rtype, range, owner, data) else {
            return;
        };
        self.state.generated += range.count();
        if self.state.generated > MAX_GENERATED {
            let message = format!("more than {MAX_GENERATED} records are generated in this zone");
            // Only once, whatever comes after it.
            self.state.generated -= range.count();
            return self.error(*range_word, message, Some("generate fewer records"));
        }
        let before = self.state.take_owner();
        let start = self.state.records.rdata.len();
        let line = Line { rtype, type_word, data_word, owner_word: *owner_word, ttl };
        for value in range.values() {
            let is_good = match (owner.expand(value), data.expand(value)) {
                (Some(owner), Some(data)) => self.step(&line, value, &owner, &data),
                _ => {
                    self.error(*range_word, format!("the counter {value} gets out of range"), Some(WRITTEN_COUNTER));
                    false
                }
            };
            if self.state.records.rdata.len() - start > MAX_OCTETS {
                self.error(
                    *range_word,
                    format!("more than {MAX_OCTETS} octets are generated"),
                    Some("generate fewer records"),
                );
                break;
            }
            // The other steps would say the same again.
            if !is_good || self.state.is_full() {
                break;
            }
        }
        self.state.set_owner(before);
    }

    /// Makes one record; false if it has an error, which has been reported.
    fn step(&mut self, line: &Line, value: i32, owner: &str, data: &str) -> bool {
        match Name::parse(owner, Some(&self.origin)) {
            Ok(name) if name.is_at_or_below(&self.state.records.origin) => self.state.set_owner(Owner::New(name)),
            Ok(name) => {
                let message = format!("`{name}` is outside the zone `{}`", self.state.records.origin);
                self.error(line.owner_word, message, Some("a name that ends with a dot is not continued"));
                return false;
            }
            Err(error) => {
                self.error(line.owner_word, format!("{error}, when the counter is {value}"), None);
                return false;
            }
        }
        // The data are read as if they stood in a file of their own, behind their type.
        let source = Source::new("$GENERATE", format!("{} {data}", line.rtype));
        let mut words = Vec::new();
        let mut problems = Vec::new();
        let mut lexer = Lexer::new(&source);
        let entry = lexer.next_entry(&mut words, &mut problems);
        let start = self.state.records.rdata.len();
        let is_broken = entry.is_none_or(|entry| entry.is_broken);
        let is_good = !is_broken && {
            let origin = &self.origin;
            let context = rdata::Context { source: &source, origin, rtype: line.rtype, type_word: words[0] };
            rdata::parse(&context, &words[1..], &mut self.state.records.rdata, &mut problems)
        };
        if let Some(mut problem) = problems.into_iter().next() {
            problem.message = format!("{}, when the counter is {value}", problem.message);
            self.state.problems.push(problem.at(self.source, line.data_word.span()));
        }
        if is_good {
            let ttl = self.effective_ttl(line.ttl, line.rtype, line.type_word, start);
            self.store(line.type_word, line.rtype, ttl, start);
        }
        is_good
    }

    fn range(&mut self, word: Word) -> Option<Range> {
        let range = Range::parse(self.text(word));
        if range.is_none() {
            let message = format!("`{}` is not a range", self.text(word));
            self.error(word, message, Some("write `start-stop` or `start-stop/step`, the step at least 1"));
        }
        range
    }

    fn template(&mut self, word: Word) -> Option<Template> {
        // Inside quotes a quote is written with a backslash, which is gone when the data are read.
        let text = if word.is_quoted { self.text(word).replace("\\\"", "\"") } else { self.text(word).to_owned() };
        let template = Template::parse(&text);
        if template.is_none() {
            self.error(word, "this is no counter", Some(WRITTEN_COUNTER));
        }
        template
    }
}

const WRITTEN_COUNTER: &str = "write `$`, `${offset}`, `${offset,width}` or `${offset,width,base}`, the base one of d, o, x, X, n, N; `\\$` for a \
     dollar sign";

/// What all records of one `$GENERATE` have in common.
struct Line {
    rtype: RecordType,
    type_word: Word,
    data_word: Word,
    owner_word: Word,
    ttl: Option<u32>,
}

/// The values of the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: i32,
    stop: i32,
    step: i32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { text.parse::<i32>().ok() } else { None }
        };
        let (start, rest) = text.split_once('-')?;
        let (stop, step) = rest.split_once('/').unwrap_or((rest, "1"));
        let range = Self { start: number(start)?, stop: number(stop)?, step: number(step)? };
        (range.start <= range.stop && range.step > 0).then_some(range)
    }

    fn count(self) -> usize {
        (self.stop - self.start) as usize / self.step as usize + 1
    }

    fn values(self) -> impl Iterator<Item = i32> {
        (self.start..=self.stop).step_by(self.step as usize)
    }
}

/// Text in which counters stand.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Counter { offset: i32, width: usize, base: Base },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Decimal,
    Octal,
    Hex,
    UpperHex,
    Nibbles,
    UpperNibbles,
}

impl Template {
    /// Cuts text at its counters; none if one of them is not written as it should be.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['$', '\\']) {
            plain.push_str(&rest[..at]);
            let (mark, after) = rest[at..].split_at(1);
            if mark == "\\" {
                // What is escaped stays so: the reader of names and data takes the backslash off.
                let escaped = after.chars().next().map_or(0, char::len_utf8);
                plain.push_str(&rest[at..at + 1 + escaped]);
                rest = &after[escaped..];
            } else if let Some(after) = after.strip_prefix('$') {
                plain.push('$');
                rest = after;
            } else if let Some(after) = after.strip_prefix('{') {
                let (written, after) = after.split_once('}')?;
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::counter(written)?);
                rest = after;
            } else {
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Counter { offset: 0, width: 0, base: Base::Decimal });
                rest = after;
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Some(Self { parts })
    }

    /// The text for one value; none if a counter gets out of range.
    fn expand(&self, value: i32) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Counter { offset, width, base } => {
                    text.push_str(&base.digits(value.checked_add(*offset)?, *width)?);
                }
            }
        }
        Some(text)
    }
}

impl Part {
    /// What stands in the braces: `offset[,width[,base]]`.
    fn counter(written: &str) -> Option<Self> {
        let mut fields = written.split(',');
        let offset = fields.next()?.parse().ok()?;
        let width = fields.next().map_or(Some(0), |width| width.parse().ok())?;
        let base = match fields.next() {
            None | Some("d") => Base::Decimal,
            Some("o") => Base::Octal,
            Some("x") => Base::Hex,
            Some("X") => Base::UpperHex,
            Some("n") => Base::Nibbles,
            Some("N") => Base::UpperNibbles,
            Some(_) => return None,
        };
        (width <= MAX_WIDTH && fields.next().is_none()).then_some(Self::Counter { offset, width, base })
    }
}

impl Base {
    /// The digits of a number, padded with zeros to a width; none for what it cannot write.
    fn digits(self, number: i32, width: usize) -> Option<String> {
        Some(match self {
            Self::Decimal => format!("{number:0width$}"),
            Self::Octal => format!("{number:0width$o}"),
            Self::Hex => format!("{number:0width$x}"),
            Self::UpperHex => format!("{number:0width$X}"),
            Self::Nibbles => nibbles(u32::try_from(number).ok()?, width),
            Self::UpperNibbles => nibbles(u32::try_from(number).ok()?, width).to_uppercase(),
        })
    }
}

/// Hexadecimal digits, the last first, with dots between them, as names below `ip6.arpa` have them. The width counts
/// the dots; one that is even leaves a dot at the end.
fn nibbles(number: u32, width: usize) -> String {
    let mut text = String::new();
    let mut rest = number;
    loop {
        text.push_str(&format!("{:x}", rest & 0xf));
        rest >>= 4;
        if rest == 0 && text.len() >= width {
            return text;
        }
        text.push('.');
        if rest == 0 && text.len() >= width {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(template: &str, value: i32) -> Option<String> {
        Template::parse(template)?.expand(value)
    }

    #[test]
    fn counters_are_written_as_they_say() {
        for (template, value, expected) in [
            ("a$", 5, Some("a5")),
            ("$.x$", 5, Some("5.x5")),
            ("a\\$b\\\\$", 5, Some("a\\$b\\\\5")),
            ("a$$b", 5, Some("a$b")),
            ("${0}", 5, Some("5")),
            ("${-5}", 1, Some("-4")),
            ("${+2}", 1, Some("3")),
            ("${1,5,d}", 1, Some("00002")),
            ("${-2,5,d}", 1, Some("-0001")),
            ("${0,3,o}", 9, Some("011")),
            ("${16,2,x}", 10, Some("1a")),
            ("${16,4,X}", 10, Some("001A")),
            ("${0,0,n}", 0x1f, Some("f.1")),
            ("${0,1,n}", 5, Some("5")),
            ("${0,2,n}", 5, Some("5.")),
            ("${0,7,n}", 10, Some("a.0.0.0")),
            ("${0,3,N}", 0xab, Some("B.A")),
            ("${1}}", 1, Some("2}")),
            ("${", 1, None),
            ("${}", 1, None),
            ("${x}", 1, None),
            ("${1,2,q}", 1, None),
            ("${1,2,d,}", 1, None),
            ("${1,256,d}", 1, None),
            ("${2147483647}", 1, None),
            ("${-2,2,n}", 1, None),
        ] {
            assert_eq!(expanded(template, value).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn ranges_go_up() {
        let values = |text| Range::parse(text).map(|range| range.values().collect::<Vec<_>>());
        assert_eq!(values("1-3"), Some(vec![1, 2, 3]));
        assert_eq!(values("0-9/4"), Some(vec![0, 4, 8]));
        assert_eq!(values("7-7/2"), Some(vec![7]));
        for text in ["1", "2-1", "1-2/0", "1-2/", "-1-2", "1-2147483648", "1-2x", "a-b"] {
            assert_eq!(values(text), None, "{text}");
        }
        assert_eq!(Range::parse("0-2147483647").map(Range::count), Some(1 << 31));
    }
}

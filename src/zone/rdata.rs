//! RDATA from text to wire form, uncompressed, for each type of `layout` and for all types as RFC 3597 writes them.

pub(super) mod address_prefixes;
pub(super) mod gateway;
pub(super) mod hip;
pub(super) mod location;
pub(super) mod naptr;
pub(super) mod octets;
pub(super) mod parameters;
pub(super) mod ports;
mod scalar;
mod time;
pub(super) mod type_bitmap;

use std::fmt::Display;

use super::layout::{self, Fault, Field, Kind};
use super::lex::Word;
use crate::diagnostic::{Diagnostic, Source, has_errors};
use crate::name::Name;
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
        _ if matches!(context.rtype, RecordType::MD | RecordType::MF) => {
            // RFC 973 §3 took them away.
            let message = format!("the type {} is obsolete", context.rtype);
            problems.push(*context.error(context.type_word, message, Some("write MX".to_owned())));
        }
        ([first, rest @ ..], _) if !first.is_quoted && context.text(*first) == "\\#" => {
            problems.extend(context.unknown(*first, rest, out).err().map(|problem| *problem));
        }
        (_, Some(fields)) => {
            context.fields(fields, words, out, problems);
            if problems.len() == known_problems {
                let fault = layout::rule(context.rtype, &out[start..]).err();
                problems.extend(fault.map(|fault| *context.fault(context.type_word, fault)));
            }
        }
        (_, None) => problems.push(*context.error(
            context.type_word,
            format!("the type {} has no text form", context.rtype),
            Some(format!("write it as `TYPE{} \\# length hexadecimal` (RFC 3597)", context.rtype.0)),
        )),
    }
    if out.len() - start > usize::from(u16::MAX) {
        let message = format!("the data of the record have {} octets, at most 65535 fit", out.len() - start);
        problems.push(*context.error(context.type_word, message, None));
    }
    let is_good = !has_errors(&problems[known_problems..]);
    if !is_good {
        out.truncate(start);
    } else if has_idle_parameters(context.rtype, &out[start..]) {
        let message = "clients ignore parameters of a record with priority 0";
        let warning = Diagnostic::warning(message).at(context.source, context.type_word.span());
        problems.push(warning.help("write a priority of 1 or more"));
    }
    is_good
}

fn has_idle_parameters(rtype: RecordType, rdata: &[u8]) -> bool {
    matches!(rtype, RecordType::SVCB | RecordType::HTTPS) && parameters::are_idle(rdata)
}

impl Context<'_> {
    fn fields(&self, fields: &'static [Field], words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
        let known_problems = problems.len();
        let mut rest = words;
        for field in fields {
            if rest.is_empty() && field.kind.may_be_absent() {
                continue;
            }
            let Some((_, after)) = rest.split_first() else {
                if problems.len() > known_problems {
                    // `MX mail` lacks its preference, and that has been said.
                    return;
                }
                let message = format!("the {} record lacks its {}", self.rtype, field.name);
                problems.push(*self.error(self.type_word, message, Some(self.written(fields))));
                return;
            };
            let (taken, after) = if field.kind.takes_all_words() { (rest, &[][..]) } else { (&rest[..1], after) };
            rest = after;
            match taken.iter().find(|word| word.is_quoted) {
                Some(&quoted) if !field.kind.takes_quotes() => {
                    let message = format!("a quoted string where the {} is expected", field.name);
                    problems.push(*self.error(quoted, message, Some("leave the quotes out".to_owned())));
                }
                _ => self.field(*field, taken, out, problems),
            }
        }
        if let Some(&surplus) = rest.first() {
            let message = format!("the {} record has surplus data", self.rtype);
            problems.push(*self.error(surplus, message, Some(self.written(fields))));
        }
    }

    /// Reads one field from all the words that it takes.
    fn field(&self, field: Field, words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
        let Field { kind, name } = field;
        let word = words[0];
        let result = match kind {
            Kind::Ipv4 => self.ipv4(word).map(|address| out.extend(address.octets())),
            Kind::Ipv6 => self.ipv6(word).map(|address| out.extend(address.octets())),
            Kind::U8 => self.u8(name, word).map(|number| out.push(number)),
            Kind::U16 => self.u16(name, word).map(|number| out.extend(number.to_be_bytes())),
            Kind::U32 => self.number(name, word, u32::MAX).map(|number| out.extend(number.to_be_bytes())),
            Kind::Seconds => self.seconds(name, word).map(|seconds| out.extend(seconds.to_be_bytes())),
            Kind::Named(named) => self.named(name, named, word, out),
            Kind::KeyFlags => self.key_flags(name, word).map(|flags| out.extend(flags.to_be_bytes())),
            Kind::Type => self.rtype(word).map(|rtype| out.extend(rtype.to_be_bytes())),
            Kind::Time => time::read(self, word, name).map(|time| out.extend(time.to_be_bytes())),
            Kind::DomainName => self.name(word).map(|name| out.extend_from_slice(name.wire())),
            Kind::Text | Kind::MaybeText => self.string(word, out),
            Kind::Texts => words.iter().try_for_each(|&word| self.string(word, out)),
            Kind::Tag => self.tag(word, out),
            Kind::LastText => self.unescape(word, self.text(word), out),
            Kind::LastQuoted => self.quoted(name, word, out),
            Kind::Hex => self.hex(words, out),
            Kind::DashOrBase64 if words.len() == 1 && self.text(word) == "-" => Ok(()),
            Kind::Base64 | Kind::MaybeBase64 | Kind::DashOrBase64 => self.base64(words, out),
            Kind::Salt => self.salt(word, out),
            Kind::Hash => self.hash(word, out),
            Kind::Eui(octets) => self.eui(octets, word, out),
            Kind::Locator => self.locator(word, out),
            Kind::Nsap => self.nsap(word, out),
            Kind::Atma => self.atma(word, out),
            Kind::A6 => self.a6(words, out),
            Kind::Location => location::read(self, words, out),
            Kind::Types => return type_bitmap::read(self, words, out, problems),
            Kind::OldTypes => return type_bitmap::read_old(self, words, out, problems),
            Kind::Ports => return ports::read(self, words, out, problems),
            Kind::AddressPrefixes => return address_prefixes::read(self, words, out, problems),
            Kind::Gateway => return gateway::read_gateway(self, words, out, problems),
            Kind::Relay => return gateway::read_relay(self, words, out, problems),
            Kind::HostIdentity => return hip::read(self, words, out, problems),
            Kind::Parameters => return parameters::read(self, words, out, problems),
        };
        problems.extend(result.err().map(|problem| *problem));
    }

    /// RFC 3597 §5: `\# length hexadecimal`, for known types too.
    fn unknown(&self, mark: Word, words: &[Word], out: &mut Vec<u8>) -> Result<(), Problem> {
        let Some((&length_word, digits)) = words.split_first() else {
            return Err(self.error(mark, "the length is missing behind `\\#`", Some(WRITTEN_UNKNOWN.to_owned())));
        };
        let length = usize::from(self.u16("length", length_word)?);
        let start = out.len();
        self.hex(digits, out)?;
        let found = out.len() - start;
        if found != length {
            let message = format!("the length is given as {length}, but there are {found} octets");
            return Err(self.error(length_word, message, None));
        }
        // What is served of known types is trusted to be whole, so it is checked here.
        layout::wire_fault(self.rtype, &out[start..]).map_or(Ok(()), |fault| Err(self.fault(mark, fault)))
    }

    fn written(&self, fields: &[Field]) -> String {
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        format!("{} is written with: {}", self.rtype, names.join(", "))
    }

    fn text(&self, word: Word) -> &str {
        word.text(&self.source.text)
    }

    fn fault(&self, word: Word, fault: Fault) -> Problem {
        self.error(word, fault.message, fault.help.map(str::to_owned))
    }

    fn error(&self, word: Word, message: impl Display, help: Option<String>) -> Problem {
        Diagnostic::error(message.to_string()).at(self.source, word.span()).maybe_help(help).into()
    }
}

const WRITTEN_UNKNOWN: &str = "write `\\# length hexadecimal` (RFC 3597)";

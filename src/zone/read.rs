//! A zone file read into records: directives, owners, TTLs and classes (RFC 1035 §5.1, RFC 2308 §4).

use super::lex::{self, Entry, Lexer, Word};
use super::rdata;
use super::ttl::{self, MAX_TTL, TtlError};
use crate::diagnostic::{Diagnostic, Source, has_errors, nearest};
use crate::name::{MAX_NAME, Name};
use crate::wire::RecordType;

/// After so many problems the rest of a file is not read: it is something else than a zone file.
pub(super) const MAX_PROBLEMS: usize = 1_000;

/// The records of a zone in the order of its file.
#[derive(Debug)]
pub struct Records {
    pub(super) source: Source,
    pub(super) origin: Name,
    /// Owner names in lower-case wire form, one for each run.
    pub(super) names: Vec<u8>,
    pub(super) rdata: Vec<u8>,
    pub(super) runs: Vec<Run>,
    pub(super) entries: Vec<RecordAt>,
    /// Nothing was left out because of an error.
    pub(super) is_whole: bool,
}

/// Records in a row that have the same owner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) name: u32,
    /// The first of them; the next run's first is the end.
    pub(super) first: u32,
}

/// Where a record's data lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordAt {
    rdata: u32,
    length: u16,
    pub(super) rtype: RecordType,
    /// Seconds.
    pub(super) ttl: u32,
    /// Where the word that names its type stands.
    at: u32,
}

/// One record of a zone file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record<'r> {
    /// The owner name in lower-case wire form.
    pub owner: &'r [u8],
    /// The type.
    pub rtype: RecordType,
    /// Seconds, as the file has them.
    pub ttl: u32,
    /// The data in uncompressed wire form, names in the case they were written in.
    pub rdata: &'r [u8],
}

impl Records {
    /// The records in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.runs.iter().enumerate().flat_map(move |(index, run)| {
            self.entries_of(index).map(move |entry| Record {
                owner: self.name(run.name),
                rtype: self.entries[entry].rtype,
                ttl: self.entries[entry].ttl,
                rdata: self.rdata(entry),
            })
        })
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The name that starts at this octet of `names`.
    pub(super) fn name(&self, at: u32) -> &[u8] {
        name_at(&self.names, at)
    }

    /// The numbers of the records of a run.
    pub(super) fn entries_of(&self, run: usize) -> std::ops::Range<usize> {
        let end = self.runs.get(run + 1).map_or(self.entries.len(), |next| next.first as usize);
        self.runs[run].first as usize..end
    }

    pub(super) fn rdata(&self, entry: usize) -> &[u8] {
        let RecordAt { rdata, length, .. } = self.entries[entry];
        &self.rdata[rdata as usize..rdata as usize + usize::from(length)]
    }

    /// Points a message at a record.
    pub(super) fn blame(&self, diagnostic: Diagnostic, entry: usize) -> Diagnostic {
        let at = self.entries[entry].at as usize;
        diagnostic.at(&self.source, lex::rest_of_line(&self.source, at))
    }
}

/// The name in wire form that starts at an octet of an arena, with its root.
pub(super) fn name_at(arena: &[u8], at: u32) -> &[u8] {
    let name = &arena[at as usize..];
    let mut end = 0;
    while name[end] != 0 {
        end += 1 + usize::from(name[end]);
    }
    &name[..=end]
}

/// Reads a zone file; the zone's name is the origin that it starts with.
///
/// All problems are reported, those of single records; `Zone::build` finds those of the zone as a whole.
pub fn read(source: &Source, origin: &Name) -> (Records, Vec<Diagnostic>) {
    let mut reader = Reader {
        source,
        origin: origin.clone(),
        default_ttl: None,
        last_ttl: None,
        owner: Owner::Missing,
        problems: Vec::new(),
        records: Records {
            source: source.clone(),
            origin: origin.clone(),
            names: Vec::new(),
            rdata: Vec::new(),
            runs: Vec::new(),
            entries: Vec::new(),
            is_whole: true,
        },
    };
    reader.read();
    let Reader { mut records, problems, .. } = reader;
    records.is_whole = !has_errors(&problems);
    (records, problems)
}

struct Reader<'s> {
    source: &'s Source,
    /// What relative names are continued by: the zone's name until `$ORIGIN` says otherwise.
    origin: Name,
    /// From `$TTL`.
    default_ttl: Option<u32>,
    /// Of the last record that stated one (RFC 1035 §5.1).
    last_ttl: Option<u32>,
    owner: Owner,
    problems: Vec<Diagnostic>,
    records: Records,
}

/// Whose the next record without an owner is.
enum Owner {
    /// There was none yet.
    Missing,
    /// It was reported; its records are read for their own errors only.
    Unusable,
    /// That of the last run of records.
    Same,
    /// A new run begins with the next record.
    New(Name),
}

impl<'s> Reader<'s> {
    fn read(&mut self) {
        if u32::try_from(self.source.text.len()).is_err() {
            let problem = Diagnostic::error("the zone file is larger than 4 GiB").in_file(self.source.name.clone());
            return self.problems.push(problem);
        }
        let mut lexer = Lexer::new(self.source);
        let mut words = Vec::new();
        while let Some(entry) = lexer.next_entry(&mut words, &mut self.problems) {
            match words[..] {
                [first, ..] if !entry.is_indented && self.text(first).starts_with('$') && !first.is_quoted => {
                    if !entry.is_broken {
                        self.directive(first, &words[1..]);
                    }
                }
                _ => self.entry(entry, &words),
            }
            if self.problems.len() >= MAX_PROBLEMS {
                let message = format!("reading stops here, after {MAX_PROBLEMS} problems");
                return self.error(words[0], message, Some("is this a zone file?"));
            }
            if self.is_full() {
                let message = "the zone is too large: more than 4 GiB of names or of data";
                return self.error(words[0], message, None);
            }
        }
    }

    /// Whether another record of any size might not be reached by offsets of 32 bits.
    fn is_full(&self) -> bool {
        // Room for one more record, and for the names of all services that there can be.
        const LIMIT: usize = u32::MAX as usize - u16::MAX as usize * (MAX_NAME + 2);
        self.records.names.len() > LIMIT || self.records.rdata.len() > LIMIT
    }

    fn directive(&mut self, word: Word, arguments: &[Word]) {
        let directive = self.text(word).to_ascii_uppercase();
        match (directive.as_str(), arguments) {
            ("$TTL", [ttl]) => match self.ttl(*ttl) {
                Some(seconds) => self.default_ttl = Some(seconds),
                // What follows shall not be reported for want of a TTL.
                None => self.default_ttl = self.default_ttl.or(Some(0)),
            },
            ("$ORIGIN", [name]) => match Name::parse(self.text(*name), Some(&self.origin)) {
                Ok(origin) => self.origin = origin,
                Err(error) => self.error(*name, error.to_string(), None),
            },
            ("$TTL" | "$ORIGIN", []) => {
                self.error(word, format!("`{directive}` lacks its value"), None);
            }
            ("$TTL" | "$ORIGIN", [_, surplus, ..]) => {
                self.error(*surplus, format!("`{directive}` takes one value"), None);
            }
            ("$INCLUDE", _) => {
                self.error(word, "`$INCLUDE` is not built yet", Some("copy the file's records to this place"));
            }
            ("$GENERATE", _) => {
                self.error(word, "`$GENERATE` is not built yet", Some("write the records out"));
            }
            _ => {
                let help = nearest(&directive, ["$TTL", "$ORIGIN"]).map(|known| format!("did you mean `{known}`?"));
                self.error(word, format!("unknown directive `{directive}`"), help.as_deref());
            }
        }
    }

    /// Reads a record: its owner first, because records after it may share it even if this one is broken.
    fn entry(&mut self, entry: Entry, words: &[Word]) {
        let mut rest = words;
        if let ([owner, after @ ..], false) = (words, entry.is_indented) {
            self.owner(*owner);
            rest = after;
        }
        if entry.is_broken {
            return;
        }
        let Some((ttl, rest)) = self.ttl_and_class(rest, words, entry) else {
            return;
        };
        let Some((&type_word, fields)) = rest.split_first() else {
            return self.error(words[words.len() - 1], "the record ends before its type", None);
        };
        let Some(rtype) = self.rtype(type_word, entry, words) else {
            return;
        };
        let context = rdata::Context { source: self.source, origin: &self.origin, rtype, type_word };
        let start = self.records.rdata.len();
        if !rdata::parse(&context, fields, &mut self.records.rdata, &mut self.problems) {
            return;
        }
        let ttl = self.effective_ttl(ttl, rtype, type_word, start);
        self.store(type_word, rtype, ttl, start);
    }

    fn owner(&mut self, word: Word) {
        let text = self.text(word);
        if word.is_quoted {
            self.owner = Owner::Unusable;
            return self.error(word, "a quoted string where an owner name is expected", Some("leave the quotes out"));
        }
        match Name::parse(text, Some(&self.origin)) {
            Ok(name) if name.is_at_or_below(&self.records.origin) => self.owner = Owner::New(name),
            Ok(name) => {
                self.owner = Owner::Unusable;
                let message = format!("`{name}` is outside the zone `{}`", self.records.origin);
                self.error(word, message, Some("put it into the file of its own zone"));
            }
            Err(error) => {
                self.owner = Owner::Unusable;
                self.error(word, error.to_string(), None);
            }
        }
    }

    /// What stands before the type: TTL and class, in either order, both optional.
    fn ttl_and_class<'w>(
        &mut self,
        words: &'w [Word],
        all: &[Word],
        entry: Entry,
    ) -> Option<(Option<u32>, &'w [Word])> {
        let (mut ttl, mut has_class) = (None, false);
        let mut rest = words;
        while let [word, after @ ..] = rest {
            let text = self.text(*word);
            if ttl.is_none() && text.starts_with(|first: char| first.is_ascii_digit()) {
                if ttl::seconds(text) == Err(TtlError::NotATime) {
                    let help = self.owner_help(entry, all);
                    self.error(*word, format!("`{text}` is neither a TTL nor a class nor a type"), help);
                    return None;
                }
                ttl = Some(self.ttl(*word)?);
            } else if let (false, Some(class)) = (has_class, class_number(text)) {
                if class != CLASS_IN {
                    self.error(*word, format!("class `{text}` is not served"), Some("only the class IN is"));
                    return None;
                }
                has_class = true;
            } else {
                break;
            }
            rest = after;
        }
        Some((ttl, rest))
    }

    fn ttl(&mut self, word: Word) -> Option<u32> {
        let text = self.text(word);
        match ttl::seconds(text) {
            Ok(seconds) if seconds <= MAX_TTL => return Some(seconds),
            Err(TtlError::NotATime) => {
                self.error(word, format!("`{text}` is not a TTL"), Some("write seconds, or units as in `1h30m`"));
            }
            // RFC 2181 §8: the top bit is not used.
            Ok(_) | Err(TtlError::TooLong) => {
                self.error(word, format!("`{text}` is out of range: a TTL is 0 to {MAX_TTL} seconds"), None);
            }
        }
        None
    }

    fn rtype(&mut self, word: Word, entry: Entry, all: &[Word]) -> Option<RecordType> {
        let text = self.text(word);
        let Ok(rtype) = text.parse::<RecordType>() else {
            let similar = || nearest(text, RecordType::mnemonics()).map(|known| format!("did you mean `{known}`?"));
            let help = self.owner_help(entry, all).map(str::to_owned).or_else(similar);
            self.error(word, format!("unknown record type `{text}`"), help.as_deref());
            return None;
        };
        if rtype.is_meta() {
            self.error(word, format!("`{rtype}` is a type of messages, not of records"), None);
            return None;
        }
        Some(rtype)
    }

    /// A type or class in the first column is an owner name to the grammar, and seldom to the writer.
    fn owner_help(&self, entry: Entry, words: &[Word]) -> Option<&'static str> {
        let first = self.text(*words.first()?);
        let is_misplaced = !entry.is_indented && (first.parse::<RecordType>().is_ok() || class_number(first).is_some());
        is_misplaced.then_some("the first word of a line is its owner; begin with blank space to keep the last owner")
    }

    fn effective_ttl(&mut self, stated: Option<u32>, rtype: RecordType, type_word: Word, start: usize) -> u32 {
        if let Some(ttl) = stated {
            self.last_ttl = Some(ttl);
            return ttl;
        }
        if let Some(ttl) = self.default_ttl.or(self.last_ttl) {
            return ttl;
        }
        let help = Some("write `$TTL 1h` at the top of the file");
        if let (RecordType::SOA, Some(minimum)) = (rtype, self.records.rdata[start..].last_chunk::<4>()) {
            // As BIND does: before RFC 2308, MINIMUM was the zone's default TTL.
            let ttl = u32::from_be_bytes(*minimum).min(MAX_TTL);
            self.default_ttl = Some(ttl);
            let message = format!("no TTL is given: the minimum of the SOA record, {ttl} s, is used");
            let warning = Diagnostic::warning(message).at(self.source, type_word.span());
            self.problems.push(warning.maybe_help(help.map(str::to_owned)));
            return ttl;
        }
        self.error(type_word, "the record has no TTL, and no record above it has one", help);
        // Once is enough.
        self.last_ttl = Some(0);
        0
    }

    /// Keeps the record whose data are the last in the arena.
    fn store(&mut self, type_word: Word, rtype: RecordType, ttl: u32, start: usize) {
        let records = &mut self.records;
        match &self.owner {
            Owner::Missing => {
                let help = "begin the line with an owner name, `@` for the zone itself";
                self.owner = Owner::Unusable;
                return self.error(type_word, "the record has no owner, and there is none above it", Some(help));
            }
            Owner::Unusable => return,
            Owner::Same => {}
            Owner::New(name) => {
                let lower = name.lower_wire();
                let is_last = records.runs.last().is_some_and(|run| *records.name(run.name) == *lower);
                if !is_last {
                    // `is_full` has seen to it that this fits.
                    let run = Run { name: records.names.len() as u32, first: records.entries.len() as u32 };
                    records.names.extend_from_slice(&lower);
                    records.runs.push(run);
                }
                self.owner = Owner::Same;
            }
        }
        records.entries.push(RecordAt {
            rdata: start as u32,
            length: (records.rdata.len() - start) as u16,
            rtype,
            ttl,
            at: type_word.span().start as u32,
        });
    }

    /// What was written; it belongs to the source, not to the reader.
    fn text(&self, word: Word) -> &'s str {
        word.text(&self.source.text)
    }

    fn error(&mut self, word: Word, message: impl Into<String>, help: Option<&str>) {
        let error = Diagnostic::error(message).at(self.source, word.span());
        self.problems.push(error.maybe_help(help.map(str::to_owned)));
    }
}

const CLASS_IN: u16 = 1;

/// The number of a class: its mnemonic, or `CLASS` and a number (RFC 3597 §5).
fn class_number(text: &str) -> Option<u16> {
    const MNEMONICS: [(&str, u16); 4] = [("IN", CLASS_IN), ("CS", 2), ("CH", 3), ("HS", 4)];
    if let Some((_, number)) = MNEMONICS.iter().find(|(mnemonic, _)| mnemonic.eq_ignore_ascii_case(text)) {
        return Some(*number);
    }
    let (prefix, number) = text.split_at_checked(5)?;
    let is_class = prefix.eq_ignore_ascii_case("CLASS") && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_class { number.parse().ok() } else { None }
}

//! A zone file read into records: directives, owners, TTLs and classes (RFC 1035 §5.1, RFC 2308 §4).

use super::include::Open;
use super::lex::{Entry, Lexer, Word};
use super::rdata;
use super::records::{RecordAt, Records, Run};
use super::ttl::{self, MAX_TTL, TtlError};
use crate::diagnostic::{Diagnostic, Source, has_errors, nearest};
use crate::name::{MAX_NAME, Name};
use crate::wire::RecordType;

/// After so many problems the rest of a file is not read: it is something else than a zone file.
pub(super) const MAX_PROBLEMS: usize = 1_000;

/// Reads a zone file; the zone's name is the origin that it starts with.
///
/// `open` is asked for each file that is included; where it refuses, it says why and what to do, not where.
/// All problems are reported, those of single records; `Zone::build` finds those of the zone as a whole.
pub fn read(source: &Source, origin: &Name, open: &mut Open<'_>) -> (Records, Vec<Diagnostic>) {
    let mut state = State {
        open,
        default_ttl: None,
        last_ttl: None,
        owner: Owner::Missing,
        generated: 0,
        is_given_up: false,
        problems: Vec::new(),
        records: Records::new(origin.clone()),
    };
    match state.records.texts.open(source, None) {
        Some(start) => Reader { source, start, included_at: None, origin: origin.clone(), state: &mut state }.read(),
        None => {
            let problem = Diagnostic::error("the zone file is larger than 4 GiB").in_file(source.name.clone());
            state.problems.push(problem);
        }
    }
    let State { mut records, problems, .. } = state;
    records.is_whole = !has_errors(&problems);
    (records, problems)
}

/// Reads one text of a zone.
pub(super) struct Reader<'s, 'z, 'o> {
    pub(super) source: &'s Source,
    /// The number of the text's first octet among those of all texts.
    pub(super) start: u32,
    /// Where the directive stands that includes it.
    pub(super) included_at: Option<u32>,
    /// What relative names are continued by: the zone's name until `$ORIGIN` says otherwise.
    pub(super) origin: Name,
    pub(super) state: &'z mut State<'o>,
}

/// What goes on from one text of a zone to the next.
pub(super) struct State<'o> {
    pub(super) open: &'o mut Open<'o>,
    /// From `$TTL`.
    default_ttl: Option<u32>,
    /// Of the last record that stated one (RFC 1035 §5.1).
    last_ttl: Option<u32>,
    owner: Owner,
    /// Records that `$GENERATE` has made.
    pub(super) generated: usize,
    /// The rest of all texts is not read.
    is_given_up: bool,
    pub(super) problems: Vec<Diagnostic>,
    pub(super) records: Records,
}

/// Whose the next record without an owner is.
#[derive(Clone)]
pub(super) enum Owner {
    /// There was none yet.
    Missing,
    /// It was reported; its records are read for their own errors only.
    Unusable,
    /// That of the last run of records.
    Same,
    /// A new run begins with the next record.
    New(Name),
}

impl State<'_> {
    /// The owner, by its name even if it is that of the last run: other runs may come before it is put back.
    pub(super) fn take_owner(&mut self) -> Owner {
        let owner = std::mem::replace(&mut self.owner, Owner::Missing);
        match (&owner, self.records.runs.last()) {
            (Owner::Same, Some(run)) => {
                let name = Name::from_wire(self.records.name(run.name));
                Owner::New(name.expect("the names of runs have been checked"))
            }
            _ => owner,
        }
    }

    /// Completes the messages since so many of them: they are of an included file, whose first octet this is.
    pub(super) fn say_who_includes(&mut self, start: u32, known_problems: usize) {
        // Finding lines takes time, and many files are included without a problem.
        if self.problems.len() == known_problems {
            return;
        }
        let texts = &self.records.texts;
        let Some(note) = texts.includers(texts.locate(start).0) else { return };
        for problem in self.problems[known_problems..].iter_mut().filter(|problem| !problem.has_note()) {
            *problem = problem.clone().note(note.clone());
        }
    }

    pub(super) fn set_owner(&mut self, owner: Owner) {
        self.owner = owner;
    }

    /// Whether another record of any size might not be reached by offsets of 32 bits.
    pub(super) fn is_full(&self) -> bool {
        // Room for one more record, and for the names of all services that there can be.
        const LIMIT: usize = u32::MAX as usize - u16::MAX as usize * (MAX_NAME + 2);
        self.records.names.len() > LIMIT || self.records.rdata.len() > LIMIT
    }
}

impl<'s> Reader<'s, '_, '_> {
    pub(super) fn read(&mut self) {
        if is_utf16(&self.source.text) {
            let error = Diagnostic::error("the file is UTF-16").in_file(self.source.name.clone());
            return self.state.problems.push(error.help("save it as UTF-8"));
        }
        let mut lexer = Lexer::new(self.source);
        let mut words = Vec::new();
        while let Some(entry) = lexer.next_entry(&mut words, &mut self.state.problems) {
            match words[..] {
                [first, ..] if !entry.is_indented && self.text(first).starts_with('$') && !first.is_quoted => {
                    if !entry.is_broken {
                        self.directive(first, &words[1..]);
                    }
                }
                _ => self.entry(entry, &words),
            }
            if self.state.is_given_up {
                return;
            }
            if self.state.problems.len() >= MAX_PROBLEMS {
                // One entry of many words may have had more of them.
                self.state.problems.truncate(MAX_PROBLEMS);
                let message = format!("reading stops here, after {MAX_PROBLEMS} problems");
                self.error(words[0], message, Some("is this a zone file?"));
                self.state.is_given_up = true;
                return;
            }
            if self.state.is_full() {
                self.error(words[0], "the zone is too large: more than 4 GiB of names or of data", None);
                self.state.is_given_up = true;
                return;
            }
        }
    }

    fn directive(&mut self, word: Word, arguments: &[Word]) {
        let directive = self.text(word).to_ascii_uppercase();
        match (directive.as_str(), arguments) {
            ("$TTL", [ttl]) => match self.ttl(*ttl) {
                Some(seconds) => self.state.default_ttl = Some(seconds),
                // What follows shall not be reported for want of a TTL.
                None => self.state.default_ttl = self.state.default_ttl.or(Some(0)),
            },
            ("$ORIGIN", [name]) => match Name::parse(self.text(*name), Some(&self.origin)) {
                Ok(origin) => self.origin = origin,
                Err(error) => self.error(*name, error.to_string(), None),
            },
            // When BIND wrote the file; nothing depends on it.
            ("$DATE", [_]) => {}
            ("$TTL" | "$ORIGIN" | "$DATE", []) => {
                self.error(word, format!("`{directive}` lacks its value"), None);
            }
            ("$TTL" | "$ORIGIN" | "$DATE", [_, surplus, ..]) => {
                self.error(*surplus, format!("`{directive}` takes one value"), None);
            }
            ("$INCLUDE", arguments) => self.include(word, arguments),
            ("$GENERATE", arguments) => self.generate(word, arguments),
            _ => {
                let help = nearest(&directive, ["$TTL", "$ORIGIN", "$INCLUDE", "$GENERATE"])
                    .map(|known| format!("did you mean `{known}`?"));
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
        let (start, known_problems) = (self.state.records.rdata.len(), self.state.problems.len());
        if !rdata::parse(&context, fields, &mut self.state.records.rdata, &mut self.state.problems) {
            return self.blame_order(rtype, type_word, fields, known_problems);
        }
        let ttl = self.effective_ttl(ttl, rtype, type_word, start);
        self.store(type_word, rtype, ttl, start);
    }

    /// Says once that TTL or class stand behind the type, if that is what is wrong with the data.
    fn blame_order(&mut self, rtype: RecordType, type_word: Word, fields: &[Word], known_problems: usize) {
        let context = rdata::Context { source: self.source, origin: &self.origin, rtype, type_word };
        let is_misplaced = |word: &&Word| {
            let text = self.text(**word);
            !word.is_quoted && (class_number(text) == Some(CLASS_IN) || ttl::seconds(text).is_ok())
        };
        // Elsewhere a TTL without a class behind it is not to be told from a number of the data.
        let has_no_numbers =
            matches!(rtype, RecordType::A | RecordType::AAAA | RecordType::NS | RecordType::CNAME | RecordType::PTR);
        let misplaced = fields.iter().take(2).take_while(is_misplaced).count();
        let is_right = |count: usize| {
            let (before, data) = fields.split_at(count);
            (has_no_numbers || before.iter().any(|word| class_number(self.text(*word)).is_some()))
                && rdata::parse(&context, data, &mut Vec::new(), &mut Vec::new())
        };
        let Some(count) = (1..=misplaced).find(|&count| is_right(count)) else { return };
        self.state.problems.truncate(known_problems);
        let message = format!("`{}` stands behind the type", self.text(fields[count - 1]));
        self.error(fields[count - 1], message, Some(WRITTEN));
    }

    fn owner(&mut self, word: Word) {
        let text = self.text(word);
        match Name::parse(text, Some(&self.origin)) {
            Ok(name) if name.is_at_or_below(&self.state.records.origin) => self.state.owner = Owner::New(name),
            Ok(name) => {
                self.state.owner = Owner::Unusable;
                let message = format!("`{name}` is outside the zone `{}`", self.state.records.origin);
                self.error(word, message, Some("put it into the file of its own zone"));
            }
            Err(error) => {
                self.state.owner = Owner::Unusable;
                self.error(word, error.to_string(), None);
            }
        }
    }

    /// What stands before the type: TTL and class, in either order, both optional.
    pub(super) fn ttl_and_class<'w>(
        &mut self,
        words: &'w [Word],
        all: &[Word],
        entry: Entry,
    ) -> Option<(Option<u32>, &'w [Word])> {
        let (mut ttl, mut has_class) = (None, false);
        let mut rest = words;
        // The words before the data are never quoted: BIND refuses `a "60" "A" 192.0.2.1`, which is mostly a mistake.
        while let [word, after @ ..] = rest
            && !word.is_quoted
        {
            let text = self.text(*word);
            if ttl.is_none() && text.starts_with(|first: char| first.is_ascii_digit()) {
                if ttl::seconds(text) == Err(TtlError::NotATime) {
                    let help = self.owner_help(entry, all).or(Some(WRITTEN));
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
            // RFC 2181 §8: with its top bit set it counts as 0.
            Ok(seconds) => {
                let message = format!("the TTL {seconds} is above {MAX_TTL} seconds");
                let help = "it counts as 0 (RFC 2181); write seconds, or units as in `1h30m`";
                self.state.problems.push(Diagnostic::warning(message).at(self.source, word.span()).help(help));
                return Some(0);
            }
            Err(TtlError::TooLong) => {
                self.error(word, format!("`{text}` is out of range: a TTL is 0 to {MAX_TTL} seconds"), None);
            }
        }
        None
    }

    pub(super) fn rtype(&mut self, word: Word, entry: Entry, all: &[Word]) -> Option<RecordType> {
        let text = self.text(word);
        if word.is_quoted {
            self.error(word, "a quoted string where the type is expected", Some("leave the quotes out"));
            return None;
        }
        let Ok(rtype) = text.parse::<RecordType>() else {
            let known = RecordType::mnemonics().filter(|known| !known.parse().is_ok_and(RecordType::is_meta));
            let similar = nearest(text, known).map(|known| format!("did you mean `{known}`?"));
            let help = match text.starts_with('$') && entry.is_indented {
                true => Some("a directive begins in the first column".to_owned()),
                false => similar.or_else(|| self.owner_help(entry, all).map(str::to_owned)),
            };
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

    pub(super) fn effective_ttl(
        &mut self,
        stated: Option<u32>,
        rtype: RecordType,
        type_word: Word,
        start: usize,
    ) -> u32 {
        if let Some(ttl) = stated {
            self.state.last_ttl = Some(ttl);
            return ttl;
        }
        if let Some(ttl) = self.state.default_ttl.or(self.state.last_ttl) {
            return ttl;
        }
        let help = Some("write `$TTL 1h` at the top of the file");
        if let (RecordType::SOA, Some(minimum)) = (rtype, self.state.records.rdata[start..].last_chunk::<4>()) {
            // As BIND does: before RFC 2308, MINIMUM was the zone's default TTL.
            let ttl = u32::from_be_bytes(*minimum).min(MAX_TTL);
            self.state.default_ttl = Some(ttl);
            let message = format!("no TTL is given: the minimum of the SOA record, {ttl} s, is used");
            let warning = Diagnostic::warning(message).at(self.source, type_word.span());
            self.state.problems.push(warning.maybe_help(help.map(str::to_owned)));
            return ttl;
        }
        self.error(type_word, "the record has no TTL, and no record above it has one", help);
        // Once is enough.
        self.state.last_ttl = Some(0);
        0
    }

    /// Keeps the record whose data are the last in the arena.
    pub(super) fn store(&mut self, type_word: Word, rtype: RecordType, ttl: u32, start: usize) {
        let at = self.start + type_word.span().start as u32;
        let records = &mut self.state.records;
        match &self.state.owner {
            Owner::Missing => {
                let help = "begin the line with an owner name, `@` for the zone itself";
                self.state.owner = Owner::Unusable;
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
                self.state.owner = Owner::Same;
            }
        }
        records.entries.push(RecordAt {
            rdata: start as u32,
            length: (records.rdata.len() - start) as u16,
            rtype,
            ttl,
            at,
        });
    }

    /// What was written; it belongs to the source, not to the reader.
    pub(super) fn text(&self, word: Word) -> &'s str {
        word.text(&self.source.text)
    }

    pub(super) fn error(&mut self, word: Word, message: impl Into<String>, help: Option<&str>) {
        let error = Diagnostic::error(message).at(self.source, word.span());
        self.state.problems.push(error.maybe_help(help.map(str::to_owned)));
    }
}

/// Whether octets that became this text began with a byte order mark of UTF-16, in which every other octet is 0.
fn is_utf16(text: &str) -> bool {
    let rest = text.strip_prefix("\\255\\254").or_else(|| text.strip_prefix("\\254\\255"));
    rest.is_some_and(|rest| rest.bytes().take(2).any(|octet| octet == 0))
}

const CLASS_IN: u16 = 1;
const WRITTEN: &str = "a record is written with: owner, TTL, class, type, data";

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

//! The records of a zone in the order of its files, and where in them each was written.

use super::lex;
use super::sign::{is_of_signing, put_serial};
use super::store::Zone;
use crate::diagnostic::{Diagnostic, Source};
use crate::name::{Name, wire_length};
use crate::wire::RecordType;

/// The records of a zone in the order of its file.
#[derive(Debug, Clone)]
pub struct Records {
    pub(super) texts: Texts,
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
    pub(super) rdata: u32,
    pub(super) length: u16,
    pub(super) rtype: RecordType,
    /// Seconds.
    pub(super) ttl: u32,
    /// Where the word that names its type stands, among the octets of all texts.
    pub(super) at: u32,
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
    /// Of a zone, none yet.
    pub(super) fn new(origin: Name) -> Self {
        Self {
            texts: Texts::default(),
            origin,
            names: Vec::new(),
            rdata: Vec::new(),
            runs: Vec::new(),
            entries: Vec::new(),
            is_whole: true,
        }
    }

    /// Those of a zone that was built, without what signing has added.
    pub(super) fn of(zone: &Zone) -> Self {
        let mut records = Self::new(zone.apex().clone());
        // Whatever is wrong with them is so at some place.
        records.texts.open(&Source::new("the zone as it is served", ""), None);
        for (owner, rrset) in zone.rrsets().filter(|(_, rrset)| !is_of_signing(rrset.rtype)) {
            rrset.rdata().for_each(|rdata| records.add(owner, rrset.rtype, rrset.ttl, rdata));
        }
        records
    }

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

    /// Adds a record that no file has, for what is made of the zone; its owner is in lower-case wire form.
    pub(super) fn add(&mut self, owner: &[u8], rtype: RecordType, ttl: u32, rdata: &[u8]) {
        let name = self.names.len() as u32;
        self.names.extend_from_slice(owner);
        self.runs.push(Run { name, first: self.entries.len() as u32 });
        let at = self.rdata.len() as u32;
        self.rdata.extend_from_slice(rdata);
        // Nothing is ever wrong with it, so its place is that of any other.
        self.entries.push(RecordAt { rdata: at, length: rdata.len() as u16, rtype, ttl, at: 0 });
    }

    /// Gives the zone another serial number.
    pub(super) fn set_serial(&mut self, serial: u32) {
        let Some(&RecordAt { rdata, length, .. }) = self.entries.iter().find(|entry| entry.rtype == RecordType::SOA)
        else {
            return;
        };
        put_serial(&mut self.rdata[rdata as usize..rdata as usize + usize::from(length)], serial);
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
        let (text, at) = self.texts.locate(self.entries[entry].at);
        let diagnostic = diagnostic.at(&text.source, lex::rest_of_line(&text.source, at));
        match self.texts.includers(text) {
            Some(note) => diagnostic.note(note),
            None => diagnostic,
        }
    }
}

/// The name in wire form that starts at an octet of an arena, with its root.
pub(super) fn name_at(arena: &[u8], at: u32) -> &[u8] {
    let name = &arena[at as usize..];
    &name[..wire_length(name)]
}

/// The texts of a zone in the order in which reading them began: its file first, then what that includes.
///
/// Each octet of them has one number, so that a record of any of them knows its place by four octets.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    opened: Vec<Text>,
}

/// A zone file, or one that is included. What is included twice is here twice, with one copy of its octets.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) source: Source,
    /// The number of its first octet.
    start: u32,
    /// The number of the octet at which the directive stands that includes it.
    included_at: Option<u32>,
}

impl Texts {
    /// Takes a text in; the number of its first octet, or none if there are no numbers left.
    pub(super) fn open(&mut self, source: &Source, included_at: Option<u32>) -> Option<u32> {
        // One more than its octets: its end is a place too, and not one of the next text.
        let end = |text: &Text| text.start as usize + text.source.text.len() + 1;
        let start = u32::try_from(self.opened.last().map_or(0, end)).ok()?;
        let text = Text { source: source.clone(), start, included_at };
        u32::try_from(end(&text)).ok()?;
        self.opened.push(text);
        Some(start)
    }

    /// The zone file itself.
    pub(super) fn first(&self) -> &Source {
        &self.opened[0].source
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.opened.len()
    }

    /// The text that an octet belongs to, and which of its octets it is.
    pub(super) fn locate(&self, at: u32) -> (&Text, usize) {
        // The first one starts at 0, so there is one before any place.
        let text = &self.opened[self.opened.partition_point(|text| text.start <= at) - 1];
        (text, (at - text.start) as usize)
    }

    /// Who includes a text, and who includes that: what is said below messages about it.
    pub(super) fn includers(&self, text: &Text) -> Option<String> {
        let mut note = None;
        for (source, at) in self.path(text.included_at) {
            let (line, _) = source.position(at);
            let by = format!("included by {}:{line}", source.name);
            note = Some(note.map_or(by.clone(), |note| format!("{note}, {by}")));
        }
        note
    }

    /// From a directive up to the zone file: each text with the place in it where the one below is included.
    pub(super) fn path(&self, included_at: Option<u32>) -> impl Iterator<Item = (&Source, usize)> {
        let mut next = included_at;
        std::iter::from_fn(move || {
            let (text, at) = self.locate(next?);
            next = text.included_at;
            Some((&text.source, at))
        })
    }
}

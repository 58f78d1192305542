//! What should have been answered: what most peers say, link by link where a chain of aliases leaves a zone.

use std::collections::{BTreeMap, BTreeSet};

use thalweg::name::{Name, is_at_or_below};
use thalweg::wire::RecordType;

use super::queries::Question;
use super::reading::{Parts, Record, TC};
use super::servers::SERVERS;
use super::support::query::Query;

/// The replies of all servers; none where there was silence.
pub(crate) type Replies = [Option<Parts>; SERVERS];

/// A name and a type that are asked about over TCP, in class IN and without EDNS.
pub(crate) type Link = (Name, RecordType);

/// What of an answer is compared, the header aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) rcode: u16,
    /// Sorted.
    pub(crate) answer: Vec<Record>,
    /// CNAME and DNAME in the order of the answer.
    pub(crate) aliases: Vec<Record>,
    /// Sorted.
    pub(crate) authority: Vec<Record>,
    /// Addresses of the servers of a referral that are at or below its cut, sorted.
    pub(crate) glue: Vec<Record>,
}

impl Content {
    pub(crate) fn of(parts: &Parts) -> Self {
        let is_alias = |record: &&Record| matches!(record.rtype, RecordType::CNAME | RecordType::DNAME);
        let cut = parts.authority.iter().find(|record| record.rtype == RecordType::NS);
        let is_glue = |record: &&Record| {
            let is_address = matches!(record.rtype, RecordType::A | RecordType::AAAA);
            is_address && cut.is_some_and(|cut| is_at_or_below(&record.owner, &cut.owner))
        };
        Self {
            rcode: parts.rcode,
            answer: sorted(parts.answer.iter().cloned()),
            aliases: parts.answer.iter().filter(is_alias).cloned().collect(),
            authority: sorted(parts.authority.iter().cloned()),
            glue: sorted(parts.additional.iter().filter(is_glue).cloned()),
        }
    }

    /// Whether it holds nothing that the other does not hold.
    pub(crate) fn is_part_of(&self, other: &Self) -> bool {
        let within = |these: &[Record], those: &[Record]| these.iter().all(|record| those.contains(record));
        self.rcode == other.rcode
            && within(&self.answer, &other.answer)
            && other.aliases.starts_with(&self.aliases)
            && within(&self.authority, &other.authority)
            && within(&self.glue, &other.glue)
    }
}

fn sorted(records: impl Iterator<Item = Record>) -> Vec<Record> {
    let mut records: Vec<Record> = records.collect();
    records.sort();
    records
}

/// What the peers make of a question.
#[derive(Debug)]
pub(crate) enum Expected {
    /// Most of them say this.
    Content {
        content: Content,
        /// So many times the chain of aliases went from one zone into another.
        borders: usize,
        /// Somebody makes glue of wildcards, which was left out.
        has_wildcard_glue: bool,
        /// For ANY: what the last name has according to any of them; it is left out of the content.
        any: BTreeSet<Record>,
    },
    /// The chain of aliases comes back to itself; the records of which it is made.
    Loop(BTreeSet<Record>),
    /// All of them say something else.
    Undecided,
    /// This must be asked first.
    Wanted(Link),
}

/// The zones that are served, and what was asked link by link.
pub(crate) struct Oracle {
    apexes: BTreeSet<Name>,
    /// Owner, type, TTL and data of all records that the zones hold.
    pub(crate) records: BTreeSet<Record>,
    links: BTreeMap<Link, Replies>,
}

/// Aliases that lead from zone to zone, and aliases inside of one; more of them count as a loop.
const MAX_BORDERS: usize = 16;
const MAX_WALKED: usize = 10;

impl Oracle {
    pub(crate) fn new(apexes: BTreeSet<Name>, records: BTreeSet<Record>) -> Self {
        Self { apexes, records, links: BTreeMap::new() }
    }

    /// How a link is asked.
    pub(crate) fn question((name, qtype): &Link) -> Question {
        let query = Query { name: name.clone(), ..Query::new(".", *qtype) };
        Question { query, is_tcp: true }
    }

    /// Keeps what a link was answered.
    pub(crate) fn learn(&mut self, link: Link, replies: Replies) {
        self.links.insert(link, replies);
    }

    /// What was answered to it.
    pub(crate) fn link(&self, link: &Link) -> Result<&Replies, Link> {
        self.links.get(link).ok_or_else(|| link.clone())
    }

    /// What most peers make of a question of class IN, whatever room there was in their replies.
    pub(crate) fn expected(&self, link: &Link, first: &Replies) -> Expected {
        let mut link = link.clone();
        let is_truncated = first.iter().flatten().any(|parts| parts.flags & TC != 0);
        let mut replies = if is_truncated { None } else { Some(first) };
        let mut whole = Content::default();
        let mut has_wildcard_glue = false;
        let (mut any, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for borders in 0..MAX_BORDERS {
            let replies = match replies.take().map_or_else(|| self.link(&link), Ok) {
                Ok(replies) => replies,
                Err(link) => return Expected::Wanted(link),
            };
            let (mut ends, mut all) = (Vec::new(), Vec::new());
            for reply in replies[1..].iter().flatten() {
                seen.extend(reply.answer.iter().cloned());
                let mut content = Content::of(reply);
                let glue = content.glue.len();
                content.glue.retain(|record| self.records.contains(record));
                has_wildcard_glue |= content.glue.len() < glue;
                let walk = walk(&link, content, |owner, target| {
                    let there = self.zone_of(target, link.1);
                    // Asked for ANY, BIND does not go on even inside of a zone.
                    there.is_some() && (link.1 == RecordType::ANY || there != self.zone_of(owner, link.1))
                });
                all.push(walk.any);
                // However far somebody has gone.
                let content = if walk.is_loop { Content::default() } else { walk.content };
                ends.push((content, walk.border, walk.is_loop));
            }
            let Some(most) = majority(ends.clone()) else { return Expected::Undecided };
            // Who sees another chain sees another name at its end.
            any.extend(ends.iter().zip(all).filter(|(end, _)| **end == most).flat_map(|(_, any)| any));
            let (content, border, is_loop) = most;
            if is_loop {
                return Expected::Loop(seen);
            }
            // A DNAME that is used twice is there once.
            whole.answer.extend(content.answer.into_iter().filter(|record| !whole.aliases.contains(record)));
            let new: Vec<Record> =
                content.aliases.into_iter().filter(|record| !whole.aliases.contains(record)).collect();
            whole.aliases.extend(new);
            let Some(target) = border else {
                let Content { rcode, authority, glue, .. } = content;
                whole.answer.sort();
                return Expected::Content {
                    content: Content { rcode, authority, glue, ..whole },
                    borders,
                    has_wildcard_glue,
                    any,
                };
            };
            link = (target, link.1);
        }
        Expected::Loop(seen)
    }

    /// The apex of the zone that answers for a name.
    fn zone_of(&self, name: &Name, qtype: RecordType) -> Option<&Name> {
        let zones = || self.apexes.iter().filter(|apex| name.is_at_or_below(apex));
        // RFC 4035 §3.1.4.1: DS belongs to the parent, if that is served.
        let parents = zones().filter(|apex| qtype != RecordType::DS || *apex != name);
        parents.max_by_key(|apex| apex.label_count()).or_else(|| zones().max_by_key(|apex| apex.label_count()))
    }
}

/// A reply after its aliases were followed.
pub(crate) struct Walk {
    /// Up to the border, if there is one.
    pub(crate) content: Content,
    /// The target of the alias at which the walk was to end.
    pub(crate) border: Option<Name>,
    /// The walk came back to where it had been, or would go on until names are too long.
    pub(crate) is_loop: bool,
    /// For ANY: what the last name has, which is taken out of the content.
    pub(crate) any: Vec<Record>,
    /// For ANY: how many records are neither of the chain nor of its last name.
    pub(crate) strays: usize,
}

/// Follows the aliases of a reply, up to one with whose owner and target it is to end.
pub(crate) fn walk((name, qtype): &Link, content: Content, is_border: impl Fn(&Name, &Name) -> bool) -> Walk {
    let parsed = |wire: &[u8]| Name::from_wire(wire).expect("the reader has made it a name");
    let mut walked = vec![name.lower_wire().into_vec()];
    let (mut border, mut is_loop) = (None, false);
    while let Some(alias) = walked.last().and_then(|owner| followed(&content.aliases, owner, *qtype)) {
        let target = parsed(&alias.data);
        if walked.contains(&alias.data) || walked.len() > MAX_WALKED || grows(&content.aliases, &alias.owner) {
            is_loop = true;
            break;
        }
        if is_border(&parsed(&alias.owner), &target) {
            border = Some(target);
            break;
        }
        walked.push(alias.data.clone());
    }
    if border.is_none() && *qtype != RecordType::ANY {
        return Walk { content, border, is_loop, any: Vec::new(), strays: 0 };
    }
    let is_walked = |record: &Record| match record.rtype {
        RecordType::CNAME => {
            followed(&content.aliases, &record.owner, *qtype).is_some() && walked.contains(&record.owner)
        }
        RecordType::DNAME => {
            walked.iter().any(|name| name.len() > record.owner.len() && is_at_or_below(name, &record.owner))
        }
        _ => false,
    };
    let (answer, rest): (Vec<Record>, Vec<Record>) = content.answer.iter().cloned().partition(is_walked);
    let aliases = content.aliases.iter().filter(|record| is_walked(record)).cloned().collect();
    if border.is_some() {
        // What is behind a border is somebody else's.
        let content = Content { answer, aliases, ..Content::default() };
        return Walk { content, border, is_loop, any: Vec::new(), strays: 0 };
    }
    let (any, strays): (Vec<Record>, Vec<Record>) =
        rest.into_iter().partition(|record| walked.last().is_some_and(|last| *last == record.owner));
    Walk { content: Content { answer, aliases, ..content }, border, is_loop, any, strays: strays.len() }
}

/// Whether a name is below a DNAME whose target is below itself: each step makes the name longer.
fn grows(aliases: &[Record], name: &[u8]) -> bool {
    let above = |record: &&Record| record.rtype == RecordType::DNAME && is_at_or_below(name, &record.owner);
    aliases.iter().filter(above).any(|record| is_at_or_below(&record.data, &record.owner))
}

/// The CNAME of a name, if it is followed when this type is asked for.
fn followed<'r>(aliases: &'r [Record], owner: &[u8], qtype: RecordType) -> Option<&'r Record> {
    let alias = aliases.iter().find(|record| record.rtype == RecordType::CNAME && record.owner == owner)?;
    let made_it = |record: &Record| record.rtype == RecordType::DNAME && is_at_or_below(owner, &record.owner);
    match qtype {
        RecordType::CNAME => None,
        // Only one that follows from a DNAME is no record of the name (RFC 6672 §3.1).
        RecordType::ANY => Some(alias).filter(|_| aliases.iter().any(made_it)),
        _ => Some(alias),
    }
}

/// What at least two say.
pub(crate) fn majority<T: PartialEq>(mut all: Vec<T>) -> Option<T> {
    let index = (0..all.len()).find(|&index| all[index + 1..].contains(&all[index]))?;
    Some(all.swap_remove(index))
}

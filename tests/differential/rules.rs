//! Whether our reply is what the peers say it should be, and the differences that are known.
//!
//! Deviations of a single peer need no rule, the others outvote it: Knot expands a DNAME that a wildcard owns; NSD knows
//! the names of all its zones in all of them (hidden data and glue make NODATA of NXDOMAIN in the child), follows a CNAME
//! when asked for RRSIG or NSEC, and takes no zone in which a name is below a DNAME of another zone; BIND fills truncated
//! replies with parts of RRsets. Where two of these meet there is no majority; that is counted, and has a limit.

use std::collections::{BTreeMap, BTreeSet};

use thalweg::name::Name;
use thalweg::wire::{Rcode, RecordType};

use super::judge::{Content, Expected, Link, Oracle, Replies, Walk, majority, walk};
use super::queries::Question;
use super::reading::{AA, Parts, Record, TC};
use super::servers::OURS;
use super::support::query::CD;

/// A difference that is known: where it applies is decided by `Judge::judge`, in the order in which they stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    CdIsCopied,
    ClassAny,
    OneRrsetForAny,
    ChainAcrossZones,
    Loop,
    GlueOfWildcard,
    Truncated,
    Size,
}

impl Rule {
    pub(crate) fn because(self) -> &'static str {
        match self {
            Self::CdIsCopied => "CD: we and BIND copy it, NSD and Knot clear it (RFC 4035 §3.1.6: SHOULD clear)",
            Self::ClassAny => "class ANY: we say REFUSED; NSD, Knot and BIND all do something else",
            Self::OneRrsetForAny => "ANY: one RRset of those that exist (RFC 8482 §4.1); BIND sends all, others any",
            Self::ChainAcrossZones => {
                "aliases into another zone: we and NSD go on there, BIND stops (asked for ANY, at any alias) and Knot may \
                 refer to it; what should follow is what most say when asked for the target itself"
            }
            Self::Loop => {
                "loops of aliases and names that a DNAME makes ever longer: everybody stops elsewhere; ours must be \
                 NOERROR, or YXDOMAIN, with the first records of the chain"
            }
            Self::GlueOfWildcard => {
                "NSD and Knot make glue of a wildcard below the cut; we and BIND do not: it is hidden, so it owns nothing"
            }
            Self::Truncated => "truncated: what is left in the reply must be part of the whole",
            Self::Size => {
                "TC: the peers compress names in the data of CNAME and SOA too, and NSD and BIND leave glue out \
                 without TC (RFC 9471 §3.1); ours must be set just when what is required does not fit as we write it"
            }
        }
    }
}

/// What is to be said about a reply.
#[derive(Debug)]
pub(crate) enum Verdict {
    Right,
    Undecided,
    Wrong(String),
    /// This must be asked first.
    Wanted(Link),
}

/// Compares replies, and counts the known differences.
pub(crate) struct Judge {
    pub(crate) oracle: Oracle,
    pub(crate) uses: BTreeMap<Rule, usize>,
}

impl Judge {
    pub(crate) fn new(apexes: BTreeSet<Name>, records: BTreeSet<Record>) -> Self {
        Self { oracle: Oracle::new(apexes, records), uses: BTreeMap::new() }
    }

    /// Whether our reply is right.
    pub(crate) fn judge(&mut self, question: &Question, replies: &Replies) -> Verdict {
        let mut used = BTreeSet::new();
        let verdict = self.compare(question, replies, &mut used);
        if !matches!(verdict, Verdict::Wanted(_)) {
            for rule in used {
                *self.uses.entry(rule).or_default() += 1;
            }
        }
        verdict
    }

    fn compare(&self, question: &Question, replies: &Replies, used: &mut BTreeSet<Rule>) -> Verdict {
        let Some(ours) = &replies[OURS] else { return Verdict::Wrong("silence".to_owned()) };
        if let Some(verdict) = self.header(question, replies, ours, used) {
            return verdict;
        }
        if question.query.class == 255 {
            used.insert(Rule::ClassAny);
            return match (Rcode(ours.rcode), ours.answer.len() + ours.authority.len() + ours.additional.len()) {
                (Rcode::REFUSED, 0) => Verdict::Right,
                _ => Verdict::Wrong("class ANY is not REFUSED".to_owned()),
            };
        }
        if let Some(stray) = ours.additional.iter().find(|record| !self.oracle.records.contains(record)) {
            return Verdict::Wrong(format!("additional data that no zone has: {stray:?}"));
        }
        if let Some(twice) = twice(&ours.answer).or_else(|| twice(&ours.authority)) {
            return Verdict::Wrong(format!("a record that is there twice: {twice:?}"));
        }
        if question.query.class != 1 {
            let peers = replies[1..].iter().flatten().map(Content::of).collect();
            let expected: Option<Content> = majority(peers);
            return match expected.map(|expected| difference(&Content::of(ours), &expected)) {
                None => Verdict::Undecided,
                Some(difference) if difference.is_empty() => Verdict::Right,
                Some(difference) => Verdict::Wrong(difference),
            };
        }
        let link = (question.query.name.clone(), question.query.qtype);
        let is_truncated = ours.flags & TC != 0;
        let walked = walk(&link, Content::of(ours), |_, _| false);
        let (expected, borders) = match self.oracle.expected(&link, replies) {
            Expected::Wanted(link) => return Verdict::Wanted(link),
            Expected::Undecided => return Verdict::Undecided,
            Expected::Loop(records) => {
                used.insert(Rule::Loop);
                return looped(&walked, &records, is_truncated);
            }
            Expected::Content { content, borders, has_wildcard_glue, any } => {
                if has_wildcard_glue {
                    used.insert(Rule::GlueOfWildcard);
                }
                if let Some(problem) = any_problem(&walked, &any, is_truncated) {
                    return Verdict::Wrong(problem);
                }
                if !any.is_empty() {
                    used.insert(Rule::OneRrsetForAny);
                }
                (content, borders)
            }
        };
        if borders > 0 {
            used.insert(Rule::ChainAcrossZones);
        }
        if is_truncated {
            used.insert(Rule::Truncated);
        }
        let is_right = if is_truncated { walked.content.is_part_of(&expected) } else { walked.content == expected };
        if !is_right {
            return Verdict::Wrong(difference(&walked.content, &expected));
        }
        // A chain that others do not follow, or records that they do not send, need more room than theirs.
        let is_longer = borders > 0 || question.query.qtype == RecordType::ANY;
        let peers = replies[1..].iter().flatten().map(|parts| parts.flags & TC != 0).collect();
        if !is_longer && majority(peers) == Some(is_truncated) || question.is_tcp {
            return if question.is_tcp && is_truncated {
                Verdict::Wrong("TC over TCP".to_owned())
            } else {
                Verdict::Right
            };
        }
        if !is_longer {
            used.insert(Rule::Size);
        }
        let whole = match self.oracle.link(&link) {
            Ok(whole) => whole[OURS].as_ref().expect("we have answered"),
            Err(link) => return Verdict::Wanted(link),
        };
        let opt = if question.query.edns.is_some() { OPT_SIZE } else { 0 };
        let size = whole.size_with(&Content::of(whole).glue) + opt;
        if (size > limit(question)) != is_truncated {
            return Verdict::Wrong(format!("TC is {is_truncated}, but {size} octets must go into {}", limit(question)));
        }
        Verdict::Right
    }

    /// Flags, question and OPT; a verdict if they are not right.
    fn header(
        &self,
        question: &Question,
        replies: &Replies,
        ours: &Parts,
        used: &mut BTreeSet<Rule>,
    ) -> Option<Verdict> {
        let mut ignored = TC;
        if question.query.flags & CD != 0 {
            used.insert(Rule::CdIsCopied);
            ignored |= CD;
            if ours.flags & CD == 0 {
                return Some(Verdict::Wrong("CD is not copied".to_owned()));
            }
        }
        if question.query.class == 255 {
            ignored |= AA;
        }
        let header = |parts: &Parts| (parts.flags & !ignored, parts.question.clone(), parts.edns);
        let peers = replies[1..].iter().flatten().map(header).collect();
        let Some(expected) = majority(peers) else { return Some(Verdict::Undecided) };
        let found = header(ours);
        (found != expected).then(|| Verdict::Wrong(format!("flags, question or OPT: {found:x?} is not {expected:x?}")))
    }
}

/// RFC 8482: one RRset of those that exist, and none only if there is none; what is wrong.
fn any_problem(ours: &Walk, known: &BTreeSet<Record>, is_truncated: bool) -> Option<String> {
    let types: BTreeSet<RecordType> = ours.any.iter().map(|record| record.rtype).collect();
    let is_known = ours.any.iter().all(|record| known.contains(record));
    let is_one = types.len() == 1 || (types.is_empty() && (known.is_empty() || is_truncated));
    let is_right = is_known && is_one && ours.strays == 0;
    (!is_right).then(|| format!("{} types, known: {is_known}, and {} other records", types.len(), ours.strays))
}

/// A loop: the first of its records, as many as one likes, with NOERROR, or YXDOMAIN if the name grows too long.
fn looped(ours: &Walk, known: &BTreeSet<Record>, is_truncated: bool) -> Verdict {
    let Content { rcode, answer, aliases, authority, .. } = &ours.content;
    let is_known = answer.iter().all(|record| known.contains(record) || follows_from_dname(record, aliases));
    let cnames = aliases.iter().filter(|record| record.rtype == RecordType::CNAME).count();
    let is_rcode = matches!(Rcode(*rcode), Rcode::NOERROR | Rcode::YXDOMAIN);
    match (is_rcode, is_known, authority.is_empty()) {
        (true, true, true) if cnames > 0 || is_truncated => Verdict::Right,
        found => Verdict::Wrong(format!("a loop with {cnames} aliases: {found:?}")),
    }
}

/// RFC 6672 §3.1: owner and target differ just as owner and target of the DNAME do.
fn follows_from_dname(cname: &Record, aliases: &[Record]) -> bool {
    aliases.iter().filter(|record| record.rtype == RecordType::DNAME).any(|dname| {
        let kept = cname.owner.strip_suffix(&dname.owner[..]).unwrap_or_default();
        !kept.is_empty() && [kept, &dname.data].concat() == cname.data && cname.ttl == dname.ttl
    })
}

fn twice(records: &[Record]) -> Option<&Record> {
    records.iter().enumerate().find(|(index, record)| records[..*index].contains(record)).map(|(_, record)| record)
}

fn difference(ours: &Content, expected: &Content) -> String {
    let mut parts = Vec::new();
    if ours.rcode != expected.rcode {
        parts.push(format!("rcode {} is not {}", ours.rcode, expected.rcode));
    }
    let sections = [
        ("answer", &ours.answer, &expected.answer),
        ("order of aliases", &ours.aliases, &expected.aliases),
        ("authority", &ours.authority, &expected.authority),
        ("glue", &ours.glue, &expected.glue),
    ];
    for (name, ours, expected) in sections {
        if ours != expected {
            parts.push(format!("{name}: {} records, {} expected", ours.len(), expected.len()));
        }
    }
    parts.join("; ")
}

/// Octets of an OPT record without options.
const OPT_SIZE: usize = 11;

/// Octets that a reply over UDP may have.
fn limit(question: &Question) -> usize {
    let offered = question.query.edns.as_ref().map_or(512, |edns| usize::from(edns.payload));
    if question.is_tcp { 65_535 } else { offered.clamp(512, 1_232) }
}

//! The course of a query as far as it can be followed before it is answered: its zone, what that has for it, its key.
//!
//! One query waits for memory at each step, and the next step is known only then: the table of names, the name, the client's
//! key. The queries of a batch take each step together, so that they all wait at the same time.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use super::{Context, Subject, SubjectKind};
use crate::name::{LookupName, MAX_LABELS, labels};
use crate::snapshot::Snapshot;
use crate::steer::{Key, KeyTable};
use crate::wire::{CLASS_IN, Query, RecordType};
use crate::zone::{Found, Lookup, Zone};

/// How far a query has been followed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Course<'s> {
    /// The zone that answers; none outside all zones, and for what no zone answers.
    pub(super) zone: Option<&'s Zone>,
    /// What the zone has for the question.
    pub(super) lookup: Option<Lookup<'s>>,
    /// The client's key at the steered name that was asked for.
    pub(super) key: Option<u64>,
}

impl<'s> Course<'s> {
    /// Follows a query that comes alone.
    #[inline]
    pub fn of(snapshot: &'s Snapshot, query: &Query<'_>) -> Self {
        let mut course = Self::begin(snapshot, query);
        course.look_up(query);
        course
    }

    #[inline]
    fn begin(snapshot: &'s Snapshot, query: &Query<'_>) -> Self {
        let is_for_zones = query.problem.is_none() && query.qclass == CLASS_IN;
        let zone = if is_for_zones { zone_of(snapshot, query.name, query.qtype) } else { None };
        Self { zone, ..Self::default() }
    }

    #[inline]
    fn look_up(&mut self, query: &Query<'_>) {
        self.lookup = self.zone.map(|zone| zone.lookup(query.name, query.qtype));
    }
}

impl Course<'_> {
    /// What the reply is about, as far as this step of it says; `before` is what the steps before it said, of which the first
    /// has none. In the end it may be an error.
    #[inline]
    pub fn subject(&self, name: &LookupName, before: Subject) -> Subject {
        let (Some(zone), Some(lookup)) = (self.zone, self.lookup) else { return before };
        // A chain is about its first name, unless what is beyond follows from another.
        let plain = match before {
            Subject::ERROR => Subject { kind: SubjectKind::Answer, name: name.hash_of_all() },
            before => before,
        };
        let of = |kind, labels: usize| Subject { kind, name: name.suffix_hash(labels) };
        let found = match lookup.wildcard {
            Some(labels) => of(SubjectKind::Wildcard, usize::from(labels)),
            None => plain,
        };
        match lookup.found {
            Found::Dname { owner, .. } => of(SubjectKind::Wildcard, labels(owner).count()),
            Found::NoData { .. } => Subject { kind: SubjectKind::NoData, ..found },
            Found::NxDomain => of(SubjectKind::NxDomain, zone.apex_labels()),
            Found::Referral { labels, .. } => of(SubjectKind::Referral, usize::from(labels)),
            Found::Records(_) | Found::Any(_) | Found::Cname { .. } | Found::Steered { .. } | Found::Whoami => found,
        }
    }
}

/// Follows the queries of a batch together, N at most, each with how it came; `keys` is what will answer them.
#[inline]
pub fn follow<'s, const N: usize>(
    snapshot: &'s Snapshot,
    keys: &KeyTable,
    batch: &[(Query<'_>, Context)],
    courses: &mut ArrayVec<Course<'s>, N>,
) {
    for (query, _) in batch {
        let course = Course::begin(snapshot, query);
        course.zone.inspect(|zone| zone.fetch_place(query.name));
        courses.push(course);
    }
    for (course, (query, _)) in courses.iter().zip(batch) {
        course.zone.inspect(|zone| zone.fetch_name(query.name));
    }
    let mut placed_at = ArrayVec::<(u64, IpAddr), N>::new();
    for (course, (query, context)) in courses.iter_mut().zip(batch) {
        course.look_up(query);
        if let Some(Lookup { found: Found::Steered { .. }, .. }) = course.lookup {
            let subnet = query.edns.as_ref().and_then(|edns| edns.subnet.as_ref());
            let placed = Key::of(subnet.and_then(|subnet| subnet.network), context.client.ip());
            let key = keys.key(context.client.ip(), &placed, u64::from(query.name.hash_of_all()));
            keys.fetch_place(key);
            snapshot.geo.fetch(placed.network.address());
            course.key = Some(key);
            placed_at.push((key, placed.network.address()));
        }
    }
    for (key, address) in placed_at {
        keys.fetch_memory(key);
        snapshot.geo.fetch_next(address);
    }
}

/// The zone that answers for a name; none if the one that would has nothing to answer with.
#[inline]
pub(super) fn zone_of<'s>(snapshot: &'s Snapshot, name: &LookupName, qtype: RecordType) -> Option<&'s Zone> {
    holder(snapshot, name, qtype).filter(|zone| !zone.is_absent())
}

/// The zone that a name is in.
#[inline]
pub(super) fn holder<'s>(snapshot: &'s Snapshot, name: &LookupName, qtype: RecordType) -> Option<&'s Zone> {
    let zones = &snapshot.zones;
    if qtype == RecordType::DS {
        // RFC 4035 §3.1.4.1: DS belongs to the parent, also where parent and child are both served here.
        let parent = zones.find(name, name.label_count().saturating_sub(1));
        if let Some(zone) = parent {
            return Some(zone);
        }
    }
    zones.find(name, MAX_LABELS).map(|zone| &**zone)
}

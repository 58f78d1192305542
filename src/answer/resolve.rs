//! From a query to a typed reply: the look-up through zones (RFC 1034 §4.3.2), and the decision at steered names.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ptr;

use arrayvec::ArrayVec;

use super::course::{Course, holder, zone_of};
use super::{Context, Reasons, Subject, SubjectKind, Transport};
use crate::name::{LookupName, MAX_LABELS, MAX_NAME, Printed, is_at_or_below};
use crate::snapshot::Snapshot;
use crate::steer::{KeyTable, Observation};
use crate::wire::{
    CLASS_CH, CLASS_IN, ExtendedError, Item, Owner, Query, Rcode, RecordType, Records, Reply, ZoneVersion,
};
use crate::zone::{Found, Lookup, Rrset, Zone};

/// Aliases that are followed; longer chains end there, with the chain so far (RFC 1034 §3.6.2 asks for a bound).
const MAX_CHAIN: usize = 16;

/// Finds what a query without problems gets, puts it into the reply, and says what that is about.
pub(super) fn resolve<'s>(
    snapshot: &'s Snapshot,
    query: &Query<'_>,
    course: Course<'s>,
    context: &Context,
    keys: Option<&mut KeyTable>,
    reply: &mut Reply<'s>,
    reasons: Option<&mut Reasons>,
) -> (Subject, Option<Observation<'s>>) {
    let mut resolution = Resolution { snapshot, query, context, keys, reply, reasons, subject: Subject::ERROR };
    let observation = resolution.follow(course);
    (resolution.subject, observation)
}

/// A reply in the making.
pub(super) struct Resolution<'s, 'q> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) query: &'q Query<'q>,
    pub(super) context: &'q Context,
    pub(super) keys: Option<&'q mut KeyTable>,
    pub(super) reply: &'q mut Reply<'s>,
    pub(super) reasons: Option<&'q mut Reasons>,
    pub(super) subject: Subject,
}

/// A step of the look-up: a name, and what its zone has for it.
pub(super) struct Step<'s, 'n> {
    pub(super) zone: &'s Zone,
    pub(super) name: &'n LookupName,
    pub(super) lookup: Lookup<'s>,
    /// The owner that answers to it have.
    pub(super) owner: Owner<'s>,
}

/// Hashes of the names that a DNAME has led to: none is followed twice.
type Renamed = ArrayVec<u64, MAX_CHAIN>;

impl<'s> Resolution<'s, '_> {
    /// Looks the name up, and what it is an alias of, to the end of the chain.
    fn follow(&mut self, mut course: Course<'s>) -> Option<Observation<'s>> {
        let qtype = self.query.qtype;
        let is_transfer = matches!(qtype, RecordType::AXFR | RecordType::IXFR);
        if self.query.qclass != CLASS_IN {
            self.tell_identity();
            return None;
        }
        if is_transfer {
            self.refuse_transfer();
            return None;
        }
        if qtype == RecordType::NXNAME {
            // RFC 9824 §3.6: it stands in bitmaps only.
            self.subject = Subject::ERROR;
            self.reply.rcode = Rcode::FORMERR;
            self.reply.options.error = Some(ExtendedError::INVALID_QUERY_TYPE);
            return None;
        }
        let mut aliased: LookupName;
        let mut name = self.query.name;
        let mut owner = Owner::Question;
        let mut renamed = Renamed::new();
        let mut steps = 0;
        loop {
            let (Some(zone), Some(lookup)) = (course.zone, course.lookup) else {
                // Outside our zones a chain just ends; a question does not belong here.
                if owner == Owner::Question {
                    self.refuse_name();
                }
                self.note(|| format!("{} is in no zone that is served here", Printed(name.wire())));
                return None;
            };
            if let Some(reasons) = &mut self.reasons {
                reasons.zone = Some(zone.apex().to_string());
            }
            self.reply.is_authoritative = true;
            if owner == Owner::Question {
                self.tell_version(zone);
            }
            self.subject = course.subject(name, self.subject);
            let step = Step { zone, name, lookup, owner };
            match lookup.found {
                Found::Records(rrset) | Found::Any(rrset) => {
                    self.note(|| format!("{} has records of the type", Printed(name.wire())));
                    // The DNAME that was asked for may have led here; what a wildcard makes of it is another record.
                    if lookup.wildcard.is_some() || !self.has_dname(rrset) {
                        self.reply.answer.push(Item::required(owner, ready(rrset)));
                        self.sign_answer(&step, rrset.rtype);
                    }
                    if rrset.rtype == RecordType::SOA {
                        self.tell_expire(rrset);
                    }
                    self.add_addresses(rrset);
                    return None;
                }
                Found::Whoami => {
                    self.tell_whoami(&step);
                    return None;
                }
                Found::Steered { service, family } => {
                    return self.steer(service, family, &step, course.key);
                }
                Found::Cname { record, target } => {
                    self.note(|| format!("{} is an alias of {}", Printed(name.wire()), Printed(target)));
                    let is_this = |item: &Item<'_>| matches!(item.records, Records::Ready { bytes, .. } if ptr::eq(bytes, record.bytes));
                    if self.reply.answer.iter().any(is_this) {
                        // RFC 2181 §5: a record is there once; more of a loop would only truncate the reply.
                        self.note(|| "the aliases are a loop".to_owned());
                        return None;
                    }
                    self.reply.answer.push(Item::required(owner, ready(record)));
                    self.sign_answer(&step, record.rtype);
                    steps += 1;
                    if steps >= MAX_CHAIN {
                        return None;
                    }
                    owner = Owner::Target;
                    aliased = LookupName::from_wire(target);
                    name = &aliased;
                    course = self.go_on(name);
                }
                Found::Dname { owner: from, record, target } => {
                    self.note(|| format!("all below {} is below {}", Printed(from), Printed(target)));
                    aliased = self.rename(&step, from, record, target, &mut renamed)?;
                    steps += 1;
                    if steps >= MAX_CHAIN {
                        return None;
                    }
                    owner = Owner::Target;
                    name = &aliased;
                    course = self.go_on(name);
                }
                Found::NoData { service } => {
                    self.note(|| format!("{} exists without the type", Printed(name.wire())));
                    let longest = service.map(|id| self.snapshot.fleet.service(id).service.ttl.max);
                    self.deny(&step, longest);
                    return None;
                }
                Found::NxDomain => {
                    self.note(|| format!("{} does not exist", Printed(name.wire())));
                    // RFC 6604 §3: the response code is that of the last name of a chain.
                    self.reply.rcode = Rcode::NXDOMAIN;
                    self.deny(&step, None);
                    return None;
                }
                Found::Referral { cut, labels: _, ns } => {
                    self.note(|| format!("{} is delegated", Printed(cut)));
                    // RFC 1034 §4.3.2 step 3b: a referral is not authoritative; a chain before it is.
                    self.reply.is_authoritative = owner != Owner::Question;
                    self.reply.authority.push(Item::required(Owner::Name(cut), ready(ns)));
                    self.sign_referral(&step, cut);
                    self.add_glue(zone, cut, ns);
                    return None;
                }
            }
        }
    }

    /// The course of what the question's name is an alias of.
    fn go_on(&self, name: &LookupName) -> Course<'s> {
        let zone = zone_of(self.snapshot, name, self.query.qtype);
        let lookup = zone.map(|zone| zone.lookup(name, self.query.qtype));
        Course { zone, lookup, key: None }
    }

    /// Answers questions of class CHAOS about this server; there is nothing else outside class IN.
    #[cold]
    fn tell_identity(&mut self) {
        let answer = match self.query.qclass {
            CLASS_CH => self.snapshot.identity.answer(self.query.name.wire(), self.query.qtype),
            _ => None,
        };
        match answer {
            Some(records) => {
                self.reply.is_authoritative = true;
                self.reply.answer.push(Item::required(Owner::Question, records));
                self.subject.kind = SubjectKind::Answer;
            }
            None => self.reply.rcode = Rcode::REFUSED,
        }
    }

    /// Transfers that are allowed went another way, on streams; but over UDP, IXFR gets the serial number that is here (RFC 1995 §2).
    #[cold]
    fn refuse_transfer(&mut self) {
        let name = self.query.name;
        let zone = zone_of(self.snapshot, name, self.query.qtype);
        let is_told = self.query.qtype == RecordType::IXFR && self.context.transport == Transport::Udp;
        match zone {
            Some(zone) if is_told && zone.apex_labels() == name.label_count() => {
                self.reply.is_authoritative = true;
                self.reply.answer.push(Item::required(Owner::Question, ready(zone.raw_soa())));
                self.tell_expire(zone.raw_soa());
                self.subject = Subject { kind: SubjectKind::Answer, name: name.hash_of_all() };
            }
            Some(_) => self.reply.rcode = Rcode::REFUSED,
            None => self.refuse_name(),
        }
    }

    /// No zone here has the name asked for.
    #[cold]
    fn refuse_name(&mut self) {
        self.subject = Subject::ERROR;
        // A zone of ours that has not come, or has expired: others may know more, and are to be asked.
        let is_absent = holder(self.snapshot, self.query.name, self.query.qtype).is_some();
        let (rcode, error) = match is_absent {
            true => (Rcode::SERVFAIL, ExtendedError::INVALID_DATA),
            false => (Rcode::REFUSED, ExtendedError::NOT_AUTHORITATIVE),
        };
        self.reply.rcode = rcode;
        self.reply.options.error = Some(error);
    }

    /// RFC 9660: the version of the zone that answers, where it is asked for.
    #[inline]
    fn tell_version(&mut self, zone: &Zone) {
        if self.query.edns.as_ref().is_some_and(|edns| edns.wishes.zone_version) {
            let labels = zone.apex_labels() as u8;
            self.reply.options.zone_version = Some(ZoneVersion { labels, serial: zone.serial() });
        }
    }

    /// RFC 7314 §4: with the SOA, the time after which a secondary must forget the zone, where it is asked for.
    #[cold]
    fn tell_expire(&mut self, soa: Rrset<'_>) {
        let wishes = self.query.edns.as_ref().map(|edns| edns.wishes).unwrap_or_default();
        let tail = soa.rdata().next().and_then(|rdata| rdata.last_chunk::<8>());
        if let (true, Some(&[e0, e1, e2, e3, ..])) = (wishes.expire, tail) {
            self.reply.options.expire = Some(u32::from_be_bytes([e0, e1, e2, e3]));
        }
    }

    /// Answers with a DNAME and the CNAME that follows from it (RFC 6672 §3.1); the name to go on with, if there is one.
    #[cold]
    fn rename(
        &mut self,
        step: &Step<'s, '_>,
        from: &'s [u8],
        record: Rrset<'s>,
        target: &'s [u8],
        renamed: &mut Renamed,
    ) -> Option<LookupName> {
        let &Step { zone, name, owner, .. } = step;
        let mut hasher = DefaultHasher::new();
        name.wire().hash(&mut hasher);
        let hash = hasher.finish();
        if renamed.contains(&hash) {
            // RFC 2181 §5: the CNAME is there already.
            self.note(|| "the aliases are a loop".to_owned());
            return None;
        }
        renamed.push(hash);
        let kept = name.wire().len() - from.len();
        let dname = (!self.has_dname(record)).then_some(record.bytes);
        if kept + target.len() > MAX_NAME {
            // RFC 6672 §2.2: there is no such name, for want of room.
            self.note(|| "the name would be too long".to_owned());
            self.reply.rcode = Rcode::YXDOMAIN;
            if dname.is_some() {
                self.reply.answer.push(Item::required(Owner::Name(from), ready(record)));
                self.sign_dname(zone, from);
            }
            return None;
        }
        self.reply
            .answer
            .push(Item::required(owner, Records::Renamed { dname, kept: kept as u8, target, ttl: record.ttl }));
        if dname.is_some() {
            self.sign_dname(zone, from);
        }
        // The CNAME that was asked for is there.
        if self.query.qtype == RecordType::CNAME {
            return None;
        }
        Some(LookupName::from_parts(&name.wire()[..kept], target))
    }

    /// Whether the answer has this DNAME: a record is there once (RFC 2181 §5).
    fn has_dname(&self, record: Rrset<'s>) -> bool {
        let is_this = |item: &Item<'_>| matches!(item.records, Records::Renamed { dname: Some(dname), .. } if ptr::eq(dname, record.bytes));
        record.rtype == RecordType::DNAME && self.reply.answer.iter().any(is_this)
    }

    /// Addresses of the hosts that NS, MX, SRV, SVCB and HTTPS records name in our zones, where there is room (RFC 1035 §3.3, RFC 2782,
    /// RFC 9460 §4.1).
    fn add_addresses(&mut self, rrset: Rrset<'s>) {
        match rrset.rtype {
            RecordType::NS | RecordType::MX | RecordType::SRV | RecordType::SVCB | RecordType::HTTPS => {
                for host in rrset.targets() {
                    let name = LookupName::from_wire(host);
                    if let Some(zone) = self.snapshot.zones.find(&name, MAX_LABELS) {
                        self.add_host(zone, host, false);
                        self.sign_host(zone, host);
                    }
                }
            }
            _ => {}
        }
    }

    /// Glue: addresses of the child's nameservers. Those below the cut must be there (RFC 9471 §3.1);
    /// others of this zone are welcome.
    fn add_glue(&mut self, zone: &'s Zone, cut: &[u8], ns: Rrset<'s>) {
        // Those that are required go first: what follows may be left out.
        for is_required in [true, false] {
            for host in ns.targets() {
                if is_at_or_below(host, cut) == is_required {
                    self.add_host(zone, host, is_required);
                }
            }
        }
    }

    fn add_host(&mut self, zone: &'s Zone, host: &'s [u8], is_required: bool) {
        let (v4, v6) = zone.addresses(host);
        for rrset in [v4, v6].into_iter().flatten() {
            let item = Item { is_required, ..Item::required(Owner::Name(host), ready(rrset)) };
            if self.reply.additional.try_push(item).is_err() {
                // More hosts than an answer needs; but glue that is left out is told (RFC 9471 §3.1).
                self.reply.lacks_required |= is_required;
                return;
            }
        }
    }

    pub(super) fn note(&mut self, step: impl FnOnce() -> String) {
        if let Some(reasons) = &mut self.reasons {
            reasons.steps.push(step());
        }
    }
}

/// The SOA of a negative answer (RFC 2308 §3), its TTL at most that of the service at the name.
pub(super) fn negative(zone: &Zone, longest: Option<u32>) -> Item<'_> {
    let soa = zone.negative_soa();
    let ttl = longest.filter(|longest| *longest < soa.ttl);
    Item { ttl, ..Item::required(Owner::Name(zone.apex().wire()), ready(soa)) }
}

pub(super) fn ready(rrset: Rrset<'_>) -> Records<'_> {
    Records::Ready { count: rrset.count, bytes: rrset.bytes }
}

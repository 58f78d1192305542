//! What DNSSEC adds to an answer from a signed zone, for clients that ask for it (RFC 4035 §3.1): signatures, and proofs of what
//! there is not.

use super::resolve::{Resolution, Step, negative, ready};
use crate::dnssec::{Canonical, bitmap};
use crate::name::MAX_NAME;
use crate::pool::{Family, ServiceId};
use crate::snapshot::{Denied, addresses, denied};
use crate::steer::{Decision, FleetService};
use crate::wire::{CLASS_IN, Item, Owner, Rcode, RecordType, Records, rdata_of, ready_record};
use crate::zone::{Found, Lookup, Proof, Rrset, Zone};

/// What comes first below a name in canonical order: the label of one zero octet.
const FIRST_LABEL: &[u8] = &[1, 0];

impl<'s> Resolution<'s, '_> {
    /// Whether the client wants what proves the zone's answers, and there is some.
    #[inline]
    pub(super) fn proves(&self, zone: &Zone) -> bool {
        zone.is_signed() && self.query.edns.as_ref().is_some_and(|edns| edns.dnssec_ok)
    }

    /// Adds what signs the RRset that was just put into the answer, and the proof that nothing is closer than a wildcard.
    #[inline]
    pub(super) fn sign_answer(&mut self, step: &Step<'s, '_>, rtype: RecordType) {
        let &Step { zone, ref lookup, owner, .. } = step;
        if self.proves(zone) {
            self.sign(zone.signatures(lookup.place, rtype), owner);
            self.prove(step, None);
        }
    }

    /// Adds signatures to the answer, of the RRset that was put there last.
    #[cold]
    pub(super) fn sign(&mut self, signatures: Option<Rrset<'s>>, owner: Owner<'s>) {
        let Some(signatures) = signatures else { return };
        let owner = if owner == Owner::Target { Owner::Signed } else { owner };
        self.reply.answer.push(Item::required(owner, ready(signatures)));
    }

    /// The authority section of a negative answer: the SOA, which is kept for `longest` at most, and what proves it.
    #[inline]
    pub(super) fn deny(&mut self, step: &Step<'s, '_>, longest: Option<u32>) {
        let &Step { zone, .. } = step;
        let soa = negative(zone, longest);
        if self.proves(zone) {
            self.deny_provably(step, soa);
        } else {
            self.push_authority(soa);
        }
    }

    #[cold]
    fn deny_provably(&mut self, step: &Step<'s, '_>, soa: Item<'s>) {
        let longest = soa.ttl;
        self.push_soa(step.zone, soa);
        if !self.deny_compactly(step) {
            self.prove(step, longest);
        }
    }

    /// Adds the SOA of a negative answer with what signs it.
    fn push_soa(&mut self, zone: &'s Zone, soa: Item<'s>) {
        let (owner, ttl) = (soa.owner, soa.ttl.unwrap_or(zone.negative_soa().ttl));
        self.push_authority(soa);
        if let Some(signatures) = zone.signatures_at(zone.lower_apex(), RecordType::SOA) {
            // RFC 4034 §3: it has the TTL of what it covers.
            self.push_authority(Item { ttl: Some(ttl), ..Item::required(owner, ready(signatures)) });
        }
    }

    /// Says of a name that does not exist that it does without any type, which one signature proves where others take two or three (RFC
    /// 9824); false if that is not for this reply. It is the only thing in a zone that is signed here for which a query
    /// costs a signature; beyond a bound the zone's own chain says the same.
    fn deny_compactly(&mut self, step: &Step<'s, '_>) -> bool {
        let &Step { zone, name, ref lookup, .. } = step;
        let is_asked = self.query.name.wire() == name.wire() && self.reply.answer.is_empty();
        let fits = name.wire().len() + FIRST_LABEL.len() <= MAX_NAME;
        let Some(signer) = zone.signer().filter(|_| lookup.found == Found::NxDomain && is_asked && fits) else {
            return false;
        };
        if !self.snapshot.signatures.may_make() {
            return false;
        }
        let types = [RecordType::RRSIG, RecordType::NSEC, RecordType::NXNAME];
        let rdata: Box<[u8]> = [FIRST_LABEL, name.wire(), &bitmap(types)].concat().into();
        let ttl = zone.negative_soa().ttl;
        let nsec = ready_record(RecordType::NSEC, CLASS_IN, ttl, &rdata);
        let rrset = Canonical::new(name.wire(), RecordType::NSEC, ttl, vec![rdata]);
        let (count, signatures) = signer.sign_ready(&rrset, signer.lifetime().from(self.context.now / 1_000, 0));
        for (count, ready) in [(1, nsec), (count, signatures)] {
            let records = self.reply.keep_own(count, &ready);
            self.push_authority(Item::required(Owner::Question, records));
        }
        // RFC 9824 §3.1, §5.1: the name is there, in the words of DNSSEC; who knows better is told the truth.
        let knows = self.query.edns.as_ref().is_some_and(|edns| edns.compact_ok);
        self.reply.options.is_compact = knows;
        self.reply.rcode = if knows { Rcode::NXDOMAIN } else { Rcode::NOERROR };
        true
    }

    /// Adds the records of denial that a look-up needs, to be kept for `longest` at most.
    #[cold]
    fn prove(&mut self, step: &Step<'s, '_>, longest: Option<u32>) {
        self.prove_except(step, longest, &[]);
    }

    /// The same without the record of one owner.
    fn prove_except(&mut self, step: &Step<'s, '_>, longest: Option<u32>, other: &[u8]) {
        let &Step { zone, name, ref lookup, .. } = step;
        let proofs = zone.proofs(name, lookup);
        for Proof { owner, record, signatures } in proofs.into_iter().filter(|proof| proof.owner != other) {
            let ttl = longest.filter(|longest| *longest < record.ttl);
            for rrset in [Some(record), signatures].into_iter().flatten() {
                self.push_authority(Item { ttl, ..Item::required(Owner::Name(owner), ready(rrset)) });
            }
        }
    }

    /// Adds the DS records of a referral, or the proof that there are none (RFC 4035 §3.1.4).
    #[inline]
    pub(super) fn sign_referral(&mut self, step: &Step<'s, '_>, cut: &'s [u8]) {
        let &Step { zone, ref lookup, .. } = step;
        if !self.proves(zone) {
            return;
        }
        let Some(signer) = zone.delegation_signer(lookup.place) else {
            return self.prove(step, None);
        };
        let signatures = zone.signatures(lookup.place, RecordType::DS);
        for rrset in [Some(signer), signatures].into_iter().flatten() {
            self.push_authority(Item::required(Owner::Name(cut), ready(rrset)));
        }
    }

    /// Signs the DNAME record that was just put into the answer; the CNAME that follows from it needs no signature (RFC 6672 §5.3.1).
    pub(super) fn sign_dname(&mut self, zone: &'s Zone, from: &'s [u8]) {
        if self.proves(zone) {
            self.sign(zone.signatures_at(from, RecordType::DNAME), Owner::Name(from));
        }
    }

    /// Signs the addresses of a host that were just put into the additional section, where there is room (RFC 4035 §3.1.1).
    pub(super) fn sign_host(&mut self, zone: &'s Zone, host: &'s [u8]) {
        if !self.proves(zone) {
            return;
        }
        for (rtype, rrset) in [RecordType::A, RecordType::AAAA].into_iter().zip(<[_; 2]>::from(zone.addresses(host))) {
            if let Some(signatures) = rrset.and_then(|_| zone.signatures_at(host, rtype)) {
                let item = Item { is_required: false, ..Item::required(Owner::Name(host), ready(signatures)) };
                // More hosts than an answer needs.
                let _fits = self.reply.additional.try_push(item);
            }
        }
    }

    /// Signs what steering has put into the answer: mostly with what was made before the snapshot was published.
    #[cold]
    pub(super) fn sign_steered(
        &mut self,
        step: &Step<'s, '_>,
        service: &'s FleetService,
        family: Family,
        decision: &Decision<'s>,
    ) {
        let &Step { zone, name, owner, .. } = step;
        let Some((id, site)) = service_id(&step.lookup).zip(decision.site) else { return };
        let (snapshot, nodes) = (self.snapshot, decision.nodes);
        let signatures = if nodes.is_empty() {
            snapshot.signatures.of_elsewhere(id, family, site)
        } else {
            snapshot.signatures.of(id, family, site, decision.set, nodes.len())
        };
        if let Some((count, bytes)) = signatures {
            let owner = if owner == Owner::Target { Owner::Signed } else { owner };
            let ttl = Some(decision.ttl);
            self.reply.answer.push(Item { ttl, ..Item::required(owner, Records::Ready { count, bytes }) });
            self.prove(step, None);
            return;
        }
        let ttls = (service.service.ttl.max, decision.ttl);
        if nodes.is_empty() {
            let is_apex = name.label_count() == zone.apex_labels();
            let elsewhere = snapshot.elsewhere.records(service.pool, family, is_apex);
            if let Some((rtype, rdata)) = elsewhere.and_then(|(_, bytes)| rdata_of(bytes)) {
                self.sign_own(step, ttls, (rtype, || rdata));
            }
        } else {
            let (rtype, rdata) = addresses(&snapshot.fleet, family, nodes);
            self.sign_own(step, ttls, (rtype, || rdata));
        }
    }

    /// The authority section where a steered name has no addresses for this client, whatever the zone's chain says.
    #[inline]
    pub(super) fn deny_addresses(&mut self, step: &Step<'s, '_>, service: &'s FleetService, family: Family) {
        let soa = negative(step.zone, Some(service.service.ttl.max));
        if self.proves(step.zone) {
            self.deny_addresses_provably(step, soa, service, family);
        } else {
            self.push_authority(soa);
        }
    }

    #[cold]
    fn deny_addresses_provably(
        &mut self,
        step: &Step<'s, '_>,
        soa: Item<'s>,
        service: &'s FleetService,
        family: Family,
    ) {
        let &Step { zone, ref lookup, .. } = step;
        let (longest, own) = (soa.ttl, zone.name_at(lookup.place));
        self.push_soa(zone, soa);
        // Two records of one owner are one RRset, which nothing signs; that of a wildcard often covers the name too.
        self.prove_except(step, longest, own);
        let foreseen = service_id(lookup).and_then(|id| self.snapshot.signatures.of_none(id, family));
        if let Some(proof) = foreseen {
            for (count, bytes) in proof {
                self.push_authority(Item::required(Owner::Name(own), Records::Ready { count, bytes }));
            }
            return;
        }
        let signer = zone.signer().zip(denied(zone, &service.service, family));
        let Some((signer, Denied { ttl, rdata })) = signer else { return };
        let nsec = ready_record(RecordType::NSEC, CLASS_IN, ttl, &rdata);
        let rrset = Canonical::new(own, RecordType::NSEC, ttl, vec![rdata]);
        let (count, signatures) = signer.sign_ready(&rrset, signer.lifetime().from(self.context.now / 1_000, 0));
        for (count, ready) in [(1, nsec), (count, signatures)] {
            let records = self.reply.keep_own(count, &ready);
            self.push_authority(Item::required(Owner::Name(own), records));
        }
    }

    /// Signs now what was made for this reply alone, and was put into the answer; the first TTL is the one that is signed, the
    /// second one is sent.
    #[cold]
    pub(super) fn sign_own(
        &mut self,
        step: &Step<'s, '_>,
        (longest, ttl): (u32, u32),
        (rtype, rdata): (RecordType, impl FnOnce() -> Vec<Box<[u8]>>),
    ) {
        let &Step { zone, name, ref lookup, owner } = step;
        let Some(signer) = zone.signer().filter(|_| self.proves(zone)) else { return };
        // RFC 4035 §3.1.3.3: what a wildcard makes is signed as the wildcard.
        let signed = if lookup.wildcard.is_some() { zone.name_at(lookup.place) } else { name.wire() };
        let rrset = Canonical::new(signed, rtype, longest, rdata());
        let (count, ready) = signer.sign_ready(&rrset, signer.lifetime().from(self.context.now / 1_000, 0));
        let owner = if owner == Owner::Target { Owner::Signed } else { owner };
        let records = self.reply.keep_own(count, &ready);
        self.reply.answer.push(Item { ttl: Some(ttl), ..Item::required(owner, records) });
        self.prove(step, None);
    }

    /// Adds to the authority section what is not there yet.
    fn push_authority(&mut self, item: Item<'s>) {
        let is_there = self.reply.authority.iter().any(|other| other.owner == item.owner && other.is_same(&item));
        if !is_there && self.reply.authority.try_push(item).is_err() {
            // A proof with a gap is none.
            self.reply.lacks_required = true;
        }
    }
}

/// The service that a look-up led to.
fn service_id(lookup: &Lookup<'_>) -> Option<ServiceId> {
    match lookup.found {
        Found::Steered { service, .. } => Some(service),
        _ => None,
    }
}

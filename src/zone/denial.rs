//! What a signed zone proves with: signatures of RRsets, and that names or types do not exist (NSEC: RFC 4034, RFC 4035; NSEC3:
//! RFC 5155).

use arrayvec::ArrayVec;

use super::lookup::{Found, Lookup};
use super::store::{APEX, NONE, Rrset, Zone};
use crate::dnssec::{Validity, bitmap_without, nsec3};
use crate::name::{self, LookupName};
use crate::wire::RecordType;

/// The most records of denial that prove one thing: closest encloser, next closer name and wildcard (RFC 5155 §7.2.2).
pub const MAX_PROOF: usize = 3;

/// How a zone proves what it does not have.
#[derive(Debug, Default)]
pub(super) enum Denial {
    /// Not at all: it is not signed.
    #[default]
    None,
    /// By NSEC records; the nodes that have one, in canonical order.
    Nsec(Box<[u32]>),
    /// By NSEC3 records.
    Nsec3(Hashed),
}

/// The chain of NSEC3 records.
#[derive(Debug)]
pub(super) struct Hashed {
    parameters: nsec3::Parameters,
    /// The hashes that owner names begin with, in their order, and the nodes.
    chain: Box<[(nsec3::Hash, u32)]>,
}

/// A record of denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof<'z> {
    /// Its owner in lower-case wire form.
    pub owner: &'z [u8],
    /// The NSEC or NSEC3 record.
    pub record: Rrset<'z>,
    /// What signs it.
    pub signatures: Option<Rrset<'z>>,
}

/// Records of denial, each once.
pub type Proofs<'z> = ArrayVec<Proof<'z>, MAX_PROOF>;

impl Zone {
    /// Whether there are signatures and records of denial.
    #[inline]
    pub fn is_signed(&self) -> bool {
        !matches!(self.denial, Denial::None)
    }

    /// When the first of its signatures ends, in seconds since 1970; none if it is not signed.
    pub fn signatures_end(&self) -> Option<u32> {
        self.signatures_end
    }

    /// The name at which a look-up ended, in lower-case wire form.
    pub fn name_at(&self, place: u32) -> &[u8] {
        self.owner(place)
    }

    /// The data of the NSEC record of a name that has not this type just now, which its record in the zone says that it has.
    pub fn nsec_without(&self, name: &[u8], rtype: RecordType) -> Option<Box<[u8]>> {
        let name = LookupName::from_wire(name);
        let nsec = self.rrset(self.find(&name, name.label_count())?, RecordType::NSEC)?;
        let rdata = nsec.rdata().next()?;
        let (next, types) = rdata.split_at_checked(name::wire_length(rdata))?;
        Some([next, &bitmap_without(types, rtype)].concat().into())
    }

    /// What signs an RRset of the name at which a look-up ended.
    pub fn signatures(&self, place: u32, rtype: RecordType) -> Option<Rrset<'_>> {
        self.rrset(place, RecordType::RRSIG).and_then(|all| all.signatures_of(rtype))
    }

    /// What signs an RRset of a name in lower-case wire form.
    pub fn signatures_at(&self, owner: &[u8], rtype: RecordType) -> Option<Rrset<'_>> {
        let owner = LookupName::from_wire(owner);
        let place = self.find(&owner, owner.label_count())?;
        self.signatures(place, rtype)
    }

    /// The DS records of the name at which a look-up ended, for a referral.
    pub fn delegation_signer(&self, place: u32) -> Option<Rrset<'_>> {
        self.rrset(place, RecordType::DS)
    }

    /// What proves that a look-up of this name found what it did, as far as signatures do not: that there is no such name, no such
    /// type, or nothing closer than the wildcard.
    pub fn proofs(&self, name: &LookupName, lookup: &Lookup<'_>) -> Proofs<'_> {
        let mut proofs = Proofs::new();
        match &self.denial {
            Denial::None => {}
            Denial::Nsec(order) => self.prove_by_nsec(order, name, lookup, &mut proofs),
            Denial::Nsec3(hashed) => self.prove_by_nsec3(hashed, name, lookup, &mut proofs),
        }
        proofs
    }

    fn prove_by_nsec<'z>(&'z self, order: &'z [u32], name: &LookupName, lookup: &Lookup<'_>, proofs: &mut Proofs<'z>) {
        let mut put = |at: Option<u32>| self.put_proof(at, RecordType::NSEC, proofs);
        match (lookup.found, lookup.wildcard) {
            // RFC 4035 §3.1.3.2: the name is not there, and no wildcard is.
            (Found::NxDomain, _) => {
                put(self.nsec_before(order, name.wire()));
                put(self.nsec_before(order, &wildcard_of(self.owner(lookup.place))));
            }
            // RFC 4035 §3.1.3.4: the name is not there, and what is synthesised from has not the type.
            (Found::NoData { .. }, Some(_)) => {
                put(self.nsec_before(order, name.wire()));
                put(self.nsec_before(order, self.owner(lookup.place)));
            }
            // RFC 4035 §3.1.3.3: nothing is closer.
            (_, Some(_)) => put(self.nsec_before(order, name.wire())),
            // RFC 4035 §3.1.3.1, §3.1.4: its own NSEC; an empty non-terminal is covered by that of a name before it.
            (Found::NoData { .. } | Found::Referral { .. }, None) => {
                put(self.nsec_before(order, self.owner(lookup.place)));
            }
            _ => {}
        }
    }

    fn prove_by_nsec3<'z>(&'z self, hashed: &Hashed, name: &LookupName, lookup: &Lookup<'_>, proofs: &mut Proofs<'z>) {
        let mut put = |at: Option<u32>| self.put_proof(at, RecordType::NSEC3, proofs);
        match (lookup.found, lookup.wildcard) {
            // RFC 5155 §7.2.2. An empty non-terminal may have been left out of the chain with the insecure delegations below it
            // (§7.1): then a name above it is the closest that can be proved.
            (Found::NxDomain, _) => {
                let closest = name::labels(self.owner(lookup.place)).count();
                if let Some((labels, at)) = self.closest_provable(hashed, name, closest) {
                    put(Some(at));
                    put(hashed.covering(next_closer(name, labels)));
                    put(hashed.covering(&wildcard_of(name.suffix(labels))));
                }
            }
            // RFC 5155 §7.2.5.
            (Found::NoData { .. }, Some(labels)) => {
                put(hashed.matching(name.suffix(usize::from(labels))));
                put(hashed.covering(next_closer(name, usize::from(labels))));
                put(hashed.matching(self.owner(lookup.place)));
            }
            // RFC 5155 §7.2.6: the signature tells how many labels the closest encloser has.
            (_, Some(labels)) => put(hashed.covering(next_closer(name, usize::from(labels)))),
            // RFC 5155 §7.2.3, §7.2.4, §7.2.7.
            (Found::NoData { .. } | Found::Referral { .. }, None) => {
                let owner = self.owner(lookup.place);
                match hashed.matching(owner) {
                    Some(at) => put(Some(at)),
                    // It was left out of the chain: the closest encloser that is in it, and what covers the name below that.
                    None => {
                        let owner = LookupName::from_wire(owner);
                        let closest = owner.label_count().saturating_sub(1);
                        if let Some((labels, at)) = self.closest_provable(hashed, &owner, closest) {
                            put(Some(at));
                            put(hashed.covering(next_closer(&owner, labels)));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// The closest encloser of a name that is in the chain, with so many labels at most: how many it has, and its node.
    fn closest_provable(&self, hashed: &Hashed, name: &LookupName, most: usize) -> Option<(usize, u32)> {
        let mut enclosers = (self.apex_labels..=most).rev();
        enclosers.find_map(|labels| Some((labels, hashed.matching(name.suffix(labels))?)))
    }

    fn put_proof<'z>(&'z self, at: Option<u32>, rtype: RecordType, proofs: &mut Proofs<'z>) {
        let Some(at) = at else { return };
        let Some(record) = self.rrset(at, rtype) else { return };
        let proof = Proof { owner: self.owner(at), record, signatures: self.signatures(at, rtype) };
        if !proofs.contains(&proof) {
            // No proof has more.
            let _fits = proofs.try_push(proof);
        }
    }

    /// The last node with an NSEC record that is not behind a name: its own, or the one that covers it.
    fn nsec_before(&self, order: &[u32], name: &[u8]) -> Option<u32> {
        let until = order.partition_point(|&at| name::canonical_order(self.owner(at), name).is_le());
        until.checked_sub(1).map(|at| order[at])
    }

    /// Finds out how the zone proves what it does not have, once all its nodes are there.
    pub(super) fn find_denial(&mut self) {
        let hashed = self.hashed();
        let has = |at: u32, rtype| self.rrset(at, rtype).is_some();
        // RFC 4035 §2.1: a signed zone has its keys at its apex.
        let is_signed = has(APEX, RecordType::DNSKEY) && has(APEX, RecordType::RRSIG);
        let signatures = self.nodes().filter_map(|(at, _)| self.rrset(at, RecordType::RRSIG));
        let ends =
            signatures.flat_map(|all| all.rdata()).filter_map(|rdata| Some(Validity::of_rdata(rdata)?.expiration));
        let end = ends.min().filter(|_| is_signed);
        let denial = match hashed {
            _ if !is_signed => Denial::None,
            Some(hashed) => Denial::Nsec3(hashed),
            None => Denial::Nsec(self.nodes().map(|(at, _)| at).filter(|&at| has(at, RecordType::NSEC)).collect()),
        };
        (self.denial, self.signatures_end) = (denial, end);
    }

    /// The chain of NSEC3 records, if there is one. Where parameters change there are records of several: those of an NSEC3PARAM
    /// record are complete (RFC 5155 §4), unless it has flags (§4.1.2).
    fn hashed(&self) -> Option<Hashed> {
        let announced = self.rrset(APEX, RecordType::NSEC3PARAM)?;
        let is_flagged = |rdata: &&[u8]| rdata.get(1) != Some(&0);
        let parameters = announced.rdata().filter(|rdata| !is_flagged(rdata)).find_map(nsec3::Parameters::read)?;
        let is_of_chain = |rdata: &[u8]| nsec3::Parameters::read(rdata).is_some_and(|its| its == parameters);
        let has_one = |at| self.rrset(at, RecordType::NSEC3).is_some_and(|rrset| rrset.rdata().any(is_of_chain));
        let hash = |at| nsec3::Hash::of_label(name::labels(self.owner(at)).next()?);
        let nodes = self.nodes().map(|(at, _)| at).filter(|&at| has_one(at));
        let mut chain: Vec<_> = nodes.filter_map(|at| Some((hash(at)?, at))).collect();
        chain.sort_unstable();
        Some(Hashed { parameters, chain: chain.into() })
    }

    /// Whether a node is there for the sake of an NSEC3 record alone: then there is no such name (RFC 5155 §7.2.8).
    #[inline]
    pub(super) fn is_name(&self, at: u32) -> bool {
        at != NONE && !self.node(at).is_hash
    }
}

impl Hashed {
    /// The node of the NSEC3 record for a name.
    fn matching(&self, name: &[u8]) -> Option<u32> {
        let hash = self.parameters.hash(name);
        self.chain.binary_search_by_key(&hash, |(hash, _)| *hash).ok().map(|at| self.chain[at].1)
    }

    /// The node of the NSEC3 record that covers the hash of a name, which is not there; the last one covers all behind it and
    /// before the first (RFC 5155 §7.1).
    fn covering(&self, name: &[u8]) -> Option<u32> {
        let hash = self.parameters.hash(name);
        let behind = self.chain.partition_point(|(other, _)| *other <= hash);
        let at = behind.checked_sub(1).or(self.chain.len().checked_sub(1))?;
        Some(self.chain[at].1)
    }
}

/// The wildcard below a name.
fn wildcard_of(name: &[u8]) -> ArrayVec<u8, { name::MAX_NAME + 2 }> {
    let mut wildcard = ArrayVec::from_iter(*b"\x01*");
    wildcard.extend(name.iter().copied());
    wildcard
}

/// The name one label longer than its closest encloser, which has so many (RFC 5155 §1.3).
fn next_closer(name: &LookupName, encloser: usize) -> &[u8] {
    name.suffix(encloser + 1)
}

//! Look-up in a zone: RFC 1034 §4.3.2 with the wildcards of RFC 4592 and the empty non-terminals of RFC 8020.

use super::store::{APEX, NONE, Node, Rrset, Zone};
use crate::name::{self, LookupName};
use crate::pool::{Family, ServiceId};
use crate::wire::RecordType;

/// What a zone has for a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookup<'z> {
    /// What was found.
    pub found: Found<'z>,
    /// It was synthesised from the wildcard of the closest encloser, which has so many labels (RFC 4592 §3.3).
    pub wildcard: Option<u8>,
    /// The node where it was found: the name's, the wildcard's, what occludes it; the closest encloser of what does not exist.
    pub place: u32,
}

/// What was found, in the order in which the rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'z> {
    /// The name is at or below a zone cut, whatever the file has there (RFC 1034 §4.3.2 step 3b).
    Referral {
        /// The owner of the cut in lower-case wire form.
        cut: &'z [u8],
        /// Its labels, the root not counted.
        labels: u8,
        /// The NS records of the child zone.
        ns: Rrset<'z>,
    },
    /// The name is below one whose descendants all have another name (RFC 6672 §3.2): before data and wildcards.
    Dname {
        /// The owner of the DNAME record in lower-case wire form.
        owner: &'z [u8],
        /// The DNAME record.
        record: Rrset<'z>,
        /// What takes the owner's place, in wire form, in the case it was written in.
        target: &'z [u8],
    },
    /// Nodes of a service are the answer; of which family, the type of the question says, or the service for ANY.
    Steered {
        /// The service bound to the name.
        service: ServiceId,
        /// What addresses to give.
        family: Family,
    },
    /// Whoever asks is told what the server sees of it.
    Whoami,
    /// Records of the type asked for.
    Records(Rrset<'z>),
    /// The name is an alias.
    Cname {
        /// The CNAME record.
        record: Rrset<'z>,
        /// The name it points at, in wire form, in the case it was written in.
        target: &'z [u8],
    },
    /// One RRset, for a question of type ANY (RFC 8482 §4.1).
    Any(Rrset<'z>),
    /// The name exists, records of this type do not.
    NoData {
        /// The service bound to the name: its longest TTL bounds that of the answer.
        service: Option<ServiceId>,
    },
    /// The name does not exist, nor does anything below it (RFC 8020).
    NxDomain,
}

impl Zone {
    /// Looks a name up; it must be at or below the apex.
    pub fn lookup(&self, name: &LookupName, qtype: RecordType) -> Lookup<'_> {
        if let Some(place) = self.find(name, name.label_count()).filter(|&at| self.is_name(at)) {
            return self.at(place, qtype);
        }
        let (encloser, labels) = self.closest_encloser(name);
        let node = self.node(encloser);
        let occluder = if node.has_dname && node.cut == NONE { encloser } else { node.cut };
        if occluder != NONE {
            return self.occluded(occluder);
        }
        if node.wildcard != NONE {
            // RFC 4592 §3.3.1: only the wildcard of the closest encloser is the source of synthesis. A DNAME that it
            // owns is not expanded (RFC 6672 §3.3 leaves that open): what would stand below has no one meaning.
            return Lookup { wildcard: Some(labels as u8), ..self.at(node.wildcard, qtype) };
        }
        Lookup { found: Found::NxDomain, wildcard: None, place: encloser }
    }

    /// The A and AAAA records of a name in wire form, also below zone cuts: for glue and additional data.
    ///
    /// At a steered name the families that steering answers are left out: the file's addresses are for transfers.
    pub fn addresses(&self, target: &[u8]) -> (Option<Rrset<'_>>, Option<Rrset<'_>>) {
        let target = LookupName::from_wire(target);
        let Some(node) = self.find(&target, target.label_count()) else {
            return (None, None);
        };
        let Node { steering, cut, .. } = self.node(node);
        // RFC 6672 §2.4: below a DNAME there is nothing, whatever the file holds.
        if cut != NONE && self.is_dname(cut) {
            return (None, None);
        }
        let of = |rtype| self.rrset(node, rtype).filter(|_| steering.family(rtype).is_none());
        (of(RecordType::A), of(RecordType::AAAA))
    }

    /// The records that the file has at a name, be they synthesised from a wildcard, whether steering answers there or not.
    #[cold]
    pub fn fixed(&self, name: &LookupName, rtype: RecordType) -> Option<Rrset<'_>> {
        let node = self.find(name, name.label_count()).or_else(|| {
            let wildcard = self.node(self.closest_encloser(name).0).wildcard;
            (wildcard != NONE).then_some(wildcard)
        })?;
        self.rrset(node, rtype)
    }

    /// What a node has for a question.
    #[inline(always)]
    fn at(&self, at: u32, qtype: RecordType) -> Lookup<'_> {
        let node = self.node(at);
        // RFC 4035 §3.1.4.1: DS at the cut belongs to the parent; so does what signs and denies there (RFC 6840 §4.1).
        if node.cut != NONE && !(node.cut == at && qtype == RecordType::DS) {
            return self.occluded(node.cut);
        }
        Lookup { found: self.of_node(at, node, qtype), wildcard: None, place: at }
    }

    #[inline(always)]
    fn of_node(&self, at: u32, node: Node, qtype: RecordType) -> Found<'_> {
        if self.whoami == at && matches!(qtype, RecordType::TXT | RecordType::ANY) {
            return Found::Whoami;
        }
        let steering = node.steering;
        if let (Some(service), Some(family)) = (steering.service, steering.family(qtype)) {
            return Found::Steered { service, family };
        }
        if qtype == RecordType::ANY {
            return self.any(at);
        }
        for records in self.rrsets_of(at) {
            let rtype = records.rtype;
            if rtype == qtype {
                // RFC 4035 §2.2: signatures form no RRset; all of a name's would amplify as all its records do.
                let is_asked_alone = qtype == RecordType::RRSIG;
                return Found::Records(if is_asked_alone { records.signatures_of_one() } else { records });
            }
            // RFC 4035 §2.5: these two stand beside a CNAME, so they are not looked for behind it.
            if rtype == RecordType::CNAME && !matches!(qtype, RecordType::RRSIG | RecordType::NSEC) {
                let target = records.rdata().next().unwrap_or(&[0]);
                return Found::Cname { record: records, target };
            }
        }
        Found::NoData { service: steering.service }
    }

    /// One RRset of the node, one that steering does not answer if there is any.
    fn any(&self, at: u32) -> Found<'_> {
        let steering = self.node(at).steering;
        let fixed = |rrset: &Rrset<'_>| steering.family(rrset.rtype).is_none();
        match (self.rrsets_of(at).find(fixed), steering.service, steering.any_family()) {
            (Some(rrset), _, _) => Found::Any(rrset),
            (None, Some(service), Some(family)) => Found::Steered { service, family },
            (None, service, _) => Found::NoData { service },
        }
    }

    /// What is answered at and below a cut, and below a DNAME.
    #[cold]
    fn occluded(&self, by: u32) -> Lookup<'_> {
        let owner = self.owner(by);
        let rtype = if self.is_dname(by) { RecordType::DNAME } else { RecordType::NS };
        let found = match self.rrset(by, rtype) {
            Some(record) if rtype == RecordType::DNAME => {
                Found::Dname { owner, record, target: record.rdata().next().unwrap_or(&[0]) }
            }
            Some(ns) => Found::Referral { cut: owner, labels: name::labels(owner).count() as u8, ns },
            // What occludes has one of the two; there is no other.
            None => Found::NoData { service: None },
        };
        Lookup { found, wildcard: None, place: by }
    }

    /// Whether what occludes is a DNAME. One at a zone cut belongs to the child and does nothing here.
    pub(super) fn is_dname(&self, occluder: u32) -> bool {
        let node = self.node(occluder);
        node.has_dname && node.cut == NONE
    }

    /// The longest existing ancestor of a name that does not exist (RFC 4592 §3.3.1), and how many labels it has.
    ///
    /// Every ancestor of a node is a node, so halving finds it: a name of 127 labels costs seven probes, the usual
    /// name just below the apex none.
    pub(super) fn closest_encloser(&self, name: &LookupName) -> (u32, usize) {
        let (mut labels, mut encloser) = (self.apex_labels, APEX);
        let mut too_many = name.label_count().min(self.most_labels + 1);
        while labels + 1 < too_many {
            let middle = (labels + too_many) / 2;
            match self.find(name, middle) {
                Some(node) => (labels, encloser) = (middle, node),
                None => too_many = middle,
            }
        }
        if !self.is_name(encloser) {
            // It is there for an NSEC3 record alone, as which only names just below the apex are.
            return (APEX, self.apex_labels);
        }
        (encloser, labels)
    }
}

//! The zone as it is served: a few flat arrays that never change.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::layout;
use super::records::name_at;
use crate::name::Name;
use crate::pool::{Family, ServiceId};
use crate::wire::RecordType;

/// "None" where a number stands for a node or a slot's content.
pub(super) const NONE: u32 = u32::MAX;
/// Octets before the data of a ready record: owner pointer, type, class, TTL, length.
const RECORD_HEAD: usize = 12;

/// A zone, immutable: what `Zone::build` makes of records and steered names.
///
/// A million names must fit into 250 MB, so names and data lie in two arenas, and everything else is an array of
/// fixed-size entries with offsets of 32 bits.
#[derive(Debug)]
pub struct Zone {
    pub(super) apex: Name,
    pub(super) apex_labels: usize,
    /// Labels of the longest owner name: no encloser has more.
    pub(super) most_labels: usize,
    pub(super) serial: u32,
    /// Owner names in lower-case wire form. Empty non-terminals share the octets of their first descendant.
    pub(super) owners: Vec<u8>,
    /// Ready records, RRset by RRset.
    pub(super) answers: Vec<u8>,
    /// In canonical order (RFC 4034 §6.1), with every empty non-terminal; the apex is the first, a sentinel the last.
    pub(super) nodes: Vec<Node>,
    /// Those of a node follow each other by type; behind the last a sentinel.
    pub(super) rrsets: Vec<RrsetAt>,
    pub(super) slots: Vec<Slot>,
    /// The SOA record with the TTL of negative answers, ready.
    pub(super) negative_soa: Box<[u8]>,
    /// The name that tells whoever asks what the server sees of it.
    pub(super) whoami: u32,
}

/// A name that exists in the zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Where its name starts in `owners`.
    pub(super) owner: u32,
    /// Its first RRset; the next node's first is the end.
    pub(super) rrsets: u32,
    /// What occludes it: the zone cut that it is at or below, or the DNAME that it is below.
    pub(super) cut: u32,
    /// The child whose leftmost label is the asterisk.
    pub(super) wildcard: u32,
    pub(super) steering: Steering,
    /// It has a DNAME record, so that what is below it is occluded (RFC 6672 §2.4).
    pub(super) has_dname: bool,
}

/// What steering answers at a node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steering {
    pub(super) service: Option<ServiceId>,
    pub(super) has_v4: bool,
    pub(super) has_v6: bool,
}

impl Steering {
    /// The address family that a question of this type is about, if it is for steering to answer.
    #[inline]
    pub(super) fn family(self, qtype: RecordType) -> Option<Family> {
        match qtype {
            RecordType::A if self.has_v4 => Some(Family::V4),
            RecordType::AAAA if self.has_v6 => Some(Family::V6),
            _ => None,
        }
    }

    /// A family that it has addresses of, for questions that leave the choice to us.
    pub(super) fn any_family(self) -> Option<Family> {
        self.family(RecordType::A).or_else(|| self.family(RecordType::AAAA))
    }
}

/// Where an RRset lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct RrsetAt {
    /// Its first octet in `answers`; the next RRset's first is the end.
    pub(super) start: u32,
    pub(super) rtype: RecordType,
    pub(super) count: u16,
}

/// A place of the open-addressing hash table of owner names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) hash: u32,
    pub(super) node: u32,
}

/// Records of one owner and type, ready to be copied into a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rrset<'z> {
    /// The type.
    pub rtype: RecordType,
    /// How many records there are.
    pub count: u16,
    /// Seconds, the same for all records.
    pub ttl: u32,
    /// The records back to back in the order of the file: `C0 0C`, a pointer at the question, as their owner, then
    /// type, class IN, TTL, length and data. Names in the data are not compressed. The writer of a reply patches the pointer
    /// where the owner is another one.
    pub bytes: &'z [u8],
}

impl<'z> Rrset<'z> {
    /// The data of each record.
    pub fn rdata(&self) -> impl Iterator<Item = &'z [u8]> + use<'z> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (head, after) = rest.split_at_checked(RECORD_HEAD)?;
            let (rdata, after) = after.split_at_checked(usize::from(u16::from_be_bytes([head[10], head[11]])))?;
            rest = after;
            Some(rdata)
        })
    }

    /// The names that the records point at, in wire form, for types that point at hosts; the root of SVCB and HTTPS, which
    /// is no host, is left out.
    pub fn targets(&self) -> impl Iterator<Item = &'z [u8]> + use<'z> {
        let rtype = self.rtype;
        self.rdata().filter_map(move |rdata| layout::target(rtype, rdata)).filter(|target| target.len() > 1)
    }

    /// Of signatures, the first ones, which are of one RRset: their data begins with the type that they cover (RFC 4034
    /// §3.1.1).
    pub(super) fn signatures_of_one(self) -> Self {
        let covered = |rdata: &[u8]| rdata.first_chunk::<2>().copied();
        let first = self.rdata().next().and_then(covered);
        let (mut count, mut end) = (0, 0);
        for rdata in self.rdata().take_while(|rdata| covered(rdata) == first) {
            (count, end) = (count + 1, end + record_length(rdata.len()));
        }
        Self { count, bytes: &self.bytes[..end], ..self }
    }

    /// Reads what `push_record` wrote.
    fn of(rtype: RecordType, count: u16, bytes: &'z [u8]) -> Self {
        let ttl = bytes.get(6..10).map_or(0, |ttl| u32::from_be_bytes([ttl[0], ttl[1], ttl[2], ttl[3]]));
        Self { rtype, count, ttl, bytes }
    }
}

/// Appends a ready record.
pub(super) fn push_record(answers: &mut Vec<u8>, rtype: RecordType, ttl: u32, rdata: &[u8]) {
    answers.extend([0xc0, 0x0c]);
    answers.extend(rtype.0.to_be_bytes());
    answers.extend([0, 1]);
    answers.extend(ttl.to_be_bytes());
    // The reader has refused longer data.
    answers.extend((rdata.len() as u16).to_be_bytes());
    answers.extend_from_slice(rdata);
}

/// Octets of a ready record with so many octets of data.
pub(super) fn record_length(rdata: usize) -> usize {
    RECORD_HEAD + rdata
}

impl Zone {
    /// The zone's name, as it was given to the reader.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// How many labels the zone's name has, the root not counted.
    pub fn apex_labels(&self) -> usize {
        self.apex_labels
    }

    /// The serial number of the SOA record.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// The SOA record as negative answers carry it: its TTL is not above MINIMUM (RFC 2308 §3, §5).
    pub fn negative_soa(&self) -> Rrset<'_> {
        Rrset::of(RecordType::SOA, 1, &self.negative_soa)
    }

    /// The SOA record with its own TTL.
    pub fn raw_soa(&self) -> Rrset<'_> {
        self.rrset(0, RecordType::SOA).unwrap_or_else(|| self.negative_soa())
    }

    /// How many names exist, empty non-terminals included.
    pub fn node_count(&self) -> usize {
        self.nodes.len() - 1
    }

    /// All that the zone file says: owner names in lower-case wire form, in canonical order, with their RRsets.
    pub fn rrsets(&self) -> impl Iterator<Item = (&[u8], Rrset<'_>)> {
        (0..self.node_count() as u32)
            .flat_map(move |node| self.rrset_numbers(node).map(move |number| (self.owner(node), self.rrset_at(number))))
    }

    /// A hash of all that the zone answers, so that changes can be told.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.owners, &self.answers).hash(&mut hasher);
        for (index, node) in self.nodes.iter().enumerate() {
            // Whose the octets are that lie back to back.
            (node.owner, node.rrsets).hash(&mut hasher);
            if let Some(ServiceId(service)) = node.steering.service {
                (index, service, node.steering.has_v4, node.steering.has_v6).hash(&mut hasher);
            }
        }
        for rrset in &self.rrsets {
            rrset.start.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The node of a name in lower-case wire form.
    #[inline]
    pub(super) fn find(&self, hash: u32, name: &[u8]) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.node == NONE {
                return None;
            }
            if slot.hash == hash && self.is_owner(slot.node, name) {
                return Some(slot.node);
            }
            at = (at + 1) & mask;
        }
    }

    /// A name ends with its root, so equal octets are an equal name.
    #[inline]
    fn is_owner(&self, node: u32, name: &[u8]) -> bool {
        let start = self.nodes[node as usize].owner as usize;
        self.owners.get(start..start + name.len()) == Some(name)
    }

    pub(super) fn owner(&self, node: u32) -> &[u8] {
        name_at(&self.owners, self.nodes[node as usize].owner)
    }

    #[inline]
    pub(super) fn rrset(&self, node: u32, rtype: RecordType) -> Option<Rrset<'_>> {
        self.rrset_numbers(node).find(|&index| self.rrsets[index].rtype == rtype).map(|index| self.rrset_at(index))
    }

    #[inline]
    pub(super) fn rrset_numbers(&self, node: u32) -> std::ops::Range<usize> {
        let node = node as usize;
        self.nodes[node].rrsets as usize..self.nodes[node + 1].rrsets as usize
    }

    #[inline]
    pub(super) fn rrset_at(&self, index: usize) -> Rrset<'_> {
        let RrsetAt { start, rtype, count } = self.rrsets[index];
        Rrset::of(rtype, count, &self.answers[start as usize..self.rrsets[index + 1].start as usize])
    }
}

/// A hash table of so many nodes, empty; between a third and two thirds of it will be taken.
pub(super) fn empty_slots(nodes: usize) -> Vec<Slot> {
    vec![Slot { hash: 0, node: NONE }; (nodes + nodes / 2 + 1).next_power_of_two()]
}

/// Puts a node into the table.
pub(super) fn insert_slot(slots: &mut [Slot], slot: Slot) {
    let mask = slots.len() - 1;
    let mut at = slot.hash as usize & mask;
    while slots[at].node != NONE {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

//! The zone as it is served: a few flat arrays that never change.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::denial::Denial;
use super::layout;
use crate::dnssec::Signer;
use crate::name::{LookupName, MAX_LABELS, MAX_NAME, Name};
use crate::pool::{Family, ServiceId};
use crate::prefetch::prefetch;
use crate::wire::RecordType;

/// "None" where a place in the arena or a slot's content is expected.
pub(super) const NONE: u32 = u32::MAX;
/// Octets before the data of a ready record: owner pointer, type, class, TTL, length.
const RECORD_HEAD: usize = 12;
/// Octets of the place of a name.
const PLACE: usize = 4;
/// Octets that come into the cache at once, on nearly all processors.
const CACHE_LINE: usize = 64;

/// A zone, immutable: what `Zone::build` makes of records and steered names.
///
/// All of a name lies in one piece: what a query needs of it is in two neighbouring cache lines mostly, which one look at
/// the table leads to. A million names of two addresses take 121 MB.
#[derive(Debug)]
pub struct Zone {
    pub(super) apex: Name,
    pub(super) apex_labels: usize,
    /// Labels of the longest owner name: no encloser has more.
    pub(super) most_labels: usize,
    pub(super) serial: u32,
    /// The nodes in canonical order (RFC 4034 §6.1), with every empty non-terminal; the apex is the first.
    pub(super) arena: Vec<u8>,
    /// How many there are.
    pub(super) node_count: usize,
    pub(super) slots: Vec<Slot>,
    /// The SOA record with the TTL of negative answers, ready.
    pub(super) negative_soa: Box<[u8]>,
    /// The node of the name that tells whoever asks what the server sees of it.
    pub(super) whoami: u32,
    /// How it proves what it does not have.
    pub(super) denial: Denial,
    /// When the first of its signatures ends, in seconds since 1970; none if it is not signed.
    pub(super) signatures_end: Option<u32>,
    /// What signs it, if it is signed here.
    pub(super) signer: Option<Signer>,
    /// Its form for transfers, if that is another.
    pub(super) transferred: Option<Box<Zone>>,
    /// Nothing is known of it, so that nothing can be answered.
    pub(super) is_absent: bool,
}

/// A name that exists in the zone: the head of its piece of the arena. Its name in lower-case wire form follows, then its
/// RRsets by type, each a head and ready records.
///
/// An empty non-terminal has the place of its name instead, which ends the name of the owner for which it was made: in a
/// reverse zone of IPv6 there are ten of them a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// Octets of the piece: the next node is behind them.
    pub(super) size: u32,
    /// What occludes it: the zone cut that it is at or below, or the DNAME that it is below.
    pub(super) cut: u32,
    /// The child whose leftmost label is the asterisk.
    pub(super) wildcard: u32,
    pub(super) steering: Steering,
    /// It has a DNAME record, so that what is below it is occluded (RFC 6672 §2.4).
    pub(super) has_dname: bool,
    /// It has an NSEC3 record, and nothing else but what signs that.
    pub(super) is_hash: bool,
    /// It has the place of its name in the arena, not the name.
    is_empty: bool,
    /// Octets of its name.
    name: u8,
}

impl Node {
    /// Octets of the head; the last says how long the name is.
    pub(super) const HEAD: usize = 16;
    const HAS_V4: u8 = 1;
    const HAS_V6: u8 = 2;
    const IS_STEERED: u8 = 4;
    const HAS_DNAME: u8 = 8;
    const IS_EMPTY: u8 = 16;
    const IS_HASH: u8 = 32;

    /// Of a name of so many octets, without RRsets.
    fn new(name: usize, is_empty: bool, cut: u32) -> Self {
        // A name has at most 255 octets (RFC 1035 §2.3.4).
        let mut node = Self {
            size: 0,
            cut,
            wildcard: NONE,
            steering: Steering::default(),
            has_dname: false,
            is_hash: false,
            is_empty,
            name: name as u8,
        };
        node.size = (Self::HEAD + node.name_room()) as u32;
        node
    }

    /// Octets between the head and the RRsets.
    #[inline]
    fn name_room(self) -> usize {
        if self.is_empty { PLACE } else { usize::from(self.name) }
    }

    #[inline]
    fn of(octets: &[u8; Self::HEAD]) -> Self {
        let [s0, s1, s2, s3, c0, c1, c2, c3, w0, w1, w2, w3, service_low, service_high, flags, name] = *octets;
        let service = ServiceId(u16::from_le_bytes([service_low, service_high]));
        Self {
            size: u32::from_le_bytes([s0, s1, s2, s3]),
            cut: u32::from_le_bytes([c0, c1, c2, c3]),
            wildcard: u32::from_le_bytes([w0, w1, w2, w3]),
            steering: Steering {
                service: (flags & Self::IS_STEERED != 0).then_some(service),
                has_v4: flags & Self::HAS_V4 != 0,
                has_v6: flags & Self::HAS_V6 != 0,
            },
            has_dname: flags & Self::HAS_DNAME != 0,
            is_hash: flags & Self::IS_HASH != 0,
            is_empty: flags & Self::IS_EMPTY != 0,
            name,
        }
    }

    fn octets(self) -> [u8; Self::HEAD] {
        let Self { size, cut, wildcard, steering, has_dname, is_hash, is_empty, name } = self;
        let Steering { service, has_v4, has_v6 } = steering;
        let [s0, s1, s2, s3] = size.to_le_bytes();
        let [c0, c1, c2, c3] = cut.to_le_bytes();
        let [w0, w1, w2, w3] = wildcard.to_le_bytes();
        let [service_low, service_high] = service.map_or(0, |ServiceId(service)| service).to_le_bytes();
        let flags = [
            (has_v4, Self::HAS_V4),
            (has_v6, Self::HAS_V6),
            (service.is_some(), Self::IS_STEERED),
            (has_dname, Self::HAS_DNAME),
            (is_empty, Self::IS_EMPTY),
            (is_hash, Self::IS_HASH),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum();
        [s0, s1, s2, s3, c0, c1, c2, c3, w0, w1, w2, w3, service_low, service_high, flags, name]
    }
}

/// What steering answers at a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
        let first = self.rdata().next().and_then(|rdata| rdata.first_chunk().copied());
        first.and_then(|first| self.signatures_of(RecordType(u16::from_be_bytes(first)))).unwrap_or(self)
    }

    /// Of signatures, those of the RRset of a type, which stand together.
    pub(super) fn signatures_of(self, rtype: RecordType) -> Option<Self> {
        let (mut count, mut start, mut end) = (0, 0, 0);
        for rdata in self.rdata() {
            if rdata.first_chunk() == Some(&rtype.0.to_be_bytes()) {
                count += 1;
                end += record_length(rdata.len());
            } else if count > 0 {
                break;
            } else {
                start += record_length(rdata.len());
                end = start;
            }
        }
        (count > 0).then(|| Self::of(RecordType::RRSIG, count, &self.bytes[start..end]))
    }

    /// Reads what `push_record` wrote.
    fn of(rtype: RecordType, count: u16, bytes: &'z [u8]) -> Self {
        let ttl = bytes.get(6..10).map_or(0, |ttl| u32::from_be_bytes([ttl[0], ttl[1], ttl[2], ttl[3]]));
        Self { rtype, count, ttl, bytes }
    }
}

/// Octets before the records of an RRset: type, how many, octets of all.
pub(super) const RRSET_HEAD: usize = 8;

/// The head of an RRset of so many octets of records.
pub(super) fn rrset_head(rtype: RecordType, count: u16, octets: u32) -> [u8; RRSET_HEAD] {
    let ([t0, t1], [c0, c1], [o0, o1, o2, o3]) = (rtype.0.to_le_bytes(), count.to_le_bytes(), octets.to_le_bytes());
    [t0, t1, c0, c1, o0, o1, o2, o3]
}

/// The RRsets of a node, by type.
#[derive(Clone)]
pub(super) struct Rrsets<'z>(&'z [u8]);

impl<'z> Iterator for Rrsets<'z> {
    type Item = Rrset<'z>;

    #[inline]
    fn next(&mut self) -> Option<Rrset<'z>> {
        let (&[t0, t1, c0, c1, o0, o1, o2, o3], rest) = self.0.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes([o0, o1, o2, o3]) as usize)?;
        self.0 = rest;
        Some(Rrset::of(RecordType(u16::from_le_bytes([t0, t1])), u16::from_le_bytes([c0, c1]), bytes))
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

/// The most octets of a name's node and of the empty non-terminals above it, one a label.
pub(super) const MOST_NODES: usize = MAX_LABELS * (Node::HEAD + PLACE) + Node::HEAD + MAX_NAME;

/// The most octets that a record with so many octets of data takes in the arena.
pub(super) fn most_octets(rdata: usize) -> usize {
    RRSET_HEAD + record_length(rdata)
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

    /// The zone's name in lower-case wire form.
    #[inline]
    pub fn lower_apex(&self) -> &[u8] {
        self.owner(APEX)
    }

    /// How many labels the zone's name has, the root not counted.
    pub fn apex_labels(&self) -> usize {
        self.apex_labels
    }

    /// Whether nothing is known of it: a name in it exists or not, who knows.
    #[inline]
    pub fn is_absent(&self) -> bool {
        self.is_absent
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
        self.rrset(APEX, RecordType::SOA).unwrap_or_else(|| self.negative_soa())
    }

    /// How many names exist, empty non-terminals included.
    pub fn node_count(&self) -> usize {
        self.node_count
    }

    /// All that the zone file says: owner names in lower-case wire form, in canonical order, with their RRsets.
    pub fn rrsets(&self) -> impl Iterator<Item = (&[u8], Rrset<'_>)> {
        self.nodes().flat_map(move |(at, _)| self.rrsets_of(at).map(move |rrset| (self.owner(at), rrset)))
    }

    /// A hash of all that the zone answers, so that changes can be told.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.arena.hash(&mut hasher);
        hasher.finish()
    }

    /// All nodes in canonical order, by their places.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (u32, Node)> {
        self.nodes_from(APEX)
    }

    /// The nodes from a place on.
    pub(super) fn nodes_from(&self, at: u32) -> impl Iterator<Item = (u32, Node)> {
        let mut next = at;
        std::iter::from_fn(move || {
            let at = next;
            let node = Node::of(self.arena.get(at as usize..)?.first_chunk()?);
            next += node.size;
            Some((at, node))
        })
    }

    /// The node of the suffix of so many labels.
    #[inline]
    pub(super) fn find(&self, name: &LookupName, labels: usize) -> Option<u32> {
        let (hash, name) = (name.suffix_hash(labels), name.suffix(labels));
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.node == NONE {
                return None;
            }
            if slot.hash == hash && self.owner(slot.node) == name {
                return Some(slot.node);
            }
            at = (at + 1) & mask;
        }
    }

    /// Calls the place in the table to which a name leads into the cache.
    #[inline]
    pub fn fetch_place(&self, name: &LookupName) {
        prefetch(&self.slots, name.hash_of_all() as usize & (self.slots.len() - 1));
    }

    /// Calls all that is of a name into the cache, if it is there; the place in the table should have been called before.
    #[inline]
    pub fn fetch_name(&self, name: &LookupName) {
        let (hash, mask) = (name.hash_of_all(), self.slots.len() - 1);
        let mut at = hash as usize & mask;
        while self.slots[at].node != NONE {
            let Slot { hash: there, node } = self.slots[at];
            if there == hash {
                // Few names have more than a head, the name, and one RRset of each address family: 120 octets, of which the
                // last are seldom needed.
                prefetch(&self.arena, node as usize);
                prefetch(&self.arena, node as usize + CACHE_LINE);
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// The node at a place, which must be that of one.
    #[inline]
    pub(super) fn node(&self, at: u32) -> Node {
        Node::of(self.arena[at as usize..].first_chunk().expect("a node has a head"))
    }

    /// Changes the head of a node.
    pub(super) fn change(&mut self, at: u32, change: impl FnOnce(&mut Node)) {
        let mut node = self.node(at);
        change(&mut node);
        self.arena[at as usize..at as usize + Node::HEAD].copy_from_slice(&node.octets());
    }

    /// Adds a node without RRsets behind the others; its place. With the `name` of an owner come first the empty
    /// non-terminals that are made for it: so many are still to be added, this node included.
    pub(super) fn add(&mut self, owner: &[u8], start: usize, missing: usize, cut: u32) -> u32 {
        let at = self.arena.len();
        let is_empty = missing > 1;
        self.arena.extend(Node::new(owner.len() - start, is_empty, cut).octets());
        if is_empty {
            let owner = at + (missing - 1) * (Node::HEAD + PLACE) + Node::HEAD;
            self.arena.extend(((owner + start) as u32).to_le_bytes());
        } else {
            self.arena.extend_from_slice(&owner[start..]);
        }
        self.node_count += 1;
        at as u32
    }

    #[inline]
    pub(super) fn owner(&self, at: u32) -> &[u8] {
        let body = at as usize + Node::HEAD;
        let (flags, length) = (self.arena[body - 2], usize::from(self.arena[body - 1]));
        if flags & Node::IS_EMPTY == 0 {
            return &self.arena[body..body + length];
        }
        let place = self.arena[body..].first_chunk().map_or(0, |place| u32::from_le_bytes(*place)) as usize;
        &self.arena[place..place + length]
    }

    #[inline]
    pub(super) fn rrset(&self, at: u32, rtype: RecordType) -> Option<Rrset<'_>> {
        self.rrsets_of(at).find(|rrset| rrset.rtype == rtype)
    }

    #[inline]
    pub(super) fn rrsets_of(&self, at: u32) -> Rrsets<'_> {
        let node = self.node(at);
        Rrsets(&self.arena[at as usize + Node::HEAD + node.name_room()..at as usize + node.size as usize])
    }
}

/// The place of the apex.
pub(super) const APEX: u32 = 0;

/// The hash table of these nodes; between a third and two thirds of its places are taken.
pub(super) fn table(nodes: &[Slot]) -> Vec<Slot> {
    let mut table = vec![Slot { hash: 0, node: NONE }; (nodes.len() + nodes.len() / 2 + 1).next_power_of_two()];
    let mask = table.len() - 1;
    for &slot in nodes {
        let mut at = slot.hash as usize & mask;
        while table[at].node != NONE {
            at = (at + 1) & mask;
        }
        table[at] = slot;
    }
    table
}

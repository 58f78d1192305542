//! The reply writer: a typed reply → bytes, truncated by RRsets, with its OPT record always kept.

use std::ptr;

use arrayvec::ArrayVec;

use super::edns::{Opt, Options};
use super::{CLASS_IN, HEADER, MAX_UDP, MIN_UDP, Query, Rcode, RecordType};
use crate::name::{labels, starts_label, wire_length};
use crate::pool::{AddressBook, Family, NodeId};

/// Items of the answer section: a CNAME chain of the longest kind and its end, with what signs them.
const MAX_ANSWER_ITEMS: usize = 40;
/// Items of the authority section: an SOA, what proves the end of a chain, and what proves the wildcards on the way to it.
const MAX_AUTHORITY_ITEMS: usize = 24;
/// Items of the additional section: both families of 32 nameservers.
const MAX_ADDITIONAL_ITEMS: usize = 64;
/// Names besides the question's that later ones are compressed by.
const MAX_NAMES: usize = 32;

/// A pointer to the question's name (RFC 1035 §4.1.4).
const POINTER_TO_QUESTION: [u8; 2] = [0xc0, HEADER as u8];
/// Places up to here can be pointed at (RFC 1035 §4.1.4: 14 bits).
const MAX_POINTER: usize = 0x4000;
/// Octets of a record before its data, with a pointer as owner: owner, type, class, TTL, length.
pub(super) const RECORD_FIXED: usize = 12;

/// What is answered, before it is bytes.
#[derive(Default)]
pub struct Reply<'s> {
    /// The response code.
    pub rcode: Rcode,
    /// AA: the answer comes from a zone that is served here.
    pub is_authoritative: bool,
    /// The answer section.
    pub answer: ArrayVec<Item<'s>, MAX_ANSWER_ITEMS>,
    /// The authority section: the SOA of a negative answer, the NS of a referral, proofs of what there is not.
    pub authority: ArrayVec<Item<'s>, MAX_AUTHORITY_ITEMS>,
    /// The additional section.
    pub additional: ArrayVec<Item<'s>, MAX_ADDITIONAL_ITEMS>,
    /// What must be in the additional section is not: the reply is truncated whatever room there is.
    pub lacks_required: bool,
    /// What the OPT record says, if the query has one.
    pub options: Options<'s>,
    /// Octets that are kept free behind it, for a TSIG record.
    pub reserved: usize,
    /// Records that were made for this reply alone, as `Records::Ready` has them; hardly any reply has some.
    pub own: Vec<u8>,
}

/// An RRset to be written.
pub struct Item<'s> {
    /// Its owner.
    pub owner: Owner<'s>,
    /// Its records.
    pub records: Records<'s>,
    /// Its TTL, where it differs from that of the records.
    pub ttl: Option<u32>,
    /// The reply is truncated if it does not fit (RFC 2181 §9, RFC 9471).
    pub is_required: bool,
}

/// Records of one RRset.
#[derive(Clone, Copy)]
pub enum Records<'s> {
    /// Ready-made: each with a pointer to the question as owner, type, class, TTL, length, data.
    Ready {
        /// How many.
        count: u16,
        /// One behind the other.
        bytes: &'s [u8],
    },
    /// Records that were made for this reply.
    Own {
        /// How many.
        count: u16,
        /// Where they begin in `Reply::own`.
        start: u32,
        /// Where they end.
        end: u32,
    },
    /// A DNAME record, and the CNAME record of the item's owner that follows from it (RFC 6672 §3.1).
    Renamed {
        /// The DNAME record, ready-made, unless it is in the reply already.
        dname: Option<&'s [u8]>,
        /// Octets of the owner's name that stand before the DNAME's owner: the CNAME's target begins with them.
        kept: u8,
        /// The name that the CNAME's target ends with, in uncompressed wire form.
        target: &'s [u8],
        /// TTL of the CNAME record.
        ttl: u32,
    },
    /// A or AAAA of nodes.
    Addresses {
        /// Which of the two.
        family: Family,
        /// The nodes, each of which has an address of the family.
        nodes: &'s [NodeId],
        /// Where their addresses are.
        book: &'s AddressBook,
    },
}

/// The owner of an RRset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'s> {
    /// The name of the question.
    Question,
    /// The data of the record before it: the target of a CNAME.
    Target,
    /// That of the RRset before it, which was the target of another record: for what signs that RRset.
    Signed,
    /// Any other name, in uncompressed wire form.
    Name(&'s [u8]),
}

/// A record for `Records::Ready`.
pub fn ready_record(rtype: RecordType, class: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(RECORD_FIXED + rdata.len());
    record.extend(POINTER_TO_QUESTION);
    record.extend(rtype.0.to_be_bytes());
    record.extend(class.to_be_bytes());
    record.extend(ttl.to_be_bytes());
    record.extend((rdata.len() as u16).to_be_bytes());
    record.extend(rdata);
    record
}

/// The type of records such as `ready_record` makes them, and the data of each.
pub fn rdata_of(ready: &[u8]) -> Option<(RecordType, Vec<Box<[u8]>>)> {
    let rtype = RecordType(u16::from_be_bytes([*ready.get(2)?, *ready.get(3)?]));
    let mut all = Vec::new();
    let mut rest = ready;
    while let Some((head, after)) = rest.split_first_chunk::<RECORD_FIXED>() {
        let (rdata, after) = after.split_at_checked(usize::from(u16::from_be_bytes([head[10], head[11]])))?;
        all.push(rdata.into());
        rest = after;
    }
    Some((rtype, all))
}

impl Default for Rcode {
    fn default() -> Self {
        Self::NOERROR
    }
}

impl<'s> Item<'s> {
    /// An RRset that must be in the reply.
    #[inline]
    pub fn required(owner: Owner<'s>, records: Records<'s>) -> Self {
        Self { owner, records, ttl: None, is_required: true }
    }

    /// Whether it has the same ready-made records.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self.records, other.records) {
            (Records::Ready { bytes, .. }, Records::Ready { bytes: others, .. }) => ptr::eq(bytes, others),
            _ => false,
        }
    }
}

impl Reply<'_> {
    /// Takes ready-made records that are made for this reply alone.
    pub fn keep_own(&mut self, count: u16, ready: &[u8]) -> Records<'static> {
        let start = self.own.len() as u32;
        self.own.extend_from_slice(ready);
        Records::Own { count, start, end: self.own.len() as u32 }
    }

    /// Writes the reply to the start of `out` and returns its length.
    ///
    /// It is at most `limit` octets long, and over UDP `limit` is `udp_limit`; `out` has room for them.
    pub fn write(&self, query: &Query<'_>, limit: usize, out: &mut [u8]) -> usize {
        let opt = query.edns.as_ref().map(|edns| Opt::new(edns, self.rcode, &self.options));
        let question = query.question();
        let opt_length = opt.as_ref().map_or(0, Opt::len);
        let has_opt = u16::from(opt.is_some());
        let mut limit = limit.min(out.len());
        let mut is_truncated = self.lacks_required;
        // Where names of 255 octets leave no room for the TSIG record, TC says that there is more.
        match limit.checked_sub(self.reserved) {
            Some(rest) if rest >= HEADER + question.len() + opt_length => limit = rest,
            _ => is_truncated = true,
        }
        let mut writer = Writer {
            at: HEADER + question.len(),
            limit: limit - opt_length,
            out,
            target: 0,
            signed: 0,
            names: ArrayVec::new(),
            own: &self.own,
        };
        writer.out[HEADER..writer.at].copy_from_slice(question);

        let mut counts = [0; 3];
        let sections = [&self.answer[..], &self.authority[..], &self.additional[..]];
        'sections: for (count, items) in counts.iter_mut().zip(sections) {
            for item in items {
                match writer.put(item, question) {
                    Some(written) => *count += written,
                    None if item.is_required => {
                        is_truncated = true;
                        break 'sections;
                    }
                    None => {}
                }
            }
        }
        let [answers, authorities, additionals] = counts;
        let mut length = writer.at;
        if let Some(opt) = opt {
            length = opt.write(&mut writer.out[..limit], length);
        }
        let [copied_opcode_and_rd, copied_cd] = query.copied_flags();
        let flags = 0x80 | u8::from(self.is_authoritative) << 2 | u8::from(is_truncated) << 1 | copied_opcode_and_rd;
        let [id_high, id_low] = query.id();
        let [an_high, an_low] = u16::to_be_bytes(answers);
        let [ns_high, ns_low] = u16::to_be_bytes(authorities);
        let [ar_high, ar_low] = u16::to_be_bytes(additionals + has_opt);
        let rcode = copied_cd | (self.rcode.0 & 0x0f) as u8;
        writer.out[..HEADER].copy_from_slice(&[
            id_high,
            id_low,
            flags,
            rcode,
            0,
            u8::from(!question.is_empty()),
            an_high,
            an_low,
            ns_high,
            ns_low,
            ar_high,
            ar_low,
        ]);
        length
    }
}

/// The most octets of a reply over UDP: what the client offers, and never more than we like (RFC 9715).
#[inline]
pub fn udp_limit(query: &Query<'_>) -> usize {
    query.edns.as_ref().map_or(MIN_UDP, |edns| edns.payload.min(MAX_UDP))
}

struct Writer<'o, 'n> {
    out: &'o mut [u8],
    at: usize,
    limit: usize,
    /// Where the data of the last record begins.
    target: usize,
    /// What `target` was for the last RRset that was no signature.
    signed: usize,
    /// Names that have been written.
    names: ArrayVec<WrittenName<'n>, MAX_NAMES>,
    /// The reply's own record.
    own: &'n [u8],
}

/// A name that stands in the reply.
struct WrittenName<'n> {
    wire: &'n [u8],
    /// Where its first label stands.
    at: u16,
    /// How many of its octets stand there; a pointer follows.
    kept: u8,
}

impl<'n> Writer<'_, 'n> {
    /// Writes an RRset whole and returns how many records it has; none if there is no room for it.
    #[inline]
    fn put(&mut self, item: &Item<'n>, question: &[u8]) -> Option<u16> {
        match item.records {
            Records::Own { count, start, end } => {
                let at = self.at;
                let bytes = self.own.get(start as usize..end as usize).unwrap_or_default();
                let put = self.put_each(item, bytes, question);
                if put.is_none() {
                    self.at = at;
                }
                put.map(|()| count)
            }
            Records::Ready { count, bytes } => {
                if item.owner == Owner::Question && item.ttl.is_none() && !has_compressed_name(bytes) {
                    let end = self.at + bytes.len();
                    self.room(end)?.copy_from_slice(bytes);
                    if !is_signature(bytes) {
                        self.target = self.at + RECORD_FIXED;
                    }
                    self.at = end;
                    return Some(count);
                }
                let (start, names) = (self.at, self.names.len());
                let put = self.put_each(item, bytes, question);
                if put.is_none() {
                    self.at = start;
                    self.names.truncate(names);
                }
                put.map(|()| count)
            }
            Records::Renamed { dname, kept, target, ttl } => {
                let (start, before) = (self.at, self.target);
                let put = self.put_renamed(item.owner, dname, usize::from(kept), target, ttl);
                if put.is_none() {
                    (self.at, self.target) = (start, before);
                }
                put
            }
            Records::Addresses { family, nodes, book } => {
                let start = self.at;
                let put = self.put_addresses(item, family, nodes, book, question);
                if put.is_none() {
                    self.at = start;
                }
                put
            }
        }
    }

    /// The octets from here to `end`, if they are within the limit.
    #[inline]
    fn room(&mut self, end: usize) -> Option<&mut [u8]> {
        if end > self.limit { None } else { self.out.get_mut(self.at..end) }
    }

    /// Writes ready-made records one by one: with another owner or TTL, or with names in their data compressed.
    fn put_each(&mut self, item: &Item<'n>, bytes: &'n [u8], question: &[u8]) -> Option<()> {
        let mut rest = bytes;
        // All records of the RRset belong to the target of the record before the first.
        let target = if item.owner == Owner::Signed { self.signed } else { self.target };
        let before = self.target;
        while let Some(&[_, _, t1, t2, c1, c2, ttl1, ttl2, ttl3, ttl4, l1, l2]) = rest.first_chunk() {
            let length = usize::from(u16::from_be_bytes([l1, l2]));
            let (record, after) = rest.split_at_checked(RECORD_FIXED + length)?;
            rest = after;
            self.put_owner(item.owner, target, question)?;
            let [ttl1, ttl2, ttl3, ttl4] = item.ttl.map_or([ttl1, ttl2, ttl3, ttl4], u32::to_be_bytes);
            self.put_bytes(&[t1, t2, c1, c2, ttl1, ttl2, ttl3, ttl4, l1, l2])?;
            self.target = self.at;
            let data = &record[RECORD_FIXED..];
            match RecordType(u16::from_be_bytes([t1, t2])).compressed_name() {
                Some(before) => {
                    self.put_bytes(&data[..before])?;
                    self.put_name(&data[before..], question)?;
                    let length = (self.at - self.target) as u16;
                    self.out[self.target - 2..self.target].copy_from_slice(&length.to_be_bytes());
                }
                None => self.put_bytes(data)?,
            }
        }
        if is_signature(bytes) {
            // What it signs is followed by what that points at.
            self.target = before;
        } else {
            self.signed = target;
        }
        Some(())
    }

    #[cold]
    fn put_renamed(
        &mut self,
        owner: Owner<'n>,
        dname: Option<&[u8]>,
        kept: usize,
        target: &[u8],
        ttl: u32,
    ) -> Option<u16> {
        self.signed = self.target;
        // The owner's name stands somewhere in the reply, whole: a DNAME follows the question or an alias.
        let name = if owner == Owner::Question { HEADER } else { self.target };
        if let Some(record) = dname {
            self.put_owner(Owner::Target, name + kept, &[])?;
            self.put_bytes(&record[POINTER_TO_QUESTION.len()..])?;
        }
        self.put_owner(owner, name, &[])?;
        let [t1, t2] = RecordType::CNAME.0.to_be_bytes();
        let [c1, c2] = CLASS_IN.to_be_bytes();
        let [ttl1, ttl2, ttl3, ttl4] = ttl.to_be_bytes();
        let [l1, l2] = ((kept + target.len()) as u16).to_be_bytes();
        self.put_bytes(&[t1, t2, c1, c2, ttl1, ttl2, ttl3, ttl4, l1, l2])?;
        let data = self.at;
        self.room(data + kept)?;
        self.out.copy_within(name..name + kept, data);
        self.at += kept;
        self.put_bytes(target)?;
        self.target = data;
        Some(1 + u16::from(dname.is_some()))
    }

    #[inline]
    fn put_addresses(
        &mut self,
        item: &Item<'n>,
        family: Family,
        nodes: &[NodeId],
        book: &AddressBook,
        question: &[u8],
    ) -> Option<u16> {
        let (RecordType(rtype), length) = match family {
            Family::V4 => (RecordType::A, 4),
            Family::V6 => (RecordType::AAAA, 16),
        };
        let [t1, t2] = rtype.to_be_bytes();
        let [c1, c2] = CLASS_IN.to_be_bytes();
        let [ttl1, ttl2, ttl3, ttl4] = item.ttl.unwrap_or(0).to_be_bytes();
        let fixed = [t1, t2, c1, c2, ttl1, ttl2, ttl3, ttl4, 0, length as u8];
        let target = self.target;
        self.signed = target;
        let pointer = match item.owner {
            Owner::Question => Some(POINTER_TO_QUESTION),
            Owner::Target if target < MAX_POINTER => Some((0xc000 | target as u16).to_be_bytes()),
            Owner::Target | Owner::Signed | Owner::Name(_) => None,
        };
        if let Some([p1, p2]) = pointer {
            // Records of one size, as nearly all are: looked at once for room, and written each in one go.
            let head = [p1, p2, t1, t2, c1, c2, ttl1, ttl2, ttl3, ttl4, 0, length as u8];
            let end = self.at + nodes.len() * (RECORD_FIXED + length);
            let room = self.room(end)?;
            match family {
                Family::V4 => put_records::<{ RECORD_FIXED + 4 }>(room, head, nodes, |node| book.v4(node)),
                Family::V6 => put_records::<{ RECORD_FIXED + 16 }>(room, head, nodes, |node| book.v6(node)),
            }
            self.at = end;
            return Some(nodes.len() as u16);
        }
        for &node in nodes {
            self.put_owner(item.owner, target, question)?;
            let end = self.at + fixed.len() + length;
            let room = self.room(end)?;
            room[..fixed.len()].copy_from_slice(&fixed);
            match family {
                Family::V4 => room[fixed.len()..].copy_from_slice(book.v4(node)),
                Family::V6 => room[fixed.len()..].copy_from_slice(book.v6(node)),
            }
            self.at = end;
        }
        Some(nodes.len() as u16)
    }

    #[inline]
    fn put_owner(&mut self, owner: Owner<'n>, target: usize, question: &[u8]) -> Option<()> {
        match owner {
            Owner::Question => self.put_bytes(&POINTER_TO_QUESTION),
            // RFC 1035 §4.1.4: a pointer has 14 bits; a chain that begins behind them is written out.
            Owner::Target | Owner::Signed if target < MAX_POINTER => {
                self.put_bytes(&(0xc000 | target as u16).to_be_bytes())
            }
            Owner::Target | Owner::Signed => {
                let end = target + wire_length(&self.out[target..]);
                let length = end - target;
                let to = self.at;
                self.room(to + length)?;
                self.out.copy_within(target..end, to);
                self.at = to + length;
                Some(())
            }
            Owner::Name(wire) => self.put_name(wire, question),
        }
    }

    /// Writes a name, the end of it as a pointer at the same in the question or in a name before it.
    fn put_name(&mut self, wire: &'n [u8], question: &[u8]) -> Option<()> {
        let (kept, pointer) = self.compress(wire, question);
        let at = self.at;
        self.put_bytes(&wire[..kept])?;
        match pointer {
            Some(pointer) => self.put_bytes(&(0xc000 | pointer).to_be_bytes())?,
            None => self.put_bytes(&[0])?,
        }
        if kept > 0 && at < MAX_POINTER {
            // Names beyond those that there is room for are not pointed at.
            let _fits = self.names.try_push(WrittenName { wire, at: at as u16, kept: kept as u8 });
        }
        Some(())
    }

    /// How many octets of a name stand before what it has in common with another name, and where that stands; without
    /// such a place, the name but for its root.
    fn compress(&self, wire: &[u8], question: &[u8]) -> (usize, Option<u16>) {
        let asked = &question[..question.len().saturating_sub(4)];
        let asked = WrittenName { wire: asked, at: HEADER as u16, kept: asked.len() as u8 };
        let mut at = 0;
        for label in labels(wire) {
            let rest = &wire[at..];
            let place = std::iter::once(&asked).chain(&self.names).find_map(|name| name.place_of(rest));
            if place.is_some() {
                return (at, place);
            }
            at += 1 + label.len();
        }
        (at, None)
    }

    #[inline]
    fn put_bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at + bytes.len();
        self.room(end)?.copy_from_slice(bytes);
        self.at = end;
        Some(())
    }
}

/// Writes records of N octets, one for each node: the head, and the node's address.
#[inline]
fn put_records<'b, const N: usize>(
    room: &mut [u8],
    head: [u8; RECORD_FIXED],
    nodes: &[NodeId],
    address: impl Fn(NodeId) -> &'b [u8],
) {
    for (record, &node) in room.as_chunks_mut::<N>().0.iter_mut().zip(nodes) {
        record[..RECORD_FIXED].copy_from_slice(&head);
        record[RECORD_FIXED..].copy_from_slice(address(node));
    }
}

impl WrittenName<'_> {
    /// Where the name's suffix stands that is this name, if it has one and that is not behind a pointer itself.
    fn place_of(&self, suffix: &[u8]) -> Option<u16> {
        let start = self.wire.len().checked_sub(suffix.len())?;
        let is_it = start < usize::from(self.kept)
            && self.wire[start..].eq_ignore_ascii_case(suffix)
            && starts_label(self.wire, start);
        let place = usize::from(self.at) + start;
        (is_it && place < MAX_POINTER).then_some(place as u16)
    }
}

/// Whether ready-made records are signatures.
#[inline]
fn is_signature(bytes: &[u8]) -> bool {
    bytes.get(2..4) == Some(&RecordType::RRSIG.0.to_be_bytes())
}

/// Whether ready-made records end with a name that may be compressed; they are all of one type.
#[inline]
fn has_compressed_name(bytes: &[u8]) -> bool {
    let &[_, _, high, low] = bytes.first_chunk().unwrap_or(&[0; 4]);
    RecordType(u16::from_be_bytes([high, low])).compressed_name().is_some()
}

//! Replies of many messages: records are packed into one message after the other, with names compressed.

use super::edns::{Opt, Options};
use super::tsig::Signer;
use super::{CLASS_IN, HEADER, MAX_STREAM, Query, Rcode, RecordType};
use crate::name::{MAX_NAME, extend_hash, labels, starts_label};

/// Octets of a message of many records: names behind them cannot be pointed at (RFC 1035 §4.1.4).
const FULL: usize = 16_384;
/// Places of names in a message that are remembered, a power of two; others are not pointed at.
const PLACES: usize = 2_048;

/// A record to be sent.
#[derive(Debug, Clone, Copy)]
pub struct SeriesRecord<'r> {
    /// Its owner in uncompressed wire form.
    pub owner: &'r [u8],
    /// Type, class, TTL, length and data; names in the data are not compressed.
    pub rest: &'r [u8],
}

/// Packs a reply of many messages to one query.
pub struct Series {
    id: [u8; 2],
    flags: [u8; 2],
    /// Of the first message.
    question: Vec<u8>,
    /// Of the first message.
    opt: Option<Vec<u8>>,
    signer: Option<Signer>,
    /// The message behind its length, as it is sent (RFC 1035 §4.2.2).
    out: Vec<u8>,
    count: u16,
    is_first: bool,
    places: Box<[u16; PLACES]>,
}

/// A record that no message has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// Octets of the length before a message.
const LENGTH: usize = 2;

impl Series {
    /// The reply to a query; each message is signed by the signer, if there is one.
    pub fn new(query: &Query<'_>, options: &Options<'_>, signer: Option<Signer>) -> Self {
        let opt = query.edns.as_ref().map(|edns| {
            let opt = Opt::new(edns, Rcode::NOERROR, options);
            let mut octets = vec![0; opt.len()];
            // RFC 7830 §6 wants padding of replies that few messages make; here the size tells nothing of the question.
            let end = opt.write(&mut octets, 0);
            octets.truncate(end);
            octets
        });
        Self {
            id: query.id(),
            flags: query.copied_flags(),
            question: query.question().to_vec(),
            opt,
            signer,
            out: Vec::with_capacity(LENGTH + FULL),
            count: 0,
            is_first: true,
            places: Box::new([0; PLACES]),
        }
    }

    /// The next message, with its length, of records of which as many are taken as there is room for; none if there are no
    /// records left. `now` is in seconds since 1970.
    pub fn next<'r>(
        &mut self,
        records: &mut std::iter::Peekable<impl Iterator<Item = SeriesRecord<'r>>>,
        now: u64,
    ) -> Result<Option<&[u8]>, TooLarge> {
        if records.peek().is_none() {
            return Ok(None);
        }
        self.begin();
        let room = self.signer.as_ref().map_or(0, Signer::room) + self.opt.as_ref().map_or(0, Vec::len);
        while let Some(record) = records.peek() {
            // A record that is alone may fill the longest message.
            let most = if self.count == 0 { MAX_STREAM } else { FULL };
            if !self.put(record, (LENGTH + most).saturating_sub(room)) {
                break;
            }
            records.next();
        }
        if self.count == 0 {
            return Err(TooLarge);
        }
        self.end(now).map(Some)
    }

    fn begin(&mut self) {
        self.places.fill(0);
        self.count = 0;
        self.out.clear();
        self.out.resize(LENGTH + HEADER, 0);
        // RFC 5936 §2.2.1: the question stands in the first message, and need not in others.
        if self.is_first {
            self.out.extend_from_slice(&self.question);
            let name = self.question.len().saturating_sub(4);
            self.remember(LENGTH + HEADER, LENGTH + HEADER + name);
        }
    }

    fn end(&mut self, now: u64) -> Result<&[u8], TooLarge> {
        let opt = if self.is_first { self.opt.take() } else { None };
        self.out.extend(opt.iter().flatten());
        let [opcode_and_rd, cd] = self.flags;
        let [an_high, an_low] = self.count.to_be_bytes();
        let [id_high, id_low] = self.id;
        let (has_question, has_opt) = (u8::from(self.is_first), u8::from(opt.is_some()));
        let header = [id_high, id_low, 0x84 | opcode_and_rd, cd, 0, has_question, an_high, an_low, 0, 0, 0, has_opt];
        self.out[LENGTH..LENGTH + HEADER].copy_from_slice(&header);
        if let Some(signer) = &mut self.signer {
            let length = self.out.len() - LENGTH;
            self.out.resize(self.out.len() + signer.room(), 0);
            let end = signer.sign(&mut self.out[LENGTH..], length, now).ok_or(TooLarge)?;
            self.out.truncate(LENGTH + end);
        }
        let length = u16::try_from(self.out.len() - LENGTH).map_err(|_| TooLarge)?;
        self.out[..LENGTH].copy_from_slice(&length.to_be_bytes());
        self.is_first = false;
        Ok(&self.out)
    }

    /// Writes a record if there is room for it.
    fn put(&mut self, record: &SeriesRecord<'_>, limit: usize) -> bool {
        let start = self.out.len();
        let &SeriesRecord { owner, rest } = record;
        // As short as it can be, with its owner behind a pointer.
        if self.count == u16::MAX || start + 2 + rest.len() > limit {
            return false;
        }
        self.put_name(owner);
        let Some((&[t0, t1, c0, c1, ttl0, ttl1, ttl2, ttl3, l0, l1], data)) = rest.split_first_chunk() else {
            self.out.truncate(start);
            return false;
        };
        self.out.extend([t0, t1, c0, c1, ttl0, ttl1, ttl2, ttl3, l0, l1]);
        let data_start = self.out.len();
        let rtype = RecordType(u16::from_be_bytes([t0, t1]));
        let before = match rtype {
            // Nobody points into the data of a record before, as in other replies.
            RecordType::CNAME => Some(0),
            _ => rtype.compressed_name(),
        };
        match before.and_then(|before| data.split_at_checked(before)) {
            Some((before, name)) if u16::from_be_bytes([c0, c1]) == CLASS_IN => {
                self.out.extend_from_slice(before);
                self.put_name(name);
                let length = (self.out.len() - data_start) as u16;
                self.out[data_start - 2..data_start].copy_from_slice(&length.to_be_bytes());
            }
            _ => self.out.extend_from_slice(data),
        }
        if self.out.len() > limit {
            // What was remembered behind here is checked by what stands there then.
            self.out.truncate(start);
            return false;
        }
        self.count += 1;
        true
    }

    /// Writes a name: labels up to a suffix that stands in the message already, and a pointer there.
    fn put_name(&mut self, name: &[u8]) {
        let start = self.out.len();
        let mut hashes = [0u32; MAX_NAME / 2 + 1];
        let count = hash_suffixes(name, &mut hashes);
        let mut at = 0;
        for &hash in &hashes[..count] {
            let place = usize::from(self.places[hash as usize % PLACES]);
            if place != 0 && self.stands_at(LENGTH + place, &name[at..]) {
                self.out.extend((0xc000 | place as u16).to_be_bytes());
                return;
            }
            let length = usize::from(name[at]);
            let here = self.out.len() - LENGTH;
            if here < FULL {
                self.places[hash as usize % PLACES] = here as u16;
            }
            self.out.extend_from_slice(&name[at..at + 1 + length]);
            at += 1 + length;
        }
        self.out.push(0);
        debug_assert!(self.out.len() - start == name.len());
    }

    /// Remembers a name that stands in the message already.
    fn remember(&mut self, start: usize, end: usize) {
        let name = self.out[start..end].to_vec();
        let mut hashes = [0u32; MAX_NAME / 2 + 1];
        let count = hash_suffixes(&name, &mut hashes);
        let mut at = start;
        for hash in &hashes[..count] {
            self.places[*hash as usize % PLACES] = (at - LENGTH) as u16;
            at += 1 + usize::from(self.out[at]);
        }
    }

    /// Whether a name stands at a place of the message, in whatever case, to its end.
    fn stands_at(&self, mut at: usize, name: &[u8]) -> bool {
        let mut rest = name;
        // A place may be left from a record that was taken back: then anything stands there, and each step is bounded.
        while let Some((&length, after)) = rest.split_first() {
            let Some(&there) = self.out.get(at) else { return false };
            if there >= 0xc0 {
                let Some(&low) = self.out.get(at + 1) else { return false };
                let target = LENGTH + (usize::from(there & 0x3f) << 8 | usize::from(low));
                if target >= at {
                    return false;
                }
                at = target;
                continue;
            }
            if there != length {
                return false;
            }
            if length == 0 {
                return true;
            }
            let length = usize::from(length);
            let (Some(label), Some(written)) = (after.get(..length), self.out.get(at + 1..at + 1 + length)) else {
                return false;
            };
            // RFC 1034 §3.6 lets names differ by case, and secondaries keep what they get.
            if label != written {
                return false;
            }
            rest = &after[length..];
            at += 1 + length;
        }
        false
    }
}

/// The hash of each suffix of a name but the root, the longest first, and how many there are.
fn hash_suffixes(name: &[u8], hashes: &mut [u32; MAX_NAME / 2 + 1]) -> usize {
    let count = labels(name).count();
    let mut ends: [(usize, usize); MAX_NAME / 2 + 1] = [(0, 0); MAX_NAME / 2 + 1];
    let mut at = 0;
    for (end, label) in ends.iter_mut().zip(labels(name)) {
        *end = (at + 1, at + 1 + label.len());
        at += 1 + label.len();
    }
    debug_assert!(starts_label(name, 0));
    let mut hash = 0;
    for index in (0..count).rev() {
        let (start, end) = ends[index];
        hash = extend_hash(hash, &name[start..end]);
        hashes[index] = hash;
    }
    count
}

#[cfg(test)]
mod tests {
    use std::iter::Peekable;

    use hickory_proto::op::Message;

    use super::*;
    use crate::name::{LookupName, Name};

    /// `e. AXFR`, with EDNS.
    const QUERY: &[u8] =
        &[7, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'e', 0, 0, 252, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

    fn series() -> Series {
        let mut name = LookupName::new();
        Series::new(&Query::read(QUERY, &mut name).unwrap(), &Options::default(), None)
    }

    fn record(owner: &str, rtype: u16, data: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut rest = rtype.to_be_bytes().to_vec();
        rest.extend([0, 1, 0, 0, 0, 60]);
        rest.extend((data.len() as u16).to_be_bytes());
        rest.extend_from_slice(data);
        (Name::parse(owner, None).unwrap().wire().to_vec(), rest)
    }

    fn messages(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
        let each = records.iter().map(|(owner, rest)| SeriesRecord { owner, rest });
        let (mut series, mut each): (_, Peekable<_>) = (series(), each.peekable());
        let mut all = Vec::new();
        while let Some(message) = series.next(&mut each, 0).unwrap() {
            all.push(message.to_vec());
        }
        all
    }

    #[test]
    fn messages_hold_all_records_in_their_order_as_another_reader_sees_them() {
        let mut records = vec![record("e.", 16, b"\x01x")];
        for number in 0..5_000 {
            let (owner, host) =
                (format!("n{number}.a{}.Deep.e.", number % 7), format!("h{number}.a{}.deep.e.", number % 5));
            let host = Name::parse(&host, None).unwrap();
            records.push(record(&owner, 5, host.wire()));
            records.push(record(&owner, 15, &[&[0, 10], host.wire()].concat()));
        }
        let messages = messages(&records);
        assert!(messages.len() > 5);
        let mut found = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let (length, message) = message.split_first_chunk().unwrap();
            assert_eq!(usize::from(u16::from_be_bytes(*length)), message.len());
            assert!(message.len() <= FULL);
            let read = Message::from_vec(message).unwrap();
            assert_eq!((read.id, read.queries.len()), (0x709, usize::from(index == 0)));
            assert_eq!(read.edns.is_some(), index == 0, "OPT in the first");
            found.extend(read.answers.iter().map(|record| format!("{} {}", record.name, record.data)));
        }
        assert_eq!(found.len(), records.len());
        assert_eq!(found[1], "n0.a0.Deep.e. h0.a0.deep.e.");
        assert_eq!(found.last().unwrap(), "n4999.a1.Deep.e. 10 h4999.a4.deep.e.");
        let octets: usize = messages.iter().map(Vec::len).sum();
        assert!(octets < 10_000 * 32, "{octets} octets: names are compressed");
    }

    #[test]
    fn a_large_record_has_a_message_of_its_own_and_one_that_fits_none_is_told() {
        let large = vec![0; 60_000];
        let records = [record("a.e.", 16, b"\x01x"), record("b.e.", 65_280, &large), record("c.e.", 16, b"\x01x")];
        let lengths: Vec<usize> = messages(&records).iter().map(Vec::len).collect();
        assert_eq!(lengths.len(), 3);
        assert!(lengths[1] > 60_000);
        let (owner, rest) = record("b.e.", 65_280, &vec![0; 65_535]);
        let record = SeriesRecord { owner: &owner, rest: &rest };
        assert_eq!(series().next(&mut std::iter::once(record).peekable(), 0).err(), Some(TooLarge));
    }
}

//! Messages of other servers, read with a client's eyes: what they say of themselves, and their records.

use super::query::{Record, skip_name};
use super::{CLASS_IN, HEADER, Rcode, RecordType};
use crate::name::{MAX_LABEL, MAX_NAME};

/// A response, of which the header has been read.
#[derive(Debug, Clone, Copy)]
pub struct Response<'m> {
    message: &'m [u8],
    /// Where the first record stands.
    records: usize,
}

/// A record of a response.
#[derive(Debug, Clone)]
pub struct Received<'m> {
    /// The owner in uncompressed wire form, in lower case.
    pub owner: Vec<u8>,
    /// The type.
    pub rtype: RecordType,
    /// The class.
    pub class: u16,
    /// Seconds.
    pub ttl: u32,
    /// The message up to where the data end; names in them may be compressed.
    pub message: &'m [u8],
    /// Where the data begin.
    pub start: usize,
}

impl<'m> Response<'m> {
    /// Reads the head of a response to a query of this id, and its question, if it has one, which must be this; none if it is
    /// something else.
    pub fn read(message: &'m [u8], id: u16, name: &[u8], qtype: RecordType) -> Option<Self> {
        let header: &[u8; HEADER] = message.first_chunk()?;
        // QR, and the opcode of queries.
        let is_response = header[2] & 0xf8 == 0x80 && header[..2] == id.to_be_bytes();
        let questions = u16::from_be_bytes([header[4], header[5]]);
        let response = Self { message, records: HEADER };
        match questions {
            0 if is_response => Some(response),
            1 if is_response => {
                let (asked, end) = unpack_name(message, HEADER)?;
                let [t1, t2, c1, c2] = *message.get(end..)?.first_chunk()?;
                let is_same = asked.eq_ignore_ascii_case(name)
                    && [t1, t2] == qtype.0.to_be_bytes()
                    && [c1, c2] == CLASS_IN.to_be_bytes();
                is_same.then_some(Self { records: end + 4, ..response })
            }
            _ => None,
        }
    }

    /// Whether the question was echoed.
    pub fn has_question(&self) -> bool {
        self.records > HEADER
    }

    /// The response code, as the header has it.
    pub fn rcode(&self) -> Rcode {
        Rcode(u16::from(self.message[3] & 0x0f))
    }

    /// AA: it speaks of a zone of its own.
    pub fn is_authoritative(&self) -> bool {
        self.message[2] & 0x04 != 0
    }

    /// TC: there is more than fitted.
    pub fn is_truncated(&self) -> bool {
        self.message[2] & 0x02 != 0
    }

    /// The records of the answer section; an error in the place of the first that cannot be read.
    pub fn answers(&self) -> impl Iterator<Item = Result<Received<'m>, Broken>> + use<'m> {
        let message = self.message;
        let mut left = u16::from_be_bytes([message[6], message[7]]);
        let mut at = self.records;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let read = received(message, at);
            match &read {
                Some((_, end)) => at = *end,
                None => left = 0,
            }
            Some(read.map(|(record, _)| record).ok_or(Broken))
        })
    }
}

/// A record that is cut, or has a broken name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

fn received(message: &[u8], at: usize) -> Option<(Received<'_>, usize)> {
    let (mut owner, _) = unpack_name(message, at)?;
    let Record { rtype, class, ttl, data, end, .. } = Record::read(message, at)?;
    owner.make_ascii_lowercase();
    let ttl = u32::from_be_bytes(ttl);
    let start = end - data.len();
    Some((Received { owner, rtype: RecordType(rtype), class, ttl, message: &message[..end], start }, end))
}

/// The name at a place in uncompressed wire form, and where it ends there; none if it is broken.
pub fn unpack_name(message: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let end = skip_name(message, start)?;
    let mut name = Vec::new();
    let mut at = start;
    // The name has been checked: pointers lead back, and it ends.
    while name.len() < MAX_NAME {
        let length = usize::from(*message.get(at)?);
        if length > MAX_LABEL {
            at = (length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
            continue;
        }
        name.extend_from_slice(message.get(at..=at + length)?);
        if length == 0 {
            return Some((name, end));
        }
        at += 1 + length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x04live\x07example\0";

    fn response(flags: [u8; 2], counts: [u8; 2], rest: &[u8]) -> Vec<u8> {
        [&[0x12, 0x34], &flags[..], &[0, counts[0], 0, counts[1], 0, 0, 0, 0], rest].concat()
    }

    #[test]
    fn records_come_with_their_whole_names() {
        let question = [NAME, &[0, 6, 0, 1]].concat();
        let record = b"\x02NS\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
        let message = response([0x84, 0], [1, 1], &[&question[..], record].concat());
        let read = Response::read(&message, 0x1234, b"\x04LIVE\x07example\0", RecordType::SOA).unwrap();
        assert!(read.has_question() && read.is_authoritative() && !read.is_truncated());
        let records: Vec<_> = read.answers().map(Result::unwrap).collect();
        let [Received { owner, rtype: RecordType::A, class: 1, ttl: 60, message: whole, start }] = &records[..] else {
            panic!("{records:?}")
        };
        assert_eq!((&owner[..], &whole[*start..]), (&b"\x02ns\x04live\x07example\0"[..], &[192, 0, 2, 1][..]));
        assert!(Response::read(&message, 0x1235, NAME, RecordType::SOA).is_none());
        assert!(Response::read(&message, 0x1234, NAME, RecordType::AXFR).is_none());
    }

    #[test]
    fn what_is_cut_or_leads_nowhere_is_told() {
        for rest in [&b""[..], b"\0\0\x01\0\x01\0\0\0\x3c\0\x05\xc0\0\x02\x01", b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\0"] {
            let message = response([0x80, 0], [0, 2], rest);
            let read = Response::read(&message, 0x1234, NAME, RecordType::SOA).unwrap();
            assert!(read.answers().any(|record| record.is_err()), "{rest:?}");
        }
    }
}

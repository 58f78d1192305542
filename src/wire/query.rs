//! The query reader: bytes → a checked, borrowed query, or the problem it has.

use super::edns::{Edns, Malformed};
use super::tsig::{TYPE_TSIG, Tsig};
use super::{HEADER, Rcode, RecordType};
use crate::name::{LookupName, MAX_LABEL, MAX_NAME};

const TYPE_OPT: u16 = 41;
const OPCODE_QUERY: u8 = 0;
const OPCODE_NOTIFY: u8 = 4;
const OPCODE_UPDATE: u8 = 5;

/// A query: what was asked, and what the reply needs of it.
#[derive(Clone)]
pub struct Query<'m> {
    /// The name asked for, in lower case; the root if there is no question.
    pub name: &'m LookupName,
    /// The type asked for.
    pub qtype: RecordType,
    /// The class asked for.
    pub qclass: u16,
    /// The OPT record.
    pub edns: Option<Edns<'m>>,
    /// Who signed it.
    pub tsig: Option<Tsig<'m>>,
    /// Why the query gets no answer from the zones.
    pub problem: Option<Problem>,
    /// What is hashed in place of name or client where nodes are found by hashing: no DNS message tells it, but HTTP does.
    pub stream: Option<u64>,
    message: &'m [u8],
    question: &'m [u8],
}

/// Why a query gets no answer from the zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// It cannot be read.
    Malformed,
    /// Its opcode is not known here.
    UnknownOpcode,
    /// UPDATE is not for this server.
    Unwanted,
    /// It says that a zone has changed (RFC 1996), which is for those to judge who know its primaries.
    Notify,
    /// Its EDNS version is not 0.
    UnknownVersion,
    /// It is signed: those who have keys must check it first, and then answer `Query::verified`.
    Signed,
    /// It has no question, and wants no more than a cookie (RFC 7873 §5.4).
    NoQuestion,
}

impl Problem {
    /// The response code that tells it.
    pub fn rcode(self) -> Rcode {
        match self {
            Self::Malformed => Rcode::FORMERR,
            Self::UnknownOpcode => Rcode::NOTIMP,
            Self::Unwanted | Self::Notify => Rcode::REFUSED,
            Self::UnknownVersion => Rcode::BADVERS,
            Self::Signed => Rcode::NOTAUTH,
            Self::NoQuestion => Rcode::NOERROR,
        }
    }
}

impl<'m> Query<'m> {
    /// Reads a message; none if it must be dropped: shorter than a header, or a response (two
    /// servers would otherwise answer each other for ever). The name goes where the caller has room for it: it is large,
    /// and would be moved with the query.
    #[inline]
    pub fn read(message: &'m [u8], name: &'m mut LookupName) -> Option<Self> {
        let header: &[u8; HEADER] = message.first_chunk()?;
        if header[2] & 0x80 != 0 {
            return None;
        }
        // Nothing stands before the question that a pointer could point to.
        let end = if header[4..6] == [0, 1] { name.read(&message[HEADER..]).map(|end| HEADER + end) } else { None };
        let tail = end.and_then(|end| message[end..].first_chunk::<4>());
        let (question, [t1, t2, c1, c2]) = match (end, tail) {
            (Some(end), Some(tail)) => (&message[HEADER..end + 4], *tail),
            _ => {
                name.clear();
                (&[][..], [0; 4])
            }
        };
        let mut query = Self {
            name,
            qtype: RecordType(u16::from_be_bytes([t1, t2])),
            qclass: u16::from_be_bytes([c1, c2]),
            edns: None,
            tsig: None,
            problem: None,
            stream: None,
            message,
            question,
        };
        query.problem = query.read_body(header).err();
        Some(query)
    }

    /// The question as it came, to be echoed byte for byte: name, type, class; empty if there is none.
    pub fn question(&self) -> &'m [u8] {
        self.question
    }

    /// The message's id, to be copied.
    pub fn id(&self) -> [u8; 2] {
        [self.message[0], self.message[1]]
    }

    /// The whole message.
    pub(super) fn message(&self) -> &'m [u8] {
        self.message
    }

    /// The first octet of flags, of which opcode and RD are copied.
    pub(super) fn copied_flags(&self) -> [u8; 2] {
        // Opcode and RD from the first octet, CD from the second; QR, AA, TC, RA, Z, AD, RCODE are ours.
        [self.message[2] & 0x79, self.message[3] & 0x10]
    }

    fn read_body(&mut self, header: &[u8; HEADER]) -> Result<(), Problem> {
        let opcode = header[2] >> 3 & 0x0f;
        let is_read = self.read_sections(header);
        if !matches!(opcode, OPCODE_QUERY | OPCODE_NOTIFY | OPCODE_UPDATE) {
            // What its sections hold is not known; an OPT record that was found has its reply (RFC 6891 §7).
            return Err(Problem::UnknownOpcode);
        }
        is_read.map_err(|Malformed| Problem::Malformed)?;
        if self.tsig.is_some() {
            return Err(Problem::Signed);
        }
        self.check_kind(opcode)
    }

    /// The same query after its signature has been checked and was right.
    pub fn verified(&self) -> Self {
        let problem = self.check_kind(self.message[2] >> 3 & 0x0f).err();
        Self { problem, ..self.clone() }
    }

    /// The serial that a query for IXFR begins with: that of the SOA record in its authority section (RFC 1995 §3).
    pub fn known_serial(&self) -> Option<u32> {
        let message = self.message;
        let header: &[u8; HEADER] = message.first_chunk()?;
        if self.qtype != RecordType::IXFR || header[6..8] != [0, 0] || header[8..10] == [0, 0] {
            return None;
        }
        let start = HEADER + self.question.len();
        let record = Record::read(message, start)?;
        if record.rtype != RecordType::SOA.0 {
            return None;
        }
        // Behind the owner: type, class, TTL, length.
        let data = skip_name(message, start)? + 10;
        let serial = skip_name(message, skip_name(message, data)?)?;
        (serial + 20 == record.end).then_some(())?;
        message[serial..].first_chunk().map(|serial| u32::from_be_bytes(*serial))
    }

    /// Whether it says that a zone has changed (RFC 1996 §3.7).
    pub fn is_notify(&self) -> bool {
        self.message[2] >> 3 & 0x0f == OPCODE_NOTIFY
    }

    /// The name of the key that signed it, in lower-case wire form.
    pub fn key_name(&self) -> Option<Box<[u8]>> {
        self.tsig.as_ref().map(|tsig| tsig.key_name(self.message).as_slice().into())
    }

    fn check_kind(&self, opcode: u8) -> Result<(), Problem> {
        if self.edns.as_ref().is_some_and(|edns| edns.version != 0) {
            return Err(Problem::UnknownVersion);
        }
        match opcode {
            OPCODE_QUERY => {}
            OPCODE_NOTIFY if !self.question.is_empty() => return Err(Problem::Notify),
            _ => return Err(Problem::Unwanted),
        }
        if self.question.is_empty() {
            return Err(Problem::NoQuestion);
        }
        Ok(())
    }

    fn read_sections(&mut self, header: &[u8; HEADER]) -> Result<(), Malformed> {
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let questions = count(4);
        let mut at = HEADER + self.question.len();
        match questions {
            // It could not be read.
            1 if self.question.is_empty() => return Err(Malformed),
            1 => {}
            _ => {
                for _ in 0..questions {
                    at = skip_name(self.message, at).ok_or(Malformed)? + 4;
                }
            }
        }
        let (answers, authorities, additionals) = (count(6), count(8), count(10));
        for index in 0..u32::from(answers) + u32::from(authorities) + u32::from(additionals) {
            let record = Record::read(self.message, at).ok_or(Malformed)?;
            at = record.end;
            let is_additional = index >= u32::from(answers) + u32::from(authorities);
            self.read_record(&record, is_additional)?;
        }
        let has_cookie = self.edns.as_ref().is_some_and(|edns| edns.cookie.is_some());
        // RFC 9267 has what comes of leniency with octets that are left; RFC 9619 §4: a query has one question, but for
        // one that wants a cookie (RFC 7873 §5.4).
        if at != self.message.len() || questions > 1 || (questions == 0 && !has_cookie) {
            return Err(Malformed);
        }
        Ok(())
    }

    #[inline]
    fn read_record(&mut self, record: &Record<'m>, is_additional: bool) -> Result<(), Malformed> {
        match record.rtype {
            // RFC 6891 §6.1.1: at most one OPT, in the additional section, owned by the root.
            TYPE_OPT if !is_additional || self.edns.is_some() || !record.is_owned_by_root => Err(Malformed),
            // RFC 6891 §7: an error without OPT would say that EDNS is not known here, so it is kept even if it is broken.
            TYPE_OPT => {
                let edns = self.edns.insert(Edns::without_options(record.class, record.ttl));
                let is_read = edns.read_options(record.data);
                if is_read.is_err() {
                    // Of two subnets, none is the client's.
                    edns.subnet = None;
                }
                is_read
            }
            // RFC 8945 §5.1: TSIG is the last record of all.
            TYPE_TSIG if !is_additional || record.end != self.message.len() => Err(Malformed),
            TYPE_TSIG => {
                self.tsig = Some(Tsig::read(record.start, record.class, record.ttl, record.data)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The TSIG record of any message, if its last record is one; whatever else the message holds must be whole.
pub(super) fn last_tsig(message: &[u8]) -> Result<Option<Tsig<'_>>, Malformed> {
    let header: &[u8; HEADER] = message.first_chunk().ok_or(Malformed)?;
    let count = |at: usize| u32::from(u16::from_be_bytes([header[at], header[at + 1]]));
    let mut at = HEADER;
    for _ in 0..count(4) {
        at = skip_name(message, at).ok_or(Malformed)? + 4;
    }
    let (records, mut tsig) = (count(6) + count(8) + count(10), None);
    for index in 0..records {
        let record = Record::read(message, at).ok_or(Malformed)?;
        at = record.end;
        if record.rtype == TYPE_TSIG {
            // RFC 8945 §5.1: it is the last record of all.
            if index + 1 != records || count(10) == 0 {
                return Err(Malformed);
            }
            tsig = Some(Tsig::read(record.start, record.class, record.ttl, record.data)?);
        }
    }
    if at == message.len() { Ok(tsig) } else { Err(Malformed) }
}

/// A record of a query: checked, of interest only if it is OPT or TSIG.
pub(super) struct Record<'m> {
    start: usize,
    is_owned_by_root: bool,
    pub(super) rtype: u16,
    pub(super) class: u16,
    pub(super) ttl: [u8; 4],
    pub(super) data: &'m [u8],
    pub(super) end: usize,
}

impl<'m> Record<'m> {
    pub(super) fn read(message: &'m [u8], start: usize) -> Option<Self> {
        let at = skip_name(message, start)?;
        let [t1, t2, c1, c2, ttl1, ttl2, ttl3, ttl4, l1, l2] = *message.get(at..)?.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l1, l2]));
        let data = message.get(at + 10..at + 10 + length)?;
        Some(Self {
            start,
            is_owned_by_root: at == start + 1,
            rtype: u16::from_be_bytes([t1, t2]),
            class: u16::from_be_bytes([c1, c2]),
            ttl: [ttl1, ttl2, ttl3, ttl4],
            data,
            end: at + 10 + length,
        })
    }
}

/// Where the name at `start` ends; none if it is broken.
pub(super) fn skip_name(message: &[u8], start: usize) -> Option<usize> {
    let mut end = None;
    let mut at = start;
    // The root's is one of them.
    let mut octets = 1;
    let mut pointers = 0;
    loop {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => return Some(end.unwrap_or(at + 1)),
            1..=MAX_LABEL => {
                octets += 1 + length;
                at += 1 + length;
            }
            0xc0.. => {
                let target = (length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                // RFC 9267 §2: a pointer points backwards, behind the header; the counts end loops.
                if target >= at || target < HEADER {
                    return None;
                }
                end.get_or_insert(at + 2);
                at = target;
                pointers += 1;
            }
            // RFC 6891 §4.2: other label types are not in use.
            _ => return None,
        }
        // More pointers than a name has octets are of no use, and would only be work.
        if octets > MAX_NAME || pointers > MAX_NAME {
            return None;
        }
    }
}

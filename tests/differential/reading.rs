//! Replies taken apart into what can be compared: names in full and in lower case, data without compression.

use thalweg::wire::RecordType;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    /// With the upper octet that OPT carries.
    pub(crate) rcode: u16,
    /// The second and third octet of the header without the response code.
    pub(crate) flags: u16,
    /// As they came, octet by octet.
    pub(crate) question: Vec<u8>,
    pub(crate) answer: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    /// Without OPT.
    pub(crate) additional: Vec<Record>,
    /// Whether there is an OPT record, and whether it has DO.
    pub(crate) edns: Option<bool>,
    /// Octets of the reply up to each of the additional records, and up to the end.
    pub(crate) sizes: Vec<usize>,
}

/// A record of a reply.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) owner: Vec<u8>,
    pub(crate) rtype: RecordType,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    pub(crate) data: Vec<u8>,
}

/// Flags of a reply.
pub(crate) const AA: u16 = 0x0400;
pub(crate) const TC: u16 = 0x0200;

impl Parts {
    /// Octets of a reply that holds no more of the additional records than these.
    pub(crate) fn size_with(&self, required: &[Record]) -> usize {
        let count = self.additional.iter().rposition(|record| required.contains(record)).map_or(0, |last| last + 1);
        // Without EDNS there is no OPT record among them.
        self.sizes[count]
    }
}

/// Takes a reply apart.
pub(crate) fn read(message: &[u8]) -> Result<Parts, String> {
    let mut reader = Reader { message, at: 12 };
    let word = |at: usize| message.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let header: Option<Vec<u16>> = (0..6).map(|index| word(2 * index)).collect();
    let Some(&[_, flags, questions, answers, authorities, additionals]) = header.as_deref() else {
        return Err("a reply without a header".to_owned());
    };
    for _ in 0..questions {
        reader.name()?;
        reader.take(4)?;
    }
    let question = message[12..reader.at].to_vec();
    let mut edns = None;
    let mut rcode = flags & 0x0f;
    let mut sizes = Vec::new();
    let mut section = |count: u16| -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        sizes = Vec::new();
        for _ in 0..count {
            sizes.push(reader.at);
            let record = reader.record()?;
            if record.rtype == RecordType::OPT {
                edns = Some(record.ttl & 0x8000 != 0);
                rcode |= (record.ttl >> 20) as u16 & 0xff0;
            } else {
                records.push(record);
            }
        }
        sizes.push(reader.at);
        Ok(records)
    };
    let (answer, authority, additional) = (section(answers)?, section(authorities)?, section(additionals)?);
    let flags = flags & !0x0f;
    match reader.at == message.len() {
        true => Ok(Parts { rcode, flags, question, answer, authority, additional, edns, sizes }),
        false => Err(format!("{} octets behind the last record", message.len() - reader.at)),
    }
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn take(&mut self, octets: usize) -> Result<&'m [u8], String> {
        let taken = self.message.get(self.at..self.at + octets).ok_or("the reply is cut")?;
        self.at += octets;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u16, String> {
        self.take(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// A name in full and in lower case; behind it stands what follows.
    fn name(&mut self) -> Result<Vec<u8>, String> {
        let mut name = Vec::new();
        let mut behind = None;
        loop {
            let length = self.take(1)?[0];
            match length {
                0 => break,
                1..=63 => {
                    name.push(length);
                    name.extend(self.take(usize::from(length))?.to_ascii_lowercase());
                }
                192..=255 => {
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, self.take(1)?[0]]));
                    if target >= self.at - 2 {
                        return Err("a pointer that does not point back".to_owned());
                    }
                    behind.get_or_insert(self.at);
                    self.at = target;
                }
                _ => return Err("a label of an unknown form".to_owned()),
            }
        }
        name.push(0);
        self.at = behind.unwrap_or(self.at);
        if name.len() > 255 { Err("a name of more than 255 octets".to_owned()) } else { Ok(name) }
    }

    /// Octets of a NAPTR record before its name (RFC 3403 §4.1).
    fn naptr_strings(&self) -> Result<usize, String> {
        let mut before = 4;
        for _ in 0..3 {
            before += 1 + usize::from(*self.message.get(self.at + before).ok_or("the reply is cut")?);
        }
        Ok(before)
    }

    fn record(&mut self) -> Result<Record, String> {
        let owner = self.name()?;
        let (rtype, class) = (RecordType(self.word()?), self.word()?);
        let ttl = u32::from(self.word()?) << 16 | u32::from(self.word()?);
        let end = usize::from(self.word()?) + self.at;
        let mut data = Vec::new();
        // Compression (RFC 3597 §4) and case of names make no difference; other octets do.
        let (before, names) = match rtype {
            RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::DNAME => (0, 1),
            RecordType::SOA | RecordType::RP => (0, 2),
            RecordType::MX | RecordType::AFSDB | RecordType::SVCB | RecordType::HTTPS => (2, 1),
            RecordType::SRV => (6, 1),
            RecordType::NAPTR => (self.naptr_strings()?, 1),
            _ => (0, 0),
        };
        data.extend(self.take(before)?);
        for _ in 0..names {
            data.extend(self.name()?);
        }
        let rest = end.checked_sub(self.at).ok_or("data longer than they say")?;
        data.extend(self.take(rest)?);
        Ok(Record { owner, rtype, class, ttl, data })
    }
}

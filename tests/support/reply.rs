//! Replies in words, much as `dig` prints them, read by hickory-proto; the OPT record is read here, octet by octet.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, RData, Record};
use thalweg::name::Name;
use thalweg::wire::{Rcode, RecordType};

/// Octets of a message that pointers can point to (RFC 1035 §4.1.4).
const MAX_POINTER: usize = 1 << 14;

/// A reply that has been read.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The id.
    pub(crate) id: u16,
    /// Response code, flags, then a line for the question, each record and the OPT record.
    pub(crate) lines: Vec<String>,
}

impl Reply {
    /// Reads a reply; an error says what no client should have to bear.
    pub(crate) fn read(octets: &[u8]) -> Result<Self, String> {
        let records = records(octets)?;
        let opt = find_opt(&records)?;
        let mut readable = octets.to_vec();
        if let Some(at) = opt.as_ref().and_then(|opt| opt.unreadable) {
            // An option of which nobody knows anything, for local use (RFC 6891 §9).
            readable[at..at + 2].copy_from_slice(&65_001_u16.to_be_bytes());
        }
        let message = Message::from_vec(&readable).map_err(|error| format!("hickory-proto: {error}"))?;
        let written = message.to_vec().map_err(|error| format!("hickory-proto cannot write it again: {error}"))?;
        let again = Message::from_vec(&written).map_err(|error| format!("hickory-proto, again: {error}"))?;
        // Beyond that, hickory-proto writes names in full, and has no room for what fits when they are pointers.
        if octets.len() < MAX_POINTER && again != message {
            return Err(format!("hickory-proto writes another meaning than it has read: {message:?}, then {again:?}"));
        }
        let Some(&[_, _, high, low, ..]) = octets.first_chunk::<12>() else { return Err("no header".to_owned()) };
        if high & 0x78 == 0 && u16::from(message.metadata.response_code) & 0x0f != u16::from(low & 0x0f) {
            return Err("hickory-proto reads another response code".to_owned());
        }
        let rcode = u16::from(low & 0x0f) | opt.as_ref().map_or(0, |opt| u16::from(opt.extended_rcode) << 4);
        let names = [(high, 0x80, "qr"), (high, 4, "aa"), (high, 2, "tc"), (high, 1, "rd")];
        let more = [(low, 0x80, "ra"), (low, 0x40, "z"), (low, 0x20, "ad"), (low, 0x10, "cd")];
        let flags = names.into_iter().chain(more).filter(|(octet, bit, _)| octet & bit != 0).map(|(_, _, name)| name);
        let mut first: Vec<&str> = vec![Rcode(rcode).mnemonic()];
        let opcode = format!("opcode-{}", high >> 3 & 0x0f);
        if opcode != "opcode-0" {
            first.push(&opcode);
        }
        first.extend(flags);
        let mut lines = vec![first.join(" ")];
        for query in &message.queries {
            let qtype = RecordType(query.query_type().into());
            let class = match query.query_class() {
                // RFC 3597 §5.
                DNSClass::Unknown(class) => format!("CLASS{class}"),
                class => class.to_string(),
            };
            lines.push(format!("question: {} {class} {qtype}", query.name()));
        }
        let sections =
            [("answer", &message.answers), ("authority", &message.authorities), ("additional", &message.additionals)];
        for (section, records) in sections {
            // TSIG has a line of its own.
            let plain = records.iter().filter(|record| u16::from(record.record_type()) != 250);
            lines.extend(plain.map(|record| format!("{section}: {}", printed(record))));
        }
        lines.extend(find_tsig(&records)?);
        lines.extend(opt.map(|opt| format!("edns: {}", opt.words)));
        Ok(Self { id: u16::from_be_bytes([octets[0], octets[1]]), lines })
    }
}

fn printed(record: &Record) -> String {
    let data = match &record.data {
        // RFC 3597 §5: hickory-proto would print base64.
        RData::Unknown { rdata, .. } => {
            let hex: String = rdata.anything.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("\\# {} {hex}", rdata.anything.len())
        }
        // It would print the strings in one.
        RData::TXT(text) => {
            let strings = text.txt_data.iter().map(|string| format!("\"{}\"", string.escape_ascii()));
            strings.collect::<Vec<_>>().join(" ")
        }
        data => data.to_string(),
    };
    let rtype = RecordType(record.record_type().into());
    format!("{} {} {} {rtype} {data}", record.name, record.ttl, record.dns_class)
}

struct Opt {
    extended_rcode: u8,
    words: String,
    /// Where the code of an option stands that hickory-proto cannot read: a client subnet of no family (RFC 7871 §7.1.2).
    unreadable: Option<usize>,
}

/// A record as it stands in a message.
struct Raw<'m> {
    owner: &'m [u8],
    rtype: u16,
    class: [u8; 2],
    ttl: [u8; 4],
    data: &'m [u8],
    /// Where the data stand.
    data_at: usize,
}

/// All records of a message, behind which nothing may be left over.
fn records(octets: &[u8]) -> Result<Vec<Raw<'_>>, String> {
    let mut rest = Rest(octets);
    let header = rest.take(12)?;
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    for _ in 0..count(4) {
        rest.skip_name()?;
        rest.take(4)?;
    }
    let mut records = Vec::new();
    for _ in 0..count(6) + count(8) + count(10) {
        let before = rest.0;
        rest.skip_name()?;
        let owner = &before[..before.len() - rest.0.len()];
        let fixed: [u8; 10] = rest.take(10)?.try_into().map_err(|_| "a short record")?;
        let [t1, t2, c1, c2, ttl1, ttl2, ttl3, ttl4, l1, l2] = fixed;
        let data_at = octets.len() - rest.0.len();
        let data = rest.take(usize::from(u16::from_be_bytes([l1, l2])))?;
        let (rtype, class, ttl) = (u16::from_be_bytes([t1, t2]), [c1, c2], [ttl1, ttl2, ttl3, ttl4]);
        records.push(Raw { owner, rtype, class, ttl, data, data_at });
    }
    if rest.0.is_empty() { Ok(records) } else { Err(format!("{} octets behind the last record", rest.0.len())) }
}

/// What the OPT record says, which may be there once.
fn find_opt(records: &[Raw<'_>]) -> Result<Option<Opt>, String> {
    let mut found = records.iter().filter(|record| record.rtype == 41);
    let Some(&Raw { class, ttl: [extended_rcode, version, flags, zero], data, data_at, .. }) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err("two OPT records".to_owned());
    }
    let mut words = vec![format!("payload {}", u16::from_be_bytes(class))];
    if version != 0 {
        words.push(format!("version {version}"));
    }
    if flags & 0x80 != 0 {
        words.push("do".to_owned());
    }
    if flags & 0x7f != 0 || zero != 0 {
        words.push("unknown flags".to_owned());
    }
    let mut options = Rest(data);
    let mut unreadable = None;
    while !options.0.is_empty() {
        let at = data_at + data.len() - options.0.len();
        let fixed = options.take(4)?;
        let data = options.take(usize::from(u16::from_be_bytes([fixed[2], fixed[3]])))?;
        if fixed[..2] == [0, 8] && data.starts_with(&[0, 0]) {
            unreadable = Some(at);
        }
        words.push(option(u16::from_be_bytes([fixed[0], fixed[1]]), data));
    }
    Ok(Some(Opt { extended_rcode, words: words.join(", "), unreadable }))
}

/// What the TSIG record says, which is the last (RFC 8945 §4.2): hickory-proto keeps it apart.
fn find_tsig(records: &[Raw<'_>]) -> Result<Option<String>, String> {
    let Some(at) = records.iter().position(|record| record.rtype == 250) else { return Ok(None) };
    let Raw { owner, class, ttl, data, .. } = records[at];
    if (class, ttl) != ([0, 255], [0; 4]) || at + 1 != records.len() {
        return Err("TSIG has class ANY and TTL 0, and is the last record".to_owned());
    }
    let mut data = Rest(data);
    data.skip_name()?;
    data.take(8)?;
    let [high, low] = data.take(2)?.try_into().map_err(|_| "a short record")?;
    let mac = usize::from(u16::from_be_bytes([high, low]));
    data.take(mac + 2)?;
    let [high, low] = data.take(2)?.try_into().map_err(|_| "a short record")?;
    let key = Name::from_wire(owner).map_err(|error| error.to_string())?;
    Ok(Some(format!("tsig: {key} error {} mac of {mac} octets", u16::from_be_bytes([high, low]))))
}

fn option(code: u16, data: &[u8]) -> String {
    match (code, data) {
        (8, [0, family @ 0..=2, source, scope, address @ ..]) => {
            let mut octets = [0; 16];
            octets[..address.len()].copy_from_slice(address);
            let [a, b, c, d, ..] = octets;
            let address = match family {
                0 => "0".to_owned(),
                1 => Ipv4Addr::from([a, b, c, d]).to_string(),
                _ => Ipv6Addr::from(octets).to_string(),
            };
            format!("subnet {address}/{source} scope {scope}")
        }
        (15, [high, low, text @ ..]) => {
            let text = String::from_utf8_lossy(text);
            format!("error {} {text}", u16::from_be_bytes([*high, *low])).trim_end().to_owned()
        }
        (3, name) => format!("nsid {}", String::from_utf8_lossy(name)),
        (9, [a, b, c, d]) => format!("expire {}", u32::from_be_bytes([*a, *b, *c, *d])),
        // What follows depends on the time: when it was made, and a hash.
        (10, [client @ .., 1, 0, 0, 0, _, _, _, _, _, _, _, _, _, _, _, _]) if client.len() == 8 => {
            let client: String = client.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("cookie {client} and a fresh one")
        }
        (11, [high, low]) => format!("keepalive {} ms", u32::from(u16::from_be_bytes([*high, *low])) * 100),
        (12, padding) => format!("padding {}", padding.len()),
        (19, [labels, 0, a, b, c, d]) => {
            format!("version {} of {labels} labels", u32::from_be_bytes([*a, *b, *c, *d]))
        }
        _ => format!("option {code} {data:02x?}"),
    }
}

struct Rest<'m>(&'m [u8]);

impl<'m> Rest<'m> {
    fn take(&mut self, octets: usize) -> Result<&'m [u8], String> {
        let (taken, rest) = self.0.split_at_checked(octets).ok_or("the message is cut")?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip_name(&mut self) -> Result<(), String> {
        loop {
            match self.take(1)?[0] {
                0 => return Ok(()),
                length @ 1..=63 => self.take(usize::from(length))?,
                _ => return self.take(1).map(|_| ()),
            };
        }
    }
}

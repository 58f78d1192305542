//! What the RDATA of each type is made of: one table for reading text, checking wire form and comparing records.

use crate::name::Name;
use crate::wire::RecordType;

/// One field of RDATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) kind: Kind,
    /// Its word in messages, with the article left out.
    pub(super) name: &'static str,
}

/// How a field is written, in text and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Four octets.
    Ipv4,
    /// Sixteen octets.
    Ipv6,
    /// A number of one octet.
    U8,
    /// A number of two octets.
    U16,
    /// A number of four octets.
    U32,
    /// Seconds in four octets, written with units if one likes.
    Seconds,
    /// A domain name.
    DomainName,
    /// One string of up to 255 octets, behind its length.
    Text,
    /// One or more of them, to the end.
    Texts,
    /// Letters and digits, behind their length.
    Tag,
    /// One string without a length, to the end.
    LastText,
    /// Octets in hexadecimal digits, to the end.
    Hex,
}

/// The fields of a type's RDATA; none if the type can only be written as RFC 3597 has it.
pub(super) fn fields(rtype: RecordType) -> Option<&'static [Field]> {
    Some(match rtype {
        RecordType::A => A,
        RecordType::AAAA => AAAA,
        RecordType::NS => NS,
        RecordType::CNAME | RecordType::PTR | RecordType::DNAME => TARGET,
        RecordType::MB | RecordType::MG | RecordType::MR => MAILBOX,
        RecordType::SOA => SOA,
        RecordType::HINFO => HINFO,
        RecordType::MINFO => MINFO,
        RecordType::MX => MX,
        RecordType::TXT | RecordType::SPF => TXT,
        RecordType::SRV => SRV,
        RecordType::DS => DS,
        RecordType::CAA => CAA,
        _ => return None,
    })
}

/// Cuts RDATA into its fields; none if it does not consist of exactly these.
pub(super) fn split<'r>(fields: &'static [Field], rdata: &'r [u8]) -> Option<Vec<(Field, &'r [u8])>> {
    let mut rest = rdata;
    let mut parts = Vec::with_capacity(fields.len());
    for &field in fields {
        let (part, after) = rest.split_at_checked(length(field.kind, rest)?)?;
        parts.push((field, part));
        rest = after;
    }
    rest.is_empty().then_some(parts)
}

/// The name that RDATA of this type points at, in wire form: of NS, CNAME, MX, SRV and their like.
pub(super) fn target(rtype: RecordType, rdata: &[u8]) -> Option<&[u8]> {
    let before = match rtype {
        RecordType::NS | RecordType::CNAME | RecordType::PTR => 0,
        RecordType::MX => 2,
        RecordType::SRV => 6,
        _ => return None,
    };
    rdata.get(before..)
}

/// RDATA in the form in which equal records are equal: names in lower case (RFC 4034 §6.2, RFC 2181 §5).
pub(super) fn canonical(rtype: RecordType, rdata: &[u8]) -> Box<[u8]> {
    let Some(parts) = fields(rtype).and_then(|fields| split(fields, rdata)) else {
        return rdata.into();
    };
    let mut octets = Vec::with_capacity(rdata.len());
    for (field, part) in parts {
        match field.kind {
            Kind::DomainName => octets.extend(part.iter().map(u8::to_ascii_lowercase)),
            _ => octets.extend_from_slice(part),
        }
    }
    octets.into()
}

/// How many octets the field takes of those that are left; none if they are no such field.
fn length(kind: Kind, rest: &[u8]) -> Option<usize> {
    let text = |rest: &[u8]| rest.first().map(|&length| 1 + usize::from(length));
    Some(match kind {
        Kind::Ipv4 | Kind::U32 | Kind::Seconds => 4,
        Kind::Ipv6 => 16,
        Kind::U8 => 1,
        Kind::U16 => 2,
        Kind::DomainName => {
            let mut at = 0;
            loop {
                let label = usize::from(*rest.get(at)?);
                at += 1 + label;
                if label == 0 {
                    break;
                }
            }
            Name::from_wire(rest.get(..at)?).ok()?;
            at
        }
        Kind::Text => text(rest)?,
        Kind::Tag => {
            let end = text(rest)?;
            let tag = rest.get(1..end)?;
            (!tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric)).then_some(end)?
        }
        Kind::Texts => {
            let mut at = text(rest)?;
            while at < rest.len() {
                at += text(&rest[at..])?;
            }
            at
        }
        Kind::LastText => rest.len(),
        // No type has an empty digest.
        Kind::Hex => (!rest.is_empty()).then_some(rest.len())?,
    })
}

const fn field(kind: Kind, name: &'static str) -> Field {
    Field { kind, name }
}

const A: &[Field] = &[field(Kind::Ipv4, "address")];
const AAAA: &[Field] = &[field(Kind::Ipv6, "address")];
const NS: &[Field] = &[field(Kind::DomainName, "nameserver")];
const TARGET: &[Field] = &[field(Kind::DomainName, "target")];
const MAILBOX: &[Field] = &[field(Kind::DomainName, "mailbox")];
const SOA: &[Field] = &[
    field(Kind::DomainName, "primary nameserver"),
    field(Kind::DomainName, "mailbox"),
    field(Kind::U32, "serial"),
    field(Kind::Seconds, "refresh"),
    field(Kind::Seconds, "retry"),
    field(Kind::Seconds, "expire"),
    field(Kind::Seconds, "minimum"),
];
const HINFO: &[Field] = &[field(Kind::Text, "machine"), field(Kind::Text, "system")];
const MINFO: &[Field] = &[field(Kind::DomainName, "mailbox"), field(Kind::DomainName, "mailbox for errors")];
const MX: &[Field] = &[field(Kind::U16, "preference"), field(Kind::DomainName, "mail exchange")];
const TXT: &[Field] = &[field(Kind::Texts, "text")];
const SRV: &[Field] = &[
    field(Kind::U16, "priority"),
    field(Kind::U16, "weight"),
    field(Kind::U16, "port"),
    field(Kind::DomainName, "target"),
];
const DS: &[Field] = &[
    field(Kind::U16, "key tag"),
    field(Kind::U8, "algorithm"),
    field(Kind::U8, "digest type"),
    field(Kind::Hex, "digest"),
];
const CAA: &[Field] = &[field(Kind::U8, "flags octet"), field(Kind::Tag, "tag"), field(Kind::LastText, "value")];

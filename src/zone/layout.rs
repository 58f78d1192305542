//! What the RDATA of each type is made of: one table for reading text, checking wire form and comparing records.

mod rules;
mod table;

pub(super) use rules::{Fault, rule};
pub(super) use table::fields;

use super::rdata::{address_prefixes, gateway, hip, location, octets, parameters, ports, type_bitmap};
use crate::name::{MAX_LABEL, MAX_NAME};
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
    /// A number, or one of the words that stand for one.
    Named(&'static Named),
    /// Two octets of flags, written as a number or as words with `|` between (RFC 2535 §7.1).
    KeyFlags,
    /// The number of a record type, written as its mnemonic.
    Type,
    /// Seconds since 1970 in four octets, written as a date or as a number (RFC 4034 §3.2).
    Time,
    /// A domain name.
    DomainName,
    /// One string of up to 255 octets, behind its length.
    Text,
    /// The same, or nothing at the end.
    MaybeText,
    /// One or more of them, to the end.
    Texts,
    /// Letters and digits, behind their length.
    Tag,
    /// One string without a length, to the end.
    LastText,
    /// The same in quotes, and not empty (RFC 7553 §4.4).
    LastQuoted,
    /// Octets in hexadecimal digits, to the end.
    Hex,
    /// Octets in base64, to the end.
    Base64,
    /// The same, or nothing.
    MaybeBase64,
    /// The same; `-` stands for nothing.
    DashOrBase64,
    /// Hexadecimal digits behind their length; `-` stands for none (RFC 5155 §3.3).
    Salt,
    /// Base32 with the extended hex alphabet, behind its length (RFC 5155 §3.3).
    Hash,
    /// So many octets, each as two hexadecimal digits with `-` between (RFC 7043).
    Eui(usize),
    /// Eight octets as four groups of hexadecimal digits with `:` between (RFC 6742).
    Locator,
    /// Octets in hexadecimal digits behind `0x`, dots anywhere (RFC 1706).
    Nsap,
    /// A telephone number behind `+`, or hexadecimal digits with dots (ATM Forum, af-dans-0152).
    Atma,
    /// Record types, to the end (RFC 4034 §4.1.2).
    Types,
    /// Record types below 128, to the end (RFC 2535 §5.2).
    OldTypes,
    /// Ports, to the end (RFC 1035 §3.4.2).
    Ports,
    /// Prefix length, the rest of an address, a name (RFC 2874 §3.1).
    A6,
    /// All of LOC.
    Location,
    /// All of APL.
    AddressPrefixes,
    /// IPSECKEY from the gateway's type on.
    Gateway,
    /// AMTRELAY from the discovery bit on.
    Relay,
    /// All of HIP.
    HostIdentity,
    /// SVCB and HTTPS behind the target.
    Parameters,
}

/// Words that stand for numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// How long the number is on the wire: one or two.
    pub(super) octets: usize,
    pub(super) words: &'static [(&'static str, u16)],
}

impl Kind {
    /// Whether it goes on to the last word.
    pub(super) fn takes_all_words(self) -> bool {
        matches!(
            self,
            Self::Texts
                | Self::Hex
                | Self::Base64
                | Self::MaybeBase64
                | Self::DashOrBase64
                | Self::Types
                | Self::OldTypes
                | Self::Ports
                | Self::A6
                | Self::Location
                | Self::AddressPrefixes
                | Self::Gateway
                | Self::Relay
                | Self::HostIdentity
                | Self::Parameters
        )
    }

    /// Whether no word at all is right as well.
    pub(super) fn may_be_absent(self) -> bool {
        matches!(
            self,
            Self::MaybeText
                | Self::MaybeBase64
                | Self::Types
                | Self::OldTypes
                | Self::Ports
                | Self::AddressPrefixes
                | Self::Parameters
        )
    }

    /// Whether its words may be quoted strings.
    pub(super) fn takes_quotes(self) -> bool {
        matches!(
            self,
            Self::Text | Self::MaybeText | Self::Texts | Self::LastText | Self::LastQuoted | Self::Parameters
        )
    }
}

/// What is wrong with RDATA in wire form; none if nothing is, or if the type is not known.
pub(super) fn wire_fault(rtype: RecordType, rdata: &[u8]) -> Option<Fault> {
    let fields = fields(rtype)?;
    if split(fields, rdata).is_none() {
        return Some(Fault { message: format!("these octets are no {rtype} record"), help: None });
    }
    rule(rtype, rdata).err()
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

/// The name that RDATA of this type points at, in wire form: of NS, CNAME, MX, SRV, HTTPS and their like.
///
/// The root as the target of SVCB and HTTPS stands for the owner, or for no service at all (RFC 9460 §2.5).
pub(super) fn target(rtype: RecordType, rdata: &[u8]) -> Option<&[u8]> {
    let before = match rtype {
        RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::DNAME => 0,
        RecordType::MX | RecordType::AFSDB | RecordType::RT | RecordType::KX | RecordType::LP => 2,
        RecordType::SVCB | RecordType::HTTPS => 2,
        RecordType::SRV => 6,
        _ => return None,
    };
    let rest = rdata.get(before..)?;
    rest.get(..name_length(rest)?)
}

/// RDATA in its canonical form, in which equal records are equal (RFC 4034 §6.2, RFC 2181 §5).
pub(super) fn canonical(rtype: RecordType, rdata: &[u8]) -> Box<[u8]> {
    let mut octets: Box<[u8]> = rdata.into();
    if !has_lower_case_names(rtype) {
        return octets;
    }
    let mut at = 0;
    for (field, part) in fields(rtype).and_then(|fields| split(fields, rdata)).unwrap_or_default() {
        let end = at + part.len();
        match field.kind {
            Kind::DomainName => octets[at..end].make_ascii_lowercase(),
            Kind::A6 => octets[end - octets::a6_name(part).len()..end].make_ascii_lowercase(),
            _ => {}
        }
        at = end;
    }
    octets
}

/// RFC 4034 §6.2 has the list, without NSEC by RFC 6840 §5.1; names in all other types keep their case.
fn has_lower_case_names(rtype: RecordType) -> bool {
    matches!(
        rtype,
        RecordType::NS
            | RecordType::MD
            | RecordType::MF
            | RecordType::CNAME
            | RecordType::SOA
            | RecordType::MB
            | RecordType::MG
            | RecordType::MR
            | RecordType::PTR
            | RecordType::MINFO
            | RecordType::MX
            | RecordType::RP
            | RecordType::AFSDB
            | RecordType::RT
            | RecordType::SIG
            | RecordType::PX
            | RecordType::NXT
            | RecordType::NAPTR
            | RecordType::KX
            | RecordType::SRV
            | RecordType::DNAME
            | RecordType::A6
            | RecordType::RRSIG
    )
}

/// How many octets the name takes that these begin with, its root included; none if they begin with no name.
pub(super) fn name_length(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = usize::from(*rest.get(at)?);
        at += 1 + label;
        if label > MAX_LABEL || at > MAX_NAME {
            return None;
        }
        if label == 0 {
            return Some(at);
        }
    }
}

/// How many octets the field takes of those that are left; none if they are no such field.
pub(super) fn length(kind: Kind, rest: &[u8]) -> Option<usize> {
    let text = |rest: &[u8]| rest.first().map(|&length| 1 + usize::from(length));
    let if_some = |rest: &[u8]| (!rest.is_empty()).then_some(rest.len());
    Some(match kind {
        Kind::U8 => 1,
        Kind::U16 | Kind::KeyFlags | Kind::Type => 2,
        Kind::Ipv4 | Kind::U32 | Kind::Seconds | Kind::Time => 4,
        Kind::Locator => 8,
        Kind::Ipv6 => 16,
        Kind::Named(named) => named.octets,
        Kind::Eui(octets) => octets,
        Kind::DomainName => name_length(rest)?,
        Kind::Text | Kind::Salt => text(rest)?,
        Kind::MaybeText if rest.is_empty() => 0,
        Kind::MaybeText => text(rest)?,
        Kind::Hash => text(rest).filter(|&length| length > 1)?,
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
        Kind::LastText | Kind::MaybeBase64 | Kind::DashOrBase64 => rest.len(),
        // No type has an empty digest, key or address.
        Kind::LastQuoted | Kind::Hex | Kind::Base64 | Kind::Nsap => if_some(rest)?,
        Kind::Atma => octets::is_atma(rest).then_some(rest.len())?,
        Kind::A6 => octets::a6_length(rest)?,
        Kind::Types => type_bitmap::is_bitmap(rest).then_some(rest.len())?,
        Kind::OldTypes => type_bitmap::is_old_bitmap(rest).then_some(rest.len())?,
        Kind::Ports => ports::are_ports(rest).then_some(rest.len())?,
        Kind::Location => location::is_location(rest).then_some(rest.len())?,
        Kind::AddressPrefixes => address_prefixes::are_prefixes(rest).then_some(rest.len())?,
        Kind::Gateway => gateway::is_gateway(rest).then_some(rest.len())?,
        Kind::Relay => gateway::is_relay(rest).then_some(rest.len())?,
        Kind::HostIdentity => hip::is_host_identity(rest).then_some(rest.len())?,
        Kind::Parameters => parameters::split(rest).map(|_| rest.len())?,
    })
}

//! The table: which fields the RDATA of each type has, in their order.

use super::{Field, Kind, Named};
use crate::wire::RecordType;

/// The fields of a type's RDATA; none if the type can only be written as RFC 3597 has it.
pub(in crate::zone) fn fields(rtype: RecordType) -> Option<&'static [Field]> {
    Some(match rtype {
        RecordType::A => A,
        RecordType::NS => NS,
        RecordType::CNAME | RecordType::PTR | RecordType::DNAME | RecordType::NSAP_PTR => TARGET,
        RecordType::SOA => SOA,
        RecordType::MB | RecordType::MG | RecordType::MR => MAILBOX,
        RecordType::WKS => WKS,
        RecordType::HINFO => HINFO,
        RecordType::MINFO => MINFO,
        RecordType::MX => MX,
        RecordType::TXT | RecordType::SPF | RecordType::AVC => TXT,
        RecordType::NINFO | RecordType::RESINFO | RecordType::WALLET => TXT,
        RecordType::RP => RP,
        RecordType::AFSDB => AFSDB,
        RecordType::X25 => X25,
        RecordType::ISDN => ISDN,
        RecordType::RT => RT,
        RecordType::NSAP => NSAP,
        RecordType::SIG | RecordType::RRSIG => RRSIG,
        RecordType::KEY => KEY,
        RecordType::PX => PX,
        RecordType::GPOS => GPOS,
        RecordType::AAAA => AAAA,
        RecordType::LOC => LOC,
        RecordType::NXT => NXT,
        RecordType::EID | RecordType::NIMLOC => HEX,
        RecordType::SRV => SRV,
        RecordType::ATMA => ATMA,
        RecordType::NAPTR => NAPTR,
        RecordType::KX => KX,
        RecordType::CERT => CERT,
        RecordType::A6 => A6,
        RecordType::SINK => SINK,
        RecordType::APL => APL,
        RecordType::DS | RecordType::CDS | RecordType::TA | RecordType::DLV => DS,
        RecordType::SSHFP => SSHFP,
        RecordType::IPSECKEY => IPSECKEY,
        RecordType::NSEC => NSEC,
        RecordType::DNSKEY | RecordType::CDNSKEY | RecordType::RKEY => DNSKEY,
        RecordType::DHCID | RecordType::OPENPGPKEY => BASE64,
        RecordType::NSEC3 => NSEC3,
        RecordType::NSEC3PARAM => NSEC3PARAM,
        RecordType::TLSA | RecordType::SMIMEA => TLSA,
        RecordType::HIP => HIP,
        RecordType::TALINK => TALINK,
        RecordType::CSYNC => CSYNC,
        RecordType::ZONEMD => ZONEMD,
        RecordType::SVCB | RecordType::HTTPS => SVCB,
        RecordType::DSYNC => DSYNC,
        RecordType::NID => NID,
        RecordType::L32 => L32,
        RecordType::L64 => L64,
        RecordType::LP => LP,
        RecordType::EUI48 => EUI48,
        RecordType::EUI64 => EUI64,
        RecordType::URI => URI,
        RecordType::CAA => CAA,
        RecordType::DOA => DOA,
        RecordType::AMTRELAY => AMTRELAY,
        _ => return None,
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
const WKS: &[Field] =
    &[field(Kind::Ipv4, "address"), field(Kind::Named(IP_PROTOCOL), "protocol"), field(Kind::Ports, "ports")];
const HINFO: &[Field] = &[field(Kind::Text, "machine"), field(Kind::Text, "system")];
const MINFO: &[Field] = &[field(Kind::DomainName, "mailbox"), field(Kind::DomainName, "mailbox for errors")];
const MX: &[Field] = &[field(Kind::U16, "preference"), field(Kind::DomainName, "mail exchange")];
const TXT: &[Field] = &[field(Kind::Texts, "text")];
const RP: &[Field] = &[field(Kind::DomainName, "mailbox"), field(Kind::DomainName, "name with the text")];
const AFSDB: &[Field] = &[field(Kind::U16, "subtype"), field(Kind::DomainName, "server")];
const X25: &[Field] = &[field(Kind::Text, "PSDN address")];
const ISDN: &[Field] = &[field(Kind::Text, "ISDN address"), field(Kind::MaybeText, "subaddress, if there is one")];
const RT: &[Field] = &[field(Kind::U16, "preference"), field(Kind::DomainName, "intermediate host")];
const NSAP: &[Field] = &[field(Kind::Nsap, "NSAP address")];
const RRSIG: &[Field] = &[
    field(Kind::Type, "type covered"),
    field(Kind::Named(ALGORITHM), "algorithm"),
    field(Kind::U8, "number of labels"),
    field(Kind::U32, "original TTL"),
    field(Kind::Time, "expiration"),
    field(Kind::Time, "inception"),
    field(Kind::U16, "key tag"),
    field(Kind::DomainName, "signer"),
    field(Kind::Base64, "signature"),
];
const KEY: &[Field] = &[
    field(Kind::KeyFlags, "flags"),
    field(Kind::Named(KEY_PROTOCOL), "protocol"),
    field(Kind::Named(ALGORITHM), "algorithm"),
    field(Kind::MaybeBase64, "key"),
];
const PX: &[Field] = &[
    field(Kind::U16, "preference"),
    field(Kind::DomainName, "RFC 822 domain"),
    field(Kind::DomainName, "X.400 domain"),
];
const GPOS: &[Field] = &[field(Kind::Text, "longitude"), field(Kind::Text, "latitude"), field(Kind::Text, "altitude")];
const LOC: &[Field] = &[field(Kind::Location, "latitude, longitude, altitude")];
const NXT: &[Field] = &[field(Kind::DomainName, "next name"), field(Kind::OldTypes, "types")];
const HEX: &[Field] = &[field(Kind::Hex, "octets in hexadecimal digits")];
const SRV: &[Field] = &[
    field(Kind::U16, "priority"),
    field(Kind::U16, "weight"),
    field(Kind::U16, "port"),
    field(Kind::DomainName, "target"),
];
const ATMA: &[Field] = &[field(Kind::Atma, "ATM address")];
const NAPTR: &[Field] = &[
    field(Kind::U16, "order"),
    field(Kind::U16, "preference"),
    field(Kind::Text, "flags"),
    field(Kind::Text, "services"),
    field(Kind::Text, "regular expression"),
    field(Kind::DomainName, "replacement"),
];
const KX: &[Field] = &[field(Kind::U16, "preference"), field(Kind::DomainName, "key exchanger")];
const CERT: &[Field] = &[
    field(Kind::Named(CERTIFICATE_TYPE), "certificate type"),
    field(Kind::U16, "key tag"),
    field(Kind::Named(ALGORITHM), "algorithm"),
    field(Kind::Base64, "certificate"),
];
const A6: &[Field] = &[field(Kind::A6, "prefix length, address suffix, prefix name")];
const SINK: &[Field] = &[
    field(Kind::U8, "meaning"),
    field(Kind::U8, "coding"),
    field(Kind::U8, "subcoding"),
    field(Kind::MaybeBase64, "data"),
];
const APL: &[Field] = &[field(Kind::AddressPrefixes, "address prefixes")];
const DS: &[Field] = &[
    field(Kind::U16, "key tag"),
    field(Kind::Named(ALGORITHM), "algorithm"),
    field(Kind::Named(DIGEST_TYPE), "digest type"),
    field(Kind::Hex, "digest"),
];
const SSHFP: &[Field] =
    &[field(Kind::U8, "algorithm"), field(Kind::U8, "fingerprint type"), field(Kind::Hex, "fingerprint")];
const IPSECKEY: &[Field] =
    &[field(Kind::U8, "precedence"), field(Kind::Gateway, "gateway type, algorithm, gateway, key")];
const NSEC: &[Field] = &[field(Kind::DomainName, "next name"), field(Kind::Types, "types")];
const DNSKEY: &[Field] = &[
    field(Kind::KeyFlags, "flags"),
    field(Kind::Named(KEY_PROTOCOL), "protocol"),
    field(Kind::Named(ALGORITHM), "algorithm"),
    field(Kind::Base64, "key"),
];
const BASE64: &[Field] = &[field(Kind::Base64, "octets in base64")];
const NSEC3: &[Field] = &[
    field(Kind::Named(HASH_ALGORITHM), "hash algorithm"),
    field(Kind::U8, "flags octet"),
    field(Kind::U16, "number of iterations"),
    field(Kind::Salt, "salt"),
    field(Kind::Hash, "next hashed name"),
    field(Kind::Types, "types"),
];
const NSEC3PARAM: &[Field] = &[
    field(Kind::Named(HASH_ALGORITHM), "hash algorithm"),
    field(Kind::U8, "flags octet"),
    field(Kind::U16, "number of iterations"),
    field(Kind::Salt, "salt"),
];
const TLSA: &[Field] = &[
    field(Kind::U8, "certificate usage"),
    field(Kind::U8, "selector"),
    field(Kind::U8, "matching type"),
    field(Kind::Hex, "certificate association data"),
];
const HIP: &[Field] =
    &[field(Kind::HostIdentity, "algorithm, host identity tag, public key, rendezvous servers if there are any")];
const TALINK: &[Field] = &[field(Kind::DomainName, "previous name"), field(Kind::DomainName, "next name")];
const CSYNC: &[Field] = &[field(Kind::U32, "serial"), field(Kind::U16, "flags"), field(Kind::Types, "types")];
const ZONEMD: &[Field] = &[
    field(Kind::U32, "serial"),
    field(Kind::U8, "scheme"),
    field(Kind::U8, "hash algorithm"),
    field(Kind::Hex, "digest"),
];
const SVCB: &[Field] =
    &[field(Kind::U16, "priority"), field(Kind::DomainName, "target"), field(Kind::Parameters, "parameters")];
const DSYNC: &[Field] = &[
    field(Kind::Type, "type"),
    field(Kind::Named(SYNC_SCHEME), "scheme"),
    field(Kind::U16, "port"),
    field(Kind::DomainName, "target"),
];
const NID: &[Field] = &[field(Kind::U16, "preference"), field(Kind::Locator, "node identifier")];
const L32: &[Field] = &[field(Kind::U16, "preference"), field(Kind::Ipv4, "locator")];
const L64: &[Field] = &[field(Kind::U16, "preference"), field(Kind::Locator, "locator")];
const LP: &[Field] = &[field(Kind::U16, "preference"), field(Kind::DomainName, "name of the locators")];
const EUI48: &[Field] = &[field(Kind::Eui(6), "EUI-48 address")];
const EUI64: &[Field] = &[field(Kind::Eui(8), "EUI-64 address")];
const URI: &[Field] =
    &[field(Kind::U16, "priority"), field(Kind::U16, "weight"), field(Kind::LastQuoted, "target in quotes")];
const CAA: &[Field] = &[field(Kind::U8, "flags octet"), field(Kind::Tag, "tag"), field(Kind::LastText, "value")];
const DOA: &[Field] = &[
    field(Kind::U32, "enterprise"),
    field(Kind::U32, "type"),
    field(Kind::U8, "location"),
    field(Kind::Text, "media type"),
    field(Kind::DashOrBase64, "data, `-` for none"),
];
const AMTRELAY: &[Field] = &[field(Kind::U8, "precedence"), field(Kind::Relay, "discovery bit, relay type, relay")];

/// IANA's registry of DNSSEC algorithms, and the older spellings that BIND takes.
const ALGORITHM: &Named = &Named {
    octets: 1,
    words: &[
        ("RSAMD5", 1),
        ("DH", 2),
        ("DSA", 3),
        ("RSASHA1", 5),
        ("DSA-NSEC3-SHA1", 6),
        ("NSEC3DSA", 6),
        ("RSASHA1-NSEC3-SHA1", 7),
        ("NSEC3RSASHA1", 7),
        ("RSASHA256", 8),
        ("RSASHA512", 10),
        ("ECC-GOST", 12),
        ("ECCGOST", 12),
        ("ECDSAP256SHA256", 13),
        ("ECDSA256", 13),
        ("ECDSAP384SHA384", 14),
        ("ECDSA384", 14),
        ("ED25519", 15),
        ("ED448", 16),
        ("INDIRECT", 252),
        ("PRIVATEDNS", 253),
        ("PRIVATEOID", 254),
    ],
};
/// IANA's registry of DS digest types, with and without hyphen.
const DIGEST_TYPE: &Named = &Named {
    octets: 1,
    words: &[("SHA-1", 1), ("SHA1", 1), ("SHA-256", 2), ("SHA256", 2), ("GOST", 3), ("SHA-384", 4), ("SHA384", 4)],
};
/// RFC 5155 §11.
const HASH_ALGORITHM: &Named = &Named { octets: 1, words: &[("SHA-1", 1)] };
/// RFC 2535 §7.1.
const KEY_PROTOCOL: &Named =
    &Named { octets: 1, words: &[("NONE", 0), ("TLS", 1), ("EMAIL", 2), ("DNSSEC", 3), ("IPSEC", 4), ("ALL", 255)] };
/// RFC 4398 §2.1.
const CERTIFICATE_TYPE: &Named = &Named {
    octets: 2,
    words: &[
        ("PKIX", 1),
        ("SPKI", 2),
        ("PGP", 3),
        ("IPKIX", 4),
        ("ISPKI", 5),
        ("IPGP", 6),
        ("ACPKIX", 7),
        ("IACPKIX", 8),
        ("URI", 253),
        ("OID", 254),
    ],
};
/// RFC 9859 §2.
const SYNC_SCHEME: &Named = &Named { octets: 1, words: &[("NOTIFY", 1)] };
/// Those of IANA's protocol numbers that have ports, and the oldest one that has none.
const IP_PROTOCOL: &Named = &Named { octets: 1, words: &[("ICMP", 1), ("TCP", 6), ("UDP", 17)] };

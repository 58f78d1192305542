//! Record types: their numbers and mnemonics (RFC 1035 §3.2.2, RFC 3597 §5).
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::str::FromStr;

use crate::pool::Family;

/// The type of a record or of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(pub u16);

/// The addresses of a family.
impl From<Family> for RecordType {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::A,
            Family::V6 => Self::AAAA,
        }
    }
}

impl RecordType {
    /// An IPv4 address (RFC 1035).
    pub const A: Self = Self(1);
    /// A nameserver of the zone (RFC 1035).
    pub const NS: Self = Self(2);
    /// A mail destination, obsolete (RFC 973).
    pub const MD: Self = Self(3);
    /// A mail forwarder, obsolete (RFC 973).
    pub const MF: Self = Self(4);
    /// The name that this one is an alias of (RFC 1035).
    pub const CNAME: Self = Self(5);
    /// The start of a zone: serial and times (RFC 1035).
    pub const SOA: Self = Self(6);
    /// A mailbox domain name, experimental (RFC 1035).
    pub const MB: Self = Self(7);
    /// A mail group member, experimental (RFC 1035).
    pub const MG: Self = Self(8);
    /// A mail rename, experimental (RFC 1035).
    pub const MR: Self = Self(9);
    /// The well-known services of an address, obsolete (RFC 1035, RFC 1123 §2.2).
    pub const WKS: Self = Self(11);
    /// A pointer to another name (RFC 1035).
    pub const PTR: Self = Self(12);
    /// Machine and operating system; also the stand-in of RFC 8482 (RFC 1035).
    pub const HINFO: Self = Self(13);
    /// Mailboxes of a mailing list, experimental (RFC 1035).
    pub const MINFO: Self = Self(14);
    /// A mail exchange (RFC 1035).
    pub const MX: Self = Self(15);
    /// Text strings (RFC 1035).
    pub const TXT: Self = Self(16);
    /// The person who is responsible (RFC 1183).
    pub const RP: Self = Self(17);
    /// A server of AFS or DCE (RFC 1183).
    pub const AFSDB: Self = Self(18);
    /// An address in a packet-switched network (RFC 1183).
    pub const X25: Self = Self(19);
    /// A telephone number of ISDN (RFC 1183).
    pub const ISDN: Self = Self(20);
    /// A host that routes to this one (RFC 1183).
    pub const RT: Self = Self(21);
    /// An OSI address (RFC 1706).
    pub const NSAP: Self = Self(22);
    /// A pointer from an OSI address (RFC 1706).
    pub const NSAP_PTR: Self = Self(23);
    /// A signature; RRSIG replaced it in zones (RFC 2931).
    pub const SIG: Self = Self(24);
    /// A public key; DNSKEY replaced it in zones (RFC 3445).
    pub const KEY: Self = Self(25);
    /// Mapping between mail domains of the Internet and X.400 (RFC 2163).
    pub const PX: Self = Self(26);
    /// A geographical position; LOC replaced it (RFC 1712).
    pub const GPOS: Self = Self(27);
    /// An IPv6 address (RFC 3596).
    pub const AAAA: Self = Self(28);
    /// A geographical position with its size and precision (RFC 1876).
    pub const LOC: Self = Self(29);
    /// The next name; NSEC replaced it (RFC 3755).
    pub const NXT: Self = Self(30);
    /// An endpoint identifier of Nimrod.
    pub const EID: Self = Self(31);
    /// A locator of Nimrod.
    pub const NIMLOC: Self = Self(32);
    /// Host and port of a service (RFC 2782).
    pub const SRV: Self = Self(33);
    /// An ATM address (ATM Forum).
    pub const ATMA: Self = Self(34);
    /// A rule that rewrites a name into a service's (RFC 3403).
    pub const NAPTR: Self = Self(35);
    /// A key exchanger (RFC 2230).
    pub const KX: Self = Self(36);
    /// A certificate (RFC 4398).
    pub const CERT: Self = Self(37);
    /// A part of an IPv6 address, historic (RFC 6563).
    pub const A6: Self = Self(38);
    /// Redirection of all names below (RFC 6672).
    pub const DNAME: Self = Self(39);
    /// Anything at all.
    pub const SINK: Self = Self(40);
    /// The pseudo-record of EDNS (RFC 6891).
    pub const OPT: Self = Self(41);
    /// A list of address prefixes (RFC 3123).
    pub const APL: Self = Self(42);
    /// Digest of a child zone's key (RFC 4034).
    pub const DS: Self = Self(43);
    /// A fingerprint of an SSH key (RFC 4255).
    pub const SSHFP: Self = Self(44);
    /// A key for IPsec, with its gateway (RFC 4025).
    pub const IPSECKEY: Self = Self(45);
    /// A signature over an RRset (RFC 4034).
    pub const RRSIG: Self = Self(46);
    /// The next name and the types of this one (RFC 4034).
    pub const NSEC: Self = Self(47);
    /// A key of the zone (RFC 4034).
    pub const DNSKEY: Self = Self(48);
    /// Whose DHCP lease a name belongs to (RFC 4701).
    pub const DHCID: Self = Self(49);
    /// The next hashed name and the types of this one (RFC 5155).
    pub const NSEC3: Self = Self(50);
    /// How names are hashed for NSEC3 (RFC 5155).
    pub const NSEC3PARAM: Self = Self(51);
    /// A TLS certificate or key (RFC 6698).
    pub const TLSA: Self = Self(52);
    /// An S/MIME certificate or key (RFC 8162).
    pub const SMIMEA: Self = Self(53);
    /// A host identity (RFC 8005).
    pub const HIP: Self = Self(55);
    /// Status of a zone, in text strings.
    pub const NINFO: Self = Self(56);
    /// A key with which NAPTR records are encrypted.
    pub const RKEY: Self = Self(57);
    /// Links between trust anchors.
    pub const TALINK: Self = Self(58);
    /// The DS records that the child wants (RFC 7344).
    pub const CDS: Self = Self(59);
    /// The keys of which the child wants DS records (RFC 7344).
    pub const CDNSKEY: Self = Self(60);
    /// An OpenPGP key (RFC 7929).
    pub const OPENPGPKEY: Self = Self(61);
    /// What the parent is to copy from the child (RFC 7477).
    pub const CSYNC: Self = Self(62);
    /// A digest of the whole zone (RFC 8976).
    pub const ZONEMD: Self = Self(63);
    /// How to reach a service (RFC 9460).
    pub const SVCB: Self = Self(64);
    /// How to reach an HTTP service (RFC 9460).
    pub const HTTPS: Self = Self(65);
    /// Where the parent wants to hear of changes (RFC 9859).
    pub const DSYNC: Self = Self(66);
    /// Sender policy of mail; TXT replaced it (RFC 7208 §3.1).
    pub const SPF: Self = Self(99);
    /// A node identifier of ILNP (RFC 6742).
    pub const NID: Self = Self(104);
    /// A locator of 32 bits (RFC 6742).
    pub const L32: Self = Self(105);
    /// A locator of 64 bits (RFC 6742).
    pub const L64: Self = Self(106);
    /// The name that has the locators (RFC 6742).
    pub const LP: Self = Self(107);
    /// A hardware address of 48 bits (RFC 7043).
    pub const EUI48: Self = Self(108);
    /// A hardware address of 64 bits (RFC 7043).
    pub const EUI64: Self = Self(109);
    /// In an NSEC record: there is no such name (RFC 9824 §3.4). It has no records.
    pub const NXNAME: Self = Self(128);
    /// The signature of a transaction (RFC 8945).
    pub const TSIG: Self = Self(250);
    /// A question for a zone's changes (RFC 1995).
    pub const IXFR: Self = Self(251);
    /// A question for a whole zone (RFC 5936).
    pub const AXFR: Self = Self(252);
    /// A question for any type (RFC 8482).
    pub const ANY: Self = Self(255);
    /// Where a service is, as a URI (RFC 7553).
    pub const URI: Self = Self(256);
    /// Which authorities may issue certificates (RFC 8659).
    pub const CAA: Self = Self(257);
    /// Application visibility, in text strings.
    pub const AVC: Self = Self(258);
    /// A digital object, or where it is.
    pub const DOA: Self = Self(259);
    /// A relay of multicast (RFC 8777).
    pub const AMTRELAY: Self = Self(260);
    /// What a resolver can do (RFC 9606).
    pub const RESINFO: Self = Self(261);
    /// An address of a wallet, in text strings.
    pub const WALLET: Self = Self(262);
    /// A trust anchor, as DS.
    pub const TA: Self = Self(32768);
    /// A DS record beside the tree, historic (RFC 8749).
    pub const DLV: Self = Self(32769);

    /// Octets before the name that the data of this type end with, if that may be compressed (RFC 3597 §4: in the types of
    /// RFC 1035 only). CNAME is not among them: what follows in a reply may point into its target.
    pub(super) fn compressed_name(self) -> Option<usize> {
        match self {
            Self::NS | Self::PTR => Some(0),
            Self::MX => Some(2),
            _ => None,
        }
    }

    /// Whether the type exists in questions and messages only, never in a zone (RFC 6895 §3.1).
    pub fn is_meta(self) -> bool {
        matches!(self, Self(0) | Self::OPT | Self(128..=255))
    }

    /// All mnemonics that can be read.
    pub fn mnemonics() -> impl Iterator<Item = &'static str> {
        MNEMONICS.iter().map(|(_, mnemonic)| *mnemonic)
    }
}

impl FromStr for RecordType {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        if let Some((number, _)) = MNEMONICS.iter().find(|(_, mnemonic)| mnemonic.eq_ignore_ascii_case(text)) {
            return Ok(Self(*number));
        }
        // RFC 3597 §5: "TYPE" and a decimal number for any type.
        match text.split_at_checked(4) {
            Some((prefix, number)) if prefix.eq_ignore_ascii_case("TYPE") && is_decimal(number) => {
                number.parse().map(Self).map_err(|_| UnknownType)
            }
            _ => Err(UnknownType),
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MNEMONICS.iter().find(|(number, _)| *number == self.0) {
            Some((_, mnemonic)) => f.write_str(mnemonic),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// A word that is neither a mnemonic nor `TYPE` with a number up to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownType;

impl fmt::Display for UnknownType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown record type")
    }
}

impl std::error::Error for UnknownType {}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// By number, from IANA's registry of resource record types.
const MNEMONICS: [(u16, &str); 93] = [
    (1, "A"),
    (2, "NS"),
    (3, "MD"),
    (4, "MF"),
    (5, "CNAME"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (14, "MINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (19, "X25"),
    (20, "ISDN"),
    (21, "RT"),
    (22, "NSAP"),
    (23, "NSAP-PTR"),
    (24, "SIG"),
    (25, "KEY"),
    (26, "PX"),
    (27, "GPOS"),
    (28, "AAAA"),
    (29, "LOC"),
    (30, "NXT"),
    (31, "EID"),
    (32, "NIMLOC"),
    (33, "SRV"),
    (34, "ATMA"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (38, "A6"),
    (39, "DNAME"),
    (40, "SINK"),
    (41, "OPT"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (55, "HIP"),
    (56, "NINFO"),
    (57, "RKEY"),
    (58, "TALINK"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (66, "DSYNC"),
    (99, "SPF"),
    (100, "UINFO"),
    (101, "UID"),
    (102, "GID"),
    (103, "UNSPEC"),
    (104, "NID"),
    (105, "L32"),
    (106, "L64"),
    (107, "LP"),
    (108, "EUI48"),
    (109, "EUI64"),
    (128, "NXNAME"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (253, "MAILB"),
    (254, "MAILA"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
    (258, "AVC"),
    (259, "DOA"),
    (260, "AMTRELAY"),
    (261, "RESINFO"),
    (262, "WALLET"),
    (32768, "TA"),
    (32769, "DLV"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mnemonics_and_numbers_are_read_in_any_case() {
        for (text, number) in [("A", 1), ("aaaa", 28), ("Srv", 33), ("TYPE65280", 65280), ("type1", 1), ("CAA", 257)] {
            assert_eq!(text.parse(), Ok(RecordType(number)), "{text}");
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in ["", "AA", "TYPE", "TYPE65536", "TYPE+1", "TYPE-1", "IN", "TÜPE1"] {
            assert_eq!(text.parse::<RecordType>(), Err(UnknownType), "{text}");
        }
    }

    #[test]
    fn types_print_as_they_are_read() {
        for number in 0..=u16::MAX {
            let printed = RecordType(number).to_string();
            assert_eq!(printed.parse(), Ok(RecordType(number)), "{printed}");
        }
        assert_eq!(RecordType(65280).to_string(), "TYPE65280");
    }

    #[test]
    fn the_table_is_in_the_order_of_the_numbers() {
        assert!(MNEMONICS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}

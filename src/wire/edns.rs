//! EDNS: the OPT record, its options, and the client subnet (RFC 6891, 7871, 8914).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{MAX_UDP, MIN_UDP, Rcode};
use crate::geo::Prefix;

/// Octets of an OPT record without options: root, type, class, TTL, length.
const OPT_FIXED: usize = 11;
const OPTION_SUBNET: u16 = 8;
const OPTION_EXTENDED_ERROR: u16 = 15;
/// The DNSSEC OK bit, in the upper octet of the OPT record's flags (RFC 3225).
const DNSSEC_OK: u8 = 0x80;

/// What the OPT record of a query says.
#[derive(Debug, Clone)]
pub struct Edns<'m> {
    /// The UDP payload that the client offers, never below 512 (RFC 6891 §6.2.3).
    pub payload: usize,
    /// Always 0 in what is answered; else BADVERS.
    pub version: u8,
    /// The client wants DNSSEC records; copied.
    pub dnssec_ok: bool,
    /// The client subnet, if there is that option.
    pub subnet: Option<Subnet<'m>>,
}

/// A client subnet option (RFC 7871 §6).
#[derive(Debug, Clone)]
pub struct Subnet<'m> {
    /// The option's data as it came, to be echoed: family, source prefix length, scope, address.
    data: &'m [u8],
    /// The client's network; none for source prefix length 0: the client asks not to be located (RFC 7871 §7.1.2).
    pub network: Option<Prefix>,
}

/// An extended DNS error (RFC 8914).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedError {
    /// The INFO-CODE.
    pub code: u16,
    /// The EXTRA-TEXT.
    pub text: &'static str,
}

impl ExtendedError {
    /// RFC 8914 §4.21.
    pub const NOT_AUTHORITATIVE: Self = Self { code: 20, text: "" };
}

/// The OPT record does not parse: FORMERR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadOpt;

impl<'m> Edns<'m> {
    /// What the class and TTL of an OPT record say.
    pub(super) fn without_options(class: u16, ttl: [u8; 4]) -> Self {
        let [_extended_rcode, version, flags, _] = ttl;
        Self { payload: usize::from(class).max(MIN_UDP), version, dnssec_ok: flags & DNSSEC_OK != 0, subnet: None }
    }

    /// Reads an OPT record from its class, TTL and data.
    pub(super) fn read(class: u16, ttl: [u8; 4], data: &'m [u8]) -> Result<Self, BadOpt> {
        let mut edns = Self::without_options(class, ttl);
        // RFC 6891 §6.1.3: what another version's options mean is not known here.
        if edns.version != 0 {
            return Ok(edns);
        }
        let mut rest = data;
        while !rest.is_empty() {
            let [code_high, code_low, length_high, length_low, after @ ..] = rest else {
                return Err(BadOpt);
            };
            let length = u16::from_be_bytes([*length_high, *length_low]);
            let (option, after) = after.split_at_checked(usize::from(length)).ok_or(BadOpt)?;
            if u16::from_be_bytes([*code_high, *code_low]) == OPTION_SUBNET {
                if edns.subnet.is_some() {
                    return Err(BadOpt);
                }
                edns.subnet = Some(Subnet::read(option)?);
            }
            rest = after;
        }
        Ok(edns)
    }
}

impl<'m> Subnet<'m> {
    /// Reads the option's data; all that RFC 7871 §6 and §7.1.2 call malformed is refused.
    fn read(data: &'m [u8]) -> Result<Self, BadOpt> {
        let [family_high, family_low, source, scope, address @ ..] = data else {
            return Err(BadOpt);
        };
        // RFC 7871 §6: SCOPE PREFIX-LENGTH MUST be 0 in queries; the address has just the octets that it needs.
        if *scope != 0 || address.len() != usize::from(*source).div_ceil(8) {
            return Err(BadOpt);
        }
        let network = match u16::from_be_bytes([*family_high, *family_low]) {
            // What `dig +subnet=0` sends.
            0 if *source == 0 => return Ok(Self { data, network: None }),
            1 if *source <= 32 => {
                let mut octets = [0; 4];
                octets[..address.len()].copy_from_slice(address);
                IpAddr::from(Ipv4Addr::from(octets))
            }
            2 if *source <= 128 => {
                let mut octets = [0; 16];
                octets[..address.len()].copy_from_slice(address);
                IpAddr::from(Ipv6Addr::from(octets))
            }
            _ => return Err(BadOpt),
        };
        let prefix = Prefix::of(network, *source);
        // RFC 7871 §6: bits behind the prefix MUST be 0.
        if prefix.address() != network {
            return Err(BadOpt);
        }
        Ok(Self { data, network: (*source > 0).then_some(prefix) })
    }
}

/// The OPT record of a reply.
pub(super) struct OptReply<'r> {
    pub(super) query: &'r Edns<'r>,
    pub(super) rcode: Rcode,
    /// Scope prefix length for the client subnet.
    pub(super) scope: u8,
    pub(super) error: Option<ExtendedError>,
}

impl OptReply<'_> {
    /// Octets that the record takes.
    pub(super) fn len(&self) -> usize {
        let subnet = self.query.subnet.as_ref().map_or(0, |subnet| 4 + subnet.data.len());
        let error = self.error.map_or(0, |error| 6 + error.text.len());
        OPT_FIXED + subnet + error
    }

    /// Writes the record to the start of `out`, which has room for `len` octets.
    pub(super) fn write(&self, out: &mut [u8]) {
        let length = self.len();
        let [_, payload_low] = (MAX_UDP as u16).to_be_bytes();
        let payload_high = (MAX_UDP >> 8) as u8;
        let [data_high, data_low] = ((length - OPT_FIXED) as u16).to_be_bytes();
        let flags = if self.query.dnssec_ok { DNSSEC_OK } else { 0 };
        let extended_rcode = (self.rcode.0 >> 4) as u8;
        out[..OPT_FIXED].copy_from_slice(&[
            0,
            0,
            41,
            payload_high,
            payload_low,
            extended_rcode,
            0,
            flags,
            0,
            data_high,
            data_low,
        ]);
        let mut at = OPT_FIXED;
        if let Some(subnet) = &self.query.subnet {
            put_option(out, &mut at, OPTION_SUBNET, &[subnet.data]);
            out[at - subnet.data.len() + 3] = self.scope;
        }
        if let Some(error) = self.error {
            put_option(out, &mut at, OPTION_EXTENDED_ERROR, &[&error.code.to_be_bytes(), error.text.as_bytes()]);
        }
    }
}

/// Writes an option's code, length and data.
fn put_option(out: &mut [u8], at: &mut usize, code: u16, data: &[&[u8]]) {
    let length: usize = data.iter().map(|part| part.len()).sum();
    out[*at..*at + 2].copy_from_slice(&code.to_be_bytes());
    out[*at + 2..*at + 4].copy_from_slice(&(length as u16).to_be_bytes());
    *at += 4;
    for part in data {
        out[*at..*at + part.len()].copy_from_slice(part);
        *at += part.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(data: &[u8]) -> Result<Option<String>, BadOpt> {
        Subnet::read(data).map(|subnet| subnet.network.map(|prefix| prefix.to_string()))
    }

    #[test]
    fn well_formed_subnets_are_read() {
        for (data, network) in [
            (&[0, 1, 24, 0, 192, 0, 2][..], Some("192.0.2.0/24")),
            (&[0, 1, 0, 0], None),
            (&[0, 2, 0, 0], None),
            (&[0, 0, 0, 0], None),
            (&[0, 1, 20, 0, 192, 0, 0x20], Some("192.0.32.0/20")),
            (&[0, 2, 32, 0, 0x20, 1, 0x0d, 0xb8], Some("2001:db8::/32")),
        ] {
            assert_eq!(subnet(data), Ok(network.map(str::to_owned)), "{data:?}");
        }
    }

    #[test]
    fn malformed_subnets_are_refused() {
        for (data, because) in [
            (&[0, 1, 24][..], "too short"),
            (&[0, 1, 24, 1, 192, 0, 2], "scope in a query"),
            (&[0, 1, 24, 0, 192, 0, 2, 0], "an octet too many"),
            (&[0, 1, 24, 0, 192, 0], "an octet too few"),
            (&[0, 1, 20, 0, 192, 0, 0x21], "bits behind the prefix"),
            (&[0, 1, 33, 0, 192, 0, 2, 1, 0], "prefix beyond 32"),
            (&[0, 3, 8, 0, 1], "unknown family"),
            (&[0, 0, 8, 0, 1], "no family, but an address"),
        ] {
            assert_eq!(subnet(data), Err(BadOpt), "{because}");
        }
    }

    #[test]
    fn options_that_are_cut_are_refused() {
        for data in [&[0][..], &[0, 8, 0], &[0, 8, 0, 5, 0, 1, 0, 0], &[0, 10, 0, 8, 1]] {
            assert_eq!(Edns::read(1232, [0; 4], data).err(), Some(BadOpt), "{data:?}");
        }
        let twice = [0, 8, 0, 4, 0, 1, 0, 0, 0, 8, 0, 4, 0, 1, 0, 0];
        assert_eq!(Edns::read(1232, [0; 4], &twice).err(), Some(BadOpt));
    }
}

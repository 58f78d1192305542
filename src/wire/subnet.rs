//! The client subnet of EDNS (RFC 7871).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::edns::Malformed;
use crate::geo::Prefix;

/// A client subnet option (RFC 7871 §6).
#[derive(Debug, Clone)]
pub struct Subnet<'m> {
    /// The option's data as it came, to be echoed: family, source prefix length, scope, address.
    data: &'m [u8],
    /// The client's network; none for source prefix length 0: the client asks not to be located (RFC 7871 §7.1.2).
    pub network: Option<Prefix>,
}

impl<'m> Subnet<'m> {
    /// Octets of the longest: family, source and scope, address.
    pub(super) const MAX_LENGTH: usize = 4 + 16;

    /// The data before and behind the octet of the scope, to be echoed.
    pub(super) fn around_scope(&self) -> (&'m [u8], &'m [u8]) {
        // `read` has seen the four octets.
        (&self.data[..3], &self.data[4..])
    }

    /// Reads the option's data; all that RFC 7871 §6 and §7.1.2 call malformed is refused.
    pub(super) fn read(data: &'m [u8]) -> Result<Self, Malformed> {
        let [family_high, family_low, source, scope, address @ ..] = data else {
            return Err(Malformed);
        };
        // RFC 7871 §6: SCOPE PREFIX-LENGTH MUST be 0 in queries; the address has just the octets that it needs.
        if *scope != 0 || address.len() != usize::from(*source).div_ceil(8) {
            return Err(Malformed);
        }
        let network = match u16::from_be_bytes([*family_high, *family_low]) {
            // Not even the family is told; `dig +subnet=0` tells that of IPv4.
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
            _ => return Err(Malformed),
        };
        let prefix = Prefix::of(network, *source);
        // RFC 7871 §6: bits behind the prefix MUST be 0.
        if prefix.address() != network {
            return Err(Malformed);
        }
        Ok(Self { data, network: (*source > 0).then_some(prefix) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(data: &[u8]) -> Result<Option<String>, Malformed> {
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
            assert_eq!(subnet(data), Err(Malformed), "{because}");
        }
    }
}

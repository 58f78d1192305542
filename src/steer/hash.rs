//! Hashes of client keys and names: the same on every nameserver with the same seed.

use std::net::IpAddr;

use crate::geo::Prefix;

/// The prefix length by which clients are told apart, and so the scope of steered answers (PROTOCOL: 24 or 48).
const V4_KEY: u8 = 24;
const V6_KEY: u8 = 48;

/// Bits before an IPv4 address that is mapped into IPv6 (RFC 4291 §2.5.5.2).
const MAPPED: u8 = 96;

/// Who asks: a client's network, cut to /24 or /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The network.
    pub network: Prefix,
    /// The address is a resolver's, behind which there may be many viewers anywhere.
    pub is_resolver: bool,
}

impl Key {
    /// The key of a client subnet, or else of the address that the query came from.
    #[inline]
    pub fn of(subnet: Option<Prefix>, source: IpAddr) -> Self {
        let address = subnet.map_or(source, Prefix::address);
        let address = address.to_canonical();
        let length = if address.is_ipv4() { V4_KEY } else { V6_KEY };
        Self { network: Prefix::of(address, length), is_resolver: subnet.is_none() }
    }

    /// The scope prefix length for a client subnet that gave this key, in the subnet's own family.
    #[inline]
    pub fn scope(&self, subnet: Prefix) -> u8 {
        let is_mapped = subnet.address().is_ipv6() && self.network.address().is_ipv4();
        self.network.length() + if is_mapped { MAPPED } else { 0 }
    }

    /// 64 bits that stand for the key.
    #[inline]
    pub fn hash(&self, seed: u64) -> u64 {
        match self.network.address() {
            IpAddr::V4(v4) => mix(seed ^ u64::from(v4.to_bits())),
            // All 48 bits of the key are in the upper half.
            IpAddr::V6(v6) => mix(mix(seed) ^ (v6.to_bits() >> 64) as u64),
        }
    }
}

/// 64 bits that stand for a name or a label of it, lower-case wire form: not those of look-ups, which each process has for
/// itself.
pub fn name_hash(seed: u64, octets: &[u8]) -> u64 {
    mix(seed ^ octets.iter().fold(0, |hash, octet| mix(hash ^ u64::from(*octet))))
}

/// A 64-bit mixer: the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[inline]
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The upper 53 bits as a number in (0, 1).
#[inline]
pub(super) fn unit(hash: u64) -> f64 {
    ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_network_and_not_the_host() {
        let subnet: Prefix = "192.0.2.128/25".parse().unwrap();
        let source = IpAddr::from([198, 51, 100, 7]);
        assert_eq!(Key::of(Some(subnet), source).network.to_string(), "192.0.2.0/24");
        assert_eq!(Key::of(None, source).network.to_string(), "198.51.100.0/24");
        assert!(Key::of(None, source).is_resolver && !Key::of(Some(subnet), source).is_resolver);
        let v6: IpAddr = "2001:db8:1:2::3".parse().unwrap();
        assert_eq!(Key::of(None, v6).network.to_string(), "2001:db8:1::/48");
        let mapped: IpAddr = "::ffff:198.51.100.9".parse().unwrap();
        assert_eq!(Key::of(None, mapped), Key::of(None, source));
        for (subnet, scope) in [("192.0.2.0/25", 24), ("2001:db8::/64", 48), ("::ffff:192.0.2.0/120", 120)] {
            let subnet: Prefix = subnet.parse().unwrap();
            assert_eq!(Key::of(Some(subnet), source).scope(subnet), scope, "{subnet}");
        }
    }

    #[test]
    fn names_are_placed_by_all_versions_alike() {
        // Rooms move to other nodes if these change, and nameservers of two versions disagree meanwhile.
        for (octets, expected) in [
            (&b"\x05alpha"[..], 0xbf08_92a5_dc89_e00f),
            (b"\x05alpha\x04room\x07example\0", 0xa5b7_d2f8_5c05_6fce),
            (b"\0", 0x64bf_61b5_12ff_abe7),
        ] {
            assert_eq!(name_hash(7, octets), expected, "{octets:?}");
        }
    }
}

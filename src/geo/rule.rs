//! What an operator writes about clients: regions by rule, and networks that win over the databases.
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::Position;

/// A group of clients: every list that is not empty must match (AND), by any of its values (OR).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegionRule {
    /// Its key in the configuration.
    pub name: String,
    /// Two letters each: AF AN AS EU NA OC SA.
    pub continents: Vec<String>,
    /// ISO 3166-1 codes, upper case.
    pub countries: Vec<String>,
    /// ISO 3166-2 codes, such as `US-CA`, upper case.
    pub subdivisions: Vec<String>,
    /// Numbers of autonomous systems.
    pub asns: Vec<u32>,
    /// Client networks.
    pub networks: Vec<Prefix>,
    /// Takes whom no other rule and no country claims.
    pub is_default: bool,
    /// Names of places that come before distance, in this order.
    pub near: Vec<String>,
    /// Whether no other places than those may serve it.
    pub near_only: bool,
}

/// One line of a networks file.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkRule {
    /// Whose addresses.
    pub prefix: Prefix,
    /// Where they are.
    pub target: NetworkTarget,
}

/// Where the clients of a network are.
#[derive(Debug, Clone, PartialEq)]
pub enum NetworkTarget {
    /// In a country (ISO 3166-1 code), and a subdivision of it (ISO 3166-2 code) if one is given.
    Country(String, Option<String>),
    /// In a region of the configuration.
    Region(String),
    /// At a place of the configuration, whose name and position these are.
    Place(String, Option<Position>),
}

/// An address prefix; bits behind its length are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl RegionRule {
    /// Whether it says anything about whom it holds.
    pub fn has_matchers(&self) -> bool {
        let Self { name: _, continents, countries, subdivisions, asns, networks, is_default: _, near: _, near_only: _ } =
            self;
        let texts = [continents, countries, subdivisions];
        !(texts.iter().all(|list| list.is_empty()) && asns.is_empty() && networks.is_empty())
    }
}

impl Prefix {
    /// The prefix of this length that holds the address; lengths above the family's count as full.
    pub fn of(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv4Addr::from_bits(v4.to_bits() & mask).into(), length }
            }
            IpAddr::V6(v6) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv6Addr::from_bits(v6.to_bits() & mask).into(), length }
            }
        }
    }

    /// The first address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits are fixed.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Itself, or the IPv4 prefix that it maps (`::ffff:0:0/96`, RFC 4291 §2.5.5.2).
    #[must_use]
    pub fn to_canonical(self) -> Self {
        match (self.address.to_canonical(), self.length.checked_sub(96)) {
            (address @ IpAddr::V4(_), Some(length)) if self.address.is_ipv6() => Self::of(address, length),
            _ => self,
        }
    }

    /// Whether the address is inside.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && Self::of(address, self.length) == self
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `192.0.2.0/24`, or an address alone as its full length.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let full = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(digits) => digits.parse().ok().filter(|&length| length <= full).ok_or(PrefixError::Length(full))?,
            None => full,
        };
        let prefix = Self::of(address, length);
        if prefix.address == address { Ok(prefix) } else { Err(PrefixError::HostBits(prefix)) }
    }
}

/// Why a text is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixError {
    /// No address stands before the slash.
    Address,
    /// The length is no number from 0 to this.
    Length(u8),
    /// Bits behind the length are set; this is the prefix without them.
    HostBits(Prefix),
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => write!(f, "not an address"),
            Self::Length(full) => write!(f, "the prefix length must be a number from 0 to {full}"),
            Self::HostBits(prefix) => write!(f, "bits behind the prefix are set; the prefix is {prefix}"),
        }
    }
}

impl std::error::Error for PrefixError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_and_printed() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "192.0.2.1/32"] {
            assert_eq!(text.parse::<Prefix>().map(|prefix| prefix.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("192.0.2.1".parse(), Ok(Prefix::of([192, 0, 2, 1].into(), 32)));
    }

    #[test]
    fn what_is_no_prefix_says_why() {
        let fixed = Prefix::of([192, 0, 2, 0].into(), 24);
        for (text, error) in [
            ("live", PrefixError::Address),
            ("192.0.2.0/33", PrefixError::Length(32)),
            ("2001:db8::/x", PrefixError::Length(128)),
            ("192.0.2.7/24", PrefixError::HostBits(fixed)),
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(error), "{text}");
        }
    }

    #[test]
    fn mapped_prefixes_are_those_they_map() {
        for (mapped, canonical) in [
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("192.0.2.0/24", "192.0.2.0/24"),
        ] {
            assert_eq!(mapped.parse::<Prefix>().map(Prefix::to_canonical), canonical.parse());
        }
    }

    #[test]
    fn a_prefix_contains_its_own_family_only() {
        assert!(Prefix::of([192, 0, 2, 0].into(), 24).contains([192, 0, 2, 200].into()));
        assert!(!Prefix::of([0, 0, 0, 0].into(), 0).contains(Ipv6Addr::UNSPECIFIED.into()));
    }
}

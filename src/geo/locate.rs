//! Looking up where a client is: no allocation, no lock, two cache lines or three.
#![deny(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::net::IpAddr;

use super::RegionId;
use super::region::Region;
use super::runs::{Address, Runs};
use super::table::{SplitTable, Table};

/// `::ffff:0:0`, below which IPv6 sockets show IPv4 addresses (RFC 4291 §2.5.5.2).
const MAPPED: u128 = 0xffff_0000_0000;
/// How many bits of a mapped address are in front of the IPv4 address.
const MAPPED_BITS: u8 = 96;

/// The regions, and who is in which: made by `Geo::compile`.
#[derive(Debug)]
pub struct Geo {
    regions: Vec<Region>,
    by_name: HashMap<String, RegionId>,
    v4: Table<u32>,
    v6: SplitTable,
}

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// Its region.
    pub region: RegionId,
    /// The length of the shortest prefix around its address that is in that region as a whole.
    pub prefix: u8,
}

impl Geo {
    /// From one region number a run; the first regions have the numbers of earlier tables.
    pub(super) fn new(regions: Vec<Region>, v4: Runs<u32>, v6: &Runs<u128>, number: impl Fn(u32) -> RegionId) -> Self {
        let by_name = regions.iter().zip(0..).map(|(region, number)| (region.name.clone(), RegionId(number))).collect();
        let (starts, values) = v4.into_columns(|value| number(value).0);
        let v4 = Table::new(&starts, &values);
        let v6 = SplitTable::new(v6, |value| number(value).0);
        Self { regions, by_name, v4, v6 }
    }

    /// The region of an address; addresses below `::ffff:0:0/96` count as the IPv4 addresses they map, their
    /// prefix 96 longer.
    #[inline]
    pub fn locate(&self, address: IpAddr) -> Located {
        let (region, prefix) = match address {
            IpAddr::V4(v4) => self.v4.find(v4.to_bits()),
            IpAddr::V6(v6) => self.locate_v6(v6.to_bits()),
        };
        Located { region: RegionId(region), prefix }
    }

    /// Calls what `locate` reads first into the cache.
    #[inline]
    pub fn fetch(&self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.v4.fetch(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.fetch(v6.to_bits()),
        }
    }

    /// Calls what `locate` reads next into the cache; what it reads first should have been called before.
    #[inline]
    pub fn fetch_next(&self, address: IpAddr) {
        // Of IPv6 `fetch` has gone so far: the first slots are few there, and stay in the cache.
        if let IpAddr::V4(v4) = address {
            self.v4.fetch_next(v4.to_bits());
        }
    }

    /// A region by its number, which must be of this compilation or of one before it.
    pub fn region(&self, id: RegionId) -> &Region {
        &self.regions[usize::from(id.0)]
    }

    /// All regions by their number, the vanished ones included.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The number of a region that has not vanished.
    pub fn find(&self, name: &str) -> Option<RegionId> {
        let id = *self.by_name.get(name)?;
        (!self.regions[usize::from(id.0)].is_vanished).then_some(id)
    }

    fn locate_v6(&self, address: u128) -> (u16, u8) {
        if address >> 32 == MAPPED >> 32 {
            let (region, prefix) = self.v4.find(address as u32);
            return (region, MAPPED_BITS + prefix);
        }
        let (region, prefix) = self.v6.find(address);
        if self.v4.only_region() == Some(region) {
            return (region, prefix);
        }
        // A block with mapped addresses in it would have other regions, those of the IPv4 table.
        (region, prefix.max(address.common_bits(MAPPED) + 1))
    }
}

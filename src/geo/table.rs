//! Flat tables: from an address to its region by one read of an index and a short binary search.
#![deny(clippy::disallowed_methods)]

use super::runs::{Address, Runs};

/// Slots of the index: enough that few runs share one, and that it stays a quarter of a megabyte.
const SLOTS: usize = 1 << 16;

/// An address that has a slot in the index.
pub(super) trait Indexed: Address {
    /// The slot; none outside the indexed part of the space.
    fn slot(self) -> Option<usize>;

    /// The first address of a slot.
    fn first_of(slot: usize) -> Self;
}

impl Indexed for u32 {
    #[inline]
    fn slot(self) -> Option<usize> {
        Some((self >> 16) as usize)
    }

    fn first_of(slot: usize) -> Self {
        (slot as Self) << 16
    }
}

/// The upper half of an IPv6 address: all that has been given out is in 2000::/3 (RFC 4291 §2.4), so the index
/// is on the 16 bits behind those three.
impl Indexed for u64 {
    #[inline]
    fn slot(self) -> Option<usize> {
        (self >> 61 == 1).then_some((self >> 45) as usize & (SLOTS - 1))
    }

    fn first_of(slot: usize) -> Self {
        1 << 61 | (slot as Self) << 45
    }
}

/// Runs of equal region over the space of one family.
#[derive(Debug)]
pub(super) struct Table<A> {
    /// By rising address; the first is zero, and neighbours are of different regions.
    starts: Vec<A>,
    regions: Vec<u16>,
    /// The run in which each slot begins; behind the last slot, the run in which it ends.
    index: Vec<u32>,
}

impl<A: Indexed> Table<A> {
    pub(super) fn new(starts: Vec<A>, regions: Vec<u16>) -> Self {
        let run_of = |address: A| (starts.partition_point(|start| *start <= address) - 1) as u32;
        let mut index: Vec<u32> = (0..SLOTS).map(|slot| run_of(A::first_of(slot))).collect();
        let behind = starts.partition_point(|start| *start < A::first_of(SLOTS - 1) || start.slot() == Some(SLOTS - 1));
        index.push((behind - 1) as u32);
        Self { starts, regions, index }
    }

    /// The region, and the length of the shortest prefix around the address that is all in that region.
    #[inline]
    pub(super) fn find(&self, address: A) -> (u16, u8) {
        let (first, last) = match address.slot() {
            Some(slot) => (self.index[slot] as usize, self.index[slot + 1] as usize),
            None => (0, self.starts.len() - 1),
        };
        let run = first + self.starts[first + 1..=last].partition_point(|start| *start <= address);
        (self.regions[run], prefix_length(&self.starts, run, address))
    }

    /// The region of the whole space, if it is one.
    pub(super) fn only_region(&self) -> Option<u16> {
        match self.regions.as_slice() {
            [region] => Some(*region),
            _ => None,
        }
    }
}

/// The IPv6 space by upper halves of addresses, and runs of whole addresses in the few halves that need them.
///
/// Of the boundaries in the embedded database 3 % are finer than /64; for all others half the memory is read.
#[derive(Debug)]
pub(super) struct SplitTable {
    halves: Table<u64>,
    /// Runs cut at the edges of their /64, whose upper half is `SPLIT` in the other table.
    starts: Vec<u128>,
    regions: Vec<u16>,
}

/// Stands for a /64 of several regions; no region, for there are fewer (`MAX_REGIONS`).
const SPLIT: u16 = u16::MAX;

impl SplitTable {
    /// From runs whose values `number` turns into regions.
    pub(super) fn new(runs: &Runs<u128>, number: impl Fn(u32) -> u16) -> Self {
        let mut halves = Runs::<u64>::whole(SPLIT.into());
        let mut fine = Runs::<u128>::whole(SPLIT.into());
        let mut region_before = SPLIT;
        let mut split = None;
        for (start, _, value) in runs.iter() {
            let region = number(value);
            let half = (start >> 64) as u64;
            let first = u128::from(half) << 64;
            if start == first {
                halves.push(half, region.into());
            } else {
                if split.replace(half) != Some(half) {
                    fine.push(first, region_before.into());
                    halves.push(half, SPLIT.into());
                }
                fine.push(start, region.into());
                // What lies behind is of this region, unless a later start says otherwise.
                if let Some(behind) = half.checked_add(1) {
                    halves.push(behind, region.into());
                }
            }
            region_before = region;
        }
        let (starts, regions) = halves.into_columns(|region| region as u16);
        let halves = Table::new(starts, regions);
        let (starts, regions) = fine.into_columns(|region| region as u16);
        Self { halves, starts, regions }
    }

    /// As `Table::find`.
    #[inline]
    pub(super) fn find(&self, address: u128) -> (u16, u8) {
        let (region, prefix) = self.halves.find((address >> 64) as u64);
        if region != SPLIT {
            return (region, prefix);
        }
        let run = self.starts.partition_point(|start| *start <= address) - 1;
        // Another region is in the same /64, so neighbours outside it share too few bits to count.
        (self.regions[run], prefix_length(&self.starts, run, address))
    }
}

/// RFC 7871 §7.2.1: a prefix is too short as long as it holds the address before the run or that behind it.
#[inline]
fn prefix_length<A: Address>(starts: &[A], run: usize, address: A) -> u8 {
    let before = starts[run].previous();
    let behind = starts.get(run + 1).copied();
    let shared = [before, behind].into_iter().flatten().map(|neighbour| address.common_bits(neighbour)).max();
    // The neighbours are other addresses, so at least one bit differs and the sum stays within the family.
    shared.map_or(0, |shared| shared + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_found_from_its_first_to_its_last_address() {
        let starts: Vec<u32> = vec![0, 1, 0x0001_0000, 0x0001_0001, 0x0a00_0000, 0xffff_0000, 0xffff_ffff];
        let table = Table::new(starts.clone(), (0..7).collect());
        for (run, start) in starts.iter().enumerate() {
            let last = starts.get(run + 1).map_or(u32::MAX, |next| next - 1);
            assert_eq!(table.find(*start).0, run as u16);
            assert_eq!(table.find(last).0, run as u16);
        }
    }

    #[test]
    fn ipv6_runs_are_found_whether_they_end_within_a_64_or_not() {
        let site = 0x2001_0db8 << 96;
        let starts =
            [0, 1 << 100, 1 << 125, site, site + 5, site + 7, site + (1 << 64), site + (1 << 64) + 1, u128::MAX];
        let mut runs = Runs::whole(0);
        for (start, region) in starts.into_iter().zip(0..) {
            runs.push(start, region);
        }
        let table = SplitTable::new(&runs, |region| region as u16);
        for (run, start) in starts.into_iter().enumerate() {
            let last = starts.get(run + 1).map_or(u128::MAX, |next| next - 1);
            assert_eq!(table.find(start).0, run as u16);
            assert_eq!(table.find(last).0, run as u16);
        }
        assert_eq!(table.find(site + 6), (4, 128), "5 and 6 are one run, but no prefix holds both");
        assert_eq!(table.find(site + 4), (3, 128));
    }

    #[test]
    fn the_prefix_ends_where_another_region_begins() {
        let table: Table<u32> = Table::new(vec![0, 0x0a00_0000, 0x0b00_0000], vec![0, 1, 0]);
        assert_eq!(table.find(0x0a01_0203), (1, 8));
        assert_eq!(table.find(0x0b00_0000), (0, 8));
        assert_eq!(table.find(0x8000_0000), (0, 1));
        assert_eq!(Table::<u32>::new(vec![0], vec![3]).find(7), (3, 0));
        assert_eq!(Table::<u32>::new(vec![0, 1], vec![3, 4]).find(0), (3, 32));
    }
}

//! Flat tables: from an address to its region by one read of an index and, where networks crowd, a few more.
//!
//! With the embedded database (342,000 runs of IPv4, 267,000 of IPv6), ns per look-up with warm caches and, for 32 at
//! once whose first line was called before, after 8 MiB of other memory had been walked; IPv6 by random networks:
//!
//! | | IPv4 | memory · build | IPv6 | memory · build |
//! |---|---|---|---|---|
//! | this | 7 · 41 | 2.1 MB · 2 ms | 52 · 417 | 3.4 MB · 4 ms |
//! | index on 16 bits, then a binary search | 34 · 265 | 2.3 MB · 3 ms | 111 · 1,094 | 2.9 MB · 2 ms |
//! | poptrie (Asai, Ohara, SIGCOMM 2015), regions only | 4 · 42 | 3.5 MB · 25 ms | 78 · 563 | 3.5 MB · 26 ms |
//! | DIR-24-8 (Gupta et al., INFOCOM 1998), regions only | 8 · 1 | 42 MB · 51 ms | | |
#![deny(clippy::disallowed_methods)]

use super::runs::{Address, Runs};
use crate::prefetch::prefetch;

/// How many bits the index of the whole space is on.
const ROOT: u32 = 16;
/// The most starts of runs in a list: more are cheaper to find by an index on further bits.
const MOST_LISTED: usize = 64;
/// About how many starts share a slot of such an index.
const SHARED: usize = 8;

/// An address that can be taken apart from its leading bits on.
pub(super) trait Indexed: Address {
    /// Its leading bits, one at least, as a number.
    fn leading(self, bits: u32) -> usize;

    /// What is behind its leading bits.
    fn behind(self, bits: u32) -> Self;

    /// The block at this place among those into which one that starts here is divided; `bits` lead to it.
    fn block(self, place: usize, bits: u32) -> Self;

    /// What is behind its first 16 bits, and a region: sorts by address.
    fn listed(self, region: u16) -> Self;

    /// Of what is listed, the address behind its first 16 bits.
    fn behind_region(self) -> Self;

    /// Of what is listed, the region.
    fn region(self) -> u16;
}

macro_rules! indexed {
    ($($integer:ty),*) => {$(
        impl Indexed for $integer {
            #[inline]
            fn leading(self, bits: u32) -> usize {
                (self >> (Self::BITS - bits)) as usize
            }

            #[inline]
            fn behind(self, bits: u32) -> Self {
                self << bits
            }

            fn block(self, place: usize, bits: u32) -> Self {
                self | (place as Self) << (Self::BITS - bits)
            }

            #[inline]
            fn listed(self, region: u16) -> Self {
                self << ROOT | Self::from(region)
            }

            #[inline]
            fn behind_region(self) -> Self {
                self >> ROOT << ROOT
            }

            #[inline]
            fn region(self) -> u16 {
                self as u16
            }
        }
    )*};
}

// As in `runs`. IPv6 addresses are looked up by their upper half.
indexed!(u32, u64);

/// What is known of a block of addresses; eight of them share a cache line.
#[derive(Debug, Clone, Copy)]
enum Slot {
    /// All of it is in one region, as is the prefix around it of this length, and no shorter one.
    Whole { region: u16, prefix: u8 },
    /// Its first addresses are in this region, the others in those listed.
    List { region: u16, length: u8, at: u32 },
    /// It has an index of its own, on so many further bits.
    Index { bits: u8, at: u32 },
}

const _: () = assert!(size_of::<Slot>() == 8 && MOST_LISTED <= u8::MAX as usize);

/// Runs of equal region over the space of one family.
#[derive(Debug)]
pub(super) struct Table<A> {
    /// The index of the whole space, then all others.
    slots: Vec<Slot>,
    /// Where in a block a run starts, and its region: side by side, so that one cache line has both.
    lists: Vec<A>,
}

impl<A: Indexed> Table<A> {
    /// Of runs by rising start; the first starts at zero, and neighbours are of different regions.
    pub(super) fn new(starts: &[A], regions: &[u16]) -> Self {
        let mut builder = Builder { starts, regions, slots: Vec::new(), lists: Vec::with_capacity(starts.len()) };
        builder.index(A::ZERO, 0, ROOT, 0);
        let Builder { mut slots, mut lists, .. } = builder;
        slots.shrink_to_fit();
        lists.shrink_to_fit();
        Self { slots, lists }
    }

    /// The region, and the length of the shortest prefix around the address that is all in that region.
    #[inline]
    pub(super) fn find(&self, address: A) -> (u16, u8) {
        let mut slot = self.slots[address.leading(ROOT)];
        let mut rest = address.behind(ROOT);
        loop {
            match slot {
                Slot::Whole { region, prefix } => return (region, prefix),
                Slot::List { region, length, at } => {
                    return search(&self.lists[at as usize..][..length.into()], region, address);
                }
                Slot::Index { bits, at } => {
                    slot = self.slots[at as usize + rest.leading(bits.into())];
                    rest = rest.behind(bits.into());
                }
            }
        }
    }

    /// Calls the slot of the first index into the cache.
    #[inline]
    pub(super) fn fetch(&self, address: A) {
        prefetch(&self.slots, address.leading(ROOT));
    }

    /// Calls that to which the slot of the first index leads into the cache.
    #[inline]
    pub(super) fn fetch_next(&self, address: A) {
        match self.slots[address.leading(ROOT)] {
            Slot::Whole { .. } => {}
            Slot::List { at, .. } => prefetch(&self.lists, at as usize),
            Slot::Index { bits, at } => {
                prefetch(&self.slots, at as usize + address.behind(ROOT).leading(bits.into()));
            }
        }
    }

    /// The region of the whole space, if it is one.
    pub(super) fn only_region(&self) -> Option<u16> {
        match self.slots[0] {
            Slot::Whole { region, prefix: 0 } => Some(region),
            _ => None,
        }
    }
}

/// The region of an address in a block whose first addresses are in `region`, and the length of its prefix.
#[inline]
fn search<A: Indexed>(list: &[A], region: u16, address: A) -> (u16, u8) {
    let last = address.listed(u16::MAX);
    // Counting asks nothing that could be foretold wrong, and does several at once.
    let count = list.iter().filter(|entry| **entry <= last).count();
    let own = count.checked_sub(1).map(|run| list[run]);
    let start = |entry: A| entry.behind_region();
    let rest = address.behind(ROOT);
    // A start in the same block shares more bits than any outside it, and there is one.
    let prefix = prefix_length(own.map(start), list.get(count).copied().map(start), rest) + ROOT as u8;
    (own.map_or(region, Indexed::region), prefix)
}

struct Builder<'a, A> {
    starts: &'a [A],
    regions: &'a [u16],
    slots: Vec<Slot>,
    lists: Vec<A>,
}

impl<A: Indexed> Builder<'_, A> {
    /// Divides a block, which begins in this run, on `bits` behind those that lead to it; gives the index's place.
    fn index(&mut self, first: A, length: u32, bits: u32, mut run: usize) -> u32 {
        let at = self.slots.len();
        let places = 1 << bits;
        self.slots.resize(at + places, Slot::Whole { region: 0, prefix: 0 });
        let length = length + bits;
        for place in 0..places {
            let first = first.block(place, length);
            run += usize::from(self.starts.get(run + 1) == Some(&first));
            let last = first.last_of(length as u8);
            let inside = self.starts[run + 1..].iter().take_while(|start| **start <= last).count();
            self.slots[at + place] = self.slot(first, length, run, inside);
            run += inside;
        }
        // A slot for every four starts at each of 13 levels at most: a file of as many runs would not fit into memory.
        at as u32
    }

    /// Of a block that begins in this run, with so many starts behind its first address.
    fn slot(&mut self, first: A, length: u32, run: usize, inside: usize) -> Slot {
        let region = self.regions[run];
        match inside {
            0 => {
                let behind = self.starts.get(run + 1).copied();
                Slot::Whole { region, prefix: prefix_length(Some(self.starts[run]), behind, first) }
            }
            1..=MOST_LISTED => {
                let at = self.lists.len() as u32;
                let runs = run + 1..=run + inside;
                let listed = self.starts[runs.clone()].iter().zip(&self.regions[runs]);
                self.lists.extend(listed.map(|(start, region)| start.listed(*region)));
                Slot::List { region, length: inside as u8, at }
            }
            // In so few bits that these would be too many, fewer starts have room.
            _ => {
                let bits = ((inside / SHARED).ilog2() + 1).min(ROOT);
                Slot::Index { bits: bits as u8, at: self.index(first, length, bits, run) }
            }
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
        let halves = Table::new(&starts, &regions);
        let (starts, regions) = fine.into_columns(|region| region as u16);
        Self { halves, starts, regions }
    }

    /// Calls what `find` reads into the cache.
    #[inline]
    pub(super) fn fetch(&self, address: u128) {
        // The few blocks of 2^112 that have been given out (RFC 4291 §2.4 and IANA's list) stay in the cache: reading
        // their slot costs nothing, and what it leads to is what is missing.
        self.halves.fetch_next((address >> 64) as u64);
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
        (self.regions[run], prefix_length(Some(self.starts[run]), self.starts.get(run + 1).copied(), address))
    }
}

/// RFC 7871 §7.2.1: a prefix is too short as long as it holds the address before the run, which starts at `own`, or
/// that `behind` it.
#[inline]
fn prefix_length<A: Address>(own: Option<A>, behind: Option<A>, address: A) -> u8 {
    let before = own.and_then(Address::previous);
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
        let table = Table::new(&starts, &[0, 1, 2, 3, 4, 5, 6]);
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
        let table: Table<u32> = Table::new(&[0, 0x0a00_0000, 0x0b00_0000], &[0, 1, 0]);
        assert_eq!(table.find(0x0a01_0203), (1, 8));
        assert_eq!(table.find(0x0b00_0000), (0, 8));
        assert_eq!(table.find(0x8000_0000), (0, 1));
        assert_eq!(Table::<u32>::new(&[0], &[3]).find(7), (3, 0));
        assert_eq!(Table::<u32>::new(&[0, 1], &[3, 4]).find(0), (3, 32));
    }

    /// Runs as dense and as uneven as they come: what a search of all of them says is right.
    fn is_as_a_search_says<A: Indexed + std::fmt::Debug>(mut starts: Vec<A>) {
        starts.push(A::ZERO);
        starts.sort();
        starts.dedup();
        let regions: Vec<u16> = (0..).map(|run: u32| (run % 4096) as u16).take(starts.len()).collect();
        let table = Table::new(&starts, &regions);
        for start in &starts {
            for address in [Some(*start), start.previous(), start.next()].into_iter().flatten() {
                let run = starts.partition_point(|start| *start <= address) - 1;
                let prefix = prefix_length(Some(starts[run]), starts.get(run + 1).copied(), address);
                assert_eq!(table.find(address), (regions[run], prefix), "{address:?}");
            }
        }
    }

    #[test]
    fn crowded_networks_have_an_index_of_their_own() {
        // Each address of a /15, each /32 of a /20 and /40 around it, few elsewhere: lists, indices, indices in indices.
        is_as_a_search_says::<u32>((0..1 << 17).chain((0..4096).map(|network| 0x0a0b_0000 + network * 3)).collect());
        let (site, spread) = (0x2a00_u64 << 48, 0x9e37_79b9_7f4a_7c15_u64);
        let sites = (0..4096).map(|network| site | network << 32);
        let networks = (0..4096).map(|network| site | 7 << 40 | network);
        let elsewhere = (0..4096).map(|number| spread.wrapping_mul(number));
        is_as_a_search_says::<u64>(sites.chain(networks).chain(elsewhere).collect());
        let levels = (0..64).flat_map(|level| (0..100).map(move |number| (spread.wrapping_mul(number + 1)) >> level));
        is_as_a_search_says::<u64>(levels.chain([u64::MAX]).collect());
    }
}

//! A whole address space as runs of equal value: what databases are read into and what the compiler overlays.
#![deny(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::hash::Hash;

use rustc_hash::FxHashMap;

/// The value of a run about which nothing is known.
pub(super) const NOTHING: u32 = 0;

/// An address of one family as a number; also the upper half of an IPv6 address.
pub(super) trait Address: Copy + Ord {
    /// The first address of the space.
    const ZERO: Self;

    /// The address behind this one, if there is one.
    fn next(self) -> Option<Self>;

    /// The address before this one, if there is one.
    fn previous(self) -> Option<Self>;

    /// The last address of the prefix of this length that starts here.
    fn last_of(self, length: u8) -> Self;

    /// How many leading bits are the same.
    fn common_bits(self, other: Self) -> u8;
}

macro_rules! address {
    ($($integer:ty),*) => {$(
        impl Address for $integer {
            const ZERO: Self = 0;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }

            fn last_of(self, length: u8) -> Self {
                self | Self::MAX.checked_shr(u32::from(length)).unwrap_or(0)
            }

            fn common_bits(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }
        }
    )*};
}

// Integers share no trait in the standard library that a function could ask for.
address!(u32, u64, u128);

/// Runs by rising start; the first starts at zero, and neighbours differ.
#[derive(Debug, Clone)]
pub(super) struct Runs<A> {
    starts: Vec<A>,
    values: Vec<u32>,
}

impl<A: Address> Runs<A> {
    /// One run: the whole space.
    pub(super) fn whole(value: u32) -> Self {
        Self { starts: vec![A::ZERO], values: vec![value] }
    }

    /// Lets all from `start` on have the value; `start` is never below that of the last call.
    pub(super) fn push(&mut self, start: A, value: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// The value of the prefix, and nothing behind it; prefixes come by rising address.
    pub(super) fn push_prefix(&mut self, start: A, length: u8, value: u32) {
        self.push(start, value);
        if let Some(behind) = start.last_of(length).next() {
            self.push(behind, NOTHING);
        }
    }

    /// The value at an address.
    pub(super) fn at(&self, address: A) -> u32 {
        // The first run starts at zero, so at least one start is not above the address.
        let behind = self.starts.partition_point(|start| *start <= address);
        self.values[behind.saturating_sub(1)]
    }

    /// Start, last address and value of each run.
    pub(super) fn iter(&self) -> impl Iterator<Item = (A, Option<A>, u32)> {
        let ends = self.starts.iter().skip(1).map(|next| next.previous()).chain([None]);
        self.starts.iter().zip(ends).zip(&self.values).map(|((start, end), value)| (*start, end, *value))
    }

    /// Both cut at the starts of either, the values of each piece combined.
    pub(super) fn overlay(&self, upper: &Self, mut combine: impl FnMut(u32, u32) -> u32) -> Self {
        let mut merged = Self { starts: Vec::with_capacity(self.starts.len()), values: Vec::new() };
        merged.values.reserve(self.starts.len());
        let (mut i, mut j, mut start) = (0, 0, A::ZERO);
        let mut last = None;
        loop {
            let pair = (self.values[i], upper.values[j]);
            // Most neighbours differ, but few pairs do: the caller's table is asked only for a new one.
            let value = match last {
                Some((known, value)) if known == pair => value,
                _ => combine(pair.0, pair.1),
            };
            last = Some((pair, value));
            merged.push(start, value);
            let next = [self.starts.get(i + 1), upper.starts.get(j + 1)];
            let Some(&nearest) = next.iter().copied().flatten().min() else {
                return merged;
            };
            start = nearest;
            i += usize::from(next[0] == Some(&nearest));
            j += usize::from(next[1] == Some(&nearest));
        }
    }

    /// Nested prefixes as runs; `value` sees the payloads of all that hold a run, the shortest first.
    pub(super) fn of_prefixes<T>(mut prefixes: Vec<(A, u8, T)>, mut value: impl FnMut(&[T]) -> u32) -> Self
    where
        T: Copy,
    {
        prefixes.sort_by_key(|(start, length, _)| (*start, *length));
        let mut runs = Self::whole(NOTHING);
        let mut lasts: Vec<A> = Vec::new();
        let mut holders: Vec<T> = Vec::new();
        for (start, length, payload) in prefixes {
            while let Some(last) = lasts.pop_if(|last| *last < start) {
                holders.pop();
                runs.close(last, value(&holders));
            }
            lasts.push(start.last_of(length));
            holders.push(payload);
            runs.push(start, value(&holders));
        }
        while let Some(last) = lasts.pop() {
            holders.pop();
            runs.close(last, value(&holders));
        }
        runs
    }

    /// Splits into the starts and, beside them, what becomes of the values.
    pub(super) fn into_columns<V>(self, mut convert: impl FnMut(u32) -> V) -> (Vec<A>, Vec<V>) {
        let values = self.values.into_iter().map(&mut convert).collect();
        (self.starts, values)
    }

    fn close(&mut self, last: A, value: u32) {
        if let Some(behind) = last.next() {
            self.push(behind, value);
        }
    }
}

/// Gives equal things the same number, from 0 on in the order of their first sight.
#[derive(Debug)]
pub(super) struct Numbering<T> {
    numbers: HashMap<T, u32>,
    things: Vec<T>,
}

impl<T: Clone + Eq + Hash> Numbering<T> {
    pub(super) fn new() -> Self {
        Self { numbers: HashMap::new(), things: Vec::new() }
    }

    pub(super) fn number(&mut self, thing: T) -> u32 {
        if let Some(number) = self.numbers.get(&thing) {
            return *number;
        }
        // A number a run, and a file of 2^32 runs would not fit into memory.
        let number = self.things.len() as u32;
        self.things.push(thing.clone());
        self.numbers.insert(thing, number);
        number
    }

    pub(super) fn thing(&self, number: u32) -> &T {
        &self.things[number as usize]
    }

    pub(super) fn things(&self) -> &[T] {
        &self.things
    }
}

/// Asks `combine` but once for each pair.
pub(super) fn memoised(mut combine: impl FnMut(u32, u32) -> u32) -> impl FnMut(u32, u32) -> u32 {
    let mut known = FxHashMap::default();
    move |lower, upper| *known.entry((lower, upper)).or_insert_with(|| combine(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(runs: Runs<u32>) -> Vec<(u32, u32)> {
        let (starts, values) = runs.into_columns(|value| value);
        starts.into_iter().zip(values).collect()
    }

    #[test]
    fn equal_neighbours_become_one_run() {
        let mut runs = Runs::whole(NOTHING);
        runs.push_prefix(0x0a00_0000, 8, 1);
        runs.push_prefix(0x0b00_0000, 8, 1);
        runs.push_prefix(0x0c00_0000, 8, 2);
        assert_eq!(columns(runs), [(0, 0), (0x0a00_0000, 1), (0x0c00_0000, 2), (0x0d00_0000, 0)]);
    }

    #[test]
    fn a_prefix_at_either_end_of_the_space_has_no_run_outside() {
        let mut runs = Runs::whole(NOTHING);
        runs.push_prefix(0u32, 1, 1);
        runs.push_prefix(0x8000_0000, 1, 2);
        assert_eq!(columns(runs), [(0, 1), (0x8000_0000, 2)]);
    }

    #[test]
    fn nested_prefixes_know_all_their_holders() {
        let prefixes = vec![(0x0a01_0000u32, 16, 3), (0, 0, 1), (0x0a00_0000, 8, 2), (0xffff_ffff, 32, 4)];
        let runs = Runs::of_prefixes(prefixes, |holders| holders.iter().fold(0, |number, holder| number * 10 + holder));
        let expected =
            [(0, 1), (0x0a00_0000, 12), (0x0a01_0000, 123), (0x0a02_0000, 12), (0x0b00_0000, 1), (0xffff_ffff, 14)];
        assert_eq!(columns(runs), expected);
    }

    #[test]
    fn an_overlay_combines_every_piece() {
        let mut lower = Runs::whole(NOTHING);
        lower.push_prefix(0x0a00_0000u32, 8, 1);
        let mut upper = Runs::whole(NOTHING);
        upper.push_prefix(0x0a80_0000u32, 9, 1);
        upper.push_prefix(0x0b00_0000u32, 8, 1);
        let both = lower.overlay(&upper, |a, b| 10 * a + b);
        assert_eq!(both.at(0x0aff_ffff), 11);
        assert_eq!(columns(both), [(0, 0), (0x0a00_0000, 10), (0x0a80_0000, 11), (0x0b00_0000, 1), (0x0c00_0000, 0)]);
    }
}

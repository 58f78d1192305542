//! Where keys stand in the table, who may take whose place, and when.
//!
//! A flood of keys that never come back must not drive out those that do. So nobody is replaced before its time: a newcomer
//! has half a minute to come back, others a multiple of what they have shown. What finds no place is not learned. Where
//! many wait for a place, it goes to those that have come before.

use crate::prefetch::prefetch;

/// Keys among which one is sought: as many as a cache line holds.
const WAYS: usize = 8;
/// Seconds after which a place is anybody's, at most.
pub(super) const LONGEST: u32 = 2 * 3600;
/// Seconds which a newcomer has to come back: twice the longest usual TTL.
pub(super) const PROBATION: u32 = 30;
/// Seconds without a query after which a key is taken for a new one.
const FORGOTTEN: u32 = 24 * 3600;

/// The places of a table.
pub(super) struct Places {
    sets: Box<[Set]>,
    visitors: Box<[Visitors]>,
}

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where it stood.
    Known(usize),
    /// Where it was put: what is there is another's.
    New(usize),
    /// All places that it may have are taken.
    Full,
}

/// One cache line: a look-up touches no other, whether the key is there or not.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set {
    /// Part of the key's hash; 0 = nobody's.
    tags: [u32; WAYS],
    /// The second from which the place is free for others.
    until: [u32; WAYS],
}

/// Who found no place of late: one bit for each, in this half minute and in the one before.
///
/// A key that asks every 15 s meets a flood of 50,000 new ones a second, of which a table of 200,000 can take one in eight: it
/// would wait ten minutes now and then. Of those who come once, this lets one in six pass, and of those who come again, all.
#[derive(Clone, Copy, Default)]
struct Visitors {
    /// The upper 8 bits are the number of the half minute.
    now: u64,
    before: u64,
}

impl Places {
    /// Places for so many keys at least.
    pub(super) fn new(slots: usize) -> Self {
        let sets = slots.div_ceil(WAYS).clamp(1, u32::MAX as usize / WAYS - 1);
        Self {
            sets: vec![Set { tags: [0; WAYS], until: [0; WAYS] }; sets].into(),
            visitors: vec![Visitors::default(); sets * WAYS].into(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// The key's place; a newcomer gets the one that has been free for longest.
    #[inline]
    pub(super) fn find(&mut self, key: u64, now: u32) -> Place {
        let index = scaled(key, self.sets.len());
        let tag = tag(key);
        let set = &mut self.sets[index];
        if let Some(way) = set.tags.iter().position(|&there| there == tag) {
            let at = index * WAYS + way;
            return match free_for(set.until[way], now) {
                Some(free) if free >= FORGOTTEN => {
                    set.until[way] = now.wrapping_add(PROBATION);
                    Place::New(at)
                }
                _ => Place::Known(at),
            };
        }
        let free = |way: usize| free_for(set.until[way], now).map(|free| (free, way));
        let longest = (0..WAYS).filter_map(free).max();
        // A place that has been free for a while is wanted by few.
        let is_wanted = longest.is_none_or(|(free, _)| free < PROBATION);
        let visitors = scaled(key >> 16, self.visitors.len());
        if is_wanted && !self.visitors[visitors].came_before(key, now) {
            return Place::Full;
        }
        let Some((_, way)) = longest else { return Place::Full };
        set.tags[way] = tag;
        set.until[way] = now.wrapping_add(PROBATION);
        Place::New(index * WAYS + way)
    }

    /// Whether the key has a place.
    pub(super) fn has(&self, key: u64, now: u32) -> bool {
        let until = |at: usize| self.sets[at / WAYS].until[at % WAYS];
        self.at(key).is_some_and(|at| free_for(until(at), now).is_none_or(|free| free < FORGOTTEN))
    }

    /// The key's place, if it has one; it may be forgotten there.
    #[inline]
    pub(super) fn at(&self, key: u64) -> Option<usize> {
        let index = scaled(key, self.sets.len());
        let tag = tag(key);
        let way = self.sets[index].tags.iter().position(|&there| there == tag)?;
        Some(index * WAYS + way)
    }

    /// Calls what `find` reads into the cache.
    #[inline]
    pub(super) fn fetch(&self, key: u64) {
        prefetch(&self.sets, scaled(key, self.sets.len()));
        prefetch(&self.visitors, scaled(key >> 16, self.visitors.len()));
    }

    /// Keeps a place for so many seconds from now.
    #[inline]
    pub(super) fn keep(&mut self, at: usize, now: u32, patience: u32) {
        self.sets[at / WAYS].until[at % WAYS] = now.wrapping_add(patience.min(LONGEST));
    }
}

impl Visitors {
    /// Notes a key, and says whether it was here in this half minute or in the one before; a few others seem to have been, too.
    #[inline]
    fn came_before(&mut self, key: u64, now: u32) -> bool {
        const BITS: u64 = 56;
        let period = u64::from(now / PROBATION) & 0xff;
        let noted = self.now >> BITS;
        if noted != period {
            self.before = if noted == period.wrapping_sub(1) & 0xff { self.now } else { 0 };
            self.now = period << BITS;
        }
        let bit = 1 << (key % BITS);
        let came = (self.now | self.before) & bit != 0;
        self.now |= bit;
        came
    }
}

/// The upper half of the hash, never nobody's; the lower one chooses the set.
#[inline]
fn tag(key: u64) -> u32 {
    (key >> 32) as u32 | 1
}

/// The lower half of the hash as a number below the length.
#[inline]
fn scaled(hash: u64, length: usize) -> usize {
    ((u64::from(hash as u32) * length as u64) >> 32) as usize
}

/// For how many seconds a place has been free; none while it is kept.
///
/// A time that nobody could have been promised comes from a clock that was set back since: such a place is free.
#[inline]
fn free_for(until: u32, now: u32) -> Option<u32> {
    let is_kept = until > now && until - now <= LONGEST;
    (!is_kept).then(|| now.wrapping_sub(until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_for_its_time_and_no_longer() {
        let mut places = Places::new(1);
        assert_eq!(places.len(), WAYS);
        let key = |number: u64| number << 40;
        for number in 1..=8 {
            assert!(matches!(places.find(key(number), 1000), Place::New(_)));
        }
        assert_eq!(places.find(key(9), 1000 + PROBATION - 1), Place::Full);
        let Place::Known(at) = places.find(key(3), 1010) else { panic!("it is there") };
        places.keep(at, 1010, 600);
        let later = 1000 + 2 * PROBATION;
        for number in 11..=17 {
            assert!(matches!(places.find(key(number), later), Place::New(_)), "{number}");
        }
        assert_eq!(places.find(key(18), later), Place::Full);
        assert_eq!(places.find(key(3), later), Place::Known(at));
    }

    #[test]
    fn a_place_that_is_wanted_goes_to_whom_has_come_before() {
        let mut places = Places::new(1);
        let key = |number: u64| number << 40 | number;
        for number in 1..=8 {
            assert!(matches!(places.find(key(number), 1000), Place::New(_)));
        }
        let free = 1000 + PROBATION;
        assert_eq!(places.find(key(20), free - 15), Place::Full);
        assert_eq!(places.find(key(21), free), Place::Full, "it came once");
        assert!(matches!(places.find(key(20), free), Place::New(_)));
        assert_eq!(places.find(key(22), free), Place::Full);
        let mut visitors = Visitors::default();
        let mut came = |key, now| visitors.came_before(key, now);
        assert_eq!(
            [came(1, 1000), came(2, 1000), came(1, 1001), came(1, 1001 + PROBATION)],
            [false, false, true, true]
        );
        assert!(!came(2, 1000 + 2 * PROBATION), "that is long ago");
    }

    #[test]
    fn a_clock_that_is_set_back_frees_places_and_forgets_them() {
        let mut places = Places::new(1);
        let year = 365 * 24 * 3600;
        assert!(matches!(places.find(1 << 40, 2 * year), Place::New(_)));
        assert!(matches!(places.find(1 << 40, year), Place::New(_)), "what it knew is of another time");
        assert!(matches!(places.find(1 << 40, year + 1), Place::Known(_)));
        assert!(matches!(places.find(1 << 40, year + 2 * FORGOTTEN), Place::New(_)));
    }
}

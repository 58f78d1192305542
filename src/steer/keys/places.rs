//! Where keys stand in the table, who may take whose place, and when.
//!
//! A flood of keys that never come back must not drive out those that do. So nobody is replaced before its time: a newcomer
//! has half a minute to come back, others a multiple of what they have shown. What finds no place is not learned.

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

impl Places {
    /// Places for so many keys at least.
    pub(super) fn new(slots: usize) -> Self {
        let sets = slots.div_ceil(WAYS).clamp(1, u32::MAX as usize / WAYS - 1);
        Self { sets: vec![Set { tags: [0; WAYS], until: [0; WAYS] }; sets].into() }
    }

    pub(super) fn len(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// The key's place; a newcomer gets the one that has been free for longest.
    #[inline]
    pub(super) fn find(&mut self, key: u64, now: u32) -> Place {
        // The lower half chooses the set, the upper half is the tag.
        let index = ((key & 0xffff_ffff) * self.sets.len() as u64 >> 32) as usize;
        let tag = (key >> 32) as u32 | 1;
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
        let Some((_, way)) = (0..WAYS).filter_map(free).max() else { return Place::Full };
        set.tags[way] = tag;
        set.until[way] = now.wrapping_add(PROBATION);
        Place::New(index * WAYS + way)
    }

    /// Keeps a place for so many seconds from now.
    #[inline]
    pub(super) fn keep(&mut self, at: usize, now: u32, patience: u32) {
        self.sets[at / WAYS].until[at % WAYS] = now.wrapping_add(patience.min(LONGEST));
    }
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
        for number in 11..=17 {
            assert!(matches!(places.find(key(number), 1000 + PROBATION), Place::New(_)), "{number}");
        }
        assert_eq!(places.find(key(18), 1000 + PROBATION), Place::Full);
        assert_eq!(places.find(key(3), 1000 + PROBATION), Place::Known(at));
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

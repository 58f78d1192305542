//! When the answers expire that the caches behind one address hold.
//!
//! Only few keys have several caches, so these lists stand in a pool beside the table. A key that finds the pool empty does
//! without, and takes what is typical of its region.

/// Answers of which the expiry is known, for each key.
const MOST: usize = 16;
/// The list of a key that has none.
pub(super) const NO_CACHES: u16 = u16::MAX;
/// Keys of the table for each list.
const KEYS_EACH: usize = 16;
/// Milliseconds after which a list that nobody used is given to another.
const ABANDONED: u32 = 10 * 60 * 1000;
/// Lists that are looked at for one that was abandoned, when there is no free one.
const LOOKS: usize = 4;

/// All lists, allocated once.
pub(super) struct CachePool {
    lists: Box<[Expiries]>,
    /// Lists that are nobody's: the first `free` of these.
    spare: Box<[u16]>,
    free: usize,
    /// Where the search for abandoned lists goes on.
    hand: usize,
}

/// When answers expire, in milliseconds, which wrap.
#[derive(Clone, Copy)]
struct Expiries {
    times: [u32; MOST],
    count: u8,
    /// Whose it is, by place in the table.
    owner: u32,
    used: u32,
}

impl CachePool {
    /// Lists for a table of so many keys.
    pub(super) fn new(keys: usize) -> Self {
        let count = (keys / KEYS_EACH).clamp(4, usize::from(NO_CACHES) - 1);
        let list = Expiries { times: [0; MOST], count: 0, owner: u32::MAX, used: 0 };
        Self { lists: vec![list; count].into(), spare: (0..count as u16).rev().collect(), free: count, hand: 0 }
    }

    /// A list for the key at a place of the table, with one answer that expires at `expiry`.
    pub(super) fn claim(&mut self, owner: u32, expiry: u32, now: u32) -> u16 {
        let number = if self.free > 0 {
            self.free -= 1;
            self.spare[self.free]
        } else {
            match self.abandoned(now) {
                Some(number) => number,
                None => return NO_CACHES,
            }
        };
        let list = &mut self.lists[usize::from(number)];
        *list = Expiries { times: [expiry; MOST], count: 1, owner, used: now };
        number
    }

    /// Gives a key's list back, if it still has one.
    pub(super) fn release(&mut self, number: u16, owner: u32) {
        if self.is_of(number, owner) {
            self.lists[usize::from(number)].owner = u32::MAX;
            self.spare[self.free] = number;
            self.free += 1;
        }
    }

    /// Whether the list is still the key's, and not given to another.
    #[inline]
    pub(super) fn is_of(&self, number: u16, owner: u32) -> bool {
        self.lists.get(usize::from(number)).is_some_and(|list| list.owner == owner)
    }

    /// Answers whose expiry is known.
    #[inline]
    pub(super) fn count(&self, number: u16) -> usize {
        self.lists.get(usize::from(number)).map_or(0, |list| usize::from(list.count))
    }

    /// Milliseconds until the first answer expires, negative if one has; none of no answers.
    #[inline]
    pub(super) fn soonest(&self, number: u16, now: u32) -> Option<i32> {
        let list = self.lists.get(usize::from(number))?;
        list.times[..usize::from(list.count)].iter().map(|time| time.wrapping_sub(now) as i32).min()
    }

    /// Whether answers may have been forgotten that nobody renewed.
    #[inline]
    pub(super) fn is_full(&self, number: u16) -> bool {
        self.count(number) == MOST
    }

    /// For how many milliseconds caches have been without an answer since `last`, all added up.
    #[inline]
    pub(super) fn exposure(&self, number: u16, last: u32, now: u32) -> u32 {
        let Some(list) = self.lists.get(usize::from(number)) else { return 0 };
        let since_last = now.wrapping_sub(last);
        let gone = |&time: &u32| (now.wrapping_sub(time) as i32).max(0) as u32;
        list.times[..usize::from(list.count)].iter().map(|time| gone(time).min(since_last)).sum()
    }

    /// Takes out the answer that expired last, and says for how many milliseconds it has been gone by `now`.
    #[inline]
    pub(super) fn take_expired(&mut self, number: u16, now: u32) -> Option<u32> {
        let list = self.lists.get_mut(usize::from(number))?;
        let age = |&time: &u32| u32::try_from(now.wrapping_sub(time) as i32).ok();
        let ages = list.times[..usize::from(list.count)].iter().map(age).enumerate();
        let (place, age) = ages.filter_map(|(place, age)| Some((place, age?))).min_by_key(|(_, age)| *age)?;
        list.remove(place);
        Some(age)
    }

    /// Notes an answer that expires at `expiry`, and forgets those that expired `kept` milliseconds ago and nobody renewed.
    #[inline]
    pub(super) fn push(&mut self, number: u16, expiry: u32, kept: i32, now: u32) {
        let Some(list) = self.lists.get_mut(usize::from(number)) else { return };
        list.used = now;
        let mut place = 0;
        while place < usize::from(list.count) {
            if now.wrapping_sub(list.times[place]) as i32 >= kept {
                list.remove(place);
            } else {
                place += 1;
            }
        }
        if usize::from(list.count) == MOST {
            // The one that expires first is the most likely to be gone.
            let oldest = (0..MOST).max_by_key(|&place| now.wrapping_sub(list.times[place]) as i32);
            list.remove(oldest.unwrap_or(0));
        }
        list.times[usize::from(list.count)] = expiry;
        list.count += 1;
    }

    /// A list that was not used for long; only asked for when none is spare. Its owner sees by the list's that it is gone.
    fn abandoned(&mut self, now: u32) -> Option<u16> {
        for _ in 0..LOOKS {
            self.hand = (self.hand + 1) % self.lists.len();
            if now.wrapping_sub(self.lists[self.hand].used) > ABANDONED {
                return Some(self.hand as u16);
            }
        }
        None
    }
}

impl Expiries {
    #[inline]
    fn remove(&mut self, place: usize) {
        self.count -= 1;
        self.times[place] = self.times[usize::from(self.count)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_that_expired_last_is_the_one_renewed() {
        let mut pool = CachePool::new(64);
        // Across the wrap of the clock.
        let base = u32::MAX - 5_000;
        let list = pool.claim(7, base, base);
        for expiry in [4_000, 9_000, 20_000u32] {
            pool.push(list, base.wrapping_add(expiry), 30_000, base);
        }
        assert_eq!(pool.count(list), 4);
        assert_eq!(pool.take_expired(list, base.wrapping_add(10_000)), Some(1_000));
        assert_eq!(pool.take_expired(list, base.wrapping_add(10_000)), Some(6_000));
        assert_eq!(pool.take_expired(list, base.wrapping_add(10_000)), Some(10_000));
        assert_eq!(pool.take_expired(list, base.wrapping_add(10_000)), None, "the last is still good");
    }

    #[test]
    fn old_answers_are_forgotten_and_lists_are_bounded() {
        let mut pool = CachePool::new(64);
        let list = pool.claim(7, 0, 0);
        for expiry in 1..40 {
            pool.push(list, 100_000 + expiry, 30_000, 0);
        }
        assert_eq!(pool.count(list), MOST);
        pool.push(list, 200_000, 30_000, 130_039);
        assert_eq!(pool.count(list), 1);
    }

    #[test]
    fn an_empty_pool_takes_lists_that_nobody_used_for_long() {
        let mut pool = CachePool::new(64);
        let lists: Vec<u16> = (0..4).map(|owner| pool.claim(owner, 0, 0)).collect();
        assert_eq!(pool.claim(4, 0, 1_000), NO_CACHES);
        pool.release(lists[2], 2);
        assert_eq!(pool.claim(5, 0, 1_000), lists[2]);
        pool.push(lists[0], 0, 30_000, ABANDONED);
        let taken = pool.claim(6, 0, ABANDONED + 1);
        assert!(taken == lists[1] || taken == lists[3]);
        let lost = u32::from(taken);
        assert!(!pool.is_of(taken, lost));
        pool.release(taken, lost);
        assert!(pool.is_of(taken, 6), "what was lost cannot be given back");
    }
}

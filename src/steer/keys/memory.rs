//! What is remembered of one key, and how its rate of viewers follows from when it asks.

use super::ahead::{Ahead, MOST};
use super::caches::{CachePool, NO_CACHES};
use super::places::PROBATION;
use super::{Estimate, KeyRule};
use crate::pool::Family;

/// Euler's constant: the mean of ln x is -γ - ln λ for times x between events that come at random at the rate λ.
const GAMMA: f32 = 0.577_215_7;
/// Bounds of viewers/s.
const RATES: [f32; 2] = [1e-4, 100.0];
/// The same as bounds of the mean of ln x.
const EXCESSES: [f32; 2] = [-GAMMA - 4.605_170_2, -GAMMA + 9.210_34];
/// Clocks of whole seconds let an answer expire up to one second early; what comes earlier is another cache, or a
/// resolver that fetches before the TTL is over.
pub(super) const CLOCK_SLACK: f32 = 1.05;
/// Milliseconds in which A and AAAA are asked together.
const PAIR: i32 = 1000;
/// A key may ask five times a second, ten times at once: what is beyond is no crowd behind resolvers with a TTL.
const PER_QUERY: u32 = 200;
const BURST: i32 = 9 * PER_QUERY as i32;
/// Part of early queries from which a key is taken for several caches.
const SHARED: f32 = 0.3;
/// The part at which the list of its caches is given back.
const NO_LONGER_SHARED: f32 = 0.05;
/// The part that is taken for none.
const FORGOTTEN: f32 = 1e-3;
/// A cache's part of a region's viewers that is assumed where gaps say nothing.
const TYPICAL_PART: f64 = 0.02;
/// The shortest time beyond a TTL that is believed, in seconds: less is jitter of the network.
const SHORTEST: f32 = 0.02;
/// Part of what is new that is believed, of keys with one cache and with several.
const FOLLOWED: f32 = 0.4;
const FOLLOWED_SHARED: f32 = 0.2;
/// The same of what is taken to be typical, and of the studied rule.
const FOLLOWED_TYPICAL: f32 = 0.1;
/// What takes the place of the seconds beyond the TTL where a clock of whole seconds hides them.
const SOON: f32 = 0.3;
/// Times the usual seconds after which an answer that nobody renewed here was renewed by another nameserver.
const STALE: f32 = 6.0;
/// Seconds for which an answer is waited for at least.
const LEAST_STALE: f32 = 2.0;
/// What takes the place of ln(seconds beyond the TTL) where they are known to be less than one: a viewer each 0.3 s.
const WITHIN_A_SECOND: f32 = -1.2;
/// Part of the TTL by which resolvers fetch early, and a little more: a tenth is usual.
const PREFETCHED: f32 = 0.15;
/// Early queries of a window from which a key may be one cache that fetches early by a rule.
const OFTEN_AHEAD: u8 = 2;
/// Seconds for which a cache without viewers is remembered, at most.
const LONGEST_IDLE: f32 = 600.0;
/// Queries after the first from which the mean time between them is known.
const KNOWN: u8 = 4;
/// Queries in which a resolver must show that it stretches TTLs, or fetches early.
const WINDOW: u8 = 4;
/// No TTL counts for longer, in seconds.
const LONGEST_TTL: u32 = 24 * 3600;

/// All of one key: a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Memory {
    /// When it asked last, of what counts; milliseconds that wrap, like `paid`.
    last: u32,
    /// Until when its queries are paid for (the generic cell rate algorithm).
    paid: u32,
    /// When it came first, in seconds.
    since: u32,
    /// TTL of the last answer, in seconds.
    ttl: f32,
    /// Mean of ln(seconds between the end of the TTL and the next query).
    excess: f32,
    /// Viewers/s that follow from it.
    viewers: f32,
    /// Part of its queries that came early.
    early: f32,
    /// Seconds for which it keeps answers whatever their TTL; 0 = it honours TTLs.
    stretched: f32,
    /// The shortest and longest time between queries in this window.
    shortest: f32,
    longest: f32,
    /// Mean time between queries, in seconds.
    rhythm: f32,
    /// Seconds in which its caches were without an answer, added up, since a query of one of them.
    exposed: f32,
    /// Mean of ln(seconds since the answer that expired last, of all caches).
    newest: f32,
    /// Its list in the pool.
    caches: u16,
    /// By which rules it renews answers early.
    ahead: Ahead,
    /// Those that explain all of this window, and how many early queries it has.
    may_be_ahead: Ahead,
    early_seen: u8,
    /// It may have been early in this window, and nobody can tell.
    is_unclear: bool,
    /// Queries in this window.
    seen: u8,
    /// Queries after the first, as far as it matters.
    returns: u8,
    family: Family,
    /// The other type was asked since.
    is_paired: bool,
}

const _: () = assert!(size_of::<Memory>() == 64);

/// What is thought before a key is known.
pub(super) struct Prior {
    pub(super) rule: KeyRule,
    /// Viewers/s of the region.
    pub(super) typical: f64,
    /// Mean of ln(seconds beyond the TTL) of keys that come back to the service.
    pub(super) start: f32,
}

/// Viewers/s from the mean of ln(seconds beyond the TTL).
#[inline]
pub(super) fn rate(excess: f32) -> f32 {
    (-GAMMA - excess).exp().clamp(RATES[0], RATES[1])
}

impl Memory {
    /// Of a key that asks for the first time.
    pub(super) fn new(start: f32, family: Family, now: u32, seconds: u32) -> Self {
        Self {
            last: now,
            paid: now.wrapping_add(PER_QUERY),
            since: seconds,
            ttl: 0.0,
            excess: start,
            viewers: rate(start),
            early: 0.0,
            stretched: 0.0,
            shortest: f32::INFINITY,
            longest: 0.0,
            rhythm: 0.0,
            exposed: 0.0,
            newest: start,
            caches: NO_CACHES,
            ahead: Ahead::NEVER,
            may_be_ahead: Ahead::ANY,
            early_seen: 0,
            is_unclear: false,
            seen: 0,
            returns: 0,
            family,
            is_paired: false,
        }
    }

    #[inline]
    pub(super) fn estimate(&self, counts: bool) -> Estimate {
        Estimate {
            viewers: f64::from(self.viewers),
            stretched: f64::from(self.stretched),
            rhythm: if self.returns < KNOWN { f64::INFINITY } else { f64::from(self.rhythm) },
            is_shared: self.is_shared(),
            ahead: self.ahead,
            counts,
        }
    }

    /// Whether a query brings viewers of its own: neither the other type of a pair nor beyond the key's rate of queries.
    ///
    /// Viewers with and without IPv6 share a cache: the other type may come long after the first, and is no sign of a
    /// second cache as long as it comes once.
    #[inline]
    pub(super) fn counts(&mut self, family: Family, now: u32) -> bool {
        let gap = now.wrapping_sub(self.last) as i32;
        if family != self.family && gap >= 0 {
            let is_within_ttl = (gap as f32) < 1000.0 * (self.ttl - CLOCK_SLACK);
            if gap <= PAIR || is_within_ttl && !self.is_paired {
                self.is_paired = true;
                return false;
            }
        }
        let ahead = self.paid.wrapping_sub(now) as i32;
        // A clock that was set back owes nothing.
        if ahead > BURST && ahead <= BURST + PER_QUERY as i32 {
            return false;
        }
        let from = if (0..=BURST).contains(&ahead) { self.paid } else { now };
        self.paid = from.wrapping_add(PER_QUERY);
        true
    }

    /// Seconds since it asked last; none if the clock was set back, when there is nothing to learn.
    #[inline]
    pub(super) fn gap(&self, now: u32) -> Option<f32> {
        let gap = now.wrapping_sub(self.last) as i32;
        (gap >= 0).then(|| gap as f32 / 1000.0)
    }

    /// Learns from the seconds since the last query, and says whether it came before the answer can have expired.
    #[inline]
    pub(super) fn learn(&mut self, gap: f32, now: u32, at: u32, prior: &Prior, caches: &mut CachePool) -> bool {
        self.returns = self.returns.saturating_add(1);
        self.rhythm += (gap - self.rhythm) / f32::from(self.returns.min(4));
        if !caches.is_of(self.caches, at) {
            self.caches = NO_CACHES;
        }
        self.watch_fetching_early(gap, now, prior.rule, caches);
        self.watch_stretching(gap, prior.rule);
        let is_early = gap < self.kept() - CLOCK_SLACK;
        self.early += 0.1 * (f32::from(u8::from(is_early)) - self.early);
        if self.early < FORGOTTEN {
            // It would sink to subnormal numbers, which cost 50 ns at each query.
            self.early = 0.0;
        }
        let is_shared = self.is_shared();
        if is_early || is_shared {
            self.match_cache(now, at, prior, caches);
        } else {
            self.follow_gap(gap, prior);
            if self.early < NO_LONGER_SHARED {
                caches.release(self.caches, at);
            } else {
                caches.take_expired(self.caches, now.wrapping_add((1000.0 * CLOCK_SLACK) as u32));
            }
            self.exposed = 0.0;
        }
        self.excess = self.excess.clamp(EXCESSES[0], EXCESSES[1]);
        self.viewers = rate(self.excess);
        is_early
    }

    /// One cache: what is beyond the TTL is the time to its next viewer.
    #[inline]
    fn follow_gap(&mut self, gap: f32, &Prior { start, rule, .. }: &Prior) {
        let beyond = gap - self.kept().max(self.stretched);
        let seen = match rule {
            // It keeps answers for less than was thought, and nothing is known of its viewers.
            KeyRule::Exposure if beyond < 0.0 && self.stretched > 0.0 => {
                self.stretched = gap;
                return;
            }
            // A clock of whole seconds: the next viewer came before the second was over, and no more is known. Among gaps that
            // are longer than the TTL, what is beyond it tells the rate rightly on such clocks too: arrivals at random have no memory.
            KeyRule::Exposure if beyond < 0.0 => self.excess.min(WITHIN_A_SECOND),
            _ => beyond.max(if self.stretched > 0.0 { 0.05 } else { SHORTEST }).ln(),
        };
        if self.returns == 1 {
            // It came back, so it may be as busy as others that do; how soon it came says how far to believe that.
            self.excess = seen.clamp(start.min(self.excess), start.max(self.excess));
        }
        // Rises fast and falls slowly: longer times may come of a query that another nameserver answered.
        self.excess += FOLLOWED * (seen - self.excess).clamp(-3.0, 1.5);
    }

    /// Several caches: what is between the end of an answer and the next query of the same cache tells the rate.
    ///
    /// Nobody says which cache a query is from, and it need not be known. While k caches are without an answer, queries come at
    /// k times the rate of one: so the times of all of them, added up from one query of this sort to the next, are
    /// spread as those of a single cache are.
    #[inline]
    fn match_cache(&mut self, now: u32, at: u32, &Prior { typical, rule, .. }: &Prior, caches: &mut CachePool) {
        if self.caches == NO_CACHES {
            self.caches = caches.claim(at, self.expiry(self.last), now);
        }
        self.exposed += caches.exposure(self.caches, self.last, now) as f32 / 1000.0;
        let known = caches.count(self.caches);
        let (seen, part) = match (caches.take_expired(self.caches, now), rule) {
            (Some(age), KeyRule::Exposure) => {
                let age = (age as f32 / 1000.0).max(SHORTEST);
                self.newest += FOLLOWED_SHARED * (age.ln() - self.newest);
                (std::mem::take(&mut self.exposed).max(SHORTEST).ln(), FOLLOWED_SHARED)
            }
            (Some(age), KeyRule::LastExpired) => ((age as f32 / 1000.0).max(SHORTEST).ln(), FOLLOWED_TYPICAL),
            (None, KeyRule::Exposure) if self.take_ahead(now, caches) && known > 1 => {
                let exposed = std::mem::take(&mut self.exposed);
                // The next viewer came before the second was over, and no more is known.
                (if exposed > SOON { exposed.ln() } else { self.excess.min(SOON.ln()) }, FOLLOWED_SHARED)
            }
            // One that fetched early, of several caches.
            _ if self.is_shared() && known > 1 => return,
            // Nothing is known but that it is busy: towards what is typical of a busy cache of the region. Learned from
            // gaps, a farm of eight caches would be taken for a hundred times its viewers.
            _ => (-((TYPICAL_PART * typical.clamp(0.05, 1e6).max(0.05)) as f32).ln() - GAMMA, FOLLOWED_TYPICAL),
        };
        self.excess += part * (seen - self.excess).clamp(-3.0, 3.0);
    }

    /// Takes out the answer that a query came for before it expired, of a resolver that fetches early or has a clock of whole
    /// seconds: it would else seem to be gone for long. Says whether such a clock explains it.
    #[inline]
    fn take_ahead(&self, now: u32, caches: &mut CachePool) -> bool {
        let until = |seconds: f32| now.wrapping_add((1000.0 * seconds) as u32);
        let is_clock = caches.take_expired(self.caches, until(CLOCK_SLACK)).is_some();
        if !is_clock {
            // Of one that is alone it is rather the next answer than another's; if the rule is known it is not that.
            let part = match self.ahead {
                Ahead::NEVER if caches.count(self.caches) == 1 => MOST,
                Ahead::NEVER => PREFETCHED,
                _ => 0.0,
            };
            caches.take_expired(self.caches, until(part * self.ttl));
        }
        is_clock
    }

    /// Notes a query that counts.
    #[inline]
    pub(super) fn asked(&mut self, family: Family, now: u32) {
        self.last = now;
        self.family = family;
        self.is_paired = false;
    }

    /// Notes the TTL that was given.
    #[inline]
    pub(super) fn answered(&mut self, ttl: u32, at: u32, now: u32, rule: KeyRule, caches: &mut CachePool) {
        self.ttl = ttl.min(LONGEST_TTL) as f32;
        if caches.is_of(self.caches, at) {
            // One that another nameserver renewed would seem to be gone for ever, and the caches to have few viewers.
            let kept = match rule {
                KeyRule::Exposure => (STALE * (self.newest + GAMMA).exp()).clamp(LEAST_STALE, LONGEST_IDLE),
                KeyRule::LastExpired => 2.0 * self.ttl.max(5.0),
            };
            caches.push(self.caches, self.expiry(now), (1000.0 * kept) as i32, now);
        }
    }

    /// Seconds for which its place is kept if it does not ask again: as long as it has been there, up to five minutes, so
    /// that no burst can buy a place; or eight times its rhythm.
    #[inline]
    pub(super) fn patience(&self, now: u32) -> u32 {
        let known = now.saturating_sub(self.since).min(300);
        known.max((8.0 * self.rhythm) as u32).max(PROBATION)
    }

    /// Several caches, or one that fetches early for no reason that is known.
    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        self.early > SHARED
    }

    pub(super) fn excess(&self) -> f32 {
        self.excess
    }

    /// Queries after the first; no more than 255 are told apart.
    pub(super) fn returns(&self) -> u8 {
        self.returns
    }

    /// Caches for which the list of expiries is kept.
    pub(super) fn caches(&self) -> u16 {
        self.caches
    }

    /// When the cache that got the answer of `from` will ask again, if a viewer asks it.
    fn expiry(&self, from: u32) -> u32 {
        from.wrapping_add((1000.0 * self.kept()) as u32)
    }

    /// Seconds from an answer to when the next viewer makes its cache ask again.
    #[inline]
    fn kept(&self) -> f32 {
        self.ttl - self.ahead.lead(self.ttl)
    }

    /// One that renews answers before they expire comes back a little early and never soon: by which rule, its earliest
    /// queries tell.
    #[inline]
    fn watch_fetching_early(&mut self, gap: f32, now: u32, rule: KeyRule, caches: &CachePool) {
        let lead = self.ahead.lead(self.ttl);
        let (early, is_clear) = match caches.soonest(self.caches, now) {
            None => (self.ttl - gap, self.ahead == Ahead::NEVER || lead > 0.0),
            // Of those that are due, or may have been forgotten, it may be any.
            Some(left) => (left as f32 / 1000.0 + lead, left >= 0 && !caches.is_full(self.caches)),
        };
        self.is_unclear |= !is_clear;
        if is_clear && early > CLOCK_SLACK {
            self.ahead = self.ahead.that_explain(early, self.ttl);
            self.may_be_ahead = self.may_be_ahead.that_explain(early, self.ttl);
            if !Ahead::may_be(early, self.ttl) {
                self.may_be_ahead = Ahead::NEVER;
            }
            self.early_seen += 1;
        }
        if self.seen + 1 == WINDOW {
            self.ahead = match (self.early_seen, rule) {
                (_, KeyRule::LastExpired) => Ahead::NEVER,
                (0, _) if !self.is_unclear => Ahead::NEVER,
                (OFTEN_AHEAD.., _) if self.ahead == Ahead::NEVER => self.may_be_ahead,
                _ => self.ahead,
            };
            (self.may_be_ahead, self.early_seen, self.is_unclear) = (Ahead::ANY, 0, false);
        }
    }

    /// A resolver that keeps answers longer than it should comes back at equal times, well above the TTL.
    #[inline]
    fn watch_stretching(&mut self, gap: f32, rule: KeyRule) {
        self.shortest = self.shortest.min(gap);
        self.longest = self.longest.max(gap);
        self.seen += 1;
        if self.seen == WINDOW {
            let is_stretched = self.shortest > 1.3 * self.ttl.max(10.0) && self.longest < 1.15 * self.shortest;
            self.stretched = match rule {
                _ if !is_stretched => 0.0,
                KeyRule::Exposure if self.stretched > 0.0 => self.stretched.min(self.shortest),
                _ => self.shortest,
            };
            (self.shortest, self.longest, self.seen) = (f32::INFINITY, 0.0, 0);
        }
        if gap < 0.9 * self.stretched {
            self.stretched = 0.0;
        }
    }
}

impl Default for Memory {
    /// Of nobody.
    fn default() -> Self {
        Self::new(0.0, Family::V4, 0, 0)
    }
}

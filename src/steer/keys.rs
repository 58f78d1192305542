//! The key table of one worker: how many viewers are behind each client key, learned from when it asks again.
//!
//! A resolver that honours a TTL comes back when the answer has expired and the next viewer asks it: the time beyond the TTL
//! tells the rate of viewers, without anybody's help. The table has a fixed size, no lock, and allocates only when it is made.

mod ahead;
mod caches;
mod gaps;
mod memory;
mod places;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use self::caches::CachePool;
use self::memory::{Memory, Prior, rate};
use self::places::{Place, Places};
use super::hash::{Key, mix};
use crate::pool::{Family, ServiceId};
use crate::prefetch::prefetch;

pub use ahead::Ahead;
pub use gaps::{GAP_BOUNDS, GapHistogram};

/// A query for a steered name, as the key table sees it.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    /// Who asks for what, from `KeyTable::key`.
    pub key: u64,
    /// The service that is asked for: new keys begin with the rate that is typical of it.
    pub service: ServiceId,
    /// The type asked for: the second one of a pair counts nothing.
    pub family: Family,
    /// Milliseconds since 1970.
    pub now: u64,
    /// Viewers/s of the client's region, an answer to a shared key counted as one viewer: an estimate that has nothing
    /// else to go by drifts to 2 % of it.
    pub typical: f64,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Viewers/s behind the key, or behind each of its caches if it is shared; 0.0001 to 100.
    pub viewers: f64,
    /// Seconds for which the resolver keeps answers beyond their TTL; 0 = it honours TTLs.
    pub stretched: f64,
    /// Mean seconds between its queries of late; infinite as long as it has hardly come back.
    pub rhythm: f64,
    /// Several caches answer behind the one address, or it fetches early in a way that no known resolver does.
    pub is_shared: bool,
    /// By which rule it renews answers before their TTL is over.
    pub ahead: Ahead,
    /// Whether the answer brings viewers: not if it is the other type of a pair, or beyond the key's own rate of queries.
    pub counts: bool,
}

/// Where a key stands in its table, until the next `observe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the TTL that is given must be noted"]
pub struct KeySlot(u32);

/// How a key's viewers follow from the times of its queries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyRule {
    /// From the time that all caches of the key were without an answer, added up; gaps that a clock of whole seconds cuts
    /// short, or the end of a stretched TTL, are no measure.
    #[default]
    Exposure,
    /// From the time since the answer that expired last, as in the study that came before. It takes 15 farms of eight
    /// caches for 2.3 times their 5 viewers/s, and a whole-second clock for seven times its one viewer/s (now 1.9 and 1.6).
    LastExpired,
}

/// What one worker knows of client keys.
pub struct KeyTable {
    /// Secret: nobody can aim at collisions.
    seed: u64,
    rule: KeyRule,
    places: Places,
    memories: Box<[Memory]>,
    caches: CachePool,
    /// By service: the median of ln(seconds beyond the TTL) of keys that came back a few times.
    starts: Box<[f32; SERVICES]>,
    gaps: GapHistogram,
}

/// Services that have a start of their own; what is beyond shares with others.
const SERVICES: usize = 1024;
/// Start of a key of which nothing is known: its next viewer comes 30 s after the TTL.
const UNKNOWN: f32 = 3.401_197_4;
/// How far one key moves the start of its service: 5 % in 2.5 keys, so that a thousand keys set it and one does nothing.
const START_STEP: f32 = 0.02;
/// Queries after the first one from which a key has a say in the start of its service.
const SAYS: u8 = 4;
/// No place in the table.
const NOWHERE: KeySlot = KeySlot(u32::MAX);

impl KeyTable {
    /// A table for about so many keys, with a secret seed.
    pub fn new(slots: usize, seed: u64) -> Self {
        let places = Places::new(slots);
        let memories = vec![Memory::default(); places.len()].into();
        let caches = CachePool::new(places.len());
        Self {
            seed,
            rule: KeyRule::default(),
            places,
            memories,
            caches,
            starts: Box::new([UNKNOWN; SERVICES]),
            gaps: GapHistogram::default(),
        }
    }

    /// The same table with another rule, to compare them.
    pub fn with_rule(self, rule: KeyRule) -> Self {
        Self { rule, ..self }
    }

    /// The key of who asks for a service: the exact source address, the client's network if it was told, and the service's
    /// name; for wildcard services the name that was asked for.
    ///
    /// The name is given by its hash, so that keys outlive a reload which numbers services anew.
    #[inline]
    pub fn key(&self, source: IpAddr, placed: &Key, name: u64) -> u64 {
        let source = match source.to_canonical() {
            IpAddr::V4(v4) => mix(self.seed ^ u64::from(v4.to_bits())),
            IpAddr::V6(v6) => mix(mix(!self.seed ^ (v6.to_bits() >> 64) as u64) ^ v6.to_bits() as u64),
        };
        let network = if placed.is_resolver { 0 } else { placed.hash(source) };
        mix(mix(source ^ network) ^ name)
    }

    /// Calls the line in which a key has its place into the cache.
    #[inline]
    pub fn fetch_place(&self, key: u64) {
        self.places.fetch(mix(self.seed ^ key));
    }

    /// Calls what is known of a key into the cache, if it has a place; its line should have been called before.
    #[inline]
    pub fn fetch_memory(&self, key: u64) {
        if let Some(at) = self.places.at(mix(self.seed ^ key)) {
            prefetch(&self.memories, at);
        }
    }

    /// Learns from a query, and says what is known of its key. `answered` follows, if an answer is sent.
    #[inline]
    pub fn observe(&mut self, asking: &Asking) -> (Estimate, KeySlot) {
        let key = mix(self.seed ^ asking.key);
        // Wraps after 49 days; places are forgotten long before.
        let now = asking.now as u32;
        let seconds = (asking.now / 1000) as u32;
        let start = &mut self.starts[usize::from(asking.service.0) % SERVICES];
        // One that never comes back must not be counted as a busy key: whatever is typical, a first answer is not thought
        // to bring more than that to an unknown key.
        let first = start.max(UNKNOWN);
        let at = match self.places.find(key, seconds) {
            Place::Known(at) => at,
            Place::New(at) => {
                let memory = &mut self.memories[at];
                self.caches.release(memory.caches(), at as u32);
                *memory = Memory::new(first, asking.family, now, seconds);
                return (memory.estimate(true), KeySlot(at as u32));
            }
            Place::Full => return (Estimate { viewers: f64::from(rate(first)), ..Estimate::default() }, NOWHERE),
        };
        let memory = &mut self.memories[at];
        if !memory.counts(asking.family, now) {
            return (memory.estimate(false), NOWHERE);
        }
        if let Some(gap) = memory.gap(now) {
            let prior = Prior { rule: self.rule, typical: asking.typical, start: *start };
            let is_early = memory.learn(gap, now, at as u32, &prior, &mut self.caches);
            if !is_early {
                self.gaps.add(gap);
                if memory.returns() <= SAYS && !memory.is_shared() {
                    *start += START_STEP * (memory.excess() - *start).signum();
                }
            }
        }
        memory.asked(asking.family, now);
        self.places.keep(at, seconds, memory.patience(seconds));
        (memory.estimate(true), KeySlot(at as u32))
    }

    /// Notes the TTL, in seconds, that the answer at `now` (milliseconds since 1970) was given.
    #[inline]
    pub fn answered(&mut self, slot: KeySlot, ttl: u32, now: u64) {
        let Some(memory) = self.memories.get_mut(slot.0 as usize) else { return };
        memory.answered(ttl, slot.0, now as u32, self.rule, &mut self.caches);
    }

    /// Whether a key has its place at `now` (milliseconds since 1970); nothing is learned from asking.
    pub fn remembers(&self, key: u64, now: u64) -> bool {
        self.places.has(mix(self.seed ^ key), (now / 1000) as u32)
    }

    /// How long resolvers really kept answers.
    pub fn gaps(&self) -> &GapHistogram {
        &self.gaps
    }
}

impl Estimate {
    /// Seconds for which an answer with a TTL sends viewers: who renews it early gets another for the rest of its time.
    #[inline]
    pub fn lifetime(&self, ttl: u32) -> f64 {
        let kept = ttl as f32 - self.ahead.lead(ttl as f32);
        f64::from(kept).max(self.stretched)
    }
}

impl Default for Estimate {
    /// Of a key of which nothing is known.
    fn default() -> Self {
        Self {
            viewers: f64::from(rate(UNKNOWN)),
            stretched: 0.0,
            rhythm: f64::INFINITY,
            is_shared: false,
            ahead: Ahead::NEVER,
            counts: true,
        }
    }
}

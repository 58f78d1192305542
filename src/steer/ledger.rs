//! The ledger: what one worker's steered answers promised, summed up until the next tick takes it.

use super::keys::Estimate;
use crate::geo::RegionId;
use crate::pool::{Family, NodeId, PoolId};

/// Seconds of the longest promise that is booked; longer ones are cut.
pub const MAX_PROMISE: u32 = 1023;
/// Entries of a ledger: regions × nodes × lifetimes that one worker answers with between two ticks. What does not fit is
/// left out, and counted.
const MAX_ENTRIES: usize = 1 << 15;
/// Places of the table, a power of two.
const PLACES: usize = MAX_ENTRIES * 2;
const FREE: u32 = u32::MAX;

/// What a steered answer promised; its worker books it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation<'s> {
    /// The client's region.
    pub region: RegionId,
    /// The pool that was steered.
    pub pool: PoolId,
    /// The type that was asked for.
    pub family: Family,
    /// The nodes that were named, in the order of the answer; none = viewers were sent elsewhere.
    pub nodes: &'s [NodeId],
    /// The answer's TTL in seconds.
    pub ttl: u32,
    /// What is known of the client's key.
    pub estimate: Estimate,
}

/// What the answers promised for one region, pool, family, node and lifetime.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// The clients' region.
    pub region: RegionId,
    /// The pool.
    pub pool: PoolId,
    /// The type that was asked for.
    pub family: Family,
    /// The node; none = elsewhere.
    pub node: Option<NodeId>,
    /// Seconds for which the answers live in caches.
    pub lifetime: u32,
    /// Answers; one that names m nodes counts 1/m for each.
    pub answers: f64,
    /// Viewers who asked, of answers that count.
    pub viewers: f64,
    /// Viewers per second that caches will send until the answers expire.
    pub rate: f64,
    /// Expected viewers of all these answers; those of keys that several caches share count one each.
    pub plain: f64,
}

/// Entries since the last tick. Never grows.
#[derive(Debug)]
pub struct Ledger {
    places: Box<[u32]>,
    keys: Vec<u64>,
    entries: Vec<Sums>,
    /// Answers that did not fit.
    lost: u64,
    /// The generation of the snapshot whose numbers the entries have.
    generation: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    answers: f64,
    viewers: f64,
    rate: f64,
    plain: f64,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self {
            places: vec![FREE; PLACES].into_boxed_slice(),
            keys: Vec::with_capacity(MAX_ENTRIES),
            entries: Vec::with_capacity(MAX_ENTRIES),
            lost: 0,
            generation: 0,
        }
    }

    /// Books an answer.
    #[inline]
    pub fn book(&mut self, observation: &Observation<'_>) {
        let Observation { region, pool, family, nodes, ttl, estimate } = *observation;
        let lifetime = estimate.lifetime(ttl);
        let part = 1.0 / nodes.len().max(1) as f64;
        let viewers = estimate.viewers;
        let sums = if estimate.counts {
            let plain = if estimate.is_shared { 1.0 } else { 1.0 + viewers * lifetime };
            Sums { answers: part, viewers: part, rate: viewers * part, plain: plain * part }
        } else {
            Sums { answers: part, ..Sums::default() }
        };
        let lifetime = (lifetime as u64).min(u64::from(MAX_PROMISE));
        let base = u64::from(region.0) << 48
            | u64::from(pool.0) << 32
            | u64::from(family == Family::V6) << 31
            | lifetime << 16;
        if nodes.is_empty() {
            self.add(base | u64::from(u16::MAX), sums);
        }
        for node in nodes {
            self.add(base | u64::from(node.0), sums);
        }
    }

    /// Whether nothing is booked.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.lost == 0
    }

    /// Answers that did not fit since it was cleared.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The generation whose numbers it has.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What is booked.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.keys.iter().zip(&self.entries).map(|(&key, sums)| Entry {
            region: RegionId((key >> 48) as u16),
            pool: PoolId((key >> 32) as u16),
            family: if key >> 31 & 1 == 1 { Family::V6 } else { Family::V4 },
            node: (key as u16 != u16::MAX).then_some(NodeId(key as u16)),
            lifetime: (key >> 16) as u32 & MAX_PROMISE,
            answers: sums.answers,
            viewers: sums.viewers,
            rate: sums.rate,
            plain: sums.plain,
        })
    }

    /// Begins anew, for answers from the snapshot of this generation.
    pub fn clear(&mut self, generation: u64) {
        for key in &self.keys {
            // Each key stands somewhere from its home on; clearing the runs clears all.
            let mut at = home(*key);
            while self.places[at] != FREE {
                self.places[at] = FREE;
                at = (at + 1) % PLACES;
            }
        }
        self.keys.clear();
        self.entries.clear();
        self.lost = 0;
        self.generation = generation;
    }

    #[inline]
    fn add(&mut self, key: u64, sums: Sums) {
        let mut at = home(key);
        loop {
            let place = self.places[at];
            if place == FREE {
                if self.keys.len() == MAX_ENTRIES {
                    self.lost += 1;
                    return;
                }
                self.places[at] = self.keys.len() as u32;
                self.keys.push(key);
                self.entries.push(sums);
                return;
            }
            if self.keys[place as usize] == key {
                let entry = &mut self.entries[place as usize];
                entry.answers += sums.answers;
                entry.viewers += sums.viewers;
                entry.rate += sums.rate;
                entry.plain += sums.plain;
                return;
            }
            at = (at + 1) % PLACES;
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a key is looked for first: the upper bits of a product with an odd constant (Knuth, vol. 3, §6.4).
#[inline]
fn home(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(nodes: &[NodeId], ttl: u32, viewers: f64) -> Observation<'_> {
        let estimate = Estimate { viewers, ..Estimate::default() };
        Observation { region: RegionId(3), pool: PoolId(1), family: Family::V6, nodes, ttl, estimate }
    }

    #[test]
    fn answers_alike_are_summed_up() {
        let mut ledger = Ledger::new();
        let nodes = [NodeId(5), NodeId(4095)];
        ledger.book(&observation(&nodes, 15, 2.0));
        ledger.book(&observation(&nodes, 15, 1.0));
        let uncounted = observation(&nodes[..1], 15, 7.0);
        ledger.book(&Observation { estimate: Estimate { counts: false, ..uncounted.estimate }, ..uncounted });
        let entries: Vec<Entry> = ledger.entries().collect();
        let (region, pool, family) = (RegionId(3), PoolId(1), Family::V6);
        let common = Entry {
            region,
            pool,
            family,
            node: None,
            lifetime: 15,
            answers: 1.0,
            viewers: 1.0,
            rate: 1.5,
            plain: 23.5,
        };
        assert_eq!(
            entries,
            [Entry { node: Some(NodeId(5)), answers: 2.0, ..common }, Entry { node: Some(NodeId(4095)), ..common },]
        );
        ledger.clear(7);
        assert!(ledger.is_empty() && ledger.generation() == 7);
        ledger.book(&observation(&[], 3, 0.0));
        assert_eq!(ledger.entries().next().and_then(|entry| entry.node), None);
    }

    #[test]
    fn a_shared_key_counts_one_viewer_each_time_where_the_estimate_is_not_believed() {
        let mut ledger = Ledger::new();
        let nodes = [NodeId(1)];
        let plain = observation(&nodes, 10, 3.0);
        ledger
            .book(&Observation { estimate: Estimate { is_shared: true, stretched: 20.0, ..plain.estimate }, ..plain });
        let entry = ledger.entries().next().unwrap();
        assert_eq!((entry.plain, entry.rate, entry.lifetime), (1.0, 3.0, 20));
    }

    #[test]
    fn a_full_ledger_loses_what_is_new_and_says_so() {
        let mut ledger = Ledger::new();
        for number in 0..MAX_ENTRIES as u32 + 10 {
            let nodes = [NodeId((number % 4000) as u16)];
            ledger.book(&Observation { region: RegionId((number / 4000) as u16), ..observation(&nodes, 5, 1.0) });
        }
        assert_eq!((ledger.lost(), ledger.entries().count()), (10, MAX_ENTRIES));
        ledger.clear(0);
        ledger.book(&observation(&[NodeId(0)], 5, 1.0));
        assert_eq!(ledger.entries().count(), 1, "every place was freed");
    }
}

//! The ledger: what one worker's steered answers promised, summed up until the next tick takes it.

use super::keys::Estimate;
use crate::geo::RegionId;
use crate::pool::{Family, MAX_ANSWERS, NodeId, PoolId};

/// Seconds of the longest promise that is booked; longer ones are cut.
pub const MAX_PROMISE: u32 = 1023;
/// Entries of a ledger: regions × nodes × lifetimes that one worker answers with between two ticks. What does not fit is
/// left out, and counted.
const MAX_ENTRIES: usize = 1 << 15;
/// Places of the table, a power of two.
const PLACES: usize = MAX_ENTRIES * 2;
const FREE: u32 = u32::MAX;
/// Answers that are alike are summed up here first, whatever number of nodes they name: of 50 nodes one sum is changed, not 50.
/// A power of two; more than a worker's answers are of at a time, and few enough for the nearer caches.
const ALIKE: usize = 256;

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
    /// By a hash of what they have in common; one that is in the way is spread over the entries of its nodes.
    alike: Box<[Alike]>,
    places: Box<[u32]>,
    keys: Vec<u64>,
    entries: Vec<Sums>,
    /// Answers that did not fit.
    lost: f64,
    /// The generation of the snapshot whose numbers the entries have.
    generation: u64,
}

/// Answers that named the same nodes to one region for one lifetime.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Alike {
    /// The key of their entries, without a node; never that of any, if there are none.
    base: u64,
    sums: Sums,
    count: u8,
    nodes: [NodeId; MAX_ANSWERS],
}

/// No key: the part for the node is set.
const NOBODYS: u64 = u64::MAX;
const NONE_ALIKE: Alike = Alike { base: NOBODYS, sums: Sums::ZERO, count: 0, nodes: [NodeId(0); MAX_ANSWERS] };

#[derive(Debug, Clone, Copy, Default, PartialEq)]
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
            alike: vec![NONE_ALIKE; ALIKE].into_boxed_slice(),
            places: vec![FREE; PLACES].into_boxed_slice(),
            keys: Vec::with_capacity(MAX_ENTRIES),
            entries: Vec::with_capacity(MAX_ENTRIES),
            lost: 0.0,
            generation: 0,
        }
    }

    /// Books an answer.
    #[inline]
    pub fn book(&mut self, observation: &Observation<'_>) {
        let Observation { region, pool, family, nodes, ttl, estimate } = *observation;
        let lifetime = estimate.lifetime(ttl);
        let viewers = estimate.viewers;
        let sums = if estimate.counts {
            let plain = if estimate.is_shared { 1.0 } else { 1.0 + viewers * lifetime };
            Sums { answers: 1.0, viewers: 1.0, rate: viewers, plain }
        } else {
            Sums { answers: 1.0, ..Sums::ZERO }
        };
        let lifetime = (lifetime as u64).min(u64::from(MAX_PROMISE));
        let base = u64::from(region.0) << 48
            | u64::from(pool.0) << 32
            | u64::from(family == Family::V6) << 31
            | lifetime << 16;
        // No answer names more.
        let nodes = &nodes[..nodes.len().min(MAX_ANSWERS)];
        let [first, last] = [nodes.first(), nodes.last()].map(|node| node.map_or(0, |node| u64::from(node.0)));
        let at = hash(base ^ first << 8 ^ last ^ (nodes.len() as u64) << 24) >> (64 - ALIKE.trailing_zeros());
        let alike = &mut self.alike[at as usize];
        if alike.base != base || alike.nodes() != nodes {
            let before = std::mem::replace(alike, Alike { base, sums: Sums::ZERO, count: nodes.len() as u8, ..*alike });
            alike.nodes[..nodes.len()].copy_from_slice(nodes);
            before.parts().for_each(|(key, sums)| self.add(key, sums));
        }
        self.alike[at as usize].sums.add(sums);
    }

    /// Whether nothing is booked.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.lost == 0.0 && self.alike.iter().all(|alike| alike.base == NOBODYS)
    }

    /// Answers that did not fit since it was cleared.
    pub fn lost(&self) -> u64 {
        self.lost.round() as u64
    }

    /// The generation whose numbers it has.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What is booked, to be added up: there may be several of one region, pool, family, node and lifetime.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let spread = self.keys.iter().copied().zip(self.entries.iter().copied());
        spread.chain(self.alike.iter().flat_map(Alike::parts)).map(|(key, sums)| Entry {
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
        self.alike.fill(NONE_ALIKE);
        self.keys.clear();
        self.entries.clear();
        self.lost = 0.0;
        self.generation = generation;
    }

    #[inline]
    fn add(&mut self, key: u64, sums: Sums) {
        let mut at = home(key);
        loop {
            let place = self.places[at];
            if place == FREE {
                if self.keys.len() == MAX_ENTRIES {
                    self.lost += sums.answers;
                    return;
                }
                self.places[at] = self.keys.len() as u32;
                self.keys.push(key);
                self.entries.push(sums);
                return;
            }
            if self.keys[place as usize] == key {
                self.entries[place as usize].add(sums);
                return;
            }
            at = (at + 1) % PLACES;
        }
    }
}

impl Alike {
    #[inline]
    fn nodes(&self) -> &[NodeId] {
        &self.nodes[..usize::from(self.count)]
    }

    /// The keys of its entries, and what each node has of the sums.
    fn parts(&self) -> impl Iterator<Item = (u64, Sums)> {
        let of_nodes = self.nodes().iter().map(|node| u64::from(node.0));
        let elsewhere = (self.count == 0 && self.base != NOBODYS).then_some(u64::from(u16::MAX));
        let part = self.sums.part(1.0 / f64::from(self.count.max(1)));
        of_nodes.chain(elsewhere).map(move |node| (self.base | node, part))
    }
}

impl Sums {
    const ZERO: Self = Self { answers: 0.0, viewers: 0.0, rate: 0.0, plain: 0.0 };

    #[inline]
    fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.viewers += other.viewers;
        self.rate += other.rate;
        self.plain += other.plain;
    }

    fn part(self, part: f64) -> Self {
        let Self { answers, viewers, rate, plain } = self;
        Self { answers: answers * part, viewers: viewers * part, rate: rate * part, plain: plain * part }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a key is looked for first.
#[inline]
fn home(key: u64) -> usize {
    (hash(key) >> (64 - PLACES.trailing_zeros())) as usize
}

/// A hash whose upper bits count: a product with an odd constant (Knuth, vol. 3, §6.4).
#[inline]
fn hash(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(nodes: &[NodeId], ttl: u32, viewers: f64) -> Observation<'_> {
        let estimate = Estimate { viewers, ..Estimate::default() };
        Observation { region: RegionId(3), pool: PoolId(1), family: Family::V6, nodes, ttl, estimate }
    }

    /// Entries of the same node in one, by node.
    fn summed(ledger: &Ledger) -> Vec<Entry> {
        let mut summed = Vec::<Entry>::new();
        for entry in ledger.entries() {
            match summed.iter_mut().find(|known| known.node == entry.node) {
                Some(known) => {
                    known.answers += entry.answers;
                    known.viewers += entry.viewers;
                    known.rate += entry.rate;
                    known.plain += entry.plain;
                }
                None => summed.push(entry),
            }
        }
        summed.sort_by_key(|entry| entry.node.map(|node| node.0));
        summed
    }

    #[test]
    fn answers_alike_are_summed_up() {
        let mut ledger = Ledger::new();
        let nodes = [NodeId(5), NodeId(4095)];
        ledger.book(&observation(&nodes, 15, 2.0));
        ledger.book(&observation(&nodes, 15, 1.0));
        let uncounted = observation(&nodes[..1], 15, 7.0);
        ledger.book(&Observation { estimate: Estimate { counts: false, ..uncounted.estimate }, ..uncounted });
        let entries = summed(&ledger);
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
    fn no_answer_is_lost_or_counted_twice_however_many_kinds_there_are() {
        let mut ledger = Ledger::new();
        let mut expected = vec![0.0; 1000];
        for number in 0..20_000_u32 {
            // Sets of one to 64 nodes, more kinds than are summed up together, each time and again.
            let count = 1 + number % 64;
            let first = number * 7 % 900;
            let nodes: Vec<NodeId> = (first..first + count).map(|node| NodeId(node as u16)).collect();
            ledger.book(&observation(&nodes, 5, 1.0));
            nodes.iter().for_each(|node| expected[usize::from(node.0)] += 1.0 / f64::from(count));
        }
        let entries = summed(&ledger);
        let total: f64 = entries.iter().map(|entry| entry.answers).sum();
        assert!((total - 20_000.0).abs() < 1e-6, "{total}");
        for entry in entries {
            let node = usize::from(entry.node.expect("a node").0);
            assert!((entry.answers - expected[node]).abs() < 1e-6, "node {node}");
        }
    }

    #[test]
    fn a_full_ledger_loses_what_is_new_and_says_so() {
        let mut ledger = Ledger::new();
        let kinds = MAX_ENTRIES as u32 + 1000;
        for number in 0..kinds {
            let nodes = [NodeId((number % 4000) as u16)];
            let observation = observation(&nodes, 5, 1.0);
            for _ in 0..3 {
                ledger.book(&Observation { region: RegionId((number / 4000) as u16), ..observation });
            }
        }
        assert!(ledger.lost() > 0, "there is no room for all");
        let booked: f64 = ledger.entries().map(|entry| entry.answers).sum();
        assert_eq!(ledger.lost() + booked as u64, 3 * u64::from(kinds));
        ledger.clear(0);
        ledger.book(&observation(&[NodeId(0)], 5, 1.0));
        assert_eq!(ledger.entries().count(), 1, "every place was freed");
    }
}

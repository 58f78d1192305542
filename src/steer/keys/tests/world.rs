//! Resolvers with caches and viewers, for the tests of key tables: deterministic, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::pool::{Family, ServiceId};
use crate::steer::hash::{mix, unit};
use crate::steer::keys::{Asking, Estimate, KeyRule, KeyTable};

/// Where the tests' time begins, in milliseconds since 1970.
pub(super) const BEGIN: u64 = 1_800_000_000_000;

/// Seconds for which every answer may be kept.
const TTL: u32 = 15;

/// A sequence of random numbers.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    pub(super) fn unit(&mut self) -> f64 {
        unit(self.next())
    }

    /// Seconds until the next of events that come at random at a rate.
    fn until_next(&mut self, rate: f64) -> f64 {
        -self.unit().ln() / rate
    }
}

/// What is behind one address.
#[derive(Clone, Copy)]
pub(super) struct Resolver {
    /// Viewers/s, spread evenly over the caches.
    pub(super) viewers: f64,
    pub(super) caches: usize,
    /// Seconds for which it keeps answers at least.
    pub(super) stretched: f64,
    /// Its clock knows whole seconds only: an answer expires up to one second early.
    pub(super) is_coarse: bool,
    /// It fetches when a viewer comes in so many last seconds of a TTL.
    pub(super) ahead: fn(u32) -> u32,
    /// It asks A and AAAA together, some milliseconds apart.
    pub(super) is_paired: bool,
}

impl Resolver {
    pub(super) fn honest(viewers: f64) -> Self {
        Self { viewers, caches: 1, stretched: 0.0, is_coarse: false, ahead: |_| 0, is_paired: false }
    }

    pub(super) fn farm(viewers: f64, caches: usize) -> Self {
        Self { caches, ..Self::honest(viewers) }
    }

    /// Seconds from an answer with a TTL to the next query of the same cache.
    fn comes_back(&self, ttl: u32, dice: &mut Dice) -> f64 {
        let kept = f64::from(ttl).max(self.stretched);
        let kept = kept - f64::from((self.ahead)(ttl));
        let kept = if self.is_coarse { kept - dice.unit() } else { kept };
        kept.max(0.0) + dice.until_next(self.viewers / self.caches as f64)
    }
}

/// A region whose resolvers ask workers, and which counts viewers as the controller does.
pub(super) struct World {
    pub(super) resolvers: Vec<Resolver>,
    pub(super) workers: Vec<KeyTable>,
    /// What is typical of the region, if it is not to be what is counted.
    pub(super) typical: Option<f64>,
    /// The TTL of a resolver's answers, by how many it has had.
    pub(super) ttl: fn(usize) -> u32,
    /// The keys of the resolvers.
    pub(super) keys: Vec<u64>,
    /// Milliseconds since 1970.
    pub(super) now: u64,
    /// Viewers/s of the region, and with shared keys counted as one viewer.
    pub(super) forecast: [f64; 2],
    /// What was known of each resolver at each of its queries that counted.
    pub(super) seen: Vec<Vec<Estimate>>,
    /// Forecast at each second.
    pub(super) forecasts: Vec<f64>,
    dice: Vec<Dice>,
    counted: [f64; 2],
    queue: BinaryHeap<Reverse<(u64, usize)>>,
}

impl World {
    pub(super) fn new(resolvers: Vec<Resolver>, workers: usize, seed: u64) -> Self {
        // Each has its own, so that nothing it does depends on the order in which others come.
        let mut dice: Vec<Dice> = (0..resolvers.len() as u64).map(|index| Dice(mix(seed << 32 | index))).collect();
        let begin = |((index, resolver), dice): ((usize, &Resolver), &mut Dice)| {
            let starts = (0..resolver.caches).map(|_| BEGIN + (15_000.0 * dice.unit()) as u64);
            starts.map(|at| Reverse((at, index))).collect::<Vec<_>>()
        };
        let queue = resolvers.iter().enumerate().zip(&mut dice).flat_map(begin).collect();
        Self {
            seen: vec![Vec::new(); resolvers.len()],
            workers: (0..workers).map(|number| KeyTable::new(4096, seed ^ number as u64)).collect(),
            typical: None,
            ttl: |_| TTL,
            keys: (0..resolvers.len() as u64).map(mix).collect(),
            now: BEGIN,
            forecast: [0.0; 2],
            forecasts: Vec::new(),
            counted: [0.0; 2],
            resolvers,
            dice,
            queue,
        }
    }

    pub(super) fn with_rule(mut self, rule: KeyRule) -> Self {
        self.workers = self.workers.into_iter().map(|table| table.with_rule(rule)).collect();
        self
    }

    /// Lets so many seconds pass.
    pub(super) fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let end = self.now + 1000;
            while let Some(&Reverse((at, index))) = self.queue.peek()
                && at < end
            {
                self.queue.pop();
                let back = self.ask(index, at);
                self.queue.push(Reverse((at + (1000.0 * back).ceil() as u64, index)));
            }
            self.now = end;
            for (forecast, counted) in self.forecast.iter_mut().zip(&mut self.counted) {
                *forecast += (std::mem::take(counted) - *forecast) / 8.0;
            }
            self.forecasts.push(self.forecast[0]);
        }
    }

    /// One query of a resolver, or a pair; says when the cache comes back.
    fn ask(&mut self, index: usize, at: u64) -> f64 {
        let resolver = self.resolvers[index];
        let worker = index % self.workers.len();
        let typical = self.typical.unwrap_or(self.forecast[1]);
        let dice = &mut self.dice[index];
        let asking = Asking { key: self.keys[index], service: ServiceId(0), family: Family::V4, now: at, typical };
        let first = if resolver.is_paired && dice.unit() < 0.5 { Family::V6 } else { Family::V4 };
        let (estimate, slot) = self.workers[worker].observe(&Asking { family: first, ..asking });
        let ttl = (self.ttl)(self.seen[index].len());
        self.workers[worker].answered(slot, ttl, at);
        self.count(index, estimate, ttl);
        if resolver.is_paired {
            let family = if first == Family::V4 { Family::V6 } else { Family::V4 };
            let (estimate, slot) = self.workers[worker].observe(&Asking { family, now: at + 20, ..asking });
            self.workers[worker].answered(slot, ttl, at + 20);
            self.count(index, estimate, ttl);
        }
        resolver.comes_back(ttl, &mut self.dice[index])
    }

    fn count(&mut self, index: usize, estimate: Estimate, ttl: u32) {
        if !estimate.counts {
            return;
        }
        let brought = 1.0 + estimate.viewers * estimate.lifetime(ttl);
        self.counted[0] += brought;
        self.counted[1] += if estimate.is_shared { 1.0 } else { brought };
        self.seen[index].push(estimate);
    }

    /// Mean of the forecast over the last so many seconds.
    pub(super) fn mean_forecast(&self, seconds: usize) -> f64 {
        let last = &self.forecasts[self.forecasts.len() - seconds..];
        last.iter().sum::<f64>() / last.len() as f64
    }

    /// Geometric mean of viewers/s over the last so many queries of a resolver.
    pub(super) fn viewers(&self, index: usize, queries: usize) -> f64 {
        let seen = &self.seen[index];
        let last = &seen[seen.len().saturating_sub(queries)..];
        (last.iter().map(|estimate| estimate.viewers.ln()).sum::<f64>() / last.len() as f64).exp()
    }

    pub(super) fn last(&self, index: usize) -> Estimate {
        *self.seen[index].last().expect("it asked")
    }
}

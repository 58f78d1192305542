//! Resolvers: they keep answers as long as they may, or longer, and ask a nameserver when they have none.

use std::net::Ipv4Addr;

use arrayvec::ArrayVec;

use super::dice::Dice;
use super::policy::{MAX_ANSWERS, Policy, Query};
use super::workload::Workload;
use super::world::World;

/// Unix milliseconds at which the warm-up of every run begins.
pub const START_MS: u64 = 1_750_000_000_000;

/// All resolvers of all regions.
#[derive(Debug)]
pub(super) struct ResolverPark {
    resolvers: Vec<Resolver>,
    nameservers: usize,
    prefers: f64,
    expires_early: f64,
    prefetch_at: f64,
    dice: Dice,
}

/// Queries so far, and how often an answer named another first node than the resolver's last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct QueryCounts {
    /// Queries.
    pub queries: u64,
    /// Answers whose resolver had one before.
    pub repeated: u64,
    /// Those of them whose first node was another.
    pub changed: u64,
}

/// A resolver.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Region in which it seems to be.
    pub region: usize,
    /// Its address.
    pub address: Ipv4Addr,
    /// Share of its region's viewers.
    pub size: f64,
    /// The nameserver that it asks most.
    pub preferred: usize,
    least_ttl: f64,
    rotates: bool,
    prefetches: bool,
    caches: Vec<Cache>,
    last: Option<u16>,
}

#[derive(Debug, Clone, Default)]
struct Cache {
    nodes: ArrayVec<u16, MAX_ANSWERS>,
    since: f64,
    until: f64,
}

impl ResolverPark {
    /// Each resolver.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Resolver> {
        self.resolvers.iter()
    }

    /// The resolvers of a seed.
    pub(super) fn new(world: &World, workload: &Workload, seed: u64) -> Self {
        let mut dice = Dice::new(seed, 2);
        let regions = world.regions.len();
        let rules = &world.resolvers;
        let mut resolvers = Vec::with_capacity(regions * rules.per_region);
        for home in 0..regions {
            for rank in 0..rules.per_region {
                let size = workload.size(rank);
                // Every draw is made for every resolver, so that one rule's change does not shift the others.
                let stretch = dice.unit();
                let (lost, elsewhere) = (dice.unit(), dice.below(regions));
                let (rotates, prefetches) = (dice.happens(rules.rotates), dice.happens(rules.prefetch.share));
                let preferred = dice.below(world.nameservers);
                let number = (home * rules.per_region + rank) as u32;
                let [_, high, middle, low] = number.to_be_bytes();
                resolvers.push(Resolver {
                    region: if lost < rules.mislocated && rank > 0 { elsewhere } else { home },
                    address: Ipv4Addr::new(11 + high, middle, low, 53),
                    size,
                    least_ttl: least_ttl(world, stretch),
                    rotates,
                    prefetches,
                    preferred,
                    caches: vec![Cache::default(); if size > rules.caches.above { rules.caches.count } else { 1 }],
                    last: None,
                });
            }
        }
        Self {
            resolvers,
            nameservers: world.nameservers,
            prefers: rules.prefers,
            expires_early: rules.expires_early,
            prefetch_at: rules.prefetch.at,
            dice,
        }
    }

    /// The resolver of this number.
    pub(super) fn resolver(&self, number: usize) -> &Resolver {
        &self.resolvers[number]
    }

    /// The numbers of the largest, given the arrivals of each region.
    pub(super) fn largest(&self, count: usize, world: &World) -> Vec<usize> {
        let per_region = world.resolvers.per_region;
        let mut order: Vec<usize> = (0..self.resolvers.len()).collect();
        let viewers = |number: usize| self.resolvers[number].size * world.regions[number / per_region].viewers;
        order.sort_by(|a, b| viewers(*b).total_cmp(&viewers(*a)));
        order.truncate(count);
        order
    }

    /// The addresses that a viewer of this resolver gets, in the viewer's order. `rate`: arrivals a second of the region.
    pub(super) fn resolve(
        &mut self,
        number: usize,
        at: f64,
        rate: f64,
        policy: &mut dyn Policy,
        counts: &mut QueryCounts,
    ) -> ArrayVec<u16, MAX_ANSWERS> {
        let caches = self.resolvers[number].caches.len();
        let cache = if caches > 1 { self.dice.below(caches) } else { 0 };
        let Cache { mut nodes, since, until } = self.resolvers[number].caches[cache].clone();
        if at >= until {
            nodes = self.ask(number, cache, at, rate, policy, counts);
        } else if self.resolvers[number].prefetches && at - since >= self.prefetch_at * (until - since) {
            // The viewer who causes it gets the old answer still.
            self.ask(number, cache, at, rate, policy, counts);
        }
        if self.resolvers[number].rotates && nodes.len() > 1 {
            let by = self.dice.below(nodes.len());
            nodes.rotate_left(by);
        }
        nodes
    }

    fn ask(
        &mut self,
        number: usize,
        cache: usize,
        at: f64,
        rate: f64,
        policy: &mut dyn Policy,
        counts: &mut QueryCounts,
    ) -> ArrayVec<u16, MAX_ANSWERS> {
        let dice = &mut self.dice;
        let any = dice.below(self.nameservers);
        let resolver = &mut self.resolvers[number];
        let query = Query {
            nameserver: if dice.happens(self.prefers) { resolver.preferred } else { any },
            at_ms: START_MS + (at * 1000.0) as u64,
            source: resolver.address,
            subnet: None,
            region: resolver.region,
            hidden_rate: rate * resolver.size / resolver.caches.len() as f64,
        };
        let answer = policy.answer(&query, dice);
        let first = answer.nodes.first().copied();
        counts.queries += 1;
        counts.repeated += u64::from(resolver.last.is_some());
        counts.changed += u64::from(resolver.last.is_some() && resolver.last != first);
        resolver.last = first;
        let early = if self.expires_early > 0.0 { dice.unit() * self.expires_early } else { 0.0 };
        let kept = (f64::from(answer.ttl) - early).max(0.0).max(resolver.least_ttl);
        resolver.caches[cache] = Cache { nodes: answer.nodes.clone(), since: at, until: at + kept };
        answer.nodes
    }
}

/// The least seconds that the resolver with this number in [0, 1) keeps answers.
fn least_ttl(world: &World, mut number: f64) -> f64 {
    for stretch in &world.resolvers.stretch {
        if number < stretch.share {
            return stretch.seconds;
        }
        number -= stretch.share;
    }
    0.0
}

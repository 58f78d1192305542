//! One run: one policy, one scenario, one seed, second by second.

use std::net::Ipv4Addr;

use arrayvec::ArrayVec;

use super::details::Details;
use super::dice::Dice;
use super::meter::{Figures, Meter};
use super::monitor::Monitor;
use super::plant::{Plant, Viewer};
use super::policy::{ELSEWHERE, MAX_ANSWERS, Policy, Query};
use super::resolvers::{ResolverPark, START_MS};
use super::scenario::{Scenario, Sources, What};
use super::workload::{Arrival, Workload};
use super::world::World;
use crate::steer::mix;

/// How many resolvers an attacker uses or pretends to be.
const ATTACKING_RESOLVERS: usize = 100;

/// How many of the largest resolvers ought to be remembered whatever an attacker does.
const BUSIEST: usize = 1000;

/// Leading bits of the addresses that an attacker makes up for one region: a one, and four of the region's number.
const FORGED_BITS: u8 = 5;

/// What a run leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What was measured.
    pub figures: Figures,
    /// What was measured beside them.
    pub details: Details,
    /// Pressures of all nodes, every so many seconds from the end of the warm-up; empty unless asked for.
    pub pressures: Vec<Vec<f32>>,
    /// A digest of all arrivals: equal for all policies.
    pub workload: u64,
}

/// Runs a policy through a scenario. `picture_every`: seconds between the pressures kept, 0 for none.
pub fn run(world: &World, scenario: &Scenario, seed: u64, policy: &mut dyn Policy, picture_every: u32) -> Outcome {
    let mut run = Run::new(world, scenario, seed);
    run.locate(policy);
    let mut pressures = Vec::new();
    for second in 0..world.warm_up + scenario.length {
        if second == world.warm_up {
            // What the warm-up did is not to be judged.
            run.meter = Meter::default();
        }
        run.step(second, policy);
        let Some(measured) = second.checked_sub(world.warm_up) else { continue };
        run.meter.second(&run.plant, policy);
        if picture_every > 0 && measured % picture_every == 0 {
            pressures.push(run.plant.nodes.iter().map(|node| node.pressure() as f32).collect());
        }
    }
    let details = std::mem::take(&mut run.meter.notes).details(&run.plant.fleet);
    Outcome { figures: run.meter.figures(), details, pressures, workload: run.digest }
}

struct Run<'a> {
    world: &'a World,
    scenario: &'a Scenario,
    plant: Plant,
    workload: Workload,
    resolvers: ResolverPark,
    monitor: Monitor,
    meter: Meter,
    /// Viewers whose sessions end in each second.
    departures: Vec<Vec<u32>>,
    /// Viewers who ask again in each second, and when in it.
    returns: Vec<Vec<(f64, u32)>>,
    arrivals: Vec<Arrival>,
    /// The largest resolvers.
    attacking: Vec<usize>,
    /// What is left of the gap to the next viewer who gives up.
    patience: f64,
    digest: u64,
    dice: Dice,
}

impl<'a> Run<'a> {
    fn new(world: &'a World, scenario: &'a Scenario, seed: u64) -> Self {
        let mut dice = Dice::new(seed, 4);
        let workload = Workload::new(world, scenario, seed);
        let resolvers = ResolverPark::new(world, &workload, seed);
        let plant = Plant::new(world, scenario, &mut dice);
        let seconds = (world.warm_up + scenario.length) as usize;
        Self {
            world,
            scenario,
            monitor: Monitor::new(world, plant.nodes.len(), seed),
            attacking: resolvers.largest(ATTACKING_RESOLVERS, world),
            plant,
            workload,
            resolvers,
            meter: Meter::default(),
            departures: vec![Vec::new(); seconds],
            returns: vec![Vec::new(); seconds],
            arrivals: Vec::new(),
            patience: dice.exponential(),
            digest: 0,
            dice,
        }
    }

    /// Tells where all clients seem to be: those of resolvers, and of the networks that an attacker makes up.
    fn locate(&self, policy: &mut dyn Policy) {
        for resolver in self.resolvers.iter() {
            policy.located(resolver.address, 24, resolver.region);
        }
        for region in 0..self.world.regions.len() {
            policy.located(forged(region, 0), FORGED_BITS, region);
        }
    }

    fn step(&mut self, second: u32, policy: &mut dyn Policy) {
        self.befall(second, policy);
        self.depart(second);
        self.monitor.second(second, &self.plant, policy);
        policy.tick(START_MS + u64::from(second) * 1000);
        self.give_up(second);
        self.attack(second, policy);
        self.come(second, policy);
        self.recall(second, policy);
        self.plant.count();
    }

    /// What the scenario has for nodes and sessions in this second.
    fn befall(&mut self, second: u32, policy: &mut dyn Policy) {
        let Some(now) = second.checked_sub(self.world.warm_up) else { return };
        for event in &self.scenario.events {
            for span in event.spans() {
                if now == span.start || now == span.end {
                    for node in &event.nodes {
                        self.befall_node(second, *node, event.what, now == span.start, event.factor, policy);
                    }
                }
            }
        }
        for ending in self.scenario.endings.iter().filter(|ending| ending.at == now) {
            self.meter.notes.ended();
            for node in 0..self.plant.nodes.len() {
                for viewer in self.plant.viewers_of(node) {
                    if self.dice.happens(ending.share) {
                        self.plant.end(viewer, second);
                    }
                }
            }
        }
    }

    fn befall_node(
        &mut self,
        second: u32,
        node: usize,
        what: What,
        begins: bool,
        factor: f64,
        policy: &mut dyn Policy,
    ) {
        let state = &mut self.plant.nodes[node];
        match what {
            What::Dead => {
                state.is_dead = begins;
                if begins {
                    let [least, most] = self.world.viewers.returns_within;
                    for viewer in self.plant.viewers_of(node) {
                        self.plant.detach(viewer);
                        let at = f64::from(second) + self.dice.between(least, most);
                        self.return_at(at, viewer);
                    }
                }
            }
            What::Silent => state.is_silent = begins,
            What::Lies => state.reports = if begins { factor } else { 1.0 },
            What::Drained => {
                state.is_drained = begins;
                if begins {
                    self.meter.drained += state.population() as u64;
                }
                policy.drained(node, START_MS + u64::from(second) * 1000, begins);
            }
        }
    }

    fn depart(&mut self, second: u32) {
        for viewer in std::mem::take(&mut self.departures[second as usize]) {
            // It may have ended before, with its channel.
            if self.plant.viewer(viewer).departs == second {
                self.plant.detach(viewer);
            }
        }
    }

    /// Viewers of nodes that have less than is wanted leave, and ask again.
    fn give_up(&mut self, second: u32) {
        for node in 0..self.plant.nodes.len() {
            let state = &self.plant.nodes[node];
            let excess = state.demand / state.capacity() - 1.0;
            let rules = &self.world.machines.give_up;
            let mut expected = (rules.slope * excess).min(rules.most) * state.population() as f64;
            while self.patience <= expected && self.plant.nodes[node].population() > 0 {
                expected -= self.patience;
                self.patience = self.dice.exponential();
                let viewer = self.plant.any_viewer_of(node, &mut self.dice);
                self.plant.detach(viewer);
                let at = f64::from(second) + self.dice.unit();
                self.return_at(at, viewer);
            }
            self.patience -= expected.max(0.0);
        }
    }

    fn return_at(&mut self, at: f64, viewer: u32) {
        if let Some(second) = self.returns.get_mut(at as usize) {
            second.push((at, viewer));
        }
    }

    /// Hostile queries of this second, before those of viewers.
    fn attack(&mut self, second: u32, policy: &mut dyn Policy) {
        let now = f64::from(second) - f64::from(self.world.warm_up);
        for attack in &self.scenario.attacks {
            let queries = attack.rate(now) as u64;
            for query in 0..queries {
                let resolver = self.resolvers.resolver(self.attacking[self.dice.below(self.attacking.len())]);
                let seen = self.dice.below(self.world.regions.len());
                let random = forged(seen, self.dice.bits() as u32);
                let (source, subnet) = match attack.sources {
                    Sources::Subnets => (resolver.address, Some(random)),
                    Sources::Spoofed => (random, None),
                    Sources::Resolvers => (resolver.address, None),
                };
                let region = match attack.sources {
                    Sources::Resolvers => resolver.region,
                    Sources::Subnets | Sources::Spoofed => seen,
                };
                let query = Query {
                    nameserver: self.dice.below(self.world.nameservers),
                    at_ms: START_MS + u64::from(second) * 1000 + query * 1000 / queries,
                    source,
                    subnet: subnet.map(|subnet| Ipv4Addr::from_bits(subnet.to_bits() & !0xff)),
                    region,
                    hidden_rate: 0.0,
                };
                policy.answer(&query, &mut self.dice);
            }
        }
    }

    /// Counts the busiest resolvers that are known when the last attack ends.
    fn recall(&mut self, second: u32, policy: &mut dyn Policy) {
        let until = self.scenario.attacks.iter().map(|attack| attack.until).fold(0.0, f64::max);
        if f64::from(second) - f64::from(self.world.warm_up) != until.floor() || until == 0.0 {
            return;
        }
        let at_ms = START_MS + u64::from(second) * 1000;
        let busiest = self.resolvers.largest(BUSIEST, self.world);
        let known = busiest.iter().filter_map(|number| {
            let resolver = self.resolvers.resolver(*number);
            policy.remembers(resolver.preferred, resolver.address, at_ms)
        });
        let known: Vec<bool> = known.collect();
        if !known.is_empty() {
            self.meter.notes.known(known.iter().filter(|is_known| **is_known).count(), known.len());
        }
    }

    /// Those who come in this second and those who ask again, in order.
    fn come(&mut self, second: u32, policy: &mut dyn Policy) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        self.workload.second(second, &mut arrivals);
        let mut returns = std::mem::take(&mut self.returns[second as usize]);
        returns.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut returns = returns.into_iter().peekable();
        for arrival in &arrivals {
            while let Some((at, viewer)) = returns.next_if(|(at, _)| *at <= arrival.at) {
                self.place(at, viewer, policy);
            }
            self.arrive(arrival, policy);
        }
        for (at, viewer) in returns {
            self.place(at, viewer, policy);
        }
        self.arrivals = arrivals;
    }

    fn arrive(&mut self, arrival: &Arrival, policy: &mut dyn Policy) {
        let Arrival { at, region, resolver, bitrate_mbit, departs, order } = *arrival;
        self.digest = mix(self.digest ^ at.to_bits() ^ departs.to_bits().rotate_left(1) ^ resolver as u64);
        let now = at - f64::from(self.world.warm_up);
        let through = self.scenario.through.iter().rfind(|through| through.from <= now);
        let through = match through {
            Some(through) => through.share,
            // Until the first step that is written, its share; if none is written, all ask us.
            None => self.scenario.through.first().map_or(1.0, |first| first.share),
        };
        let departs = departs.ceil().min(f64::from(u32::MAX)) as u32;
        let viewer = self.plant.add(Viewer::new(region, resolver, order < through, departs, bitrate_mbit));
        if let Some(second) = self.departures.get_mut(departs as usize) {
            second.push(viewer);
        }
        let Some(node) = self.place(at, viewer, policy).filter(|_| self.scenario.is_watched(now)) else { return };
        match node {
            ELSEWHERE => self.meter.notes.left(),
            _ => self.meter.notes.came(region, usize::from(node), &self.plant),
        }
    }

    /// A viewer who is on the way asks, and begins to watch where this says, or asks again later.
    fn place(&mut self, at: f64, number: u32, policy: &mut dyn Policy) -> Option<u16> {
        let Viewer { region, resolver, asks_us, departs, .. } = *self.plant.viewer(number);
        if f64::from(departs) <= at {
            return None;
        }
        let answer =
            if asks_us { self.ask(at, usize::from(region), resolver as usize, policy) } else { self.older(region) };
        let alive = |node: &&u16| **node == ELSEWHERE || !self.plant.nodes[usize::from(**node)].is_dead;
        let Some(node) = answer.iter().find(alive).copied() else {
            let later = self.world.viewers.retry_after;
            self.meter.failed += later;
            self.return_at(at + later, number);
            return None;
        };
        self.plant.attach(number, node);
        if node != ELSEWHERE && self.plant.nodes[usize::from(node)].is_drained {
            self.meter.leaked = (self.meter.leaked.0 + 1, (at as u32).saturating_sub(self.world.warm_up));
        }
        Some(node)
    }

    fn ask(&mut self, at: f64, region: usize, resolver: usize, policy: &mut dyn Policy) -> ArrayVec<u16, MAX_ANSWERS> {
        if let Some(node) = policy.place(region, &self.plant) {
            return std::iter::once(node as u16).collect();
        }
        let rate = self.workload.rate(region, at);
        self.resolvers.resolve(resolver, at, rate, policy, &mut self.meter.counts)
    }

    /// What the older service answers, which some viewers still ask: by capacity in their region.
    fn older(&mut self, region: u16) -> ArrayVec<u16, MAX_ANSWERS> {
        let fleet = &self.plant.fleet;
        let nodes =
            fleet.nearest[usize::from(region)].iter().map(|site| &fleet.sites[*site]).find(|site| !site.is_empty());
        let Some(nodes) = nodes else { return ArrayVec::new() };
        let weight = |node: &usize| if self.plant.nodes[*node].is_dead { 0.0 } else { fleet.nodes[*node].capacity() };
        let chosen = self.dice.weighted(nodes.iter().map(weight));
        chosen.map(|place| nodes[place] as u16).into_iter().collect()
    }
}

/// An address of a region in which no resolver is; anything but the networks of the real ones.
fn forged(region: usize, bits: u32) -> Ipv4Addr {
    let free = 32 - u32::from(FORGED_BITS);
    Ipv4Addr::from_bits(((1 << 31) | ((region as u32 % 16) << 27)) | bits & ((1 << free) - 1))
}

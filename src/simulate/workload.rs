//! Who comes, when, from where and for how long: the same for every policy.

use super::dice::{Dice, Sessions};
use super::scenario::Scenario;
use super::world::World;

/// The stream of viewers of one seed.
#[derive(Debug)]
pub(super) struct Workload {
    scenario: Scenario,
    warm_up: f64,
    /// Base arrivals a second of each region.
    base: Vec<f64>,
    sessions: Sessions,
    flashes: Vec<(Vec<f64>, Sessions)>,
    /// Region whose arrivals each growth multiplies.
    growing: Vec<usize>,
    bitrates: Vec<(f64, f64)>,
    /// Sums of the resolvers' shares of their region, the same in every region.
    sizes: Vec<f64>,
    /// Those who watch at the start; they come during the warm-up, the last first.
    first: Vec<Arrival>,
    /// What is left of the exponential gap to the next arrival.
    gap: f64,
    dice: Dice,
}

/// A viewer comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Arrival {
    /// When, in seconds since the warm-up began.
    pub at: f64,
    /// Client region.
    pub region: usize,
    /// Resolver, counted through all regions.
    pub resolver: usize,
    /// Bitrate in Mbit/s.
    pub bitrate_mbit: f64,
    /// When the session ends, in seconds since the warm-up began.
    pub departs: f64,
    /// In [0, 1): the viewer asks us if this is below the share that does.
    pub order: f64,
}

impl Workload {
    /// The viewers of a seed.
    pub(super) fn new(world: &World, scenario: &Scenario, seed: u64) -> Self {
        let session = &world.viewers.session;
        let sessions = Sessions::new(session.mean, session.sigma, session.longest);
        let rate = world.population / sessions.mean();
        let shares = (1..=world.resolvers.per_region).map(|rank| (rank as f64).powf(-world.resolvers.zipf));
        let total: f64 = shares.clone().sum();
        let flash = |flash: &super::scenario::Flash| {
            let sessions = Sessions::new(flash.mean_session, flash.sigma, session.longest);
            (flash.split(world.regions.len()), sessions)
        };
        let region = |name: &String| world.regions.iter().position(|region| region.name == *name).unwrap_or(0);
        let bitrates = world.viewers.bitrate_mbit.iter().zip(&world.viewers.bitrate_share);
        let mut workload = Self {
            warm_up: f64::from(world.warm_up),
            base: world.regions.iter().map(|region| region.viewers * rate).collect(),
            sessions,
            flashes: scenario.flashes.iter().map(flash).collect(),
            growing: scenario.growths.iter().map(|growth| region(&growth.region)).collect(),
            bitrates: bitrates.map(|(bitrate, share)| (*bitrate, *share)).collect(),
            sizes: cumulative(shares.map(|share| share / total)),
            first: Vec::new(),
            gap: 0.0,
            dice: Dice::new(seed, 1),
            scenario: scenario.clone(),
        };
        workload.gap = workload.dice.exponential();
        workload.first = workload.first(world.population.round() as usize);
        workload
    }

    /// Share of its region that uses the resolver of this rank, counted from 0.
    pub(super) fn size(&self, rank: usize) -> f64 {
        self.sizes[rank] - if rank == 0 { 0.0 } else { self.sizes[rank - 1] }
    }

    /// Arrivals a second of a region at this time since the warm-up began; at flashes the mean of the second.
    pub(super) fn rate(&self, region: usize, at: f64) -> f64 {
        let crowd = |(flash, (split, _)): (&super::scenario::Flash, &(Vec<f64>, Sessions))| {
            let at = at - self.warm_up;
            flash.viewers * split[region] * (flash.come(at + 1.0) - flash.come(at))
        };
        self.base_rate(region, at) + self.scenario.flashes.iter().zip(&self.flashes).map(crowd).sum::<f64>()
    }

    /// Those who come in this second, in order.
    pub(super) fn second(&mut self, second: u32, arrivals: &mut Vec<Arrival>) {
        arrivals.clear();
        let start = f64::from(second);
        let regions = self.base.len();
        // Base and crowds, each split by region: rates do not change within a second.
        let mut rates: Vec<f64> = (0..regions).map(|region| self.base_rate(region, start)).collect();
        for (flash, (split, _)) in self.scenario.flashes.iter().zip(&self.flashes) {
            let from = start - self.warm_up;
            let come = flash.viewers * (flash.come(from + 1.0) - flash.come(from));
            rates.extend(split.iter().map(|share| share * come));
        }
        let sums = cumulative(rates.into_iter());
        let total = sums[sums.len() - 1];
        let mut done = 0.0;
        while total > 0.0 && self.gap <= total - done {
            done += self.gap;
            self.gap = self.dice.exponential();
            let which = self.dice.unit() * total;
            let kind = sums.partition_point(|sum| *sum <= which).min(sums.len() - 1);
            let (crowd, region) = (kind / regions, kind % regions);
            let sessions = if crowd == 0 { self.sessions } else { self.flashes[crowd - 1].1 };
            let at = start + done / total;
            let departs = at + sessions.draw(&mut self.dice);
            arrivals.push(self.arrival(at, region, departs));
        }
        self.gap -= total - done;
        let end = start + 1.0;
        let before = arrivals.len();
        while let Some(arrival) = self.first.pop_if(|arrival| arrival.at < end) {
            arrivals.push(arrival);
        }
        if arrivals.len() > before {
            arrivals.sort_by(|a, b| a.at.total_cmp(&b.at));
        }
    }

    /// Those who watch at the start: they are placed one by one during the warm-up, and leave as if they had been there.
    fn first(&mut self, population: usize) -> Vec<Arrival> {
        let sums = cumulative(self.base.clone().into_iter());
        let total = sums[sums.len() - 1];
        let mut first = Vec::with_capacity(population);
        for _ in 0..population {
            let which = self.dice.unit() * total;
            let region = sums.partition_point(|sum| *sum <= which).min(sums.len() - 1);
            let at = self.dice.unit() * self.warm_up;
            let departs = self.sessions.residual(&mut self.dice);
            let arrival = self.arrival(at, region, departs);
            if departs > at {
                first.push(arrival);
            }
        }
        first.sort_by(|a, b| b.at.total_cmp(&a.at));
        first
    }

    fn arrival(&mut self, at: f64, region: usize, departs: f64) -> Arrival {
        let rank = self.dice.unit();
        let rank = self.sizes.partition_point(|sum| *sum <= rank).min(self.sizes.len() - 1);
        let bitrate = self.dice.weighted(self.bitrates.iter().map(|(_, share)| *share)).unwrap_or(0);
        Arrival {
            at,
            region,
            resolver: region * self.sizes.len() + rank,
            bitrate_mbit: self.bitrates[bitrate].0,
            departs,
            order: self.dice.unit(),
        }
    }

    fn base_rate(&self, region: usize, at: f64) -> f64 {
        let at = at - self.warm_up;
        let mut rate = self.base[region];
        if let Some(diurnal) = &self.scenario.diurnal
            && at >= 0.0
        {
            rate *= 1.0 + diurnal.amplitude * (std::f64::consts::TAU * at / diurnal.period).sin();
        }
        let growths = self.scenario.growths.iter().zip(&self.growing).filter(|(_, growing)| **growing == region);
        growths.fold(rate, |rate, (growth, _)| rate * growth.factor(at)).max(0.0)
    }
}

fn cumulative(values: impl Iterator<Item = f64>) -> Vec<f64> {
    values
        .scan(0.0, |sum, value| {
            *sum += value;
            Some(*sum)
        })
        .collect()
}

//! The plan: which share of a region's viewers goes to which site. The next seconds' demand is placed slice by slice, all
//! regions in turn, each slice where distance and the price of filling are least: regions that spill into the same
//! neighbour see each other's slices.

use super::constants::Constants;
use super::fleet::FleetPool;
use super::tables::{FamilyTables, SiteState, cumulative};
use crate::geo::RegionId;
use crate::pool::PlaceId;

/// Slices of it.
const SLICES: usize = 16;
/// Part of the time that viewers stay for which the plan looks ahead, at most.
const STAYING: f64 = 0.05;
/// Shares below this are left out.
const CRUMB: f64 = 0.004;
/// Capacity that a place of overflow is taken to have, in units of load: no end of it.
const ENDLESS: f64 = 1e12;

/// The price of filling a site, in milliseconds of distance: nothing up to a pressure of 0.80, steep from 0.98 on. To
/// spill to a neighbour 20 ms farther away begins at 0.89, 70 ms farther at 0.96.
pub(super) fn price(constants: &Constants, pressure: f64) -> f64 {
    let Constants { filling, overfilling, .. } = *constants;
    filling * ((pressure - 0.80) / 0.15).max(0.0).powi(2) + overfilling * (pressure - 0.98).max(0.0)
}

/// The shares of one use of a pool, by family, region and site (the overflow last).
#[derive(Debug, Default)]
pub(super) struct Plan {
    sites: usize,
    regions: usize,
    /// Targets of this tick, and shares as they are; empty until the first tick.
    targets: [Vec<f64>; 2],
    shares: [Vec<f64>; 2],
}

/// What the plan needs to know of a region's demand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Load per second that is expected, by family.
    pub(super) load: [f64; 2],
    /// Every viewer goes to this place, if a site there serves.
    pub(super) pinned: Option<PlaceId>,
}

impl Plan {
    /// Plans for all regions; `elapsed` seconds since the last time.
    pub(super) fn make(
        &mut self,
        constants: &Constants,
        pool: &FleetPool,
        sites: [&[SiteState]; 2],
        wanted: &[Wanted],
        elapsed: f64,
    ) {
        let columns = sites[0].len();
        if (self.sites, self.regions) != (columns, wanted.len()) {
            *self = Self { sites: columns, regions: wanted.len(), ..Self::default() };
        }
        // No farther than few of those who come have left again.
        let ahead = constants.ahead.min(STAYING * pool.pool.viewer.stays.as_secs_f64());
        self.place(constants, pool, sites, wanted, ahead);
        for (family, sites) in sites.into_iter().enumerate() {
            self.approach(constants, pool, family, sites, elapsed);
        }
    }

    /// The shares of a region.
    pub(super) fn row(&self, family: usize, region: usize) -> &[f64] {
        &self.shares[family][region * self.sites..][..self.sites]
    }

    /// Whether plans were made for so many sites and regions.
    pub(super) fn is_made_for(&self, sites: usize, regions: usize) -> bool {
        (self.sites, self.regions) == (sites, regions) && !self.shares[0].is_empty()
    }

    /// What each site gets of a load that all comes at once; only the first family's counts.
    pub(super) fn filled(constants: &Constants, pool: &FleetPool, sites: &[SiteState], load: &[Wanted]) -> Vec<f64> {
        Self { sites: sites.len(), regions: load.len(), ..Self::default() }
            .place(constants, pool, [sites; 2], load, 1.0)
    }

    /// Finds where the load of so many seconds goes best, and says what that adds to each site.
    fn place(
        &mut self,
        constants: &Constants,
        pool: &FleetPool,
        sites: [&[SiteState]; 2],
        wanted: &[Wanted],
        ahead: f64,
    ) -> Vec<f64> {
        let columns = self.sites;
        let mut added = vec![0.0; columns];
        self.targets = [vec![0.0; columns * wanted.len()], vec![0.0; columns * wanted.len()]];
        let mut costs: Vec<(usize, f64)> = Vec::with_capacity(columns);
        for _ in 0..SLICES {
            for (index, wanted) in wanted.iter().enumerate() {
                let region = RegionId(index as u16);
                for (family, sites) in sites.into_iter().enumerate() {
                    let load = wanted.load[family] * ahead / SLICES as f64;
                    open(pool, sites, region, &mut costs);
                    if !pin(pool, wanted.pinned, &mut costs) {
                        overflow(pool, sites, region, &added, &mut costs);
                    }
                    for (site, cost) in &mut costs {
                        let SiteState { pressure, capacity, .. } = sites[*site];
                        *cost += price(constants, pressure + (added[*site] + load) / capacity);
                    }
                    let least = costs.iter().map(|(_, cost)| *cost).fold(f64::INFINITY, f64::min);
                    for (_, cost) in &mut costs {
                        let worse = (*cost - least) / constants.softness;
                        // Below the crumb anyhow, and exponentials are dear.
                        *cost = if worse > 6.0 { 0.0 } else { (-worse).exp() };
                    }
                    let total: f64 = costs.iter().map(|(_, part)| *part).sum();
                    let kept: f64 = costs.iter().map(|(_, part)| *part).filter(|part| *part >= CRUMB * total).sum();
                    for &(site, part) in costs.iter().filter(|(_, part)| *part >= CRUMB * total) {
                        self.targets[family][index * columns + site] += part / kept / SLICES as f64;
                        added[site] += load * part / kept;
                    }
                }
            }
        }
        added
    }

    /// Goes part of the way from the shares as they are to the targets.
    fn approach(&mut self, constants: &Constants, pool: &FleetPool, family: usize, sites: &[SiteState], elapsed: f64) {
        let (targets, shares) = (&self.targets[family], &mut self.shares[family]);
        if shares.is_empty() {
            shares.clone_from(targets);
            return;
        }
        for (index, (targets, shares)) in targets.chunks(self.sites).zip(shares.chunks_mut(self.sites)).enumerate() {
            let nearest =
                pool.candidates(RegionId(index as u16)).iter().find(|&&site| is_open(&sites[usize::from(site)]));
            let is_filling = nearest.is_some_and(|&site| targets[usize::from(site)] < shares[usize::from(site)]);
            let part = 1.0 - (1.0 - if is_filling { constants.away } else { constants.back }).powf(elapsed);
            let own = pool.candidates(RegionId(index as u16));
            for (site, (share, target)) in shares.iter_mut().zip(targets).enumerate() {
                // After a reload a barrier may stand where viewers went before.
                let may_serve = site >= pool.sites.len() || own.contains(&(site as u16));
                *share = if may_serve && is_open(&sites[site]) { *share + part * (target - *share) } else { 0.0 };
            }
            let total: f64 = shares.iter().sum();
            if total > 1e-3 {
                shares.iter_mut().for_each(|share| *share /= total);
            } else {
                shares.copy_from_slice(targets);
            }
        }
    }
}

/// Sites that are open to a region, with the cost of going there: those that serve; if none does, those with any node at
/// all, for then probes are presumably wrong.
fn open(pool: &FleetPool, sites: &[SiteState], region: RegionId, costs: &mut Vec<(usize, f64)>) {
    costs.clear();
    let candidates = || pool.candidates(region).iter().map(|&site| usize::from(site));
    let cost = |site: usize| (site, pool.distance(region, site));
    costs.extend(candidates().filter(|&site| is_open(&sites[site])).map(cost));
    if costs.is_empty() {
        costs.extend(candidates().filter(|&site| sites[site].menu.is_some()).map(cost));
    }
}

/// Leaves the place only to which an operator has pinned the region, if it is among them; says whether it is.
fn pin(pool: &FleetPool, pinned: Option<PlaceId>, costs: &mut Vec<(usize, f64)>) -> bool {
    let is_there = |(site, _): &(usize, f64)| pinned == Some(pool.sites[*site].place);
    let is_pinned = costs.iter().any(is_there);
    if is_pinned {
        costs.retain(is_there);
    }
    is_pinned
}

/// With somewhere else to send viewers, sites are filled to that mark only, and when all are it is one more of them.
fn overflow(pool: &FleetPool, sites: &[SiteState], region: RegionId, added: &[f64], costs: &mut Vec<(usize, f64)>) {
    let Some(overflow) = pool.overflow() else { return };
    let has_room = |(site, _): &(usize, f64)| {
        let state = &sites[*site];
        is_open(state) && state.pressure + added[*site] / state.capacity < overflow.above
    };
    if costs.iter().any(has_room) {
        costs.retain(has_room);
    } else if pool.candidates(region).iter().any(|&site| sites[usize::from(site)].menu.is_some()) {
        // Where no node has the family there is no service of ours that could be full.
        costs.retain(|(site, _)| is_open(&sites[*site]));
        costs.push((pool.sites.len(), overflow.cost));
    }
}

/// Whether a site has nodes that serve.
fn is_open(site: &SiteState) -> bool {
    site.capacity > 0.0
}

/// The place of overflow as a site: endless, and never any fuller.
pub(super) fn overflow_site() -> SiteState {
    SiteState {
        pressure: 0.0,
        capacity: ENDLESS,
        limit: super::weigh::FULL,
        price: 0.0,
        weights: Vec::new(),
        menu: None,
        rooms: Box::default(),
        is_unknown: false,
    }
}

/// The plan of one family as picks read it.
pub(super) fn tables(
    pool: &FleetPool,
    plan: &Plan,
    family: usize,
    sites: Vec<SiteState>,
    regions: usize,
) -> FamilyTables {
    let shares = (0..regions).map(|index| {
        let row = plan.row(family, index);
        // Nearest first: a site that fills moves the same keys away as came to it last.
        let candidates = pool.candidates(RegionId(index as u16)).iter().copied();
        let order = candidates.chain((row.len() > pool.sites.len()).then_some(pool.sites.len() as u16));
        cumulative(order.map(|site| (site, row[usize::from(site)])))
    });
    FamilyTables::new(sites, shares)
}

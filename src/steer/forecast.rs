//! Forecasts: what becomes of each site if nodes get nobody new, once their viewers have come back elsewhere.

use serde::{Deserialize, Serialize};

use super::constants::Constants;
use super::fleet::{Fleet, FleetPool};
use super::plan::{Plan, Wanted, overflow_site, price};
use super::tables::{PoolTables, SiteState, Standing, Tables};
use crate::geo::RegionId;
use crate::load::history::Reading;
use crate::pool::{Currency, Family, NodeId, Policy, PoolId};

/// Pressure above which a site is overloaded, and what a drain must add to it to be the reason.
const OVERFULL: f64 = 1.0;
const NOTABLE: f64 = 0.005;
/// Room that a node is taken to have at least, as part of its capacity.
const LEAST_ROOM: f64 = 0.02;

/// A place of a pool before and after a drain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteForecast {
    /// The pool, with what sets this use of it apart if there are several.
    pub pool: String,
    /// The place.
    pub place: String,
    /// Nodes that serve now, and that are left to.
    pub nodes: [usize; 2],
    /// Mean predicted pressure of these now; none if none serves.
    pub before: Option<f64>,
    /// The same once the viewers of the drained nodes have come back elsewhere; none if no node is left.
    pub after: Option<f64>,
    /// Load that comes here by the drain.
    pub gains: f64,
    /// The unit of load: `Mbit/s` or `viewers`.
    pub unit: String,
    /// The load of all nodes here is known.
    pub is_known: bool,
    /// The families, `IPv4` and `IPv6`, over which no node of the whole pool is left that answers its probes.
    pub unserved: Vec<String>,
}

impl SiteForecast {
    /// Whether the drain would overload the site, or leave nobody to serve the pool over a family.
    pub fn is_overfull(&self) -> bool {
        let before = self.before.unwrap_or(0.0);
        !self.unserved.is_empty() || self.after.is_some_and(|after| after > OVERFULL && after > before + NOTABLE)
    }
}

/// Each place of each pool that has one of the nodes, or gets some of their load, by pool, then as configured.
pub fn forecast(fleet: &Fleet, tables: &Tables, drained: &[NodeId]) -> Vec<SiteForecast> {
    let view = View { fleet, tables, drained };
    let moves: Vec<Vec<f64>> = (0..fleet.pools.len()).map(|pool| view.added(PoolId(pool as u16))).collect();
    let mut added = vec![0.0; fleet.nodes.len()];
    for (pool, sites) in fleet.pools.iter().zip(&moves) {
        for (site, load) in pool.sites.iter().zip(sites) {
            view.spread(pool.policy, &site.nodes, *load, &mut added);
        }
    }
    let mut forecasts = Vec::new();
    for (index, (pool, sites)) in fleet.pools.iter().zip(&moves).enumerate() {
        let name = fleet.name_of_use(PoolId(index as u16));
        let all = || pool.sites.iter().flat_map(|site| &site.nodes);
        let is_left_alone = |family: &Family| {
            let has = |id: &&NodeId| fleet.node(**id).node.address(*family).is_some();
            all().filter(has).any(|id| drained.contains(id)) && !all().filter(has).any(|id| view.is_sound(*id))
        };
        let names = [(Family::V4, "IPv4"), (Family::V6, "IPv6")].into_iter();
        let unserved: Vec<String> =
            names.filter(|(family, _)| is_left_alone(family)).map(|(_, name)| name.to_owned()).collect();
        let mut places: Vec<usize> = pool.sites.iter().map(|site| usize::from(site.place.0)).collect();
        places.dedup();
        for place in places {
            let here = || pool.sites.iter().zip(sites).filter(move |(site, _)| usize::from(site.place.0) == place);
            let nodes: Vec<NodeId> = here().flat_map(|(site, _)| &site.nodes).copied().collect();
            let gains: f64 = here().map(|(_, load)| load).sum();
            if gains <= 0.0 && !nodes.iter().any(|id| drained.contains(id)) {
                continue;
            }
            let before: Vec<NodeId> = nodes.iter().copied().filter(|id| view.serves(*id)).collect();
            let after: Vec<NodeId> = nodes.iter().copied().filter(|id| view.stays(*id)).collect();
            forecasts.push(SiteForecast {
                pool: name.clone(),
                place: fleet.places[place].name.clone(),
                nodes: [before.len(), after.len()],
                before: view.pressure(&before, |_| 0.0),
                after: view.pressure(&after, |id| added[usize::from(id.0)]),
                gains,
                unit: unit(pool).to_owned(),
                is_known: before.iter().all(|id| view.is_known(*id)),
                unserved: unserved.clone(),
            });
        }
    }
    forecasts
}

/// The unit of a pool's load.
pub(super) fn unit(pool: &FleetPool) -> &'static str {
    match pool.pool.currency {
        Currency::Egress => "Mbit/s",
        Currency::Clients => "viewers",
    }
}

/// What comes from a region to a site of a pool in a second now, in units of load, as far as it is believed.
pub(super) fn inflow(tables: &PoolTables, region: RegionId, site: usize) -> f64 {
    let Some(demand) = tables.demand(region) else { return 0.0 };
    // What grows is forecast to go on, and a region without viewers is believed to have a few: neither is so now.
    let comes = demand.cost * demand.believed.min(demand.forecast);
    if comes <= 0.0 {
        return 0.0;
    }
    let families = [Family::V4, Family::V6].map(|family| tables.of(family));
    let shares = families.iter().filter(|family| !family.plan(region).is_empty());
    let (sum, count) =
        shares.fold((0.0, 0.0), |(sum, count), family| (sum + family.share(region, site as u16), count + 1.0));
    if count > 0.0 { comes * sum / count } else { 0.0 }
}

struct View<'a> {
    fleet: &'a Fleet,
    tables: &'a Tables,
    drained: &'a [NodeId],
}

impl View<'_> {
    fn serves(&self, id: NodeId) -> bool {
        let node = &self.tables.nodes[usize::from(id.0)];
        node.standing.is_eligible() && node.factors.weight > 0.0
    }

    /// Whether it stays, and answers its probes: who does not may be as dead as it seems.
    fn is_sound(&self, id: NodeId) -> bool {
        let standing = self.tables.nodes[usize::from(id.0)].standing;
        self.stays(id) && !matches!(standing, Standing::Held | Standing::Full)
    }

    fn stays(&self, id: NodeId) -> bool {
        self.serves(id) && !self.drained.contains(&id)
    }

    fn is_known(&self, id: NodeId) -> bool {
        matches!(self.tables.nodes[usize::from(id.0)].reading, Reading::Fresh(_))
    }

    fn capacity(&self, id: NodeId) -> f64 {
        self.tables.nodes[usize::from(id.0)].capacity
    }

    fn load(&self, id: NodeId) -> f64 {
        self.tables.nodes[usize::from(id.0)].pressure * self.capacity(id)
    }

    fn pressure(&self, nodes: &[NodeId], added: impl Fn(NodeId) -> f64) -> Option<f64> {
        let capacity: f64 = nodes.iter().map(|id| self.capacity(*id)).sum();
        let load: f64 = nodes.iter().map(|id| self.load(*id) + added(*id)).sum();
        (capacity > 0.0).then(|| load / capacity)
    }

    /// What comes to each site of a pool from its nodes that are drained.
    fn added(&self, id: PoolId) -> Vec<f64> {
        let (pool, tables) = (self.fleet.pool(id), &self.tables.pools[usize::from(id.0)]);
        let regions = tables.demands.len();
        let mut displaced = vec![0.0; regions];
        for (site, its) in pool.sites.iter().enumerate() {
            let leaving = its.nodes.iter().filter(|node| self.drained.contains(node) && self.serves(**node));
            let load: f64 = leaving.map(|node| self.load(*node) * self.part_of(id, *node)).sum();
            if load <= 0.0 {
                continue;
            }
            // Where its viewers come from is not counted; they are taken to come as those do who come now.
            let flows: Vec<f64> = (0..regions).map(|region| inflow(tables, RegionId(region as u16), site)).collect();
            let total: f64 = flows.iter().sum();
            if total > 0.0 {
                displaced.iter_mut().zip(&flows).for_each(|(displaced, flow)| *displaced += load * flow / total);
            } else if let Some(region) = nearest_region(pool, site, regions) {
                displaced[region] += load;
            }
        }
        if displaced.iter().sum::<f64>() <= 0.0 {
            return vec![0.0; pool.sites.len()];
        }
        let states: Vec<SiteState> = (0..pool.sites.len()).map(|site| self.site(pool, tables, site)).collect();
        match pool.policy {
            Policy::Planner => planned(pool, states, &displaced),
            policy => self.fixed(pool, policy, &states, &displaced),
        }
    }

    /// The part of a node's load that one of the pools that use it brings.
    fn part_of(&self, id: PoolId, node: NodeId) -> f64 {
        let flow = |index: usize| {
            let (pool, tables) = (&self.fleet.pools[index], &self.tables.pools[index]);
            let site = pool.sites.iter().position(|site| site.nodes.contains(&node))?;
            let regions = tables.demands.len();
            // Something even if nobody comes, so that all its load is somebody's.
            Some(1e-9 + (0..regions).map(|region| inflow(tables, RegionId(region as u16), site)).sum::<f64>())
        };
        let total: f64 = (0..self.fleet.pools.len()).filter_map(flow).sum();
        flow(usize::from(id.0)).map_or(0.0, |own| own / total)
    }

    /// A site without the drained nodes.
    fn site(&self, pool: &FleetPool, tables: &PoolTables, site: usize) -> SiteState {
        let nodes: Vec<NodeId> = pool.sites[site].nodes.iter().copied().filter(|id| self.stays(*id)).collect();
        let capacity = nodes.iter().map(|id| self.capacity(*id)).sum();
        let pressure = self.pressure(&nodes, |_| 0.0).unwrap_or(0.0);
        let families = [Family::V4, Family::V6].map(|family| &tables.of(family).sites[site]);
        // Of the two the one that has nodes.
        let state = families.into_iter().find(|state| state.menu.is_some()).unwrap_or(families[0]);
        SiteState { pressure, capacity, price: price(&Constants::USUAL, pressure), ..state.clone() }
    }

    /// Policies that do not plan look at no pressure.
    fn fixed(&self, pool: &FleetPool, policy: Policy, states: &[SiteState], displaced: &[f64]) -> Vec<f64> {
        let mut added = vec![0.0; states.len()];
        for (region, load) in displaced.iter().enumerate().filter(|(_, load)| **load > 0.0) {
            let candidates = pool.candidates(RegionId(region as u16)).iter().map(|&site| usize::from(site));
            let open: Vec<usize> = candidates.filter(|&site| states[site].capacity > 0.0).collect();
            let only = match policy {
                Policy::Nearest => open.first().copied(),
                Policy::Failover => {
                    let first = |&site: &usize| {
                        let nodes = pool.sites[site].nodes.iter().filter(|id| self.stays(**id));
                        nodes.map(|id| self.fleet.node(*id).rank).min()
                    };
                    open.iter().copied().min_by_key(first)
                }
                Policy::Planner | Policy::RoundRobin | Policy::Weighted | Policy::Hash { .. } => None,
            };
            let total: f64 = open.iter().map(|&site| states[site].capacity).sum();
            for site in open {
                match only {
                    Some(only) if only == site => added[site] += load,
                    Some(_) => {}
                    None => added[site] += load * states[site].capacity / total,
                }
            }
        }
        added
    }

    /// Spreads what comes to a site over its nodes: by their room where that is looked at, else by their size.
    fn spread(&self, policy: Policy, nodes: &[NodeId], load: f64, added: &mut [f64]) {
        let part = |id: NodeId| match policy {
            Policy::Planner => {
                let capacity = self.capacity(id);
                (capacity - self.load(id)).max(LEAST_ROOM * capacity)
            }
            _ => self.capacity(id),
        };
        let staying = || nodes.iter().copied().filter(|id| self.stays(*id));
        let total: f64 = staying().map(part).sum();
        if total > 0.0 {
            staying().for_each(|id| added[usize::from(id.0)] += load * part(id) / total);
        }
    }
}

/// Where the planner would place a load of each region.
fn planned(pool: &FleetPool, mut states: Vec<SiteState>, displaced: &[f64]) -> Vec<f64> {
    let sites = states.len();
    if pool.overflow().is_some() {
        states.push(overflow_site());
    }
    let wanted: Vec<Wanted> = displaced.iter().map(|load| Wanted { load: [*load, 0.0], pinned: None }).collect();
    let mut added = Plan::filled(&Constants::USUAL, pool, &states, &wanted);
    added.truncate(sites);
    added
}

/// A region whose clients a site is for, by distance.
fn nearest_region(pool: &FleetPool, site: usize, regions: usize) -> Option<usize> {
    let may = |region: &usize| pool.candidates(RegionId(*region as u16)).contains(&(site as u16));
    let distance = |region: usize| pool.distance(RegionId(region as u16), site);
    (0..regions).filter(may).min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
}

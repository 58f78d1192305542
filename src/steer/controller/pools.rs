//! What pools and their sites get: weights, menus, the plan of each pool, and the tables that picks read.

use std::collections::HashMap;
use std::sync::Arc;

use super::states::States;
use super::{Controller, Inputs};
use crate::geo::RegionId;
use crate::load::history::Reading;
use crate::pool::{Answers, Family, NodeId, Policy};
use crate::steer::fleet::{Fleet, FleetNode, FleetPool, Site};
use crate::steer::menu::{Dish, Menu, Width};
use crate::steer::plan::{self, Wanted, price};
use crate::steer::policy::{self, Standing as SiteStanding};
use crate::steer::tables::{
    DemandState, FamilyTables, Fitness, Manner, NodeState, PoolTables, SiteState, Standing, cumulative, fitness_of,
};
use crate::steer::weigh::{BEYOND, FULL, Weighed};

/// The pressure that counts, at most, in a site's mean: how far beyond its limit a node is says nothing of the room of
/// the others.
const MAX_PRESSURE: f64 = 1.0;
/// Room that a node is taken to have at least, as part of its capacity.
const LEAST_ROOM: f64 = 0.01;

impl Controller {
    /// Weighs, plans and lists for each use of a pool.
    pub(super) fn plan_pools(&mut self, inputs: &Inputs<'_>, states: &States, elapsed: f64) -> Vec<PoolTables> {
        let nodes = states.nodes.as_slice();
        let is_frozen = inputs.overrides.freezes();
        let used = inputs.fleet.pools.iter().flat_map(|pool| pool.sites.iter().flat_map(|site| &site.nodes));
        self.scores.learn(used.map(|id| (*id, inputs.fleet.node(*id).node.name.as_str())), inputs.seed);
        let mut menus = HashMap::new();
        let fleet = inputs.fleet;
        let mut plans = std::mem::take(&mut self.plans);
        let mut pools = Vec::with_capacity(fleet.pools.len());
        for (index, (pool, plan)) in fleet.pools.iter().zip(&mut plans).enumerate() {
            let apart = &states.apart[index];
            let standings =
                Family::ALL.map(|family| site_standings(fleet, pool, nodes, &apart[family as usize], family));
            let weighed = standings.each_ref().map(|sites| {
                (0..sites.len())
                    .map(|site| policy::weights(pool.policy, self.constants.exponent, sites, site))
                    .collect::<Vec<_>>()
            });
            let mut sites = [Vec::new(), Vec::new()];
            #[expect(clippy::needless_range_loop, reason = "the number names the site in four lists")]
            for site in 0..pool.sites.len() {
                let key = (self.pools[index].clone(), site);
                let mut known: Vec<Arc<Menu>> = self.menus.get(&key).into_iter().flatten().flatten().cloned().collect();
                let frozen = self.menus.get(&key).filter(|_| is_frozen && self.frozen).cloned().unwrap_or_default();
                let made = [0, 1].map(|family| {
                    let frozen = frozen[family].as_ref();
                    let state =
                        self.site(pool, &standings[family], site, &weighed[family][site], nodes, &known, frozen);
                    known.extend(state.menu.clone());
                    state
                });
                menus.insert(key, made.each_ref().map(|state| state.menu.clone()));
                for (sites, state) in sites.iter_mut().zip(made) {
                    sites.push(state);
                }
            }
            if pool.overflow().is_some() {
                sites.iter_mut().for_each(|sites| sites.push(plan::overflow_site()));
            }
            let wanted = self.wanted(inputs, index, pool);
            let demands = (0..self.regions).map(|region| self.demand_state(index * self.regions + region)).collect();
            let families = if pool.policy == Policy::Planner {
                let all = sites[0].len();
                // What is frozen goes no way towards its targets; but sites that fail are left out.
                let elapsed = if is_frozen && plan.is_made_for(all, self.regions) { 0.0 } else { elapsed };
                plan.make(&self.constants, pool, sites.each_ref().map(Vec::as_slice), &wanted, elapsed);
                let [v4, v6] = sites;
                [plan::tables(pool, plan, 0, v4, self.regions), plan::tables(pool, plan, 1, v6, self.regions)]
            } else {
                let mut families = sites.into_iter().zip(&standings).zip(&weighed);
                let mut next = || {
                    let ((sites, standings), weighed) = families.next().expect("there are two families");
                    let weights: Vec<f64> = weighed.iter().map(|(_, weights)| weights.iter().sum()).collect();
                    fixed_tables(pool, sites, standings, &weights, self.regions)
                };
                [next(), next()]
            };
            let mut apart = apart.iter();
            let families = families.map(|mut tables| {
                tables.apart.clone_from(apart.next().expect("there are two families"));
                with_rooms(pool, tables, nodes, self.regions)
            });
            pools.push(PoolTables { families, demands, manner: policy::manner(pool.policy) });
        }
        self.plans = plans;
        self.menus = menus;
        self.frozen = is_frozen;
        pools
    }

    /// A site's state, with a menu: one of those that are known if it serves.
    #[expect(clippy::too_many_arguments, reason = "all of it is what a site is made of")]
    fn site(
        &self,
        pool: &FleetPool,
        standings: &[SiteStanding],
        site: usize,
        (limit, weights): &(f64, Vec<f64>),
        nodes: &[NodeState],
        known: &[Arc<Menu>],
        frozen: Option<&Arc<Menu>>,
    ) -> SiteState {
        let standing = &standings[site];
        let serving = || standing.nodes.iter().filter(|(_, node)| node.factor > 0.0);
        let capacity: f64 = serving().map(|(_, node)| node.capacity).sum();
        let pressed: f64 = serving().map(|(_, node)| node.capacity * node.pressure.min(MAX_PRESSURE)).sum();
        let room = |id: NodeId, above: f64, least: f64| {
            let node = &nodes[usize::from(id.0)];
            node.capacity * (FULL + above - node.pressure).max(least)
        };
        let has_weight = weights.iter().any(|weight| *weight > 0.0);
        let dishes: Vec<Dish> = standing
            .nodes
            .iter()
            .zip(weights)
            .map(|((id, node), weight)| {
                // If none serves, probes are presumably wrong, and all are named by size.
                let weight = if has_weight { *weight } else { node.capacity };
                // Only the planner spares nodes with little room the largest answers.
                let room = if pool.policy == Policy::Planner { room(*id, 0.05, LEAST_ROOM) } else { 1.0 };
                Dish {
                    node: *id,
                    weight,
                    ghost: policy::ghost(pool.policy, self.constants.exponent, standings, node),
                    room,
                }
            })
            .collect();
        let width = match (pool.answers, policy::manner(pool.policy)) {
            (Answers::Auto, Manner::Hashed) => Width::Fixed(1),
            (Answers::Auto, _) => Width::Auto(pool.width()),
            (Answers::Fixed(_), _) => Width::Fixed(pool.width()),
        };
        let may_serve = |id: NodeId| serving().any(|(serving, _)| *serving == id);
        let kept = frozen.filter(|menu| menu.names_only(may_serve));
        let kept = kept.or_else(|| known.iter().find(|menu| menu.serves(&dishes, width))).cloned();
        let menu = kept.or_else(|| {
            let made = match pool.policy {
                Policy::Hash { .. } => Menu::of_hashed(&dishes, width, &self.scores),
                _ => Menu::of(&dishes, width, self.constants.grain, &self.scores),
            };
            made.map(Arc::new)
        });
        let rooms = menu.as_ref().map_or_else(Box::default, |menu| menu.rooms(|id| room(id, 0.0, 0.02)));
        let pressure = if capacity > 0.0 { pressed / capacity } else { 0.0 };
        let is_known = serving().any(|(id, _)| matches!(nodes[usize::from(id.0)].reading, Reading::Fresh(_)));
        let weights = standing.nodes.iter().zip(weights).map(|((id, _), weight)| (*id, *weight)).collect();
        SiteState {
            pressure,
            capacity,
            limit: *limit,
            price: price(&self.constants, pressure),
            weights,
            menu,
            rooms,
            is_unknown: !is_known,
        }
    }

    fn wanted(&self, inputs: &Inputs<'_>, pool: usize, fleet_pool: &FleetPool) -> Vec<Wanted> {
        (0..self.regions)
            .map(|region| {
                let demand = &self.demands[pool * self.regions + region];
                let load = [0, 1].map(|family| demand.credited() * demand.forecast() * demand.part_of(family));
                let place = inputs.overrides.pin(RegionId(region as u16));
                let pinned = place.and_then(|name| {
                    let has_name = |site: &&Site| inputs.fleet.places[usize::from(site.place.0)].name == name;
                    fleet_pool.sites.iter().find(has_name).map(|site| site.place)
                });
                Wanted { load, pinned }
            })
            .collect()
    }

    fn demand_state(&self, index: usize) -> DemandState {
        let demand = &self.demands[index];
        DemandState {
            cost: demand.cost(),
            forecast: demand.forecast(),
            believed: demand.believed(),
            plain: demand.plain(),
            inflow: demand.credited() * demand.forecast(),
            is_hot: demand.is_hot(),
            belief: demand.belief(),
        }
    }
}

/// The nodes of each site that have the family, as they stand.
fn site_standings(
    fleet: &Fleet,
    pool: &FleetPool,
    nodes: &[NodeState],
    apart: &[(NodeId, Fitness)],
    family: Family,
) -> Vec<SiteStanding> {
    let of_site = |site: &Site| {
        let known = site.nodes.iter().map(|id| (*id, fleet.node(*id), fitness_of(apart, nodes, *id)));
        let members: Vec<_> = known.filter(|(_, known, _)| known.node.address(family).is_some()).collect();
        let serves = |fitness: &Fitness| fitness.standing.is_eligible() && fitness.factors.product() > 0.0;
        let is_full = |fitness: &Fitness| fitness.standing == Standing::Full;
        let is_spent = !members.iter().any(|(.., fitness)| serves(fitness) && !is_full(fitness));
        let weighed = |(id, known, fitness): (NodeId, &FleetNode, Fitness)| {
            // Who is full and does not answer lets nobody in: policies that look at no pressure pass it over while another
            // serves, and the planner comes to it when the others are beyond what they can do.
            let is_spared = is_full(&fitness) && pool.policy != Policy::Planner && !is_spent;
            let ghost = fitness.factors.product();
            let factor = if fitness.standing.is_eligible() && !is_spared { ghost } else { 0.0 };
            let pressure = if is_full(&fitness) { fitness.pressure.max(BEYOND) } else { fitness.pressure };
            let state = &nodes[usize::from(id.0)];
            // What is learned drifts, and would take keys with it.
            let is_hashed = matches!(pool.policy, Policy::Hash { .. });
            let capacity = if is_hashed { state.configured } else { state.capacity };
            (id, Weighed { capacity, pressure, factor, ghost, rank: known.rank })
        };
        SiteStanding { nodes: members.into_iter().map(weighed).collect(), is_spent }
    };
    pool.sites.iter().map(of_site).collect()
}

/// Tables of a policy that does not plan.
fn fixed_tables(
    pool: &FleetPool,
    sites: Vec<SiteState>,
    standings: &[SiteStanding],
    weights: &[f64],
    regions: usize,
) -> FamilyTables {
    let parts = |region| policy::shares(pool.policy, pool, standings, weights, RegionId(region as u16));
    FamilyTables::new(sites, (0..regions).map(|region| cumulative(parts(region).into_iter())))
}

/// Fills in the least capacity of a node at each region's nearest site that serves, and whether none has room.
fn with_rooms(pool: &FleetPool, mut tables: FamilyTables, nodes: &[NodeState], regions: usize) -> FamilyTables {
    let least: Vec<f32> = tables
        .sites
        .iter()
        .map(|site| {
            let is_eligible = |id| fitness_of(&tables.apart, nodes, id).standing.is_eligible();
            let serving = site.weights.iter().filter(|(id, _)| is_eligible(*id));
            serving.map(|(id, _)| nodes[usize::from(id.0)].capacity as f32).fold(f32::INFINITY, f32::min)
        })
        .collect();
    let of = |region: usize| {
        let mut candidates = pool.candidates(RegionId(region as u16)).iter().map(|&site| least[usize::from(site)]);
        candidates.find(|least| least.is_finite()).unwrap_or(f32::INFINITY)
    };
    tables.least_capacities = (0..regions).map(of).collect();
    let is_full = |region: usize| {
        let sites = pool.candidates(RegionId(region as u16)).iter().map(|&site| &tables.sites[usize::from(site)]);
        let mut open = sites.filter(|site| site.capacity > 0.0).peekable();
        open.peek().is_some() && open.all(|site| site.limit > FULL)
    };
    tables.full = (0..regions).map(is_full).collect();
    tables
}

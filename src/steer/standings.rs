//! How nodes stand in each pool and family: what probes take out there, and what the brake keeps.
//!
//! The brake: probes alone take out one node of a place, or 30 % of it; more only if other nameservers see the same. Where
//! so much seems to die at once, our own network is the likelier fault.

#[cfg(test)]
mod tests;

use super::fleet::{Fleet, FleetNode};
use super::tables::Standing;
use crate::load::health::{NodeHealth, State};
use crate::pool::{Family, NodeId, PoolId};

/// The part of a place's capacity that probes alone may take out.
const WITHDRAWN: f64 = 0.30;

/// What standings follow from; lists by `NodeId`.
pub(super) struct Evidence<'a> {
    pub(super) fleet: &'a Fleet,
    /// Load at which their pressure is 1.
    pub(super) capacities: &'a [f64],
    /// How they would stand if all checks succeeded.
    pub(super) sound: &'a [Standing],
    /// Whether they were near their limit: full rather than dead.
    pub(super) near_full: &'a [bool],
    pub(super) healths: &'a [&'a NodeHealth],
}

/// A node that fails over a family: by its own checks, or by those of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failing {
    pub(super) node: NodeId,
    pub(super) pool: Option<PoolId>,
    pub(super) family: Family,
}

/// How nodes stand.
#[derive(Debug)]
pub(super) struct Standings {
    /// Where they stand best, by `NodeId`.
    pub(super) best: Vec<Standing>,
    /// By their own checks: by family and `NodeId`.
    own: [Vec<Standing>; 2],
    /// By pool and family, those that its checks put elsewhere, in the order of their numbers.
    of_pools: Vec<[Vec<(NodeId, Standing)>; 2]>,
    /// The brake keeps some.
    pub(super) is_holding: bool,
}

/// What may be taken out of a place.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    capacity: f64,
    withdrawn: f64,
    count: u32,
}

impl Standings {
    /// How nodes stand. Those that are `out` already stay so, and count; those that are `confirmed` by others may go, and count.
    pub(super) fn of(
        evidence: &Evidence<'_>,
        is_out: impl Fn(Failing) -> bool,
        is_confirmed: impl Fn(Failing) -> bool,
    ) -> Self {
        let Evidence { fleet, sound, .. } = *evidence;
        let mut standings = Self {
            best: sound.to_vec(),
            own: [sound.to_vec(), sound.to_vec()],
            of_pools: fleet.pools.iter().map(|_| [Vec::new(), Vec::new()]).collect(),
            is_holding: false,
        };
        let fails = failing_nodes(evidence);
        if !fails.contains(&true) {
            return standings;
        }
        for family in Family::ALL {
            standings.judge_own(evidence, family, &is_out, &is_confirmed);
            for pool in (0..fleet.pools.len() as u16).map(PoolId) {
                standings.judge_pool(evidence, pool, family, &is_out, &is_confirmed);
            }
        }
        standings.find_best(evidence, &fails);
        standings
    }

    /// How a node stands in a pool over a family.
    pub(super) fn at(&self, pool: PoolId, family: Family, node: NodeId) -> Standing {
        let apart = &self.of_pools[usize::from(pool.0)][family as usize];
        match apart.binary_search_by_key(&node, |(id, _)| *id) {
            Ok(at) => apart[at].1,
            Err(_) => self.own[family as usize][usize::from(node.0)],
        }
    }

    /// By nodes' own checks: all nodes of a place count together.
    fn judge_own(
        &mut self,
        evidence: &Evidence<'_>,
        family: Family,
        is_out: impl Fn(Failing) -> bool,
        is_confirmed: impl Fn(Failing) -> bool,
    ) {
        let Evidence { fleet, capacities, sound, near_full, healths } = *evidence;
        let mut places = vec![Place::default(); fleet.places.len()];
        let mut failing = Vec::new();
        for (index, known) in fleet.nodes.iter().enumerate().take(sound.len()) {
            if !known.is_configured || known.node.address(family).is_none() {
                continue;
            }
            places[usize::from(known.place.0)].capacity += capacities[index];
            if healths[index].own(family).is_up() || sound[index] == Standing::Drained {
                continue;
            }
            if near_full[index] {
                self.own[family as usize][index] = Standing::Full;
            } else {
                let node = NodeId(index as u16);
                failing.push((Failing { node, pool: None, family }, usize::from(known.place.0)));
            }
        }
        let held = withdraw(&mut places, capacities, &failing, is_out, is_confirmed);
        for (each, _) in &failing {
            let is_held = held.contains(&each.node);
            self.own[family as usize][usize::from(each.node.0)] = if is_held { Standing::Held } else { Standing::Down };
        }
        self.is_holding |= !held.is_empty();
    }

    /// By the checks of a pool: its nodes of a place count together, with those that fail anyhow.
    fn judge_pool(
        &mut self,
        evidence: &Evidence<'_>,
        pool: PoolId,
        family: Family,
        is_out: impl Fn(Failing) -> bool,
        is_confirmed: impl Fn(Failing) -> bool,
    ) {
        let Evidence { fleet, capacities, near_full, healths, .. } = *evidence;
        let used = fleet.pool(pool);
        if used.pool.checks.is_empty() && !healths.iter().any(|health| health.has_pools()) {
            return;
        }
        let mut places = vec![Place::default(); fleet.places.len()];
        let (mut failing, mut apart) = (Vec::new(), Vec::new());
        for site in &used.sites {
            let place = usize::from(site.place.0);
            for &node in &site.nodes {
                let index = usize::from(node.0);
                if fleet.node(node).node.address(family).is_none() {
                    continue;
                }
                places[place].capacity += capacities[index];
                match self.own[family as usize][index] {
                    Standing::Down => places[place].take(capacities[index]),
                    // What the brake keeps there, it keeps here.
                    Standing::Held | Standing::Full | Standing::Drained => {}
                    _ if healths[index].of_pool(pool, family).is_up() => {}
                    _ if near_full[index] => apart.push((node, Standing::Full)),
                    _ => failing.push((Failing { node, pool: Some(pool), family }, place)),
                }
            }
        }
        failing.sort_unstable_by_key(|(each, _)| each.node);
        let held = withdraw(&mut places, capacities, &failing, is_out, is_confirmed);
        let standing = |node| if held.contains(&node) { Standing::Held } else { Standing::Down };
        apart.extend(failing.iter().map(|(each, _)| (each.node, standing(each.node))));
        apart.sort_unstable_by_key(|(node, _)| *node);
        self.of_pools[usize::from(pool.0)][family as usize] = apart;
        self.is_holding |= !held.is_empty();
    }

    /// Where nodes that fail anywhere stand best.
    fn find_best(&mut self, evidence: &Evidence<'_>, fails: &[bool]) {
        let Evidence { fleet, sound, .. } = *evidence;
        let mut best: Vec<Option<Standing>> = vec![None; sound.len()];
        for (pool, family, node) in memberships(fleet).filter(|(.., node)| fails[usize::from(node.0)]) {
            let here = self.at(pool, family, node);
            let best = &mut best[usize::from(node.0)];
            *best = Some(best.map_or(here, |known| better(known, here)));
        }
        for (index, best) in best.into_iter().enumerate().filter(|(index, _)| fails[*index]) {
            let families = Family::ALL.into_iter().filter(|&family| fleet.nodes[index].node.address(family).is_some());
            let own = families.map(|family| self.own[family as usize][index]).reduce(better);
            self.best[index] = best.or(own).unwrap_or(self.own[0][index]);
        }
    }
}

impl Place {
    fn take(&mut self, capacity: f64) {
        self.withdrawn += capacity;
        self.count += 1;
    }

    fn may_lose(&self, capacity: f64) -> bool {
        self.count == 0 || self.withdrawn + capacity <= WITHDRAWN * self.capacity
    }
}

/// Takes nodes out of their places; those that it may not, which are held.
fn withdraw(
    places: &mut [Place],
    capacities: &[f64],
    failing: &[(Failing, usize)],
    is_out: impl Fn(Failing) -> bool,
    is_confirmed: impl Fn(Failing) -> bool,
) -> Vec<NodeId> {
    let (out, candidates): (Vec<_>, Vec<_>) = failing.iter().partition(|(each, _)| is_out(*each));
    for (each, place) in out {
        places[place].take(capacities[usize::from(each.node.0)]);
    }
    let mut held = Vec::new();
    for (each, place) in candidates {
        let capacity = capacities[usize::from(each.node.0)];
        if is_confirmed(each) || places[place].may_lose(capacity) {
            places[place].take(capacity);
        } else {
            held.push(each.node);
        }
    }
    held
}

/// The better of two standings of one node.
fn better(a: Standing, b: Standing) -> Standing {
    let rank = |standing| match standing {
        Standing::Known | Standing::New | Standing::Blind | Standing::Distrusted => 0,
        Standing::Held => 1,
        Standing::Full => 2,
        Standing::Exhausted => 3,
        Standing::Down | Standing::Drained => 4,
    };
    if rank(b) < rank(a) { b } else { a }
}

/// Which nodes fail anywhere.
fn failing_nodes(evidence: &Evidence<'_>) -> Vec<bool> {
    let fails = |health: &&NodeHealth| !health.is_up_throughout();
    evidence.healths.iter().map(fails).collect()
}

/// Where nodes fail their checks.
pub(super) fn failing(fleet: &Fleet, healths: &[&NodeHealth]) -> Vec<Failing> {
    let mut failing = Vec::new();
    for (index, health) in healths.iter().enumerate().filter(|(_, health)| !health.is_up_throughout()) {
        let known = &fleet.nodes[index].node;
        for family in Family::ALL.into_iter().filter(|&family| known.address(family).is_some()) {
            let pools = (0..fleet.pools.len() as u16).map(PoolId).filter(|&pool| !health.of_pool(pool, family).is_up());
            let own = (!health.own(family).is_up()).then_some(None);
            let node = NodeId(index as u16);
            failing.extend(own.into_iter().chain(pools.map(Some)).map(|pool| Failing { node, pool, family }));
        }
    }
    failing
}

/// Whether each node serves anywhere: in any pool that has it, over any family that it has.
pub(super) fn anywhere(fleet: &Fleet, healths: &[&NodeHealth]) -> Vec<State> {
    let by_own = |(health, known): (&&NodeHealth, &FleetNode)| {
        let families = Family::ALL.into_iter().filter(|&family| known.node.address(family).is_some());
        families.map(|family| health.own(family)).reduce(State::or).unwrap_or(health.own(Family::V4))
    };
    let mut states: Vec<State> = healths.iter().zip(&fleet.nodes).map(by_own).collect();
    if healths.iter().any(|health| health.has_pools()) {
        let mut by_pools: Vec<Option<State>> = vec![None; states.len()];
        for (pool, family, node) in memberships(fleet) {
            let (here, known) = (healths[usize::from(node.0)].at(pool, family), &mut by_pools[usize::from(node.0)]);
            *known = Some(known.map_or(here, |known| known.or(here)));
        }
        for (state, by_pools) in states.iter_mut().zip(by_pools) {
            *state = by_pools.unwrap_or(*state);
        }
    }
    states
}

/// Every node of every use of a pool, once for each family that it has.
fn memberships(fleet: &Fleet) -> impl Iterator<Item = (PoolId, Family, NodeId)> {
    let pools = fleet.pools.iter().enumerate();
    let members = pools.flat_map(|(index, pool)| {
        pool.sites.iter().flat_map(|site| &site.nodes).map(move |&node| (PoolId(index as u16), node))
    });
    members.flat_map(move |(pool, node)| {
        let families = Family::ALL.into_iter().filter(move |&family| fleet.node(node).node.address(family).is_some());
        families.map(move |family| (pool, family, node))
    })
}

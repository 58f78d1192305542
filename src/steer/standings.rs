//! How nodes stand in each pool and family: what probes take out there, and what the brake keeps.
//!
//! The brake: probes alone take out one node of a place and of a pool, or 30 % of each; more only if other nameservers see
//! the same. Where so much seems to die at once, our own network is the likelier fault. Who failed first is out first, so
//! that a node long dead does not come back when another fails.

#[cfg(test)]
mod tests;

use super::fleet::{Fleet, FleetNode};
use super::tables::Standing;
use crate::load::health::{NodeHealth, State};
use crate::pool::{Family, NodeId, PoolId};

/// The part of the capacity of a place and of a pool that probes alone may take out.
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

/// Nodes that fail somewhere, in the order in which they may be taken out, each with its capacity and its groups.
type Candidates = Vec<(Failing, f64, Vec<usize>)>;

/// A place or a pool: what may be taken out of it.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
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

    /// By nodes' own checks: all nodes of a place count together, and those of a pool.
    fn judge_own(
        &mut self,
        evidence: &Evidence<'_>,
        family: Family,
        is_out: impl Fn(Failing) -> bool,
        is_confirmed: impl Fn(Failing) -> bool,
    ) {
        let Evidence { fleet, sound, near_full, healths, .. } = *evidence;
        let places = fleet.places.len();
        let mut groups = vec![Group::default(); places + fleet.pools.len()];
        let mut pools_of: Vec<Vec<usize>> = vec![Vec::new(); fleet.nodes.len()];
        for (index, pool) in fleet.pools.iter().enumerate() {
            let members = pool.sites.iter().flat_map(|site| &site.nodes);
            members.for_each(|node| pools_of[usize::from(node.0)].push(places + index));
        }
        let mut failing = Candidates::new();
        for (index, known) in fleet.nodes.iter().enumerate().take(sound.len()) {
            if !known.is_configured || known.node.address(family).is_none() {
                continue;
            }
            let capacity = evidence.serving(index);
            let of: Vec<usize> =
                [usize::from(known.place.0)].into_iter().chain(pools_of[index].iter().copied()).collect();
            of.iter().for_each(|&group| groups[group].capacity += capacity);
            if healths[index].own(family).is_up() || sound[index] == Standing::Drained {
                continue;
            }
            if near_full[index] {
                self.own[family as usize][index] = Standing::Full;
            } else {
                failing.push((Failing { node: NodeId(index as u16), pool: None, family }, capacity, of));
            }
        }
        failing.sort_by_key(|(each, ..)| since(healths[usize::from(each.node.0)].own(family)));
        let held = withdraw(&mut groups, &failing, is_out, is_confirmed);
        for (each, ..) in &failing {
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
        let Evidence { fleet, near_full, healths, .. } = *evidence;
        let used = fleet.pool(pool);
        if used.pool.checks.is_empty() && !healths.iter().any(|health| health.has_pools()) {
            return;
        }
        // All of the pool is the last.
        let all = fleet.places.len();
        let mut groups = vec![Group::default(); all + 1];
        let (mut failing, mut apart) = (Candidates::new(), Vec::new());
        for site in &used.sites {
            let place = usize::from(site.place.0);
            for &node in &site.nodes {
                let index = usize::from(node.0);
                if fleet.node(node).node.address(family).is_none() {
                    continue;
                }
                let (capacity, of) = (evidence.serving(index), vec![place, all]);
                of.iter().for_each(|&group| groups[group].capacity += capacity);
                match self.own[family as usize][index] {
                    Standing::Down => of.iter().for_each(|&group| groups[group].take(capacity)),
                    // What the brake keeps there, it keeps here.
                    Standing::Held | Standing::Full | Standing::Drained => {}
                    _ if healths[index].of_pool(pool, family).is_up() => {}
                    _ if near_full[index] => apart.push((node, Standing::Full)),
                    _ => failing.push((Failing { node, pool: Some(pool), family }, capacity, of)),
                }
            }
        }
        failing.sort_by_key(|(each, ..)| (since(healths[usize::from(each.node.0)].of_pool(pool, family)), each.node));
        let held = withdraw(&mut groups, &failing, is_out, is_confirmed);
        let standing = |node| if held.contains(&node) { Standing::Held } else { Standing::Down };
        apart.extend(failing.iter().map(|(each, ..)| (each.node, standing(each.node))));
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

impl Evidence<'_> {
    /// The capacity that is lost if the node is taken out: none of one that gets nobody anyhow.
    fn serving(&self, index: usize) -> f64 {
        match self.sound[index] {
            Standing::Drained | Standing::Exhausted => 0.0,
            _ => self.capacities[index],
        }
    }
}

impl Group {
    fn take(&mut self, capacity: f64) {
        self.withdrawn += capacity;
        // Who gets nobody anyhow is no loss.
        self.count += u32::from(capacity > 0.0);
    }

    fn may_lose(&self, capacity: f64) -> bool {
        self.count == 0 || self.withdrawn + capacity <= WITHDRAWN * self.capacity
    }
}

/// Takes nodes out of their groups; those that it may not, which are held.
fn withdraw(
    groups: &mut [Group],
    failing: &Candidates,
    is_out: impl Fn(Failing) -> bool,
    is_confirmed: impl Fn(Failing) -> bool,
) -> Vec<NodeId> {
    let (out, candidates): (Vec<_>, Vec<_>) = failing.iter().partition(|(each, ..)| is_out(*each));
    for (_, capacity, of) in out {
        of.iter().for_each(|&group| groups[group].take(*capacity));
    }
    let mut held = Vec::new();
    for (each, capacity, of) in candidates {
        if is_confirmed(*each) || of.iter().all(|&group| groups[group].may_lose(*capacity)) {
            of.iter().for_each(|&group| groups[group].take(*capacity));
        } else {
            held.push(each.node);
        }
    }
    held
}

/// Since when a node fails, for comparison; on equal terms with the others if it does not.
fn since(state: State) -> u64 {
    match state {
        // Times are not negative, and so their bits are in order.
        State::Down { since } => since.max(0.0).to_bits(),
        _ => u64::MAX,
    }
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

//! Policies beside the planner: simpler rules that operators ask for, as weights inside sites and shares of sites.

mod failover;
mod hash;
mod nearest;
mod round_robin;
mod weighted;

use super::fleet::FleetPool;
use super::tables::Manner;
use super::weigh::{Weighed, by_headroom, usual};
use crate::geo::RegionId;
use crate::pool::{NodeId, Policy};

/// A site's nodes of one family, as policies see them.
#[derive(Debug)]
pub(super) struct Standing {
    /// Nodes that have the family, in the order of the configuration.
    pub(super) nodes: Vec<(NodeId, Weighed)>,
    /// None serves, or only such as are full and do not answer their probes.
    pub(super) is_spent: bool,
}

impl Standing {
    /// Nodes that may serve.
    fn serving(&self) -> impl Iterator<Item = &(NodeId, Weighed)> {
        self.nodes.iter().filter(|(_, node)| node.factor > 0.0)
    }

    fn serves(&self) -> bool {
        self.serving().next().is_some()
    }
}

/// Weights of a site's nodes by the policy, and the pressure up to which they are filled.
pub(super) fn weights(policy: Policy, exponent: f64, sites: &[Standing], site: usize) -> (f64, Vec<f64>) {
    let weighed = |weigh: &dyn Fn(&(NodeId, Weighed)) -> f64| {
        (f64::INFINITY, sites[site].nodes.iter().map(weigh).collect::<Vec<f64>>())
    };
    match policy {
        Policy::Planner => {
            let nodes: Vec<Weighed> = sites[site].nodes.iter().map(|(_, node)| *node).collect();
            by_headroom(&nodes, exponent)
        }
        Policy::RoundRobin => weighed(&|(_, node)| round_robin::weight(node)),
        Policy::Weighted => weighed(&|(_, node)| weighted::weight(node)),
        Policy::Nearest => weighed(&|(_, node)| nearest::weight(node)),
        Policy::Failover => {
            let first = failover::first(&sites[site]);
            weighed(&|(_, node)| failover::weight(node, first))
        }
        Policy::Hash { bound, .. } => {
            let mean = hash::mean_pressure(sites);
            let (limit, weights) = weighed(&|(_, node)| hash::weight(node, bound, mean));
            if weights.iter().any(|weight| *weight > 0.0) {
                return (limit, weights);
            }
            // All that may serve here are at their limits, and the room is where these clients may not go.
            weighed(&|(_, node)| hash::size(node, bound, mean))
        }
    }
}

/// The weight that a node would have if it served.
pub(super) fn ghost(policy: Policy, exponent: f64, sites: &[Standing], node: &Weighed) -> f64 {
    let node = &Weighed { factor: node.ghost, ..*node };
    match policy {
        Policy::Planner => usual(node, exponent),
        Policy::RoundRobin => round_robin::weight(node),
        Policy::Weighted => weighted::weight(node),
        Policy::Nearest => nearest::weight(node),
        Policy::Failover => 0.0,
        Policy::Hash { bound, .. } => hash::weight(node, bound, hash::mean_pressure(sites)),
    }
}

/// The shares of a region's clients by site, for policies that do not plan; `weights` are those of each site's nodes.
pub(super) fn shares(
    policy: Policy,
    pool: &FleetPool,
    sites: &[Standing],
    weights: &[f64],
    region: RegionId,
) -> Vec<(u16, f64)> {
    let candidates = pool.candidates(region);
    let those = |may: &dyn Fn(&Standing) -> bool| -> Vec<u16> {
        candidates.iter().copied().filter(|&site| may(&sites[usize::from(site)])).collect()
    };
    // If none serves, probes are presumably wrong: whoever is configured.
    let by_need = [&|site: &Standing| !site.is_spent, &Standing::serves, &|site: &Standing| !site.nodes.is_empty()]
        as [&dyn Fn(&Standing) -> bool; 3];
    let mut open = by_need.into_iter().map(those).find(|open| !open.is_empty()).unwrap_or_default();
    match policy {
        Policy::Planner => return Vec::new(),
        Policy::Nearest => open.truncate(1),
        Policy::RoundRobin | Policy::Weighted => {}
        Policy::Failover => {
            open.sort_by_key(|&site| failover::first(&sites[usize::from(site)]).unwrap_or(u16::MAX));
            open.truncate(1);
        }
        Policy::Hash { bound, .. } => return hash::shares(candidates, &open, sites, bound),
    }
    let total: f64 = open.iter().map(|&site| weights[usize::from(site)]).sum();
    let even = 1.0 / open.len().max(1) as f64;
    open.into_iter().map(|site| (site, if total > 0.0 { weights[usize::from(site)] / total } else { even })).collect()
}

/// How keys find their nodes by the policy.
pub(super) fn manner(policy: Policy) -> Manner {
    match policy {
        Policy::Planner => Manner::Planned,
        Policy::RoundRobin | Policy::Weighted | Policy::Nearest => Manner::Rotating,
        Policy::Failover | Policy::Hash { .. } => Manner::Hashed,
    }
}

//! Hash: one node by a key, the same for all who ask with it; nodes share keys by size, none far above the others' load.

use super::Standing;
use crate::steer::weigh::{FULL, Weighed};

/// The pressure of all nodes that serve, weighted by size.
pub(super) fn mean_pressure(sites: &[Standing]) -> f64 {
    let serving = || sites.iter().flat_map(Standing::serving).map(|(_, node)| node);
    let capacity: f64 = serving().map(|node| node.capacity).sum();
    let load: f64 = serving().map(|node| node.capacity * node.pressure).sum();
    if capacity > 0.0 { load / capacity } else { 0.0 }
}

/// By size; a node whose pressure is above `bound` times the mean gives keys away in proportion (Mirrokni, Thorup and
/// Zadimoghaddam: Consistent Hashing with Bounded Loads, 2018, bound the number of keys; keys differ in load). While the others
/// have room, one that has little left gives away more, and all when it is at its limit.
pub(super) fn weight(node: &Weighed, bound: f64, mean: f64) -> f64 {
    let room = if mean < FULL { ((1.0 - node.pressure) / (1.0 - FULL)).clamp(0.0, 1.0) } else { 1.0 };
    size(node, bound, mean) * room
}

/// The same, whatever room is left.
pub(super) fn size(node: &Weighed, bound: f64, mean: f64) -> f64 {
    let most = bound * mean;
    let part = if node.pressure > most && node.pressure > 0.0 { most / node.pressure } else { 1.0 };
    node.capacity * node.factor * part
}

/// Shares of sites, in an order that is the same for all regions. Who does not serve keeps its part of the circle: a node's
/// is for its site, and that of a site without any is cut up for the others. So nobody moves but whose node is gone.
pub(super) fn shares(candidates: &[u16], open: &[u16], sites: &[Standing], bound: f64) -> Vec<(u16, f64)> {
    let mean = mean_pressure(sites);
    let size = |&site: &u16| -> f64 {
        let nodes = sites[usize::from(site)].nodes.iter();
        nodes.map(|(_, node)| weight(&Weighed { factor: node.ghost, ..*node }, bound, mean)).sum()
    };
    let mut circle: Vec<u16> = candidates.iter().copied().filter(|site| size(site) > 0.0).collect();
    circle.sort_unstable();
    let mut open: Vec<u16> = open.to_vec();
    open.sort_unstable();
    let (all, taken): (f64, f64) = (circle.iter().map(size).sum(), open.iter().map(size).sum());
    if taken <= 0.0 {
        return open.iter().map(|&site| (site, 1.0 / open.len() as f64)).collect();
    }
    let parts = |site: u16| {
        let heirs: Vec<(u16, f64)> = if open.contains(&site) {
            vec![(site, size(&site) / all)]
        } else {
            open.iter().map(|heir| (*heir, size(&site) / all * size(heir) / taken)).collect()
        };
        heirs
    };
    circle.into_iter().flat_map(parts).collect()
}

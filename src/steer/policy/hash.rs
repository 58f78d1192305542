//! Hash: one node by a key, the same for all who ask with it; nodes share keys by size, none far above the others' load.

use super::Standing;
use crate::steer::weigh::Weighed;

/// The pressure of all nodes that serve, weighted by size.
pub(super) fn mean_pressure(sites: &[Standing]) -> f64 {
    let serving = || sites.iter().flat_map(Standing::serving).map(|(_, node)| node);
    let capacity: f64 = serving().map(|node| node.capacity).sum();
    let load: f64 = serving().map(|node| node.capacity * node.pressure).sum();
    if capacity > 0.0 { load / capacity } else { 0.0 }
}

/// By size; a node whose pressure is above `bound` times the mean gives keys away in proportion (Mirrokni, Thorup and
/// Zadimoghaddam: Consistent Hashing with Bounded Loads, 2018, bound the number of keys; keys differ in load).
pub(super) fn weight(node: &Weighed, bound: f64, mean: f64) -> f64 {
    let most = bound * mean;
    let part = if node.pressure > most && node.pressure > 0.0 { most / node.pressure } else { 1.0 };
    node.capacity * node.factor * part
}

//! Kin: which use of a pool takes over, after a reload, what was learned of one that is gone.

use crate::pool::NodeId;
use crate::steer::fleet::FleetPool;

/// The nodes of a pool.
pub(super) fn members(pool: &FleetPool) -> Vec<NodeId> {
    pool.sites.iter().flat_map(|site| &site.nodes).copied().collect()
}

/// For each new use of a pool the old one that it continues, each once: the same by its identity, else one that is gone and
/// shares more than half of its nodes. What viewers cost does not change because a pool has another name, or another policy.
pub(super) fn heritage(old: (&[String], &[Vec<NodeId>]), new: (&[String], &[Vec<NodeId>])) -> Vec<Option<usize>> {
    let mut heirs: Vec<Option<usize>> =
        new.0.iter().map(|identity| old.0.iter().position(|known| known == identity)).collect();
    for (index, members) in new.1.iter().enumerate() {
        if heirs[index].is_some() {
            continue;
        }
        let common = |known: &Vec<NodeId>| known.iter().filter(|node| members.contains(node)).count();
        let gone = old.1.iter().enumerate().filter(|(known, _)| !heirs.contains(&Some(*known)));
        let nearest = gone.max_by_key(|(known, nodes)| (common(nodes), std::cmp::Reverse(*known)));
        heirs[index] = nearest.filter(|(_, nodes)| 2 * common(nodes) > members.len()).map(|(known, _)| known);
    }
    heirs
}

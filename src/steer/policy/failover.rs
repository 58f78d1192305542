//! Failover: all to the first node that is up, in the order of the configuration, of those that may serve the client.

use super::Standing;
use crate::steer::weigh::Weighed;

/// The rank of a site's first node that serves.
pub(super) fn first(site: &Standing) -> Option<u16> {
    site.serving().map(|(_, node)| node.rank).min()
}

/// All or nothing.
pub(super) fn weight(node: &Weighed, first: Option<u16>) -> f64 {
    if node.factor > 0.0 && first == Some(node.rank) { 1.0 } else { 0.0 }
}

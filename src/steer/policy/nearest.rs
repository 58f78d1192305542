//! Nearest: the nodes of the nearest site that has any that is up, in proportion to capacity and weight, whatever their load.

use crate::steer::weigh::Weighed;

/// By size.
pub(super) fn weight(node: &Weighed) -> f64 {
    node.capacity * node.factor
}

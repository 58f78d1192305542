//! Weighted: every node that is up in proportion to its capacity and weight, wherever it stands, whatever its load.

use crate::steer::weigh::Weighed;

/// By size.
pub(super) fn weight(node: &Weighed) -> f64 {
    node.capacity * node.factor
}

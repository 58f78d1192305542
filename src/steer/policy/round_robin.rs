//! Round robin: every node that is up in turn, whatever its size and wherever it stands.

use crate::steer::weigh::Weighed;

/// All alike.
pub(super) fn weight(node: &Weighed) -> f64 {
    if node.factor > 0.0 { 1.0 } else { 0.0 }
}

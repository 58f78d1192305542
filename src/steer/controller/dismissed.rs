//! Nodes that have left for good: whatever was learned by their numbers goes before others get these.

use super::Controller;
use crate::pool::NodeId;
use crate::steer::fleet::Fleet;
use crate::steer::model::Model;

impl Controller {
    /// Forgets all of nodes whose numbers are others' now, and says which numbers these are.
    pub(super) fn forget_dismissed(&mut self, fleet: &Fleet, first_seen: f64) -> Vec<bool> {
        let mut dismissed: Vec<bool> = vec![false; fleet.nodes.len()];
        for ((is_dismissed, known), name) in dismissed.iter_mut().zip(&fleet.nodes).zip(&self.names) {
            *is_dismissed = *name != known.node.name;
        }
        if dismissed.contains(&true) {
            let is_dismissed = |node: NodeId| dismissed.get(usize::from(node.0)).copied().unwrap_or(false);
            for (model, _) in self.nodes.iter_mut().zip(&dismissed).filter(|(_, is_dismissed)| **is_dismissed) {
                *model = Model::new(first_seen);
            }
            for slot in &mut self.calendar {
                slot.iter_mut().for_each(|expiry| expiry.node = expiry.node.filter(|(node, _)| !is_dismissed(*node)));
            }
            for members in &mut self.members {
                members.retain(|node| !is_dismissed(*node));
            }
            self.scores.forget(is_dismissed);
            // Menus name nodes by numbers.
            self.menus.clear();
            self.peers.forget_numbers();
        }
        if dismissed.contains(&true) || self.names.len() != fleet.nodes.len() {
            self.names = fleet.nodes.iter().map(|known| known.node.name.clone()).collect();
        }
        dismissed
    }
}

//! The brake: probes alone take out one node of a site, or 30 % of it; more only if other nameservers see the same. Where
//! so much seems to die at once, our own network is the likelier fault.

use crate::pool::NodeId;
use crate::steer::fleet::Fleet;
use crate::steer::tables::Standing;

/// The part of a site's capacity that probes alone may take out.
const WITHDRAWN: f64 = 0.30;

/// Puts nodes back that nobody else saw fail, and says whether there were any. Nodes of one place count together.
pub(in crate::steer) fn hold(
    fleet: &Fleet,
    capacities: &[f64],
    standings: &mut [Standing],
    is_confirmed: impl Fn(NodeId) -> bool,
) -> bool {
    let mut is_holding = false;
    for place in 0..fleet.places.len() {
        let here = || {
            let nodes = fleet.nodes.iter().enumerate().take(standings.len());
            nodes
                .filter(|(_, known)| known.is_configured && usize::from(known.place.0) == place)
                .map(|(index, _)| index)
        };
        let members: Vec<usize> = here().collect();
        let capacity: f64 = members.iter().map(|&index| capacities[index]).sum();
        let mut withdrawn = 0.0;
        let mut count = 0;
        for index in members {
            if standings[index] != Standing::Down {
                continue;
            }
            let is_free = count == 0 || withdrawn + capacities[index] <= WITHDRAWN * capacity;
            if is_confirmed(NodeId(index as u16)) || is_free {
                withdrawn += capacities[index];
                count += 1;
            } else {
                standings[index] = Standing::Held;
                is_holding = true;
            }
        }
    }
    is_holding
}

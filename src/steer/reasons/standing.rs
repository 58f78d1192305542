//! How a node stands, for whoever looks at all nodes rather than at one client's answer.

use super::failures::Failing;
use super::words::{drained_by_server, node_reason, passed_over};
use crate::pool::{Family, NodeId, PoolId};
use crate::steer::fleet::Fleet;
use crate::steer::overrides::Override;
use crate::steer::tables::{SiteState, Tables};

/// What is made of a node, over all clients.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeStanding {
    /// Why it gets viewers, or why not.
    pub because: String,
    /// The pressure up to which its site is being filled; none = as far as it goes, or if no pool has it.
    pub limit: Option<f64>,
}

impl NodeStanding {
    /// Of one node, as of `now` in seconds since 1970.
    pub fn of(fleet: &Fleet, tables: &Tables, id: NodeId, now: u64) -> Self {
        let (known, node) = (fleet.node(id), &tables.nodes[usize::from(id.0)]);
        let name = &known.node.name;
        let mut best: Option<(At<'_>, f64, f64)> = None;
        for (at, weight, share) in sites_of(fleet, tables, id) {
            // What gives it the most viewers says most of it.
            if best.is_none_or(|(_, its_weight, its_share)| {
                (weight * share, weight) > (its_weight * its_share, its_weight)
            }) {
                best = Some((at, weight, share));
            }
        }
        let Some(((pool, family, state), weight, share)) = best else {
            let nothing = Failing { here: Vec::new(), elsewhere: Vec::new() };
            let nobody = Some("no pool of a service has it".to_owned());
            return Self { because: node_reason(node, node.standing, &nothing, nobody, &[]), limit: None };
        };
        let here = tables.fitness(pool, family, id);
        let failing = Failing::of(fleet, &node.checks, pool, family, tables.at);
        let drain = tables.drain_told(name, now).or_else(|| drained_by_server(node));
        let is_named = weight > 0.0 && share > 0.0;
        let passed = match passed_over(&here, &failing, state, weight, share, is_named, drain) {
            Some(_) if weight > 0.0 && share <= 0.0 && here.standing.is_eligible() => {
                "no client is sent to its site now".to_owned()
            }
            Some(passed) => passed,
            None => "gets viewers".to_owned(),
        };
        let orders = tables.orders.iter().filter(
            |order| matches!(&order.what, Override::Weight { node, .. } | Override::Limit { node, .. } if node == name),
        );
        let ordered: Vec<String> = orders.map(|order| format!("{} {}", order.what, order.told(now))).collect();
        let limit = Some(state.limit).filter(|limit| limit.is_finite());
        Self { because: node_reason(node, here.standing, &failing, Some(passed), &ordered), limit }
    }
}

/// A site of a pool, for a family.
type At<'t> = (PoolId, Family, &'t SiteState);

/// The sites that have a node, with its weight there and the largest share of any region's clients.
fn sites_of<'t>(fleet: &'t Fleet, tables: &'t Tables, id: NodeId) -> impl Iterator<Item = (At<'t>, f64, f64)> {
    let of_pool = move |index: usize| {
        let (pool_id, tables) = (PoolId(index as u16), &tables.pools[index]);
        let pool = fleet.pool(pool_id);
        let site = pool.sites.iter().position(|site| site.nodes.contains(&id))?;
        let families = [Family::V4, Family::V6].into_iter().map(move |family| {
            let tables = tables.of(family);
            let state = &tables.sites[site];
            let weight = state.weights.iter().find(|(node, _)| *node == id).map_or(0.0, |(_, weight)| *weight);
            ((pool_id, family, state), weight, tables.largest_share(site as u16))
        });
        Some(families)
    };
    (0..fleet.pools.len()).filter_map(of_pool).flatten()
}

//! What was learned, by names: what a controller leaves to one that comes after a restart.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Controller;
use crate::geo::Region;
use crate::steer::demand::Demand;
use crate::steer::fleet::{Fleet, FleetPool};
use crate::steer::model::Model;

/// Costs that differ less from what is configured, as a part of it, are not worth being kept.
const NOTABLE: f64 = 0.01;

/// What was learned of nodes and of viewers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Of nodes.
    pub nodes: Vec<LearnedNode>,
    /// Of viewers.
    pub viewers: Vec<LearnedViewers>,
}

/// What was learned of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnedNode {
    /// Its name.
    pub node: String,
    /// The load at which its pressure is 1, as a part of what is configured.
    pub capacity: f64,
    /// Load per viewer as it usually is, in its currency; none if that is not known.
    pub rate: Option<f64>,
}

/// What was learned of the viewers of a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnedViewers {
    /// The pool's name.
    pub pool: String,
    /// What tells this use of the pool from others.
    pub identity: String,
    /// The region's name.
    pub region: String,
    /// Load that a viewer brings, as a part of what is configured.
    pub cost: f64,
}

/// The same as it is looked up.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    nodes: HashMap<String, LearnedNode>,
    /// By identity and region, then by pool and region for uses that nobody knew.
    identities: HashMap<(String, String), f64>,
    pools: HashMap<(String, String), f64>,
}

impl Controller {
    /// What is learned, of the fleet and regions of the last tick.
    pub fn learned(&self, fleet: &Fleet, regions: &[Region]) -> Learned {
        let named = self.nodes.iter().zip(&fleet.nodes).filter(|(_, known)| !known.node.name.is_empty());
        let nodes = named.map(|(model, known)| {
            let (capacity, rate) = model.legacy();
            LearnedNode { node: known.node.name.clone(), capacity, rate }
        });
        let mut viewers = Vec::new();
        for (index, demand) in self.demands.iter().enumerate() {
            let (pool, region) = (index / self.regions, index % self.regions);
            let (Some(pool), Some(region)) = (fleet.pools.get(pool), regions.get(region)) else { continue };
            let cost = demand.learned();
            if (cost - 1.0).abs() >= NOTABLE {
                let (pool, identity) = (pool.pool.name.clone(), pool.identity());
                viewers.push(LearnedViewers { pool, identity, region: region.name.clone(), cost });
            }
        }
        Learned { nodes: nodes.collect(), viewers }
    }

    /// Takes what another one had learned, before the first tick; of what it differs from what is configured, `trust`
    /// counts, 0 to 1.
    pub fn inherit(&mut self, learned: Learned, trust: f64) {
        let fade = |value: f64| if value.is_finite() { 1.0 + trust * (value - 1.0) } else { 1.0 };
        let Learned { nodes, viewers } = learned;
        let nodes = nodes.into_iter().map(|node| {
            let faded = LearnedNode { capacity: fade(node.capacity), ..node };
            (faded.node.clone(), faded)
        });
        self.inherited.nodes = nodes.collect();
        for LearnedViewers { pool, identity, region, cost } in viewers {
            self.inherited.pools.insert((pool, region.clone()), fade(cost));
            self.inherited.identities.insert((identity, region), fade(cost));
        }
    }
}

impl Inherited {
    /// Gives a new node what was known of one of its name, once.
    pub(super) fn give_node(&mut self, name: &str, model: &mut Model) {
        if let Some(LearnedNode { capacity, rate, .. }) = self.nodes.remove(name) {
            model.inherit(capacity, rate);
        }
    }

    /// A new demand, of which a viewer costs this much as configured.
    pub(super) fn demand(&self, pool: &FleetPool, region: &str, cost: f64) -> Demand {
        let by_identity = self.identities.get(&(pool.identity(), region.to_owned()));
        let known = by_identity.or_else(|| self.pools.get(&(pool.pool.name.clone(), region.to_owned())));
        let mut demand = Demand::new(cost);
        if let Some(part) = known {
            demand.inherit(*part);
        }
        demand
    }
}

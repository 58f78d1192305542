//! Reasons: the numbers behind a decision, for those who ask why.

use serde::{Deserialize, Serialize};

use super::controller::{NodeState, SiteState, Tables};
use super::fleet::{Fleet, FleetService};
use super::menu::BUCKETS;
use super::pick::Decision;
use super::plan::FULL;
use crate::geo::RegionId;
use crate::load::history::Reading;
use crate::pool::{Family, NodeId};

/// Why a decision names what it names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SteeringReasons {
    /// The pool.
    pub pool: String,
    /// Its sites, nearest first.
    pub sites: Vec<SiteReason>,
    /// Its nodes, by site.
    pub nodes: Vec<NodeReason>,
    /// What set the TTL.
    pub ttl: String,
}

/// A site's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteReason {
    /// The place.
    pub place: String,
    /// Milliseconds from the client's region.
    pub distance: f64,
    /// Mean pressure of its nodes.
    pub pressure: f64,
    /// The share of the region's clients that it takes.
    pub share: f64,
    /// In words.
    pub because: String,
}

/// A node's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReason {
    /// The node.
    pub node: String,
    /// Its place.
    pub place: String,
    /// Its address of the family, if it has one.
    pub address: Option<String>,
    /// Worst resource ÷ its limit; 1 is overloaded. None while it is not known.
    pub pressure: Option<f64>,
    /// Each known resource as a share of its capacity, with the limit.
    pub uses: Vec<UseReason>,
    /// Seconds since the load was read.
    pub age: Option<f64>,
    /// Egress in Mbit/s at which its pressure would be 1.
    pub capacity: f64,
    /// Headroom weight, in Mbit/s.
    pub weight: f64,
    /// The chance that a client of this region gets this node first.
    pub chance: f64,
    /// This answer names it.
    pub is_named: bool,
    /// In words.
    pub because: String,
}

/// Use of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UseReason {
    /// Which.
    pub resource: String,
    /// Share of its capacity, 0 to 1 and beyond.
    pub share: f64,
    /// The share at which the node counts as overloaded.
    pub limit: f64,
}

impl SteeringReasons {
    /// Collects the numbers behind a decision.
    pub fn of(
        fleet: &Fleet,
        tables: &Tables,
        service: &FleetService,
        family: Family,
        region: RegionId,
        decision: &Decision<'_>,
    ) -> Self {
        let pool = fleet.pool(service.pool);
        let states = tables.pools[usize::from(service.pool.0)].of(family);
        let plan = states.plan(region);
        let mut reasons = Self {
            pool: pool.name.clone(),
            sites: Vec::new(),
            nodes: Vec::new(),
            ttl: ttl_reason(&states.sites[decision.site], service),
        };
        for &index in pool.nearest(usize::from(region.0)) {
            let (site, state) = (&pool.sites[usize::from(index)], &states.sites[usize::from(index)]);
            let at = plan.iter().position(|share| share.site == index);
            let until = |at: usize| f64::from(plan[at].until) / f64::from(u32::MAX);
            let share = at.map_or(0.0, |at| until(at) - at.checked_sub(1).map_or(0.0, until));
            let place = &fleet.places[usize::from(site.place.0)].name;
            reasons.sites.push(SiteReason {
                place: place.clone(),
                distance: fleet.distance(region, site.place),
                pressure: state.pressure,
                share,
                because: site_reason(state, share),
            });
            let firsts: Vec<(NodeId, f64)> = state.menu.iter().flat_map(|menu| menu.first_shares()).collect();
            for &id in &site.nodes {
                let chance = firsts.iter().find(|(node, _)| *node == id).map_or(0.0, |(_, first)| first * share);
                let weight = state.weights.iter().find(|(node, _)| *node == id).map_or(0.0, |(_, weight)| *weight);
                let node = &tables.nodes[usize::from(id.0)];
                let address = fleet.node(id).node.address(family);
                let is_named = decision.nodes.contains(&id);
                let loaded = node.reading.last();
                reasons.nodes.push(NodeReason {
                    node: fleet.node(id).node.name.clone(),
                    place: place.clone(),
                    address: address.map(|address| address.to_string()),
                    pressure: loaded.map(|load| load.pressure),
                    uses: loaded.map_or_else(Vec::new, |load| {
                        let uses = load.uses.iter();
                        uses.map(|each| UseReason {
                            resource: each.resource.to_string(),
                            share: each.share,
                            limit: each.limit,
                        })
                        .collect()
                    }),
                    age: loaded.map(|load| tables.at - load.sampled),
                    capacity: node.capacity,
                    weight,
                    chance,
                    is_named,
                    because: node_reason(node, state, address.is_some(), weight, share, is_named, decision),
                });
            }
        }
        reasons
    }
}

fn ttl_reason(state: &SiteState, service: &FleetService) -> String {
    let bounds = &service.service.ttl;
    if state.is_restless {
        format!(
            "a third of the longest TTL, {} s, but not below {} s: the site is busy or its load is not known",
            bounds.max, bounds.min
        )
    } else {
        format!("the longest TTL, {} s: the site has room", bounds.max)
    }
}

fn site_reason(state: &SiteState, share: f64) -> String {
    match (&state.menu, state.limit) {
        (None, _) => "no node here has an address of this family".to_owned(),
        (Some(_), limit) if limit > FULL => format!("full: its nodes are above {FULL} of their limits"),
        (Some(_), _) if share <= 0.0 => "nearer sites have room".to_owned(),
        (Some(_), _) if share < 1.0 => "takes what it has room for".to_owned(),
        (Some(_), _) => "the nearest with room".to_owned(),
    }
}

fn node_reason(
    node: &NodeState,
    state: &SiteState,
    has_address: bool,
    weight: f64,
    share: f64,
    is_named: bool,
    decision: &Decision<'_>,
) -> String {
    let passed_over = if !has_address {
        Some("no address of this family".to_owned())
    } else if weight <= 0.0 {
        Some(format!("full: pressure {:.2} is above {}", node.pressure, state.limit))
    } else if share <= 0.0 {
        Some("its site takes nobody from this region".to_owned())
    } else if !is_named {
        Some(format!("has room; other clients get it (this one is in bucket {} of {BUCKETS})", decision.bucket))
    } else {
        None
    };
    let mut reason = passed_over.unwrap_or_else(|| "named".to_owned());
    match &node.reading {
        Reading::Fresh(_) => {}
        Reading::Stale { because, age, .. } => {
            reason.push_str(&format!("; stale: last load is {age:.0} s old"));
            if let Some(error) = because {
                reason.push_str(&format!(" ({error})"));
            }
        }
        Reading::Never { because } => {
            reason.push_str("; its load was never read");
            if let Some(error) = because {
                reason.push_str(&format!(" ({error})"));
            }
        }
    }
    reason
}

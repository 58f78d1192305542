//! Reasons: the numbers behind a decision, for those who ask why.

mod failures;
mod standing;
mod words;

use serde::{Deserialize, Serialize};

use super::fleet::{Fleet, FleetPool, FleetService};
use super::menu::LIGHT_ANSWERS;
use super::overrides::{Order, Override};
use super::pick::{Asker, Decision, lingers, time_of};
use super::tables::{FamilyTables, Manner, Tables};
use crate::pool::{Answers, Currency, Family, NodeId, PoolId};
use failures::Failing;
pub use standing::NodeStanding;
use words::{demand_reason, drained_by_server, node_reason, passed_over, site_reason, ttl_reason};

/// Why a decision names what it names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SteeringReasons {
    /// The pool.
    pub pool: String,
    /// The policy.
    pub policy: String,
    /// The unit of load: `Mbit/s` or `viewers`.
    pub unit: String,
    /// The region's viewers, and what one brings.
    pub demand: DemandReason,
    /// The key, and how it is treated.
    pub key: KeyReason,
    /// The site that the client falls to; none if nobody may serve it.
    pub chosen: Option<usize>,
    /// No node had room below its limit.
    pub is_overfull: bool,
    /// The sites that may serve the client, nearest first; then the overflow; then those that a barrier keeps from it.
    pub sites: Vec<SiteReason>,
    /// Their nodes, by site; then those that may not serve it.
    pub nodes: Vec<NodeReason>,
    /// What set the TTL.
    pub ttl: String,
    /// What operators want for the time being that matters here.
    pub overrides: Vec<OverrideReason>,
}

/// An override that bears on the decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverrideReason {
    /// The word for its kind.
    pub kind: String,
    /// What is wanted: `pin dach fra`.
    pub what: String,
    /// Who wants it, until when, and why.
    pub told: String,
}

/// The viewers of the client's region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemandReason {
    /// Viewers per second that are expected next.
    pub forecast: f64,
    /// Load that one brings, as learned.
    pub cost: f64,
    /// How much of what queries promise is believed, 0 to 1.
    pub belief: f64,
    /// In words.
    pub because: String,
}

/// The client's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyReason {
    /// Viewers per second behind it, as estimated.
    pub viewers: f64,
    /// Seconds for which its resolver keeps answers beyond their TTL.
    pub stretched: f64,
    /// Several caches are behind it.
    pub is_shared: bool,
    /// Its answers go round.
    pub is_heavy: bool,
    /// In words.
    pub because: String,
}

/// A site's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteReason {
    /// The place; the name that viewers are sent to if it is the overflow.
    pub place: String,
    /// Whether it is one of ours: the overflow is not.
    pub is_ours: bool,
    /// A barrier keeps its nodes from the client.
    pub is_barred: bool,
    /// Any of its nodes serves.
    pub serves: bool,
    /// Milliseconds from the client's region, with what its nodes cost.
    pub distance: f64,
    /// Mean predicted pressure of its nodes.
    pub pressure: f64,
    /// The price of filling it further, in milliseconds.
    pub price: f64,
    /// The share of the region's clients that it takes.
    pub share: f64,
    /// The pressure up to which it is being filled; none = as far as it goes.
    pub limit: Option<f64>,
    /// In words.
    pub because: String,
}

/// A node's part; load in the unit of `SteeringReasons::unit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReason {
    /// The node.
    pub node: String,
    /// Its place.
    pub place: String,
    /// Its address of the family, if it has one.
    pub address: Option<String>,
    /// The word for how it stands: known, new, blind, distrusted, held, full, drained, exhausted, down.
    pub standing: String,
    /// Measured pressure: worst resource ÷ its limit; 1 is overloaded. None while it is not known.
    pub pressure: Option<f64>,
    /// Predicted pressure now.
    pub predicted: f64,
    /// Each known resource as a share of its capacity, with the limit.
    pub uses: Vec<UseReason>,
    /// Seconds since the load was read.
    pub age: Option<f64>,
    /// Load as measured, without those who have left since; dead-reckoned if it is not trusted.
    pub load: f64,
    /// Load of what was answered since.
    pub added: f64,
    /// Load that is still to come from answers in caches.
    pub committed: f64,
    /// Load at which its pressure is 1.
    pub capacity: f64,
    /// Factors of its weight: slow start, confidence, memory and disk, configured weight.
    pub factors: [f64; 4],
    /// Headroom weight.
    pub weight: f64,
    /// The chance that a light client of this region gets this node first.
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

/// What all parts of the reasons are about.
struct View<'a> {
    fleet: &'a Fleet,
    tables: &'a Tables,
    pool_id: PoolId,
    pool: &'a FleetPool,
    states: &'a FamilyTables,
    family: Family,
    /// The name of the client's region.
    region: &'a str,
    asker: &'a Asker,
    decision: &'a Decision<'a>,
}

impl SteeringReasons {
    /// Collects the numbers behind a decision.
    pub fn of(
        fleet: &Fleet,
        tables: &Tables,
        service: &FleetService,
        family: Family,
        region: &str,
        asker: &Asker,
        decision: &Decision<'_>,
    ) -> Self {
        let pool = fleet.pool(service.pool);
        let pool_tables = &tables.pools[usize::from(service.pool.0)];
        let (pool_id, states) = (service.pool, pool_tables.of(family));
        let view = View { fleet, tables, pool_id, pool, states, family, region, asker, decision };
        let unit = match pool.pool.currency {
            Currency::Egress => "Mbit/s",
            Currency::Clients => "viewers",
        };
        let candidates = pool.candidates(asker.region);
        let barred = || (0..pool.sites.len() as u16).filter(|site| !candidates.contains(site));
        let nodes = candidates.iter().copied().chain(barred()).flat_map(|site| view.nodes_of(site));
        let overflow = pool.overflow().map(|overflow| {
            let share = view.states.share(asker.region, pool.sites.len() as u16);
            SiteReason {
                place: overflow.cname.to_string(),
                is_ours: false,
                is_barred: false,
                serves: true,
                limit: None,
                distance: overflow.cost,
                pressure: 0.0,
                price: 0.0,
                share,
                because: format!("elsewhere: used when all sites are above {:.2}", overflow.above),
            }
        });
        let forecast = pool_tables.demand(asker.region).map_or(0.0, |demand| demand.forecast);
        Self {
            pool: pool.pool.name.clone(),
            policy: pool.policy.word().to_owned(),
            unit: unit.to_owned(),
            demand: pool_tables.demand(asker.region).map_or_else(DemandReason::nothing, |demand| DemandReason {
                forecast,
                cost: demand.cost,
                belief: demand.belief,
                because: demand_reason(demand.is_hot, demand.belief),
            }),
            key: view.key(pool_tables.manner, service),
            chosen: decision.site.and_then(|chosen| {
                match candidates.iter().position(|&site| usize::from(site) == chosen) {
                    Some(place) => Some(place),
                    None => (chosen == pool.sites.len()).then_some(candidates.len()),
                }
            }),
            is_overfull: decision.is_overfull,
            sites: candidates
                .iter()
                .copied()
                .map(|site| view.site(site))
                .chain(overflow)
                .chain(barred().map(|site| view.site(site)))
                .collect(),
            nodes: nodes.collect(),
            ttl: ttl_reason(decision, service),
            overrides: view.overrides(service),
        }
    }
}

impl DemandReason {
    fn nothing() -> Self {
        Self { forecast: 0.0, cost: 0.0, belief: 1.0, because: "nothing is known of the region".to_owned() }
    }
}

impl View<'_> {
    fn key(&self, manner: Manner, service: &FleetService) -> KeyReason {
        let estimate = &self.asker.estimate;
        let mut because = match (manner, self.decision.is_heavy) {
            (Manner::Planned, false) => {
                "light: a small part of the region's viewers, so it keeps its nodes while plan and weights stay".to_owned()
            }
            (Manner::Planned, true) => {
                "heavy: more than 1 % of the region's viewers, or of what a node can carry; its nodes change four times a second"
                    .to_owned()
            }
            (Manner::Rotating, _) => "the policy lets all keys go round".to_owned(),
            (Manner::Hashed, _) => "the policy keeps each key where it is".to_owned(),
        };
        let is_told_more =
            self.pool.answers == Answers::Auto && self.decision.nodes.len() > LIGHT_ANSWERS && !self.decision.is_heavy;
        if is_told_more && lingers(manner, estimate, service) {
            because.push_str("; it is new or comes back seldom, so it is told more nodes");
        }
        if estimate.is_shared {
            because.push_str("; several caches are behind the address");
        }
        if estimate.stretched > 0.0 {
            because.push_str(&format!("; its resolver keeps answers for {:.0} s", estimate.stretched));
        }
        KeyReason {
            viewers: estimate.viewers,
            stretched: estimate.stretched,
            is_shared: estimate.is_shared,
            is_heavy: self.decision.is_heavy,
            because,
        }
    }

    fn site(&self, index: u16) -> SiteReason {
        let state = &self.states.sites[usize::from(index)];
        let is_barred = !self.pool.candidates(self.asker.region).contains(&index);
        let share = if is_barred { 0.0 } else { self.states.share(self.asker.region, index) };
        let pin = self.order(|what| matches!(what, Override::Pin { region, .. } if region == self.region));
        let pinned = pin.and_then(|order| match &order.what {
            Override::Pin { place, .. } => Some(place).filter(|place| **place != self.place_of(index)),
            _ => None,
        });
        let because = if is_barred {
            "a barrier: it does not serve these clients".to_owned()
        } else if let Some(place) = pinned.filter(|_| share <= 0.0) {
            format!("the region is pinned to {place}")
        } else {
            site_reason(self.pool.policy, state, share)
        };
        SiteReason {
            place: self.place_of(index),
            is_ours: true,
            is_barred,
            serves: state.capacity > 0.0,
            distance: self.pool.distance(self.asker.region, usize::from(index)),
            pressure: state.pressure,
            price: state.price,
            share,
            limit: Some(state.limit).filter(|limit| limit.is_finite()),
            because,
        }
    }

    /// Seconds since 1970, as far as the slot tells.
    fn now(&self) -> u64 {
        time_of(self.asker.slot) / 1_000
    }

    /// The override of a node that is about so.
    fn order(&self, is_meant: impl Fn(&Override) -> bool) -> Option<&Order> {
        self.tables.orders.iter().find(|order| is_meant(&order.what))
    }

    /// Overrides that bear on the decision: of everything, the region, the service, and nodes of the pool.
    fn overrides(&self, service: &FleetService) -> Vec<OverrideReason> {
        let service = service.service.name.to_string();
        let nodes = || self.pool.sites.iter().flat_map(|site| &site.nodes).map(|&id| &self.fleet.node(id).node.name);
        let bears = |order: &&Order| match &order.what {
            Override::Freeze => true,
            Override::Pin { region, .. } => *region == self.region,
            Override::Policy { service: of, .. } => *of == service,
            Override::Weight { node, .. } | Override::Limit { node, .. } | Override::Drain { node } => {
                nodes().any(|known| known == node)
            }
        };
        let reason = |order: &Order| OverrideReason {
            kind: order.what.word().to_owned(),
            what: order.what.to_string(),
            told: order.told(self.now()),
        };
        self.tables.orders.iter().filter(bears).map(reason).collect()
    }

    fn place_of(&self, site: u16) -> String {
        self.fleet.places[usize::from(self.pool.sites[usize::from(site)].place.0)].name.clone()
    }

    fn nodes_of(&self, index: u16) -> Vec<NodeReason> {
        let (site, state) = (&self.pool.sites[usize::from(index)], &self.states.sites[usize::from(index)]);
        let may_serve = self.pool.candidates(self.asker.region).contains(&index);
        let share = self.states.share(self.asker.region, index);
        let firsts: Vec<(NodeId, f64)> = state.menu.iter().flat_map(|menu| menu.first_shares()).collect();
        let of = |&id: &NodeId| {
            let find =
                |list: &[(NodeId, f64)]| list.iter().find(|(node, _)| *node == id).map_or(0.0, |(_, value)| *value);
            let node = &self.tables.nodes[usize::from(id.0)];
            let here = self.tables.fitness(self.pool_id, self.family, id);
            let failing = Failing::of(self.fleet, &node.checks, self.pool_id, self.family, self.tables.at);
            let known = self.fleet.node(id);
            let address = known.node.address(self.family);
            let weight = find(&state.weights);
            let is_named = self.decision.nodes.contains(&id);
            let loaded = node.reading.last();
            let uses = loaded.map_or(&[][..], |load| load.uses.as_slice());
            let passed_over = if !may_serve {
                Some("a barrier: it does not serve these clients".to_owned())
            } else if address.is_none() {
                Some("no address of this family".to_owned())
            } else {
                let drain = self.tables.drain_told(&known.node.name, self.now());
                let drain = drain.or_else(|| drained_by_server(node));
                passed_over(&here, &failing, state, weight, share, is_named, drain)
            };
            let weighed = self.order(|what| matches!(what, Override::Weight { node, .. } if *node == known.node.name));
            let limited = self.order(|what| matches!(what, Override::Limit { node, .. } if *node == known.node.name));
            let ordered: Vec<String> = [weighed, limited]
                .into_iter()
                .flatten()
                .map(|order| format!("{} {}", order.what, order.told(self.now())))
                .collect();
            NodeReason {
                node: known.node.name.clone(),
                place: self.place_of(index),
                address: address.map(|address| address.to_string()),
                standing: here.standing.word().to_owned(),
                pressure: loaded.map(|load| load.pressure),
                predicted: here.pressure,
                uses: uses
                    .iter()
                    .map(|each| UseReason { resource: each.resource.to_string(), share: each.share, limit: each.limit })
                    .collect(),
                age: loaded.map(|load| self.tables.at - load.sampled),
                load: node.prediction.measured,
                added: node.prediction.added + node.prediction.unexplained,
                committed: node.prediction.committed,
                capacity: node.capacity,
                factors: [here.factors.warmth, here.factors.confidence, here.factors.gate, here.factors.weight],
                weight,
                chance: if may_serve { find(&firsts) * share } else { 0.0 },
                is_named,
                because: node_reason(node, here.standing, &failing, passed_over, &ordered),
            }
        };
        site.nodes.iter().map(of).collect()
    }
}

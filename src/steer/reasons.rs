//! Reasons: the numbers behind a decision, for those who ask why.

use serde::{Deserialize, Serialize};

use super::fleet::{Fleet, FleetPool, FleetService};
use super::pick::{Asker, Clamp, Decision};
use super::tables::{FamilyTables, Manner, NodeState, SiteState, Standing, Tables};
use super::weigh::FULL;
use crate::load::history::Reading;
use crate::pool::{Currency, Family, NodeId, Policy};

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
    /// The sites that may serve the client, nearest first; the overflow last.
    pub sites: Vec<SiteReason>,
    /// Their nodes, by site; then those that may not serve it.
    pub nodes: Vec<NodeReason>,
    /// What set the TTL.
    pub ttl: String,
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
    /// The place.
    pub place: String,
    /// Milliseconds from the client's region, with what its nodes cost.
    pub distance: f64,
    /// Mean predicted pressure of its nodes.
    pub pressure: f64,
    /// The price of filling it further, in milliseconds.
    pub price: f64,
    /// The share of the region's clients that it takes.
    pub share: f64,
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
    pool: &'a FleetPool,
    states: &'a FamilyTables,
    family: Family,
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
        asker: &Asker,
        decision: &Decision<'_>,
    ) -> Self {
        let pool = fleet.pool(service.pool);
        let pool_tables = &tables.pools[usize::from(service.pool.0)];
        let view = View { fleet, tables, pool, states: pool_tables.of(family), family, asker, decision };
        let unit = match pool.pool.currency {
            Currency::Egress => "Mbit/s",
            Currency::Clients => "viewers",
        };
        let region = asker.region;
        let candidates = pool.candidates(region);
        let barred = (0..pool.sites.len() as u16).filter(|site| !candidates.contains(site));
        let nodes = candidates.iter().copied().chain(barred).flat_map(|site| view.nodes_of(site));
        let overflow = pool.overflow().map(|overflow| {
            let share = view.states.share(region, pool.sites.len() as u16);
            SiteReason {
                place: overflow.cname.to_string(),
                distance: overflow.cost,
                pressure: 0.0,
                price: 0.0,
                share,
                because: format!("elsewhere: used when all sites are above {:.2}", overflow.above),
            }
        });
        let forecast = pool_tables.demand(region).map_or(0.0, |demand| demand.forecast);
        Self {
            pool: pool.pool.name.clone(),
            policy: pool.policy.word().to_owned(),
            unit: unit.to_owned(),
            demand: pool_tables.demand(region).map_or_else(DemandReason::nothing, |demand| DemandReason {
                forecast,
                cost: demand.cost,
                belief: demand.belief,
                because: demand_reason(demand.is_hot, demand.belief),
            }),
            key: view.key(pool_tables.manner),
            sites: candidates.iter().map(|&site| view.site(site)).chain(overflow).collect(),
            nodes: nodes.collect(),
            ttl: ttl_reason(decision, service),
        }
    }
}

impl DemandReason {
    fn nothing() -> Self {
        Self { forecast: 0.0, cost: 0.0, belief: 1.0, because: "nothing is known of the region".to_owned() }
    }
}

impl View<'_> {
    fn key(&self, manner: Manner) -> KeyReason {
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
        let share = self.states.share(self.asker.region, index);
        SiteReason {
            place: self.place_of(index),
            distance: self.pool.distance(self.asker.region, usize::from(index)),
            pressure: state.pressure,
            price: state.price,
            share,
            because: site_reason(self.pool.policy, state, share),
        }
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
                passed_over(node, state, weight, share, is_named)
            };
            NodeReason {
                node: known.node.name.clone(),
                place: self.place_of(index),
                address: address.map(|address| address.to_string()),
                pressure: loaded.map(|load| load.pressure),
                predicted: node.pressure,
                uses: uses
                    .iter()
                    .map(|each| UseReason { resource: each.resource.to_string(), share: each.share, limit: each.limit })
                    .collect(),
                age: loaded.map(|load| self.tables.at - load.sampled),
                load: node.prediction.measured,
                added: node.prediction.added + node.prediction.unexplained,
                committed: node.prediction.committed,
                capacity: node.capacity,
                factors: [node.factors.warmth, node.factors.confidence, node.factors.gate, node.factors.weight],
                weight,
                chance: if may_serve { find(&firsts) * share } else { 0.0 },
                is_named,
                because: node_reason(node, passed_over),
            }
        };
        site.nodes.iter().map(of).collect()
    }
}

fn demand_reason(is_hot: bool, belief: f64) -> String {
    match (is_hot, belief < 1.0) {
        (_, true) => format!("nodes see only a part of what is asked for: {:.0} % of it is believed", belief * 100.0),
        (true, false) => "growing fast".to_owned(),
        (false, false) => "steady".to_owned(),
    }
}

fn ttl_reason(decision: &Decision<'_>, service: &FleetService) -> String {
    let (bounds, ttl) = (&service.service.ttl, decision.ttl);
    let third =
        format!("{ttl} s, a third of the longest ({} s) but not below the shortest ({} s)", bounds.max, bounds.min);
    match decision.clamp {
        Clamp::Longest => format!("{ttl} s, the longest: the site has room"),
        Clamp::Hot => format!("{third}: the region's demand grows fast"),
        Clamp::Busy => format!("{third}: the site is busy"),
        Clamp::Unknown => format!("{third}: the site's load is not known"),
        Clamp::Room => format!("{ttl} s: until then caches send as many viewers as one answer may bring"),
        Clamp::Shortest => format!("{ttl} s, the shortest"),
    }
}

fn site_reason(policy: Policy, state: &SiteState, share: f64) -> String {
    if state.menu.is_none() {
        return "no node here has an address of this family".to_owned();
    }
    if state.capacity <= 0.0 {
        return "no node here serves".to_owned();
    }
    if policy != Policy::Planner {
        return format!("the policy gives it {:.0} %", share * 100.0);
    }
    let filled = match state.limit {
        limit if limit.is_infinite() => "far beyond what it can do".to_owned(),
        limit if limit > FULL => format!("full: being filled up to {limit}"),
        _ if state.price >= 1.0 => format!("{:.2} full: price {:.0} ms", state.pressure, state.price),
        _ => "has room".to_owned(),
    };
    match share {
        share if share <= 0.0 => format!("{filled}; others are nearer or cheaper"),
        share if share < 0.999 => format!("{filled}; shares with others"),
        _ => filled,
    }
}

/// Why a node of a site that may serve the client is not named.
fn passed_over(node: &NodeState, state: &SiteState, weight: f64, share: f64, is_named: bool) -> Option<String> {
    match node.standing {
        Standing::Down => return Some("down: it fails its probes".to_owned()),
        Standing::Drained => return Some("drained".to_owned()),
        Standing::Exhausted => return Some("out of memory or disk".to_owned()),
        _ => {}
    }
    if is_named {
        None
    } else if weight <= 0.0 && node.pressure >= state.limit {
        Some(format!("full: predicted pressure {:.2} is above {}", node.pressure, state.limit))
    } else if weight <= 0.0 {
        Some("the policy passes it over".to_owned())
    } else if share <= 0.0 {
        Some("its site takes nobody from this region".to_owned())
    } else {
        Some("has room; other clients get it".to_owned())
    }
}

fn node_reason(node: &NodeState, passed_over: Option<String>) -> String {
    let mut reason = passed_over.unwrap_or_else(|| "named".to_owned());
    match node.standing {
        Standing::Distrusted => reason.push_str("; its load is not believed: dead reckoning"),
        Standing::Held => {
            reason.push_str("; fails its probes, as so many others do that our network is the likelier fault")
        }
        Standing::Full => reason.push_str("; fails its probes, but was near its limit: full rather than dead"),
        _ => {}
    }
    if let Some(load) = node.saturated {
        reason.push_str(&format!("; sends no more than {load:.0}: smaller than configured?"));
    }
    match &node.reading {
        Reading::Fresh(_) => {}
        Reading::Stale { because, age, .. } => {
            reason.push_str(&format!("; stale: last load is {age:.0} s old, dead reckoning"));
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

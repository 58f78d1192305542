//! The tables: everything that a pick needs, and what explains it; made once a second.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::alarm::Alarm;
use super::constants::Constants;
use super::menu::Menu;
use super::model::Prediction;
use super::overrides::{Drain, Order, Override};
use crate::geo::RegionId;
use crate::load::health::{NodeHealth, State};
use crate::load::history::Reading;
use crate::pool::{Family, NodeId, PoolId};

/// Everything that a pick needs.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// When they were made, in seconds of the readings' clock.
    pub at: f64,
    /// By `NodeId`.
    pub nodes: Vec<NodeState>,
    /// By `PoolId`.
    pub pools: Vec<PoolTables>,
    /// What an operator should know.
    pub alarms: Vec<Alarm>,
    /// What operators want for the time being.
    pub orders: Arc<[Order]>,
    /// Nodes that get nobody new although nobody ordered it.
    pub drains: Arc<[Drain]>,
    /// What a pick measures by.
    pub(super) thresholds: Thresholds,
}

impl Tables {
    /// Who drained a node, until when, and why, as of `now` in seconds since 1970; none if nobody did.
    pub fn drain_told(&self, node: &str, now: u64) -> Option<String> {
        let is_meant = |order: &&Order| matches!(&order.what, Override::Drain { node: drained } if drained == node);
        let ordered = self.orders.iter().find(is_meant).map(|order| order.told(now));
        ordered.or_else(|| self.drains.iter().find(|drain| drain.node == node).map(|drain| drain.told(now)))
    }
}

/// What a pick measures by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds {
    /// Part of a region's viewers above which a key is heavy, and part of the smallest node of the nearest site.
    pub(super) heavy: f64,
    /// Part of a node's headroom that one answer may use while caches hold it.
    pub(super) beta: f64,
    /// Site pressure above which answers live shorter.
    pub(super) busy: f64,
    /// The same for what a region brings in a second, as part of the site's capacity.
    pub(super) rush: f64,
    /// How many times as many viewers as are known may come to an answer that cannot be taken back for long.
    pub(super) crowd: f64,
}

impl Thresholds {
    /// Those of the model's constants.
    pub(super) fn of(constants: &Constants) -> Self {
        let Constants { heavy, beta, busy, rush, crowd, .. } = *constants;
        Self { heavy, beta, busy, rush, crowd }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::of(&Constants::USUAL)
    }
}

/// What is known of a node, and what follows from it; load in its currency.
#[derive(Debug, Clone)]
pub struct NodeState {
    /// Its load as last read.
    pub reading: Reading,
    /// Whether it may serve, and how far it is known, where it stands best.
    pub standing: Standing,
    /// Whether probes find it up in any pool over any family.
    pub health: State,
    /// What its checks found, by pool and family.
    pub checks: NodeHealth,
    /// What its load now is made of.
    pub prediction: Prediction,
    /// Predicted pressure now.
    pub pressure: f64,
    /// The load at which its pressure is 1.
    pub capacity: f64,
    /// The same as configured.
    pub configured: f64,
    /// The load at which it seems to send no more, if it does.
    pub saturated: Option<f64>,
    /// Factors of its weight.
    pub factors: Factors,
    /// The part of what came to it that answers explain, 0 to 1.
    pub explained: f64,
    /// Mean error of its predicted pressure over five minutes, without sign.
    pub prediction_error: f64,
}

impl NodeState {
    /// How fit it is where it stands best.
    pub fn fitness(&self) -> Fitness {
        Fitness { standing: self.standing, pressure: self.pressure, factors: self.factors }
    }
}

/// How fit a node is to serve a pool over a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitness {
    /// Whether it may serve, and how far it is known.
    pub standing: Standing,
    /// Predicted pressure now.
    pub pressure: f64,
    /// Factors of its weight.
    pub factors: Factors,
}

/// Whether a node may serve, and how far it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It serves, and its load is known.
    Known,
    /// It serves; its load was never read.
    New,
    /// It serves by dead reckoning: its load is too old.
    Blind,
    /// It serves by dead reckoning: its load is not believed.
    Distrusted,
    /// It serves although probes fail: so many at once are rather our fault.
    Held,
    /// It was near its limit when probes began to fail: full rather than dead.
    Full,
    /// It is taken out by an operator.
    Drained,
    /// It is out of memory or disk.
    Exhausted,
    /// Probes fail.
    Down,
}

impl Standing {
    /// Whether it may be named while there is any other.
    pub fn is_eligible(self) -> bool {
        match self {
            Self::Known | Self::New | Self::Blind | Self::Distrusted | Self::Held | Self::Full => true,
            Self::Drained | Self::Exhausted | Self::Down => false,
        }
    }

    /// Its word in metrics and tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::New => "new",
            Self::Blind => "blind",
            Self::Distrusted => "distrusted",
            Self::Held => "held",
            Self::Full => "full",
            Self::Drained => "drained",
            Self::Exhausted => "exhausted",
            Self::Down => "down",
        }
    }
}

/// Factors of a node's weight, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// It came up a short while ago.
    pub warmth: f64,
    /// Its load is not known well.
    pub confidence: f64,
    /// Its memory or its disk is nearly full.
    pub gate: f64,
    /// As configured, or as an operator says for the time being.
    pub weight: f64,
}

impl Factors {
    /// All of them.
    pub fn product(&self) -> f64 {
        self.warmth * self.confidence * self.gate * self.weight
    }
}

/// The tables of one use of a pool.
#[derive(Debug, Clone)]
pub struct PoolTables {
    /// By `Family`: candidates differ between A and AAAA.
    pub(super) families: [FamilyTables; 2],
    /// By `RegionId`.
    pub(super) demands: Vec<DemandState>,
    /// How keys find their nodes.
    pub(super) manner: Manner,
}

/// How keys find their nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Light keys stay where they are, heavy ones go round.
    Planned,
    /// All go round.
    Rotating,
    /// All stay where their hash puts them.
    Hashed,
}

/// What is known of the viewers of a region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DemandState {
    /// Mbit/s that one expected viewer brings, as learned (1 where viewers are counted).
    pub cost: f64,
    /// Viewers per second that are expected next.
    pub forecast: f64,
    /// Viewers per second of late, as far as they are believed.
    pub believed: f64,
    /// Viewers per second, counted once an answer where many caches share an address.
    pub plain: f64,
    /// What comes in a second, in units of load, as far as it is believed.
    pub inflow: f64,
    /// It grows fast.
    pub is_hot: bool,
    /// How much of what answers promise is believed, 0 to 1.
    pub belief: f64,
}

/// The tables of a pool for one address family.
#[derive(Debug, Clone)]
pub struct FamilyTables {
    /// By the site's place in `FleetPool::sites`; after them the overflow, if the pool has one.
    pub sites: Vec<SiteState>,
    /// Nodes of the pool that are less fit here than `NodeState` has them, in the order of their numbers; hardly ever any.
    pub(super) apart: Vec<(NodeId, Fitness)>,
    /// Nodes that died here since the tables were made; empty = none.
    pub dead: Vec<NodeId>,
    /// The shares of all regions; those of one end where `ends` says.
    pub(super) shares: Vec<Share>,
    pub(super) ends: Vec<u32>,
    /// By region, the least capacity of a node at its nearest site that serves.
    pub(super) least_capacities: Vec<f32>,
    /// By region, whether every site that may serve it is being filled beyond what is usual.
    pub(super) full: Vec<bool>,
}

/// A site's part of a region's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Clients whose position, a 32-bit hash, is at most this, and above that of the share before, go there.
    pub until: u32,
    /// The site's place in the pool's list.
    pub site: u16,
}

/// What is known of a site's nodes of one family, and what follows from it.
#[derive(Debug, Clone)]
pub struct SiteState {
    /// Mean pressure of the nodes that serve, weighted by capacity.
    pub pressure: f64,
    /// The load that these can carry at pressure 1.
    pub capacity: f64,
    /// The pressure up to which they are being filled.
    pub limit: f64,
    /// The price of a little more load there, in milliseconds of distance.
    pub price: f64,
    /// Their weights.
    pub weights: Vec<(NodeId, f64)>,
    /// Node sets; none if no node of the site has the family, and for the overflow.
    pub menu: Option<Arc<Menu>>,
    /// By set of the menu, the least room of its nodes.
    pub(super) rooms: Box<[f32]>,
    /// Nothing is known of its load.
    pub is_unknown: bool,
}

impl Tables {
    /// How fit a node is to serve a pool over a family, if the pool has it and it has the family.
    pub fn fitness(&self, pool: PoolId, family: Family, node: NodeId) -> Fitness {
        fitness_of(&self.pools[usize::from(pool.0)].of(family).apart, &self.nodes, node)
    }

    /// Nodes that serve somewhere although probes fail there.
    pub fn held(&self) -> BTreeSet<NodeId> {
        let apart = self.pools.iter().flat_map(|pool| &pool.families).flat_map(|tables| &tables.apart);
        let apart = apart.filter(|(_, fitness)| fitness.standing == Standing::Held).map(|(node, _)| *node);
        let nodes = self.nodes.iter().enumerate().filter(|(_, node)| node.standing == Standing::Held);
        apart.chain(nodes.map(|(index, _)| NodeId(index as u16))).collect()
    }
}

/// How fit a node is where these are apart.
pub(super) fn fitness_of(apart: &[(NodeId, Fitness)], nodes: &[NodeState], node: NodeId) -> Fitness {
    match apart.binary_search_by_key(&node, |(id, _)| *id) {
        Ok(at) => apart[at].1,
        Err(_) => nodes[usize::from(node.0)].fitness(),
    }
}

impl PoolTables {
    /// The tables of a family.
    #[inline]
    pub fn of(&self, family: Family) -> &FamilyTables {
        &self.families[family as usize]
    }

    /// What is known of a region's viewers.
    #[inline]
    pub fn demand(&self, region: RegionId) -> Option<&DemandState> {
        self.demands.get(usize::from(region.0))
    }
}

impl FamilyTables {
    /// Of sites, and each region's shares of them.
    pub(super) fn new(sites: Vec<SiteState>, regions: impl Iterator<Item = Vec<Share>>) -> Self {
        let mut tables = Self {
            sites,
            apart: Vec::new(),
            dead: Vec::new(),
            shares: Vec::new(),
            ends: Vec::new(),
            least_capacities: Vec::new(),
            full: Vec::new(),
        };
        for shares in regions {
            tables.shares.extend(shares);
            tables.ends.push(tables.shares.len() as u32);
        }
        tables
    }

    /// The shares of a region's clients, cumulative; empty only if no site may serve the region with this family.
    #[inline]
    pub fn plan(&self, region: RegionId) -> &[Share] {
        let region = usize::from(region.0);
        let Some(&end) = self.ends.get(region) else { return &[] };
        let start = region.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.shares[start as usize..end as usize]
    }

    /// Whether no site that may serve a region has room.
    #[inline]
    pub fn is_full(&self, region: RegionId) -> bool {
        self.full.get(usize::from(region.0)).copied().unwrap_or(false)
    }

    /// The largest share of any region's clients that a site takes, 0 to 1.
    pub(super) fn largest_share(&self, site: u16) -> f64 {
        let regions = (0..self.ends.len()).map(|region| self.share(RegionId(region as u16), site));
        regions.fold(0.0, f64::max)
    }

    /// The share of a region's clients that a site takes, 0 to 1.
    pub fn share(&self, region: RegionId, site: u16) -> f64 {
        let plan = self.plan(region);
        let until = |at: usize| f64::from(plan[at].until) / f64::from(u32::MAX);
        let part = |at: usize| until(at) - at.checked_sub(1).map_or(0.0, until);
        (0..plan.len()).filter(|&at| plan[at].site == site).map(part).sum()
    }
}

/// Cumulative shares of parts that sum up to 1, those of nothing left out; no client falls behind the last.
pub(super) fn cumulative(parts: impl Iterator<Item = (u16, f64)>) -> Vec<Share> {
    let mut sum = 0.0;
    let mut shares: Vec<Share> = parts
        .filter(|(_, part)| *part > 0.0)
        .map(|(site, part)| {
            sum += part;
            Share { until: (sum * f64::from(u32::MAX)) as u32, site }
        })
        .collect();
    if let Some(last) = shares.last_mut() {
        last.until = u32::MAX;
    }
    shares
}

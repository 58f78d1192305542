//! The controller: nodes' load and the time → weights, menus and plans. A pure state machine.

use std::collections::HashMap;
use std::sync::Arc;

use super::fleet::{Fleet, FleetNode, FleetPool, Site};
use super::menu::Menu;
use super::plan::{FULL, Share, SiteRoom, shares};
use crate::geo::RegionId;
use crate::load::history::Reading;
use crate::pool::{Bitrate, Family, NodeId, PlaceId};

/// Pressures up to which nodes are filled, one after the other: with a reserve, to the operator's
/// limit, to what the machine can do (1 ÷ 0.8), and beyond (STEERING §6).
const LIMITS: [f64; 4] = [FULL, 1.0, 1.25, 1.6];
/// The share of a site's capacity below which its weights count as nothing, and the next limit is taken.
const NEGLIGIBLE: f64 = 0.01;
/// What a node is trusted with while its load is not known.
const CONFIDENCE_UNKNOWN: f64 = 0.7;
/// The pressure that counts, at most, in a site's mean: a node beyond its limit gets nobody, and how far
/// beyond it is says nothing of the room of the others (counted to 1.5, one broken node of two closed a
/// site whose other node was half empty).
const MAX_PRESSURE: f64 = 1.0;
/// What a node is taken to send when nobody said.
const ASSUMED_EGRESS: Bitrate = Bitrate(1e9);
/// The part of its capacity that a site beyond all limits still counts with.
const CRUMB: f64 = 1e-6;
/// Site pressure above which answers live shorter.
const BUSY: f64 = 0.75;

/// Everything that a pick needs; made once a second.
#[derive(Debug, Default)]
pub struct Tables {
    /// When they were made, in seconds of the readings' clock.
    pub at: f64,
    /// By `NodeId`.
    pub nodes: Vec<NodeState>,
    /// By `PoolId`.
    pub pools: Vec<PoolTables>,
}

/// What is known of a node, and what follows from it.
#[derive(Debug, Clone)]
pub struct NodeState {
    /// Its load as last read.
    pub reading: Reading,
    /// Pressure that is reckoned with.
    pub pressure: f64,
    /// Egress in Mbit/s at which its pressure would be 1.
    pub capacity: f64,
    /// Factor for missing knowledge.
    pub confidence: f64,
}

/// The tables of a pool: by family, because demand, room and candidates differ between A and AAAA.
#[derive(Debug)]
pub struct PoolTables {
    families: [FamilyTables; 2],
}

/// The tables of a pool for one address family.
#[derive(Debug)]
pub struct FamilyTables {
    /// By the site's place in `FleetPool::sites`.
    pub sites: Vec<SiteState>,
    shares: Vec<Share>,
    ends: Vec<u32>,
}

/// What is known of a site's nodes of one family, and what follows from it.
#[derive(Debug)]
pub struct SiteState {
    /// Mean pressure of the nodes, weighted by capacity.
    pub pressure: f64,
    /// The limit up to which they are being filled.
    pub limit: f64,
    /// Their weights.
    pub weights: Vec<(NodeId, f64)>,
    /// Answers live shorter: the site is busy, or nothing is known of it.
    pub is_restless: bool,
    /// Node lists by weight; none if no node of the site has the family.
    pub menu: Option<Arc<Menu>>,
}

impl PoolTables {
    /// The tables of a family.
    #[inline]
    pub fn of(&self, family: Family) -> &FamilyTables {
        match family {
            Family::V4 => &self.families[0],
            Family::V6 => &self.families[1],
        }
    }
}

impl FamilyTables {
    /// The shares of a region's clients, cumulative, nearest site first; never empty if a configured
    /// node of the pool has the family.
    #[inline]
    pub fn plan(&self, region: RegionId) -> &[Share] {
        let region = usize::from(region.0);
        let Some(&end) = self.ends.get(region) else { return &[] };
        let start = region.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.shares[start as usize..end as usize]
    }
}

/// Makes tables; keeps the menus of the last ones where weights have hardly moved.
#[derive(Debug, Default)]
pub struct Controller {
    menus: HashMap<(String, PlaceId), [Option<Arc<Menu>>; 2]>,
}

impl Controller {
    /// One tick: the state of every node (`readings`, by `NodeId`) becomes tables for `regions` client regions.
    pub fn tick(&mut self, now: f64, fleet: &Fleet, regions: usize, readings: &[Reading], seed: u64) -> Tables {
        let nodes: Vec<NodeState> =
            fleet.nodes.iter().zip(readings).map(|(known, reading)| NodeState::of(known, reading)).collect();
        let mut menus = HashMap::new();
        let pools = fleet
            .pools
            .iter()
            .map(|pool| {
                let mut states = [Vec::new(), Vec::new()];
                for site in &pool.sites {
                    let key = (pool.name.clone(), site.place);
                    let mut known: Vec<Arc<Menu>> =
                        self.menus.get(&key).into_iter().flatten().flatten().cloned().collect();
                    let of_both = [Family::V4, Family::V6].map(|family| {
                        let state = SiteState::of(site, family, fleet, &nodes, pool.width, seed, &known);
                        known.extend(state.menu.clone());
                        state
                    });
                    menus.insert(key, of_both.each_ref().map(|state| state.menu.clone()));
                    for (states, state) in states.iter_mut().zip(of_both) {
                        states.push(state);
                    }
                }
                PoolTables { families: states.map(|sites| FamilyTables::of(pool, sites, &nodes, regions)) }
            })
            .collect();
        self.menus = menus;
        Tables { at: now, nodes, pools }
    }
}

impl NodeState {
    fn of(known: &FleetNode, reading: &Reading) -> Self {
        let link = reading.last().and_then(|load| load.egress_capacity);
        let egress = known.node.capacity.egress.or(link).unwrap_or(ASSUMED_EGRESS);
        let (pressure, confidence) = match reading {
            Reading::Fresh(load) => (load.pressure, 1.0),
            Reading::Stale { last, .. } => (last.pressure, CONFIDENCE_UNKNOWN),
            Reading::Never { .. } => (0.0, CONFIDENCE_UNKNOWN),
        };
        let capacity = egress.megabits() * known.node.limits.egress;
        Self { reading: reading.clone(), pressure, capacity, confidence }
    }
}

impl SiteState {
    /// Weighs the site's nodes that have the family, in proportion to headroom (STEERING §6 says why),
    /// and lists them by weight; the menu is one of the known ones if that serves.
    fn of(
        site: &Site,
        family: Family,
        fleet: &Fleet,
        nodes: &[NodeState],
        width: usize,
        seed: u64,
        known: &[Arc<Menu>],
    ) -> Self {
        let has_family = |id: &NodeId| fleet.node(*id).node.address(family).is_some();
        let mine: Vec<(NodeId, &NodeState)> =
            site.nodes.iter().filter(|id| has_family(id)).map(|id| (*id, &nodes[usize::from(id.0)])).collect();
        let capacity: f64 = mine.iter().map(|(_, node)| node.capacity).sum();
        let pressed: f64 = mine.iter().map(|(_, node)| node.capacity * node.pressure.min(MAX_PRESSURE)).sum();
        let weights_below = |limit: f64| -> Vec<(NodeId, f64)> {
            let headroom = |node: &NodeState| node.capacity * node.confidence * (limit - node.pressure).max(0.0);
            mine.iter().map(|(id, node)| (*id, headroom(node))).collect()
        };
        let (limit, weights) = LIMITS
            .into_iter()
            .map(|limit| (limit, weights_below(limit)))
            .find(|(_, weights)| weights.iter().map(|(_, weight)| weight).sum::<f64>() >= NEGLIGIBLE * capacity)
            // Every node is far beyond what it can do: share the harm by size.
            .unwrap_or_else(|| (f64::INFINITY, mine.iter().map(|(id, node)| (*id, node.capacity)).collect()));
        let menu = (!weights.is_empty()).then(|| {
            let kept = known.iter().find(|menu| menu.serves(&weights, width)).cloned();
            kept.unwrap_or_else(|| Arc::new(Menu::of(&weights, width, seed)))
        });
        let pressure = if capacity > 0.0 { pressed / capacity } else { 0.0 };
        let is_known = mine.iter().any(|(_, node)| matches!(node.reading, Reading::Fresh(_)));
        Self { pressure, limit, weights, is_restless: pressure > BUSY || !is_known, menu }
    }

    fn room(&self, nodes: &[NodeState]) -> SiteRoom {
        let mine = || self.weights.iter().map(|(id, _)| &nodes[usize::from(id.0)]);
        let left: f64 = mine().map(|node| node.capacity * (LIMITS[3] - node.pressure).max(0.0)).sum();
        let capacity: f64 = mine().map(|node| node.capacity).sum();
        SiteRoom {
            pressure: self.pressure,
            has_room: self.limit <= FULL,
            // A site that is beyond everything keeps a crumb, so that there is always an answer.
            reserve: left.max(capacity * CRUMB),
        }
    }
}

impl FamilyTables {
    /// Plans for every region among the sites that have the family.
    fn of(pool: &FleetPool, sites: Vec<SiteState>, nodes: &[NodeState], regions: usize) -> Self {
        let rooms: Vec<SiteRoom> = sites.iter().map(|site| site.room(nodes)).collect();
        let mut tables = Self { sites, shares: Vec::new(), ends: Vec::with_capacity(regions) };
        for region in 0..regions {
            let candidates = pool.nearest(region).iter().copied();
            let nearest: Vec<u16> = candidates.filter(|&site| tables.sites[usize::from(site)].menu.is_some()).collect();
            tables.shares.extend(shares(&nearest, &rooms));
            tables.ends.push(tables.shares.len() as u32);
        }
        tables
    }
}

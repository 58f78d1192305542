//! The pick: tables, a client's key and what is known of it → nodes and TTL. A pure function, a few tens of nanoseconds.

use super::fleet::FleetService;
use super::hash::mix;
use super::keys::Estimate;
use super::menu::{LIGHT_ANSWERS, draw};
use super::tables::{Manner, SiteState, Tables, Thresholds};
use crate::geo::RegionId;
use crate::pool::{Family, NodeId};

/// Milliseconds for which a heavy key gets the same answer.
const SLOT: u64 = 250;
/// Part of the longest TTL that is given while load moves or is not known.
const RESTLESS_PART: u32 = 3;
/// Part of the smallest node that an answer must bring before it may count as heavy: answers that move nothing may stay.
const NOTICED: f64 = 0.004;
/// Times the longest TTL after which a key comes back on average from which it lingers: few viewers are behind it, or its
/// resolver keeps answers for long. What it was told cannot be taken back when a crowd comes.
const LINGERS: f64 = 2.0;
/// Seconds for which resolvers keep answers at most.
const LONGEST_KEPT: f64 = 300.0;

/// The nodes chosen for a client and a service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision<'s> {
    /// In the order in which they are named; empty if viewers are sent elsewhere, or nobody may serve them.
    pub nodes: &'s [NodeId],
    /// Seconds for which the answer may be kept.
    pub ttl: u32,
    /// What set the TTL.
    pub clamp: Clamp,
    /// The site's place in `FleetPool::sites`; the number of sites for the overflow; none if nobody may serve.
    pub site: Option<usize>,
    /// The node set's place in the site's menu.
    pub set: usize,
    /// The key's answers go round.
    pub is_heavy: bool,
    /// No node had room below its limit: the least loaded are named.
    pub is_overfull: bool,
}

/// What set a TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clamp {
    /// The service's longest: all is calm.
    Longest,
    /// A third of it: the region's demand grows fast, or would soon fill much of the site.
    Hot,
    /// A third of it: the site is busy.
    Busy,
    /// A third of it: the site's load is not known.
    Unknown,
    /// One answer may use 4 % of a node's headroom.
    Room,
    /// The service's shortest.
    Shortest,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asker {
    /// The client's region.
    pub region: RegionId,
    /// The key's hash, with the installation's seed.
    pub hash: u64,
    /// What is known of the key.
    pub estimate: Estimate,
    /// The slot of time.
    pub slot: u64,
}

/// The slot of time in which heavy keys keep their answers.
#[inline]
pub fn slot(unix_milliseconds: u64) -> u64 {
    unix_milliseconds / SLOT
}

/// The milliseconds since 1970 at which a slot begins.
pub(super) fn time_of(slot: u64) -> u64 {
    slot.saturating_mul(SLOT)
}

/// Chooses nodes: the site by the key's position on the region's plan, the nodes by its bucket or its draw.
///
/// A light key keeps its nodes while plan and weights stay the same. Behind a heavy one are so many viewers that each
/// answer moves load: its position, its nodes and their order change with the slot. A and AAAA name the same nodes.
#[inline]
pub fn pick<'s>(tables: &'s Tables, service: &FleetService, family: Family, asker: &Asker) -> Decision<'s> {
    let Asker { region, hash, estimate, slot } = *asker;
    let pool = &tables.pools[usize::from(service.pool.0)];
    let of_family = pool.of(family);
    let bounds = &service.service.ttl;
    let nobody = Decision {
        nodes: &[],
        ttl: bounds.min,
        clamp: Clamp::Shortest,
        site: None,
        set: 0,
        is_heavy: false,
        is_overfull: false,
    };
    let Some(demand) = pool.demand(region) else { return nobody };
    let viewers = estimate.viewers;
    let lifetime = f64::from(bounds.max).max(estimate.stretched);
    let load = demand.cost * (1.0 + viewers * lifetime);
    let is_heavy = match pool.manner {
        Manner::Planned => {
            let least = f64::from(of_family.least_capacities[usize::from(region.0)]);
            let heavy = tables.thresholds.heavy;
            let share = load / LIGHT_ANSWERS as f64;
            // A large part of a quiet region is next to nothing to any node.
            (viewers > heavy * demand.believed && share > NOTICED * least) || share > heavy * least
        }
        Manner::Rotating => true,
        Manner::Hashed => false,
    };
    let drawn = if is_heavy { mix(hash ^ slot) } else { hash };
    let position = (drawn >> 32) as u32;
    let plan = of_family.plan(region);
    let Some(at) = plan.iter().position(|share| position <= share.until) else { return nobody };
    let share = &plan[at];
    let site = usize::from(share.site);
    let state = &of_family.sites[site];
    let Some(menu) = &state.menu else {
        // Elsewhere: back as soon as there is room.
        return Decision { site: Some(site), ..nobody };
    };
    let chosen = if is_heavy {
        menu.heavy(load, draw(drawn), drawn >> 16)
    } else if lingers(pool.manner, &estimate, service) {
        let held = if estimate.rhythm.is_finite() { viewers * estimate.rhythm.min(LONGEST_KEPT) } else { 0.0 };
        menu.lingering(drawn as usize, demand.cost * (1.0 + tables.thresholds.crowd * held), draw(drawn), drawn >> 16)
    } else if pool.manner == Manner::Hashed {
        menu.hashed(drawn)
    } else {
        menu.light(drawn as usize)
    };
    let (chosen, nodes) = match of_family.dead.as_slice() {
        [] => (chosen, menu.nodes(chosen)),
        dead => menu.without(chosen, dead, drawn),
    };
    let room = f64::from(state.rooms[chosen.set()]) * nodes.len() as f64;
    let part = share.until - at.checked_sub(1).map_or(0, |before| plan[before].until);
    let inflow = demand.inflow * f64::from(part) / f64::from(u32::MAX);
    let is_rush = pool.manner == Manner::Planned && inflow > tables.thresholds.rush * state.capacity;
    let is_moving = demand.is_hot || is_rush;
    let (ttl, clamp) = ttl(&tables.thresholds, service, demand.cost, is_moving, state, viewers, room);
    let is_overfull = pool.manner == Manner::Planned && of_family.is_full(region);
    Decision { nodes, ttl, clamp, site: Some(site), set: chosen.set(), is_heavy, is_overfull }
}

/// Whether a light key comes back so seldom that what it was told cannot be taken back when a crowd comes.
#[inline]
pub(super) fn lingers(manner: Manner, estimate: &Estimate, service: &FleetService) -> bool {
    manner == Manner::Planned && estimate.rhythm > LINGERS * f64::from(service.service.ttl.max)
}

/// The TTL: short while load moves or is not known, and so that one answer uses a small part of its nodes' `room` only.
#[inline]
fn ttl(
    thresholds: &Thresholds,
    service: &FleetService,
    cost: f64,
    is_moving: bool,
    state: &SiteState,
    viewers: f64,
    room: f64,
) -> (u32, Clamp) {
    let bounds = &service.service.ttl;
    let restless = (bounds.max / RESTLESS_PART).max(bounds.min);
    let (longest, clamp) = if state.is_unknown {
        (restless, Clamp::Unknown)
    } else if is_moving {
        (restless, Clamp::Hot)
    } else if state.pressure > thresholds.busy {
        (restless, Clamp::Busy)
    } else {
        (bounds.max, Clamp::Longest)
    };
    let allowed = (thresholds.beta * room / cost - 1.0) / viewers;
    if allowed >= f64::from(longest) {
        (longest, clamp)
    } else if allowed > f64::from(bounds.min) {
        (allowed as u32, Clamp::Room)
    } else {
        (bounds.min, Clamp::Shortest)
    }
}

//! The pick: tables and a client's key → nodes and TTL. A pure function, a few tens of nanoseconds.

use super::controller::Tables;
use super::fleet::FleetService;
use super::hash::{Key, mix};
use super::menu::BUCKETS;
use super::plan::FULL;
use crate::geo::RegionId;
use crate::pool::{Answers, Family, NodeId};

/// Milliseconds for which a resolver gets the same answer.
const SLOT: u64 = 250;
/// Part of the longest TTL that is given while load moves or is not known (STEERING §8, §10).
const RESTLESS_PART: u32 = 3;

/// The nodes chosen for a client and a service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision<'s> {
    /// In the order in which they are named; empty only if the pool has no node of the family.
    pub nodes: &'s [NodeId],
    /// Seconds for which the answer may be kept.
    pub ttl: u32,
    /// The site's place in `FleetPool::sites`.
    pub site: usize,
    /// The bucket of the site's menu.
    pub bucket: usize,
    /// The key's hash.
    pub hash: u64,
    /// No node had room below its limit: the least loaded are named.
    pub is_overfull: bool,
}

/// The slot of time in which resolvers keep their answers.
#[inline]
pub fn slot(unix_milliseconds: u64) -> u64 {
    unix_milliseconds / SLOT
}

/// Chooses nodes: the site by the key's position on the region's plan, the nodes by its bucket of the site's menu.
///
/// A client network keeps its nodes while tables stay the same. Behind a resolver's address there
/// may be any number of viewers, so its position moves with the slot; A and AAAA name the same nodes.
#[inline]
pub fn pick<'s>(
    tables: &'s Tables,
    service: &FleetService,
    family: Family,
    region: RegionId,
    key: &Key,
    slot: u64,
    seed: u64,
) -> Decision<'s> {
    let hash = key.hash(seed);
    let drawn = if key.is_resolver { mix(hash ^ slot) } else { hash };
    let (position, bucket) = ((drawn >> 32) as u32, drawn as usize % BUCKETS);
    let tables = tables.pools[usize::from(service.pool.0)].of(family);
    let share = tables.plan(region).iter().find(|share| position <= share.until);
    let Some((site, state, menu)) = share.and_then(|share| {
        let state = &tables.sites[usize::from(share.site)];
        Some((usize::from(share.site), state, state.menu.as_ref()?))
    }) else {
        return Decision { nodes: &[], ttl: service.service.ttl.min, site: 0, bucket, hash, is_overfull: false };
    };
    let row = match service.service.answers {
        Answers::Auto => menu.fair_row(bucket),
        Answers::Fixed(_) => menu.row(bucket),
    };
    let bounds = &service.service.ttl;
    let ttl = if state.is_restless { (bounds.max / RESTLESS_PART).max(bounds.min) } else { bounds.max };
    let is_overfull = state.limit > FULL;
    Decision { nodes: &row[..row.len().min(service.answers)], ttl, site, bucket, hash, is_overfull }
}

//! The mask: tables for the time in which no new ones can be made. Nodes that die meanwhile are passed over; else all stays.

use super::controller::hold;
use super::fleet::{Fleet, FleetPool};
use super::tables::{FamilyTables, Share, SiteState, Standing, Tables, cumulative};
use crate::geo::RegionId;
use crate::load::NodeLoad;
use crate::load::health::State;
use crate::pool::NodeId;

impl Tables {
    /// These tables, made for the fleet, without the nodes that have failed their probes since.
    ///
    /// The rules of the tick hold here too: what was nearly full is full rather than dead, and probes alone take out no more
    /// of a place than its brake allows.
    pub fn masked(&self, fleet: &Fleet, health: impl Fn(NodeId) -> State) -> Self {
        let mut masked = self.clone();
        let mut standings: Vec<Standing> = self.nodes.iter().map(|node| node.standing).collect();
        for (index, (node, standing)) in self.nodes.iter().zip(&mut standings).enumerate() {
            let has_failed = node.health.is_up() && !health(NodeId(index as u16)).is_up();
            let was_near_full = node.reading.last().is_some_and(NodeLoad::is_near_full);
            if has_failed && standing.is_eligible() && !was_near_full {
                *standing = Standing::Down;
            }
        }
        let capacities: Vec<f64> = self.nodes.iter().map(|node| node.capacity).collect();
        hold(fleet, &capacities, &mut standings, |_| false);
        masked.dead.clear();
        for (index, (node, standing)) in masked.nodes.iter_mut().zip(standings).enumerate() {
            if standing == Standing::Down && node.standing.is_eligible() {
                node.standing = Standing::Down;
                masked.dead.push(NodeId(index as u16));
            }
        }
        let dead = &masked.dead;
        for (pool, tables) in fleet.pools.iter().zip(&mut masked.pools).filter(|_| !dead.is_empty()) {
            tables.families.iter_mut().for_each(|family| leave_dead_sites(pool, family, dead));
        }
        masked
    }
}

/// Moves clients of sites without any living node to the others of their plan, else to the nearest that has one.
fn leave_dead_sites(pool: &FleetPool, tables: &mut FamilyTables, dead: &[NodeId]) {
    let is_alive = |site: &SiteState| match &site.menu {
        Some(menu) => menu.sets().flatten().any(|node| !dead.contains(node)),
        // The overflow has none, and is always there.
        None => site.weights.is_empty(),
    };
    let alive: Vec<bool> = tables.sites.iter().map(is_alive).collect();
    let (mut shares, mut ends): (Vec<Share>, Vec<u32>) = (Vec::new(), Vec::with_capacity(tables.ends.len()));
    for index in 0..tables.ends.len() {
        let region = RegionId(index as u16);
        let plan = tables.plan(region);
        let living = |site: u16| alive[usize::from(site)];
        if plan.iter().all(|share| living(share.site)) {
            shares.extend_from_slice(plan);
        } else if plan.iter().any(|share| living(share.site)) {
            let parts: Vec<(u16, f64)> = plan
                .iter()
                .filter(|share| living(share.site))
                .map(|share| (share.site, tables.share(region, share.site)))
                .collect();
            let total: f64 = parts.iter().map(|(_, part)| part).sum();
            shares.extend(cumulative(parts.into_iter().map(|(site, part)| (site, part / total))));
        } else {
            let serves = |site: &&u16| living(**site) && tables.sites[usize::from(**site)].menu.is_some();
            match pool.candidates(region).iter().find(serves) {
                Some(&site) => shares.push(Share { until: u32::MAX, site }),
                // All are dead: probes are presumably wrong.
                None => shares.extend_from_slice(plan),
            }
        }
        ends.push(shares.len() as u32);
    }
    (tables.shares, tables.ends) = (shares, ends);
}

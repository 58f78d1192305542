//! The mask: tables for the time in which no new ones can be made. Nodes that die meanwhile are passed over; else all stays.

use super::fleet::{Fleet, FleetPool};
use super::standings::{Evidence, Failing, Standings, anywhere};
use super::tables::{FamilyTables, Fitness, Share, SiteState, Standing, Tables, cumulative};
use crate::geo::RegionId;
use crate::load::NodeLoad;
use crate::load::health::NodeHealth;
use crate::pool::{Family, NodeId, PoolId};

impl Tables {
    /// These tables, made for the fleet, without the nodes that fail their probes by now, where they do.
    ///
    /// The rules of the tick hold here too: what was nearly full is full rather than dead, and probes alone take out no more
    /// of a place than its brake allows.
    pub fn masked(&self, fleet: &Fleet, health: impl Fn(NodeId) -> NodeHealth) -> Self {
        let healths: Vec<NodeHealth> = (0..self.nodes.len()).map(|index| health(NodeId(index as u16))).collect();
        let healths: Vec<&NodeHealth> = healths.iter().collect();
        let standings = self.standings_by(fleet, &healths);
        let mut masked = self.clone();
        for (index, pool) in fleet.pools.iter().enumerate() {
            let id = PoolId(index as u16);
            for family in Family::ALL {
                let tables = &mut masked.pools[index].families[family as usize];
                let members = pool.sites.iter().flat_map(|site| &site.nodes).copied();
                // Others are in no set anyhow.
                let was_named = |node: &NodeId| {
                    fleet.node(*node).node.address(family).is_some()
                        && (tables.dead.contains(node) || self.fitness(id, family, *node).standing.is_eligible())
                };
                let (dead, alive): (Vec<NodeId>, Vec<NodeId>) =
                    members.filter(was_named).partition(|&node| standings.at(id, family, node) == Standing::Down);
                // Who was dead here and is not any more stands as it does elsewhere.
                tables.apart.retain(|(node, _)| !(alive.contains(node) && tables.dead.contains(node)));
                for &node in &dead {
                    let here = Fitness { standing: Standing::Down, ..self.fitness(id, family, node) };
                    match tables.apart.binary_search_by_key(&node, |(id, _)| *id) {
                        Ok(at) => tables.apart[at].1 = here,
                        Err(at) => tables.apart.insert(at, (node, here)),
                    }
                }
                tables.dead = dead;
                if !tables.dead.is_empty() {
                    leave_dead_sites(pool, tables);
                }
            }
        }
        let now = anywhere(fleet, &healths);
        for (index, node) in masked.nodes.iter_mut().enumerate() {
            let best = standings.best[index];
            if (best == Standing::Down) != (node.standing == Standing::Down) {
                node.standing = best;
            }
            (node.health, node.checks) = (now[index], healths[index].clone());
        }
        masked
    }

    /// How nodes stand by what probes find now, and by all else as it was.
    fn standings_by(&self, fleet: &Fleet, healths: &[&NodeHealth]) -> Standings {
        let sound: Vec<Standing> = self
            .nodes
            .iter()
            .map(|node| match node.standing {
                Standing::Down | Standing::Held | Standing::Full => Standing::Known,
                standing => standing,
            })
            .collect();
        let near_full: Vec<bool> =
            self.nodes.iter().map(|node| node.reading.lately().is_some_and(NodeLoad::is_near_full)).collect();
        let capacities: Vec<f64> = self.nodes.iter().map(|node| node.capacity).collect();
        // Who was taken out stays so: other nameservers may have confirmed it.
        let is_out = |Failing { node, pool, family }: Failing| {
            let is_down_in = |pool| self.fitness(pool, family, node).standing == Standing::Down;
            match pool {
                Some(pool) => is_down_in(pool),
                None => {
                    !self.nodes[usize::from(node.0)].checks.own(family).is_up()
                        && fleet.first_pool_id_of(node).is_none_or(is_down_in)
                }
            }
        };
        let evidence = Evidence { fleet, capacities: &capacities, sound: &sound, near_full: &near_full, healths };
        Standings::of(&evidence, is_out, |_| false)
    }
}

/// Moves clients of sites without any living node to the others of their plan, else to the nearest that has one.
fn leave_dead_sites(pool: &FleetPool, tables: &mut FamilyTables) {
    let dead = &tables.dead;
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

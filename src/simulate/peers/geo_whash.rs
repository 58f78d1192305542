//! `geo-whash`: a node of the nearest site by a hash of the resolver's address, in proportion to capacity, as PowerDNS'
//! `pickwhashed` does: a resolver keeps its node.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::Query;
use crate::steer::mix;

pub(super) struct GeoWeightedHash;

impl Rule for GeoWeightedHash {
    fn choose(&mut self, view: &View<'_>, query: &Query, _dice: &mut Dice) -> Option<(usize, u32)> {
        let nodes = view.sites(query.region).next()?;
        let total: f64 = nodes.iter().map(|node| view.capacity(*node)).sum();
        let hash = mix(u64::from(query.source.to_bits())) >> 11;
        let mut rest = hash as f64 / (1_u64 << 53) as f64 * total;
        let chosen = nodes.iter().find(|node| {
            rest -= view.capacity(**node);
            rest < 0.0
        });
        Some((*chosen.or(nodes.last())?, view.ttl))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::simulate::peers::Peer;
    use crate::simulate::policy::{Fleet, Policy};
    use crate::simulate::scenario::read;
    use crate::simulate::{scenario_source, world_source};

    #[test]
    fn nodes_are_named_in_proportion_to_capacity() {
        let (world, _) = read(&world_source(), &scenario_source("S1").unwrap()).unwrap();
        let fleet = Fleet::new(&world);
        let mut policy: Box<dyn Policy> = Peer::boxed(&fleet, 30, GeoWeightedHash);
        let (mut counts, mut dice) = (vec![0.0; fleet.nodes.len()], Dice::new(1, 0));
        for number in 0..400_000 {
            let source = Ipv4Addr::from_bits(number << 8);
            let query = Query { nameserver: 0, at_ms: 0, source, subnet: None, region: 0, hidden_rate: 0.0 };
            counts[usize::from(policy.answer(&query, &mut dice).nodes[0])] += 1.0 / 400_000.0;
        }
        let site = &fleet.sites[0];
        let total: f64 = site.iter().map(|node| fleet.nodes[*node].capacity()).sum();
        for node in site {
            let share = fleet.nodes[*node].capacity() / total;
            assert!((counts[*node] / share - 1.0).abs() < 0.02, "{} for {share}", counts[*node]);
        }
    }
}

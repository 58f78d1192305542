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

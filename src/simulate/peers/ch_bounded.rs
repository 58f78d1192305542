//! `ch-bounded`: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2018), eps 0.25: the resolver's
//! first node of the site, by rendezvous in proportion to capacity, whose pressure is at most 1.25 times the site's; the
//! next site when the site as a whole is at the limit.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::Query;
use crate::steer::mix;

const EPSILON: f64 = 0.25;

pub(super) struct BoundedHash {
    pub(super) spill: f64,
}

impl Rule for BoundedHash {
    fn choose(&mut self, view: &View<'_>, query: &Query, _dice: &mut Dice) -> Option<(usize, u32)> {
        let site_pressure = |nodes: &[usize]| {
            let total: f64 = nodes.iter().map(|node| view.capacity(*node)).sum();
            nodes.iter().map(|node| view.capacity(*node) * view.pressure(*node)).sum::<f64>() / total
        };
        let site = view.sites(query.region).find(|nodes| site_pressure(nodes) < self.spill);
        let mut nodes = site.unwrap_or_else(|| view.all());
        let bound = (1.0 + EPSILON) * site_pressure(&nodes);
        let score = |node: usize| {
            let hash = mix(mix(u64::from(query.source.to_bits())) ^ node as u64) >> 11;
            -((hash as f64 + 0.5) / (1_u64 << 53) as f64).ln() / view.capacity(node)
        };
        nodes.sort_by(|a, b| score(*a).total_cmp(&score(*b)));
        let fits = nodes.iter().find(|node| view.pressure(**node) <= bound);
        Some((*fits.or(nodes.first())?, view.ttl))
    }
}

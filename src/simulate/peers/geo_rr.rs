//! `geo-rr`: every nameserver names the nodes of the site nearest to the resolver in turn; it counts its answers once for all
//! sites.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::{Fleet, Query};

pub(super) struct GeoRoundRobin {
    /// For each nameserver.
    next: Vec<usize>,
}

impl GeoRoundRobin {
    pub(super) fn new(fleet: &Fleet) -> Self {
        Self { next: (0..fleet.nameservers).collect() }
    }
}

impl Rule for GeoRoundRobin {
    fn choose(&mut self, view: &View<'_>, query: &Query, _dice: &mut Dice) -> Option<(usize, u32)> {
        let nodes = view.sites(query.region).next()?;
        let next = &mut self.next[query.nameserver];
        *next = next.wrapping_add(1);
        Some((nodes[*next % nodes.len()], view.ttl))
    }
}

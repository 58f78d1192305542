//! `geo-rr`: the nodes of the nearest site in turn.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::{Fleet, Query};

pub(super) struct GeoRoundRobin {
    /// For each nameserver and region.
    next: Vec<Vec<usize>>,
}

impl GeoRoundRobin {
    pub(super) fn new(fleet: &Fleet) -> Self {
        Self { next: (0..fleet.nameservers).map(|number| vec![number; fleet.regions.len()]).collect() }
    }
}

impl Rule for GeoRoundRobin {
    fn choose(&mut self, view: &View<'_>, query: &Query, _dice: &mut Dice) -> Option<(usize, u32)> {
        let nodes = view.sites(query.region).next()?;
        let next = &mut self.next[query.nameserver][query.region];
        *next = next.wrapping_add(1);
        Some((nodes[*next % nodes.len()], view.ttl))
    }
}

//! `geo-weighted`: a node of the nearest site, drawn in proportion to capacity, as weighted records of Route 53 or
//! PowerDNS' `pickwrandom` do.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::Query;

pub(super) struct GeoWeighted;

impl Rule for GeoWeighted {
    fn choose(&mut self, view: &View<'_>, query: &Query, dice: &mut Dice) -> Option<(usize, u32)> {
        let nodes = view.sites(query.region).next()?;
        Some((view.weighted(&nodes, dice, |node| view.capacity(node))?, view.ttl))
    }
}

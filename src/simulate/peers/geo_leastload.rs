//! `geo-leastload`: the node of least pressure of the nearest site; the next site if that node is at the limit too, and the
//! least of all if every site is.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::Query;

pub(super) struct GeoLeastLoad {
    pub(super) spill: f64,
}

impl Rule for GeoLeastLoad {
    fn choose(&mut self, view: &View<'_>, query: &Query, _dice: &mut Dice) -> Option<(usize, u32)> {
        let least = view.sites(query.region).filter_map(|nodes| view.least(&nodes));
        let mut below = least.filter(|node| view.pressure(*node) < self.spill);
        Some((below.next().or_else(|| view.least(&view.all()))?, view.ttl))
    }
}

//! `headroom-prop`: a node of the nearest site in proportion to what it has left below the limit; the next site if none has
//! anything, and in proportion to capacity over all if no site has.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::Query;

pub(super) struct HeadroomProportional {
    pub(super) spill: f64,
}

impl Rule for HeadroomProportional {
    fn choose(&mut self, view: &View<'_>, query: &Query, dice: &mut Dice) -> Option<(usize, u32)> {
        let headroom = |node: usize| view.capacity(node) * (self.spill - view.pressure(node)).max(0.0);
        let chosen = view.sites(query.region).find_map(|nodes| view.weighted(&nodes, dice, headroom));
        let chosen = chosen.or_else(|| view.weighted(&view.all(), dice, |node| view.capacity(node)));
        Some((chosen?, view.ttl))
    }
}

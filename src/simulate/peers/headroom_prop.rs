//! `headroom-prop`: of the nodes of the nearest site that are below the limit, one in proportion to what it has left below
//! pressure 1; the next site if none is, and in proportion to capacity over all nodes if none is anywhere.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::Query;

pub(super) struct HeadroomProportional {
    pub(super) spill: f64,
}

impl Rule for HeadroomProportional {
    fn choose(&mut self, view: &View<'_>, query: &Query, dice: &mut Dice) -> Option<(usize, u32)> {
        let headroom = |node: usize| match view.pressure(node) {
            pressure if pressure < self.spill => view.capacity(node) * (1.0 - pressure),
            _ => 0.0,
        };
        let near = view.sites(query.region).find_map(|nodes| view.weighted(&nodes, dice, headroom));
        let chosen = near.or_else(|| view.weighted(&view.all(), dice, |node| view.capacity(node)));
        Some((chosen?, view.ttl))
    }
}

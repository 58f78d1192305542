//! `p2c`: the power of two choices (Mitzenmacher, 2001): of two nodes of a site, drawn in proportion to capacity, the one
//! of less pressure; the next site if that one is at the limit, and of two of all nodes if every site's is.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::Query;

pub(super) struct PowerOfTwoChoices {
    pub(super) spill: f64,
}

impl Rule for PowerOfTwoChoices {
    fn choose(&mut self, view: &View<'_>, query: &Query, dice: &mut Dice) -> Option<(usize, u32)> {
        let mut choose = |nodes: &[usize]| {
            let one = view.weighted(nodes, dice, |node| view.capacity(node))?;
            let other = view.weighted(nodes, dice, |node| view.capacity(node))?;
            view.least(&[one, other])
        };
        let mut better = view.sites(query.region).filter_map(|nodes| choose(&nodes));
        let near = better.find(|node| view.pressure(*node) < self.spill);
        drop(better);
        Some((near.or_else(|| choose(&view.all()))?, view.ttl))
    }
}

//! `p2c`: the power of two choices (Mitzenmacher, 2001): of two nodes of a site, drawn in proportion to capacity, the one
//! of less pressure; the next site if no node is below the limit, and two of all if every site is.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::Query;

pub(super) struct PowerOfTwoChoices {
    pub(super) spill: f64,
}

impl Rule for PowerOfTwoChoices {
    fn choose(&mut self, view: &View<'_>, query: &Query, dice: &mut Dice) -> Option<(usize, u32)> {
        let below = |nodes: Vec<usize>| -> Vec<usize> {
            nodes.into_iter().filter(|node| view.pressure(*node) < self.spill).collect()
        };
        let nodes = view.sites(query.region).map(below).find(|nodes| !nodes.is_empty());
        let nodes = nodes.unwrap_or_else(|| view.all());
        let one = view.weighted(&nodes, dice, |node| view.capacity(node))?;
        let other = view.weighted(&nodes, dice, |node| view.capacity(node))?;
        Some((view.least(&[one, other])?, view.ttl))
    }
}

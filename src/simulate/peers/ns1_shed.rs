//! `ns1-shed`: NS1's filters `shed_load`, `geotarget` and `weighted_shuffle`: a node is left out with a probability that
//! rises from 0 at the low watermark to 1 at the high one; of the rest, one of the nearest site in proportion to capacity.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::Query;

pub(super) struct Shed {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Rule for Shed {
    fn choose(&mut self, view: &View<'_>, query: &Query, dice: &mut Dice) -> Option<(usize, u32)> {
        let mut kept = view.sites(query.region).map(|nodes| -> Vec<usize> {
            let shed = |node: usize| (view.pressure(node) - self.low) / (self.high - self.low);
            nodes.into_iter().filter(|node| !dice.happens(shed(*node))).collect()
        });
        let nodes = kept.find(|nodes| !nodes.is_empty());
        drop(kept);
        let chosen = nodes.and_then(|nodes| view.weighted(&nodes, dice, |node| view.capacity(node)));
        let chosen = chosen.or_else(|| view.weighted(&view.all(), dice, |node| view.capacity(node)));
        Some((chosen?, view.ttl))
    }
}

//! `oracle`: what no server can do: each viewer is placed by true region, true capacities and true loads of the moment, at
//! the least pressed node of the nearest site that stays below 0.97, else at the least pressed of all. Greedy, so not a
//! proven optimum, and no lower bound on distance when there is not enough room.

use crate::simulate::dice::Dice;
use crate::simulate::plant::Plant;
use crate::simulate::policy::{Answer, Policy, Query, Sample};

const FULL: f64 = 0.97;

pub(super) struct Oracle;

impl Policy for Oracle {
    fn answer(&mut self, _query: &Query, _dice: &mut Dice) -> Answer {
        Answer::default()
    }

    fn scraped(&mut self, _nameserver: usize, _node: usize, _at_ms: u64, _window: f64, _sample: &Sample) {}

    fn probed(&mut self, _nameserver: usize, _node: usize, _at_ms: u64, _is_up: bool) {}

    fn drained(&mut self, _node: usize, _at_ms: u64, _is_drained: bool) {}

    fn place(&mut self, region: usize, plant: &Plant) -> Option<usize> {
        let least = |nodes: &[usize]| {
            let usable = nodes.iter().filter(|node| !plant.nodes[**node].is_dead && !plant.nodes[**node].is_drained);
            let pressed = usable.map(|node| (*node, plant.nodes[*node].pressure()));
            pressed.min_by(|a, b| a.1.total_cmp(&b.1))
        };
        let fleet = &plant.fleet;
        let sites: Vec<(usize, f64)> =
            fleet.nearest[region].iter().filter_map(|site| least(&fleet.sites[*site])).collect();
        let near = sites.iter().find(|(_, pressure)| *pressure < FULL);
        near.or_else(|| sites.iter().min_by(|a, b| a.1.total_cmp(&b.1))).map(|(node, _)| *node)
    }
}

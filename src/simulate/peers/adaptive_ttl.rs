//! `adaptive-ttl`: Cardellini, Colajanni and Yu (DNS dispatching algorithms with state estimators, 1999): nodes of the
//! nearest site in turn, without those that raised an alarm, and in proportion to capacity if all did; the TTL in proportion to the capacity of the node and in
//! inverse proportion to the hidden load of the resolver, which this model is told truly.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::{Fleet, FleetNode, Query};

/// Seconds: shortest and, in times of the base, longest.
const SHORTEST: f64 = 2.0;
const LONGEST: f64 = 4.0;
/// Viewers a second of the resolver that gets the base TTL at a mean node.
const USUAL_RATE: f64 = 0.1;

pub(super) struct AdaptiveTtl {
    alarm: f64,
    mean_capacity: f64,
    /// For each nameserver and site.
    next: Vec<Vec<usize>>,
}

impl AdaptiveTtl {
    pub(super) fn new(fleet: &Fleet, alarm: f64) -> Self {
        let total: f64 = fleet.nodes.iter().map(FleetNode::capacity).sum();
        let next = (0..fleet.nameservers).map(|number| vec![number; fleet.sites.len()]).collect();
        Self { alarm, mean_capacity: total / fleet.nodes.len() as f64, next }
    }
}

impl Rule for AdaptiveTtl {
    fn choose(&mut self, view: &View<'_>, query: &Query, dice: &mut Dice) -> Option<(usize, u32)> {
        let calm = |nodes: Vec<usize>| -> Vec<usize> {
            nodes.into_iter().filter(|node| view.pressure(*node) < self.alarm).collect()
        };
        let nodes = view.sites(query.region).map(calm).find(|nodes| !nodes.is_empty());
        let anyone = |dice: &mut Dice| view.weighted(&view.all(), dice, |node| view.capacity(node));
        let nodes = nodes.or_else(|| anyone(dice).map(|node| vec![node]))?;
        let next = &mut self.next[query.nameserver][view.fleet.nodes[*nodes.first()?].site];
        *next = next.wrapping_add(1);
        let node = nodes[*next % nodes.len()];
        let base = f64::from(view.ttl);
        let fitting = base * view.capacity(node) / self.mean_capacity * USUAL_RATE / query.hidden_rate.max(1e-6);
        Some((node, fitting.clamp(SHORTEST, base * LONGEST) as u32))
    }
}

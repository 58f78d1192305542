//! `rr`: every nameserver names the nodes of all sites in turn, as a zone with many addresses and a server that rotates them.

use super::{Rule, View};
use crate::simulate::dice::Dice;
use crate::simulate::policy::{Fleet, Query};

pub(super) struct RoundRobin {
    next: Vec<usize>,
}

impl RoundRobin {
    pub(super) fn new(fleet: &Fleet) -> Self {
        // Nameservers do not begin at the same node.
        Self { next: (0..fleet.nameservers).map(|number| number * fleet.nodes.len() / fleet.nameservers).collect() }
    }
}

impl Rule for RoundRobin {
    fn choose(&mut self, view: &View<'_>, query: &Query, _dice: &mut Dice) -> Option<(usize, u32)> {
        let nodes = view.all();
        let next = &mut self.next[query.nameserver];
        *next = next.wrapping_add(1);
        Some((*nodes.get(*next % nodes.len().max(1))?, view.ttl))
    }
}

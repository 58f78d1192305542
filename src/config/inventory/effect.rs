//! What the lists of an inventory come to: of which nodes answers tell by them, and which pools have them.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Inventory, List, nodes};
use crate::config::Config;

/// Names of an inventory's nodes, by what lists do for them.
pub type Effect = BTreeMap<Gain, BTreeSet<String>>;

/// What lists do for a node. A list may name as many nodes as ever, and yet take one of these from all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gain {
    /// A list names it.
    Listed,
    /// It has an address, and one of its own.
    Served,
    /// It has one that was meant for viewers: a label or the configuration says it.
    Told,
    /// The pool of this name has it.
    Member(String),
}

impl Gain {
    /// Says that so many of so many nodes lose it.
    pub fn lost(&self, gone: usize, all: usize) -> impl fmt::Display {
        match self {
            Self::Listed => format!("{gone} of {all} nodes are missing"),
            Self::Served => format!("{gone} of {all} nodes have no address of their own any more"),
            Self::Told => {
                format!(
                    "{gone} of {all} nodes have only the address of their exporter, none that is said to be for viewers"
                )
            }
            Self::Member(pool) => format!("{gone} of {all} nodes are not in the pool `{pool}` any more"),
        }
    }
}

/// See `Config::effect`.
pub(super) fn effect(config: &Config, inventory: &str, lists: &[(&Inventory, &List)]) -> Effect {
    let (nodes, _) = nodes::merge(config, lists);
    let of_it = lists.iter().filter(|(known, _)| known.name == inventory);
    let listed: BTreeSet<&str> = of_it.flat_map(|(_, list)| list.nodes()).collect();
    let targets = lists.iter().flat_map(|(_, list)| &list.targets).filter(|target| !target.addresses.is_empty());
    let own = config.own_nodes.nodes.iter().filter(|node| !node.addresses.is_empty()).map(|node| &node.name);
    let told: BTreeSet<&str> = targets.map(|target| &target.key).chain(own).map(|name| name.value.as_str()).collect();
    let mut effect = Effect::new();
    for node in nodes.iter().map(|written| &written.value).filter(|node| listed.contains(node.name.as_str())) {
        let mut add = |gain| effect.entry(gain).or_default().insert(node.name.clone());
        add(Gain::Served);
        if told.contains(node.name.as_str()) {
            add(Gain::Told);
        }
        for pool in config.pools.iter().filter(|pool| pool.value.selects(node)) {
            add(Gain::Member(pool.value.name.clone()));
        }
    }
    effect.insert(Gain::Listed, listed.into_iter().map(str::to_owned).collect());
    effect
}

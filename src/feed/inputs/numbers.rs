//! Numbers of nodes: kept while a node is gone, so that it finds what was learned of it when it returns; but not for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Inputs, values};
use crate::config::Config;
use crate::geo::{Region, Rtt};
use crate::pool::MAX_NODES;
use crate::steer::{Assembly, Fleet, Guess};

/// How long a node that is gone keeps its number, and all that is known by it.
const KEPT: Duration = Duration::from_secs(3_600);

/// Since when nodes are gone, by name.
pub(super) type Gone = BTreeMap<String, Instant>;

/// Puts the fleet of a configuration together. Nodes that are gone keep their numbers for an hour, unless these run out.
pub(super) fn assemble(
    config: &Config,
    regions: &[Region],
    rtts: &[Rtt],
    guesses: &BTreeMap<String, Guess>,
    previous: Option<&Inputs>,
) -> (Fleet, Gone) {
    let nodes = values(&config.nodes);
    let names: BTreeSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let (gone, before) = match previous {
        Some(previous) => {
            let (gone, dismissed) = dismiss(&previous.fleet, &previous.gone, &names, Instant::now());
            (gone, Some(previous.fleet.dismissing(&dismissed)))
        }
        None => (Gone::new(), None),
    };
    let assembly = Assembly {
        nodes: &nodes,
        places: &values(&config.places),
        pools: &values(&config.pools),
        services: &values(&config.services),
        regions,
        rtts,
        guesses,
    };
    (Fleet::assemble(&assembly, before.as_ref()), gone)
}

#[cfg(test)]
impl Inputs {
    /// Makes the time of all that are gone be over.
    pub(in crate::feed) fn let_gone_expire(&mut self) {
        self.gone.values_mut().for_each(|since| *since = since.checked_sub(KEPT).expect("the clock began long ago"));
    }
}

/// Who is gone and keeps a number, and who has to give it back.
fn dismiss(fleet: &Fleet, before: &Gone, names: &BTreeSet<&str>, now: Instant) -> (Gone, BTreeSet<String>) {
    let known: BTreeSet<&str> = fleet.nodes.iter().map(|known| known.node.name.as_str()).collect();
    let absent = known.iter().filter(|name| !name.is_empty() && !names.contains(**name));
    let mut absent: Vec<(Instant, &str)> =
        absent.map(|name| (before.get(*name).copied().unwrap_or(now), *name)).collect();
    // Those who are gone for longest give way first.
    absent.sort();
    let room = MAX_NODES.saturating_sub(names.len());
    let too_many = absent.len().saturating_sub(room);
    let (mut gone, mut dismissed) = (Gone::new(), BTreeSet::new());
    for (index, (since, name)) in absent.into_iter().enumerate() {
        if index < too_many || now.saturating_duration_since(since) >= KEPT {
            dismissed.insert(name.to_owned());
        } else {
            gone.insert(name.to_owned(), since);
        }
    }
    (gone, dismissed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Node, NodeId};

    fn fleet(names: &[&str], previous: Option<&Fleet>) -> Fleet {
        let nodes: Vec<Node> = names.iter().map(|name| Node { name: (*name).to_owned(), ..Node::default() }).collect();
        let assembly = Assembly {
            nodes: &nodes,
            places: &[],
            pools: &[],
            services: &[],
            regions: &[],
            rtts: &[],
            guesses: &BTreeMap::new(),
        };
        Fleet::assemble(&assembly, previous)
    }

    fn step(fleet_before: &Fleet, gone: &Gone, names: &[&str], now: Instant) -> (Fleet, Gone) {
        let (gone, dismissed) = dismiss(fleet_before, gone, &names.iter().copied().collect(), now);
        (fleet(names, Some(&fleet_before.dismissing(&dismissed))), gone)
    }

    #[test]
    fn a_node_that_is_gone_keeps_its_number_for_an_hour() {
        let start = Instant::now();
        let minutes = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let first = fleet(&["a", "b"], None);
        let (second, gone) = step(&first, &Gone::new(), &["a", "c"], minutes(1));
        assert_eq!((second.find_node("b"), second.find_node("c")), (None, Some(NodeId(2))));
        let (third, gone) = step(&second, &gone, &["a", "c", "b"], minutes(60));
        assert_eq!((third.find_node("b"), gone.len()), (Some(NodeId(1)), 0));
        let (fourth, gone) = step(&third, &gone, &["a", "c"], minutes(61));
        let (fifth, gone) = step(&fourth, &gone, &["a", "c", "d"], minutes(120));
        assert_eq!((fifth.find_node("d"), gone.len()), (Some(NodeId(3)), 1));
        let (sixth, gone) = step(&fifth, &gone, &["a", "c", "d", "e"], minutes(121));
        assert_eq!((sixth.find_node("e"), gone.len()), (Some(NodeId(1)), 0), "the number of `b` is another's");
        let (seventh, _) = step(&sixth, &gone, &["a", "c", "d", "e", "b"], minutes(122));
        assert_eq!((seventh.find_node("b"), seventh.nodes.len()), (Some(NodeId(4)), 5));
    }

    #[test]
    fn numbers_never_run_out() {
        let start = Instant::now();
        let names = |from: usize, count: usize| -> Vec<String> {
            (from..from + count).map(|index| format!("n{index}")).collect()
        };
        let (mut known, mut gone) = (fleet(&[], None), Gone::new());
        for round in 0..6 {
            let names = names(round * 1_500, 1_500);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            (known, gone) = step(&known, &gone, &names, start + Duration::from_secs(round as u64));
            assert!(known.nodes.len() <= MAX_NODES, "{}", known.nodes.len());
            let ids: BTreeSet<u16> = names.iter().map(|name| known.find_node(name).unwrap().0).collect();
            assert_eq!(ids.len(), 1_500);
        }
        // Those who were there last are remembered.
        assert!(gone.len() == MAX_NODES - 1_500 && gone.contains_key("n7499") && !gone.contains_key("n0"));
    }
}

//! Other nameservers: what they have promised counts as if we had, and what they see fail is believed.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Inputs;
use super::report::{PeerFailure, PeerFlow, PeerRest, Report};
use crate::geo::RegionId;
use crate::pool::NodeId;
use crate::steer::fleet::Fleet;
use crate::steer::flows::Theirs;
use crate::steer::standings::Failing;

/// Seconds for which a report is taken as it is, and after which nothing of it is left.
const FRESH: f64 = 10.0;
const OVER: f64 = 30.0;
/// Seconds for which it counts that a node fails elsewhere: three reports.
const VOTE: f64 = 15.0;
/// The most flows of a report, once what it tells by place is shared out: some 20 MB.
const MAX_SHARED: usize = 500_000;
/// Viewers that no region has: whoever reports so many does not count.
const ABSURD: f64 = 1e9;

/// The reports of all others.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// By peer; in this order they are added up, so that the same reports give the same sums.
    reports: BTreeMap<String, Reported>,
    /// How many others there are.
    expected: usize,
}

/// A report, with the seconds at which it came.
#[derive(Debug)]
struct Reported {
    report: Report,
    /// Nodes that it has down everywhere, and where others fail: asked of each node that fails here, at each tick.
    down: HashSet<String>,
    failing: HashMap<String, Vec<PeerFailure>>,
    at: f64,
    /// The same in our numbers, once they were looked up.
    numbers: Option<Numbers>,
}

/// A report in our numbers: flows by node and demand, and expected viewers by demand.
#[derive(Debug, Default)]
struct Numbers {
    flows: Vec<(Theirs, NodeId, u32)>,
    arrivals: Vec<(u32, f64)>,
}

impl Theirs {
    /// Adds another nameserver's.
    pub(super) fn add(&mut self, other: &Theirs) {
        self.moved += other.moved;
        self.rate += other.rate;
        self.committed += other.committed;
    }

    /// Numbers of somebody else, without those that cannot be.
    fn sound(moved: f64, rate: f64, committed: f64) -> Self {
        let sound = |value: f64| if (0.0..ABSURD).contains(&value) { value } else { 0.0 };
        Self { moved: sound(moved), rate: sound(rate), committed: sound(committed) }
    }
}

impl Peers {
    /// Takes a report in the place of the one before.
    pub(super) fn take(&mut self, peer: &str, mut report: Report, now: f64) {
        let down = std::mem::take(&mut report.down).into_iter().collect();
        let mut failing: HashMap<String, Vec<PeerFailure>> = HashMap::new();
        for seen in std::mem::take(&mut report.failing) {
            failing.entry(seen.node.clone()).or_default().push(seen);
        }
        self.reports.insert(peer.to_owned(), Reported { report, down, failing, at: now, numbers: None });
    }

    /// Knows nothing more of one that is no longer a peer.
    pub(super) fn forget(&mut self, peer: &str) {
        self.reports.remove(peer);
    }

    /// So many others there are, whether they report or not.
    pub(super) fn expect(&mut self, count: usize) {
        self.expected = count;
    }

    /// Whether more than half of all nameservers see a node fail there; to be asked of one that fails here.
    ///
    /// Whoever is silent, or does not probe it, counts as one that does not see that. So nobody who has been cut off, alone
    /// or with a minority, takes away more of a place than the brake lets him.
    pub(super) fn confirm(&self, fleet: &Fleet, failing: Failing, now: f64) -> bool {
        let node = &fleet.node(failing.node).node.name;
        let pool = failing.pool.map(|pool| fleet.pool(pool).pool.name.as_str());
        let is_it = |seen: &PeerFailure| seen.family == failing.family.word() && seen.pool.as_deref() == pool;
        let is_seen = |seen: &Vec<PeerFailure>| seen.iter().any(is_it);
        self.most_see(now, |reported| reported.down.contains(node) || reported.failing.get(node).is_some_and(is_seen))
    }

    fn most_see(&self, now: f64, sees: impl Fn(&Reported) -> bool) -> bool {
        let fresh = || self.reports.values().filter(|reported| now - reported.at <= VOTE);
        let others = self.expected.max(fresh().count());
        let see_it = fresh().filter(|reported| sees(reported)).count();
        // With us. Alone we are no majority, for nobody confirms us.
        see_it > 0 && 2 * (see_it + 1) > others + 1
    }

    /// Puts reports into our numbers that are new, or all of them if the fleet is. What is told by place is shared out among
    /// the nodes there by their weight.
    pub(super) fn number(&mut self, inputs: &Inputs<'_>, pools: &[String], weight: impl Fn(NodeId) -> f64) {
        if self.reports.values().all(|report| report.numbers.is_some()) {
            return;
        }
        let numbering = Numbering::new(inputs, pools);
        for reported in self.reports.values_mut().filter(|reported| reported.numbers.is_none()) {
            reported.numbers = Some(numbering.numbers(&reported.report, &weight));
        }
    }

    /// The numbers are no longer what they were.
    pub(super) fn forget_numbers(&mut self) {
        self.reports.values_mut().for_each(|reported| reported.numbers = None);
    }

    /// Each flow and each number of viewers per second, faded by age.
    pub(super) fn each(
        &self,
        now: f64,
        mut flow: impl FnMut(&Theirs, NodeId, u32),
        mut arrivals: impl FnMut(u32, f64),
    ) {
        for Reported { at, numbers, .. } in self.reports.values() {
            let part = ((OVER - (now - at)) / (OVER - FRESH)).clamp(0.0, 1.0);
            let Some(Numbers { flows, arrivals: expected }) = numbers else { continue };
            for (theirs, node, demand) in flows {
                let Theirs { moved, rate, committed } = *theirs;
                let theirs = Theirs { moved: moved * part, rate: rate * part, committed: committed * part };
                flow(&theirs, *node, *demand);
            }
            for (demand, viewers) in expected {
                arrivals(*demand, viewers * part);
            }
        }
    }
}

/// The numbers of the names in reports.
struct Numbering<'a> {
    inputs: &'a Inputs<'a>,
    pools: HashMap<&'a str, usize>,
    regions: HashMap<&'a str, usize>,
    nodes: HashMap<&'a str, NodeId>,
}

impl<'a> Numbering<'a> {
    fn new(inputs: &'a Inputs<'a>, pools: &'a [String]) -> Self {
        let nodes = inputs.fleet.nodes.iter().enumerate();
        Self {
            inputs,
            pools: pools.iter().enumerate().map(|(index, pool)| (pool.as_str(), index)).collect(),
            regions: inputs.regions.iter().enumerate().map(|(index, region)| (region.name.as_str(), index)).collect(),
            nodes: nodes.map(|(index, known)| (known.node.name.as_str(), NodeId(index as u16))).collect(),
        }
    }

    fn demand(&self, pool: &str, region: &str) -> Option<u32> {
        Some((self.pools.get(pool)? * self.inputs.regions.len() + self.regions.get(region)?) as u32)
    }

    /// The nodes of a place that clients of a region may be sent to.
    fn nodes_at(&self, pool: &str, region: &str, place: &str) -> Option<Vec<NodeId>> {
        let fleet = self.inputs.fleet;
        let pool = fleet.pools.get(*self.pools.get(pool)?)?;
        let sites = pool.candidates(RegionId(*self.regions.get(region)? as u16)).iter();
        let sites = sites.filter_map(|site| pool.sites.get(usize::from(*site)));
        let there = sites.filter(|site| fleet.places.get(usize::from(site.place.0)).is_some_and(|at| at.name == place));
        Some(there.flat_map(|site| site.nodes.iter().copied()).collect())
    }

    fn numbers(&self, report: &Report, weight: &impl Fn(NodeId) -> f64) -> Numbers {
        let mut numbers = Numbers::default();
        for PeerFlow { pool, region, node, moved, rate, committed } in &report.flows {
            let (Some(demand), Some(node)) = (self.demand(pool, region), self.nodes.get(node.as_str())) else {
                continue;
            };
            numbers.flows.push((Theirs::sound(*moved, *rate, *committed), *node, demand));
        }
        for PeerRest { pool, region, place, moved, rate, committed } in &report.rest {
            let (Some(demand), Some(nodes)) = (self.demand(pool, region), self.nodes_at(pool, region, place)) else {
                continue;
            };
            if numbers.flows.len() + nodes.len() > MAX_SHARED {
                break;
            }
            let all: f64 = nodes.iter().map(|node| weight(*node)).sum();
            let Theirs { moved, rate, committed } = Theirs::sound(*moved, *rate, *committed);
            for node in &nodes {
                let part = if all > 0.0 { weight(*node) / all } else { 1.0 / nodes.len() as f64 };
                let theirs = Theirs { moved: moved * part, rate: rate * part, committed: committed * part };
                numbers.flows.push((theirs, *node, demand));
            }
        }
        for (pool, region, viewers) in &report.arrivals {
            if let Some(demand) = self.demand(pool, region).filter(|_| (0.0..ABSURD).contains(viewers)) {
                numbers.arrivals.push((demand, *viewers));
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sees(reported: &Reported) -> bool {
        reported.down.contains("fra1")
    }

    /// What one nameserver of `all` makes of a node that fails here, if these others report, of whom so many see it fail.
    fn is_withdrawn(all: usize, reporting: usize, see_it: usize) -> bool {
        let mut peers = Peers::default();
        peers.expect(all - 1);
        for peer in 0..reporting {
            let down = if peer < see_it { vec!["fra1".to_owned()] } else { vec!["other".to_owned()] };
            peers.take(&peer.to_string(), Report { down, ..Report::default() }, 100.0);
        }
        peers.most_see(100.0, sees)
    }

    #[test]
    fn more_than_half_of_all_nameservers_have_to_see_a_node_fail() {
        for (all, reporting, see_it, expected) in [
            // Alone nobody confirms.
            (1, 0, 0, false),
            (2, 0, 0, false),
            (2, 1, 0, false),
            (2, 1, 1, true),
            // One of three is cut off from a site.
            (3, 2, 0, false),
            // The site is dead; and the nameserver there with it.
            (3, 2, 2, true),
            (3, 1, 1, true),
            (3, 2, 1, true),
            // A minority that hears itself only: two of five behind one broken line.
            (5, 1, 1, false),
            (5, 4, 1, false),
            (5, 4, 2, true),
            (4, 3, 1, false),
        ] {
            assert_eq!(is_withdrawn(all, reporting, see_it), expected, "{see_it} of {reporting} others of {all}");
        }
    }

    #[test]
    fn who_has_been_silent_for_three_reports_has_no_vote() {
        let mut peers = Peers::default();
        peers.expect(2);
        peers.take("ns2", Report { down: vec!["fra1".to_owned()], ..Report::default() }, 100.0);
        assert!(peers.most_see(115.0, sees));
        assert!(!peers.most_see(115.1, sees));
        // Reports that nobody expects make the majority larger, too.
        peers.expect(0);
        for peer in ["ns3", "ns4", "ns5"] {
            peers.take(peer, Report::default(), 110.0);
        }
        assert!(!peers.most_see(110.0, sees));
    }
}

//! Other nameservers: what they have promised counts as if we had, and what they see fail is believed.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Controller, Inputs};
use crate::geo::Region;
use crate::pool::NodeId;
use crate::steer::fleet::Fleet;
use crate::steer::flows::Theirs;
use crate::steer::standings::Failing;

/// Seconds for which a report is taken as it is, and after which nothing of it is left.
const FRESH: f64 = 10.0;
const OVER: f64 = 30.0;
/// Seconds for which it counts that a node fails elsewhere: three reports.
const VOTE: f64 = 15.0;
/// Viewers that no region has: whoever reports so many does not count.
const ABSURD: f64 = 1e9;
/// What is below this part of the largest flow is left out of a report.
const NEGLIGIBLE: f64 = 0.001;

/// What a nameserver tells the others, by names: their numbers differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Flows of viewers.
    pub flows: Vec<PeerFlow>,
    /// Expected viewers per second, by use of a pool and region.
    pub arrivals: Vec<(String, String, f64)>,
    /// Nodes that serve nobody by its probes; older versions know no more.
    pub down: Vec<String>,
    /// Where nodes fail its probes.
    #[serde(default)]
    pub failing: Vec<PeerFailure>,
}

/// Where a node fails the probes of a nameserver.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerFailure {
    /// Node.
    pub node: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// The pool whose checks it fails; none = those of the node, and so in all pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// What a nameserver's answers send from a region to a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerFlow {
    /// Use of a pool.
    pub pool: String,
    /// Client region.
    pub region: String,
    /// Node.
    pub node: String,
    /// Viewers per second, of answers and of caches.
    pub moved: f64,
    /// Viewers per second, of caches.
    pub rate: f64,
    /// Viewers who are still to come.
    pub committed: f64,
}

/// The reports of all others.
#[derive(Debug, Default)]
pub(super) struct Peers {
    reports: HashMap<String, (Report, f64)>,
    /// The reports in our numbers, with the seconds at which they came.
    flows: Vec<(Theirs, NodeId, u32, f64)>,
    arrivals: Vec<(u32, f64, f64)>,
    is_numbered: bool,
    /// How many others there are.
    expected: usize,
}

impl Theirs {
    /// Adds another nameserver's.
    pub(super) fn add(&mut self, other: &Theirs) {
        self.moved += other.moved;
        self.rate += other.rate;
        self.committed += other.committed;
    }
}

impl Peers {
    /// Takes a report in the place of the one before.
    pub(super) fn take(&mut self, peer: &str, report: Report, now: f64) {
        self.reports.insert(peer.to_owned(), (report, now));
        self.is_numbered = false;
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
        let is_it = |seen: &PeerFailure| {
            seen.node == *node && seen.family == failing.family.word() && seen.pool.as_deref() == pool
        };
        self.most_see(now, |report| report.down.contains(node) || report.failing.iter().any(is_it))
    }

    fn most_see(&self, now: f64, sees: impl Fn(&Report) -> bool) -> bool {
        let fresh = || self.reports.values().filter(|(_, at)| now - at <= VOTE);
        let others = self.expected.max(fresh().count());
        let see_it = fresh().filter(|(report, _)| sees(report)).count();
        // With us. Alone we are no majority, for nobody confirms us.
        see_it > 0 && 2 * (see_it + 1) > others + 1
    }

    /// Puts the reports into our numbers, if they are new or the fleet is.
    pub(super) fn number(&mut self, inputs: &Inputs<'_>, pools: &[String]) {
        if self.is_numbered {
            return;
        }
        self.is_numbered = true;
        self.flows.clear();
        self.arrivals.clear();
        let nodes: HashMap<&str, u16> = inputs
            .fleet
            .nodes
            .iter()
            .enumerate()
            .map(|(index, known)| (known.node.name.as_str(), index as u16))
            .collect();
        let regions: HashMap<&str, usize> =
            inputs.regions.iter().enumerate().map(|(index, region)| (region.name.as_str(), index)).collect();
        let demand = |pool: &str, region: &str| {
            let pool = pools.iter().position(|known| known == pool)?;
            Some((pool * inputs.regions.len() + regions.get(region)?) as u32)
        };
        for (report, at) in self.reports.values() {
            for PeerFlow { pool, region, node, moved, rate, committed } in &report.flows {
                let (Some(demand), Some(node)) = (demand(pool, region), nodes.get(node.as_str())) else { continue };
                let sound = |value: f64| if (0.0..ABSURD).contains(&value) { value } else { 0.0 };
                let theirs = Theirs { moved: sound(*moved), rate: sound(*rate), committed: sound(*committed) };
                self.flows.push((theirs, NodeId(*node), demand, *at));
            }
            for (pool, region, viewers) in &report.arrivals {
                if let Some(demand) = demand(pool, region).filter(|_| (0.0..ABSURD).contains(viewers)) {
                    self.arrivals.push((demand, *viewers, *at));
                }
            }
        }
    }

    /// The numbers are no longer what they were.
    pub(super) fn forget_numbers(&mut self) {
        self.is_numbered = false;
    }

    /// Each flow and each number of viewers per second, faded by age.
    pub(super) fn each(
        &self,
        now: f64,
        mut flow: impl FnMut(&Theirs, NodeId, u32),
        mut arrivals: impl FnMut(u32, f64),
    ) {
        let fade = |at: f64| ((OVER - (now - at)) / (OVER - FRESH)).clamp(0.0, 1.0);
        for (theirs, node, demand, at) in &self.flows {
            let part = fade(*at);
            let Theirs { moved, rate, committed } = *theirs;
            let theirs = Theirs { moved: moved * part, rate: rate * part, committed: committed * part };
            flow(&theirs, *node, *demand);
        }
        for (demand, viewers, at) in &self.arrivals {
            arrivals(*demand, viewers * fade(*at));
        }
    }
}

/// What the others need to know of us.
pub(super) fn report(controller: &Controller, fleet: &Fleet, regions: &[Region]) -> Report {
    let count = controller.regions.max(1);
    let names = |demand: u32| {
        let (pool, region) = (demand as usize / count, demand as usize % count);
        Some((controller.pools.get(pool)?.clone(), regions.get(region)?.name.clone()))
    };
    let mut flows = Vec::new();
    for (model, known) in controller.nodes.iter().zip(&fleet.nodes) {
        for flow in model.flows.iter() {
            let Some((pool, region)) = names(flow.demand) else { continue };
            let (moved, rate, committed) = (flow.smooth, flow.rate, flow.committed);
            flows.push(PeerFlow { pool, region, node: known.node.name.clone(), moved, rate, committed });
        }
    }
    let largest = flows.iter().map(|flow| flow.moved.max(flow.rate)).fold(0.0, f64::max);
    flows.retain(|flow| flow.moved.max(flow.rate) > NEGLIGIBLE * largest);
    let arrivals = controller.demands.iter().enumerate().filter_map(|(index, demand)| {
        let (pool, region) = names(index as u32)?;
        (demand.own() > 0.0).then(|| (pool, region, demand.own()))
    });
    let down = controller.nodes.iter().zip(&fleet.nodes).filter(|(model, _)| !model.health().is_up());
    let mut failing: Vec<PeerFailure> = Vec::new();
    for &Failing { node, pool, family } in &controller.failing {
        let Some(known) = fleet.nodes.get(usize::from(node.0)) else { continue };
        let pool = pool.and_then(|pool| fleet.pools.get(usize::from(pool.0))).map(|used| used.pool.name.clone());
        let seen = PeerFailure { node: known.node.name.clone(), family: family.word().to_owned(), pool };
        // A pool may be used in several ways.
        if failing.last() != Some(&seen) {
            failing.push(seen);
        }
    }
    let down = down.map(|(_, known)| known.node.name.clone()).collect();
    Report { flows, arrivals: arrivals.collect(), down, failing }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sees(report: &Report) -> bool {
        report.down.contains(&"fra1".to_owned())
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

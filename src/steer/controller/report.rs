//! Reports: what a nameserver tells the others of its answers and probes, within bounds of length.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Controller;
use crate::geo::Region;
use crate::pool::PlaceId;
use crate::steer::bounded::first;
use crate::steer::fleet::Fleet;
use crate::steer::flows::{Flow, Theirs};
use crate::steer::standings::Failing;

/// What is below this part of the largest flow is left out of a report.
const NEGLIGIBLE: f64 = 0.001;
/// The most flows to single nodes in a report, the largest ones; the others of a large fleet are told by place, of which so
/// many are told, as of expected viewers.
pub(super) const MAX_FLOWS: usize = 10_000;
const MAX_SUMS: usize = 5_000;
/// The most nodes that fail which are read.
const MAX_FAILING: usize = 20_000;
/// Octets of a message that flows may take, and that sums may: together less than a message.
const FLOW_OCTETS: usize = 2 << 20;
const SUM_OCTETS: usize = 512 << 10;
/// Octets of a flow in JSON without its names: keys, and three numbers of 24.
const BARE_OCTETS: usize = 140;

/// What a nameserver tells the others, by names: their numbers differ. Of what is longer than anybody sends, only the
/// beginning is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Flows of viewers.
    #[serde(deserialize_with = "first::<_, _, MAX_FLOWS>")]
    pub flows: Vec<PeerFlow>,
    /// Flows that are too many to be told one by one.
    #[serde(deserialize_with = "first::<_, _, MAX_FLOWS>", skip_serializing_if = "Vec::is_empty")]
    pub rest: Vec<PeerRest>,
    /// Expected viewers per second, by use of a pool and region.
    #[serde(deserialize_with = "first::<_, _, MAX_FLOWS>")]
    pub arrivals: Vec<(String, String, f64)>,
    /// Nodes that serve nobody by its probes; older versions know no more.
    #[serde(deserialize_with = "first::<_, _, MAX_FAILING>")]
    pub down: Vec<String>,
    /// Where nodes fail its probes.
    #[serde(deserialize_with = "first::<_, _, MAX_FAILING>")]
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

/// What its answers send from a region to the nodes of a place that are not told one by one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerRest {
    /// Use of a pool.
    pub pool: String,
    /// Client region.
    pub region: String,
    /// Place.
    pub place: String,
    /// Viewers per second, of answers and of caches.
    pub moved: f64,
    /// Viewers per second, of caches.
    pub rate: f64,
    /// Viewers who are still to come.
    pub committed: f64,
}

/// What the others need to know of us, with at most so many flows to single nodes.
pub(super) fn report(controller: &Controller, fleet: &Fleet, regions: &[Region], most: usize) -> Report {
    let count = controller.regions.max(1);
    let names = |demand: u32| {
        let (pool, region) = (demand as usize / count, demand as usize % count);
        Some((controller.pools.get(pool)?, &regions.get(region)?.name))
    };
    let longest_pool = longest(controller.pools.iter());
    let longest_head = BARE_OCTETS + longest_pool + longest(regions.iter().map(|region| &region.name));
    let fits = |octets: usize, names: usize| octets / (longest_head + names);
    let most = most.min(fits(FLOW_OCTETS, longest(fleet.nodes.iter().map(|known| &known.node.name))));
    let most_sums = MAX_SUMS.min(fits(SUM_OCTETS, longest(fleet.places.iter().map(|place| &place.name))));

    let of_node =
        controller.nodes.iter().zip(&fleet.nodes).flat_map(|(model, known)| {
            model.flows.iter().filter(|flow| size(flow) > 0.0).map(move |flow| (known, flow))
        });
    // JSON has no infinite numbers.
    let is_finite = |flow: &Flow| [flow.smooth, flow.rate, flow.committed].iter().all(|number| number.is_finite());
    let mut flows: Vec<_> = of_node.filter(|(_, flow)| names(flow.demand).is_some() && is_finite(flow)).collect();
    let least = NEGLIGIBLE * flows.iter().map(|(_, flow)| size(flow)).fold(0.0, f64::max);
    let mut sums: BTreeMap<(u32, PlaceId), Theirs> = BTreeMap::new();
    if flows.len() > most {
        // Many that are small are much together.
        flows.sort_by(|(_, one), (_, other)| size(other).total_cmp(&size(one)));
        let told = flows.partition_point(|(_, flow)| size(flow) > least).min(most);
        for (known, flow) in flows.split_off(told) {
            let (moved, rate, committed) = (flow.smooth, flow.rate, flow.committed);
            sums.entry((flow.demand, known.place)).or_default().add(&Theirs { moved, rate, committed });
        }
    }
    flows.retain(|(_, flow)| size(flow) > least);
    let flows = flows.into_iter().filter_map(|(known, flow)| {
        let (pool, region) = names(flow.demand)?;
        let (moved, rate, committed) = (flow.smooth, flow.rate, flow.committed);
        let (pool, region, node) = (pool.clone(), region.clone(), known.node.name.clone());
        Some(PeerFlow { pool, region, node, moved, rate, committed })
    });
    let mut sums: Vec<_> = sums.into_iter().filter(|(_, sum)| sum.moved.max(sum.rate) > least).collect();
    sums.sort_by(|(_, one), (_, other)| other.moved.max(other.rate).total_cmp(&one.moved.max(one.rate)));
    let rest = sums.into_iter().take(most_sums).filter_map(|((demand, place), sum)| {
        let (pool, region) = names(demand)?;
        let place = fleet.places.get(usize::from(place.0))?.name.clone();
        let Theirs { moved, rate, committed } = sum;
        Some(PeerRest { pool: pool.clone(), region: region.clone(), place, moved, rate, committed })
    });
    let arrivals = arrivals(controller, most_sums).into_iter().filter_map(|(demand, viewers)| {
        let (pool, region) = names(demand)?;
        Some((pool.clone(), region.clone(), viewers))
    });
    let down = controller.nodes.iter().zip(&fleet.nodes).filter(|(model, _)| !model.health().is_up());
    Report {
        flows: flows.collect(),
        rest: rest.collect(),
        arrivals: arrivals.collect(),
        down: down.map(|(_, known)| known.node.name.clone()).collect(),
        failing: failing(controller, fleet),
    }
}

/// Viewers per second by which a flow is large or small: caches may hold what no answer has added of late.
fn size(flow: &Flow) -> f64 {
    flow.smooth.max(flow.rate)
}

/// Expected viewers per second by demand, the most and without what is next to nothing: a smoothed number stays above
/// nothing for an hour.
fn arrivals(controller: &Controller, most: usize) -> Vec<(u32, f64)> {
    let own = controller.demands.iter().enumerate().map(|(index, demand)| (index as u32, demand.own()));
    let mut arrivals: Vec<(u32, f64)> = own.filter(|(_, viewers)| *viewers > 0.0 && viewers.is_finite()).collect();
    let least = NEGLIGIBLE * arrivals.iter().map(|(_, viewers)| *viewers).fold(0.0, f64::max);
    arrivals.retain(|(_, viewers)| *viewers > least);
    arrivals.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    arrivals.truncate(most);
    arrivals
}

fn failing(controller: &Controller, fleet: &Fleet) -> Vec<PeerFailure> {
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
    failing
}

/// Octets of the longest of these names in JSON.
fn longest<'n>(names: impl Iterator<Item = &'n String>) -> usize {
    names.map(|name| name.len() + name.matches(['"', '\\']).count()).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_list_that_is_too_long_the_beginning_is_read() {
        let long = format!("{{\"flows\":[{}{{}}],\"down\":[\"a\"]}}", "{\"moved\":1.0},".repeat(MAX_FLOWS + 5));
        let report: Report = serde_json::from_str(&long).unwrap();
        assert_eq!((report.flows.len(), report.down.len()), (MAX_FLOWS, 1));
        assert!(report.flows.iter().all(|flow| flow.moved == 1.0));
        assert!(report.flows.capacity() <= 2 * MAX_FLOWS, "what is left out takes no memory");
        assert!(serde_json::from_str::<Report>("{\"flows\":7}").is_err());
    }
}

//! Other ways to steer, as models of documented behaviour: what they have in common.
//!
//! All are told the truth about health and drains, and have correct capacities (the lesser of network and media process);
//! those that look at load look at the last scrape of each node, however old it is. Each rule stands in a file of its own.

mod adaptive_ttl;
mod ch_bounded;
mod geo_leastload;
mod geo_rr;
mod geo_weighted;
mod geo_whash;
mod headroom_prop;
mod ns1_shed;
mod oracle;
mod p2c;
mod random;
mod rr;

use super::dice::Dice;
use super::policy::{Answer, Fleet, Policy, Query, Sample};

/// Seconds that answers may be kept.
const TTL: u32 = 30;
/// The same for peers that are tuned for crowds, or named so.
const SHORT_TTL: u32 = 5;
/// Pressure at which those that look at load go to the next site.
const SPILL: f64 = 0.9;
/// The same for the tuned.
const EARLY_SPILL: f64 = 0.75;

/// The peers by name, in the order of tables.
pub const PEERS: &[&str] = &[
    "rr",
    "random",
    "geo-rr",
    "geo-weighted",
    "geo-whash",
    "geo-leastload",
    "ns1-shed",
    "adaptive-ttl",
    "p2c",
    "p2c@5s",
    "ch-bounded",
    "headroom-prop",
    "headroom-tuned",
    "adaptive-tuned",
    "ns1-shed-tuned",
    "p2c-tuned",
    "oracle",
];

/// The peer of this name, new.
pub fn peer(name: &str, fleet: &Fleet) -> Option<Box<dyn Policy>> {
    Some(match name {
        "rr" => Peer::boxed(fleet, TTL, rr::RoundRobin::new(fleet)),
        "random" => Peer::boxed(fleet, TTL, random::Random),
        "geo-rr" => Peer::boxed(fleet, TTL, geo_rr::GeoRoundRobin::new(fleet)),
        "geo-weighted" => Peer::boxed(fleet, TTL, geo_weighted::GeoWeighted),
        "geo-whash" => Peer::boxed(fleet, TTL, geo_whash::GeoWeightedHash),
        "geo-leastload" => Peer::boxed(fleet, TTL, geo_leastload::GeoLeastLoad { spill: SPILL }),
        "ns1-shed" => Peer::boxed(fleet, TTL, ns1_shed::Shed { low: 0.7, high: 1.0 }),
        "adaptive-ttl" => Peer::boxed(fleet, TTL, adaptive_ttl::AdaptiveTtl::new(fleet, SPILL)),
        "p2c" => Peer::boxed(fleet, TTL, p2c::PowerOfTwoChoices { spill: SPILL }),
        "p2c@5s" => Peer::boxed(fleet, SHORT_TTL, p2c::PowerOfTwoChoices { spill: SPILL }),
        "ch-bounded" => Peer::boxed(fleet, TTL, ch_bounded::BoundedHash { spill: SPILL }),
        "headroom-prop" => Peer::boxed(fleet, TTL, headroom_prop::HeadroomProportional { spill: SPILL }),
        "headroom-tuned" => Peer::boxed(fleet, SHORT_TTL, headroom_prop::HeadroomProportional { spill: EARLY_SPILL }),
        "adaptive-tuned" => Peer::boxed(fleet, SHORT_TTL, adaptive_ttl::AdaptiveTtl::new(fleet, EARLY_SPILL)),
        "ns1-shed-tuned" => Peer::boxed(fleet, SHORT_TTL, ns1_shed::Shed { low: 0.5, high: 0.8 }),
        "p2c-tuned" => Peer::boxed(fleet, SHORT_TTL, p2c::PowerOfTwoChoices { spill: EARLY_SPILL }),
        "oracle" => Box::new(oracle::Oracle),
        _ => return None,
    })
}

/// What makes one peer differ from another: which node it names to whom.
trait Rule {
    /// The node for a query, and the seconds that the answer may be kept.
    fn choose(&mut self, view: &View<'_>, query: &Query, dice: &mut Dice) -> Option<(usize, u32)>;
}

/// What a nameserver sees.
struct View<'a> {
    fleet: &'a Fleet,
    seen: &'a [Seen],
    ttl: u32,
}

/// What a nameserver knows about a node.
#[derive(Debug, Clone, Default)]
struct Seen {
    pressure: f64,
    is_down: bool,
    is_drained: bool,
    last: Option<Sample>,
}

impl<'a> View<'a> {
    /// Whether it may be named.
    fn is_usable(&self, node: usize) -> bool {
        !self.seen[node].is_down && !self.seen[node].is_drained
    }

    fn pressure(&self, node: usize) -> f64 {
        self.seen[node].pressure
    }

    fn capacity(&self, node: usize) -> f64 {
        self.fleet.nodes[node].capacity()
    }

    /// Nodes that may be named, site by site, the nearest first.
    fn sites(&self, region: usize) -> impl Iterator<Item = Vec<usize>> + use<'a, '_> {
        let usable = |site: &usize| -> Vec<usize> {
            self.fleet.sites[*site].iter().copied().filter(|node| self.is_usable(*node)).collect()
        };
        self.fleet.nearest[region].iter().map(usable).filter(|nodes| !nodes.is_empty())
    }

    /// All nodes that may be named.
    fn all(&self) -> Vec<usize> {
        (0..self.fleet.nodes.len()).filter(|node| self.is_usable(*node)).collect()
    }

    /// The one of least pressure.
    fn least(&self, nodes: &[usize]) -> Option<usize> {
        nodes.iter().copied().min_by(|a, b| self.pressure(*a).total_cmp(&self.pressure(*b)))
    }

    /// One in proportion to weights.
    fn weighted(&self, nodes: &[usize], dice: &mut Dice, weight: impl Fn(usize) -> f64) -> Option<usize> {
        dice.weighted(nodes.iter().map(|node| weight(*node))).map(|place| nodes[place])
    }
}

/// A rule, with what its nameservers know.
struct Peer<R> {
    rule: R,
    ttl: u32,
    fleet: Fleet,
    seen: Vec<Vec<Seen>>,
}

impl<R: Rule + 'static> Peer<R> {
    fn boxed(fleet: &Fleet, ttl: u32, rule: R) -> Box<dyn Policy> {
        let seen = vec![vec![Seen::default(); fleet.nodes.len()]; fleet.nameservers];
        Box::new(Self { rule, ttl, fleet: fleet.clone(), seen })
    }
}

impl<R: Rule> Policy for Peer<R> {
    fn answer(&mut self, query: &Query, dice: &mut Dice) -> Answer {
        let view = View { fleet: &self.fleet, seen: &self.seen[query.nameserver], ttl: self.ttl };
        match self.rule.choose(&view, query, dice) {
            Some((node, ttl)) => Answer::of(node, ttl),
            // Nothing may be named: any node of the region, for health is then presumably wrong.
            None => {
                let site = self.fleet.nearest[query.region].iter().map(|site| &self.fleet.sites[*site]);
                let node = site.flatten().next().copied();
                Answer { nodes: node.map(|node| node as u16).into_iter().collect(), ttl: self.ttl }
            }
        }
    }

    fn scraped(&mut self, nameserver: usize, node: usize, _at_ms: u64, window: f64, sample: &Sample) {
        let (seen, configured) = (&mut self.seen[nameserver][node], &self.fleet.nodes[node]);
        if let Some(last) = seen.last.replace(*sample)
            && window > 0.0
        {
            let network = (sample.tx_bytes - last.tx_bytes) * 8.0 / 1e6 / window / configured.nic_mbit;
            let process = (sample.process_seconds - last.process_seconds) / window;
            let system = 1.0 - (sample.idle_seconds - last.idle_seconds) / window / sample.cpus;
            seen.pressure = network.max(process).max(system) / configured.overload;
        }
    }

    fn probed(&mut self, nameserver: usize, node: usize, _at_ms: u64, is_up: bool) {
        self.seen[nameserver][node].is_down = !is_up;
    }

    fn drained(&mut self, node: usize, _at_ms: u64, is_drained: bool) {
        self.seen.iter_mut().for_each(|seen| seen[node].is_drained = is_drained);
    }
}

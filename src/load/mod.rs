//! From exposition text to samples, rates, utilisation and pressure, and how fresh that is.
#![deny(clippy::disallowed_methods)]

pub mod error;
pub mod exposition;
pub mod history;
mod line;
pub mod node_exporter;
pub mod rate;

use crate::load::rate::Utilisation;
use crate::pool::{Bitrate, Capacity, Limits, Resource};

/// A rate above this many times the capacity is no rate but a broken counter.
const IMPLAUSIBLE: f64 = 100.0;

/// What a node carried over a window of two scrapes; times are seconds on the feed's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeLoad {
    /// Its worst resource: 1 means overloaded by the operator's own definition, and more is possible.
    pub pressure: f64,
    /// Which one that is.
    pub worst: Resource,
    /// Every resource that is known, at least one.
    pub uses: Vec<Use>,
    /// What it sent to viewers, known or not how much it could.
    pub egress: Option<Bitrate>,
    /// What it can send: as configured, else the speed of its link.
    pub egress_capacity: Option<Bitrate>,
    /// The moment that the rates describe, the middle of the window (STEERING's tau).
    pub at: f64,
    /// The end of the later scrape.
    pub sampled: f64,
    /// Seconds from scrape to scrape.
    pub window: f64,
}

/// How much of a resource is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// Of which.
    pub resource: Resource,
    /// The share of its capacity, 1 is all of it.
    pub share: f64,
    /// The share at which pressure is 1.
    pub limit: f64,
}

impl Use {
    /// What this resource alone would make of the node.
    pub fn pressure(&self) -> f64 {
        self.share / self.limit
    }
}

/// Why rates are no load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoLoad {
    /// Neither CPU nor egress with a capacity: unknown, which is not idle.
    NothingKnown,
    /// An egress far above what the node can send.
    Implausible(Bitrate),
}

impl NodeLoad {
    /// The load that a use of `window` seconds up to `sampled` means.
    pub fn new(
        used: &Utilisation,
        capacity: &Capacity,
        limits: &Limits,
        sampled: f64,
        window: f64,
    ) -> Result<Self, NoLoad> {
        let Utilisation { cpu, egress, link } = *used;
        let Capacity { egress: configured, clients: _ } = *capacity;
        let Limits { cpu: cpu_limit, egress: egress_limit, process_cpu: _, clients: _ } = *limits;
        // What an operator says goes first: a hired line is often narrower than the link.
        let egress_capacity = configured.or(link).filter(|capacity| capacity.0 > 0.0);
        let egress_share = egress.zip(egress_capacity).map(|(egress, capacity)| egress.0 / capacity.0);
        if let (Some(egress), Some(IMPLAUSIBLE..)) = (egress, egress_share) {
            return Err(NoLoad::Implausible(egress));
        }
        let shares = [(Resource::Cpu, cpu, cpu_limit), (Resource::Egress, egress_share, egress_limit)];
        let uses: Vec<Use> = shares
            .into_iter()
            .filter_map(|(resource, share, limit)| Some(Use { resource, share: share?, limit }))
            .collect();
        let worst = uses.iter().max_by(|a, b| a.pressure().total_cmp(&b.pressure())).ok_or(NoLoad::NothingKnown)?;
        Ok(Self {
            pressure: worst.pressure(),
            worst: worst.resource,
            egress,
            egress_capacity,
            at: sampled - window / 2.0,
            sampled,
            window,
            uses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { cpu: 0.8, process_cpu: 0.8, egress: 0.5, clients: 0.9 };

    fn load(
        cpu: Option<f64>,
        egress: Option<f64>,
        link: Option<f64>,
        configured: Option<f64>,
    ) -> Result<NodeLoad, NoLoad> {
        let used = Utilisation { cpu, egress: egress.map(Bitrate), link: link.map(Bitrate) };
        NodeLoad::new(&used, &Capacity { egress: configured.map(Bitrate), clients: None }, &LIMITS, 100.0, 5.0)
    }

    #[test]
    fn pressure_is_that_of_the_worst_resource_over_its_limit() {
        let loaded = load(Some(0.4), Some(6e8), Some(1e9), None).expect("load");
        assert_eq!((loaded.worst, loaded.pressure), (Resource::Egress, 1.2));
        assert_eq!(loaded.uses[0], Use { resource: Resource::Cpu, share: 0.4, limit: 0.8 });
        assert_eq!((loaded.at, loaded.sampled, loaded.window), (97.5, 100.0, 5.0));
        let loaded = load(Some(1.0), Some(6e8), None, Some(3e9)).expect("load");
        assert_eq!((loaded.worst, loaded.pressure), (Resource::Cpu, 1.25));
    }

    #[test]
    fn the_configured_capacity_goes_before_the_link() {
        let loaded = load(None, Some(1e8), Some(1e10), Some(1e9)).expect("load");
        assert_eq!((loaded.pressure, loaded.egress_capacity), (0.2, Some(Bitrate(1e9))));
    }

    #[test]
    fn unknown_is_not_idle() {
        assert_eq!(load(None, None, Some(1e9), None), Err(NoLoad::NothingKnown));
        assert_eq!(load(None, Some(1e8), None, None), Err(NoLoad::NothingKnown));
        let loaded = load(Some(0.0), Some(1e8), None, None).expect("cpu is known");
        assert_eq!((loaded.pressure, loaded.egress, loaded.uses.len()), (0.0, Some(Bitrate(1e8)), 1));
    }

    #[test]
    fn a_rate_a_hundred_times_the_capacity_is_refused() {
        assert_eq!(load(Some(0.1), Some(1e11), None, Some(1e9)), Err(NoLoad::Implausible(Bitrate(1e11))));
        assert!(load(Some(0.1), Some(9e10), None, Some(1e9)).is_ok());
    }
}

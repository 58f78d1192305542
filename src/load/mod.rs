//! From exposition text to samples, rates, utilisation and pressure, and how fresh that is.
#![deny(clippy::disallowed_methods)]

pub mod counters;
pub mod error;
pub mod exposition;
pub mod findings;
pub mod health;
pub mod heartbeat;
pub mod history;
mod line;
mod merge;
pub mod promql;
pub mod rate;
mod recent;
mod steps;

pub use counters::read;
pub use merge::merge;

use crate::load::rate::{Custom, Utilisation};
use crate::pool::{Bitrate, Capacity, Limits, Resource};

/// A rate above this many times the capacity is no rate but a broken counter.
const IMPLAUSIBLE: f64 = 100.0;
/// How far below the share of memory or disk at which it gets nobody a node begins to get fewer. They do not follow
/// viewers, but leaks and logs: there is no headroom to be had from sending fewer.
const GATE_WIDTH: f64 = 0.10;
/// The share of a resource without another limit at which pressure is 1.
const USUAL_LIMIT: f64 = 0.8;
/// The pressure from which a node that stops answering is rather full than dead.
const NEAR_FULL: f64 = 0.95;

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
    /// Its connections, known or not how many it can have.
    pub clients: Option<f64>,
    /// When they were counted, if they were: a count describes that very moment.
    pub clients_at: Option<f64>,
    /// The part of its weight that memory and disk leave it: 1 with enough of both, 0 = it must get nobody.
    pub gate: f64,
    /// Its media server lets nobody new in.
    pub is_draining: bool,
    /// How often it, or its media server, was seen to have been started anew; after a change, what is known here is
    /// of before, until `sampled` changes too.
    pub restarts: u32,
    /// The moment that the rates describe, the middle of the window.
    pub at: f64,
    /// The end of the later scrape.
    pub sampled: f64,
    /// Seconds from the window's beginning to its end.
    pub window: f64,
}

/// Idle at time 0, and nothing else known.
impl Default for NodeLoad {
    fn default() -> Self {
        Self {
            pressure: 0.0,
            worst: Resource::Cpu,
            uses: Vec::new(),
            egress: None,
            egress_capacity: None,
            clients: None,
            clients_at: None,
            gate: 1.0,
            is_draining: false,
            restarts: 0,
            at: 0.0,
            sampled: 0.0,
            window: 0.0,
        }
    }
}

/// How much of a resource is used.
#[derive(Debug, Clone, PartialEq)]
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
        match self.resource {
            // Datagrams are dropped when a queue is full, and none before: it is full or it is not.
            Resource::UdpDrops => f64::from(u8::from(self.share > self.limit)),
            _ => self.share / self.limit,
        }
    }
}

/// Why rates are no load.
#[derive(Debug, Clone, PartialEq)]
pub enum NoLoad {
    /// No resource with a capacity: unknown, which is not idle.
    NothingKnown,
    /// Far more than there is.
    Implausible {
        /// Of which resource.
        resource: Resource,
        /// The share of its capacity, 1 is all of it.
        share: f64,
    },
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
        let Utilisation { cpu, process_cpu, cores, egress, link, clients, seats, udp_drops, memory, disk, custom } =
            used;
        // What an operator says goes first: a hired line is often narrower than the link.
        let of = |configured: Option<f64>, told: Option<f64>| configured.or(told).filter(|capacity| *capacity > 0.0);
        let egress_capacity = of(capacity.egress.map(|egress| egress.0), link.map(|link| link.0));
        let egress_share = egress.zip(egress_capacity).map(|(egress, capacity)| egress.0 / capacity);
        let seat_share = clients.zip(of(capacity.clients, *seats)).map(|(clients, seats)| clients / seats);
        let core_share = process_cpu.zip(of(capacity.process_cpu, *cores)).map(|(used, cores)| used / cores);
        let shares = [
            (Resource::Cpu, *cpu, limits.cpu),
            (Resource::ProcessCpu, core_share, limits.process_cpu),
            (Resource::Egress, egress_share, limits.egress),
            (Resource::Clients, seat_share, limits.clients),
            (Resource::UdpDrops, *udp_drops, limits.udp_drops),
        ];
        let custom = custom.iter().map(|Custom { name, share, limit }| {
            let limit = limits.custom.get(&**name).copied().or(*limit).unwrap_or(USUAL_LIMIT);
            (Resource::Custom(name.clone()), Some(*share), limit)
        });
        let shares = shares.into_iter().chain(custom);
        let uses: Vec<Use> =
            shares.filter_map(|(resource, share, limit)| Some(Use { resource, share: share?, limit })).collect();
        if let Some(Use { resource, share, .. }) = uses.iter().find(|each| each.share >= IMPLAUSIBLE) {
            return Err(NoLoad::Implausible { resource: resource.clone(), share: *share });
        }
        // A count of viewers without a limit is no load, but tells something beside one: `merge` decides.
        let known = worst(&uses).map(|worst| (worst.pressure(), worst.resource));
        let (pressure, worst) = known.or(clients.map(|_| (0.0, Resource::Clients))).ok_or(NoLoad::NothingKnown)?;
        Ok(Self {
            pressure,
            worst,
            egress: *egress,
            egress_capacity: egress_capacity.map(Bitrate),
            clients: *clients,
            clients_at: clients.map(|_| sampled),
            gate: gate(*memory, limits.memory).min(gate(*disk, limits.disk)),
            is_draining: false,
            restarts: 0,
            at: sampled - window / 2.0,
            sampled,
            window,
            uses,
        })
    }

    /// Whether it was so full that, if it stops answering probes or scrapes, it has rather run out of room than died:
    /// servers at their limit of connections refuse those of probes too.
    pub fn is_near_full(&self) -> bool {
        let has_no_seat = |each: &Use| each.resource == Resource::Clients && each.pressure() >= 1.0;
        self.pressure >= NEAR_FULL || self.uses.iter().any(has_no_seat)
    }
}

fn worst(uses: &[Use]) -> Option<Use> {
    uses.iter().max_by(|a, b| a.pressure().total_cmp(&b.pressure())).cloned()
}

/// What a used share of memory or disk leaves of a node's weight; all of it if nothing is known, or nothing is limited.
fn gate(used: Option<f64>, limit: f64) -> f64 {
    used.filter(|_| limit < 1.0).map_or(1.0, |used| ((limit - used) / GATE_WIDTH).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { egress: 0.5, ..Limits::default() }
    }

    fn load(
        cpu: Option<f64>,
        egress: Option<f64>,
        link: Option<f64>,
        configured: Option<f64>,
    ) -> Result<NodeLoad, NoLoad> {
        let used = Utilisation { cpu, egress: egress.map(Bitrate), link: link.map(Bitrate), ..Utilisation::default() };
        NodeLoad::new(
            &used,
            &Capacity { egress: configured.map(Bitrate), ..Capacity::default() },
            &limits(),
            100.0,
            5.0,
        )
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
        assert_eq!(
            load(Some(0.1), Some(1e11), None, Some(1e9)),
            Err(NoLoad::Implausible { resource: Resource::Egress, share: 100.0 })
        );
        assert!(load(Some(0.1), Some(9e10), None, Some(1e9)).is_ok());
    }

    fn of(used: &Utilisation, clients: Option<f64>) -> Result<NodeLoad, NoLoad> {
        NodeLoad::new(used, &Capacity { clients, ..Capacity::default() }, &limits(), 100.0, 5.0)
    }

    #[test]
    fn processes_and_viewers_count_as_resources() {
        let used = Utilisation {
            cpu: Some(0.2),
            process_cpu: Some(0.6),
            cores: Some(1.0),
            clients: Some(450.0),
            ..Utilisation::default()
        };
        let loaded = of(&used, Some(1000.0)).expect("load");
        assert_eq!((loaded.worst, loaded.pressure), (Resource::ProcessCpu, 0.6 / 0.8));
        let resources: Vec<_> = loaded.uses.iter().map(|each| each.resource.clone()).collect();
        assert_eq!(resources, [Resource::Cpu, Resource::ProcessCpu, Resource::Clients]);
        let loaded = of(&used, Some(500.0)).expect("load");
        assert_eq!((loaded.worst, loaded.pressure), (Resource::Clients, 0.9 / 0.9));
        assert_eq!((loaded.clients, loaded.clients_at), (Some(450.0), Some(100.0)));
        // How many it can have is unknown: they are counted, and press nothing.
        let loaded = of(&used, None).expect("load");
        assert_eq!((loaded.clients, loaded.uses.len()), (Some(450.0), 2));
        let far = Utilisation { process_cpu: Some(1e9), ..used.clone() };
        assert_eq!(of(&far, None), Err(NoLoad::Implausible { resource: Resource::ProcessCpu, share: 1e9 }));
        assert_eq!(of(&used, Some(4.5)), Err(NoLoad::Implausible { resource: Resource::Clients, share: 100.0 }));
    }

    #[test]
    fn memory_and_disk_are_gates_and_no_pressure() {
        let gate = |memory, disk| {
            let loaded =
                of(&Utilisation { cpu: Some(0.4), memory, disk, ..Utilisation::default() }, None).expect("load");
            assert_eq!(loaded.pressure, 0.5);
            loaded.gate
        };
        assert_eq!(gate(None, None), 1.0);
        assert_eq!(gate(Some(0.84), Some(0.2)), 1.0);
        assert!((gate(Some(0.90), None) - 0.5).abs() < 1e-9);
        assert!((gate(Some(0.90), Some(0.925)) - 0.25).abs() < 1e-9);
        assert_eq!((gate(Some(0.95), None), gate(None, Some(1.0))), (0.0, 0.0));
        // They alone tell nothing of viewers.
        assert_eq!(of(&Utilisation { memory: Some(0.1), ..Utilisation::default() }, None), Err(NoLoad::NothingKnown));
    }

    #[test]
    fn a_node_without_room_or_seats_is_near_full() {
        let near = |cpu, clients| {
            let used = Utilisation { cpu: Some(cpu), clients: Some(clients), ..Utilisation::default() };
            of(&used, Some(1000.0)).expect("load").is_near_full()
        };
        assert!(near(0.8 * 0.95, 0.0) && near(0.0, 900.0));
        assert!(!near(0.8 * 0.94, 845.0));
    }

    #[test]
    fn dropped_datagrams_say_that_there_is_no_room_and_never_how_much() {
        let pressure = |drops| {
            let used = Utilisation { cpu: Some(0.4), udp_drops: Some(drops), ..Utilisation::default() };
            let loaded = of(&used, None).expect("load");
            (loaded.worst, loaded.pressure)
        };
        assert_eq!(pressure(0.0009), (Resource::Cpu, 0.5));
        assert_eq!(pressure(0.0011), (Resource::UdpDrops, 1.0));
        assert_eq!(pressure(0.9), (Resource::UdpDrops, 1.0));
    }

    #[test]
    fn resources_of_presets_have_the_limit_of_the_node_or_their_own_or_the_usual_one() {
        let custom = |limit| vec![Custom { name: "stress".into(), share: 0.6, limit }];
        let pressure = |limits: &Limits, limit| {
            let used = Utilisation { custom: custom(limit), ..Utilisation::default() };
            NodeLoad::new(&used, &Capacity::default(), limits, 100.0, 5.0).expect("load").pressure
        };
        let own = Limits { custom: [("stress".to_owned(), 0.5)].into(), ..Limits::default() };
        assert_eq!(pressure(&own, Some(1.0)), 1.2);
        assert_eq!(pressure(&Limits::default(), Some(1.0)), 0.6);
        assert!((pressure(&Limits::default(), None) - 0.75).abs() < 1e-9);
    }

    #[test]
    fn a_process_may_use_what_is_configured_or_told_or_nobody_knows() {
        let share = |configured, told| {
            let used = Utilisation { process_cpu: Some(1.5), cores: told, ..Utilisation::default() };
            let capacity = Capacity { process_cpu: configured, ..Capacity::default() };
            NodeLoad::new(&used, &capacity, &limits(), 100.0, 5.0).map(|load| load.uses[0].share)
        };
        assert_eq!(share(Some(6.0), Some(3.0)), Ok(0.25));
        assert_eq!((share(None, Some(3.0)), share(Some(2.0), None)), (Ok(0.5), Ok(0.75)));
        assert_eq!(share(None, None), Err(NoLoad::NothingKnown));
    }

    #[test]
    fn a_gate_at_1_is_none() {
        let limits = Limits { disk: 1.0, ..Limits::default() };
        let used = Utilisation { cpu: Some(0.1), disk: Some(1.0), ..Utilisation::default() };
        assert_eq!(NodeLoad::new(&used, &Capacity::default(), &limits, 9.0, 5.0).expect("load").gate, 1.0);
    }
}

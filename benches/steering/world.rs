//! A large installation, as steering sees it.

use std::collections::BTreeMap;

use thalweg::geo::{Position, Region, RegionId, RegionOrigin};
use thalweg::load::NodeLoad;
use thalweg::load::health::State;
use thalweg::load::history::Reading;
use thalweg::name::Name;
use thalweg::pool::{Answers, Bitrate, Capacity, Family, Node, Place, Pool, PoolId, Service, ServiceId, TtlBounds};
use thalweg::steer::{
    Asker, Assembly, Controller, Decision, Estimate, Fleet, Inputs, Ledger, NodeInput, Observation, Overrides, Tables,
    mix, pick,
};

/// Nodes at places all over the world, and a nameserver.
pub(crate) struct World {
    fleet: Fleet,
    regions: Vec<Region>,
    controller: Controller,
    now: f64,
    seconds: u64,
}

impl World {
    pub(crate) fn new(nodes: usize, places: usize, regions: usize) -> Self {
        let at = |number: usize| Position {
            latitude: (mix(number as u64) % 120) as f64 - 60.0,
            longitude: (mix(number as u64 ^ 1 << 40) % 360) as f64 - 180.0,
        };
        let place = |number: usize| Place { name: format!("place{number}"), at: Some(at(number)) };
        let all: Vec<Place> = (0..places).map(place).collect();
        let node = |number: usize| Node {
            name: format!("node{number}"),
            v4: Some((0xC000_0200 + number as u32).into()),
            v6: Some([0x2001, 0xdb8, 0, 0, 0, 0, 0, number as u16].into()),
            place: Some(format!("place{}", number % places)),
            capacity: Capacity {
                egress: Some(Bitrate(1e9 * (10 + mix(number as u64) % 30) as f64)),
                ..Capacity::default()
            },
            ..Node::default()
        };
        let region = |number: usize| Region {
            name: format!("region{number}"),
            position: Some(at(number + 1_000)),
            near: Vec::new(),
            near_only: false,
            continent: None,
            origin: RegionOrigin::Unknown,
            is_vanished: false,
        };
        let regions: Vec<Region> = (0..regions).map(region).collect();
        let service = Service {
            name: Name::parse("play.live.example.", None).expect("it is a name"),
            pool: "default".to_owned(),
            answers: Answers::Auto,
            ttl: TtlBounds::default(),
            policy: None,
            within: Vec::new(),
        };
        let fleet = Fleet::assemble(
            &Assembly {
                nodes: &(0..nodes).map(node).collect::<Vec<_>>(),
                places: &all,
                pools: &[Pool::default()],
                services: &[service],
                regions: &regions,
                rtts: &[],
                guesses: &BTreeMap::new(),
            },
            None,
        );
        Self { fleet, regions, controller: Controller::default(), now: 1_000.0, seconds: 0 }
    }

    /// A second later; loads have moved by up to `swing`, and each has a new reading every fifth second, or now if they move.
    pub(crate) fn tick(&mut self, swing: f64) -> Tables {
        self.now += 1.0;
        self.seconds += 1;
        let input = |number: usize| {
            let chance = (mix(number as u64 ^ self.seconds << 20) % 1_000) as f64 / 1_000.0;
            let pressure = 0.3 + 0.5 * (mix(number as u64) % 1_000) as f64 / 1_000.0 + swing * (chance - 0.5);
            let age = if swing > 0.0 { 0.0 } else { (self.seconds + number as u64) as f64 % 5.0 };
            let capacity = self.fleet.nodes[number].node.capacity.egress.map_or(0.0, |egress| egress.0);
            let load = NodeLoad {
                pressure,
                egress: Some(Bitrate(pressure * 0.8 * capacity)),
                at: self.now - age - 2.5,
                sampled: self.now - age,
                window: 5.0,
                ..NodeLoad::default()
            };
            NodeInput { reading: Reading::Fresh(load), health: State::Unknown.into() }
        };
        let nodes: Vec<NodeInput> = (0..self.fleet.nodes.len()).map(input).collect();
        let overrides = Overrides::default();
        self.controller.tick(&Inputs {
            now: self.now,
            fleet: &self.fleet,
            regions: &self.regions,
            nodes: &nodes,
            overrides: &overrides,
            seed: 7,
        })
    }

    pub(crate) fn ask<'t>(&self, tables: &'t Tables, region: u16, hash: u64, viewers: f64, slot: u64) -> Decision<'t> {
        let estimate = Estimate { viewers, ..Estimate::default() };
        let asker = Asker { region: RegionId(region), hash, estimate, slot };
        pick(tables, self.fleet.service(ServiceId(0)), Family::V4, &asker)
    }

    pub(crate) fn observation<'t>(region: u16, decision: &Decision<'t>, viewers: f64) -> Observation<'t> {
        let estimate = Estimate { viewers, ..Estimate::default() };
        let (nodes, ttl) = (decision.nodes, decision.ttl);
        Observation { region: RegionId(region), pool: PoolId(0), family: Family::V4, nodes, ttl, estimate }
    }

    /// Forty answers for each region.
    pub(crate) fn book(&mut self, tables: &Tables) {
        let mut ledger = Ledger::new();
        for region in 0..self.regions.len() as u16 {
            for key in 0..40 {
                let hash = mix(u64::from(region) << 32 ^ key ^ self.seconds << 16);
                let decision = self.ask(tables, region, hash, 0.05, self.seconds);
                ledger.book(&Self::observation(region, &decision, 0.05));
            }
        }
        self.controller.book(&ledger);
    }
}

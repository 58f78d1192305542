//! Properties of the loop: answers bring viewers, viewers load, load weights, weights answers.

use proptest::prelude::Strategy;
use thalweg::geo::RegionId;
use thalweg::load::NodeLoad;
use thalweg::load::health::State;
use thalweg::load::history::Reading;
use thalweg::pool::{Bitrate, Family, NodeId};
use thalweg::steer::{Controller, Fleet, Inputs, Ledger, NodeInput, Overrides, mix};

use super::super::check;
use super::world::{AnyKey, SEED, World, ask, observation};

/// Mbit/s of a viewer.
const VIEWER: f64 = 2.5;
/// Mean seconds for which one stays.
const STAYS: f64 = 2_400.0;
/// The pressure up to which nodes are filled while there is room.
const FULL: f64 = 0.92;

/// One site, its viewers and its nameserver; no cache keeps an answer.
struct Plant {
    fleet: Fleet,
    world: World,
    controller: Controller,
    /// Mbit/s by node, and the pressure of 1.
    loads: Vec<f64>,
    capacities: Vec<f64>,
    now: f64,
    asked: u64,
    /// What exporters say: as it is, until they freeze.
    told: Vec<NodeLoad>,
}

impl Plant {
    fn new(sizes: &[(f64, f64)]) -> Self {
        let world = World::calm(&sizes.iter().map(|(egress, _)| (0, *egress)).collect::<Vec<_>>(), 0.0);
        let capacities: Vec<f64> = sizes.iter().map(|(egress, _)| egress * 1e3 * 0.8).collect();
        let loads = sizes.iter().zip(&capacities).map(|((_, pressure), capacity)| pressure * capacity).collect();
        let (fleet, controller) = (world.fleet(), Controller::default());
        Self { fleet, world, controller, loads, capacities, now: 1_000.0, asked: 0, told: Vec::new() }
    }

    fn room(&self) -> f64 {
        self.loads.iter().zip(&self.capacities).map(|(load, capacity)| (FULL * capacity - load).max(0.0)).sum()
    }

    fn highest(&self) -> f64 {
        self.loads.iter().zip(&self.capacities).map(|(load, capacity)| load / capacity).fold(0.0, f64::max)
    }

    /// A second in which viewers come who bring so many Mbit/s, each of another network.
    fn second(&mut self, inflow: f64, has_news: bool) {
        self.now += 1.0;
        if has_news {
            let told = |(load, capacity): (&f64, &f64)| NodeLoad {
                pressure: load / capacity,
                egress: Some(Bitrate(load * 1e6)),
                at: self.now,
                sampled: self.now,
                window: 1.0,
                ..NodeLoad::default()
            };
            self.told = self.loads.iter().zip(&self.capacities).map(told).collect();
        }
        let input =
            |load: &NodeLoad| NodeInput { reading: Reading::Fresh(load.clone()), health: State::Unknown.into() };
        let nodes: Vec<NodeInput> = self.told.iter().map(input).collect();
        let tables = self.controller.tick(&Inputs {
            now: self.now,
            fleet: &self.fleet,
            regions: &self.world.regions(),
            nodes: &nodes,
            overrides: &Overrides::default(),
            seed: SEED,
        });
        let mut ledger = Ledger::new();
        self.loads.iter_mut().for_each(|load| *load -= *load / STAYS);
        let viewers = (inflow / VIEWER).round() as u64;
        for _ in 0..viewers {
            self.asked += 1;
            let key = AnyKey { hash: mix(self.asked), viewers: 1e-4, stretched: 0.0, rhythm: 15.0, slot: self.asked };
            let decision = ask(&self.fleet, &tables, RegionId(0), Family::V4, &key);
            let part = VIEWER / decision.nodes.len() as f64;
            for NodeId(node) in decision.nodes {
                self.loads[usize::from(*node)] += part;
            }
            ledger.book(&observation(RegionId(0), Family::V4, &key, &decision));
        }
        self.controller.book(&ledger);
    }
}

fn any_site() -> impl Strategy<Value = Vec<(f64, f64)>> {
    proptest::collection::vec((0.5..4.0_f64, 0.0..0.9_f64), 2..8)
}

#[test]
fn with_loads_known_at_once_no_node_is_filled_beyond_the_limit_while_its_site_has_room() {
    check(40, &(any_site(), 0.002..0.05_f64), |(sizes, rate)| {
        let mut plant = Plant::new(&sizes);
        let capacity: f64 = plant.capacities.iter().sum();
        let start = plant.highest().max(FULL);
        let inflow = rate * capacity;
        while plant.room() > 0.03 * capacity + 2.0 * inflow {
            plant.second(inflow, true);
            // Answers of a second follow one table: at most what its node had room for, and one answer.
            let answer = VIEWER / plant.capacities.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(plant.highest() <= start + answer, "{:?} of {:?}", plant.loads, plant.capacities);
        }
    });
}

#[test]
fn with_loads_frozen_for_half_a_minute_no_node_is_overloaded_by_a_steady_inflow_that_its_site_has_room_for() {
    check(40, &(any_site(), 0.3..1.0_f64), |(sizes, part)| {
        let mut plant = Plant::new(&sizes);
        // A minute in which loads grow as answers promise, so that promises are believed, and half a minute of faith.
        let inflow = part * plant.room() / 90.0;
        (0..60).for_each(|_| plant.second(inflow, true));
        let room = plant.room();
        (0..30).for_each(|_| plant.second(inflow, false));
        assert!(inflow * 30.0 <= room + 30.0 * VIEWER);
        assert!(plant.highest() <= 1.0, "{}: {:?} of {:?}", plant.highest(), plant.loads, plant.capacities);
    });
}

//! Nodes of one place in two pools, of which some fail: who is taken out where, who is kept, and what others hear of it.

use std::collections::BTreeMap;

use crate::geo::{Region, RegionId, RegionOrigin};
use crate::load::NodeLoad;
use crate::load::health::{NodeHealth, State};
use crate::load::history::Reading;
use crate::name::Name;
use crate::pool::{
    Answers, Bitrate, Capacity, Check, Family, Node, NodeId, Place, Policy, Pool, PoolId, Service, TtlBounds,
};
use crate::steer::{
    Alarm, Assembly, Controller, Estimate, Fleet, Inputs, Ledger, NodeInput, Observation, Override, Overrides,
    PeerFailure, Report, Standing, Tables,
};

const EDGE: PoolId = PoolId(0);
const WHIP: PoolId = PoolId(1);
const V4: Family = Family::V4;
const V6: Family = Family::V6;

/// Nodes n0, n1 … of both families, all in both pools.
struct World {
    fleet: Fleet,
    regions: Vec<Region>,
    controller: Controller,
    pressures: Vec<f64>,
    /// Seconds since nodes were heard, of those that fell silent.
    silent: Vec<Option<f64>>,
    healths: Vec<NodeHealth>,
    drained: Vec<usize>,
    /// It is out of memory.
    exhausted: Option<usize>,
    now: f64,
}

impl World {
    fn new(nodes: u8) -> Self {
        Self::at(&vec!["fra"; usize::from(nodes)], Policy::Planner)
    }

    /// Nodes at these places.
    fn at(places: &[&str], policy: Policy) -> Self {
        let node = |(index, place): (u8, &&str)| Node {
            name: format!("n{index}"),
            v4: Some([192, 0, 2, index].into()),
            v6: Some([0x2001, 0xdb8, 0, 0, 0, 0, 0, index.into()].into()),
            place: Some((*place).to_owned()),
            capacity: Capacity { egress: Some(Bitrate(1e9)), ..Capacity::default() },
            ..Node::default()
        };
        let pool = |name: &str, checks| Pool { name: name.to_owned(), checks, policy, ..Pool::default() };
        let service = |name: &str| Service {
            name: Name::parse(&format!("{name}.live.example"), None).unwrap(),
            pool: name.to_owned(),
            answers: Answers::Auto,
            ttl: TtlBounds::default(),
            policy: None,
            within: Vec::new(),
        };
        let regions = vec![Region {
            name: "here".to_owned(),
            position: None,
            near: Vec::new(),
            near_only: false,
            continent: None,
            origin: RegionOrigin::Unknown,
            is_vanished: false,
        }];
        let known = ["fra", "ams", "nyc", "sin", "syd"];
        let assembly = Assembly {
            nodes: &(0..).zip(places).map(node).collect::<Vec<_>>(),
            places: &known.map(|name| Place { name: name.to_owned(), at: None }),
            pools: &[pool("edge", Vec::new()), pool("whip", vec![Check::Tcp(8000)])],
            services: &[service("edge"), service("whip")],
            regions: &regions,
            rtts: &[],
            guesses: &BTreeMap::new(),
        };
        let count = places.len();
        Self {
            fleet: Fleet::assemble(&assembly, None),
            regions,
            controller: Controller::default(),
            pressures: vec![0.1; count],
            silent: vec![None; count],
            healths: vec![NodeHealth::default(); count],
            drained: Vec::new(),
            exhausted: None,
            now: 1_000.0,
        }
    }

    fn fail(&mut self, node: usize, pool: Option<PoolId>, family: Family) {
        self.fail_since(node, pool, family, 990.0);
    }

    fn fail_since(&mut self, node: usize, pool: Option<PoolId>, family: Family, since: f64) {
        self.healths[node].note(pool.as_ref().map(std::slice::from_ref), Some(family), State::Down { since });
    }

    /// Its own checks fail over both families.
    fn die(&mut self, node: usize, since: f64) {
        Family::ALL.into_iter().for_each(|family| self.fail_since(node, None, family, since));
    }

    fn tick(&mut self) -> Tables {
        self.now += 1.0;
        let input = |index: usize| {
            let (pressure, age) = (self.pressures[index], self.silent[index].unwrap_or(0.0));
            let load = NodeLoad {
                pressure,
                egress: Some(Bitrate(pressure * 800e6)),
                at: self.now - age - 0.5,
                sampled: self.now - age,
                window: 1.0,
                gate: if self.exhausted == Some(index) { 0.0 } else { 1.0 },
                ..NodeLoad::default()
            };
            let reading = match self.silent[index] {
                None => Reading::Fresh(load),
                Some(age) => Reading::Stale { last: load, age, because: None },
            };
            NodeInput { reading, health: self.healths[index].clone() }
        };
        let nodes: Vec<NodeInput> = (0..self.healths.len()).map(input).collect();
        let drain = |node: &usize| Override::Drain { node: format!("n{node}") };
        let overrides = Overrides::new(self.drained.iter().map(drain).collect(), ["here"].into_iter());
        let (now, regions) = (self.now, self.regions.as_slice());
        self.controller.tick(&Inputs {
            now,
            fleet: &self.fleet,
            regions,
            nodes: &nodes,
            overrides: &overrides,
            seed: 7,
        })
    }

    fn report(&self) -> Report {
        self.controller.report(&self.fleet, &self.regions)
    }
}

fn standings(tables: &Tables, pool: PoolId, family: Family) -> Vec<Standing> {
    (0..tables.nodes.len()).map(|node| tables.fitness(pool, family, NodeId(node as u16)).standing).collect()
}

fn seen(node: &str, family: Family, pool: Option<&str>) -> PeerFailure {
    PeerFailure { node: node.to_owned(), family: family.word().to_owned(), pool: pool.map(str::to_owned) }
}

#[test]
fn a_node_is_down_where_it_fails_and_stands_elsewhere_as_before() {
    let mut world = World::new(5);
    world.fail(1, None, V6);
    world.fail(3, Some(WHIP), V4);
    let tables = world.tick();
    let (known, down) = (Standing::Known, Standing::Down);
    assert_eq!(standings(&tables, EDGE, V4), [known; 5]);
    assert_eq!(standings(&tables, EDGE, V6), [known, down, known, known, known]);
    assert_eq!(standings(&tables, WHIP, V4), [known, known, known, down, known]);
    assert_eq!(standings(&tables, WHIP, V6), [known, down, known, known, known]);
    assert!(tables.nodes.iter().all(|node| node.standing == known && node.health.is_up()));
    assert!(world.controller.alarms().is_empty());
}

#[test]
fn the_brake_holds_in_each_pool_and_family_and_another_nameserver_confirms_what_it_saw_there() {
    let mut world = World::new(5);
    (0..3).for_each(|node| world.fail(node, Some(WHIP), V4));
    let tables = world.tick();
    let (known, held, down) = (Standing::Known, Standing::Held, Standing::Down);
    assert_eq!(standings(&tables, WHIP, V4), [down, held, held, known, known]);
    assert_eq!(tables.held().into_iter().collect::<Vec<_>>(), [NodeId(1), NodeId(2)]);
    assert!(world.controller.alarms().contains(&Alarm::Held));
    let failing = vec![
        seen("n1", V4, Some("whip")),
        seen("n2", V6, Some("whip")),
        seen("n2", V4, None),
        seen("n2", V4, Some("edge")),
    ];
    world.controller.take_report("ns2", Report { failing, ..Report::default() }, world.now);
    assert_eq!(standings(&world.tick(), WHIP, V4), [down, down, held, known, known]);
}

#[test]
fn what_nodes_lose_by_their_own_checks_counts_for_what_a_pool_may_take_out() {
    let mut world = World::new(5);
    world.fail(4, None, V4);
    world.fail(0, Some(WHIP), V4);
    let tables = world.tick();
    assert_eq!(standings(&tables, WHIP, V4)[0], Standing::Held, "two of five are more than three tenths");
    assert_eq!(standings(&tables, EDGE, V4)[0], Standing::Known);
}

#[test]
fn a_report_says_where_nodes_fail_and_an_older_one_is_taken_for_everywhere() {
    let mut world = World::new(5);
    world.fail(1, Some(WHIP), V4);
    world.fail(2, None, V6);
    (0..2).for_each(|family| world.fail(3, None, Family::ALL[family]));
    world.tick();
    let report = world.report();
    assert_eq!(report.down, ["n3"]);
    let expected = [seen("n1", V4, Some("whip")), seen("n2", V6, None), seen("n3", V4, None), seen("n3", V6, None)];
    assert_eq!(report.failing, expected);
    let told: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(told, report);

    let mut world = World::new(5);
    (0..3).for_each(|node| world.fail(node, Some(WHIP), V4));
    let older = serde_json::from_str(r#"{"flows":[],"arrivals":[],"down":["n2"]}"#).unwrap();
    world.controller.take_report("ns2", older, world.now);
    let standings = standings(&world.tick(), WHIP, V4);
    assert_eq!(standings[..3], [Standing::Down, Standing::Held, Standing::Down]);
}

#[test]
fn a_node_that_was_near_full_and_fails_the_check_of_a_pool_is_full_there() {
    let mut world = World::new(5);
    world.pressures[2] = 0.97;
    world.fail(2, Some(WHIP), V4);
    let tables = world.tick();
    assert_eq!((standings(&tables, WHIP, V4)[2], standings(&tables, EDGE, V4)[2]), (Standing::Full, Standing::Known));
    assert_eq!(tables.fitness(WHIP, V4, NodeId(2)).pressure, 1.0, "it gets nobody while others have room");
}

#[test]
fn what_is_known_of_a_nodes_load_goes_on_while_it_serves_anywhere() {
    let promised = |pools: &[Option<PoolId>]| {
        let mut world = World::new(5);
        world.tick();
        let nodes = [NodeId(0)];
        let estimate = Estimate { viewers: 5.0, ..Estimate::default() };
        let observation = Observation { region: RegionId(0), pool: EDGE, family: V4, nodes: &nodes, ttl: 10, estimate };
        let mut ledger = Ledger::new();
        ledger.book(&observation);
        world.controller.book(&ledger);
        for (pool, family) in pools.iter().flat_map(|pool| Family::ALL.map(|family| (*pool, family))) {
            world.fail(0, pool, family);
        }
        world.tick().nodes[0].prediction.committed
    };
    let all = promised(&[]);
    assert!(all > 0.0);
    assert_eq!(promised(&[Some(WHIP)]), all, "others still send there");
    assert_eq!(promised(&[None]), 0.0);
}

#[test]
fn who_comes_back_in_a_pool_starts_slowly_there_alone() {
    let mut world = World::new(5);
    world.healths[0].note(Some(&[WHIP]), Some(V4), State::Up { since: world.now });
    let tables = world.tick();
    let warmth = |pool, family| tables.fitness(pool, family, NodeId(0)).factors.warmth;
    assert!(warmth(WHIP, V4) < 0.2 && warmth(WHIP, V6) == 1.0 && warmth(EDGE, V4) == 1.0);
}

#[test]
fn who_failed_first_stays_out_when_another_fails() {
    let mut world = World::new(2);
    world.die(1, 100.0);
    assert_eq!(standings(&world.tick(), EDGE, V4), [Standing::Known, Standing::Down]);
    world.die(0, 999.0);
    assert_eq!(standings(&world.tick(), EDGE, V4), [Standing::Held, Standing::Down]);

    let mut world = World::new(2);
    world.fail_since(1, Some(WHIP), V4, 100.0);
    world.fail_since(0, Some(WHIP), V4, 999.0);
    assert_eq!(standings(&world.tick(), WHIP, V4), [Standing::Held, Standing::Down]);
}

#[test]
fn probes_alone_take_out_no_more_of_a_pool_than_of_a_place() {
    let mut world = World::at(&["fra", "ams", "nyc", "sin", "syd"], Policy::Planner);
    (0..3).for_each(|node| world.die(node, 990.0));
    let (known, held, down) = (Standing::Known, Standing::Held, Standing::Down);
    assert_eq!(standings(&world.tick(), EDGE, V4), [down, held, held, known, known]);
    let failing = vec![seen("n1", V4, None), seen("n1", V6, None)];
    world.controller.take_report("ns2", Report { failing, ..Report::default() }, world.now);
    assert_eq!(standings(&world.tick(), EDGE, V4), [down, down, held, known, known]);

    let mut world = World::at(&["fra", "ams", "nyc", "sin", "syd"], Policy::Planner);
    (0..3).for_each(|node| world.fail(node, Some(WHIP), V4));
    assert_eq!(standings(&world.tick(), WHIP, V4), [down, held, held, known, known]);
}

#[test]
fn nodes_that_are_full_are_so_for_five_minutes_of_silence() {
    let mut world = World::new(5);
    world.pressures[2] = 0.97;
    world.die(2, 990.0);
    for (silent, expected) in [(None, Standing::Full), (Some(299.0), Standing::Full), (Some(301.0), Standing::Down)] {
        world.silent[2] = silent;
        assert_eq!(standings(&world.tick(), EDGE, V4)[2], expected, "{silent:?}");
    }
}

#[test]
fn a_full_node_that_does_not_answer_gets_nobody_while_another_serves_whatever_the_policy() {
    for policy in [Policy::Planner, Policy::RoundRobin, Policy::Weighted, Policy::Nearest, Policy::Failover] {
        let mut world = World::new(3);
        // The first of the list is the choice of failover, and all are beyond their limits.
        world.pressures = vec![0.97, 1.1, 1.1];
        world.die(0, 990.0);
        let tables = world.tick();
        let weights = &tables.pools[usize::from(EDGE.0)].of(V4).sites[0].weights;
        let of = |node: u16| weights.iter().find(|(id, _)| *id == NodeId(node)).unwrap().1;
        assert!(of(0) == 0.0 && of(1) > 0.0, "{policy:?}: {weights:?}");
    }
}

#[test]
fn drained_nodes_are_no_part_of_what_a_place_may_lose() {
    let mut world = World::new(7);
    world.drained = (3..7).collect();
    (0..2).for_each(|node| world.die(node, 990.0));
    let standings = standings(&world.tick(), EDGE, V4);
    assert_eq!(standings[..3], [Standing::Down, Standing::Held, Standing::Known]);
}

#[test]
fn who_is_held_is_told_to_others_with_what_is_sent_there() {
    let mut world = World::new(5);
    world.tick();
    (0..3).for_each(|node| world.die(node, 990.0));
    world.tick();
    let estimate = Estimate { viewers: 5.0, ..Estimate::default() };
    let mut ledger = Ledger::new();
    for node in 0..3 {
        let nodes = [NodeId(node)];
        ledger.book(&Observation { region: RegionId(0), pool: EDGE, family: V4, nodes: &nodes, ttl: 10, estimate });
    }
    world.controller.book(&ledger);
    let committed: Vec<f64> = world.tick().nodes.iter().map(|node| node.prediction.committed).collect();
    assert!(committed[0] == 0.0 && committed[1] > 0.0 && committed[2] > 0.0, "{committed:?}");
}

#[test]
fn a_node_that_gets_nobody_anyhow_uses_up_no_part_of_the_brake() {
    let mut world = World::new(3);
    world.exhausted = Some(0);
    world.die(0, 100.0);
    world.die(1, 990.0);
    assert_eq!(standings(&world.tick(), EDGE, V4), [Standing::Down, Standing::Down, Standing::Known]);
}

//! What the controller does in particular situations: failing probes, reloads, other nameservers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::keys::Estimate;
use super::pick::{Asker, pick};
use super::{
    Alarm, Assembly, Controller, Fleet, Inputs, Ledger, NodeInput, Observation, Override, Overrides, Report, Standing,
    Tables,
};
use crate::geo::{Region, RegionId, RegionOrigin};
use crate::load::NodeLoad;
use crate::load::health::State;
use crate::load::history::Reading;
use crate::name::Name;
use crate::pool::{Answers, Bitrate, Capacity, Family, Node, NodeId, Place, Pool, PoolId, Service, TtlBounds, Viewer};

/// Mbit/s of every node, and the load at which its pressure is 1.
const EGRESS: f64 = 1_000.0;
const CAPACITY: f64 = 800.0;

/// Nodes, each at a place; what is known of them; and one nameserver.
struct World {
    nodes: Vec<(String, String)>,
    /// The node that its inventory drains, with the reason.
    drained: Option<(&'static str, &'static str)>,
    pool: &'static str,
    /// Seconds that viewers stay.
    stays: u64,
    /// Egress of all nodes as part of their capacity, if it is not what their pressure is.
    busy: Option<f64>,
    regions: Vec<String>,
    fleet: Fleet,
    controller: Controller,
    /// Pressure and health by `NodeId`.
    known: Vec<(f64, State)>,
    now: f64,
}

impl World {
    fn new(nodes: &[(&str, &str)]) -> Self {
        let nodes: Vec<_> = nodes.iter().map(|(name, place)| ((*name).to_owned(), (*place).to_owned())).collect();
        let mut world = Self {
            nodes,
            drained: None,
            pool: "edge",
            stays: 2_400,
            busy: None,
            regions: vec!["here".to_owned()],
            fleet: Fleet::default(),
            controller: Controller::default(),
            known: Vec::new(),
            now: 1_000.0,
        };
        world.reload();
        world
    }

    fn reload(&mut self) {
        let node = |(index, (name, place)): (usize, &(String, String))| Node {
            name: name.clone(),
            v4: Some([192, 0, 2, index as u8].into()),
            place: Some(place.clone()),
            capacity: Capacity { egress: Some(Bitrate(EGRESS * 1e6)), ..Capacity::default() },
            drained: self.drained.filter(|(drained, _)| drained == name).map(|(_, reason)| reason.to_owned()),
            ..Node::default()
        };
        let nodes: Vec<Node> = self.nodes.iter().enumerate().map(node).collect();
        let places = ["fra", "nyc"].map(|name| Place { name: name.to_owned(), at: None });
        let service = Service {
            name: Name::parse("play.live.example.", None).unwrap(),
            pool: self.pool.to_owned(),
            answers: Answers::Auto,
            ttl: TtlBounds::default(),
            policy: None,
            within: Vec::new(),
        };
        let viewer = Viewer { stays: Duration::from_secs(self.stays), ..Viewer::default() };
        let pool = Pool { name: self.pool.to_owned(), viewer, ..Pool::default() };
        let assembly = Assembly {
            nodes: &nodes,
            places: &places,
            pools: &[pool],
            services: &[service],
            regions: &self.regions(),
            rtts: &[],
            guesses: &BTreeMap::new(),
        };
        self.fleet = Fleet::assemble(&assembly, Some(&self.fleet));
        self.known.resize(self.fleet.nodes.len(), (0.1, State::Unknown));
    }

    fn regions(&self) -> Vec<Region> {
        let region = |name: &String| Region {
            name: name.clone(),
            position: None,
            near: vec!["fra".to_owned()],
            near_only: false,
            continent: None,
            origin: RegionOrigin::Unknown,
            is_vanished: false,
        };
        self.regions.iter().map(region).collect()
    }

    fn id(&self, name: &str) -> NodeId {
        self.fleet.find_node(name).unwrap()
    }

    fn set(&mut self, name: &str, pressure: f64, is_up: bool) {
        let id = self.id(name);
        let health = if is_up { State::Up { since: f64::NEG_INFINITY } } else { State::Down { since: self.now } };
        self.known[usize::from(id.0)] = (pressure, health);
    }

    /// A second later.
    fn tick(&mut self, wishes: &[Override]) -> Tables {
        self.now += 1.0;
        let input = |(pressure, health): &(f64, State)| NodeInput {
            reading: Reading::Fresh(NodeLoad {
                pressure: *pressure,
                egress: Some(Bitrate(self.busy.unwrap_or(*pressure) * CAPACITY * 1e6)),
                at: self.now - 0.5,
                sampled: self.now,
                window: 1.0,
                ..NodeLoad::default()
            }),
            health: (*health).into(),
        };
        let nodes: Vec<NodeInput> = self.known.iter().map(input).collect();
        let overrides = Overrides::new(wishes.to_vec(), self.regions.iter().map(String::as_str));
        let (now, regions) = (self.now, self.regions());
        let inputs =
            Inputs { now, fleet: &self.fleet, regions: &regions, nodes: &nodes, overrides: &overrides, seed: 7 };
        self.controller.tick(&inputs)
    }

    /// Answers that name a node, each to one viewer, and to as many per second more from a cache for ten seconds.
    fn answer(&mut self, name: &str, answers: u32, viewers: f64) {
        self.answer_for(name, answers, viewers, 10);
    }

    fn answer_for(&mut self, name: &str, answers: u32, viewers: f64, ttl: u32) {
        let nodes = [self.id(name)];
        let estimate = Estimate { viewers, ..Estimate::default() };
        let observation =
            Observation { region: RegionId(0), pool: PoolId(0), family: Family::V4, nodes: &nodes, ttl, estimate };
        let mut ledger = Ledger::new();
        (0..answers).for_each(|_| ledger.book(&observation));
        self.controller.book(&ledger);
    }

    /// So many viewers come to a node in a second, and those who have stayed their time leave.
    fn arrive(&mut self, name: &str, viewers: f64) {
        let id = self.id(name);
        let pressure = &mut self.known[usize::from(id.0)].0;
        *pressure += viewers * 2.5 / CAPACITY - *pressure / self.stays as f64;
    }

    /// The TTL for a key that asks now and then.
    fn ttl(&self, tables: &Tables) -> u32 {
        let estimate = Estimate { viewers: 0.01, rhythm: 20.0, ..Estimate::default() };
        let asker = Asker { region: RegionId(0), hash: 7, estimate, slot: 0 };
        pick(tables, &self.fleet.services[0], Family::V4, &asker).ttl
    }

    fn standing(&self, tables: &Tables, name: &str) -> Standing {
        tables.nodes[usize::from(self.id(name).0)].standing
    }

    fn weight(&self, tables: &Tables, name: &str) -> f64 {
        let sites = &tables.pools[0].of(Family::V4).sites;
        let mut weights = sites.iter().flat_map(|site| &site.weights);
        weights.find(|(id, _)| *id == self.id(name)).map_or(0.0, |(_, weight)| *weight)
    }

    /// The share of clients that nodes get whose names begin so.
    fn share(&self, tables: &Tables, beginning: &str) -> f64 {
        let named = |key: u64| {
            let asker = Asker { region: RegionId(0), hash: super::mix(key), estimate: Estimate::default(), slot: 0 };
            let decision = pick(tables, &self.fleet.services[0], Family::V4, &asker);
            self.fleet.node(decision.nodes[0]).node.name.starts_with(beginning)
        };
        (0..1_000).filter(|key| named(*key)).count() as f64 / 1_000.0
    }

    fn report(&self) -> Report {
        self.controller.report(&self.fleet, &self.regions())
    }
}

const FIVE: [(&str, &str); 6] = [("a", "fra"), ("b", "fra"), ("c", "fra"), ("d", "fra"), ("e", "fra"), ("far", "nyc")];

#[test]
fn probes_alone_take_out_one_node_of_a_place_or_three_tenths_of_it() {
    let mut world = World::new(&FIVE);
    world.set("b", 0.1, false);
    let tables = world.tick(&[]);
    assert_eq!(world.standing(&tables, "b"), Standing::Down);
    assert!(world.controller.alarms().is_empty());
    world.set("d", 0.1, false);
    let tables = world.tick(&[]);
    assert_eq!(world.standing(&tables, "d"), Standing::Held, "two of five are more");
    assert!(world.weight(&tables, "d") > 0.0 && world.weight(&tables, "b") == 0.0);
    assert!(world.controller.alarms().contains(&Alarm::Held));
    // The only one of its place is free to go, but for what the pool has lost already.
    world.set("far", 0.1, false);
    assert_eq!(
        {
            let tables = world.tick(&[]);
            world.standing(&tables, "far")
        },
        Standing::Held
    );
    world.set("b", 0.1, true);
    world.set("d", 0.1, true);
    assert_eq!(
        {
            let tables = world.tick(&[]);
            world.standing(&tables, "far")
        },
        Standing::Down
    );
}

#[test]
fn what_another_nameserver_sees_fail_too_is_taken_out() {
    let mut world = World::new(&FIVE);
    for name in ["a", "b", "c"] {
        world.set(name, 0.1, false);
    }
    let report = Report { down: vec!["b".to_owned(), "c".to_owned()], ..Report::default() };
    world.controller.take_report("ns2", report, world.now);
    let tables = world.tick(&[]);
    let standings = ["a", "b", "c"].map(|name| world.standing(&tables, name));
    assert_eq!(standings, [Standing::Down; 3]);
    world.now += 15.0;
    let tables = world.tick(&[]);
    assert_eq!(world.standing(&tables, "c"), Standing::Held, "nobody has said so for three reports");
}

/// A site of four nodes and another, as three nameservers see them of whom some are cut off from the site.
fn cut_off(is_cut_off: [bool; 3]) -> [World; 3] {
    let nodes = [("fra1", "fra"), ("fra2", "fra"), ("fra3", "fra"), ("fra4", "fra"), ("nyc1", "nyc")];
    let mut worlds = is_cut_off.map(|is_cut_off| {
        let mut world = World::new(&nodes);
        for name in ["fra1", "fra2", "fra3", "fra4"].iter().filter(|_| is_cut_off) {
            world.set(name, 0.3, false);
        }
        world.controller.expect_peers(2);
        world
    });
    for _ in 0..30 {
        for world in &mut worlds {
            world.tick(&[]);
        }
        let reports: Vec<Report> = worlds.iter().map(World::report).collect();
        for (to, world) in worlds.iter_mut().enumerate() {
            for (from, report) in reports.iter().enumerate().filter(|(from, _)| *from != to) {
                world.controller.take_report(&from.to_string(), report.clone(), world.now);
            }
        }
    }
    worlds
}

#[test]
fn a_site_that_one_of_three_nameservers_is_cut_off_from_keeps_its_share_at_all_three() {
    for world in &mut cut_off([false, false, true]) {
        let tables = world.tick(&[]);
        let standings = ["fra1", "fra2", "fra3", "fra4"].map(|name| world.standing(&tables, name));
        let down = standings.iter().filter(|standing| **standing == Standing::Down).count();
        assert!(down <= 1, "{standings:?}");
        assert!(world.share(&tables, "fra") > 0.99, "{}", world.share(&tables, "fra"));
    }
}

#[test]
fn a_site_that_two_of_three_nameservers_see_fail_is_left_by_these_two() {
    let mut worlds = cut_off([false, true, true]);
    let shares: Vec<f64> = worlds
        .iter_mut()
        .map(|world| {
            let tables = world.tick(&[]);
            world.share(&tables, "fra")
        })
        .collect();
    assert!(shares[0] > 0.99 && shares[1] < 0.01 && shares[2] < 0.01, "{shares:?}");
}

#[test]
fn flows_that_are_too_many_are_told_by_place_and_counted_there() {
    let mut first = World::new(&FIVE);
    for _ in 0..10 {
        for name in ["a", "b", "c", "d", "e", "far"] {
            first.answer(name, 4, if name == "far" { 0.3 } else { 0.1 });
        }
        first.tick(&[]);
    }
    let (all, some) = [6, 1].map(|most| first.controller.report_with(&first.fleet, &first.regions(), most)).into();
    assert_eq!((all.flows.len(), all.rest.len(), some.flows.len(), some.rest.len()), (6, 0, 1, 1));
    assert_eq!((some.flows[0].node.as_str(), some.rest[0].place.as_str()), ("far", "fra"), "the largest one is told");
    let committed = |report: Report| {
        let mut second = World::new(&FIVE);
        second.tick(&[]);
        second.controller.take_report("ns1", report, second.now);
        let tables = second.tick(&[]);
        ["a", "b", "c", "d", "e", "far"].map(|name| tables.nodes[usize::from(second.id(name).0)].prediction.committed)
    };
    for (one, other) in committed(all).into_iter().zip(committed(some)) {
        assert!(one > 0.0 && (one - other).abs() < 0.01 * one, "{one} {other}");
    }
}

#[test]
fn a_node_that_was_near_full_and_fails_its_probes_is_full() {
    let mut world = World::new(&FIVE);
    world.set("a", 0.96, false);
    world.set("b", 0.94, false);
    let tables = world.tick(&[]);
    assert_eq!((world.standing(&tables, "a"), world.standing(&tables, "b")), (Standing::Full, Standing::Down));
    assert_eq!(world.weight(&tables, "a"), 0.0, "others have room");
}

#[test]
fn what_other_nameservers_promise_counts_and_fades_to_nothing_in_half_a_minute() {
    let (mut first, mut second) = (World::new(&FIVE), World::new(&FIVE));
    for _ in 0..10 {
        first.answer("a", 4, 0.1);
        second.tick(&[]);
        first.tick(&[]);
    }
    let report = first.controller.report(&first.fleet, &first.regions());
    assert!(report.flows.iter().all(|flow| flow.node == "a" && flow.region == "here") && !report.flows.is_empty());
    second.controller.take_report("ns1", report, second.now);
    let tables = second.tick(&[]);
    let a = usize::from(second.id("a").0);
    let committed = tables.nodes[a].prediction.committed;
    assert!(committed > 0.0 && tables.pools[0].demands[0].forecast > 0.0);
    second.now += 20.0;
    let later = second.tick(&[]).nodes[a].prediction.committed;
    assert!(later > 0.0 && later < committed);
    second.now += 10.0;
    assert_eq!(second.tick(&[]).nodes[a].prediction.committed, 0.0);
}

#[test]
fn what_a_nameserver_reported_that_is_no_peer_any_more_counts_no_more() {
    let (mut first, mut second) = (World::new(&FIVE), World::new(&FIVE));
    first.tick(&[]);
    first.answer("a", 4, 0.1);
    first.tick(&[]);
    second.tick(&[]);
    second.controller.take_report("ns1", first.report(), second.now);
    let a = usize::from(second.id("a").0);
    assert!(second.tick(&[]).nodes[a].prediction.committed > 0.0);
    second.controller.forget_peer("ns1");
    assert_eq!(second.tick(&[]).nodes[a].prediction.committed, 0.0);
}

#[test]
fn reloads_keep_what_was_learned_of_costs() {
    let mut world = World::new(&FIVE);
    // Viewers bring other loads than configured.
    let mut load = 0.1;
    for _ in 0..200 {
        world.answer("a", 4, 1e-4);
        load += 4.0 * 10.0 / CAPACITY / 10.0;
        world.set("a", load, true);
        world.tick(&[]);
    }
    let learned = world.tick(&[]).pools[0].demands[0].cost;
    assert_ne!(learned, 2.5);
    let keeps = |world: &mut World, what: &str| {
        let cost = world.tick(&[]).pools[0].demands[0].cost;
        assert!((cost - learned).abs() < 0.1 * learned, "{what}: {cost}");
    };
    world.nodes.remove(2);
    world.nodes.insert(0, ("new".to_owned(), "fra".to_owned()));
    world.reload();
    keeps(&mut world, "nodes come and go");
    world.regions.push("there".to_owned());
    world.reload();
    keeps(&mut world, "a region comes");
    assert_eq!(world.tick(&[]).pools[0].demands[1].cost, 2.5, "nothing is known of it");
    world.pool = "delivery";
    world.reload();
    keeps(&mut world, "the pool has another name");
}

#[test]
fn a_limit_for_the_time_being_is_a_capacity_and_a_weight_is_a_part() {
    let mut world = World::new(&FIVE);
    let limit = Override::Limit { node: "a".to_owned(), capacity: crate::steer::Limited::Egress(500.0) };
    let weight = |weight| Override::Weight { node: "b".to_owned(), weight };
    let tables = world.tick(&[limit, weight(0.25)]);
    assert_eq!(tables.nodes[usize::from(world.id("a").0)].configured, 400.0);
    assert!((world.weight(&tables, "b") / world.weight(&tables, "c") - 0.25).abs() < 1e-9);
    let tables = world
        .tick(&[weight(7.0), Override::Limit { node: "a".to_owned(), capacity: crate::steer::Limited::Egress(0.0) }]);
    assert_eq!(tables.nodes[usize::from(world.id("a").0)].configured, CAPACITY, "no limit is none");
    assert_eq!(world.weight(&tables, "b"), world.weight(&tables, "c"), "nobody gets more than all");
}

#[test]
fn loads_that_are_read_every_second_confirm_the_viewers_who_came() {
    let mut world = World::new(&FIVE);
    for _ in 0..100 {
        world.answer("a", 1, 1e-4);
        world.arrive("a", 1.0);
        world.tick(&[]);
    }
    assert!(world.tick(&[]).pools[0].demands[0].belief > 0.95);
    // The same answers, and nobody comes.
    for _ in 0..60 {
        world.answer("a", 1, 1e-4);
        world.tick(&[]);
    }
    assert!(world.tick(&[]).pools[0].demands[0].belief < 0.5);
}

#[test]
fn viewers_who_bring_less_than_is_configured_are_believed_in_the_end() {
    let mut world = World::new(&FIVE);
    world.stays = 20;
    world.reload();
    let mut beliefs = Vec::new();
    for _ in 0..900 {
        world.answer("a", 10, 1e-4);
        world.arrive("a", 4.0);
        let demand = world.tick(&[]).pools[0].demands[0];
        beliefs.push(demand.belief);
    }
    assert!(beliefs[60] < 0.7, "as it would be in a flood");
    assert_eq!(beliefs.last(), Some(&1.0));
    let cost = world.tick(&[]).pools[0].demands[0].cost;
    assert!((cost - 1.0).abs() < 0.2, "{cost} Mbit/s, of 2.5 that are configured");
}

#[test]
fn viewers_who_stay_a_moment_fill_no_place() {
    let mut world = World::new(&FIVE);
    world.stays = 12;
    world.reload();
    let names = ["a", "b", "c", "d", "e"];
    for second in 0..120 {
        for name in names {
            world.answer(name, 10, 1e-4);
            world.arrive(name, 10.0);
        }
        let tables = world.tick(&[]);
        let own = tables.pools[0].of(Family::V4).share(RegionId(0), 0);
        assert!(second < 60 || own == 1.0, "{own} at a place that is 0.4 full and stays so");
    }
}

#[test]
fn a_node_that_was_bound_by_something_else_is_as_large_as_configured_when_it_is_idle_again() {
    let mut world = World::new(&FIVE);
    let a = usize::from(world.id("a").0);
    let capacity = |tables: &Tables| tables.nodes[a].capacity;
    // A batch job takes its CPU while it has hardly any viewers, and ends.
    world.busy = Some(0.01);
    world.set("a", 1.1, true);
    assert!(capacity(&world.tick(&[])) < 0.1 * CAPACITY);
    world.set("a", 0.05, true);
    let tables: Vec<Tables> = (0..40).map(|_| world.tick(&[])).collect();
    assert!(tables.windows(2).all(|two| capacity(&two[1]) >= capacity(&two[0])));
    assert!(capacity(tables.last().expect("ticks")) > 0.9 * CAPACITY);
}

#[test]
fn the_forecast_is_steady_while_viewers_are_and_ttls_change() {
    let mut world = World::new(&FIVE);
    world.stays = 20;
    world.reload();
    // Ten caches, each with a viewer a second, which renew their answers as these expire.
    let mut left: Vec<u32> = (0..10).map(|cache| cache % 5).collect();
    for second in 0..240 {
        let ttl = if second < 120 { 5 } else { 15 };
        for left in &mut left {
            if *left == 0 {
                world.answer_for("a", 1, 1.0, ttl);
                *left = ttl;
            }
            *left -= 1;
        }
        world.arrive("a", 10.0);
        let forecast = world.tick(&[]).pools[0].demands[0].forecast;
        // Who makes a cache ask is reckoned with beside those who ask it.
        assert!(second < 100 || (9.5..13.0).contains(&forecast), "{forecast} in second {second}");
    }
}

#[test]
fn answers_are_short_lived_while_a_region_brings_much_of_a_site_in_a_second() {
    let mut world = World::new(&FIVE);
    // So short that loads stand still.
    world.stays = 20;
    world.reload();
    let names = ["a", "b", "c", "d", "e"];
    for (crowd, ttl) in [(&names[..2], 15), (&names[..], 5), (&names[..2], 15)] {
        for _ in 0..400 {
            for name in crowd {
                world.answer(name, 1, 1e-4);
            }
            names.iter().for_each(|name| world.arrive(name, f64::from(u8::from(crowd.contains(name)))));
            world.tick(&[]);
        }
        let tables = world.tick(&[]);
        assert!(!tables.pools[0].demands[0].is_hot, "it has been so for long");
        assert_eq!(world.ttl(&tables), ttl, "a viewer a second to each of {crowd:?}");
    }
}

#[test]
fn a_node_that_its_inventory_drains_gets_nobody_and_says_why() {
    let mut world = World::new(&FIVE);
    let tables = world.tick(&[]);
    assert!(tables.drains.is_empty() && world.weight(&tables, "b") > 0.0);
    world.drained = Some(("b", "rack moves"));
    world.reload();
    let tables = world.tick(&[]);
    assert_eq!((world.standing(&tables, "b"), world.weight(&tables, "b")), (Standing::Drained, 0.0));
    assert_eq!(tables.drain_told("b", 0).as_deref(), Some("by its inventory: rack moves"));
    assert_eq!(tables.drain_told("a", 0), None);
}

#[test]
fn nodes_that_left_the_configuration_do_not_make_monitoring_blind() {
    let mut world = World::new(&FIVE);
    let before = world.tick(&[]);
    world.nodes.retain(|(name, _)| name == "a" || name == "b");
    world.reload();
    let is_gone = |index: usize| !world.fleet.nodes[index].is_configured;
    // Nobody scrapes them any more.
    let input = |(index, node): (usize, &super::NodeState)| {
        let last = node.reading.last().unwrap().clone();
        let reading =
            if is_gone(index) { Reading::Stale { last, age: 60.0, because: None } } else { Reading::Fresh(last) };
        NodeInput { reading, health: State::Unknown.into() }
    };
    let nodes: Vec<NodeInput> = before.nodes.iter().enumerate().map(input).collect();
    assert!((0..nodes.len()).filter(|index| is_gone(*index)).count() >= 3);
    let tables = world.controller.tick(&Inputs {
        now: world.now + 1.0,
        fleet: &world.fleet,
        regions: &world.regions(),
        nodes: &nodes,
        overrides: &Overrides::default(),
        seed: 7,
    });
    assert!(!tables.alarms.iter().any(|alarm| alarm.word() == "mostly_blind"), "{:?}", tables.alarms);
}

#[test]
fn what_was_learned_is_known_after_a_restart_as_far_as_it_is_trusted() {
    let mut world = World::new(&FIVE);
    // Something else than egress binds: half of what is configured.
    world.busy = Some(0.25);
    for name in ["a", "b", "c", "d", "e", "far"] {
        world.set(name, 0.5, true);
    }
    for _ in 0..300 {
        world.answer("a", 10, 0.0);
        world.tick(&[]);
    }
    let capacity = |tables: &Tables| tables.nodes[0].capacity;
    let cost = |tables: &Tables| tables.pools[0].demand(RegionId(0)).unwrap().cost;
    let before = world.tick(&[]);
    assert!(
        (capacity(&before) - CAPACITY / 2.0).abs() < 10.0 && (cost(&before) - 2.5).abs() > 0.03,
        "{}",
        cost(&before)
    );
    let learned = world.controller.learned(&world.fleet, &world.regions());
    let json = serde_json::to_string(&learned).unwrap();
    // Nothing has been read yet when the new server begins.
    for (trust, part) in [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)] {
        world.controller = Controller::default();
        world.controller.inherit(serde_json::from_str(&json).unwrap(), trust);
        let silent = vec![NodeInput { reading: Reading::Never { because: None }, health: State::Unknown.into() }; 6];
        let regions = world.regions();
        let tables = world.controller.tick(&Inputs {
            now: 0.0,
            fleet: &world.fleet,
            regions: &regions,
            nodes: &silent,
            overrides: &Overrides::default(),
            seed: 7,
        });
        let between = |new: f64, old: f64| new + part * (old - new);
        assert!((capacity(&tables) - between(CAPACITY, capacity(&before))).abs() < 0.1, "{trust}");
        assert!((cost(&tables) - between(2.5, cost(&before))).abs() < 0.01, "{trust}");
    }
}

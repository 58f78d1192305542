//! What steering does as a whole: fleet, load and keys in, nodes out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Assembly, Controller, Fleet, Key, Tables, pick};
use crate::geo::{Countries, Database, Geo, Position, Prefix, RegionId};
use crate::load::NodeLoad;
use crate::load::history::Reading;
use crate::name::Name;
use crate::pool::{
    Answers, Bitrate, Capacity, Family, Node, NodeId, Place, Pool, Resource, Service, ServiceId, TtlBounds,
};

const SEED: u64 = 7;

/// Two nodes in Frankfurt (one with IPv6), two in Tokyo; one service on all of them.
struct World {
    geo: Geo,
    fleet: Fleet,
    controller: Controller,
}

impl World {
    fn new(answers: Answers) -> Self {
        let (geo, diagnostics) = Geo::compile(&[Database::embedded()], Countries::embedded(), &[], &[], None);
        assert!(diagnostics.is_empty());
        let place = |name: &str, latitude, longitude| Place {
            name: name.to_owned(),
            at: Some(Position { latitude, longitude }),
        };
        let places = [place("fra", 50.1, 8.7), place("tyo", 35.6, 139.7)];
        let node = |name: &str, place: &str, last: u8, has_v6: bool| Node {
            name: name.to_owned(),
            v4: Some([192, 0, 2, last].into()),
            v6: has_v6.then(|| [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)].into()),
            place: Some(place.to_owned()),
            capacity: Capacity { egress: Some(Bitrate(1e9)), clients: None },
            ..Node::default()
        };
        let nodes = [
            node("fra1", "fra", 1, true),
            node("fra2", "fra", 2, false),
            node("tyo1", "tyo", 3, true),
            node("tyo2", "tyo", 4, true),
        ];
        let pools = [Pool { name: "edge".to_owned(), select: BTreeMap::new(), ..Pool::default() }];
        let services = [Service {
            name: Name::parse("play.live.example", None).unwrap(),
            pool: "edge".to_owned(),
            answers,
            ttl: TtlBounds { min: 3, max: 15 },
            policy: None,
            within: Vec::new(),
        }];
        let assembly = Assembly {
            nodes: &nodes,
            places: &places,
            pools: &pools,
            services: &services,
            regions: geo.regions(),
            rtts: &[],
            guesses: &BTreeMap::new(),
        };
        let fleet = Fleet::assemble(&assembly, None);
        Self { geo, fleet, controller: Controller::default() }
    }

    fn tick(&mut self, readings: &[Reading]) -> Tables {
        self.controller.tick(100.0, &self.fleet, self.geo.regions().len(), readings, SEED)
    }

    fn germany(&self) -> RegionId {
        self.geo.find("DE").unwrap()
    }

    /// How many of 4,096 client networks get each node first.
    fn firsts(&self, tables: &Tables, family: Family) -> [u32; 4] {
        let mut firsts = [0; 4];
        for network in 0..4096u32 {
            let key = Key::of(Some(Prefix::of(IpAddr::from((network << 8).to_be_bytes()), 24)), [0, 0, 0, 0].into());
            let service = self.fleet.service(ServiceId(0));
            let decision = pick(tables, service, family, self.germany(), &key, 0, SEED);
            firsts[usize::from(decision.nodes[0].0)] += 1;
        }
        firsts
    }
}

fn fresh(pressure: f64) -> Reading {
    Reading::Fresh(load(pressure))
}

fn load(pressure: f64) -> NodeLoad {
    NodeLoad { pressure, worst: Resource::Cpu, at: 95.0, sampled: 97.5, window: 5.0, ..NodeLoad::default() }
}

/// Within three standard deviations of a share of 4,096 draws.
fn is_about(count: u32, share: f64) -> bool {
    let expected = 4096.0 * share;
    // The menu's 1,024 buckets deviate more than the keys do.
    let deviation = 4096.0 * (share * (1.0 - share) / 1024.0).sqrt();
    (f64::from(count) - expected).abs() <= 3.0 * deviation + 64.0
}

#[test]
fn the_nearest_place_gets_its_clients_in_proportion_to_headroom() {
    let mut world = World::new(Answers::Auto);
    let tables = world.tick(&[fresh(0.32), fresh(0.62), fresh(0.0), fresh(0.0)]);
    let [fra1, fra2, tyo1, tyo2] = world.firsts(&tables, Family::V4);
    assert_eq!((tyo1, tyo2), (0, 0));
    assert!(is_about(fra1, 2.0 / 3.0) && is_about(fra2, 1.0 / 3.0), "{fra1} and {fra2}");
}

#[test]
fn an_overloaded_node_gets_nobody_and_comes_back_when_it_recovers() {
    let mut world = World::new(Answers::Auto);
    for (pressure, is_named) in [(0.5, true), (0.92, false), (1.4, false), (0.5, true)] {
        let tables = world.tick(&[fresh(pressure), fresh(0.3), fresh(0.0), fresh(0.0)]);
        let [fra1, ..] = world.firsts(&tables, Family::V4);
        assert_eq!(fra1 > 0, is_named, "at {pressure}");
    }
}

#[test]
fn a_place_that_fills_spills_to_the_next() {
    let mut world = World::new(Answers::Auto);
    let tables = world.tick(&[fresh(0.86), fresh(0.86), fresh(0.1), fresh(0.1)]);
    let [fra1, fra2, tyo1, tyo2] = world.firsts(&tables, Family::V4);
    assert!(is_about(fra1 + fra2, 0.5) && is_about(tyo1 + tyo2, 0.5));
    let tables = world.tick(&[fresh(0.95), fresh(0.99), fresh(0.1), fresh(0.1)]);
    let [fra1, fra2, ..] = world.firsts(&tables, Family::V4);
    assert_eq!((fra1, fra2), (0, 0));
}

#[test]
fn with_everything_full_or_unknown_there_is_an_answer() {
    let mut world = World::new(Answers::Auto);
    let unknown = Reading::Never { because: None };
    let beyond = [fresh(9.0), fresh(9.0), fresh(9.0), fresh(9.0)];
    for readings in [vec![unknown; 4], vec![fresh(1.1); 4], vec![fresh(1.59); 4], beyond.to_vec()] {
        let tables = world.tick(&readings);
        for family in [Family::V4, Family::V6] {
            assert_eq!(world.firsts(&tables, family).iter().sum::<u32>(), 4096, "{readings:?}");
        }
    }
}

#[test]
fn a_family_is_planned_among_the_nodes_that_have_it() {
    let mut world = World::new(Answers::Auto);
    // Frankfurt has room, but not its only node with IPv6.
    let tables = world.tick(&[fresh(1.1), fresh(0.1), fresh(0.1), fresh(0.1)]);
    let [fra1, fra2, tyo1, tyo2] = world.firsts(&tables, Family::V6);
    assert_eq!((fra1, fra2, tyo1 + tyo2), (0, 0, 4096));
    let [fra1, fra2, ..] = world.firsts(&tables, Family::V4);
    assert_eq!((fra1, fra2), (0, 4096));
}

#[test]
fn addresses_of_both_families_name_the_same_nodes() {
    let mut world = World::new(Answers::Fixed(1));
    // In Tokyo, every node has both.
    let tables = world.tick(&[fresh(1.1), fresh(1.1), fresh(0.1), fresh(0.4)]);
    for network in 0..512u32 {
        let key = Key::of(Some(Prefix::of(IpAddr::from((network << 8).to_be_bytes()), 24)), [0, 0, 0, 0].into());
        let service = world.fleet.service(ServiceId(0));
        let [v4, v6] = [Family::V4, Family::V6]
            .map(|family| pick(&tables, service, family, world.germany(), &key, 0, SEED).nodes.to_vec());
        assert_eq!(v4, v6);
    }
}

#[test]
fn a_stale_node_keeps_a_smaller_part() {
    let mut world = World::new(Answers::Auto);
    let stale = Reading::Stale { last: load(0.3), age: 60.0, because: None };
    let tables = world.tick(&[stale, fresh(0.3), fresh(0.0), fresh(0.0)]);
    let [fra1, fra2, ..] = world.firsts(&tables, Family::V4);
    assert!(is_about(fra1, 0.7 / 1.7) && is_about(fra2, 1.0 / 1.7), "{fra1} and {fra2}");
}

#[test]
fn a_network_keeps_its_nodes_and_a_resolver_does_not() {
    let mut world = World::new(Answers::Fixed(1));
    let tables = world.tick(&[fresh(0.3), fresh(0.3), fresh(0.3), fresh(0.3)]);
    let service = world.fleet.service(ServiceId(0));
    let named = |key: &Key| -> Vec<NodeId> {
        (0..64).map(|slot| pick(&tables, service, Family::V4, world.germany(), key, slot, SEED).nodes[0]).collect()
    };
    let network = named(&Key::of(Some("192.0.2.0/24".parse().unwrap()), [0, 0, 0, 0].into()));
    assert!(network.iter().all(|node| *node == network[0]));
    let resolver = named(&Key::of(None, [198, 51, 100, 53].into()));
    assert!(resolver.contains(&NodeId(0)) && resolver.contains(&NodeId(1)));
}

#[test]
fn ttl_is_short_while_load_is_high_or_unknown() {
    let mut world = World::new(Answers::Auto);
    let unknown = Reading::Never { because: None };
    for (reading, ttl) in [(fresh(0.2), 15), (fresh(0.78), 5), (unknown, 5)] {
        let tables = world.tick(&vec![reading; 4]);
        let key = Key::of(None, [198, 51, 100, 53].into());
        let decision = pick(&tables, world.fleet.service(ServiceId(0)), Family::V4, world.germany(), &key, 0, SEED);
        assert_eq!(decision.ttl, ttl);
    }
}

#[test]
fn nodes_keep_their_numbers_over_reloads() {
    let world = World::new(Answers::Auto);
    let old = &world.fleet;
    let kept: Vec<Node> = [&old.nodes[3], &old.nodes[1]].map(|known| known.node.clone()).to_vec();
    let assembly = Assembly {
        nodes: &kept,
        places: &old.places,
        pools: &[Pool { name: "edge".to_owned(), select: BTreeMap::new(), ..Pool::default() }],
        services: &[],
        regions: world.geo.regions(),
        rtts: &[],
        guesses: &BTreeMap::new(),
    };
    let new = Fleet::assemble(&assembly, Some(old));
    assert_eq!(new.find_node("tyo2"), Some(NodeId(3)));
    assert_eq!(new.find_node("fra2"), Some(NodeId(1)));
    assert_eq!(new.find_node("fra1"), None);
    let sites: usize = new.pools[0].sites.iter().map(|site| site.nodes.len()).sum();
    assert_eq!(sites, 2, "a vanished node is in no site");
}

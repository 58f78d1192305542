//! Properties of steering, over fleets, loads and clients of any kind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;
use thalweg::geo::{Position, Prefix, Region, RegionId, RegionOrigin};
use thalweg::load::NodeLoad;
use thalweg::load::history::Reading;
use thalweg::name::Name;
use thalweg::pool::{
    Answers, Bitrate, Capacity, Family, Node, NodeId, Place, Pool, PoolId, Service, ServiceId, TtlBounds,
};
use thalweg::steer::{Assembly, Controller, FamilyTables, Fleet, Key, Tables, pick};

use super::check;

/// Fleets that are tried: together about five seconds.
const CASES: u32 = 2_000;
/// From this pressure on a node is full.
const FULL: f64 = 0.92;
const SEED: u64 = 99;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// A fleet with loads, and who asks.
#[derive(Debug, Clone)]
struct World {
    nodes: Vec<AnyNode>,
    /// Where the clients of each region are, if that is known, and what places the operator calls near.
    regions: Vec<(Option<Position>, Vec<usize>)>,
    answers: u8,
    keys: Vec<(IpAddr, bool, u64)>,
}

#[derive(Debug, Clone)]
struct AnyNode {
    place: usize,
    /// IPv4, IPv6 or both.
    families: u8,
    is_in_pool: bool,
    egress: f64,
    load: AnyLoad,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum AnyLoad {
    Never,
    Fresh(f64),
    Stale(f64),
}

const PLACES: [(&str, f64, f64); 4] =
    [("fra", 50.1, 8.7), ("nyc", 40.7, -74.0), ("sin", 1.35, 103.8), ("syd", -33.9, 151.2)];

fn any_load() -> impl Strategy<Value = AnyLoad> {
    let pressure = prop_oneof![4 => 0.0..0.8_f64, 3 => 0.8..1.0_f64, 2 => 1.0..2.0_f64, 1 => Just(FULL)];
    prop_oneof![
        1 => Just(AnyLoad::Never),
        8 => pressure.clone().prop_map(AnyLoad::Fresh),
        2 => pressure.prop_map(AnyLoad::Stale),
    ]
}

fn any_world() -> impl Strategy<Value = World> {
    let node = (0..PLACES.len(), 1..4_u8, proptest::bool::weighted(0.85), 0.1..20.0_f64, any_load())
        .prop_map(|(place, families, is_in_pool, egress, load)| AnyNode { place, families, is_in_pool, egress, load });
    let position =
        (-80.0..80.0_f64, -180.0..180.0_f64).prop_map(|(latitude, longitude)| Some(Position { latitude, longitude }));
    let near = proptest::collection::vec(0..PLACES.len(), 0..3);
    let region = (prop_oneof![4 => position, 1 => Just(None)], near);
    let address = prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))),
    ];
    (
        proptest::collection::vec(node, 1..14),
        proptest::collection::vec(region, 1..4),
        0..6_u8,
        proptest::collection::vec((address, any::<bool>(), any::<u64>()), 1..24),
    )
        .prop_map(|(nodes, regions, answers, keys)| World { nodes, regions, answers, keys })
}

impl World {
    fn fleet(&self) -> Fleet {
        let places = PLACES.map(|(name, latitude, longitude)| Place {
            name: name.to_owned(),
            at: Some(Position { latitude, longitude }),
        });
        let node = |(index, any): (usize, &AnyNode)| Node {
            name: format!("node{index}"),
            v4: (any.families & 1 != 0).then(|| Ipv4Addr::from([192, 0, 2, index as u8])),
            v6: (any.families & 2 != 0).then(|| Ipv6Addr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, index as u16])),
            place: Some(PLACES[any.place].0.to_owned()),
            labels: any.is_in_pool.then(|| ("role".to_owned(), "edge".to_owned())).into_iter().collect(),
            capacity: Capacity { egress: Some(Bitrate(any.egress * 1e9)), clients: None },
            ..Node::default()
        };
        let nodes: Vec<Node> = self.nodes.iter().enumerate().map(node).collect();
        let region = |(index, (position, near)): (usize, &(Option<Position>, Vec<usize>))| Region {
            name: format!("region{index}"),
            position: *position,
            near: near.iter().map(|&place| PLACES[place].0.to_owned()).collect(),
            origin: RegionOrigin::Unknown,
            near_only: false,
            continent: None,
            is_vanished: false,
        };
        let regions: Vec<Region> = self.regions.iter().enumerate().map(region).collect();
        let select = BTreeMap::from([("role".to_owned(), "edge".to_owned())]);
        let service = Service {
            name: Name::parse("play.live.example.", None).unwrap(),
            pool: "edge".to_owned(),
            answers: if self.answers == 0 { Answers::Auto } else { Answers::Fixed(self.answers) },
            ttl: TtlBounds { min: 3, max: 15 },
            policy: None,
            within: Vec::new(),
        };
        Fleet::assemble(
            &Assembly {
                nodes: &nodes,
                places: &places,
                pools: &[Pool { name: "edge".to_owned(), select, ..Pool::default() }],
                services: &[service],
                regions: &regions,
                rtts: &[],
                guesses: &BTreeMap::new(),
            },
            None,
        )
    }

    fn tables(&self, fleet: &Fleet) -> Tables {
        let readings: Vec<Reading> = self.nodes.iter().map(|node| node.load.reading()).collect();
        Controller::default().tick(100.0, fleet, self.regions.len(), &readings, SEED)
    }

    /// Every region, family and key.
    fn for_each_pick(
        &self,
        fleet: &Fleet,
        tables: &Tables,
        mut see: impl FnMut(RegionId, Family, &[NodeId], u32, usize),
    ) {
        for region in (0..self.regions.len() as u16).map(RegionId) {
            for family in FAMILIES {
                for (address, has_subnet, slot) in &self.keys {
                    let key = Key::of(has_subnet.then(|| Prefix::of(*address, 24)), *address);
                    let service = fleet.service(ServiceId(0));
                    let decision = pick(tables, service, family, region, &key, *slot, SEED);
                    see(region, family, decision.nodes, decision.ttl, decision.site);
                }
            }
        }
    }
}

impl AnyLoad {
    fn reading(self) -> Reading {
        let load = |pressure, sampled| NodeLoad { pressure, at: sampled, sampled, window: 5.0, ..NodeLoad::default() };
        match self {
            Self::Never => Reading::Never { because: None },
            Self::Fresh(pressure) => Reading::Fresh(load(pressure, 99.0)),
            Self::Stale(pressure) => Reading::Stale { last: load(pressure, 1.0), age: 99.0, because: None },
        }
    }
}

/// The part of a region's clients that a site takes.
fn share_of(tables: &FamilyTables, region: RegionId, site: u16) -> f64 {
    let mut before = 0.0;
    for share in tables.plan(region) {
        let until = f64::from(share.until) / f64::from(u32::MAX);
        if share.site == site {
            return until - before;
        }
        before = until;
    }
    0.0
}

#[test]
fn answers_stay_within_the_pool_and_the_family_and_name_no_node_twice() {
    check(CASES, &any_world(), |world| {
        let fleet = world.fleet();
        let tables = world.tables(&fleet);
        world.for_each_pick(&fleet, &tables, |_, family, nodes, ttl, _| {
            assert_eq!(nodes.is_empty(), !fleet.has_family(PoolId(0), family), "never empty if anybody has the family");
            assert_eq!(nodes.iter().collect::<BTreeSet<_>>().len(), nodes.len(), "twice in {nodes:?}");
            let most = if world.answers == 0 { 2 } else { usize::from(world.answers) };
            assert!(nodes.len() <= most);
            assert!((3..=15).contains(&ttl));
            for node in nodes {
                let known = fleet.node(*node);
                assert!(world.nodes[usize::from(node.0)].is_in_pool && known.node.address(family).is_some());
            }
            let places: BTreeSet<_> = nodes.iter().map(|node| fleet.node(*node).place).collect();
            assert!(places.len() <= 1, "the nodes of an answer are of one site");
        });
    });
}

#[test]
fn a_full_node_is_not_named_while_its_site_has_room() {
    check(CASES, &any_world(), |world| {
        let fleet = world.fleet();
        let tables = world.tables(&fleet);
        world.for_each_pick(&fleet, &tables, |_, family, nodes, _, site| {
            if nodes.is_empty() {
                return;
            }
            let mine = || {
                let ids = fleet.pool(PoolId(0)).sites[site].nodes.iter();
                ids.filter(|id| fleet.node(**id).node.address(family).is_some())
                    .map(|id| &tables.nodes[usize::from(id.0)])
            };
            let capacity: f64 = mine().map(|node| node.capacity).sum();
            let room: f64 = mine().map(|node| node.capacity * node.confidence * (FULL - node.pressure).max(0.0)).sum();
            // With less than a hundredth of its capacity left a site counts as full.
            if room < 0.0101 * capacity {
                return;
            }
            for node in nodes {
                assert!(tables.nodes[usize::from(node.0)].pressure < FULL, "{node:?} is full");
            }
        });
    });
}

#[test]
fn a_full_site_gets_nobody_while_another_has_all_the_room() {
    check(CASES, &any_world(), |world| {
        let fleet = world.fleet();
        let tables = world.tables(&fleet);
        for family in FAMILIES {
            let of_family = tables.pools[0].of(family);
            let is_calm =
                of_family.sites.iter().any(|site| site.menu.is_some() && site.pressure <= 0.8 && site.limit <= FULL);
            for (index, _) in of_family.sites.iter().enumerate().filter(|(_, site)| is_calm && site.limit > FULL) {
                for region in (0..world.regions.len() as u16).map(RegionId) {
                    assert_eq!(share_of(of_family, region, index as u16), 0.0, "site {index} is full");
                }
            }
        }
    });
}

#[test]
fn the_shares_of_a_plan_cover_every_position() {
    check(CASES, &any_world(), |world| {
        let fleet = world.fleet();
        let tables = world.tables(&fleet);
        for family in FAMILIES {
            for region in (0..world.regions.len() as u16).map(RegionId) {
                let plan = tables.pools[0].of(family).plan(region);
                assert_eq!(plan.is_empty(), !fleet.has_family(PoolId(0), family));
                assert!(plan.is_empty() || plan.last().is_some_and(|share| share.until == u32::MAX));
                assert!(plan.windows(2).all(|pair| pair[0].until <= pair[1].until), "{plan:?}");
                let sites: BTreeSet<u16> = plan.iter().map(|share| share.site).collect();
                assert_eq!(sites.len(), plan.len(), "a site has one share");
            }
        }
    });
}

#[test]
fn the_same_inputs_give_the_same_answers() {
    check(CASES / 2, &any_world(), |world| {
        let (first, second) = (world.fleet(), world.fleet());
        let (first_tables, second_tables) = (world.tables(&first), world.tables(&second));
        let mut answers = Vec::new();
        world.for_each_pick(&first, &first_tables, |_, _, nodes, ttl, _| answers.push((nodes.to_vec(), ttl)));
        let mut again = Vec::new();
        world.for_each_pick(&second, &second_tables, |_, _, nodes, ttl, _| again.push((nodes.to_vec(), ttl)));
        assert_eq!(answers, again);
    });
}

#[test]
fn more_load_on_a_node_never_brings_it_more_clients() {
    let more = (any_world(), any::<Index>(), 0.001..1.5_f64);
    check(CASES, &more, |(mut world, node, more)| {
        let at = node.index(world.nodes.len());
        let (AnyLoad::Fresh(pressure) | AnyLoad::Stale(pressure)) = world.nodes[at].load else { return };
        world.nodes[at].load = AnyLoad::Fresh(pressure);
        let fleet = world.fleet();
        let before = world.tables(&fleet);
        world.nodes[at].load = AnyLoad::Fresh(pressure + more);
        let after = world.tables(&fleet);
        let id = NodeId(at as u16);
        let sites = &fleet.pool(PoolId(0)).sites;
        let Some(site) = sites.iter().position(|site| site.nodes.contains(&id)) else { return };
        for family in FAMILIES {
            let (old, new) = (before.pools[0].of(family), after.pools[0].of(family));
            for region in (0..world.regions.len() as u16).map(RegionId) {
                let (was, is) = (share_of(old, region, site as u16), share_of(new, region, site as u16));
                assert!(is <= was + 1e-9, "the site's share of {region:?} grew from {was} to {is}");
            }
            // When a site is full, all its nodes are filled further, which is another scale.
            if old.sites[site].limit != new.sites[site].limit {
                continue;
            }
            let firsts = |tables: &FamilyTables| {
                let menu = tables.sites[site].menu.as_ref();
                menu.and_then(|menu| menu.first_shares().find(|(node, _)| *node == id)).map_or(0.0, |(_, share)| share)
            };
            assert!(firsts(new) <= firsts(old), "{} to {}", firsts(old), firsts(new));
        }
    });
}

//! Worlds of any kind: nodes, places, barriers, loads, operators' wishes, and who asks.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use thalweg::geo::{Position, Region, RegionId, RegionOrigin};
use thalweg::load::NodeLoad;
use thalweg::load::health::{NodeHealth, State};
use thalweg::load::history::Reading;
use thalweg::name::Name;
use thalweg::pool::{
    Answers, Area, Bitrate, Capacity, Family, Full, HashKey, Node, NodeId, Overflow, Place, Policy, Pool, PoolId,
    Service, ServiceId, TtlBounds,
};
use thalweg::steer::{
    Asker, Assembly, Controller, Decision, Estimate, Fleet, Inputs, Ledger, NodeInput, Observation, Override,
    Overrides, Tables, mix, pick,
};

pub(crate) const SEED: u64 = 99;
pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const PLACES: [(&str, f64, f64); 5] =
    [("fra", 50.1, 8.7), ("ams", 52.4, 4.9), ("nyc", 40.7, -74.0), ("sin", 1.35, 103.8), ("syd", -33.9, 151.2)];
const COUNTRIES: [&str; 3] = ["DE", "US", "SG"];
const TTL: TtlBounds = TtlBounds { min: 3, max: 15 };

/// A fleet with loads, and who asks, for a few seconds.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) nodes: Vec<AnyNode>,
    pub(crate) regions: Vec<AnyRegion>,
    pub(crate) policy: Policy,
    /// 0 is `auto`.
    pub(crate) answers: u8,
    /// Places that may serve; empty = all.
    pub(crate) within: Vec<usize>,
    pub(crate) overflows: bool,
    pub(crate) wishes: Vec<AnyWish>,
    pub(crate) seconds: usize,
    pub(crate) keys: Vec<AnyKey>,
}

#[derive(Debug, Clone)]
pub(crate) struct AnyNode {
    pub(crate) place: usize,
    /// IPv4, IPv6 or both.
    pub(crate) families: u8,
    pub(crate) is_in_pool: bool,
    /// Gbit/s.
    pub(crate) egress: f64,
    pub(crate) weight: f64,
    pub(crate) cost: f64,
    /// Whom alone it serves, by region or by country.
    pub(crate) serves: Vec<(bool, usize)>,
    /// One for each second, the last for all that follow.
    pub(crate) days: Vec<AnyDay>,
}

/// How a node is at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnyDay {
    pub(crate) load: AnyLoad,
    pub(crate) gate: f64,
    /// Its own checks succeed.
    pub(crate) is_up: bool,
    /// Checks that fail beside: a bit for each of `FAILURES`.
    pub(crate) fails: u8,
}

/// Checks that may fail alone: of the node or of a pool, over a family.
pub(crate) const FAILURES: [(Option<PoolId>, Family); 6] = [
    (None, Family::V4),
    (None, Family::V6),
    (Some(PoolId(0)), Family::V4),
    (Some(PoolId(0)), Family::V6),
    (Some(PoolId(1)), Family::V4),
    (Some(PoolId(1)), Family::V6),
];

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum AnyLoad {
    Never,
    Fresh(f64),
    Stale(f64),
}

#[derive(Debug, Clone)]
pub(crate) struct AnyRegion {
    pub(crate) position: Option<Position>,
    pub(crate) near: Vec<usize>,
    pub(crate) near_only: bool,
    pub(crate) country: Option<usize>,
}

/// What an operator wants for the time being; numbers are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnyWish {
    Freeze,
    Pin(usize, usize),
    Weight(usize, f64),
    Limit(usize, f64),
    Drain(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct AnyKey {
    pub(crate) hash: u64,
    pub(crate) viewers: f64,
    pub(crate) stretched: f64,
    /// Mean seconds between its queries.
    pub(crate) rhythm: f64,
    pub(crate) slot: u64,
}

impl AnyKey {
    fn estimate(&self) -> Estimate {
        let Self { viewers, stretched, rhythm, .. } = *self;
        Estimate { viewers, stretched, rhythm, ..Estimate::default() }
    }
}

pub(crate) fn any_pressure() -> impl Strategy<Value = f64> {
    prop_oneof![6 => 0.0..0.9_f64, 3 => 0.9..1.1_f64, 2 => 1.1..2.0_f64, 1 => Just(0.0), 1 => Just(0.92), 1 => 2.0..1e6_f64]
}

fn any_day() -> impl Strategy<Value = AnyDay> {
    let load = prop_oneof![
        1 => Just(AnyLoad::Never),
        8 => any_pressure().prop_map(AnyLoad::Fresh),
        2 => any_pressure().prop_map(AnyLoad::Stale),
    ];
    let gate = prop_oneof![8 => Just(1.0), 1 => Just(0.0), 1 => 0.0..1.0_f64];
    let fails = prop_oneof![5 => Just(0), 1 => 0..1_u8 << FAILURES.len()];
    (load, gate, proptest::bool::weighted(0.8), fails).prop_map(|(load, gate, is_up, fails)| AnyDay {
        load,
        gate,
        is_up,
        fails,
    })
}

fn any_node() -> impl Strategy<Value = AnyNode> {
    let egress = prop_oneof![8 => 0.1..40.0_f64, 1 => Just(1e-6), 1 => Just(1e6)];
    let weight = prop_oneof![8 => Just(1.0), 1 => Just(0.0), 2 => 0.01..1.0_f64];
    let cost = prop_oneof![6 => Just(0.0), 1 => Just(30.0)];
    let serves = prop_oneof![5 => Just(Vec::new()), 1 => proptest::collection::vec((any::<bool>(), 0..3_usize), 1..3)];
    let days = proptest::collection::vec(any_day(), 1..5);
    let rest = (egress, weight, cost, serves, days);
    (0..PLACES.len(), 1..4_u8, proptest::bool::weighted(0.9), rest).prop_map(
        |(place, families, is_in_pool, (egress, weight, cost, serves, days))| AnyNode {
            place,
            families,
            is_in_pool,
            egress,
            weight,
            cost,
            serves,
            days,
        },
    )
}

fn any_region() -> impl Strategy<Value = AnyRegion> {
    let position =
        (-80.0..80.0_f64, -180.0..180.0_f64).prop_map(|(latitude, longitude)| Some(Position { latitude, longitude }));
    let position = prop_oneof![4 => position, 1 => Just(None)];
    let near = proptest::collection::vec(0..PLACES.len(), 0..3);
    let country = proptest::option::of(0..COUNTRIES.len());
    (position, near, proptest::bool::weighted(0.2), country)
        .prop_map(|(position, near, near_only, country)| AnyRegion { position, near, near_only, country })
}

pub(crate) fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        6 => Just(Policy::Planner),
        1 => Just(Policy::RoundRobin),
        1 => Just(Policy::Weighted),
        1 => Just(Policy::Nearest),
        1 => Just(Policy::Failover),
        1 => (1.01..3.0_f64).prop_map(|bound| Policy::Hash { key: HashKey::Client, bound }),
    ]
}

fn any_wish() -> impl Strategy<Value = AnyWish> {
    prop_oneof![
        Just(AnyWish::Freeze),
        (any::<usize>(), any::<usize>()).prop_map(|(region, place)| AnyWish::Pin(region, place)),
        (any::<usize>(), prop_oneof![Just(0.0), 0.0..1.0_f64]).prop_map(|(node, weight)| AnyWish::Weight(node, weight)),
        (any::<usize>(), 1e-3..1e6_f64).prop_map(|(node, limit)| AnyWish::Limit(node, limit)),
        any::<usize>().prop_map(AnyWish::Drain),
    ]
}

pub(crate) fn any_key() -> impl Strategy<Value = AnyKey> {
    let viewers = (-4.0..2.0_f64).prop_map(|power| 10_f64.powf(power));
    let stretched = prop_oneof![6 => Just(0.0), 1 => Just(30.0), 1 => Just(300.0), 1 => Just(1e5)];
    let rhythm = prop_oneof![Just(15.0), Just(f64::INFINITY), 0.0..1e4_f64];
    (any::<u64>(), viewers, stretched, rhythm, any::<u64>())
        .prop_map(|(hash, viewers, stretched, rhythm, slot)| AnyKey { hash, viewers, stretched, rhythm, slot })
}

pub(crate) fn any_world() -> impl Strategy<Value = World> {
    let within = prop_oneof![5 => Just(Vec::new()), 1 => proptest::collection::vec(0..PLACES.len(), 1..3)];
    let wishes = prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec(any_wish(), 1..4)];
    let service = (any_policy(), 0..6_u8, within, proptest::bool::weighted(0.2), wishes);
    (
        proptest::collection::vec(any_node(), 1..14),
        proptest::collection::vec(any_region(), 1..4),
        service,
        1..5_usize,
        proptest::collection::vec(any_key(), 1..24),
    )
        .prop_map(|(nodes, regions, (policy, answers, within, overflows, wishes), seconds, keys)| World {
            nodes,
            regions,
            policy,
            answers,
            within,
            overflows,
            wishes,
            seconds,
            keys,
        })
}

impl World {
    /// A calm world: nodes of these sizes at these places, everybody served by everybody.
    pub(crate) fn calm(nodes: &[(usize, f64)], pressure: f64) -> Self {
        let node = |&(place, egress): &(usize, f64)| AnyNode {
            place,
            families: 3,
            is_in_pool: true,
            egress,
            weight: 1.0,
            cost: 0.0,
            serves: Vec::new(),
            days: vec![AnyDay { load: AnyLoad::Fresh(pressure), gate: 1.0, is_up: true, fails: 0 }],
        };
        let position = Some(Position { latitude: 50.0, longitude: 8.0 });
        Self {
            nodes: nodes.iter().map(node).collect(),
            regions: vec![AnyRegion { position, near: Vec::new(), near_only: false, country: None }],
            policy: Policy::Planner,
            answers: 0,
            within: Vec::new(),
            overflows: false,
            wishes: Vec::new(),
            seconds: 1,
            keys: Vec::new(),
        }
    }

    pub(crate) fn node_name(index: usize) -> String {
        format!("node{index}")
    }

    fn node(&self, index: usize) -> Node {
        let any = &self.nodes[index];
        let area = |&(is_region, which): &(bool, usize)| {
            if is_region { Area::Region(format!("region{which}")) } else { Area::Country(COUNTRIES[which].to_owned()) }
        };
        Node {
            name: Self::node_name(index),
            v4: (any.families & 1 != 0).then(|| Ipv4Addr::from_bits(0xC000_0200 + index as u32)),
            v6: (any.families & 2 != 0).then(|| Ipv6Addr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, index as u16])),
            place: Some(PLACES[any.place].0.to_owned()),
            labels: any.is_in_pool.then(|| ("role".to_owned(), "edge".to_owned())).into_iter().collect(),
            capacity: Capacity { egress: Some(Bitrate(any.egress * 1e9)), ..Capacity::default() },
            cost: any.cost,
            weight: any.weight,
            serves: any.serves.iter().map(area).collect(),
            ..Node::default()
        }
    }

    pub(crate) fn regions(&self) -> Vec<Region> {
        let region = |(index, any): (usize, &AnyRegion)| Region {
            name: format!("region{index}"),
            position: any.position,
            near: any.near.iter().map(|&place| PLACES[place].0.to_owned()).collect(),
            near_only: any.near_only,
            continent: None,
            origin: any
                .country
                .map_or(RegionOrigin::Unknown, |country| RegionOrigin::Country(COUNTRIES[country].to_owned())),
            is_vanished: false,
        };
        self.regions.iter().enumerate().map(region).collect()
    }

    /// The fleet of these nodes, in this order.
    pub(crate) fn fleet_of(&self, order: &[usize], previous: Option<&Fleet>) -> Fleet {
        self.fleet_of_pools(order, previous, &["edge"])
    }

    /// The fleet of these nodes, which are in each of these pools.
    pub(crate) fn fleet_of_pools(&self, order: &[usize], previous: Option<&Fleet>, names: &[&str]) -> Fleet {
        let places = PLACES.map(|(name, latitude, longitude)| Place {
            name: name.to_owned(),
            at: Some(Position { latitude, longitude }),
        });
        let nodes: Vec<Node> = order.iter().map(|&index| self.node(index)).collect();
        let select = BTreeMap::from([("role".to_owned(), "edge".to_owned())]);
        let service = |name: &&str| Service {
            name: Name::parse(&format!("{name}.live.example."), None).unwrap(),
            pool: (*name).to_owned(),
            answers: if self.answers == 0 { Answers::Auto } else { Answers::Fixed(self.answers) },
            ttl: TTL,
            policy: None,
            within: self.within.iter().map(|&place| Area::Place(PLACES[place].0.to_owned())).collect(),
        };
        let overflow = Overflow {
            cname: Name::parse("cdn.example.", None).unwrap(),
            addresses: Vec::new(),
            above: 0.9,
            cost: 100.0,
        };
        let full = if self.overflows { Full::Overflow(overflow) } else { Full::Fill };
        let pool = Pool { name: String::new(), select, policy: self.policy, full, ..Pool::default() };
        let pools: Vec<Pool> = names.iter().map(|name| Pool { name: (*name).to_owned(), ..pool.clone() }).collect();
        let services: Vec<Service> = names.iter().map(service).collect();
        let assembly = Assembly {
            nodes: &nodes,
            places: &places,
            pools: &pools,
            services: &services,
            regions: &self.regions(),
            rtts: &[],
            guesses: &BTreeMap::new(),
        };
        Fleet::assemble(&assembly, previous)
    }

    pub(crate) fn fleet(&self) -> Fleet {
        self.fleet_of(&(0..self.nodes.len()).collect::<Vec<_>>(), None)
    }

    pub(crate) fn overrides(&self) -> Overrides {
        let node = |index: usize| Self::node_name(index % self.nodes.len());
        let wish = |wish: &AnyWish| match *wish {
            AnyWish::Freeze => Override::Freeze,
            AnyWish::Pin(region, place) => Override::Pin {
                region: format!("region{}", region % self.regions.len()),
                place: PLACES[place % PLACES.len()].0.to_owned(),
            },
            AnyWish::Weight(which, weight) => Override::Weight { node: node(which), weight },
            AnyWish::Limit(which, capacity) => {
                Override::Limit { node: node(which), capacity: thalweg::steer::Limited::Egress(capacity) }
            }
            AnyWish::Drain(which) => Override::Drain { node: node(which) },
        };
        let names: Vec<String> = (0..self.regions.len()).map(|index| format!("region{index}")).collect();
        Overrides::new(self.wishes.iter().map(wish).collect(), names.iter().map(String::as_str))
    }

    /// What is known of each node in a second, in the order of the fleet's numbers.
    pub(crate) fn inputs_at(&self, fleet: &Fleet, second: usize, now: f64) -> Vec<NodeInput> {
        let of = |known: &thalweg::steer::FleetNode| {
            let index: usize = known.node.name["node".len()..].parse().unwrap();
            let any = &self.nodes[index];
            let day = any.days[second.min(any.days.len() - 1)];
            let load = |pressure: f64, sampled| NodeLoad {
                pressure,
                egress: Some(Bitrate(pressure * any.egress * 1e9 * 0.8)),
                gate: day.gate,
                at: sampled - 0.5,
                sampled,
                window: 1.0,
                ..NodeLoad::default()
            };
            let reading = match day.load {
                AnyLoad::Never => Reading::Never { because: None },
                AnyLoad::Fresh(pressure) => Reading::Fresh(load(pressure, now - 0.1)),
                AnyLoad::Stale(pressure) => {
                    Reading::Stale { last: load(pressure, now - 90.0), age: 90.0, because: None }
                }
            };
            let down = State::Down { since: now - 1.0 };
            let mut health = NodeHealth::from(if day.is_up { State::Unknown } else { down });
            for (_, (pool, family)) in FAILURES.iter().enumerate().filter(|(bit, _)| day.fails & 1 << bit != 0) {
                health.note(pool.as_ref().map(std::slice::from_ref), Some(*family), down);
            }
            NodeInput { reading, health }
        };
        fleet.nodes.iter().map(of).collect()
    }

    /// One second.
    pub(crate) fn tick(&self, controller: &mut Controller, fleet: &Fleet, second: usize) -> Tables {
        let now = 100.0 + second as f64;
        controller.tick(&Inputs {
            now,
            fleet,
            regions: &self.regions(),
            nodes: &self.inputs_at(fleet, second, now),
            overrides: &self.overrides(),
            seed: SEED,
        })
    }

    /// All seconds, in each of which all keys ask; the tables of each.
    pub(crate) fn run(&self, fleet: &Fleet, controller: &mut Controller) -> Vec<Tables> {
        let mut all: Vec<Tables> = Vec::new();
        let mut ledger = Ledger::new();
        for second in 0..self.seconds {
            let tables = self.tick(controller, fleet, second);
            ledger.clear(0);
            self.for_each_pick(fleet, &tables, |region, family, key, decision| {
                ledger.book(&observation(region, family, key, &decision));
            });
            controller.book(&ledger);
            all.push(tables);
        }
        all
    }

    /// Every region, family and key.
    pub(crate) fn for_each_pick(
        &self,
        fleet: &Fleet,
        tables: &Tables,
        mut see: impl FnMut(RegionId, Family, &AnyKey, Decision<'_>),
    ) {
        for region in (0..self.regions.len() as u16).map(RegionId) {
            for family in FAMILIES {
                for key in &self.keys {
                    see(region, family, key, ask(fleet, tables, region, family, key));
                }
            }
        }
    }

    /// Whether barriers let a node serve a region at all.
    pub(crate) fn may_serve(&self, index: usize, region: RegionId, family: Family) -> bool {
        let (node, region_index) = (&self.nodes[index], usize::from(region.0));
        let any = &self.regions[region_index];
        let is_served = |&(is_region, which): &(bool, usize)| {
            if is_region { which == region_index } else { any.country == Some(which) }
        };
        let bit = if family == Family::V4 { 1 } else { 2 };
        node.is_in_pool
            && node.families & bit != 0
            && (self.within.is_empty() || self.within.contains(&node.place))
            && (!any.near_only || any.near.contains(&node.place))
            && (node.serves.is_empty() || node.serves.iter().any(is_served))
    }
}

pub(crate) fn ask<'t>(
    fleet: &Fleet,
    tables: &'t Tables,
    region: RegionId,
    family: Family,
    key: &AnyKey,
) -> Decision<'t> {
    let AnyKey { hash, slot, .. } = *key;
    let estimate = key.estimate();
    pick(tables, fleet.service(ServiceId(0)), family, &Asker { region, hash, estimate, slot })
}

pub(crate) fn observation<'t>(
    region: RegionId,
    family: Family,
    key: &AnyKey,
    decision: &Decision<'t>,
) -> Observation<'t> {
    let estimate = key.estimate();
    Observation { region, pool: PoolId(0), family, nodes: decision.nodes, ttl: decision.ttl, estimate }
}

/// So many keys of whom few viewers are known.
pub(crate) fn light_keys(count: u64) -> impl Iterator<Item = AnyKey> {
    (0..count).map(|number| AnyKey { hash: mix(number ^ 0x5eed), viewers: 1e-4, stretched: 0.0, rhythm: 15.0, slot: 0 })
}

pub(crate) fn index_of(fleet: &Fleet, id: NodeId) -> usize {
    fleet.node(id).node.name["node".len()..].parse().unwrap()
}

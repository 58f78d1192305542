//! Properties of the policies beside the planner: each keeps its rule, whatever loads there are.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Strategy, any};
use thalweg::geo::RegionId;
use thalweg::pool::{Family, HashKey, NodeId, Policy, PoolId};
use thalweg::steer::{Controller, Fleet, Standing, Tables, mix};

use super::super::check;
use super::world::{AnyKey, AnyLoad, AnyRegion, AnyWish, World, any_key, any_pressure, any_world, ask};

const REGION: RegionId = RegionId(0);
const V4: Family = Family::V4;
const KEYS: u64 = 20_000;
const CASES: u32 = 60;

/// Nodes of all sizes and loads at up to three places, without barriers; at most one of them is down.
fn any_fleet(policy: Policy) -> impl Strategy<Value = (World, usize)> {
    let node = (0..3_usize, 1.0..40.0_f64, any_pressure(), 0.1..1.0_f64);
    (proptest::collection::vec(node, 2..12), any::<usize>(), any::<bool>()).prop_map(move |(nodes, down, falls)| {
        let sizes: Vec<(usize, f64)> = nodes.iter().map(|(place, egress, ..)| (*place, *egress)).collect();
        let mut world = World::calm(&sizes, 0.0);
        // One node an answer: of several, none is named more than once, however large it is.
        (world.policy, world.answers) = (policy, 1);
        for (node, (_, _, pressure, weight)) in world.nodes.iter_mut().zip(nodes) {
            (node.days[0].load, node.weight) = (AnyLoad::Fresh(pressure), weight);
        }
        let down = down % world.nodes.len();
        world.nodes[down].days[0].is_up = !falls;
        let elsewhere = AnyRegion { position: None, near: vec![2], near_only: false, country: None };
        world.regions.push(elsewhere);
        (world, down)
    })
}

fn tables(world: &World) -> (Fleet, Tables) {
    let fleet = world.fleet();
    let tables = world.tick(&mut Controller::default(), &fleet, 0);
    (fleet, tables)
}

/// Keys of any weight: a policy that does not plan does not ask how many viewers are behind one.
fn key(number: u64) -> AnyKey {
    AnyKey { hash: mix(number), viewers: 0.01, stretched: 0.0, rhythm: 15.0, slot: number }
}

/// How often each node is named first, as a part of all.
fn firsts(fleet: &Fleet, tables: &Tables, region: RegionId) -> BTreeMap<NodeId, f64> {
    let mut firsts = BTreeMap::new();
    for number in 0..KEYS {
        *firsts.entry(ask(fleet, tables, region, V4, &key(number)).nodes[0]).or_default() += 1.0 / KEYS as f64;
    }
    firsts
}

/// Whether shares are as wanted, but for a bucket and for noise.
fn assert_shares(firsts: &BTreeMap<NodeId, f64>, wanted: &BTreeMap<NodeId, f64>) {
    let total: f64 = wanted.values().sum();
    for node in firsts.keys().chain(wanted.keys()) {
        let found = firsts.get(node).copied().unwrap_or(0.0);
        let wanted = wanted.get(node).copied().unwrap_or(0.0) / total;
        let noise = 5.0 * (wanted.max(1e-3) / KEYS as f64).sqrt();
        assert!((found - wanted).abs() <= noise + 2e-3, "{node:?} gets {found} and should {wanted}");
    }
}

/// Nodes that may serve, with what `weigh` says of them.
fn fit(fleet: &Fleet, tables: &Tables, weigh: impl Fn(NodeId) -> f64) -> BTreeMap<NodeId, f64> {
    let ids = fleet.pool(PoolId(0)).sites.iter().flat_map(|site| &site.nodes).copied();
    ids.filter(|id| serves(tables, *id)).map(|id| (id, weigh(id))).collect()
}

/// Whether a node is up: one that fails its probes is not, be it dead or full, for at most one of these does.
fn serves(tables: &Tables, id: NodeId) -> bool {
    let standing = tables.nodes[usize::from(id.0)].standing;
    standing.is_eligible() && standing != Standing::Full
}

#[test]
fn round_robin_is_even_over_all_nodes_that_are_up() {
    check(CASES, &any_fleet(Policy::RoundRobin), |(world, _)| {
        let (fleet, tables) = tables(&world);
        assert_shares(&firsts(&fleet, &tables, REGION), &fit(&fleet, &tables, |_| 1.0));
    });
}

#[test]
fn weighted_goes_by_capacity_and_weight_whatever_the_load() {
    check(CASES, &any_fleet(Policy::Weighted), |(world, _)| {
        let (fleet, tables) = tables(&world);
        let size = |id: NodeId| {
            let state = &tables.nodes[usize::from(id.0)];
            state.capacity * state.factors.product()
        };
        assert_shares(&firsts(&fleet, &tables, REGION), &fit(&fleet, &tables, size));
    });
}

#[test]
fn nearest_goes_to_the_nearest_place_where_anybody_is_up() {
    check(CASES, &any_fleet(Policy::Nearest), |(world, _)| {
        let (fleet, tables) = tables(&world);
        for region in [REGION, RegionId(1)] {
            let up = fit(&fleet, &tables, |id| fleet.distance(region, fleet.node(id).place));
            let nearest = up.values().copied().fold(f64::INFINITY, f64::min);
            let named = firsts(&fleet, &tables, region);
            assert!(named.keys().all(|id| up[id] == nearest), "{named:?} of {up:?}");
            let places: BTreeSet<_> = named.keys().map(|id| fleet.node(*id).place).collect();
            let here = up.keys().filter(|id| places.contains(&fleet.node(**id).place));
            assert_eq!((places.len(), named.len()), (1, here.count()));
        }
    });
}

#[test]
fn failover_goes_to_the_first_of_the_configuration_that_is_up() {
    let inputs = (any_fleet(Policy::Failover), any::<u64>());
    check(CASES * 5, &inputs, |((world, _), shuffle)| {
        let mut order: Vec<usize> = (0..world.nodes.len()).collect();
        let fleet = world.fleet_of(&order, None);
        let mut controller = Controller::default();
        let check_order = |fleet: &Fleet, tables: &Tables, order: &[usize]| {
            let id = |index: &usize| fleet.find_node(&World::node_name(*index)).unwrap();
            let first = order.iter().map(id).find(|id| serves(tables, *id)).unwrap();
            for number in 0..50 {
                for region in [REGION, RegionId(1)] {
                    assert_eq!(ask(fleet, tables, region, V4, &key(number)).nodes, [first]);
                }
            }
        };
        check_order(&fleet, &world.tick(&mut controller, &fleet, 0), &order);
        // A reload with another order counts, although nodes keep their numbers.
        order.sort_by_key(|index| mix(shuffle ^ *index as u64));
        let again = world.fleet_of(&order, Some(&fleet));
        check_order(&again, &world.tick(&mut controller, &again, 1), &order);
    });
}

#[test]
fn a_hash_finds_the_same_node_from_every_region() {
    let policy = Policy::Hash { key: HashKey::Name, bound: 1.25 };
    check(CASES * 5, &(any_fleet(policy), any_key()), |((world, _), key)| {
        let (fleet, tables) = tables(&world);
        let here = ask(&fleet, &tables, REGION, V4, &key).nodes;
        assert_eq!(here.len(), 1);
        for (region, family) in [(RegionId(1), V4), (REGION, Family::V6)] {
            let slot = AnyKey { slot: key.slot ^ 1, viewers: 50.0, ..key };
            assert_eq!(ask(&fleet, &tables, region, family, &slot).nodes, here);
        }
    });
}

/// Which node each key gets, by its name.
fn placed(world: &World) -> Vec<String> {
    let (fleet, tables) = tables(world);
    let node = |number| fleet.node(ask(&fleet, &tables, REGION, V4, &key(number)).nodes[0]).node.name.clone();
    (0..KEYS).map(node).collect()
}

#[test]
fn a_hash_moves_nobody_but_the_keys_of_who_comes_goes_or_changes() {
    let policy = Policy::Hash { key: HashKey::Name, bound: 1.25 };
    check(CASES, &any_fleet(policy), |(mut world, changed)| {
        for node in &mut world.nodes {
            (node.days[0].is_up, node.days[0].load) = (true, AnyLoad::Fresh(0.5));
        }
        let before = placed(&world);
        let name = world.fleet().node(NodeId(changed as u16)).node.name.clone();
        let mut down = world.clone();
        down.nodes[changed].days[0].is_up = false;
        let mut smaller = world.clone();
        smaller.nodes[changed].weight *= 0.5;
        let mut others = world.clone();
        others.nodes[changed].is_in_pool = false;
        for (case, after) in [("down", placed(&down)), ("gone", placed(&others)), ("smaller", placed(&smaller))] {
            let strangers = before.iter().zip(&after).filter(|(was, is)| was != is && **was != name).count();
            assert_eq!(strangers, 0, "{case}: keys of others moved");
            if case != "smaller" {
                assert!(!after.contains(&name), "{case}");
            }
        }
    });
}

#[test]
fn a_hash_shares_ten_thousand_streams_evenly_among_ten_nodes() {
    // At three places, which a hash does not ask for.
    for places in [1, 3] {
        let sizes: Vec<(usize, f64)> = (0..10).map(|node| (node % places, 10.0)).collect();
        let mut world = World::calm(&sizes, 0.3);
        (world.policy, world.answers) = (Policy::Hash { key: HashKey::Name, bound: 1.25 }, 1);
        let (fleet, tables) = tables(&world);
        let mut counts = BTreeMap::<NodeId, u32>::new();
        for number in 0..10_000 {
            *counts.entry(ask(&fleet, &tables, REGION, V4, &key(number)).nodes[0]).or_default() += 1;
        }
        assert!(counts.len() == 10 && counts.values().all(|count| (800..=1_250).contains(count)), "{counts:?}");
    }
}

#[test]
fn a_hash_takes_keys_from_a_node_far_above_the_others() {
    let inputs = (2..10_usize, 1.05..2.0_f64, 0.05..0.3_f64, 1.0..3.0_f64);
    check(CASES * 5, &inputs, |(nodes, bound, pressure, factor)| {
        let mut world = World::calm(&vec![(0, 10.0); nodes], pressure);
        world.policy = Policy::Hash { key: HashKey::Name, bound };
        world.nodes[0].days[0].load = AnyLoad::Fresh(pressure * factor);
        let (_, tables) = tables(&world);
        let weights = &tables.pools[0].of(V4).sites[0].weights;
        let mean = pressure * (nodes as f64 - 1.0 + factor) / nodes as f64;
        let wanted = (bound * mean / (pressure * factor)).min(1.0);
        assert!((weights[0].1 / weights[1].1 - wanted).abs() < 1e-9, "{weights:?}");
    });
}

#[test]
fn a_hash_gives_nobody_to_a_node_at_its_limit_while_others_have_room() {
    let policy = Policy::Hash { key: HashKey::Name, bound: 2.0 };
    check(CASES, &(2..8_usize, 0.1..0.8_f64, 1.0..1.5_f64), |(nodes, pressure, full)| {
        let mut world = World::calm(&vec![(0, 10.0); nodes], pressure);
        world.policy = policy;
        let before = placed(&world);
        world.nodes[0].days[0].load = AnyLoad::Fresh(full);
        let mean = (pressure * (nodes as f64 - 1.0) + full) / nodes as f64;
        let after = placed(&world);
        let has_some = after.iter().any(|name| name == "node0");
        assert_eq!(has_some, mean >= 0.92, "at {full}, the mean {mean}");
        if !has_some {
            assert!(before.iter().zip(&after).all(|(was, is)| was == is || was == "node0"), "others moved");
        }
    });
}

#[test]
fn policies_that_do_not_plan_ask_neither_for_load_nor_for_wishes_of_the_plan() {
    let fixed = any_world().prop_filter("plans", |world| world.policy != Policy::Planner);
    check(CASES * 5, &fixed, |mut world| {
        world.wishes.retain(|wish| !matches!(wish, AnyWish::Freeze | AnyWish::Pin(..)));
        let named = |world: &World| {
            let (fleet, tables) = tables(world);
            let mut named = BTreeSet::new();
            world.for_each_pick(&fleet, &tables, |region, family, _, decision| {
                named.insert((region.0, family as u8, decision.nodes.to_vec(), decision.site));
            });
            named
        };
        let with_wishes = named(&world);
        world.wishes.push(AnyWish::Pin(0, 0));
        assert_eq!(with_wishes, named(&world));
    });
}

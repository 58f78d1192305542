//! Properties of several nameservers and of reloads: they agree, and keep what they know.

use proptest::prelude::{Strategy, any};
use thalweg::geo::RegionId;
use thalweg::pool::{Family, NodeId, PoolId};
use thalweg::steer::{Controller, Estimate, Fleet, Ledger, Observation, PeerFailure, PeerFlow, PeerRest, Report, mix};

use super::super::check;
use super::world::{AnyKey, AnyLoad, World, any_world, ask, light_keys, observation};

const REGION: RegionId = RegionId(0);

fn any_calm_fleet() -> impl Strategy<Value = World> {
    let node = (0..3_usize, 1.0..40.0_f64, 0.0..0.8_f64);
    proptest::collection::vec(node, 2..14).prop_map(|nodes| {
        let sizes: Vec<(usize, f64)> = nodes.iter().map(|(place, egress, _)| (*place, *egress)).collect();
        let mut world = World::calm(&sizes, 0.0);
        for (node, (_, _, pressure)) in world.nodes.iter_mut().zip(nodes) {
            node.days[0].load = AnyLoad::Fresh(pressure);
        }
        world
    })
}

/// The nodes of a thousand light keys.
fn answers(world: &World, fleet: &Fleet, controller: &mut Controller, second: usize) -> Vec<Vec<String>> {
    let tables = world.tick(controller, fleet, second);
    let named = |key: AnyKey| {
        let decision = ask(fleet, &tables, REGION, Family::V4, &key);
        decision.nodes.iter().map(|node| fleet.node(*node).node.name.clone()).collect()
    };
    light_keys(1_000).map(named).collect()
}

#[test]
fn two_nameservers_with_the_same_loads_and_other_clients_agree_on_light_keys() {
    check(100, &(any_calm_fleet(), any::<u64>()), |(world, salt)| {
        let fleet = world.fleet();
        let mut controllers = [Controller::default(), Controller::default()];
        let mut found = [Vec::new(), Vec::new()];
        for second in 0..20 {
            for (number, controller) in controllers.iter_mut().enumerate() {
                let tables = world.tick(controller, &fleet, second);
                let mut ledger = Ledger::new();
                // Each has half of the clients, of whom some 40 ask in a second.
                for client in 0..40 {
                    let hash = mix(salt ^ (second as u64) << 32 ^ client << 1 ^ number as u64);
                    let key = AnyKey { hash, viewers: 0.01, stretched: 0.0, rhythm: 15.0, slot: second as u64 * 4 };
                    let decision = ask(&fleet, &tables, REGION, Family::V4, &key);
                    ledger.book(&observation(REGION, Family::V4, &key, &decision));
                }
                controller.book(&ledger);
                found[number] = answers(&world, &fleet, controller, second);
            }
            if second % 5 == 4 {
                let now = 100.0 + second as f64;
                let reports = controllers.each_ref().map(|controller| controller.report(&fleet, &world.regions()));
                let [first, second] = reports;
                controllers[0].take_report("ns2", second, now);
                controllers[1].take_report("ns1", first, now);
            }
        }
        // How many nodes are named may differ where one of them has half of its site's weight.
        let alike = found[0].iter().zip(&found[1]).filter(|(one, other)| one[0] == other[0]).count();
        assert!(alike >= 950, "{alike} of a thousand keys get the same");
    });
}

#[test]
fn a_nameserver_that_was_reloaded_agrees_with_one_that_was_just_started() {
    check(200, &(any_calm_fleet(), any::<u64>()), |(world, shuffle)| {
        // One has seen the nodes come one by one, in another order.
        let mut seen: Vec<usize> = (0..world.nodes.len()).collect();
        seen.sort_by_key(|index| mix(shuffle ^ *index as u64));
        let mut controller = Controller::default();
        let mut fleet = world.fleet_of(&seen[..1], None);
        world.tick(&mut controller, &fleet, 0);
        fleet = world.fleet_of(&(0..world.nodes.len()).collect::<Vec<_>>(), Some(&fleet));
        let fresh = world.fleet();
        assert_ne!(fleet.find_node("node0").is_some_and(|id| id == NodeId(0)), seen[0] != 0);
        let reloaded: Vec<Vec<String>> = answers(&world, &fleet, &mut Controller::default(), 0);
        let started = answers(&world, &fresh, &mut Controller::default(), 0);
        assert_eq!(reloaded, started);
    });
}

#[test]
fn reloads_of_any_kind_do_no_harm_and_answers_stay_within_the_new_fleet() {
    let inputs = (any_world(), proptest::collection::vec((any::<u64>(), 1..4_usize, any::<u8>()), 1..5));
    check(300, &inputs, |(mut world, reloads)| {
        let mut controller = Controller::default();
        let mut fleet = world.fleet();
        let all_regions = world.regions.clone();
        world.regions.truncate(1);
        let mut known = 1;
        for (shuffle, regions, answers) in reloads {
            let tables = world.run(&fleet, &mut controller).pop().unwrap();
            // Regions come, but never go; the pool is used in another way; nodes come and go, in any order.
            known = known.max(regions.min(all_regions.len()));
            world.regions = all_regions[..known].to_vec();
            world.answers = answers % 6;
            // Barriers rise and fall where viewers went before.
            for (index, region) in world.regions.iter_mut().enumerate() {
                region.near_only = shuffle >> index & 1 == 1;
                region.near = vec![(shuffle >> (8 + 3 * index)) as usize % 5];
            }
            let mut order: Vec<usize> = (0..world.nodes.len()).collect();
            order.sort_by_key(|index| mix(shuffle ^ *index as u64));
            order.truncate(1 + shuffle as usize % world.nodes.len());
            fleet = world.fleet_of(&order, Some(&fleet));
            // What is booked with numbers that nobody has is lost, and does no harm.
            let mut stray = Ledger::new();
            let nodes: Vec<NodeId> = (0..tables.nodes.len() as u16 + 3).map(NodeId).collect();
            for region in 0..known as u16 + 3 {
                let estimate = Estimate { viewers: 100.0, ..Estimate::default() };
                let (region, pool) = (RegionId(region), PoolId(region));
                stray.book(&Observation { region, pool, family: Family::V6, nodes: &nodes, ttl: 15, estimate });
            }
            controller.book(&stray);
            // At once, before any time has passed.
            let tables = world.tick(&mut controller, &fleet, world.seconds - 1);
            let is_there = |index: usize| fleet.find_node(&World::node_name(index)).is_some();
            let overflow = fleet.pools[0].overflow().map(|_| fleet.pools[0].sites.len());
            world.for_each_pick(&fleet, &tables, |region, family, _, decision| {
                let mut all = 0..world.nodes.len();
                let may_serve = all.any(|index| is_there(index) && world.may_serve(index, region, family));
                let is_elsewhere = decision.site.is_some() && decision.site == overflow;
                assert_eq!(decision.nodes.is_empty(), !may_serve || is_elsewhere);
                for node in decision.nodes {
                    assert!(fleet.node(*node).is_configured);
                    assert!(world.may_serve(super::world::index_of(&fleet, *node), region, family));
                }
            });
        }
    });
}

#[test]
fn reports_of_any_kind_make_no_answer_invalid() {
    let number = proptest::num::f64::ANY;
    let flow = (0..20_usize, number, number, number).prop_map(|(node, moved, rate, committed)| PeerFlow {
        pool: "edge Planner Auto []".to_owned(),
        region: "region0".to_owned(),
        node: World::node_name(node),
        moved,
        rate,
        committed,
    });
    let report = (proptest::collection::vec(flow, 0..6), proptest::collection::vec(number, 0..3)).prop_map(
        |(flows, viewers)| {
            let pool = "edge Planner Auto []".to_owned();
            let arrivals = viewers.iter().copied().map(|viewers| (pool.clone(), "region0".to_owned(), viewers));
            let seen = |pool: Option<&str>| PeerFailure {
                node: "node0".to_owned(),
                family: "ipv9".to_owned(),
                pool: pool.map(str::to_owned),
            };
            let failing = vec![seen(None), seen(Some("no pool"))];
            let at = |place: &str| PeerRest {
                pool: pool.clone(),
                region: "region0".to_owned(),
                place: place.to_owned(),
                moved: viewers.first().copied().unwrap_or(1.0),
                ..PeerRest::default()
            };
            let rest = vec![at("place0"), at("nowhere")];
            Report { flows, rest, arrivals: arrivals.collect(), down: vec!["node0".to_owned(), String::new()], failing }
        },
    );
    check(400, &(any_calm_fleet(), report), |(world, report)| {
        let fleet = world.fleet();
        let mut controller = Controller::default();
        for second in 0..3 {
            let tables = world.tick(&mut controller, &fleet, second);
            for node in &tables.nodes {
                let numbers =
                    [node.pressure, node.prediction.committed, node.prediction.added, node.prediction.reckoned];
                assert!(numbers.iter().all(|number| number.is_finite() && *number >= 0.0), "{numbers:?}");
            }
            for key in light_keys(20) {
                assert!(!ask(&fleet, &tables, REGION, Family::V4, &key).nodes.is_empty());
            }
            controller.take_report("ns2", report.clone(), 100.0 + second as f64);
        }
    });
}

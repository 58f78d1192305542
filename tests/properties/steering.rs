//! Properties of steering, over fleets, barriers, loads, operators' wishes and clients of any kind, for several seconds.

mod health;
mod loops;
mod nameservers;
mod policies;
mod shares;
mod world;

use std::collections::BTreeSet;

use proptest::prelude::any;
use proptest::sample::Index;
use thalweg::geo::RegionId;
use thalweg::pool::{Answers, Family, Policy, PoolId};
use thalweg::steer::{Controller, Decision, Fitness, Fleet, Tables};
use world::{AnyDay, AnyLoad, AnyWish, FAMILIES, World, any_world, index_of};

use super::check;

/// Worlds that are tried: together about ten seconds.
const CASES: u32 = 1_500;
/// From this pressure on a node is full.
const FULL: f64 = 0.92;

/// Whoever may serve a region, and is fit to.
fn eligible(world: &World, fleet: &Fleet, tables: &Tables, region: RegionId, family: Family) -> BTreeSet<usize> {
    let is_fit = |index: &usize| {
        let id = fleet.find_node(&World::node_name(*index)).unwrap();
        let here = tables.fitness(PoolId(0), family, id);
        here.standing.is_eligible() && here.factors.product() > 0.0
    };
    (0..world.nodes.len()).filter(|index| world.may_serve(*index, region, family)).filter(is_fit).collect()
}

/// Every decision of every second, with the tables that it follows from.
fn for_each_decision(world: &World, mut see: impl FnMut(&Fleet, &Tables, RegionId, Family, Decision<'_>)) {
    let fleet = world.fleet();
    for tables in world.run(&fleet, &mut Controller::default()) {
        world.for_each_pick(&fleet, &tables, |region, family, _, decision| {
            see(&fleet, &tables, region, family, decision);
        });
    }
}

#[test]
fn barriers_hold_and_nobody_unfit_is_named_while_anybody_is_fit() {
    check(CASES, &any_world(), |world| {
        for_each_decision(&world, |fleet, tables, region, family, decision| {
            let fit = eligible(&world, fleet, tables, region, family);
            let may_serve = (0..world.nodes.len()).any(|index| world.may_serve(index, region, family));
            let is_elsewhere = decision.site == Some(fleet.pool(PoolId(0)).sites.len());
            assert!(!is_elsewhere || (world.overflows && world.policy == Policy::Planner && may_serve));
            assert_eq!(decision.nodes.is_empty(), is_elsewhere || !may_serve, "empty only behind a barrier");
            for &node in decision.nodes {
                let index = index_of(fleet, node);
                assert!(world.may_serve(index, region, family), "a barrier keeps node{index} from {region:?}");
                assert!(fit.is_empty() || fit.contains(&index), "node{index} is unfit, and of {fit:?} each is not");
            }
        });
    });
}

#[test]
fn with_everything_full_down_or_unknown_barriers_hold_and_answers_are_not_empty() {
    let loads = [AnyLoad::Never, AnyLoad::Fresh(0.95), AnyLoad::Fresh(1.4), AnyLoad::Fresh(1e9), AnyLoad::Stale(1.1)];
    let inputs = (any_world(), 0..loads.len(), any::<bool>(), 0..2_usize);
    check(CASES, &inputs, |(mut world, load, is_up, gate)| {
        for node in &mut world.nodes {
            node.days = vec![AnyDay { load: loads[load], gate: gate as f64, is_up, fails: 0 }];
        }
        for_each_decision(&world, |fleet, tables, region, family, decision| {
            let may_serve = (0..world.nodes.len()).any(|index| world.may_serve(index, region, family));
            let is_elsewhere = decision.site == Some(fleet.pool(PoolId(0)).sites.len());
            assert_eq!(decision.nodes.is_empty(), is_elsewhere || !may_serve);
            assert!(decision.nodes.iter().all(|node| world.may_serve(index_of(fleet, *node), region, family)));
            let all_full =
                tables.pools[0].of(family).sites.iter().all(|site| site.pressure > FULL || site.weights.is_empty());
            if all_full && world.policy == Policy::Planner && !is_elsewhere && may_serve {
                assert!(decision.ttl <= 15 / 3, "{decision:?}");
            }
        });
    });
}

#[test]
fn shares_of_each_region_cover_every_position_once() {
    check(CASES, &any_world(), |world| {
        let fleet = world.fleet();
        for tables in world.run(&fleet, &mut Controller::default()) {
            for family in FAMILIES {
                for region in (0..world.regions.len() as u16).map(RegionId) {
                    let of_family = tables.pools[0].of(family);
                    let plan = of_family.plan(region);
                    let may_serve = (0..world.nodes.len()).any(|index| world.may_serve(index, region, family));
                    assert_eq!(plan.is_empty(), !may_serve);
                    assert!(plan.is_empty() || plan.last().is_some_and(|share| share.until == u32::MAX));
                    assert!(plan.windows(2).all(|pair| pair[0].until <= pair[1].until), "{plan:?}");
                    let sum: f64 = (0..of_family.sites.len() as u16).map(|site| of_family.share(region, site)).sum();
                    assert!(plan.is_empty() || (sum - 1.0).abs() < 1e-6, "{sum}");
                }
            }
        }
    });
}

#[test]
fn answers_name_no_node_twice_as_many_as_wanted_and_live_within_bounds() {
    check(CASES, &any_world(), |world| {
        for_each_decision(&world, |fleet, _, _, _, decision| {
            let nodes = decision.nodes;
            assert_eq!(nodes.iter().collect::<BTreeSet<_>>().len(), nodes.len(), "twice in {nodes:?}");
            let most = match fleet.pool(PoolId(0)).answers {
                Answers::Auto if matches!(world.policy, Policy::Hash { .. } | Policy::Failover) => 1,
                Answers::Auto => 4,
                Answers::Fixed(count) => usize::from(count),
            };
            assert!(nodes.len() <= most, "{nodes:?}");
            assert!((3..=15).contains(&decision.ttl), "{decision:?}");
            let places: BTreeSet<_> = nodes.iter().map(|node| fleet.node(*node).place).collect();
            let is_hashed = matches!(world.policy, Policy::Hash { .. });
            assert!(
                places.len() <= 1 || is_hashed,
                "the nodes of an answer are of one site, but where places do not matter"
            );
        });
    });
}

#[test]
fn everything_that_is_computed_is_a_number() {
    check(CASES, &any_world(), |world| {
        let fleet = world.fleet();
        for tables in world.run(&fleet, &mut Controller::default()) {
            for node in &tables.nodes {
                let numbers = [node.pressure, node.capacity, node.prediction.load, node.factors.product()];
                assert!(numbers.iter().all(|number| number.is_finite() && *number >= 0.0), "{node:?}");
            }
            for site in FAMILIES.iter().flat_map(|family| &tables.pools[0].of(*family).sites) {
                assert!(site.pressure.is_finite() && site.price.is_finite());
                assert!(site.weights.iter().all(|(_, weight)| weight.is_finite() && *weight >= 0.0), "{site:?}");
            }
        }
    });
}

#[test]
fn the_same_inputs_give_the_same_answers() {
    check(CASES / 2, &any_world(), |world| {
        let mut answers = [Vec::new(), Vec::new()];
        for answers in &mut answers {
            for_each_decision(&world, |_, _, _, _, decision| {
                answers.push((decision.nodes.to_vec(), decision.ttl, decision.is_heavy));
            });
        }
        assert_eq!(answers[0], answers[1]);
    });
}

#[test]
fn a_full_node_is_not_named_while_its_site_has_room() {
    check(CASES, &any_world(), |mut world| {
        world.policy = Policy::Planner;
        world.wishes.retain(|wish| !matches!(wish, AnyWish::Freeze));
        for_each_decision(&world, |fleet, tables, _, family, decision| {
            let Some(site) = decision.site.filter(|_| !decision.nodes.is_empty()) else { return };
            let of = |id: &thalweg::pool::NodeId| {
                (tables.nodes[usize::from(id.0)].capacity, tables.fitness(PoolId(0), family, *id))
            };
            let mine: Vec<_> = tables.pools[0].of(family).sites[site].weights.iter().map(|(id, _)| of(id)).collect();
            let fit = || mine.iter().filter(|(_, node)| node.standing.is_eligible() && node.factors.product() > 0.0);
            let capacity: f64 = fit().map(|(capacity, _)| capacity).sum();
            let room = |(capacity, node): &(f64, Fitness)| {
                capacity * node.factors.product() * (FULL - node.pressure).max(0.0).powf(1.5)
            };
            // With less than a hundredth of its capacity left a site counts as full.
            if fit().map(room).sum::<f64>() <= 0.0101 * capacity {
                return;
            }
            for node in decision.nodes {
                assert!(of(node).1.pressure < FULL, "{:?} is full", fleet.node(*node).node.name);
            }
        });
    });
}

#[test]
fn more_load_on_a_node_never_brings_it_more_clients() {
    let more = (any_world(), any::<Index>(), 0.001..1.5_f64);
    check(CASES, &more, |(mut world, node, more)| {
        let at = node.index(world.nodes.len());
        (world.seconds, world.policy) = (1, Policy::Planner);
        world.wishes.clear();
        let AnyLoad::Fresh(pressure) = world.nodes[at].days[0].load else { return };
        let tables = |world: &World| {
            let fleet = world.fleet();
            let tables = world.tick(&mut Controller::default(), &fleet, 0);
            (fleet, tables)
        };
        let (fleet, before) = tables(&world);
        world.nodes[at].days[0].load = AnyLoad::Fresh(pressure + more);
        let (_, after) = tables(&world);
        let id = fleet.find_node(&World::node_name(at)).unwrap();
        // A node that was near full and fails its probe is full, and no longer down.
        let standings = |tables: &Tables| FAMILIES.map(|family| tables.fitness(PoolId(0), family, id).standing);
        if standings(&before) != standings(&after) {
            return;
        }
        let Some(site) = fleet.pool(PoolId(0)).sites.iter().position(|site| site.nodes.contains(&id)) else { return };
        for family in FAMILIES {
            let (old, new) = (before.pools[0].of(family), after.pools[0].of(family));
            for region in (0..world.regions.len() as u16).map(RegionId) {
                let (was, is) = (old.share(region, site as u16), new.share(region, site as u16));
                assert!(is <= was + 1e-6, "the site's share of {region:?} grew from {was} to {is}");
            }
            // When a site is full, all its nodes are filled further, which is another scale.
            if old.sites[site].limit != new.sites[site].limit {
                continue;
            }
            let firsts = |tables: &thalweg::steer::FamilyTables| {
                let menu = tables.sites[site].menu.as_ref();
                menu.and_then(|menu| menu.first_shares().find(|(node, _)| *node == id)).map_or(0.0, |(_, share)| share)
            };
            assert!(firsts(new) <= firsts(old) + 1.0 / 1024.0, "{} to {}", firsts(old), firsts(new));
        }
    });
}

#[test]
fn pinned_regions_go_to_their_place_while_anybody_is_fit_there_and_drained_nodes_get_nobody() {
    let inputs = (any_world(), any::<usize>(), any::<usize>(), any::<usize>());
    check(CASES, &inputs, |(mut world, region, place, node)| {
        world.policy = Policy::Planner;
        // Two pins of one region would contradict each other, and what is frozen takes no wish.
        world.wishes.retain(|wish| !matches!(wish, AnyWish::Pin(..) | AnyWish::Freeze));
        world.wishes.extend([AnyWish::Pin(region, place), AnyWish::Drain(node)]);
        let pinned = RegionId((region % world.regions.len()) as u16);
        let drained = node % world.nodes.len();
        let fleet = world.fleet();
        // A plan goes there at once only when it is made; else little by little.
        let tables = world.tick(&mut Controller::default(), &fleet, 0);
        world.for_each_pick(&fleet, &tables, |region, family, _, decision| {
            let fit = eligible(&world, &fleet, &tables, region, family);
            let is_there = |index: &usize| world.nodes[*index].place == place % 5;
            assert!(!fit.contains(&drained));
            let named: Vec<usize> = decision.nodes.iter().map(|node| index_of(&fleet, *node)).collect();
            if region == pinned && fit.iter().any(is_there) {
                assert!(!named.is_empty() && named.iter().all(is_there), "{named:?}");
            }
        });
    });
}

#[test]
fn a_frozen_plan_leaves_out_what_fails_and_keeps_the_rest() {
    check(CASES, &any_world(), |mut world| {
        (world.policy, world.seconds) = (Policy::Planner, 1);
        world.wishes = vec![AnyWish::Freeze];
        let fleet = world.fleet();
        let mut controller = Controller::default();
        let before = world.tick(&mut controller, &fleet, 0);
        for node in &mut world.nodes {
            let day = node.days[node.days.len().min(2) - 1];
            let load = if let AnyLoad::Fresh(pressure) = node.days[0].load {
                AnyLoad::Fresh(pressure / 2.0)
            } else {
                day.load
            };
            node.days = vec![node.days[0], AnyDay { load, is_up: node.days[0].is_up && day.is_up, ..node.days[0] }];
        }
        let after = world.tick(&mut controller, &fleet, 1);
        let is_same_fleet = |family| {
            let fit = |tables: &Tables| {
                (0..world.regions.len() as u16)
                    .map(|region| eligible(&world, &fleet, tables, RegionId(region), family))
                    .collect::<Vec<_>>()
            };
            fit(&before) == fit(&after)
        };
        for family in FAMILIES.into_iter().filter(|family| is_same_fleet(*family)) {
            for region in (0..world.regions.len() as u16).map(RegionId) {
                for key in world::light_keys(64) {
                    let [was, is] = [&before, &after].map(|tables| world::ask(&fleet, tables, region, family, &key));
                    if !was.is_heavy && !is.is_heavy {
                        assert_eq!((was.site, was.nodes), (is.site, is.nodes));
                    }
                }
            }
        }
    });
}

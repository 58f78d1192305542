//! Properties of health: what fails in a pool over a family is not named there, and nothing changes elsewhere.

use std::collections::BTreeMap;

use thalweg::load::health::NodeHealth;
use thalweg::pool::{Family, NodeId, PoolId, ServiceId};
use thalweg::steer::{Asker, Controller, Decision, Estimate, Fleet, Standing, Tables, pick};

use super::super::check;
use super::world::{AnyKey, AnyLoad, FAILURES, FAMILIES, World, any_world, index_of};

const CASES: u32 = 600;
/// The part of a place that probes alone may take out.
const WITHDRAWN: f64 = 0.30;
const POOLS: [&str; 2] = ["edge", "whip"];

/// One second of a world whose nodes are in two pools, without orders: these would take out nodes too.
fn tables(world: &World) -> (Fleet, Tables, Vec<NodeHealth>) {
    let order: Vec<usize> = (0..world.nodes.len()).collect();
    let fleet = world.fleet_of_pools(&order, None, &POOLS);
    let tables = world.tick(&mut Controller::default(), &fleet, 0);
    let healths = world.inputs_at(&fleet, 0, 100.0).into_iter().map(|input| input.health).collect();
    (fleet, tables, healths)
}

fn for_each_pick(
    world: &World,
    fleet: &Fleet,
    tables: &Tables,
    pool: PoolId,
    mut see: impl FnMut(thalweg::geo::RegionId, Family, Decision<'_>),
) {
    for region in (0..world.regions.len() as u16).map(thalweg::geo::RegionId) {
        for family in FAMILIES {
            for &AnyKey { hash, viewers, stretched, rhythm, slot } in &world.keys {
                let estimate = Estimate { viewers, stretched, rhythm, ..Estimate::default() };
                let asker = Asker { region, hash, estimate, slot };
                see(region, family, pick(tables, fleet.service(ServiceId(pool.0)), family, &asker));
            }
        }
    }
}

fn pools() -> impl Iterator<Item = PoolId> {
    (0..POOLS.len() as u16).map(PoolId)
}

fn members(fleet: &Fleet, pool: PoolId, family: Family) -> impl Iterator<Item = NodeId> {
    let nodes = fleet.pool(pool).sites.iter().flat_map(|site| &site.nodes).copied();
    nodes.filter(move |node| fleet.node(*node).node.address(family).is_some())
}

#[test]
fn no_answer_of_a_pool_and_family_names_who_is_down_there_while_another_is_fit() {
    check(CASES, &any_world(), |mut world| {
        world.wishes.clear();
        let (fleet, tables, healths) = tables(&world);
        for pool in pools() {
            for_each_pick(&world, &fleet, &tables, pool, |region, family, decision| {
                let is_fit = |node: &NodeId| {
                    let here = tables.fitness(pool, family, *node);
                    here.standing.is_eligible() && here.factors.product() > 0.0
                };
                let may_serve = |node: &NodeId| world.may_serve(index_of(&fleet, *node), region, family);
                if !members(&fleet, pool, family).filter(may_serve).any(|node| is_fit(&node)) {
                    return;
                }
                for node in decision.nodes {
                    let is_up = healths[usize::from(node.0)].at(pool, family).is_up();
                    let kept = matches!(tables.fitness(pool, family, *node).standing, Standing::Held | Standing::Full);
                    assert!(is_fit(node) && (is_up || kept), "{node:?} in {pool:?} over {family}");
                }
            });
        }
    });
}

#[test]
fn nodes_stand_where_their_checks_put_them() {
    check(CASES, &any_world(), |mut world| {
        world.wishes.clear();
        let (fleet, tables, healths) = tables(&world);
        for (pool, family) in pools().flat_map(|pool| FAMILIES.map(|family| (pool, family))) {
            for node in members(&fleet, pool, family) {
                let standing = tables.fitness(pool, family, node).standing;
                let fails = matches!(standing, Standing::Down | Standing::Held | Standing::Full);
                assert_eq!(fails, !healths[usize::from(node.0)].at(pool, family).is_up(), "{node:?} {standing:?}");
            }
        }
    });
}

#[test]
fn what_fails_in_one_pool_changes_no_answer_of_another() {
    let of_pool =
        |pool| FAILURES.iter().enumerate().filter(move |(_, (of, _))| *of == pool).map(|(bit, _)| 1_u8 << bit);
    let elsewhere: u8 = of_pool(Some(PoolId(1))).sum();
    check(CASES, &any_world(), |mut world| {
        // A node that fails everywhere counts no longer among those whose load should be known, which is a matter of all.
        for day in world.nodes.iter_mut().flat_map(|node| &mut node.days) {
            let fails_here = !day.is_up || day.fails & !elsewhere != 0;
            day.fails &= if fails_here { !elsewhere } else { elsewhere };
        }
        let (fleet, with, _) = tables(&world);
        for day in world.nodes.iter_mut().flat_map(|node| &mut node.days) {
            day.fails &= !elsewhere;
        }
        let (_, without, _) = tables(&world);
        let answers = |tables: &Tables| {
            let mut answers = Vec::new();
            for_each_pick(&world, &fleet, tables, PoolId(0), |_, _, decision| {
                answers.push((decision.nodes.to_vec(), decision.ttl, decision.site));
            });
            answers
        };
        assert_eq!(answers(&with), answers(&without));
    });
}

#[test]
fn probes_alone_take_out_one_node_or_three_tenths_of_a_place_and_of_a_pool() {
    check(CASES, &any_world(), |mut world| {
        world.wishes.clear();
        let (fleet, tables, healths) = tables(&world);
        for (pool, family) in pools().flat_map(|pool| FAMILIES.map(|family| (pool, family))) {
            // Who is out of memory gets nobody anyhow.
            let serves = |node: &NodeId| {
                let day = world.nodes[index_of(&fleet, *node)].days[0];
                day.gate > 0.0 || day.load == AnyLoad::Never
            };
            let is_down = |node: &&NodeId| tables.fitness(pool, family, **node).standing == Standing::Down;
            let by_own = |node: &&NodeId| !healths[usize::from(node.0)].own(family).is_up();
            let is_bounded = |nodes: &[NodeId]| {
                let total = |nodes: &[&NodeId]| -> f64 {
                    nodes.iter().map(|node| tables.nodes[usize::from(node.0)].capacity).sum()
                };
                let down: Vec<_> = nodes.iter().filter(is_down).collect();
                let most = WITHDRAWN * total(&nodes.iter().collect::<Vec<_>>());
                down.len() <= 1 || total(&down) <= most * (1.0 + 1e-9)
            };
            let mut places: BTreeMap<u16, Vec<NodeId>> = BTreeMap::new();
            let members: Vec<NodeId> = members(&fleet, pool, family).filter(serves).collect();
            for node in &members {
                places.entry(fleet.node(*node).place.0).or_default().push(*node);
            }
            for nodes in places.values() {
                // Those of other pools at the place count for failures of nodes; what a pool adds is bounded by its own.
                let adds = nodes.iter().filter(is_down).any(|node| !by_own(&node));
                assert!(!adds || is_bounded(nodes), "{nodes:?}");
            }
            assert!(is_bounded(&members), "{members:?}");
        }
    });
}

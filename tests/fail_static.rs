//! Answers while no new tables can be made: nodes that die meanwhile are passed over, and nothing else changes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use support::installation::{Installation, Load, Use, inputs, snapshot};
use thalweg::feed::inputs::Inputs;
use thalweg::geo::RegionId;
use thalweg::load::health::{NodeHealth, State};
use thalweg::pool::{Family, NodeId};
use thalweg::snapshot::Snapshot;
use thalweg::steer::{Asker, Estimate, Standing, Tables, mix, pick};

mod support;

const ZONE: &str = "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";
/// Keys of each sort.
const KEYS: u64 = 5_000;
const DOWN: State = State::Down { since: 1_001.0 };

/// An installation with these nodes: name and place.
fn installation(nodes: &[(&str, &str)], service: &str) -> Inputs {
    let mut config = format!("[service.\"play.live.example\"]\n{service}\n");
    config.push_str("[place.fra]\nat = [50.1, 8.7]\n[place.lon]\nat = [51.5, -0.1]\n");
    for (index, (name, place)) in nodes.iter().enumerate() {
        let address = Ipv4Addr::new(198, 51, 100, index as u8 + 1);
        config.push_str(&format!("[node.{name}]\nplace = \"{place}\"\naddresses = [\"{address}\"]\n"));
    }
    let installation = Installation::new([("thalweg.toml", config.as_str()), ("zones/live.example.zone", ZONE)]);
    inputs(&installation.config()).unwrap()
}

fn calm(inputs: &Inputs) -> Snapshot {
    snapshot(inputs, |_| Load::Fresh(Use::Pressure(0.3)))
}

fn masked(snapshot: &Snapshot, down: &[u16]) -> Tables {
    snapshot
        .tables
        .masked(&snapshot.fleet, |node| if down.contains(&node.0) { DOWN.into() } else { NodeHealth::default() })
}

/// What light and heavy keys of a German region get.
fn answers(snapshot: &Snapshot, tables: &Tables) -> Vec<Vec<u16>> {
    let region = snapshot.geo.regions().iter().position(|region| region.name == "DE").unwrap();
    let keys = (0..KEYS).flat_map(|key| [(key, 0.0001), (key, 50.0)]);
    let answer = |(key, viewers): (u64, f64)| {
        let estimate = Estimate { viewers, ..Estimate::default() };
        let asker = Asker { region: RegionId(region as u16), hash: mix(key), estimate, slot: key };
        let decision = pick(tables, snapshot.fleet.service(thalweg::pool::ServiceId(0)), Family::V4, &asker);
        decision.nodes.iter().map(|node| node.0).collect()
    };
    keys.map(answer).collect()
}

fn dead(tables: &Tables) -> &[NodeId] {
    &tables.pools[0].of(Family::V4).dead
}

fn named(answers: &[Vec<u16>]) -> BTreeSet<u16> {
    answers.iter().flatten().copied().collect()
}

#[test]
fn without_deaths_nothing_changes() {
    let inputs = installation(&[("a", "fra"), ("b", "fra"), ("c", "lon")], "");
    let snapshot = calm(&inputs);
    assert_eq!(answers(&snapshot, &masked(&snapshot, &[])), answers(&snapshot, &snapshot.tables));
}

#[test]
fn the_dead_are_not_named_and_only_keys_that_named_them_move() {
    for service in ["", "answers = 1", "answers = 2", "answers = 4"] {
        let inputs = installation(&[("a", "fra"), ("b", "fra"), ("c", "fra"), ("d", "fra")], service);
        let snapshot = calm(&inputs);
        let (before, after) = (answers(&snapshot, &snapshot.tables), answers(&snapshot, &masked(&snapshot, &[1])));
        assert_eq!(named(&after), BTreeSet::from([0, 2, 3]), "{service}");
        for (before, after) in before.iter().zip(&after) {
            assert!(!after.is_empty() && (before == after || before.contains(&1)), "{service}: {before:?} {after:?}");
        }
        // What the dead one had is shared by all others; not evenly where heavy keys have few sets.
        let firsts = |node: u16| after.iter().filter(|answer| answer[0] == node).count() as f64 / after.len() as f64;
        for node in [0, 2, 3] {
            assert!((firsts(node) - 1.0 / 3.0).abs() < 0.12, "{service}: {node} is first for {}", firsts(node));
        }
    }
}

#[test]
fn clients_of_a_dead_place_go_to_the_next() {
    let inputs = installation(&[("a", "fra"), ("b", "lon"), ("c", "lon")], "");
    let snapshot = calm(&inputs);
    let after = answers(&snapshot, &masked(&snapshot, &[0]));
    assert_eq!(named(&after), BTreeSet::from([1, 2]));
}

#[test]
fn probes_take_out_no_more_of_a_place_than_a_tick_would_let_them() {
    let inputs = installation(&[("a", "fra"), ("b", "fra"), ("c", "fra")], "");
    let snapshot = calm(&inputs);
    let tables = masked(&snapshot, &[0, 1, 2]);
    assert_eq!(dead(&tables), [NodeId(0)], "one of three may go");
    assert_eq!(named(&answers(&snapshot, &tables)), BTreeSet::from([1, 2]));
}

#[test]
fn who_dies_in_one_pool_or_family_is_passed_over_there_alone_and_as_long_as_it_is_dead() {
    let pools = "pool = \"edge\"\n[service.\"whip.live.example\"]\npool = \"whip\"\n[pool.edge]\n[pool.whip]\n\
                 check = \"tcp:8000\"";
    let inputs = installation(&[("a", "fra"), ("b", "fra"), ("c", "lon")], pools);
    let snapshot = calm(&inputs);
    let whip = snapshot.fleet.uses_of("whip").next().unwrap();
    let mask = |tables: &Tables, fails: bool| {
        tables.masked(&snapshot.fleet, |node| {
            let mut health = NodeHealth::default();
            if fails && node == NodeId(0) {
                health.note(Some(&[whip]), None, DOWN);
                health.note(None, Some(Family::V6), DOWN);
            }
            health
        })
    };
    let mut tables = mask(&snapshot.tables, true);
    // As often as a tick fails, the tables of the last one are masked.
    for _ in 0..3 {
        assert_eq!(answers(&snapshot, &tables), answers(&snapshot, &snapshot.tables), "the pool that it does not fail");
        assert_eq!(tables.pools[usize::from(whip.0)].of(Family::V4).dead, [NodeId(0)]);
        assert_eq!(tables.fitness(whip, Family::V4, NodeId(0)).standing, Standing::Down);
        assert_eq!(tables.nodes[0].standing, Standing::Known);
        tables = mask(&tables, true);
    }
    let again = mask(&tables, false);
    assert!(again.pools.iter().all(|pool| pool.of(Family::V4).dead.is_empty()));
    assert_eq!(again.fitness(whip, Family::V4, NodeId(0)).standing, Standing::Known);
}

#[test]
fn a_dead_node_stays_passed_over_however_often_tables_are_masked() {
    let inputs = installation(&[("a", "fra"), ("b", "fra"), ("c", "fra"), ("d", "fra")], "");
    let snapshot = calm(&inputs);
    let mut tables = masked(&snapshot, &[1]);
    for _ in 0..3 {
        assert_eq!((dead(&tables), named(&answers(&snapshot, &tables))), (&[NodeId(1)][..], BTreeSet::from([0, 2, 3])));
        tables = tables.masked(&snapshot.fleet, |node| if node.0 == 1 { DOWN.into() } else { NodeHealth::default() });
    }
}

#[test]
fn a_node_that_was_full_is_rather_full_than_dead() {
    let inputs = installation(&[("a", "fra"), ("b", "fra")], "");
    let snapshot = snapshot(&inputs, |node| Load::Fresh(Use::Pressure(if node == "a" { 0.99 } else { 0.3 })));
    assert!(dead(&masked(&snapshot, &[0])).is_empty());
}

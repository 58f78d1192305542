//! What the model world promises: Little's law, one workload for all, the same run from the same seed, errors that help.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::dice::Dice;
use super::peers::PEERS;
use super::policy::{Answer, Fleet, Policy, Query, Sample};
use super::resolvers::START_MS;
use super::scenario::{Attack, Ending, Event, Scenario, Through, read};
use super::world::World;
use super::{Outcome, is_policy, policy, run, scenario_source, variants, world_source};
use crate::diagnostic::Source;

fn play(name: &str) -> (World, Scenario) {
    read(&world_source(), &scenario_source(name).unwrap()).unwrap()
}

/// The same in a tenth of the time, for tests of what does not depend on numbers.
fn short(name: &str) -> (World, Scenario) {
    let (mut world, mut scenario) = play(name);
    (world.population, world.warm_up, scenario.length) = (6000.0, 300, 900);
    scenario.flashes.iter_mut().for_each(|flash| flash.viewers /= 10.0);
    (world, scenario)
}

fn outcome((world, scenario): &(World, Scenario), name: &str, seed: u64) -> Outcome {
    run(world, scenario, seed, policy(name, &Fleet::new(world)).unwrap().as_mut(), 0)
}

#[test]
fn viewers_are_as_many_as_littles_law_says() {
    let play = play("S8");
    let mean = (1..=3).map(|seed| outcome(&play, "geo-weighted", seed).figures.population).sum::<f64>() / 3.0;
    assert!((mean / 75_000.0 - 1.0).abs() < 0.005, "{mean}");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_does_not() {
    let play = short("S4");
    let one = outcome(&play, "p2c", 101);
    assert_eq!(one, outcome(&play, "p2c", 101));
    assert_ne!(one.figures.rtt_ms, outcome(&play, "p2c", 102).figures.rtt_ms);
}

#[test]
fn all_policies_meet_the_same_viewers() {
    let play = short("S2");
    let first = outcome(&play, PEERS[0], 101).workload;
    for name in PEERS {
        assert_eq!(outcome(&play, name, 101).workload, first, "{name}");
    }
}

#[test]
fn no_prediction_error_where_nothing_is_predicted() {
    assert!(outcome(&short("S1"), "rr", 1).figures.prediction_error.is_none());
}

#[test]
fn viewers_who_do_not_come_through_us_ask_nobody() {
    let mut play = short("S1");
    let all = outcome(&play, "geo-rr", 101);
    play.1.through = vec![Through { from: -300.0, share: 0.0 }];
    let none = outcome(&play, "geo-rr", 101);
    assert!(all.figures.qps > 1.0 && none.figures.qps == 0.0);
    assert_eq!(all.workload, none.workload);
    assert!((none.figures.population / all.figures.population - 1.0).abs() < 0.001);
}

#[test]
fn sessions_end_with_their_channels() {
    let mut play = short("S1");
    let calm = outcome(&play, "geo-weighted", 101).figures.population;
    play.1.endings = vec![Ending { at: 1, share: 0.5 }];
    let halved = outcome(&play, "geo-weighted", 101).figures.population;
    assert!((0.5..0.7).contains(&(halved / calm)), "{halved} of {calm}");
}

#[test]
fn dead_nodes_serve_nobody_and_drained_ones_empty() {
    let figures = outcome(&short("S4"), "geo-rr", 101).figures;
    assert!(figures.failed_percent > 0.0 && figures.failed_percent < 1.0, "{figures:?}");
    let mut drain = play("S8");
    drain.1.length = 900;
    let figures = outcome(&drain, "geo-rr", 101).figures;
    assert!(figures.last_leak > 600 && figures.leak_percent > 0.0 && figures.leak_percent < 5.0, "{figures:?}");
}

/// A policy that counts the hostile queries that it sees, and of whom they seem to come.
struct Besieged {
    policy: Box<dyn Policy>,
    clients: BTreeSet<(Ipv4Addr, Option<Ipv4Addr>)>,
    hostile: usize,
    seconds: BTreeSet<u64>,
}

impl Policy for Besieged {
    fn answer(&mut self, query: &Query, dice: &mut Dice) -> Answer {
        // Nobody watches behind these.
        if query.hidden_rate == 0.0 {
            self.hostile += 1;
            self.clients.insert((query.source, query.subnet));
            self.seconds.insert((query.at_ms - START_MS) / 1000);
        }
        self.policy.answer(query, dice)
    }

    fn scraped(&mut self, nameserver: usize, node: usize, at_ms: u64, window: f64, sample: &Sample) {
        self.policy.scraped(nameserver, node, at_ms, window, sample);
    }

    fn probed(&mut self, nameserver: usize, node: usize, at_ms: u64, is_up: bool) {
        self.policy.probed(nameserver, node, at_ms, is_up);
    }

    fn drained(&mut self, node: usize, at_ms: u64, is_drained: bool) {
        self.policy.drained(node, at_ms, is_drained);
    }
}

#[test]
fn hostile_queries_are_asked_in_their_pulses_and_bring_no_viewers() {
    let calm = outcome(&short("S1"), "geo-weighted", 101).figures;
    for (sources, of_resolvers, is_random) in
        [("spoofed", false, true), ("resolvers", true, false), ("subnets", true, true)]
    {
        let (world, mut scenario) = short("S1");
        let attack = format!(
            r#"attack = [{{ from = 0, until = 900, queries = 100, sources = "{sources}", pulse = 10, pulse_every = 60 }}]"#
        );
        scenario.attacks = toml::from_str::<Attacks>(&attack).unwrap().attack;
        let fleet = Fleet::new(&world);
        let mut besieged = Besieged {
            policy: policy("geo-weighted", &fleet).unwrap(),
            clients: BTreeSet::new(),
            hostile: 0,
            seconds: BTreeSet::new(),
        };
        let flooded = run(&world, &scenario, 101, &mut besieged, 0).figures;
        let Besieged { clients, hostile, seconds, .. } = besieged;
        assert_eq!(hostile, 15 * 10 * 100, "{sources}");
        assert!(seconds.len() == 150 && seconds.iter().all(|second| (second - 300) % 60 < 10), "{sources}");
        let sources_seen: BTreeSet<Ipv4Addr> = clients.iter().map(|(source, _)| *source).collect();
        assert_eq!(sources_seen.len() <= 100, of_resolvers, "{sources}: {}", sources_seen.len());
        assert_eq!(clients.len() > 10_000, is_random, "{sources}: {}", clients.len());
        assert!((flooded.population / calm.population - 1.0).abs() < 0.001);
    }
}

#[derive(serde::Deserialize)]
struct Attacks {
    attack: Vec<Attack>,
}

#[test]
fn a_node_that_gets_nobody_is_told_as_shunned() {
    let mut play = short("S1");
    play.0.population = 60_000.0;
    let fair = outcome(&play, "geo-weighted", 101).details.least_node.unwrap();
    play.1.events =
        toml::from_str::<Events>("event = [{ nodes = [3], what = 'drained', from = 0, until = 900 }]").unwrap().event;
    let shunned = outcome(&play, "geo-weighted", 101).details.least_node.unwrap();
    assert!(fair > 0.5 && shunned < 0.2, "{fair} {shunned}");
}

#[derive(serde::Deserialize)]
struct Events {
    event: Vec<Event>,
}

#[test]
fn the_planner_can_be_played_with_other_constants() {
    let names = variants(0.5);
    assert_eq!(names.len(), 68);
    assert!(names.iter().all(|name| is_policy(name)) && is_policy("planner:ahead=30:back=0.1"), "{names:?}");
    for wrong in
        ["planner:", "planner:ahead", "planner:ahea=30", "planner:ahead=0", "planner:ahead=x", "plannerahead=3"]
    {
        assert!(!is_policy(wrong), "{wrong}");
    }
    let play = short("S2");
    let usual = outcome(&play, "planner", 101);
    assert_eq!(usual, outcome(&play, "planner:ahead=22", 101));
    assert_ne!(usual.figures, outcome(&play, "planner:exponent=3", 101).figures);
}

#[test]
fn wrong_files_are_told_with_place_and_key() {
    let wrong = |text: &str| {
        let found = read(&world_source(), &Source::new("own.toml", text)).unwrap_err();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let says = |text: &str, words: &[&str]| {
        let said = wrong(text);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    says("title = 'a'\nlenght = 3", &["own.toml:2:1", "lenght", "length"]);
    says("title = 'a'\nlength = 10\n[world.resolvers]\nzipff = 1", &["own.toml", "zipff"]);
    says(
        "title = 'a'\nlength = 0\n[[event]]\nnodes = [30]\nwhat = 'dead'\nfrom = 2\nuntil = 2",
        &["length", "30", "before"],
    );
    says(
        "title = 'a'\nlength = 9\n[[event]]\nnodes = [3]\nwhat = 'ill'\nfrom = 2\nuntil = 2",
        &["own.toml:5", "ill", "silent"],
    );
    says("title = 'a'\nlength = 9\n[[growth]]\nregion = 'eu'\nfactor = 2\nfrom = 1\nuntil = 2", &["no region eu"]);
}

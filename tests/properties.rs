//! Properties: of whatever bytes come, and of whatever load there is.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::{Strategy, any};
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use support::bodies;
use support::query::Query;
use thalweg::geo::Prefix;
use thalweg::wire::RecordType;

// Beside this file they would be tests of their own.
#[path = "properties/steering.rs"]
mod steering;
mod support;
#[path = "properties/together.rs"]
mod together;

/// Cases of cheap properties: together about five seconds.
const MANY: u32 = 20_000;

/// `TIMES=100` checks with so many times as many inputs, `PROPTEST_RNG_SEED=2` with certain ones.
fn check<S: Strategy>(cases: u32, inputs: &S, property: impl Fn(S::Value)) {
    let times = std::env::var("TIMES").map_or(1, |times| times.parse::<u32>().unwrap());
    // What was found once becomes a test of its own, so nothing is kept beside the sources.
    let config = Config { cases: cases * times, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(inputs, |input| {
        property(input);
        Ok(())
    });
    assert!(checked.is_ok(), "{}", checked.unwrap_err());
}

/// The seeds of a fuzz target.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut seeds: Vec<_> = entries.map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect();
    seeds.sort();
    assert!(seeds.len() >= 10);
    seeds
}

/// Seeds with pieces taken out, put in and moved.
fn mutated(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<Index>(), 0..4_usize, any::<Index>(), any::<Index>(), 0..12_usize, any::<Vec<u8>>());
    let edits = proptest::collection::vec(edit, 0..6);
    (any::<Index>(), edits).prop_map(move |(seed, edits)| {
        let mut octets = seeds[seed.index(seeds.len())].clone();
        for (at, taken, donor, from, moved, mut put) in edits {
            let donor = &seeds[donor.index(seeds.len())];
            let from = from.index(donor.len());
            put.truncate(3);
            put.extend(&donor[from..(from + moved).min(donor.len())]);
            let at = at.index(octets.len() + 1);
            octets.splice(at..(at + taken).min(octets.len()), put);
        }
        octets
    })
}

fn check_target(target: &str, body: fn(&[u8])) {
    let seeds = corpus(target);
    for (name, seed) in &seeds {
        let outcome = std::panic::catch_unwind(|| body(seed));
        assert!(outcome.is_ok(), "{name}");
    }
    check(MANY, &mutated(seeds.into_iter().map(|(_, seed)| seed).collect()), |octets| body(&octets));
}

#[test]
fn messages_like_those_of_the_corpus_get_sound_replies() {
    check_target("query", bodies::query);
}

#[test]
fn transfers_like_those_of_the_corpus_are_refused_or_written_and_read_again() {
    check_target("transfer", bodies::transfer);
}

#[test]
fn zone_files_like_those_of_the_corpus_are_refused_or_served() {
    check_target("zone", bodies::zone);
}

#[test]
fn expositions_like_those_of_the_corpus_give_a_pressure_or_none() {
    check_target("exposition", bodies::exposition);
}

#[test]
fn configurations_like_those_of_the_corpus_are_refused_or_run() {
    check_target("config", bodies::config);
}

#[test]
fn tables_like_those_of_the_corpus_are_refused_or_used() {
    check_target("tables", bodies::tables);
}

#[test]
fn databases_like_those_of_the_corpus_are_refused_or_place_everybody() {
    check_target("database", bodies::database);
}

#[test]
fn messages_of_any_octets_get_sound_replies() {
    check(MANY, &proptest::collection::vec(any::<u8>(), 0..600), |octets| bodies::query(&octets));
    // With a header as queries have it, so that more of it is read.
    let tail = proptest::collection::vec(any::<u8>(), 0..80);
    check(MANY, &(tail, 0..3_u8), |(tail, additional)| {
        bodies::query(&[&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, additional], &tail[..]].concat());
    });
}

#[test]
fn well_formed_queries_get_sound_replies() {
    let label = proptest::sample::select(vec![
        "play",
        "room",
        "a",
        "*",
        "www",
        "customers",
        "studio",
        "ns1",
        "mail",
        "_domainkey",
        "_sip",
        "_tcp",
        "PLAY",
        "example",
    ]);
    let name = proptest::collection::vec(label, 0..4).prop_map(|labels| labels.join(".") + "." + "live.example.");
    let qtype =
        proptest::sample::select(vec![1_u16, 2, 5, 6, 12, 15, 16, 28, 33, 43, 46, 99, 251, 252, 255, 257, 65280]);
    let subnet = proptest::option::of((any::<IpAddr>(), 0..=128_u8));
    let inputs = (name, qtype, subnet, any::<u16>(), any::<bool>());
    check(MANY, &inputs, |(name, qtype, subnet, payload, has_edns)| {
        let mut query = Query::new(name.trim_start_matches('.'), RecordType(qtype));
        if has_edns {
            query.edns().payload = payload;
        }
        if let Some((address, length)) = subnet {
            query = query.with_subnet(Prefix::of(address, length));
        }
        bodies::query(&query.message());
    });
}

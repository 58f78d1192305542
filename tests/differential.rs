//! The same random zones served by NSD, Knot DNS, BIND and by us: what most of them answer is what we answer.
//!
//! `SEED=123 ZONES=60 QUERIES=20000 cargo nextest run --test differential --no-capture` is a long run, and shows how
//! often each known difference was met (`tests/differential/rules.rs` lists them). Without `SEED` there are two short
//! runs: one always the same, one of today. What is wrong is shrunk to a case file, as `tests/answers/` has them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use contest::Contest;
use queries::{Question, question};
use random::Random;
use servers::Servers;
use shrink::Disagreement;
use support::reply::Reply;
use zones::Zone;

#[path = "differential/contest.rs"]
mod contest;
#[path = "differential/data.rs"]
mod data;
#[path = "differential/exchange.rs"]
mod exchange;
#[path = "differential/families.rs"]
mod families;
#[path = "differential/judge.rs"]
mod judge;
#[path = "differential/peers.rs"]
mod peers;
#[path = "differential/queries.rs"]
mod queries;
#[path = "differential/random.rs"]
mod random;
#[path = "differential/reading.rs"]
mod reading;
#[path = "differential/rules.rs"]
mod rules;
#[path = "differential/servers.rs"]
mod servers;
#[path = "differential/shrink.rs"]
mod shrink;
mod support;
#[path = "differential/zones.rs"]
mod zones;

/// The seed of the run that is always the same.
const SEED: u64 = 1;
/// Of a short run.
const ZONES: usize = 20;
const QUERIES: usize = 4_000;
/// So many disagreements of a run are shrunk; more of them are mostly the same ones.
const MAX_SHRUNK: usize = 2;
/// Of a hundred questions so many may leave the peers without a majority, or the run shows nothing.
const MAX_UNDECIDED: usize = 1;

#[test]
fn most_of_nsd_knot_and_bind_answer_as_we_do() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let days = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let seeds = number("SEED").map_or_else(|| vec![SEED, days], |seed| vec![seed]);
    let zones = number("ZONES").map_or(ZONES, |zones| zones as usize);
    let queries = number("QUERIES").map_or(QUERIES, |queries| queries as usize);
    let problems: Vec<String> = seeds.into_iter().flat_map(|seed| run(seed, zones, queries)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// Makes zones and questions of a seed, has them answered, and says what is wrong.
fn run(seed: u64, zones: usize, queries: usize) -> Vec<String> {
    let again =
        format!("SEED={seed} ZONES={zones} QUERIES={queries} cargo nextest run --test differential --no-capture");
    println!("== {again}");
    let start = Instant::now();
    let mut random = Random::new(seed);
    let mut all: Vec<Zone> = Vec::new();
    for family in 0.. {
        if all.len() >= zones {
            break;
        }
        all.extend(families::family(&mut random, family, zones - all.len()));
    }
    let mut problems = Vec::new();
    let servers = start_servers(&mut all, &mut problems);
    let questions: Vec<Question> = (0..queries).map(|_| question(&mut random, &all)).collect();
    let Contest { right, undecided, wrong, uses } = Contest::run(&servers, &all, &questions);
    println!(
        "{} zones, {queries} questions: {right} right, {} wrong, {} without a majority, in {:.1} s",
        all.len(),
        wrong.len(),
        undecided.len(),
        start.elapsed().as_secs_f64()
    );
    for &index in undecided.iter().take(MAX_SHRUNK) {
        println!("without a majority:\n{}", shown(&servers, &questions[index]));
    }
    for (rule, count) in &uses {
        println!("{count:6} × {rule:?}: {}", rule.because());
    }
    drop(servers);
    assert_eq!(right + wrong.len() + undecided.len(), queries, "a question without a verdict");
    if undecided.len() * 100 > queries * MAX_UNDECIDED {
        problems.push(format!("{} of {queries} questions have no majority; again: {again}", undecided.len()));
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential");
    for (number, (index, why)) in wrong.iter().take(MAX_SHRUNK).enumerate() {
        let (path, text) = Disagreement::shrunk(&all, &questions[*index], why).write(&directory, seed, number);
        problems.push(format!("{}: one of {} disagreements\n{text}\nagain: {again}", path.display(), wrong.len()));
    }
    problems
}

/// What each of the servers answers, ours first.
fn shown(servers: &Servers, question: &Question) -> String {
    let replies = servers.ask(std::slice::from_ref(question)).into_iter().map(|mut replies| replies.remove(0));
    let lines = |reply: Option<Vec<u8>>| match reply {
        Some(reply) => Reply::read(&reply).map_or_else(|error| error, |reply| reply.lines.join("\n")),
        None => "silence".to_owned(),
    };
    replies.map(lines).collect::<Vec<_>>().join("\n--\n")
}

/// Starts the servers on the zones that all of them load; one that only we refuse is a problem.
fn start_servers(zones: &mut Vec<Zone>, problems: &mut Vec<String>) -> Servers {
    loop {
        let refused = match Servers::start(zones) {
            Ok(servers) => return servers,
            Err(refused) => refused,
        };
        for (index, problem) in &refused.by_us {
            if !refused.by_peers.contains(index) {
                problems.push(format!("we alone refuse {}: {problem}", zones[*index].title()));
            }
        }
        for index in &refused.by_peers {
            println!("left out, because a peer refuses it: {}", zones[*index].title());
        }
        let is_refused =
            |index| refused.by_peers.contains(&index) || refused.by_us.iter().any(|(each, _)| *each == index);
        let mut index = 0;
        zones.retain(|_| {
            index += 1;
            !is_refused(index - 1)
        });
        assert!(!zones.is_empty(), "no zone is loaded by everybody");
    }
}

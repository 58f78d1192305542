//! Instructions that the engine takes for a query of each kind, as callgrind counts them: the same on a busy machine and a slow one.
//!
//! `benches/guard` builds it as the figures in `instructions/` were built, one file an architecture, and checks those of this one;
//! `UPDATE_COSTS=1 benches/guard` records these anew. Plain `cargo bench --bench instructions` shows the figures of that build.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use thalweg::serve::BATCH;
use thalweg::snapshot::Snapshot;
use worker::Worker;
use world::{Asked, Kind, queries, snapshot};

// Beside this file they would be benchmarks of their own.
#[path = "engine/worker.rs"]
mod worker;
#[path = "engine/world.rs"]
mod world;

const HOSTS: usize = 1_000;
/// Queries of a round: whole batches.
const QUERIES: usize = 4_000;
/// The first rounds make keys and accounts; the last one counts.
const ROUNDS: usize = 3;
/// By how much a figure may differ from the recorded one; and with other tools.
const BOUND: f64 = 0.05;
const BOUND_OF_OTHERS: f64 = 0.15;
/// What the figures depend on beside the source, and the commands that tell its version: the compiler makes the instructions, the
/// C library has those that copy and compare, and callgrind tells the program what the processor can.
const TOOLS: [(&str, [&str; 2]); 3] = [
    ("compiler", ["rustc", "--version"]),
    ("library", ["getconf", "GNU_LIBC_VERSION"]),
    ("counter", ["valgrind", "--version"]),
];

const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions");
const RECORD: &str = "`UPDATE_COSTS=1 benches/guard` records what is so on purpose";
/// The argument by which this program knows that callgrind runs it.
const COUNTED: &str = "counted";

fn main() -> ExitCode {
    let has = |word: &str| std::env::args().any(|argument| argument == word);
    if has(COUNTED) {
        work();
        return ExitCode::SUCCESS;
    }
    let (found, tools) = (counts(), tools());
    let record = Path::new(RECORDS).join(ARCH).with_extension("txt");
    // Only the guard, which knows how it has built this, says so.
    if has("--record") {
        fs::write(&record, text(&found, &tools)).unwrap();
    }
    let recorded = match fs::read_to_string(&record) {
        Ok(recorded) => Some(recorded),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{}: {error}", record.display()),
    };
    match check(&found, &tools, recorded.as_deref()) {
        0 => ExitCode::SUCCESS,
        count => {
            eprintln!("{count} of {} kinds differ too much; {RECORD}", Kind::ALL.len());
            if has("--check") { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
    }
}

/// What callgrind runs: rounds of each kind, each of which leaves a file.
fn work() {
    let snapshot = snapshot(HOSTS);
    let mut worker = Worker::new(BATCH as u64);
    for (kind, word) in Kind::ALL {
        let asked = queries(kind, HOSTS, QUERIES);
        let before = worker.replies_to(kind);
        for _ in 0..ROUNDS {
            measured(&mut worker, &snapshot, &asked);
            worker.settle();
        }
        let replies = worker.replies_to(kind) - before;
        assert_eq!(replies, (QUERIES * ROUNDS) as u64, "{word}: not all were answered as they should be");
    }
}

/// Callgrind counts what happens in here, and finds it by its name.
#[inline(never)]
fn measured(worker: &mut Worker, snapshot: &Snapshot, asked: &[Asked]) {
    for batch in asked.chunks(BATCH) {
        worker.answer(snapshot, batch.iter().map(Asked::parts));
    }
}

/// Instructions a query of each kind.
fn counts() -> Vec<f64> {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("round");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*::measured", "--dump-after=*::measured", "--combine-dumps=no"])
        .arg(format!("--callgrind-out-file={}", files.display()))
        .arg(std::env::current_exe().unwrap())
        .arg(COUNTED)
        .stdin(Stdio::null())
        .output()
        .expect("valgrind is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let of_round = |round: usize| totals(&directory.path().join(format!("round.{round}"))) / QUERIES as f64;
    (1..=Kind::ALL.len()).map(|kind| of_round(kind * ROUNDS)).collect()
}

/// Instructions in a file of callgrind.
fn totals(file: &Path) -> f64 {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).expect("callgrind writes totals");
    total.trim().parse().unwrap()
}

/// Each tool and its version.
fn tools() -> Vec<(&'static str, String)> {
    let version = |(tool, [program, argument]): (&'static str, [&str; 2])| {
        // What cannot be told is another version than all others.
        let output = Command::new(program).arg(argument).output();
        let told = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
        let told = told.map_or("unknown".to_owned(), |told| String::from_utf8_lossy(&told).trim().to_owned());
        (tool, told)
    };
    TOOLS.map(version).into()
}

fn text(found: &[f64], tools: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (tool, version) in tools {
        writeln!(text, "{tool} {version}").unwrap();
    }
    for ((_, word), count) in Kind::ALL.iter().zip(found) {
        writeln!(text, "{word} {count:.0}").unwrap();
    }
    text
}

/// Shows what was found beside what is recorded; says how many figures differ too much.
fn check(found: &[f64], tools: &[(&str, String)], recorded: Option<&str>) -> usize {
    let of_kinds = || Kind::ALL.iter().map(|(_, word)| word).zip(found);
    let Some(recorded) = recorded else {
        of_kinds().for_each(|(word, count)| println!("{word:10} {count:6.0} instructions a query"));
        println!("not judged: nothing is recorded for {ARCH}; `UPDATE_COSTS=1 benches/guard` records these figures");
        return 0;
    };
    let recorded: BTreeMap<&str, &str> = recorded.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut bound = BOUND;
    for (tool, version) in tools {
        let before = recorded.get(tool).copied().unwrap_or("unknown");
        if before == "unknown" || before != version {
            bound = BOUND_OF_OTHERS;
            println!("recorded with the {tool} {before}, this is {version}: {:.0} % may differ", bound * 100.0);
        }
    }
    let mut failures = 0;
    for (word, count) in of_kinds() {
        // What is not recorded is like nothing.
        let expected: f64 = recorded.get(word).map_or(0.0, |text| text.parse().unwrap());
        let change = count / expected - 1.0;
        let verdict = match change {
            _ if change.abs() <= bound => "",
            _ if change < 0.0 => ": fewer than recorded, so let the better figure be recorded",
            _ => ": MORE than recorded",
        };
        failures += usize::from(!verdict.is_empty());
        println!("{word:10} {count:6.0} instructions a query, {:+.1} %{verdict}", change * 100.0);
    }
    failures
}

//! Instructions that the engine takes for a query of each kind, as callgrind counts them: the same on a busy machine and a slow one.
//!
//! `benches/guard` builds it as the figures in `instructions.txt` were built, and checks them; `UPDATE=1 benches/guard` records
//! them anew. Plain `cargo bench --bench instructions` shows the figures of that build.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
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
/// By how much a figure may differ from the recorded one; and with another compiler, which makes other instructions of it.
const BOUND: f64 = 0.05;
const BOUND_OF_OTHERS: f64 = 0.15;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
const RECORD: &str = "`UPDATE=1 benches/guard` records what is so on purpose";
/// The argument by which this program knows that callgrind runs it.
const COUNTED: &str = "counted";

fn main() -> ExitCode {
    let has = |word: &str| std::env::args().any(|argument| argument == word);
    if has(COUNTED) {
        work();
        return ExitCode::SUCCESS;
    }
    let found = counts();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(RECORDED, text(&found)).unwrap();
    }
    match check(&found, &fs::read_to_string(RECORDED).unwrap()) {
        Err(count) if has("--check") => {
            eprintln!("{count} of {} kinds differ too much; {RECORD}", Kind::ALL.len());
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
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

fn text(found: &[f64]) -> String {
    let mut text = format!("compiler {}\nmachine {}\n", compiler(), std::env::consts::ARCH);
    for ((_, word), count) in Kind::ALL.iter().zip(found) {
        writeln!(text, "{word} {count:.0}").unwrap();
    }
    text
}

/// Shows what was found beside what is recorded; says how many figures differ too much.
fn check(found: &[f64], recorded: &str) -> Result<(), usize> {
    let recorded: BTreeMap<&str, &str> = recorded.lines().filter_map(|line| line.split_once(' ')).collect();
    if recorded["machine"] != std::env::consts::ARCH {
        println!("nothing is recorded for {}", std::env::consts::ARCH);
        return Ok(());
    }
    let mut bound = BOUND;
    if recorded["compiler"] != compiler() {
        bound = BOUND_OF_OTHERS;
        println!("recorded with {}, this is {}: {:.0} % may differ", recorded["compiler"], compiler(), bound * 100.0);
    }
    let mut failures = 0;
    for ((_, word), count) in Kind::ALL.iter().zip(found) {
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
    if failures == 0 { Ok(()) } else { Err(failures) }
}

/// The version of the compiler in use.
fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

//! `thalweg simulate`: policies in the model world, compared.

mod areas;
mod picture;
mod report;
mod what_if;

use std::io::IsTerminal;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::{FAILURE, SUCCESS, USAGE, draw};
use crate::diagnostic::{Diagnostic, Source, nearest};
use crate::simulate::scenario::{Scenario, read};
use crate::simulate::world::World;
use crate::simulate::{
    Fleet, Outcome, SCENARIOS, is_policy, policies, policy, run, scenario_source, variants, world_source,
};

/// The first seed if only their number is given: those below were used to tune.
const FIRST_SEED: u64 = 101;
/// Most seeds of one call.
const MAX_SEEDS: u64 = 10_000;
/// The policy whose constants scenarios may vary.
const PLANNER: &str = "planner";
/// Seconds between the pressures of a picture.
const PICTURE_EVERY: u32 = 20;

/// What to simulate, as the command line says.
#[derive(Debug, Default)]
pub struct Wish {
    /// Names of scenarios that are built in.
    pub scenarios: Vec<String>,
    /// Files of further ones.
    pub scenario_files: Vec<PathBuf>,
    /// All that are built in, but for those that want to be named.
    pub all: bool,
    /// Names of policies; all if there is none.
    pub policies: Vec<String>,
    /// How many seeds, or which.
    pub seeds: String,
    /// The file of another world.
    pub world: Option<PathBuf>,
    /// The configuration whose fleet is to be simulated, in place of scenarios.
    pub from: Option<PathBuf>,
    /// The service of it; the first one if none is named.
    pub service: Option<String>,
    /// Crowds that come to it, as `20000@eu/3min`.
    pub flashes: Vec<String>,
    /// Where its viewers are at the start, as `eu=60%,us=40%`.
    pub viewers: Option<String>,
    /// How many these are.
    pub population: Option<f64>,
    /// Hours that are simulated.
    pub hours: Option<f64>,
    /// Tell of all scenarios what only some tell.
    pub details: bool,
    /// Print tables for documents.
    pub is_markdown: bool,
    /// The table of all runs.
    pub out: Option<PathBuf>,
    /// The picture.
    pub plot: Option<PathBuf>,
}

/// One run that was made.
#[derive(Debug)]
struct Run {
    policy: String,
    scenario: usize,
    seed: u64,
    outcome: Outcome,
}

/// A scenario in its world.
#[derive(Debug)]
struct Play {
    name: String,
    world: World,
    scenario: Scenario,
}

/// Simulates, prints what came of it, and returns the exit status.
pub fn simulate(wish: &Wish) -> u8 {
    if let Some(file) = &wish.from {
        return what_if::simulate(file, wish);
    }
    let (plays, names, seeds) = match prepare(wish) {
        Ok(prepared) => prepared,
        Err((status, diagnostics)) => {
            draw(&diagnostics);
            return status;
        }
    };
    let runs = run_all(&plays, &names, &seeds, wish.plot.is_some());
    if wish.is_markdown {
        print!("{}", report::markdown(&plays, &names, &seeds, &runs));
    } else {
        print!("{}", report::tables(&plays, &names, &seeds, &runs));
    }
    print!("{}", report::variants(&plays, &names, &seeds, &runs));
    print!("{}", report::details(&plays, &names, &seeds, &runs, wish.details));
    let csv = wish
        .out
        .as_deref()
        .map(|file| std::fs::write(file, report::csv(&plays, &runs)).map_err(|error| cannot(file, &error)));
    let plot = wish
        .plot
        .as_deref()
        .map(|file| picture::draw(file, &plays, &names, &runs).map_err(|error| cannot(file, &*error)));
    let failures: Vec<Diagnostic> = [csv, plot].into_iter().flatten().filter_map(Result::err).collect();
    draw(&failures);
    if failures.is_empty() { SUCCESS } else { FAILURE }
}

type Prepared = (Vec<Play>, Vec<String>, Vec<u64>);

/// Finds and reads all that is asked for, or says all that is wrong with it.
fn prepare(wish: &Wish) -> Result<Prepared, (u8, Vec<Diagnostic>)> {
    let mut wrong = Vec::new();
    let world = match &wish.world {
        Some(file) => source(file).map_err(|diagnostic| (FAILURE, vec![diagnostic]))?,
        None => world_source(),
    };
    let mut sources = Vec::new();
    if wish.all {
        sources.extend(SCENARIOS.iter().filter_map(|(name, _)| Some((*name, scenario_source(name)?))));
    }
    for name in &wish.scenarios {
        let is_asked_for = |known: &str| known.eq_ignore_ascii_case(name);
        match SCENARIOS.iter().find(|(known, _)| is_asked_for(known)) {
            Some((known, _)) if sources.iter().any(|(listed, _)| listed == known) => {}
            Some((known, _)) => sources.extend(scenario_source(known).map(|source| (*known, source))),
            None => {
                let known: Vec<&str> = SCENARIOS.iter().map(|(known, _)| *known).collect();
                wrong.push(unknown("scenario", name, &known));
            }
        }
    }
    let names = if wish.policies.is_empty() { policies() } else { wish.policies.iter().map(String::as_str).collect() };
    for name in &names {
        if !is_policy(name) {
            wrong.push(unknown("policy", name, &policies()));
        }
    }
    let seeds = seeds(&wish.seeds);
    if seeds.is_empty() {
        wrong.push(wrong_seeds(&wish.seeds));
    }
    if !wrong.is_empty() {
        return Err((USAGE, wrong));
    }
    let mut named: Vec<(String, Source)> =
        sources.into_iter().map(|(name, source)| (name.to_owned(), source)).collect();
    for file in &wish.scenario_files {
        let name = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        match source(file) {
            Ok(source) => named.push((name, source)),
            Err(diagnostic) => wrong.push(diagnostic),
        }
    }
    let mut plays = Vec::new();
    for (name, source) in named {
        match read(&world, &source) {
            Ok((_, scenario)) if scenario.only_by_name && !is_named(wish, &name) => {}
            Ok((world, scenario)) => plays.push(Play { name, world, scenario }),
            Err(diagnostics) => wrong.extend(diagnostics),
        }
    }
    if wrong.is_empty() {
        Ok((plays, names.iter().map(ToString::to_string).collect(), seeds))
    } else {
        Err((FAILURE, wrong))
    }
}

/// Whether a scenario was asked for itself, not with all others.
fn is_named(wish: &Wish, name: &str) -> bool {
    let files = wish.scenario_files.iter().filter_map(|file| file.file_stem());
    wish.scenarios.iter().any(|asked| asked.eq_ignore_ascii_case(name)) || files.into_iter().any(|file| file == name)
}

/// `7` as the seeds from 101 to 107, `101-103` as these.
fn seeds(text: &str) -> Vec<u64> {
    let range = match text.split_once('-') {
        Some((first, last)) => first.trim().parse().ok().zip(last.trim().parse().ok()),
        None => text.trim().parse().ok().and_then(|count: u64| Some((FIRST_SEED, FIRST_SEED.checked_add(count)? - 1))),
    };
    match range {
        Some((first, last)) if first <= last && last - first < MAX_SEEDS => (first..=last).collect(),
        _ => Vec::new(),
    }
}

fn wrong_seeds(text: &str) -> Diagnostic {
    let help = format!("a number from 1 to {MAX_SEEDS}, as 7 for {FIRST_SEED} to {}, or a range", FIRST_SEED + 6);
    Diagnostic::error(format!("seeds cannot be `{text}`")).help(help)
}

/// The planner's variants that a scenario asks for, if the planner plays.
fn variants_of(play: &Play, names: &[String]) -> Vec<String> {
    let varies = play.scenario.varies > 0.0 && names.iter().any(|name| name == PLANNER);
    if varies { variants(play.scenario.varies) } else { Vec::new() }
}

/// Makes all runs, on all cores.
fn run_all(plays: &[Play], names: &[String], seeds: &[u64], with_picture: bool) -> Vec<Run> {
    let mut jobs = Vec::new();
    let variants: Vec<Vec<String>> = plays.iter().map(|play| variants_of(play, names)).collect();
    for (scenario, variants) in variants.iter().enumerate() {
        for name in names.iter().chain(variants) {
            jobs.extend(seeds.iter().map(|seed| (scenario, name, *seed)));
        }
    }
    let progress =
        if std::io::stderr().is_terminal() { ProgressBar::new(jobs.len() as u64) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {eta} left");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(jobs.len())));
    let work = || {
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            let Some((scenario, name, seed)) = jobs.get(job) else { break };
            let Play { world, scenario: events, .. } = &plays[*scenario];
            let Some(mut policy) = policy(name, &Fleet::new(world)) else { continue };
            let every = if with_picture && *seed == seeds[0] { PICTURE_EVERY } else { 0 };
            let outcome = run(world, events, *seed, policy.as_mut(), every);
            let run = Run { policy: (*name).clone(), scenario: *scenario, seed: *seed, outcome };
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((job, run));
            progress.inc(1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(jobs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    progress.finish_and_clear();
    let mut runs = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    runs.sort_by_key(|(job, _)| *job);
    runs.into_iter().map(|(_, run)| run).collect()
}

fn source(file: &Path) -> Result<Source, Diagnostic> {
    let name = file.display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|error| Diagnostic::error(format!("cannot read {name}: {error}")))?;
    Ok(Source::new(name, text))
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Diagnostic {
    let like =
        nearest(name, known.iter().copied()).map(|known| format!("did you mean `{known}`? ")).unwrap_or_default();
    Diagnostic::error(format!("there is no {what} `{name}`")).help(format!("{like}known: {}", known.join(", ")))
}

fn cannot(file: &Path, error: &dyn std::error::Error) -> Diagnostic {
    Diagnostic::error(format!("cannot write {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_or_a_range() {
        assert_eq!(seeds("3"), [101, 102, 103]);
        assert_eq!(seeds("5-6"), [5, 6]);
        for wrong in ["0", "", "x", "3-2", "1-", "-1", "18446744073709551615"] {
            assert!(seeds(wrong).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn all_unknown_names_are_told_with_the_known_ones() {
        let wish = Wish {
            scenarios: vec!["S22".into(), "x3".into()],
            policies: vec!["p2d".into()],
            seeds: "1".into(),
            ..Wish::default()
        };
        let (status, wrong) = prepare(&wish).map(|_| ()).unwrap_err();
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        assert_eq!(status, USAGE);
        assert!(lines.len() == 2 && lines[0].contains("no scenario `S22`") && lines[0].contains("S10"), "{lines:?}");
        assert!(lines[1].contains("did you mean `p2c`?") && lines[1].contains("geo-rr"), "{lines:?}");
    }

    #[test]
    fn runs_are_the_same_on_any_number_of_threads_and_in_order() {
        let wish = Wish {
            scenarios: vec!["S8".into()],
            policies: vec!["p2c".into(), "rr".into()],
            seeds: "101-102".into(),
            ..Wish::default()
        };
        let (mut plays, names, seeds) = prepare(&wish).unwrap();
        (plays[0].world.population, plays[0].world.warm_up, plays[0].scenario.length) = (2000.0, 100, 100);
        let (one, two) = (run_all(&plays, &names, &seeds, false), run_all(&plays, &names, &seeds, false));
        assert_eq!(report::csv(&plays, &one), report::csv(&plays, &two));
        let order: Vec<(&str, u64)> = one.iter().map(|run| (run.policy.as_str(), run.seed)).collect();
        assert_eq!(order, [("p2c", 101), ("p2c", 102), ("rr", 101), ("rr", 102)]);
    }
}

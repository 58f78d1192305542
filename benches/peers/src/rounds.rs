//! The rounds: in each, every contestant is asked every set, one set after the other, so that neighbours can be compared.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::generator::{Load, Outcome};
use crate::samples::{Sample, Samples};
use crate::servers::{Contestant, Running};
use crate::sets::Set;
use crate::streams;
use crate::workspace::{USUAL_NAMES, Workspace};

/// Loss beyond which a measurement says nothing, as a part of all queries.
const MAX_LOSS: f64 = 0.001;
/// A measurement that something else on the machine has disturbed is repeated so often.
const ATTEMPTS: usize = 3;

/// What is measured, and for how long.
pub struct Plan {
    /// Who is compared.
    pub contestants: Vec<Contestant>,
    /// What they are asked.
    pub sets: Vec<Set>,
    /// Names of the zones for the sets that are measured by size.
    pub sizes: Vec<u32>,
    /// How often all is measured.
    pub rounds: usize,
    /// Time before each measurement.
    pub warm_up: Duration,
    /// Time of each measurement.
    pub duration: Duration,
    /// The core that servers run on; not the generator's.
    pub server_core: usize,
}

impl Plan {
    /// Measures all of it, and says on the way what came of each set.
    pub fn run(&self, workspace: &Workspace) -> Result<Samples> {
        let mut samples = Samples::default();
        streams::write_queries(&workspace.file("tcp-queries"), &Set::Tcp.queries(USUAL_NAMES))?;
        for number in 0..self.rounds {
            println!("round {} of {}", number + 1, self.rounds);
            let mut contestants: Vec<_> = self.contestants.iter().collect();
            // Nobody is always the first.
            contestants.rotate_left(number % self.contestants.len());
            let round = Round { plan: self, workspace, number };
            round.side_by_side(&contestants, &mut samples)?;
            round.one_by_one(&contestants, &mut samples)?;
        }
        Ok(samples)
    }

    fn usual_sets(&self) -> impl Iterator<Item = Set> {
        self.sets.iter().copied().filter(|set| !set.is_by_size())
    }

    fn sets_by_size(&self) -> impl Iterator<Item = Set> {
        self.sets.iter().copied().filter(|set| set.is_by_size())
    }

    /// Sizes of all zones that are needed.
    pub fn all_sizes(&self) -> Vec<u32> {
        let mut sizes = vec![USUAL_NAMES];
        if self.sets_by_size().next().is_some() {
            sizes.extend(&self.sizes);
        }
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }
}

struct Round<'r> {
    plan: &'r Plan,
    workspace: &'r Workspace,
    number: usize,
}

impl Round<'_> {
    /// All servers run, and idle unless they are asked: so little time lies between those that are compared.
    fn side_by_side(&self, contestants: &[&Contestant], samples: &mut Samples) -> Result<()> {
        let mut running = Vec::new();
        for &contestant in contestants {
            if self.plan.usual_sets().any(|set| contestant.server.takes(set)) {
                let server = Running::start(contestant, self.workspace, USUAL_NAMES, self.plan.server_core)?;
                running.push((contestant, server));
            }
        }
        for set in self.plan.usual_sets() {
            let mut line = String::new();
            for (contestant, server) in running.iter().filter(|(contestant, _)| contestant.server.takes(set)) {
                let sample = self.measure(contestant, server, set, USUAL_NAMES)?;
                line += &format!("  {} {}", contestant.label, sample.brief());
                samples.push(sample);
            }
            if !line.is_empty() {
                println!("  {}:{line}", set.title());
            }
        }
        Ok(())
    }

    /// Each server alone, with zones of each size: the large ones together need more memory than many a machine has.
    fn one_by_one(&self, contestants: &[&Contestant], samples: &mut Samples) -> Result<()> {
        if self.plan.sets_by_size().next().is_none() {
            return Ok(());
        }
        for &names in &self.plan.sizes {
            for &contestant in contestants {
                let takes = |set: &Set| contestant.server.takes(*set);
                if !self.plan.sets_by_size().any(|set| takes(&set)) {
                    continue;
                }
                let server = Running::start(contestant, self.workspace, names, self.plan.server_core)?;
                let load_time = server.load_time.as_secs_f64();
                let mut line = format!("{} names, {}: loaded in {load_time:.2} s", names, contestant.label);
                for set in self.plan.sets_by_size().filter(takes) {
                    let sample = self.measure(contestant, &server, set, names)?;
                    line += &format!("  {} {}", set.title(), sample.brief());
                    samples.push(sample);
                }
                println!("  {line}");
            }
        }
        Ok(())
    }

    /// Measures until nothing disturbs it. Where a server only idles, the measurement in which it was busiest stays, for its
    /// replies were right, and its memory and its time to load count.
    fn measure(&self, contestant: &Contestant, server: &Running, set: Set, names: u32) -> Result<Sample> {
        let label = &contestant.label;
        let (mut losses, mut busiest) = (Vec::new(), None);
        for _ in 0..ATTEMPTS {
            let outcome = self.ask(contestant, server, set, names);
            let outcome = outcome.with_context(|| format!("{label}, {}, {names} names", set.title()))?;
            let (round, contestant, load_time) = (self.number, label.clone(), server.load_time);
            let sample = Sample { round, contestant, set, names, load_time, outcome };
            if sample.loss() > MAX_LOSS {
                losses.push(format!("{:.2} %", sample.loss() * 100.0));
            } else if !sample.has_idled() {
                return Ok(sample);
            } else if busiest.as_ref().is_none_or(|other: &Sample| other.outcome.busy() < sample.outcome.busy()) {
                busiest = Some(sample);
            }
        }
        let lost = || {
            let (set, losses) = (set.title(), losses.join(", "));
            anyhow!("{label}, {set}, {names} names: lost {losses} of the queries: is the machine busy?")
        };
        busiest.ok_or_else(lost)
    }

    fn ask(&self, contestant: &Contestant, server: &Running, set: Set, names: u32) -> Result<Outcome> {
        let Plan { warm_up, duration, .. } = *self.plan;
        let processes = server.processes()?;
        if set == Set::Tcp {
            return streams::run(contestant, &processes, &self.workspace.file("tcp-queries"), duration);
        }
        Load {
            server: contestant.address(set == Set::SIpv6),
            processes: &processes,
            queries: &set.queries(names),
            geography: &self.workspace.geography,
            truth: contestant.server.truth(),
            warm_up,
            duration,
        }
        .run()
    }
}

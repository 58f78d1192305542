//! The goals, as data, and whether they are reached.

use std::fmt;

use crate::samples::{Key, Sample, Samples};
use crate::servers::Server;
use crate::sets::Set;
use crate::workspace::USUAL_NAMES;

/// What thalweg shall reach.
struct Goal {
    what: &'static str,
    figure: Figure,
    /// The most that the figure may be.
    bound: f64,
}

/// What is compared with a bound.
enum Figure {
    /// Cost by that of another server in the same round.
    Against(Set, Server),
    /// Cost by that of a hit in the same round, on a zone of so many names.
    AgainstHit(Set, u32),
    /// Microseconds of CPU time per answer on a zone of so many names.
    Cost(Set, u32),
    /// Seconds from start to the first answer with so many names.
    LoadTime(u32),
    /// Megabytes of resident memory with so many names.
    Memory(u32),
}

const THOUSAND: u32 = 1_000;
const MILLION: u32 = 1_000_000;

const GOALS: [Goal; 22] = [
    Goal { what: "S against gdnsd", figure: Figure::Against(Set::S, Server::Gdnsd), bound: 0.97 },
    Goal { what: "G of 16 sources against gdnsd", figure: Figure::Against(Set::G16, Server::Gdnsd), bound: 0.92 },
    Goal { what: "G of 4,096 sources against gdnsd", figure: Figure::Against(Set::G4096, Server::Gdnsd), bound: 0.92 },
    Goal { what: "E against gdnsd", figure: Figure::Against(Set::E, Server::Gdnsd), bound: 0.92 },
    Goal { what: "E of 50 addresses against gdnsd", figure: Figure::Against(Set::E50, Server::Gdnsd), bound: 0.75 },
    Goal { what: "S against the limit", figure: Figure::Against(Set::S, Server::Limit), bound: 1.10 },
    Goal { what: "G of 16 sources against the limit", figure: Figure::Against(Set::G16, Server::Limit), bound: 1.15 },
    Goal {
        what: "G of 4,096 sources against the limit",
        figure: Figure::Against(Set::G4096, Server::Limit),
        bound: 1.15,
    },
    Goal { what: "E against the limit", figure: Figure::Against(Set::E, Server::Limit), bound: 1.15 },
    against_hit("NXDOMAIN against a hit, 1,000 names", Set::Nxdomain, THOUSAND),
    against_hit("NXDOMAIN against a hit, 100,000 names", Set::Nxdomain, 100 * THOUSAND),
    against_hit("NXDOMAIN against a hit, 1,000,000 names", Set::Nxdomain, MILLION),
    against_hit("NODATA against a hit, 1,000 names", Set::Nodata, THOUSAND),
    against_hit("NODATA against a hit, 100,000 names", Set::Nodata, 100 * THOUSAND),
    against_hit("NODATA against a hit, 1,000,000 names", Set::Nodata, MILLION),
    against_hit("wildcard against a hit, 1,000 names", Set::Wildcard, THOUSAND),
    against_hit("wildcard against a hit, 100,000 names", Set::Wildcard, 100 * THOUSAND),
    against_hit("wildcard against a hit, 1,000,000 names", Set::Wildcard, MILLION),
    Goal { what: "1,000,000 names: start to first answer", figure: Figure::LoadTime(MILLION), bound: 2.5 },
    Goal { what: "1,000,000 names: resident memory", figure: Figure::Memory(MILLION), bound: 250.0 },
    Goal { what: "1,000,000 names: S", figure: Figure::Cost(Set::Sized, MILLION), bound: 2.6 },
    Goal { what: "S over TCP", figure: Figure::Cost(Set::Tcp, USUAL_NAMES), bound: 3.5 },
];

const fn against_hit(what: &'static str, set: Set, names: u32) -> Goal {
    Goal { what, figure: Figure::AgainstHit(set, names), bound: 1.2 }
}

/// A goal, and what was measured.
pub struct Verdict {
    /// The goal.
    pub what: &'static str,
    /// What came of it, in the three decimals that are shown: else 0.9701 would be a missed "0.970 (at most 0.970)".
    pub measured: f64,
    /// Whether that says anything: no server of which it is the cost has waited for queries.
    pub is_sound: bool,
    /// The most that it may be.
    pub bound: f64,
    /// Of both.
    pub unit: &'static str,
}

/// One verdict for each goal that was measured, for the thalweg of this label.
pub fn judge(samples: &Samples, thalweg: &str) -> Vec<Verdict> {
    let verdict = |Goal { what, figure, bound }: &Goal| {
        let (measured, unit, costs) = figure.measure(samples, thalweg);
        let measured = (measured? * 1e3).round() / 1e3;
        Some(Verdict { what, measured, is_sound: !samples.have_idled(&costs), bound: *bound, unit })
    };
    GOALS.iter().filter_map(verdict).collect()
}

/// What to say where some goals were not measured, because not all sets and servers were wanted.
pub fn left_out(verdicts: &[Verdict]) -> Option<String> {
    let count = GOALS.len() - verdicts.len();
    (count > 0).then(|| format!("{count} of {} goals were not measured", GOALS.len()))
}

impl Figure {
    /// The figure, its unit, and whose costs it is made of. Memory and time to load do not depend on how busy a server is.
    fn measure<'k>(&self, samples: &Samples, thalweg: &'k str) -> (Option<f64>, &'static str, Vec<Key<'k>>) {
        let key = |set, names| Key { contestant: thalweg, set, names };
        let median = |key, figure: fn(&Sample) -> f64| samples.spread(key, figure).map(|spread| spread.median);
        match *self {
            Self::Against(set, server) => {
                let ours = key(set, USUAL_NAMES);
                let theirs = Key { contestant: server.label(), ..ours };
                (samples.ratio(ours, theirs), "", vec![ours, theirs])
            }
            Self::AgainstHit(set, names) => {
                let (ours, hit) = (key(set, names), key(Set::Hit, names));
                (samples.ratio(ours, hit), "", vec![ours, hit])
            }
            Self::Cost(set, names) => (median(key(set, names), Sample::cost), " µs", vec![key(set, names)]),
            Self::LoadTime(names) => {
                (median(key(Set::Sized, names), |sample| sample.load_time.as_secs_f64()), " s", Vec::new())
            }
            Self::Memory(names) => (median(key(Set::Sized, names), Sample::megabytes), " MB", Vec::new()),
        }
    }
}

impl Verdict {
    /// In a word or two: whether the goal is reached.
    pub fn word(&self) -> &'static str {
        match self.measured <= self.bound {
            _ if !self.is_sound => "not judged",
            true => "ok",
            false => "missed",
        }
    }

    /// The figure and the bound, with their unit.
    pub fn figures(&self) -> [String; 2] {
        [self.measured, self.bound].map(|figure| format!("{figure:.3}{}", self.unit))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, [measured, bound]) = (self.word(), self.figures());
        write!(out, "{word:<10} {:<42} {measured:>10}  (at most {bound})", self.what)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::generator::Outcome;

    fn samples(costs: &[(&str, u64)]) -> Samples {
        let mut samples = Samples::default();
        for &(contestant, nanoseconds) in costs {
            let mut outcome = Outcome { answers: 1, ..Outcome::default() };
            outcome.cpu.total = Duration::from_nanos(nanoseconds);
            outcome.elapsed = Duration::from_nanos(1_000_000);
            let (contestant, load_time) = (contestant.to_owned(), Duration::ZERO);
            samples.push(Sample { round: 0, contestant, set: Set::S, names: USUAL_NAMES, load_time, outcome });
        }
        samples
    }

    #[test]
    fn a_goal_is_reached_missed_not_judged_or_left_out() {
        let lines = |costs: &[_]| -> Vec<String> {
            judge(&samples(costs), "thalweg").iter().map(ToString::to_string).collect()
        };
        let reached = "ok         S against gdnsd                                 0.970  (at most 0.970)";
        let of_limit = "ok         S against the limit                             1.077  (at most 1.100)";
        assert_eq!(lines(&[("thalweg", 970_400), ("gdnsd", 1_000_000), ("limit", 901_000)]), [reached, of_limit]);
        let over = "missed     S against gdnsd                                 0.971  (at most 0.970)";
        assert_eq!(lines(&[("thalweg", 970_600), ("gdnsd", 1_000_000)]), [over]);
        let of_idle = "not judged S against the limit                             1.083  (at most 1.100)";
        assert_eq!(lines(&[("thalweg", 970_000), ("gdnsd", 1_000_000), ("limit", 896_000)]), [reached, of_idle]);
        let verdicts = judge(&samples(&[("thalweg", 1), ("gdnsd", 1)]), "thalweg");
        assert_eq!(left_out(&verdicts).as_deref(), Some("21 of 22 goals were not measured"));
    }
}

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
    /// What came of it.
    pub measured: f64,
    /// The most that it may be.
    pub bound: f64,
    /// Of both.
    pub unit: &'static str,
}

/// One verdict for each goal that was measured, for the thalweg of this label.
pub fn judge(samples: &Samples, thalweg: &str) -> Vec<Verdict> {
    let verdict = |Goal { what, figure, bound }: &Goal| {
        let (measured, unit) = figure.measure(samples, thalweg);
        Some(Verdict { what, measured: measured?, bound: *bound, unit })
    };
    GOALS.iter().filter_map(verdict).collect()
}

/// What to say where some goals were not measured, because not all sets and servers were wanted.
pub fn left_out(verdicts: &[Verdict]) -> Option<String> {
    let count = GOALS.len() - verdicts.len();
    (count > 0).then(|| format!("{count} of {} goals were not measured", GOALS.len()))
}

impl Figure {
    fn measure(&self, samples: &Samples, thalweg: &str) -> (Option<f64>, &'static str) {
        let key = |set, names| Key { contestant: thalweg, set, names };
        let median = |key, figure: fn(&Sample) -> f64| samples.spread(key, figure).map(|spread| spread.median);
        match *self {
            Self::Against(set, server) => {
                let ours = key(set, USUAL_NAMES);
                (samples.ratio(ours, Key { contestant: server.label(), ..ours }), "")
            }
            Self::AgainstHit(set, names) => (samples.ratio(key(set, names), key(Set::Hit, names)), ""),
            Self::Cost(set, names) => (median(key(set, names), Sample::cost), " µs"),
            Self::LoadTime(names) => (median(key(Set::Sized, names), |sample| sample.load_time.as_secs_f64()), " s"),
            Self::Memory(names) => (median(key(Set::Sized, names), Sample::megabytes), " MB"),
        }
    }
}

impl Verdict {
    /// One word: whether the goal is reached.
    pub fn word(&self) -> &'static str {
        if self.measured <= self.bound { "ok" } else { "missed" }
    }

    /// The figure with its unit.
    pub fn figure(&self) -> String {
        format!("{:.2}{}", self.measured, self.unit)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, figure) = (self.word(), self.figure());
        write!(out, "{word:<7} {:<42} {figure:>10}  (at most {:.2}{})", self.what, self.bound, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::generator::Outcome;

    #[test]
    fn a_goal_is_reached_missed_or_left_out() {
        let mut samples = Samples::default();
        for (contestant, microseconds) in [("thalweg", 96), ("gdnsd", 100), ("limit", 80)] {
            let mut outcome = Outcome { answers: 1, ..Outcome::default() };
            outcome.cpu.total = Duration::from_micros(microseconds);
            let (contestant, load_time) = (contestant.to_owned(), Duration::ZERO);
            samples.push(Sample { round: 0, contestant, set: Set::S, names: USUAL_NAMES, load_time, outcome });
        }
        let verdicts = judge(&samples, "thalweg");
        let lines: Vec<_> = verdicts.iter().map(ToString::to_string).collect();
        assert_eq!(lines[0], "ok      S against gdnsd                                  0.96  (at most 0.97)");
        assert_eq!(lines[1], "missed  S against the limit                              1.20  (at most 1.10)");
        assert_eq!(lines.len(), 2);
        assert_eq!(left_out(&verdicts).as_deref(), Some("20 of 22 goals were not measured"));
    }
}

//! What was measured, and what follows from it: medians, and ratios within a round.

use std::time::Duration;

use crate::generator::Outcome;
use crate::sets::Set;

/// Who was asked what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'k> {
    /// Label of the contestant.
    pub contestant: &'k str,
    /// What was asked.
    pub set: Set,
    /// Names of the zone.
    pub names: u32,
}

/// A server that had less to do than this waited for queries, and each of its wake-ups costs ten times a query.
const MIN_BUSY: f64 = 0.9;

/// One measurement.
#[derive(Debug)]
pub struct Sample {
    /// In which round.
    pub round: usize,
    /// Label of the contestant.
    pub contestant: String,
    /// What was asked.
    pub set: Set,
    /// Names of the zone.
    pub names: u32,
    /// From the server's start to its first answer.
    pub load_time: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

impl Sample {
    /// Microseconds of CPU time per answer.
    pub fn cost(&self) -> f64 {
        self.outcome.cpu.total.as_secs_f64() * 1e6 / self.outcome.answers as f64
    }

    /// Part of the queries that got no reply in time.
    pub fn loss(&self) -> f64 {
        self.outcome.lost as f64 / (self.outcome.lost + self.outcome.answers) as f64
    }

    /// Resident memory at the end, in megabytes.
    pub fn megabytes(&self) -> f64 {
        self.outcome.memory.resident as f64 / 1e6
    }

    /// Whether the server waited for queries so much that its cost says nothing. Over TCP that is not known: the time of dnsperf
    /// is more than that in which it asks.
    pub fn has_idled(&self) -> bool {
        self.set != Set::Tcp && self.outcome.busy() < MIN_BUSY
    }

    /// The cost, and why it says nothing if that is so.
    pub fn brief(&self) -> String {
        let note =
            if self.has_idled() { format!(" (busy {:.0} %)", self.outcome.busy() * 100.0) } else { String::new() };
        format!("{:.2}{note}", self.cost())
    }

    fn is_of(&self, key: Key<'_>) -> bool {
        self.contestant == key.contestant && self.set == key.set && self.names == key.names
    }
}

/// All measurements of a comparison.
#[derive(Debug, Default)]
pub struct Samples(Vec<Sample>);

/// Of several figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// Whether one of these servers has idled in some round.
    pub fn have_idled(&self, keys: &[Key<'_>]) -> bool {
        keys.iter().any(|key| self.of(*key).any(Sample::has_idled))
    }

    /// What to say where servers have idled.
    pub fn note_of_idle(&self) -> Option<String> {
        let count = self.0.iter().filter(|sample| sample.has_idled()).count();
        let least = 100.0 * MIN_BUSY;
        (count > 0).then(|| {
            let all = self.0.len();
            format!(
                "{count} of {all} measurements say nothing, their servers were busy for less than {least} % of the time"
            )
        })
    }

    /// A figure of all rounds; none if it was not measured.
    pub fn spread(&self, key: Key<'_>, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        spread(self.of(key).map(figure).collect())
    }

    /// The cost by another's in the same round, so that what the machine did meanwhile cancels out.
    pub fn ratio(&self, key: Key<'_>, to: Key<'_>) -> Option<f64> {
        self.by_round(key, to, |cost, other| cost / other)
    }

    /// How many microseconds more than another's in the same round the cost is.
    pub fn difference(&self, key: Key<'_>, from: Key<'_>) -> Option<f64> {
        self.by_round(key, from, |cost, other| cost - other)
    }

    fn by_round(&self, key: Key<'_>, other: Key<'_>, figure: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let figures = self.of(key).filter_map(|sample| {
            let other = self.of(other).find(|other| other.round == sample.round)?;
            Some(figure(sample.cost(), other.cost()))
        });
        Some(spread(figures.collect())?.median)
    }

    fn of(&self, key: Key<'_>) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| sample.is_of(key))
    }
}

fn spread(mut figures: Vec<f64>) -> Option<Spread> {
    figures.sort_by(f64::total_cmp);
    let (least, most) = (*figures.first()?, *figures.last()?);
    let middle = figures.len() / 2;
    let median = if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 };
    Some(Spread { median, least, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: usize, contestant: &str, microseconds: u64) -> Sample {
        let mut outcome = Outcome { answers: 1_000, ..Outcome::default() };
        outcome.cpu.total = Duration::from_millis(microseconds);
        let load_time = Duration::ZERO;
        Sample { round, contestant: contestant.to_owned(), set: Set::S, names: 1, load_time, outcome }
    }

    #[test]
    fn ratios_are_medians_of_those_within_a_round() {
        let mut samples = Samples::default();
        for (round, ours, theirs) in [(0, 1, 2), (1, 9, 10), (2, 4, 2)] {
            samples.push(sample(round, "ours", ours));
            samples.push(sample(round, "theirs", theirs));
        }
        samples.push(sample(3, "ours", 100));
        let [ours, theirs, nobody] =
            ["ours", "theirs", "nobody"].map(|contestant| Key { contestant, set: Set::S, names: 1 });
        assert_eq!(samples.ratio(ours, theirs), Some(0.9));
        assert_eq!(samples.difference(ours, theirs), Some(-1.0));
        assert_eq!(samples.spread(ours, Sample::cost), Some(Spread { median: 6.5, least: 1.0, most: 100.0 }));
        assert_eq!(samples.ratio(ours, nobody), None);
    }

    #[test]
    fn a_server_that_waited_is_told() {
        let (mut samples, key) = (Samples::default(), Key { contestant: "ours", set: Set::S, names: 1 });
        for (round, elapsed) in [(0, 10), (1, 11)] {
            let mut sample = sample(round, "ours", 9);
            sample.outcome.cpu.held_up = Duration::from_millis(1);
            sample.outcome.elapsed = Duration::from_millis(elapsed);
            assert_eq!(sample.brief(), "9.00");
            samples.push(sample);
        }
        assert_eq!((samples.have_idled(&[key]), samples.note_of_idle()), (false, None));
        let mut idle = sample(2, "ours", 9);
        idle.outcome.elapsed = Duration::from_millis(12);
        assert_eq!(idle.brief(), "9.00 (busy 75 %)");
        assert!(
            !Sample { set: Set::Tcp, outcome: Outcome { ..idle.outcome }, contestant: String::new(), ..idle }
                .has_idled()
        );
        samples.push(idle);
        assert!(samples.have_idled(&[Key { contestant: "theirs", ..key }, key]));
        assert!(!samples.have_idled(&[Key { contestant: "theirs", ..key }]));
        let note = "1 of 3 measurements say nothing, their servers were busy for less than 90 % of the time";
        assert_eq!(samples.note_of_idle().as_deref(), Some(note));
    }
}

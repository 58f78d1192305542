//! The observer: makes rows and sentences of what viewers were told and of what nodes see of themselves.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::Instant;

use super::machine::Activity;
use super::scene::{Role, SITES, roles};
use super::viewer::Told;

/// The time that a row tells of.
pub(super) const ROW: Duration = Duration::from_secs(2);
/// So long without being named, a node counts as not named any more: its country gets a dozen answers in it.
const SILENCE: Duration = Duration::from_secs(2);
/// Over which a share is told in sentences.
const SETTLED: Duration = Duration::from_secs(5);
/// What was told longer ago is forgotten.
const MEMORY: Duration = Duration::from_secs(120);

/// Watches all nodes.
#[derive(Debug)]
pub(super) struct Observer {
    told: VecDeque<Told>,
    /// In the order of `roles`.
    watched: Vec<(Role, Phase)>,
}

/// How far the story of a node is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Calm,
    /// A batch job runs, and the node is still named; until then it had this share.
    Loaded {
        since: Instant,
        before: Option<f64>,
    },
    /// A batch job runs, and the node is not named any more.
    Avoided,
    /// The job is done, the node is not named yet.
    Recovering {
        since: Instant,
    },
    /// The node has been named again.
    Named {
        since: Instant,
        first: Instant,
    },
}

impl Observer {
    /// An observer who has seen nothing yet.
    pub(super) fn new() -> Self {
        Self { told: VecDeque::new(), watched: roles().map(|role| (role, Phase::Calm)).collect() }
    }

    /// Notes what a viewer was told.
    pub(super) fn hear(&mut self, told: Told) {
        self.told.push_back(told);
    }

    /// Looks at the nodes, given in the order of `roles`, and says what has happened since the last look.
    pub(super) fn look(&mut self, now: Instant, activities: &[Activity]) -> Vec<String> {
        while self.told.front().is_some_and(|told| now - told.at > MEMORY) {
            self.told.pop_front();
        }
        let mut sentences = Vec::new();
        for (index, activity) in activities.iter().enumerate() {
            let (role, phase) = self.watched[index];
            let (next, sentence) = self.follow(now, role, phase, activity);
            self.watched[index].1 = next;
            sentences.extend(sentence.map(|sentence| format!("{}: {sentence}", role.name())));
        }
        sentences
    }

    /// The head of the rows.
    pub(super) fn head() -> String {
        let (mut names, mut columns) = ("     ".to_owned(), " time".to_owned());
        for role in roles() {
            names.push_str(&format!("  {:<10}", role.name()));
            columns.push_str(&format!("  on prs {}%", SITES[role.site].code));
        }
        format!("{}\n{columns}", names.trim_end())
    }

    /// For each node: viewers on it, pressure, share of the last answers in its country.
    pub(super) fn row(&self, now: Instant, activities: &[Activity]) -> String {
        let cells = self.watched.iter().zip(activities).map(|(&(role, _), activity)| {
            let pressure = format!("{:.2}", activity.pressure);
            // Two digits are enough: `.52`, `1.1`.
            let pressure = pressure.strip_prefix('0').unwrap_or(&pressure[..3]);
            let share =
                self.share(role, now - ROW, now).map_or("-".to_owned(), |share| format!("{:.0}", share * 100.0));
            format!(" {:>3} {pressure} {share:>3}", activity.viewers)
        });
        let mut row: String = cells.collect();
        let unanswered = self.since(now - ROW).filter(|told| told.address.is_none()).count();
        if unanswered > 0 {
            row.push_str(&format!("  {unanswered} without an answer"));
        }
        row
    }

    fn follow(&self, now: Instant, role: Role, phase: Phase, activity: &Activity) -> (Phase, Option<String>) {
        let pressure = activity.pressure;
        let country = SITES[role.site].country;
        let recovering = || {
            let sentence = format!("the batch job is done; pressure {pressure:.2}");
            (Phase::Recovering { since: now }, Some(sentence))
        };
        match phase {
            Phase::Loaded { .. } | Phase::Avoided if !activity.has_job => recovering(),
            Phase::Loaded { since, before } => {
                let last = self.namings(role, since).last().map_or(since, |told| told.at);
                if now - last < SILENCE {
                    return (phase, None);
                }
                let others = self.others(role, last, now);
                let sentence = format!(
                    "share of the answers in {country} {} → 0 %, {:.1} s after the job began; now {others}",
                    percent(before),
                    (last - since).as_secs_f64(),
                );
                (Phase::Avoided, Some(sentence))
            }
            Phase::Avoided => (phase, None),
            Phase::Calm | Phase::Recovering { .. } | Phase::Named { .. } if activity.has_job => {
                let before = self.share(role, now - SETTLED, now);
                let sentence = format!("a batch job takes its CPU; pressure {pressure:.2}");
                (Phase::Loaded { since: now, before }, Some(sentence))
            }
            Phase::Calm => (phase, None),
            Phase::Recovering { since } => match self.namings(role, since).next() {
                Some(told) => (Phase::Named { since, first: told.at }, None),
                None => (phase, None),
            },
            Phase::Named { first, .. } if now - first < SETTLED => (phase, None),
            Phase::Named { since, first } => {
                let share = percent(self.share(role, first, now));
                let back = (first - since).as_secs_f64();
                let sentence =
                    format!("named again {back:.1} s after the job was done; share in {country} {share} since");
                (Phase::Calm, Some(sentence))
            }
        }
    }

    /// What was told after a moment.
    fn since(&self, from: Instant) -> impl DoubleEndedIterator<Item = &Told> {
        let start = self.told.partition_point(|told| told.at <= from);
        self.told.range(start..)
    }

    /// Answers in the node's country that named it.
    fn namings(&self, role: Role, from: Instant) -> impl DoubleEndedIterator<Item = &Told> {
        self.since(from).filter(move |told| told.site == role.site && told.address == Some(role.address()))
    }

    /// The node's share of the answers in its country; none if there were no answers.
    fn share(&self, role: Role, from: Instant, until: Instant) -> Option<f64> {
        self.share_at(role.site, role.address(), from, until)
    }

    /// A node's share of the answers in the country of a site, wherever the node stands.
    fn share_at(&self, site: usize, address: Ipv4Addr, from: Instant, until: Instant) -> Option<f64> {
        let answers = self.since(from).take_while(|told| told.at <= until);
        let addresses: Vec<_> = answers.filter(|told| told.site == site).filter_map(|told| told.address).collect();
        let named = addresses.iter().filter(|named| **named == address).count();
        (!addresses.is_empty()).then(|| named as f64 / addresses.len() as f64)
    }

    /// Who is named in the node's country in its place: `fra2 83 %, gru1 17 %`.
    fn others(&self, role: Role, from: Instant, until: Instant) -> String {
        let others = self.watched.iter().map(|(other, _)| *other).filter(|other| other.address() != role.address());
        let named = others.filter_map(|other| {
            let share = self.share_at(role.site, other.address(), from, until).filter(|share| *share > 0.0);
            share.map(|share| format!("{} {}", other.name(), percent(Some(share))))
        });
        named.collect::<Vec<_>>().join(", ")
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or("unknown".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Activity = Activity { viewers: 40, has_job: false, pressure: 0.5 };
    const LOADED: Activity = Activity { viewers: 40, has_job: true, pressure: 1.25 };

    /// An observer who sees each second ten answers in Germany, of which so many name fra1 and the rest fra2.
    struct Seen {
        observer: Observer,
        start: Instant,
        second: u64,
    }

    impl Seen {
        fn new() -> Self {
            Self { observer: Observer::new(), start: Instant::now(), second: 0 }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_secs(self.second)
        }

        fn second(&mut self, of_fra1: u32, fra1: Activity) -> Vec<String> {
            let [one, other] = [0, 1].map(|node| Some(roles().nth(node).expect("a node").address()));
            for tenth in 0..10 {
                let at = self.now() + Duration::from_millis(20 + u64::from(tenth) * 100);
                self.observer.hear(Told { at, site: 0, address: if tenth < of_fra1 { one } else { other } });
            }
            self.second += 1;
            self.observer.look(self.now(), &[fra1, CALM, CALM, CALM, CALM, CALM])
        }
    }

    #[test]
    fn an_overload_is_told_from_its_beginning_to_its_end() {
        let mut seen = Seen::new();
        for _ in 0..5 {
            assert_eq!(seen.second(5, CALM), [""; 0]);
        }
        assert_eq!(seen.second(5, LOADED), ["fra1: a batch job takes its CPU; pressure 1.25"]);
        assert_eq!(seen.second(4, LOADED), [""; 0]);
        assert_eq!(seen.second(0, LOADED), [""; 0]);
        assert_eq!(
            seen.second(0, LOADED),
            ["fra1: share of the answers in Germany 50 % → 0 %, 0.3 s after the job began; now fra2 100 %"]
        );
        assert_eq!(seen.second(0, LOADED), [""; 0]);
        assert_eq!(seen.second(0, CALM), ["fra1: the batch job is done; pressure 0.50"]);
        for of_fra1 in [0, 8, 8, 8, 8, 8] {
            assert_eq!(seen.second(of_fra1, CALM), [""; 0]);
        }
        assert_eq!(
            seen.second(8, CALM),
            ["fra1: named again 1.0 s after the job was done; share in Germany 80 % since"]
        );
        assert_eq!(seen.second(5, CALM), [""; 0]);
    }

    #[test]
    fn a_row_has_a_cell_for_each_node_and_says_what_failed() {
        let mut seen = Seen::new();
        seen.second(3, CALM);
        seen.observer.hear(Told { at: seen.now(), site: 2, address: None });
        let row = seen.observer.row(seen.now(), &[LOADED, CALM, CALM, CALM, CALM, CALM]);
        assert_eq!(
            row,
            "  40 1.2  30  40 .50  70  40 .50   -  40 .50   -  40 .50   -  40 .50   -  1 without an answer"
        );
    }
}

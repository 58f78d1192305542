//! The report: tables of what was measured, in Markdown.

use std::fmt::Write;
use std::path::Path;

use crate::machine;
use crate::rounds::Plan;
use crate::samples::{Key, Sample, Samples};
use crate::servers::{Contestant, Server};
use crate::sets::Set;
use crate::verdicts::{self, Verdict};
use crate::workspace::USUAL_NAMES;

/// What is reported.
pub struct Report<'r> {
    /// What was to be measured.
    pub plan: &'r Plan,
    /// What was.
    pub samples: &'r Samples,
    /// Where; it is described before the rounds, which load the machine.
    pub machine: &'r [(&'static str, String)],
    /// For each thalweg.
    pub verdicts: &'r [(String, Vec<Verdict>)],
    /// The checkout whose commit is told.
    pub repository: &'r Path,
}

/// What a part of thalweg costs: two measurements of it that differ in that part alone.
struct Feature {
    what: &'static str,
    with: (Server, Set),
    without: (Server, Set),
}

const FEATURES: [Feature; 6] = [
    Feature {
        what: "rate limiting that counts and logs, S",
        with: (Server::Thalweg, Set::S),
        without: (Server::ThalwegUnlimited, Set::S),
    },
    Feature {
        what: "rate limiting that counts and logs, G",
        with: (Server::Thalweg, Set::G16),
        without: (Server::ThalwegUnlimited, Set::G16),
    },
    Feature {
        what: "a cookie in query and reply",
        with: (Server::Thalweg, Set::SCookies),
        without: (Server::Thalweg, Set::S),
    },
    Feature {
        what: "geography, planner and learning, against a static name",
        with: (Server::Thalweg, Set::G16),
        without: (Server::Thalweg, Set::Plain),
    },
    Feature {
        what: "planner and learning, against servers in turn",
        with: (Server::Thalweg, Set::G16),
        without: (Server::Thalweg, Set::Turn),
    },
    Feature {
        what: "a client subnet in query and reply",
        with: (Server::Thalweg, Set::E),
        without: (Server::Thalweg, Set::G16),
    },
];

/// What has no figure.
const NONE: &str = "–";

impl Report<'_> {
    /// The whole text.
    pub fn markdown(&self) -> String {
        let mut text =
            "# Results\n\nWritten by `benches/peers/run`; `README.md` says what is measured, and how to read it.\n"
                .to_owned();
        self.put_conditions(&mut text);
        self.put_verdicts(&mut text);
        for &set in self.plan.sets.iter().filter(|set| !set.is_by_size()) {
            self.put_set(&mut text, set);
        }
        self.put_features(&mut text);
        self.put_sizes(&mut text);
        text
    }

    fn put_conditions(&self, text: &mut String) {
        let Plan { contestants, rounds, duration, warm_up, .. } = self.plan;
        put_table(text, &["", ""]);
        for (name, value) in self.machine {
            put_row(text, &[(*name).to_owned(), value.clone()]);
        }
        let length =
            format!("{rounds} of {} s for each measurement, after {} s", duration.as_secs_f64(), warm_up.as_secs_f64());
        put_row(text, &["rounds".to_owned(), length]);
        put_row(text, &["commit".to_owned(), machine::commit(self.repository)]);
        for contestant in contestants {
            put_row(text, &[contestant.label.clone(), machine::version(contestant)]);
        }
        put_row(text, &["dnsperf".to_owned(), machine::package_version("dnsperf")]);
    }

    fn put_verdicts(&self, text: &mut String) {
        for (label, verdicts) in self.verdicts {
            put_heading(text, &format!("Goals of {label}"));
            put_table(text, &["goal", "measured", "at most", "verdict"]);
            for verdict in verdicts {
                let [measured, bound] = verdict.figures();
                put_row(text, &[verdict.what.to_owned(), measured, bound, verdict.word().to_owned()]);
            }
            if let Some(note) = verdicts::left_out(verdicts) {
                writeln!(text, "\n{note}").expect("a String takes all");
            }
        }
        if let Some(note) = self.samples.note_of_idle() {
            writeln!(text, "\n{note}").expect("a String takes all");
        }
    }

    fn put_set(&self, text: &mut String, set: Set) {
        let references = self.references();
        let contestants = || self.plan.contestants.iter().filter(|contestant| contestant.server.takes(set));
        if contestants().next().is_none() {
            return;
        }
        put_heading(text, set.title());
        let mut columns =
            vec!["server", "µs per query", "min–max", "user", "system", "busy %", "octets", "resident MB"];
        let titles: Vec<_> = references.iter().map(|reference| format!("× {}", reference.label)).collect();
        columns.extend(titles.iter().map(String::as_str));
        put_table(text, &columns);
        for contestant in contestants() {
            let key = Key { contestant: &contestant.label, set, names: USUAL_NAMES };
            let mut row = vec![contestant.label.clone(), self.median(key, Sample::cost, 2), self.range(key)];
            row.push(self.median(key, |sample| sample.cost() * sample.outcome.cpu.user_share(), 2));
            row.push(self.median(key, |sample| sample.cost() * (1.0 - sample.outcome.cpu.user_share()), 2));
            row.push(self.median(key, |sample| sample.outcome.busy() * 100.0, 0));
            row.push(self.median(key, |sample| sample.outcome.octets as f64 / sample.outcome.answers as f64, 0));
            row.push(self.median(key, Sample::megabytes, 0));
            row.extend(references.iter().map(|reference| {
                let ratio = self.samples.ratio(key, Key { contestant: &reference.label, ..key });
                ratio.map_or(NONE.to_owned(), |ratio| format!("{ratio:.2}"))
            }));
            put_row(text, &row);
        }
    }

    /// Those to whom all others are compared: the limit, gdnsd, and the first of several thalwegs.
    fn references(&self) -> Vec<&Contestant> {
        let all = || self.plan.contestants.iter();
        let first = |server| all().find(|contestant| contestant.server == server);
        let has_several = all().filter(|contestant| contestant.server == Server::Thalweg).count() > 1;
        let thalweg = first(Server::Thalweg).filter(|_| has_several);
        [first(Server::Limit), first(Server::Gdnsd), thalweg].into_iter().flatten().collect()
    }

    fn put_features(&self, text: &mut String) {
        let all: Vec<_> = self.plan.contestants.iter().collect();
        for thalweg in all.iter().filter(|contestant| contestant.server == Server::Thalweg) {
            // What is the same program otherwise configured belongs to it.
            let label_of = |server| {
                let is_it = |other: &&&Contestant| other.server == server && other.program == thalweg.program;
                all.iter().find(is_it).map(|contestant| contestant.label.as_str())
            };
            let difference = |feature: &Feature| {
                let [with, without] = [feature.with, feature.without]
                    .map(|(server, set)| Some(Key { contestant: label_of(server)?, set, names: USUAL_NAMES }));
                self.samples.difference(with?, without?)
            };
            let rows: Vec<_> =
                FEATURES.iter().filter_map(|feature| Some((feature.what, difference(feature)?))).collect();
            if rows.is_empty() {
                continue;
            }
            put_heading(text, &format!("What parts of {} cost", thalweg.label));
            put_table(text, &["part", "µs per query"]);
            for (what, difference) in rows {
                put_row(text, &[what.to_owned(), format!("{difference:+.3}")]);
            }
        }
    }

    fn put_sizes(&self, text: &mut String) {
        let by_size = || self.plan.sets.iter().copied().filter(|set| set.is_by_size());
        if by_size().next().is_none() {
            return;
        }
        put_heading(text, "Zones by size");
        let mut columns = vec!["names", "server", "load s", "resident MB", "peak MB"];
        columns.extend(by_size().map(|set| if set == Set::Sized { "S µs" } else { set.title() }));
        put_table(text, &columns);
        for &names in &self.plan.sizes {
            for contestant in &self.plan.contestants {
                let key = |set| Key { contestant: &contestant.label, set, names };
                let Some(first) = by_size().find(|&set| contestant.server.takes(set)) else { continue };
                let mut row = vec![names.to_string(), contestant.label.clone()];
                row.push(self.median(key(first), |sample| sample.load_time.as_secs_f64(), 2));
                row.push(self.median(key(first), Sample::megabytes, 0));
                row.push(self.median(key(first), |sample| sample.outcome.memory.peak as f64 / 1e6, 0));
                row.extend(by_size().map(|set| self.median(key(set), Sample::cost, 2)));
                put_row(text, &row);
            }
        }
    }

    fn median(&self, key: Key<'_>, figure: impl Fn(&Sample) -> f64, decimals: usize) -> String {
        let spread = self.samples.spread(key, figure);
        spread.map_or(NONE.to_owned(), |spread| format!("{:.decimals$}", spread.median))
    }

    fn range(&self, key: Key<'_>) -> String {
        let spread = self.samples.spread(key, Sample::cost);
        spread.map_or(NONE.to_owned(), |spread| format!("{:.2}–{:.2}", spread.least, spread.most))
    }
}

fn put_heading(text: &mut String, heading: &str) {
    text.push_str("\n## ");
    text.push_str(heading);
    text.push('\n');
}

fn put_table(text: &mut String, columns: &[&str]) {
    text.push('\n');
    writeln!(text, "| {} |", columns.join(" | ")).expect("a String takes all");
    writeln!(text, "|{}", "---|".repeat(columns.len())).expect("a String takes all");
}

fn put_row(text: &mut String, cells: &[String]) {
    writeln!(text, "| {} |", cells.join(" | ")).expect("a String takes all");
}

//! Runs as text: a row for each, or tables of medians and worst.

use super::{Play, Run};
use crate::simulate::scenario::Tell;
use crate::simulate::{Figures, Line, Worst};

/// How a figure is read from those of a run.
type Read = fn(&Figures) -> f64;

/// What is shown: its title, how it is read, and its decimals.
const METRICS: &[(&str, Read, usize)] = &[
    ("overload, % of viewer time", |figures| figures.overload_percent, 2),
    ("peak: 99th percentile over time of the highest pressure", |figures| figures.peak_p99, 2),
    ("throttled, % of the traffic wanted", |figures| figures.throttled_percent, 3),
    ("mean RTT, ms", |figures| figures.rtt_ms, 1),
    ("changes of answers per query of a resolver", |figures| figures.changes_per_query, 2),
    ("queries per second", |figures| figures.qps, 1),
    ("failed, % of viewer time", |figures| figures.failed_percent, 3),
];

/// A row for each run, with a line of titles.
pub(super) fn csv(plays: &[Play], runs: &[Run]) -> String {
    let mut text = String::from(
        "policy,scenario,seed,overload_percent,peak_p99,throttled_percent,rtt_ms,changes_per_query,qps,failed_percent\n",
    );
    for Run { policy, scenario, seed, outcome } in runs {
        let values: Vec<String> = METRICS.iter().map(|(_, read, _)| format!("{:.4}", read(&outcome.figures))).collect();
        let scenario = quoted(&plays[*scenario].name);
        text.push_str(&format!("{policy},{scenario},{seed},{}\n", values.join(",")));
    }
    text
}

/// A table for each metric: a line for each policy, a column for each scenario.
pub(super) fn tables(plays: &[Play], names: &[String], seeds: &[u64], runs: &[Run]) -> String {
    let mut text = String::new();
    let widest = names.iter().map(String::len).max().unwrap_or(0).max("policy".len());
    for (title, read, decimals) in METRICS {
        let cells: Vec<Vec<String>> = names
            .iter()
            .map(|name| (0..plays.len()).map(|scenario| cell(runs, name, scenario, *read, *decimals)).collect())
            .collect();
        let width = |column: usize| {
            let cells = cells.iter().map(|row| row[column].len());
            cells.max().unwrap_or(0).max(plays[column].name.len())
        };
        let line = |first: &str, row: &mut dyn Iterator<Item = &str>| {
            let row: String = row.enumerate().map(|(column, cell)| format!("  {cell:>0$}", width(column))).collect();
            format!("{first:<widest$}{row}\n")
        };
        text.push_str(&format!("{title}: median [worst] of {}\n", super::super::plural(seeds.len(), "seed")));
        text.push_str(&line("policy", &mut plays.iter().map(|play| play.name.as_str())));
        for (name, row) in names.iter().zip(&cells) {
            text.push_str(&line(name, &mut row.iter().map(String::as_str)));
        }
        text.push('\n');
    }
    text
}

/// A line for each variant of the planner, with the metrics that matter most.
pub(super) fn variants(plays: &[Play], names: &[String], seeds: &[u64], runs: &[Run]) -> String {
    let mut text = String::new();
    for (scenario, play) in plays.iter().enumerate() {
        let variants = super::variants_of(play, names);
        let widest = variants.iter().map(String::len).max().unwrap_or(0);
        if variants.is_empty() {
            continue;
        }
        let seeds = super::super::plural(seeds.len(), "seed");
        text.push_str(&format!("{} {}: median [worst] of {seeds}\n", play.name, play.scenario.title));
        text.push_str(&format!("{:<widest$}  {:>13}  {:>13}  {:>13}\n", "", "overload, %", "peak", "mean RTT, ms"));
        let planner = super::PLANNER.to_owned();
        for name in std::iter::once(&planner).chain(&variants) {
            let metrics = METRICS.iter().filter(|(title, ..)| IN_DOCUMENTS.contains(title));
            let cells = metrics.map(|(_, read, decimals)| cell(runs, name, scenario, *read, *decimals));
            let cells: String = cells.map(|cell| format!("  {cell:>13}")).collect();
            text.push_str(&format!("{name:<widest$}{cells}\n"));
        }
        text.push('\n');
    }
    text
}

/// What is shown in documents.
const IN_DOCUMENTS: [&str; 3] = [METRICS[0].0, METRICS[1].0, METRICS[3].0];

/// The tables that matter most, in Markdown.
pub(super) fn markdown(plays: &[Play], names: &[String], seeds: &[u64], runs: &[Run]) -> String {
    let mut text = String::new();
    for (title, read, decimals) in METRICS.iter().filter(|(title, ..)| IN_DOCUMENTS.contains(title)) {
        let scenarios: Vec<&str> = plays.iter().map(|play| play.name.as_str()).collect();
        let seeds = super::super::plural(seeds.len(), "seed");
        let dashes = "---:|".repeat(plays.len());
        text.push_str(&format!(
            "{title}: median [worst] of {seeds}\n\n| policy | {} |\n|---|{dashes}\n",
            scenarios.join(" | ")
        ));
        for name in names {
            let cells: Vec<String> =
                (0..plays.len()).map(|scenario| cell(runs, name, scenario, *read, *decimals)).collect();
            text.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
        }
        text.push('\n');
    }
    text
}

/// What scenarios tell beside the tables: a line for each thing and policy, for each scenario that asks for it, or for all.
pub(super) fn details(plays: &[Play], names: &[String], seeds: &[u64], runs: &[Run], of_all: bool) -> String {
    let mut text = String::new();
    for (scenario, play) in plays.iter().enumerate() {
        let tells = if of_all { &Tell::ALL[..] } else { &play.scenario.tells[..] };
        let of_policy = |name: &String| {
            let runs = runs.iter().filter(|run| run.scenario == scenario && run.policy == *name);
            runs.map(|run| run.outcome.details.lines(&run.outcome.figures, tells)).collect::<Vec<_>>()
        };
        let told: Vec<(&String, Vec<Vec<Line>>)> = names.iter().map(|name| (name, of_policy(name))).collect();
        let mut lines = Vec::new();
        for (name, runs) in &told {
            for line in runs.first().into_iter().flatten() {
                let same = |lines: &Vec<Line>| lines.iter().find(|other| other.title == line.title).map(|it| it.value);
                let mut values: Vec<f64> = runs.iter().filter_map(same).collect();
                values.sort_by(f64::total_cmp);
                let worst = match line.worst {
                    Worst::Most => values[values.len() - 1],
                    Worst::Least => values[0],
                };
                let decimals = line.decimals;
                lines.push((*name, &line.title, format!("{:.decimals$} [{worst:.decimals$}]", median(&values))));
            }
        }
        if lines.is_empty() {
            continue;
        }
        let widest = lines.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        let longest = lines.iter().map(|(_, title, _)| title.chars().count()).max().unwrap_or(0);
        let (name, title, seeds) = (&play.name, &play.scenario.title, super::super::plural(seeds.len(), "seed"));
        text.push_str(&format!("{name} {title}: median [worst] of {seeds}\n"));
        for (name, title, value) in lines {
            text.push_str(&format!("{name:<widest$}  {title:<longest$}  {value}\n"));
        }
        text.push('\n');
    }
    text
}

fn cell(runs: &[Run], name: &str, scenario: usize, read: Read, decimals: usize) -> String {
    let of_cell = runs.iter().filter(|run| run.policy == *name && run.scenario == scenario);
    let mut values: Vec<f64> = of_cell.map(|run| read(&run.outcome.figures)).collect();
    values.sort_by(f64::total_cmp);
    match values.last() {
        Some(worst) => format!("{:.decimals$} [{worst:.decimals$}]", median(&values)),
        None => "-".to_owned(),
    }
}

/// The middle of sorted values, or the mean of the two middle ones.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// A field of a CSV file (RFC 4180 §2), in quotes if it has to be.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quotes() {
        assert_eq!((median(&[1.0, 2.0, 9.0]), median(&[1.0, 3.0])), (2.0, 2.0));
        assert_eq!((quoted("a"), quoted("a,\"b")), ("a".to_owned(), "\"a,\"\"b\"".to_owned()));
    }
}

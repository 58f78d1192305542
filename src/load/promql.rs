//! Load from a Prometheus server in place of the exporters: the queries for what presets look at, and what is made of
//! the replies.
//!
//! Counters are asked for as they were at their last scrape, with its time; so rates are made here, between two real
//! scrapes, by the same rules as of an exporter's own answer. PromQL's `rate` goes on answering for its whole range when
//! its exporter is gone, and after Prometheus was stopped `up` is 1 with samples of before (both measured, 2.42).
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::load::counters::{Counters, count};
use crate::load::error::ScrapeError;
use crate::load::exposition::{Exposition, Sample};
use crate::pool::{Combine, Falls, Measure, Preset, Rule, Told};

/// The label that tells Prometheus' jobs apart: what several of them read of one exporter must not be added up.
const JOB: &str = "job";

/// The reply to an instant query (`/api/v1/query`).
#[derive(Debug, Clone, Deserialize)]
pub struct Reply {
    /// `success` or `error`.
    pub status: String,
    /// The result, if there is one.
    pub data: Option<Data>,
    /// What went wrong.
    #[serde(default)]
    pub error: String,
    /// What may be missing: an answer of Thanos without one of its stores, for instance.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The result of a query.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Data {
    /// `vector` is wanted.
    pub result_type: String,
    /// Its series.
    #[serde(default)]
    pub result: Vec<Series>,
}

/// One series of an instant vector.
#[derive(Debug, Clone, Deserialize)]
pub struct Series {
    /// Its labels.
    pub metric: BTreeMap<String, String>,
    /// The time of the evaluation, Unix seconds, and the value as text.
    pub value: (f64, String),
}

impl Series {
    /// A finite value.
    pub fn value(&self) -> Option<f64> {
        self.value.1.parse().ok().filter(|value: &f64| value.is_finite())
    }

    fn label(&self, key: &str) -> &str {
        self.metric.get(key).map_or("", String::as_str)
    }
}

impl Reply {
    /// The series of a vector, or why there are none.
    pub fn series(self) -> Result<Vec<Series>, String> {
        match self.data {
            Some(Data { result_type, result }) if self.status == "success" && result_type == "vector" => Ok(result),
            Some(Data { result_type, .. }) if self.status == "success" => Err(format!("a {result_type}, not a vector")),
            _ if self.error.is_empty() => Err("no result".to_owned()),
            _ => Err(self.error),
        }
    }
}

/// When each target was last scraped with success: Unix seconds, by its labels. The filter, such as `job="node"`, may be
/// empty.
pub fn scrape_times(filter: &str) -> String {
    format!("timestamp(up{{{filter}}}) and (up{{{filter}}} == 1)")
}

/// A query for what presets need of one metric: a series for each node, job, and combination of labels that a rule
/// looks at.
pub fn query(presets: &[&Preset], metric: &str, label: &str, filter: &str) -> String {
    let selector = format!("{metric}{{{filter}}}");
    let mut kept = BTreeSet::from([label.to_owned(), JOB.to_owned()]);
    for preset in presets {
        match labels(preset, metric) {
            Some(labels) => kept.extend(labels),
            None => return selector,
        }
    }
    let kept: Vec<String> = kept.into_iter().collect();
    format!("sum by ({}) ({selector})", kept.join(", "))
}

/// The labels that a preset needs of a metric; none = all of them.
fn labels(preset: &Preset, metric: &str) -> Option<BTreeSet<String>> {
    let mut kept = BTreeSet::new();
    for identity in preset.restart.iter().filter(|identity| identity.selector.metric == metric) {
        kept.extend(identity.labels.iter().cloned());
        // Of a start without labels every series counts apart.
        if identity.labels.is_empty() {
            return None;
        }
    }
    let own = preset.restart.iter().map(|identity| &identity.selector);
    let own = own.chain(&preset.clock).chain(&preset.up).chain(&preset.draining);
    for selector in own.filter(|selector| selector.metric == metric) {
        kept.extend(selector.matchers.iter().map(|matcher| matcher.label.clone()));
    }
    for rule in &preset.rules {
        let told =
            rule.capacity.iter().flat_map(Told::selectors).chain(&rule.unless).chain(&rule.idle).chain(&rule.clock);
        let selectors: Vec<_> =
            rule.metric.iter().chain(&rule.of).chain(told).filter(|selector| selector.metric == metric).collect();
        if selectors.is_empty() {
            continue;
        }
        for selector in selectors {
            kept.extend(selector.matchers.iter().map(|matcher| matcher.label.clone()));
        }
        kept.extend(rule.capacity.iter().filter_map(|told| match told {
            Told::Metric { label, selector, .. } if selector.metric == metric => label.clone(),
            _ => None,
        }));
        if !is_added_up(rule) {
            kept.extend(rule.each.clone()?);
        }
    }
    Some(kept)
}

/// Whether groups are of no account, because all are added up in the end. Those of counters that may end count one by
/// one: in their sum the end of one, such as a path of a media server, looks as if all had been started anew. The parts
/// of a whole stay: a machine has its cores, and by core they would be the larger part of all replies.
fn is_added_up(rule: &Rule) -> bool {
    let is_sum = rule.combine == Combine::Sum || rule.combine == Combine::Avg && !rule.of.is_empty();
    let may_end = rule.reading != Measure::Value && rule.falls == Falls::Skip && rule.of.is_empty();
    is_sum && !may_end && rule.unless.is_none() && rule.clock.is_none() && rule.capacity.is_empty()
}

/// An exporter as one of Prometheus' jobs reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Its label, mostly `instance`.
    pub label: String,
    /// The job.
    pub job: String,
}

impl Target {
    fn of(series: &Series, label: &str) -> Self {
        Self { label: series.label(label).to_owned(), job: series.label(JOB).to_owned() }
    }
}

/// The last scrapes of all targets that are up, and what they gave.
#[derive(Debug, Clone, Default)]
pub struct Replies {
    label: String,
    targets: BTreeMap<Target, LastScrape>,
    failed: BTreeMap<String, ScrapeError>,
}

#[derive(Debug, Clone, Default)]
struct LastScrape {
    /// Unix seconds.
    at: f64,
    /// By metric.
    series: BTreeMap<String, Vec<Series>>,
}

/// What the last scrape of one target counts.
#[derive(Debug)]
pub struct Found<'r> {
    /// Which.
    pub target: &'r Target,
    /// When it was scraped, Unix seconds on Prometheus' clock.
    pub scraped: f64,
    /// What was counted.
    pub counters: Counters,
}

impl Replies {
    /// Begins with the reply to `scrape_times`; targets are told apart by `label`.
    pub fn new(label: &str, times: &[Series]) -> Self {
        let scrape = |at| LastScrape { at, series: BTreeMap::new() };
        let time = |series: &Series| Some((Target::of(series, label), scrape(series.value()?)));
        Self { label: label.to_owned(), targets: times.iter().filter_map(time).collect(), failed: BTreeMap::new() }
    }

    /// Takes what a query for a metric gave. Series of targets that are not up are of no use.
    pub fn take(&mut self, metric: &str, outcome: Result<Vec<Series>, ScrapeError>) {
        match outcome {
            Ok(all) => {
                for series in all {
                    if let Some(scrape) = self.targets.get_mut(&Target::of(&series, &self.label)) {
                        scrape.series.entry(metric.to_owned()).or_default().push(series);
                    }
                }
            }
            Err(error) => {
                self.failed.insert(metric.to_owned(), error);
            }
        }
    }

    /// All targets that are up.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.keys()
    }

    /// What a preset counts of one of a node's targets: of that which has most of its metrics, so that what other
    /// exporters of the machine tell of themselves is not taken for the media server's. Of several with as many it is
    /// the `last` one again, for another would look like a restart; and while that is not up, none.
    pub fn counters<'r>(
        &'r self,
        preset: &Preset,
        of_node: &[&'r Target],
        last: Option<&Target>,
    ) -> Result<Found<'r>, ScrapeError> {
        // Without one of them the rest may mean something else.
        if let Some(error) = preset.wanted().find_map(|(metric, _)| self.failed.get(metric)) {
            return Err(error.clone());
        }
        if let Some(last) = last.filter(|last| !of_node.contains(last)) {
            return Err(ScrapeError::NotOfTarget { target: last.label.clone(), metrics: looked_for(preset) });
        }
        let candidates = of_node.iter().filter_map(|target| {
            let scrape = self.targets.get(target)?;
            let has = preset.wanted().filter(|(metric, _)| scrape.series.contains_key(*metric)).count();
            (has > 0).then_some((has, Some(*target) == last, *target, scrape))
        });
        let best = candidates.max_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(b.2.cmp(a.2)));
        let Some((_, _, target, scrape)) = best else {
            let target = of_node.first().map(|target| target.label.clone()).unwrap_or_default();
            return Err(ScrapeError::NotOfTarget { target, metrics: looked_for(preset) });
        };
        let mut found = Exposition { samples: Vec::new(), refused: 0 };
        for (metric, can_be_negative) in preset.wanted() {
            for series in scrape.series.get(metric).into_iter().flatten() {
                let Some(value) = series.value().filter(|value| can_be_negative || *value >= 0.0) else {
                    found.refused += 1;
                    continue;
                };
                let labels = series.metric.iter().filter(|(key, _)| !is_of_target(key, &self.label));
                let labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
                found.samples.push(Sample { name: metric, labels, value });
            }
        }
        Ok(Found { target, scraped: scrape.at, counters: count(preset, &found)? })
    }
}

/// The first metric of each rule of a preset.
fn looked_for(preset: &Preset) -> String {
    let first = preset.rules.iter().filter_map(|rule| rule.metric.first());
    let names: BTreeSet<String> = first.map(|selector| format!("`{}`", selector.metric)).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// Labels that Prometheus gave, which the exporter's own answer does not have.
fn is_of_target(key: &str, label: &str) -> bool {
    key == "__name__" || key == JOB || key == "instance" || key == label
}

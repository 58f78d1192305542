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
use crate::pool::{Combine, Preset, Rule, Told};

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
        let told = rule.capacity.iter().flat_map(Told::selectors).chain(&rule.unless);
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

/// Whether groups are of no account, because all are added up in the end.
fn is_added_up(rule: &Rule) -> bool {
    let is_sum = rule.combine == Combine::Sum || rule.combine == Combine::Avg && !rule.of.is_empty();
    is_sum && rule.unless.is_none() && rule.capacity.is_empty()
}

/// The last scrapes of all targets, and what they gave.
#[derive(Debug, Clone, Default)]
pub struct Replies {
    /// By target: the value of the label, and the job. Unix seconds.
    pub scraped: BTreeMap<(String, String), f64>,
    /// By metric.
    pub series: BTreeMap<String, Vec<Series>>,
}

impl Replies {
    /// Takes the reply to `scrape_times`.
    pub fn take_times(&mut self, label: &str, series: &[Series]) {
        for each in series {
            if let Some(at) = each.value() {
                self.scraped.insert((each.label(label).to_owned(), each.label(JOB).to_owned()), at);
            }
        }
    }

    /// What a preset counts for the targets that `is_of` takes by their label, and when that was, Unix seconds. Each
    /// metric is taken of the job that was scraped last among those that have it.
    pub fn counters(
        &self,
        preset: &Preset,
        label: &str,
        is_of: impl Fn(&str) -> bool,
    ) -> Result<(f64, Counters), ScrapeError> {
        let mut samples = Vec::new();
        let mut oldest = f64::INFINITY;
        let mut refused = 0;
        for (metric, can_be_negative) in preset.wanted() {
            let Some(series) = self.series.get(metric) else { continue };
            let of_node = || series.iter().filter(|series| is_of(series.label(label)));
            let time = |series: &Series| {
                self.scraped.get(&(series.label(label).to_owned(), series.label(JOB).to_owned())).copied()
            };
            let latest = of_node().filter_map(|series| Some((time(series)?, series.label(label), series.label(JOB))));
            let Some((at, instance, job)) = latest.max_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
            for series in of_node().filter(|series| series.label(label) == instance && series.label(JOB) == job) {
                let value = series.value().filter(|value| can_be_negative || *value >= 0.0);
                let Some(value) = value else {
                    refused += 1;
                    continue;
                };
                let labels = series.metric.iter().filter(|(key, _)| !is_of_target(key, label));
                let labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
                samples.push(Sample { name: metric, labels, value });
                oldest = oldest.min(at);
            }
        }
        if samples.is_empty() {
            return Err(ScrapeError::NothingWanted { refused });
        }
        Ok((oldest, count(preset, &Exposition { samples, refused })?))
    }
}

/// Labels that Prometheus gave, which the exporter's own answer does not have.
fn is_of_target(key: &str, label: &str) -> bool {
    key == "__name__" || key == JOB || key == "instance" || key == label
}

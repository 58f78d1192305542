//! One scrape of an exporter → what each rule of its preset counts there.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};

use crate::load::error::ScrapeError;
use crate::load::exposition::{self, Exposition, Kind, Sample, Wanted};
use crate::pool::{Identity, Preset, Resource, Rule, Selector, Told};

/// What one scrape tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters {
    /// By rule of the preset: its groups, by the labels that tell them apart.
    pub rules: Vec<BTreeMap<String, Counted>>,
    /// What names the present runs of the server, with the time of their start or 0.
    pub runs: BTreeMap<String, f64>,
    /// The node's clock, Unix seconds.
    pub clock: Option<f64>,
    /// The server lets nobody new in.
    pub is_draining: bool,
    /// Lines with a wanted name that could not be read or held no possible value.
    pub refused: usize,
}

/// What a rule counts in one group; as the exporter has it, in its own unit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counted {
    /// The sum of its series.
    pub value: f64,
    /// The sum of those that they are a part of; 0 if the rule has none.
    pub of: f64,
    /// What it could be, in the unit of the resource.
    pub capacity: Option<f64>,
    /// That is the capacity of all groups together.
    pub is_shared: bool,
    /// The node's clock when it was brought up to date, in seconds.
    pub clock: Option<f64>,
    /// How many series were added: with others, sums cannot be compared.
    pub series: u32,
}

/// Reads an exporter's answer; one without anything that its preset counts is an error.
pub fn read(preset: &Preset, body: &[u8]) -> Result<Counters, ScrapeError> {
    count(preset, &exposition::read(body, &wanted(preset))?)
}

/// The metrics that a preset looks at.
pub fn wanted(preset: &Preset) -> Vec<Wanted<'_>> {
    let kind = |can_be_negative| if can_be_negative { Kind::Gauge } else { Kind::Counter };
    preset.wanted().map(|(name, can_be_negative)| Wanted { name, kind: kind(can_be_negative) }).collect()
}

/// Counts what was found.
pub fn count(preset: &Preset, found: &Exposition<'_>) -> Result<Counters, ScrapeError> {
    let Exposition { samples, refused } = found;
    refuse_duplicates(samples)?;
    let Preset { rules, restart, clock, up, draining, .. } = preset;
    if let Some(up) = up
        && of(samples, up).any(|sample| sample.value == 0.0)
    {
        return Err(ScrapeError::ServerDown(up.to_string()));
    }
    let mut counted: Vec<_> = rules.iter().map(|rule| groups(rule, samples)).collect();
    // Memory and disks alone say nothing of viewers.
    let is_load = |(counted, rule): (&BTreeMap<_, _>, &Rule)| {
        !counted.is_empty() && !matches!(rule.resource, Resource::Memory | Resource::Disk)
    };
    if !counted.iter().zip(rules).any(is_load) {
        return Err(ScrapeError::NothingWanted { refused: *refused });
    }
    let nothing_found = counted.iter_mut().zip(rules).filter(|(groups, _)| groups.is_empty());
    for (groups, _) in nothing_found.filter(|(_, rule)| is_idle(rule, samples)) {
        // No series is another number of series than one: when there are some, nothing is compared with this.
        groups.insert(String::new(), Counted::default());
    }
    // What an exporter tells of itself stands beside what it tells of its server, and goes on.
    let mut runs = restart.iter().map(|identity| runs(identity, samples)).filter(|runs| !runs.is_empty());
    Ok(Counters {
        rules: counted,
        runs: runs.next().unwrap_or_default(),
        clock: clock.as_ref().and_then(|clock| of(samples, clock).next()).map(|sample| sample.value),
        is_draining: draining.iter().any(|selector| of(samples, selector).any(|sample| sample.value != 0.0)),
        refused: *refused,
    })
}

/// The runs that an identity names, with the time of their start or 0.
fn runs(identity: &Identity, samples: &[Sample<'_>]) -> BTreeMap<String, f64> {
    let run = |sample: &Sample<'_>| match identity.labels.as_slice() {
        [] => (key(sample, None), sample.value),
        labels => (key(sample, Some(labels)), 0.0),
    };
    of(samples, &identity.selector).map(run).collect()
}

/// Whether the exporter says that there is nothing for the rule to count.
fn is_idle(rule: &Rule, samples: &[Sample<'_>]) -> bool {
    let mut told = rule.idle.iter().flat_map(|selector| of(samples, selector)).peekable();
    told.peek().is_some() && told.all(|sample| sample.value == 0.0)
}

/// The groups of a rule; without any of what is counted, or of what it is a part of, there is no group.
fn groups(rule: &Rule, samples: &[Sample<'_>]) -> BTreeMap<String, Counted> {
    let Rule { metric, of: whole, unless, each, clock, capacity, .. } = rule;
    let each = each.as_deref();
    let mut groups: BTreeMap<String, Counted> = BTreeMap::new();
    for sample in metric.iter().flat_map(|selector| of(samples, selector)) {
        let group = groups.entry(key(sample, each)).or_default();
        group.value += sample.value;
        group.series += 1;
    }
    if !whole.is_empty() {
        let mut found = BTreeSet::new();
        for sample in whole.iter().flat_map(|selector| of(samples, selector)) {
            let key = key(sample, each);
            if let Some(group) = groups.get_mut(&key) {
                group.of += sample.value;
                group.series += 1;
                found.insert(key);
            }
        }
        groups.retain(|key, _| found.contains(key));
    }
    for sample in unless.iter().flat_map(|selector| of(samples, selector)).filter(|sample| sample.value != 0.0) {
        groups.remove(&key(sample, each));
    }
    // One that is of no group is of all of them.
    for sample in clock.iter().flat_map(|selector| of(samples, selector)) {
        let (key, is_alone) = (key(sample, each), sample.labels.is_empty());
        for (_, group) in groups.iter_mut().filter(|(group, _)| is_alone || **group == key) {
            group.clock = Some(sample.value);
        }
    }
    for told in capacity {
        let told = capacities(told, samples, each);
        for (key, group) in groups.iter_mut().filter(|(_, group)| group.capacity.is_none()) {
            let (own, shared) = (told.get(key), told.get(""));
            group.capacity = own.or(shared).copied();
            group.is_shared = !key.is_empty() && own.is_none() && shared.is_some();
        }
    }
    groups
}

/// Capacities above 0, by group; the empty key is that of all.
fn capacities(told: &Told, samples: &[Sample<'_>], each: Option<&[String]>) -> BTreeMap<String, f64> {
    let (selector, over, label, scale) = match told {
        Told::Number(number) => return [(String::new(), *number)].into(),
        Told::Metric { selector, over, label, scale } => (selector, over, label, scale),
    };
    let divisors: BTreeMap<String, f64> =
        over.iter().flat_map(|over| of(samples, over)).map(|sample| (key(sample, each), sample.value)).collect();
    let of_sample = |sample: &Sample<'_>| {
        let value = match label {
            Some(label) => sample.label(label)?.parse().ok()?,
            None => sample.value,
        };
        let key = key(sample, each);
        let divisor = if over.is_some() { *divisors.get(&key)? } else { 1.0 };
        let capacity = value * scale / divisor;
        (capacity.is_finite() && capacity > 0.0).then_some((key, capacity))
    };
    of(samples, selector).filter_map(of_sample).collect()
}

/// The samples that a selector takes.
fn of<'s>(samples: &'s [Sample<'s>], selector: &'s Selector) -> impl Iterator<Item = &'s Sample<'s>> {
    samples.iter().filter(move |sample| sample.name == selector.metric && selector.takes(|label| sample.label(label)))
}

/// What tells a sample's group from others: the values of these labels, or all labels. Without any it is empty.
fn key(sample: &Sample<'_>, each: Option<&[String]>) -> String {
    let values = |labels: &[String]| -> Vec<&str> { labels.iter().filter_map(|label| sample.label(label)).collect() };
    match each {
        Some(labels) => values(labels).join("\u{1f}"),
        None => {
            let all: Vec<String> = sample.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
            all.join("\u{1f}")
        }
    }
}

/// Which of two equal series is true nobody can know.
fn refuse_duplicates(samples: &[Sample<'_>]) -> Result<(), ScrapeError> {
    let mut seen = BTreeSet::new();
    match samples.iter().find(|sample| !seen.insert((sample.name, &sample.labels))) {
        Some(twin) => Err(ScrapeError::Duplicate(twin.name.to_owned())),
        None => Ok(()),
    }
}

//! What one scrape shows of each rule of a preset, for whoever sets exporters up.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;

use crate::load::counters::{Counted, Counters};
use crate::load::rate::{Amount, measure};
use crate::pool::{Measure, Preset, Resource};

/// What one rule found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Of what.
    pub resource: Resource,
    /// What it looks for, as PromQL writes it.
    pub metric: String,
    /// How many series it found.
    pub series: u32,
    /// How many groups these are; one of no series where the exporter says that there is nothing to count.
    pub groups: usize,
    /// How much is used; none if that takes two scrapes, or cannot be told.
    pub amount: Option<Amount>,
    /// Whether it takes two scrapes.
    pub is_rate: bool,
    /// What there could be, as the exporter tells.
    pub capacity: Option<f64>,
    /// Without a word of the node's configuration one core is taken for all that its process can use.
    pub is_one_core: bool,
}

/// The findings of a scrape, rule by rule. A rule after one that finds something for the same resource does not count, and
/// is left out.
pub fn findings(preset: &Preset, counters: &Counters) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (rule, groups) in preset.rules.iter().zip(&counters.rules) {
        let known = findings.iter().position(|finding| finding.resource == rule.resource);
        let has_found = known.is_some_and(|at| findings[at].groups > 0);
        // Of drops every rule counts.
        let is_beside = rule.resource == Resource::UdpDrops && has_found;
        if has_found && !is_beside || known.is_some() && groups.is_empty() {
            continue;
        }
        let amount = match rule.reading {
            Measure::Value => measure(rule, &BTreeMap::new(), groups, 1.0).ok().flatten(),
            Measure::Rate | Measure::Delta => None,
        };
        let finding = Finding {
            resource: rule.resource.clone(),
            metric: rule.metric.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + "),
            series: groups.values().map(|group| group.series).sum(),
            groups: groups.len(),
            is_rate: rule.reading != Measure::Value,
            is_one_core: rule.resource == Resource::ProcessCpu && rule.capacity.is_empty(),
            capacity: capacity(amount, groups),
            amount,
        };
        match known.filter(|_| !is_beside) {
            Some(at) => findings[at] = finding,
            None => findings.push(finding),
        }
    }
    findings
}

/// The capacity that counts with this amount, or of the group that has counted most since its start: of network devices
/// that is the one that viewers use.
fn capacity(amount: Option<Amount>, groups: &BTreeMap<String, Counted>) -> Option<f64> {
    let busiest = || groups.values().max_by(|a, b| a.value.total_cmp(&b.value))?.capacity;
    amount.map_or_else(busiest, |amount| amount.capacity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::embedded_presets;
    use crate::load;

    #[test]
    fn every_resource_is_told_once_with_what_was_found_or_looked_for() {
        let preset = &embedded_presets()["redis"];
        let body = include_bytes!("../../tests/load/redis_exporter.prom");
        let found = findings(preset, &load::read(preset, body).expect("counters"));
        let told: Vec<_> =
            found.iter().map(|finding| (finding.resource.word(), finding.series, finding.capacity)).collect();
        let expected =
            [("process_cpu", 2, None), ("egress", 1, None), ("clients", 1, Some(10_000.0)), ("memory", 1, None)];
        assert_eq!(told, expected);
        assert_eq!(found[2].amount.map(|amount| amount.used), Some(1.0));
        assert_eq!(found[1].amount, None, "a rate takes two scrapes");

        // Of two rules for one resource the one that finds something is told.
        let preset = &embedded_presets()["mediamtx"];
        let body = b"paths_bytes_sent{name=\"a\"} 7\nrtmp_conns{id=\"1\"} 1\n";
        let found = findings(preset, &load::read(preset, body).expect("counters"));
        assert_eq!(found.iter().map(|finding| finding.series).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(found[0].metric, "paths_bytes_sent");
        let found = findings(preset, &load::read(preset, b"rtmp_conns 0\n").expect("counters"));
        assert_eq!((found[0].series, found[0].metric.as_str()), (0, "paths_outbound_bytes"));
    }
}

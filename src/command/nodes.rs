//! `thalweg nodes`: every node as a table, the worst first.

use std::path::Path;
use std::time::Duration;

use hyper::Method;

use super::admin::{Daemon, NoAnswer};
use super::status::json;
use super::table::aligned;
use super::watch::{show, span};
use super::{FAILURE, SUCCESS};
use crate::diagnostic::nearest;
use crate::intake::SourceReport;
use crate::pool::Bitrate;
use crate::serve::admin::{NodeReport, NodesReport};

/// Which nodes are shown: those that all of these have.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// These nodes; empty = all.
    pub nodes: Vec<String>,
    /// At this place.
    pub place: Option<String>,
    /// In this pool.
    pub pool: Option<String>,
}

/// Prints them once, or every so often; as a table or as JSON.
pub fn nodes(file: &Path, filter: &Filter, is_json: bool, interval: Option<Duration>) -> u8 {
    show(interval, || {
        let report = ask(file).map_err(|no_answer| match no_answer {
            NoAnswer::Refused(message) | NoAnswer::Unreachable(message) => message,
        });
        match report.and_then(|report| filter.apply(report)) {
            Ok(report) if is_json => (json(&report, interval), SUCCESS),
            Ok(report) => (text(&report), SUCCESS),
            Err(message) => {
                eprintln!("thalweg nodes: {message}");
                (String::new(), FAILURE)
            }
        }
    })
}

/// What the daemon says of all nodes.
pub(super) fn ask(file: &Path) -> Result<NodesReport, NoAnswer> {
    Daemon::of(file).map_err(NoAnswer::Unreachable)?.ask(&Method::GET, "/v1/nodes", &[], None)
}

impl Filter {
    fn apply(&self, report: NodesReport) -> Result<NodesReport, String> {
        let Self { nodes, place, pool } = self;
        let all = &report.nodes;
        for name in nodes {
            known("node", name, all.iter().map(|node| node.node.as_str()))?;
        }
        if let Some(place) = place {
            known("place", place, all.iter().map(|node| node.place.as_str()))?;
        }
        if let Some(pool) = pool {
            known("pool", pool, all.iter().flat_map(|node| &node.pools).map(String::as_str))?;
        }
        let is_meant = |node: &NodeReport| {
            (nodes.is_empty() || nodes.contains(&node.node))
                && place.as_ref().is_none_or(|place| *place == node.place)
                && pool.as_ref().is_none_or(|pool| node.pools.contains(pool))
        };
        let nodes = report.nodes.into_iter().filter(is_meant).collect();
        Ok(NodesReport { nodes, ..report })
    }
}

fn known<'a>(what: &str, name: &str, mut all: impl Iterator<Item = &'a str> + Clone) -> Result<(), String> {
    if all.clone().any(|known| known == name) {
        return Ok(());
    }
    let meant = nearest(name, all.by_ref()).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
    Err(format!("no {what} is called `{name}`{meant}"))
}

fn text(report: &NodesReport) -> String {
    let mut text = String::new();
    if report.is_stuck {
        text.push_str(&format!("no tables were made for {}: what follows is as old\n", span(report.tick_age)));
    }
    if report.nodes.is_empty() {
        return text + "no node is configured\n";
    }
    let head = [
        "NODE", "PLACE", "STANDING", "SINCE", "PRESSURE", "LIMIT", "WORST", "EGRESS", "CLIENTS", "ANSWERS", "AGE",
        "SOURCES", "WHY",
    ];
    text + &aligned(&head, report.nodes.iter().map(|node| row(node, report.now)))
}

fn row(node: &NodeReport, now: u64) -> Vec<String> {
    let measured = node.pressure.map_or_else(|| "?".to_owned(), |pressure| format!("{pressure:.2}"));
    let worst = node.worst.as_ref().map_or_else(String::new, |worst| {
        format!("{} {:.0}% of {:.0}%", worst.resource, worst.share * 100.0, worst.limit * 100.0)
    });
    let rate = |megabits: f64| Bitrate(megabits * 1e6).to_string();
    let egress = match (node.egress, node.egress_capacity) {
        (Some(egress), Some(capacity)) => format!("{} of {}", rate(egress.round()), rate(capacity)),
        (Some(egress), None) => rate(egress.round()),
        (None, Some(capacity)) => format!("? of {}", rate(capacity)),
        (None, None) => String::new(),
    };
    vec![
        node.node.clone(),
        node.place.clone(),
        node.standing.clone(),
        node.since.map_or_else(String::new, |since| span(now.saturating_sub(since) as f64)),
        format!("{measured} → {:.2}", node.predicted),
        node.limit.filter(|limit| *limit > 1.0).map_or_else(String::new, |limit| format!("{limit}")),
        worst,
        egress,
        node.clients.map_or_else(String::new, |clients| format!("{clients:.0}")),
        node.answers.map_or_else(String::new, |part| format!("{:.0}%", part * 100.0)),
        node.age.map_or_else(|| "-".to_owned(), span),
        sources(&node.sources),
        node.because.clone(),
    ]
}

/// The kinds of sources, those with trouble marked; what trouble it is stands in `--json` and in the reason.
fn sources(sources: &[SourceReport]) -> String {
    let one = |source: &SourceReport| format!("{}{}", source.kind, if source.trouble.is_some() { "!" } else { "" });
    sources.iter().map(one).collect::<Vec<_>>().join(" ")
}

//! Maintenance: what was written of it, checked and as it is run.
#![deny(clippy::disallowed_methods)]

use crate::diagnostic::Diagnostic;
use crate::pool::{Maintenance, Selection, When};

use super::file::{ConfigFile, MaintenanceTable};
use super::resolve::labels;
use super::rules::check_known;
use super::value::did_you_mean;
use super::written::{Problems, Written};

/// Reports times and nodes that are none.
pub(super) fn check(file: &ConfigFile, problems: &Problems) {
    let nodes: Vec<&str> = file.nodes.iter().map(|node| node.name.value.as_str()).collect();
    let places: Vec<&str> = file.places.iter().map(|place| place.name.value.as_str()).collect();
    for table in &file.maintenance {
        let MaintenanceTable { name, nodes: named, place, labels: wanted, selections, from, until, times, .. } = table;
        if selections.len() != 1 {
            let message = format!("the maintenance `{}` must say of which nodes, once", name.value);
            let help = "write either `nodes = [\"fra1\"]`, `place = \"fra\"` or `labels = { role = \"edge\" }`";
            problems.add_to(name, Diagnostic::error(message).help(help));
        }
        for node in named.iter().flat_map(|named| &named.value) {
            if file.inventories.is_empty() || nodes.contains(&node.value.as_str()) {
                check_known("node", node, &nodes, problems);
                continue;
            }
            // A list may have it, or a heartbeat bring it.
            let message = format!("no table makes a node `{}`: only an inventory may have it", node.value);
            let help = did_you_mean(&node.value, nodes.iter().copied());
            problems.add_to(node, Diagnostic::warning(message).maybe_help(help));
        }
        if let Some(place) = place {
            check_known("place", place, &places, problems);
        }
        let has_labels = |node: &super::file::NodeTable| {
            let own = labels(&node.settings, &file.node_defaults);
            own.zip(wanted.as_ref())
                .is_none_or(|(own, wanted)| wanted.iter().all(|(key, value)| own.get(key) == Some(value)))
        };
        if selections.contains(&"labels") && !file.nodes.is_empty() && !file.nodes.iter().any(has_labels) {
            let message = format!("no node has the labels of the maintenance `{}`", name.value);
            problems.add_to(name, Diagnostic::warning(message));
        }
        match times.as_slice() {
            ["from", "until"] | ["every"] => {}
            _ => {
                let message = format!("the maintenance `{}` must say when, once", name.value);
                let help = "write either `from` and `until`, or `every = \"Sun 03:00-05:00\"`";
                problems.add_to(name, Diagnostic::error(message).help(help));
            }
        }
        if let (Some(from), Some(until)) = (from, until)
            && until.value <= from.value
        {
            problems.add_to(until, Diagnostic::error("it ends before it begins").help("`until` is later than `from`"));
        }
    }
}

/// As it is run; none if something is missing, which has been reported.
pub(super) fn resolve(table: MaintenanceTable) -> Option<Written<Maintenance>> {
    let MaintenanceTable { name, nodes, place, labels, selections, from, until, every, times: _, lead, reason } = table;
    let which = match selections.first() {
        Some(&"nodes") => Selection::Nodes(nodes?.value.into_iter().map(|node| node.value).collect()),
        Some(&"place") => Selection::Place(place?.value),
        _ => Selection::Labels(labels?),
    };
    let when = match every {
        Some(every) => every.value,
        None => When::Once { from: from?.value, until: until?.value },
    };
    let (lead, reason) = (lead.map_or(0, |lead| lead.value.as_secs()), reason?.value);
    Some(name.map(|name| Maintenance { name, which, when, lead, reason }))
}

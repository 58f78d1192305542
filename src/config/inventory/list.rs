//! The shape of a list: groups of targets with labels, and nothing else.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;

use crate::config::tree::{Entry, Item, Value};
use crate::config::value::{self, did_you_mean, shown};
use crate::config::written::{Problems, Written};
use crate::diagnostic::Diagnostic;

/// Targets that have the same labels.
pub(super) struct Group {
    /// Hosts and ports of exporters.
    pub(super) targets: Vec<Written<String>>,
    /// By name; those without a value are not there.
    pub(super) labels: Labels,
}

/// Labels by name.
pub(super) type Labels = BTreeMap<String, Item>;

/// The groups of a list; what has another shape is reported and left out.
pub(super) fn read(tree: &Item, problems: &Problems) -> Vec<Group> {
    let Value::Array(groups) = &tree.value else {
        let help = "write `[{\"targets\": [\"198.51.100.10:9100\"], \"labels\": {}}]`; an empty list is `[]`";
        wrong(tree, "a list of groups", Some(help.to_owned()), problems);
        return Vec::new();
    };
    groups.iter().filter_map(|group| read_group(group, problems)).collect()
}

fn read_group(item: &Item, problems: &Problems) -> Option<Group> {
    const KEYS: [&str; 2] = ["targets", "labels"];
    let Value::Table(entries) = &item.value else {
        wrong(item, "a group: a table of `targets` and `labels`", None, problems);
        return None;
    };
    let mut group = Group { targets: Vec::new(), labels: Labels::new() };
    for entry in entries {
        match entry.key.as_str() {
            "targets" => group.targets = read_targets(&entry.item, problems),
            "labels" => group.labels = read_labels(&entry.item, problems),
            unknown => {
                let help = did_you_mean(unknown, KEYS).unwrap_or_else(|| {
                    format!(
                        "a group has `targets` and `labels`, and Prometheus takes no others: make `{unknown}` a label"
                    )
                });
                problems.add(&entry.key_place, Diagnostic::error(format!("unknown key `{unknown}`")).help(help));
            }
        }
    }
    Some(group)
}

fn read_targets(item: &Item, problems: &Problems) -> Vec<Written<String>> {
    match &item.value {
        Value::Array(items) => items.iter().filter_map(|item| read_target(item, problems)).collect(),
        // Nothing, as Prometheus reads it.
        Value::Datetime => Vec::new(),
        Value::Variable(text) if text.is_empty() => Vec::new(),
        Value::Variable(_) => {
            wrong(item, "a list of targets", Some(format!("write `[{}]`", item.place.text())), problems);
            Vec::new()
        }
        _ => {
            wrong(item, "a list of targets", None, problems);
            Vec::new()
        }
    }
}

fn read_target(item: &Item, problems: &Problems) -> Option<Written<String>> {
    let text = read_text(item, problems)?;
    let expected = "a target: host and port of an exporter, as in `198.51.100.10:9100`";
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split('/').next().unwrap_or(rest);
            let help = format!("write `\"{host}\"`, and the rest as labels: `__scheme__` is \"{scheme}\"");
            wrong(item, expected, Some(help), problems);
            None
        }
        None if text.is_empty()
            || text.contains(['/', '?', '#', '@', '{', '}'])
            || text.contains(char::is_whitespace) =>
        {
            let help = text.contains('/').then(|| "the path is a label, `__metrics_path__`".to_owned());
            wrong(item, expected, help, problems);
            None
        }
        None => Some(Written::at(&item.place, text)),
    }
}

fn read_labels(item: &Item, problems: &Problems) -> Labels {
    let entries: &[Entry] = match &item.value {
        Value::Table(entries) => entries,
        Value::Datetime => &[],
        Value::Variable(text) if text.is_empty() => &[],
        _ => {
            wrong(item, "a table of labels", None, problems);
            &[]
        }
    };
    let mut labels = Labels::new();
    for entry in entries {
        // A label without a value, as Prometheus reads it, is none.
        if matches!(entry.item.value, Value::Datetime) {
            continue;
        }
        if let Some(text) = read_text(&entry.item, problems)
            && !text.is_empty()
        {
            labels.insert(entry.key.clone(), entry.item.clone());
        }
    }
    labels
}

fn read_text(item: &Item, problems: &Problems) -> Option<String> {
    match value::text(item) {
        Ok(text) => Some(text),
        Err(wrong) => {
            problems.add(&item.place, wrong);
            None
        }
    }
}

fn wrong(item: &Item, expected: &str, help: Option<String>, problems: &Problems) {
    let error = Diagnostic::error(format!("{} is not {expected}", shown(item)));
    problems.add(&item.place, error.maybe_help(help));
}

//! Nodes of lists and of the configuration put together: all targets of one key are one node, and `[node.NAME]` wins.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::target::Target;
use super::{Inventory, List, OwnNodes};
use crate::config::Config;
use crate::config::access::Accesses;
use crate::config::file::{
    AccessTable, CapacityTable, ExporterTable, ExportersTable, LimitsTable, NodeSettings, NodeTable,
};
use crate::config::resolve::{Common, resolve_node};
use crate::config::written::Written;
use crate::diagnostic::Diagnostic;
use crate::pool::{Family, HEARTBEAT, MAX_NODES, Node};

/// Names that a message lists before it only counts.
const LISTED: usize = 5;

/// See `Config::merge`.
pub(super) fn merge(config: &Config, lists: &[(&Inventory, &List)]) -> (Vec<Written<Node>>, Vec<Diagnostic>) {
    let OwnNodes { defaults, nodes: own, scrape, presets, atlas } = &*config.own_nodes;
    // Each access of a node is one that the configuration has by itself: lists name none.
    let accesses = Accesses::default();
    let common = Common { node_defaults: defaults, scrape, presets, accesses: &accesses };
    let mut merger = Merger { config, diagnostics: Vec::new() };
    let mut found: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for target in lists.iter().flat_map(|(_, list)| &list.targets) {
        let targets = found.entry(&target.key.value).or_insert_with(|| {
            order.push(&target.key.value);
            Vec::new()
        });
        targets.push(target);
    }
    let own_names: BTreeSet<&str> = own.iter().map(|node| node.name.value.as_str()).collect();
    let mut nodes = Vec::new();
    for table in own {
        let listed = found.get(table.name.value.as_str()).map(|targets| merger.node(targets));
        let (listed, drained) = listed.map_or_else(|| (None, None), |(listed, drained)| (Some(listed), drained));
        let table = match listed {
            Some(listed) => over(table.clone(), listed),
            None => table.clone(),
        };
        let table = without_idle_heartbeats(table, defaults);
        if table.addresses.is_empty() {
            let message = format!("the node `{}` has no `addresses`, and no list has them", table.name.value);
            let help = "write `addresses = […]`, or remove the table; until then there is no such node";
            merger.diagnostics.push(table.name.warning(message).help(help));
            continue;
        }
        nodes.push(resolve_node(table, &common, atlas).map(|node| Node { drained, ..node }));
    }
    let own_count = nodes.len();
    for name in order.iter().filter(|name| !own_names.contains(**name)) {
        let (table, drained) = merger.node(&found[name]);
        let table = without_idle_heartbeats(table, defaults);
        if !table.addresses.is_empty() {
            nodes.push(resolve_node(table, &common, atlas).map(|node| Node { drained, ..node }));
        }
    }
    merger.warn_of_hosts(lists, &found);
    merger.check_addresses(&mut nodes, own_count);
    merger.check_count(&nodes);
    merger.check_pools(&nodes);
    (nodes, merger.diagnostics)
}

struct Merger<'c> {
    config: &'c Config,
    diagnostics: Vec<Diagnostic>,
}

impl Merger<'_> {
    /// What all targets of a node say, and why it is drained.
    fn node(&mut self, targets: &[&Target]) -> (NodeTable, Option<String>) {
        let name = targets[0].key.clone();
        let mut addresses: Vec<Written<IpAddr>> = Vec::new();
        for address in targets.iter().flat_map(|target| &target.addresses) {
            match addresses.iter().find(|first| first.value.is_ipv4() == address.value.is_ipv4()) {
                None => addresses.push(address.clone()),
                Some(first) if first.value == address.value => {}
                Some(first) => self.contradict(&name.value, "an address", address, first),
            }
        }
        if addresses.is_empty() {
            // They are told of together.
            addresses.extend(targets.iter().find_map(|target| target.host.clone()));
        }
        let settings = NodeSettings {
            place: self.one(&name, "a place", targets, |target| &target.place),
            labels: Some(self.labels(&name, targets)),
            capacity: CapacityTable {
                egress: self.one(&name, "a capacity", targets, |target| &target.egress),
                clients: self.one(&name, "a number of clients", targets, |target| &target.clients),
                process_cpu: None,
            },
            limits: LimitsTable::default(),
            interval: shortest(targets),
            exporters: self.exporters(&name, targets),
            cost: self.one(&name, "a cost", targets, |target| &target.cost),
            weight: self.one(&name, "a weight", targets, |target| &target.weight),
            serves: None,
            check: None,
            rise: None,
            fall: None,
        };
        let drained = targets.iter().find_map(|target| target.drain.clone());
        (NodeTable { name, addresses, settings }, drained)
    }

    /// The first value that any target has; others must be the same.
    fn one<T: Clone + PartialEq>(
        &mut self,
        name: &Written<String>,
        what: &str,
        targets: &[&Target],
        of: impl Fn(&Target) -> &Option<Written<T>>,
    ) -> Option<Written<T>> {
        let mut values = targets.iter().filter_map(|target| of(target).as_ref());
        let first = values.next()?;
        if let Some(other) = values.find(|other| other.value != first.value) {
            self.contradict(&name.value, what, other, first);
        }
        Some(first.clone())
    }

    /// Labels that no pool selects by may differ, as `job` does for each exporter of one machine.
    fn labels(&mut self, name: &Written<String>, targets: &[&Target]) -> BTreeMap<String, String> {
        let mut labels: BTreeMap<&str, &Written<String>> = BTreeMap::new();
        for (label, text) in targets.iter().flat_map(|target| &target.labels) {
            let first = *labels.entry(label).or_insert(text);
            if first.value != text.value && self.is_selected(label) {
                self.contradict(&name.value, &format!("a label `{label}`"), text, first);
            }
        }
        labels.into_iter().map(|(label, text)| (label.to_owned(), text.value.clone())).collect()
    }

    fn is_selected(&self, label: &str) -> bool {
        self.config.pools.iter().any(|pool| pool.value.select.contains_key(label))
    }

    fn exporters(&mut self, name: &Written<String>, targets: &[&Target]) -> ExportersTable {
        let mut exporters = ExportersTable::new();
        for Target { exporter, url, .. } in targets {
            match exporters.iter().find(|(preset, _)| preset.value == *exporter) {
                None => {
                    let access = AccessTable::default();
                    let table = ExporterTable { url: Some(url.clone()), has_url: true, access };
                    exporters.push((url.clone().map(|_| exporter.clone()), table));
                }
                Some((_, ExporterTable { url: Some(first), .. })) if first.value != url.value => {
                    let message = format!(
                        "`{}` has a second exporter that the preset `{exporter}` reads: {}",
                        name.value, url.value
                    );
                    let help = format!(
                        "only {}{} is read; say with a label by which preset, or leave one out",
                        first.value,
                        first.in_place()
                    );
                    self.diagnostics.push(url.error(message).help(help));
                }
                Some(_) => {}
            }
        }
        exporters
    }

    fn contradict<T: Clone>(&mut self, name: &str, what: &str, other: &Written<T>, first: &Written<T>) {
        let message = format!("the node `{name}` has {what} already, and another one");
        let help = format!("the first one counts{}; make them the same, or leave one out", first.in_place());
        self.diagnostics.push(other.error(message).help(help));
    }

    /// Nodes of which no list says what viewers are told.
    fn warn_of_hosts(&mut self, lists: &[(&Inventory, &List)], found: &BTreeMap<&str, Vec<&Target>>) {
        let own = &self.config.own_nodes.nodes;
        let has_own = |name: &str| own.iter().any(|node| node.name.value == name && !node.addresses.is_empty());
        let is_told = |name: &str| has_own(name) || found[name].iter().any(|target| !target.addresses.is_empty());
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for (inventory, list) in lists {
            let untold: Vec<&Target> = list
                .targets
                .iter()
                .filter(|target| !is_told(&target.key.value) && told.insert(&target.key.value))
                .collect();
            let (hosts, names): (Vec<&Target>, Vec<&Target>) = untold
                .into_iter()
                .partition(|target| found[target.key.value.as_str()].iter().any(|one| one.host.is_some()));
            let (label, inventory) = (&inventory.mapping.address, &inventory.name);
            if let Some(first) = hosts.first() {
                let message = format!(
                    "no label `{label}` says what viewers are told of {}: it is the address of the exporter",
                    listed(&hosts)
                );
                let help =
                    format!("give them the label, or map `address` of `[inventory.{inventory}]` to the right one");
                self.diagnostics.push(first.key.warning(message).help(help));
            }
            if let Some(first) = names.first() {
                let message = format!("nobody knows the addresses of {}, so no answer names them", listed(&names));
                let help = format!(
                    "give them the label `{label}` with the addresses for viewers, or map `address` of `[inventory.{inventory}]`"
                );
                self.diagnostics.push(first.key.error(message).help(help));
            }
        }
    }

    /// Leaves out listed nodes that have the address of another one of their pools: the load of one machine would be
    /// counted twice.
    fn check_addresses(&mut self, nodes: &mut Vec<Written<Node>>, own: usize) {
        let mut first_with: HashMap<IpAddr, Node> = HashMap::new();
        let mut index = 0;
        nodes.retain(|written| {
            let node = &written.value;
            let is_own = index < own;
            index += 1;
            for address in [Family::V4, Family::V6].into_iter().filter_map(|family| node.address(family)) {
                let first = first_with.entry(address).or_insert_with(|| node.clone());
                let share = |first: &Node| {
                    self.config.pools.iter().any(|pool| pool.value.selects(first) && pool.value.selects(node))
                };
                // Those of the configuration were looked at with it.
                if first.name == node.name || is_own || !share(first) {
                    continue;
                }
                let message = format!("`{address}` of `{}` is the address of the node `{}` too", node.name, first.name);
                let help = format!("each node needs its own; until then there is no node `{}`", node.name);
                self.diagnostics.push(written.error(message).help(help));
                return false;
            }
            true
        });
    }

    fn check_count(&mut self, nodes: &[Written<Node>]) {
        if let Some(beyond) = nodes.get(MAX_NODES) {
            let message = format!("there are {} nodes, at most {MAX_NODES} are allowed", nodes.len());
            self.diagnostics.push(beyond.error(message).help("until it is fewer, nothing changes"));
        }
    }

    fn check_pools(&mut self, nodes: &[Written<Node>]) {
        for pool in &self.config.pools {
            if !nodes.iter().any(|node| pool.value.selects(&node.value)) {
                let message = format!("the pool `{}` has no node now", pool.value.name);
                let help = "no list has any with the labels that it selects; its services have their static addresses";
                self.diagnostics.push(pool.warning(message).help(help));
            }
        }
    }
}

/// `[node.NAME]` over what lists say of the node, key by key.
fn over(own: NodeTable, listed: NodeTable) -> NodeTable {
    let NodeTable { name, addresses, settings } = own;
    let NodeSettings { place, labels, capacity, limits, interval, exporters, cost, weight, serves, check, rise, fall } =
        settings;
    let CapacityTable { egress, clients, process_cpu } = capacity;
    let other = listed.settings;
    let mut all_labels = other.labels.unwrap_or_default();
    all_labels.extend(labels.unwrap_or_default());
    NodeTable {
        name,
        addresses: if addresses.is_empty() { listed.addresses } else { addresses },
        settings: NodeSettings {
            place: place.or(other.place),
            labels: Some(all_labels),
            capacity: CapacityTable {
                egress: egress.or(other.capacity.egress),
                clients: clients.or(other.capacity.clients),
                process_cpu,
            },
            limits,
            interval: interval.or(other.interval),
            exporters: exporters_over(exporters, other.exporters),
            cost: cost.or(other.cost),
            weight: weight.or(other.weight),
            serves,
            check,
            rise,
            fall,
        },
    }
}

/// The node's own URLs and accesses over the URLs of lists.
fn exporters_over(own: ExportersTable, listed: ExportersTable) -> ExportersTable {
    let mut exporters = own;
    for (preset, listed) in listed {
        match exporters.iter_mut().find(|(known, _)| known.value == preset.value) {
            Some((_, own)) if !own.has_url => (own.url, own.has_url) = (listed.url, listed.has_url),
            Some(_) => {}
            None => exporters.push((preset, listed)),
        }
    }
    exporters
}

/// Exporters are asked more often than heartbeats come, and tell more: those of a node that has any do not count.
fn without_idle_heartbeats(mut table: NodeTable, defaults: &NodeSettings) -> NodeTable {
    let is_heartbeat = |exporter: &ExporterTable| exporter.url.as_ref().is_some_and(|url| url.value == HEARTBEAT);
    let mut all = table.settings.exporters.iter().chain(&defaults.exporters);
    if all.any(|(_, exporter)| exporter.url.is_some() && !is_heartbeat(exporter)) {
        table.settings.exporters.retain(|(_, exporter)| !is_heartbeat(exporter));
    }
    table
}

/// One interval holds for all exporters of a node.
fn shortest(targets: &[&Target]) -> Option<Written<Duration>> {
    targets.iter().filter_map(|target| target.interval.clone()).min_by_key(|interval| interval.value)
}

/// `a`, `b` and 17 more.
fn listed(targets: &[&Target]) -> String {
    let names: Vec<String> = targets.iter().take(LISTED).map(|target| format!("`{}`", target.key.value)).collect();
    match targets.len().checked_sub(LISTED) {
        Some(more @ 1..) => format!("{} and {more} more", names.join(", ")),
        _ => names.join(", "),
    }
}

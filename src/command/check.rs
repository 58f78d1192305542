//! `thalweg check`: all that is wrong with the inputs, each with its place; and what is steered.

mod secondaries;

use std::path::Path;

use super::probe::probe;
use super::{FAILURE, SUCCESS, count, draw, plural};
use crate::config::Written;
use crate::diagnostic::{Severity, has_errors};
use crate::feed::inputs::{Inputs, Loaded, load};
use crate::pool::{Area, Family, Full, HashKey, Overflow, Policy};
use crate::snapshot::InventoryStatus;
use crate::steer::{FleetPool, Guess};

/// Reads all inputs as `run` would, and says what it thinks of them.
pub fn check(file: &Path, is_strict: bool, probes: bool) -> u8 {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let Loaded { inputs, mut diagnostics, .. } = load(file, &environment, None);
    if is_strict {
        diagnostics.iter_mut().for_each(|diagnostic| diagnostic.severity = Severity::Error);
    }
    draw(&diagnostics);
    if has_errors(&diagnostics) {
        eprintln!("{}: {}", file.display(), count(&diagnostics));
        return FAILURE;
    }
    let mut status = SUCCESS;
    if let Some(inputs) = inputs {
        print!("{}", summary(&inputs));
        if probes {
            status = probe(&inputs);
        }
    }
    println!("{}: {}", file.display(), count(&diagnostics));
    status
}

/// How a pool is used, in a few words: policy, barriers, and what is done when it is full.
fn manner(pool: &FleetPool) -> String {
    let mut words = vec![match pool.policy {
        Policy::Hash { key, bound } => {
            let key = match key {
                HashKey::Label => "label",
                HashKey::Name => "name",
                HashKey::Client => "client",
            };
            format!("hash of the {key} within {bound} times the mean")
        }
        policy => policy.word().to_owned(),
    }];
    if !pool.within.is_empty() {
        words.push(format!("within {}", listed(&pool.within)));
    }
    let mut serves: Vec<String> =
        pool.sites.iter().filter(|site| !site.serves.is_empty()).map(|site| listed(&site.serves)).collect();
    serves.dedup();
    if !serves.is_empty() {
        words.push(format!("some nodes only for {}", serves.join("; for ")));
    }
    match &pool.pool.full {
        Full::Fill => {}
        Full::Overflow(Overflow { cname, addresses: _, above, cost }) => {
            words.push(format!("overflow to {cname} above {above} at {cost} ms"));
        }
        Full::Refuse => words.push("refuses when full".to_owned()),
    }
    words.join(", ")
}

/// What inventories give: each list, and each node.
fn listed_nodes(inputs: &Inputs) -> String {
    let mut text = String::new();
    let of_lists = |known: &InventoryStatus| inputs.config.heartbeat(&known.name).is_none();
    for inventory in inputs.inventories().into_iter().filter(of_lists) {
        let InventoryStatus { name, nodes, sources, .. } = inventory;
        let sources = if sources.is_empty() { "no list".to_owned() } else { sources.join(", ") };
        text.push_str(&format!("list     {name} has {} from {sources}\n", plural(nodes, "node")));
    }
    let urls = inputs.config.inventories.iter().filter_map(|inventory| inventory.value.url.as_ref());
    for url in urls {
        text.push_str(&format!("list     {} is asked when the server runs, not here\n", url.value));
    }
    for Written { value: inventory, .. } in &inputs.config.inventories {
        if let Some(heartbeat) = &inventory.heartbeat {
            let (name, listen) = (&inventory.name, heartbeat.listen.value);
            text.push_str(&format!("list     {name} comes by heartbeats to {listen} when the server runs, not here\n"));
        }
    }
    for Written { value: node, .. } in inputs.config.nodes.iter().filter(|node| inputs.is_listed(&node.value.name)) {
        let mut words: Vec<String> = [Family::V4, Family::V6]
            .into_iter()
            .filter_map(|family| node.address(family))
            .map(|it| it.to_string())
            .collect();
        words.extend(node.place.as_ref().map(|place| format!("at {place}")));
        words.extend(node.capacity.egress.map(|egress| egress.to_string()));
        words.extend(node.capacity.clients.map(|clients| format!("{clients} clients")));
        words.extend(node.exporters.iter().map(|exporter| exporter.url.clone()));
        words.extend(node.drained.as_ref().map(|reason| format!("drained: {reason}")));
        text.push_str(&format!("node     {} {}\n", node.name, words.join(", ")));
    }
    text
}

fn listed(areas: &[Area]) -> String {
    areas.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// What will be served: zones, steered names, and places that were guessed.
fn summary(inputs: &Inputs) -> String {
    let mut text = String::new();
    for zone in inputs.zones.iter() {
        text.push_str(&format!(
            "zone     {} serial {}, {}\n",
            zone.apex(),
            zone.serial(),
            plural(zone.node_count(), "name")
        ));
    }
    for secondary in &inputs.config.zones.secondaries {
        let from: Vec<String> = secondary.value.primaries.iter().map(ToString::to_string).collect();
        let (zone, from) = (&secondary.value.name, from.join(", "));
        text.push_str(&format!("zone     {zone} comes from {from}, which are asked when the server runs, not here\n"));
    }
    text.push_str(&listed_nodes(inputs));
    for service in &inputs.fleet.services {
        let pool = inputs.fleet.pool(service.pool);
        let nodes: usize = pool.sites.iter().map(|site| site.nodes.len()).sum();
        let ttl = service.service.ttl;
        text.push_str(&format!(
            "service  {} pool {} ({} at {}), TTL {} to {} s, {}\n",
            service.service.name,
            pool.pool.name,
            plural(nodes, "node"),
            plural(pool.sites.len(), "place"),
            ttl.min,
            ttl.max,
            manner(pool),
        ));
    }
    text.push_str(&secondaries::unsteered(inputs));
    if let Some(whoami) = &inputs.config.server.whoami {
        text.push_str(&format!("whoami   {} tells whoever asks what is seen of it\n", whoami.value));
    }
    let guessed =
        |name: &String| inputs.config.nodes.iter().any(|node| node.value.name == *name && node.value.place.is_none());
    for (node, Guess { country, position, .. }) in inputs.guesses.iter().filter(|(name, _)| guessed(name)) {
        text.push_str(&format!(
            "place    {node} is guessed to stand in {country} ({}, {}), from its address\n",
            position.latitude, position.longitude,
        ));
    }
    text
}

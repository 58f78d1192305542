//! Whether an override can be done: the names in it are known, and its numbers make sense.

use crate::config::policy_of_word;
use crate::diagnostic::nearest;
use crate::feed::inputs::Inputs;
use crate::name::Name;
use crate::pool::{Currency, Policy, Selection};
use crate::steer::{Limited, Override};

/// Characters of the longest reason, and of the longest name of whoever gives it.
const MAX_TEXT: usize = 200;

/// Whether it is told who wants it, and why.
pub(in crate::feed) fn told(who: &str, reason: &str) -> Result<(), String> {
    for (what, text) in [("who", who), ("reason", reason)] {
        if text.trim().is_empty() {
            return Err(format!("`{what}` is missing: others will ask"));
        }
        if text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(format!("`{what}` must be one line of at most {MAX_TEXT} characters"));
        }
    }
    Ok(())
}

/// The override with names as they are configured, or what is wrong with it.
pub(in crate::feed) fn check(what: Override, inputs: &Inputs) -> Result<Override, String> {
    match what {
        Override::Freeze => Ok(what),
        Override::Pin { region, place } => {
            let regions = inputs.geo.regions().iter().map(|region| region.name.as_str());
            let region = known("client region", &region, regions)?;
            let fleet = &inputs.fleet;
            let sites = fleet.pools.iter().flat_map(|pool| &pool.sites);
            let places = sites.map(|site| fleet.places[usize::from(site.place.0)].name.as_str());
            let place = known("place with nodes", &place, places)?;
            Ok(Override::Pin { region, place })
        }
        Override::Weight { node, weight } => {
            let node = node_of(&node, inputs)?;
            if !(0.0..=1.0).contains(&weight) {
                return Err(format!("the weight {weight} is not one from 0 to 1"));
            }
            Ok(Override::Weight { node, weight })
        }
        Override::Limit { node, capacity } => {
            let node = node_of(&node, inputs)?;
            check_limit(&node, capacity, inputs)?;
            Ok(Override::Limit { node, capacity })
        }
        Override::Drain { node } => Ok(Override::Drain { node: node_of(&node, inputs)? }),
        Override::Policy { service, policy } => {
            let services: Vec<String> =
                inputs.fleet.services.iter().map(|service| service.service.name.to_string()).collect();
            let written = Name::parse(&service, None).map_err(|error| format!("service `{service}`: {error}"))?;
            let service = known("service", &written.to_string(), services.iter().map(String::as_str))?;
            if policy_of_word(&policy).is_none() {
                known("policy", &policy, Policy::WORDS.into_iter())?;
            }
            Ok(Override::Policy { service, policy })
        }
    }
}

/// The names of the nodes that are meant, one at least.
pub(super) fn nodes_of(which: &Selection, inputs: &Inputs) -> Result<Vec<String>, String> {
    let fleet = &inputs.fleet;
    let place = |id: usize| fleet.places[id].name.as_str();
    let nodes = || fleet.nodes.iter().filter(|each| each.is_configured);
    match which {
        Selection::Nodes(names) if names.is_empty() => return Err("say which node".to_owned()),
        Selection::Nodes(names) => {
            let mut known = names.iter().map(|name| node_of(name, inputs)).collect::<Result<Vec<_>, _>>()?;
            known.sort_unstable();
            known.dedup();
            return Ok(known);
        }
        Selection::Place(name) => {
            known("place with nodes", name, nodes().map(|each| place(usize::from(each.place.0))))?;
        }
        Selection::Labels(labels) => {
            for (label, value) in labels {
                let values = nodes().filter_map(|each| each.node.labels.get(label)).map(String::as_str);
                if values.clone().next().is_none() {
                    known("label", label, nodes().flat_map(|each| each.node.labels.keys()).map(String::as_str))?;
                }
                known(&format!("value of the label `{label}`"), value, values)?;
            }
        }
    }
    let meant = nodes().filter(|each| which.selects(&each.node, place(usize::from(each.place.0))));
    let meant: Vec<String> = meant.map(|each| each.node.name.clone()).collect();
    if meant.is_empty() { Err("no node has all of these labels".to_owned()) } else { Ok(meant) }
}

fn check_limit(node: &str, capacity: Limited, inputs: &Inputs) -> Result<(), String> {
    let load = capacity.load();
    if !(load.is_finite() && load > 0.0) {
        return Err(format!("the limit {capacity} is not more than nothing"));
    }
    let Some(id) = inputs.fleet.find_node(node) else { return Ok(()) };
    match (inputs.fleet.node(id).currency, capacity) {
        (Currency::Clients, Limited::Egress(_)) => Err(format!(
            "{node} is in a pool that counts viewers (`currency = \"clients\"`): limit it like `clients=800`"
        )),
        (Currency::Egress, Limited::Clients(_)) => {
            Err(format!("{node} is in pools that count Mbit/s: limit it like `egress=2Gbit/s`"))
        }
        _ => Ok(()),
    }
}

fn node_of(name: &str, inputs: &Inputs) -> Result<String, String> {
    let nodes = inputs.fleet.nodes.iter().filter(|known| known.is_configured);
    known("node", name, nodes.map(|known| known.node.name.as_str()))
}

/// The name, if it is one of those that are known; else what was meant, perhaps.
fn known<'a>(what: &str, name: &str, all: impl Iterator<Item = &'a str> + Clone) -> Result<String, String> {
    if all.clone().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let mut some: Vec<&str> = all.clone().collect();
    some.sort_unstable();
    some.dedup();
    let help = match nearest(name, all) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None if some.len() <= 12 => format!("; there is {}", some.join(", ")),
        None => String::new(),
    };
    Err(format!("no {what} is called `{name}`{help}"))
}

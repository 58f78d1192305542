//! `thalweg check --probe`: every exporter is scraped once, and what each rule found in its answer is told.

use super::{FAILURE, SUCCESS};
use crate::feed::inputs::Inputs;
use crate::feed::scrape::once::{Answered, scrape_once};
use crate::load;
use crate::load::findings::{Finding, findings};
use crate::pool::{Bitrate, Node, Resource};

/// Tells what the exporters of all nodes answer now; a failure is one of the command.
pub(super) fn probe(inputs: &Inputs) -> u8 {
    let answered = match scrape_once(inputs) {
        Ok(answered) => answered,
        Err(error) => {
            eprintln!("thalweg: no exporter can be asked: {error}");
            return FAILURE;
        }
    };
    let mut is_sound = true;
    for known in inputs.fleet.nodes.iter().filter(|known| known.is_configured) {
        let of_node: Vec<&Answered> = answered.iter().filter(|answered| answered.node == known.node.name).collect();
        is_sound &= tell(&known.node, &of_node);
    }
    if is_sound { SUCCESS } else { FAILURE }
}

/// Whether every exporter of the node answered with something to count.
fn tell(node: &Node, answered: &[&Answered]) -> bool {
    println!("{}", node.name);
    if node.exporters.is_empty() {
        println!(
            "  no exporter: it counts as never seen (write `exporters.node = \"http://{{address}}:9100/metrics\"`)"
        );
    } else if answered.len() < node.exporters.len() {
        println!("  {} by Prometheus, which is not asked here", node.exporters.len() - answered.len());
    }
    let mut is_sound = true;
    let mut found: Vec<Finding> = Vec::new();
    for Answered { exporter, body, took, .. } in answered {
        let preset = &exporter.preset;
        let counters = body.clone().and_then(|body| Ok((body.len(), load::read(preset, &body)?)));
        match counters {
            Ok((octets, counters)) => {
                let milliseconds = took.as_secs_f64() * 1e3;
                println!("  {} {}: {octets} octets in {milliseconds:.0} ms", preset.name, exporter.url);
                let of_preset = findings(preset, &counters);
                of_preset.iter().for_each(|finding| println!("    {}", told(finding, node)));
                if counters.refused > 0 {
                    println!("    {} samples with impossible values were refused", counters.refused);
                }
                found.extend(of_preset);
            }
            Err(error) => {
                is_sound = false;
                println!("  {} {}: {error}", preset.name, exporter.url);
            }
        }
    }
    let keys = [(Resource::Egress, "egress"), (Resource::Clients, "clients"), (Resource::ProcessCpu, "process_cpu")];
    for (resource, key) in keys {
        let is_found = |finding: &&Finding| finding.resource == resource && finding.groups > 0;
        let Some(finding) = found.iter().find(is_found) else { continue };
        if finding.capacity.is_none() && !finding.is_one_core && configured(&resource, node).is_none() {
            println!("  the capacity of {key} is unknown, so it limits nothing: set `capacity.{key}`");
        }
    }
    is_sound
}

fn told(finding: &Finding, node: &Node) -> String {
    let Finding { resource, metric, series, groups, amount, is_rate, capacity, is_one_core } = finding;
    if *groups == 0 {
        return format!("{resource}: missing, there is no {metric}");
    }
    let amount = match amount {
        Some(amount) => unit(resource, amount.used),
        None if *is_rate => "a rate, which takes two scrapes".to_owned(),
        None => "unknown, as its capacity is".to_owned(),
    };
    let capacity = match (configured(resource, node), capacity) {
        (Some(configured), _) => format!(", of {} as configured", unit(resource, configured)),
        (None, Some(told)) => format!(", of {} as it tells", unit(resource, *told)),
        (None, None) if *is_one_core => ", of 1 core (assumed)".to_owned(),
        (None, None) => String::new(),
    };
    format!("{resource}: {amount}{capacity}; {series} series in {groups} of {metric}")
}

fn configured(resource: &Resource, node: &Node) -> Option<f64> {
    match resource {
        Resource::Egress => node.capacity.egress.map(|egress| egress.0),
        Resource::Clients => node.capacity.clients,
        Resource::ProcessCpu => node.capacity.process_cpu,
        _ => None,
    }
}

fn unit(resource: &Resource, value: f64) -> String {
    match resource {
        Resource::Egress => format!("{:.1} Mbit/s", Bitrate(value).megabits()),
        Resource::Clients => format!("{value:.0} viewers"),
        Resource::ProcessCpu => format!("{value:.2} cores"),
        _ => format!("{value:.3}"),
    }
}

//! An explanation as people read it: why in a sentence, then the facts it follows from, then every place and node.

use super::sentence::sentence;
use crate::answer::Explanation;
use crate::command::table::aligned;
use crate::steer::{NodeReason, SiteReason, SteeringReasons};

/// What is said of the names of factors, in the order of `NodeReason::factors`.
const FACTORS: [&str; 4] = ["slow start", "confidence", "memory and disk", "weight"];

/// The whole text. `is_given`: the question says how many viewers are behind the key.
pub fn text(name: &str, explanation: &Explanation, is_given: bool) -> String {
    let reasons = &explanation.reasons;
    let mut text = format!("{name}: {} (generation {})\n", explanation.rcode, explanation.generation);
    for record in &explanation.answer {
        text.push_str(&format!("  {record}\n"));
    }
    text.push('\n');
    let region = reasons.located.as_ref().map_or("unknown", |located| located.region.as_str());
    if let Some(steering) = &reasons.steering {
        text.push_str(&format!("{}\n\n", sentence(steering, region)));
    }
    let mut line = |key: &str, value: &str| text.push_str(&format!("{key:<9}{value}\n"));
    if let Some(zone) = &reasons.zone {
        line("zone", zone);
    }
    for step in &reasons.steps {
        line("look-up", step);
    }
    if let Some(located) = &reasons.located {
        line(
            "client",
            &format!(
                "{} ({}) is in region {}, as all of {}",
                located.network, located.source, located.region, located.region_network
            ),
        );
    }
    if let (Some(service), Some(steering)) = (&reasons.service, &reasons.steering) {
        line("service", &format!("{service} from pool {}, policy {}", steering.pool, steering.policy));
        line("demand", &demand(steering, region));
        line("key", &key(steering, is_given));
        line("plan", &plan(steering, region));
        line("TTL", &steering.ttl);
    }
    if let Some(scope) = &reasons.scope {
        line("scope", scope);
    }
    for each in reasons.steering.iter().flat_map(|steering| &steering.overrides) {
        line("override", &format!("{}, {}", each.what, each.told));
    }
    if let Some(steering) = &reasons.steering {
        let rows =
            steering.sites.iter().enumerate().map(|(index, site)| site_row(site, steering.chosen == Some(index)));
        text.push('\n');
        text.push_str(&aligned(&["", "PLACE", "DISTANCE", "FULL", "PRICE", "SHARE", "WHY"], rows));
        let rows = steering.nodes.iter().map(|node| node_row(node, &steering.unit));
        text.push('\n');
        text.push_str(&aligned(
            &[
                "",
                "NODE",
                "PLACE",
                "ADDRESS",
                "LOAD",
                "AGE",
                "ADDED",
                "COMMITTED",
                "CAPACITY",
                "PRESSURE",
                "USES",
                "FACTORS",
                "WEIGHT",
                "CHANCE",
                "WHY",
            ],
            rows,
        ));
    }
    text
}

fn demand(steering: &SteeringReasons, region: &str) -> String {
    let demand = &steering.demand;
    let each = format!("{} {} each", significant(demand.cost), steering.unit);
    format!("{} viewers/s are expected from {region}, {each}: {}", significant(demand.forecast), demand.because)
}

fn key(steering: &SteeringReasons, is_given: bool) -> String {
    let key = &steering.key;
    let viewers = significant(key.viewers);
    if is_given {
        format!("with {viewers} viewers/s behind it, as asked; {}", key.because)
    } else {
        format!(
            "taken as one that asks for the first time, {viewers} viewers/s; {} (`--viewers` asks of another)",
            key.because
        )
    }
}

/// The region's row of the plan: every place that gets some, and what the nearest is weighed against.
fn plan(steering: &SteeringReasons, region: &str) -> String {
    if steering.policy != "planner" {
        return format!("none: the policy `{}` does not plan", steering.policy);
    }
    let nearest = steering.sites.iter().find(|site| !site.is_barred && site.serves).map_or(0.0, |site| site.distance);
    let part = |(index, site): (usize, &SiteReason)| {
        let mut words = format!("{} {}", site.place, percent(site.share));
        if site.is_ours {
            words.push_str(&format!(", {:.2} full", site.pressure));
        }
        if site.price >= 1.0 {
            words.push_str(&format!(": price {:.0} ms", site.price));
        }
        if site.distance > nearest {
            words.push_str(&format!(", +{:.0} ms", site.distance - nearest));
        }
        (site.share > 0.0 || index < 3).then_some(words)
    };
    let open = steering.sites.iter().filter(|site| !site.is_barred && site.serves).enumerate();
    let parts: Vec<String> = open.filter_map(part).collect();
    let sum = if parts.is_empty() { "no place serves".to_owned() } else { parts.join("; ") };
    format!("of {region}'s clients: {sum}")
}

fn site_row(site: &SiteReason, is_chosen: bool) -> Vec<String> {
    let price = if site.price >= 0.5 { format!("{:.0} ms", site.price) } else { String::new() };
    vec![
        if is_chosen { "*" } else { "" }.to_owned(),
        site.place.clone(),
        format!("{:.0} ms", site.distance),
        if site.is_ours { format!("{:.2}", site.pressure) } else { "-".to_owned() },
        price,
        percent(site.share),
        site.because.clone(),
    ]
}

fn node_row(node: &NodeReason, unit: &str) -> Vec<String> {
    let uses = node
        .uses
        .iter()
        .map(|each| format!("{} {:.0}% of {:.0}%", each.resource, each.share * 100.0, each.limit * 100.0));
    let measured = node.pressure.map_or_else(|| "?".to_owned(), |pressure| format!("{pressure:.2}"));
    let factors = FACTORS.iter().zip(node.factors).filter(|(_, factor)| (*factor - 1.0).abs() >= 0.005);
    let factors: Vec<String> = factors.map(|(name, factor)| format!("{name} {factor:.2}")).collect();
    let some = |load: f64| if load >= 0.5 { format!("{load:.0}") } else { String::new() };
    vec![
        if node.is_named { "*" } else { "" }.to_owned(),
        node.node.clone(),
        node.place.clone(),
        node.address.clone().unwrap_or_else(|| "-".to_owned()),
        format!("{:.0} {unit}", node.load),
        node.age.map_or_else(|| "-".to_owned(), |age| format!("{age:.0} s")),
        some(node.added),
        some(node.committed),
        format!("{:.0}", node.capacity),
        format!("{measured} → {:.2}", node.predicted),
        uses.collect::<Vec<_>>().join(", "),
        factors.join(", "),
        format!("{:.0}", node.weight),
        percent(node.chance),
        node.because.clone(),
    ]
}

pub(super) fn percent(share: f64) -> String {
    // Nothing may come out as minus nothing.
    format!("{:.0}%", (share * 100.0).round().abs())
}

/// Two digits that mean something.
fn significant(value: f64) -> String {
    match value {
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value if value >= 0.0095 => format!("{value:.2}"),
        value if value <= 0.0 => "0".to_owned(),
        value => format!("{value:.4}"),
    }
}

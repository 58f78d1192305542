//! The first sentence of an explanation: which nodes, and why, for someone who knows nothing of the planner.

use super::text::percent;
use crate::steer::{NodeReason, SiteReason, SteeringReasons};

/// Shares above this are shown as all, and those below the other as nothing.
const WHOLE: f64 = 0.995;
const NOTHING: f64 = 0.005;
/// Milliseconds that the plan hardly minds: shares fall e-fold with every four.
const HARDLY: f64 = 20.0;

/// Who was named and why, for clients of a region.
pub(super) fn sentence(steering: &SteeringReasons, region: &str) -> String {
    let Some(chosen) = steering.chosen.and_then(|chosen| steering.sites.get(chosen)) else {
        return format!("No node, because a barrier keeps all of them from clients of {region}.");
    };
    if !chosen.is_ours {
        return elsewhere(steering, chosen, region);
    }
    let named: Vec<&str> = steering.nodes.iter().filter(|node| node.is_named).map(|node| node.node.as_str()).collect();
    let mut sentence = format!("{} of {}, because {}", list(&named), chosen.place, place(steering, chosen, region));
    if let Some(frozen) = steering.overrides.iter().find(|each| each.kind == "freeze") {
        sentence.push_str(&format!("; plan and weights are frozen {}", frozen.told));
    }
    if let Some(pin) = steering.overrides.iter().find(|each| each.kind == "pin" && !is_there(&each.what, chosen)) {
        sentence
            .push_str(&format!("; `{}` was ordered {}: not in force yet, or nothing serves there", pin.what, pin.told));
    }
    sentence.push_str(".\n");
    sentence.push_str(&nodes(steering, chosen));
    sentence
}

/// Whether a pin is to this place.
fn is_there(pin: &str, chosen: &SiteReason) -> bool {
    pin.rsplit_once(' ').is_some_and(|(_, place)| place == chosen.place)
}

fn elsewhere(steering: &SteeringReasons, chosen: &SiteReason, region: &str) -> String {
    let full: Vec<String> = ours(steering).map(|site| format!("{} {:.2}", site.place, site.pressure)).collect();
    let and = if chosen.share < WHOLE {
        format!("; {} of {region}'s clients go there, this one among them", percent(chosen.share))
    } else {
        String::new()
    };
    format!("Not a node of ours but {}, because every place is full ({}){and}.", chosen.place, full.join(", "))
}

/// Why the place.
fn place(steering: &SteeringReasons, chosen: &SiteReason, region: &str) -> String {
    if let Some(pin) = steering.overrides.iter().find(|each| each.kind == "pin")
        && is_there(&pin.what, chosen)
    {
        return format!("{region} is pinned to it {}", pin.told);
    }
    if steering.policy != "planner" {
        return policy(steering);
    }
    let index = steering.chosen.unwrap_or(0);
    if steering.is_overfull {
        return overfull(steering, chosen, region);
    }
    let mut parts: Vec<String> =
        steering.sites[..index].iter().filter(|site| site.is_ours).map(|site| nearer(steering, site)).collect();
    let barred = steering.sites.iter().filter(|site| site.is_barred && site.distance < chosen.distance);
    parts
        .extend(barred.map(|site| format!("{}, which is nearer, may not serve these clients (a barrier)", site.place)));
    let known = steering.nodes.iter().any(|node| node.place == chosen.place && node.pressure.is_some());
    let room =
        if known { format!("has room ({:.2} full)", chosen.pressure) } else { "its load is not known yet".to_owned() };
    let others: Vec<&str> = ours(steering)
        .filter(|site| site.share >= NOTHING && site.place != chosen.place)
        .map(|site| site.place.as_str())
        .collect();
    match (chosen.share < WHOLE, index) {
        (false, 0) if parts.is_empty() => parts.push(format!("it is the nearest to {region} and {room}")),
        (false, _) => parts.push(format!("it is the next one and {room}")),
        (true, 0) if chosen.price < 1.0 => {
            let farther = ours(steering).filter(|site| site.share >= NOTHING && site.place != chosen.place);
            let nearest = farther.map(|site| site.distance - chosen.distance).fold(f64::INFINITY, f64::min);
            let others = if nearest <= HARDLY {
                format!("and places that are hardly farther the others: {}", list(&others))
            } else {
                format!("and {} the others, for it was fuller before and gets its clients back slowly", list(&others))
            };
            parts.push(format!(
                "it is the nearest to {region} and {room}; it takes {} of the clients, this one among them, {others}",
                percent(chosen.share)
            ));
        }
        (true, 0) => parts.push(format!(
            "it is the nearest to {region}; it keeps {} of the clients, this one among them, while it fills ({:.2} full: \
             more viewers there are as bad as {:.0} ms), and the others go on to {}",
            percent(chosen.share),
            chosen.pressure,
            chosen.price,
            list(&others)
        )),
        (true, _) => parts.push(format!(
            "{} of {region}'s clients go to {}, this one among them",
            percent(chosen.share),
            chosen.place
        )),
    }
    parts.join(", and ")
}

/// Why a place that is full all the same.
fn overfull(steering: &SteeringReasons, chosen: &SiteReason, region: &str) -> String {
    let taking: Vec<String> = ours(steering)
        .filter(|site| site.share >= NOTHING)
        .map(|site| format!("{} {}", site.place, percent(site.share)))
        .collect();
    let limit = chosen.limit.map_or_else(
        || "shares them by size, for all its nodes are far beyond what they can do".to_owned(),
        |limit| format!("fills its nodes up to a pressure of {limit:.2}, each by what is left of it"),
    );
    format!(
        "no place that is worth its distance has room left: {region}'s clients are shared by {}, this one falls to {}, which is \
         {:.2} full and {limit}",
        list(&taking.iter().map(String::as_str).collect::<Vec<_>>()),
        chosen.place,
        chosen.pressure
    )
}

/// Why a nearer place is not it.
fn nearer(steering: &SteeringReasons, site: &SiteReason) -> String {
    let place = &site.place;
    if !site.serves {
        let at = |node: &&NodeReason| node.place == *place && node.address.is_some();
        let standing: Vec<String> =
            steering.nodes.iter().filter(at).map(|node| format!("{} is {}", node.node, node.standing)).collect();
        let standing = if standing.is_empty() { "none has the address family".to_owned() } else { standing.join(", ") };
        return format!("{place}, which is nearer, has no node that serves ({standing})");
    }
    let filled = if site.price >= 1.0 {
        format!("{:.2} full: more viewers there are as bad as {:.0} ms", site.pressure, site.price)
    } else {
        format!("{:.2} full", site.pressure)
    };
    match site.share {
        share if share > 0.0 => {
            format!("{place}, which is nearer, is filling up and keeps {} ({filled})", percent(share))
        }
        _ if site.price >= 1.0 => format!("{place}, which is nearer, is full ({filled})"),
        _ => format!("{place}, which is nearer, had no room a moment ago ({filled}), and gets its clients back slowly"),
    }
}

fn policy(steering: &SteeringReasons) -> String {
    let rule = match steering.policy.as_str() {
        "round_robin" => "names every node that is up in turn, wherever it stands",
        "weighted" => "names every node that is up in proportion to its size, wherever it stands",
        "nearest" => "names the nodes of the nearest place that has any that is up",
        "failover" => "names the first node of the configuration that is up",
        _ => "keeps each key at the node that its hash gives",
    };
    let ordered = steering.overrides.iter().find(|each| each.kind == "policy");
    let ordered = ordered.map_or_else(String::new, |order| format!(" (ordered {})", order.told));
    format!("the policy `{}`{ordered} {rule}", steering.policy)
}

/// Why these nodes of the place.
fn nodes(steering: &SteeringReasons, chosen: &SiteReason) -> String {
    let serving = steering.nodes.iter().filter(|node| node.place == chosen.place && node.weight > 0.0).count();
    let named = steering.nodes.iter().filter(|node| node.is_named).count();
    match (serving, steering.key.is_heavy) {
        (0, _) => {
            "No node there may serve, but an answer without any would be worse: probes are presumably wrong.".to_owned()
        }
        (serving, _) if serving <= named => "No other node there gets viewers now.".to_owned(),
        (serving, true) => format!(
            "This key weighs so much beside the region's others that it gets other ones of the {serving} nodes there four times a \
             second."
        ),
        (serving, false) => format!(
            "The {serving} nodes there share clients in proportion to their weights, and this client's network stays where it \
             is while these do."
        ),
    }
}

/// The places of ours that may serve the client.
fn ours(steering: &SteeringReasons) -> impl Iterator<Item = &SiteReason> {
    steering.sites.iter().filter(|site| site.is_ours && !site.is_barred)
}

/// `a`, `a and b`, `a, b and c`.
fn list(words: &[&str]) -> String {
    match words {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

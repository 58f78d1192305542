//! The numbers of a decision in words.

use super::super::fleet::FleetService;
use super::super::pick::{Clamp, Decision};
use super::super::tables::{Fitness, NodeState, SiteState, Standing};
use super::super::weigh::FULL;
use super::failures::Failing;
use crate::load::history::Reading;
use crate::pool::Policy;

pub(super) fn demand_reason(is_hot: bool, belief: f64) -> String {
    match (is_hot, belief < 1.0) {
        (_, true) => format!("nodes see only a part of what is asked for: {:.0} % of it is believed", belief * 100.0),
        (true, false) => "growing fast".to_owned(),
        (false, false) => "steady".to_owned(),
    }
}

pub(super) fn ttl_reason(decision: &Decision<'_>, service: &FleetService) -> String {
    let (bounds, ttl) = (&service.service.ttl, decision.ttl);
    let third =
        format!("{ttl} s, a third of the longest ({} s) but not below the shortest ({} s)", bounds.max, bounds.min);
    match decision.clamp {
        Clamp::Longest => format!("{ttl} s, the longest: the site has room"),
        Clamp::Hot => format!("{third}: the region's demand grows fast, or would soon fill much of the site"),
        Clamp::Busy => format!("{third}: the site is busy"),
        Clamp::Unknown => format!("{third}: the site's load is not known"),
        Clamp::Room => format!("{ttl} s: until then caches send as many viewers as one answer may bring"),
        Clamp::Shortest => format!("{ttl} s, the shortest"),
    }
}

pub(super) fn site_reason(policy: Policy, state: &SiteState, share: f64) -> String {
    if state.menu.is_none() {
        return "no node here has an address of this family".to_owned();
    }
    if state.capacity <= 0.0 {
        return "no node here serves".to_owned();
    }
    if policy != Policy::Planner {
        return format!("the policy gives it {:.0} %", share * 100.0);
    }
    let filled = match state.limit {
        limit if limit.is_infinite() => "far beyond what it can do".to_owned(),
        limit if limit > FULL => format!("full: being filled up to {limit}"),
        _ if state.price >= 1.0 => format!("{:.2} full: price {:.0} ms", state.pressure, state.price),
        _ => "has room".to_owned(),
    };
    match share {
        share if share <= 0.0 => format!("{filled}; others are nearer or cheaper"),
        share if share < 0.999 => format!("{filled}; shares with others"),
        _ => filled,
    }
}

/// Why a node of a site that may serve the client is not named.
pub(super) fn passed_over(
    node: &Fitness,
    failing: &Failing,
    state: &SiteState,
    weight: f64,
    share: f64,
    is_named: bool,
    drain: Option<String>,
) -> Option<String> {
    match node.standing {
        Standing::Down if failing.here.is_empty() => return Some("down: it fails its probes".to_owned()),
        Standing::Down => return Some(format!("down: {}", failing.here.join("; "))),
        Standing::Drained => return Some(drain.map_or_else(|| "drained".to_owned(), |told| format!("drained {told}"))),
        Standing::Exhausted => return Some("out of memory or disk".to_owned()),
        _ => {}
    }
    if is_named {
        None
    } else if weight <= 0.0 && node.pressure >= state.limit {
        Some(format!("full: predicted pressure {:.2} is above {}", node.pressure, state.limit))
    } else if weight <= 0.0 {
        Some("the policy passes it over".to_owned())
    } else if share <= 0.0 {
        Some("its site takes nobody from this region".to_owned())
    } else {
        Some("has room; other clients get it".to_owned())
    }
}

/// A drain that nobody ordered: the exporter tells that its server lets nobody new in.
pub(super) fn drained_by_server(node: &NodeState) -> Option<String> {
    let is_draining = node.reading.last().is_some_and(|load| load.is_draining);
    is_draining.then(|| "by its own server, which lets nobody new in".to_owned())
}

pub(super) fn node_reason(
    node: &NodeState,
    standing: Standing,
    failing: &Failing,
    passed_over: Option<String>,
    ordered: &[String],
) -> String {
    let mut reason = passed_over.unwrap_or_else(|| "named".to_owned());
    match standing {
        Standing::Distrusted => reason.push_str("; its load is not believed: dead reckoning"),
        Standing::Held => {
            reason.push_str("; fails its probes, as so many others do that our network is the likelier fault");
            failing.here.iter().for_each(|check| reason.push_str(&format!("; {check}")));
        }
        Standing::Full => {
            reason.push_str("; fails its probes, but was near its limit: full rather than dead");
            failing.here.iter().for_each(|check| reason.push_str(&format!("; {check}")));
        }
        _ => {}
    }
    for check in &failing.elsewhere {
        reason.push_str(&format!("; down elsewhere: {check}"));
    }
    if let Some(load) = node.saturated {
        reason.push_str(&format!("; sends no more than {load:.0}: smaller than configured?"));
    }
    for each in ordered {
        reason.push_str(&format!("; {each}"));
    }
    match &node.reading {
        Reading::Fresh(_) => {}
        Reading::Stale { because, age, .. } => {
            reason.push_str(&format!("; stale: last load is {age:.0} s old, dead reckoning"));
            if let Some(error) = because {
                reason.push_str(&format!(" ({error})"));
            }
        }
        Reading::Never { because } => {
            reason.push_str("; its load was never read");
            if let Some(error) = because {
                reason.push_str(&format!(" ({error})"));
            }
        }
    }
    reason
}

//! `thalweg inventory`: how lists of nodes stand, the confirmation of one that waits, and who is let in by heartbeats.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Method;

use super::admin::{Daemon, NoAnswer};
use super::overrides::who;
use super::table::aligned;
use super::{FAILURE, SUCCESS, plural};
use crate::intake::EnrolWish;
use crate::serve::admin::ConfirmParameters;
use crate::snapshot::{HeartbeatStatus, InventoryStatus, PendingStatus, WaitingStatus};
use crate::steer::clock;

const PATH: &str = "/v1/inventories";
const ENROL: &str = "/v1/inventories/enrol";
/// Names of nodes that would go, before the rest is counted.
const LISTED: usize = 20;

/// Lists them, as a table with what is wrong below it, or as JSON.
pub fn list(file: &Path, is_json: bool) -> u8 {
    let asked = Daemon::of(file).map_err(NoAnswer::Unreachable);
    let inventories = asked.and_then(|daemon| daemon.ask::<Vec<InventoryStatus>>(&Method::GET, PATH, &[], None));
    match inventories {
        Ok(inventories) if is_json => match serde_json::to_string_pretty(&inventories) {
            Ok(json) => println!("{json}"),
            Err(error) => return fail(NoAnswer::Unreachable(error.to_string())),
        },
        Ok(inventories) if inventories.is_empty() => {
            println!("there is no inventory: nodes are those of the configuration");
        }
        Ok(inventories) => print!("{}", text(&inventories, unix_seconds())),
        Err(no_answer) => return fail(no_answer),
    }
    SUCCESS
}

/// Takes the list that waits.
pub fn confirm(file: &Path, name: &str) -> u8 {
    let ConfirmParameters { confirm } = ConfirmParameters { confirm: name.to_owned() };
    let asked = Daemon::of(file).map_err(NoAnswer::Unreachable);
    match asked.and_then(|daemon| daemon.ask::<String>(&Method::POST, PATH, &[("confirm", &confirm)], None)) {
        Ok(outcome) => {
            println!("{outcome}");
            SUCCESS
        }
        Err(no_answer) => fail(no_answer),
    }
}

/// Lets a node in, or all that wait, or sends one away.
pub fn enrol(file: &Path, inventory: String, node: Option<String>, is_approval: bool, reason: String) -> u8 {
    let wish = EnrolWish { inventory, node, is_approval, who: who(), reason };
    let body = serde_json::to_string(&wish).map_err(|error| NoAnswer::Unreachable(error.to_string()));
    let asked = body.and_then(|body| Ok((body, Daemon::of(file).map_err(NoAnswer::Unreachable)?)));
    match asked.and_then(|(body, daemon)| daemon.ask::<String>(&Method::POST, ENROL, &[], Some(body))) {
        Ok(outcome) => {
            println!("{outcome}");
            SUCCESS
        }
        Err(no_answer) => fail(no_answer),
    }
}

fn text(inventories: &[InventoryStatus], now: u64) -> String {
    let row = |inventory: &InventoryStatus| {
        let InventoryStatus { name, nodes, sources, read, errors, pending, heartbeats } = inventory;
        let state = match (pending, errors.len()) {
            (Some(PendingStatus { nodes: left, .. }), _) => format!("a list of {} waits", plural(*left, "node")),
            (None, 0) => match heartbeats {
                Some(HeartbeatStatus { silent: silent @ 1.., .. }) => format!("{silent} silent"),
                _ => "good".to_owned(),
            },
            (None, errors) => plural(errors, "error"),
        };
        let source = match (heartbeats, sources.as_slice()) {
            (Some(HeartbeatStatus { listen, .. }), _) => format!("heartbeats to {listen}"),
            (None, []) => "none yet".to_owned(),
            (None, [one]) => one.clone(),
            (None, [first, rest @ ..]) => format!("{first} and {} more", rest.len()),
        };
        vec![
            name.clone(),
            nodes.to_string(),
            read.map_or_else(String::new, |at| age(now.saturating_sub(at))),
            state,
            source,
        ]
    };
    let mut text = aligned(&["INVENTORY", "NODES", "AGE", "STATE", "LIST"], inventories.iter().map(row));
    for InventoryStatus { name, nodes, errors, pending, heartbeats, .. } in inventories {
        if let Some(HeartbeatStatus { waiting, .. }) = heartbeats.as_ref().filter(|it| !it.waiting.is_empty()) {
            text.push_str(&format!("\n{name}: these send heartbeats and get nobody until they are approved:\n"));
            let waiting = waiting.iter().map(|node| waits(node, now));
            text.push_str(&aligned(&["NODE", "ADDRESS", "FROM", "SERVER", "SINCE", "LAST", ""], waiting));
            text.push_str(&format!(
                "`thalweg inventory approve {name} NODE` lets one in, `all` in place of NODE all of them.\n"
            ));
        }
        for error in errors {
            text.push_str(&format!("\n{error}\n"));
        }
        if let Some(PendingStatus { since, nodes: left, gone }) = pending {
            let listed = gone.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(" ");
            let more = gone.len().saturating_sub(LISTED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            text.push_str(&format!(
                "\n{name}: since {} its list has {} in place of {nodes}; the old one goes on. These would go:\n  {listed}{more}\n\
                 `thalweg inventory confirm {name}` takes it; when it has grown again it is taken by itself.\n",
                clock(*since, now),
                plural(*left, "node"),
            ));
        }
    }
    text
}

fn waits(status: &WaitingStatus, now: u64) -> Vec<String> {
    let WaitingStatus { node, address, source, server, since, beat, instead_of } = status;
    vec![
        node.clone(),
        address.to_string(),
        source.to_string(),
        server.clone(),
        clock(*since, now),
        age(now.saturating_sub(*beat)),
        instead_of.map_or_else(String::new, |old| format!("was approved at {old}")),
    ]
}

/// `50 s`, `7 min`, `3 h`, `4 days`.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn fail(no_answer: NoAnswer) -> u8 {
    let (NoAnswer::Refused(message) | NoAnswer::Unreachable(message)) = no_answer;
    eprintln!("thalweg: {message}");
    FAILURE
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_and_what_is_wrong_is_told_below_the_table() {
        let good = InventoryStatus {
            name: "fleet".to_owned(),
            nodes: 10,
            sources: vec!["nodes/a.json".to_owned(), "nodes/b.json".to_owned()],
            read: Some(1_000),
            ..InventoryStatus::default()
        };
        let gone = vec!["fra1".to_owned(), "fra2".to_owned()];
        let pending = PendingStatus { since: 1_000, nodes: 8, gone };
        let waiting = InventoryStatus { name: "rest".to_owned(), pending: Some(pending), ..good.clone() };
        let broken = InventoryStatus {
            name: "new".to_owned(),
            errors: vec!["x.json:1:2: error: this is not JSON".to_owned()],
            ..InventoryStatus::default()
        };
        let text = text(&[good, waiting, broken], 1_300);
        for line in [
            "INVENTORY  NODES  AGE    STATE                   LIST",
            "fleet      10     5 min  good                    nodes/a.json and 1 more",
            "rest       10     5 min  a list of 8 nodes waits  nodes/a.json and 1 more",
            "new        0             1 error                 none yet",
            "x.json:1:2: error: this is not JSON",
            "  fra1 fra2",
        ] {
            let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.lines().any(|found| squeezed(found) == squeezed(line)), "{line} is missing in\n{text}");
        }
    }
}

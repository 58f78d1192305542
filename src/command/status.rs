//! `thalweg status`: what an operator should know first, the worst first, on one screen.

use std::path::Path;
use std::time::Duration;

use hyper::Method;

use super::admin::{Daemon, NoAnswer};
use super::watch::{show, span};
use crate::intake::{Grade, Happening, Raised};
use crate::serve::admin::{Blind, DrainReport, StatusReport};
use crate::steer::{Order, Room, clock};

/// How long the daemon may take to answer: whoever asks is in a hurry.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lines of each part, so that all of them fit on a screen of 24.
const ALARMS: usize = 6;
const ROOMS: usize = 5;
const OVERRIDES: usize = 4;
const BLIND: usize = 3;
const EVENTS: usize = 5;
/// The exit status of each grade, which is also that of a check of Nagios; no answer is critical.
const WARNING: u8 = 1;
const CRITICAL: u8 = 2;

/// Prints it once, or every so often; as text or as JSON.
pub fn status(file: &Path, is_json: bool, interval: Option<Duration>) -> u8 {
    show(interval, || {
        let asked = Daemon::of(file).map_err(NoAnswer::Unreachable);
        let asked =
            asked.and_then(|daemon| daemon.within(PATIENCE).ask::<StatusReport>(&Method::GET, "/v1/status", &[], None));
        match asked {
            Ok(report) => (if is_json { json(&report, interval) } else { text(&report) }, exit_status(report.grade)),
            Err(NoAnswer::Refused(message) | NoAnswer::Unreachable(message)) if is_json => {
                (format!("{}\n", serde_json::json!({ "grade": Grade::Critical, "error": message })), CRITICAL)
            }
            Err(NoAnswer::Refused(message) | NoAnswer::Unreachable(message)) => {
                (format!("thalweg: CRITICAL: {message}\n"), CRITICAL)
            }
        }
    })
}

/// On several lines if it is for people, on one if it is one of many.
pub(super) fn json<T: serde::Serialize>(report: &T, interval: Option<Duration>) -> String {
    let text = match interval {
        None => serde_json::to_string_pretty(report),
        Some(_) => serde_json::to_string(report),
    };
    text.map_or_else(|error| format!("{}\n", serde_json::json!({ "error": error.to_string() })), |text| text + "\n")
}

fn exit_status(grade: Grade) -> u8 {
    match grade {
        Grade::Note => super::SUCCESS,
        Grade::Warning => WARNING,
        Grade::Critical => CRITICAL,
    }
}

fn text(report: &StatusReport) -> String {
    let StatusReport { version, grade, now, started, generation, tick_age, nodes, .. } = report;
    let word = match grade {
        Grade::Note => "OK",
        Grade::Warning => "WARNING",
        Grade::Critical => "CRITICAL",
    };
    let up = span(now.saturating_sub(*started) as f64);
    let [serving, all] = nodes;
    let mut text = format!(
        "thalweg {version}: {word}; {serving} of {all} nodes serve; generation {generation}, tables {tick_age:.0} s old, up {up}\n"
    );
    let StatusReport { alarms, rooms, overrides, drains, blind, events, .. } = report;
    part(&mut text, "alarm", ALARMS, alarms.iter().map(|alarm| of_alarm(alarm, *now)));
    // Of a pool at one place the place says it all.
    let is_told = |room: &&Room| {
        let places = rooms.iter().filter(|other| other.pool == room.pool && other.place.is_some()).count();
        room.place.is_some() || places != 1
    };
    part(&mut text, "room", ROOMS, rooms.iter().filter(is_told).map(of_room));
    let ordered = overrides.iter().map(|order| of_order(order, *now)).chain(drains.iter().map(of_drain));
    part(&mut text, "override", OVERRIDES, ordered);
    part(&mut text, "blind", BLIND, blind.iter().map(of_blind));
    part(&mut text, "event", EVENTS, events.iter().map(|event| of_event(event, *now)));
    text
}

/// Lines of one part; if they are more than so many, the last says how many more.
fn part(text: &mut String, label: &str, most: usize, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    let shown = if lines.len() > most { most - 1 } else { lines.len() };
    for line in &lines[..shown] {
        text.push_str(&format!("{label:<9}{line}\n"));
    }
    if lines.len() > shown {
        text.push_str(&format!("{label:<9}and {} more; `--json` has all\n", lines.len() - shown));
    }
}

fn of_alarm(alarm: &Raised, now: u64) -> String {
    let mark = if alarm.grade == Grade::Critical { "!! " } else { "" };
    format!("{mark}{} since {}: {}", alarm.alarm, clock(alarm.since, now), alarm.told)
}

fn of_room(room: &Room) -> String {
    let Room { pool, place, nodes: [serving, all], drained, pressure, viewers, net, full_in, is_unknown, load, unit } =
        room;
    let place = place.as_ref().map_or_else(|| "all places".to_owned(), Clone::clone);
    let Some(pressure) = pressure else {
        let drained = if *drained > 0 { format!(", {drained} drained") } else { String::new() };
        return format!("{pool} {place}: none of {all} nodes serves{drained}");
    };
    let change = if net.abs() < 0.05 { "steady".to_owned() } else { format!("{net:+.1} viewers/s") };
    let full = match full_in {
        Some(seconds) if *seconds <= 0.0 => "full".to_owned(),
        Some(seconds) if *seconds < 86_400.0 => format!("full in {}", span(*seconds)),
        _ => "does not fill".to_owned(),
    };
    let unknown = if *is_unknown { "; its load is not known" } else { "" };
    format!(
        "{pool} {place}: {pressure:.2} full, room for {viewers:.0} viewers ({load:.0} {unit}), {change}, {full}; {serving} of {all} \
         nodes{unknown}"
    )
}

fn of_order(order: &Order, now: u64) -> String {
    format!("{} {}", order.what, order.told(now))
}

fn of_drain(drain: &DrainReport) -> String {
    format!("drain {} {}", drain.node, drain.told)
}

fn of_blind(blind: &Blind) -> String {
    format!("{}: {}", blind.node, blind.told)
}

fn of_event(event: &Happening, now: u64) -> String {
    format!("{} {}: {}", clock(event.at, now), event.kind, event.told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_much_there_is_it_fits_on_a_screen() {
        let alarm = |number: usize| Raised {
            alarm: "blind".to_owned(),
            subject: number.to_string(),
            told: "its load is old".to_owned(),
            since: 0,
            grade: Grade::Warning,
        };
        let room = |number: usize| Room {
            pool: "edge".to_owned(),
            place: Some(number.to_string()),
            nodes: [1, 2],
            drained: 0,
            pressure: Some(0.5),
            load: 100.0,
            unit: "Mbit/s".to_owned(),
            viewers: 40.0,
            net: 0.0,
            full_in: None,
            is_unknown: false,
        };
        let drain = |number: usize| DrainReport { node: number.to_string(), told: "x".to_owned(), until: None };
        let blind =
            |number: usize| Blind { node: number.to_string(), what: "never".to_owned(), told: "never".to_owned() };
        let event = |number: usize| Happening {
            at: number as u64,
            kind: "node".to_owned(),
            grade: Grade::Note,
            told: "x".to_owned(),
        };
        let report = StatusReport {
            version: "1".to_owned(),
            grade: Grade::Warning,
            now: 100,
            started: 0,
            generation: 1,
            tick_age: 0.2,
            nodes: [1, 2],
            alarms: (0..50).map(alarm).collect(),
            rooms: (0..50).map(room).collect(),
            overrides: Vec::new(),
            drains: (0..50).map(drain).collect(),
            blind: (0..50).map(blind).collect(),
            events: (0..50).map(event).collect(),
        };
        let text = text(&report);
        assert_eq!(text.lines().count(), 24, "{text}");
        assert!(text.contains("alarm    and 45 more"), "{text}");
    }
}

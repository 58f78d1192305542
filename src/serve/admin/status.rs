//! `/v1/status`: what an operator should know first. It is made of what is published, so a feed that hangs shows in it.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Admin;
use crate::intake::{Grade, Happening, Raised};
use crate::load::history::Reading;
use crate::pool::Currency;
use crate::serve::unix_milliseconds;
use crate::snapshot::Snapshot;
use crate::steer::{FleetNode, Names, NodeState, Order, Room, rooms};

/// Events that are told.
const EVENTS: usize = 20;
/// Seconds until a pool is full below which somebody should look at it.
const SOON: f64 = 1_800.0;
/// Seconds after the start in which loads may be missing: a rate takes two scrapes.
const WARMING: u64 = 60;

/// The whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The program's.
    pub version: String,
    /// The worst of all below.
    pub grade: Grade,
    /// Seconds since 1970.
    pub now: u64,
    /// When the server was started, in seconds since 1970.
    pub started: u64,
    /// Number of the inputs that are served.
    pub generation: u64,
    /// Seconds since tables were made.
    pub tick_age: f64,
    /// Nodes that serve, of so many.
    pub nodes: [usize; 2],
    /// What is wrong, the gravest first.
    pub alarms: Vec<Raised>,
    /// Room of pools and places, full soonest first.
    pub rooms: Vec<Room>,
    /// What operators want for the time being.
    pub overrides: Vec<Order>,
    /// Nodes that get nobody new by their inventory or for maintenance.
    pub drains: Vec<DrainReport>,
    /// Nodes whose load, or whose capacity, nobody knows.
    pub blind: Vec<Blind>,
    /// What happened last, the newest first.
    pub events: Vec<Happening>,
}

/// A node that gets nobody new although nobody ordered it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrainReport {
    /// The node.
    pub node: String,
    /// By whom, until when, and why.
    pub told: String,
    /// Seconds since 1970 when it ends, if that is known.
    pub until: Option<u64>,
}

/// A node of which something is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blind {
    /// The node.
    pub node: String,
    /// `stale`, `never` or `no_capacity`.
    pub what: String,
    /// In words.
    pub told: String,
}

/// What an operator should know first.
pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Response {
    Json(report(&admin)).into_response()
}

fn report(admin: &Admin) -> StatusReport {
    let (snapshot, now) = (admin.published.snapshot(), Instant::now());
    let unix = unix_milliseconds() / 1_000;
    let (tick_age, is_stuck) = (admin.pulse.age(now).as_secs_f64(), admin.pulse.is_stuck(now));
    let (fleet, tables) = (&snapshot.fleet, &snapshot.tables);
    let configured = || fleet.nodes.iter().zip(&tables.nodes).filter(|(known, _)| known.is_configured);
    let serving = configured().filter(|(_, state)| state.standing.is_eligible()).count();
    let mut alarms = alarms(admin, &snapshot);
    if is_stuck {
        let told = format!(
            "no tables were made for {tick_age:.0} s: answers follow neither load nor deaths; restart the server"
        );
        let since = unix.saturating_sub(tick_age as u64);
        let grade = Grade::of_alarm("stuck");
        alarms.insert(0, Raised { alarm: "stuck".to_owned(), subject: String::new(), told, since, grade });
    }
    let rooms = rooms(fleet, tables);
    let blind: Vec<Blind> = configured().filter_map(|(known, state)| blind(known, state)).collect();
    let is_warm = unix.saturating_sub(admin.board.started()) > WARMING;
    let grades = alarms.iter().map(|alarm| alarm.grade).chain(rooms.iter().map(grade_of_room));
    let of_blind = if is_warm && !blind.is_empty() { Grade::Warning } else { Grade::Note };
    let drains = tables.drains.iter().map(|drain| DrainReport {
        node: drain.node.clone(),
        told: drain.told(unix),
        until: drain.until(),
    });
    StatusReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        grade: grades.chain([of_blind]).max().unwrap_or(Grade::Note),
        now: unix,
        started: admin.board.started(),
        generation: snapshot.generation,
        tick_age,
        nodes: [serving, configured().count()],
        alarms,
        rooms,
        overrides: tables.orders.to_vec(),
        drains: drains.collect(),
        blind,
        events: admin.board.events().into_iter().rev().take(EVENTS).collect(),
    }
}

/// Those on the board, with the words of the tables where these have newer ones.
fn alarms(admin: &Admin, snapshot: &Snapshot) -> Vec<Raised> {
    let names = Names { fleet: &snapshot.fleet, regions: snapshot.geo.regions() };
    let mut alarms = admin.board.alarms();
    for alarm in &snapshot.tables.alarms {
        let subject = names.subject(alarm);
        if let Some(raised) = alarms.iter_mut().find(|each| each.alarm == alarm.word() && each.subject == subject) {
            raised.told = names.tell(alarm, &snapshot.tables);
        }
    }
    alarms
}

/// A place that is full spills over to others; a pool that is full has none.
fn grade_of_room(room: &Room) -> Grade {
    let is_pool = room.place.is_none();
    match (room.pressure, room.full_in) {
        (None, _) if is_pool => Grade::Critical,
        // That is what somebody wants.
        (None, _) if room.drained == room.nodes[1] => Grade::Note,
        (None, _) => Grade::Warning,
        (Some(_), Some(seconds)) if seconds <= 0.0 => {
            if is_pool {
                Grade::Critical
            } else {
                Grade::Warning
            }
        }
        (Some(_), Some(seconds)) if seconds < SOON && is_pool => Grade::Warning,
        _ => Grade::Note,
    }
}

fn blind(known: &FleetNode, state: &NodeState) -> Option<Blind> {
    let because = |trouble: &Option<crate::load::history::Trouble>| {
        trouble.as_ref().map_or_else(|| "no answer yet".to_owned(), ToString::to_string)
    };
    let (what, told) = match &state.reading {
        Reading::Never { .. } if known.node.exporters.is_empty() => {
            ("never", "its load is never read: it has no exporters".to_owned())
        }
        Reading::Never { because: trouble } => ("never", format!("its load was never read: {}", because(trouble))),
        Reading::Stale { age, because: trouble, .. } => {
            ("stale", format!("its load is {age:.0} s old: {}", because(trouble)))
        }
        Reading::Fresh(load) => {
            let has_capacity = match known.currency {
                Currency::Egress => known.node.capacity.egress.or(load.egress_capacity).is_some(),
                Currency::Clients => known.node.capacity.clients.is_some(),
            };
            if has_capacity {
                return None;
            }
            ("no_capacity", "nobody knows what it can do: write `capacity`".to_owned())
        }
    };
    Some(Blind { node: known.node.name.clone(), what: what.to_owned(), told })
}

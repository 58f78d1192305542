//! `/v1/nodes`: every node, the worst first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Admin;
use crate::intake::{Event, SourceReport};
use crate::load::history::Reading;
use crate::pool::{Bitrate, Currency, NodeId};
use crate::serve::unix_milliseconds;
use crate::snapshot::Snapshot;
use crate::steer::{NodeStanding, Standing, UseReason};

/// How long the feed may take to say how sources do; a feed that hangs keeps nobody from seeing the rest.
const PATIENCE: Duration = Duration::from_millis(500);

/// All nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodesReport {
    /// Seconds since 1970.
    pub now: u64,
    /// Seconds since tables were made: all below is as of then.
    pub tick_age: f64,
    /// That is too long ago.
    pub is_stuck: bool,
    /// The nodes, the worst first.
    pub nodes: Vec<NodeReport>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// Its place.
    pub place: String,
    /// The pools that have it.
    pub pools: Vec<String>,
    /// The word for how it stands.
    pub standing: String,
    /// Seconds since 1970 when that began.
    pub since: Option<u64>,
    /// Measured pressure; none while it is not known.
    pub pressure: Option<f64>,
    /// Predicted pressure now.
    pub predicted: f64,
    /// The pressure up to which its site is being filled; none = as far as it goes.
    pub limit: Option<f64>,
    /// The resource that is nearest to its limit.
    pub worst: Option<UseReason>,
    /// Every resource that is known.
    pub uses: Vec<UseReason>,
    /// Mbit/s that it sends.
    pub egress: Option<f64>,
    /// Mbit/s that it can send, as configured or by its link.
    pub egress_capacity: Option<f64>,
    /// Viewers that it has.
    pub clients: Option<f64>,
    /// Load at which its pressure is 1, as learned.
    pub capacity: f64,
    /// The unit of that: `Mbit/s` or `viewers`.
    pub unit: String,
    /// Of the answers of the last minute, the part that named it; none if there were none.
    pub answers: Option<f64>,
    /// Seconds since its load was read; none if it never was.
    pub age: Option<f64>,
    /// Where its load is read; empty also if the feed does not say.
    pub sources: Vec<SourceReport>,
    /// Why it gets viewers, or why not.
    pub because: String,
}

/// All nodes.
pub(super) async fn nodes(State(admin): State<Arc<Admin>>) -> Response {
    let sources = sources(&admin).await;
    let (snapshot, now) = (admin.published.snapshot(), Instant::now());
    let unix = unix_milliseconds() / 1_000;
    let shares = admin.board.answer_shares();
    let mut nodes: Vec<(NodeId, NodeReport)> = Vec::new();
    for (index, known) in snapshot.fleet.nodes.iter().enumerate().filter(|(_, known)| known.is_configured) {
        let id = NodeId(index as u16);
        let mut report = report(&snapshot, id, unix);
        report.since = admin.board.standing_since(id);
        report.answers = shares.get(index).copied();
        report.sources = sources.iter().filter(|source| source.node == known.node.name).cloned().collect();
        nodes.push((id, report));
    }
    let badness = |id: NodeId| badness(snapshot.tables.nodes[usize::from(id.0)].standing);
    nodes.sort_by(|(a, first), (b, second)| {
        let overfull = |report: &NodeReport| report.predicted >= 1.0;
        let rank = |id: NodeId, report: &NodeReport| badness(id).min(if overfull(report) { 1 } else { u8::MAX });
        rank(*a, first).cmp(&rank(*b, second)).then(second.predicted.total_cmp(&first.predicted))
    });
    let nodes = nodes.into_iter().map(|(_, report)| report).collect();
    let (tick_age, is_stuck) = (admin.pulse.age(now).as_secs_f64(), admin.pulse.is_stuck(now));
    Json(NodesReport { now: unix, tick_age, is_stuck, nodes }).into_response()
}

/// How sources do, if the feed says so in time.
async fn sources(admin: &Admin) -> Vec<SourceReport> {
    let (sender, answer) = oneshot::channel();
    let asked = async {
        admin.events.send(Event::Sources(sender)).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().flatten().unwrap_or_default()
}

fn report(snapshot: &Snapshot, id: NodeId, now: u64) -> NodeReport {
    let (fleet, tables) = (&snapshot.fleet, &snapshot.tables);
    let (known, state) = (fleet.node(id), &tables.nodes[usize::from(id.0)]);
    let load = state.reading.last();
    let uses = load.map_or(&[][..], |load| load.uses.as_slice()).iter();
    let uses: Vec<UseReason> = uses
        .map(|each| UseReason { resource: each.resource.to_string(), share: each.share, limit: each.limit })
        .collect();
    let mut pools: Vec<String> = fleet
        .pools
        .iter()
        .filter(|pool| pool.sites.iter().any(|site| site.nodes.contains(&id)))
        .map(|pool| pool.pool.name.clone())
        .collect();
    pools.dedup();
    let NodeStanding { because, limit } = NodeStanding::of(fleet, tables, id, now);
    let egress_capacity = known.node.capacity.egress.or(load.and_then(|load| load.egress_capacity));
    NodeReport {
        node: known.node.name.clone(),
        place: fleet.places[usize::from(known.place.0)].name.clone(),
        pools,
        standing: state.standing.word().to_owned(),
        since: None,
        pressure: load.filter(|_| matches!(state.reading, Reading::Fresh(_))).map(|load| load.pressure),
        predicted: state.pressure,
        limit,
        worst: uses.iter().max_by(|a, b| (a.share / a.limit).total_cmp(&(b.share / b.limit))).cloned(),
        uses,
        egress: load.and_then(|load| load.egress).map(Bitrate::megabits),
        egress_capacity: egress_capacity.map(Bitrate::megabits),
        clients: load.and_then(|load| load.clients),
        capacity: state.capacity,
        unit: match known.currency {
            Currency::Egress => "Mbit/s",
            Currency::Clients => "viewers",
        }
        .to_owned(),
        answers: None,
        age: load.map(|load| tables.at - load.sampled),
        sources: Vec::new(),
        because,
    }
}

/// The less, the worse: what cannot serve, what barely does, what nobody can see, what somebody took out, the rest.
fn badness(standing: Standing) -> u8 {
    match standing {
        Standing::Down | Standing::Exhausted => 0,
        Standing::Held | Standing::Full => 1,
        Standing::Distrusted | Standing::Blind | Standing::New => 2,
        Standing::Drained => 3,
        Standing::Known => 4,
    }
}

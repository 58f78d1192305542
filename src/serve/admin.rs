//! The admin listener: status, nodes, explain, drains, overrides, metrics, health. On loopback only.

mod cluster;
mod drain;
mod inventories;
mod nodes;
mod overrides;
mod status;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::extract::{Query as Parameters, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::unix_milliseconds;
use crate::answer::{Question, explain};
use crate::geo::Prefix;
use crate::intake::{Board, Cluster, Event, Pulse};
use crate::metrics::Metrics;
use crate::name::Name;
use crate::snapshot::Published;
use crate::wire::RecordType;

/// What key tables can estimate.
const VIEWERS: RangeInclusive<f64> = 0.0001..=100.0;
/// The text exposition that prometheus-client writes.
const EXPOSITION: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub use inventories::ConfirmParameters;
pub use nodes::{NodeReport, NodesReport};
pub use overrides::LiftParameters;
pub use status::{Blind, DrainReport, StatusReport};

/// What the admin listener shows.
pub struct Admin {
    /// The snapshots.
    pub published: Arc<Published>,
    /// Our own metrics.
    pub metrics: Metrics,
    /// Where the feed hears of overrides.
    pub events: mpsc::Sender<Event>,
    /// Alarms, events and shares of answers.
    pub board: Arc<Board>,
    /// Beats when tables were made.
    pub pulse: Arc<Pulse>,
    /// True when the first probes and scrapes have been tried, or have had their time.
    pub readiness: watch::Receiver<bool>,
    /// The other nameservers, if there are any.
    pub cluster: Option<Arc<Cluster>>,
}

/// Who asks what, as parameters of `/v1/explain`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainParameters {
    /// The name.
    pub name: String,
    /// The type; A if left out.
    #[serde(rename = "type")]
    pub qtype: Option<String>,
    /// A client whose resolver passes its network on.
    pub client: Option<String>,
    /// Instead: the resolver's address.
    pub resolver: Option<String>,
    /// And the client subnet that it sends.
    pub ecs: Option<String>,
    /// Viewers per second behind the key; one that asks for the first time if left out.
    pub viewers: Option<f64>,
}

impl ExplainParameters {
    /// Checks the parameters; an error says which is wrong and what it should be.
    pub fn question(&self) -> Result<Question, String> {
        let name = Name::parse(&self.name, None).map_err(|error| format!("name `{}`: {error}", self.name))?;
        let qtype = self.qtype.as_deref().unwrap_or("A");
        let qtype: RecordType = qtype.parse().map_err(|_| format!("type `{qtype}` is not known; try A or AAAA"))?;
        let address = |what: &str, text: &str| {
            text.parse::<IpAddr>()
                .map_err(|_| format!("{what} `{text}` is not an address such as 192.0.2.1 or 2001:db8::1"))
        };
        let viewers = self.viewers;
        if let Some(rate) = viewers.filter(|rate| !VIEWERS.contains(rate)) {
            return Err(format!("viewers {rate} is not a rate from {} to {} a second", VIEWERS.start(), VIEWERS.end()));
        }
        match (&self.client, &self.resolver) {
            (Some(client), None) if self.ecs.is_none() => {
                Ok(Question { viewers, ..Question::of_client(name, qtype, address("client", client)?) })
            }
            (None, Some(resolver)) => {
                let subnet = self.ecs.as_deref().map(|text| {
                    text.parse::<Prefix>().map_err(|error| format!("ecs `{text}`: {error}; write it like 192.0.2.0/24"))
                });
                let (resolver, subnet) = (address("resolver", resolver)?, subnet.transpose()?);
                Ok(Question { name, qtype, resolver, subnet, viewers })
            }
            _ => Err("say who asks: either client, or resolver and maybe ecs".to_owned()),
        }
    }
}

/// Answers HTTP until it is stopped.
pub async fn serve(listener: TcpListener, admin: Admin, stop: CancellationToken) {
    let router = Router::new()
        .route("/v1/explain", get(explain_answer))
        .route("/v1/overrides", get(overrides::list).post(overrides::order).delete(overrides::lift))
        .route("/v1/inventories", get(inventories::list).post(inventories::confirm))
        .route("/v1/inventories/enrol", post(inventories::enrol))
        .route("/v1/drain", post(drain::drain))
        .route("/v1/undrain", post(drain::undrain))
        .route("/v1/nodes", get(nodes::nodes))
        .route("/v1/status", get(status::status))
        .route("/v1/cluster", get(cluster::list).post(cluster::spread))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Arc::new(admin));
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the admin listener has ended; DNS goes on");
    }
}

async fn explain_answer(
    State(admin): State<Arc<Admin>>,
    Parameters(parameters): Parameters<ExplainParameters>,
) -> Response {
    match parameters.question() {
        Ok(question) => Json(explain(&admin.published.snapshot(), &question, unix_milliseconds())).into_response(),
        Err(message) => (StatusCode::BAD_REQUEST, format!("{message}\n")).into_response(),
    }
}

/// DNS is answered from the start on; only who waits for this waits for the first round.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    if *admin.readiness.borrow() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not ready: the first probes and scrapes are under way\n").into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, EXPOSITION)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

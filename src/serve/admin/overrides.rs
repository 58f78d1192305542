//! `/v1/overrides`: what operators want for the time being, to be read, ordered and lifted.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query as Parameters, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Admin;
use crate::intake::{Event, Lift, Ordered, Wish};
use crate::steer::Order;

/// Which overrides to lift: just one of these.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiftParameters {
    /// A number, or `all`.
    pub id: Option<String>,
    /// The node whose drain is lifted.
    pub drain: Option<String>,
}

impl LiftParameters {
    fn which(self) -> Result<Lift, String> {
        match (self.id.as_deref(), self.drain) {
            (Some("all"), None) => Ok(Lift::All),
            (Some(id), None) => {
                id.parse().map(Lift::One).map_err(|_| format!("id `{id}` is neither a number nor `all`"))
            }
            (None, Some(node)) => Ok(Lift::Drain(node)),
            _ => Err("say what to lift: either id=N, id=all or drain=NODE".to_owned()),
        }
    }
}

/// Those that stand, oldest first.
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Response {
    Json(&*admin.published.snapshot().tables.orders).into_response()
}

/// Orders one.
pub(super) async fn order(State(admin): State<Arc<Admin>>, headers: HeaderMap, Json(wish): Json<Wish>) -> Response {
    if let Some(refused) = refuse_pages(&headers) {
        return refused;
    }
    outcome(&admin, |answer: oneshot::Sender<Result<Ordered, String>>| Event::Override { wish, answer }).await
}

/// Lifts some.
pub(super) async fn lift(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Parameters(parameters): Parameters<LiftParameters>,
) -> Response {
    if let Some(refused) = refuse_pages(&headers) {
        return refused;
    }
    match parameters.which() {
        Ok(which) => {
            outcome(&admin, |answer: oneshot::Sender<Result<Vec<Order>, String>>| Event::Lift { which, answer }).await
        }
        Err(message) => refused(&message),
    }
}

/// What the feed says to an event.
pub(super) async fn outcome<T: Serialize>(
    admin: &Admin,
    event: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Event,
) -> Response {
    let (sender, answer) = oneshot::channel();
    let gone = || (StatusCode::SERVICE_UNAVAILABLE, "the feed has ended; restart the server\n").into_response();
    if admin.events.send(event(sender)).await.is_err() {
        return gone();
    }
    match answer.await {
        Ok(Ok(done)) => Json(done).into_response(),
        Ok(Err(message)) => refused(&message),
        Err(_) => gone(),
    }
}

fn refused(message: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{message}\n")).into_response()
}

/// Refuses what a browser sends on behalf of some page: it would reach the loopback address of whoever looks at that.
/// Browsers name the page's origin with every request that changes anything (Fetch standard, §3.2).
pub(super) fn refuse_pages(headers: &HeaderMap) -> Option<Response> {
    headers.contains_key(header::ORIGIN).then(|| (StatusCode::FORBIDDEN, "not from a web page\n").into_response())
}

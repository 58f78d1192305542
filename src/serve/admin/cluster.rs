//! `/v1/cluster`: how the other nameservers are; and, if asked to, who knows of what was ordered.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use super::Admin;
use super::overrides::refuse_pages;
use crate::intake::{Event, PeerReport};
use crate::steer::Override;

/// How the other nameservers are; empty if there are none.
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Response {
    let peers = admin.cluster.as_ref().map(|cluster| cluster.peers()).unwrap_or_default();
    let now = Instant::now();
    Json(peers.iter().map(|peer| PeerReport::of(peer, now)).collect::<Vec<_>>()).into_response()
}

/// Tells the others what was ordered, and says who took it; empty if there are no others. What is meant stands in the body;
/// without one all orders are.
pub(super) async fn spread(State(admin): State<Arc<Admin>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = refuse_pages(&headers) {
        return refused;
    }
    let about = match body.is_empty() {
        true => None,
        false => match serde_json::from_slice::<Vec<Override>>(&body) {
            Ok(about) => Some(about),
            Err(error) => return (StatusCode::BAD_REQUEST, format!("no list of overrides: {error}\n")).into_response(),
        },
    };
    let (sender, applied) = oneshot::channel();
    let sent = admin.events.send(Event::Spread { about, answer: sender }).await;
    match applied.await {
        Ok(applied) if sent.is_ok() => Json(applied).into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the feed has ended; restart the server\n").into_response(),
    }
}

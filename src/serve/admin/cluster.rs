//! `/v1/cluster`: which nameservers know of what was ordered; asking spreads it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use super::Admin;
use super::overrides::refuse_pages;
use crate::intake::Event;

/// Tells the others what was ordered, and says who took it; empty if there are no others.
pub(super) async fn spread(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    if let Some(refused) = refuse_pages(&headers) {
        return refused;
    }
    let (sender, applied) = oneshot::channel();
    let sent = admin.events.send(Event::Spread(sender)).await;
    match applied.await {
        Ok(applied) if sent.is_ok() => Json(applied).into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the feed has ended; restart the server\n").into_response(),
    }
}

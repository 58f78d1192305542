//! `/v1/drain` and `/v1/undrain`: several nodes at once, with what would come of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::sync::oneshot;

use super::Admin;
use super::overrides::{outcome, refuse_pages};
use crate::intake::{DrainWish, Drained, Event};
use crate::pool::Selection;
use crate::steer::Order;

/// Drains, or says what would come of it.
pub(super) async fn drain(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Json(wish): Json<DrainWish>,
) -> Response {
    if let Some(refused) = refuse_pages(&headers) {
        return refused;
    }
    outcome(&admin, |answer: oneshot::Sender<Result<Drained, String>>| Event::Drain { wish, answer }).await
}

/// Ends drains.
pub(super) async fn undrain(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Json(which): Json<Selection>,
) -> Response {
    if let Some(refused) = refuse_pages(&headers) {
        return refused;
    }
    outcome(&admin, |answer: oneshot::Sender<Result<Vec<Order>, String>>| Event::Undrain { which, answer }).await
}

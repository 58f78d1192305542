//! `/v1/inventories`: how lists of nodes stand, the confirmation of one that waits, and who is let in by heartbeats.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query as Parameters, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::overrides::{outcome, refuse_pages};
use crate::intake::{Answer, EnrolWish, Event};

/// Which list is confirmed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmParameters {
    /// The inventory's name.
    pub confirm: String,
}

/// How each stands, by name.
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Response {
    Json(&*admin.published.snapshot().inventories).into_response()
}

/// Takes a list that waits.
pub(super) async fn confirm(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Parameters(ConfirmParameters { confirm: inventory }): Parameters<ConfirmParameters>,
) -> Response {
    if let Some(refused) = refuse_pages(&headers) {
        return refused;
    }
    outcome(&admin, |answer: Answer| Event::Confirm { inventory, answer }).await
}

/// Lets nodes of heartbeats in, or sends them away.
pub(super) async fn enrol(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Json(wish): Json<EnrolWish>,
) -> Response {
    if let Some(refused) = refuse_pages(&headers) {
        return refused;
    }
    outcome(&admin, |answer: Answer| Event::Enrol { wish, answer }).await
}

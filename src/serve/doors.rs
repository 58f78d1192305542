//! The doors for viewers on the public HTTP listeners: HTTP-DNS in the shapes of vendors, and the choice of nodes by name and
//! stream. Behind each is the engine that answers DNS: a request becomes a query, with the client's network in it.

mod client;
mod json;
mod limit;
mod refusal;
mod reply;
mod route;
mod signature;
mod vendors;
mod visit;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;

use self::limit::limiter;
use super::Responder;
use super::rate_limit::Limiter;
use crate::config::HttpDns;

/// What all doors share.
#[derive(Clone)]
pub(super) struct Doors {
    responder: Responder,
    /// Held for a look at one account.
    limiter: Arc<Mutex<Limiter>>,
}

/// All of them.
pub(super) fn doors(responder: Responder) -> Router {
    let doors = Doors { responder, limiter: Arc::new(Mutex::new(limiter())) };
    Router::new()
        .route("/resolve", get(json::resolve))
        .route("/d", get(vendors::addresses_of))
        .route("/{account}/d", get(vendors::addresses_of))
        .route("/{account}/resolve", get(vendors::addresses_of))
        .route("/v1/route", get(route::route))
        .layer(from_fn_with_state(doors.clone(), head))
        .with_state(doors)
}

/// What all answers bear: nobody may keep what was chosen for one client, and pages of which origins may read it.
async fn head(State(doors): State<Doors>, request: Request<Body>, next: Next) -> Response {
    let snapshot = doors.responder.published.snapshot();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    share(&snapshot.http_dns, origin, headers);
    response
}

/// Cross-origin resource sharing (Fetch standard, §3.2): all requests are such as need no leave before.
fn share(http_dns: &HttpDns, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    let origins = &http_dns.origins;
    if origins.iter().any(|allowed| allowed == "*") {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else if !origins.is_empty() {
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        let is_allowed = |origin: &HeaderValue| origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
        if let Some(origin) = origin.filter(is_allowed) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }
}

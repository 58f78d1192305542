//! The doors for viewers on the public HTTP listeners: HTTP-DNS in the shapes of vendors, and the choice of nodes by name and
//! stream. Behind each is the engine that answers DNS: a request becomes a query, with the client's network in it.

mod choice;
mod client;
mod ice;
mod json;
mod limit;
mod redirect;
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

/// All of them, and before them and the `others` the hosts at which requests are sent on.
pub(super) fn doors(responder: Responder, others: Router) -> Router {
    let doors = Doors { responder, limiter: Arc::new(Mutex::new(limiter())) };
    let all = Router::new()
        .route("/resolve", get(json::resolve))
        .route("/d", get(vendors::addresses_of))
        .route("/{account}/d", get(vendors::addresses_of))
        .route("/{account}/resolve", get(vendors::addresses_of))
        .route("/v1/route", get(route::route))
        .route("/v1/ice", get(ice::ice))
        .route("/v1/redirect/{*stream}", get(redirect::spelled))
        .layer(from_fn_with_state(doors.clone(), head))
        .with_state(doors.clone());
    // Whatever the path: so all doors have to be inside.
    Router::new().fallback_service(all.merge(others)).layer(from_fn_with_state(doors.clone(), redirect::by_host))
}

/// What all answers bear: nobody may keep what was chosen for one client, and pages of which origins may read it.
async fn head(State(doors): State<Doors>, request: Request<Body>, next: Next) -> Response {
    let snapshot = doors.responder.published.snapshot();
    let origin = request.headers().get(header::ORIGIN).cloned();
    bear(&snapshot.http_dns, origin, next.run(request).await)
}

fn bear(http_dns: &HttpDns, origin: Option<HeaderValue>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    share(http_dns, origin, headers);
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

//! DNS over HTTPS (RFC 8484): the door `/dns-query`.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt;

use super::Asker;
use super::freshness::freshness;
use crate::serve::Responder;
use crate::serve::scratch;

/// The path, which is what most clients are configured with (RFC 8484 §4.1.1 has it in its examples).
const PATH: &str = "/dns-query";
/// The media type of messages (RFC 8484 §6).
const MESSAGE: &str = "application/dns-message";

/// The door.
pub(super) fn door(responder: Responder) -> Router {
    Router::new().route(PATH, get(by_get).post(by_post)).with_state(responder)
}

/// RFC 8484 §4.1: the query stands in the URI. HEAD has the same answer without its body (RFC 9110 §9.3.2).
async fn by_get(State(responder): State<Responder>, request: Request<Body>) -> Response<Body> {
    match of_uri(request.uri().query().unwrap_or_default()) {
        Ok(message) => reply(&responder, &request, &message),
        Err(refused) => refused.into_response(),
    }
}

/// The same with the query as the body, which is there as a whole.
async fn by_post(State(responder): State<Responder>, request: Request<Body>) -> Response<Body> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // RFC 9110 §8.3.1: in any case, and parameters may follow.
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(MESSAGE) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be application/dns-message\n").into_response();
    }
    let (head, body) = request.into_parts();
    match body.collect().await {
        Ok(message) => reply(&responder, &Request::from_parts(head, Body::empty()), &message.to_bytes()),
        Err(_) => (StatusCode::BAD_REQUEST, "the body has ended too early\n").into_response(),
    }
}

/// Why a request gets no DNS message.
type Refused = (StatusCode, &'static str);

/// The message in the query of a URI.
fn of_uri(query: &str) -> Result<Vec<u8>, Refused> {
    let mut found = query.split('&').filter_map(|pair| pair.strip_prefix("dns="));
    let (Some(text), None) = (found.next(), found.next()) else {
        return Err((StatusCode::BAD_REQUEST, "the URI has to have `dns=` with a query in base64url, once\n"));
    };
    // RFC 8484 §6: padding must not be there.
    let message = URL_SAFE_NO_PAD.decode(text);
    message.map_err(|_| (StatusCode::BAD_REQUEST, "`dns=` is not base64url without padding\n"))
}

fn reply(responder: &Responder, request: &Request<Body>, message: &[u8]) -> Response<Body> {
    let Some(asker) = request.extensions().get::<Asker>() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let reply = scratch::respond(responder, message, asker.path, |reply| (freshness(reply), reply.to_vec()));
    asker.count(reply.is_some());
    let Some((freshness, reply)) = reply else {
        return (StatusCode::BAD_REQUEST, "that is no DNS query\n").into_response();
    };
    let mut response = Response::new(Body::from(reply));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
    // RFC 8484 §5.1: not longer than the smallest TTL, and for nobody else: answers depend on who asks.
    if let Ok(control) = HeaderValue::try_from(format!("private, max-age={freshness}")) {
        headers.insert(CACHE_CONTROL, control);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_has_one_query_in_base64url() {
        assert_eq!(of_uri("dns=AAABAAABAAA").unwrap(), b"\0\0\x01\0\0\x01\0\0");
        assert_eq!(of_uri("ct=x&dns=-_8").unwrap(), b"\xfb\xff");
        for wrong in ["", "dns", "name=x", "dns=AAAB=", "dns=+/8", "dns=AA&dns=AA", "dns=A"] {
            assert_eq!(of_uri(wrong).unwrap_err().0, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }
}

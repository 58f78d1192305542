//! Redirects: at host names that are set aside, any path is found on the node of whoever asks, and so is a stream that is
//! spelled out in `/v1/redirect/{app}/{stream}`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::choice::Choice;
use super::refusal::Refusal;
use super::reply::in_url;
use super::visit::Visit;
use super::{Doors, bear};
use crate::config::Redirect;

/// The door of streams that are spelled out.
pub(super) const SPELLED: &str = "/v1/redirect/";

/// Sends requests on that are for a host which is set aside; the others go to the doors.
pub(super) async fn by_host(State(doors): State<Doors>, request: Request<Body>, next: Next) -> Response {
    let snapshot = doors.responder.published.snapshot();
    let redirects = &snapshot.http_dns.redirects;
    let redirect = host(&request).and_then(|host| redirects.iter().find(|redirect| is_host(redirect, host)));
    let Some(redirect) = redirect else { return next.run(request).await };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let response = send_on(&doors, &request, redirect, &path).unwrap_or_else(IntoResponse::into_response);
    bear(&snapshot.http_dns, origin, response)
}

/// The door of streams that are spelled out: by the service that `name` says, or the only one that has redirects.
pub(super) async fn spelled(State(doors): State<Doors>, request: Request<Body>) -> Response {
    answer(&doors, &request).unwrap_or_else(IntoResponse::into_response)
}

fn answer(doors: &Doors, request: &Request<Body>) -> Result<Response, Refusal> {
    let snapshot = doors.responder.published.snapshot();
    let query = request.uri().query().unwrap_or_default();
    let named = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "name").map(|(_, name)| name);
    let redirects = &snapshot.http_dns.redirects;
    let is_named = |redirect: &&Redirect| {
        let service = redirect.service.to_string();
        named
            .as_ref()
            .is_some_and(|name| name.trim_end_matches('.').eq_ignore_ascii_case(service.trim_end_matches('.')))
    };
    let redirect = match (&named, &**redirects) {
        (None, [only]) => only,
        (Some(_), _) => {
            redirects.iter().find(is_named).ok_or_else(|| Refusal::unknown("`name` is no service with a `redirect`"))?
        }
        (None, _) => return Err(Refusal::bad("`name` is missing: the service, one of those with a `redirect`")),
    };
    let path = request.uri().path().strip_prefix(SPELLED).unwrap_or_default();
    send_on(doors, request, redirect, &format!("/{path}"))
}

/// The host that a request is for, without the port: of HTTP/2 it stands in the URI (RFC 9113 §8.3.1).
fn host(request: &Request<Body>) -> Option<&str> {
    let line = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(http::uri::Authority::as_str).or_else(line)?;
    Some(host.rsplit_once(':').map_or(host, |(host, _port)| host))
}

fn is_host(redirect: &Redirect, host: &str) -> bool {
    let ours = redirect.host.to_string();
    ours.trim_end_matches('.').eq_ignore_ascii_case(host.trim_end_matches('.'))
}

/// What stands for a stream in the path of any of its files: the path without the ending of its last part.
fn stream(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default().trim_matches('/');
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    path[name..].find('.').map_or(path, |dot| &path[..name + dot])
}

fn send_on(doors: &Doors, request: &Request<Body>, redirect: &Redirect, path: &str) -> Result<Response, Refusal> {
    let visit = Visit::begin(doors, request)?;
    let stream = stream(path);
    let choice = Choice { name: &redirect.service, stream: Some(stream.as_bytes()), family: None, viewers: 1 };
    let base = choice.make(&visit, |chosen| {
        let first = chosen.observation.nodes.first();
        let node = first.map(|node| &chosen.consulted.snapshot.fleet.node(*node).node);
        let address = node.and_then(|node| node.address(chosen.family)).map(in_url);
        let elsewhere = || chosen.elsewhere().map(|name| name.trim_end_matches('.').to_owned());
        let (address, name) = (address.or_else(elsewhere)?, node.map(|node| node.name.clone()));
        Some(redirect.to.fill(|placeholder| match placeholder {
            "address" => address.clone(),
            "node" => name.clone().unwrap_or_else(|| address.clone()),
            _ => String::new(),
        }))
    })?;
    let base = base.ok_or_else(Refusal::full)?;
    let location = HeaderValue::from_str(&format!("{base}{path}"));
    let location = location.map_err(|_| Refusal::bad("the path cannot stand in a header"))?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_of_a_stream_stand_for_it() {
        for (path, expected) in [
            ("/live/cam1.flv?token=a.b", "live/cam1"),
            ("/live/cam1.m3u8", "live/cam1"),
            ("/live/v1.2/cam1.mpd", "live/v1.2/cam1"),
            ("/live/cam1", "live/cam1"),
            ("/cam1.flv", "cam1"),
            ("/", ""),
        ] {
            assert_eq!(stream(path), expected, "{path}");
        }
    }
}

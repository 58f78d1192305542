//! `/v1/ice`: TURN servers for browsers, which read no SRV records, as the `iceServers` of a peer connection.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Doors;
use super::choice::Choice;
use super::refusal::Refusal;
use super::reply;
use super::visit::Visit;
use crate::config::Ice;
use crate::serve::unix_milliseconds;

/// Octets of the longest user: it stands in each request to a TURN server (RFC 8489 §14.3 has 508).
const MAX_USER: usize = 128;

/// `RTCConfiguration` (WebRTC §4.2.1), and how long it counts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Configuration {
    ice_servers: Vec<IceServer>,
    /// Seconds.
    ttl: u64,
}

#[derive(Debug, Serialize)]
struct IceServer {
    urls: Vec<String>,
    username: String,
    credential: String,
}

/// The door.
pub(super) async fn ice(State(doors): State<Doors>, request: Request<Body>) -> Response {
    answer(&doors, &request).map(Json).into_response()
}

fn answer(doors: &Doors, request: &Request<Body>) -> Result<Configuration, Refusal> {
    let mut visit = Visit::begin(doors, request)?;
    visit.for_client("client", true)?;
    let snapshot = visit.snapshot();
    let all = &snapshot.http_dns.ice;
    let named = visit.parameter("name").map(reply::name).transpose()?;
    let Ice { service, urls, ttl, is_open, .. } = match (&named, &**all) {
        (None, [only]) => only,
        (Some(name), _) => {
            let found = all.iter().find(|ice| ice.service.lower_wire() == name.lower_wire());
            found.ok_or_else(|| Refusal::unknown(format!("{name} is no service with `ice`")))?
        }
        (None, _) => return Err(Refusal::bad("`name` is missing: a service with `ice`")),
    };
    if !is_open && !visit.is_vouched {
        return Err(Refusal::forbidden(
            "credentials are for requests with a signature, or from proxies in `server.trusted_proxies`",
        ));
    }
    let user = visit.parameter("user").unwrap_or_default();
    if user.len() > MAX_USER || !user.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(Refusal::bad(format!("`user` has to be {MAX_USER} letters and digits at most")));
    }
    let end = unix_milliseconds() / 1_000 + ttl.as_secs();
    let credential = snapshot.turn_keys.credential(service, end, user);
    let credential = credential.ok_or_else(|| Refusal::unknown(format!("the secret of {service} is not known")))?;
    let choice = Choice { name: service, stream: visit.parameter("room").map(str::as_bytes), family: None, viewers: 1 };
    let urls = choice.make(&visit, |chosen| {
        let fleet = &chosen.consulted.snapshot.fleet;
        let of_node = |id: &crate::pool::NodeId| {
            let node = &fleet.node(*id).node;
            let address = node.address(chosen.family).map(reply::in_url).unwrap_or_default();
            let fill = |word: &str| if word == "address" { address.clone() } else { node.name.clone() };
            urls.iter().map(|url| url.fill(fill)).collect::<Vec<String>>()
        };
        chosen.observation.nodes.iter().flat_map(of_node).collect::<Vec<String>>()
    })?;
    let server = IceServer { urls, username: credential.username, credential: credential.password };
    Ok(Configuration { ice_servers: vec![server], ttl: ttl.as_secs() })
}

//! `/v1/route`: the nodes for a viewer of a stream, with all that is known of the choice.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Doors;
use super::choice::{Choice, Chosen};
use super::refusal::Refusal;
use super::reply;
use super::signature::escape;
use super::visit::Visit;
use crate::geo::Prefix;
use crate::name::{LookupName, Name};
use crate::pool::{Family, MAX_ANSWERS, Node, NodeId, Template};
use crate::serve::Consulted;
use crate::snapshot::Snapshot;
use crate::steer::{Key, Observation, Tables};

/// The most viewers that one request can stand for.
const MAX_WEIGHT: u32 = 1_000;
/// Octets of the longest name of a stream.
const MAX_STREAM: usize = 512;

/// What is asked.
struct Wish<'v> {
    name: Name,
    /// What is hashed.
    stream: Option<Vec<u8>>,
    /// As it stands in URLs.
    path: &'v str,
    family: Option<Family>,
    /// At most so many nodes.
    count: Option<usize>,
    protocol: Option<&'v str>,
    viewers: u32,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Route {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    /// The client's network by which it was placed.
    client: String,
    region: String,
    pool: String,
    nodes: Vec<RoutedNode>,
    /// Another name to which viewers are sent, for there is no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    elsewhere: Option<String>,
    /// Seconds for which the answer may be kept.
    ttl: u32,
    generation: u64,
    reason: String,
}

#[derive(Debug, Serialize)]
struct RoutedNode {
    name: String,
    addresses: Vec<String>,
    place: String,
    /// Predicted load ÷ capacity.
    pressure: f64,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    urls: std::collections::BTreeMap<String, String>,
}

/// The door.
pub(super) async fn route(State(doors): State<Doors>, request: Request<Body>) -> Response {
    answer(&doors, &request).map(Json).into_response()
}

fn answer(doors: &Doors, request: &Request<Body>) -> Result<Route, Refusal> {
    let mut visit = Visit::begin(doors, request)?;
    visit.for_client("client", true)?;
    let wish = Wish::of(&visit)?;
    let choice =
        Choice { name: &wish.name, stream: wish.stream.as_deref(), family: wish.family, viewers: wish.viewers };
    choice.make(&visit, |chosen| wish.told(chosen, &visit))
}

impl<'v> Wish<'v> {
    fn of(visit: &'v Visit) -> Result<Self, Refusal> {
        let room = visit.parameter("room");
        let (named, stream) = match (visit.parameter("name").or_else(|| visit.parameter("vhost")), room) {
            (None, _) => {
                return Err(Refusal::bad(
                    "`name` (or `vhost`) is missing: the name of a service, such as play.live.example",
                ));
            }
            // A room of a wildcard service is a name of its own, as in DNS.
            (Some(name), Some(room)) if name.starts_with("*.") => (format!("{room}{}", &name[1..]), None),
            (Some(name), Some(room)) => (name.to_owned(), Some(label(room)?)),
            (Some(name), None) => (name.to_owned(), None),
        };
        let name = reply::name(&named)?;
        let path = visit.parameter("stream").or(room).unwrap_or_default();
        if path.len() > MAX_STREAM {
            return Err(Refusal::bad(format!("`stream` has more than {MAX_STREAM} octets")));
        }
        let stream = stream.or_else(|| visit.parameter("stream").map(|stream| stream.as_bytes().to_vec()));
        let whole = |most: u32| move |text: &str| text.parse().ok().filter(|number| (1..=most).contains(number));
        let family = |text: &str| match text.to_ascii_uppercase().as_str() {
            "A" | "1" => Some(Family::V4),
            "AAAA" | "28" => Some(Family::V6),
            _ => None,
        };
        let count = visit.read("n", "a number of nodes from 1 to 64", whole(MAX_ANSWERS as u32))?;
        let viewers = visit.read("weight", "a number of viewers from 1 to 1000", whole(MAX_WEIGHT))?;
        Ok(Self {
            name,
            stream,
            path,
            family: visit.read("type", "a type of addresses: A or AAAA", family)?,
            count: count.map(|count| count as usize),
            protocol: visit.parameter("proto"),
            viewers: viewers.unwrap_or(1),
        })
    }
}

/// A room as the label that it would be in DNS, which hashes alike.
fn label(room: &str) -> Result<Vec<u8>, Refusal> {
    let name = Name::parse(room, Some(&Name::root())).ok().filter(|name| name.label_count() == 1);
    let name = name.ok_or_else(|| {
        Refusal::bad("`room` is not one label of a domain name: letters, digits and hyphens, 63 at most")
    })?;
    let wire = LookupName::from_wire(&name.lower_wire());
    Ok(wire.wire()[..wire.wire().len() - 1].to_vec())
}

impl Wish<'_> {
    /// What was chosen, in words.
    fn told(&self, chosen: &Chosen<'_>, visit: &Visit) -> Route {
        let Chosen { consulted, observation, family, is_full } = *chosen;
        let Consulted { snapshot, .. } = consulted;
        let &Observation { region, pool: id, nodes, ttl, .. } = observation;
        let (fleet, tables, pool) = (&snapshot.fleet, &snapshot.tables, snapshot.fleet.pool(id));
        let nodes = &nodes[..nodes.len().min(self.count.unwrap_or(usize::MAX))];
        let region = &snapshot.geo.region(region).name;
        let reason = match nodes.first() {
            None => "there is no room: viewers are sent elsewhere".to_owned(),
            Some(_) if is_full => "all nodes are full: the least loaded".to_owned(),
            Some(first) => {
                let (state, node) = (tables.fitness(id, family, *first), fleet.node(*first));
                let place = &fleet.places[usize::from(node.place.0)].name;
                let (name, standing) = (&node.node.name, state.standing.word());
                format!("{region} is served from {place} now; {name} is {standing} at pressure {:.2}", state.pressure)
            }
        };
        Route {
            name: self.name.to_string(),
            stream: Some(self.path.to_owned()).filter(|path| !path.is_empty()),
            client: Key::of(Some(host(visit.client)), visit.client).network.to_string(),
            region: region.clone(),
            pool: pool.pool.name.clone(),
            nodes: nodes.iter().map(|node| routed(snapshot, tables, *node, &pool.pool.urls, self)).collect(),
            elsewhere: chosen.elsewhere(),
            ttl,
            generation: snapshot.generation,
            reason,
        }
    }
}

fn host(client: std::net::IpAddr) -> Prefix {
    Prefix::of(client, if client.is_ipv4() { 32 } else { 128 })
}

fn routed(
    snapshot: &Snapshot,
    tables: &Tables,
    id: NodeId,
    urls: &[(String, Template)],
    wish: &Wish<'_>,
) -> RoutedNode {
    let known = snapshot.fleet.node(id);
    let Node { name, v4, v6, .. } = &known.node;
    let addresses = v4.iter().map(ToString::to_string).chain(v6.iter().map(ToString::to_string)).collect();
    let address = known.node.address(Family::V4).or(known.node.address(Family::V6)).map(reply::in_url);
    let address = address.unwrap_or_default();
    let fill = |template: &Template| {
        template.fill(|placeholder| match placeholder {
            "address" => address.clone(),
            "node" => escape(name),
            "stream" => escape(wish.path),
            _ => escape(wish.name.to_string().trim_end_matches('.')),
        })
    };
    let is_wanted = |protocol: &str| wish.protocol.is_none_or(|wanted| wanted.eq_ignore_ascii_case(protocol));
    let urls = urls.iter().filter(|(protocol, _)| is_wanted(protocol));
    RoutedNode {
        name: name.clone(),
        addresses,
        place: snapshot.fleet.places[usize::from(known.place.0)].name.clone(),
        pressure: tables.nodes[usize::from(id.0)].pressure,
        urls: urls.map(|(protocol, template)| (protocol.clone(), fill(template))).collect(),
    }
}

//! Asks Prometheus servers for the loads of nodes that are not scraped from here: one set of queries for all of them.
//!
//! Every server is asked, each in its own time; of what they tell of a node the newest counts, as later samples do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::client::{AGENT, Clients, HttpClient, causes};
use super::credentials::{Credentials, Keyring};
use super::names::Names;
use super::pace::{keep, share};
use super::scrape::Scraped;
use crate::config::Load;
use crate::load::counters::Counters;
use crate::load::error::ScrapeError;
use crate::load::promql::{Replies, Reply, Series, query, scrape_times};
use crate::pool::{Exporter, Family, Node, NodeId, Preset};

/// The longest time for all queries of a round, if the interval allows it.
const MAX_TIMEOUT: Duration = Duration::from_secs(10);
/// Octets of the largest reply: the network devices of 2,000 nodes are about 6 MB.
const MAX_REPLY: usize = 32 << 20;
/// The longest time from one round to the next; scrapes of Prometheus are noticed that late at most.
const ROUND: Duration = Duration::from_secs(5);

/// A Prometheus server, and what is to be asked of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The server's URL, up to `/api/v1`.
    pub url: String,
    /// What its access names; none if that could never be read.
    pub credentials: Option<Arc<Credentials>>,
    /// The label that tells targets apart.
    pub label: String,
    /// What series must match, as in PromQL; may be empty.
    pub filter: String,
    /// Seconds between Prometheus' own scrapes.
    pub interval: Duration,
    /// Whose load is wanted.
    pub nodes: Arc<[Wanted]>,
}

/// A node whose load is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Which.
    pub node: NodeId,
    /// How it is read.
    pub exporter: Exporter,
    /// The target's label; none = the node's name, or any target at one of its addresses.
    pub instance: Option<String>,
    /// The node's name.
    pub name: String,
    /// The node's addresses.
    pub addresses: Vec<IpAddr>,
}

impl Wanted {
    /// A node's exporter, by the label that is written, or by the node's name and addresses.
    pub(super) fn new(node: NodeId, known: &Node, exporter: &Exporter, instance: Option<&str>) -> Self {
        let addresses = [Family::V4, Family::V6].into_iter().filter_map(|family| known.address(family));
        Self {
            node,
            exporter: exporter.clone(),
            instance: instance.map(str::to_owned),
            name: known.name.clone(),
            addresses: addresses.collect(),
        }
    }

    /// Whether a target with this label is the node's.
    fn is_of(&self, label: &str) -> bool {
        if let Some(instance) = &self.instance {
            return instance == label;
        }
        let host = label.rsplit_once(':').map_or(label, |(host, _)| host);
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_address = |text: &str| text.parse().is_ok_and(|address: IpAddr| self.addresses.contains(&address));
        label == self.name || host == self.name || is_address(host) || is_address(label)
    }
}

/// What is to be asked of each server, if anything is wanted.
pub(super) fn queries(load: &Load, keyring: &Keyring, wanted: Vec<Wanted>) -> Vec<Query> {
    let Load { prometheus, access, label, filter, interval } = load;
    if wanted.is_empty() {
        return Vec::new();
    }
    let (credentials, nodes): (_, Arc<[Wanted]>) = (keyring.of(access), wanted.into());
    let query = |url: &String| Query {
        url: url.clone(),
        credentials: credentials.clone(),
        label: label.clone(),
        filter: filter.clone(),
        interval: *interval,
        nodes: Arc::clone(&nodes),
    };
    prometheus.iter().map(query).collect()
}

/// Asks until the sender of queries is gone.
pub(super) async fn run(queries: watch::Receiver<Vec<Query>>, sender: mpsc::Sender<Scraped>, names: Names) {
    let clients = Clients::new(1, names);
    keep(queries, |query| query.url.clone(), |query| ask_at_intervals(clients.clone(), query, sender.clone())).await;
}

async fn ask_at_intervals(clients: Clients, query: Query, sender: mpsc::Sender<Scraped>) {
    let round = query.interval.min(ROUND);
    let limit = round.mul_f64(0.8).min(MAX_TIMEOUT);
    let client = query.credentials.as_ref().map(|credentials| (clients.of(credentials), credentials));
    let mut ticks = tokio::time::interval_at(Instant::now() + round.mul_f64(share(&query.url) / 4.0), round);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut warned: Vec<String> = Vec::new();
    loop {
        ticks.tick().await;
        let outcome = match &client {
            Some((client, credentials)) => {
                let server = Server { client, credentials, query: &query };
                tokio::time::timeout(limit, server.ask()).await.unwrap_or(Err(ScrapeError::Timeout(limit)))
            }
            None => Err(ScrapeError::Access),
        };
        if let Ok(Round { warnings, .. }) = &outcome
            && *warnings != warned
        {
            for warning in warnings.iter().filter(|warning| !warned.contains(warning)) {
                tracing::warn!(url = query.url, warning, "Prometheus may not have told everything");
            }
            warned.clone_from(warnings);
        }
        for wanted in query.nodes.iter() {
            let (at, result) = told(&outcome, &query, wanted);
            let Wanted { node, exporter, .. } = wanted;
            if sender.send(Scraped { node: *node, exporter: exporter.clone(), at, result }).await.is_err() {
                return;
            }
        }
    }
}

/// What one round of queries gave.
struct Round {
    replies: Replies,
    /// The server's time when it evaluated them, Unix seconds.
    evaluated: f64,
    /// The same moment by our clock: so the two need not agree.
    at: Instant,
    warnings: Vec<String>,
}

/// What a round says of one node, and when that was measured.
fn told(
    outcome: &Result<Round, ScrapeError>,
    query: &Query,
    wanted: &Wanted,
) -> (std::time::Instant, Result<Counters, ScrapeError>) {
    let now = Instant::now().into_std();
    let round = match outcome {
        Ok(round) => round,
        Err(error) => return (now, Err(error.clone())),
    };
    match round.replies.counters(&wanted.exporter.preset, &query.label, |label| wanted.is_of(label)) {
        Ok((scraped, counters)) => {
            let age = Duration::try_from_secs_f64(round.evaluated - scraped).unwrap_or_default();
            let at = round.at.into_std();
            // Nothing is as old as the machine; if it were, it is stale all the same.
            (at.checked_sub(age).unwrap_or(at), Ok(counters))
        }
        Err(ScrapeError::NothingWanted { .. }) => (now, Err(ScrapeError::NoTarget(query.label.clone()))),
        Err(error) => (now, Err(error)),
    }
}

/// A server as it is asked.
struct Server<'a> {
    client: &'a HttpClient,
    credentials: &'a Credentials,
    query: &'a Query,
}

impl Server<'_> {
    /// All queries at one moment, that of the first.
    async fn ask(&self) -> Result<Round, ScrapeError> {
        let Query { label, filter, nodes, .. } = self.query;
        let (times, mut warnings) = self.vector(&scrape_times(filter), None).await?;
        let at = Instant::now();
        let evaluated = times.first().map(|series| series.value.0);
        let Some(evaluated) = evaluated else { return Err(ScrapeError::NoTarget(label.clone())) };
        let mut replies = Replies::default();
        replies.take_times(label, &times);
        for (metric, presets) in metrics(nodes) {
            let (series, more) = self.vector(&query(&presets, &metric, label, filter), Some(evaluated)).await?;
            replies.series.insert(metric, series);
            warnings.extend(more);
        }
        warnings.sort();
        warnings.dedup();
        Ok(Round { replies, evaluated, at, warnings })
    }

    async fn vector(&self, text: &str, time: Option<f64>) -> Result<(Vec<Series>, Vec<String>), ScrapeError> {
        let uri: Uri = format!("{}/api/v1/query", self.query.url.trim_end_matches('/'))
            .parse()
            .map_err(|error: http::uri::InvalidUri| ScrapeError::Url(error.to_string()))?;
        let mut form = format!("query={}", encoded(text));
        if let Some(time) = time {
            form.push_str(&format!("&time={time}"));
        }
        let mut request = Request::new(Full::from(form));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.clone_from(self.credentials.headers());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let response = self.client.request(request).await.map_err(|error| {
            let why = causes(&error);
            if error.is_connect() { ScrapeError::Connect(why) } else { ScrapeError::Http(why) }
        })?;
        let status = response.status();
        let mut body = response.into_body();
        let mut octets = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| ScrapeError::Http(causes(&error)))?;
            let Ok(piece) = frame.into_data() else { continue };
            if octets.len() + piece.len() > MAX_REPLY {
                return Err(ScrapeError::TooLarge(MAX_REPLY));
            }
            octets.extend_from_slice(&piece);
        }
        // Errors of queries come as JSON too, and say more than their status.
        let reply: Reply = match serde_json::from_slice(&octets) {
            Ok(reply) => reply,
            Err(_) if status != StatusCode::OK => return Err(ScrapeError::Status(status.as_u16())),
            Err(error) => return Err(ScrapeError::Http(format!("no reply of Prometheus: {error}"))),
        };
        let warnings = reply.warnings.clone();
        let series = reply.series().map_err(|why| ScrapeError::Http(format!("`{text}`: {why}")))?;
        Ok((series, warnings))
    }
}

/// Every metric that is looked at, with the presets that do.
fn metrics(nodes: &[Wanted]) -> BTreeMap<String, Vec<&Preset>> {
    let mut presets: Vec<&Preset> = Vec::new();
    let mut seen = BTreeSet::new();
    for wanted in nodes {
        if seen.insert(wanted.exporter.preset.name.as_str()) {
            presets.push(&wanted.exporter.preset);
        }
    }
    let mut metrics: BTreeMap<String, Vec<&Preset>> = BTreeMap::new();
    for preset in presets {
        for (metric, _) in preset.wanted() {
            metrics.entry(metric.to_owned()).or_default().push(preset);
        }
    }
    metrics
}

/// A value of a form (URL Standard, application/x-www-form-urlencoded).
fn encoded(text: &str) -> String {
    let mut form = String::with_capacity(text.len() * 2);
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._*".contains(&octet) {
            form.push(char::from(octet));
        } else {
            form.push_str(&format!("%{octet:02X}"));
        }
    }
    form
}

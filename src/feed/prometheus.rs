//! Asks Prometheus servers for the loads of nodes that are not scraped from here: one set of queries for all of them.
//!
//! Every server is asked, each in its own time; of what they tell of a node the newest counts, as later samples do.

mod clock;
mod directory;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
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
use crate::feed::prometheus::clock::Clock;
use crate::feed::prometheus::directory::Directory;
use crate::load::error::ScrapeError;
use crate::load::promql::{Found, Replies, Reply, Series, Target, query, scrape_times};
use crate::pool::{Exporter, Family, Node, NodeId, Preset};

/// The longest time for all queries of a round, if Prometheus' own interval allows it.
const MAX_TIMEOUT: Duration = Duration::from_secs(10);
/// Queries at the same time: over an ocean a round trip is 170 ms, and all metrics of all presets are some 50 queries.
const AT_ONCE: usize = 6;
/// VictoriaMetrics answers of half a minute ago, and from its cache, if it is not told otherwise; others know neither.
const UNDELAYED: &str = "&nocache=1&latency_offset=1ms";
/// Octets of the largest reply: the network devices of 2,000 nodes are about 6 MB.
const MAX_REPLY: usize = 32 << 20;
/// The longest time from one round to the next; scrapes of Prometheus are noticed that late at most.
const ROUND: Duration = Duration::from_secs(5);

/// Seconds for which nothing else is read in place of a target that is not up: what other exporters of its machine tell of
/// themselves is no load of the media server.
const KEPT: f64 = 300.0;

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
}

/// What is to be asked of each server.
pub(super) fn queries(load: &Load, keyring: &Keyring) -> Vec<Query> {
    let Load { prometheus, access, label, filter, interval } = load;
    let credentials = keyring.of(access);
    let query = |url: &String| Query {
        url: url.clone(),
        credentials: credentials.clone(),
        label: label.clone(),
        filter: filter.clone(),
        interval: *interval,
    };
    prometheus.iter().map(query).collect()
}

/// Asks until the sender of queries is gone, each time for the nodes that are wanted then: as they come and go no round
/// is broken off.
pub(super) async fn run(
    queries: watch::Receiver<Vec<Query>>,
    wanted: watch::Receiver<Arc<[Wanted]>>,
    sender: mpsc::Sender<Scraped>,
    names: Names,
) {
    let clients = Clients::new(AT_ONCE, names);
    let ask = |query| ask_at_intervals(clients.clone(), query, wanted.clone(), sender.clone());
    keep(queries, |query| query.url.clone(), ask).await;
}

async fn ask_at_intervals(
    clients: Clients,
    query: Query,
    wanted: watch::Receiver<Arc<[Wanted]>>,
    sender: mpsc::Sender<Scraped>,
) {
    let round = query.interval.min(ROUND);
    let limit = query.interval.mul_f64(0.8).min(MAX_TIMEOUT);
    let client = query.credentials.as_ref().map(|credentials| (clients.of(credentials), credentials));
    let mut ticks = tokio::time::interval_at(Instant::now() + round.mul_f64(share(&query.url) / 4.0), round);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut warned: Vec<String> = Vec::new();
    let mut teller = Teller::default();
    loop {
        ticks.tick().await;
        let nodes = Arc::clone(&wanted.borrow());
        if nodes.is_empty() {
            continue;
        }
        let outcome = match &client {
            Some((client, credentials)) => {
                let server = Server { client, credentials, query: &query, deadline: Instant::now() + limit, limit };
                server.ask(&nodes).await
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
        for scraped in teller.tell(outcome, &query, &nodes) {
            if sender.send(scraped).await.is_err() {
                return;
            }
        }
    }
}

/// What one round of queries gave.
struct Round {
    replies: Replies,
    /// The server's time when it evaluated them, Unix seconds; and when the first of them was sent and answered.
    evaluated: f64,
    sent: Instant,
    received: Instant,
    warnings: Vec<String>,
}

/// Makes of rounds what is news of each node.
struct Teller {
    epoch: Instant,
    clock: Clock,
    /// By node and preset: the target that was read last, and when it had been scraped.
    told: HashMap<(String, String), (Target, f64)>,
}

impl Default for Teller {
    fn default() -> Self {
        Self { epoch: Instant::now(), clock: Clock::default(), told: HashMap::new() }
    }
}

impl Teller {
    /// What a round says of the nodes. A scrape that was told before is no news: nothing moved since, and that would
    /// look as if nothing were used.
    fn tell(&mut self, outcome: Result<Round, ScrapeError>, query: &Query, nodes: &[Wanted]) -> Vec<Scraped> {
        let now = Instant::now().into_std();
        let scraped = |wanted: &Wanted, at, result| {
            let Wanted { node, exporter, .. } = wanted;
            Scraped { node: *node, exporter: exporter.clone(), at, result }
        };
        let round = match outcome {
            Ok(round) => round,
            Err(error) => return nodes.iter().map(|wanted| scraped(wanted, now, Err(error.clone()))).collect(),
        };
        let since = |at: Instant| at.saturating_duration_since(self.epoch).as_secs_f64();
        self.clock.observe(since(round.sent), since(round.received), round.evaluated);
        let directory = Directory::new(round.replies.targets());
        let mut told = HashMap::new();
        let mut news = Vec::new();
        for wanted in nodes {
            let preset = &wanted.exporter.preset;
            let key = (wanted.name.clone(), preset.name.clone());
            let last = self.told.remove(&key);
            let of_node = directory.of(wanted);
            let found = match of_node.is_empty() {
                true => Err(ScrapeError::NoTarget(query.label.clone())),
                false => {
                    let last = last.as_ref().filter(|(_, at)| round.evaluated - at <= KEPT);
                    round.replies.counters(preset, &of_node, last.map(|(target, _)| target))
                }
            };
            match found {
                Ok(Found { target, scraped: at, counters }) => {
                    // A server whose clock was set back tells what it told before, until that has caught up.
                    let again = last.filter(|(known, before)| known == target && at <= *before);
                    let is_news = again.is_none();
                    told.insert(key, again.unwrap_or_else(|| (target.clone(), at)));
                    if is_news {
                        news.push(scraped(wanted, self.moment(at), Ok(counters)));
                    }
                }
                Err(error) => {
                    // It is the same one when it is there again.
                    told.extend(last.map(|last| (key, last)));
                    news.push(scraped(wanted, now, Err(error)));
                }
            }
        }
        self.told = told;
        news
    }

    /// A moment of the server's clock by ours.
    fn moment(&self, theirs: f64) -> std::time::Instant {
        let epoch = self.epoch.into_std();
        let ours = self.clock.ours(theirs);
        let off = Duration::try_from_secs_f64(ours.abs()).unwrap_or_default();
        // Nothing is as old as the machine; if it were, it is stale all the same.
        (if ours < 0.0 { epoch.checked_sub(off) } else { epoch.checked_add(off) }).unwrap_or(epoch)
    }
}

/// A server as it is asked, once.
struct Server<'a> {
    client: &'a HttpClient,
    credentials: &'a Credentials,
    query: &'a Query,
    deadline: Instant,
    limit: Duration,
}

impl Server<'_> {
    /// All queries at one moment, that of the first. One that fails is of account to those only who need it.
    async fn ask(&self, nodes: &[Wanted]) -> Result<Round, ScrapeError> {
        let Query { label, filter, .. } = self.query;
        let sent = Instant::now();
        let (times, mut warnings) = self.vector(&scrape_times(filter), None).await?;
        let received = Instant::now();
        let evaluated = times.first().map(|series| series.value.0);
        let Some(evaluated) = evaluated else { return Err(ScrapeError::NoTarget(label.clone())) };
        let mut replies = Replies::new(label, &times);
        let texts = metrics(nodes).into_iter().map(|(metric, presets)| {
            let text = query(&presets, &metric, label, filter);
            (metric, text)
        });
        let texts: Vec<(String, String)> = texts.collect();
        let asked = texts.into_iter().map(|(metric, text)| async move {
            let outcome = self.vector(&text, Some(evaluated)).await;
            (metric, outcome)
        });
        let mut answered = pin!(stream::iter(asked).buffer_unordered(AT_ONCE));
        while let Some((metric, outcome)) = answered.next().await {
            let series = outcome.map(|(series, more)| {
                warnings.extend(more);
                series
            });
            replies.take(&metric, series);
        }
        warnings.sort();
        warnings.dedup();
        Ok(Round { replies, evaluated, sent, received, warnings })
    }

    async fn vector(&self, text: &str, time: Option<f64>) -> Result<(Vec<Series>, Vec<String>), ScrapeError> {
        let asked = self.ask_in_time(text, time);
        tokio::time::timeout_at(self.deadline, asked).await.unwrap_or(Err(ScrapeError::Timeout(self.limit)))
    }

    async fn ask_in_time(&self, text: &str, time: Option<f64>) -> Result<(Vec<Series>, Vec<String>), ScrapeError> {
        let uri: Uri = format!("{}/api/v1/query", self.query.url.trim_end_matches('/'))
            .parse()
            .map_err(|error: http::uri::InvalidUri| ScrapeError::Url(error.to_string()))?;
        let mut form = format!("query={}{UNDELAYED}", encoded(text));
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

#[cfg(test)]
mod tests;

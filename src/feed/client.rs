//! HTTP clients for everything that is asked over HTTP: one for all accesses that make connections alike.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper_rustls::{DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, ResolveServerName};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::credentials::Credentials;
use super::names::Names;
use super::trust::Trust;

/// The longest time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How we call ourselves.
pub(super) const AGENT: &str = concat!("thalweg/", env!("CARGO_PKG_VERSION"));
/// More header lines than any exporter sends.
const MAX_HEADERS: usize = 64;
/// Octets of a connection's read buffer, and so of all headers together; hyper's own limit makes 80 KB a connection,
/// and takes no smaller one.
pub(super) const READ_BUFFER: usize = 8 << 10;
/// A connection without a request for this long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// A client that follows no redirect and knows no proxy.
pub(super) type HttpClient = Client<HttpsConnector<HttpConnector<Names>>, Full<Bytes>>;

type Made = (Arc<Trust>, HttpClient);

/// The clients of a runtime: connections live on the one that they were made on.
#[derive(Clone)]
pub(super) struct Clients {
    idle: usize,
    names: Names,
    made: Arc<Mutex<Vec<Made>>>,
}

impl Clients {
    /// Clients that keep up to `idle` connections to each server; with none, each request makes its own.
    pub(super) fn new(idle: usize, names: Names) -> Self {
        Self { idle, names, made: Arc::default() }
    }

    /// The client for this access; accesses that show the same certificate and trust the same share it.
    pub(super) fn of(&self, credentials: &Credentials) -> HttpClient {
        let trust = credentials.trust();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = made.iter().find(|(known, _)| Arc::ptr_eq(known, trust) || known == trust) {
            return client.clone();
        }
        // What nobody else holds any more was replaced by a reload.
        made.retain(|(known, _)| Arc::strong_count(known) > 1);
        let client = build(self.idle, trust, self.names.clone());
        made.push((Arc::clone(trust), client.clone()));
        client
    }
}

fn build(idle: usize, trust: &Trust, names: Names) -> HttpClient {
    let mut connector = HttpConnector::new_with_resolver(names);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let host: Arc<dyn ResolveServerName + Send + Sync> = match trust.server_name() {
        Some(name) => Arc::new(FixedServerNameResolver::new(name.clone())),
        None => Arc::new(DefaultServerNameResolver::default()),
    };
    let connector = HttpsConnector::new(connector, trust.config(), false, host);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(idle)
        .http1_max_headers(MAX_HEADERS)
        .http1_max_buf_size(READ_BUFFER)
        .build(connector)
}

/// The URL with more parameters behind its own.
pub(super) fn with_params(url: &Uri, params: &[(&str, &str)]) -> Option<Uri> {
    if params.is_empty() {
        return Some(url.clone());
    }
    let mut text = url.to_string();
    let mut mark = if url.query().is_some() { '&' } else { '?' };
    for (name, value) in params {
        text.push(mark);
        encode(name, &mut text);
        text.push('=');
        encode(value, &mut text);
        mark = '&';
    }
    text.parse().ok()
}

/// RFC 3986 §2.1: all but the unreserved characters as `%` and two digits.
fn encode(text: &str, into: &mut String) {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            into.push(char::from(octet));
        } else {
            into.push_str(&format!("%{octet:02X}"));
        }
    }
}

/// An error with what caused it; what repeats its cause's words is left out.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

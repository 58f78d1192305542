//! One exchange with an exporter: its metrics over HTTP, within bounds of time and size.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use crate::load::error::ScrapeError;
use crate::load::exposition::MAX_BODY;
use crate::pool::Exporter;

/// The longest time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How we call ourselves.
pub(in crate::feed) const AGENT: &str = concat!("thalweg/", env!("CARGO_PKG_VERSION"));
/// More header lines than any exporter sends.
const MAX_HEADERS: usize = 64;
/// Octets of a connection's read buffer, and so of all headers together; hyper's own limit makes 80 KB a connection.
pub(super) const READ_BUFFER: usize = 16 << 10;
/// A connection without a scrape for this long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// A client for all exporters or probes; it follows no redirect and knows no proxy.
pub(in crate::feed) type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// How one exporter is asked.
pub(super) struct Exchange {
    plain: Result<Uri, ScrapeError>,
    /// The same with only the wanted collectors; none if the exporter does not take that.
    narrowed: Option<Uri>,
    limit: Duration,
}

impl Exchange {
    pub(super) fn new(exporter: &Exporter, limit: Duration) -> Self {
        let plain = exporter.url.parse::<Uri>().map_err(|error| ScrapeError::Url(error.to_string()));
        let narrowed = match &plain {
            Ok(url) if url.query().is_none() => narrowed(url, &exporter.preset.collect),
            _ => None,
        };
        Self { plain, narrowed, limit }
    }

    pub(super) async fn body(&mut self, client: &HttpClient) -> Result<Vec<u8>, ScrapeError> {
        if let Some(url) = &self.narrowed {
            match get(client, url, self.limit).await {
                // node_exporter's word for a collector that it was told not to run.
                Err(ScrapeError::Status(400)) => self.narrowed = None,
                outcome => return outcome,
            }
        }
        get(client, self.plain.as_ref().map_err(Clone::clone)?, self.limit).await
    }
}

fn narrowed(url: &Uri, collectors: &[String]) -> Option<Uri> {
    let collectors: Vec<_> = collectors.iter().map(|name| format!("collect%5B%5D={name}")).collect();
    (!collectors.is_empty()).then(|| format!("{url}?{}", collectors.join("&")).parse().ok())?
}

async fn get(client: &HttpClient, url: &Uri, limit: Duration) -> Result<Vec<u8>, ScrapeError> {
    let request = Request::get(url)
        .header(ACCEPT, "text/plain;version=0.0.4;q=1,*/*;q=0.1")
        .header(USER_AGENT, AGENT)
        .header("x-prometheus-scrape-timeout-seconds", limit.as_secs_f64().to_string())
        .body(Empty::new())
        .map_err(|error| ScrapeError::Url(error.to_string()))?;
    let response = client.request(request).await.map_err(|error| {
        // Its own words only name the step, as the variant does.
        let why = causes(error.source().unwrap_or(&error));
        if error.is_connect() { ScrapeError::Connect(why) } else { ScrapeError::Http(why) }
    })?;
    if response.status() != StatusCode::OK {
        return Err(ScrapeError::Status(response.status().as_u16()));
    }
    refuse_other_types(response.headers())?;
    collect(response).await
}

/// Prometheus wants a valid type; some exporters send none, or any plain text. Pages and JSON are no metrics.
fn refuse_other_types(headers: &HeaderMap) -> Result<(), ScrapeError> {
    let Some(found) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let found = String::from_utf8_lossy(found.as_bytes()).to_ascii_lowercase();
    let media_type = found.split(';').next().unwrap_or_default();
    if media_type.contains("json") || media_type.contains("html") {
        return Err(ScrapeError::ContentType(found));
    }
    Ok(())
}

async fn collect(response: Response<Incoming>) -> Result<Vec<u8>, ScrapeError> {
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| ScrapeError::Http(causes(&error)))?;
        let Ok(octets) = frame.into_data() else {
            continue; // Trailers.
        };
        if body.len() + octets.len() > MAX_BODY {
            return Err(ScrapeError::TooLarge(MAX_BODY));
        }
        body.extend_from_slice(&octets);
    }
    Ok(body)
}

/// An error with what caused it; what repeats its cause's words is left out.
pub(in crate::feed) fn causes(error: &dyn Error) -> String {
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

/// A client that keeps up to `idle` connections to each server; with none, each request makes its own.
pub(in crate::feed) fn client(idle: usize) -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls()).https_or_http().enable_http1().wrap_connector(connector);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(idle)
        .http1_max_headers(MAX_HEADERS)
        .http1_max_buf_size(READ_BUFFER)
        .build(connector)
}

fn tls() -> ClientConfig {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of TLS 1.2 and 1.3")
    };
    match builder().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            // A small machine without certificates must still read exporters over HTTP.
            tracing::warn!(%error, "the system has no trusted certificates, exporters with https cannot be read");
            builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    }
}

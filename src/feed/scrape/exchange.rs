//! One exchange with an exporter: its metrics over HTTP, within bounds of time and size.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use hyper::{Request, Response, StatusCode, Uri};

use super::body::Body;
use crate::feed::client::{AGENT, HttpClient, causes, with_params};
use crate::feed::credentials::Credentials;
use crate::load::error::ScrapeError;
use crate::load::exposition::MAX_BODY;
use crate::pool::Exporter;

/// Octets that are set aside for a body at most before any came.
const MAX_EXPECTED: usize = 256 << 10;

/// How one exporter is asked.
pub(super) struct Exchange {
    plain: Result<Uri, ScrapeError>,
    /// The same with only the wanted collectors; none if the exporter does not take that.
    narrowed: Option<Uri>,
    headers: HeaderMap,
    /// Octets of the last body.
    last: usize,
}

impl Exchange {
    /// Prepares the questions to an exporter, which knows by their headers that they are given up after `limit`, and
    /// whether its connection is kept.
    pub(super) fn new(exporter: &Exporter, credentials: &Credentials, limit: Duration, is_kept: bool) -> Self {
        let written: Result<Uri, _> = exporter.url.parse();
        let has_collectors =
            written.as_ref().is_ok_and(|url| url.query().is_some()) || exporter.access.params.contains_key("collect[]");
        let own = exporter.access.pairs();
        let collectors = exporter.preset.collect.iter().map(|name| ("collect[]", name.as_str()));
        let narrowed = match exporter.preset.collect.as_slice() {
            [_, ..] if !has_collectors => Some(own.iter().copied().chain(collectors).collect::<Vec<_>>()),
            _ => None,
        };
        let with = |params: &[(&str, &str)]| {
            let url = written.as_ref().map_err(|error| ScrapeError::Url(error.to_string()))?;
            with_params(url, params).ok_or_else(|| ScrapeError::Url("with its parameters it is too long".to_owned()))
        };
        let plain = with(&own);
        let mut headers = headers(plain.as_ref().is_ok_and(is_remote), credentials, limit);
        if !is_kept {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Self { narrowed: narrowed.and_then(|params| with(&params).ok()), plain, headers, last: 0 }
    }

    pub(super) async fn body(&mut self, client: &HttpClient) -> Result<Vec<u8>, ScrapeError> {
        let mut outcome = match &self.narrowed {
            Some(url) => self.get(client, url).await,
            None => self.get(client, self.plain.as_ref().map_err(Clone::clone)?).await,
        };
        // node_exporter's word for a collector that it was told not to run.
        if outcome == Err(ScrapeError::Status(400)) && self.narrowed.take().is_some() {
            outcome = self.get(client, self.plain.as_ref().map_err(Clone::clone)?).await;
        }
        self.last = outcome.as_ref().map_or(self.last, Vec::len);
        outcome
    }

    /// What goes with every question.
    #[cfg(test)]
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    async fn get(&self, client: &HttpClient, url: &Uri) -> Result<Vec<u8>, ScrapeError> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = url.clone();
        request.headers_mut().clone_from(&self.headers);
        let response = client.request(request).await.map_err(|error| {
            // Its own words only name the step, as the variant does.
            let why = causes(error.source().unwrap_or(&error));
            if error.is_connect() { ScrapeError::Connect(why) } else { ScrapeError::Http(why) }
        })?;
        if response.status() != StatusCode::OK {
            return Err(ScrapeError::Status(response.status().as_u16()));
        }
        refuse_other_types(response.headers())?;
        // Bodies grow a little with every device and time series.
        let expected = (self.last + self.last / 16).min(MAX_EXPECTED);
        let body = Body::new(response.headers(), MAX_BODY, expected)?;
        collect(response, body).await
    }
}

fn headers(is_remote: bool, credentials: &Credentials, limit: Duration) -> HeaderMap {
    let mut headers = credentials.headers().clone();
    headers.insert(ACCEPT, HeaderValue::from_static("text/plain;version=0.0.4;q=1,*/*;q=0.1"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if is_remote {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(seconds) = HeaderValue::try_from(limit.as_secs_f64().to_string()) {
        headers.insert(HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), seconds);
    }
    headers
}

/// Whether the exporter is on another machine: gzip makes six octets one, and costs both sides more than loopback does.
fn is_remote(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_here =
        bare.parse::<IpAddr>().map_or(bare.eq_ignore_ascii_case("localhost"), |address| address.is_loopback());
    !is_here
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

async fn collect(response: Response<Incoming>, mut body: Body) -> Result<Vec<u8>, ScrapeError> {
    let mut incoming = response.into_body();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| ScrapeError::Http(causes(&error)))?;
        let Ok(octets) = frame.into_data() else {
            continue; // Trailers.
        };
        body.take(&octets)?;
    }
    body.finish()
}

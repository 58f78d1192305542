//! Tells one other nameserver what there is to tell, over HTTP, within bounds of time and size.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{mpsc, watch};

use super::peer::NotTold;
use crate::config::MutualTls;
use crate::diagnostic::Diagnostic;
use crate::feed::client::{AGENT, causes};
use crate::intake::{MAX_MESSAGE, Message};

/// Where a nameserver is told.
const PATH: &str = "/v1/peer";
/// The longest time for telling it: with one that is under way, an operator's command waits for two.
const LIMIT: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(1);
/// A connection that nothing was told over for this long is closed, before the other side does it.
const IDLE: Duration = Duration::from_secs(20);
/// Octets of a refusal that are shown.
const MAX_WORDS: usize = 300;

/// What all others are told.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Counts what was told.
    pub(super) sequence: u64,
    /// A message.
    pub(super) body: Bytes,
    pub(super) authorization: Option<HeaderValue>,
}

/// What came of it.
#[derive(Debug)]
pub(in crate::feed) struct Pushed {
    /// Whom it was for.
    pub(super) peer: SocketAddr,
    pub(super) sequence: u64,
    /// What it tells us in return.
    pub(super) result: Result<Message, NotTold>,
}

/// A client for all other nameservers.
#[derive(Debug, Clone)]
pub(super) struct Pusher {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    scheme: &'static str,
}

impl Pusher {
    /// One that shows a certificate if there are any; paths are relative to the directory.
    pub(super) fn new(tls: Option<&MutualTls>, directory: &Path) -> Result<Self, Diagnostic> {
        let config = match tls {
            Some(tls) => mutual(tls, directory)?,
            None => builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
        };
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Self { client, scheme: if tls.is_some() { "https" } else { "http" } })
    }

    /// Tells one nameserver whatever is new, until there is nobody to say what that is.
    pub(super) async fn tell(
        self,
        peer: SocketAddr,
        mut outbox: watch::Receiver<Option<Arc<Outgoing>>>,
        pushed: mpsc::Sender<Pushed>,
    ) {
        while outbox.changed().await.is_ok() {
            let Some(outgoing) = outbox.borrow_and_update().clone() else { continue };
            let too_slow = || NotTold::Unreached(format!("no answer within {} s", LIMIT.as_secs()));
            let result = tokio::time::timeout(LIMIT, self.post(peer, &outgoing)).await;
            let result = result.unwrap_or_else(|_| Err(too_slow()));
            if pushed.send(Pushed { peer, sequence: outgoing.sequence, result }).await.is_err() {
                return;
            }
        }
    }

    async fn post(&self, peer: SocketAddr, outgoing: &Outgoing) -> Result<Message, NotTold> {
        let unreached = |because: String| NotTold::Unreached(because);
        let mut request = Request::post(format!("{}://{peer}{PATH}", self.scheme))
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &outgoing.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let request = request.body(Full::new(outgoing.body.clone())).map_err(|error| unreached(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| {
            let why = causes(error.source().unwrap_or(&error));
            unreached(if error.is_connect() { format!("no connection: {why}") } else { why })
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_MESSAGE).collect().await.map_err(|error| {
            let is_long = error.downcast_ref::<LengthLimitError>().is_some();
            unreached(if is_long { "its answer is too long".to_owned() } else { causes(&*error) })
        })?;
        let body = body.to_bytes();
        if status != StatusCode::OK {
            let said: String = String::from_utf8_lossy(&body).trim().chars().take(MAX_WORDS).collect();
            return Err(not_told(status, if said.is_empty() { status.to_string() } else { said }));
        }
        Message::read(&body).map_err(|error| unreached(format!("its answer cannot be read: {error}")))
    }
}

fn not_told(status: StatusCode, said: String) -> NotTold {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => NotTold::Refused(said),
        // It has no time, or the message is too long: that says nothing of tokens and peers there.
        _ => NotTold::Unreached(said),
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
}

fn mutual(tls: &MutualTls, directory: &Path) -> Result<ClientConfig, Diagnostic> {
    let MutualTls { certificate, key, authority } = tls;
    let read = |path: &Path| CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let mut roots = RootCertStore::empty();
    let unreadable = |error: &dyn std::fmt::Display| format!("it cannot be read as PEM: {error}");
    for root in read(&directory.join(&authority.value)).map_err(|error| authority.error(unreadable(&error)))? {
        roots.add(root).map_err(|error| authority.error(format!("a certificate in it cannot be used: {error}")))?;
    }
    let chain = read(&directory.join(&certificate.value)).map_err(|error| certificate.error(unreadable(&error)))?;
    // The error of a key file shows its octets.
    let secret = PrivateKeyDer::from_pem_file(directory.join(&key.value))
        .map_err(|_| key.error("it cannot be read as one private key in PEM"))?;
    builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, secret)
        .map_err(|error| certificate.error(format!("certificate and key cannot be used: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_wants_another_token_or_peer_refuses() {
        let said = || "words".to_owned();
        for status in [401, 403] {
            assert_eq!(not_told(StatusCode::from_u16(status).unwrap(), said()), NotTold::Refused(said()));
        }
        for status in [400, 408, 413, 503] {
            assert_eq!(not_told(StatusCode::from_u16(status).unwrap(), said()), NotTold::Unreached(said()));
        }
    }
}

//! The cluster's listener: other nameservers tell here what they know, and hear what we do. Whoever has neither token nor
//! certificate of a nameserver is sent away before anything of what he says is read.

mod places;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::RootCertStore;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ParsedCertificate, ServerConfig, WebPkiClientVerifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::places::{Place, Places};
use super::tls::{self, Certificate};
use crate::config::MutualTls;
use crate::diagnostic::Diagnostic;
use crate::intake::{Cluster, Event, MAX_MESSAGE, Message, Refusal};

/// Where nameservers tell what they know.
const PATH: &str = "/v1/peer";
/// How long a handshake, a body, and the feed may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
const BODY: Duration = Duration::from_secs(5);
const FEED: Duration = Duration::from_secs(2);
/// How long a connection may take until it has shown by what it is known.
const FIRST: Duration = Duration::from_secs(5);
/// How long it may go without a request after that: others come every five seconds.
const IDLE: Duration = Duration::from_secs(30);
/// How long one may last; then the other makes a new one.
const TOTAL: Duration = Duration::from_secs(600);
/// Octets of the read buffer, and so of all headers together.
const READ_BUFFER: usize = 16 << 10;
/// Header lines of a request.
const MAX_HEADERS: usize = 32;
/// How long nobody is accepted after somebody could not be.
const RESPITE: Duration = Duration::from_millis(100);

/// What the listener needs.
#[derive(Clone)]
pub struct Door {
    /// By what others are known, and where it is counted who is sent away.
    pub cluster: Arc<Cluster>,
    /// Where the feed hears of what they tell.
    pub events: mpsc::Sender<Event>,
    /// With it, they must show a certificate.
    pub tls: Option<Arc<ServerConfig>>,
}

/// TLS in which whoever connects shows a certificate of the authority; paths are relative to the directory.
pub fn mutual_tls(tls: &MutualTls, directory: &Path) -> Result<Arc<ServerConfig>, Vec<Diagnostic>> {
    let MutualTls { certificate, key, authority } = tls;
    let own = Certificate::read(&directory.join(&certificate.value), &directory.join(&key.value))?;
    let mut roots = RootCertStore::empty();
    let wrong = |message: String| vec![authority.error(message)];
    let read = CertificateDer::pem_file_iter(directory.join(&authority.value)).and_then(Iterator::collect);
    let read: Vec<CertificateDer<'_>> = read.map_err(|error| wrong(format!("it cannot be read as PEM: {error}")))?;
    for root in read {
        roots.add(root).map_err(|error| wrong(format!("a certificate in it cannot be used: {error}")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| wrong(format!("it cannot vouch for anybody: {error}")))?;
    Ok(tls::mutual_config(&own, verifier))
}

/// Listens to other nameservers until it is stopped.
pub async fn serve(listener: TcpListener, door: Door, stop: CancellationToken) {
    let places = Places::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            // Too many open files, perhaps: asking again at once would only keep the thread busy.
            Err(_) => {
                sleep(RESPITE).await;
                continue;
            }
        };
        let is_peers = |peer: &SocketAddr| peer.ip().to_canonical() == from.ip().to_canonical();
        let Some(place) = places.take(from.ip(), door.cluster.addresses().iter().any(is_peers)) else {
            door.cluster.refuse(Refusal::Connections);
            continue;
        };
        // Without it a small request may wait for the acknowledgement of the one before.
        let _only_slower = stream.set_nodelay(true);
        let (door, stop) = (door.clone(), stop.clone());
        tokio::spawn(async move {
            let served = async {
                match &door.tls {
                    None => converse(stream, from, None, &place, &door).await,
                    Some(tls) => {
                        let acceptor = TlsAcceptor::from(Arc::clone(tls));
                        let shaken = timeout(HANDSHAKE, acceptor.accept(stream)).await;
                        let stream = shaken.map_err(io::Error::other)??;
                        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                        let shown = shown.cloned().map(CertificateDer::into_owned);
                        converse(stream, from, shown.as_ref(), &place, &door).await
                    }
                }
            };
            let served = tokio::select! {
                () = stop.cancelled() => Ok(()),
                () = unknown(&place) => Err(io::Error::other("nothing by which it is known")),
                served = served => served,
            };
            if let Err(error) = served {
                door.cluster.refuse(Refusal::Connection);
                tracing::debug!(%from, %error, "a connection to the cluster's listener has failed");
            }
        });
    }
}

/// Until somebody has had time enough to show by what he is known, and has not.
async fn unknown(place: &Place) {
    sleep(FIRST).await;
    if place.is_known() {
        std::future::pending::<()>().await;
    }
}

/// Answers the requests of one connection.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: SocketAddr,
    shown: Option<&CertificateDer<'_>>,
    place: &Place,
    door: &Door,
) -> io::Result<()> {
    let service = service_fn(|request| async move { answer(request, from.ip(), shown, place, door).await });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(READ_BUFFER)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = sleep(TOTAL) => {
            connection.as_mut().graceful_shutdown();
            return timeout(BODY, connection).await.map_err(io::Error::other)?.map_err(io::Error::other);
        }
    };
    match served {
        // Silence is no fault of anybody's.
        Err(error) if error.is_timeout() => Ok(()),
        served => served.map_err(io::Error::other),
    }
}

/// What somebody is told who may not be heard.
struct Refused(StatusCode, Refusal, String);

async fn answer(
    request: Request<Incoming>,
    from: IpAddr,
    shown: Option<&CertificateDer<'_>>,
    place: &Place,
    door: &Door,
) -> Result<Response<Full<Bytes>>, http::Error> {
    match hear(request, from, shown, place, door).await {
        Ok(body) => Response::builder().header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body))),
        Err(Refused(status, refusal, words)) => {
            door.cluster.refuse(refusal);
            tracing::debug!(%from, %status, words, "a message from another nameserver was not taken");
            Response::builder().status(status).body(Full::new(Bytes::from(format!("{words}\n"))))
        }
    }
}

async fn hear(
    request: Request<Incoming>,
    from: IpAddr,
    shown: Option<&CertificateDer<'_>>,
    place: &Place,
    door: &Door,
) -> Result<Vec<u8>, Refused> {
    let refused = |status, refusal, words: &str| Refused(status, refusal, words.to_owned());
    let tokens = door.cluster.tokens();
    if !tokens.is_empty() {
        let shown = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        // RFC 9110 §11.1: the scheme's name has no case.
        let shown = shown.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        let shown = shown.and_then(|(_, token)| std::str::from_utf8(token).ok());
        if !shown.is_some_and(|token| tokens.know(token.trim())) {
            return Err(refused(StatusCode::UNAUTHORIZED, Refusal::Token, "the token is another one here"));
        }
    }
    // The authority may vouch for others than nameservers, too.
    let vouched =
        door.tls.as_ref().map(|_| shown.map_or_else(Vec::new, |shown| vouched(shown, &door.cluster.addresses())));
    if vouched.as_ref().is_some_and(Vec::is_empty) {
        let words = "the certificate has no address of the peers here";
        return Err(refused(StatusCode::FORBIDDEN, Refusal::Stranger, words));
    }
    if !place.admit() {
        return Err(refused(StatusCode::SERVICE_UNAVAILABLE, Refusal::Connections, "too many connections"));
    }
    if request.uri().path() != PATH {
        return Err(refused(StatusCode::NOT_FOUND, Refusal::Unreadable, "there is only /v1/peer"));
    }
    if request.method() != Method::POST {
        return Err(refused(StatusCode::METHOD_NOT_ALLOWED, Refusal::Unreadable, "POST what you know"));
    }
    let body = match timeout(BODY, Limited::new(request.into_body(), MAX_MESSAGE).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            let words = format!("more than {MAX_MESSAGE} octets");
            return Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, Refusal::TooLarge, words));
        }
        Ok(Err(_)) | Err(_) => {
            return Err(refused(StatusCode::REQUEST_TIMEOUT, Refusal::Connection, "the body did not come"));
        }
    };
    let message = Message::read(&body)
        .map_err(|error| Refused(StatusCode::BAD_REQUEST, Refusal::Unreadable, format!("no message: {error}")))?;
    let (sender, reply) = oneshot::channel();
    let event = Event::Peer { from, vouched, message: Box::new(message), answer: sender };
    let told = async {
        door.events.send(event).await.ok()?;
        reply.await.ok()
    };
    match timeout(FEED, told).await {
        Ok(Some(Ok(reply))) => serde_json::to_vec(&reply)
            .map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, Refusal::Unreadable, error.to_string())),
        Ok(Some(Err(words))) => Err(Refused(StatusCode::FORBIDDEN, Refusal::Stranger, words)),
        Ok(None) | Err(_) => {
            Err(refused(StatusCode::SERVICE_UNAVAILABLE, Refusal::Stranger, "the feed has no time, or has ended"))
        }
    }
}

/// The peers for whose addresses a certificate stands.
fn vouched(shown: &CertificateDer<'_>, peers: &[SocketAddr]) -> Vec<SocketAddr> {
    let Ok(shown) = ParsedCertificate::try_from(shown) else { return Vec::new() };
    let stands = |peer: &&SocketAddr| verify_server_name(&shown, &ServerName::from(peer.ip())).is_ok();
    peers.iter().filter(stands).copied().collect()
}

//! The public HTTP listeners: HTTP/1.1 and HTTP/2 over TLS, and HTTP/1.1 without, for proxies that have the TLS.

mod body;
mod dns;
mod freshness;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::accept::{Arrival, accept};
use super::scratch::Path;
use super::stream::{Connections, Place, prepare, shake_hands};
use super::{Responder, doors, tls};
use crate::answer::Transport;
use crate::intake::Limit;

/// Octets of the header lines of a request: the longest query for which GET makes sense has a few hundred, and a
/// proxy's cookies must not be in the way. A hundred requests that wait for their bodies hold so much each.
const MAX_HEADERS: usize = 8 << 10;
/// Requests of a connection that may be under way at a time (RFC 9113 §6.5.2 advises against fewer).
const MAX_STREAMS: u32 = 100;
/// Requests that a client may take back before they are served, and errors of its own that it may cause, before the
/// connection ends: who opens streams to reset them costs more than it pays (CVE-2023-44487).
const MAX_RESETS: usize = 20;
/// Octets of requests that a connection may have sent ahead of being read, on one stream or on all of them; what HTTP/2
/// begins with (RFC 9113 §6.9.2).
const RECEIVE_WINDOW: u32 = 65_535;
/// How long requests that are under way may take once the connection has to end.
const GOODBYE: Duration = Duration::from_secs(1);

/// Who asks, as requests have it with them.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) path: Path,
    asked: Arc<Asked>,
}

/// What a connection has asked so far.
struct Asked {
    place: Place,
    queries: AtomicUsize,
    /// It has had as many queries as one may have.
    spent: Notify,
}

/// All that is behind the public listeners.
pub fn doors(responder: Responder) -> Router {
    doors::doors(responder.clone(), dns::door(responder))
}

/// Serves the listener over TLS until `stop`, which lets requests that are under way end.
pub async fn serve(
    listener: TcpListener,
    certificate: Arc<tls::Shown>,
    doors: Router,
    connections: Connections,
    stop: CancellationToken,
) {
    let config = tls::server_config(&certificate, &[b"h2", b"http/1.1"]);
    let serve = {
        let stop = stop.clone();
        move |arrival| over_tls(arrival, Arc::clone(&config), doors.clone(), stop.clone())
    };
    accept(listener, connections, stop, serve).await;
}

/// The same without TLS, by HTTP/1.1.
pub async fn serve_plain(listener: TcpListener, doors: Router, connections: Connections, stop: CancellationToken) {
    let serve = {
        let stop = stop.clone();
        move |arrival| plain(arrival, doors.clone(), stop.clone())
    };
    accept(listener, connections, stop, serve).await;
}

async fn over_tls(arrival: Arrival, config: Arc<ServerConfig>, doors: Router, stop: CancellationToken) {
    let Arrival { stream, client, local, place } = arrival;
    prepare(&stream, &place);
    let Some(stream) = shake_hands(stream, config, &place, &stop).await else { return };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let asker = Asker::new(client, local, Transport::Https, place);
    if is_h2 {
        h2(stream, asker, doors, &stop).await;
    } else {
        h1(stream, asker, doors, &stop).await;
    }
}

async fn plain(arrival: Arrival, doors: Router, stop: CancellationToken) {
    let Arrival { stream, client, local, place } = arrival;
    prepare(&stream, &place);
    h1(stream, Asker::new(client, local, Transport::Http, place), doors, &stop).await;
}

impl Asker {
    fn new(client: SocketAddr, local: Option<IpAddr>, transport: Transport, place: Place) -> Self {
        let asked = Asked { place, queries: AtomicUsize::new(0), spent: Notify::new() };
        Self { path: Path::new(client, local, transport), asked: Arc::new(asked) }
    }

    /// Counts a query that was read whole, and whether it has a reply.
    pub(super) fn count(&self, is_answered: bool) {
        let place = &self.asked.place;
        if self.asked.queries.fetch_add(1, Ordering::Relaxed) + 1 >= place.limits().queries {
            self.asked.spent.notify_one();
        }
        place.counts().asked(1, is_answered.into());
        place.progressed();
    }
}

async fn h1<S: AsyncRead + AsyncWrite + Unpin>(stream: S, asker: Asker, doors: Router, stop: &CancellationToken) {
    let asked = Arc::clone(&asker.asked);
    let connection = http1::Builder::new()
        // `converse` looks at the time.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service(asker, doors));
    let connection = pin!(connection);
    converse(connection, http1::Connection::graceful_shutdown, &asked, stop).await;
}

async fn h2<S: AsyncRead + AsyncWrite + Unpin>(stream: S, asker: Asker, doors: Router, stop: &CancellationToken) {
    let asked = Arc::clone(&asker.asked);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS)
        .max_header_list_size(MAX_HEADERS as u32)
        .initial_connection_window_size(RECEIVE_WINDOW)
        .initial_stream_window_size(RECEIVE_WINDOW)
        .max_send_buf_size(asked.place.limits().unsent)
        .serve_connection(TokioIo::new(stream), service(asker, doors));
    let connection = pin!(connection);
    converse(connection, http2::Connection::graceful_shutdown, &asked, stop).await;
}

/// Leads requests through the doors, each whole and with who asks.
fn service(
    asker: Asker,
    doors: Router,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send + 'static,
> {
    service_fn(move |request: Request<Incoming>| {
        let (asker, mut doors) = (asker.clone(), doors.clone());
        async move {
            match body::whole(request, &asker.asked.place).await {
                Ok(mut request) => {
                    request.extensions_mut().insert(asker);
                    doors.call(request).await
                }
                Err(refusal) => Ok(refusal),
            }
        }
    })
}

/// Drives a connection until it ends, or has to: by its limits, because its place is wanted, or by `stop`.
async fn converse<C: Future>(
    mut connection: Pin<&mut C>,
    close: impl Fn(Pin<&mut C>),
    asked: &Asked,
    stop: &CancellationToken,
) {
    let (place, limits) = (&asked.place, asked.place.limits());
    let end = Instant::now() + limits.total;
    let mut look = end.min(Instant::now() + limits.idle);
    let mut is_closing = false;
    loop {
        tokio::select! {
            biased;
            // How it ended is the client's affair.
            _ended = connection.as_mut() => return,
            () = place.wanted() => return,
            () = stop.cancelled(), if !is_closing => {}
            () = asked.spent.notified(), if !is_closing => place.count_closed(Limit::Queries),
            () = sleep_until(look) => {
                if is_closing {
                    return;
                }
                let now = Instant::now();
                let idle_end = end.min(place.progress() + limits.idle);
                if idle_end > now {
                    look = idle_end;
                    continue;
                }
                place.count_closed(if now >= end { Limit::Total } else { Limit::Idle });
            }
        }
        is_closing = true;
        look = Instant::now() + GOODBYE;
        close(connection.as_mut());
    }
}

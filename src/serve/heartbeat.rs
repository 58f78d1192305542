//! The listeners for heartbeats of media servers: who is outside the networks is not listened to, who has no token is sent
//! away before anything of what he says is read, and what the rest say goes to the feed.
//!
//! SRS sends a request on a connection of its own, can send no header of its owner's choosing, and reads nothing of the
//! answer but that there is one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::intake::{Event, Heartbeats, Terms, Unwanted};
use crate::load::heartbeat::Heartbeat;

/// What SRS is told to call, behind a token or before `?token=`.
const PATH: &str = "/api/v1/srs/register";
/// Connections at a time: 4,096 nodes beat 440 times a second, and each takes a few milliseconds.
const MAX_CONNECTIONS: usize = 256;
/// How long a connection may take from the first octet to the last.
const TOTAL: Duration = Duration::from_secs(5);
/// How long the feed may take to hear of it.
const FEED: Duration = Duration::from_secs(2);
/// Octets of the longest body: SRS' own have about two thousand.
const MAX_BODY: usize = 32 << 10;
/// Octets of the read buffer, and so of all headers together; less is not possible.
const READ_BUFFER: usize = 8 << 10;
/// Header lines of a request.
const MAX_HEADERS: usize = 32;
/// How long nobody is accepted after somebody could not be.
const RESPITE: Duration = Duration::from_millis(100);
/// Seconds from one line in the log about heartbeats that were not taken to the next.
const SAID: u64 = 10;

/// What a listener needs.
#[derive(Clone)]
pub struct Ear {
    heartbeats: Arc<Heartbeats>,
    events: mpsc::Sender<Event>,
    begun: Instant,
    /// When it was last said that one was not taken, in seconds since it was made.
    said: Arc<AtomicU64>,
}

impl Ear {
    /// One that tells the feed through `events`.
    pub fn new(heartbeats: Arc<Heartbeats>, events: mpsc::Sender<Event>) -> Self {
        Self { heartbeats, events, begun: Instant::now(), said: Arc::new(AtomicU64::new(0)) }
    }

    /// Counts one that was not taken, and says so now and then: a fleet with a wrong token would fill the log.
    fn refuse(&self, from: SocketAddr, why: Unwanted, words: &str) {
        self.heartbeats.refuse(why);
        let (now, said) = (self.begun.elapsed().as_secs() + SAID, self.said.load(Ordering::Relaxed));
        let is_due = now >= said + SAID;
        if is_due && self.said.compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let inventory = self.heartbeats.inventory();
            tracing::warn!(inventory, from = %from.ip(), because = %why, "a heartbeat was not taken: {words}");
        }
    }
}

/// Listens to heartbeats until it is stopped.
pub async fn serve(listener: TcpListener, ear: Ear, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok((stream, from)) => (stream, SocketAddr::new(from.ip().to_canonical(), from.port())),
            // Too many open files, perhaps: asking again at once would only keep the thread busy.
            Err(_) => {
                sleep(RESPITE).await;
                continue;
            }
        };
        let terms = ear.heartbeats.terms();
        let is_near = |terms: &Terms| terms.heartbeat.from.iter().any(|prefix| prefix.contains(from.ip()));
        if !(*terms).as_ref().is_some_and(is_near) {
            ear.refuse(from, Unwanted::Prefix, "it comes from outside `heartbeat.from`");
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            ear.refuse(from, Unwanted::Connections, "there are too many connections");
            continue;
        };
        let (ear, stop) = (ear.clone(), stop.clone());
        tokio::spawn(async move {
            let served = tokio::select! {
                () = stop.cancelled() => Ok(()),
                served = timeout(TOTAL, converse(stream, from, &ear)) => served.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            };
            if let Err(error) = served {
                ear.refuse(from, Unwanted::Connection, &format!("the connection has failed: {error}"));
            }
            drop(place);
        });
    }
}

/// Answers one request.
async fn converse(stream: TcpStream, from: SocketAddr, ear: &Ear) -> io::Result<()> {
    let service = service_fn(|request| async move { answer(request, from, ear).await });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TOTAL)
        .keep_alive(false)
        .max_buf_size(READ_BUFFER)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

async fn answer(request: Request<Incoming>, from: SocketAddr, ear: &Ear) -> Result<Response<Full<Bytes>>, http::Error> {
    let (status, body) = match hear(request, from, ear).await {
        Ok(()) => (StatusCode::OK, "{\"code\":0}".to_owned()),
        Err((status, why, words)) => {
            ear.refuse(from, why, &words);
            (status, format!("{{\"code\":{},\"because\":\"{why}\"}}", status.as_u16()))
        }
    };
    Response::builder().status(status).header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)))
}

/// Takes a heartbeat, or says why not.
async fn hear(request: Request<Incoming>, from: SocketAddr, ear: &Ear) -> Result<(), (StatusCode, Unwanted, String)> {
    let refused = |status, why, words: &str| Err((status, why, words.to_owned()));
    let terms = ear.heartbeats.terms();
    let Some(terms) = &*terms else {
        return refused(StatusCode::FORBIDDEN, Unwanted::Prefix, "the inventory takes no heartbeats any more");
    };
    let Some(shown) = token(request.uri()) else {
        let words = "there is only /api/v1/srs/register?token=TOKEN, or the same below /TOKEN";
        return refused(StatusCode::NOT_FOUND, Unwanted::Unreadable, words);
    };
    if !terms.tokens.know(&shown) {
        let words = "its token is another one: `url` of `heartbeat` in srs.conf is http://HOST:PORT/TOKEN/api/v1/srs/register, with \
                     the line of the `token_file`";
        return refused(StatusCode::UNAUTHORIZED, Unwanted::Token, words);
    }
    if request.method() != Method::POST {
        return refused(StatusCode::METHOD_NOT_ALLOWED, Unwanted::Unreadable, "a heartbeat is a POST");
    }
    let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, Unwanted::TooLarge, "it is larger than any heartbeat");
        }
        Err(_) => return refused(StatusCode::BAD_REQUEST, Unwanted::Connection, "its body did not come"),
    };
    let heartbeat = Heartbeat::read(&body).map_err(|words| (StatusCode::BAD_REQUEST, Unwanted::Unreadable, words))?;
    let beat = terms.beat(ear.heartbeats.inventory(), from.ip(), heartbeat);
    let beat = beat.map_err(|(why, words)| (StatusCode::FORBIDDEN, why, words))?;
    // What the feed makes of it, the sender need not know: SRS does nothing with an answer.
    match timeout(FEED, ear.events.send(Event::Beat(Box::new(beat)))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => {
            refused(StatusCode::SERVICE_UNAVAILABLE, Unwanted::Busy, "the feed has no time, or has ended")
        }
    }
}

/// What is shown as a token, if the path is that of heartbeats; empty if nothing is.
fn token(uri: &Uri) -> Option<String> {
    let before = uri.path().strip_suffix(PATH)?;
    if let Some(token) = before.strip_prefix('/').filter(|token| !token.contains('/')) {
        return Some(decoded(token));
    }
    let query = uri.query().unwrap_or_default();
    let token = query.split('&').find_map(|parameter| parameter.strip_prefix("token="));
    before.is_empty().then(|| decoded(token.unwrap_or_default()))
}

/// Without percent-encoding (RFC 3986 §2.1).
fn decoded(text: &str) -> String {
    let octets = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(octets.len()), 0);
    while let Some(octet) = octets.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| *octet == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(octet) => {
                decoded.push(octet);
                at += 3;
            }
            None => {
                decoded.push(*octet);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stand_in_the_query_or_before_the_path() {
        for (uri, shown) in [
            ("/api/v1/srs/register?token=abc", Some("abc")),
            ("/api/v1/srs/register?a=1&token=a%2Fb%", Some("a/b%")),
            ("/abc/api/v1/srs/register", Some("abc")),
            ("/abc/api/v1/srs/register?token=other", Some("abc")),
            ("/api/v1/srs/register", Some("")),
            ("/a/b/api/v1/srs/register?token=abc", None),
            ("/api/v1/srs/register/", None),
            ("/", None),
        ] {
            assert_eq!(token(&uri.parse().expect("a URI")).as_deref(), shown, "{uri}");
        }
    }
}

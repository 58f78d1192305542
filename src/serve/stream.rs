//! Streams (RFC 7766, RFC 9210, RFC 7858): the conversation on each connection, over TCP and over TLS.

mod connections;
mod gathered;

pub use connections::Connections;
pub(super) use connections::Place;
pub(super) use gathered::Refused;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;

use rustls::{ProtocolVersion, ServerConfig};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use super::accept::bind;
use super::accept::{Arrival, accept};
use super::scratch::{self, Path};
use super::transfer::{self, Begun};
use super::{Responder, tls};
use crate::answer::{TlsVersion, Transport};
use crate::intake::{Handshake, Limit, Tally};

/// Serves the listener over TCP until `stop`; returns when its last connection is closed, which then takes at
/// most the time that peers have to read.
pub async fn serve(listener: TcpListener, responder: Responder, connections: Connections, stop: CancellationToken) {
    let serve = {
        let stop = stop.clone();
        move |arrival| keep_place(arrival, responder.clone(), stop.clone())
    };
    accept(listener, connections, stop, serve).await;
}

/// The same over TLS (RFC 7858).
pub async fn serve_tls(
    listener: TcpListener,
    certificate: Arc<tls::Shown>,
    responder: Responder,
    connections: Connections,
    stop: CancellationToken,
) {
    let config = tls::server_config(&certificate, &[b"dot"]);
    let serve = {
        let stop = stop.clone();
        move |arrival| keep_place_over_tls(arrival, Arc::clone(&config), responder.clone(), stop.clone())
    };
    accept(listener, connections, stop, serve).await;
}

/// One connection, from its place among the others to how it ended.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would hold its arguments twice, and there are a thousand")]
fn keep_place(arrival: Arrival, responder: Responder, stop: CancellationToken) -> impl Future<Output = ()> + Send {
    async move {
        let Arrival { mut stream, client, local, place } = arrival;
        prepare(&stream, &place);
        let path = Path { idle: Some(place.limits().idle), ..Path::new(client, local, Transport::Tcp) };
        let ended = converse(&mut stream, path, &responder, &place, &stop).await;
        close(&stream, &ended, &place);
        // The descriptor is free before the place is.
        drop(stream);
        drop(place);
    }
}

/// How long the end of a TLS connection may take to be told.
const GOODBYE: Duration = Duration::from_secs(1);

/// The same over TLS, with the handshake before and the farewell behind.
async fn keep_place_over_tls(
    arrival: Arrival,
    config: Arc<ServerConfig>,
    responder: Responder,
    stop: CancellationToken,
) {
    let Arrival { stream, client, local, place } = arrival;
    prepare(&stream, &place);
    let Some(mut stream) = shake_hands(stream, config, &place, &stop).await else { return };
    let version = match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    };
    let path = Path { idle: Some(place.limits().idle), ..Path::new(client, local, Transport::Tls(version)) };
    let ended = converse(&mut stream, path, &responder, &place, &stop).await;
    if !matches!(ended, End::Unread(_)) {
        // RFC 7858 §3.4, RFC 8446 §6.1: the peer is told that nothing was cut off. If it does not listen, so be it; whoever
        // waits for the place does not wait for that.
        let patience = if place.is_wanted() { Duration::ZERO } else { GOODBYE };
        let _ = timeout(patience, stream.shutdown()).await;
    }
    let (stream, _session) = stream.into_inner();
    close(&stream, &ended, &place);
    drop(stream);
    drop(place);
}

/// How long a TLS handshake may take: many times what it takes across the globe, with segments lost.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// TLS on an accepted connection; none if it does not come about.
pub(super) async fn shake_hands(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    place: &Place,
    stop: &CancellationToken,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let shaken = tokio::select! {
        biased;
        shaken = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)) => shaken,
        () = stop.cancelled() => return None,
        // Who is about to shake hands is idle, too.
        () = place.wanted() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => {
            place.counts().shook_hands(Handshake::Done);
            return Some(stream);
        }
        Ok(Err(error)) => {
            debug!(%error, "a TLS handshake failed");
            place.counts().shook_hands(Handshake::Failed);
        }
        Err(_) => place.counts().shook_hands(Handshake::TimedOut),
    }
    None
}

/// Sets what a connection needs of its socket.
pub(super) fn prepare(stream: &TcpStream, place: &Place) {
    // Replies are written whole, so there is nothing for Nagle's algorithm to gather.
    // If it cannot be had, replies are only slower.
    let _ = stream.set_nodelay(true);
    // If it cannot be had, the kernel's own limit holds. The listener cannot pass it on: connections wait
    // there before anybody serves it.
    let _ = SockRef::from(stream).set_send_buffer_size(place.limits().unsent);
}

/// Readies a socket for its end.
fn close(stream: &TcpStream, ended: &End, place: &Place) {
    if let End::Limit(limit) | End::Unread(Some(limit)) = ended {
        place.count_closed(*limit);
    }
    match ended {
        End::Over | End::Limit(_) => discard(stream),
        // The kernel would keep what was not read, and offer it again and again for minutes.
        End::Unread(_) => {
            // If that cannot be had, it does so.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Why a connection ends.
enum End {
    /// The peer or the server has no more to say, or the place is wanted.
    Over,
    /// It came to a limit.
    Limit(Limit),
    /// The peer did not read what was answered: within a limit, or it is gone.
    Unread(Option<Limit>),
}

/// Octets of replies after which they are sent, whatever else was asked; one reply may go beyond.
const MAX_BATCH: usize = 16_384;
/// Octets that are read at a time: a few hundred queries.
const READ: usize = 16_384;

/// Answers a connection from its first octet to its last.
///
/// It reads, answers all that is complete, and writes, in turn: while the peer does not read, nothing
/// is read from it, so what it can make us hold is one message and one batch of replies. While it is
/// idle it has no buffer at all, only this future and the socket.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    path: Path,
    responder: &Responder,
    place: &Place,
    stop: &CancellationToken,
) -> End {
    let limits = place.limits();
    let end = Instant::now() + limits.total;
    let mut idle_end = end.min(Instant::now() + limits.idle);
    let mut queries_left = limits.queries;
    let mut input = Vec::new();
    loop {
        match receive(stream, &mut input, idle_end, place, stop).await {
            Received::Octets => {}
            // RFC 7766 §6.2.4: a peer may close its side only; what it asked in full is answered by then.
            Received::Nothing => return End::Over,
            Received::TimeOut if idle_end == end => return End::Limit(Limit::Total),
            Received::TimeOut => return End::Limit(Limit::Idle),
        }
        while let Some(batch) = answer_batch(responder, path, &input, &mut queries_left) {
            input.drain(..batch.read);
            place.counts().asked(batch.queries, batch.replies);
            if let Err(limit) = send(stream, &batch, place).await {
                responder.counts.add(&Tally { unsent: batch.replies, ..Tally::default() });
                return End::Unread(limit);
            }
            place.progressed();
            idle_end = end.min(Instant::now() + limits.idle);
            match batch.then {
                Then::More => {}
                Then::Over => return End::Over,
                Then::Limit => return End::Limit(Limit::Queries),
                // Boxed, or each idle connection would have room for one.
                Then::Transfer(begun) => {
                    if let Err(limit) = Box::pin(transfer::send(stream, begun, responder, place)).await {
                        return End::Unread(limit);
                    }
                    idle_end = end.min(Instant::now() + limits.idle);
                }
            }
        }
        if input.is_empty() {
            input = Vec::new();
        }
        // A peer that never pauses never waits where these would be noticed.
        if stop.is_cancelled() || place.is_wanted() {
            return End::Over;
        }
        if Instant::now() >= end {
            return End::Limit(Limit::Total);
        }
    }
}

/// What waiting for octets came to.
enum Received {
    Octets,
    /// None will come, or be waited for.
    Nothing,
    TimeOut,
}

/// Waits for octets and adds them to `input`.
async fn receive<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: &mut Vec<u8>,
    until: Instant,
    place: &Place,
    stop: &CancellationToken,
) -> Received {
    // Polled into the thread's buffer, so that who waits has none of its own.
    let read = poll_fn(|cx| {
        scratch::borrow(|scratch| {
            let mut read = ReadBuf::new(&mut scratch[..READ]);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            // No more than has come: what a peer announces costs it as much as us.
            input.reserve_exact(read.filled().len());
            input.extend(read.filled());
            std::task::Poll::Ready(io::Result::Ok(read.filled().len()))
        })
    });
    let read = tokio::select! {
        // What has come before the end is still answered.
        biased;
        read = timeout_at(until, read) => read,
        () = stop.cancelled() => return Received::Nothing,
        () = place.wanted() => return Received::Nothing,
    };
    match read {
        Ok(Ok(1..)) => Received::Octets,
        Ok(Ok(0) | Err(_)) => Received::Nothing,
        Err(_) => Received::TimeOut,
    }
}

/// Sends replies; an error is that they were not taken, and the limit that this came to.
async fn send<S: AsyncWrite + Unpin>(stream: &mut S, batch: &Batch, place: &Place) -> Result<(), Option<Limit>> {
    let write = async {
        stream.write_all(&batch.octets).await?;
        // TLS holds octets that the socket did not take.
        stream.flush().await
    };
    tokio::select! {
        biased;
        written = timeout(place.limits().write, write) => match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(None),
            Err(_) => Err(Some(Limit::Write)),
        },
        // Who does not read is idle, too.
        () = place.wanted() => Err(None),
    }
}

/// What came of the complete messages at the start of the input.
#[derive(Default)]
struct Batch {
    /// The replies, each behind its length, to be sent in one write (RFC 7766 §8).
    octets: Vec<u8>,
    /// How many they are.
    replies: u64,
    /// Messages that were complete.
    queries: u64,
    /// Octets of the input that are done with.
    read: usize,
    /// How the connection goes on after these.
    then: Then,
}

/// How a connection goes on.
#[derive(Default)]
enum Then {
    /// With more queries.
    #[default]
    More,
    /// Not at all: what came was no query.
    Over,
    /// Not at all: there were as many queries as one may have.
    Limit,
    /// With a transfer, and then with more queries.
    Transfer(Box<Begun>),
}

/// Answers the complete messages at the start of the input, up to a batch; none if there is none.
fn answer_batch(responder: &Responder, path: Path, input: &[u8], queries_left: &mut usize) -> Option<Batch> {
    first_message(input)?;
    let mut batch = Batch::default();
    while batch.octets.len() < MAX_BATCH
        && matches!(batch.then, Then::More)
        && let Some(message) = first_message(&input[batch.read..])
    {
        batch.read += 2 + message.len();
        batch.queries += 1;
        *queries_left = queries_left.saturating_sub(1);
        if let Some(begun) = transfer::asked(responder, message, path) {
            batch.then = Then::Transfer(begun);
            break;
        }
        let is_answered = scratch::respond(responder, message, path, |reply| {
            batch.octets.extend((reply.len() as u16).to_be_bytes());
            batch.octets.extend(reply);
            batch.replies += 1;
        });
        // What gets no reply is no query (no octets are none, too): what follows it on the stream
        // is worth no more.
        if is_answered.is_none() {
            batch.then = Then::Over;
        } else if *queries_left == 0 {
            batch.then = Then::Limit;
        }
    }
    Some(batch)
}

/// The message at the start of the input, behind its length (RFC 1035 §4.2.2), if it is complete.
fn first_message(input: &[u8]) -> Option<&[u8]> {
    let (length, rest) = input.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// Takes what has come but was not read: else the kernel resets the connection as it is closed
/// (RFC 9293 §3.6.1), and the peer may lose the last replies.
fn discard(stream: &TcpStream) {
    // 64 KiB, a usual window; a peer that has sent more than that unasked has its reset.
    for _ in 0..4 {
        if !matches!(scratch::borrow(|scratch| stream.try_read(&mut scratch[..READ])), Ok(1..)) {
            break;
        }
    }
}

//! DNS over QUIC (RFC 9250): each query on a stream of its own, and no connection waits for another's handshake.

mod exchange;

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use exchange::{Exchanged, exchange};

use super::scratch::Path;
use super::stream::{Connections, Place};
use super::{Responder, tls};
use crate::answer::Transport;
use crate::config::TcpLimits;
use crate::intake::{Handshake, Limit};

/// How long a handshake may take: many times what it takes across the globe, with datagrams lost.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes under way at a time, of whoever has shown that he receives what is sent to his address.
const MAX_HANDSHAKES: usize = 1_024;
/// Handshakes under way from which on everybody has to show that first (RFC 9000 §8.1.2): sources are easily forged.
const MAX_UNPROVEN: usize = 64;
/// Queries of a connection that may be under way at a time (RFC 9250 §5.3.2 leaves it to us).
const MAX_STREAMS: u32 = 100;
/// Octets that a connection may have sent ahead of being read: on a stream, where real queries have a few hundred, and in
/// sum. Longer queries take a round trip for each.
const STREAM_WINDOW: u32 = 16 << 10;
const RECEIVE_WINDOW: u32 = 64 << 10;
/// Octets of datagrams that may wait for a connection that is not accepted yet, which it is at once.
const EARLY_DATAGRAMS: u64 = 16 << 10;
/// How long queries that are under way may take once the connection has to end, and then clients to hear of it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Error codes of RFC 9250 §4.3.
const NO_ERROR: VarInt = VarInt::from_u32(0);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
const UNSPECIFIED_ERROR: VarInt = VarInt::from_u32(5);

/// What every connection needs.
#[derive(Clone)]
struct Host {
    responder: Responder,
    connections: Connections,
    stop: CancellationToken,
}

/// A bound socket that speaks QUIC; to be called within a runtime.
pub fn open(socket: UdpSocket, certificate: &Arc<tls::Shown>, limits: &TcpLimits) -> io::Result<Endpoint> {
    let config = tls::server_config(certificate, &[b"doq"]);
    // RFC 9250 §4.5 would take queries in 0-RTT, which others can replay; rustls offers none unless told to.
    let crypto = QuicServerConfig::try_from(config).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        // RFC 9250 §4.3.3: there are none; who opens one is to hear so.
        .max_concurrent_uni_streams(1_u32.into())
        .datagram_receive_buffer_size(None)
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(RECEIVE_WINDOW.into())
        .send_window(limits.unsent as u64)
        .max_idle_timeout(Some(limits.idle.try_into().map_err(io::Error::other)?));
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(MAX_HANDSHAKES)
        .incoming_buffer_size(EARLY_DATAGRAMS)
        .incoming_buffer_size_total(MAX_HANDSHAKES as u64 * EARLY_DATAGRAMS);
    socket.set_nonblocking(true)?;
    Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
}

/// Serves an endpoint until `stop`; returns when its connections have heard of that, or had time to.
pub async fn serve(endpoint: Endpoint, responder: Responder, connections: Connections, stop: CancellationToken) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let host = Host { responder, connections, stop };
    let mut tasks = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            () = host.stop.cancelled() => break,
            Some(ended) = tasks.join_next() => {
                if let Err(panic) = ended {
                    error!(%panic, "a QUIC connection ended by a panic, which is a defect; the others go on");
                }
                continue;
            }
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let under_way = MAX_HANDSHAKES - handshakes.available_permits();
        if under_way >= MAX_UNPROVEN && incoming.may_retry() {
            // It is checked just before that it may.
            let _ = incoming.retry();
            continue;
        }
        match Arc::clone(&handshakes).try_acquire_owned() {
            Ok(permit) => {
                tasks.spawn(keep(incoming, permit, host.clone()));
            }
            Err(_) => incoming.refuse(),
        }
    }
    endpoint.set_server_config(None);
    // What is under way ends by itself then; a panic has no further meaning.
    let _ = timeout(GOODBYE, async { while tasks.join_next().await.is_some() {} }).await;
    tasks.shutdown().await;
    endpoint.close(NO_ERROR, b"");
    // Who has not acknowledged it by then will find out by asking.
    let _ = timeout(GOODBYE, endpoint.wait_idle()).await;
}

/// One connection, from its first datagram to how it ended.
async fn keep(incoming: Incoming, permit: OwnedSemaphorePermit, host: Host) {
    let Host { responder, connections, stop } = host;
    let (client, local) = (incoming.remote_address(), incoming.local_ip());
    // A forged source must neither take places from its owner's network nor send others away.
    let early = match incoming.remote_address_validated() {
        true => match connections.admit(client.ip()).await {
            Some(place) => Some(place),
            None => return incoming.refuse(),
        },
        false => None,
    };
    let counts = Arc::clone(connections.counts());
    let Ok(connecting) = incoming.accept() else { return counts.shook_hands(Handshake::Failed) };
    let shaken = tokio::select! {
        biased;
        shaken = timeout(HANDSHAKE, connecting) => shaken,
        () = stop.cancelled() => return,
        // Who is about to shake hands is idle, too.
        () = wanted(early.as_ref()) => return,
    };
    drop(permit);
    let connection = match shaken {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            debug!(%client, %error, "a QUIC handshake failed");
            return counts.shook_hands(Handshake::Failed);
        }
        Err(_) => return counts.shook_hands(Handshake::TimedOut),
    };
    counts.shook_hands(Handshake::Done);
    let place = match early {
        Some(place) => place,
        None => match connections.admit(client.ip()).await {
            Some(place) => place,
            None => return connection.close(EXCESSIVE_LOAD, b""),
        },
    };
    let code = converse(&connection, local, &responder, &place, &stop).await;
    connection.close(code, b"");
}

/// Waits until a place is wanted by another one; for ever if there is none.
async fn wanted(place: Option<&Place>) {
    match place {
        Some(place) => place.wanted().await,
        None => std::future::pending().await,
    }
}

/// Answers the queries of a connection; returns how it is to be closed.
async fn converse(
    connection: &Connection,
    local: Option<IpAddr>,
    responder: &Responder,
    place: &Place,
    stop: &CancellationToken,
) -> VarInt {
    let limits = *place.limits();
    let end = Instant::now() + limits.total;
    let mut queries_left = limits.queries;
    let mut exchanges = FuturesUnordered::new();
    loop {
        let idle_end = end.min(place.progress() + limits.idle);
        let streams = tokio::select! {
            // A client that never pauses must not be able to put off what ends it.
            biased;
            () = place.wanted() => return EXCESSIVE_LOAD,
            () = stop.cancelled() => break,
            () = sleep_until(idle_end) => {
                // Another query may have come in the meantime.
                if idle_end < end && place.progress() + limits.idle > idle_end {
                    continue;
                }
                place.count_closed(if idle_end == end { Limit::Total } else { Limit::Idle });
                break;
            }
            Some(exchanged) = exchanges.next() => {
                match exchanged {
                    Exchanged::Answered | Exchanged::Cancelled => {}
                    Exchanged::Unread => {
                        place.count_closed(Limit::Write);
                        return NO_ERROR;
                    }
                    Exchanged::Broken => return PROTOCOL_ERROR,
                }
                continue;
            }
            Ok(_stream) = connection.accept_uni() => return PROTOCOL_ERROR,
            streams = connection.accept_bi() => streams,
        };
        // The client has ended it, or is gone.
        let Ok(streams) = streams else { return NO_ERROR };
        // A client may move to another address (RFC 9000 §9).
        let path = Path::new(connection.remote_address(), local, Transport::Quic);
        exchanges.push(exchange(streams, path, responder, place));
        // Those that are taken back count too: they cost us no less.
        queries_left = queries_left.saturating_sub(1);
        if queries_left == 0 {
            place.count_closed(Limit::Queries);
            break;
        }
    }
    // To close is to forget what was not sent yet.
    let all = async { while exchanges.next().await.is_some() {} };
    tokio::select! {
        _ended = timeout(GOODBYE, all) => NO_ERROR,
        () = place.wanted() => EXCESSIVE_LOAD,
    }
}

//! DNS over QUIC (RFC 9250): each query on a stream of its own, and no connection waits for another's handshake.

mod exchange;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use exchange::{Exchanged, exchange};

use super::scratch::Path;
use super::stream::{Connections, Place};
use super::{Responder, tls};
use crate::answer::Transport;
use crate::config::TcpLimits;
use crate::intake::{Handshake, Limit};
use crate::wire::MAX_STREAM;

/// How long a handshake may take: many times what it takes across the globe, with datagrams lost.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes under way at a time, of whoever has shown that he receives what is sent to his address.
const MAX_HANDSHAKES: usize = 1_024;
/// Handshakes under way from which on everybody has to show that first (RFC 9000 §8.1.2): sources are easily forged.
const MAX_UNPROVEN: usize = 64;
/// Queries of a connection that may be under way at a time (RFC 9250 §5.3.2 leaves it to us).
const MAX_STREAMS: u32 = 100;
/// Octets of streams that a connection may have sent ahead of being read.
const RECEIVE_WINDOW: u32 = 2 * MAX_STREAM as u32;
/// How long connections may take to hear that the server stops.
const GOODBYE: Duration = Duration::from_secs(1);

/// Error codes of RFC 9250 §4.3.
const NO_ERROR: VarInt = VarInt::from_u32(0);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);

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
        // RFC 9250 §4.2: there are none.
        .max_concurrent_uni_streams(0_u32.into())
        .datagram_receive_buffer_size(None)
        .stream_receive_window(RECEIVE_WINDOW.into())
        .receive_window(RECEIVE_WINDOW.into())
        .send_window(limits.unsent as u64)
        .max_idle_timeout(Some(limits.idle.try_into().map_err(io::Error::other)?));
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport)).max_incoming(MAX_HANDSHAKES);
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
    let shaken = timeout(HANDSHAKE, connecting).await;
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
    let mut idle_end = end.min(Instant::now() + limits.idle);
    let mut queries_left = limits.queries;
    let mut exchanges = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(exchanged) = exchanges.next() => match exchanged {
                Exchanged::Answered => {
                    place.progressed();
                    idle_end = end.min(Instant::now() + limits.idle);
                    queries_left = queries_left.saturating_sub(1);
                    if queries_left == 0 && exchanges.is_empty() {
                        place.count_closed(Limit::Queries);
                        return NO_ERROR;
                    }
                }
                Exchanged::Cancelled => {}
                Exchanged::Unread => {
                    place.count_closed(Limit::Write);
                    return NO_ERROR;
                }
                Exchanged::Broken => return PROTOCOL_ERROR,
            },
            accepted = timeout_at(idle_end, connection.accept_bi()), if queries_left > exchanges.len() => match accepted {
                // A client may move to another address (RFC 9000 §9).
                Ok(Ok(streams)) => {
                    let client: SocketAddr = connection.remote_address();
                    let path = Path::new(client, local, Transport::Quic);
                    exchanges.push(exchange(streams, path, responder, place));
                }
                Ok(Err(_)) => return NO_ERROR,
                Err(_) => {
                    place.count_closed(if idle_end == end { Limit::Total } else { Limit::Idle });
                    return NO_ERROR;
                }
            },
            () = tokio::time::sleep_until(idle_end) => {
                place.count_closed(if idle_end == end { Limit::Total } else { Limit::Idle });
                return NO_ERROR;
            }
            () = stop.cancelled() => return NO_ERROR,
            () = place.wanted() => return EXCESSIVE_LOAD,
        }
    }
}

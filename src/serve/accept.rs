//! Accepting: listeners of all streams, who gets a place, and what a flood of connections may cost.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::proxy::{self, Told};
use super::stream::{Connections, Place};

/// Pause after an error of `accept` that will come again at once, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Such errors are logged this often at most: they come with each connection of a flood.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// Connections that may wait to be accepted; the kernel has a limit too (net.core.somaxconn).
const BACKLOG: i32 = 1024;

/// A listener on an address. On IPv6 ones it is for IPv6 only: a socket on `[::]` would else take
/// those of IPv4 too, and could not stand beside one on `0.0.0.0` with the same port.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of the last run that wait for their end must not be in the way of the next.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A connection that has its place.
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) client: SocketAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) place: Place,
}

/// Gives each connection of the listener its place and a task that serves it, until `stop`; returns when the last
/// of them has ended.
pub(super) async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    connections: Connections,
    stop: CancellationToken,
    serve: impl Fn(Arrival) -> F + Clone + Send + 'static,
) {
    let mut tasks = JoinSet::new();
    let mut next_log = Instant::now();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = tasks.join_next() => {
                tell_of_panic(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, proxy)) if connections.believe(proxy.ip()) => match connections.admit_proxy().await {
                Some(place) => {
                    tasks.spawn(introduce(stream, proxy, place, serve.clone()));
                }
                None => debug!(%proxy, "too many connections, closed a new one"),
            },
            Ok((stream, client)) => match connections.admit(client.ip()).await {
                Some(place) => {
                    let local = stream.local_addr().map(|local| local.ip()).ok();
                    tasks.spawn(serve(Arrival { stream, client, local, place }));
                }
                None => debug!(%client, "too many connections, closed a new one"),
            },
            Err(error) if concerns_one_connection(&error) => debug!(%error, "a connection was lost before it began"),
            Err(error) => {
                connections.counts().accept_failed();
                if Instant::now() >= next_log {
                    warn!(%error, "cannot accept connections; closing idle ones, or trying again every {ACCEPT_PAUSE:?}");
                    next_log = Instant::now() + LOG_PAUSE;
                }
                // With nothing to give up, what is missing comes back when others give it back, of which there
                // is no news; without a pause this loop would eat the core on which they are to do so.
                if !(is_want(&error) && connections.make_room().await) {
                    let _ = timeout(ACCEPT_PAUSE, stop.cancelled()).await;
                }
            }
        }
    }
    drop(listener);
    while let Some(ended) = tasks.join_next().await {
        tell_of_panic(ended);
    }
}

/// How long a proxy may take to tell whose connection it is.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// Serves a connection of a proxy as that of whom it names.
async fn introduce<F: Future<Output = ()> + Send>(
    mut stream: TcpStream,
    proxy: SocketAddr,
    mut place: Place,
    serve: impl Fn(Arrival) -> F,
) {
    let told = tokio::select! {
        told = timeout(INTRODUCTION, proxy::read(&mut stream)) => told.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        () = place.wanted() => return,
    };
    let (client, local) = match told {
        Ok(Told::Client(client, local)) if place.belong_to(client.ip()) => (client, Some(local)),
        Ok(Told::Client(client, _)) => return debug!(%client, "too many connections, closed a new one"),
        Ok(Told::Own) => (proxy, stream.local_addr().map(|local| local.ip()).ok()),
        Err(error) => {
            place.counts().introduction_failed();
            return debug!(%proxy, %error, "a proxy did not tell whose connection it is");
        }
    };
    serve(Arrival { stream, client, local, place }).await;
}

/// Whether `accept` reports what befell one connection: the next may be well. `accept(2)` has these.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}

/// Whether descriptors or memory are wanting, of which every connection has some.
fn is_want(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

fn tell_of_panic(ended: Result<(), JoinError>) {
    if let Err(panic) = ended {
        error!(%panic, "a connection ended by a panic, which is a defect; the others go on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_ipv4_and_all_of_ipv6_are_two_listeners_on_one_port() {
        let v4 = bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = v4.local_addr().unwrap().port();
        bind(SocketAddr::new("::".parse().unwrap(), port)).unwrap();
    }
}

//! TCP (RFC 7766, RFC 9210): accepting, and the conversation on each connection.

mod connections;

pub use connections::Connections;
pub(super) use connections::Place;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::Responder;
use super::scratch::{self, Path};
use super::transfer::{self, Begun};
use crate::answer::Transport;
use crate::intake::{Limit, Tally};

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

/// Serves the listener until `stop`; returns when its last connection is closed, which then takes at
/// most the time that peers have to read.
pub async fn serve(listener: TcpListener, responder: Responder, connections: Connections, stop: CancellationToken) {
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
            Ok((stream, client)) => match connections.admit(client.ip()).await {
                Some(place) => {
                    tasks.spawn(keep_place(place, stream, client, responder.clone(), stop.clone()));
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

/// One connection, from its place among the others to how it ended.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would hold its arguments twice, and there are a thousand")]
fn keep_place(
    place: Place,
    mut stream: TcpStream,
    client: SocketAddr,
    responder: Responder,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    async move {
        let ended = converse(&mut stream, client, &responder, &place, &stop).await;
        if let End::Limit(limit) | End::Unread(Some(limit)) = ended {
            place.count_closed(limit);
        }
        match ended {
            End::Over | End::Limit(_) => discard(&stream),
            // The kernel would keep what was not read, and offer it again and again for minutes.
            End::Unread(_) => {
                // If that cannot be had, it does so.
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
        }
        // The descriptor is free before the place is.
        drop(stream);
        drop(place);
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
async fn converse(
    stream: &mut TcpStream,
    client: SocketAddr,
    responder: &Responder,
    place: &Place,
    stop: &CancellationToken,
) -> End {
    let Ok(local) = stream.local_addr() else { return End::Over };
    // Replies are written whole, so there is nothing for Nagle's algorithm to gather.
    // If it cannot be had, replies are only slower.
    let _ = stream.set_nodelay(true);
    let limits = place.limits();
    let path = Path { idle: Some(limits.idle), ..Path::new(client, Some(local.ip()), Transport::Tcp) };
    // If it cannot be had, the kernel's own limit holds. The listener cannot pass it on: connections wait
    // there before anybody serves it.
    let _ = SockRef::from(&*stream).set_send_buffer_size(limits.unsent);
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
async fn receive(
    stream: &TcpStream,
    input: &mut Vec<u8>,
    until: Instant,
    place: &Place,
    stop: &CancellationToken,
) -> Received {
    loop {
        // Polled rather than awaited: the future of `readable` takes a fifth of what an idle connection has.
        let is_readable = tokio::select! {
            // What has come before the end is still answered.
            biased;
            is_readable = timeout_at(until, poll_fn(|cx| stream.poll_read_ready(cx))) => is_readable,
            () = stop.cancelled() => return Received::Nothing,
            () = place.wanted() => return Received::Nothing,
        };
        match is_readable {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Received::Nothing,
            Err(_) => return Received::TimeOut,
        }
        let read: io::Result<usize> = scratch::borrow(|scratch| {
            let length = stream.try_read(&mut scratch[..READ])?;
            // No more than has come: what a peer announces costs it as much as us.
            input.reserve_exact(length);
            input.extend(&scratch[..length]);
            Ok(length)
        });
        match read {
            Ok(1..) => return Received::Octets,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return Received::Nothing,
        }
    }
}

/// Sends replies; an error is that they were not taken, and the limit that this came to.
async fn send(stream: &mut TcpStream, batch: &Batch, place: &Place) -> Result<(), Option<Limit>> {
    tokio::select! {
        biased;
        written = timeout(place.limits().write, stream.write_all(&batch.octets)) => match written {
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

//! TCP (RFC 7766, RFC 9210): accepting, and the conversation on each connection.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::Responder;
use super::scratch::{self, Path};
use crate::answer::Transport;
use crate::geo::Prefix;
use crate::intake::Tally;

/// How much one listener bears, and for how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; one more is closed at once. 1,000: with the buffers of connections
    /// that are all busy that is at most 170 MB, and below the usual limit of 1,024 open files.
    pub connections: usize,
    /// Connections at a time from one /24 or /56, as one network gets them assigned. 100: one
    /// network cannot take all places, and the resolvers of a large one still have enough.
    pub connections_per_prefix: usize,
    /// Queries on one connection, after which it is closed. 10,000: the cost of connecting is
    /// spread thin by then, and a client that never pauses has to line up again.
    pub queries_per_connection: usize,
    /// How long a connection may go without a complete query. 10 s, the middle of what RFC 7766
    /// §6.2.3 calls for; it counts complete queries, so that one octet now and then does not help.
    pub idle: Duration,
    /// How long a peer may take to read what was answered. 10 s: longer than TCP needs to get over
    /// lost segments, and as long as an idle connection may stay.
    pub write: Duration,
    /// How long a connection may last. 10 minutes: resolvers reconnect in one round trip, and
    /// nobody holds a place for ever.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000,
            connections_per_prefix: 100,
            queries_per_connection: 10_000,
            idle: Duration::from_secs(10),
            write: Duration::from_secs(10),
            total: Duration::from_secs(600),
        }
    }
}

/// Pause after an error of `accept` that will come again at once, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

/// Serves the listener until `stop`; returns when the last connection is closed, which then takes
/// at most `limits.write`.
pub async fn serve(listener: TcpListener, responder: Responder, limits: Limits, stop: CancellationToken) {
    let mut connections = Connections::default();
    let mut is_troubled = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.tasks.join_next_with_id() => {
                connections.forget(&ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                is_troubled = false;
                let prefix = network(client.ip());
                if connections.has_room(prefix, &limits) {
                    let connection = converse(stream, client, responder.clone(), limits.clone(), stop.clone());
                    connections.spawn(prefix, connection);
                } else {
                    debug!(%client, "too many connections, closed a new one");
                }
            }
            Err(error) if concerns_one_connection(&error) => debug!(%error, "a connection was lost before it began"),
            Err(error) => {
                // Once for each bout: at this pace the log would tell nothing else.
                if !is_troubled {
                    warn!(%error, "cannot accept connections, trying again every {ACCEPT_PAUSE:?}");
                }
                is_troubled = true;
                // What is missing here comes back when others give it back, of which there is no
                // news; without a pause this loop would eat the core on which they are to do so.
                let _ = timeout(ACCEPT_PAUSE, stop.cancelled()).await;
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.tasks.join_next_with_id().await {
        connections.forget(&ended);
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

/// The network to which connections are counted.
fn network(client: IpAddr) -> Prefix {
    match client.to_canonical() {
        client @ IpAddr::V4(_) => Prefix::of(client, 24),
        client @ IpAddr::V6(_) => Prefix::of(client, 56),
    }
}

/// The connections of a listener; whoever accepts owns them, hence no lock.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    networks: HashMap<Id, Prefix>,
    counts: HashMap<Prefix, usize>,
}

impl Connections {
    fn has_room(&self, prefix: Prefix, limits: &Limits) -> bool {
        self.networks.len() < limits.connections
            && self.counts.get(&prefix).is_none_or(|&count| count < limits.connections_per_prefix)
    }

    fn spawn(&mut self, prefix: Prefix, connection: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(connection);
        self.networks.insert(task.id(), prefix);
        *self.counts.entry(prefix).or_default() += 1;
    }

    fn forget(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(panic) => {
                error!(%panic, "a connection ended by a panic, which is a defect; the others go on");
                panic.id()
            }
        };
        let Some(prefix) = self.networks.remove(&id) else { return };
        if let Some(count) = self.counts.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&prefix);
            }
        }
    }
}

/// Octets of replies after which they are sent, whatever else was asked; one reply may go beyond.
const MAX_BATCH: usize = 16_384;
/// Octets that are read at a time: a few hundred queries.
const READ: usize = 16_384;

/// One connection from its first octet to its last.
///
/// It reads, answers all that is complete, and writes, in turn: while the peer does not read, nothing
/// is read from it, so what it can make us hold is one message and one batch of replies. While it is
/// idle it has no buffer at all, only this future of 900 octets and the socket; both ends of an idle
/// connection in one process were measured to take 1 KiB.
async fn converse(
    mut stream: TcpStream,
    client: SocketAddr,
    responder: Responder,
    limits: Limits,
    stop: CancellationToken,
) {
    let Ok(local) = stream.local_addr() else { return };
    // Replies are written whole, so there is nothing for Nagle's algorithm to gather.
    // If it cannot be had, replies are only slower.
    let _ = stream.set_nodelay(true);
    let path = Path { idle: Some(limits.idle), ..Path::new(client, Some(local.ip()), Transport::Tcp) };
    let end = Instant::now() + limits.total;
    let mut idle_end = end.min(Instant::now() + limits.idle);
    let mut queries_left = limits.queries_per_connection;
    let mut input = Vec::new();
    let mut is_over = false;
    // RFC 7766 §6.2.4: a peer may close its side only; what it asked in full is answered by then.
    while !is_over && receive(&stream, &mut input, idle_end, &stop).await {
        while !is_over && let Some(batch) = answer_batch(&responder, path, &input, &mut queries_left) {
            input.drain(..batch.read);
            is_over = batch.is_last;
            if !matches!(timeout(limits.write, stream.write_all(&batch.octets)).await, Ok(Ok(()))) {
                responder.counts.add(&Tally { unsent: batch.replies, ..Tally::default() });
                return;
            }
            idle_end = end.min(Instant::now() + limits.idle);
        }
        if input.is_empty() {
            input = Vec::new();
        }
        // A peer that never pauses never waits where these would be noticed.
        is_over |= stop.is_cancelled() || Instant::now() >= end;
    }
    discard(&stream);
}

/// Waits for octets and adds them to `input`; false if none will come, or be waited for.
async fn receive(stream: &TcpStream, input: &mut Vec<u8>, until: Instant, stop: &CancellationToken) -> bool {
    loop {
        let is_readable = tokio::select! {
            // What has come before the end is still answered.
            biased;
            is_readable = timeout_at(until, stream.readable()) => is_readable,
            () = stop.cancelled() => return false,
        };
        if !matches!(is_readable, Ok(Ok(()))) {
            return false;
        }
        let read: io::Result<usize> = scratch::borrow(|scratch| {
            let length = stream.try_read(&mut scratch[..READ])?;
            // No more than has come: what a peer announces costs it as much as us.
            input.reserve_exact(length);
            input.extend(&scratch[..length]);
            Ok(length)
        });
        match read {
            Ok(length) => return length > 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
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
    /// The connection is to be closed after these.
    is_last: bool,
}

/// Answers the complete messages at the start of the input, up to a batch; none if there is none.
fn answer_batch(responder: &Responder, path: Path, input: &[u8], queries_left: &mut usize) -> Option<Batch> {
    first_message(input)?;
    let mut batch = Batch::default();
    while batch.octets.len() < MAX_BATCH
        && !batch.is_last
        && let Some(message) = first_message(&input[batch.read..])
    {
        batch.read += 2 + message.len();
        *queries_left = queries_left.saturating_sub(1);
        let is_answered = scratch::respond(responder, message, path, |reply| {
            batch.octets.extend((reply.len() as u16).to_be_bytes());
            batch.octets.extend(reply);
            batch.replies += 1;
        });
        // What gets no reply is no query (no octets are none, too): what follows it on the stream
        // is worth no more.
        batch.is_last = is_answered.is_none() || *queries_left == 0;
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

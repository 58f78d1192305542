//! UDP workers: plain threads, each with its own socket, batch and counts.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::cores::keep_to;
use super::datagram::{BATCH, Batch, Incoming, ignore_path_mtu, want_local_address};
use super::rate_limit::{Limiter, Watch};
use super::{Learner, respond_together, unix_milliseconds};
use crate::answer::{Context, Transport};
use crate::config::RateLimitMode;
use crate::intake::{Counts, Tally};
use crate::name::LookupName;
use crate::snapshot::Published;
use crate::steer::Estimate;

/// Receive buffer of a socket: the kernel's default loses packets in bursts (it holds some 250 queries).
const RECEIVE_BUFFER: usize = 4 << 20;
/// How often an idle worker looks whether it should stop.
const STOP_CHECK: Duration = Duration::from_millis(200);

/// Sockets for the workers of one address: as many as wanted, on the same port.
///
/// Fails if anybody else has the address, also with SO_REUSEPORT, which would share queries with us.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let alone = bind_alone(address)?;
    // With port 0 the workers share the port that the first socket got.
    let address = alone.local_addr()?;
    drop(alone);
    (0..workers)
        .map(|_| {
            let socket = socket(address)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
            socket.set_read_timeout(Some(STOP_CHECK))?;
            let socket = UdpSocket::from(socket);
            ignore_path_mtu(&socket, address.is_ipv4())?;
            if address.ip().is_unspecified() {
                want_local_address(&socket, address.is_ipv4())?;
            }
            Ok(socket)
        })
        .collect()
}

/// A socket that has the address to itself; IPv4 has sockets of its own.
pub fn bind_alone(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Octets of receive buffer that the kernel granted, of those we asked for; less if it gave less.
pub fn granted_buffer(socket: &UdpSocket) -> io::Result<(usize, usize)> {
    // socket(7): the kernel doubles the value for its own use, and returns the doubled one.
    Ok((SockRef::from(socket).recv_buffer_size()? / 2, RECEIVE_BUFFER))
}

/// What a worker works with.
pub struct Worker {
    /// Its own socket.
    pub socket: UdpSocket,
    /// What it counts into.
    pub counts: Arc<Counts>,
    /// What it learns by.
    pub learner: Learner,
    /// Where it notes which networks are beyond the rate.
    pub watch: Arc<Watch>,
    /// The core that it keeps to; none = the kernel may move it.
    pub core: Option<usize>,
}

/// Workers that answer until they are dropped.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    should_stop: Arc<AtomicBool>,
}

impl Workers {
    /// Starts the workers; the queries of one client network are spread over so many of them.
    pub fn start(workers: Vec<Worker>, spread: usize, published: &Arc<Published>) -> io::Result<Self> {
        let should_stop = Arc::new(AtomicBool::new(false));
        let mut started = Self { threads: Vec::new(), should_stop };
        for (index, Worker { socket, counts, mut learner, watch, core }) in workers.into_iter().enumerate() {
            let (published, should_stop) = (Arc::clone(published), Arc::clone(&started.should_stop));
            // Its keys are random, which is all that is wanted of it.
            let seed = RandomState::new().hash_one(index);
            let mut limiter = Limiter::new(seed, spread, watch);
            let thread = std::thread::Builder::new().name(format!("udp-{index}"));
            started.threads.push(thread.spawn(move || {
                // First of all: its buffers are then in memory that is near the core.
                if let Some(core) = core {
                    keep_to(core);
                }
                keep_working(&socket, &published, &counts, &mut learner, &mut limiter, &should_stop);
            })?);
        }
        Ok(started)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.should_stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a UDP worker had panicked");
            }
        }
    }
}

/// A worker that panics starts anew: its socket would else take its share of the queries, and answer none.
fn keep_working(
    socket: &UdpSocket,
    published: &Published,
    counts: &Counts,
    learner: &mut Learner,
    limiter: &mut Limiter,
    should_stop: &AtomicBool,
) {
    // Nothing that is lent here is half changed by a panic: the counts are atomic, the snapshot does not change, and
    // an account is right whatever stands in it.
    let mut attempt = || work(socket, published, counts, learner, limiter, should_stop);
    while std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut attempt)).is_err() {
        tracing::error!("a UDP worker panicked, which is a defect; it goes on with the next queries");
    }
}

/// The path packet → reply → packet: no lock, no log, no allocation.
fn work(
    socket: &UdpSocket,
    published: &Published,
    counts: &Counts,
    learner: &mut Learner,
    limiter: &mut Limiter,
    should_stop: &AtomicBool,
) {
    let mut reader = published.reader();
    let mut batch = Batch::new();
    let mut names: Box<[LookupName]> = vec![LookupName::new(); BATCH].into();
    while !should_stop.load(Ordering::Relaxed) {
        // A time-out, a signal, or the ICMP error of an earlier reply: none of them ends the worker.
        let received = batch.receive(socket);
        let snapshot = reader.load();
        let now = unix_milliseconds();
        // Also when nothing came: what is booked is waited for.
        learner.turn(snapshot.generation, now, counts);
        let Ok(received) = received else { continue };
        let mut tally = Tally { received: received as u64, ..Tally::default() };
        let limiter = (snapshot.rate_limit.mode != RateLimitMode::Off).then_some(&mut *limiter);
        let exchanges = batch
            .exchanges()
            .map(|(incoming, ready)| (incoming.map(|incoming| (incoming.message, context(&incoming, now))), ready));
        respond_together(snapshot, exchanges, &mut names, learner, limiter, &mut tally);
        // First, so that whoever has a reply finds it counted.
        counts.add(&tally);
        let unsent = batch.send(socket);
        if unsent > 0 {
            counts.add(&Tally { unsent, ..Tally::default() });
        }
    }
}

fn context(incoming: &Incoming<'_>, now: u64) -> Context {
    let &Incoming { client, local, .. } = incoming;
    Context { client, local, transport: Transport::Udp, now, idle: None, estimate: Estimate::default() }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // IPv4 has sockets of its own; mapped addresses would hide which family was asked.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

//! Asks nodes whether they serve at all, each of their checks at each of their addresses, and again and again.

mod attempt;
mod rtmp;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::feed::names::Names;
use crate::feed::pace::{FIRST_WITHIN, keep, next_tick, share};
use crate::pool::{Check, NodeId, fill};
use attempt::Prober;

/// Time from a good probe to the next.
const EVERY: Duration = Duration::from_secs(5);
/// Time from a failed probe to the next, from beginning to beginning: long enough to outlast a lost route, and so
/// short that the second failure comes within ten seconds of a server's end.
const AGAIN: Duration = Duration::from_secs(4);
/// The longest time for a probe.
const LIMIT: Duration = Duration::from_secs(2);
/// Probes at the same time: each holds a socket. 5,000 nodes that answer within half a second need no more.
const AT_ONCE: usize = 512;

/// A probe of a node, to be made at intervals.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Probe {
    /// Of which node.
    pub node: NodeId,
    /// What shows that it serves.
    pub goal: Goal,
}

/// What shows that a node serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Goal {
    /// A TCP connection.
    Tcp(SocketAddr),
    /// The handshake of RTMP.
    Rtmp(SocketAddr),
    /// The handshake of TLS.
    Tls(SocketAddr),
    /// An answer to a GET.
    Http {
        /// The URL.
        url: String,
        /// The status that is good; none = any below 400.
        status: Option<u16>,
    },
}

/// The outcome of one probe.
#[derive(Debug)]
pub struct Probed {
    /// Which one.
    pub probe: Probe,
    /// When it ended.
    pub at: std::time::Instant,
    /// Why it did not succeed, if so.
    pub result: Result<(), Fault>,
}

/// Why a probe did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The node does not seem to serve.
    Node(String),
    /// This machine could not even try, which says nothing of the node.
    Here(String),
}

impl Goal {
    /// What a check asks for at an address of the node.
    pub fn of(check: &Check, address: IpAddr) -> Self {
        match check {
            Check::Tcp(port) => Self::Tcp(SocketAddr::new(address, *port)),
            Check::Rtmp(port) => Self::Rtmp(SocketAddr::new(address, *port)),
            Check::Tls(port) => Self::Tls(SocketAddr::new(address, *port)),
            Check::Http { url, status } => Self::Http { url: fill(url, address), status: *status },
        }
    }
}

/// Where it asks.
impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Rtmp(address) | Self::Tls(address) => write!(f, "{address}"),
            Self::Http { url, .. } => f.write_str(url),
        }
    }
}

/// Probes until the sender of probes is gone.
pub(super) async fn run(probes: watch::Receiver<Vec<Probe>>, sender: mpsc::Sender<Probed>, names: Names) {
    let prober = Prober::new(names);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let epoch = Instant::now();
    keep(probes, Probe::clone, |probe| {
        probe_at_intervals(prober.clone(), probe, epoch, Arc::clone(&room), sender.clone())
    })
    .await;
}

async fn probe_at_intervals(
    prober: Prober,
    probe: Probe,
    epoch: Instant,
    room: Arc<Semaphore>,
    sender: mpsc::Sender<Probed>,
) {
    let share = share(&probe.goal);
    let phase = epoch + EVERY.mul_f64(share);
    let mut due = Instant::now() + FIRST_WITHIN.mul_f64(share);
    loop {
        sleep_until(due).await;
        let Ok(permit) = room.acquire().await else { return };
        // From here on: to wait for room is no fault of the node.
        let begun = Instant::now();
        let result = timeout(LIMIT, prober.attempt(&probe.goal)).await;
        let result = result.unwrap_or_else(|_| Err(Fault::Node(format!("nothing within {} s", LIMIT.as_secs_f64()))));
        drop(permit);
        due = match result {
            Ok(()) => next_tick(phase, EVERY, begun + EVERY / 2),
            Err(Fault::Node(_)) => begun + AGAIN,
            Err(Fault::Here(_)) => begun + EVERY,
        };
        let at = Instant::now().into_std();
        if sender.send(Probed { probe: probe.clone(), at, result }).await.is_err() {
            return;
        }
    }
}

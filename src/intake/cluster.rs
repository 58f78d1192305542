//! Other nameservers as seen from here: what they tell and are told, by what they are known, and how they are.

mod message;
mod tokens;

pub use message::{Idle, MAX_MESSAGE, Message, PROTOCOL, Part};
pub use tokens::Tokens;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

/// Three exchanges: a peer that is silent for longer is not up.
const SILENT: Duration = Duration::from_secs(15);

/// What the feed and those who serve share of the cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    tokens: ArcSwap<Tokens>,
    addresses: ArcSwap<Vec<SocketAddr>>,
    peers: ArcSwap<Vec<PeerStatus>>,
    refused: [AtomicU64; Refusal::ALL.len()],
}

impl Cluster {
    /// By what others are known.
    pub fn tokens(&self) -> Arc<Tokens> {
        self.tokens.load_full()
    }

    /// Knows them by these from now on.
    pub fn set_tokens(&self, tokens: Tokens) {
        self.tokens.store(Arc::new(tokens));
    }

    /// Where the other nameservers are, as configured; this one may be among them.
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// They are there from now on.
    pub fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        self.addresses.store(Arc::new(addresses));
    }

    /// How the other nameservers are, in the order of the configuration.
    pub fn peers(&self) -> Arc<Vec<PeerStatus>> {
        self.peers.load_full()
    }

    /// They are like this now.
    pub fn set_peers(&self, peers: Vec<PeerStatus>) {
        self.peers.store(Arc::new(peers));
    }

    /// Counts a message that was not taken.
    pub fn refuse(&self, why: Refusal) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that were not taken for this reason, since the start.
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused[why as usize].load(Ordering::Relaxed)
    }
}

/// Why a message of another nameserver was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There are too many connections.
    Connections,
    /// It was too slow, or did not speak TLS or HTTP.
    Connection,
    /// It has no token of ours.
    Token,
    /// It is too large.
    TooLarge,
    /// It cannot be read.
    Unreadable,
    /// It comes from nobody whom we know, or shows another's certificate, or the feed had no time for it.
    Stranger,
}

impl Refusal {
    /// All of them, with the words for metrics.
    pub const ALL: [(Self, &str); 6] = [
        (Self::Connections, "connections"),
        (Self::Connection, "connection"),
        (Self::Token, "token"),
        (Self::TooLarge, "too_large"),
        (Self::Unreadable, "unreadable"),
        (Self::Stranger, "stranger"),
    ];
}

/// How another nameserver is.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerStatus {
    /// Where it is, as configured.
    pub address: SocketAddr,
    /// How it calls itself, once it was heard.
    pub name: Option<String>,
    /// The version of the program that it runs.
    pub version: Option<String>,
    /// When something of it was taken last.
    pub heard: Option<Instant>,
    /// Parts of the inputs that are others there than here.
    pub differs: Vec<Part>,
    /// Orders, given or lifted, that it has not heard of.
    pub orders_pending: usize,
    /// Why it could not be told the last time.
    pub unreached: Option<String>,
    /// What is wrong, each as a word for metrics and in words.
    pub alarms: Vec<(&'static str, String)>,
}

impl PeerStatus {
    /// How long ago something of it was taken.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.heard.map(|heard| now.saturating_duration_since(heard))
    }

    /// Whether it takes part: it was heard in the last 15 seconds.
    pub fn is_up(&self, now: Instant) -> bool {
        self.age(now).is_some_and(|age| age <= SILENT)
    }
}

/// The same for those who ask over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Where it is, as configured.
    pub peer: SocketAddr,
    /// Whether it takes part.
    pub is_up: bool,
    /// How it calls itself, once it was heard.
    pub name: Option<String>,
    /// The version of the program that it runs.
    pub version: Option<String>,
    /// Seconds since something of it was taken.
    pub age: Option<f64>,
    /// Parts of the inputs that are others there than here; none = all that can be compared is equal.
    pub differs: Vec<Part>,
    /// Orders, given or lifted, that it has not heard of.
    pub orders_pending: usize,
    /// Why it could not be told the last time.
    pub unreached: Option<String>,
    /// What is wrong, in words.
    pub alarms: Vec<String>,
}

impl PeerReport {
    /// How it is at `now`.
    pub fn of(status: &PeerStatus, now: Instant) -> Self {
        let PeerStatus { address, name, version, heard: _, differs, orders_pending, unreached, alarms } = status;
        Self {
            peer: *address,
            is_up: status.is_up(now),
            name: name.clone(),
            version: version.clone(),
            age: status.age(now).map(|age| age.as_secs_f64()),
            differs: differs.clone(),
            orders_pending: *orders_pending,
            unreached: unreached.clone(),
            alarms: alarms.iter().map(|(_, told)| told.clone()).collect(),
        }
    }
}

/// Whether what was ordered is known to a nameserver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Which: its address in the cluster.
    pub server: SocketAddr,
    /// Why it is not; none if it is.
    pub because: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_up_for_three_exchanges() {
        let now = Instant::now();
        let mut peer = PeerStatus {
            address: ([192, 0, 2, 1], 8054).into(),
            name: None,
            version: None,
            heard: None,
            differs: Vec::new(),
            orders_pending: 0,
            unreached: None,
            alarms: Vec::new(),
        };
        assert!(!peer.is_up(now) && peer.age(now).is_none());
        peer.heard = Some(now);
        assert!(peer.is_up(now + SILENT) && !peer.is_up(now + SILENT + Duration::from_secs(1)));
    }
}

//! Counts of connections by what carries them: open ones, those that a limit ended, handshakes.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit of streams, named as its key in `server.tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Connections at a time.
    Connections,
    /// Connections at a time from one /24 or /56.
    ConnectionsPerPrefix,
    /// Queries on one connection.
    Queries,
    /// Time without a complete query.
    Idle,
    /// Time without the peer reading what was answered.
    Write,
    /// Time from the first octet to the last.
    Total,
}

impl Limit {
    /// All of them, in the order of the example file.
    pub const ALL: [Self; 6] =
        [Self::Connections, Self::ConnectionsPerPrefix, Self::Queries, Self::Idle, Self::Write, Self::Total];

    /// Its key in `server.tcp`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerPrefix => "connections_per_prefix",
            Self::Queries => "queries",
            Self::Idle => "idle",
            Self::Write => "write",
            Self::Total => "total",
        }
    }
}

/// What carries a stream of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Carrier {
    /// DNS over TCP.
    #[default]
    Tcp,
    /// DNS over TLS.
    Tls,
    /// DNS over QUIC.
    Quic,
    /// DNS over HTTPS.
    Https,
    /// The same without TLS, behind a proxy.
    Http,
}

impl Carrier {
    /// Its key in `server`, and its word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// Well.
    Done,
    /// What came was none that is taken.
    Failed,
    /// Not in time.
    TimedOut,
}

/// Counts of the connections of all listeners of a carrier; others read them at any time.
#[derive(Debug, Default)]
pub struct StreamCounts {
    carrier: Carrier,
    open: AtomicU64,
    accepted: AtomicU64,
    refused: [AtomicU64; Limit::ALL.len()],
    closed: [AtomicU64; Limit::ALL.len()],
    accept_failures: AtomicU64,
    introduction_failures: AtomicU64,
    /// By `Handshake`.
    handshakes: [AtomicU64; 3],
    queries: AtomicU64,
    replies: AtomicU64,
}

impl StreamCounts {
    /// All zero.
    pub fn of(carrier: Carrier) -> Self {
        Self { carrier, ..Self::default() }
    }

    /// What carries them.
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Counts a connection that was let in.
    pub fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one that was let in from those that are open.
    pub fn ended(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a connection that was not let in.
    pub fn refused(&self, limit: Limit) {
        self.refused[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was closed because of a limit.
    pub fn closed(&self, limit: Limit) {
        self.closed[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failure to accept for which the machine is to blame, not the peer.
    pub fn accept_failed(&self) {
        self.accept_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection of a proxy that did not tell whose it is.
    pub fn introduction_failed(&self) {
        self.introduction_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections of proxies that did not tell whose they are, since the start.
    pub fn introduction_failures(&self) -> u64 {
        self.introduction_failures.load(Ordering::Relaxed)
    }

    /// Counts a handshake of TLS.
    pub fn shook_hands(&self, ended: Handshake) {
        self.handshakes[ended as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts queries that came, and replies to them that were made.
    pub fn asked(&self, queries: u64, replies: u64) {
        self.queries.fetch_add(queries, Ordering::Relaxed);
        self.replies.fetch_add(replies, Ordering::Relaxed);
    }

    /// Handshakes that ended so, since the start.
    pub fn handshakes(&self, ended: Handshake) -> u64 {
        self.handshakes[ended as usize].load(Ordering::Relaxed)
    }

    /// Queries, since the start.
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// Replies to them, since the start.
    pub fn replies(&self) -> u64 {
        self.replies.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that were let in, since the start.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that the limit kept out, since the start.
    pub fn refused_by(&self, limit: Limit) -> u64 {
        self.refused[limit as usize].load(Ordering::Relaxed)
    }

    /// Connections that the limit ended, since the start.
    pub fn closed_by(&self, limit: Limit) -> u64 {
        self.closed[limit as usize].load(Ordering::Relaxed)
    }

    /// Failures to accept, since the start.
    pub fn accept_failures(&self) -> u64 {
        self.accept_failures.load(Ordering::Relaxed)
    }
}

//! Counts of TCP connections: open ones, and those that a limit ended.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit of TCP, named as its key in `server.tcp`.
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

/// Counts of the TCP connections of all listeners; others read them at any time.
#[derive(Debug, Default)]
pub struct StreamCounts {
    open: AtomicU64,
    accepted: AtomicU64,
    refused: [AtomicU64; Limit::ALL.len()],
    closed: [AtomicU64; Limit::ALL.len()],
    accept_failures: AtomicU64,
}

impl StreamCounts {
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

//! How an inventory stands: what was taken of its lists, what is wrong with them, what waits.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// How an inventory stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryStatus {
    /// Its key in the configuration.
    pub name: String,
    /// Nodes of the lists that were taken.
    pub nodes: usize,
    /// Paths and URLs of the lists that were taken.
    pub sources: Vec<String>,
    /// When the newest of them was written or fetched, in seconds since 1970; none if there is none.
    pub read: Option<u64>,
    /// What is wrong with sources now; an older list of them counts, if there is one.
    pub errors: Vec<String>,
    /// A list that is much shorter than the one that was taken.
    pub pending: Option<PendingStatus>,
    /// If its nodes come by heartbeats: how that is.
    #[serde(default)]
    pub heartbeats: Option<HeartbeatStatus>,
}

/// How heartbeats stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatStatus {
    /// Where they are sent to.
    pub listen: SocketAddr,
    /// Nodes of which none came in the last 30 seconds.
    pub silent: usize,
    /// Nodes that wait to be approved.
    pub waiting: Vec<WaitingStatus>,
}

/// A node that waits to be approved, as it says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingStatus {
    /// Its name.
    pub node: String,
    /// What viewers would be told.
    pub address: IpAddr,
    /// Where its heartbeats come from.
    pub source: IpAddr,
    /// What its media server calls itself.
    pub server: String,
    /// Since when it waits, in seconds since 1970.
    pub since: u64,
    /// When its last heartbeat came, in seconds since 1970.
    pub beat: u64,
    /// The address with which a node of this name was approved.
    pub instead_of: Option<IpAddr>,
}

/// A list that waits to be confirmed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStatus {
    /// Since when it waits, in seconds since 1970.
    pub since: u64,
    /// Nodes that it has.
    pub nodes: usize,
    /// Names of nodes that it lacks.
    pub gone: Vec<String>,
}

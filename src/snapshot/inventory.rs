//! How an inventory stands: what was taken of its lists, what is wrong with them, what waits.

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
    /// A list that does much less than the one that was taken.
    pub pending: Option<PendingStatus>,
}

/// A list that waits to be confirmed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStatus {
    /// Since when it waits, in seconds since 1970.
    pub since: u64,
    /// Nodes that it has.
    pub nodes: usize,
    /// Names of nodes that would lose something by it.
    pub gone: Vec<String>,
    /// What they would lose, in words.
    #[serde(default)]
    pub because: String,
}

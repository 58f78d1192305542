//! Heartbeats of media servers as those who serve and the feed share them: who may send, and how many were not taken.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;

use super::Tokens;
use crate::config;
use crate::load::heartbeat::Heartbeat;

/// The heartbeats of one inventory.
#[derive(Debug)]
pub struct Heartbeats {
    inventory: String,
    terms: ArcSwap<Option<Terms>>,
    taken: AtomicU64,
    refused: [AtomicU64; Unwanted::ALL.len()],
}

/// Whose heartbeats are wanted.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Networks and addresses.
    pub heartbeat: config::Heartbeat,
    /// One of them a heartbeat must have.
    pub tokens: Tokens,
}

/// A heartbeat that may be told to the feed.
#[derive(Debug)]
pub struct Beat {
    /// Of which inventory.
    pub inventory: String,
    /// What it is about: a node's name.
    pub node: String,
    /// What viewers would be told.
    pub address: IpAddr,
    /// Where it came from.
    pub source: IpAddr,
    /// All that it says.
    pub heartbeat: Heartbeat,
    /// When it had come.
    pub at: Instant,
}

/// Why a heartbeat was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwanted {
    /// There are too many connections.
    Connections,
    /// It was too slow, or did not speak HTTP.
    Connection,
    /// It comes from outside `from`.
    Prefix,
    /// It has no token of ours.
    Token,
    /// It is too large.
    TooLarge,
    /// It cannot be read, or names nobody.
    Unreadable,
    /// Its address is not one that viewers may be told.
    Address,
    /// Another one has the name, and is alive.
    Taken,
    /// There are too many nodes, or too many that wait.
    Crowded,
    /// The feed had no time for it.
    Busy,
}

impl Heartbeats {
    /// Of this inventory; nobody may send any before there are terms.
    pub fn new(inventory: String) -> Self {
        Self { inventory, terms: ArcSwap::default(), taken: AtomicU64::new(0), refused: Default::default() }
    }

    /// The inventory's name.
    pub fn inventory(&self) -> &str {
        &self.inventory
    }

    /// Whose are wanted; none = nobody's.
    pub fn terms(&self) -> Arc<Option<Terms>> {
        self.terms.load_full()
    }

    /// These are wanted from now on.
    pub fn set_terms(&self, terms: Option<Terms>) {
        self.terms.store(Arc::new(terms));
    }

    /// Counts one that was taken.
    pub fn take(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that was not.
    pub fn refuse(&self, why: Unwanted) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were taken since the start.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many were not taken for this reason, since the start.
    pub fn refused(&self, why: Unwanted) -> u64 {
        self.refused[why as usize].load(Ordering::Relaxed)
    }
}

impl Unwanted {
    /// All of them, with the words for metrics.
    pub const ALL: [(Self, &str); 10] = [
        (Self::Connections, "connections"),
        (Self::Connection, "connection"),
        (Self::Prefix, "prefix"),
        (Self::Token, "token"),
        (Self::TooLarge, "too_large"),
        (Self::Unreadable, "unreadable"),
        (Self::Address, "address"),
        (Self::Taken, "taken"),
        (Self::Crowded, "crowded"),
        (Self::Busy, "busy"),
    ];
}

impl Terms {
    /// The beat that a heartbeat is, or why it is none: it must name a node, and an address that viewers may be told.
    pub fn beat(&self, inventory: &str, source: IpAddr, heartbeat: Heartbeat) -> Result<Beat, (Unwanted, String)> {
        let said = heartbeat.address;
        let address = if self.heartbeat.is_by_source { Some(source) } else { said };
        let Some(address) = address else {
            let words = "it says no `ip`; `heartbeat.address = \"source\"` takes where it comes from";
            return Err((Unwanted::Address, words.to_owned()));
        };
        let is_named = self.heartbeat.addresses.iter().any(|prefix| prefix.contains(address));
        let is_one_machine = config::is_machine(address) && (is_named || !address.is_loopback());
        if !is_one_machine || !self.heartbeat.may_name(address) {
            let key = if self.heartbeat.addresses.is_empty() { "from" } else { "addresses" };
            let words = format!(
                "viewers may not be told {address}: it is outside `heartbeat.{key}`; widen `addresses`, or choose the \
                 interface with `stats.network` of SRS, or take where it comes from with `address = \"source\"`"
            );
            return Err((Unwanted::Address, words));
        }
        let node = match heartbeat.device.as_str() {
            "" => said.unwrap_or(source).to_string(),
            device => device.to_owned(),
        };
        Ok(Beat { inventory: inventory.to_owned(), node, address, source, heartbeat, at: Instant::now() })
    }
}

impl fmt::Display for Unwanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL[*self as usize].1)
    }
}

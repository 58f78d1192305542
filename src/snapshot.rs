//! The snapshot: everything an answer depends on, frozen and numbered; and the one place where it is replaced.
#![deny(clippy::disallowed_methods)]

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::RateLimit;
use crate::geo::Geo;
use crate::name::{LookupName, MAX_LABELS, SuffixHashes, hash_wire};
use crate::steer::{Fleet, Tables};
use crate::wire::{Identity, Secrets};
use crate::zone::Zone;

mod elsewhere;
mod inventory;

pub use elsewhere::Elsewhere;
pub use inventory::{HeartbeatStatus, InventoryStatus, PendingStatus, WaitingStatus};

/// Everything an answer depends on.
pub struct Snapshot {
    /// Counts the changes of inputs; ticks of the steering do not count.
    pub generation: u64,
    /// The zones.
    pub zones: Arc<Zones>,
    /// The geography.
    pub geo: Arc<Geo>,
    /// What is steered.
    pub fleet: Arc<Fleet>,
    /// Where viewers are sent that a pool has no room for.
    pub elsewhere: Arc<Elsewhere>,
    /// How it is steered.
    pub tables: Arc<Tables>,
    /// The limit of answers over UDP.
    pub rate_limit: Arc<RateLimit>,
    /// Of hashes by which nodes are found; equal on all nameservers.
    pub seed: u64,
    /// Who this server says it is.
    pub identity: Arc<Identity>,
    /// What DNS cookies are made by.
    pub cookies: Secrets,
    /// How the last reading of the inputs went.
    pub inputs: InputStatus,
    /// How lists of nodes stand.
    pub inventories: Arc<[InventoryStatus]>,
}

/// How reading the inputs went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InputStatus {
    /// Changes of inputs that were taken since the start.
    pub reloads: u64,
    /// Changes of inputs of which something was refused since the start.
    pub failures: u64,
    /// The inputs on disk have errors: what is served may be older.
    pub has_errors: bool,
    /// What is served was kept from before the start, for what is on disk is broken.
    pub is_kept: bool,
}

/// The zones that are served.
#[derive(Default)]
pub struct Zones {
    zones: Vec<Arc<Zone>>,
    /// Indices of zones by the hash of the apex; its length is a power of two, `EMPTY` where there is none.
    table: Box<[u32]>,
    /// Bit n: there is a zone whose apex has n labels.
    depths: u128,
}

const EMPTY: u32 = u32::MAX;

impl Zones {
    /// Zones by their apexes, which differ.
    pub fn new(zones: Vec<Arc<Zone>>) -> Self {
        let size = (zones.len() * 2).next_power_of_two().max(2);
        let mut table = vec![EMPTY; size].into_boxed_slice();
        let mut depths = 0;
        for (index, zone) in zones.iter().enumerate() {
            depths |= 1 << zone.apex().label_count();
            let mut at = hash_wire(&zone.apex().lower_wire()) as usize % size;
            while table[at] != EMPTY {
                at = (at + 1) % size;
            }
            table[at] = index as u32;
        }
        Self { zones, table, depths }
    }

    /// The zone with the longest apex of at most `max_labels` labels that the name is at or below.
    #[inline]
    pub fn find(&self, name: &LookupName, hashes: &SuffixHashes, max_labels: usize) -> Option<&Arc<Zone>> {
        let most = name.label_count().min(max_labels).min(MAX_LABELS);
        let mut depths = self.depths & u128::MAX >> (MAX_LABELS - most);
        while depths != 0 {
            let depth = MAX_LABELS - depths.leading_zeros() as usize;
            depths ^= 1 << depth;
            let suffix = name.suffix(depth);
            let mut at = hashes[depth] as usize % self.table.len();
            while let Some(zone) = self.zones.get(self.table[at] as usize) {
                if zone.apex().wire().eq_ignore_ascii_case(suffix) {
                    return Some(zone);
                }
                at = (at + 1) % self.table.len();
            }
        }
        None
    }

    /// All zones.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.zones.iter()
    }
}

/// Where the newest snapshot is to be had: the only door from the feed to those who answer.
pub struct Published {
    store: ArcSwap<Snapshot>,
}

/// A worker's own handle on the newest snapshot: one atomic load while nothing has changed.
pub type Reader<'p> = arc_swap::Cache<&'p ArcSwap<Snapshot>, Arc<Snapshot>>;

impl Published {
    /// Publishes a first snapshot.
    pub fn new(first: Snapshot) -> Self {
        Self { store: ArcSwap::from_pointee(first) }
    }

    /// Replaces the snapshot: queries that have begun keep the old one to their end.
    pub fn publish(&self, snapshot: Snapshot) {
        self.store.store(Arc::new(snapshot));
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.store.load_full()
    }

    /// A handle for a worker that asks often.
    pub fn reader(&self) -> Reader<'_> {
        arc_swap::Cache::new(&self.store)
    }
}

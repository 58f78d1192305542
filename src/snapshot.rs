//! The snapshot: everything an answer depends on, frozen and numbered.
#![deny(clippy::disallowed_methods)]

use std::sync::Arc;

use crate::config::{HttpDns, RateLimit};
use crate::geo::Geo;
use crate::name::{LookupName, MAX_LABELS, Name, hash_wire};
use crate::steer::{Fleet, Tables};
use crate::wire::{Identity, Keys, Secrets};
use crate::zone::Zone;

mod elsewhere;
mod history;
mod inventory;
mod published;
mod secondary;
mod signatures;
mod transfers;
mod turn_keys;
mod url_keys;

pub use elsewhere::Elsewhere;
pub use history::{Difference, History, is_newer, records, split_owner};
pub use inventory::{HeartbeatStatus, InventoryStatus, PendingStatus, WaitingStatus};
pub use published::{Published, Reader};
pub use secondary::{Secondaries, SecondaryStatus};
pub use signatures::{Denied, Notary, Signatures, Steered, addresses, denied};
pub use transfers::{Transfers, ZoneTransfers, transfer_serial};
pub use turn_keys::{Credential, TurnKeys};
pub use url_keys::UrlKeys;

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
    /// What signs it.
    pub signatures: Arc<Signatures>,
    /// The limit of answers over UDP.
    pub rate_limit: Arc<RateLimit>,
    /// Who may ask over HTTP, for whom, and how often.
    pub http_dns: Arc<HttpDns>,
    /// By what requests over HTTP are signed that are for others.
    pub url_keys: UrlKeys,
    /// What credentials for TURN servers are made of.
    pub turn_keys: TurnKeys,
    /// Of hashes by which nodes are found; equal on all nameservers.
    pub seed: u64,
    /// Who this server says it is.
    pub identity: Arc<Identity>,
    /// What DNS cookies are made by.
    pub cookies: Secrets,
    /// By what queries and messages of other servers are known.
    pub keys: Arc<Keys>,
    /// What goes out of zones to other nameservers.
    pub transfers: Arc<Transfers>,
    /// How the last reading of the inputs went.
    pub inputs: InputStatus,
    /// How lists of nodes stand.
    pub inventories: Arc<[InventoryStatus]>,
    /// Zones that come from other servers.
    pub secondaries: Arc<Secondaries>,
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
    /// By the hash of the apex; its length is a power of two.
    table: Box<[ZoneAt]>,
    /// Labels that apexes have, most first.
    depths: Box<[u8]>,
}

/// A place of the open-addressing hash table of apexes.
#[derive(Debug, Clone, Copy)]
struct ZoneAt {
    hash: u32,
    /// Its index; none if the place is free.
    zone: Option<u32>,
}

impl Zones {
    /// Zones by their apexes, which differ.
    pub fn new(zones: Vec<Arc<Zone>>) -> Self {
        let size = (zones.len() * 2).next_power_of_two().max(2);
        let mut table = vec![ZoneAt { hash: 0, zone: None }; size].into_boxed_slice();
        for (zone, index) in zones.iter().zip(0..) {
            let hash = hash_wire(zone.lower_apex());
            let mut at = hash as usize & (size - 1);
            while table[at].zone.is_some() {
                at = (at + 1) & (size - 1);
            }
            table[at] = ZoneAt { hash, zone: Some(index) };
        }
        let mut depths: Vec<u8> = zones.iter().map(|zone| zone.apex_labels() as u8).collect();
        depths.sort_unstable_by(|a, b| b.cmp(a));
        depths.dedup();
        Self { zones, table, depths: depths.into() }
    }

    /// The zone of this name.
    pub fn get(&self, apex: &Name) -> Option<&Arc<Zone>> {
        let name = LookupName::from_wire(&apex.lower_wire());
        self.find(&name, MAX_LABELS).filter(|zone| zone.apex_labels() == name.label_count())
    }

    /// The zone with the longest apex of at most `max_labels` labels that the name is at or below.
    #[inline]
    pub fn find(&self, name: &LookupName, max_labels: usize) -> Option<&Arc<Zone>> {
        let most = name.label_count().min(max_labels);
        for &depth in &self.depths {
            let depth = usize::from(depth);
            if depth > most {
                continue;
            }
            let zone = self.at(name.suffix_hash(depth), name.suffix(depth));
            if zone.is_some() {
                return zone;
            }
        }
        None
    }

    /// The zone with this apex, in lower-case wire form.
    #[inline]
    fn at(&self, hash: u32, apex: &[u8]) -> Option<&Arc<Zone>> {
        // Half of the places are free, so the search ends; without a zone there is no depth to be asked for.
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let place = self.table[at];
            let zone = &self.zones[place.zone? as usize];
            if place.hash == hash && zone.lower_apex() == apex {
                return Some(zone);
            }
            at = (at + 1) & mask;
        }
    }

    /// All zones, those of which there is nothing too.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.zones.iter()
    }

    /// All zones of which there is something.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.zones.iter().filter(|zone| !zone.is_absent())
    }
}

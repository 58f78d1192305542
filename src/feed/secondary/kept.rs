//! Copies kept over restarts: a server that starts while no primary answers begins with the last ones, until they expire.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::copy::Copy;
use super::{Followed, Kept};
use crate::feed::parts::share;
use crate::feed::state::{Keeper, Store};
use crate::name::Name;

/// The file that says when each copy was vouched for.
const CONFIRMED: &str = "transfers";
/// How the names of copies begin.
const ZONE: &str = "zone-";
/// Octets of a zone's name in that of a file; file systems take 255.
const MAX_NAME: usize = 200;

/// As it is written, by zone.
type Confirmed = BTreeMap<String, Vouched>;

#[derive(Serialize, Deserialize)]
struct Vouched {
    /// The copy's.
    serial: u32,
    /// Seconds since 1970.
    at: u64,
}

/// What an earlier run kept.
pub(in crate::feed) fn restore(store: &Store) -> Kept {
    let vouched: Confirmed = store
        .load(CONFIRMED)
        .and_then(|octets| serde_json::from_slice(&octets).inspect_err(|error| store.set_aside(CONFIRMED, error)).ok())
        .unwrap_or_default();
    let mut kept = Kept::default();
    for file in store.names(ZONE) {
        let text = store.load(&file).and_then(|octets| String::from_utf8(octets).ok());
        let Some(copy) = text.and_then(Copy::of_text) else {
            store.set_aside(&file, &"it is no copy of a zone");
            continue;
        };
        let last = vouched.get(&copy.zone.to_string()).filter(|vouched| vouched.serial == copy.soa.serial);
        let at = last.map_or(copy.at, |vouched| vouched.at.max(copy.at));
        kept.insert(copy.zone.clone(), (Arc::new(copy), at));
    }
    kept
}

impl Followed {
    /// Writes down a copy that is new.
    pub(super) fn keep_copy(&self, keeper: &Keeper, copy: &Copy) {
        keeper.save_zone(&file_of(&copy.zone), copy.source.clone());
    }

    /// Writes down when copies were vouched for.
    pub(super) fn keep_confirmed(&self, keeper: &Keeper) {
        let vouched = |(name, zone): (&Name, &super::Zone)| {
            let serial = zone.held.as_ref()?.soa.serial;
            Some((name.to_string(), Vouched { serial, at: zone.confirmed? }))
        };
        let all: Confirmed = self.zones.iter().filter_map(vouched).collect();
        match serde_json::to_vec(&all) {
            Ok(octets) => keeper.save(CONFIRMED, octets),
            Err(error) => tracing::error!(%error, "when zones were vouched for cannot be written down"),
        }
    }
}

/// The file of a zone: its name, what no file's name has as two digits.
fn file_of(zone: &Name) -> String {
    let mut file = ZONE.to_owned();
    for octet in zone.to_string().to_ascii_lowercase().bytes() {
        match octet {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => file.push(char::from(octet)),
            other => file.push_str(&format!("%{other:02x}")),
        }
    }
    // The longest ones are told apart by what the rest is, not by what it says.
    if file.len() > MAX_NAME {
        let rest = file.split_off(MAX_NAME);
        file.push_str(&format!("%{:016x}", share(&rest)));
    }
    file
}

//! What goes out of each zone to other nameservers: who may have it, and what changed since older versions.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Zones;
use super::history::History;
use crate::config::{Allow, Outward};
use crate::name::Name;
use crate::zone::Zone;

/// Zones that may be transferred.
#[derive(Debug, Default)]
pub struct Transfers {
    /// By apex.
    zones: BTreeMap<Name, ZoneTransfers>,
}

/// How one zone may be transferred.
#[derive(Debug, Clone)]
pub struct ZoneTransfers {
    /// Whoever one of these fits may have it.
    allow: Arc<[Allow]>,
    /// What changed since older versions.
    pub history: Arc<History>,
}

impl Transfers {
    /// Transfers of these zones; what is known of older versions goes on where `previous` zones were these.
    pub fn new<'o>(
        outward: impl IntoIterator<Item = &'o Outward>,
        zones: &Zones,
        previous: Option<(&Self, &Zones)>,
    ) -> Self {
        let mut made = BTreeMap::new();
        for Outward { zone: apex, allow, notify: _ } in outward {
            let Some(zone) = zones.get(apex) else { continue };
            let before = previous.and_then(|(transfers, zones)| Some((transfers.get(apex)?, zones.get(apex)?)));
            let history = match before {
                Some((known, old)) if Arc::ptr_eq(old, zone) => Arc::clone(&known.history),
                Some((known, old)) => Arc::new(known.history.followed_by(old, zone)),
                None => Arc::default(),
            };
            let allow = allow.iter().map(|written| written.value.clone()).collect();
            made.insert(apex.clone(), ZoneTransfers { allow, history });
        }
        Self { zones: made }
    }

    /// The same with histories that were kept.
    pub fn with_histories(&self, mut kept: impl FnMut(&Name) -> Option<History>) -> Self {
        let zones = self.zones.iter().map(|(apex, known)| {
            let history = kept(apex).map_or_else(|| Arc::clone(&known.history), Arc::new);
            (apex.clone(), ZoneTransfers { history, ..known.clone() })
        });
        Self { zones: zones.collect() }
    }

    /// How a zone may be transferred; not at all if there is nothing.
    pub fn get(&self, apex: &Name) -> Option<&ZoneTransfers> {
        self.zones.get(apex)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &ZoneTransfers)> {
        self.zones.iter()
    }
}

impl ZoneTransfers {
    /// Whether whoever asks from there, with this key, may have the zone.
    pub fn are_allowed(&self, from: IpAddr, key: Option<&Name>) -> bool {
        let fits = |allow: &Allow| {
            allow.from.is_none_or(|prefix| prefix.contains(from.to_canonical()))
                && (allow.key.is_none() || allow.key.as_ref() == key)
        };
        self.allow.iter().any(fits)
    }
}

/// The serial by which secondaries know a zone: that of its file, as long as it is not signed here.
pub fn transfer_serial(zone: &Zone) -> u32 {
    zone.serial()
}

//! Zones that come from other servers: who may say that there is something new, and how they stand.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::config::Secondary;
use crate::name::Name;

/// Zones that come from other servers, by their apexes in lower-case wire form.
#[derive(Debug, Clone, Default)]
pub struct Secondaries(BTreeMap<Box<[u8]>, Known>);

#[derive(Debug, Clone)]
struct Known {
    name: Name,
    primaries: Box<[IpAddr]>,
    /// In lower-case wire form.
    key: Option<Box<[u8]>>,
    status: SecondaryStatus,
}

/// How such a zone stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SecondaryStatus {
    /// The serial of what is held.
    pub serial: Option<u32>,
    /// When a primary last vouched for it, in seconds since 1970.
    pub confirmed: Option<u64>,
    /// Transfers since the start: of the whole zone, and of what had changed in it.
    pub transfers: [u64; 2],
    /// It has come, and has not expired.
    pub is_served: bool,
}

impl Secondaries {
    /// These, with how they stand.
    pub fn new<'a>(zones: impl Iterator<Item = (&'a Secondary, SecondaryStatus)>) -> Self {
        let known = |(zone, status): (&Secondary, SecondaryStatus)| {
            let Secondary { name, primaries, key } = zone;
            let primaries = primaries.iter().map(SocketAddr::ip).collect();
            let key = key.as_ref().map(Name::lower_wire);
            (name.lower_wire(), Known { name: name.clone(), primaries, key, status })
        };
        Self(zones.map(known).collect())
    }

    /// Whether the zone of this apex comes from other servers, and one at this address, or with this key, is among them
    /// (RFC 1996 §3.10, RFC 8945 §8).
    pub fn is_primary(&self, apex: &[u8], address: IpAddr, key: Option<&[u8]>) -> Option<bool> {
        let Known { primaries, key: expected, .. } = self.0.get(apex)?;
        Some(primaries.contains(&address) || expected.as_deref().is_some_and(|expected| key == Some(expected)))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &SecondaryStatus)> {
        self.0.values().map(|known| (&known.name, &known.status))
    }
}

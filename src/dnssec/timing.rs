//! When keys are in their zone and when they sign: the timing metadata of key directories (RFC 7583).

use std::sync::Arc;

use super::key::{Role, SigningKey};
use super::signature::{Lifetime, Signer};

/// The times of a key, in seconds since 1970; what is none never comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Times {
    /// When it was made.
    pub created: Option<u64>,
    /// From when on it is in the zone.
    pub publish: Option<u64>,
    /// From when on it signs.
    pub activate: Option<u64>,
    /// From when on it signs no more.
    pub inactive: Option<u64>,
    /// From when on it is in the zone no more.
    pub delete: Option<u64>,
    /// From when on the zone tells its parent to point at it (RFC 7344).
    pub sync_publish: Option<u64>,
    /// From when on it does not any more.
    pub sync_delete: Option<u64>,
}

impl Times {
    /// Whether it is in the zone.
    pub fn is_published(&self, now: u64) -> bool {
        holds(self.publish, self.delete, now)
    }

    /// Whether it signs.
    pub fn is_active(&self, now: u64) -> bool {
        self.is_published(now) && holds(self.activate, self.inactive, now)
    }

    /// Whether the zone tells its parent to point at it.
    pub fn is_synced(&self, now: u64) -> bool {
        holds(self.sync_publish, self.sync_delete, now)
    }

    /// The next time at which something changes.
    pub fn next(&self, now: u64) -> Option<u64> {
        let Self { created: _, publish, activate, inactive, delete, sync_publish, sync_delete } = *self;
        [publish, activate, inactive, delete, sync_publish, sync_delete]
            .into_iter()
            .flatten()
            .filter(|time| *time > now)
            .min()
    }
}

fn holds(from: Option<u64>, until: Option<u64>, now: u64) -> bool {
    from.is_some_and(|from| from <= now) && until.is_none_or(|until| now < until)
}

/// The keys of a zone with their times.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    /// In the order of their tags.
    pub keys: Vec<(Arc<SigningKey>, Times)>,
    /// How many there are besides that cannot be used: without them the set is not what somebody meant.
    pub unusable: usize,
}

/// Why the keys of a zone cannot sign it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// So many keys cannot be used: what they alone can sign would fail.
    Unusable(usize),
    /// No key signs keys, of which at least one is that which the parent points at.
    NoKeySigningKey,
}

impl KeySet {
    /// The data of the DNSKEY records.
    pub fn published(&self, now: u64) -> Vec<&Arc<SigningKey>> {
        self.those(|times| times.is_published(now)).collect()
    }

    /// Keys that the parent is to point at.
    pub fn synced(&self, now: u64) -> Vec<&Arc<SigningKey>> {
        self.those(|times| times.is_synced(now)).filter(|key| key.role() == Role::KeySigning).collect()
    }

    /// What signs.
    pub fn signer(&self, apex: &[u8], lifetime: Lifetime, now: u64) -> Result<Signer, Unsigned> {
        if self.unusable > 0 {
            return Err(Unsigned::Unusable(self.unusable));
        }
        let active: Vec<_> = self.those(|times| times.is_active(now)).cloned().collect();
        if active.iter().all(|key| key.role() == Role::ZoneSigning) {
            return Err(Unsigned::NoKeySigningKey);
        }
        Ok(Signer::new(apex, active, lifetime))
    }

    /// A key that the parent may point at, which is in the zone by what was known of it and is here no more.
    pub fn lost<'b>(&self, before: &'b Self, now: u64) -> Option<&'b SigningKey> {
        let is_here = |key: &SigningKey| self.keys.iter().any(|(here, _)| here.dnskey() == key.dnskey());
        let mut pointed_at = before.those(|times| times.is_published(now)).filter(|key| key.role() == Role::KeySigning);
        pointed_at.find(|key| !is_here(key)).map(|key| &**key)
    }

    /// The next time at which something changes.
    pub fn next(&self, now: u64) -> Option<u64> {
        self.keys.iter().filter_map(|(_, times)| times.next(now)).min()
    }

    fn those(&self, are: impl Fn(&Times) -> bool) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.keys.iter().filter(move |(_, times)| are(times)).map(|(key, _)| key)
    }
}

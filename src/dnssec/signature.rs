//! Signatures: RRSIG records of RRsets (RFC 4034 §3).

use std::sync::Arc;

use super::key::{Role, SIGNATURE, SigningKey};
use crate::name::labels;
use crate::wire::{CLASS_IN, RecordType, ready_record};

/// How long before now signatures count already, in seconds: clocks of validators differ.
const SKEW: u64 = 3_600;
/// Moments over which the ends of signatures that are made together are spread, so that they are not renewed together.
const MOMENTS: u64 = 8;

/// From when to when a signature counts, in seconds since 1970, in the 32 bits of RFC 4034 §3.1.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From when on.
    pub inception: u32,
    /// Until when.
    pub expiration: u32,
}

/// How long signatures count, and when they are made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// How long they count, in seconds.
    pub validity: u64,
    /// How long before their end they are made anew, in seconds.
    pub refresh: u64,
}

impl Lifetime {
    /// From when to when a signature counts that is made now; `mark` spreads the ends of those that are made together.
    pub fn from(self, now: u64, mark: u64) -> Validity {
        let earlier = mark % MOMENTS * self.moment();
        Validity { inception: now.saturating_sub(SKEW) as u32, expiration: (now + self.validity - earlier) as u32 }
    }

    /// Seconds between two of the moments at which signatures are renewed.
    fn moment(self) -> u64 {
        self.validity.saturating_sub(self.refresh) / (2 * MOMENTS)
    }

    /// Whether a signature counts already, which it does not if a clock that was ahead has made it, and for a while yet.
    pub fn is_fresh(self, signature: Validity, now: u64) -> bool {
        let Validity { inception, expiration } = signature;
        // What would be due soon is renewed with the others.
        u64::from(inception) <= now && u64::from(expiration) > now + self.refresh + self.moment() / 2
    }
}

impl Validity {
    /// Of a signature that has ended, and of none.
    pub const OVER: Self = Self { inception: 0, expiration: 0 };

    /// Of a signature, by the data of its RRSIG record (RFC 4034 §3.1.5).
    pub fn of_rdata(rdata: &[u8]) -> Option<Self> {
        let time = |at: usize| rdata.get(at..at + 4)?.first_chunk().map(|octets| u32::from_be_bytes(*octets));
        Some(Self { expiration: time(8)?, inception: time(12)? })
    }
}

/// An RRset as it is signed (RFC 4034 §6.3).
#[derive(Debug, Clone)]
pub struct Canonical<'r> {
    /// Its owner in lower-case wire form; a wildcard as it is.
    pub owner: &'r [u8],
    /// The type.
    pub rtype: RecordType,
    /// The TTL that validators hold the TTL of the answer against.
    pub ttl: u32,
    /// The data of its records in their canonical form, in their order, each once.
    pub rdata: Vec<Box<[u8]>>,
}

/// What signs a zone.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The zone's name in lower-case wire form.
    apex: Box<[u8]>,
    keys: Arc<[Arc<SigningKey>]>,
    lifetime: Lifetime,
}

impl<'r> Canonical<'r> {
    /// Of data in canonical form, in any order.
    pub fn new(owner: &'r [u8], rtype: RecordType, ttl: u32, mut rdata: Vec<Box<[u8]>>) -> Self {
        rdata.sort_unstable();
        rdata.dedup();
        Self { owner, rtype, ttl, rdata }
    }

    /// Appends what is signed besides the signature's own data.
    fn write(&self, octets: &mut Vec<u8>) {
        for rdata in &self.rdata {
            octets.extend_from_slice(self.owner);
            octets.extend(self.rtype.0.to_be_bytes());
            octets.extend(CLASS_IN.to_be_bytes());
            octets.extend(self.ttl.to_be_bytes());
            octets.extend((rdata.len() as u16).to_be_bytes());
            octets.extend_from_slice(rdata);
        }
    }
}

impl Signer {
    /// With these keys, for the zone whose name is given in lower-case wire form.
    pub fn new(apex: &[u8], keys: Vec<Arc<SigningKey>>, lifetime: Lifetime) -> Self {
        Self { apex: apex.into(), keys: keys.into(), lifetime }
    }

    /// How long its signatures count.
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// The zone's name in lower-case wire form.
    pub fn apex(&self) -> &[u8] {
        &self.apex
    }

    /// Whether the other signs with the same keys, for the same time.
    pub fn is_like(&self, other: &Self) -> bool {
        let tags = |signer: &Self| signer.keys.iter().map(|key| key.dnskey().to_vec()).collect::<Vec<_>>();
        self.lifetime == other.lifetime && self.apex == other.apex && tags(self) == tags(other)
    }

    /// The keys.
    pub fn keys(&self) -> &[Arc<SigningKey>] {
        &self.keys
    }

    /// The keys that sign an RRset of this type at the apex or below: those for keys sign keys (RFC 4035 §2.2) and what they tell
    /// the parent (RFC 7344 §4.1), the others all else. Where there is only one sort, that signs everything.
    pub fn keys_for(&self, rtype: RecordType) -> impl Iterator<Item = &Arc<SigningKey>> {
        let role = match rtype {
            RecordType::DNSKEY | RecordType::CDS | RecordType::CDNSKEY => Role::KeySigning,
            _ => Role::ZoneSigning,
        };
        self.keys.iter().filter(move |key| {
            let has_other =
                || self.keys.iter().any(|other| other.algorithm() == key.algorithm() && other.role() == role);
            key.role() == role || !has_other()
        })
    }

    /// The data of the RRSIG record of an RRset by a key; none if the system has no chance left.
    pub fn sign(&self, key: &SigningKey, rrset: &Canonical<'_>, validity: Validity) -> Option<Vec<u8>> {
        let mut octets = self.head(key, rrset, validity);
        let head = octets.len();
        rrset.write(&mut octets);
        let signature: [u8; SIGNATURE] = key.sign(&octets)?;
        octets.truncate(head);
        octets.extend(signature);
        Some(octets)
    }

    /// What tells an RRset and the key that signs it from all others: what is signed, but without times.
    pub fn unsigned(&self, key: &SigningKey, rrset: &Canonical<'_>) -> Vec<u8> {
        let mut octets = self.head(key, rrset, Validity::OVER);
        rrset.write(&mut octets);
        octets.extend_from_slice(key.dnskey());
        octets
    }

    /// The RRSIG records of an RRset by all keys that sign its type, ready to be copied into replies; and how many they are.
    pub fn sign_ready(&self, rrset: &Canonical<'_>, validity: Validity) -> (u16, Vec<u8>) {
        let signatures = self.keys_for(rrset.rtype).filter_map(|key| self.sign(key, rrset, validity));
        let mut count = 0;
        let mut ready = Vec::new();
        for rdata in signatures {
            ready.extend(ready_record(RecordType::RRSIG, CLASS_IN, rrset.ttl, &rdata));
            count += 1;
        }
        (count, ready)
    }

    /// The data of an RRSIG record but for the signature itself (RFC 4034 §3.1).
    fn head(&self, key: &SigningKey, rrset: &Canonical<'_>, validity: Validity) -> Vec<u8> {
        let labels = labels(rrset.owner).count() - usize::from(rrset.owner.starts_with(b"\x01*"));
        let mut octets =
            Vec::with_capacity(18 + self.apex.len() + SIGNATURE + rrset.rdata.len() * (rrset.owner.len() + 32));
        octets.extend(rrset.rtype.0.to_be_bytes());
        octets.extend([key.algorithm() as u8, labels as u8]);
        octets.extend(rrset.ttl.to_be_bytes());
        octets.extend(validity.expiration.to_be_bytes());
        octets.extend(validity.inception.to_be_bytes());
        octets.extend(key.tag().to_be_bytes());
        octets.extend_from_slice(&self.apex);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_of_a_clock_that_was_ahead_are_not_kept() {
        let lifetime = Lifetime { validity: 14 * 86_400, refresh: 5 * 86_400 };
        let now = 1_800_000_000;
        for mark in 0..MOMENTS {
            let made = lifetime.from(now, mark);
            assert!(lifetime.is_fresh(made, now) && lifetime.is_fresh(made, now - 60), "clocks are set back a little");
            assert!(!lifetime.is_fresh(made, now + lifetime.validity - lifetime.refresh));
            for ahead in [2 * 3_600, 86_400, 5 * 86_400, 30 * 86_400] {
                assert!(!lifetime.is_fresh(made, now - ahead), "{ahead} s ahead, mark {mark}");
            }
        }
    }
}

//! Keys of TSIG: what two servers share, and by which each knows that a message comes from the other.

use std::fmt;
use std::sync::Arc;

use ring::hmac;

use crate::name::Name;

/// How MACs are made of a key and a message (RFC 8945 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-1, for peers that know nothing better.
    Sha1,
    /// HMAC with SHA-256.
    Sha256,
    /// HMAC with SHA-384.
    Sha384,
    /// HMAC with SHA-512.
    Sha512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its word in configurations, which is its name on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }

    /// The algorithm of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.word().eq_ignore_ascii_case(word))
    }

    /// Octets of a whole MAC.
    pub(super) fn mac_length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Its name in wire form: one label.
    pub(super) fn wire(self) -> &'static [u8] {
        match self {
            Self::Sha1 => b"\x09hmac-sha1\0",
            Self::Sha256 => b"\x0bhmac-sha256\0",
            Self::Sha384 => b"\x0bhmac-sha384\0",
            Self::Sha512 => b"\x0bhmac-sha512\0",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// A key, which can sign and check; what it is made of is never shown.
pub struct TsigKey {
    name: Name,
    /// The name in lower-case wire form (RFC 8945 §4.3.3).
    pub(super) lower: Box<[u8]>,
    algorithm: Algorithm,
    pub(super) hmac: hmac::Key,
}

impl TsigKey {
    /// A key of this name, made of the secret.
    pub fn new(name: Name, algorithm: Algorithm, secret: &[u8]) -> Self {
        let lower = name.lower_wire();
        Self { name, lower, algorithm, hmac: hmac::Key::new(algorithm.hmac(), secret) }
    }

    /// Its name, by which messages say which key signed them.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// How it makes MACs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm.word(), self.name)
    }
}

/// The keys that are known here.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// By name in lower-case wire form.
    keys: Box<[Arc<TsigKey>]>,
}

impl Keys {
    /// Keys of different names.
    pub fn new(keys: impl IntoIterator<Item = TsigKey>) -> Self {
        let mut keys: Vec<_> = keys.into_iter().map(Arc::new).collect();
        keys.sort_by(|a, b| a.lower.cmp(&b.lower));
        Self { keys: keys.into() }
    }

    /// The key of a name.
    pub fn get(&self, name: &Name) -> Option<&Arc<TsigKey>> {
        self.find(&name.lower_wire())
    }

    /// The key of a name in lower-case wire form.
    pub(super) fn find(&self, lower: &[u8]) -> Option<&Arc<TsigKey>> {
        let at = self.keys.binary_search_by(|key| (*key.lower).cmp(lower)).ok()?;
        Some(&self.keys[at])
    }
}

//! Seals: by what octets are known again that were read before.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use siphasher::sip128::SipHasher13;

/// 128 bits that stand for octets: two different inputs have the same ones once in 3·10³⁸ times.
///
/// A file is read again to know whether it is as it was, and not judged by its size and times: what is written twice within
/// one tick of the file system's clock (4 ms, on some a second) may look the same. To read and to hash 50 MB takes 50 ms, and
/// making a zone of them a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Seal(u128);

impl Seal {
    /// That of these octets; another one in each run of the program.
    pub(super) fn of(octets: &[u8]) -> Self {
        // A hash with a key that nobody knows: whoever writes zone files cannot look for two that are taken for one.
        static KEYS: LazyLock<[u64; 2]> = LazyLock::new(|| [0, 1].map(|index| RandomState::new().hash_one(index)));
        let [first, second] = *KEYS;
        Self(SipHasher13::new_with_keys(first, second).hash(octets).as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_octets_have_another_seal() {
        assert_eq!(Seal::of(b"a zone"), Seal::of(b"a zone"));
        for other in [&b"a zonf"[..], b"a zone\0", b"a zon", b""] {
            assert_ne!(Seal::of(b"a zone"), Seal::of(other));
        }
    }
}

//! Hashes of names for NSEC3 (RFC 5155).

use std::fmt;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

/// Octets of a hash by SHA-1, the only algorithm that there is.
const LENGTH: usize = 20;
/// The algorithm's number (RFC 5155 §11).
const SHA1: u8 = 1;

/// The hash of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; LENGTH]);

/// How names are hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// How often beyond the first time.
    iterations: u16,
    salt: Box<[u8]>,
}

impl Hash {
    /// Reads the first label of the owner of an NSEC3 record: base 32 with the extended hex alphabet (RFC 4648 §7).
    pub fn of_label(label: &[u8]) -> Option<Self> {
        let mut hash = [0; LENGTH];
        if label.len() != LENGTH / 5 * 8 {
            return None;
        }
        for (digits, octets) in label.chunks(8).zip(hash.chunks_mut(5)) {
            let mut value = 0u64;
            for &digit in digits {
                value = value << 5 | u64::from(char::from(digit).to_digit(32)?);
            }
            octets.copy_from_slice(&value.to_be_bytes()[3..]);
        }
        Some(Self(hash))
    }
}

/// As the first label of an NSEC3 record's owner.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octets in self.0.chunks(5) {
            let value = octets.iter().fold(0u64, |value, octet| value << 8 | u64::from(*octet));
            for digit in (0..8).rev() {
                let digit = (value >> (5 * digit) & 31) as u32;
                write!(f, "{}", char::from_digit(digit, 32).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

impl Parameters {
    /// Reads the data of an NSEC3PARAM record, with which those of NSEC3 records begin; none for algorithms that are not known.
    pub fn read(rdata: &[u8]) -> Option<Self> {
        let &[SHA1, _, i0, i1, length, ref salt @ ..] = rdata else { return None };
        let salt = salt.get(..usize::from(length))?;
        Some(Self { iterations: u16::from_be_bytes([i0, i1]), salt: salt.into() })
    }

    /// The hash of a name in lower-case wire form (RFC 5155 §5).
    pub fn hash(&self, name: &[u8]) -> Hash {
        let digest = |octets: &[u8]| {
            let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
            context.update(octets);
            context.update(&self.salt);
            context.finish()
        };
        let mut hash = digest(name);
        for _ in 0..self.iterations {
            hash = digest(hash.as_ref());
        }
        let mut octets = [0; LENGTH];
        octets.copy_from_slice(hash.as_ref());
        Hash(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    #[test]
    fn names_have_the_hashes_of_rfc_5155() {
        // RFC 5155, appendix A: 12 more iterations, salt AABBCCDD.
        let parameters = Parameters::read(&[1, 0, 0, 12, 4, 0xaa, 0xbb, 0xcc, 0xdd]).unwrap();
        for (name, hash) in [
            ("example.", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a.example.", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("*.w.example.", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
        ] {
            let name = Name::parse(name, None).unwrap();
            assert_eq!(Some(parameters.hash(&name.lower_wire())), Hash::of_label(hash.as_bytes()), "{name}");
        }
    }
}

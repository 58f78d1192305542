//! Keys that sign zones: ECDSA P-256 (RFC 6605) and Ed25519 (RFC 8080).

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

/// Octets of a signature, by either algorithm.
pub const SIGNATURE: usize = 64;
/// Octets of a private key, by either algorithm.
const PRIVATE: usize = 32;
/// Marks an uncompressed point of a curve, as `ring` wants it (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;
/// The protocol of all DNSKEY records (RFC 4034 §2.1.2).
const PROTOCOL: u8 = 3;
/// The flags of a key that signs a zone (RFC 4034 §2.1.1).
const ZONE: u16 = 0x0100;
/// The flag of a key that the parent zone points at (RFC 4034 §2.1.1).
const SECURE_ENTRY_POINT: u16 = 0x0001;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Algorithm {
    /// ECDSA P-256 with SHA-256.
    EcdsaP256 = 13,
    /// Ed25519.
    Ed25519 = 15,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It signs the zone's keys, and the parent points at it; where there is no other, it signs all else too.
    KeySigning,
    /// It signs all but the keys.
    ZoneSigning,
}

/// The octets of a key pair.
#[derive(Clone)]
pub struct KeyMaterial {
    /// How it signs.
    pub algorithm: Algorithm,
    /// What it is for.
    pub role: Role,
    /// What everybody may know: a point without its first octet, or the key of Ed25519.
    pub public: Box<[u8]>,
    /// What nobody else may.
    pub private: Box<[u8]>,
}

/// A key that can sign.
pub struct SigningKey {
    algorithm: Algorithm,
    role: Role,
    tag: u16,
    dnskey: Box<[u8]>,
    pair: Pair,
}

enum Pair {
    EcdsaP256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The two halves of a key do not belong together, or are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMismatch;

impl Algorithm {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::EcdsaP256, Self::Ed25519];

    /// The one with this number.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| *algorithm as u8 == number)
    }

    /// Its mnemonic (the IANA registry of DNSSEC algorithm numbers).
    pub fn mnemonic(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ECDSAP256SHA256",
            Self::Ed25519 => "ED25519",
        }
    }
}

impl Role {
    /// The flags of its DNSKEY record.
    pub fn flags(self) -> u16 {
        match self {
            Self::KeySigning => ZONE | SECURE_ENTRY_POINT,
            Self::ZoneSigning => ZONE,
        }
    }

    /// The one with these flags, if keys with them sign zones.
    pub fn of(flags: u16) -> Option<Self> {
        [Self::KeySigning, Self::ZoneSigning].into_iter().find(|role| role.flags() == flags)
    }

    /// What operators call such a key.
    pub fn word(self) -> &'static str {
        match self {
            Self::KeySigning => "KSK",
            Self::ZoneSigning => "ZSK",
        }
    }
}

impl fmt::Display for KeyMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the private key is none of the algorithm, or does not belong to the public one")
    }
}

impl KeyMaterial {
    /// A new key, by chance.
    pub fn generate(algorithm: Algorithm, role: Role) -> Result<Self, KeyMismatch> {
        let random = SystemRandom::new();
        let (private, public) = match algorithm {
            Algorithm::Ed25519 => {
                let seed: [u8; PRIVATE] = ring::rand::generate(&random).map_err(|_| KeyMismatch)?.expose();
                let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyMismatch)?;
                (seed.into(), pair.public_key().as_ref().into())
            }
            Algorithm::EcdsaP256 => {
                let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                let document = document.map_err(|_| KeyMismatch)?;
                let (private, public) = halves(document.as_ref()).ok_or(KeyMismatch)?;
                (private.into(), public.into())
            }
        };
        Ok(Self { algorithm, role, public, private })
    }

    /// The data of its DNSKEY record (RFC 4034 §2.1).
    pub fn dnskey(&self) -> Box<[u8]> {
        let [f0, f1] = self.role.flags().to_be_bytes();
        [&[f0, f1, PROTOCOL, self.algorithm as u8], &*self.public].concat().into()
    }
}

/// The private and the public half of the document that `ring` makes for a P-256 key (RFC 5208, RFC 5915): an octet string of
/// 32 octets in it, and a bit string at its end.
fn halves(document: &[u8]) -> Option<(&[u8], &[u8])> {
    const PRIVATE_MARK: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = document.windows(PRIVATE_MARK.len()).position(|octets| octets == PRIVATE_MARK)? + PRIVATE_MARK.len();
    let private = document.get(at..at + PRIVATE)?;
    let public = document.get(document.len().checked_sub(2 * PRIVATE + 1)?..)?;
    (public[0] == UNCOMPRESSED).then_some((private, &public[1..]))
}

impl SigningKey {
    /// Of its octets.
    pub fn new(material: &KeyMaterial) -> Result<Self, KeyMismatch> {
        let KeyMaterial { algorithm, role, public, private } = material;
        let pair = match algorithm {
            Algorithm::EcdsaP256 => {
                let point = [&[UNCOMPRESSED], &**public].concat();
                let random = SystemRandom::new();
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    private,
                    &point,
                    &random,
                );
                Pair::EcdsaP256(pair.map_err(|_| KeyMismatch)?)
            }
            Algorithm::Ed25519 => {
                Pair::Ed25519(Ed25519KeyPair::from_seed_and_public_key(private, public).map_err(|_| KeyMismatch)?)
            }
        };
        let dnskey = material.dnskey();
        Ok(Self { algorithm: *algorithm, role: *role, tag: key_tag(&dnskey), dnskey, pair })
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its tag.
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// The data of its DNSKEY record.
    pub fn dnskey(&self) -> &[u8] {
        &self.dnskey
    }

    /// Signs octets. What ECDSA makes of the same octets is another signature each time.
    pub(super) fn sign(&self, octets: &[u8]) -> Option<[u8; SIGNATURE]> {
        match &self.pair {
            // It fails only where the system has no chance left.
            Pair::EcdsaP256(pair) => pair.sign(&SystemRandom::new(), octets).ok()?.as_ref().try_into().ok(),
            Pair::Ed25519(pair) => pair.sign(octets).as_ref().try_into().ok(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.role.word(), self.algorithm.mnemonic(), self.tag)
    }
}

/// The tag of a DNSKEY record by its data (RFC 4034, appendix B).
pub fn key_tag(dnskey: &[u8]) -> u16 {
    let sum: u32 = dnskey.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    (sum + (sum >> 16)) as u16
}

/// The data of the DS record of a key, by SHA-256 (RFC 4509), for a zone whose name is given in lower-case wire form.
pub fn delegation_signer(apex: &[u8], dnskey: &[u8]) -> Vec<u8> {
    const SHA256: u8 = 2;
    let digest = ring::digest::digest(&ring::digest::SHA256, &[apex, dnskey].concat());
    let [t0, t1] = key_tag(dnskey).to_be_bytes();
    [&[t0, t1, dnskey.get(3).copied().unwrap_or(0), SHA256], digest.as_ref()].concat()
}

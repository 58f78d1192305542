//! What is kept of a signed zone: signatures, so that only what has changed is signed again, and the serial number.

use std::collections::HashMap;

use ring::digest::{Context, SHA256};

/// Octets of a digest: more than enough to tell all RRsets of a zone apart.
const LENGTH: usize = 16;
/// What a file of it begins with.
const MAGIC: &[u8; 8] = b"thalwS01";

/// By what an RRset and the key that signs it are told from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; LENGTH]);

/// What is kept of a zone that was signed.
#[derive(Debug)]
pub struct Kept {
    /// The serial number that was last sent.
    pub(super) serial: u32,
    /// Of all the zone had but for its SOA record.
    pub(super) content: Digest,
    /// The data of RRSIG records by what they sign.
    pub(super) signatures: HashMap<Digest, Box<[u8]>>,
}

/// Takes in octets one after the other.
pub(super) struct Digester(Context);

impl Digester {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(super) fn take(&mut self, octets: &[u8]) {
        self.0.update(&(octets.len() as u64).to_be_bytes());
        self.0.update(octets);
    }

    pub(super) fn finish(self) -> Digest {
        let mut digest = [0; LENGTH];
        digest.copy_from_slice(&self.0.finish().as_ref()[..LENGTH]);
        Digest(digest)
    }
}

impl Digest {
    pub(super) fn of(octets: &[u8]) -> Self {
        let mut digester = Digester::new();
        digester.take(octets);
        digester.finish()
    }

    /// An even number.
    pub(super) fn mark(self) -> u64 {
        self.0.first_chunk().map_or(0, |octets| u64::from_be_bytes(*octets))
    }
}

impl Kept {
    /// What a file of it holds.
    pub fn to_octets(&self) -> Vec<u8> {
        let mut octets = MAGIC.to_vec();
        octets.extend(self.serial.to_be_bytes());
        octets.extend(self.content.0);
        for (digest, rdata) in &self.signatures {
            octets.extend(digest.0);
            octets.extend((rdata.len() as u16).to_be_bytes());
            octets.extend_from_slice(rdata);
        }
        let sum = Digest::of(&octets);
        octets.extend(sum.0);
        octets
    }

    /// Reads what a file of it holds; none if it is not whole.
    pub fn of_octets(octets: &[u8]) -> Option<Self> {
        let (body, sum) = octets.split_last_chunk::<LENGTH>()?;
        if Digest::of(body).0 != *sum {
            return None;
        }
        let rest = body.strip_prefix(MAGIC)?;
        let (serial, rest) = rest.split_first_chunk()?;
        let (content, mut rest) = rest.split_first_chunk()?;
        let mut signatures = HashMap::new();
        while !rest.is_empty() {
            let (digest, after) = rest.split_first_chunk()?;
            let (length, after) = after.split_first_chunk()?;
            let (rdata, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            signatures.insert(Digest(*digest), rdata.into());
            rest = after;
        }
        Some(Self { serial: u32::from_be_bytes(*serial), content: Digest(*content), signatures })
    }
}

//! TSIG: reading the record of a query, and telling that its key is not known (RFC 8945).

use super::edns::Malformed;
use crate::name::{MAX_NAME, labels};

pub(super) const TYPE_TSIG: u16 = 250;
const CLASS_ANY: u16 = 255;
/// The error of a key that is not known (RFC 8945 §3).
const BADKEY: u16 = 17;
/// Octets of the data behind the algorithm's name and before the MAC: time signed, fudge, length of the MAC.
const BEFORE_MAC: usize = 6 + 2 + 2;
/// Octets of the data behind the MAC and before the other data: original id, error, length of the other data.
const BEHIND_MAC: usize = 2 + 2 + 2;

/// The TSIG record of a query, of which there is the form only: no keys are known here.
#[derive(Debug, Clone, Copy)]
pub struct Tsig<'m> {
    /// Where the name of the key stands in the message.
    owner: usize,
    /// The algorithm's name.
    algorithm: &'m [u8],
    /// Time signed and fudge.
    time: &'m [u8],
    original_id: &'m [u8],
}

impl<'m> Tsig<'m> {
    /// Reads the record whose owner stands at `owner`.
    pub(super) fn read(owner: usize, class: u16, ttl: [u8; 4], data: &'m [u8]) -> Result<Self, Malformed> {
        // RFC 8945 §4.2: class ANY, TTL 0, the algorithm's name uncompressed.
        if class != CLASS_ANY || ttl != [0; 4] {
            return Err(Malformed);
        }
        let mut end = 0;
        loop {
            match usize::from(*data.get(end).ok_or(Malformed)?) {
                0 => break,
                length @ 1..=63 => end += 1 + length,
                _ => return Err(Malformed),
            }
        }
        let (algorithm, rest) = data.split_at(end + 1);
        if algorithm.len() > MAX_NAME {
            return Err(Malformed);
        }
        let (before, rest) = rest.split_at_checked(BEFORE_MAC).ok_or(Malformed)?;
        let mac = usize::from(u16::from_be_bytes([before[8], before[9]]));
        let rest = rest.get(mac..).ok_or(Malformed)?;
        let (behind, other) = rest.split_at_checked(BEHIND_MAC).ok_or(Malformed)?;
        if other.len() != usize::from(u16::from_be_bytes([behind[4], behind[5]])) {
            return Err(Malformed);
        }
        Ok(Self { owner, algorithm, time: &before[..8], original_id: &behind[..2] })
    }

    /// Writes the record that says that the key is not known, unsigned, at `at`; where it ends, or none if there is no
    /// room up to `limit`.
    pub(super) fn write_bad_key(&self, message: &[u8], out: &mut [u8], at: usize, limit: usize) -> Option<usize> {
        let mut end = at;
        let mut put = |octets: &[u8]| {
            let to = end + octets.len();
            if to > limit {
                return None;
            }
            out.get_mut(end..to)?.copy_from_slice(octets);
            end = to;
            Some(())
        };
        let key_name = Uncompressed { message, at: self.owner };
        for label in key_name {
            put(&[label.len() as u8])?;
            put(label)?;
        }
        put(&[0])?;
        put(&TYPE_TSIG.to_be_bytes())?;
        put(&CLASS_ANY.to_be_bytes())?;
        put(&[0; 4])?;
        let length = self.algorithm.len() + BEFORE_MAC + BEHIND_MAC;
        put(&(length as u16).to_be_bytes())?;
        put(self.algorithm)?;
        put(self.time)?;
        // RFC 8945 §5.3.2: an error about the key is not signed.
        put(&[0; 2])?;
        put(self.original_id)?;
        put(&BADKEY.to_be_bytes())?;
        put(&[0; 2])?;
        Some(end)
    }
}

/// The labels of a name that may be compressed, and that has been checked.
struct Uncompressed<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Iterator for Uncompressed<'m> {
    type Item = &'m [u8];

    fn next(&mut self) -> Option<&'m [u8]> {
        loop {
            let length = usize::from(*self.message.get(self.at)?);
            if length >= 0xc0 {
                self.at = (length & 0x3f) << 8 | usize::from(*self.message.get(self.at + 1)?);
                continue;
            }
            let label = labels(self.message.get(self.at..)?).next()?;
            self.at += 1 + length;
            return Some(label);
        }
    }
}

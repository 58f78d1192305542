//! TSIG (RFC 8945): the record that tells who signed a message, and that the message came as it was sent.
//!
//! A server checks a query with `Keys::check` and signs what it sends with the `Signer` that it gets; a client signs its
//! query with `sign_request` and checks what comes back with the `Verifier`.

mod check;
mod key;
mod sign;
#[cfg(test)]
mod tests;
mod verify;

pub use check::{Rejection, Unsigned};
pub use key::{Algorithm, Keys, TsigKey};
pub use sign::Signer;
pub use verify::{SignatureError, Verifier, sign_request};

use arrayvec::ArrayVec;

use super::HEADER;
use super::edns::Malformed;
use crate::name::{MAX_NAME, labels};

pub(super) const TYPE_TSIG: u16 = 250;
const CLASS_ANY: u16 = 255;
/// The signature is wrong (RFC 8945 §3).
const BADSIG: u16 = 16;
/// The key is not known.
const BADKEY: u16 = 17;
/// The time of signing is too far from ours.
const BADTIME: u16 = 18;
/// Seconds by which clocks may differ (RFC 8945 §10 recommends it).
const FUDGE: u16 = 300;
/// Octets of a record between its owner and its data: type, class, TTL, length.
const FIXED: usize = 2 + 2 + 4 + 2;
/// Octets of the data behind the algorithm's name and before the MAC: time signed, fudge, length of the MAC.
const BEFORE_MAC: usize = 6 + 2 + 2;
/// Octets of the data behind the MAC and before the other data: original id, error, length of the other data.
const BEHIND_MAC: usize = 2 + 2 + 2;
/// Octets of a time, the other data of BADTIME.
const TIME: usize = 6;

/// The TSIG record of a message.
#[derive(Debug, Clone, Copy)]
pub struct Tsig<'m> {
    /// Where the record begins in the message, with the name of the key.
    owner: usize,
    /// The algorithm's name.
    algorithm: &'m [u8],
    /// Time signed and fudge.
    time: &'m [u8],
    mac: &'m [u8],
    original_id: [u8; 2],
    error: u16,
    other: &'m [u8],
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
        let (mac, rest) = rest.split_at_checked(mac).ok_or(Malformed)?;
        let (&[id_high, id_low, e0, e1, o0, o1], other) = rest.split_first_chunk::<BEHIND_MAC>().ok_or(Malformed)?;
        if other.len() != usize::from(u16::from_be_bytes([o0, o1])) {
            return Err(Malformed);
        }
        let (original_id, error) = ([id_high, id_low], u16::from_be_bytes([e0, e1]));
        Ok(Self { owner, algorithm, time: &before[..8], mac, original_id, error, other })
    }

    /// When it was signed, in seconds since 1970.
    fn signed_at(&self) -> u64 {
        self.time[..TIME].iter().fold(0, |time, octet| time << 8 | u64::from(*octet))
    }

    /// Whether it was signed about now (RFC 8945 §5.2.3).
    fn is_timely(&self, now: u64) -> bool {
        let fudge = u16::from_be_bytes([self.time[6], self.time[7]]);
        self.signed_at().abs_diff(now) <= u64::from(fudge)
    }

    /// The name of the key, in lower-case wire form.
    pub(super) fn key_name(&self, message: &[u8]) -> ArrayVec<u8, MAX_NAME> {
        let mut name = ArrayVec::new();
        // Names have been checked, and with them their length.
        for label in (Uncompressed { message, at: self.owner }) {
            name.extend(std::iter::once(label.len() as u8).chain(label.iter().map(u8::to_ascii_lowercase)));
        }
        name.push(0);
        name
    }

    /// The message without the record, as it was signed: its header, changed, and what follows it.
    fn signed<'a>(&self, message: &'a [u8]) -> ([u8; HEADER], &'a [u8]) {
        let mut header = [0; HEADER];
        header.copy_from_slice(&message[..HEADER]);
        // RFC 8945 §4.3.2: the record is not counted, and the id is that with which the message was sent first.
        header[..2].copy_from_slice(&self.original_id);
        let additionals = u16::from_be_bytes([header[10], header[11]]).wrapping_sub(1);
        header[10..].copy_from_slice(&additionals.to_be_bytes());
        (header, &message[HEADER..self.owner])
    }
}

/// What a record to be written says.
struct Fields<'a> {
    /// The name of the key in wire form.
    key: &'a [u8],
    algorithm: &'a [u8],
    /// Time signed and fudge.
    time: [u8; 8],
    mac: &'a [u8],
    original_id: [u8; 2],
    error: u16,
    other: &'a [u8],
}

impl Fields<'_> {
    /// Appends the record to the message that is the first `length` octets of `out`, and counts it; its length then, or none
    /// if there is no room for it.
    fn append(&self, out: &mut [u8], length: usize) -> Option<usize> {
        let data = self.algorithm.len() + BEFORE_MAC + self.mac.len() + BEHIND_MAC + self.other.len();
        let mut end = length;
        let mut put = |octets: &[u8]| {
            out.get_mut(end..end + octets.len())?.copy_from_slice(octets);
            end += octets.len();
            Some(())
        };
        put(self.key)?;
        put(&TYPE_TSIG.to_be_bytes())?;
        put(&CLASS_ANY.to_be_bytes())?;
        put(&[0; 4])?;
        put(&(data as u16).to_be_bytes())?;
        put(self.algorithm)?;
        put(&self.time)?;
        put(&(self.mac.len() as u16).to_be_bytes())?;
        put(self.mac)?;
        put(&self.original_id)?;
        put(&self.error.to_be_bytes())?;
        put(&(self.other.len() as u16).to_be_bytes())?;
        put(self.other)?;
        let additionals = u16::from_be_bytes([out[10], out[11]]).wrapping_add(1);
        out[10..HEADER].copy_from_slice(&additionals.to_be_bytes());
        Some(end)
    }
}

/// Time signed and fudge as the record has them.
fn time_and_fudge(now: u64) -> [u8; 8] {
    let [_, _, t0, t1, t2, t3, t4, t5] = now.to_be_bytes();
    let [f0, f1] = FUDGE.to_be_bytes();
    [t0, t1, t2, t3, t4, t5, f0, f1]
}

/// Adds what the signature is made of besides messages (RFC 8945 §4.3.3).
fn add_variables(context: &mut ring::hmac::Context, key: &TsigKey, time: &[u8], error: u16, other: &[u8]) {
    context.update(&key.lower);
    context.update(&CLASS_ANY.to_be_bytes());
    context.update(&[0; 4]);
    context.update(key.algorithm().wire());
    context.update(time);
    context.update(&error.to_be_bytes());
    context.update(&(other.len() as u16).to_be_bytes());
    context.update(other);
}

/// A signature that begins with the MAC before it (RFC 8945 §5.3.1).
fn following(key: &TsigKey, mac: &[u8]) -> ring::hmac::Context {
    let mut context = ring::hmac::Context::with_key(&key.hmac);
    context.update(&(mac.len() as u16).to_be_bytes());
    context.update(mac);
    context
}

/// Whether a MAC is that of the message, as far as it goes; how long this takes tells nobody where they differ.
fn is_mac(found: &[u8], right: &[u8]) -> bool {
    let differences = found.iter().zip(right).fold(0, |differences, (one, two)| differences | (one ^ two));
    std::hint::black_box(differences) == 0
}

/// Whether a MAC is so short, or so long, that the message is malformed (RFC 8945 §5.2.2.1).
fn has_wrong_length(mac: &[u8], algorithm: Algorithm) -> bool {
    let whole = algorithm.mac_length();
    mac.len() > whole || mac.len() < (whole / 2).max(10)
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

//! A server's side, second half: signing what a checked query gets, one message or many (RFC 8945 §5.3).

use std::sync::Arc;

use super::{BEFORE_MAC, BEHIND_MAC, FIXED, Fields, TIME, TsigKey, add_variables, following, time_and_fudge};
use crate::wire::HEADER;

/// Signs the messages of one reply, each after the one before it.
#[derive(Clone)]
pub struct Signer {
    key: Arc<TsigKey>,
    /// What the next MAC is made of: the MAC of the query, or of the last message that was signed, and messages since.
    context: ring::hmac::Context,
    original_id: [u8; 2],
    is_first: bool,
    /// What was wrong with the query: the error, the time that is told as that of signing, ours.
    wrong: Option<(u16, [u8; 8], [u8; TIME])>,
}

impl Signer {
    pub(super) fn new(key: Arc<TsigKey>, mac: &[u8], original_id: [u8; 2]) -> Self {
        let context = following(&key, mac);
        Self { key, context, original_id, is_first: true, wrong: None }
    }

    pub(super) fn telling(self, error: u16, time: [u8; 8], other: [u8; TIME]) -> Self {
        Self { wrong: Some((error, time, other)), ..self }
    }

    /// The key that signed the query.
    pub fn key(&self) -> &Arc<TsigKey> {
        &self.key
    }

    /// Octets that the record takes.
    pub fn room(&self) -> usize {
        let algorithm = self.key.algorithm();
        let other = if self.wrong.is_some() { TIME } else { 0 };
        self.key.lower.len() + FIXED + algorithm.wire().len() + BEFORE_MAC + algorithm.mac_length() + BEHIND_MAC + other
    }

    /// Takes a message that goes out unsigned; the next signature covers it (RFC 8945 §5.3.1).
    #[cfg(test)]
    pub(super) fn add_unsigned(&mut self, message: &[u8]) {
        self.context.update(message);
    }

    /// Signs the next message, the first `length` octets of `out`, at `now` in seconds since 1970; its length then, or none
    /// if there is no room for `room` octets more.
    pub fn sign(&mut self, out: &mut [u8], length: usize, now: u64) -> Option<usize> {
        let (error, time, other) = match &self.wrong {
            Some((error, time, other)) => (*error, *time, other.as_slice()),
            None => (0, time_and_fudge(now), &[][..]),
        };
        let mut context = self.context.clone();
        // RFC 8945 §4.3.2: the id stands in the digest as it was in the query.
        context.update(&self.original_id);
        context.update(out.get(2..length).filter(|rest| rest.len() >= HEADER - 2)?);
        // RFC 8945 §5.3.1: behind the first message only the times are signed.
        match self.is_first {
            true => add_variables(&mut context, &self.key, &time, error, other),
            false => context.update(&time),
        }
        let tag = context.sign();
        let fields = Fields {
            key: &self.key.lower,
            algorithm: self.key.algorithm().wire(),
            time,
            mac: tag.as_ref(),
            original_id: self.original_id,
            error,
            other,
        };
        let end = fields.append(out, length)?;
        self.context = following(&self.key, tag.as_ref());
        self.is_first = false;
        Some(end)
    }
}

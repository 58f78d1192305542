//! A client's side: signing a query, and checking the messages of its reply, of which up to 99 in a row are unsigned.

use std::fmt;
use std::sync::Arc;

use super::{Fields, Tsig, TsigKey, add_variables, following, has_wrong_length, is_mac, time_and_fudge};
use crate::wire::query::last_tsig;

/// Messages without a signature in a row that are taken (RFC 8945 §5.3.1).
const MAX_UNSIGNED: u32 = 99;

/// Checks the messages of the reply to a query that was signed here, in their order.
pub struct Verifier {
    key: Arc<TsigKey>,
    /// What the next MAC is made of: the MAC before it and the messages since.
    context: ring::hmac::Context,
    is_first: bool,
    /// Messages since the last that was signed.
    unsigned: u32,
}

/// Why a message must not be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureError {
    /// It is not signed, and should be.
    Missing,
    /// It, or its signature, cannot be read.
    Malformed,
    /// Another key or algorithm signed it.
    OtherKey,
    /// The signature is wrong.
    BadSignature,
    /// It was signed at another time.
    BadTime,
    /// The server did not believe the query: the error of its TSIG record (RFC 8945 §3). Unless it is BADTIME, 18, nobody
    /// vouches for that.
    Told(u16),
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the reply is not signed"),
            Self::Malformed => f.write_str("the signature of the reply cannot be read"),
            Self::OtherKey => f.write_str("the reply is signed by another key"),
            Self::BadSignature => f.write_str("the signature of the reply is wrong"),
            Self::BadTime => f.write_str("the reply was signed at another time: do the clocks agree?"),
            Self::Told(super::BADSIG) => f.write_str("BADSIG: the server has another secret of the key"),
            Self::Told(super::BADKEY) => f.write_str("BADKEY: the server does not know the key, or not this algorithm"),
            Self::Told(super::BADTIME) => f.write_str("BADTIME: the clock of the server differs"),
            Self::Told(error) => write!(f, "the server does not accept the signature, error {error}"),
        }
    }
}

impl std::error::Error for SignatureError {}

/// Signs a query at `now`, in seconds since 1970; what checks the reply.
pub fn sign_request(key: &Arc<TsigKey>, message: &mut Vec<u8>, now: u64) -> Verifier {
    let time = time_and_fudge(now);
    let mut context = ring::hmac::Context::with_key(&key.hmac);
    context.update(message);
    add_variables(&mut context, key, &time, 0, &[]);
    let tag = context.sign();
    let length = message.len();
    // More than the longest record takes: two names, a MAC, and what is fixed.
    message.resize(length + 1_024, 0);
    let fields = Fields {
        key: &key.lower,
        algorithm: key.algorithm().wire(),
        time,
        mac: tag.as_ref(),
        original_id: [message[0], message[1]],
        error: 0,
        other: &[],
    };
    let end = fields.append(message, length).unwrap_or(length);
    message.truncate(end);
    Verifier::after(key, tag.as_ref())
}

impl Verifier {
    /// For the reply to a query with this MAC.
    pub(super) fn after(key: &Arc<TsigKey>, mac: &[u8]) -> Self {
        Self { key: Arc::clone(key), context: following(key, mac), is_first: true, unsigned: 0 }
    }

    /// Checks the next message, at `now` in seconds since 1970. What is not signed itself is not proven before
    /// `is_proven` says so.
    pub fn verify(&mut self, message: &[u8], now: u64) -> Result<(), SignatureError> {
        let Some(tsig) = last_tsig(message).map_err(|_| SignatureError::Malformed)? else {
            // RFC 8945 §5.3.1: the first message is signed, and one in a hundred.
            if self.is_first || self.unsigned >= MAX_UNSIGNED {
                return Err(SignatureError::Missing);
            }
            self.unsigned += 1;
            self.context.update(message);
            return Ok(());
        };
        self.verify_signed(message, &tsig, now)
    }

    fn verify_signed(&mut self, message: &[u8], tsig: &Tsig<'_>, now: u64) -> Result<(), SignatureError> {
        let key = &self.key;
        let is_key = *tsig.key_name(message) == *key.lower;
        if !is_key || !tsig.algorithm.eq_ignore_ascii_case(key.algorithm().wire()) {
            return Err(SignatureError::OtherKey);
        }
        // RFC 8945 §5.2: errors of key and signature come unsigned.
        if tsig.mac.is_empty() && tsig.error != 0 {
            return Err(SignatureError::Told(tsig.error));
        }
        if has_wrong_length(tsig.mac, key.algorithm()) {
            return Err(SignatureError::Malformed);
        }
        let mut context = self.context.clone();
        let (header, rest) = tsig.signed(message);
        context.update(&header);
        context.update(rest);
        match self.is_first {
            true => add_variables(&mut context, key, tsig.time, tsig.error, tsig.other),
            false => context.update(tsig.time),
        }
        if !is_mac(tsig.mac, context.sign().as_ref()) {
            return Err(SignatureError::BadSignature);
        }
        if tsig.error != 0 {
            return Err(SignatureError::Told(tsig.error));
        }
        if !tsig.is_timely(now) {
            return Err(SignatureError::BadTime);
        }
        self.context = following(key, tsig.mac);
        self.is_first = false;
        self.unsigned = 0;
        Ok(())
    }

    /// Whether all messages so far are proven: the last one must have been signed (RFC 8945 §5.3.1).
    pub fn is_proven(&self) -> bool {
        !self.is_first && self.unsigned == 0
    }
}

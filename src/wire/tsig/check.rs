//! A server's side, first half: whether a query was signed by a key that is known here (RFC 8945 §5.2).

use std::sync::Arc;

use super::sign::Signer;
use super::{
    BADKEY, BADSIG, BADTIME, BEFORE_MAC, BEHIND_MAC, FIXED, Fields, Keys, TIME, Tsig, add_variables, has_wrong_length,
    is_mac, time_and_fudge,
};
use crate::wire::Query;

/// Why a signed query gets no answer.
pub enum Rejection<'m> {
    /// The length of its MAC cannot be: FORMERR, unsigned.
    Malformed,
    /// The key is not known here, or not with this algorithm: NOTAUTH with an unsigned record.
    BadKey(Unsigned<'m>),
    /// The signature is wrong: NOTAUTH with an unsigned record.
    BadSignature(Unsigned<'m>),
    /// It was signed too long ago, or by a clock that is wrong: NOTAUTH, signed.
    BadTime(Box<Signer>),
}

/// The record of a reply that tells what is wrong with a signature, and has none itself.
pub struct Unsigned<'m> {
    tsig: Tsig<'m>,
    message: &'m [u8],
    error: u16,
}

impl Keys {
    /// Checks a query that has a TSIG record at `now`, in seconds since 1970; what its reply is signed with.
    pub fn check<'m>(&self, query: &Query<'m>, now: u64) -> Result<Signer, Rejection<'m>> {
        let (Some(tsig), message) = (query.tsig, query.message()) else { return Err(Rejection::Malformed) };
        let unsigned = |error| Unsigned { tsig, message, error };
        let key = self.find(&tsig.key_name(message));
        let key = key.filter(|key| tsig.algorithm.eq_ignore_ascii_case(key.algorithm().wire()));
        let Some(key) = key else { return Err(Rejection::BadKey(unsigned(BADKEY))) };
        if has_wrong_length(tsig.mac, key.algorithm()) {
            return Err(Rejection::Malformed);
        }
        let mut context = ring::hmac::Context::with_key(&key.hmac);
        let (header, rest) = tsig.signed(message);
        context.update(&header);
        context.update(rest);
        add_variables(&mut context, key, tsig.time, tsig.error, tsig.other);
        // RFC 8945 §5.2.2.1: a truncated MAC is compared as far as it goes.
        if !is_mac(tsig.mac, context.sign().as_ref()) {
            return Err(Rejection::BadSignature(unsigned(BADSIG)));
        }
        let signer = Signer::new(Arc::clone(key), tsig.mac, tsig.original_id);
        // RFC 8945 §5.2.3: only who has the key learns what time it is here.
        if !tsig.is_timely(now) {
            let mut time = [0; 8];
            time.copy_from_slice(tsig.time);
            return Err(Rejection::BadTime(Box::new(signer.with_bad_time(time, now))));
        }
        Ok(signer)
    }
}

impl Unsigned<'_> {
    /// Octets that the record takes.
    pub fn room(&self) -> usize {
        self.tsig.key_name(self.message).len() + FIXED + self.tsig.algorithm.len() + BEFORE_MAC + BEHIND_MAC
    }

    /// Appends the record to a reply, the first `length` octets of `out`; its length then, or none if there is no room.
    pub fn append(&self, out: &mut [u8], length: usize) -> Option<usize> {
        let Self { tsig, message, error } = self;
        let mut time = [0; 8];
        time.copy_from_slice(tsig.time);
        // RFC 8945 §5.2.1, §5.2.2: neither of both errors is signed.
        let fields = Fields {
            key: &tsig.key_name(message),
            algorithm: tsig.algorithm,
            time,
            mac: &[],
            original_id: tsig.original_id,
            error: *error,
            other: &[],
        };
        fields.append(out, length)
    }
}

impl Signer {
    /// The same, to tell that the query was signed at another time than now.
    fn with_bad_time(self, time: [u8; 8], now: u64) -> Self {
        let [t0, t1, t2, t3, t4, t5, ..] = time_and_fudge(now);
        let other: [u8; TIME] = [t0, t1, t2, t3, t4, t5];
        // RFC 8945 §5.2.3: the client's time is the time signed, and ours the other data.
        self.telling(BADTIME, time, other)
    }
}

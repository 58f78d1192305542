//! Queries signed with TSIG (RFC 8945 §5): who has a key of ours is answered, and the reply is signed; others hear why not.

use super::{Context, Course, Outcome, Reasons, Subject, answer_plain, write};
use crate::snapshot::Snapshot;
use crate::steer::{KeyTable, Observation};
use crate::wire::{Query, Rcode, Rejection, Reply, Unsigned};

/// Answers a query that has a signature.
#[cold]
pub(super) fn answer<'s>(
    snapshot: &'s Snapshot,
    query: &Query<'_>,
    context: &Context,
    keys: Option<&mut KeyTable>,
    out: &mut [u8],
    reasons: Option<&mut Reasons>,
) -> (Outcome, Option<Observation<'s>>) {
    let now = context.now / 1_000;
    match snapshot.keys.check(query, now) {
        Ok(mut signer) => {
            let query = query.verified();
            let course = Course::of(snapshot, &query);
            let reserved = signer.room();
            let (outcome, observation) = answer_plain(snapshot, &query, course, context, reserved, keys, out, reasons);
            let outcome = append(outcome, |length| signer.sign(out, length, now));
            (trusted(outcome), observation)
        }
        Err(rejection) => (reject(rejection, query, context, now, out), None),
    }
}

fn reject(rejection: Rejection<'_>, query: &Query<'_>, context: &Context, now: u64, out: &mut [u8]) -> Outcome {
    let reply = |rcode, reserved| Reply { rcode, reserved, ..Reply::default() };
    match rejection {
        Rejection::Malformed => write(&reply(Rcode::FORMERR, 0), query, context, Subject::ERROR, out),
        Rejection::BadKey(record) | Rejection::BadSignature(record) => {
            let outcome = write(&reply(Rcode::NOTAUTH, record.room()), query, context, Subject::ERROR, out);
            append(outcome, |length| Unsigned::append(&record, out, length))
        }
        Rejection::BadTime(mut signer) => {
            let outcome = write(&reply(Rcode::NOTAUTH, signer.room()), query, context, Subject::ERROR, out);
            append(outcome, |length| signer.sign(out, length, now))
        }
    }
}

/// Appends a record to a reply for which room was kept; where there was none, the reply is truncated.
fn append(outcome: Outcome, append: impl FnOnce(usize) -> Option<usize>) -> Outcome {
    let Outcome::Reply { length, rcode, subject, is_trusted } = outcome else { return outcome };
    Outcome::Reply { length: append(length).unwrap_or(length), rcode, subject, is_trusted }
}

fn trusted(outcome: Outcome) -> Outcome {
    let Outcome::Reply { length, rcode, subject, is_trusted: _ } = outcome else { return outcome };
    Outcome::Reply { length, rcode, subject, is_trusted: true }
}

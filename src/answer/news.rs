//! NOTIFY (RFC 1996): who may say that a zone has changed, and what they hear. What follows from it is not decided here.

use super::Context;
use super::course::holder;
use crate::snapshot::Snapshot;
use crate::wire::{CLASS_IN, Query, Rcode, RecordType, Reply};

/// Answers a message that says that a zone has changed; its signature, if it has one, has been checked.
///
/// The response code is NOERROR for the primaries of a zone that comes from others, and for nobody else.
#[cold]
pub(super) fn answer(snapshot: &Snapshot, query: &Query<'_>, context: &Context, reply: &mut Reply<'_>) {
    let apex = query.name.wire();
    let is_zone = query.qclass == CLASS_IN && query.qtype == RecordType::SOA;
    let key = query.key_name();
    reply.rcode = match snapshot.secondaries.is_primary(apex, context.client.ip(), key.as_deref()) {
        _ if !is_zone => Rcode::REFUSED,
        Some(true) => Rcode::NOERROR,
        Some(false) => Rcode::REFUSED,
        // RFC 2136 §2.2 has the code: the zone is not one of ours.
        None => match holder(snapshot, query.name, RecordType::SOA).is_some_and(|zone| zone.lower_apex() == apex) {
            true => Rcode::REFUSED,
            false => Rcode::NOTAUTH,
        },
    };
    // RFC 1996 §3.12: the reply to one that counts is authoritative.
    reply.is_authoritative = reply.rcode == Rcode::NOERROR;
}

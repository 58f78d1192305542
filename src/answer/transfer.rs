//! Zones that go out whole (AXFR, RFC 5936), or as what changed in them (IXFR, RFC 1995): who gets what.

use std::fmt;
use std::sync::Arc;

use super::{Context, TlsVersion, Transport, fill_options};
use crate::name::Name;
use crate::snapshot::{Difference, Snapshot, is_newer, records, split_owner, transfer_serial};
use crate::wire::{CLASS_IN, Problem, Query, RecordType, Reply, Series, SeriesRecord, TooLarge};
use crate::zone::{Rrset, Zone};

/// A transfer that was asked for and is allowed: a reply of many messages.
pub struct Transfer {
    zone: Arc<Zone>,
    content: Content,
    series: Series,
    /// Who gets it, for logs.
    pub told: Told,
}

/// What is told of a transfer.
#[derive(Debug, Clone)]
pub struct Told {
    /// The zone.
    pub zone: Name,
    /// The serial that is sent.
    pub serial: u32,
    /// That which the secondary has, if it said so.
    pub since: Option<u32>,
    /// The key that signed the query.
    pub key: Option<Name>,
    /// What is sent.
    pub kind: TransferKind,
}

/// What a transfer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferKind {
    /// The whole zone.
    Whole,
    /// The whole zone, for what changed is not known.
    Fallback,
    /// What changed.
    Difference,
    /// The SOA record alone: nothing is newer.
    Nothing,
}

impl TransferKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Fallback, Self::Difference, Self::Nothing];

    /// Its word in logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Whole => "axfr",
            Self::Fallback => "ixfr_whole",
            Self::Difference => "ixfr",
            Self::Nothing => "ixfr_current",
        }
    }
}

enum Content {
    Whole,
    Soa,
    Difference(Difference),
}

/// Why a transfer is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// There is no such zone here.
    NotHere,
    /// Nobody may have the zone.
    Nobody(Name),
    /// Whoever asks may not have it; the key that signed the query.
    NotAllowed(Name, Option<Name>),
    /// The signature is wrong, or the key is not known.
    Signature,
    /// It came over TLS 1.2.
    OldTls,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHere => f.write_str("no such zone is served here"),
            Self::Nobody(zone) => write!(f, "{zone} has no `transfer` in the configuration"),
            Self::NotAllowed(zone, None) => write!(f, "`transfer` of {zone} allows it not this address without a key"),
            Self::NotAllowed(zone, Some(key)) => {
                write!(f, "`transfer` of {zone} allows it not this address with {key}")
            }
            Self::OldTls => f.write_str("over TLS it takes TLS 1.3 (RFC 9103)"),
            Self::Signature => f.write_str("the key is not known here, or the signature is wrong"),
        }
    }
}

/// What a query on a stream gets that asks for a transfer; none if it asks for something else, or cannot be read. What is denied
/// is answered as any query.
pub fn transfer(snapshot: &Snapshot, query: &Query<'_>, context: &Context) -> Option<Result<Transfer, Denial>> {
    let is_asked = matches!(query.qtype, RecordType::AXFR | RecordType::IXFR) && query.qclass == CLASS_IN;
    let is_sound = matches!(query.problem, None | Some(Problem::Signed));
    // RFC 9250 §4.4 allows them over QUIC too, where each would have to be a stream of its own.
    let is_stream = matches!(context.transport, Transport::Tcp | Transport::Tls(_));
    (is_asked && is_sound && is_stream).then(|| begin(snapshot, query, context)).and_then(Result::transpose)
}

/// None if the query is malformed behind its signature.
fn begin(snapshot: &Snapshot, query: &Query<'_>, context: &Context) -> Result<Option<Transfer>, Denial> {
    // RFC 9103 §7.1: not below 1.3.
    if context.transport == Transport::Tls(TlsVersion::V1_2) {
        return Err(Denial::OldTls);
    }
    let (signer, verified);
    let query = match query.problem {
        None => {
            signer = None;
            query
        }
        Some(_) => {
            signer = Some(snapshot.keys.check(query, context.now / 1_000).map_err(|_| Denial::Signature)?);
            verified = query.verified();
            &verified
        }
    };
    if query.problem.is_some() {
        return Ok(None);
    }
    let apex = Name::from_wire(query.name.wire()).map_err(|_| Denial::NotHere)?;
    let Some(zone) = snapshot.zones.get(&apex) else { return Err(Denial::NotHere) };
    let Some(rules) = snapshot.transfers.get(&apex) else { return Err(Denial::Nobody(apex)) };
    let key = signer.as_ref().map(|signer| signer.key().name().clone());
    if !rules.are_allowed(context.client.ip(), key.as_ref()) {
        return Err(Denial::NotAllowed(apex, key));
    }
    let serial = transfer_serial(zone);
    let since = query.known_serial();
    let (content, kind) = match since {
        // RFC 1995 §2: who has this version, or a newer one, gets the SOA alone.
        Some(known) if !is_newer(serial, known) => (Content::Soa, TransferKind::Nothing),
        Some(known) => match rules.history.since(known) {
            Some(difference) => (Content::Difference(difference), TransferKind::Difference),
            None => (Content::Whole, TransferKind::Fallback),
        },
        None => (Content::Whole, TransferKind::Whole),
    };
    let mut reply = Reply::default();
    fill_options(snapshot, query, context, &mut reply);
    // What is behind the whole message tells its size.
    reply.options.is_padded = false;
    let told = Told { zone: apex, serial, since, key, kind };
    Ok(Some(Transfer { zone: Arc::clone(zone), content, series: Series::new(query, &reply.options, signer), told }))
}

impl Transfer {
    /// What goes through the messages one by one: the records, and what packs them.
    pub fn messages(&mut self) -> Messages<'_> {
        let Self { zone, content, series, told: _ } = self;
        let zone = zone.transferred();
        let soa = zone.raw_soa();
        let apex = zone.lower_apex();
        let soa = move || each(apex, soa);
        let records: Box<dyn Iterator<Item = SeriesRecord<'_>> + Send> = match content {
            Content::Soa => Box::new(soa()),
            // RFC 5936 §2.2: the SOA record is the first, and the last.
            Content::Whole => {
                let data = zone.rrsets().filter(|(_, rrset)| rrset.rtype != RecordType::SOA);
                let data = data.flat_map(|(owner, rrset)| each(owner, rrset));
                Box::new(soa().chain(data).chain(soa()))
            }
            // RFC 1995 §4: the new SOA, the old one with what went, the new one with what came, the new one.
            Content::Difference(Difference { removed, added }) => {
                let of = |part| records(part).filter_map(|record| split_owner(record));
                let changes = of(removed).chain(of(added)).map(|(owner, rest)| SeriesRecord { owner, rest });
                Box::new(soa().chain(changes).chain(soa()))
            }
        };
        Messages { records: records.peekable(), series }
    }
}

/// The messages of a transfer.
pub struct Messages<'t> {
    records: std::iter::Peekable<Box<dyn Iterator<Item = SeriesRecord<'t>> + Send + 't>>,
    series: &'t mut Series,
}

impl Messages<'_> {
    /// The next message behind its length, at `now` in seconds since 1970; none after the last.
    pub fn next(&mut self, now: u64) -> Result<Option<&[u8]>, TooLarge> {
        self.series.next(&mut self.records, now)
    }
}

/// Octets of a ready record before its type: the pointer at its owner.
const POINTER: usize = 2;
/// Octets of a ready record before its data.
const HEAD: usize = 12;

/// The records of an RRset.
fn each<'z>(owner: &'z [u8], rrset: Rrset<'z>) -> impl Iterator<Item = SeriesRecord<'z>> + use<'z> {
    let mut rest = rrset.bytes;
    std::iter::from_fn(move || {
        let length = HEAD + usize::from(u16::from_be_bytes([*rest.get(HEAD - 2)?, *rest.get(HEAD - 1)?]));
        let (record, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(SeriesRecord { owner, rest: &record[POINTER..] })
    })
}

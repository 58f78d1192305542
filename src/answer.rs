//! The engine: a snapshot and a query → a reply. Pure; everything that answers goes through here.
#![deny(clippy::disallowed_methods)]

mod course;
mod explain;
mod news;
mod reasons;
mod resolve;
mod security;
mod signed;
mod steer;
mod transfer;
mod whoami;

pub use course::{Course, follow};
pub use explain::{Explanation, Question, explain};
pub use reasons::{LocatedReason, Reasons};
pub use transfer::{Denial, Transfer, TransferKind, transfer};

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::name::LookupName;
use crate::snapshot::Snapshot;
use crate::steer::{Estimate, KeyTable, Observation};
use crate::wire::{MAX_STREAM, Problem, Query, Rcode, Reply, Wishes, udp_limit};

/// How a query came, and when.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Who sent it.
    pub client: SocketAddr,
    /// The address it was sent to, if that is known.
    pub local: Option<IpAddr>,
    /// What it came over.
    pub transport: Transport,
    /// Milliseconds since 1970.
    pub now: u64,
    /// How long the connection may be idle, on a stream (RFC 7828).
    pub idle: Option<Duration>,
    /// What is known of the client's key, where there is no table of keys.
    pub estimate: Estimate,
}

/// What a query came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: replies are limited.
    Udp,
    /// TCP.
    Tcp,
    /// TLS (RFC 7858).
    Tls(TlsVersion),
    /// QUIC (RFC 9250).
    Quic,
    /// HTTP with TLS (RFC 8484).
    Https,
    /// HTTP without, from a proxy that has the TLS.
    Http,
}

/// Of which version TLS is: zone transfers want the newest (RFC 9103 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// What is to be done with the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Send the first so many octets of the buffer.
    Reply {
        /// Octets of the reply.
        length: usize,
        /// Its response code.
        rcode: Rcode,
        /// What it is about.
        subject: Subject,
        /// Whoever asked has shown a key that is known here, and is no forger.
        is_trusted: bool,
    },
    /// Send nothing.
    Silence,
}

/// What a reply is about: rate limiting counts replies with the same subject together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// What sort of reply it is.
    pub kind: SubjectKind,
    /// Hash of the name that all such replies share (`name::extend_hash`).
    pub name: u32,
}

/// What sort of reply it is, and whose name its subject bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// Records; the name that was asked for.
    Answer,
    /// Anything synthesised from a wildcard or a DNAME; the name whose descendants are.
    Wildcard,
    /// No records of the type; the name that was asked for.
    NoData,
    /// No such name; the zone's.
    NxDomain,
    /// A referral; the name that is delegated.
    Referral,
    /// Any error; no name.
    Error,
}

impl SubjectKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Answer, Self::Wildcard, Self::NoData, Self::NxDomain, Self::Referral, Self::Error];

    /// Its word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Wildcard => "wildcard",
            Self::NoData => "nodata",
            Self::NxDomain => "nxdomain",
            Self::Referral => "referral",
            Self::Error => "error",
        }
    }
}

// Counts are kept by these numbers.
const _: () = assert!(SubjectKind::Error as usize + 1 == SubjectKind::ALL.len());

impl Subject {
    /// Of all errors.
    pub const ERROR: Self = Self { kind: SubjectKind::Error, name: 0 };
}

/// Reads a message, its name into `name`; none if it must be dropped without a word.
#[inline]
pub fn read<'m>(message: &'m [u8], name: &'m mut LookupName) -> Option<Query<'m>> {
    Query::read(message, name)
}

/// Answers a query into `out`, which should have room for 1,232 octets (UDP) or 65,535 (streams).
///
/// `keys` is the caller's: it learns from queries for steered names, and tells what it knows of their keys. The
/// observation is what such an answer promises, for the caller to book. With `reasons` all is the same, and says why.
pub fn answer<'s>(
    snapshot: &'s Snapshot,
    query: &Query<'_>,
    context: &Context,
    keys: Option<&mut KeyTable>,
    out: &mut [u8],
    reasons: Option<&mut Reasons>,
) -> (Outcome, Option<Observation<'s>>) {
    let course = Course::of(snapshot, query);
    answer_on(snapshot, query, course, context, keys, out, reasons)
}

/// The same for a query of a batch, whose course was followed in this snapshot and for these keys.
#[inline]
pub fn answer_on<'s>(
    snapshot: &'s Snapshot,
    query: &Query<'_>,
    course: Course<'s>,
    context: &Context,
    keys: Option<&mut KeyTable>,
    out: &mut [u8],
    reasons: Option<&mut Reasons>,
) -> (Outcome, Option<Observation<'s>>) {
    // A datagram from port 0 cannot be answered, and comes from nobody.
    if context.client.port() == 0 && context.transport == Transport::Udp {
        return (Outcome::Silence, None);
    }
    if query.problem == Some(Problem::Signed) {
        return signed::answer(snapshot, query, context, keys, out, reasons);
    }
    answer_plain(snapshot, query, course, context, 0, keys, out, reasons)
}

/// The same, with so many octets left free behind the reply.
#[inline]
#[expect(clippy::too_many_arguments, reason = "`answer_on`, and what a signature adds")]
fn answer_plain<'s>(
    snapshot: &'s Snapshot,
    query: &Query<'_>,
    course: Course<'s>,
    context: &Context,
    reserved: usize,
    keys: Option<&mut KeyTable>,
    out: &mut [u8],
    reasons: Option<&mut Reasons>,
) -> (Outcome, Option<Observation<'s>>) {
    let mut reply = Reply { reserved, ..Reply::default() };
    fill_options(snapshot, query, context, &mut reply);
    let (subject, observation) = match query.problem {
        Some(Problem::Notify) => {
            news::answer(snapshot, query, context, &mut reply);
            (Subject::ERROR, None)
        }
        Some(problem) => {
            reply.rcode = problem.rcode();
            (Subject::ERROR, None)
        }
        None => resolve::resolve(snapshot, query, course, context, keys, &mut reply, reasons),
    };
    (write(&reply, query, context, subject, out), observation)
}

/// Answers a query with nothing but the advice to ask again over TCP.
///
/// It is what rate limiting sends in place of an answer: not longer than the query, but for a cookie.
pub fn truncated(snapshot: &Snapshot, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Outcome {
    let mut reply = Reply { lacks_required: true, ..Reply::default() };
    bake(snapshot, query, context, &mut reply);
    write(&reply, query, context, Subject::ERROR, out)
}

/// Answers a query with nothing but an error.
///
/// It is what rate limiting sends in place of an error that says more, such as this server's name: not longer than the
/// query, but for a cookie.
pub fn bare_error(snapshot: &Snapshot, query: &Query<'_>, context: &Context, rcode: Rcode, out: &mut [u8]) -> Outcome {
    let mut reply = Reply { rcode, ..Reply::default() };
    bake(snapshot, query, context, &mut reply);
    write(&reply, query, context, Subject::ERROR, out)
}

/// Answers a query that has a client's cookie with nothing but a cookie of ours to come back with (RFC 7873 §5.2.3); none
/// for others.
pub fn bad_cookie(snapshot: &Snapshot, query: &Query<'_>, context: &Context, out: &mut [u8]) -> Option<Outcome> {
    let mut reply = Reply { rcode: Rcode::BADCOOKIE, ..Reply::default() };
    bake(snapshot, query, context, &mut reply);
    reply.options.cookie?;
    Some(write(&reply, query, context, Subject::ERROR, out))
}

/// Whether the client has shown that it receives what is sent to its address: it has a cookie of ours (RFC 7873 §5.2.5).
pub fn has_valid_cookie(snapshot: &Snapshot, query: &Query<'_>, context: &Context) -> bool {
    let cookie = query.edns.as_ref().and_then(|edns| edns.cookie.as_ref());
    cookie.is_some_and(|cookie| snapshot.cookies.know(cookie, context.client.ip(), seconds(context)))
}

/// Makes a cookie for a client that sent its own.
#[inline]
fn bake(snapshot: &Snapshot, query: &Query<'_>, context: &Context, reply: &mut Reply<'_>) {
    if let Some(cookie) = query.edns.as_ref().and_then(|edns| edns.cookie.as_ref()) {
        reply.options.cookie = snapshot.cookies.make(cookie.client, context.client.ip(), seconds(context));
    }
}

/// Fills in the options that depend on who asks, and not on what is asked.
#[inline]
fn fill_options<'s>(snapshot: &'s Snapshot, query: &Query<'_>, context: &Context, reply: &mut Reply<'s>) {
    let Some(edns) = &query.edns else { return };
    bake(snapshot, query, context, reply);
    let Wishes { nsid, keepalive, padding, expire: _, zone_version: _ } = edns.wishes;
    if nsid {
        reply.options.nsid = snapshot.identity.nsid();
    }
    match context.transport {
        Transport::Udp => {}
        // RFC 7828 §3.3: on streams only; RFC 7830 §6: only where the octets themselves cannot be read.
        Transport::Tcp => reply.options.keepalive = context.idle.filter(|_| keepalive),
        Transport::Tls(_) => {
            reply.options.keepalive = context.idle.filter(|_| keepalive);
            reply.options.is_padded = padding;
        }
        // RFC 9250 §5.5.2, RFC 8484 §5: their connections have ways of their own to say how long they may be idle.
        Transport::Quic | Transport::Https => reply.options.is_padded = padding,
        Transport::Http => {}
    }
}

/// Seconds since 1970, in 32 bits as cookies count them.
fn seconds(context: &Context) -> u32 {
    (context.now / 1_000) as u32
}

fn write(reply: &Reply<'_>, query: &Query<'_>, context: &Context, subject: Subject, out: &mut [u8]) -> Outcome {
    let limit = match context.transport {
        Transport::Udp => udp_limit(query),
        _ => MAX_STREAM,
    };
    let length = reply.write(query, limit, out);
    Outcome::Reply { length, rcode: reply.rcode, subject, is_trusted: false }
}

//! The engine: a snapshot and a query → a reply. Pure; everything that answers goes through here.
#![deny(clippy::disallowed_methods)]

mod explain;
mod reasons;
mod resolve;

pub use explain::{Explanation, Question, explain};
pub use reasons::{LocatedReason, Reasons};

use std::net::{IpAddr, SocketAddr};

use crate::geo::RegionId;
use crate::pool::{NodeId, PoolId};
use crate::snapshot::Snapshot;
use crate::wire::{MAX_STREAM, Query, Rcode, Reply, udp_limit};

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
    /// What the caller knows of the client's key.
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
    Tls,
    /// QUIC (RFC 9250).
    Quic,
}

/// What the caller's key table knows of a client's key. Nothing uses it yet; the headroom planner will.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// Viewers per second behind the key.
    pub viewers: Option<f64>,
    /// Seconds for which the resolver keeps answers whatever their TTL.
    pub stretched_ttl: Option<u32>,
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

impl Subject {
    /// Of all errors.
    pub const ERROR: Self = Self { kind: SubjectKind::Error, name: 0 };
}

/// What a steered answer promised; the caller books it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation<'s> {
    /// Hash of the client's key.
    pub key: u64,
    /// The client's region.
    pub region: RegionId,
    /// The pool that was steered.
    pub pool: PoolId,
    /// The nodes that were named, in the order of the answer.
    pub nodes: &'s [NodeId],
    /// The answer's TTL in seconds.
    pub ttl: u32,
}

/// Reads a message; none if it must be dropped without a word.
pub fn read(message: &[u8]) -> Option<Query<'_>> {
    Query::read(message)
}

/// Answers a query into `out`, which should have room for 1,232 octets (UDP) or 65,535 (streams).
///
/// With `reasons` it does just the same, and says why.
pub fn answer<'s>(
    snapshot: &'s Snapshot,
    query: &Query<'_>,
    context: &Context,
    out: &mut [u8],
    reasons: Option<&mut Reasons>,
) -> (Outcome, Option<Observation<'s>>) {
    // A datagram from port 0 cannot be answered, and comes from nobody.
    if context.client.port() == 0 && context.transport == Transport::Udp {
        return (Outcome::Silence, None);
    }
    let mut reply = Reply::default();
    let (subject, observation) = match query.problem {
        Some(problem) => {
            reply.rcode = problem.rcode();
            (Subject::ERROR, None)
        }
        None => resolve::resolve(snapshot, query, context, &mut reply, reasons),
    };
    (write(&reply, query, context, subject, out), observation)
}

/// Answers a query with nothing but the advice to ask again over TCP.
///
/// It is what rate limiting sends in place of an answer: never longer than the query but for what EDNS adds.
pub fn truncated(query: &Query<'_>, context: &Context, out: &mut [u8]) -> Outcome {
    let reply = Reply { lacks_required: true, ..Reply::default() };
    write(&reply, query, context, Subject::ERROR, out)
}

fn write(reply: &Reply<'_>, query: &Query<'_>, context: &Context, subject: Subject, out: &mut [u8]) -> Outcome {
    let limit = match context.transport {
        Transport::Udp => udp_limit(query),
        Transport::Tcp | Transport::Tls | Transport::Quic => MAX_STREAM,
    };
    let length = reply.write(query, limit, out);
    Outcome::Reply { length, rcode: reply.rcode, subject }
}

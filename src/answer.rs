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
    },
    /// Send nothing.
    Silence,
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
    let (reply, observation) = match query.problem {
        Some(problem) => (Reply { rcode: problem.rcode(), ..Reply::default() }, None),
        None => resolve::resolve(snapshot, query, context, reasons),
    };
    let limit = match context.transport {
        Transport::Udp => udp_limit(query),
        Transport::Tcp | Transport::Tls | Transport::Quic => MAX_STREAM,
    };
    let length = reply.write(query, limit, out);
    (Outcome::Reply { length, rcode: reply.rcode }, observation)
}

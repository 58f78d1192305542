//! Explaining: the same answer as a client gets, put into words together with its reasons.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::Message;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Reasons, Transport, answer, read};
use crate::geo::Prefix;
use crate::name::{LookupName, Name};
use crate::snapshot::Snapshot;
use crate::steer::Estimate;
use crate::wire::{CLASS_IN, HEADER, MAX_UDP, RecordType};

/// A client subnet as resolvers send it (RFC 7871 §11.1): /24 and /56.
const SUBNET_V4: u8 = 24;
const SUBNET_V6: u8 = 56;
/// Any port; 0 would be dropped.
const PORT: u16 = 53;

/// Who asks what.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The name asked for.
    pub name: Name,
    /// The type asked for.
    pub qtype: RecordType,
    /// The address that the query comes from.
    pub resolver: IpAddr,
    /// The client subnet in it.
    pub subnet: Option<Prefix>,
    /// Viewers per second behind the key, if it is not one that asks for the first time.
    pub viewers: Option<f64>,
}

impl Question {
    /// The question of a client whose resolver passes its network on.
    pub fn of_client(name: Name, qtype: RecordType, client: IpAddr) -> Self {
        let length = if client.is_ipv4() { SUBNET_V4 } else { SUBNET_V6 };
        Self { name, qtype, resolver: client, subnet: Some(Prefix::of(client, length)), viewers: None }
    }

    /// The query as it would come over the wire.
    pub fn message(&self) -> Vec<u8> {
        let mut message = vec![0; HEADER];
        message[5] = 1;
        message.extend_from_slice(self.name.wire());
        message.extend_from_slice(&self.qtype.0.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message[11] = 1;
        message.extend_from_slice(&[0, 0, 41]);
        message.extend_from_slice(&(MAX_UDP as u16).to_be_bytes());
        message.extend_from_slice(&[0; 4]);
        let option = self.subnet.map(|subnet| {
            let octets = usize::from(subnet.length()).div_ceil(8);
            let (family, address) = match subnet.address() {
                IpAddr::V4(v4) => (1, v4.octets().to_vec()),
                IpAddr::V6(v6) => (2, v6.octets().to_vec()),
            };
            [&[0, 8, 0, 4 + octets as u8, 0, family, subnet.length(), 0], &address[..octets]].concat()
        });
        let option = option.unwrap_or_default();
        message.extend_from_slice(&(option.len() as u16).to_be_bytes());
        message.extend(option);
        message
    }
}

/// An answer in words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The snapshot's generation.
    pub generation: u64,
    /// The response code.
    pub rcode: String,
    /// The records of the answer section, as `dig` prints them.
    pub answer: Vec<String>,
    /// Why.
    pub reasons: Reasons,
}

/// What is known of the key: as asked, a cache with so many viewers, which comes back when one follows the end of the TTL.
fn estimate(snapshot: &Snapshot, question: &Question) -> Estimate {
    let Some(viewers) = question.viewers else { return Estimate::default() };
    // Services hardly differ in it; which one it will be, by CNAME or wildcard, is not known yet.
    let ttl = snapshot.fleet.services.iter().map(|service| service.service.ttl.max).max().unwrap_or(0);
    Estimate { viewers, rhythm: f64::from(ttl) + 1.0 / viewers, ..Estimate::default() }
}

/// Answers the question at `now` (milliseconds since 1970) and keeps the reasons.
pub fn explain(snapshot: &Snapshot, question: &Question, now: u64) -> Explanation {
    let message = question.message();
    let mut explanation = Explanation { generation: snapshot.generation, ..Explanation::default() };
    let mut name = LookupName::new();
    let Some(query) = read(&message, &mut name) else { return explanation };
    let context = Context {
        client: SocketAddr::new(question.resolver, PORT),
        local: None,
        transport: Transport::Tcp,
        now,
        idle: None,
        estimate: estimate(snapshot, question),
    };
    let mut out = vec![0; usize::from(u16::MAX)];
    let (outcome, _) = answer(snapshot, &query, &context, None, &mut out, Some(&mut explanation.reasons));
    if let Outcome::Reply { length, rcode, .. } = outcome {
        explanation.rcode = rcode.mnemonic().to_owned();
        let reply = Message::from_vec(&out[..length]);
        explanation.answer =
            reply.map_or_else(|_| Vec::new(), |reply| reply.answers.iter().map(ToString::to_string).collect());
    }
    explanation
}

//! Serving: datagrams, streams, encrypted streams, administration; all through one engine.

pub mod admin;
mod datagram;
pub mod hickory;
mod scratch;
pub mod stream;
mod tls;
pub mod udp;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::answer::{Context, Estimate, Outcome, Transport, answer, read};
use crate::intake::{Counts, Tally};
use crate::snapshot::{Published, Snapshot};

/// Answers messages one by one for the streams: takes the newest snapshot, counts, books.
#[derive(Clone)]
pub struct Responder {
    published: Arc<Published>,
    counts: Arc<Counts>,
}

impl Responder {
    /// A responder that answers from what is published and counts into `counts`.
    pub fn new(published: Arc<Published>, counts: Arc<Counts>) -> Self {
        Self { published, counts }
    }

    /// Answers a message into `out` and returns the reply's length; none if there is nothing to send.
    pub fn respond(
        &self,
        message: &[u8],
        client: SocketAddr,
        local: Option<IpAddr>,
        transport: Transport,
        out: &mut [u8],
    ) -> Option<usize> {
        let mut tally = Tally { received: 1, ..Tally::default() };
        let context = Context { client, local, transport, now: unix_milliseconds(), estimate: Estimate::default() };
        let length = respond(&self.published.snapshot(), message, &context, &self.counts, &mut tally, out);
        self.counts.add(&tally);
        length
    }
}

/// Answers a message and counts it, whatever it came over: steered answers at once, the rest into `tally`.
#[inline]
fn respond(
    snapshot: &Snapshot,
    message: &[u8],
    context: &Context,
    counts: &Counts,
    tally: &mut Tally,
    out: &mut [u8],
) -> Option<usize> {
    let replied = read(message).and_then(|query| {
        let (outcome, observation) = answer(snapshot, &query, context, out, None);
        if let Some(observation) = &observation {
            counts.book(observation);
        }
        match outcome {
            Outcome::Reply { length, rcode, .. } => Some((length, rcode)),
            Outcome::Silence => None,
        }
    });
    match replied {
        Some((length, rcode)) => {
            tally.replied(rcode);
            Some(length)
        }
        None => {
            tally.dropped += 1;
            None
        }
    }
}

/// Milliseconds since 1970; 0 on a machine whose clock stands before that.
fn unix_milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

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
use crate::snapshot::Published;

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
        let length = self.answered(message, client, local, transport, out, &mut tally);
        tally.dropped = u64::from(length.is_none());
        self.counts.add(&tally);
        length
    }

    fn answered(
        &self,
        message: &[u8],
        client: SocketAddr,
        local: Option<IpAddr>,
        transport: Transport,
        out: &mut [u8],
        tally: &mut Tally,
    ) -> Option<usize> {
        let query = read(message)?;
        let snapshot = self.published.snapshot();
        let context = Context { client, local, transport, now: unix_milliseconds(), estimate: Estimate::default() };
        let (outcome, observation) = answer(&snapshot, &query, &context, out, None);
        if let Some(observation) = &observation {
            self.counts.book(observation);
        }
        match outcome {
            Outcome::Reply { length, rcode } => {
                tally.replied(rcode);
                Some(length)
            }
            Outcome::Silence => None,
        }
    }
}

/// Milliseconds since 1970; 0 on a machine whose clock stands before that.
fn unix_milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

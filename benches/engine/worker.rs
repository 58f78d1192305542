//! What a worker does with a batch of datagrams, without its sockets.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use thalweg::answer::{Context, Transport};
use thalweg::intake::{Counts, Shelf, Tally};
use thalweg::name::LookupName;
use thalweg::serve::rate_limit::Limiter;
use thalweg::serve::{BATCH, Learner, Ready, respond_together};
use thalweg::snapshot::Snapshot;
use thalweg::steer::Estimate;
use thalweg::wire::Rcode;

use crate::world::Kind;

/// When the first query comes, in milliseconds since 1970.
const BEGIN: u64 = 1_800_000_000_000;

/// A worker that learns, counts and limits rates, as with the shipped configuration.
pub(crate) struct Worker {
    learner: Learner,
    shelf: Shelf,
    limiter: Limiter,
    counts: Counts,
    names: Box<[LookupName]>,
    replies: Box<[Ready]>,
    /// Queries that come in a millisecond.
    rate: u64,
    answered: u64,
}

impl Worker {
    pub(crate) fn new(rate: u64) -> Self {
        let (learner, shelf) = Learner::new(1, 1);
        Self {
            learner,
            shelf,
            limiter: Limiter::new(1, 1, Arc::default()),
            counts: Counts::new(),
            names: vec![LookupName::new(); BATCH].into(),
            replies: (0..BATCH).map(|_| Ready::new()).collect(),
            rate,
            answered: 0,
        }
    }

    /// Answers up to 32 queries that came together: messages, and who sent them.
    #[inline]
    pub(crate) fn answer<'m>(&mut self, snapshot: &Snapshot, batch: impl Iterator<Item = (&'m [u8], IpAddr)>) {
        let now = BEGIN + self.answered / self.rate;
        self.learner.turn(snapshot.generation, now, &self.counts);
        let mut tally = Tally::default();
        let context = |client| Context {
            client: SocketAddr::new(client, 5353),
            local: None,
            transport: Transport::Udp,
            now,
            idle: None,
            estimate: Estimate::default(),
        };
        let messages = batch.map(|(message, client)| Some((message, context(client))));
        let exchanges = messages.zip(&mut self.replies);
        let limiter = Some(&mut self.limiter);
        respond_together(snapshot, exchanges, &mut self.names, &mut self.learner, limiter, &mut tally);
        black_box(&self.replies);
        self.answered += tally.replies.iter().sum::<u64>();
        self.counts.add(&tally);
    }

    /// Takes what was booked, as the feed does each second.
    pub(crate) fn settle(&mut self) {
        self.shelf.take(|ledger| self.counts.add_ledger(ledger));
    }

    /// Replies so far with the response code that queries of a kind must get.
    pub(crate) fn replies_to(&self, kind: Kind) -> u64 {
        let rcode = if kind == Kind::NxDomain { Rcode::NXDOMAIN } else { Rcode::NOERROR };
        self.counts.total().replies[usize::from(rcode.0)]
    }
}

//! What a worker does with a batch of datagrams, without its sockets: `answer_all` and `work` of `src/serve/udp.rs`.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arrayvec::ArrayVec;
use thalweg::answer::{Context, Subject, Transport, follow, read};
use thalweg::intake::{Counts, Shelf, Tally};
use thalweg::name::LookupName;
use thalweg::serve::rate_limit::Limiter;
use thalweg::serve::{Learner, respond_on};
use thalweg::snapshot::Snapshot;
use thalweg::steer::Estimate;
use thalweg::wire::{MAX_UDP, Rcode};

use crate::world::Kind;

/// Datagrams that a worker takes at once.
pub(crate) const BATCH: usize = 32;
/// When the first query comes, in milliseconds since 1970.
const BEGIN: u64 = 1_800_000_000_000;

/// A worker that learns, counts and limits rates, as with the shipped configuration.
pub(crate) struct Worker {
    learner: Learner,
    shelf: Shelf,
    limiter: Limiter,
    counts: Counts,
    names: Box<[LookupName]>,
    out: Box<[u8; MAX_UDP]>,
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
            out: Box::new([0; MAX_UDP]),
            rate,
            answered: 0,
        }
    }

    /// Answers up to 32 queries that came together: messages, and who sent them.
    #[inline]
    pub(crate) fn answer<'m>(&mut self, snapshot: &Snapshot, batch: impl Iterator<Item = (&'m [u8], IpAddr)>) {
        let now = BEGIN + self.answered / self.rate;
        self.learner.turn(snapshot.generation, now, &self.counts);
        self.limiter.prepare();
        let mut tally = Tally::default();
        let mut queries = ArrayVec::<_, BATCH>::new();
        for ((message, client), name) in batch.zip(&mut self.names) {
            let context = Context {
                client: SocketAddr::new(client, 5353),
                local: None,
                transport: Transport::Udp,
                now,
                idle: None,
                estimate: Estimate::default(),
            };
            if let Some(query) = read(message, name) {
                queries.push((query, context));
            }
        }
        let mut courses = ArrayVec::<_, BATCH>::new();
        follow(snapshot, &self.learner.keys, &queries, &mut courses);
        for ((query, context), course) in queries.iter().zip(&courses) {
            self.limiter.fetch(course.subject(query.name, Subject::ERROR), context.client.ip());
        }
        for ((query, context), &course) in queries.iter().zip(&courses) {
            let limiter = Some(&mut self.limiter);
            let way = (query, course);
            let out = &mut self.out[..];
            black_box(respond_on(snapshot, way, context, &mut self.learner, limiter, &mut tally, out));
        }
        self.answered += queries.len() as u64;
        self.limiter.tell();
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

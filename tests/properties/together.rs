//! Properties of batches: what comes together is answered as what comes one by one.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::Strategy;
use thalweg::answer::{Context, Transport};
use thalweg::config::{RateLimit, RateLimitMode};
use thalweg::intake::{Counts, Tally};
use thalweg::name::LookupName;
use thalweg::serve::rate_limit::Limiter;
use thalweg::serve::{BATCH, Learner, Ready, respond, respond_together};
use thalweg::snapshot::Snapshot;
use thalweg::steer::Estimate;
use thalweg::wire::{MAX_UDP, RecordType, Secrets};

use super::support::installation::{Load, Use, inputs, snapshot};
use super::support::query::Query;
use super::{check, corpus, mutated};

/// Who asks: few, so that they come again, are limited and are learned of.
const CLIENTS: [&str; 4] = ["192.0.2.53", "192.0.2.54", "198.51.100.7", "2001:db8:7::53"];
/// When the first batch comes, in milliseconds since 1970.
const BEGIN: u64 = 1_800_000_000_000;

#[test]
fn a_batch_is_answered_booked_and_counted_as_its_queries_one_by_one() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("thalweg.toml");
    let mut snapshot = snapshot(&inputs(&shipped).unwrap(), |_| Load::Fresh(Use::Pressure(0.5)));
    let limit = RateLimit { mode: RateLimitMode::On, per_second: 3, ..RateLimit::clone(&snapshot.rate_limit) };
    snapshot.rate_limit = Arc::new(limit);
    snapshot.cookies = Secrets::new([[7; 16]]);
    let message = proptest::prop_oneof![sound(&snapshot), mutated(seeds(&snapshot))];
    let batch = proptest::collection::vec((message, 0..CLIENTS.len()), 0..=BATCH);
    let batches = proptest::collection::vec((batch, 0..40_000_u64), 1..5);
    check(300, &batches, |batches| {
        let (mut together, mut alone) = (Worker::new(), Worker::new());
        let mut now = BEGIN;
        for (batch, pause) in batches {
            let asked: Vec<(&[u8], Context)> =
                batch.iter().map(|(message, client)| (&message[..], context(CLIENTS[*client], now))).collect();
            let replies = alone.one_by_one(&snapshot, &asked);
            assert_eq!(together.together(&snapshot, &asked), replies);
            now += pause;
        }
        assert_eq!(together.counted(), alone.counted());
    });
}

/// Queries that are answered mostly.
fn sound(snapshot: &Snapshot) -> impl Strategy<Value = Vec<u8>> + use<> {
    proptest::sample::select(seeds(snapshot))
}

/// Queries for what the shipped example has, and what hostile ones are made of.
fn seeds(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = corpus("query").into_iter().map(|(_, seed)| seed).collect();
    let longest = format!("{}.{}", vec!["x"; 100].join("."), "live.example.");
    seeds.push(Query::new(&longest, RecordType::A).message());
    seeds.push(Query::new(".", RecordType::NS).message());
    for zone in snapshot.zones.iter() {
        for label in
            ["", "www.", "play.", "PLAY.", "lobby.room.", "other.room.", "nobody.customers.", "nobody.", "a.b.c."]
        {
            for qtype in [RecordType::A, RecordType::AAAA, RecordType::DS, RecordType::ANY] {
                let mut query = Query::new(&format!("{label}{}", zone.apex()), qtype);
                seeds.push(query.message());
                seeds.push(query.clone().with_subnet("88.198.1.0/24".parse().unwrap()).message());
                query.edns().options.push((10, b"a client".to_vec()));
                seeds.push(query.message());
            }
        }
    }
    seeds
}

fn context(client: &str, now: u64) -> Context {
    let client: IpAddr = client.parse().unwrap();
    let (client, transport, estimate) = (SocketAddr::new(client, 4711), Transport::Udp, Estimate::default());
    Context { client, local: None, transport, now, idle: None, estimate }
}

/// A worker with its buffers, which keep what was in them.
struct Worker {
    learner: Learner,
    limiter: Limiter,
    shelf: thalweg::intake::Shelf,
    counts: Counts,
    names: Vec<LookupName>,
    replies: Vec<Ready>,
    tally: Tally,
}

impl Worker {
    fn new() -> Self {
        let (learner, shelf) = Learner::new(1000, 1);
        Self {
            learner,
            limiter: Limiter::new(1, 1, Arc::default()),
            shelf,
            counts: Counts::new(),
            names: vec![LookupName::new(); BATCH],
            replies: (0..BATCH).map(|_| Ready::new()).collect(),
            tally: Tally::default(),
        }
    }

    fn together(&mut self, snapshot: &Snapshot, asked: &[(&[u8], Context)]) -> Vec<Option<Vec<u8>>> {
        let Self { learner, limiter, names, replies, tally, .. } = self;
        let exchanges = asked.iter().copied().map(Some).zip(&mut *replies);
        respond_together(snapshot, exchanges, names, learner, Some(limiter), tally);
        replies.iter().take(asked.len()).map(|ready| ready.reply().map(<[u8]>::to_vec)).collect()
    }

    fn one_by_one(&mut self, snapshot: &Snapshot, asked: &[(&[u8], Context)]) -> Vec<Option<Vec<u8>>> {
        let Self { learner, limiter, tally, .. } = self;
        limiter.prepare();
        let mut reply = |(message, context): &(&[u8], Context)| {
            let mut out = [0; MAX_UDP];
            let length = respond(snapshot, message, context, learner, Some(&mut *limiter), tally, &mut out)?;
            Some(out[..length].to_vec())
        };
        asked.iter().map(&mut reply).collect()
    }

    /// What was counted, what was booked, how long keys kept answers.
    fn counted(&mut self) -> (Tally, Vec<String>) {
        let mut booked = Vec::new();
        self.learner.turn(2, BEGIN * 2, &self.counts);
        self.shelf.take(|ledger| booked.extend(ledger.entries().map(|entry| format!("{entry:?}"))));
        booked.push(format!("{:?}", self.learner.keys.gaps()));
        (self.tally, booked)
    }
}

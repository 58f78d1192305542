//! The packet path allocates nothing, whatever is asked.
#![expect(unsafe_code, reason = "an allocator that counts is one that implements GlobalAlloc")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use support::installation::{Load, Use, inputs, snapshot};
use support::query::Query;
use thalweg::answer::{Context, SubjectKind, Transport};
use thalweg::config::{RateLimit, RateLimitMode};
use thalweg::intake::{Beyond, Counts, Tally};
use thalweg::serve::rate_limit::Limiter;
use thalweg::serve::{Learner, respond};
use thalweg::steer::Estimate;
use thalweg::wire::{MAX_STREAM, RecordType, Secrets};

/// The system's allocator, with a count for each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all calls go to the system's allocator as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn no_query_costs_an_allocation() {
    assert!(allocations(|| drop(vec![1; 10])) > 0, "the counter counts");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("thalweg.toml");
    let inputs = inputs(&shipped).expect("the shipped example has no errors");
    let counts = Counts::new();
    let (mut learner, _shelf) = Learner::new(1, 1);
    let mut limiter = Limiter::new(1, 1, Arc::default());
    limiter.prepare();
    for pressure in [0.1, 0.85, 1.2] {
        let mut snapshot = snapshot(&inputs, |_| Load::Fresh(Use::Pressure(pressure)));
        let mut queries: Vec<Vec<u8>> = Vec::new();
        for zone in snapshot.zones.iter() {
            for label in ["", "www.", "play.", "lobby.room.", "nobody.customers.", "nobody.", "mail.", "a.b.c."] {
                for qtype in [
                    RecordType::A,
                    RecordType::AAAA,
                    RecordType::MX,
                    RecordType::NS,
                    RecordType::SOA,
                    RecordType::TXT,
                    RecordType::ANY,
                    RecordType::DS,
                ] {
                    let query = Query::new(&format!("{label}{}", zone.apex()), qtype);
                    queries.push(query.message());
                    for subnet in ["88.198.1.0/24", "2001:db8:1::/48", "0.0.0.0/0"] {
                        queries.push(query.clone().with_subnet(subnet.parse().expect(subnet)).message());
                    }
                }
            }
        }
        queries.push(Query::new("elsewhere.example.", RecordType::A).message());
        queries.push(b"what is no message at all".to_vec());
        let mut with_cookie = Query::new("www.live.example.", RecordType::A);
        with_cookie.edns().options.push((10, b"a client".to_vec()));
        queries.extend(vec![with_cookie.message(); 10]);
        // A rate at which answers within it come up as well as those beyond.
        let limit = RateLimit { mode: RateLimitMode::On, per_second: 2, ..RateLimit::clone(&snapshot.rate_limit) };
        snapshot.rate_limit = Arc::new(limit);
        snapshot.cookies = Secrets::new([[7; 16]]);
        let mut out = vec![0; MAX_STREAM];
        for query in &queries {
            for transport in [Transport::Udp, Transport::Tcp] {
                let context = Context {
                    client: ([192, 0, 2, 53], 4711).into(),
                    local: None,
                    transport,
                    now: 1_000_000,
                    idle: None,
                    estimate: Estimate::default(),
                };
                let limiter = (transport == Transport::Udp).then_some(&mut limiter);
                let count = allocations(|| {
                    let mut tally = Tally::default();
                    respond(&snapshot, query, &context, &mut learner, limiter, &counts, &mut tally, &mut out);
                    counts.add(&tally);
                });
                assert_eq!(count, 0, "{query:?} over {transport:?}");
            }
        }
    }
    for (beyond, word) in Beyond::ALL {
        let of_kind = SubjectKind::ALL.map(|kind| counts.answers_beyond_rate(kind, beyond));
        assert!(of_kind.iter().sum::<u64>() > 0, "no answer beyond the rate was {word}");
    }
}

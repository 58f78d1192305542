//! What steering costs a query: learning from it.
//!
//! `cargo bench --bench steering`. Rounds of all kinds are interleaved, and medians shown. Nanoseconds hold on an idle machine only.

use std::hint::black_box;
use std::time::Instant;

use thalweg::pool::{Family, ServiceId};
use thalweg::steer::{Asking, KeySlot, KeyTable, mix};

/// Keys that a server keeps.
const KEYS: usize = 200_000;
/// Queries of each kind in a round.
const QUERIES: u64 = 20_000;
const ROUNDS: usize = 51;
/// Seconds that answers may be kept.
const TTL: u32 = 15;

/// A way to ask, and who asks.
struct Kind {
    name: &'static str,
    /// Keys that are in the table before, each with some history.
    known: u64,
    /// Seconds between two queries of a key, and how many of a farm's caches ask in that time.
    gap: u64,
    /// The key of a query, by its number.
    key: fn(u64) -> u64,
}

const KINDS: [Kind; 5] = [
    Kind { name: "one hot key", known: 1, gap: 16_000, key: |_| 0 },
    Kind { name: "one hot key of eight caches", known: 1, gap: 2_100, key: |_| 0 },
    Kind { name: "1,000 keys in turn", known: 1_000, gap: 16_000, key: |query| query % 1_000 },
    Kind { name: "cold keys, of 150,000", known: 150_000, gap: 16_000, key: |query| mix(query) % 150_000 },
    Kind { name: "new keys, into a full table", known: 400_000, gap: 0, key: |query| 1 << 32 | query },
];

struct Run {
    table: KeyTable,
    queries: u64,
    /// Milliseconds since 1970.
    now: u64,
    times: Vec<f64>,
}

fn main() {
    let mut runs = KINDS.each_ref().map(prepared);
    for _ in 0..ROUNDS {
        for (kind, run) in KINDS.iter().zip(&mut runs) {
            let start = Instant::now();
            for _ in 0..QUERIES {
                run.queries += 1;
                run.now += kind.gap / if kind.known > 1_000 { 100 } else { kind.known };
                let _slot = black_box(ask(&mut run.table, (kind.key)(run.queries), run.now));
            }
            run.times.push(start.elapsed().as_nanos() as f64 / QUERIES as f64);
        }
    }
    println!("learning: observe and answered");
    for (kind, mut run) in KINDS.iter().zip(runs) {
        run.times.sort_by(f64::total_cmp);
        println!("  {:28} {:6.1} ns", kind.name, run.times[ROUNDS / 2]);
    }
}

/// A table in which the keys have come three times.
fn prepared(kind: &Kind) -> Run {
    let mut run = Run { table: KeyTable::new(KEYS, 1), queries: 0, now: 1_800_000_000_000, times: Vec::new() };
    for _ in 0..3 {
        (0..kind.known).for_each(|key| {
            let _ = ask(&mut run.table, key, run.now);
        });
        run.now += 16_000;
    }
    run
}

#[inline]
fn ask(table: &mut KeyTable, key: u64, now: u64) -> KeySlot {
    let asking = Asking { key, service: ServiceId(0), family: Family::V4, now, typical: 10.0 };
    let (estimate, slot) = table.observe(black_box(&asking));
    black_box(estimate);
    table.answered(slot, TTL, now);
    slot
}

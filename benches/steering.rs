//! What steering costs: a query, to learn from it, to pick its nodes and to book them; and a second, to weigh and to plan.
//!
//! `cargo bench --bench steering`. Rounds of all kinds are interleaved, and medians shown, with the fastest round, which holds
//! on a busy machine too.

use std::hint::black_box;
use std::time::Instant;

use thalweg::pool::{Family, ServiceId};
use thalweg::steer::{Asking, KeySlot, KeyTable, Ledger, mix};
use world::World;

// Beside this file it would be a benchmark of its own.
#[path = "steering/world.rs"]
mod world;

/// Keys that a server keeps.
const KEYS: usize = 200_000;
/// Queries of each kind in a round.
const QUERIES: u64 = 20_000;
const ROUNDS: usize = 51;
/// Rounds of what takes a second's tick.
const TICKS: usize = 21;
/// Seconds that answers may be kept.
const TTL: u32 = 15;

/// A way to ask, and who asks.
struct Kind {
    name: &'static str,
    /// Keys that are in the table before, each with some history.
    known: u64,
    /// Milliseconds between two queries of a key, or in which a hundred cold ones come. Not a second beyond the TTL: means of
    /// ln 1 sink to subnormal numbers, which cost 50 ns.
    gap: u64,
    /// The key of a query, by its number.
    key: fn(u64) -> u64,
}

const KINDS: [Kind; 5] = [
    Kind { name: "one hot key", known: 1, gap: 16_300, key: |_| 0 },
    Kind { name: "one hot key of eight caches", known: 1, gap: 2_100, key: |_| 0 },
    Kind { name: "1,000 keys in turn", known: 1_000, gap: 16_300, key: |query| query % 1_000 },
    Kind { name: "cold keys, of 150,000", known: 150_000, gap: 16_300, key: |query| mix(query) % 150_000 },
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
        println!("  {:28} {:6.1} ns, at best {:.1} ns", kind.name, run.times[ROUNDS / 2], run.times[0]);
    }
    picks();
    ticks();
}

/// A pick, and booking what it promised.
fn picks() {
    let mut world = World::new(500, 25, 250);
    let tables = world.tick(0.0);
    let mut ledger = Ledger::new();
    let mut times: [Vec<f64>; 3] = Default::default();
    for round in 0..ROUNDS as u64 {
        for (kind, times) in times.iter_mut().enumerate() {
            let start = Instant::now();
            for query in 0..QUERIES {
                let hash = mix(query ^ round << 32);
                let viewers = if kind == 0 { 1e-4 } else { 20.0 };
                let decision = black_box(world.ask(&tables, (hash >> 20) as u16 % 250, hash, viewers, query));
                assert_eq!(decision.is_heavy, kind != 0);
                if kind == 2 {
                    ledger.book(&World::observation((hash >> 20) as u16 % 250, &decision, viewers));
                }
            }
            times.push(start.elapsed().as_nanos() as f64 / QUERIES as f64);
            ledger.clear(0);
        }
    }
    println!("picking, of 500 nodes at 25 places for 250 regions");
    for (name, times) in ["light key", "heavy key", "heavy key, and booking it"].iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("  {name:28} {:6.1} ns, at best {:.1} ns", times[ROUNDS / 2], times[0]);
    }
}

/// A second: weights, plan and menus; and in a rush, when all weights have moved.
fn ticks() {
    println!("ticking");
    for (nodes, places, regions) in [(500, 25, 250), (500, 1, 250), (8, 1, 1), (30, 1, 1), (200, 1, 1)] {
        for (name, swing) in [("steady", 0.0), ("rush", 0.2)] {
            let mut world = World::new(nodes, places, regions);
            let tables = world.tick(0.0);
            let mut times: Vec<f64> = (0..TICKS)
                .map(|_| {
                    world.book(&tables);
                    let start = Instant::now();
                    let _made = black_box(world.tick(swing));
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            times.sort_by(f64::total_cmp);
            println!(
                "  {nodes:3} nodes, {places:2} places, {regions:3} regions, {name:6} {:8.3} ms, at best {:.3} ms",
                times[TICKS / 2],
                times[0]
            );
        }
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

//! Days of queries in minutes: the engine is asked without end, and its memory looked at meanwhile.
//!
//! `cargo bench --bench endurance -- calls=2000000000` (10 million without it). Queries of all kinds, clients and subnets at random, a
//! clock of 500 queries a millisecond, ledgers taken as a feed does.
//! It ends with an error if memory has grown after the first tenth.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Instant;

use thalweg::serve::BATCH;
use thalweg::steer::mix;
use worker::Worker;
use world::{Asked, Kind, queries, snapshot};

// Beside this file they would be benchmarks of their own.
#[path = "engine/worker.rs"]
mod worker;
#[path = "engine/world.rs"]
mod world;

const HOSTS: usize = 100_000;
/// Queries of a millisecond.
const RATE: u64 = 500;
/// Octets by which memory may differ: what the allocator keeps back.
const TOLERATED: u64 = 2 << 20;

fn main() -> ExitCode {
    let calls = std::env::args().find_map(|arg| arg.strip_prefix("calls=")?.parse().ok()).unwrap_or(10_000_000_u64);
    let snapshot = snapshot(HOSTS);
    let mut asked: Vec<_> = Kind::ALL.iter().flat_map(|(kind, _)| queries(*kind, HOSTS, 4_000)).collect();
    // All kinds in each batch.
    asked.sort_by_key(|asked| mix(asked.message.iter().fold(0, |hash, octet| mix(hash ^ u64::from(*octet)))));
    let mut worker = Worker::new(RATE);
    let (begun, mut settled, mut done, mut steps) = (Instant::now(), None, 0_u64, 0);
    while done < calls {
        let batch = (done..done + BATCH as u64).map(|number| {
            let (message, client) = Asked::parts(&asked[number as usize % asked.len()]);
            let random = Ipv4Addr::from_bits(mix(number) as u32);
            (message, if client.is_ipv4() { IpAddr::from(random) } else { client })
        });
        worker.answer(&snapshot, batch);
        worker.settle();
        done += BATCH as u64;
        if done * 20 / calls > steps {
            steps = done * 20 / calls;
            let resident = resident();
            let each = begun.elapsed().as_nanos() as f64 / done as f64;
            println!("{done:>12} queries  {:>8} KiB  {each:6.0} ns each", resident >> 10);
            if steps == 2 {
                settled = Some(resident);
            }
            if settled.is_some_and(|settled| resident > settled + TOLERATED) {
                eprintln!("memory has grown");
                return ExitCode::FAILURE;
            }
        }
    }
    assert!(
        Kind::ALL.iter().all(|(kind, _)| worker.replies_to(*kind) > calls / 16),
        "each kind is answered as it must be"
    );
    ExitCode::SUCCESS
}

/// Octets of memory in use, as the kernel counts them.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

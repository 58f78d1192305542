//! What the engine takes: its stages, the whole path of a query of each kind in zones of three sizes, and what comes beside it:
//! making a snapshot, a tick, and an exporter's answer.
//!
//! `cargo bench --bench engine`, with a part of a name for some of them, as `-- path/1000000` or `-- tick`. Times of a group stand
//! one below the other; their ratios hold on a quiet machine only, for criterion does not interleave. `instructions` counts.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::cell::LazyCell;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use thalweg::answer::read;
use thalweg::config::embedded_presets;
use thalweg::diagnostic::Source;
use thalweg::load;
use thalweg::name::{LookupName, Name};
use thalweg::pool::{Family, ServiceId};
use thalweg::serve::BATCH;
use thalweg::steer::{Asking, KeyTable, mix};
use thalweg::wire::{Item, MAX_UDP, Owner, Records, Reply};
use thalweg::zone::{self, Found, Zone};
use worker::Worker;
use world::{Asked, Kind, queries, snapshot};

// Beside this file they would be benchmarks of their own.
#[path = "steering/world.rs"]
mod steering;
#[path = "engine/worker.rs"]
mod worker;
#[path = "engine/world.rs"]
mod world;

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];
/// Different queries of a kind: what they touch is more than caches hold where the zone is larger than these. Whole batches.
const QUERIES: usize = 20_480;
/// The zone of the stages, and of what is made.
const HOSTS: usize = 100_000;

/// A batch of 32 from octets to octets: reading, look-ups, steering, learning, the limit of rates, writing.
fn path(criterion: &mut Criterion) {
    for hosts in SIZES {
        let snapshot = LazyCell::new(|| snapshot(hosts));
        let mut group = criterion.benchmark_group(format!("path/{hosts}"));
        group.throughput(Throughput::Elements(BATCH as u64));
        for (kind, word) in Kind::ALL {
            group.bench_function(word, |bencher| {
                // Else the zone would be made in what is measured.
                let snapshot = LazyCell::force(&snapshot);
                let asked = queries(kind, hosts, QUERIES);
                let mut worker = Worker::new(BATCH as u64);
                let mut batches = asked.chunks(BATCH);
                bencher.iter(|| {
                    let batch = batches.next().unwrap_or_else(|| {
                        worker.settle();
                        batches = asked.chunks(BATCH);
                        batches.next().expect("there are queries")
                    });
                    worker.answer(snapshot, batch.iter().map(Asked::parts));
                });
                assert!(worker.replies_to(kind) > 0);
            });
        }
    }
}

/// Each stage alone, one query after the other; on the path those of a batch wait for memory together.
fn stages(criterion: &mut Criterion) {
    let snapshot = LazyCell::new(|| snapshot(HOSTS));
    let mut group = criterion.benchmark_group("stage");
    for (kind, word) in [(Kind::Hit, "read"), (Kind::Subnet, "read a subnet")] {
        let asked = queries(kind, HOSTS, QUERIES);
        let mut next = asked.iter().cycle();
        let mut name = LookupName::new();
        group.bench_function(word, |bencher| {
            bencher.iter(|| black_box(read(&next.next().unwrap().message, &mut name)).is_some());
        });
    }
    for (kind, word) in [(Kind::Hit, "look up"), (Kind::NxDomain, "look up what is not there")] {
        group.bench_function(word, |bencher| {
            let snapshot = LazyCell::force(&snapshot);
            let asked = queries(kind, HOSTS, QUERIES);
            let mut names = vec![LookupName::new(); QUERIES];
            let read = asked.iter().zip(&mut names).map(|(asked, name)| read(&asked.message, name).unwrap());
            let read: Vec<_> = read.collect();
            let mut next = read.iter().cycle();
            bencher.iter(|| {
                let query = next.next().unwrap();
                let zone = snapshot.zones.find(query.name, usize::MAX).unwrap();
                black_box(zone.lookup(query.name, query.qtype));
            });
        });
    }
    let address = |number: u64, is_v6: bool| -> IpAddr {
        let random = mix(number);
        // 2000::/4 holds what has been given out.
        let high = 0x2000 | (random & 0x0fff) as u16;
        if is_v6 {
            [high, (random >> 16) as u16, (random >> 32) as u16, 0, 0, 0, 0, 1].into()
        } else {
            (random as u32).to_be_bytes().into()
        }
    };
    for (is_v6, word) in [(false, "locate IPv4"), (true, "locate IPv6")] {
        group.bench_function(word, |bencher| {
            let geo = &snapshot.geo;
            let addresses: Vec<IpAddr> = (0..QUERIES as u64).map(|number| address(number, is_v6)).collect();
            let mut next = addresses.iter().cycle();
            bencher.iter(|| black_box(geo.locate(*next.next().unwrap())));
        });
    }
    for (viewers, word) in [(1e-4, "pick for a light key"), (20.0, "pick for a heavy key")] {
        group.bench_function(word, |bencher| {
            let mut world = steering::World::new(500, 25, 250);
            let tables = world.tick(0.0);
            let mut number = 0;
            bencher.iter(|| {
                number += 1;
                let hash = mix(number);
                black_box(world.ask(&tables, (hash >> 20) as u16 % 250, hash, viewers, number)).ttl
            });
        });
    }
    for (known, word) in [(1_000, "learn from one of 1,000 keys"), (150_000, "learn from one of 150,000 keys")] {
        group.bench_function(word, |bencher| {
            let mut keys = KeyTable::new(200_000, 1);
            let (mut number, mut now) = (0, 1_800_000_000_000);
            bencher.iter(|| {
                number += 1;
                now += 1;
                let key = mix(number) % known;
                let asking = Asking { key, service: ServiceId(0), family: Family::V4, now, typical: 10.0 };
                let (estimate, slot) = keys.observe(&asking);
                keys.answered(slot, 30, now);
                estimate
            });
        });
    }
    group.bench_function("write", |bencher| {
        let asked = queries(Kind::Hit, HOSTS, 1);
        let mut name = LookupName::new();
        let query = read(&asked[0].message, &mut name).unwrap();
        let zone = snapshot.zones.find(query.name, usize::MAX).unwrap();
        let Found::Records(rrset) = zone.lookup(query.name, query.qtype).found else { panic!("a host has addresses") };
        let mut out = [0; MAX_UDP];
        bencher.iter(|| {
            let records = Records::Ready { count: rrset.count, bytes: rrset.bytes };
            let mut reply = Reply { is_authoritative: true, ..Reply::default() };
            reply.answer.push(Item::required(Owner::Question, records));
            reply.write(&query, MAX_UDP, &mut out)
        });
    });
}

/// What a reload does: a zone of 100,000 names from its text, and all of an installation from its files.
fn making(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("make");
    group.sampling_mode(SamplingMode::Flat).sample_size(10).measurement_time(Duration::from_secs(5));
    let apex = Name::parse("stream.example.", None).unwrap();
    let text = LazyCell::new(|| Source::new("stream.example.zone", world::zone(HOSTS)));
    let records = || zone::read(&text, &apex, &mut |_| panic!("no file is included")).0;
    group.bench_function("read 100,000 names", |bencher| bencher.iter_with_large_drop(records));
    group.bench_function("build 100,000 names", |bencher| {
        let records = records();
        bencher.iter_with_large_drop(|| Zone::build(&records, &[]).0.unwrap());
    });
    group.bench_function("snapshot of 100,000 names", |bencher| bencher.iter_with_large_drop(|| snapshot(HOSTS)));
}

/// A second of steering: weights, plan and menus of 500 nodes at 25 places, for 250 regions.
fn ticking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tick");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for (swing, word) in [(0.0, "steady"), (0.2, "all loads move")] {
        group.bench_function(word, |bencher| {
            let world = std::cell::RefCell::new(steering::World::new(500, 25, 250));
            let tables = world.borrow_mut().tick(0.0);
            let book = || world.borrow_mut().book(&tables);
            bencher.iter_batched(book, |()| world.borrow_mut().tick(swing), BatchSize::PerIteration);
        });
    }
}

/// An answer of node_exporter as it comes, and one of the collectors that are wanted alone.
fn scrape(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scrape");
    let preset = &embedded_presets()["node"];
    for (word, body) in [
        ("all", include_bytes!("../tests/load/node_exporter_default.prom").as_slice()),
        ("wanted", include_bytes!("../tests/load/node_exporter_collect_filtered.prom")),
    ] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(word, |bencher| bencher.iter(|| load::read(preset, black_box(body)).unwrap()));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = path, stages, making, ticking, scrape
}
criterion_main!(benches);

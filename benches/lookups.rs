//! What the engine takes for names that are there and for names that are not, in zones of two sizes.
//!
//! `cargo bench --bench lookups`. Rounds of all kinds are interleaved, and medians compared: the ratios hold on a busy machine
//! too, the nanoseconds do not.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use tempfile::TempDir;
use thalweg::answer::{Context, Outcome, Transport, answer, read};
use thalweg::feed::{Feed, Options};
use thalweg::name::Name;
use thalweg::snapshot::Snapshot;
use thalweg::steer::{Estimate, mix};
use thalweg::wire::{Rcode, RecordType};

const SIZES: [usize; 2] = [1_000, 100_000];
/// Different queries of each kind: more than fit into the first caches together with what they touch.
const QUERIES: usize = 4_096;
const ROUNDS: usize = 101;

/// A kind of question, and what it must get.
struct Kind {
    name: &'static str,
    rcode: Rcode,
    /// The name's first part and the type, from the number of a name that exists and from one at random.
    question: fn(usize, u64) -> (String, RecordType),
}

const KINDS: [Kind; 4] = [
    Kind { name: "positive", rcode: Rcode::NOERROR, question: |there, _| (format!("n{there}"), RecordType::A) },
    Kind { name: "NODATA", rcode: Rcode::NOERROR, question: |there, _| (format!("n{there}"), RecordType::TXT) },
    Kind { name: "NXDOMAIN", rcode: Rcode::NXDOMAIN, question: |_, random| (format!("x{random:x}"), RecordType::A) },
    Kind {
        name: "NXDOMAIN, five labels deep",
        rcode: Rcode::NXDOMAIN,
        question: |there, random| (format!("a.b.c.x{random:x}.n{there}"), RecordType::A),
    },
];

fn main() {
    for size in SIZES {
        let snapshot = snapshot(size);
        let queries = KINDS.each_ref().map(|kind| messages(kind, size));
        for (kind, messages) in KINDS.iter().zip(&queries) {
            messages.iter().for_each(|message| assert_eq!(ask(&snapshot, message), kind.rcode, "{}", kind.name));
        }
        let mut times: [Vec<f64>; KINDS.len()] = Default::default();
        for _ in 0..ROUNDS {
            for (times, messages) in times.iter_mut().zip(&queries) {
                let start = Instant::now();
                for message in messages {
                    black_box(ask(&snapshot, black_box(message)));
                }
                times.push(start.elapsed().as_nanos() as f64 / QUERIES as f64);
            }
        }
        let medians = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[ROUNDS / 2]
        });
        println!("{size} names");
        for (kind, median) in KINDS.iter().zip(medians) {
            println!("  {:28} {median:6.0} ns  {:.2} of a positive answer", kind.name, median / medians[0]);
        }
    }
}

fn snapshot(size: usize) -> std::sync::Arc<Snapshot> {
    let directory = TempDir::new().unwrap();
    let zones = directory.path().join("zones");
    fs::create_dir(&zones).unwrap();
    let mut zone = "$TTL 300\n@ SOA ns1 host 1 1h 15m 2w 60\n@ NS ns1\nns1 A 192.0.2.53\n".to_owned();
    for number in 0..size {
        writeln!(zone, "n{number} A 192.0.2.1").unwrap();
    }
    fs::write(zones.join("big.example.zone"), zone).unwrap();
    let file = directory.path().join("thalweg.toml");
    fs::write(&file, "").unwrap();
    let feed = Feed::new(Options { file, environment: Vec::new(), is_watching: true, is_strict: true })
        .unwrap_or_else(|error| panic!("{error:?}"));
    feed.published().snapshot()
}

fn messages(kind: &Kind, size: usize) -> Vec<Vec<u8>> {
    let message = |number: usize| {
        let random = mix(number as u64);
        let (first, qtype) = (kind.question)(random as usize % size, random);
        let name = Name::parse(&format!("{first}.big.example."), None).unwrap();
        let header = [0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        [&header, name.wire(), &qtype.0.to_be_bytes(), &[0, 1]].concat()
    };
    (0..QUERIES).map(message).collect()
}

fn ask(snapshot: &Snapshot, message: &[u8]) -> Rcode {
    let mut out = [0; 1232];
    let context = Context {
        client: SocketAddr::from(([192, 0, 2, 1], 53)),
        local: None,
        transport: Transport::Udp,
        now: 1_800_000_000_000,
        idle: None,
        estimate: Estimate::default(),
    };
    match answer(snapshot, &read(message).unwrap(), &context, None, &mut out, None).0 {
        Outcome::Reply { rcode, .. } => rcode,
        Outcome::Silence => panic!("a query got no reply"),
    }
}

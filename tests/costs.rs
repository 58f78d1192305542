//! What no machine's speed changes: the packet path allocates nothing, whatever is asked, and makes two system calls a batch; a
//! name takes so many octets, and hostile answers of exporters cost little memory.
#![expect(unsafe_code, reason = "an allocator that counts is one that implements GlobalAlloc")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "costs/calls.rs"]
mod calls;
#[path = "costs/octets.rs"]
mod octets;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io::Read, io::Write, net::TcpListener, thread};

use support::installation::{Installation, Load, Use, inputs, snapshot};
use support::query::Query;
use support::reply::Reply;
use thalweg::answer::{Context, Transport};
use thalweg::config::embedded_presets;
use thalweg::config::{RateLimit, RateLimitMode};
use thalweg::feed::Credentials;
use thalweg::feed::scrape::{Scraper, Target};
use thalweg::intake::{Beyond, Counts, Tally};
use thalweg::load::exposition::MAX_BODY;
use thalweg::name::LookupName;
use thalweg::pool::{Exporter, NodeId};
use thalweg::serve::rate_limit::Limiter;
use thalweg::serve::{BATCH, Learner, Ready, respond, respond_together};
use thalweg::steer::Estimate;
use thalweg::wire::{MAX_STREAM, RecordType, Secrets};

/// The system's allocator, with a count for each thread, and octets in use.
struct Counting;

/// Octets in use, and the most there were since it was last set.
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// Octets in use are those of the whole process, so that only one test may run at a time.
static ALONE: Mutex<()> = Mutex::new(());

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all calls go to the system's allocator as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        let in_use = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(in_use, Ordering::Relaxed);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
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
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(allocations(|| drop(vec![1; 10])) > 0, "the counter counts");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("thalweg.toml");
    let inputs = inputs(&shipped).expect("the shipped example has no errors");
    let counts = Counts::new();
    let (mut learner, _shelf) = Learner::new(1, 1);
    let mut limiter = Limiter::new(1, 1, Arc::default());
    limiter.prepare();
    let mut names = vec![LookupName::new(); BATCH];
    let mut replies: Vec<Ready> = (0..BATCH).map(|_| Ready::new()).collect();
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
        let context = |transport| Context {
            client: ([192, 0, 2, 53], 4711).into(),
            local: None,
            transport,
            now: 1_000_000,
            idle: None,
            estimate: Estimate::default(),
        };
        for query in &queries {
            for transport in [Transport::Udp, Transport::Tcp] {
                let context = context(transport);
                let limiter = (transport == Transport::Udp).then_some(&mut limiter);
                let count = allocations(|| {
                    let mut tally = Tally::default();
                    respond(&snapshot, query, &context, &mut learner, limiter, &mut tally, &mut out);
                    counts.add(&tally);
                });
                assert_eq!(count, 0, "{query:?} over {transport:?}");
            }
        }
        for batch in queries.chunks(BATCH) {
            let exchanges = batch.iter().map(|query| Some((&query[..], context(Transport::Udp)))).zip(&mut replies);
            let count = allocations(|| {
                let mut tally = Tally::default();
                respond_together(&snapshot, exchanges, &mut names, &mut learner, Some(&mut limiter), &mut tally);
                counts.add(&tally);
            });
            assert_eq!(count, 0, "{batch:?}");
        }
    }
    for (beyond, word) in Beyond::ALL {
        let of_kind = counts.total().beyond[beyond as usize];
        assert!(of_kind.iter().sum::<u64>() > 0, "no answer beyond the rate was {word}");
    }
}

const ZONE: &str = "$TTL 60\n@ SOA ns1 host 1 2h 15m 2w 60\n@ NS ns1\nns1 A 192.0.2.53\n";
/// A service whose nodes are all full and which sends viewers elsewhere, at a name and at an apex; and one that a barrier
/// keeps from everybody who asks here.
const ELSEWHERE: &str = r#"
[service."play.live.example"]
pool = "full"

[service."live.example"]
pool = "full"

[service."closed.live.example"]
pool = "closed"

[service."open.live.example"]
pool = "open"

[pool.full]
select = { role = "edge" }
full = "overflow"
overflow = { cname = "x.cdn.example", addresses = ["192.0.2.80", "2001:db8::80"] }

[pool.open]
select = { role = "edge" }

[pool.closed]
select = { role = "japanese" }

[node.a]
addresses = ["192.0.2.1", "2001:db8::1"]
labels = { role = "edge" }
place = "fra"

[node.b]
addresses = ["192.0.2.2", "2001:db8::2"]
labels = { role = "japanese" }
place = "fra"
serves = ["JP"]

[place.fra]
at = [50, 8]
"#;

#[test]
fn learning_booking_and_sending_viewers_elsewhere_cost_no_allocation() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let installation = Installation::new([("thalweg.toml", ELSEWHERE), ("zones/live.example.zone", ZONE)]);
    let inputs = inputs(&installation.config()).unwrap_or_else(|errors| panic!("{errors}"));
    let snapshot = snapshot(&inputs, |_| Load::Fresh(Use::Pressure(1.3)));
    let (mut tally, mut out) = (Tally::default(), vec![0; MAX_STREAM]);
    let (mut learner, shelf) = Learner::new(1, 1);
    let (mut kinds, mut ledgers, mut booked) = ([0; 3], 0, 0.0);
    for round in 0..4_000_u64 {
        // A hundred resolvers of many networks, each again and again: keys are made, found and pushed out.
        let client = [198, 51, (round / 7 % 100) as u8, round as u8];
        let context = Context {
            client: (client, 4711).into(),
            local: None,
            transport: Transport::Udp,
            now: 1_800_000_000_000 + round * 40,
            idle: None,
            estimate: Estimate::default(),
        };
        let label = ["play.", "", "closed.", "open."][round as usize % 4];
        let rtype = if round / 4 % 2 == 0 { RecordType::A } else { RecordType::AAAA };
        let query = Query::new(&format!("{label}live.example."), rtype).message();
        let mut length = None;
        let count = allocations(|| {
            learner.book.turn(snapshot.generation + round / 1_000, context.now);
            length = respond(&snapshot, &query, &context, &mut learner, None, &mut tally, &mut out);
        });
        assert_eq!(count, 0, "{label} {rtype:?} in round {round}");
        let lines = Reply::read(&out[..length.unwrap()]).unwrap().lines;
        let has = |word: &str| lines.iter().any(|line| line.starts_with("answer") && line.contains(word));
        let kind = if has("CNAME x.cdn.example.") { 0 } else { 1 + usize::from(!has(" A ") && !has(" AAAA ")) };
        kinds[kind] += 1;
        shelf.take(|ledger| {
            ledgers += 1;
            booked += ledger.entries().map(|entry| entry.answers).sum::<f64>();
        });
    }
    assert_eq!(kinds, [1_000, 2_000, 1_000], "sent elsewhere by name; by address, or to nodes; kept from all nodes");
    assert!(ledgers > 300 && booked > 2_900.0, "{ledgers} ledgers with {booked} answers");
}

/// An exporter on loopback that gives each connection the next of these answers, and the last to all others.
fn exporter(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    thread::spawn(move || {
        for at in 0.. {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            // Whoever has enough of an answer closes the connection while it is written.
            let _asked = stream.read(&mut request);
            let _written = stream.write_all(&answers[at.min(answers.len() - 1)]);
        }
    });
    url
}

#[test]
fn a_hostile_answer_of_5_mb_costs_less_than_10() {
    const OCTETS: usize = 5_000_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = |body: String| {
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        [head.as_bytes(), body.as_bytes()].concat()
    };
    let filled = |line: &str| line.repeat(OCTETS / line.len());
    let labels: String = (0..30).map(|label| format!("l{label}=\"\",")).collect();
    let tiny: String = (0..26).map(|label| format!("{}=\"\",", (b'A' + label) as char)).collect();
    let tiny = format!("node_cpu_seconds_total{{{tiny}}} 1\n");
    let full = "node_cpu_seconds_total{a=\"\",b=\"\",c=\"\",d=\"\"} 1\n";
    // No more than what is read of an answer at all.
    let within = |body: String| {
        let end = body[..MAX_BODY.min(body.len())].rfind('\n').unwrap();
        body[..=end].to_owned()
    };
    let wanted = format!("node_cpu_seconds_total{{{labels}}} 1\n");
    for (what, body) in [
        ("nothing but a line", "x".repeat(OCTETS)),
        ("short lines", filled("a 1\n")),
        ("wanted lines", filled("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 1\n")),
        ("labels", filled(&wanted)),
        ("as many wanted lines as are read", within(filled("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 1\n"))),
        ("as many labels as are read", within(filled(&wanted))),
        ("tiny labels", within(filled(&tiny))),
        ("samples that are read to the end", within(format!("{}{}", full.repeat(8_000), filled("#\n")))),
    ] {
        let small = answer("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 1\n".to_owned());
        let url = exporter(vec![small, answer(body)]);
        let (sender, mut scraped) = tokio::sync::mpsc::channel(1);
        let (probes, _probed) = tokio::sync::mpsc::channel(1);
        let scraper = Scraper::start(sender, probes, 0).unwrap();
        let exporter = Exporter { preset: Arc::clone(&embedded_presets()["node"]), url, access: Arc::default() };
        let interval = Duration::from_secs(1);
        let credentials = Some(Arc::new(Credentials::default()));
        scraper.set_targets(vec![Target { node: NodeId(0), exporter, interval, credentials }]);
        assert!(scraped.blocking_recv().unwrap().result.is_ok(), "{what}");
        let before = IN_USE.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        let outcome = scraped.blocking_recv().unwrap().result;
        let cost = MOST.load(Ordering::Relaxed).saturating_sub(before);
        assert!(outcome.is_err() && cost < 10_000_000, "{what}: {cost} octets, {outcome:?}");
    }
}

//! Learning through real workers: what resolvers with a cache teach by coming back, whoever of the workers they come to.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use thalweg::pool::PoolId;
use thalweg::steer::DemandState;
use thalweg::wire::RecordType;

use super::support::client::{Client, wait_for};
use super::support::daemon::Served;
use super::support::installation::Installation;
use super::support::query::Query;

/// Resolvers, each of a network of its own, so that they are spread over workers.
const RESOLVERS: u8 = 24;
/// How often each asks.
const ROUNDS: u32 = 8;
/// Its cache keeps answers for one second, and its next viewer comes soon after.
const TTL: Duration = Duration::from_secs(1);
const NEXT_VIEWER: Duration = Duration::from_millis(100);
const ZONE: &str = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\nplay 60 A 192.0.2.10\n";

/// A program with so many workers, and resolvers that ask it.
struct World {
    served: Served,
    resolvers: Vec<Client>,
    types: &'static [RecordType],
    _installation: Installation,
}

impl World {
    fn start(workers: usize, types: &'static [RecordType]) -> Self {
        let config = format!(
            "[server]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nworkers = {workers}\n\
             [service.\"play.live.example\"]\nttl = {{ min = \"1s\", max = \"1s\" }}\n\
             [pool.edge]\nviewer = {{ bitrate = \"64kbit/s\", stays = \"24h\" }}\n\
             [place.fra]\nat = [50.1, 8.7]\n[defaults.node]\nplace = \"fra\"\ncapacity.egress = \"1000Gbit/s\"\n\
             [node.fra1]\naddresses = [\"198.51.100.10\", \"2001:db8:f::10\"]\n\
             [node.fra2]\naddresses = [\"198.51.100.11\", \"2001:db8:f::11\"]\n"
        );
        let installation = Installation::new([("thalweg.toml", config.as_str()), ("zones/live.example.zone", ZONE)]);
        let served = Served::start(&installation);
        let from = |resolver| Client::of(Ipv4Addr::new(127, 0, 60 + resolver, 1), served.dns());
        let resolvers = (0..RESOLVERS).map(from).collect();
        Self { served, resolvers, types, _installation: installation }
    }

    fn ask(&self, resolver: usize) {
        for rtype in self.types {
            let reply = self.resolvers[resolver].ask(&Query::new("play.live.example.", *rtype));
            assert!(reply.lines[0] == "NOERROR qr aa" && reply.lines.len() > 2, "{:?}", reply.lines);
        }
    }

    /// What the program knows of the viewers behind them, once all their answers are booked.
    fn demand(&self) -> DemandState {
        let asked = f64::from(ROUNDS) * f64::from(RESOLVERS) * self.types.len() as f64;
        wait_for("all answers to be booked", || {
            let page = self.served.metrics();
            let booked = sum_of(&page, "thalweg_region_answers_total");
            assert!(booked <= asked, "{booked} of {asked} answers");
            (booked == asked).then_some(())
        });
        let snapshot = self.served.snapshot();
        let region = snapshot.geo.locate(Ipv4Addr::new(127, 0, 60, 1).into()).region;
        *snapshot.tables.pools[usize::from(PoolId(0).0)].demand(region).expect("the region")
    }
}

/// The sum of a metric over its labels.
fn sum_of(page: &str, name: &str) -> f64 {
    let values = page.lines().filter(|line| line.starts_with(name)).map(|line| line.rsplit(' ').next().unwrap());
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

#[test]
fn what_resolvers_teach_is_the_same_with_any_number_of_workers_and_pairs_count_once() {
    const PAIR: &[RecordType] = &[RecordType::A, RecordType::AAAA];
    const ALONE: &[RecordType] = &[RecordType::A];
    let worlds = [World::start(1, ALONE), World::start(2, ALONE), World::start(4, ALONE), World::start(2, PAIR)];
    // All are asked at the same times, as caches do: when the answer has expired and the next viewer wants it.
    let begun = Instant::now();
    for round in 0..ROUNDS {
        let due = begun + round * (TTL + NEXT_VIEWER);
        while let Some(rest) = due.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
            std::thread::park_timeout(rest);
        }
        for resolver in 0..usize::from(RESOLVERS) {
            worlds.iter().for_each(|world| world.ask(resolver));
        }
    }
    let demands = worlds.each_ref().map(World::demand);
    println!("{demands:#?}");
    // More viewers than queries: most of them are served by caches.
    let queries = f64::from(RESOLVERS) / (TTL + NEXT_VIEWER).as_secs_f64();
    // Worlds are read at different moments between a tick and a round, which is a third of an estimate; who counted
    // a pair twice, or each worker for itself, would be off by a factor of two.
    let mut believed = demands.map(|demand| demand.believed);
    believed.sort_by(f64::total_cmp);
    for demand in &demands {
        assert!(demand.forecast > 0.0 && demand.belief == 1.0, "{demand:?}");
        let ratio = demand.believed / believed[1];
        assert!((0.65..1.6).contains(&ratio), "{ratio}: {demands:#?}");
    }
    assert!(demands[0].believed > queries, "{} for {queries} queries/s", demands[0].believed);

    let came_back = f64::from(ROUNDS - 1) * f64::from(RESOLVERS);
    for world in &worlds {
        let page = wait_for("how long answers were kept", || {
            let page = world.served.metrics();
            (sum_of(&page, "thalweg_effective_ttl_seconds_count") == came_back).then_some(page)
        });
        assert!(sum_of(&page, "thalweg_effective_ttl_seconds_bucket{le=\"1.0\"}") < came_back / 2.0, "{page}");
        assert!(sum_of(&page, "thalweg_effective_ttl_seconds_bucket{le=\"2.0\"}") > came_back / 2.0, "{page}");
    }
}

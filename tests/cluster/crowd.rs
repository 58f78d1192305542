//! A crowd for real: three nameservers as processes, model nodes with exporters, and caches that follow their answers; with
//! the exchange among the nameservers and without it.
//!
//! It takes a minute each, and the figures want a machine with nothing else to do:
//! `cargo nextest run --test cluster --run-ignored only --no-capture a_crowd` (one after the other; `SEED=2` for other dice)

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thalweg::steer::mix;
use thalweg::wire::RecordType;

use super::free_addresses;
use super::support::child::Child;
use super::support::client::{Client, wait_for};
use super::support::installation::Installation;
use super::support::query::Query;
use super::{TOKEN, ZONE, write_secret};

/// Seconds of the whole, and of the calm before the crowd, in which the nameservers learn their caches.
const WHOLE: f64 = 60.0;
const CALM: f64 = 20.0;
/// Seconds in which the crowd swells.
const SWELLS: f64 = 5.0;
/// Seconds after which nobody comes any more: what is on its way arrives.
const ENDS: f64 = 50.0;
/// Viewers per second before, and at the height; together they fill the near site and 60 % of the far one.
const CALM_RATE: f64 = 6.0;
const CROWD_RATE: f64 = 55.0;
/// Caches that ask, each for a network of its own.
const CACHES: usize = 90;
/// Bit/s of a viewer, and of a node; at 80 % of that its pressure is 1, with 400 viewers.
const BITRATE: f64 = 2e6;
const CAPACITY: f64 = 1e9;
const LIMIT: f64 = 0.8;
const NODES: usize = 3;
/// Between two steps of the world.
const STEP: Duration = Duration::from_millis(10);

/// A model node: viewers, and what they were sent in all.
struct Node {
    address: Ipv4Addr,
    exporter: SocketAddr,
    viewers: Arc<AtomicU64>,
}

impl Node {
    fn start(place: u8, number: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let exporter = listener.local_addr().unwrap();
        let viewers = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&viewers);
        // It ends with the process.
        std::thread::spawn(move || {
            let start = Instant::now();
            let (mut sent, mut busy, mut counted) = (0.0, 0.0, start);
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                if lines.by_ref().find(String::is_empty).is_none() {
                    continue;
                }
                // Between two scrapes as many as there are now; the error is that of a few tenths of a second.
                let now = Instant::now();
                let seconds = (now - counted).as_secs_f64();
                counted = now;
                let viewers = shown.load(Ordering::Relaxed) as f64;
                sent += seconds * viewers * BITRATE / 8.0;
                busy += seconds * (0.02 + viewers * 0.0005);
                let up = (now - start).as_secs_f64();
                let body = format!(
                    "# TYPE node_boot_time_seconds gauge\nnode_boot_time_seconds 1e9\n\
                     # TYPE node_cpu_seconds_total counter\n\
                     node_cpu_seconds_total{{cpu=\"0\",mode=\"idle\"}} {:.3}\n\
                     node_cpu_seconds_total{{cpu=\"0\",mode=\"user\"}} {busy:.3}\n\
                     # TYPE node_network_transmit_bytes_total counter\n\
                     node_network_transmit_bytes_total{{device=\"eth0\"}} {sent:.0}\n\
                     # TYPE node_time_seconds gauge\nnode_time_seconds {:.6}\n",
                    up - busy,
                    1e9 + up
                );
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close";
                // Who asked may have gone away meanwhile.
                let _gone = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            }
        });
        Self { address: Ipv4Addr::new(198, 51, 100, place * 10 + number), exporter, viewers }
    }

    fn pressure(&self) -> f64 {
        self.viewers.load(Ordering::Relaxed) as f64 * BITRATE / CAPACITY / LIMIT
    }
}

/// A cache with viewers behind it.
#[derive(Default)]
struct Cache {
    addresses: Vec<Ipv4Addr>,
    until: f64,
}

fn installation(index: usize, addresses: &[SocketAddr], nodes: &[Node], has_exchange: bool) -> Installation {
    let peers: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let cluster = format!(
        "[cluster]\nlisten = \"{}\"\npeers = [{}]\ntoken_file = \"peer.token\"\n",
        addresses[index],
        peers.join(", ")
    );
    let mut config = format!(
        "[server]\ndns = [\"127.0.0.{}:0\"]\nadmin = \"127.0.0.1:0\"\nworkers = 1\nrate_limit.mode = \"off\"\n\
         [geoip]\ndatabases = [{:?}]\n{}\
         [service.\"play.live.example\"]\n[pool.default]\nviewer = {{ bitrate = \"2Mbit/s\", stays = \"40m\" }}\n\
         [place.fra]\nat = [50.1, 8.7]\n[place.nyc]\nat = [40.7, -74]\n\
         [region.dach]\nnetworks = [\"84.128.0.0/16\"]\nnear = [\"fra\", \"nyc\"]\n\
         [defaults.node]\ncapacity.egress = \"1Gbit/s\"\n",
        index + 1,
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/geoip/flat.mmdb"),
        if has_exchange { cluster } else { String::new() },
    );
    for (index, node) in nodes.iter().enumerate() {
        let place = if index < NODES { "fra" } else { "nyc" };
        config.push_str(&format!(
            "[node.{place}{}]\nplace = \"{place}\"\naddresses = [\"{}\"]\nexporters.node = \"http://{}/metrics\"\n",
            index % NODES + 1,
            node.address,
            node.exporter
        ));
    }
    let installation = Installation::new([("thalweg.toml", config.as_str()), ("zones/live.example.zone", ZONE)]);
    write_secret(&installation, TOKEN);
    installation
}

/// Viewers per second at a second.
fn rate(at: f64) -> f64 {
    match at {
        at if at < CALM => CALM_RATE,
        at if at < ENDS => CALM_RATE + (CROWD_RATE - CALM_RATE) * ((at - CALM) / SWELLS).min(1.0),
        _ => 0.0,
    }
}

/// The highest pressures of the nodes during a crowd.
fn play(has_exchange: bool, seed: u64) -> Vec<f64> {
    let nodes: Vec<Node> = (0..2).flat_map(|place| (0..NODES as u8).map(move |n| Node::start(place + 1, n))).collect();
    let addresses = free_addresses(3);
    let installations: Vec<_> = (0..3).map(|index| installation(index, &addresses, &nodes, has_exchange)).collect();
    let servers: Vec<Child> =
        installations.iter().map(|installation| Child::start(&installation.config(), 1_024)).collect();
    // Some are there already.
    nodes.iter().for_each(|node| node.viewers.store(40, Ordering::Relaxed));
    wait_for("loads of all nodes", || {
        servers.iter().all(|server| server.metric("thalweg_node_load_fresh") == nodes.len() as f64).then_some(())
    });
    if has_exchange {
        wait_for("the exchange", || servers.iter().all(|server| server.metric("thalweg_peer_up") == 2.0).then_some(()));
    }
    let clients: Vec<Client> = servers.iter().map(|server| Client::new(server.dns)).collect();
    let mut caches: Vec<Cache> = (0..CACHES).map(|_| Cache::default()).collect();
    let mut roll = seed;
    let mut dice = || {
        roll = roll.wrapping_add(1);
        (mix(roll) >> 11) as f64 / 2f64.powi(53)
    };
    let (start, mut due) = (Instant::now(), 0.0);
    let mut highest = vec![0.0_f64; nodes.len()];
    let (mut viewers, mut asked) = (0_u32, 0_u32);
    while start.elapsed().as_secs_f64() < WHOLE {
        let now = start.elapsed().as_secs_f64();
        due += rate(now) * STEP.as_secs_f64();
        while due >= 1.0 {
            due -= 1.0;
            let index = (dice() * CACHES as f64) as usize;
            let cache = &mut caches[index];
            if cache.until <= now {
                let network = format!("84.128.{index}.0/24").parse().unwrap();
                let query = Query::new("play.live.example.", RecordType::A).with_subnet(network);
                let reply = clients[(dice() * 3.0) as usize].ask(&query);
                let records: Vec<Vec<&str>> = reply
                    .lines
                    .iter()
                    .filter_map(|line| line.strip_prefix("answer: "))
                    .map(|record| record.split(' ').collect())
                    .collect();
                cache.addresses = records.iter().map(|record| record[4].parse().unwrap()).collect();
                cache.until = now + records[0][1].parse::<f64>().unwrap();
                asked += 1;
            }
            let address = cache.addresses[(dice() * cache.addresses.len() as f64) as usize];
            let node = nodes.iter().find(|node| node.address == address).expect("a node of ours");
            node.viewers.fetch_add(1, Ordering::Relaxed);
            viewers += 1;
        }
        for (highest, node) in highest.iter_mut().zip(&nodes) {
            *highest = highest.max(node.pressure());
        }
        std::thread::park_timeout(STEP);
    }
    let shown: Vec<String> = highest.iter().map(|pressure| format!("{pressure:.3}")).collect();
    let exchange = if has_exchange { "with the exchange" } else { "without it" };
    println!("{exchange}: {viewers} viewers, {asked} queries, highest pressures {}", shown.join(" "));
    highest
}

/// The seed of who comes when; another one by `SEED=2`.
fn seed() -> u64 {
    std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

#[test]
#[ignore = "takes a minute of a machine with nothing else to do"]
fn a_crowd_overloads_no_node_where_nameservers_tell_each_other_whom_they_send() {
    let highest = play(true, seed());
    assert!(highest.iter().all(|pressure| *pressure <= 1.02), "{highest:?}");
}

#[test]
#[ignore = "takes a minute of a machine with nothing else to do; for comparison, nothing is demanded"]
fn a_crowd_where_nameservers_tell_each_other_nothing() {
    play(false, seed());
}

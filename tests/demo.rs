//! The demonstration: its world steers by geography and load, and its program behaves.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use thalweg::command::demo::{SERVICE, SITES, World, ask};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Client networks of a country that ask in a test.
const NETWORKS: u64 = 60;
/// What must happen happens within seconds; this only ends a test that would hang.
const HANG: Duration = Duration::from_secs(100);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);

#[test]
fn viewers_of_each_country_are_sent_to_its_place() {
    let world = World::start(0).expect("a world");
    world.block_on(async {
        for (index, site) in SITES.iter().enumerate() {
            let answers = answers(&world, index).await;
            assert!(answers.iter().all(|answer| !answer.is_empty()), "{}: an answer names nobody", site.country);
            for address in answers.concat() {
                assert_eq!(address.octets()[..3], [127, 0, index as u8 + 1], "{}", site.country);
            }
        }
    });
}

#[test]
fn an_overloaded_node_is_not_named_until_it_recovers() {
    let world = World::start(0).expect("a world");
    let (one, other) = (&world.nodes[0], &world.nodes[1]);
    let naming = async |address: Ipv4Addr| {
        let answers = answers(&world, 0).await;
        assert!(answers.iter().all(|answer| !answer.is_empty()), "an answer names nobody");
        answers.iter().filter(|answer| answer.contains(&address)).count()
    };
    let _told = world.invite();
    world.block_on(async {
        until("viewers of both nodes", async || one.activity().viewers > 10 && other.activity().viewers > 10).await;
        until("answers with the node", async || naming(one.role.address()).await > 0).await;

        let reply = http(one.exporter, "POST /overload?seconds=600").await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        assert!(one.activity().pressure > 1.0, "{:?}", one.activity());
        until("no answer with the node", async || naming(one.role.address()).await == 0).await;
        until("its neighbour in its place", async || naming(other.role.address()).await > 0).await;
        assert_eq!(naming(one.role.address()).await, 0);

        let reply = http(one.exporter, "POST /overload?seconds=0").await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        until("answers with the node again", async || naming(one.role.address()).await > 0).await;
    });
}

#[test]
fn load_goes_with_the_viewers() {
    let world = World::start(0).expect("a world");
    let viewers = || world.nodes.iter().map(|node| node.activity().viewers).collect::<Vec<_>>();
    let _told = world.invite();
    world.block_on(async {
        until("viewers on every node", async || viewers().iter().all(|viewers| *viewers > 10)).await;
        until("their load as the server sees it", async || pressures(&world).await.iter().all(|p| *p > 0.1)).await;
        world.send_viewers_home();
        until("no viewers", async || viewers() == [0; 6]).await;
        for node in &world.nodes {
            assert_eq!(sent(node.exporter).await, sent(node.exporter).await, "{} sends to nobody", node.role.name());
        }
        until("no load as the server sees it", async || pressures(&world).await.iter().all(|p| *p < 0.1)).await;
        let metrics = http(world.admin, "GET /metrics").await;
        assert!(metrics.contains("thalweg_answers_steered_total"), "{metrics}");
        assert!(
            !metrics.contains("thalweg_answers_beyond_rate_total{"),
            "the demo's own viewers are no flood: {metrics}"
        );
    });
}

#[test]
fn a_batch_job_that_cannot_be_is_refused() {
    let world = World::start(0).expect("a world");
    let node = &world.nodes[0];
    world.block_on(async {
        for parameters in ["cpu=1.5", "cpu=NaN", "seconds=-1", "seconds=1e9", "seconds=soon", "second=1"] {
            let reply = http(node.exporter, &format!("POST /overload?{parameters}")).await;
            assert!(reply.starts_with("HTTP/1.1 400"), "{parameters}: {reply}");
        }
        assert!(!node.activity().has_job);
    });
}

#[test]
fn the_program_tells_what_to_try_and_ends_when_nobody_reads() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(["demo", "--port", "0", "--seconds", "100"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("a pipe")).lines().map(|line| line.expect("text"));
    let mut find = |beginning: &str| lines.by_ref().find(|line| line.starts_with(beginning)).expect("such a line");
    let files = find("Ctrl-C ends it. Its files are in ");
    let directory = files.rsplit(' ').next().expect("a path").to_owned();
    assert!(Path::new(&directory).join("zones/live.example.zone").exists());
    assert!(find("dig @127.0.0.1 -p ").contains("+subnet=88.198.1.0/24 play.live.example"));
    find("curl -s -X POST 'http://127.0.1.1:");
    drop(lines);
    assert_eq!(demo.wait().expect("it ends").code(), Some(0));
    assert!(!Path::new(&directory).exists(), "nobody edited the files, and they stay");
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let demo = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(["demo", "--port", &port.to_string()])
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&demo.stderr);
    assert_eq!(demo.status.code(), Some(1));
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("--port 0"), "{said}");
}

/// What networks of a site's country are told.
async fn answers(world: &World, site: usize) -> Vec<Vec<Ipv4Addr>> {
    let mut answers = Vec::new();
    for dice in 0..NETWORKS {
        answers.push(ask(world.dns, SERVICE, SITES[site].network(dice)).await.expect("a reply"));
    }
    answers
}

/// Looks again and again until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        while !is_so().await {
            looks.tick().await;
        }
    };
    timeout(HANG, looking).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// The pressure of each node, as the server explains it.
async fn pressures(world: &World) -> Vec<f64> {
    let client: IpAddr = SITES[0].network(0).address();
    let reply = http(world.admin, &format!("GET /v1/explain?name={SERVICE}&client={client}")).await;
    let (_, body) = reply.split_once("\r\n\r\n").expect("a body");
    let explanation: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let nodes = explanation["reasons"]["steering"]["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), world.nodes.len());
    // Not known yet: as if idle.
    nodes.iter().map(|node| node["pressure"].as_f64().unwrap_or(0.0)).collect()
}

/// Octets that a node has sent, as its exporter says.
async fn sent(exporter: SocketAddr) -> String {
    let reply = http(exporter, "GET /metrics?collect[]=netdev").await;
    let line = reply.lines().find(|line| line.starts_with("node_network_transmit_bytes_total"));
    line.unwrap_or_else(|| panic!("{reply}")).to_owned()
}

/// Asks `METHOD TARGET` over HTTP, and returns the reply as text.
async fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("a reply");
    reply
}

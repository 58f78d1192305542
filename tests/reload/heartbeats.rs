//! Media servers that tell by heartbeats that they are there, as SRS 7 sends them.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};

use super::{SERVER, ZONE, addresses, zone};
use crate::support::client::{Client, get, post_json, wait_for};
use crate::support::daemon::Served;
use crate::support::installation::Installation;

const BODY: &str = include_str!("../load/srs_heartbeat.json");
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const NAME: &str = "play.live.example.";
const CONFIG: &str = "[service.\"play.live.example\"]\nanswers = 64\n[place.fra]\nat = [50.1, 8.7]\n[defaults.node]\nplace = \"fra\"\n\
                      [inventory.srs]\ncapacity.egress = \"80Mbit/s\"\n[inventory.srs.heartbeat]\nlisten = \"127.0.0.1:0\"\n\
                      token_file = \"srs.token\"\nfrom = [\"127.0.0.0/8\"]\naddresses = [\"198.51.100.0/24\"]\n";

fn installation(config: &str) -> Installation {
    let server = SERVER.replacen("[server]\n", "[server]\nstate = \"state\"\n", 1);
    let config = format!("{server}{config}");
    let installation = Installation::new([("thalweg.toml", config.as_str()), (ZONE, zone(1).as_str())]);
    installation.write("srs.token", &format!("{TOKEN}\n"));
    installation
}

/// A heartbeat of a node with this name and address.
fn body(node: &str, address: &str) -> Value {
    let mut body: Value = serde_json::from_str(BODY).unwrap();
    body["device_id"] = node.into();
    body["ip"] = address.into();
    body
}

fn beat(server: SocketAddr, body: &Value) -> (u16, String) {
    post_json(server, &format!("/api/v1/srs/register?token={TOKEN}"), &body.to_string())
}

/// One that is taken.
fn good_beat(served: &Served, node: &str, address: &str) {
    assert_eq!(beat(served.heartbeats(), &body(node, address)), (200, "{\"code\":0}".to_owned()));
}

fn status(served: &Served) -> Value {
    let all: Value = serde_json::from_str(&get(served.admin(), "/v1/inventories")).unwrap();
    all[0].clone()
}

/// Those that wait, when these do.
fn wait_for_waiting(served: &Served, nodes: &[&str]) -> Value {
    wait_for("nodes that wait", || {
        let waiting = status(served)["heartbeats"]["waiting"].clone();
        let found: Vec<&str> = waiting.as_array()?.iter().filter_map(|node| node["node"].as_str()).collect();
        (found == nodes).then_some(waiting)
    })
}

fn enrol(served: &Served, node: Option<&str>, is_approval: bool) -> (u16, String) {
    let wish =
        json!({ "inventory": "srs", "node": node, "is_approval": is_approval, "who": "karl", "reason": "rack 7" });
    post_json(served.admin(), "/v1/inventories/enrol", &wish.to_string())
}

fn wait_for_answer(served: &Served, wanted: &[&str]) {
    let client = Client::new(served.dns());
    wait_for("an answer", || {
        let found = addresses(&client, NAME);
        (found.iter().map(String::as_str).collect::<Vec<_>>() == wanted).then_some(())
    });
}

#[test]
fn who_has_no_token_or_is_elsewhere_is_refused_and_counted() {
    let installation = installation(CONFIG);
    let served = Served::start(&installation);
    let (server, good) = (served.heartbeats(), body("edge-0", "198.51.100.7"));
    let path = "/api/v1/srs/register";
    for (path, sent, code, because) in [
        (format!("{path}?token=wrong"), good.to_string(), 401, "token"),
        (path.to_owned(), good.to_string(), 401, "token"),
        (format!("/{TOKEN}/"), good.to_string(), 404, "unreadable"),
        (format!("{path}?token={TOKEN}"), "{".to_owned(), 400, "unreadable"),
        (format!("{path}?token={TOKEN}"), format!("\"{}\"", "x".repeat(40_000)), 413, "too_large"),
        (format!("{path}?token={TOKEN}"), body("edge-0", "203.0.113.1").to_string(), 403, "address"),
        (format!("{path}?token={TOKEN}"), body("edge-0", "172.17.0.2").to_string(), 403, "address"),
    ] {
        let (status, said) = post_json(server, &path, &sent);
        assert_eq!((status, said), (code, format!("{{\"code\":{code},\"because\":\"{because}\"}}")), "{path}");
    }
    let metrics = served.metrics();
    for (because, count) in [("token", 2), ("unreadable", 2), ("too_large", 1), ("address", 2)] {
        let line = format!("thalweg_heartbeats_refused_total{{inventory=\"srs\",because=\"{because}\"}} {count}");
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
    assert!(wait_for_waiting(&served, &[]).as_array().unwrap().is_empty());

    // Nobody is in these networks.
    let config = std::fs::read_to_string(installation.config()).unwrap();
    installation.replace("thalweg.toml", &config.replace("127.0.0.0/8", "192.0.2.0/24"));
    served.reload().unwrap();
    let mut stream = TcpStream::connect(server).unwrap();
    let mut octets = Vec::new();
    // It may also be reset.
    let ended = stream.read_to_end(&mut octets);
    assert!(octets.is_empty(), "{ended:?} {octets:?}");
    wait_for("the count", || {
        served.metrics().contains("refused_total{inventory=\"srs\",because=\"prefix\"} 1").then_some(())
    });
}

#[test]
fn a_node_is_answered_once_it_is_approved_and_stays_so_over_a_restart() {
    let installation = installation(CONFIG);
    let served = Served::start(&installation);
    good_beat(&served, "edge-0", "198.51.100.7");
    let waiting = wait_for_waiting(&served, &["edge-0"]);
    assert_eq!((&waiting[0]["address"], &waiting[0]["source"]), (&json!("198.51.100.7"), &json!("127.0.0.1")));
    let metrics = served.metrics();
    assert!(metrics.contains("thalweg_inventory_pending{inventory=\"srs\"} 1"), "{metrics}");
    assert!(metrics.contains("thalweg_alarm{alarm=\"inventory_pending\",about=\"srs\"} 1"), "{metrics}");
    // The zone's own address for the name, as long as there is no node.
    wait_for_answer(&served, &["192.0.2.99"]);

    let (code, refused) = enrol(&served, Some("edge-1"), true);
    assert!(code == 400 && refused.contains("did you mean `edge-0`?"), "{refused}");
    let (code, outcome) = enrol(&served, Some("edge-0"), true);
    assert!(code == 200 && outcome.contains("approved") && !outcome.contains("forgets"), "{outcome}");
    wait_for_answer(&served, &["198.51.100.7"]);
    wait_for_waiting(&served, &[]);
    wait_for("no alarm", || (!served.metrics().contains("inventory_pending\",about")).then_some(()));

    // Another machine that says to be it, while it is alive.
    good_beat(&served, "edge-0", "198.51.100.8");
    wait_for("the count", || served.metrics().contains("srs\",because=\"taken\"} 1").then_some(()));
    wait_for_answer(&served, &["198.51.100.7"]);

    drop(served);
    let served = Served::start(&installation);
    wait_for_answer(&served, &["198.51.100.7"]);
    good_beat(&served, "edge-0", "198.51.100.7");
    good_beat(&served, "edge-1", "198.51.100.9");
    wait_for_waiting(&served, &["edge-1"]);
    assert_eq!(enrol(&served, None, true).0, 200);
    wait_for_answer(&served, &["198.51.100.7", "198.51.100.9"]);
    let (code, outcome) = enrol(&served, Some("edge-1"), false);
    assert!(code == 200 && outcome.contains("its next heartbeat waits"), "{outcome}");
    wait_for_answer(&served, &["198.51.100.7"]);
}

#[test]
fn heartbeats_bring_the_load_of_their_node() {
    let installation = installation(&CONFIG.replace("token_file", "approve = \"at_once\"\ntoken_file"));
    let served = Served::start(&installation);
    good_beat(&served, "edge-0", "198.51.100.7");
    wait_for_answer(&served, &["198.51.100.7"]);
    let begun = Instant::now();
    let node = wait_for("a load", || {
        // It counts octets every 300 ms, 1,000 in each millisecond: 8 Mbit/s.
        let now = begun.elapsed().as_millis() as u64;
        let sampled = now / 300 * 300;
        let mut body = body("edge-0", "198.51.100.7");
        let system = &mut body["summaries"]["data"]["system"];
        system["srs_sample_time"] = (1_795_371_432_563 + sampled).into();
        system["srs_send_bytes"] = (252_286_018 + 1_000 * sampled).into();
        system["cpu_percent"] = 0.5.into();
        body["summaries"]["data"]["self"]["cpu_percent"] = 0.2.into();
        body["summaries"]["data"]["now_ms"] = (1_795_371_434_280 + now).into();
        assert_eq!(beat(served.heartbeats(), &body).0, 200);
        let nodes: Value = serde_json::from_str(&get(served.admin(), "/v1/nodes")).unwrap();
        Some(nodes["nodes"][0].clone()).filter(|node| node["egress"].as_f64().is_some_and(|egress| egress > 0.0))
    });
    // Times near 1.8e9 s have a tenth of a microsecond at best; by the arrivals it would be wrong by tenths.
    let is_near = |found: Option<f64>, wanted: f64| found.is_some_and(|found| (found / wanted - 1.0).abs() < 1e-5);
    assert!(is_near(node["egress"].as_f64(), 8.0) && node["clients"] == 34.0, "{node}");
    let uses = node["uses"].as_array().unwrap();
    for (resource, wanted) in [("egress", 0.1), ("cpu", 0.5), ("process_cpu", 0.2)] {
        let found = uses.iter().find(|one| one["resource"] == resource).and_then(|one| one["share"].as_f64());
        assert!(is_near(found, wanted), "{resource}: {found:?}");
    }
    let source = &node["sources"][0];
    assert_eq!((&source["url"], &source["kind"]), (&json!("heartbeat"), &json!("srs_heartbeat")));
}

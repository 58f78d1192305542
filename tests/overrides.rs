//! Overrides from the command line to the answer: ordered, listed, explained, counted, lifted.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::process::Command;

use support::client::{Client, wait_for};
use support::daemon::{SERVER, Served};
use support::installation::Installation;
use support::query::Query;
use thalweg::wire::RecordType;

mod support;

// Beside this file they would be tests of their own.
#[path = "overrides/drains.rs"]
mod drains;
#[path = "overrides/restarts.rs"]
mod restarts;
#[path = "overrides/status.rs"]
mod status;

const ZONE: &str = "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";

fn installation() -> Installation {
    let config = format!(
        "{SERVER}[service.\"play.live.example\"]\nanswers = 1\n[place.fra]\nat = [50.1, 8.7]\n[place.nyc]\nat = [40.7, -74]\n\
         [node.fra1]\nplace = \"fra\"\naddresses = [\"198.51.100.1\"]\n\
         [node.nyc1]\nplace = \"nyc\"\naddresses = [\"198.51.100.2\"]\n"
    );
    Installation::new([("thalweg.toml", config.as_str()), ("zones/live.example.zone", ZONE)])
}

/// What the program says to a daemon: exit status, output and errors.
fn thalweg(installation: &Installation, admin: SocketAddr, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(arguments)
        .arg("--config")
        .arg(installation.config())
        .env_clear()
        .env("USER", "karl")
        .env("THALWEG_SERVER__ADMIN", admin.to_string())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|octets| String::from_utf8(octets).unwrap()).concat();
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code(), text)
}

/// The address that a German client is told.
fn answer(served: &Served) -> String {
    answer_to(served, "84.128.0.0/24")
}

fn answer_to(served: &Served, network: &str) -> String {
    answer_of(served.dns(), network)
}

fn answer_of(dns: SocketAddr, network: &str) -> String {
    let query = Query::new("play.live.example.", RecordType::A).with_subnet(network.parse().unwrap());
    let reply = Client::new(dns).ask(&query);
    let answer = reply.lines.iter().find(|line| line.starts_with("answer: ")).unwrap();
    answer.rsplit_once(' ').unwrap().1.to_owned()
}

#[test]
fn a_drained_node_is_passed_over_until_it_is_lifted_and_everybody_reads_why() {
    let installation = installation();
    let served = Served::start(&installation);
    assert_eq!(answer(&served), "198.51.100.1");
    let run = |arguments: &[&str]| thalweg(&installation, served.admin(), arguments);

    let (status, text) = run(&["drain", "fra1"]);
    assert!(status == Some(2) && text.contains("--reason"), "{status:?} {text}");
    let (status, text) = run(&["drain", "fra11", "--reason", "kernel update"]);
    assert!(status == Some(1) && text.contains("did you mean `fra1`?"), "{status:?} {text}");
    let (status, text) = run(&["drain", "fra1", "--reason", "kernel update", "--for", "2h"]);
    assert!(status == Some(0) && text.starts_with("drain fra1: until "), "{status:?} {text}");

    assert_eq!(answer(&served), "198.51.100.2");
    let (_, listed) = run(&["overrides"]);
    for part in ["drain fra1", "karl", "kernel update", "UTC"] {
        assert!(listed.contains(part), "{listed}");
    }
    let (_, told) = run(&["explain", "play.live.example", "--client", "84.128.0.9"]);
    assert!(told.contains("drained by karl") && told.contains(": kernel update"), "{told}");
    assert!(served.metrics().contains("thalweg_overrides{what=\"drain\"} 1.0"));
    assert!(served.metrics().contains("thalweg_node_standing{node=\"fra1\",state=\"drained\"} 1.0"));

    served.reload().unwrap();
    assert_eq!(answer(&served), "198.51.100.2", "it survives a reload");
    let (status, text) = run(&["undrain", "fra1"]);
    assert!(status == Some(0) && text.contains("lifted: drain fra1"), "{text}");
    // A place gets its clients back step by step: some of them within a few seconds.
    let is_back = |network: u8| answer_to(&served, &format!("84.128.{network}.0/24")) == "198.51.100.1";
    wait_for("the node's return", || (0..40).any(is_back).then_some(()));
}

#[test]
fn a_policy_is_another_one_over_a_reload_until_it_is_lifted() {
    let installation = installation();
    let served = Served::start_unwatched(&installation);
    let run = |arguments: &[&str]| thalweg(&installation, served.admin(), arguments);
    let policy = || served.explain("play.live.example", "84.128.0.9").reasons.steering.unwrap().policy;
    assert_eq!(policy(), "planner");
    let (status, text) = run(&["policy", "play.live.example", "failover", "--reason", "a test", "--for", "forever"]);
    assert!(status == Some(0) && text.contains("until it is lifted"), "{text}");
    assert_eq!(policy(), "failover");
    let config = std::fs::read_to_string(installation.config()).unwrap();
    installation
        .write("thalweg.toml", &format!("{config}[node.fra2]\nplace = \"fra\"\naddresses = [\"198.51.100.3\"]\n"));
    let outcome = served.reload().unwrap();
    assert!(outcome.contains("+1 node"), "{outcome}");
    assert_eq!(policy(), "failover");
    let (status, _) = run(&["lift", "all"]);
    assert_eq!((status, policy()), (Some(0), "planner".to_owned()));
}

#[test]
fn a_pinned_region_goes_to_its_place() {
    let installation = installation();
    let served = Served::start(&installation);
    let run = |arguments: &[&str]| thalweg(&installation, served.admin(), arguments);
    let (status, text) = run(&["pin", "DE", "nyc", "--reason", "a test"]);
    assert_eq!(status, Some(0), "{text}");
    // The plan goes there step by step.
    wait_for("the pinned place", || (answer(&served) == "198.51.100.2").then_some(()));
    wait_for("its reason", || {
        let (_, told) = run(&["explain", "play.live.example", "--client", "84.128.0.9"]);
        told.contains("because DE is pinned to it by karl").then_some(())
    });
}

#[test]
fn a_web_page_orders_nothing() {
    let installation = installation();
    let served = Served::start(&installation);
    let body = r#"{"what":"freeze","who":"a page","reason":"mischief","seconds":60}"#;
    let request = |origin: &str| {
        format!(
            "POST /v1/overrides HTTP/1.1\r\nhost: a\r\n{origin}content-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let send = |request: String| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(served.admin()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    };
    assert!(send(request("origin: http://evil.example\r\n")).starts_with("HTTP/1.1 403"));
    assert!(send(request("")).starts_with("HTTP/1.1 200"));
}

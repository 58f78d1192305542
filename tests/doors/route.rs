//! Nodes by name and stream: the choice of DNS, with more said of it.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use thalweg::geo::Prefix;
use thalweg::wire::RecordType;

use super::support::client::{Client, get, wait_for};
use super::support::query::Query;
use super::{FLEET, Visitor, served};

#[test]
fn a_viewer_is_told_the_node_and_how_to_watch_there() {
    let (_installation, served) = served("", FLEET);
    let mut visitor = Visitor::of(&served);
    let mut found = visitor.json("/v1/route?name=play.live.example&stream=live/cam%201");
    assert!(found["reason"].as_str().unwrap().contains("is served from fra"), "{found}");
    for key in ["reason", "ttl", "generation"] {
        assert!(!found[key].is_null());
        found.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(
        found,
        json!({
            "name": "play.live.example.", "stream": "live/cam 1", "client": "127.0.0.0/24", "region": "here", "pool": "edge",
            "nodes": [{
                "name": "fra1", "addresses": ["203.0.113.10", "2001:db8:f::10"], "place": "fra", "pressure": 0.0,
                "urls": {"rtmp": "rtmp://203.0.113.10/live/cam%201", "flv": "http://203.0.113.10:8080/live/cam%201.flv"},
            }],
        })
    );
    let one = visitor.json("/v1/route?vhost=play.live.example&proto=flv&stream=x&type=AAAA");
    assert_eq!(one["nodes"][0]["urls"], json!({"flv": "http://203.0.113.10:8080/x.flv"}));
    for (name, status) in [("www.live.example", 404), ("missing.live.example", 404), ("elsewhere.example", 403)] {
        assert_eq!(visitor.get(&format!("/v1/route?name={name}"), &[]).status, status, "{name}");
    }
}

#[test]
fn a_room_is_where_dns_has_it_and_a_stream_has_a_node_of_its_own() {
    let nodes: String =
        (1..=8).map(|node| format!("[node.n{node}]\naddresses = [\"203.0.113.{node}\"]\nplace = \"fra\"\n")).collect();
    let fleet = FLEET.split("[node.fra1]").next().unwrap().to_owned() + &nodes;
    let (_installation, served) = served("http_dns = { per_second = 100000 }", &fleet);
    let (mut visitor, client) = (Visitor::of(&served), Client::new(served.dns()));
    let address = |found: &Value| found["nodes"][0]["addresses"][0].as_str().unwrap().to_owned();
    let mut seen = std::collections::BTreeSet::new();
    for room in (0..40).map(|room| format!("Room{room}")) {
        let reply = client.ask(&Query::new(&format!("{room}.room.live.example."), RecordType::A));
        let by_dns = reply.lines.iter().find_map(|line| line.split(" A ").nth(1).map(str::to_owned));
        let by_dns = by_dns.unwrap_or_else(|| panic!("{:?}", reply.lines));
        for query in [
            format!("name={room}.room.live.example"),
            format!("name=*.room.live.example&room={room}"),
            format!("name=any.room.live.example&room={room}"),
        ] {
            assert_eq!(address(&visitor.json(&format!("/v1/route?{query}"))), by_dns, "{query}");
        }
        seen.insert(by_dns);
    }
    assert!(seen.len() > 4, "{seen:?}");
    let of_stream = |visitor: &mut Visitor, stream: usize| {
        address(&visitor.json(&format!("/v1/route?name=any.room.live.example&stream=live/{stream}")))
    };
    let streams: std::collections::BTreeSet<String> = (0..40).map(|stream| of_stream(&mut visitor, stream)).collect();
    assert!(streams.len() > 4, "{streams:?}");
    assert_eq!(of_stream(&mut visitor, 7), of_stream(&mut visitor, 7));
}

#[test]
fn without_a_stream_a_client_gets_what_dns_gives_its_network() {
    let nodes: String = (0..12)
        .map(|node| {
            let place = ["fra", "nyc"][node % 2];
            format!("[node.n{node}]\naddresses = [\"203.0.113.{node}\"]\nplace = \"{place}\"\ncapacity.egress = \"1Gbit/s\"\n")
        })
        .collect();
    let fleet = FLEET.split("[node.fra1]").next().unwrap().replace("answers = 1", "answers = 2") + &nodes;
    let server =
        "trusted_proxies = [\"127.0.0.0/8\"]\nhttp_dns = { per_second = 100000 }\nrate_limit = { mode = \"off\" }";
    let (_installation, served) = served(server, &fleet);
    let client = Client::new(served.dns());
    let mut visitor = Visitor::of(&served);
    let mut nodes = std::collections::BTreeSet::new();
    for number in 0..10_000_u32 {
        // A connection has so many requests at most.
        if number % 5_000 == 4_999 {
            visitor = Visitor::of(&served);
        }
        // Any network, and no network twice.
        let address = Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1) & 0x7fff_ffff | 0x0100_0000);
        let subnet = Prefix::of(address.into(), 24);
        // Tables may change between the two questions, once a second.
        let agrees = (0..3).any(|_| {
            let found: Value = {
                let said = visitor.get("/v1/route?name=play.live.example", &[&format!("X-Forwarded-For: {address}")]);
                serde_json::from_str(&said.body).unwrap()
            };
            let reply = client.ask(&Query::new("play.live.example.", RecordType::A).with_subnet(subnet));
            let named = found["nodes"][0]["addresses"][0].as_str().unwrap_or_else(|| panic!("{found}")).to_owned();
            nodes.insert(named.clone());
            reply.lines.iter().any(|line| line.ends_with(&format!(" A {named}")))
        });
        assert!(agrees, "{address}");
    }
    assert_eq!(nodes.len(), 12, "all nodes have clients");
}

#[test]
fn each_answer_is_in_the_books_once_and_for_as_many_viewers_as_it_is_for() {
    let fleet = FLEET.replacen("answers = 1", "answers = 1\nredirect = { host = \"go.live.example\" }", 1);
    let (_installation, served) = served("", &fleet);
    let mut visitor = Visitor::of(&served);
    let mut expected = 0;
    for (path, viewers) in [
        ("/v1/route?name=play.live.example", 1),
        ("/v1/route?name=play.live.example&weight=5", 5),
        ("/resolve?domain=play.live.example", 1),
        ("/resolve?name=play.live.example", 1),
        ("/d?dn=play.live.example", 1),
        ("/v1/redirect/live/cam1", 1),
        ("/v1/route?name=www.live.example", 0),
        ("/v1/route?name=play.live.example&n=0", 0),
        ("/d?dn=www.live.example", 0),
    ] {
        visitor.get(path, &[]);
        expected += viewers;
    }
    let told = || {
        let metrics = get(served.admin(), "/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix("thalweg_region_answers_total{region=\"here\"} "));
        line.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    wait_for("the books", || (told() >= expected).then_some(()));
    // Whatever else was booked would come before this.
    visitor.get("/v1/route?name=play.live.example", &[]);
    wait_for("the books", || (told() > expected).then_some(()));
    assert_eq!(told(), expected + 1);
}

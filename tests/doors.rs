//! The doors for viewers over HTTP: HTTP-DNS in each shape, and nodes by name and stream, by the engine that answers DNS.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "doors/clients.rs"]
mod clients;
#[path = "doors/ice.rs"]
mod ice;
#[path = "doors/redirect.rs"]
mod redirect;
#[path = "doors/route.rs"]
mod route;
#[path = "doors/shapes.rs"]
mod shapes;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use support::client::PATIENCE;
use support::daemon::{SERVER, Served};
use support::installation::Installation;

const ZONE: &str = "$TTL 300\n@ SOA ns1 host 1 1h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\nwww 60 A 192.0.2.80\nwww 90 A 192.0.2.80\n\
    www AAAA 2001:db8::80\nalias CNAME play\n";

/// Two places; the nodes of each have both families.
const FLEET: &str = r#"
[service."play.live.example"]
answers = 1
[service."*.room.live.example"]
policy = "hash"
key = "label"
[place.fra]
at = [50.1, 8.7]
[place.nyc]
at = [40.7, -74.0]
[region.here]
networks = ["127.0.0.0/8", "192.0.2.0/24", "2001:db8:1::/48"]
near = ["fra"]
[region.there]
networks = ["198.51.100.0/24"]
near = ["nyc"]
near_only = true
[pool.edge]
urls = { rtmp = "rtmp://{address}/{stream}", flv = "http://{address}:8080/{stream}.flv" }
[node.fra1]
addresses = ["203.0.113.10", "2001:db8:f::10"]
place = "fra"
[node.nyc1]
addresses = ["203.0.113.20", "2001:db8:f::20"]
place = "nyc"
"#;

/// A server with these keys in `[server]` besides, and what a visitor of it sees.
fn served(server: &str, fleet: &str) -> (Installation, Served) {
    let text = format!("{SERVER}http = [\"127.0.0.1:0\"]\n{server}\n{fleet}");
    let installation = Installation::new([
        ("thalweg.toml", text.as_str()),
        ("zones/live.example.zone", ZONE),
        ("http.secrets", "0123456789abcdef0123\n"),
    ]);
    let served = Served::start_unwatched(&installation);
    (installation, served)
}

/// A visitor who keeps one connection.
struct Visitor {
    stream: BufReader<TcpStream>,
}

/// What is said to a visitor.
#[derive(Debug, PartialEq)]
struct Said {
    status: u16,
    head: Vec<String>,
    body: String,
}

impl Visitor {
    fn of(served: &Served) -> Self {
        let stream = TcpStream::connect(served.http()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// What a path gets, with these lines in the request's head.
    fn get(&mut self, path: &str, head: &[&str]) -> Said {
        self.get_from("doors", path, head)
    }

    /// The same of a host.
    fn get_from(&mut self, host: &str, path: &str, head: &[&str]) -> Said {
        let lines: String = head.iter().map(|line| format!("{line}\r\n")).collect();
        write!(self.stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n").unwrap();
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            let (name, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
            head.push(format!("{}:{value}", name.to_lowercase()));
        }
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body).unwrap();
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        Said { status, head, body: String::from_utf8(body).unwrap() }
    }

    /// The JSON that a path gets.
    fn json(&mut self, path: &str) -> serde_json::Value {
        let said = self.get(path, &[]);
        assert_eq!(said.status, 200, "{path}: {}", said.body);
        serde_json::from_str(&said.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", said.body))
    }
}

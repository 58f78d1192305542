//! An installation as large as wanted, and the queries that it is asked.

use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use thalweg::feed::{Feed, Options};
use thalweg::name::Name;
use thalweg::snapshot::Snapshot;
use thalweg::steer::mix;
use thalweg::wire::RecordType;

/// Nodes at each of the four places.
const NODES: usize = 3;
/// Places, and the client continents nearest to them.
const PLACES: [(&str, &str, &str); 4] = [
    ("eu", "50.1, 8.7", r#""EU", "AF""#),
    ("na", "39.0, -77.5", r#""NA""#),
    ("sa", "-23.5, -46.6", r#""SA""#),
    ("as", "35.7, 139.7", r#""AS", "OC""#),
];

/// What a query asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Addresses of a name of the zone.
    Hit,
    /// A type that the name has not.
    NoData,
    /// A name that is not there.
    NxDomain,
    /// A name that is there by a wildcard.
    Wildcard,
    /// An alias of a name of the zone.
    Alias,
    /// A steered name, by the client's address.
    Steered,
    /// A steered name, with the client's network in the query.
    Subnet,
    /// The same, of IPv6.
    Subnet6,
}

impl Kind {
    /// All of them, with their words.
    pub(crate) const ALL: [(Self, &str); 8] = [
        (Self::Hit, "hit"),
        (Self::NoData, "nodata"),
        (Self::NxDomain, "nxdomain"),
        (Self::Wildcard, "wildcard"),
        (Self::Alias, "alias"),
        (Self::Steered, "steered"),
        (Self::Subnet, "subnet"),
        (Self::Subnet6, "subnet6"),
    ];
}

/// A query and who sends it.
pub(crate) struct Asked {
    pub(crate) message: Vec<u8>,
    pub(crate) client: IpAddr,
}

impl Asked {
    /// The two, as a worker takes them.
    pub(crate) fn parts(&self) -> (&[u8], IpAddr) {
        (&self.message, self.client)
    }
}

/// A snapshot of a zone with so many hosts, one steered name and twelve nodes.
pub(crate) fn snapshot(hosts: usize) -> Arc<Snapshot> {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("zones")).unwrap();
    fs::write(directory.path().join("zones/stream.example.zone"), zone(hosts)).unwrap();
    let file: PathBuf = directory.path().join("thalweg.toml");
    fs::write(&file, configuration()).unwrap();
    let feed = Feed::new(Options { file, environment: Vec::new(), is_watching: true, is_strict: true })
        .unwrap_or_else(|error| panic!("{error:?}"));
    feed.published().snapshot()
}

/// The text of its zone: so many hosts with both addresses, an alias and a wildcard.
pub(crate) fn zone(hosts: usize) -> String {
    let mut zone =
        "$TTL 300\n@ SOA ns1 host 1 1h 15m 2w 60\n@ NS ns1\nns1 A 192.0.2.53\n*.wild A 192.0.2.99\nwww CNAME h000000\n"
            .to_owned();
    for host in 0..hosts {
        writeln!(zone, "h{host:06} A 192.0.2.1\nh{host:06} AAAA 2001:db8::1").unwrap();
    }
    zone
}

fn configuration() -> String {
    let mut text =
        "[defaults.node]\ncapacity = { egress = \"1Gbit/s\" }\n[service.\"live.stream.example\"]\nanswers = 3\n\
                    ttl = { min = \"30s\", max = \"30s\" }\n"
            .to_owned();
    let mut number = 0;
    for (place, at, continents) in PLACES {
        writeln!(text, "[place.{place}]\nat = [{at}]\n[region.{place}]\ncontinents = [{continents}]").unwrap();
        for node in 1..=NODES {
            number += 1;
            let addresses = format!("addresses = [\"192.0.3.{number}\", \"2001:db8:3::{number}\"]");
            writeln!(text, "[node.{place}{node}]\n{addresses}\nplace = \"{place}\"").unwrap();
        }
    }
    text
}

/// So many queries of a kind, with names and clients at random, the same in each run.
pub(crate) fn queries(kind: Kind, hosts: usize, count: usize) -> Vec<Asked> {
    (0..count as u64).map(|number| query(kind, hosts, mix(number ^ (kind as u64) << 40))).collect()
}

fn query(kind: Kind, hosts: usize, random: u64) -> Asked {
    let host = random as usize % hosts;
    let (name, qtype) = match kind {
        Kind::Hit => (format!("h{host:06}"), if random >> 40 & 1 == 0 { RecordType::A } else { RecordType::AAAA }),
        Kind::NoData => (format!("h{host:06}"), RecordType::TXT),
        Kind::NxDomain => (format!("nx{}", random % 1_000_000), RecordType::A),
        Kind::Wildcard => (format!("x{}.wild", random % 100_000), RecordType::A),
        Kind::Alias => ("www".to_owned(), RecordType::A),
        Kind::Steered | Kind::Subnet | Kind::Subnet6 => ("live".to_owned(), RecordType::A),
    };
    let name = Name::parse(&format!("{name}.stream.example."), None).unwrap();
    let mut message = vec![random as u8, (random >> 8) as u8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend(name.wire());
    message.extend(qtype.0.to_be_bytes());
    message.extend([0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0]);
    let [a, b, c, d, ..] = (random >> 16).to_be_bytes();
    match kind {
        Kind::Subnet => message.extend([0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 1 + a % 222, b, c]),
        // 2000::/4 holds what has been given out.
        Kind::Subnet6 => message.extend([0, 14, 0, 8, 0, 10, 0, 2, 48, 0, 0x20 | a & 0x0f, b, c, d, a, c]),
        _ => message.extend([0, 0]),
    }
    let client = match kind {
        // As many resolvers as a large operator sees.
        Kind::Steered => Ipv4Addr::new(1 + a % 222, b & 0x0f, 7, 53),
        _ => Ipv4Addr::new(127, 0, 0, 1),
    };
    Asked { message, client: client.into() }
}

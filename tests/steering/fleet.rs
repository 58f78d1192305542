//! A program that steers to three model nodes of one place, and clients that ask it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use thalweg::geo::Prefix;
use thalweg::load::history::Reading;
use thalweg::snapshot::Snapshot;
use thalweg::wire::RecordType;

use super::NODE;
use super::machine::{Machine, Port};
use super::support::client::{Client, wait_for};
use super::support::daemon::{SERVER, Served};
use super::support::installation::Installation;
use super::support::query::Query;

/// Nodes, all at one place.
pub(crate) const NODES: usize = 3;
/// Client networks that ask, all of one country.
const NETWORKS: u32 = 300;
const ZONE: &str = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\nplay 60 A 192.0.2.10\n";
/// What one viewer brings is next to nothing, so that the test's own queries move no load.
const POOL: &str = "
[service.\"play.live.example\"]
answers = 1
[pool.edge]
viewer = { bitrate = \"64kbit/s\", stays = \"24h\" }
[place.fra]
at = [50.1, 8.7]
[defaults.node]
place = \"fra\"
capacity.egress = \"100Gbit/s\"
interval = \"500ms\"
";

/// A program with its nodes.
pub(crate) struct Fleet {
    pub(crate) machines: Vec<Machine>,
    pub(crate) ports: Vec<Port>,
    served: Served,
    client: Client,
    _installation: Installation,
}

impl Fleet {
    /// Starts nodes at half of what they can do, and the program.
    pub(crate) fn start() -> Self {
        let machines: Vec<Machine> = (0..NODES).map(|index| Machine::start(address(index), 0.5)).collect();
        let ports: Vec<Port> = (0..NODES).map(|index| Port::open(address(index))).collect();
        let node = |index: usize| {
            let (url, port) = (machines[index].url(), ports[index].number());
            format!(
                "[node.fra{index}]\naddresses = [\"{}\"]\nexporters.node = \"{url}\"\ncheck = \"tcp:{port}\"\n",
                address(index)
            )
        };
        let config = format!("{SERVER}{POOL}{}", (0..NODES).map(node).collect::<String>());
        let installation = Installation::new([("thalweg.toml", config.as_str()), ("zones/live.example.zone", ZONE)]);
        let served = Served::start(&installation);
        let client = Client::new(served.dns());
        Self { machines, ports, served, client, _installation: installation }
    }

    /// What is served now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.served.snapshot()
    }

    /// Waits until all nodes' loads are read, and are about this.
    pub(crate) fn wait_for_loads(&self, pressure: f64) {
        wait_for("the load of each node", || {
            let is_there = |reading: &Reading| match reading {
                Reading::Fresh(load) => (load.pressure - pressure).abs() < 0.05,
                Reading::Stale { .. } | Reading::Never { .. } => false,
            };
            self.snapshot().tables.nodes.iter().all(|node| is_there(&node.reading)).then_some(())
        });
    }

    /// The share of clients that get this node.
    pub(crate) fn share(&self, node: usize) -> f64 {
        let end = format!(" IN A {}", address(node));
        let named = (0..NETWORKS).filter(|network| {
            let subnet = Prefix::of(IpAddr::from(Ipv4Addr::from_bits(0x5480_0000 + (network << 8))), 24);
            let reply = self.client.ask(&Query::new("play.live.example.", RecordType::A).with_subnet(subnet));
            let answers: Vec<&String> = reply.lines.iter().filter(|line| line.starts_with("answer: ")).collect();
            assert_eq!(answers.len(), 1, "{:?}", reply.lines);
            answers[0].ends_with(&end)
        });
        named.count() as f64 / f64::from(NETWORKS)
    }

    /// A metric of the node that something happens to.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let beginning = format!("{name}{{node=\"fra{NODE}\"}} ");
        let page = self.served.metrics();
        let line = page.lines().find_map(|line| line.strip_prefix(&beginning));
        line.unwrap_or_else(|| panic!("{beginning} is missing in\n{page}")).parse().unwrap()
    }
}

/// Each node has an address of its own.
fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 41, 1 + node as u8)
}

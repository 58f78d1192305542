//! The border between the model world and whatever decides in it: what a policy is asked, told and knows.

use std::net::Ipv4Addr;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::dice::Dice;
use super::inventory::Own;
use super::plant::Plant;
use super::world::{Overflow, World};

/// Most addresses of an answer.
pub const MAX_ANSWERS: usize = 8;

/// In the place of a node: the answer leads to someone else's network.
pub const ELSEWHERE: u16 = u16::MAX;

/// What may be known beforehand: inventory and map, as configured.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// Names of client regions, each of which has a site of its number.
    pub regions: Vec<String>,
    /// Round trips in milliseconds: client region, then site.
    pub rtt_ms: Vec<Vec<f64>>,
    /// Sites by distance, for each client region.
    pub nearest: Vec<Vec<usize>>,
    /// Nodes of each site.
    pub sites: Vec<Vec<usize>>,
    /// All nodes.
    pub nodes: Vec<FleetNode>,
    /// How many nameservers are asked.
    pub nameservers: usize,
    /// Mean bitrate of a viewer in Mbit/s.
    pub bitrate_mbit: f64,
    /// Mean session in seconds.
    pub session: f64,
    /// Seconds between scrapes of a node.
    pub scrape_every: f64,
    /// Where else viewers may be sent.
    pub overflow: Option<Overflow>,
    /// Someone's own nodes, pool and service, if these are what is played with.
    pub own: Option<Arc<Own>>,
}

/// A node as configured.
#[derive(Debug, Clone)]
pub struct FleetNode {
    /// Its name.
    pub name: String,
    /// Its address, which no other node has.
    pub address: Ipv4Addr,
    /// The site it stands in.
    pub site: usize,
    /// Network capacity in Mbit/s.
    pub nic_mbit: f64,
    /// Traffic in Mbit/s at which its media process has used up its CPU.
    pub process_mbit: f64,
    /// How many CPUs it has.
    pub cpus: f64,
    /// Share of capacity from which it counts as overloaded.
    pub overload: f64,
}

/// A question that a nameserver gets.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// Which nameserver is asked, counted from 0.
    pub nameserver: usize,
    /// When, in unix milliseconds.
    pub at_ms: u64,
    /// The address it comes from; resolvers differ in the first 24 bits.
    pub source: Ipv4Addr,
    /// The network of the client, 24 bits of it, if the resolver says.
    pub subnet: Option<Ipv4Addr>,
    /// The client region in which the source seems to be.
    pub region: usize,
    /// Viewers a second who really come to this cache of the resolver now; for policies that are given what no server knows.
    pub hidden_rate: f64,
}

/// What a nameserver answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Nodes in the order of their addresses, or [`ELSEWHERE`].
    pub nodes: ArrayVec<u16, MAX_ANSWERS>,
    /// Seconds for which resolvers may keep it.
    pub ttl: u32,
}

impl Answer {
    /// One node.
    pub fn of(node: usize, ttl: u32) -> Self {
        Self { nodes: std::iter::once(node as u16).collect(), ttl }
    }
}

/// What an exporter says: counters grow from some start, at the node's own pace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Octets sent.
    pub tx_bytes: f64,
    /// Seconds that CPUs were idle, all CPUs together.
    pub idle_seconds: f64,
    /// CPU seconds of the media process, which never uses more than one a second.
    pub process_seconds: f64,
    /// Viewers now.
    pub connections: f64,
    /// CPUs.
    pub cpus: f64,
}

/// What a nameserver believes of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Belief {
    /// Its pressure now.
    pub pressure: f64,
    /// Whether it is taken to be at the end of what it can send, below its configured capacity.
    pub is_saturated: bool,
}

/// Something that answers queries, from what it is told about the nodes. Every call names the nameserver it is for; what
/// nameservers tell each other is the policy's own affair.
pub trait Policy {
    /// Answers a query.
    fn answer(&mut self, query: &Query, dice: &mut Dice) -> Answer;

    /// Before the first second: the clients of a network, the first so many bits of an address, seem to be in a region.
    fn located(&mut self, _network: Ipv4Addr, _length: u8, _region: usize) {}

    /// A scrape succeeded. `window`: seconds since the last that did, 0 for the first.
    fn scraped(&mut self, nameserver: usize, node: usize, at_ms: u64, window: f64, sample: &Sample);

    /// A scrape failed: it was lost, or the exporter says nothing.
    fn missed(&mut self, _nameserver: usize, _node: usize, _at_ms: u64) {}

    /// Probes made a node down or up.
    fn probed(&mut self, nameserver: usize, node: usize, at_ms: u64, is_up: bool);

    /// The operator drains a node, or ends it.
    fn drained(&mut self, node: usize, at_ms: u64, is_drained: bool);

    /// A second has passed.
    fn tick(&mut self, _at_ms: u64) {}

    /// What a nameserver believes of a node now, if it believes anything; to be compared with the truth.
    fn belief(&self, _nameserver: usize, _node: usize) -> Option<Belief> {
        None
    }

    /// Whether a nameserver remembers the viewers of a resolver, which asks without a client subnet; none if it does so of
    /// nobody.
    fn remembers(&self, _nameserver: usize, _resolver: Ipv4Addr, _at_ms: u64) -> Option<bool> {
        None
    }

    /// Places a viewer without DNS, who is in this region. For what knows everything: no server can do it.
    fn place(&mut self, _region: usize, _plant: &Plant) -> Option<usize> {
        None
    }
}

impl Fleet {
    /// The fleet of a world, as configured.
    pub fn new(world: &World) -> Self {
        let machines = &world.machines;
        let (mut nodes, mut sites) = (Vec::new(), Vec::new());
        for (site, region) in world.regions.iter().enumerate() {
            let first = nodes.len();
            for (place, nic_gbit) in region.nic_gbit.iter().enumerate() {
                let is_bound = machines.bound_every > 0 && (place + 1) % machines.bound_every == 0;
                let limit = if is_bound { machines.bound_limit } else { machines.process_limit };
                let [.., high, low] = (nodes.len() as u32 + 1).to_be_bytes();
                nodes.push(FleetNode {
                    name: format!("{}-{}", region.name, place + 1),
                    address: Ipv4Addr::new(198, 18, high, low),
                    site,
                    nic_mbit: nic_gbit * 1000.0,
                    process_mbit: nic_gbit * 1000.0 * limit,
                    cpus: machines.cpus,
                    overload: region.overload.get(place).copied().unwrap_or(world.overload),
                });
            }
            sites.push((first..nodes.len()).collect());
        }
        let rtt_ms: Vec<Vec<f64>> = world.regions.iter().map(|region| region.rtt_ms.clone()).collect();
        let nearest = rtt_ms.iter().map(|row| {
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|a, b| row[*a].total_cmp(&row[*b]));
            order
        });
        let bitrates = world.viewers.bitrate_mbit.iter().zip(&world.viewers.bitrate_share);
        Self {
            regions: world.regions.iter().map(|region| region.name.clone()).collect(),
            nearest: nearest.collect(),
            rtt_ms,
            sites,
            nodes,
            nameservers: world.nameservers,
            bitrate_mbit: bitrates.map(|(bitrate, share)| bitrate * share).sum(),
            session: world.viewers.session.mean,
            scrape_every: world.monitoring.scrape.every,
            overflow: world.overflow,
            own: None,
        }
    }
}

impl FleetNode {
    /// What it can send in Mbit/s, whatever limits it.
    pub fn capacity(&self) -> f64 {
        self.nic_mbit.min(self.process_mbit)
    }
}

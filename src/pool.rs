//! Nodes, pools, services, resources and limits: what steering chooses among.
#![deny(clippy::disallowed_methods)]

mod access;
mod check;
mod maintenance;
mod preset;
mod selector;
mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::name::Name;

pub use access::{Access, Authorization, ClientCertificate, Tls};
pub use check::{Check, PLACEHOLDER, fill};
pub use maintenance::{Maintenance, Selection, Span, When};
pub use preset::{Combine, Falls, Identity, Measure, Preset, Rule, Scope, Told};
pub use selector::{Alternatives, Matcher, Pattern, Selector, SelectorError};
pub use template::Template;

/// The most nodes, and the most regions, of an installation: sizes the arrays that workers count in.
pub const MAX_NODES: usize = 4096;
/// The most addresses of one answer.
pub const MAX_ANSWERS: usize = 64;

/// A node's number: given at first sight, kept over reloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

/// A pool's place in `Fleet::pools`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u16);

/// A service's place in `Fleet::services`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u16);

/// A place's place in `Fleet::places`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(pub u16);

/// One streaming machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its key in the configuration.
    pub name: String,
    /// Its IPv4 address for viewers.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address for viewers.
    pub v6: Option<Ipv6Addr>,
    /// Where it stands, by name; none = guessed from the geography of its address.
    pub place: Option<String>,
    /// What pools select by.
    pub labels: BTreeMap<String, String>,
    /// What the machine can do.
    pub capacity: Capacity,
    /// The shares of capacity at which pressure is 1.
    pub limits: Limits,
    /// Time between scrapes.
    pub interval: Duration,
    /// Where its load is read.
    pub exporters: Vec<Exporter>,
    /// Handicap in milliseconds of distance, for what it costs to use it; not negative.
    pub cost: f64,
    /// Its part of what a node of its size would get; 1 is all, 0 none.
    pub weight: f64,
    /// A barrier: nobody but these clients gets it; empty = everybody may.
    pub serves: Vec<Area>,
    /// How it is found out whether it serves at all; it does if all of them succeed.
    pub checks: Vec<Check>,
    /// Good probes in a row after which a failing check counts as succeeding again, at least 1.
    pub rise: u32,
    /// Failed probes in a row after which a check counts as failing, at least 1.
    pub fall: u32,
    /// Why it gets nobody new, if its inventory says so.
    pub drained: Option<String>,
}

/// Nothing but usual limits; neither name nor address.
impl Default for Node {
    fn default() -> Self {
        Self {
            name: String::new(),
            v4: None,
            v6: None,
            place: None,
            labels: BTreeMap::new(),
            capacity: Capacity::default(),
            limits: Limits::default(),
            interval: Duration::from_secs(5),
            exporters: Vec::new(),
            cost: 0.0,
            weight: 1.0,
            serves: Vec::new(),
            checks: Vec::new(),
            // What flaps stays down.
            rise: 3,
            // One may be a lost packet.
            fall: 2,
            drained: None,
        }
    }
}

impl Node {
    /// Its address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }
}

/// An address family, and so a record type: A or AAAA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4, A.
    V4,
    /// IPv6, AAAA.
    V6,
}

impl Family {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Its word in metrics and reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// As people write it.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// What a machine can do; what is unknown limits nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Capacity {
    /// What it can send.
    pub egress: Option<Bitrate>,
    /// How many viewers it can have at a time.
    pub clients: Option<f64>,
    /// How many cores the media server's process can use.
    pub process_cpu: Option<f64>,
}

/// Shares of a resource's capacity at which a node counts as overloaded, 0 < x ≤ 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Of all cores together.
    pub cpu: f64,
    /// Of what the media server's process can use: one core for those that have one busy thread.
    pub process_cpu: f64,
    /// Of the egress capacity.
    pub egress: f64,
    /// Of the number of viewers.
    pub clients: f64,
    /// Of the datagrams that come or go: those that are dropped for want of room.
    pub udp_drops: f64,
    /// Of memory: from there on it gets nobody; 1 = never because of that.
    pub memory: f64,
    /// Of the fullest filesystem, likewise.
    pub disk: f64,
    /// Of resources that presets name, by name.
    pub custom: BTreeMap<String, f64>,
}

/// The rule of thumb of the field: 80 % of everything; of viewers, who are counted exactly, 90 %. A queue that loses one
/// datagram of a thousand is full.
impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: 0.8,
            process_cpu: 0.8,
            egress: 0.8,
            clients: 0.9,
            udp_drops: 0.001,
            memory: 0.95,
            disk: 0.95,
            custom: BTreeMap::new(),
        }
    }
}

/// One thing that a node can run out of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// All cores together.
    Cpu,
    /// The media server's process, of one core or of what it may use.
    ProcessCpu,
    /// What it sends to viewers.
    Egress,
    /// Its viewers.
    Clients,
    /// Room for datagrams, by those that are dropped: it says that there is none, never how much is left.
    UdpDrops,
    /// Memory; no pressure, but nobody new where there is none left.
    Memory,
    /// Room in filesystems, likewise.
    Disk,
    /// What a preset calls it.
    Custom(Arc<str>),
}

impl Resource {
    /// The words of the configuration for resources that every node has.
    pub const WORDS: [&str; 7] = ["cpu", "process_cpu", "egress", "clients", "udp_drops", "memory", "disk"];

    /// The resource of a word.
    pub fn of_word(word: &str) -> Self {
        match word {
            "cpu" => Self::Cpu,
            "process_cpu" => Self::ProcessCpu,
            "egress" => Self::Egress,
            "clients" => Self::Clients,
            "udp_drops" => Self::UdpDrops,
            "memory" => Self::Memory,
            "disk" => Self::Disk,
            custom => Self::Custom(custom.into()),
        }
    }

    /// Its word.
    pub fn word(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::ProcessCpu => "process_cpu",
            Self::Egress => "egress",
            Self::Clients => "clients",
            Self::UdpDrops => "udp_drops",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Custom(word) => word,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A source of load.
#[derive(Debug, Clone, PartialEq)]
pub struct Exporter {
    /// How it is read.
    pub preset: Arc<Preset>,
    /// Where, `http` or `https`.
    pub url: String,
    /// What goes with every request; one for all that are reached alike.
    pub access: Arc<Access>,
}

/// Stands in place of an exporter's URL where the node brings its load by itself.
pub const HEARTBEAT: &str = "heartbeat";

/// Where the load of a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence<'e> {
    /// At the exporter itself.
    Url(&'e str),
    /// From Prometheus servers, as they know the exporter: by its label, or by the node's name or address.
    Prometheus(Option<&'e str>),
    /// Nowhere: the node brings it by itself.
    Heartbeat,
}

impl Exporter {
    /// Where its load is read: its URL may be the word `heartbeat`, or `prometheus`, alone or with a label behind a colon.
    pub fn whence(&self) -> Whence<'_> {
        if self.url == HEARTBEAT {
            return Whence::Heartbeat;
        }
        match self.url.strip_prefix("prometheus") {
            Some("") => Whence::Prometheus(None),
            Some(rest) if rest.starts_with(':') => Whence::Prometheus(Some(&rest[1..])),
            _ => Whence::Url(&self.url),
        }
    }
}

/// Nodes that serve the same thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its key in the configuration.
    pub name: String,
    /// Labels a node must have; all nodes if empty.
    pub select: BTreeMap<String, String>,
    /// How its services choose among its nodes, if they do not say.
    pub policy: Policy,
    /// What one viewer brings, until it is learned.
    pub viewer: Viewer,
    /// What load is counted in.
    pub currency: Currency,
    /// What is done when no node has room.
    pub full: Full,
    /// What is done with nodes whose capacity seems to be smaller than configured.
    pub saturation: Saturation,
    /// How it is found out whether a node serves this pool; a failure withdraws it from this pool alone.
    pub checks: Vec<Check>,
    /// URLs of its nodes for viewers, by protocol.
    pub urls: Vec<(String, Template)>,
}

/// All nodes, by the planner.
impl Default for Pool {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            select: BTreeMap::new(),
            policy: Policy::Planner,
            viewer: Viewer::default(),
            currency: Currency::Egress,
            full: Full::Fill,
            saturation: Saturation::Alarm,
            checks: Vec::new(),
            urls: Vec::new(),
        }
    }
}

/// How nodes are chosen for a service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    /// By distance, headroom and prediction.
    Planner,
    /// Every node that is up in turn, wherever it stands.
    RoundRobin,
    /// Every node that is up in proportion to capacity and weight, wherever it stands.
    Weighted,
    /// The nodes of the nearest site that has any that is up, in proportion to capacity and weight.
    Nearest,
    /// The first node of the configuration that is up.
    Failover,
    /// One node by consistent hashing of a key.
    Hash {
        /// What is hashed.
        key: HashKey,
        /// The most that a node may get, as a multiple of its fair share; above 1.
        bound: f64,
    },
}

impl Policy {
    /// The words of the configuration for policies.
    pub const WORDS: [&str; 6] = ["planner", "round_robin", "weighted", "nearest", "failover", "hash"];

    /// Its word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::RoundRobin => "round_robin",
            Self::Weighted => "weighted",
            Self::Nearest => "nearest",
            Self::Failover => "failover",
            Self::Hash { .. } => "hash",
        }
    }
}

/// What consistent hashing hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKey {
    /// The leftmost label of the name that was asked for.
    Label,
    /// The whole name.
    Name,
    /// The client's network.
    Client,
}

/// What one viewer brings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Viewer {
    /// What is sent to one.
    pub bitrate: Bitrate,
    /// How long one stays, on average.
    pub stays: Duration,
}

/// 2.5 Mbit/s for 40 minutes.
impl Default for Viewer {
    fn default() -> Self {
        Self { bitrate: Bitrate(2.5e6), stays: Duration::from_secs(2_400) }
    }
}

/// What the load of a pool's nodes is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Currency {
    /// Mbit/s that are sent.
    Egress,
    /// Viewers: for servers that packets or CPU bind, such as SFU and TURN.
    Clients,
}

/// What is done when no node of a pool has room.
#[derive(Debug, Clone, PartialEq)]
pub enum Full {
    /// They are filled further, in proportion to what is left below physical limits.
    Fill,
    /// Viewers go elsewhere.
    Overflow(Overflow),
    /// Over HTTP nobody is let in any more; over DNS they are filled further.
    Refuse,
}

/// Where viewers go that a pool has no room for.
#[derive(Debug, Clone, PartialEq)]
pub struct Overflow {
    /// The name that they are sent to.
    pub cname: Name,
    /// The addresses in place of the name where there can be no CNAME: at a zone's apex.
    pub addresses: Vec<IpAddr>,
    /// Site pressure from which it may be used, 0 to 1.
    pub above: f64,
    /// Its distance from everybody, in milliseconds.
    pub cost: f64,
}

/// What is done with a node that sends no more although viewers come: it may be smaller than configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saturation {
    /// It is told.
    Alarm,
    /// It is told, and the node counts as what it seems to be.
    Clip,
}

/// A set of clients, or of places, that a barrier names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Area {
    /// A continent: AF AN AS EU NA OC SA.
    Continent(String),
    /// A country, ISO 3166-1.
    Country(String),
    /// An autonomous system; a region of the configuration consists of it.
    Asn(u32),
    /// A region of the configuration.
    Region(String),
    /// A place of the configuration.
    Place(String),
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continent(code) if code != "EU" && code != "OC" => write!(f, "continent:{code}"),
            Self::Country(code) if matches!(code.as_str(), "AF" | "AN" | "AS" | "NA" | "SA") => {
                write!(f, "country:{code}")
            }
            Self::Continent(code) | Self::Country(code) => f.write_str(code),
            Self::Asn(asn) => write!(f, "AS{asn}"),
            Self::Region(name) => write!(f, "region:{name}"),
            Self::Place(name) => write!(f, "place:{name}"),
        }
    }
}

impl Pool {
    /// Whether the node belongs to the pool.
    pub fn selects(&self, node: &Node) -> bool {
        self.select.iter().all(|(label, value)| node.labels.get(label) == Some(value))
    }
}

/// A steered owner name, bound to a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The owner name; its leftmost label may be the asterisk.
    pub name: Name,
    /// The pool's key in the configuration.
    pub pool: String,
    /// How many nodes an answer names.
    pub answers: Answers,
    /// Bounds of the answer's TTL.
    pub ttl: TtlBounds,
    /// How nodes are chosen; as its pool says if there is none.
    pub policy: Option<Policy>,
    /// A barrier: the continents, countries and places that may serve it, and of which it may be served; empty = all.
    pub within: Vec<Area>,
}

/// How many nodes an answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// As the planner likes.
    Auto,
    /// This many, 1 to `MAX_ANSWERS`, if there are as many.
    Fixed(u8),
}

/// Bounds of a steered answer's TTL, whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlBounds {
    /// Used while load moves fast.
    pub min: u32,
    /// Used when all is calm.
    pub max: u32,
}

/// The range in which the steering was studied.
impl Default for TtlBounds {
    fn default() -> Self {
        Self { min: 3, max: 15 }
    }
}

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Bitrate(pub f64);

impl Bitrate {
    /// In Mbit/s, the unit of the steering.
    pub fn megabits(self) -> f64 {
        self.0 / 1e6
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            bits if bits >= 1e9 => (bits / 1e9, "Gbit/s"),
            bits if bits >= 1e6 => (bits / 1e6, "Mbit/s"),
            bits if bits >= 1e3 => (bits / 1e3, "kbit/s"),
            bits => (bits, "bit/s"),
        };
        write!(f, "{} {unit}", (value * 100.0).round() / 100.0)
    }
}

/// Where nodes stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its key in the configuration, or a country's code for an automatic one.
    pub name: String,
    /// Where it is; none = distances come from `near` and measured times only.
    pub at: Option<crate::geo::Position>,
}

/// Addresses of nodes as an answer has them, by node.
#[derive(Debug, Clone, Default)]
pub struct AddressBook {
    v4: Vec<[u8; 4]>,
    v6: Vec<[u8; 16]>,
}

impl AddressBook {
    /// Enters a node's addresses.
    pub fn enter(&mut self, node: NodeId, v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) {
        let index = usize::from(node.0);
        if self.v4.len() <= index {
            self.v4.resize(index + 1, [0; 4]);
            self.v6.resize(index + 1, [0; 16]);
        }
        self.v4[index] = v4.map_or([0; 4], |address| address.octets());
        self.v6[index] = v6.map_or([0; 16], |address| address.octets());
    }

    /// The IPv4 address of a node that has one.
    #[inline]
    pub fn v4(&self, node: NodeId) -> &[u8; 4] {
        &self.v4[usize::from(node.0)]
    }

    /// The IPv6 address of a node that has one.
    #[inline]
    pub fn v6(&self, node: NodeId) -> &[u8; 16] {
        &self.v6[usize::from(node.0)]
    }
}

//! The configuration as it is run: `thalweg.toml` with the environment over it, every default filled in.
#![deny(clippy::disallowed_methods)]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Source};
use crate::geo::{Prefix, RegionRule};
use crate::name::Name;
use crate::pool;

mod access;
mod address;
mod area;
mod barriers;
mod cluster;
mod environment;
mod file;
mod full;
mod heartbeat;
mod http_dns;
mod ice;
mod inventory;
mod key;
mod later;
mod maintenance;
mod moment;
mod outward;
mod policy;
mod preset;
mod redirect;
mod resolve;
mod rules;
mod secondary;
mod table;
mod tree;
mod units;
mod value;
mod written;

pub use address::is_machine;
pub use heartbeat::Heartbeat;
pub use http_dns::HttpDns;
pub use ice::Ice;
pub use inventory::{Effect, Format, Gain, Inventory, List, is_pattern};
pub use key::{Key, KeySecret, octets as key_octets, weakness as key_weakness};
pub use outward::{Allow, Notified, Outward};
pub use policy::policy_of_word;
pub use preset::{Presets, embedded as embedded_presets, embedded_text as preset_text, read_text as read_preset};
pub use redirect::Redirect;
pub use secondary::Secondary;
pub use units::{bitrate, duration};
pub use written::{Place, Written};

use table::Table;
use written::Problems;

/// What is run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listeners and their limits.
    pub server: Server,
    /// The other nameservers of the installation, if there are any.
    pub cluster: Option<Cluster>,
    /// Keys by which servers know each other's messages; the place of each is its key.
    pub keys: Vec<Written<Key>>,
    /// Where zones are read.
    pub zones: Zones,
    /// Where geography is read.
    pub geoip: Geoip,
    /// Where nodes stand; the place of each is its key.
    pub places: Vec<Written<pool::Place>>,
    /// Explicit groups of clients; the place of each is its key.
    pub regions: Vec<Written<RegionRule>>,
    /// Streaming machines; the place of each is its key. Those of lists are put to them by `merge`.
    pub nodes: Vec<Written<pool::Node>>,
    /// Prometheus servers that are asked in place of exporters, if there are any.
    pub load: Option<Load>,
    /// Where others list more of them; the place of each is its key.
    pub inventories: Vec<Written<Inventory>>,
    /// Nodes and their defaults as written, for lists add to them.
    own_nodes: Arc<inventory::OwnNodes>,
    /// How exporters are reached, each way once; its place is that of what says the most particular of it.
    pub accesses: Vec<Written<Arc<pool::Access>>>,
    /// Groups of nodes; one named `default`, which nobody wrote, if the file has none.
    pub pools: Vec<Written<pool::Pool>>,
    /// Steered names, each with a pool that exists; the place of each is its key.
    pub services: Vec<Written<pool::Service>>,
    /// When which nodes get nobody new; the place of each is its key.
    pub maintenance: Vec<Written<pool::Maintenance>>,
}

/// Prometheus servers that are asked in place of exporters.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Their URLs, up to `/api/v1`; all are asked, and the newest samples count.
    pub prometheus: Vec<String>,
    /// How they are reached.
    pub access: Arc<pool::Access>,
    /// The label that tells targets apart.
    pub label: String,
    /// What series must match, as in PromQL without braces; empty = all.
    pub filter: String,
    /// Time between their own scrapes.
    pub interval: Duration,
}

/// Listeners and their limits.
#[derive(Debug, Clone)]
pub struct Server {
    /// DNS over UDP and TCP.
    pub dns: Vec<Written<SocketAddr>>,
    /// DNS over TLS (RFC 7858), if configured.
    pub tls: Option<Secure>,
    /// DNS over QUIC (RFC 9250), if configured.
    pub quic: Option<Secure>,
    /// DNS over HTTPS (RFC 8484), if configured.
    pub https: Option<Secure>,
    /// The same without TLS, behind proxies.
    pub http: Vec<Written<SocketAddr>>,
    /// Networks of proxies that tell by the PROXY protocol who asks.
    pub proxies: Arc<[Prefix]>,
    /// The admin listener, on loopback.
    pub admin: Written<SocketAddr>,
    /// UDP threads.
    pub workers: Workers,
    /// Whether each of them keeps to a core of its own.
    pub pin_workers: bool,
    /// Limits of connections, over each carrier apart.
    pub tcp: TcpLimits,
    /// The limit of answers over UDP; shared with the snapshots, for a reload may change it.
    pub rate_limit: Arc<RateLimit>,
    /// What `id.server` and `hostname.bind` are answered with; refused if there is none.
    pub identity: Option<Written<String>>,
    /// What `version.bind` and `version.server` are answered with; refused if there is none.
    pub version: Option<Written<String>>,
    /// What NSID is answered with (RFC 5001).
    pub nsid: Option<Written<String>>,
    /// The file of the secrets of DNS cookies, as written; drawn at random if there is none.
    pub cookie_secrets: Option<Written<PathBuf>>,
    /// The name at which TXT records say what the server sees of whoever asks; off if there is none.
    pub whoami: Option<Written<Name>>,
    /// The directory of what survives a restart, as written; nothing does if there is none.
    pub state: Option<Written<PathBuf>>,
    /// What the doors for viewers go by; shared with the snapshots, for a reload may change it.
    pub http_dns: Arc<HttpDns>,
}

/// The other nameservers of the installation.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Where they reach this one.
    pub listen: Written<SocketAddr>,
    /// Where this one reaches them; itself left out, 15 at most.
    pub peers: Vec<Written<SocketAddr>>,
    /// The file of the token by which they know each other, as written.
    pub token_file: Option<Written<PathBuf>>,
    /// Certificates by which they know each other.
    pub tls: Option<MutualTls>,
}

/// TLS in which both sides show a certificate.
#[derive(Debug, Clone)]
pub struct MutualTls {
    /// The PEM file of the own certificate and its chain, as written.
    pub certificate: Written<PathBuf>,
    /// The PEM file of its private key, as written.
    pub key: Written<PathBuf>,
    /// The PEM file of the authority that vouches for all, as written.
    pub authority: Written<PathBuf>,
}

/// Listeners with a certificate.
#[derive(Debug, Clone)]
pub struct Secure {
    /// Where to listen.
    pub listen: Vec<Written<SocketAddr>>,
    /// The PEM file of the certificate and its chain, as written.
    pub certificate: Written<PathBuf>,
    /// The PEM file of the private key, as written.
    pub key: Written<PathBuf>,
}

/// How many UDP threads there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One a core.
    Auto,
    /// This many, 1 to 1024.
    Fixed(u16),
}

/// Limits of streams (RFC 7766 §6.2, RFC 9210 §4.2), one set for all listeners of a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections at a time; the longest idle one is closed for one more.
    pub connections: usize,
    /// Connections at a time from one /24 or /56; one more is closed at once.
    pub connections_per_prefix: usize,
    /// Queries on one connection, after which it is closed.
    pub queries: usize,
    /// How long a connection may go without a complete query: one octet now and then does not help.
    pub idle: Duration,
    /// How long a peer may take to read what was answered.
    pub write: Duration,
    /// How long a connection may last.
    pub total: Duration,
    /// Octets of replies that may wait for a peer to read them: in the kernel (SO_SNDBUF), or for the windows of QUIC.
    pub unsent: usize,
}

impl Default for TcpLimits {
    fn default() -> Self {
        defaults::TCP
    }
}

/// The limit of answers over UDP to one network of clients, which may be the victim of a forger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// What becomes of answers beyond the rate.
    pub mode: RateLimitMode,
    /// Like answers to one network, in each second and on each address listened on; 1 to 100,000.
    pub per_second: u32,
    /// Every so many answers beyond the rate, a short one goes out in place of nothing; 0 = never, at most 10.
    pub slip: u32,
    /// Clients that are never limited.
    pub exempt: Vec<Prefix>,
}

/// What becomes of answers beyond the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimitMode {
    /// Nobody knows: nothing is counted.
    Off,
    /// They are counted and logged, and sent all the same.
    Log,
    /// They are not sent, but for the short ones of `slip`.
    On,
}

/// Where zones are read.
#[derive(Debug, Clone)]
pub struct Zones {
    /// Every NAME.zone in it is a zone; as written.
    pub directory: Written<PathBuf>,
    /// Zones whose files stand elsewhere; they win over those of the directory.
    pub files: Vec<Written<ZoneFile>>,
    /// Zones that go out to other nameservers; the place of each is its key.
    pub outward: Vec<Written<Outward>>,
    /// Zones that come from other servers; the place of each is its name.
    pub secondaries: Vec<Written<Secondary>>,
    /// Zones that are signed here.
    pub signed: Vec<Written<SignedZone>>,
}

/// A zone that is signed here; its place is that of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedZone {
    /// The zone's apex.
    pub name: Name,
    /// The directory of its keys, as written.
    pub keys: PathBuf,
    /// How long signatures count.
    pub validity: Duration,
    /// How long before their end they are made anew.
    pub refresh: Duration,
    /// The TTL of the keys' records.
    pub key_ttl: Duration,
}

/// A zone whose file is named; its place is that of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFile {
    /// The zone's apex.
    pub name: Name,
    /// Its master file, as written.
    pub path: PathBuf,
}

/// Where geography is read; paths as written.
#[derive(Debug, Clone)]
pub struct Geoip {
    /// Country, city and ASN databases; none = the embedded one of countries.
    pub databases: Vec<Written<PathBuf>>,
    /// A table of networks that wins over the databases.
    pub networks: Option<Written<PathBuf>>,
    /// Measured round-trip times.
    pub rtt: Option<Written<PathBuf>>,
}

/// Reads a configuration: nothing if there is an error, and always everything that is wrong.
///
/// Paths stay as they were written, relative to the file's directory. `environment` is that of the
/// process; only variables that begin with `THALWEG_` count.
pub fn read(source: &Source, environment: &[(String, String)]) -> (Option<Config>, Vec<Diagnostic>) {
    let problems = Problems::default();
    let config = tree::parse(source, &problems).map(|mut tree| {
        environment::overlay(&mut tree, environment, &problems);
        let top = Table::top(tree, Place::in_file(source, 0..0), &problems);
        let file = file::read_file(top, &problems);
        rules::check(&file, &problems);
        let config = resolve::resolve(file);
        // After an error an empty barrier may be one that was not read.
        // And what lists bring is not known yet.
        if !problems.has_errors() && config.inventories.is_empty() {
            barriers::check(&config, &problems);
        }
        config
    });
    let diagnostics = problems.into_diagnostics();
    let is_sound = !crate::diagnostic::has_errors(&diagnostics);
    (config.filter(|_| is_sound), diagnostics)
}

/// What can be told of a configuration in which anything else may be wrong, syntax too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Essentials {
    /// The directory of the state, as written: what was kept there can stand in for the rest.
    pub state: Option<PathBuf>,
    /// The admin listener: a daemon may run all the same.
    pub admin: SocketAddr,
}

impl Essentials {
    /// Reads what can be read.
    pub fn of(text: &str, environment: &[(String, String)]) -> Self {
        let problems = Problems::default();
        let source = Source::new("", text);
        let mut tree = tree::parse_what_can_be_read(&source);
        environment::overlay(&mut tree, environment, &problems);
        let mut top = Table::top(tree, Place::in_file(&source, 0..0), &problems);
        let mut server = top.table("server", "server");
        let mut read = || {
            let server = server.as_mut()?;
            let admin = server.value("admin", |item| address::listen(item, defaults::ADMIN_PORT));
            Some((server.value("state", value::path), admin))
        };
        let (state, admin) = read().unwrap_or_default();
        Self { state: state.map(|state| state.value), admin: admin.map_or_else(defaults::admin, |admin| admin.value) }
    }
}

/// What holds where nothing was written; those of nodes and services stand beside their types in `pool`.
mod defaults {
    use std::ops::RangeInclusive;

    use super::{Duration, Ipv4Addr, Ipv6Addr, RateLimitMode, SocketAddr, TcpLimits, Workers};
    use crate::pool::HashKey;

    pub(super) const DNS_PORT: u16 = 53;
    pub(super) const TLS_PORT: u16 = 853;
    pub(super) const HTTPS_PORT: u16 = 443;
    pub(super) const HTTP_PORT: u16 = 8080;
    pub(super) const ADMIN_PORT: u16 = 8053;
    pub(super) const CLUSTER_PORT: u16 = 8054;
    /// Beside those of SRS' own API, 1985.
    pub(super) const HEARTBEAT_PORT: u16 = 1986;
    /// Long enough for an update of the media server, or of its machine.
    pub(super) const LEAVES_AFTER: Duration = Duration::from_secs(600);
    pub(super) const WORKERS: Workers = Workers::Auto;
    pub(super) const ZONES_DIRECTORY: &str = "zones";
    /// A weekend and a holiday in which nobody looks, twice over; and what BIND has.
    pub(super) const SIGNATURE_VALIDITY: Duration = Duration::from_secs(14 * 86_400);
    /// Signatures are made anew in the last third of their time.
    pub(super) const REFRESHED_PART: u32 = 3;
    pub(super) const KEY_TTL: Duration = Duration::from_secs(3_600);
    pub(super) const KEY_TTLS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
    pub(super) const SIGNATURE_TIMES: RangeInclusive<Duration> =
        Duration::from_secs(10)..=Duration::from_secs(366 * 86_400);
    pub(super) const INTERVAL: Duration = Duration::from_secs(5);
    pub(super) const PROMETHEUS_LABEL: &str = "instance";
    /// What many installations have, and half of Prometheus' own default.
    pub(super) const PROMETHEUS_INTERVAL: Duration = Duration::from_secs(15);
    /// As Prometheus has it.
    pub(super) const REFRESH: Duration = Duration::from_secs(60);
    pub(super) const POOL: &str = "default";
    pub(super) const HASH_KEY: HashKey = HashKey::Client;
    /// How many keys move when a node fills up grows with 1 / (bound − 1)², so not much less (Mirrokni, Thorup and
    /// Zadimoghaddam, Consistent Hashing with Bounded Loads, 2018).
    pub(super) const HASH_BOUND: f64 = 1.25;
    /// Before the pool's own nodes are full, so that nobody waits for the sign that they are.
    pub(super) const OVERFLOW_ABOVE: f64 = 0.95;
    /// Milliseconds: farther than most nodes, and nearer than the other side of the globe.
    pub(super) const OVERFLOW_COST: f64 = 100.0;
    pub(super) const TCP: TcpLimits = TcpLimits {
        // With the buffers of connections that are all busy that is at most 170 MB, and below the usual
        // limit of 1,024 open files.
        connections: 1_000,
        // One network cannot take all places, and the resolvers of a large one still have enough.
        connections_per_prefix: 100,
        // The cost of connecting is spread thin by then, and a client that never pauses has to line up again.
        queries: 10_000,
        // The middle of the few seconds that RFC 7766 §6.2.3 calls for.
        idle: Duration::from_secs(10),
        // Longer than TCP needs to get over lost segments, and as long as an idle connection may stay.
        write: Duration::from_secs(10),
        // Resolvers reconnect in one round trip, and nobody holds a place for ever.
        total: Duration::from_secs(600),
        // The longest reply. The kernel would let it grow to 4 MiB for each peer that does not read.
        unsent: 65_536,
    };
    pub(super) const RATE_LIMIT_MODE: RateLimitMode = RateLimitMode::Log;
    /// As NSD has it. One resolver asks for one name once per TTL and type; only many viewers behind one that sends
    /// client subnets come near.
    pub(super) const RATE_PER_SECOND: u32 = 200;
    /// As BIND, NSD and the paper have it (ISC-TN-2012-1).
    pub(super) const RATE_SLIP: u32 = 2;

    pub(super) fn dns() -> [SocketAddr; 2] {
        [(Ipv4Addr::UNSPECIFIED, DNS_PORT).into(), (Ipv6Addr::UNSPECIFIED, DNS_PORT).into()]
    }

    pub(super) fn admin() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, ADMIN_PORT).into()
    }
}

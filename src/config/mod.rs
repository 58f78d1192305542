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

mod address;
mod environment;
mod file;
mod later;
mod resolve;
mod rules;
mod table;
mod tree;
mod units;
mod value;
mod written;

pub use written::{Place, Written};

use table::Table;
use written::Problems;

/// What is run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listeners and their limits.
    pub server: Server,
    /// Where zones are read.
    pub zones: Zones,
    /// Where geography is read.
    pub geoip: Geoip,
    /// Where nodes stand; the place of each is its key.
    pub places: Vec<Written<pool::Place>>,
    /// Explicit groups of clients; the place of each is its key.
    pub regions: Vec<Written<RegionRule>>,
    /// Streaming machines; the place of each is its key.
    pub nodes: Vec<Written<pool::Node>>,
    /// Groups of nodes; one named `default`, which nobody wrote, if the file has none.
    pub pools: Vec<Written<pool::Pool>>,
    /// Steered names, each with a pool that exists; the place of each is its key.
    pub services: Vec<Written<pool::Service>>,
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
    /// The admin listener, on loopback.
    pub admin: Written<SocketAddr>,
    /// UDP threads.
    pub workers: Workers,
    /// Limits of TCP.
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

/// Limits of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections open at a time.
    pub connections: usize,
    /// How long a connection may be silent.
    pub idle: Duration,
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
        resolve::resolve(file)
    });
    let diagnostics = problems.into_diagnostics();
    let is_sound = !crate::diagnostic::has_errors(&diagnostics);
    (config.filter(|_| is_sound), diagnostics)
}

/// What holds where nothing was written; those of nodes and services stand beside their types in `pool`.
mod defaults {
    use super::{Duration, Ipv4Addr, Ipv6Addr, RateLimitMode, SocketAddr, TcpLimits, Workers};

    pub(super) const DNS_PORT: u16 = 53;
    pub(super) const TLS_PORT: u16 = 853;
    pub(super) const ADMIN_PORT: u16 = 8053;
    pub(super) const WORKERS: Workers = Workers::Auto;
    pub(super) const ZONES_DIRECTORY: &str = "zones";
    pub(super) const INTERVAL: Duration = Duration::from_secs(5);
    pub(super) const POOL: &str = "default";
    pub(super) const TCP: TcpLimits = TcpLimits { connections: 1000, idle: Duration::from_secs(10) };
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

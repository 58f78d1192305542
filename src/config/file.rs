//! `ConfigFile`: what was written, key by key, with the place of everything; nothing is filled in.
#![deny(clippy::disallowed_methods)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::geo::{Position, Prefix};
use crate::name::Name;
use crate::wire::MAX_NSID;

use super::RateLimitMode;
use super::address;
use super::cluster::{self, ClusterTable};
use super::defaults;
use super::http_dns::{self, HttpDnsTable};
use super::key::{self, Key};
use super::outward::{self, Outward};
use super::preset::{self, Presets};
use super::secondary::{self, SecondaryTable};
use super::table::Table;
use super::value;
use super::written::{Problems, Written};

mod access;
mod inventory;
mod load;
mod maintenance;
mod node;
mod pool;

pub(super) use access::{AccessTable, ExporterTable};
pub(super) use inventory::{InventoryTable, MappingTable, Origin};
pub(super) use load::LoadTable;
pub(super) use maintenance::MaintenanceTable;
pub(super) use node::{CapacityTable, ExportersTable, LimitsTable, NodeSettings, NodeTable};
pub(super) use pool::{OverflowTable, PolicyTable, PoolTable, ServiceTable, ViewerTable};

/// The file, and the environment over it.
pub(super) struct ConfigFile {
    pub(super) server: ServerTable,
    pub(super) cluster: Option<ClusterTable>,
    pub(super) keys: Vec<Written<Key>>,
    pub(super) zones_directory: Option<Written<PathBuf>>,
    pub(super) zones: Vec<ZoneTable>,
    pub(super) geoip: GeoipTable,
    pub(super) places: Vec<PlaceTable>,
    pub(super) regions: Vec<RegionTable>,
    /// What all exporters have in common.
    pub(super) scrape: AccessTable,
    pub(super) load: Option<LoadTable>,
    pub(super) presets: Presets,
    pub(super) node_defaults: NodeSettings,
    pub(super) inventories: Vec<InventoryTable>,
    pub(super) nodes: Vec<NodeTable>,
    pub(super) pools: Vec<PoolTable>,
    pub(super) services: Vec<ServiceTable>,
    pub(super) maintenance: Vec<MaintenanceTable>,
}

/// `[server]`.
#[derive(Default)]
pub(super) struct ServerTable {
    pub(super) dns: Option<Written<Vec<Written<SocketAddr>>>>,
    pub(super) tls: Option<SecureTable>,
    pub(super) quic: Option<SecureTable>,
    pub(super) https: Option<SecureTable>,
    pub(super) http: Option<Written<Vec<Written<SocketAddr>>>>,
    pub(super) proxy_protocol: Vec<Written<Prefix>>,
    pub(super) admin: Option<Written<SocketAddr>>,
    /// None inside = `"auto"`.
    pub(super) workers: Option<Written<Option<u32>>>,
    pub(super) pin_workers: Option<Written<bool>>,
    pub(super) tcp: TcpTable,
    pub(super) rate_limit: RateLimitTable,
    pub(super) identity: Option<Written<String>>,
    pub(super) version: Option<Written<String>>,
    pub(super) nsid: Option<Written<String>>,
    pub(super) cookie_secrets: Option<Written<PathBuf>>,
    pub(super) whoami: Option<Written<Name>>,
    pub(super) state: Option<Written<PathBuf>>,
    pub(super) trusted_proxies: Vec<Written<Prefix>>,
    pub(super) http_dns: HttpDnsTable,
}

/// `server.tcp`.
#[derive(Default)]
pub(super) struct TcpTable {
    pub(super) connections: Option<Written<u32>>,
    pub(super) connections_per_prefix: Option<Written<u32>>,
    pub(super) queries: Option<Written<u32>>,
    pub(super) idle: Option<Written<Duration>>,
    pub(super) write: Option<Written<Duration>>,
    pub(super) total: Option<Written<Duration>>,
    pub(super) unsent: Option<Written<u32>>,
}

/// `server.rate_limit`.
#[derive(Default)]
pub(super) struct RateLimitTable {
    pub(super) mode: Option<Written<RateLimitMode>>,
    pub(super) per_second: Option<Written<u32>>,
    pub(super) slip: Option<Written<u32>>,
    pub(super) exempt: Vec<Written<Prefix>>,
}

/// `server.tls`, `server.quic` and `server.https`; what is missing has been reported.
pub(super) struct SecureTable {
    pub(super) listen: Option<Written<Vec<Written<SocketAddr>>>>,
    pub(super) certificate: Option<Written<PathBuf>>,
    pub(super) key: Option<Written<PathBuf>>,
}

/// `[zone."NAME"]`.
pub(super) struct ZoneTable {
    pub(super) name: Written<Name>,
    pub(super) file: Option<Written<PathBuf>>,
    pub(super) dnssec: Option<DnssecTable>,
    pub(super) outward: Option<Outward>,
    pub(super) primaries: Option<SecondaryTable>,
}

/// `zone.dnssec`.
pub(super) struct DnssecTable {
    pub(super) keys: Option<Written<PathBuf>>,
    pub(super) validity: Option<Written<Duration>>,
    pub(super) refresh: Option<Written<Duration>>,
    pub(super) key_ttl: Option<Written<Duration>>,
}

/// `[geoip]`.
#[derive(Default)]
pub(super) struct GeoipTable {
    pub(super) databases: Option<Written<Vec<Written<PathBuf>>>>,
    pub(super) networks: Option<Written<PathBuf>>,
    pub(super) rtt: Option<Written<PathBuf>>,
}

/// `[place.NAME]`.
pub(super) struct PlaceTable {
    pub(super) name: Written<String>,
    pub(super) at: Option<Written<Position>>,
}

/// `[region.NAME]`.
pub(super) struct RegionTable {
    pub(super) name: Written<String>,
    pub(super) continents: Vec<Written<String>>,
    pub(super) countries: Vec<Written<String>>,
    pub(super) subdivisions: Vec<Written<String>>,
    pub(super) asns: Vec<Written<u32>>,
    pub(super) networks: Vec<Written<Prefix>>,
    pub(super) near: Vec<Written<String>>,
    pub(super) near_only: Option<Written<bool>>,
    pub(super) default: Option<Written<bool>>,
    /// Whether all of it could be read, so that an empty list is one that was meant.
    pub(super) is_sound: bool,
}

/// Takes every key of the schema from the tree.
pub(super) fn read_file(mut top: Table<'_>, problems: &Problems) -> ConfigFile {
    let server = top.table("server", "server").map(read_server).unwrap_or_default();
    let cluster = top.table("cluster", "cluster").map(|table| cluster::read(table, problems));
    let keys = top.named("key").into_iter().filter_map(|(name, table)| key::read(&name, table, problems)).collect();
    let zones_directory = top.table("zones", "zones").and_then(|mut zones| {
        let directory = zones.value("directory", value::path);
        zones.finish();
        directory
    });
    let zones = top.named("zone").into_iter().filter_map(|(name, table)| read_zone(&name, table, problems)).collect();
    let geoip = top.table("geoip", "geoip").map(read_geoip).unwrap_or_default();
    let places = read_named(&mut top, "place", problems, read_place);
    let regions = read_named(&mut top, "region", problems, |name, table| read_region(name, table, problems));
    let presets = preset::read_all(&mut top, problems);
    let node_defaults = top.table("defaults", "defaults");
    let node_defaults = node_defaults
        .and_then(|defaults| node::read_defaults(defaults, &presets))
        .unwrap_or_else(NodeSettings::nothing);
    let load = top.table("load", "load").map(load::read_load);
    let inventories = read_named(&mut top, "inventory", problems, |name, table| {
        inventory::read_inventory(name, table, &presets, problems)
    });
    // Where there are inventories, they may say what the table leaves out.
    let nodes = read_named(&mut top, "node", problems, |name, table| {
        node::read_node(name, table, &presets, inventories.is_empty())
    });
    let scrape = top.table("scrape", "scrape").map(access::read_scrape).unwrap_or_default();
    let pools = read_named(&mut top, "pool", problems, pool::read_pool);
    let services = top
        .named("service")
        .into_iter()
        .filter_map(|(name, table)| pool::read_service(&name, table, problems))
        .collect();
    let maintenance = read_named(&mut top, "maintenance", problems, maintenance::read_maintenance);
    top.finish();
    ConfigFile {
        server,
        cluster,
        keys,
        zones_directory,
        zones,
        geoip,
        places,
        regions,
        scrape,
        load,
        presets,
        node_defaults,
        inventories,
        nodes,
        pools,
        services,
        maintenance,
    }
}

fn read_named<T>(
    top: &mut Table<'_>,
    key: &'static str,
    problems: &Problems,
    read: impl Fn(Written<String>, Table<'_>) -> T,
) -> Vec<T> {
    let tables = top.named(key).into_iter().map(|(name, table)| {
        // Names stand in logs, metrics and arguments of commands, where blanks part words.
        if name.value.is_empty() || name.value.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let article = if key.starts_with('i') { "an" } else { "a" };
            problems.error(table.place(), format!("{article} {key}'s name must have no blanks and not be empty"));
        }
        read(name, table)
    });
    tables.collect()
}

fn read_server(mut table: Table<'_>) -> ServerTable {
    let dns = table.filled_list("dns", |item| address::listen(item, defaults::DNS_PORT));
    let of_dns = |table| read_secure(table, defaults::TLS_PORT);
    let tls = table.table("tls", "server.tls").map(of_dns);
    let quic = table.table("quic", "server.quic").map(of_dns);
    let https = table.table("https", "server.https").map(|table| read_secure(table, defaults::HTTPS_PORT));
    let http = table.filled_list("http", |item| address::listen(item, defaults::HTTP_PORT));
    let proxy_protocol = table.table("proxy_protocol", "server.proxy_protocol").map(read_proxy_protocol);
    let proxy_protocol = proxy_protocol.unwrap_or_default();
    let admin = table.value("admin", |item| address::listen(item, defaults::ADMIN_PORT));
    let workers = table.value("workers", |item| value::auto_or_whole(item, &(1..=1024)));
    let pin_workers = table.value("pin_workers", value::boolean);
    let tcp = table.table("tcp", "server.tcp").map(read_tcp).unwrap_or_default();
    let rate_limit = table.table("rate_limit", "server.rate_limit").map(read_rate_limit).unwrap_or_default();
    let identity = table.value("identity", |item| value::short_text(item, MAX_STRING));
    let version = table.value("version", |item| value::short_text(item, MAX_STRING));
    let nsid = table.value("nsid", |item| value::short_text(item, MAX_NSID));
    let cookie_secrets = table.value("cookie_secrets", value::path);
    let whoami = table.value("whoami", value::name);
    let state = table.value("state", value::path);
    let trusted_proxies = table.list("trusted_proxies", value::prefix).map(|list| list.value).unwrap_or_default();
    let http_dns = table.table("http_dns", "server.http_dns").map(http_dns::read).unwrap_or_default();
    table.finish();
    ServerTable {
        dns,
        tls,
        quic,
        https,
        http,
        proxy_protocol,
        admin,
        workers,
        pin_workers,
        tcp,
        rate_limit,
        identity,
        version,
        nsid,
        cookie_secrets,
        whoami,
        state,
        trusted_proxies,
        http_dns,
    }
}

fn read_tcp(mut table: Table<'_>) -> TcpTable {
    let soon = Duration::from_millis(100)..=HOUR;
    let tcp = TcpTable {
        connections: table.value("connections", |item| value::whole(item, &(1..=100_000))),
        connections_per_prefix: table.value("connections_per_prefix", |item| value::whole(item, &(1..=100_000))),
        queries: table.value("queries", |item| value::whole(item, &(1..=1_000_000_000))),
        idle: table.value("idle", |item| value::duration(item, &soon)),
        write: table.value("write", |item| value::duration(item, &soon)),
        total: table.value("total", |item| value::duration(item, &(Duration::from_secs(1)..=24 * HOUR))),
        unsent: table.value("unsent", |item| value::size(item, &(4 << 10..=16 << 20))),
    };
    table.finish();
    tcp
}

/// Octets of a string of a TXT record (RFC 1035 §3.3).
const MAX_STRING: usize = 255;
const HOUR: Duration = Duration::from_secs(3600);

fn read_rate_limit(mut table: Table<'_>) -> RateLimitTable {
    let mode = table.word("mode", &["off", "log", "on"]).map(|word| {
        word.map(|word| match word {
            "off" => RateLimitMode::Off,
            "log" => RateLimitMode::Log,
            _ => RateLimitMode::On,
        })
    });
    let per_second = table.value("per_second", |item| value::whole(item, &(1..=100_000)));
    let slip = table.value("slip", |item| value::whole(item, &(0..=10)));
    let exempt = table.list("exempt", value::prefix).map(|list| list.value).unwrap_or_default();
    table.finish();
    RateLimitTable { mode, per_second, slip, exempt }
}

fn read_proxy_protocol(mut table: Table<'_>) -> Vec<Written<Prefix>> {
    table.require("from", "write `from = [\"10.0.0.0/8\"]`: the networks of the proxies");
    let from = table.filled_list("from", value::prefix).map(|list| list.value).unwrap_or_default();
    table.finish();
    from
}

fn read_secure(mut table: Table<'_>, port: u16) -> SecureTable {
    table.require("listen", &format!("write `listen = [\"0.0.0.0:{port}\", \"[::]:{port}\"]`"));
    table.require("certificate", "name the PEM file of the certificate and its chain");
    table.require("key", "name the PEM file of the private key");
    let listen = table.filled_list("listen", |item| address::listen(item, port));
    let certificate = table.value("certificate", value::path);
    let key = table.value("key", value::path);
    table.finish();
    SecureTable { listen, certificate, key }
}

fn read_zone(name: &Written<String>, mut table: Table<'_>, problems: &Problems) -> Option<ZoneTable> {
    let primaries = secondary::read(name, &mut table);
    // Where there is more to be said of a zone, its file may be that of the directory.
    if primaries.is_none() && !["dnssec", "transfer", "notify"].into_iter().any(|key| table.has(key)) {
        table.require(
            "file",
            "write `file = \"…\"`, or leave the table out: the files NAME.zone of `zones.directory` are read anyhow",
        );
    }
    let file = table.value("file", value::path);
    let dnssec = table.table("dnssec", "zone.dnssec").map(read_dnssec);
    let parsed = read_name(name, problems);
    let outward = outward::read(parsed.as_ref().map_or(&Name::root(), |name| &name.value), &mut table, problems);
    table.finish();
    Some(ZoneTable { name: parsed?, file, dnssec, outward, primaries })
}

fn read_dnssec(mut table: Table<'_>) -> DnssecTable {
    table.require("keys", "name the directory of the zone's keys, as `thalweg keys generate` makes them");
    let keys = table.value("keys", value::path);
    let validity = table.value("validity", |item| value::duration(item, &defaults::SIGNATURE_TIMES));
    let refresh = table.value("refresh", |item| value::duration(item, &defaults::SIGNATURE_TIMES));
    let key_ttl = table.value("key_ttl", |item| value::duration(item, &defaults::KEY_TTLS));
    let counts_for = validity.as_ref().map_or(defaults::SIGNATURE_VALIDITY, |validity| validity.value);
    if let Some(refresh) = refresh.as_ref().filter(|refresh| refresh.value >= counts_for) {
        let hours = counts_for.as_secs() / 3_600;
        let error =
            Diagnostic::error(format!("signatures count for {hours} h, and are to be made anew earlier than that"));
        table.problems().add_to(refresh, error.help("take a `refresh` of a third of `validity`"));
    }
    table.finish();
    DnssecTable { keys, validity, refresh, key_ttl }
}

fn read_name(name: &Written<String>, problems: &Problems) -> Option<Written<Name>> {
    match value::domain_name(&name.value) {
        Ok(parsed) => Some(name.clone().map(|_| parsed)),
        Err(diagnostic) => {
            problems.add_to(name, diagnostic);
            None
        }
    }
}

fn read_geoip(mut table: Table<'_>) -> GeoipTable {
    let databases = table.list("databases", value::path);
    let networks = table.value("networks", value::path);
    let rtt = table.value("rtt", value::path);
    table.finish();
    GeoipTable { databases, networks, rtt }
}

fn read_place(name: Written<String>, mut table: Table<'_>) -> PlaceTable {
    let at = table.value("at", value::position);
    table.finish();
    PlaceTable { name, at }
}

fn read_region(name: Written<String>, mut table: Table<'_>, problems: &Problems) -> RegionTable {
    let problems_before = problems.count();
    let continents = values(table.list("continents", value::continent));
    let countries = values(table.list("countries", value::country));
    let subdivisions = values(table.list("subdivisions", value::subdivision));
    let asns = values(table.list("asns", value::asn));
    let networks = values(table.list("networks", value::prefix));
    let near = values(table.list("near", value::text));
    let near_only = table.value("near_only", value::boolean);
    let default = table.value("default", value::boolean);
    table.finish();
    RegionTable {
        name,
        continents,
        countries,
        subdivisions,
        asns,
        networks,
        near,
        near_only,
        default,
        is_sound: problems.count() == problems_before,
    }
}

fn values<T>(list: Option<Written<Vec<Written<T>>>>) -> Vec<Written<T>> {
    list.map(|list| list.value).unwrap_or_default()
}

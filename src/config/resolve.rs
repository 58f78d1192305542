//! From what was written to what is run: defaults are filled in, key by key.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::geo::{Prefix, RegionRule};
use crate::pool::{Answers, Capacity, Exporter, ExporterKind, Limits, Node, Place, Pool, Service, TtlBounds};

use super::address::fill;
use super::file::{
    ConfigFile, GeoipTable, NodeSettings, NodeTable, PlaceTable, PoolTable, RateLimitTable, RegionTable, SecureTable,
    ServerTable, ServiceTable, TcpTable, ZoneTable,
};
use super::written::Written;
use super::{Config, Geoip, RateLimit, Secure, Server, TcpLimits, Workers, ZoneFile, Zones, defaults};

/// Fills in what was not written; what was wrong is filled in too, for then nobody runs it.
pub(super) fn resolve(file: ConfigFile) -> Config {
    let ConfigFile { server, zones_directory, zones, geoip, places, regions, node_defaults, nodes, pools, services } =
        file;
    let GeoipTable { databases, networks, rtt } = geoip;
    let directory = zones_directory.unwrap_or_else(|| Written::default(PathBuf::from(defaults::ZONES_DIRECTORY)));
    let nodes: Vec<_> = nodes.into_iter().map(|node| resolve_node(node, &node_defaults)).collect();
    let mut pools: Vec<_> = pools.into_iter().map(resolve_pool).collect();
    if pools.is_empty() && !(nodes.is_empty() && services.is_empty()) {
        pools.push(Written::default(Pool { name: defaults::POOL.to_owned(), ..Pool::default() }));
    }
    let only_pool = pools.first().map(|pool| pool.value.name.clone()).unwrap_or_default();
    Config {
        server: resolve_server(server),
        zones: Zones { directory, files: zones.into_iter().filter_map(resolve_zone).collect() },
        geoip: Geoip { databases: databases.map(|list| list.value).unwrap_or_default(), networks, rtt },
        places: places.into_iter().map(resolve_place).collect(),
        regions: regions.into_iter().map(resolve_region).collect(),
        nodes,
        services: services.into_iter().map(|service| resolve_service(service, &only_pool)).collect(),
        pools,
    }
}

fn resolve_server(table: ServerTable) -> Server {
    let ServerTable { dns, tls, quic, admin, workers, tcp, rate_limit, identity, version, nsid, cookie_secrets } =
        table;
    let workers = match workers.map(|workers| workers.value) {
        None => defaults::WORKERS,
        Some(None) => Workers::Auto,
        Some(Some(count)) => Workers::Fixed(u16::try_from(count).unwrap_or(u16::MAX)),
    };
    Server {
        dns: listeners(dns),
        tls: tls.and_then(resolve_secure),
        quic: quic.and_then(resolve_secure),
        admin: admin.unwrap_or_else(|| Written::default(defaults::admin())),
        workers,
        tcp: resolve_tcp(tcp),
        rate_limit: Arc::new(resolve_rate_limit(rate_limit)),
        identity,
        version,
        nsid,
        cookie_secrets,
    }
}

fn resolve_tcp(table: TcpTable) -> TcpLimits {
    let TcpTable { connections, connections_per_prefix, queries, idle, write, total, unsent } = table;
    let usual = TcpLimits::default();
    let number = |written: Option<Written<u32>>, usual| written.map_or(usual, |number| number.value as usize);
    let time = |written: Option<Written<Duration>>, usual| written.map_or(usual, |time| time.value);
    TcpLimits {
        connections: number(connections, usual.connections),
        connections_per_prefix: number(connections_per_prefix, usual.connections_per_prefix),
        queries: number(queries, usual.queries),
        idle: time(idle, usual.idle),
        write: time(write, usual.write),
        total: time(total, usual.total),
        unsent: number(unsent, usual.unsent),
    }
}

fn resolve_rate_limit(table: RateLimitTable) -> RateLimit {
    let RateLimitTable { mode, per_second, slip, exempt } = table;
    RateLimit {
        mode: mode.map_or(defaults::RATE_LIMIT_MODE, |mode| mode.value),
        per_second: per_second.map_or(defaults::RATE_PER_SECOND, |rate| rate.value),
        slip: slip.map_or(defaults::RATE_SLIP, |slip| slip.value),
        exempt: values(exempt).into_iter().map(Prefix::to_canonical).collect(),
    }
}

/// The addresses of `server.dns`.
pub(super) fn listeners(dns: Option<Written<Vec<Written<SocketAddr>>>>) -> Vec<Written<SocketAddr>> {
    dns.map_or_else(|| defaults::dns().map(Written::default).into(), |list| list.value)
}

fn resolve_secure(table: SecureTable) -> Option<Secure> {
    let SecureTable { listen, certificate, key } = table;
    Some(Secure { listen: listen?.value, certificate: certificate?, key: key? })
}

fn resolve_zone(table: ZoneTable) -> Option<Written<ZoneFile>> {
    let ZoneTable { name, file } = table;
    Some(file?.map(|path| ZoneFile { name: name.value, path }))
}

fn resolve_place(table: PlaceTable) -> Written<Place> {
    let PlaceTable { name, at } = table;
    name.map(|name| Place { name, at: at.map(|at| at.value) })
}

fn resolve_region(table: RegionTable) -> Written<RegionRule> {
    let RegionTable { name, continents, countries, subdivisions, asns, networks, near, default, is_sound: _ } = table;
    name.map(|name| RegionRule {
        name,
        continents: values(continents),
        countries: values(countries),
        subdivisions: values(subdivisions),
        asns: values(asns),
        networks: values(networks),
        is_default: default.is_some_and(|default| default.value),
        near: values(near),
        near_only: false,
    })
}

fn values<T>(list: Vec<Written<T>>) -> Vec<T> {
    list.into_iter().map(|written| written.value).collect()
}

fn resolve_node(table: NodeTable, node_defaults: &NodeSettings) -> Written<Node> {
    let NodeTable { name, addresses, settings } = table;
    let labels = labels(&settings, node_defaults).unwrap_or_default();
    let NodeSettings { place, labels: _, egress_capacity, cpu_limit, egress_limit, interval, node_exporter } = settings;
    let usual = Limits::default();
    let url = value_or(node_exporter, &node_defaults.node_exporter);
    let exporters = url
        .zip(addresses.first())
        .map(|(url, first)| Exporter { kind: ExporterKind::Node, url: fill(&url, first.value) });
    name.map(|name| Node {
        name,
        v4: addresses.iter().find_map(|address| match address.value {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        }),
        v6: addresses.iter().find_map(|address| match address.value {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6),
        }),
        place: value_or(place, &node_defaults.place),
        labels,
        capacity: Capacity { egress: value_or(egress_capacity, &node_defaults.egress_capacity), clients: None },
        limits: Limits {
            cpu: value_or(cpu_limit, &node_defaults.cpu_limit).unwrap_or(usual.cpu),
            egress: value_or(egress_limit, &node_defaults.egress_limit).unwrap_or(usual.egress),
            ..usual
        },
        interval: value_or(interval, &node_defaults.interval).unwrap_or(defaults::INTERVAL),
        exporters: exporters.into_iter().collect(),
        ..Node::default()
    })
}

fn value_or<T: Clone>(own: Option<Written<T>>, default: &Option<Written<T>>) -> Option<T> {
    own.or_else(|| default.clone()).map(|written| written.value)
}

/// A node's labels over the default ones; none if either are wrong.
pub(super) fn labels(own: &NodeSettings, defaults: &NodeSettings) -> Option<BTreeMap<String, String>> {
    let mut labels = defaults.labels.clone()?;
    labels.extend(own.labels.clone()?);
    Some(labels)
}

fn resolve_pool(table: PoolTable) -> Written<Pool> {
    let PoolTable { name, select, select_place: _ } = table;
    name.map(|name| Pool { name, select: select.unwrap_or_default(), ..Pool::default() })
}

fn resolve_service(table: ServiceTable, only_pool: &str) -> Written<Service> {
    let ttl = ttl_bounds(&table);
    let ServiceTable { name, pool, has_pool: _, answers, ttl_min: _, ttl_max: _ } = table;
    let answers = match answers.and_then(|answers| answers.value) {
        None => Answers::Auto,
        Some(count) => Answers::Fixed(u8::try_from(count).unwrap_or(u8::MAX)),
    };
    let pool = pool.map_or_else(|| only_pool.to_owned(), |pool| pool.value);
    name.map(|name| Service { name, pool, answers, ttl, policy: None, within: Vec::new() })
}

/// The bounds of a service's TTL.
pub(super) fn ttl_bounds(table: &ServiceTable) -> TtlBounds {
    let usual = TtlBounds::default();
    TtlBounds {
        min: table.ttl_min.as_ref().map_or(usual.min, |min| min.value),
        max: table.ttl_max.as_ref().map_or(usual.max, |max| max.value),
    }
}

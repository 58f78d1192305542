//! From what was written to what is run: defaults are filled in, key by key.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::geo::{Prefix, RegionRule};
use crate::pool::{
    Answers, Area, Capacity, Currency, Exporter, Limits, Node, Place, Pool, Saturation, Service, TtlBounds, Viewer,
    fill,
};

use super::access::Accesses;
use super::area::{Atlas, Barrier};
use super::file::{
    AccessTable, CapacityTable, ConfigFile, DnssecTable, ExporterTable, ExportersTable, GeoipTable, LimitsTable,
    LoadTable, NodeSettings, NodeTable, PlaceTable, PoolTable, RateLimitTable, RegionTable, SecureTable, ServerTable,
    ServiceTable, TcpTable, ViewerTable, ZoneTable,
};
use super::http_dns;
use super::ice;
use super::inventory::{self, OwnNodes};
use super::preset::Presets;
use super::written::Written;
use super::{
    Config, Geoip, Ice, Load, Outward, RateLimit, Redirect, Secure, Server, SignedZone, TcpLimits, Workers, ZoneFile,
    Zones, cluster, defaults, full, maintenance, policy, redirect, secondary,
};

/// Fills in what was not written; what was wrong is filled in too, for then nobody runs it.
pub(super) fn resolve(file: ConfigFile) -> Config {
    let atlas = Atlas::of(&file);
    let ConfigFile {
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
        nodes: own,
        pools,
        services,
        maintenance,
    } = file;
    let GeoipTable { databases, networks, rtt } = geoip;
    let directory = zones_directory.unwrap_or_else(|| Written::default(PathBuf::from(defaults::ZONES_DIRECTORY)));
    let accesses = Accesses::default();
    let common = Common { node_defaults: &node_defaults, scrape: &scrape, presets: &presets, accesses: &accesses };
    // Also those of defaults that no node here uses, and of none: nodes of inventories do.
    let _of_inventories = resolve_exporters(&ExportersTable::default(), &common, |url| url);
    if !inventories.is_empty() {
        let _of_targets = accesses.resolve(&[&scrape]);
    }
    let nodes: Vec<_> = own.iter().map(|node| resolve_node(node.clone(), &common, &atlas)).collect();
    // The others are nodes only if a list has their addresses.
    let nodes: Vec<_> = nodes.into_iter().filter(|node| node.value.v4.is_some() || node.value.v6.is_some()).collect();
    let (redirects, ice) = (redirect::resolve(&services), ice::resolve(&services));
    let services: Vec<_> = services.into_iter().map(|service| resolve_service(service, &pools, &atlas)).collect();
    let mut pools: Vec<_> = pools.into_iter().map(resolve_pool).collect();
    if pools.is_empty() && !(nodes.is_empty() && services.is_empty() && inventories.is_empty()) {
        pools.push(Written::default(Pool { name: defaults::POOL.to_owned(), ..Pool::default() }));
    }
    Config {
        server: resolve_server(server, redirects, ice),
        cluster: cluster.and_then(cluster::resolve),
        keys,
        zones: Zones {
            directory,
            signed: zones.iter().filter_map(resolve_signed).collect(),
            outward: zones.iter().filter_map(outward).collect(),
            secondaries: zones.iter().filter_map(secondary::resolve).collect(),
            files: zones.into_iter().filter_map(resolve_zone).collect(),
        },
        geoip: Geoip { databases: databases.map(|list| list.value).unwrap_or_default(), networks, rtt },
        places: places.into_iter().map(resolve_place).collect(),
        regions: regions.into_iter().map(resolve_region).collect(),
        nodes,
        load: load.map(|load| resolve_load(load, &accesses)),
        inventories: inventories.into_iter().map(|table| inventory::resolve(table, &accesses)).collect(),
        accesses: accesses.into_list(),
        own_nodes: Arc::new(OwnNodes { defaults: node_defaults, nodes: own, scrape, presets, atlas }),
        pools,
        services,
        maintenance: maintenance.into_iter().filter_map(maintenance::resolve).collect(),
    }
}

fn resolve_server(table: ServerTable, redirects: Box<[Redirect]>, ice: Box<[Ice]>) -> Server {
    let ServerTable {
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
    } = table;
    let workers = match workers.map(|workers| workers.value) {
        None => defaults::WORKERS,
        Some(None) => Workers::Auto,
        Some(Some(count)) => Workers::Fixed(u16::try_from(count).unwrap_or(u16::MAX)),
    };
    Server {
        dns: listeners(dns),
        tls: tls.and_then(resolve_secure),
        quic: quic.and_then(resolve_secure),
        https: https.and_then(resolve_secure),
        http: http.map(|list| list.value).unwrap_or_default(),
        proxies: values(proxy_protocol).into_iter().map(Prefix::to_canonical).collect(),
        admin: admin.unwrap_or_else(|| Written::default(defaults::admin())),
        workers,
        pin_workers: pin_workers.is_some_and(|pin_workers| pin_workers.value),
        tcp: resolve_tcp(tcp),
        rate_limit: Arc::new(resolve_rate_limit(rate_limit)),
        identity,
        version,
        nsid,
        cookie_secrets,
        whoami,
        state,
        http_dns: Arc::new(http_dns::resolve(trusted_proxies, http_dns, redirects, ice)),
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

fn resolve_signed(table: &ZoneTable) -> Option<Written<SignedZone>> {
    let DnssecTable { keys, validity, refresh, key_ttl } = table.dnssec.as_ref()?;
    let validity = validity.as_ref().map_or(defaults::SIGNATURE_VALIDITY, |validity| validity.value);
    let refresh = refresh.as_ref().map_or(validity / defaults::REFRESHED_PART, |refresh| refresh.value);
    let key_ttl = key_ttl.as_ref().map_or(defaults::KEY_TTL, |ttl| ttl.value);
    let keys = keys.clone()?;
    let name = table.name.value.clone();
    Some(keys.map(|keys| SignedZone { name, keys, validity, refresh, key_ttl }))
}

fn resolve_zone(table: ZoneTable) -> Option<Written<ZoneFile>> {
    let ZoneTable { name, file, dnssec: _, outward: _, primaries: _ } = table;
    Some(file?.map(|path| ZoneFile { name: name.value, path }))
}

fn outward(table: &ZoneTable) -> Option<Written<Outward>> {
    table.outward.clone().map(|outward| table.name.clone().map(|_| outward))
}

fn resolve_place(table: PlaceTable) -> Written<Place> {
    let PlaceTable { name, at } = table;
    name.map(|name| Place { name, at: at.map(|at| at.value) })
}

fn resolve_region(table: RegionTable) -> Written<RegionRule> {
    let RegionTable {
        name,
        continents,
        countries,
        subdivisions,
        asns,
        networks,
        near,
        near_only,
        default,
        is_sound: _,
    } = table;
    name.map(|name| RegionRule {
        name,
        continents: values(continents),
        countries: values(countries),
        subdivisions: values(subdivisions),
        asns: values(asns),
        networks: values(networks),
        is_default: default.is_some_and(|default| default.value),
        near: values(near),
        near_only: near_only.is_some_and(|near_only| near_only.value),
    })
}

fn values<T>(list: Vec<Written<T>>) -> Vec<T> {
    list.into_iter().map(|written| written.value).collect()
}

/// What all nodes have in common.
pub(super) struct Common<'c> {
    pub(super) node_defaults: &'c NodeSettings,
    pub(super) scrape: &'c AccessTable,
    pub(super) presets: &'c Presets,
    pub(super) accesses: &'c Accesses,
}

/// A node with its defaults.
pub(super) fn resolve_node(table: NodeTable, common: &Common<'_>, atlas: &Atlas) -> Written<Node> {
    let node_defaults = common.node_defaults;
    let NodeTable { name, addresses, settings } = table;
    let labels = labels(&settings, node_defaults).unwrap_or_default();
    let NodeSettings {
        place,
        labels: _,
        capacity,
        limits,
        interval,
        exporters,
        cost,
        weight,
        serves,
        check,
        rise,
        fall,
    } = settings;
    let CapacityTable { egress, clients, process_cpu } = capacity;
    let first = addresses.first().map(|address| address.value);
    let filled = |url: String| first.map_or(url.clone(), |first| fill(&url, first));
    let serves = serves.as_ref().or(node_defaults.serves.as_ref()).map_or(&[][..], Vec::as_slice);
    let usual = Node::default();
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
        capacity: Capacity {
            egress: value_or(egress, &node_defaults.capacity.egress),
            clients: value_or(clients, &node_defaults.capacity.clients).map(f64::from),
            process_cpu: value_or(process_cpu, &node_defaults.capacity.process_cpu),
        },
        limits: resolve_limits(limits, &node_defaults.limits),
        interval: value_or(interval, &node_defaults.interval).unwrap_or(defaults::INTERVAL),
        exporters: resolve_exporters(&exporters, common, filled),
        cost: value_or(cost, &node_defaults.cost).unwrap_or(usual.cost),
        weight: value_or(weight, &node_defaults.weight).unwrap_or(usual.weight),
        serves: areas(serves, Barrier::Serves, atlas),
        checks: values(value_or(check, &node_defaults.check).unwrap_or_default()),
        rise: value_or(rise, &node_defaults.rise).unwrap_or(usual.rise),
        fall: value_or(fall, &node_defaults.fall).unwrap_or(usual.fall),
        drained: None,
    })
}

fn resolve_load(table: LoadTable, accesses: &Accesses) -> Load {
    let LoadTable { prometheus, label, matching, interval, access } = table;
    let text = |written: Option<Written<String>>, usual: &str| written.map_or(usual.to_owned(), |text| text.value);
    Load {
        prometheus: values(prometheus),
        access: accesses.resolve(&[&access]),
        label: text(label, defaults::PROMETHEUS_LABEL),
        filter: text(matching, ""),
        interval: interval.map_or(defaults::PROMETHEUS_INTERVAL, |interval| interval.value),
    }
}

fn resolve_limits(own: LimitsTable, default: &LimitsTable) -> Limits {
    let LimitsTable { cpu, process_cpu, egress, clients, udp_drops, memory, disk, custom } = own;
    let usual = Limits::default();
    Limits {
        cpu: value_or(cpu, &default.cpu).unwrap_or(usual.cpu),
        process_cpu: value_or(process_cpu, &default.process_cpu).unwrap_or(usual.process_cpu),
        egress: value_or(egress, &default.egress).unwrap_or(usual.egress),
        clients: value_or(clients, &default.clients).unwrap_or(usual.clients),
        udp_drops: value_or(udp_drops, &default.udp_drops).unwrap_or(usual.udp_drops),
        memory: value_or(memory, &default.memory).unwrap_or(usual.memory),
        disk: value_or(disk, &default.disk).unwrap_or(usual.disk),
        // The node's own come last, and stay.
        custom: default.custom.iter().chain(&custom).map(|(name, limit)| (name.value.clone(), limit.value)).collect(),
    }
}

/// The exporters of a node in the order in which they are believed: those of the whole machine first, then by name.
fn resolve_exporters(own: &ExportersTable, common: &Common<'_>, filled: impl Fn(String) -> String) -> Vec<Exporter> {
    let Common { node_defaults, scrape, presets, accesses } = common;
    let named = |tables: &'_ ExportersTable, preset: &str| tables.iter().position(|(name, _)| name.value == preset);
    let nothing = ExporterTable::default();
    let names: BTreeSet<&str> =
        node_defaults.exporters.iter().chain(own).map(|(preset, _)| preset.value.as_str()).collect();
    let exporters = names.into_iter().filter_map(|name| {
        let own = named(own, name).map_or(&nothing, |at| &own[at].1);
        let default = named(&node_defaults.exporters, name).map_or(&nothing, |at| &node_defaults.exporters[at].1);
        // Also without a URL, which a list may have.
        let access = accesses.resolve(&[&own.access, &default.access, scrape]);
        let url = own.url.as_ref().or(default.url.as_ref())?.value.clone();
        Some(Exporter { preset: Arc::clone(presets.get(name)?), url: filled(url), access })
    });
    let mut exporters: Vec<Exporter> = exporters.collect();
    exporters.sort_by_key(|exporter| exporter.preset.scope);
    exporters
}

/// The areas of words; those that name none have been reported.
fn areas(words: &[Written<String>], barrier: Barrier, atlas: &Atlas) -> Vec<Area> {
    atlas.areas(words, barrier).into_iter().filter_map(Result::ok).collect()
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
    let full = full::resolve(&table);
    let PoolTable {
        name,
        select,
        select_place: _,
        policy,
        viewer,
        currency,
        full: _,
        has_full: _,
        overflow: _,
        has_overflow: _,
        saturation,
        check,
        urls,
    } = table;
    let ViewerTable { bitrate, stays } = viewer;
    let usual = Viewer::default();
    name.map(|name| Pool {
        name,
        select: select.unwrap_or_default(),
        policy: policy::of_pool(&policy),
        viewer: Viewer {
            bitrate: bitrate.map_or(usual.bitrate, |bitrate| bitrate.value),
            stays: stays.map_or(usual.stays, |stays| stays.value),
        },
        currency: match currency.map(|word| word.value) {
            Some("clients") => Currency::Clients,
            _ => Currency::Egress,
        },
        full,
        saturation: match saturation.map(|word| word.value) {
            Some("clip") => Saturation::Clip,
            _ => Saturation::Alarm,
        },
        checks: check.map_or_else(Vec::new, |check| values(check.value)),
        urls,
    })
}

fn resolve_service(table: ServiceTable, pools: &[PoolTable], atlas: &Atlas) -> Written<Service> {
    let ttl = ttl_bounds(&table);
    let pool_table = pool_of(&table, pools);
    let policy = policy::of_service(&table.policy, pool_table.map(|pool| &pool.policy));
    let only_pool = pools.first().map_or(defaults::POOL, |pool| pool.name.value.as_str());
    let ServiceTable {
        name,
        pool,
        has_pool: _,
        answers,
        ttl_min: _,
        ttl_max: _,
        policy: _,
        within,
        redirect: _,
        ice: _,
    } = table;
    let answers = match answers.and_then(|answers| answers.value) {
        None => Answers::Auto,
        Some(count) => Answers::Fixed(u8::try_from(count).unwrap_or(u8::MAX)),
    };
    let pool = pool.map_or_else(|| only_pool.to_owned(), |pool| pool.value);
    let within = areas(&within, Barrier::Within, atlas);
    name.map(|name| Service { name, pool, answers, ttl, policy, within })
}

/// The pool of a service, if it is known which.
pub(super) fn pool_of<'p>(service: &ServiceTable, pools: &'p [PoolTable]) -> Option<&'p PoolTable> {
    match (&service.pool, pools) {
        (Some(name), _) => pools.iter().find(|pool| pool.name.value == name.value),
        (None, [only]) if !service.has_pool => Some(only),
        (None, _) => None,
    }
}

/// The bounds of a service's TTL.
pub(super) fn ttl_bounds(table: &ServiceTable) -> TtlBounds {
    let usual = TtlBounds::default();
    TtlBounds {
        min: table.ttl_min.as_ref().map_or(usual.min, |min| min.value),
        max: table.ttl_max.as_ref().map_or(usual.max, |max| max.value),
    }
}

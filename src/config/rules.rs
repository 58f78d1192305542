//! Rules that hold between keys: names that must exist, things that must not be there twice.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

use crate::diagnostic::Diagnostic;
use crate::pool::{MAX_NODES, PLACEHOLDER};

use super::area::{Atlas, Barrier};
use super::cluster::{self, ClusterTable};
use super::file::{
    ConfigFile, InventoryTable, LoadTable, NodeSettings, NodeTable, Origin, PoolTable, RegionTable, SecureTable,
    ServerTable, ServiceTable,
};
use super::resolve::{labels, listeners, pool_of, ttl_bounds};
use super::value::did_you_mean;
use super::written::{Problems, Written};
use super::{access, defaults, full, heartbeat, key, maintenance, outward, policy, redirect, secondary};

/// Reports every rule that is broken.
pub(super) fn check(file: &ConfigFile, problems: &Problems) {
    let ConfigFile {
        server,
        cluster,
        keys: _,
        zones_directory: _,
        zones,
        geoip: _,
        places,
        regions,
        scrape,
        load,
        presets: _,
        node_defaults,
        inventories,
        nodes,
        pools,
        services,
        maintenance: _,
    } = file;
    check_counts(file, problems);
    check_listeners(server, cluster.as_ref(), inventories, problems);
    for heartbeat in inventories.iter().filter_map(|inventory| inventory.heartbeat.as_ref()) {
        heartbeat::check(heartbeat, server.state.is_some(), problems);
    }
    if let Some(cluster) = cluster {
        cluster::check(cluster, server.cookie_secrets.is_some(), problems);
    }
    for zone in zones.iter().filter(|zone| zone.dnssec.is_some() && zone.outward.is_some() && server.state.is_none()) {
        let message = "serial numbers of this zone start again at a restart, and other nameservers keep what is older";
        let help =
            "write `state = \"/var/lib/thalweg\"` in `[server]`: serials go up with each signing, and are kept there";
        problems.add_to(&zone.name, Diagnostic::warning(message).help(help));
    }
    check_once("zone", zones.iter().map(|zone| &zone.name), problems);
    check_once("service", services.iter().map(|service| &service.name), problems);

    let place_names: Vec<&str> = places.iter().map(|place| place.name.value.as_str()).collect();
    let named_by_nodes =
        nodes.iter().map(|node| &node.settings).chain([node_defaults]).filter_map(|node| node.place.as_ref());
    let named_by_lists = inventories.iter().filter_map(|inventory| match &inventory.mapping.place {
        Some(Origin::Fixed(place)) => Some(place),
        _ => None,
    });
    let named_by_regions = regions.iter().flat_map(|region| &region.near);
    for name in named_by_nodes.chain(named_by_lists).chain(named_by_regions) {
        check_known("place", name, &place_names, problems);
    }
    check_regions(regions, problems);
    check_areas(file, problems);
    check_load(load.as_ref(), nodes.iter().map(|node| &node.settings).chain([node_defaults]), problems);
    access::check(scrape, None, problems);
    access::check_exporters(&node_defaults.exporters, None, problems);
    for node in nodes {
        check_families(node, problems);
        // The URL may come from a list.
        let defaults = Some(&node_defaults.exporters).filter(|_| inventories.is_empty());
        access::check_exporters(&node.settings.exporters, defaults, problems);
    }
    for inventory in inventories {
        access::check(&inventory.access, inventory.url.as_ref(), problems);
    }
    check_pools(file, problems);
    check_checks(file, problems);
    for pool in pools {
        policy::check_pool(pool, problems);
        let is_of =
            |service: &ServiceTable| pool_of(service, pools).is_some_and(|its| its.name.value == pool.name.value);
        full::check(pool, services, is_of, problems);
    }
    for service in services {
        check_service(service, pools, problems);
        policy::check_service(service, pool_of(service, pools), problems);
    }
    redirect::check(services, problems);
    maintenance::check(file, problems);
    key::check(&file.keys, problems);
    outward::check(file.zones.iter().filter_map(|zone| zone.outward.as_ref()), &file.keys, problems);
    secondary::check(zones, &file.keys, problems);
    check_whoami(server, services, problems);
}

fn check_counts(file: &ConfigFile, problems: &Problems) {
    // Ids of pools, places and services are 16 bits wide.
    let most = usize::from(u16::MAX);
    check_count("nodes", MAX_NODES, file.nodes.iter().map(|node| &node.name), problems);
    check_count("regions", MAX_NODES, file.regions.iter().map(|region| &region.name), problems);
    check_count("places", most, file.places.iter().map(|place| &place.name), problems);
    check_count("pools", most, file.pools.iter().map(|pool| &pool.name), problems);
    check_count("services", most, file.services.iter().map(|service| &service.name), problems);
}

fn check_count<'a, T: 'a>(
    what: &str,
    most: usize,
    mut names: impl ExactSizeIterator<Item = &'a Written<T>>,
    problems: &Problems,
) {
    let count = names.len();
    if let Some(first_beyond) = names.nth(most) {
        problems
            .add_to(first_beyond, Diagnostic::error(format!("there are {count} {what}, at most {most} are allowed")));
    }
}

fn check_once<'a, T: Eq + Hash + std::fmt::Display + 'a>(
    what: &str,
    names: impl Iterator<Item = &'a Written<T>>,
    problems: &Problems,
) {
    let mut seen: HashMap<&T, &Written<T>> = HashMap::new();
    for name in names {
        if let Some(first) = seen.get(&name.value) {
            let message = format!("the {what} `{}` is there already", name.value);
            let help =
                format!("keep this one or the one{}: case and a dot at the end make no difference", first.in_line());
            problems.add_to(name, Diagnostic::error(message).help(help));
        } else {
            seen.insert(&name.value, name);
        }
    }
}

pub(super) fn check_known(what: &str, name: &Written<String>, known: &[&str], problems: &Problems) {
    if known.contains(&name.value.as_str()) {
        return;
    }
    let help = did_you_mean(&name.value, known.iter().copied())
        .unwrap_or_else(|| format!("a {what} is made by a table `[{what}.{}]`", name.value));
    problems.add_to(name, Diagnostic::error(format!("there is no {what} `{}`", name.value)).help(help));
}

fn check_listeners(
    server: &ServerTable,
    cluster: Option<&ClusterTable>,
    inventories: &[InventoryTable],
    problems: &Problems,
) {
    let ServerTable {
        dns,
        tls,
        quic,
        https,
        http,
        proxy_protocol: _,
        admin,
        workers: _,
        pin_workers: _,
        tcp: _,
        rate_limit: _,
        identity: _,
        version: _,
        nsid: _,
        cookie_secrets: _,
        whoami: _,
        state: _,
        trusted_proxies: _,
        http_dns: _,
    } = server;
    let dns_addresses = listeners(dns.clone());
    let secure = |table: &Option<SecureTable>| {
        table.as_ref().and_then(|table| table.listen.clone()).map(|list| list.value).unwrap_or_default()
    };
    let (tls_addresses, quic_addresses, https_addresses) = (secure(tls), secure(quic), secure(https));
    let http_addresses = http.as_ref().map(|list| list.value.clone()).unwrap_or_default();
    let written = [
        dns.as_ref(),
        tls.as_ref().and_then(|tls| tls.listen.as_ref()),
        quic.as_ref().and_then(|quic| quic.listen.as_ref()),
        https.as_ref().and_then(|https| https.listen.as_ref()),
        http.as_ref(),
    ];
    for list in written.into_iter().flatten() {
        for (index, address) in list.value.iter().enumerate() {
            if address.value.port() != 0 && list.value[..index].iter().any(|earlier| earlier.value == address.value) {
                problems.add_to(address, Diagnostic::error(format!("`{}` is there twice", address.value)));
            }
        }
    }
    // TLS shares TCP with DNS, QUIC shares UDP with it.
    let of_dns = dns_addresses.iter().map(|address| ("server.dns", address));
    let of_tls = tls_addresses.iter().map(|address| ("server.tls", address));
    for address in tls_addresses.iter().chain(&quic_addresses) {
        check_free(address, of_dns.clone(), problems);
    }
    let admin = admin.clone().unwrap_or_else(|| Written::default(defaults::admin()));
    let mut others: Vec<(&str, &Written<SocketAddr>)> = of_dns.chain(of_tls).collect();
    let of_https = https_addresses.iter().map(|address| ("server.https", address));
    let of_http = http_addresses.iter().map(|address| ("server.http", address));
    for (addresses, of) in [(&https_addresses, of_https.collect::<Vec<_>>()), (&http_addresses, of_http.collect())] {
        for address in addresses {
            check_free(address, others.iter().copied(), problems);
        }
        others.extend(of);
    }
    check_free(&admin, others.iter().copied(), problems);
    others.push(("server.admin", &admin));
    let of_cluster = cluster.and_then(|cluster| cluster.listen.as_ref()).map(|listen| ("cluster", listen));
    let heartbeats = inventories.iter().filter_map(|inventory| inventory.heartbeat.as_ref()?.listen.as_ref());
    for (key, listen) in of_cluster.into_iter().chain(heartbeats.map(|listen| ("inventory.heartbeat", listen))) {
        check_free(listen, others.iter().copied(), problems);
        others.push((key, listen));
    }
    if !admin.value.ip().is_loopback() {
        let message =
            format!("`{}` is not on loopback: that needs a `token_file`, which is not built yet", admin.value);
        let help = format!("write `\"127.0.0.1:{}\"`; from afar, forward the port over SSH", admin.value.port());
        problems.add_to(&admin, Diagnostic::error(message).help(help));
    }
}

fn check_free<'a>(
    address: &Written<SocketAddr>,
    taken: impl Iterator<Item = (&'static str, &'a Written<SocketAddr>)>,
    problems: &Problems,
) {
    for (key, other) in taken {
        if overlaps(address.value, other.value) {
            let message = format!("`{}` is taken by `{}` of `{key}`", address.value, other.value);
            problems.add_to(address, Diagnostic::error(message).help("give it another port"));
            return;
        }
    }
}

/// Whether two listeners cannot both be bound.
fn overlaps(a: SocketAddr, b: SocketAddr) -> bool {
    let same_address = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    // Port 0 is a free one, each time another.
    a.port() == b.port() && a.port() != 0 && a.is_ipv4() == b.is_ipv4() && same_address
}

/// Load that Prometheus servers have needs some.
fn check_load<'n>(load: Option<&LoadTable>, settings: impl Iterator<Item = &'n NodeSettings>, problems: &Problems) {
    if let Some(load) = load {
        return access::check(&load.access, None, problems);
    }
    let exporters = settings.flat_map(|settings| &settings.exporters);
    let urls = exporters.filter_map(|(_, exporter)| exporter.url.as_ref());
    for url in urls.filter(|url| url.value == "prometheus" || url.value.starts_with("prometheus:")) {
        let message = "no Prometheus server is configured that has this load";
        problems.add_to(
            url,
            Diagnostic::error(message).help("write `[load]` with `prometheus = [\"http://127.0.0.1:9090\"]`"),
        );
    }
}

fn check_regions(regions: &[RegionTable], problems: &Problems) {
    let mut first_default: Option<&RegionTable> = None;
    for region in regions {
        let is_default = region.default.as_ref().filter(|default| default.value);
        match (is_default, first_default) {
            (Some(default), Some(first)) => {
                let message = format!("the region `{}` is the default already", first.name.value);
                let help =
                    format!("keep `default = true` here or{}", first.default.as_ref().unwrap_or(default).in_line());
                problems.add_to(default, Diagnostic::error(message).help(help));
            }
            (Some(_), None) => first_default = Some(region),
            (None, _) => {}
        }
        // A rule whose lists are all empty would match everybody.
        let RegionTable {
            name,
            continents,
            countries,
            subdivisions,
            asns,
            networks,
            near,
            near_only,
            default: _,
            is_sound,
        } = region;
        if let Some(near_only) = near_only.as_ref().filter(|near_only| near_only.value && near.is_empty() && *is_sound)
        {
            let message = format!("the region `{}` has no place at all: `near_only` without `near`", name.value);
            let help = "write the places that may serve it: `near = [\"fra\"]`";
            problems.add_to(near_only, Diagnostic::error(message).help(help));
        }
        let counts = [continents.len(), countries.len(), subdivisions.len(), asns.len(), networks.len()];
        if counts == [0; 5] && is_default.is_none() && *is_sound {
            let help = "give it `countries`, `continents`, `subdivisions`, `asns` or `networks`, or `default = true`";
            problems.add_to(name, Diagnostic::error(format!("the region `{}` claims nobody", name.value)).help(help));
        }
    }
}

/// Words of barriers that name nothing, or two things.
fn check_areas(file: &ConfigFile, problems: &Problems) {
    let atlas = Atlas::of(file);
    let settings = file.nodes.iter().map(|node| &node.settings).chain([&file.node_defaults]);
    let serves = settings.filter_map(|node| node.serves.as_deref()).map(|words| (words, Barrier::Serves));
    let within = file.services.iter().map(|service| (service.within.as_slice(), Barrier::Within));
    for (words, barrier) in serves.chain(within) {
        for (word, area) in words.iter().zip(atlas.areas(words, barrier)) {
            if let Err(wrong) = area {
                problems.add_to(word, wrong);
            }
        }
    }
}

/// Checks of many nodes that ask all of them at the same place.
fn check_checks(file: &ConfigFile, problems: &Problems) {
    let pools = file.pools.iter().filter_map(|pool| pool.check.as_ref());
    let checks = pools.chain(&file.node_defaults.check).flat_map(|list| &list.value);
    for check in checks.filter(|check| !check.value.is_at_address()) {
        let message = format!("`{}` is the same for all nodes: where it fails, it fails for all at once", check.value);
        let help = format!("write `{PLACEHOLDER}` where the address of the node belongs");
        problems.add_to(check, Diagnostic::warning(message).help(help));
    }
}

fn check_whoami(server: &ServerTable, services: &[ServiceTable], problems: &Problems) {
    let Some(whoami) = &server.whoami else { return };
    if whoami.value.is_wildcard() {
        let help = "write one name, such as `whoami.live.example`";
        problems.add_to(whoami, Diagnostic::error("`whoami` is one name, not a wildcard").help(help));
    }
    if let Some(service) = services.iter().find(|service| service.name.value == whoami.value) {
        let message = format!("`{}` is a service{}: its answers are nodes", whoami.value, service.name.in_line());
        problems.add_to(whoami, Diagnostic::error(message).help("take a name that nothing else has"));
    }
}

fn check_families(node: &NodeTable, problems: &Problems) {
    for (index, address) in node.addresses.iter().enumerate() {
        let family = if address.value.is_ipv4() { "IPv4" } else { "IPv6" };
        let same_family = |other: &&Written<IpAddr>| other.value.is_ipv4() == address.value.is_ipv4();
        if let Some(first) = node.addresses[..index].iter().find(same_family) {
            let message = format!("the node has more than one {family} address, which is not built yet");
            let help = format!("keep this one or `{}`", first.value);
            problems.add_to(address, Diagnostic::error(message).help(help));
        }
    }
}

/// What pools select, and which addresses they share.
fn check_pools(file: &ConfigFile, problems: &Problems) {
    let ConfigFile { node_defaults, inventories, nodes, pools, services, .. } = file;
    if nodes.is_empty() && inventories.is_empty() {
        if let Some(service) = services.first() {
            let help = "add a table `[node.NAME]` with its `addresses`";
            problems.add_to(&service.name, Diagnostic::error("there is no node that could serve it").help(help));
        }
        return;
    }
    let labels: Vec<_> = nodes.iter().map(|node| labels(&node.settings, node_defaults)).collect();
    let are_known = labels.iter().all(Option::is_some) && pools.iter().all(|pool| pool.select.is_some());
    // No pool at all is one pool of all nodes, that of no number.
    let pools_of = |node: usize| -> Vec<usize> {
        let selects = |pool: &PoolTable| match (&pool.select, &labels[node]) {
            (Some(select), Some(labels)) => select.iter().all(|(label, value)| labels.get(label) == Some(value)),
            _ => false,
        };
        (0..pools.len()).filter(|&pool| selects(&pools[pool])).collect()
    };
    let memberships: Vec<Vec<usize>> = (0..nodes.len()).map(pools_of).collect();
    // Which nodes there will be, lists say.
    if are_known && inventories.is_empty() {
        check_selection(file, &labels.into_iter().flatten().collect::<Vec<_>>(), &memberships, problems);
    }
    let mut first_with: HashMap<IpAddr, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for address in &node.addresses {
            let &mut first = first_with.entry(address.value).or_insert(index);
            if first == index {
                continue;
            }
            let shared = memberships[index].iter().find(|pool| memberships[first].contains(pool));
            let first = &nodes[first].name;
            let help = format!(
                "it is the address of the node `{}`{} too: each node needs its own",
                first.value,
                first.in_line()
            );
            let diagnostic = match shared {
                Some(&pool) => Diagnostic::error(format!(
                    "`{}` is on two nodes of the pool `{}`",
                    address.value, pools[pool].name.value
                )),
                None if pools.is_empty() => Diagnostic::error(format!("`{}` is on two nodes", address.value)),
                None => Diagnostic::warning(format!(
                    "`{}` is on two nodes: the load of one machine is counted twice",
                    address.value
                )),
            };
            problems.add_to(address, diagnostic.help(help));
        }
    }
}

fn check_selection(
    file: &ConfigFile,
    labels: &[BTreeMap<String, String>],
    memberships: &[Vec<usize>],
    problems: &Problems,
) {
    let selected: HashSet<usize> = memberships.iter().flatten().copied().collect();
    for (index, pool) in file.pools.iter().enumerate() {
        if selected.contains(&index) {
            continue;
        }
        let message = format!("the pool `{}` selects no node", pool.name.value);
        let wanted = pool
            .select
            .iter()
            .flatten()
            .find(|(label, value)| labels.iter().all(|labels| labels.get(*label) != Some(*value)));
        let help = wanted.map_or_else(
            || "no node has all of these labels at once".to_owned(),
            |(label, value)| {
                let known: HashSet<&str> =
                    labels.iter().filter_map(|labels| labels.get(label)).map(String::as_str).collect();
                let meant = did_you_mean(value, known).map(|meant| format!("; {meant}")).unwrap_or_default();
                format!("no node has `labels = {{ {label} = \"{value}\" }}`{meant}")
            },
        );
        problems.add(&pool.select_place, Diagnostic::error(message).help(help));
    }
    // If a pool lacks its nodes, those are likely the nodes that lack their pool.
    if selected.len() < file.pools.len() {
        return;
    }
    for (node, pools) in file.nodes.iter().zip(memberships) {
        if pools.is_empty() && !file.pools.is_empty() {
            let message = format!("the node `{}` is in no pool, so no answer names it", node.name.value);
            let help = "give it the `labels` that a pool selects";
            problems.add_to(&node.name, Diagnostic::warning(message).help(help));
        }
    }
}

fn check_service(service: &ServiceTable, pools: &[PoolTable], problems: &Problems) {
    let pool_names: Vec<&str> = if pools.is_empty() {
        vec![defaults::POOL]
    } else {
        pools.iter().map(|pool| pool.name.value.as_str()).collect()
    };
    match &service.pool {
        Some(pool) => check_known("pool", pool, &pool_names, problems),
        None if pool_names.len() > 1 && !service.has_pool => {
            let message = format!("the service `{}` does not say which pool serves it", service.name.value);
            let help = format!("write `pool = \"{}\"`, or another of the {} pools", pool_names[0], pool_names.len());
            problems.add_to(&service.name, Diagnostic::error(message).help(help));
        }
        None => {}
    }
    let ttl = ttl_bounds(service);
    if ttl.min > ttl.max {
        let of_whom = |written: &Option<Written<u32>>| if written.is_some() { "" } else { " (the default)" };
        let message = format!(
            "`ttl.min`, {}s{}, is above `ttl.max`, {}s{}",
            ttl.min,
            of_whom(&service.ttl_min),
            ttl.max,
            of_whom(&service.ttl_max)
        );
        let help = "raise `max` or lower `min`";
        let place = service.ttl_min.as_ref().or(service.ttl_max.as_ref());
        match place {
            Some(place) => problems.add_to(place, Diagnostic::error(message).help(help)),
            None => problems.add_to(&service.name, Diagnostic::error(message).help(help)),
        }
    }
}

//! What a reload changed, in a few words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::inputs::Inputs;
use crate::config::{Inventory, MutualTls, Secure, Written};
use crate::intake::Part;
use crate::zone::Zone;

/// Says what differs: `+1 node, ~2 zones`; words for that if nothing does.
pub(super) fn describe(old: &Inputs, new: &Inputs) -> String {
    let mut parts = Vec::new();
    let nodes = |inputs: &Inputs| -> Vec<(String, String)> {
        inputs.config.nodes.iter().map(|node| (node.value.name.clone(), format!("{:?}", node.value))).collect()
    };
    compare(&mut parts, "node", &nodes(old), &nodes(new));
    let pools = |inputs: &Inputs| -> Vec<(String, String)> {
        inputs.config.pools.iter().map(|pool| (pool.value.name.clone(), format!("{:?}", pool.value))).collect()
    };
    compare(&mut parts, "pool", &pools(old), &pools(new));
    let services = |inputs: &Inputs| -> Vec<(String, String)> {
        let services = inputs.config.services.iter().map(|service| &service.value);
        services.map(|service| (service.name.to_string(), format!("{service:?}"))).collect()
    };
    compare(&mut parts, "service", &services(old), &services(new));
    let kept: BTreeSet<_> = old.zones.iter().map(Arc::as_ptr).collect();
    let kept: BTreeSet<_> = new.zones.iter().map(Arc::as_ptr).filter(|zone| kept.contains(zone)).collect();
    let zones = |inputs: &Inputs| -> Vec<(String, String)> {
        // Steered names are part of a zone, so it changes with its services too. To hash a large one takes a while.
        let said = |zone: &Arc<Zone>| match kept.contains(&Arc::as_ptr(zone)) {
            true => String::new(),
            false => zone.fingerprint().to_string(),
        };
        inputs.zones.iter().map(|zone| (zone.apex().to_string(), said(zone))).collect()
    };
    compare(&mut parts, "zone", &zones(old), &zones(new));
    let regions = |inputs: &Inputs| -> Vec<(String, String)> {
        let regions = inputs.config.regions.iter().map(|region| &region.value);
        regions.map(|region| (region.name.clone(), format!("{region:?}"))).collect()
    };
    compare(&mut parts, "region", &regions(old), &regions(new));
    let places = |inputs: &Inputs| -> Vec<(String, String)> {
        inputs.config.places.iter().map(|place| (place.value.name.clone(), format!("{:?}", place.value))).collect()
    };
    compare(&mut parts, "place", &places(old), &places(new));
    let inventories = |inputs: &Inputs| -> Vec<(String, String)> {
        inputs.config.inventories.iter().map(|each| (each.value.name.clone(), each.value.said())).collect()
    };
    compare(&mut parts, "inventory", &inventories(old), &inventories(new));
    let windows = |inputs: &Inputs| -> Vec<(String, String)> {
        let windows = inputs.config.maintenance.iter().map(|window| &window.value);
        windows.map(|window| (window.name.clone(), format!("{window:?}"))).collect()
    };
    compare(&mut parts, "maintenance", &windows(old), &windows(new));
    let peers = |inputs: &Inputs| -> Vec<_> {
        inputs.config.cluster.iter().flat_map(|cluster| &cluster.peers).map(|peer| peer.value).collect()
    };
    let (before, after) = (&old.config.server, &new.config.server);
    let text = |written: &Option<Written<String>>| written.as_ref().map(|written| written.value.clone());
    let whoami = |inputs: &Inputs| inputs.config.server.whoami.as_ref().map(|written| written.value.clone());
    let load = |inputs: &Inputs| inputs.config.load.as_ref().map(|load| format!("{load:?}"));
    let geography = |inputs: &Inputs| inputs.parts.of(Part::Geography);
    for (key, is_same) in [
        ("geography", geography(old) == geography(new)),
        ("load", load(old) == load(new)),
        ("rate_limit", before.rate_limit == after.rate_limit),
        (
            "http_dns",
            before.http_dns.is_same(&after.http_dns)
                && old.url_keys.is_same(&new.url_keys)
                && old.turn_keys.is_same(&new.turn_keys),
        ),
        ("identity", text(&before.identity) == text(&after.identity)),
        ("version", text(&before.version) == text(&after.version)),
        ("nsid", text(&before.nsid) == text(&after.nsid)),
        ("whoami", whoami(old) == whoami(new)),
        ("cookie_secrets", old.cookies == new.cookies),
        ("cluster", peers(old) == peers(new) && old.tokens == new.tokens),
        ("certificates", old.certificates == new.certificates),
        ("access of exporters", old.keyring == new.keyring),
    ] {
        if !is_same {
            parts.push(format!("~{key}"));
        }
    }
    if parts.is_empty() { "nothing that is served has changed".to_owned() } else { parts.join(", ") }
}

/// Keys of listeners, of workers, of TCP or of the state directory that differ: they are read at the start only.
pub(super) fn needs_restart(old: &Inputs, new: &Inputs) -> bool {
    let listeners = |inputs: &Inputs| {
        let server = &inputs.config.server;
        let secure = |secure: &Option<Secure>| {
            secure.as_ref().map(|secure| {
                let listen: Vec<_> = secure.listen.iter().map(|address| address.value).collect();
                listen
            })
        };
        let dns: Vec<_> = server.dns.iter().map(|address| address.value).collect();
        let cluster = inputs.config.cluster.as_ref().map(|cluster| {
            let paths = |tls: &MutualTls| [&tls.certificate, &tls.key, &tls.authority].map(|path| path.value.clone());
            (cluster.listen.value, cluster.tls.as_ref().map(paths))
        });
        let of_heartbeats = |inventory: &Written<Inventory>| {
            Some((inventory.value.name.clone(), inventory.value.heartbeat.as_ref()?.listen.value))
        };
        let heartbeats: Vec<_> = inputs.config.inventories.iter().filter_map(of_heartbeats).collect();
        let state = server.state.as_ref().map(|state| state.value.clone());
        let workers = (server.workers, server.pin_workers);
        let http: Vec<_> = server.http.iter().map(|address| address.value).collect();
        let secured = (secure(&server.tls), secure(&server.quic), secure(&server.https), http, server.proxies.clone());
        (dns, server.admin.value, workers, server.tcp, secured, cluster, heartbeats, state)
    };
    listeners(old) != listeners(new)
}

fn compare(parts: &mut Vec<String>, noun: &str, old: &[(String, String)], new: &[(String, String)]) {
    // By name: lists bring thousands of nodes.
    let by_name = |things: &[(String, String)]| -> BTreeMap<String, String> { things.iter().cloned().collect() };
    let (before, after) = (by_name(old), by_name(new));
    let added = after.keys().filter(|name| !before.contains_key(*name)).count();
    let removed = before.keys().filter(|name| !after.contains_key(*name)).count();
    let changed = before.iter().filter(|(name, thing)| after.get(*name).is_some_and(|other| other != *thing)).count();
    let counts = [('+', added), ('-', removed), ('~', changed)];
    for (sign, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let many = match noun {
            "inventory" => "inventories".to_owned(),
            "maintenance" => noun.to_owned(),
            _ => format!("{noun}s"),
        };
        let noun = if count == 1 { noun } else { &many };
        parts.push(format!("{sign}{count} {noun}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::inputs::load;

    /// Inputs of a configuration, with a zone for its service.
    fn inputs(config: &str) -> Inputs {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        std::fs::create_dir(directory.path().join("zones")).unwrap();
        write("zones/live.example.zone", "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n");
        // A small database is compiled sooner than the embedded one.
        let database = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/geoip/flat.mmdb");
        write("rtt.csv", "region,place,ms\n");
        write("thalweg.toml", &format!("[geoip]\ndatabases = [{database:?}]\n{config}"));
        load(&directory.path().join("thalweg.toml"), &[], None).inputs.unwrap()
    }

    #[test]
    fn every_part_of_what_is_steered_is_told_when_it_changes() {
        const OLD: &str = concat!(
            "# of the geography\n[server]\nnsid = \"a\"\n[place.fra]\nat = [50, 8]\n[region.dach]\ncountries = [\"DE\"]\nnear = [\"fra\"]\n",
            "[node.a]\nplace = \"fra\"\naddresses = [\"192.0.2.1\"]\ncost = 1\n[pool.edge]\ncurrency = \"egress\"\n",
            "[service.\"play.live.example\"]\npolicy = \"nearest\"\n",
        );
        let window = "[maintenance.disks]\nnodes = [\"a\"]\nevery = \"Sun 03:00-05:00\"\nreason = \"disks\"";
        let old = inputs(OLD);
        for (before, after, told) in [
            ("cost = 1", "cost = 2", "~1 node"),
            ("cost = 1", "serves = [\"DE\"]", "~1 node"),
            ("cost = 1", "check = \"tcp:1935\"", "~1 node"),
            ("cost = 1", "cost = 1\ncapacity.clients = 7", "~1 node"),
            ("currency = \"egress\"", "currency = \"clients\"", "~1 pool"),
            ("nsid = \"a\"", "nsid = \"a\"\nhttp_dns.per_second = 7", "~http_dns"),
            ("currency = \"egress\"", "urls.rtmp = \"rtmp://{node}\"", "~1 pool"),
            ("currency = \"egress\"", "viewer.stays = \"1h\"", "~1 pool"),
            ("currency = \"egress\"", "full = \"overflow\"\noverflow.cname = \"cdn.example\"", "~1 pool"),
            ("policy = \"nearest\"", "policy = \"hash\"", "~1 service"),
            ("policy = \"nearest\"", "policy = \"nearest\"\nwithin = [\"place:fra\"]", "~1 service"),
            ("near = [\"fra\"]", "near = [\"fra\"]\nnear_only = true", "~1 region"),
            ("at = [50, 8]", "at = [50, 9]", "~1 place"),
            ("nsid = \"a\"", "nsid = \"a\"\nwhoami = \"who.live.example\"", "~1 zone, ~whoami"),
            (
                "cost = 1",
                "cost = 1\nexporters.node.url = \"http://x/\"\nexporters.node.headers.key = \"1\"",
                "~1 node, ~access of exporters",
            ),
            ("cost = 1", &format!("cost = 1\n{window}"), "+1 maintenance"),
            ("cost = 1", "cost = 1\n[load]\nprometheus = [\"http://127.0.0.1:9090\"]", "~load, ~access of exporters"),
            ("cost = 1", "cost = 1\n[inventory.fleet]\nfile_sd = \"none.json\"", "+1 inventory, ~access of exporters"),
            ("# ", "rtt = \"rtt.csv\"\n# ", "~geography"),
            ("cost = 1", "cost = 1", "nothing that is served has changed"),
        ] {
            assert_eq!(describe(&old, &inputs(&OLD.replace(before, after))), told, "{after}");
        }
    }

    #[test]
    fn every_key_of_an_inventory_counts_and_where_it_stands_does_not() {
        let old = "[inventory.fleet]\nhttp_sd = \"http://127.0.0.1:1/\"\nrefresh = \"1h\"\n";
        let before = inputs(old);
        for (from, to, told) in [
            ("refresh = \"1h\"", "refresh = \"2h\"", "~1 inventory"),
            ("http_sd = \"http://127.0.0.1:1/\"", "http_sd = \"http://127.0.0.1:2/\"", "~1 inventory"),
            ("refresh", "place = \"label:site\"\nrefresh", "~1 inventory"),
            ("refresh", "file_sd = \"*.json\"\nrefresh", "~1 inventory"),
            ("[inventory.fleet]", "[inventory.edge]\nfile_sd = \"*.json\"\n[inventory.fleet]", "+1 inventory"),
            ("[inventory.fleet]", "# moved\n[inventory.fleet]", "nothing that is served has changed"),
        ] {
            assert_eq!(describe(&before, &inputs(&old.replace(from, to))), told, "{to}");
        }
    }

    #[test]
    fn another_state_directory_takes_a_restart() {
        let state = |state: &str| inputs(&format!("[server]\nadmin = \"127.0.0.1:0\"\n{state}"));
        let old = state("state = \"a\"");
        assert!(needs_restart(&old, &state("state = \"b\"")) && needs_restart(&old, &state("")));
        assert!(!needs_restart(&old, &state("state = \"a\"\nnsid = \"x\"")));
    }

    #[test]
    fn pinning_takes_a_restart() {
        let pinned = |pin_workers: &str| inputs(&format!("[server]\nadmin = \"127.0.0.1:0\"\n{pin_workers}"));
        let old = pinned("");
        assert!(needs_restart(&old, &pinned("pin_workers = true")));
        assert!(!needs_restart(&old, &pinned("pin_workers = false")));
    }

    #[test]
    fn additions_removals_and_changes_are_counted() {
        let thing = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut parts = Vec::new();
        compare(
            &mut parts,
            "node",
            &[thing("a", "1"), thing("b", "1"), thing("c", "1")],
            &[thing("b", "1"), thing("c", "2"), thing("d", "1"), thing("e", "1")],
        );
        assert_eq!(parts, ["+2 nodes", "-1 node", "~1 node"]);
    }
}

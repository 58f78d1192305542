//! Edits while queries run: none is lost, none gets what neither the old nor the new inputs say.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use support::client::{Client, wait_for};
use support::daemon::{SERVER, Served};
use support::installation::Installation;
use support::query::Query;
use thalweg::wire::RecordType;

#[path = "reload/heartbeats.rs"]
mod heartbeats;
#[path = "reload/inventories.rs"]
mod inventories;
#[path = "reload/retired.rs"]
mod retired;
mod support;

const ZONE: &str = "zones/live.example.zone";
/// Edits of the zone in one test; the threads ask some thousand times meanwhile.
const EDITS: u32 = 60;
/// Threads that ask.
const ASKERS: usize = 3;

/// A zone of which every version differs in two records of one answer, and in its serial.
fn zone(version: u32) -> String {
    let [_, _, high, low] = version.to_be_bytes();
    format!(
        "$TTL 60\n@ SOA ns1 host {version} 2h 15m 2w 60\n@ NS ns1\nns1 A 192.0.2.53\nplay A 192.0.2.99\n\
         www A 10.0.{high}.{low}\n    A 10.1.{high}.{low}\n"
    )
}

fn config(nodes: &[(&str, &str)], has_service: bool) -> String {
    let service = if has_service { "[service.\"play.live.example\"]\nanswers = 4\n" } else { "" };
    let nodes =
        nodes.iter().map(|(name, address)| format!("[node.{name}]\nplace = \"fra\"\naddresses = [\"{address}\"]\n"));
    format!("{SERVER}{service}[place.fra]\nat = [50.1, 8.7]\n{}", nodes.collect::<String>())
}

fn installation(nodes: &[(&str, &str)]) -> Installation {
    Installation::new([("thalweg.toml", config(nodes, true).as_str()), (ZONE, zone(1).as_str())])
}

/// The addresses that a name has.
fn addresses(client: &Client, name: &str) -> BTreeSet<String> {
    let reply = client.ask(&Query::new(name, RecordType::A));
    assert_eq!(reply.lines[0], "NOERROR qr aa", "{:?}", reply.lines);
    let answers = reply.lines.iter().filter(|line| line.starts_with("answer: "));
    answers.filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect()
}

/// The version that `www` is of.
fn version(client: &Client) -> u32 {
    let found = addresses(client, "www.live.example.");
    let versions: BTreeSet<u32> = found
        .iter()
        .map(|address| {
            let octets: Vec<u32> = address.split('.').map(|octet| octet.parse().unwrap()).collect();
            octets[2] << 8 | octets[3]
        })
        .collect();
    assert_eq!((found.len(), versions.len()), (2, 1), "an answer of two versions: {found:?}");
    *versions.first().unwrap()
}

/// Has threads call `ask` over and over while `edit` runs; returns how often they did.
fn while_asking(server: SocketAddr, ask: impl Fn(&Client) + Sync, edit: impl FnOnce()) -> usize {
    /// Stops the threads also when `edit` panics.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asker = || {
            let client = Client::new(server);
            let mut asked = 0;
            while !is_over.load(Ordering::SeqCst) {
                ask(&client);
                asked += 1;
            }
            asked
        };
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(asker)).collect();
        {
            let _stop = Stop(&is_over);
            edit();
        }
        askers.into_iter().map(|asker| asker.join().unwrap()).sum()
    })
}

#[test]
fn a_zone_that_is_edited_over_and_over_answers_by_the_old_or_the_new_file() {
    let installation = installation(&[("fra1", "198.51.100.10")]);
    let served = Served::start(&installation);
    // What the newest file may be, and what it is at least, as the threads know it.
    let (written, confirmed) = (AtomicU32::new(1), AtomicU32::new(1));
    let asked = while_asking(
        served.dns(),
        |client| {
            let oldest = confirmed.load(Ordering::SeqCst);
            let version = version(client);
            let newest = written.load(Ordering::SeqCst);
            assert!((oldest..=newest).contains(&version), "{version} is not in {oldest}..={newest}");
        },
        || {
            for version in 2..=EDITS {
                written.store(version, Ordering::SeqCst);
                if version % 2 == 0 {
                    installation.replace(ZONE, &zone(version));
                } else {
                    installation.write(ZONE, &zone(version));
                }
                served.reload().unwrap();
                confirmed.store(version, Ordering::SeqCst);
            }
        },
    );
    assert!(asked > EDITS as usize, "only {asked} queries");
}

#[test]
fn an_edit_is_noticed_without_being_told() {
    let installation = installation(&[("fra1", "198.51.100.10")]);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    for (edit, version_there) in [(Installation::replace as fn(&_, &_, &_), 7), (Installation::write, 8)] {
        edit(&installation, ZONE, &zone(version_there));
        wait_for("the new zone", || (version(&client) == version_there).then_some(()));
    }
}

#[test]
fn a_broken_edit_keeps_the_old_zone_and_says_where_it_is_broken() {
    let installation = installation(&[("fra1", "198.51.100.10")]);
    let served = Served::start(&installation);
    while_asking(
        served.dns(),
        |client| {
            let version = version(client);
            assert!([1, 3].contains(&version), "{version}");
        },
        || {
            installation.replace(ZONE, &zone(2).replace("192.0.2.53", "192.0.2.530"));
            let error = served.reload().unwrap_err();
            let place = format!("{}:4:7: error: ", installation.path(ZONE).display());
            assert!(error.contains(&place), "{place} is missing in\n{error}");
            let again = served.reload().unwrap_err();
            assert!(again.contains(&place), "it is still broken, but: {again}");
            installation.replace("thalweg.toml", "[servre]\n");
            let error = served.reload().unwrap_err();
            assert!(error.contains("thalweg.toml:1:2: error: "), "{error}");
            installation.replace("thalweg.toml", &config(&[("fra1", "198.51.100.10")], true));
            installation.replace(ZONE, &zone(3));
            served.reload().unwrap();
        },
    );
    assert_eq!(version(&Client::new(served.dns())), 3);
}

#[test]
fn nodes_come_and_go_while_queries_run() {
    let (fra1, fra2, fra3) = (("fra1", "198.51.100.10"), ("fra2", "198.51.100.11"), ("fra3", "198.51.100.12"));
    let renamed = ("fra9", "198.51.100.10");
    let installation = installation(&[fra1, fra2]);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    let play = |client: &Client| addresses(client, "play.live.example.");
    while_asking(
        served.dns(),
        |client| {
            let found = play(client);
            assert!(!found.is_empty() && found.iter().all(|address| address.starts_with("198.51.100.1")), "{found:?}");
        },
        || {
            let steps: [(&[(&str, &str)], &str); 5] = [
                (&[fra1], "-1 node"),
                (&[fra1, fra3], "+1 node"),
                (&[renamed, fra3], "+1 node, -1 node"),
                (&[("fra9", "198.51.100.19"), fra3], "~1 node"),
                (&[fra1, fra2, fra3], "+2 nodes, -1 node"),
            ];
            for (nodes, change) in steps {
                installation.replace("thalweg.toml", &config(nodes, true));
                let outcome = served.reload().unwrap();
                // The edit may have been noticed before it was told.
                assert!(outcome.contains(change) || outcome.contains("nothing has changed"), "{outcome}");
                let expected: BTreeSet<String> = nodes.iter().map(|(_, address)| (*address).to_owned()).collect();
                assert_eq!(play(&client), expected, "{change}");
            }
        },
    );
}

#[test]
fn a_name_whose_service_is_removed_has_its_static_address() {
    let nodes = [("fra1", "198.51.100.10")];
    let installation = installation(&nodes);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    let play = |client: &Client| addresses(client, "play.live.example.");
    while_asking(
        served.dns(),
        |client| {
            let found: Vec<String> = play(client).into_iter().collect();
            assert!(["198.51.100.10", "192.0.2.99"].contains(&found.join(" ").as_str()), "{found:?}");
        },
        || {
            for (has_service, address) in [(false, "192.0.2.99"), (true, "198.51.100.10"), (false, "192.0.2.99")] {
                installation.replace("thalweg.toml", &config(&nodes, has_service));
                served.reload().unwrap();
                assert_eq!(play(&client), [address.to_owned()].into());
            }
        },
    );
}

#[test]
fn a_reload_says_what_it_changed_of_the_server_and_what_takes_a_restart() {
    let installation = installation(&[("fra1", "198.51.100.10")]);
    let served = Served::start_unwatched(&installation);
    let config = config(&[("fra1", "198.51.100.10")], true);
    let with = |keys: &str| config.replacen("[server]\n", &format!("[server]\n{keys}\n"), 1);
    let secrets = "000102030405060708090a0b0c0d0e0f\n";
    installation.write("cookie.secrets", secrets);
    installation.write("thalweg.toml", &with("identity = \"ns1\"\ncookie_secrets = \"cookie.secrets\""));
    assert_eq!(served.reload(), Ok("generation 1 → 2: ~identity, ~cookie_secrets".to_owned()));
    installation.write("cookie.secrets", &format!("{secrets}{}", secrets.replace('0', "1")));
    assert_eq!(served.reload(), Ok("generation 2 → 3: ~cookie_secrets".to_owned()));
    let keys = "identity = \"ns1\"\nversion = \"7\"\nnsid = \"ns1.fra\"\ncookie_secrets = \"cookie.secrets\"\n";
    installation.write("thalweg.toml", &with(keys));
    assert_eq!(served.reload(), Ok("generation 3 → 4: ~version, ~nsid".to_owned()));
    installation.write("thalweg.toml", &with(&format!("{keys}tcp.idle = \"20s\"")));
    let outcome = "generation 4 → 5: nothing that is served has changed; \
                   listeners, workers, limits of connections and the state directory change at a restart";
    assert_eq!(served.reload(), Ok(outcome.to_owned()));
}

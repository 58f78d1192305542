//! Keys that are replaced, and signatures that are kept, while a resolver asks all the time.

use std::cell::Cell;

use tempfile::TempDir;
use thalweg::wire::RecordType;

use super::answers::{ZONE, installation, parent, thalweg};
use super::programs::{Asker, unbound};
use super::support::client::{Client, wait_for};
use super::support::daemon::Served;
use super::support::query::Query;

/// All times are a second or two, so that a rollover of weeks takes some.
const QUICK: &str = "keys = \"keys\", key_ttl = \"1s\", validity = \"20s\", refresh = \"10s\"";
const DELAYS: [&str; 6] = ["--margin", "1s", "--zone-ttl", "1s", "--parent-ttl", "1s"];

/// How many keys the zone has, as a plain client gets them.
fn keys(client: &Client) -> usize {
    let reply = client.ask(&Query::new("live.example.", RecordType::DNSKEY));
    reply.lines.iter().filter(|line| line.contains(" DNSKEY ") && !line.contains("question")).count()
}

#[test]
fn keys_are_replaced_without_a_moment_that_a_resolver_notices() {
    let zone = ZONE.replace("$TTL 300", "$TTL 1").replace("2w 5m", "2w 1s");
    let installation = installation(QUICK, &zone);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    let directory = TempDir::new().unwrap();
    let (above, anchor) = parent(&directory, &thalweg(&installation, &["ds", "live.example"]));
    let resolver = unbound(&anchor, &[("example.", above.address), ("live.example.", served.dns())]);
    let asker = Asker::of(&resolver);
    let asked = Cell::new(0);
    // Other names each time, so that no cache stands between.
    let look = |goal: &dyn Fn() -> bool| {
        wait_for("a step of the rollover", || {
            asked.set(asked.get() + 1);
            for (name, qtype) in [
                ("play", "A"),
                ("a", "A"),
                (&*format!("n{}", asked.get()), "A"),
                (&*format!("n{}.wild", asked.get()), "A"),
            ] {
                let (found, reply) = asker.ask(&format!("{name}.live.example."), qtype);
                assert!(found.ends_with(" ad"), "{name}: {found}: {:#?}\n{}", reply.lines, resolver.log());
            }
            goal().then_some(())
        });
    };
    look(&|| keys(&client) == 1);
    let begin = [&["rollover", "live.example", "--ksk"][..], &DELAYS].concat();
    thalweg(&installation, &begin);
    look(&|| keys(&client) == 2);
    // The parent is told of the new key, and that alone.
    let before = thalweg(&installation, &["ds", "live.example"]);
    look(&|| thalweg(&installation, &["ds", "live.example"]) != before);
    let directory = TempDir::new().unwrap();
    let (above, anchor) = parent(&directory, &thalweg(&installation, &["ds", "live.example"]));
    let renewed = unbound(&anchor, &[("example.", above.address), ("live.example.", served.dns())]);
    let second = Asker::of(&renewed);
    thalweg(&installation, &[&["rollover", "live.example", "--ksk", "--parent-points"][..], &DELAYS].concat());
    let after = |goal: &dyn Fn() -> bool| {
        wait_for("the end of the rollover", || {
            asked.set(asked.get() + 1);
            let (found, reply) = second.ask(&format!("n{}.wild.live.example.", asked.get()), "A");
            assert!(found.ends_with(" ad"), "{found}: {:#?}\n{}", reply.lines, renewed.log());
            goal().then_some(())
        });
    };
    after(&|| keys(&client) == 1);
}

#[test]
fn a_key_for_all_but_keys_is_replaced_by_itself() {
    let zone = ZONE.replace("$TTL 300", "$TTL 1").replace("2w 5m", "2w 1s");
    let installation = installation(QUICK, &zone);
    thalweg(&installation, &["generate", "live.example", "--zsk", "--at-once"]);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    let resolver = unbound(thalweg(&installation, &["ds", "live.example"]).trim(), &[("live.example.", served.dns())]);
    let asker = Asker::of(&resolver);
    let steps = Cell::new(0);
    let look = |count: usize| {
        wait_for("a step of the rollover", || {
            steps.set(steps.get() + 1);
            let (found, reply) = asker.ask(&format!("n{}.wild.live.example.", steps.get()), "A");
            assert!(found.ends_with(" ad"), "{found}: {:#?}\n{}", reply.lines, resolver.log());
            (keys(&client) == count).then_some(())
        });
    };
    look(2);
    thalweg(&installation, &[&["rollover", "live.example", "--zsk"][..], &DELAYS].concat());
    look(3);
    look(2);
}

#[test]
fn signatures_and_serials_are_kept_over_a_restart() {
    let installation = installation("keys = \"keys\"", ZONE);
    let config = std::fs::read_to_string(installation.config()).unwrap();
    installation.write("thalweg.toml", &config.replace("[server]", "[server]\nstate = \"state\""));
    let answer = |served: &Served| {
        let mut query = Query::new("a.live.example.", RecordType::A);
        query.edns().dnssec_ok = true;
        let mut soa = Query::new("live.example.", RecordType::SOA);
        soa.edns().dnssec_ok = true;
        let client = Client::new(served.dns());
        (client.ask(&query).lines, client.ask(&soa).lines)
    };
    let served = Served::start(&installation);
    let before = answer(&served);
    assert!(before.0.iter().any(|line| line.contains("RRSIG")), "{before:#?}");
    drop(served);
    let served = Served::start(&installation);
    assert_eq!(answer(&served), before, "nothing has changed");
    // What changes without a new serial in the file has one all the same.
    installation.replace("zones/live.example.zone", &ZONE.replace("192.0.2.1\n", "192.0.2.77\n"));
    served.reload().unwrap();
    let after = answer(&served);
    assert_ne!(after.1, before.1);
    assert!(after.1.iter().any(|line| line.contains(" 2 3600 ")), "{after:#?}");
}

/// The signatures of a name's addresses, as they are served.
fn signatures(client: &Client, name: &str) -> Vec<String> {
    let mut query = Query::new(name, RecordType::A);
    query.edns().dnssec_ok = true;
    let lines = client.ask(&query).lines;
    let signatures: Vec<String> = lines.into_iter().filter(|line| line.contains("RRSIG")).collect();
    assert!(!signatures.is_empty());
    signatures
}

#[test]
fn signatures_are_renewed_while_all_inputs_on_disk_are_broken() {
    let installation = installation("keys = \"keys\", validity = \"13s\", refresh = \"10s\"", ZONE);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    installation.write("thalweg.toml", "[server\n");
    installation.write("zones/live.example.zone", "what is this");
    std::fs::remove_dir_all(installation.path("keys")).unwrap();
    assert!(served.reload().is_err());
    for name in ["a.live.example.", "play.live.example."] {
        let before = signatures(&client, name);
        wait_for("new signatures", || (signatures(&client, name) != before).then_some(()));
    }
}

#[test]
fn a_zone_stays_as_it_is_without_the_key_that_its_parent_points_at() {
    let installation = installation("keys = \"keys\"", ZONE);
    thalweg(&installation, &["generate", "live.example", "--zsk", "--at-once"]);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    let before = signatures(&client, "a.live.example.");
    let tag = thalweg(&installation, &["ds", "live.example"]).split(' ').nth(3).unwrap().to_owned();
    let files = std::fs::read_dir(installation.path("keys")).unwrap();
    let file = files.map(|entry| entry.unwrap().path()).find(|path| {
        let name = path.to_string_lossy().into_owned();
        name.ends_with(&format!("{tag:0>5}.private"))
    });
    let file = file.unwrap();
    let hidden = installation.path("hidden");
    std::fs::rename(&file, &hidden).unwrap();
    installation.replace("zones/live.example.zone", &ZONE.replace("192.0.2.1\n", "192.0.2.77\n"));
    // Twice: what is known of the key must outlast a refusal.
    for _ in 0..2 {
        let refused = served.reload().unwrap_err();
        assert!(refused.contains(&format!("the key {tag} of")) && refused.contains("has gone"), "{refused}");
    }
    assert_eq!((keys(&client), signatures(&client, "a.live.example.")), (2, before.clone()));
    std::fs::rename(&hidden, &file).unwrap();
    served.reload().unwrap();
    assert_ne!(signatures(&client, "a.live.example."), before);
}

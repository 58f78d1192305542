//! Zones that come from real BIND, Knot DNS and NSD: what is served of them, when, and for how long.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::process::Command;

use primaries::{ALL, Primary, SECRET, Software, free_address};
use support::client::{Client, wait_for};
use support::daemon::Served;
use support::installation::Installation;
use support::query::Query;
use thalweg::feed::inputs::load;
use thalweg::wire::RecordType;

#[path = "secondary/primaries.rs"]
mod primaries;
mod support;

/// A zone of this serial, with these records beside those that it must have.
fn zone(serial: u32, records: &str) -> String {
    zone_with("3600 600 86400", serial, records)
}

fn zone_with(times: &str, serial: u32, records: &str) -> String {
    format!(
        "$ORIGIN live.example.\n$TTL 60\n@ SOA ns1 host {serial} {times} 60\n@ NS ns1\nns1 A 192.0.2.53\nplay A 192.0.2.1\n{records}"
    )
}

/// A server that has the zone from these, and answers there; `extra` is more of the configuration.
fn installation(dns: SocketAddr, primaries: &[SocketAddr], of_zone: &str, extra: &str) -> Installation {
    let primaries: Vec<String> = primaries.iter().map(|primary| format!("\"{primary}\"")).collect();
    let config = format!(
        "[server]\ndns = [\"{dns}\"]\nadmin = \"127.0.0.1:0\"\nworkers = 1\nstate = \"state\"\n\
         [geoip]\ndatabases = [{:?}]\n[zone.\"live.example\"]\nprimaries = [{}]\n{of_zone}\n\
         [service.\"play.live.example\"]\n[node.fra1]\naddresses = [\"198.51.100.1\"]\n{extra}",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/geoip/flat.mmdb"),
        primaries.join(", ")
    );
    Installation::new([("thalweg.toml", config.as_str())])
}

/// The lines of the answer, its response code first.
fn answer(served: &Served, name: &str) -> Vec<String> {
    Client::new(served.dns()).ask(&Query::new(name, RecordType::A)).lines
}

fn is_answered(served: &Served, name: &str, with: &str) -> bool {
    answer(served, name).iter().any(|line| line.contains(with))
}

fn await_answer(served: &Served, name: &str, with: &str) {
    wait_for(&format!("{name} to be answered with {with}"), || is_answered(served, name, with).then_some(()));
}

fn metric(served: &Served, name: &str) -> f64 {
    let page = served.metrics();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().unwrap()
}

#[test]
fn zones_come_from_bind_change_by_notify_and_ixfr_and_outlive_it() {
    comes_and_stays(Software::Bind);
}

#[test]
fn zones_come_from_knot_change_by_notify_and_ixfr_and_outlive_it() {
    comes_and_stays(Software::Knot);
}

#[test]
fn zones_come_from_nsd_change_by_notify_and_ixfr_and_outlive_it() {
    comes_and_stays(Software::Nsd);
}

fn comes_and_stays(software: Software) {
    let odd = "txt TXT \"a \\\"b\\\" \\000\" \"\"\nodd TYPE65280 \\# 3 010203\nmx MX 5 \\@.odd\nsrv SRV 1 2 3 ns1\nhttps HTTPS 1 . alpn=h2\n";
    let records = |more: &str| format!("{odd}{more}");
    let dns = free_address();
    let primary = Primary::start(software, &zone(1, &records("old A 192.0.2.2\n*.wild A 192.0.2.3\n")), dns, false);
    let installation = installation(dns, &[primary.address], "", "");
    let served = Served::start(&installation);
    await_answer(&served, "old.live.example", "192.0.2.2");
    assert!(is_answered(&served, "x.wild.live.example", "192.0.2.3"));
    assert!(is_answered(&served, "play.live.example", "198.51.100.1"), "services are steered in it");
    assert_eq!(metric(&served, "thalweg_zone_expired{zone=\"live.example.\"}"), 0.0);
    let kept = installation.path("state/zone-live.example.");
    let checked = wait_for("the copy", || {
        kept.exists()
            .then(|| Command::new("named-checkzone").args(["-k", "ignore", "live.example"]).arg(&kept).output())
    });
    let checked = checked.expect("named-checkzone");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    // Only NOTIFY can tell of it: the zone is looked at once an hour.
    primary.change(&zone(2, &records("new A 192.0.2.4\n*.wild A 192.0.2.5\n")));
    await_answer(&served, "new.live.example", "192.0.2.4");
    assert!(is_answered(&served, "x.wild.live.example", "192.0.2.5"));
    assert!(is_answered(&served, "old.live.example", "NXDOMAIN"), "{:?}", answer(&served, "old.live.example"));
    wait_for("the metrics", || (metric(&served, "thalweg_zone_serial{zone=\"live.example.\"}") == 2.0).then_some(()));
    let transfers = ["whole", "changes"].map(|kind| {
        metric(&served, &format!("thalweg_zone_transfers_total{{zone=\"live.example.\",kind=\"{kind}\"}}"))
    });
    assert_eq!(transfers, [1.0, 1.0], "what changed came alone");

    drop(primary);
    assert!(is_answered(&served, "new.live.example", "192.0.2.4"));
    drop(served);
    let again = Served::start(&installation);
    assert!(is_answered(&again, "new.live.example", "192.0.2.4"), "the kept copy serves at once");
    assert!(is_answered(&again, "play.live.example", "198.51.100.1"));
}

#[test]
fn transfers_and_notify_are_signed_where_there_is_a_key() {
    for software in ALL {
        let dns = free_address();
        let primary = Primary::start(software, &zone(1, ""), dns, true);
        let key = |secret: &str| format!("[key.\"transfer.example\"]\nsecret = \"{secret}\"\n");
        let of_zone = "key = \"transfer.example\"";
        let wrong = installation(free_address(), &[primary.address], of_zone, &key(&SECRET.replace("MDE", "MDI")));
        let refused = Served::start(&wrong);
        let right = installation(dns, &[primary.address], of_zone, &key(SECRET));
        let served = Served::start(&right);
        await_answer(&served, "ns1.live.example", "192.0.2.53");
        primary.change(&zone(2, "new A 192.0.2.4\n"));
        await_answer(&served, "new.live.example", "192.0.2.4");
        let alarm = "thalweg_alarm{alarm=\"zone_expired\",about=\"live.example.\"} 1.0";
        wait_for("the alarm", || refused.metrics().contains(alarm).then_some(()));
        assert!(is_answered(&refused, "ns1.live.example", "SERVFAIL"), "{software:?}");
    }
}

#[test]
fn a_zone_that_never_came_or_has_expired_is_servfail_and_comes_back() {
    let dns = free_address();
    let primary = Primary::start(Software::Bind, &zone_with("2 2 4", 1, ""), dns, false);
    // The first of them is not there.
    let installation = installation(dns, &[free_address(), primary.address], "", "");
    let served = Served::start(&installation);
    await_answer(&served, "ns1.live.example", "192.0.2.53");
    drop(primary);
    await_answer(&served, "ns1.live.example", "SERVFAIL");
    assert!(is_answered(&served, "play.live.example", "SERVFAIL"), "and what is steered in it");
    assert!(is_answered(&served, "other.example", "REFUSED"));
    wait_for("the metrics", || (metric(&served, "thalweg_zone_expired{zone=\"live.example.\"}") == 1.0).then_some(()));
    drop(served);
    let again = Served::start(&installation);
    assert!(is_answered(&again, "ns1.live.example", "SERVFAIL"), "it has expired over the restart, too");
}

#[test]
fn nothing_is_steered_in_a_zone_that_comes_signed() {
    let dns = free_address();
    let key = "mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";
    // Nobody validates it here: that there is a signature is enough.
    let signature = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";
    let times = "20991231000000 20260101000000";
    let apex = format!("@ DNSKEY 257 3 13 {key}\n@ RRSIG DNSKEY 13 2 60 {times} 2371 live.example. {signature}\n");
    let signed = zone(1, &apex);
    let primary = Primary::start(Software::Knot, &signed, dns, false);
    let served = Served::start(&installation(dns, &[primary.address], "", ""));
    wait_for("the alarm", || served.metrics().contains("thalweg_alarm{alarm=\"zone_refused\"} 1.0").then_some(()));
    assert!(is_answered(&served, "ns1.live.example", "SERVFAIL"));
}

#[test]
fn only_primaries_may_say_that_a_zone_has_changed() {
    let dns = free_address();
    let primary = Primary::start(Software::Knot, &zone(1, ""), dns, false);
    let installation = installation(dns, &[primary.address], "", "[zone.\"own.example\"]\nfile = \"own\"\n");
    installation.write("own", "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n");
    let served = Served::start(&installation);
    await_answer(&served, "ns1.live.example", "192.0.2.53");
    let notify = |from: [u8; 4], zone: &str| {
        let query = Query { flags: 0x2400, ..Query::new(zone, RecordType::SOA) };
        Client::of(from.into(), served.dns()).ask(&query).lines
    };
    for (from, zone, expected) in [
        ([127, 0, 0, 1], "live.example", "NOERROR"),
        ([127, 0, 0, 2], "live.example", "REFUSED"),
        ([127, 0, 0, 1], "own.example", "REFUSED"),
        ([127, 0, 0, 1], "sub.live.example", "NOTAUTH"),
        ([127, 0, 0, 1], "elsewhere.example", "NOTAUTH"),
    ] {
        let lines = notify(from, zone);
        assert!(lines.iter().any(|line| line.contains(expected)), "{from:?} {zone}: {lines:?}");
    }
}

#[test]
fn a_file_beside_primaries_is_told() {
    let address = free_address();
    let installation = installation(address, &[address], "", "");
    installation.write("zones/live.example.zone", &zone(1, ""));
    let told: Vec<String> =
        load(&installation.config(), &[], None).diagnostics.iter().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].contains("comes from its primaries, but there is a file of it too"), "{told:?}");
}

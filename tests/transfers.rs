//! Zones that go out to other nameservers: NSD, Knot DNS and BIND as secondaries, dig and kdig as whoever asks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use secondary::{ALL, Secondary};
use support::child::Child;
use support::daemon::{SERVER, Served};
use support::exchange::framed;
use support::installation::{Installation, Load, inputs, snapshot};
use support::query::Query;
use thalweg::answer::{Context, TlsVersion, Transport, read, transfer};
use thalweg::name::LookupName;
use thalweg::steer::Estimate;
use thalweg::wire::RecordType;

mod support;

#[path = "transfers/secondary.rs"]
mod secondary;

const KEY: &str = "transfer.live.example";
const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const APEX: &str = "live.example";
const FILE: &str = "zones/live.example.zone";
/// Names of the zone that is large.
const MANY: u32 = 100_000;

/// A zone of this serial with so many names, and what else.
fn zone(serial: u32, names: u32, more: &str) -> String {
    let mut text = format!(
        "$ORIGIN live.example.\n$TTL 300\n@ SOA ns1 hostmaster {serial} 1h 15m 2w 60\n@ NS ns1\n@ NS ns2.elsewhere.example.\n\
         ns1 A 192.0.2.53\n@ MX 10 mail\nmail A 192.0.2.25\nmail AAAA 2001:db8::25\n@ TXT \"v=spf1 -all\"\n\
         *.wild CNAME mail\nalias.Deep.Er CNAME Mail.LIVE.example.\nplay A 192.0.2.99\n{more}\n"
    );
    for name in 0..names {
        text.push_str(&format!("n{name} A 198.51.{}.{}\n", name >> 8 & 255, name & 255));
    }
    text
}

fn config(transfer: &str) -> String {
    format!("{SERVER}[key.\"{KEY}\"]\nsecret = \"{SECRET}\"\n[zone.\"{APEX}\"]\n{transfer}\n")
}

/// A daemon with this zone, which may be had by these.
fn installed(transfer: &str, zone: &str) -> Installation {
    Installation::new([("thalweg.toml", config(transfer).as_str()), (FILE, zone)])
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed (tests/run installs it): {error}"));
    // kdig says there what is wrong.
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn dig(server: SocketAddr, arguments: &[&str]) -> String {
    let port = server.port().to_string();
    run("dig", &[&["@127.0.0.1", "-p", &port, "+tries=1", "+time=30"], arguments].concat())
}

fn kdig(server: SocketAddr, arguments: &[&str]) -> String {
    let port = server.port().to_string();
    run("kdig", &[&["@127.0.0.1", "-p", &port, "+retry=0", "+time=30"], arguments].concat())
}

/// Records that a program printed: owner, TTL, class, type and data, blanks put together, in lower case.
fn records(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with(';') && !line.trim().is_empty());
    let plain = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase());
    plain.filter(|line| line.contains(" in ")).collect()
}

/// The records of a zone file, as `named-compilezone` reads them.
fn compiled(zone: &str) -> BTreeSet<String> {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("zone"), directory.path().join("plain"));
    std::fs::write(&from, zone).unwrap();
    let lenient = ["-i", "none", "-k", "ignore", "-n", "ignore", "-s", "full"];
    let paths = ["-o", to.to_str().unwrap(), APEX, from.to_str().unwrap()];
    run("named-compilezone", &[&lenient[..], &paths].concat());
    records(&std::fs::read_to_string(to).unwrap()).into_iter().collect()
}

const BY_KEY: &str = "transfer = { allow = [\"key:transfer.live.example\"] }";
const BY_ADDRESS: &str = "transfer = { allow = [\"127.0.0.0/8\"] }";

#[test]
fn nsd_knot_and_bind_get_a_large_zone_and_hear_of_its_changes() {
    let mut secondaries = ALL.map(Secondary::new);
    let told = secondaries.each_ref().map(|each| format!("\"{} key:{KEY}\"", each.address)).join(", ");
    let installation = installed(&format!("{BY_KEY}\nnotify = [{told}]"), &zone(1, MANY, "gone A 192.0.2.1"));
    let served = Served::start(&installation);
    for secondary in &mut secondaries {
        secondary.start(APEX, served.dns());
        let took = secondary.await_serial(APEX, 1);
        eprintln!("{:?} had {MANY} names {took:?} after its start", secondary.software);
    }
    for (serial, more) in [(2, "come A 192.0.2.2"), (3, "come A 192.0.2.3\ncome A 192.0.2.4\nlate AAAA 2001:db8::9")] {
        let text = zone(serial, MANY, more);
        installation.replace(FILE, &text);
        let begun = Instant::now();
        for secondary in &mut secondaries {
            secondary.await_serial(APEX, serial);
            eprintln!("{:?} had serial {serial} {:?} after the edit", secondary.software, begun.elapsed());
        }
        let expected = compiled(&text);
        for secondary in &secondaries {
            let found: BTreeSet<String> =
                records(&kdig(secondary.address, &["-t", "AXFR", APEX])).into_iter().collect();
            let differ: Vec<_> = expected.symmetric_difference(&found).take(5).collect();
            assert!(differ.is_empty(), "{:?}: {differ:?}\n{}", secondary.software, secondary.log());
        }
    }
    let metrics = served.metrics();
    let value = |outcome: &str| {
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&format!("thalweg_transfers_total{{outcome=\"{outcome}\"}} ")));
        line.unwrap_or_else(|| panic!("{outcome} in {metrics}")).parse::<u32>().unwrap()
    };
    assert_eq!(value("axfr") + value("ixfr_whole"), 3, "the zone is sent whole once to each");
    assert_eq!(value("ixfr"), 6, "and then what changed");
    assert!(metrics.contains("thalweg_notifies_total{outcome=\"answered\"}"), "{metrics}");
}

#[test]
fn dig_and_kdig_get_what_the_file_says() {
    let text = zone(7, 2_000, "");
    let served = Served::start(&installed(BY_ADDRESS, &text));
    let expected = compiled(&text);
    for (program, printed) in [
        ("dig", dig(served.dns(), &["AXFR", APEX])),
        ("kdig", kdig(served.dns(), &["-t", "AXFR", APEX])),
        ("dig", dig(served.dns(), &["+tcp", "IXFR=6", APEX])),
    ] {
        let found = records(&printed);
        assert!(found.first() == found.last() && found[0].contains(" soa "), "{program}: SOA first and last");
        assert_eq!(found.len(), expected.len() + 1, "{program}: no record twice");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{program}");
    }
}

#[test]
fn ixfr_sends_what_changed_in_one_step_and_nothing_if_nothing_did() {
    let installation = installed(BY_ADDRESS, &zone(1, 50, "a A 192.0.2.1"));
    let served = Served::start_unwatched(&installation);
    for (serial, more) in [(2, "a A 192.0.2.2\nb A 192.0.2.3"), (3, "b A 192.0.2.3\nc A 192.0.2.4")] {
        installation.replace(FILE, &zone(serial, 50, more));
        served.reload().unwrap();
    }
    let soa = |serial: u32| {
        format!("live.example. 300 in soa ns1.live.example. hostmaster.live.example. {serial} 3600 900 1209600 60")
    };
    let one = |name: &str, address: &str| format!("{name}.live.example. 300 in a {address}");
    let ixfr = |from: u32| records(&dig(served.dns(), &["+tcp", &format!("IXFR={from}"), APEX]));
    let expected = [soa(3), soa(2), one("a", "192.0.2.2"), soa(3), one("c", "192.0.2.4"), soa(3)];
    assert_eq!(ixfr(2), expected);
    // What came and went meanwhile is left out.
    let (b, c) = (one("b", "192.0.2.3"), one("c", "192.0.2.4"));
    assert_eq!(ixfr(1), [soa(3), soa(1), one("a", "192.0.2.1"), soa(3), b, c, soa(3)]);
    assert_eq!(ixfr(3), [soa(3)]);
    assert_eq!(ixfr(4), [soa(3)], "who has a newer version");
    assert!(ixfr(0).len() > 50, "a version that nobody knows");
    assert_eq!(records(&dig(served.dns(), &["+notcp", "IXFR=2", APEX])), [soa(3)], "over UDP");
    // Other records by the same serial: no difference from it is right for everybody.
    installation.replace(FILE, &zone(3, 50, "d A 192.0.2.9"));
    served.reload().unwrap();
    installation.replace(FILE, &zone(4, 50, "e A 192.0.2.9"));
    served.reload().unwrap();
    assert!(ixfr(3).len() > 50 && ixfr(2).len() > 50);
}

#[test]
fn what_changed_is_known_after_a_restart() {
    let installation = installed(BY_ADDRESS, &zone(1, 50, "a A 192.0.2.1"));
    let config = std::fs::read_to_string(installation.config()).unwrap();
    installation.write("thalweg.toml", &config.replace("workers = 2", "workers = 2\nstate = \"state\""));
    let served = Served::start_unwatched(&installation);
    installation.replace(FILE, &zone(2, 50, "a A 192.0.2.2"));
    served.reload().unwrap();
    let ixfr = |served: &Served, from: u32| records(&dig(served.dns(), &["+tcp", &format!("IXFR={from}"), APEX]));
    let before = ixfr(&served, 1);
    assert_eq!(before.len(), 6);
    drop(served);
    let served = Served::start_unwatched(&installation);
    assert_eq!(ixfr(&served, 1), before);
    installation.replace(FILE, &zone(3, 50, "a A 192.0.2.3"));
    served.reload().unwrap();
    assert_eq!(ixfr(&served, 1).len(), 6);
    drop(served);
    // An edit while nobody served the zone: what it changed is not known.
    installation.replace(FILE, &zone(4, 50, "a A 192.0.2.4"));
    assert!(ixfr(&Served::start_unwatched(&installation), 1).len() > 50);
}

#[test]
fn transfers_are_for_whom_they_are_allowed() {
    let text = zone(7, 10, "");
    let signed = format!("hmac-sha256:{KEY}:{SECRET}");
    for (transfer, plain, with_key) in [
        ("file = \"zones/live.example.zone\"", false, false),
        ("transfer = { allow = [] }", false, false),
        (BY_ADDRESS, true, true),
        (BY_KEY, false, true),
        ("transfer = { allow = [\"127.0.0.1 key:transfer.live.example\"] }", false, true),
        ("transfer = { allow = [\"192.0.2.0/24 key:transfer.live.example\"] }", false, false),
        ("transfer = { allow = [\"192.0.2.1\", \"127.0.0.1\"] }", true, true),
    ] {
        let served = Served::start(&installed(transfer, &text));
        for (arguments, is_allowed) in [(&[][..], plain), (&["-y", &signed][..], with_key)] {
            let printed = kdig(served.dns(), &[&["-t", "AXFR", APEX], arguments].concat());
            assert_eq!(records(&printed).len() > 10, is_allowed, "{transfer} {arguments:?}:\n{printed}");
            assert!(is_allowed || printed.contains("REFUSED"), "{printed}");
        }
        let udp = dig(served.dns(), &["+notcp", "+ignore", "AXFR", APEX]);
        assert!(plain || !udp.contains("192.0.2.25"), "{udp}");
    }
}

#[test]
fn kdig_hears_what_is_wrong_with_its_signature() {
    let served = Served::start(&installed(BY_KEY, &zone(7, 10, "")));
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (key, told) in [
        (format!("hmac-sha256:{KEY}:{SECRET}"), "NOERROR"),
        (format!("hmac-sha256:{KEY}:{other}"), "BADSIG"),
        (format!("hmac-sha512:{KEY}:{SECRET}"), "BADKEY"),
        (format!("hmac-sha256:strange:{SECRET}"), "BADKEY"),
    ] {
        for transport in ["+notcp", "+tcp"] {
            let printed = kdig(served.dns(), &[transport, "-t", "SOA", APEX, "-y", &key]);
            let tsig = printed.lines().find(|line| line.contains("\tTSIG\t")).unwrap_or_else(|| panic!("{printed}"));
            assert!(tsig.contains(told), "{told} is missing in {printed}");
        }
        let printed = kdig(served.dns(), &["-t", "AXFR", APEX, "-y", &key]);
        assert_eq!(records(&printed).len() > 10, told == "NOERROR", "{printed}");
    }
    // dig checks the signature of what it gets.
    let signed = format!("hmac-sha256:{KEY}:{SECRET}");
    let printed = dig(served.dns(), &["-y", &signed, "AXFR", APEX]);
    assert!(records(&printed).len() > 10 && !printed.contains("verify"), "{printed}");
}

#[test]
fn a_secondary_that_does_not_read_holds_neither_memory_nor_others() {
    let installation = installed(BY_ADDRESS, &zone(1, MANY, ""));
    let server = Child::start(&installation.config(), 1_024);
    let before = server.memory();
    let query = framed(&Query::new(APEX, RecordType::AXFR).message());
    let mut slow: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(server.dns).unwrap();
            stream.write_all(&query).unwrap();
            // It has begun.
            stream.read_exact(&mut [0; 1]).unwrap();
            stream
        })
        .collect();
    // One octet now and then, and somebody else is served meanwhile.
    for _ in 0..3 {
        assert!(records(&dig(server.dns, &["+tcp", "n1.live.example"])).len() == 1);
        assert!(records(&dig(server.dns, &["AXFR", APEX])).len() > MANY as usize);
        slow.iter_mut().for_each(|stream| stream.read_exact(&mut [0; 1]).unwrap());
    }
    let more = server.memory().saturating_sub(before);
    // The zone is 3 MB on the wire; a transfer has a message of it.
    assert!(more < 20 * 200_000 + 2_000_000, "20 slow transfers take {more} octets");
}

#[test]
fn more_transfers_than_there_may_be_at_a_time_are_refused_and_later_ones_are_not() {
    let installation = installed(BY_ADDRESS, &zone(1, MANY, ""));
    let served = Served::start(&installation);
    let query = framed(&Query::new(APEX, RecordType::AXFR).message());
    let begin = || {
        let mut stream = TcpStream::connect(served.dns()).unwrap();
        stream.write_all(&query).unwrap();
        let mut head = [0; 6];
        stream.read_exact(&mut head).unwrap();
        (stream, head[5] & 0x0f)
    };
    let mut held: Vec<_> = (0..32).map(|_| begin()).collect();
    assert!(held.iter().all(|(_, rcode)| *rcode == 0));
    assert_eq!(begin().1, 5);
    drop(held.pop());
    let end = Instant::now() + Duration::from_secs(30);
    while begin().1 != 0 {
        assert!(Instant::now() < end, "its place is not free again");
    }
}

#[test]
fn who_does_not_answer_a_notify_is_told_again() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let to = silent.local_addr().unwrap();
    let _served = Served::start(&installed(&format!("notify = [\"{to}\"]"), &zone(7, 1, "")));
    let (mut first, mut again) = ([0; 512], [0; 512]);
    let (length, _) = silent.recv_from(&mut first).unwrap();
    assert_eq!(first[2..12], [0x24, 0, 0, 1, 0, 1, 0, 0, 0, 0], "NOTIFY, authoritative, with the SOA as a hint");
    let (length_again, from) = silent.recv_from(&mut again).unwrap();
    assert_eq!(first[2..length], again[2..length_again]);
    again[2] |= 0x80;
    silent.send_to(&again[..length_again], from).unwrap();
}

#[test]
fn zones_go_out_over_tls() {
    let text = zone(7, 500, "");
    let installation = installed(BY_ADDRESS, &text);
    let made = rcgen::generate_simple_self_signed(["ns1.live.example".to_owned()]).unwrap();
    installation.write("cert.pem", &made.cert.pem());
    installation.write("key.pem", &made.signing_key.serialize_pem());
    let tls = "workers = 2\ntls = { listen = [\"127.0.0.1:0\"], certificate = \"cert.pem\", key = \"key.pem\" }";
    let config = std::fs::read_to_string(installation.config()).unwrap();
    installation.write("thalweg.toml", &config.replace("workers = 2", tls));
    let served = Served::start(&installation);
    let found = records(&kdig(served.tls(), &["+tls", "-t", "AXFR", APEX]));
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), compiled(&text));
}

#[test]
fn zones_go_out_over_streams_alone_and_over_tls_1_3_alone() {
    let installation = installed(BY_ADDRESS, &zone(7, 10, ""));
    let snapshot = snapshot(&inputs(&installation.config()).unwrap(), |_| Load::Silent);
    let message = Query::new(APEX, RecordType::AXFR).message();
    for (transport, expected) in [
        (Transport::Tcp, "sent"),
        (Transport::Tls(TlsVersion::V1_3), "sent"),
        (Transport::Tls(TlsVersion::V1_2), "over TLS it takes TLS 1.3 (RFC 9103)"),
        (Transport::Udp, "answered as any query"),
        (Transport::Quic, "answered as any query"),
    ] {
        let client = "127.0.0.1:5300".parse().unwrap();
        let context = Context { client, local: None, transport, now: 0, idle: None, estimate: Estimate::default() };
        let mut name = LookupName::new();
        let found = match transfer(&snapshot, &read(&message, &mut name).unwrap(), &context) {
            Some(Ok(_)) => "sent".to_owned(),
            Some(Err(denial)) => denial.to_string(),
            None => "answered as any query".to_owned(),
        };
        assert_eq!(found, expected, "{transport:?}");
    }
}

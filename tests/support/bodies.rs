//! What the fuzz targets do with their bytes; `tests/properties.rs` does the same with the corpus.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tempfile::TempDir;
use thalweg::answer::{Context, Outcome, Reasons, Transport, answer, read};
use thalweg::config::{self, embedded_presets};
use thalweg::diagnostic::{Diagnostic, Source, has_errors};
use thalweg::feed::secondary::{self as transfer, Asked, Copy, Transfer};
use thalweg::feed::{Feed, Options};
use thalweg::geo::{Countries, Database, Geo, Position, read_networks, read_rtt};
use thalweg::load;
use thalweg::load::history::{History, Reading};
use thalweg::name::{LookupName, Name};
use thalweg::pool::{Bitrate, Capacity, Limits, ServiceId};
use thalweg::snapshot::Snapshot;
use thalweg::steer::Estimate;
use thalweg::wire::{MAX_STREAM, RecordType, udp_limit};
use thalweg::zone::{self, Found, Inclusion, Steered, Zone};

use super::reply::Reply;

/// A message of any octets: it is dropped, or gets a reply that is within its limit and that hickory-proto reads.
pub(crate) fn query(message: &[u8]) {
    static SNAPSHOT: OnceLock<Arc<Snapshot>> = OnceLock::new();
    let snapshot = SNAPSHOT.get_or_init(shipped);
    let mut name = LookupName::new();
    let Some(query) = read(message, &mut name) else {
        assert!(message.len() < 12 || message[2] & 0x80 != 0, "a query was dropped");
        return;
    };
    let client = SocketAddr::from(([84, 128, 0, 1], 5300));
    for (transport, limit) in [(Transport::Udp, udp_limit(&query)), (Transport::Tcp, MAX_STREAM)] {
        let context = Context {
            client,
            local: None,
            transport,
            now: 1_800_000_000_000,
            idle: None,
            estimate: Estimate::default(),
        };
        let (mut plain, mut explained) = (vec![0; MAX_STREAM], vec![0; MAX_STREAM]);
        let (outcome, observation) = answer(snapshot, &query, &context, None, &mut plain, None);
        let with_reasons = answer(snapshot, &query, &context, None, &mut explained, Some(&mut Reasons::default()));
        assert_eq!((outcome, observation, &plain), (with_reasons.0, with_reasons.1, &explained));
        let Outcome::Reply { length, .. } = outcome else { panic!("a query got no reply") };
        assert!(length <= limit, "{length} octets where {limit} are allowed");
        let reply = Reply::read(&plain[..length]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(reply.id.to_be_bytes(), query.id());
        assert_eq!(plain[2] & 0x80, 0x80, "the reply is no response");
    }
}

/// What `thalweg run` makes of the shipped example, and of a zone with all that is odd.
fn shipped() -> Arc<Snapshot> {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("thalweg.toml");
    let zones = directory.path().join("zones");
    fs::create_dir(&zones).expect("a new directory");
    fs::write(&file, include_str!("../../thalweg.toml")).expect("a new file");
    fs::write(zones.join("live.example.zone"), include_str!("../../zones/live.example.zone")).expect("a new file");
    fs::write(zones.join("odd.example.zone"), include_str!("odd.example.zone")).expect("a new file");
    let feed = Feed::new(Options { file, environment: Vec::new(), is_watching: true, is_strict: true })
        .expect("the example has no errors");
    feed.published().snapshot()
}

/// Messages of a primary, each behind its length: what they come to is a zone that is written and read again, or is refused.
pub(crate) fn transfer(octets: &[u8]) {
    let zone = Name::parse("live.example.", None).expect("a name");
    for asked in [Asked::Whole, Asked::Since(1)] {
        let mut transfer = Transfer::new(&zone, 0, asked);
        let mut rest = octets;
        while let Some((length, after)) = rest.split_first_chunk() {
            let (message, after) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
            rest = after;
            if transfer.take(message) != Ok(false) {
                break;
            }
        }
        let copy = match transfer.outcome() {
            Some(transfer::Outcome::Whole(items)) => Copy::of_whole(&zone, items, "primary", 0),
            Some(transfer::Outcome::Differences(differences)) => {
                let text = "; copy of live.example. primary 0\nlive.example. 60 SOA . . 1 1 1 1 1\nlive.example. 60 NS ns.example.\n";
                let held = Copy::of_text(text.to_owned()).expect("a zone");
                held.with(differences, "primary", 0).unwrap_or(Err(Vec::new()))
            }
            Some(transfer::Outcome::Current) | None => continue,
        };
        if let Ok(copy) = copy {
            let again = Copy::of_text(copy.source.text.to_string()).expect("what was written is read");
            assert_eq!((again.soa, &again.soa_rdata), (copy.soa, &copy.soa_rdata));
        }
    }
}

/// A zone file of any text: it is refused with a reason, or all its owners are found.
pub(crate) fn zone(octets: &[u8]) {
    let text = zone::text_of(octets.to_vec());
    let origin = Name::parse("live.example.", None).expect("a name");
    // Each file says what is written as its name.
    let mut open = |inclusion: &Inclusion<'_>| Ok(Source::new("included", zone::text_of(inclusion.path.to_vec())));
    let (records, mut diagnostics) = zone::read(&Source::new("fuzz.zone", text), &origin, &mut open);
    let steered = ["play.live.example.", "*.room.live.example."].map(|owner| Steered {
        owner: Name::parse(owner, None).expect("a name"),
        service: ServiceId(0),
        has_v4: true,
        has_v6: false,
    });
    let (built, findings) = Zone::build(&records, &steered);
    diagnostics.extend(findings);
    assert_eq!(built.is_none(), has_errors(&diagnostics), "{diagnostics:?}");
    assert_drawn(&diagnostics);
    let Some(zone) = built else { return };
    for record in records.iter() {
        let owner = LookupName::from_wire(record.owner);
        for qtype in [record.rtype, RecordType::ANY, RecordType::DS] {
            let found = zone.lookup(&owner, qtype).found;
            assert!(found != Found::NxDomain, "{qtype} of a name that the file has");
        }
    }
}

/// A configuration, and behind a line `---` an environment of lines NAME=VALUE: it is refused with a reason, or run.
pub(crate) fn config(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let (text, environment) = text.split_once("\n---\n").unwrap_or((text, ""));
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    let environment: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (read, diagnostics) = config::read(&Source::new("fuzz.toml", text), &environment);
    assert_eq!(read.is_none(), has_errors(&diagnostics), "{diagnostics:?}");
    assert_drawn(&diagnostics);
}

/// A table of networks, and behind a line `---` one of round-trip times: each is refused with a reason, or used.
pub(crate) fn tables(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let (networks, rtts) = text.split_once("\n---\n").unwrap_or((text, ""));
    let countries = Countries::embedded();
    let places = [("fra".to_owned(), None), ("nyc".to_owned(), Some(Position { latitude: 40.7, longitude: -74.0 }))];
    let (networks, diagnostics) = read_networks(&Source::new("networks.csv", networks), countries, &[], &places);
    assert_drawn(&diagnostics);
    let (geo, diagnostics) = Geo::compile(&[], countries, &[], &networks, None);
    assert_drawn(&diagnostics);
    assert_placed(&geo);
    let (rtts, diagnostics) = read_rtt(&Source::new("rtt.csv", rtts), countries, &[], &places);
    assert_drawn(&diagnostics);
    assert!(rtts.iter().all(|rtt| rtt.milliseconds.is_finite() && rtt.milliseconds >= 0.0), "{rtts:?}");
}

/// A database of countries, cities or networks: it is refused with a reason, or places everybody somewhere.
pub(crate) fn database(octets: &[u8]) {
    match Database::open("fuzz.mmdb", octets) {
        Ok(database) => {
            let (geo, diagnostics) = Geo::compile(&[database], Countries::embedded(), &[], &[], None);
            assert_drawn(&diagnostics);
            assert_placed(&geo);
        }
        Err(diagnostic) => assert_drawn(&[diagnostic]),
    }
}

fn assert_placed(geo: &Geo) {
    for address in ["0.0.0.0", "84.128.0.1", "255.255.255.255", "::", "2001:db8::1", "ffff::ffff"] {
        let address: IpAddr = address.parse().expect("an address");
        let located = geo.locate(address);
        assert!(located.prefix <= if address.is_ipv4() { 32 } else { 128 });
        assert!(!geo.region(located.region).name.is_empty());
    }
}

fn assert_drawn(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        assert!(!diagnostic.to_string().is_empty());
    }
    if let Some(first) = diagnostics.first() {
        assert!(!first.render(false).is_empty());
    }
}

/// Two answers of an exporter, parted by a line `---`: no counters, or a pressure that is a number.
pub(crate) fn exposition(octets: &[u8]) {
    let parting = b"\n---\n";
    let at = octets.windows(parting.len()).position(|window| window == parting);
    let (first, second) = at.map_or((octets, octets), |at| (&octets[..=at], &octets[at + parting.len()..]));
    let capacity = Capacity { egress: Some(Bitrate(1e9)), clients: Some(1000.0), process_cpu: None };
    let mut readings = Vec::new();
    for preset in embedded_presets().values() {
        let mut history = History::new(Arc::clone(preset), capacity, Limits::default(), Duration::from_secs(5));
        for (body, now) in [(first, 100.0), (second, 105.0)] {
            let Ok(counters) = load::read(preset, body) else { continue };
            // Why there is no load is part of the reading.
            let _trouble = history.observe(now, counters);
        }
        readings.push(history.load(105.0));
    }
    readings.push(load::merge(readings.clone()));
    for load in readings.iter().filter_map(Reading::last) {
        assert!(load.pressure.is_finite() && load.pressure >= 0.0, "{load:?}");
        assert!((0.0..=1.0).contains(&load.gate), "{load:?}");
        assert!(load.egress.is_none_or(|egress| egress.0.is_finite() && egress.0 >= 0.0), "{load:?}");
    }
}

//! A name of a zone takes as many octets as are recorded in `octets.txt`; `UPDATE_COSTS=1` records anew, and `UPDATE=1`
//! does not, for who rewrites what is expected of behaviour does not look at costs.

use std::fmt::Write;
use std::fs;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use thalweg::diagnostic::Source;
use thalweg::name::Name;
use thalweg::zone::{Zone, read};

use super::{ALONE, IN_USE};

/// Names of a zone.
const NAMES: u32 = 100_000;
/// By how much a name may take more or less than what is recorded.
const BOUND: f64 = 0.05;
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/costs/octets.txt");

#[test]
fn a_name_takes_the_recorded_octets() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let found = [
        (
            "flat",
            octets("stream.example.", |text, host| {
                writeln!(text, "h{host:06} A 192.0.2.1\nh{host:06} AAAA 2001:db8::1")
            }),
        ),
        (
            "reverse",
            octets("0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.", |text, host| {
                // Hosts here and there in a network of 64 bits, as clients choose them: each has empty non-terminals of its own.
                let bits = u64::from(host).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let nibbles: Vec<String> = (0..16).map(|nibble| format!("{:x}", bits >> (4 * nibble) & 15)).collect();
                writeln!(text, "{}.0.0.0.0 PTR h{host:06}", nibbles.join("."))
            }),
        ),
    ];
    if std::env::var_os("UPDATE_COSTS").is_some() {
        let text: String = found.iter().map(|(zone, octets)| format!("{zone} {octets:.1}\n")).collect();
        fs::write(RECORDED, text).unwrap();
    }
    let recorded = fs::read_to_string(RECORDED).unwrap();
    for ((zone, octets), recorded) in found.iter().zip(recorded.lines()) {
        let expected: f64 = recorded.strip_prefix(zone).unwrap().trim().parse().unwrap();
        assert!(
            (octets / expected - 1.0).abs() <= BOUND,
            "{octets:.1} octets a name of a {zone} zone, {expected} are recorded: if that is on purpose, or better, record it by \
             `UPDATE_COSTS=1 benches/guard`"
        );
    }
    assert_eq!(recorded.lines().count(), found.len());
}

/// Octets a name of a zone of such names.
fn octets(apex: &str, name: impl Fn(&mut String, u32) -> std::fmt::Result) -> f64 {
    let mut text = "$TTL 300\n@ SOA ns1 host 1 1h 15m 2w 60\n@ NS ns1.stream.example.\nns1 A 192.0.2.53\n".to_owned();
    (0..NAMES).try_for_each(|number| name(&mut text, number)).unwrap();
    let before = IN_USE.load(Ordering::Relaxed);
    let zone = zone(apex, &text);
    let octets = (IN_USE.load(Ordering::Relaxed) - before) as f64;
    assert!(zone.node_count() > NAMES as usize);
    octets / f64::from(NAMES)
}

/// Only the zone is left in memory, not what it was made of.
fn zone(apex: &str, text: &str) -> Zone {
    let apex = Name::parse(apex, None).unwrap();
    let (records, problems) = read(&Source::new("a.zone", text), &apex, &mut |_| panic!("no file is included"));
    assert!(problems.is_empty(), "{problems:?}");
    Zone::build(&records, &[]).0.unwrap()
}

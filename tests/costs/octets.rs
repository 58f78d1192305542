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

const HOSTS: usize = 100_000;
/// By how much a name may take more or less than what is recorded.
const BOUND: f64 = 0.05;
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/costs/octets.txt");

#[test]
fn a_name_takes_the_recorded_octets() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = "$TTL 300\n@ SOA ns1 host 1 1h 15m 2w 60\n@ NS ns1\nns1 A 192.0.2.53\n".to_owned();
    for host in 0..HOSTS {
        writeln!(text, "h{host:06} A 192.0.2.1\nh{host:06} AAAA 2001:db8::1").unwrap();
    }
    let before = IN_USE.load(Ordering::Relaxed);
    let zone = zone(&text);
    let octets = (IN_USE.load(Ordering::Relaxed) - before) as f64 / HOSTS as f64;
    assert_eq!(zone.node_count(), HOSTS + 2);
    if std::env::var_os("UPDATE_COSTS").is_some() {
        fs::write(RECORDED, format!("{octets:.1}\n")).unwrap();
    }
    let recorded: f64 = fs::read_to_string(RECORDED).unwrap().trim().parse().unwrap();
    let change = octets / recorded - 1.0;
    assert!(
        change.abs() <= BOUND,
        "{octets:.1} octets a name, {recorded} are recorded: if that is on purpose, or better, record it by `UPDATE_COSTS=1 benches/guard`"
    );
}

/// Only the zone is left in memory, not what it was made of.
fn zone(text: &str) -> Zone {
    let apex = Name::parse("stream.example.", None).unwrap();
    let (records, problems) =
        read(&Source::new("stream.example.zone", text), &apex, &mut |_| panic!("no file is included"));
    assert!(problems.is_empty(), "{problems:?}");
    Zone::build(&records, &[]).0.unwrap()
}

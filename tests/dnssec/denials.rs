//! Every answer and every denial of many names, in each way in which zones are signed, judged by a resolver that validates.

use std::fmt::Write;

use tempfile::TempDir;

use super::answers::thalweg;
use super::programs::{Asker, new_key, sign, unbound};
use super::support::daemon::{SERVER, Served};
use super::support::installation::Installation;

/// Names that are asked for, each of another kind than the one before it.
const NAMES: usize = 1_500;

/// A zone of 300 owners in which every way of not being there has a place.
fn zone() -> String {
    let mut text = "$TTL 300\n@ SOA ns1 host 1 1h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\n".to_owned();
    for index in 0..60 {
        writeln!(
            text,
            "host{index} A 192.0.2.{index}\ndeep.empty{index} TXT t\n*.wild{index} A 192.0.2.{index}\n\
             sub{index} NS ns.sub{index}\nns.sub{index} A 192.0.2.9\nother{index} DNAME empty{index}"
        )
        .unwrap();
    }
    format!("$ORIGIN live.example.\n{text}")
}

/// The question with a number, and what a resolver says of it.
fn question(index: usize) -> (String, &'static str, &'static str) {
    let of = index % 60;
    let (name, qtype, expected) = match index / 60 % 12 {
        0 => (format!("host{of}"), "A", "NOERROR"),
        1 => (format!("host{of}"), "TXT", "NOERROR"),
        2 => (format!("no{index}"), "A", "NXDOMAIN"),
        3 => (format!("no.host{of}"), "A", "NXDOMAIN"),
        4 => (format!("empty{of}"), "A", "NOERROR"),
        5 => (format!("no{index}.empty{of}"), "A", "NXDOMAIN"),
        6 => (format!("any{index}.wild{of}"), "A", "NOERROR"),
        7 => (format!("a.any{index}.wild{of}"), "MX", "NOERROR"),
        8 => (format!("sub{of}"), "DS", "NOERROR"),
        9 => (format!("deep.other{of}"), "TXT", "NOERROR"),
        10 => (format!("no{index}.other{of}"), "A", "NXDOMAIN"),
        _ => (format!("wild{of}"), "A", "NOERROR"),
    };
    (format!("{name}.live.example."), qtype, expected)
}

/// Asks for all names; `proved` are the response codes with which what was found must be proved.
fn judge(installation: &Installation, anchor: &str, is_compact: bool, is_opt_out: bool) {
    let served = Served::start(installation);
    let resolver = unbound(anchor, &[("live.example.", served.dns())]);
    let asker = Asker::of(&resolver);
    for index in 0..NAMES {
        let (name, qtype, rcode) = question(index);
        let (found, reply) = asker.ask(&name, qtype);
        let told = || format!("{name} {qtype}: {found}: {:#?}\n{}", reply.lines, resolver.log());
        // RFC 9824 §3.1: in the words of DNSSEC the name is there; a resolver may know better.
        let is_denied_compactly = is_compact && rcode == "NXDOMAIN" && found == "NOERROR ad";
        // RFC 5155 §6: where delegations may be left out, a name may be one of them.
        let is_left_out = is_opt_out && found == rcode && !matches!(index / 60 % 12, 0 | 1 | 4 | 11);
        assert!(found == format!("{rcode} ad") || is_denied_compactly || is_left_out, "{}", told());
    }
}

fn signed_in_its_file(arguments: &[&str], is_opt_out: bool) {
    let directory = TempDir::new().unwrap();
    let key = new_key(directory.path(), "live.example.");
    let signed = sign(&zone(), &key, arguments);
    let installation = Installation::new([("thalweg.toml", SERVER), ("zones/live.example.zone", &signed)]);
    let anchor = std::fs::read_to_string(format!("{}.key", key.display())).unwrap();
    let anchor = anchor.lines().find(|line| line.contains("DNSKEY")).unwrap().split(';').next().unwrap();
    judge(&installation, anchor.replace('\t', " ").trim(), false, is_opt_out);
}

#[test]
fn of_a_zone_signed_with_nsec_everything_is_proved() {
    signed_in_its_file(&[], false);
}

#[test]
fn of_a_zone_signed_with_nsec3_everything_is_proved() {
    signed_in_its_file(&["-n", "-t", "0"], false);
}

#[test]
fn of_a_zone_signed_with_nsec3_iterations_and_opt_out_everything_is_proved() {
    signed_in_its_file(&["-n", "-p", "-t", "5", "-s", "abcd"], true);
}

#[test]
fn of_a_zone_signed_here_everything_is_proved() {
    let text = format!("{SERVER}[zone.\"live.example\"]\ndnssec.keys = \"keys\"\n");
    let installation = Installation::new([("thalweg.toml", text.as_str()), ("zones/live.example.zone", &zone())]);
    thalweg(&installation, &["generate", "live.example", "--ksk", "--at-once"]);
    thalweg(&installation, &["generate", "live.example", "--zsk", "--at-once"]);
    let anchor = thalweg(&installation, &["ds", "live.example"]);
    judge(&installation, anchor.trim(), true, false);
}

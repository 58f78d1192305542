//! The second opinion: what hickory-proto and BIND read is what we read.

use std::collections::BTreeSet;
use std::process::Command;

use hickory_proto::op::Message;

use super::super::read;
use super::{build, lines, name, with_head};
use crate::diagnostic::Source;
use crate::zone::store::{NONE, Rrset};

const SHIPPED: &str = include_str!("../../../zones/live.example.zone");

/// A reply with these records and nothing else.
fn message(owner: &[u8], rrset: Rrset<'_>) -> Vec<u8> {
    let [high, low] = rrset.rtype.0.to_be_bytes();
    let [count_high, count_low] = rrset.count.to_be_bytes();
    let header = [0, 1, 0x84, 0, 0, 1, count_high, count_low, 0, 0, 0, 0];
    [&header[..], owner, &[high, low, 0, 1], rrset.bytes].concat()
}

#[test]
fn hickory_reads_every_ready_record_as_it_was_written() {
    let all = with_head(
        "a A 192.0.2.1\n AAAA 2001:db8::1\n MX 10 Mail\n SRV 1 2 3 t.example.\n PTR p.example.\n\
         a HINFO \"a b\" c\n TXT \"x y\" \"\" z\\;\n CAA 128 issue \"ca.example\"\n DS 1 13 9 ( 00ff 01 )\n TYPE65280 \\# 2 abcd\n\
         b CNAME c.Example.\n",
    );
    let zone = build(&all, &[]);
    let mut seen = Vec::new();
    for node in 0..zone.node_count() as u32 {
        for number in zone.rrset_numbers(node) {
            let rrset = zone.rrset_at(number);
            let decoded = Message::from_vec(&message(zone.owner(node), rrset)).expect("a message");
            assert_eq!(decoded.answers.len(), usize::from(rrset.count));
            for record in &decoded.answers {
                assert_eq!(u16::from(record.record_type()), rrset.rtype.0);
                assert_eq!(record.ttl, rrset.ttl);
                seen.push(format!("{} {} {}", record.name, rrset.rtype, record.data));
            }
        }
    }
    let expected = [
        "live.example. NS ns1.live.example.",
        "live.example. SOA ns1.live.example. host.live.example. 7 3600 600 86400 60",
        "a.live.example. A 192.0.2.1",
        "a.live.example. PTR p.example.",
        "a.live.example. HINFO a b c",
        "a.live.example. MX 10 Mail.live.example.",
        "a.live.example. TXT x yz;",
        "a.live.example. AAAA 2001:db8::1",
        "a.live.example. SRV 1 2 3 t.example.",
        // Without its DNSSEC feature hickory shows DS, like all types it does not know, in base64.
        "a.live.example. DS AAENCQD/AQ==",
        "a.live.example. CAA 128 issue \"ca.example\"",
        "a.live.example. TYPE65280 q80=",
        "b.live.example. CNAME c.Example.",
        "ns1.live.example. A 192.0.2.53",
        "ns1.live.example. AAAA 2001:db8::53",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn the_shipped_zone_has_no_findings() {
    let zone = build(SHIPPED, &[]);
    let (records, problems) = read(&Source::new("live.example.zone", SHIPPED), &name("live.example."));
    let (_, findings) = super::Zone::build(&records, &[super::steered("play.live.example.", 0, true, true)]);
    assert_eq!(lines(&[problems, findings].concat()), [""; 0]);
    assert!(zone.nodes.iter().any(|node| node.cut != NONE) && zone.nodes.iter().any(|node| node.wildcard != NONE));
}

/// Owner in lower case, type, TTL, data.
type Plain = (Vec<u8>, u16, u32, Vec<u8>);

/// BIND's own binary form: a file header of 24 octets, then RRsets.
fn from_raw(raw: &[u8]) -> BTreeSet<Plain> {
    fn take<'r>(rest: &mut &'r [u8], octets: usize) -> &'r [u8] {
        let (taken, after) = rest.split_at(octets);
        *rest = after;
        taken
    }
    fn number(octets: &[u8]) -> usize {
        octets.iter().fold(0, |number, &octet| number << 8 | usize::from(octet))
    }
    let mut records = BTreeSet::new();
    let mut rest = &raw[24..];
    while !rest.is_empty() {
        let length = number(take(&mut rest, 4)) - 4;
        let mut rrset = take(&mut rest, length);
        let _class = take(&mut rrset, 2);
        let rtype = number(take(&mut rrset, 2)) as u16;
        let _covers = take(&mut rrset, 2);
        let ttl = number(take(&mut rrset, 4)) as u32;
        let count = number(take(&mut rrset, 4));
        let owner_length = number(take(&mut rrset, 2));
        let owner = take(&mut rrset, owner_length).to_ascii_lowercase();
        for _ in 0..count {
            let rdata_length = number(take(&mut rrset, 2));
            records.insert((owner.clone(), rtype, ttl, take(&mut rrset, rdata_length).to_vec()));
        }
    }
    records
}

#[test]
fn bind_reads_the_same_records_from_the_shipped_zone() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/zones/live.example.zone");
    let output = Command::new("named-compilezone")
        .args(["-q", "-i", "local", "-F", "raw", "-o", "-", "live.example", path])
        .output()
        .expect("named-compilezone of BIND's utilities is needed for this test");
    assert!(output.status.success(), "{output:?}");
    let (records, _) = read(&Source::new("live.example.zone", SHIPPED), &name("live.example."));
    let ours: BTreeSet<Plain> = records
        .iter()
        .map(|record| (record.owner.to_vec(), record.rtype.0, record.ttl, record.rdata.to_vec()))
        .collect();
    assert_eq!(ours.len(), records.len());
    assert_eq!(from_raw(&output.stdout), ours);
}

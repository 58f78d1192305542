//! The second opinion: what hickory-proto reads is what we have read. That of BIND is in `tests/zones.rs`.

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
    for (owner, rrset) in zone.rrsets() {
        let decoded = Message::from_vec(&message(owner, rrset)).expect("a message");
        assert_eq!(decoded.answers.len(), usize::from(rrset.count));
        for record in &decoded.answers {
            assert_eq!(u16::from(record.record_type()), rrset.rtype.0);
            assert_eq!(record.ttl, rrset.ttl);
            seen.push(format!("{} {} {}", record.name, rrset.rtype, record.data));
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
    let (records, problems) =
        read(&Source::new("live.example.zone", SHIPPED), &name("live.example."), &mut super::no_files);
    let (_, findings) = super::Zone::build(&records, &[super::steered("play.live.example.", 0, true, true)]);
    assert_eq!(lines(&[problems, findings].concat()), [""; 0]);
    assert!(zone.nodes().any(|(_, node)| node.cut != NONE) && zone.nodes().any(|(_, node)| node.wildcard != NONE));
}

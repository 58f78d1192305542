//! What single records become, and what is said of broken ones.

use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::super::Zone;
use super::{HEAD, build, lines, name, read_text, with_head};
use crate::name::Printed;
use crate::zone::Record;

/// `owner TTL type rdata-in-hex`, the owner without the zone's name.
fn shown(record: &Record<'_>) -> String {
    let owner = Printed(record.owner).to_string();
    let owner = owner.strip_suffix("live.example.").unwrap_or(&owner).trim_end_matches('.').to_owned();
    let rdata: String = record.rdata.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{} {} {} {rdata}", if owner.is_empty() { "@" } else { &owner }, record.ttl, record.rtype)
}

fn read_lines(text: &str) -> Vec<String> {
    let (records, problems) = read_text(text);
    assert!(problems.is_empty(), "{text:?}: {:?}", lines(&problems));
    records.iter().map(|record| shown(&record)).collect()
}

#[test]
fn owners_ttls_and_classes_may_stand_as_rfc_1035_lets_them() {
    for (text, expected) in [
        ("$TTL 5\na A 192.0.2.1", &["a 5 A c0000201"][..]),
        ("a 1h30m A 192.0.2.1\n A 192.0.2.2", &["a 5400 A c0000201", "a 5400 A c0000202"]),
        ("$TTL 5\na 9 A 192.0.2.1\nb A 192.0.2.2", &["a 9 A c0000201", "b 5 A c0000202"]),
        ("a 5 IN A 192.0.2.1\nb IN 5 A 192.0.2.1", &["a 5 A c0000201", "b 5 A c0000201"]),
        ("a CLASS1 5 A 192.0.2.1\nb in a 192.0.2.1", &["a 5 A c0000201", "b 5 A c0000201"]),
        ("@ 5 A 192.0.2.1\nA.LIVE.example. A 192.0.2.1", &["@ 5 A c0000201", "a 5 A c0000201"]),
        ("$ORIGIN b\na 5 A 192.0.2.1\n$ORIGIN c\na A 192.0.2.1", &["a.b 5 A c0000201", "a.c.b 5 A c0000201"]),
        ("$ttl 1d\r\na A 192.0.2.1\r\n\tA 192.0.2.2\r\n", &["a 86400 A c0000201", "a 86400 A c0000202"]),
        ("a ( 5 IN\n A ) 192.0.2.1 ; text\n", &["a 5 A c0000201"]),
        ("-a_b- 5 A 192.0.2.1\n\\046.\\$x A 192.0.2.1", &["-a_b- 5 A c0000201", "\\..\\$x 5 A c0000201"]),
        ("\n ; nothing\n\n", &[]),
    ] {
        assert_eq!(read_lines(text), expected, "{text:?}");
    }
}

#[test]
fn rdata_becomes_wire_form() {
    for (text, expected) in [
        ("A 192.0.2.1", "c0000201"),
        ("AAAA 2001:db8::1", "20010db8000000000000000000000001"),
        ("NS @", "046c697665076578616d706c6500"),
        ("CNAME A.b.", "01410162 00"),
        ("PTR a", "0161 046c697665076578616d706c6500"),
        ("MB .", "00"),
        ("MG .", "00"),
        ("MR .", "00"),
        ("MINFO . b.", "00 016200"),
        ("MX 10 .", "000a 00"),
        ("HINFO \"a b\" c", "03612062 0163"),
        ("SOA . . 4294967295 1h 2m 3s 4", "00 00 ffffffff 00000e10 00000078 00000003 00000004"),
        ("SRV 1 2 65535 .", "0001 0002 ffff 00"),
        ("TXT a", "0161"),
        ("TXT \"\"", "00"),
        ("TXT a\\;b \\065\\\"", "03613b62 024122"),
        ("TXT \"\\065B;(\"", "0441423b28"),
        ("TXT (\"a\"\n\"b\" ; text\n c)", "0161 0162 0163"),
        ("TXT \"ä\"", "02c3a4"),
        ("SPF \"v=spf1\"", "06763d73706631"),
        ("CAA 128 issue \"ca.example\"", "80 056973737565 63612e6578616d706c65"),
        ("CAA 0 issue \";\"", "00 056973737565 3b"),
        ("DS 1 8 9 00fF (\n 01 02)", "0001 08 09 00ff0102"),
        ("TYPE65280 \\# 4 0a00 00ff", "0a0000ff"),
        ("TYPE65280 \\# 0", ""),
        ("TYPE1 \\# 4 c0000201", "c0000201"),
        ("A \\# 4 c0000201", "c0000201"),
        ("NULL \\# 1 00", "00"),
        ("MX \\# 5 000a016100", "000a 016100"),
    ] {
        let got = read_lines(&format!("x 5 {text}"));
        let expected = expected.replace(' ', "");
        assert!(got[0].ends_with(&format!(" {expected}")), "{text}: {got:?}");
        assert_eq!(got.len(), 1);
    }
}

#[test]
fn what_is_wrong_with_a_record_is_said_with_its_place() {
    let long = "x".repeat(256);
    for (text, expected) in [
        (
            "A 192.0.2.256",
            "z:1:7: error: `192.0.2.256` is not an IPv4 address (write four numbers from 0 to 255: `192.0.2.1`)",
        ),
        ("A 2001:db8::1", "z:1:7: error: `2001:db8::1` is not an IPv4 address (an IPv6 address needs the type AAAA)"),
        ("AAAA 192.0.2.1", "z:1:10: error: `192.0.2.1` is not an IPv6 address (an IPv4 address needs the type A)"),
        ("A", "z:1:5: error: the A record lacks its address (A is written with: address)"),
        ("A 192.0.2.1 192.0.2.2", "z:1:17: error: the A record has surplus data (A is written with: address)"),
        ("MX 65536 m", "z:1:8: error: `65536` is out of range: the preference is 0 to 65535"),
        ("MX m", "z:1:8: error: `m` is not a number: the preference is expected"),
        ("MX 10 \"m\"", "z:1:11: error: a quoted string where the mail exchange is expected (leave the quotes out)"),
        (
            "SRV 1 2 3",
            "z:1:5: error: the SRV record lacks its target (SRV is written with: priority, weight, port, target)",
        ),
        ("CNAME a..b", "z:1:11: error: a label is empty"),
        ("CNAME a\\256", "z:1:11: error: a backslash must be followed by a character or by three digits up to 255"),
        (
            &format!("TXT a {long}"),
            "z:1:11: error: a string of 256 octets, at most 255 are allowed \
             (split it into several quoted strings, in parentheses if they go over several lines)",
        ),
        ("TXT", "z:1:5: error: the TXT record lacks its text (TXT is written with: text)"),
        ("TXT \\999", "z:1:9: error: a backslash must be followed by a character or by three digits up to 255"),
        ("CAA 256 issue x", "z:1:9: error: `256` is out of range: the flags octet is 0 to 255"),
        ("CAA 0 is-sue x", "z:1:11: error: `is-sue` is no tag: letters and digits are allowed, at most 255"),
        ("DS 1 8 2 0g", "z:1:14: error: `0g` is not hexadecimal"),
        ("DS 1 8 2 0 12", "z:1:16: error: an odd number of hexadecimal digits; each octet has two"),
        (
            "SOA a b 1 2x 3 4 5",
            "z:1:15: error: `2x` is not a time: the refresh is expected (write seconds, or units as in `1h30m`)",
        ),
        ("AAA 192.0.2.1", "z:1:5: error: unknown record type `AAA` (did you mean `AAAA`?)"),
        ("CNAM a", "z:1:5: error: unknown record type `CNAM` (did you mean `CNAME`?)"),
        ("ANY a", "z:1:5: error: `ANY` is a type of messages, not of records"),
        (
            "TYPE65280 x",
            "z:1:5: error: the type TYPE65280 has no text form \
             (write it as `TYPE65280 \\# length hexadecimal` (RFC 3597))",
        ),
        ("TYPE1 \\#", "z:1:11: error: the length is missing behind `\\#` (write `\\# length hexadecimal` (RFC 3597))"),
        ("TYPE1 \\# 3 c00002", "z:1:11: error: these octets are no A record"),
        ("TYPE5 \\# 2 c00c", "z:1:11: error: these octets are no CNAME record"),
        ("TYPE9999 \\# 3 c000", "z:1:17: error: the length is given as 3, but there are 2 octets"),
        ("CH A 192.0.2.1", "z:1:5: error: class `CH` is not served (only the class IN is)"),
        ("IN", "z:1:5: error: the record ends before its type"),
        (
            "1h30 A 192.0.2.1",
            "z:1:5: error: `1h30` is neither a TTL nor a class nor a type (a record is written with: owner, TTL, class, type, data)",
        ),
        ("99999999999 A 192.0.2.1", "z:1:5: error: `99999999999` is out of range: a TTL is 0 to 2147483647 seconds"),
    ] {
        let ttl = if text.starts_with(|first: char| first.is_ascii_digit()) { "" } else { "5" };
        // The record begins in column 5.
        let (records, problems) = read_text(&format!("{:4}{text}\n", format!("x {ttl}")));
        assert_eq!(lines(&problems), [expected], "{text}");
        assert_eq!(records.len(), 0);
    }
}

#[test]
fn owners_and_directives_are_checked_too() {
    for (text, expected) in [
        (
            " 5 A 192.0.2.1",
            "z:1:4: error: the record has no owner, and there is none above it (begin the line with an owner name, `@` for the zone itself)",
        ),
        (
            "a A 192.0.2.1",
            "z:1:3: error: the record has no TTL, and no record above it has one (write `$TTL 1h` at the top of the file)",
        ),
        ("a.. 5 A 192.0.2.1", "z:1:1: error: a label is empty"),
        ("a \"5\" A 192.0.2.1", "z:1:3: error: a quoted string where the type is expected (leave the quotes out)"),
        ("a 5 \"A\" 192.0.2.1", "z:1:5: error: a quoted string where the type is expected (leave the quotes out)"),
        (
            "a 2147483648 A 192.0.2.1",
            "z:1:3: warning: the TTL 2147483648 is above 2147483647 seconds (it counts as 0 (RFC 2181); write seconds, or units as in `1h30m`)",
        ),
        (
            "a.example. 5 A 192.0.2.1",
            "z:1:1: error: `a.example.` is outside the zone `live.example.` (put it into the file of its own zone)",
        ),
        (
            "A 192.0.2.1",
            "z:1:3: error: `192.0.2.1` is neither a TTL nor a class nor a type (the first word of a line is its owner; begin with blank space to keep the last owner)",
        ),
        (
            "TXT hello",
            "z:1:5: error: unknown record type `hello` (the first word of a line is its owner; begin with blank space to keep the last owner)",
        ),
        (
            "@ SOA a. b. 1 2 3 4 5",
            "z:1:3: warning: no TTL is given: the minimum of the SOA record, 5 s, is used (write `$TTL 1h` at the top of the file)",
        ),
        ("$TTL", "z:1:1: error: `$TTL` lacks its value"),
        ("$TTL x", "z:1:6: error: `x` is not a TTL (write seconds, or units as in `1h30m`)"),
        ("$TTL 1 2", "z:1:8: error: `$TTL` takes one value"),
        ("$ORIGIN a..", "z:1:9: error: a label is empty"),
        ("$ORIGN a", "z:1:1: error: unknown directive `$ORIGN` (did you mean `$ORIGIN`?)"),
    ] {
        assert_eq!(lines(&read_text(text).1), [expected], "{text}");
    }
}

#[test]
fn all_errors_of_a_file_come_at_once() {
    let text =
        with_head("a A x\n A 192.0.2.1\nb.example. A y\n A 192.0.2.1\nc MX x \"y\" z\nd A ( 192.0.2.1\ne CNAM x\n");
    let (records, problems) = read_text(&text);
    let places: Vec<String> =
        problems.iter().map(|problem| problem.to_string().split(" error").next().unwrap().to_owned()).collect();
    assert_eq!(places, ["z:8:5:", "z:10:1:", "z:10:14:", "z:12:6:", "z:12:8:", "z:12:12:", "z:13:5:", "z:14:3:"]);
    // What is whole is kept, under its own owner.
    assert_eq!(records.iter().filter(|record| record.owner.starts_with(b"\x01a")).count(), 1);
    assert_eq!(records.len(), 5);
    let (zone, findings) = Zone::build(&records, &[]);
    assert!(zone.is_none(), "a zone was made of half a file");
    assert!(findings.is_empty(), "{:?}", lines(&findings));
}

#[test]
fn a_file_that_is_no_zone_file_is_given_up() {
    let (_, problems) = read_text(&"no zone file\n".repeat(100_000));
    assert_eq!(problems.len(), 1_001);
    assert!(problems[1_000].to_string().starts_with("z:1000:1: error: reading stops here, after 1000 problems"));
}

#[test]
fn without_ttl_the_minimum_is_used_for_all() {
    let text = HEAD.trim_start_matches("$TTL 300\n");
    let (records, problems) = read_text(text);
    assert_eq!(problems.len(), 1);
    assert!(records.iter().all(|record| record.ttl == 60));
}

/// Text that is a zone file for long stretches.
fn zone_like() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec![
            "a", "@", "*", "b.c", "live.example.", "\n", "\n", "\n ", " ", "\t", "(", ")", "\"", ";", "\\", "\\065", "\\#",
            "$TTL", "$ORIGIN", "IN", "CH", "1h", "300", "A", "AAAA", "TXT", "MX", "SOA", "NS", "CNAME", "SRV", "CAA", "DS",
            "TYPE1", "TYPE65280", "192.0.2.1", "2001:db8::1", "10", "issue", "0a", "\r\n", "\u{feff}", "ä", "\0",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let separator = prop_oneof![6 => Just(" "), 1 => Just("")];
    let parts = prop::collection::vec((part, separator), 0..60);
    parts.prop_map(|parts| parts.into_iter().flat_map(|(part, separator)| [part, separator.to_owned()]).collect())
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in zone_like()) {
        let text = with_head(&text);
        let (records, problems) = read_text(&text);
        let (zone, findings) = Zone::build(&records, &[super::steered("s.live.example.", 0, true, true)]);
        for problem in problems.iter().chain(&findings) {
            problem.render(false);
        }
        let has_errors = crate::diagnostic::has_errors(&problems) || crate::diagnostic::has_errors(&findings);
        prop_assert_eq!(zone.is_none(), has_errors);
    }

    #[test]
    fn a_damaged_zone_file_is_no_reason_to_panic(at in 0usize..4_000, cut in 0usize..40, text in ".{0,5}") {
        let mut damaged = include_str!("../../../zones/live.example.zone").to_owned();
        let boundary = |damaged: &str, at: usize| (at.min(damaged.len())..=damaged.len()).find(|&at| damaged.is_char_boundary(at)).unwrap();
        let start = boundary(&damaged, at);
        let end = boundary(&damaged, start + cut);
        damaged.replace_range(start..end, &text);
        let (records, problems) = read_text(&damaged);
        let (_, findings) = Zone::build(&records, &[]);
        for problem in problems.iter().chain(&findings) {
            problem.render(false);
        }
    }
}

#[test]
fn records_of_one_owner_may_be_scattered() {
    let zone = build(&with_head("a A 192.0.2.1\nb A 192.0.2.2\nA A 192.0.2.3\n"), &[]);
    let (Some(rrset), None) = zone.addresses(name("a.live.example.").wire()) else {
        panic!("two addresses, none of them of IPv6");
    };
    assert_eq!(rrset.rdata().collect::<Vec<_>>(), [[192, 0, 2, 1], [192, 0, 2, 3]]);
}

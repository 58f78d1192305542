//! The RDATA of all types: text against octets, octets against their types, what is said of broken ones.

use proptest::prelude::{Strategy, any, prop, proptest};

use super::super::layout;
use super::{lines, read_text};
use crate::diagnostic::has_errors;
use crate::name::Printed;
use crate::wire::RecordType;

/// The octets of the one record of this text, in hexadecimal digits.
fn octets(text: &str) -> String {
    let (records, problems) = read_text(&format!("x 5 {text}\n"));
    assert!(!has_errors(&problems), "{text}: {:?}", lines(&problems));
    assert_eq!(records.len(), 1, "{text}");
    records.iter().flat_map(|record| record.rdata.to_vec()).map(|octet| format!("{octet:02x}")).collect()
}

fn rdata(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|digit| *digit != ' ').collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect(hex)).collect()
}

#[test]
fn the_text_form_of_every_type_becomes_its_octets() {
    for (text, expected) in [
        (
            "NAPTR 100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:a@b!\" .",
            "0064 000a 0175 074532552b736970 0e215e2e2a24217369703a61406221 00",
        ),
        ("RP a. .", "016100 00"),
        ("KX 1 a.", "0001 016100"),
        ("LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m", "00 00 16 13 8b3cf018 810cbce0 009895b8"),
        ("LOC 42 N 71 W 1.5 0.15 19.99 90000000m", "00 11 13 99 89032100 70c3da80 00989716"),
        ("CERT PKIX 1 RSASHA256 YW Jj", "0001 0001 08 616263"),
        (
            "APL 1:192.168.32.0/21 !1:192.168.38.0/28 2:2001:db8::/32",
            "0001 15 03 c0a820 0001 1c 83 c0a826 0002 20 04 20010db8",
        ),
        ("SSHFP 4 9 12 34", "0409 1234"),
        ("TLSA 3 1 1 0d6f CE", "030101 0d6fce"),
        ("IPSECKEY 10 1 2 192.0.2.38 YWJj", "0a0102 c0000226 616263"),
        ("IPSECKEY 10 3 0 a.", "0a0300 016100"),
        ("DHCID YQ==", "61"),
        ("HIP 2 2001 YWJj a. b.", "02 02 0003 2001 616263 016100 016200"),
        ("EUI48 00-00-5e-00-53-2a", "00005e00532a"),
        ("NID 10 14:4FFF:ff20:ee64", "000a 00144fffff20ee64"),
        ("L32 10 10.1.2.0", "000a 0a010200"),
        ("URI 10 1 \"ftp://a\"", "000a 0001 6674703a2f2f61"),
        ("AMTRELAY 10 1 2 2001:db8::15", "0a 82 20010db8000000000000000000000015"),
        ("AMTRELAY 0 0 0 .", "00 00"),
        ("WKS 192.0.2.1 tcp smtp 80", "c0000201 06 00000040000000000000 80"),
        ("NSAP 0x47.0005.80", "47000580"),
        ("A6 60 ::1:0:0:0:1 a.", "3c 010000000000000001 016100"),
        (
            "DS 60485 RSASHA1 SHA-1 2BB183AF5F22588179A53B0A 98631FAD1A292118",
            "ec45 05 01 2bb183af5f22588179a53b0a98631fad1a292118",
        ),
        ("CDS 0 0 0 00", "0000 00 00 00"),
        ("CDNSKEY 0 3 0 AA==", "0000 03 00 00"),
        ("DNSKEY ZONE|KSK DNSSEC ED25519 YWJj", "0101 03 0f 616263"),
        ("KEY 0xc000 3 5", "c000 03 05"),
        (
            "RRSIG A 13 2 3600 20300101000000 1577836800 1 @ YWJj",
            "0001 0d 02 00000e10 70dbd880 5e0be100 0001 046c697665076578616d706c6500 616263",
        ),
        ("NSEC a. MX A TYPE1234 A", "016100 0002 4001 041b 000000000000000000000000000000000000000000000000000020"),
        (
            "NSEC3 1 1 12 aabb 2t7b4g4vsa5smi47k61mv5bv1a22bojr NS",
            "01 01 000c 02aabb 14174eb2409fe28bcb4887a1836f957f0a8425e27b 000120",
        ),
        ("NSEC3PARAM 1 0 12 -", "01 00 000c 00"),
        ("CSYNC 66 3 A NS AAAA", "00000042 0003 0004 60000008"),
        ("ZONEMD 1 1 240 FEBEFEBEFEBEFEBEFEBEFEBE", "00000001 01 f0 febefebefebefebefebefebe"),
        ("DSYNC CDS NOTIFY 53 a.", "003b 01 0035 016100"),
        ("SVCB 0 a.", "0000 016100"),
        ("HTTPS 1 a", "0001 0161046c697665076578616d706c6500"),
        (
            "SVCB 16 . key65=b mandatory=port,alpn alpn=\"f\\\\\\\\oo\\\\,bar,h2\" port=53",
            "0010 00 0000 0004 00010003 0001 000c 08665c6f6f2c626172026832 0003 0002 0035 0041 0001 62",
        ),
        (
            "HTTPS 1 . ipv6hint=2001:db8::1 ipv4hint=192.0.2.1,192.0.2.2 ech=YWJj",
            "0001 00 0004 0008 c0000201 c0000202 0005 0003 616263 0006 0010 20010db8000000000000000000000001",
        ),
        (
            "SVCB 1 . dohpath=/q{?dns} ohttp key9=\"a b\"",
            "0001 00 0007 0008 2f717b3f646e737d 0008 0000 0009 0003 612062",
        ),
        ("HTTPS 1 . alpn=h3 no-default-alpn", "0001 00 0001 0003 026833 0002 0000"),
        ("DOA 1 2 3 \"a/b\" -", "00000001 00000002 03 03612f62"),
        ("ISDN 1", "0131"),
    ] {
        assert_eq!(octets(text), expected.replace(' ', ""), "{text}");
    }
}

#[test]
fn octets_that_are_no_record_of_a_known_type_are_refused() {
    for (rtype, good, bad) in [
        ("RP", "0000", "00"),
        ("LOC", "00121613 80000000 80000000 00989680", "00a21613 80000000 80000000 00989680"),
        ("APL", "0001080101", "0001080100"),
        ("DS", "000108 09 00", "000108 02 00"),
        ("SSHFP", "010900", "010100"),
        ("IPSECKEY", "0a0002 61", "0a0402 61"),
        ("AMTRELAY", "0000", "000000"),
        ("HIP", "01020001 20 61", "01020001 20"),
        ("NSEC", "00 000140", "00 000100"),
        ("NSEC", "00 000140 010140", "00 000140 000140"),
        ("NSEC3", "09010001 00 0100", "01010001 00 0100"),
        ("RRSIG", "0001050000000e1070dbd8805e0be1000001 00 61", "0001050000000e1070dbd8805e0be1000001 016100 61"),
        ("SVCB", "0001 00 0003 0002 0035", "0001 00 0003 0001 35"),
        ("SVCB", "0001 00 0003 0002 0035 0041 0000", "0001 00 0041 0000 0003 0002 0035"),
        ("HTTPS", "0001 00 0001 0003 026832 0002 0000", "0001 00 0002 0000"),
        ("HTTPS", "0001 00 0000 0002 0003 0003 0002 0035", "0001 00 0000 0002 0004 0003 0002 0035"),
        ("NAPTR", "0001 0001 00 00 05 2161216221 00", "0001 0001 00 00 04 21612162 00"),
        ("URI", "0001 0001 61", "0001 0001"),
        ("EUI64", "0000000000000000", "00000000000000"),
        ("KEY", "c0000301", "00000301"),
        ("ZONEMD", "00000000 01 f0 000000000000000000000000", "00000000 01 f0 0000000000000000000000"),
    ] {
        let form = |hex: &str| format!("{rtype} \\# {} {hex}", rdata(hex).len());
        assert_eq!(octets(&form(good)), good.replace(' ', ""));
        let (records, problems) = read_text(&format!("x 5 {}\n", form(bad)));
        assert!(records.is_empty() && has_errors(&problems), "{rtype} {bad}");
    }
}

#[test]
fn what_is_wrong_with_rdata_is_said_with_its_place_and_help() {
    for (text, expected) in [
        (
            "LOC 42 N 71 W",
            "z:1:17: error: the LOC record lacks its altitude (write as in `LOC 52 22 23.000 N 4 53 32.000 E -2.00m 1m 10000m 10m`)",
        ),
        ("LOC 91 N 71 W 0", "z:1:9: error: `91` is out of range: the number of degrees is 0 to 90"),
        ("APL 1:192.0.2.1/33", "z:1:9: error: `33` is out of range: the prefix length is 0 to 32"),
        (
            "DS 1 8 2 00",
            "z:1:5: error: the digest of SHA-256 has 1 octets, it must have 32 (is it cut, or of another type?)",
        ),
        ("DS 1 RSASHA25 9 00", "z:1:10: error: `RSASHA25` is no known algorithm (did you mean `RSASHA256`?)"),
        ("NSEC a. A AAA", "z:1:15: error: unknown record type `AAA` (did you mean `AAAA`?)"),
        (
            "OPENPGPKEY YW*=",
            "z:1:16: error: `YW*=` is not base64 (letters, digits, `+` and `/` are allowed, and `=` at the end)",
        ),
        (
            "RRSIG A 13 2 5 20381301000000 0 1 . YWJj",
            "z:1:20: error: `20381301000000` is not a time: the expiration is expected (write year to second as in `20300131235959`, or seconds)",
        ),
        ("SVCB 1 . mandatory=alpn", "z:1:5: error: `alpn` is mandatory, but it is not there"),
        ("SVCB 1 . port=1 port=1", "z:1:21: error: `port` is given twice"),
        ("SVCB 1 . alpm=h2", "z:1:14: error: unknown parameter `alpm` (did you mean `alpn`?)"),
        (
            "HTTPS 1 . \"alpn=h2\"",
            "z:1:15: error: a quoted string where a parameter is expected (quote the value alone, with no blank before it: `alpn=\"h2,h3\"`)",
        ),
        (
            "HTTPS 0 a alpn=h2",
            "z:1:5: warning: clients ignore parameters of a record with priority 0 (write a priority of 1 or more)",
        ),
        (
            "NAPTR 1 1 \"\" \"\" \"!(a!b!\" .",
            "z:1:5: error: a parenthesis of the regular expression is never closed (write as in `\"!^.*$!sip:info@example.com!\"`, each backslash twice)",
        ),
        ("MD a", "z:1:5: error: the type MD is obsolete (write MX)"),
        (
            "NULL a",
            "z:1:5: error: the type NULL has no text form (write it as `TYPE10 \\# length hexadecimal` (RFC 3597))",
        ),
        ("CAA 0 \"issue\" x", "z:1:11: error: a quoted string where the tag is expected (leave the quotes out)"),
    ] {
        assert_eq!(lines(&read_text(&format!("x 5 {text}\n")).1), [expected], "{text}");
    }
}

#[test]
fn all_errors_of_a_record_are_said() {
    for (text, places) in [
        ("SVCB x a.. alpn= port=x foo ipv4hint=1", &[6, 8, 12, 18, 25, 29][..]),
        ("RRSIG AA x 256 x 2x y 65536 a.. *", &[7, 10, 12, 16, 18, 21, 23, 29, 33]),
        ("IPSECKEY 256 1 x y *", &[10, 18, 16, 20]),
        ("APL 3:a/1 1:a/1 x", &[5, 11, 17]),
        ("HIP x 2 * a..", &[7, 9, 5, 11]),
    ] {
        let problems = lines(&read_text(&format!("x 5 {text}\n")).1);
        let found: Vec<usize> =
            problems.iter().map(|line| line.split(':').nth(2).unwrap().parse::<usize>().unwrap() - 4).collect();
        assert_eq!(found, places, "{problems:?}");
    }
}

#[test]
fn names_are_in_lower_case_in_the_canonical_form_of_the_old_types_alone() {
    for (text, expected) in [
        ("MX 1 A.", "0001 016100"),
        ("NAPTR 1 1 \"U\" \"\" \"\" A.", "0001 0001 0155 00 00 016100"),
        ("RRSIG A 5 1 1 1 1 1 A. QUFB", "0001 05 01 00000001 00000001 00000001 0001 016100 414141"),
        ("A6 127 ::1 A.", "7f 01 016100"),
        ("TXT A", "0141"),
        // RFC 6840 §5.1 took NSEC off the list, and newer types never were on it.
        ("NSEC A. NS", "014100 000120"),
        ("HTTPS 1 A.", "0001 014100"),
        ("LP 1 A.", "0001 014100"),
        ("DSYNC CDS 1 53 A.", "003b 01 0035 014100"),
    ] {
        let (rtype, _) = text.split_once(' ').expect(text);
        let canonical = layout::canonical(rtype.parse().expect(text), &rdata(&octets(text)));
        assert_eq!(*canonical, *rdata(expected), "{text}");
    }
}

#[test]
fn the_target_is_the_name_that_a_record_points_at() {
    for (text, expected) in [
        ("NS a.", Some("a.")),
        ("MX 1 a.", Some("a.")),
        ("SRV 1 2 3 a.", Some("a.")),
        ("HTTPS 1 a. alpn=h2", Some("a.")),
        ("SVCB 0 a.", Some("a.")),
        ("SVCB 1 . port=1", Some(".")),
        ("TXT a.", None),
        ("RP a. b.", None),
    ] {
        let (rtype, _) = text.split_once(' ').expect(text);
        let rdata = rdata(&octets(text));
        let target = layout::target(rtype.parse().expect(text), &rdata).map(|name| Printed(name).to_string());
        assert_eq!(target.as_deref(), expected, "{text}");
    }
}

fn known_type() -> impl Strategy<Value = RecordType> {
    let known: Vec<u16> = (0..=u16::MAX).filter(|number| layout::fields(RecordType(*number)).is_some()).collect();
    prop::sample::select(known).prop_map(RecordType)
}

fn rdata_word() -> impl Strategy<Value = String> {
    let words = [
        "0",
        "1",
        "2",
        "3",
        "13",
        "59",
        "128",
        "255",
        "65535",
        "4294967295",
        "N",
        "S",
        "E",
        "W",
        "-1m",
        "1.5",
        ".",
        "@",
        "a",
        "A",
        "TYPE65535",
        "TYPE0",
        "*",
        "-",
        "+1",
        "0x47",
        "::",
        "::1",
        "192.0.2.1",
        "1:192.0.2.1/24",
        "!2:::/0",
        "2:::1/129",
        "YQ==",
        "YWJj",
        "=",
        "00",
        "abcd",
        "20380228235960",
        "99999999999999",
        "tcp",
        "smtp",
        "alpn=h2",
        "alpn=",
        "alpn=\"a,b\"",
        "mandatory=alpn",
        "key65535=\\255",
        "key1=\\001",
        "dohpath=/{?dns}",
        "port=1",
        "\"\"",
        "\"!(a)*!\\\\1!i\"",
        "\"![[:a\"",
        "\"!a{1,\"",
        "\\#",
        "1:2:3:4",
        "00-00-00-00-00-00",
        "é",
        "\\",
        "2t7b4g4vsa5smi47k61mv5bv1a22bojr",
        "ZONE|KSK",
        "|",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

proptest! {
    /// What is read is whole: its wire form passes its own check, so nothing else can be served.
    #[test]
    fn no_words_make_reading_panic_and_what_is_read_is_whole(
        rtype in known_type(), words in prop::collection::vec(rdata_word(), 0..9),
    ) {
        let (records, problems) = read_text(&format!("x 5 {rtype} {}\n", words.join(" ")));
        for record in records.iter() {
            assert_eq!(layout::wire_fault(record.rtype, record.rdata), None, "{rtype} {words:?}");
            layout::canonical(record.rtype, record.rdata);
            layout::target(record.rtype, record.rdata);
        }
        // A name outside the zone's data, a missing word: whatever it is, it is said.
        assert!(records.len() == 1 || has_errors(&problems), "{rtype} {words:?}");
    }

    #[test]
    fn no_octets_make_the_checks_panic(rtype in known_type(), octets in prop::collection::vec(any::<u8>(), 0..80)) {
        let is_good = layout::wire_fault(rtype, &octets).is_none();
        layout::target(rtype, &octets);
        assert_eq!(layout::canonical(rtype, &octets).len(), octets.len());
        assert!(!is_good || layout::fields(rtype).is_some_and(|fields| layout::split(fields, &octets).is_some()));
    }
}

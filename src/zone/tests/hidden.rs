//! Warnings of what no query gets to see, and of serials.

use super::super::Zone;
use super::{build, lines, read_text, steered, with_head};

fn warnings(more: &str) -> Vec<String> {
    let (records, problems) = read_text(&with_head(more));
    assert_eq!(lines(&problems), [""; 0], "{more}");
    let (zone, findings) = Zone::build(&records, &[steered("play.live.example.", 0, true, true)]);
    assert!(zone.is_some(), "{more}: {:?}", lines(&findings));
    lines(&findings).into_iter().filter(|line| !line.contains("has no records in the zone file")).collect()
}

#[test]
fn ordinary_zones_hide_nothing() {
    for more in [
        "sub NS ns.sub\nns.sub A 192.0.2.1\n AAAA 2001:db8::1\nsub DS 1 13 9 00\nsub NS sub\nsub A 192.0.2.2\n",
        "a NS ns.b\nb NS NS.B\nns.b A 192.0.2.1\n",
        "d DNAME e\nd TXT x\nd A 192.0.2.1\ne.f A 192.0.2.2\n",
        // Names hide the wildcard from what is below them: that is what wildcards are used with.
        "* A 192.0.2.1\nhost A 192.0.2.2\nx.host TXT y\nhost2 AAAA 2001:db8::2\nwww CNAME host\nsub NS x.\n",
        // No address is asked of service labels, and of a name that only stands above others it is not sure.
        "* A 192.0.2.1\n_dmarc TXT x\n_sip._tcp SRV 1 2 3 ns1\nlondon.office A 192.0.2.2\n*.office2 A 192.0.2.3\n",
        // A wildcard that gives no addresses promises none.
        "* MX 10 ns1\nhost A 192.0.2.2\ntext TXT x\n",
    ] {
        assert_eq!(warnings(more), [""; 0], "{more}");
    }
}

#[test]
fn data_that_no_query_gets_are_warned_of_once_for_what_hides_them() {
    let help = "here only NS and DS records and the addresses of nameservers are of use; \
                all else belongs into the child's own zone file";
    for (more, expected) in [
        (
            "sub NS x.\nsub TXT y\n",
            format!("z:9:5: warning: no query gets this record: `sub.live.example.` is delegated ({help})"),
        ),
        (
            "sub NS x.\na.sub A 192.0.2.1\nb.sub NS x.\n",
            format!("z:9:7: warning: no query gets this record, or one other record: `sub.live.example.` is delegated ({help})"),
        ),
        (
            "a.sub A 192.0.2.1\n A 192.0.2.2\n*.sub TXT z\nns.sub A 192.0.2.3\nsub NS ns.sub\n",
            format!("z:8:7: warning: no query gets this record, or 2 other records: `sub.live.example.` is delegated ({help})"),
        ),
        (
            "d DNAME e\na.d A 192.0.2.1\nns NS b.d\nb.d A 192.0.2.2\n",
            "z:9:5: warning: no query gets this record, or one other record: below the DNAME record of `d.live.example.` \
             there is nothing (names below a DNAME are led to another name (RFC 6672); put it there)"
                .to_owned(),
        ),
    ] {
        let found: Vec<String> = warnings(more).into_iter().filter(|line| !line.contains("points at")).collect();
        assert_eq!(found, [expected], "{more}");
    }
}

#[test]
fn names_that_a_wildcard_would_answer_for_if_they_did_not_exist_are_warned_of() {
    let help = "a name that exists is not covered by a wildcard (RFC 4592); give it an address or alias of its own";
    for (more, place, expected) in [
        (
            "* A 192.0.2.1\nnews TXT x\n",
            "z:9:6",
            "`news.live.example.` has no address, and the wildcard `*.live.example.` does not answer for it",
        ),
        (
            "*.c CNAME ns1\nx.c MX 10 ns1\na.b.c TXT x\ny.c TXT x\nz.c TXT y\n",
            "z:9:5",
            "`x.c.live.example.` has no address, and the wildcard `*.c.live.example.` does not answer for it, nor for 2 other names",
        ),
        (
            "* AAAA 2001:db8::1\n_sip._tcp.voice SRV 1 2 3 ns1\n",
            "z:9:17",
            "`voice.live.example.` has no address, and the wildcard `*.live.example.` does not answer for it",
        ),
    ] {
        assert_eq!(warnings(more), [format!("{place}: warning: {expected} ({help})")], "{more}");
    }
}

#[test]
fn a_steered_wildcard_gives_addresses_too() {
    let (records, _) = read_text(&with_head("*.room TXT x\nlobby.room TXT y\nhall.room A 192.0.2.1\n"));
    let (_, findings) = Zone::build(&records, &[steered("*.room.live.example.", 0, true, false)]);
    let found = lines(&findings);
    assert!(found.len() == 1 && found[0].contains("`lobby.room.live.example.` has no address"), "{found:?}");
}

#[test]
fn a_serial_that_is_not_raised_is_warned_of_if_anything_else_has_changed() {
    let text = |serial: u32, more: &str| with_head(more).replace(" 7 3600", &format!(" {serial} 3600"));
    for (old, new, expected) in [
        ((7, "a A 192.0.2.1\na A 192.0.2.2\n"), (7, "a A 192.0.2.2\na A 192.0.2.1\n"), None),
        ((7, ""), (8, "a A 192.0.2.1\n"), None),
        ((u32::MAX, ""), (0, "a A 192.0.2.1\n"), None),
        (
            (7, ""),
            (7, "a A 192.0.2.1\n"),
            Some(
                "the records of `live.example.` have changed, but its serial is 7 as before (secondaries keep the old records until it is higher: make it 8)",
            ),
        ),
        (
            (7, "a A 192.0.2.1\n"),
            (7, "a 60 A 192.0.2.1\n"),
            Some(
                "the records of `live.example.` have changed, but its serial is 7 as before (secondaries keep the old records until it is higher: make it 8)",
            ),
        ),
        (
            (9, ""),
            (7, ""),
            Some(
                "the serial of `live.example.` went from 9 to 7, which is not higher (RFC 1982) (secondaries keep the old records until it is higher: make it 10)",
            ),
        ),
        (
            (0, ""),
            (1 << 31, ""),
            Some(
                "the serial of `live.example.` went from 0 to 2147483648, which is not higher (RFC 1982) (secondaries keep the old records until it is higher: make it 1)",
            ),
        ),
    ] {
        let before = build(&text(old.0, old.1), &[]);
        // What is steered is no part of what secondaries get.
        let after = build(&text(new.0, new.1), &[steered("play.live.example.", 0, true, true)]);
        let (records, _) = read_text(&text(new.0, new.1));
        let warning = after.check_serial(&before, &records).map(|warning| warning.to_string());
        assert_eq!(warning, expected.map(|expected| format!("z:2:3: warning: {expected}")), "{old:?} {new:?}");
    }
}
